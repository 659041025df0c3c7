//! The stores of one machine: a private PostgreSQL and an embedded DynamoDB in a process of their
//! own, which ends with its last user, and the gates that inject faults, as Regions or in tests.
//!
//! Nothing here is reachable once `DSQL_CLUSTER_ENDPOINT` or `DATABASE_URL` says otherwise.

mod binaries;
mod cluster;
mod control;
mod folder;
mod os;
mod record;
mod user;

pub mod attach;
pub mod dynamo_gate;
pub mod dynamodb;
pub mod gate;
pub mod postgres;
pub mod regions;
pub mod stores;
mod stream_records;

pub use attach::{
    AttachError, Attached, attach, attach_running, attach_temporary, attach_temporary_in,
    attach_temporary_with, attach_with, holds_stores,
};
pub use dynamo_gate::DynamoGate;
pub use gate::Gate;
pub use os::{Signal, send as send_signal};
pub use regions::RegionalGates;
pub use stores::{StoresError, StoresOptions, run_stores};
