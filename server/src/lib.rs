//! What touches the world: the ledger, the firehose, the sockets and the command line.

// The pages' view types nest deeper than the compiler's default allows.
#![recursion_limit = "512"]

pub mod api;
pub mod audits;
#[cfg(feature = "local")]
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod events;
pub mod firehose;
mod gather;
mod hexadecimal;
pub mod ids;
pub mod ledger;
pub mod live;
#[cfg(feature = "local")]
pub mod load;
#[cfg(feature = "local")]
pub mod local;
pub mod moderation;
#[cfg(feature = "local")]
pub mod operations;
pub mod panels;
mod plain;
pub mod proof;
pub mod router;
pub mod serve;
pub mod sessions;
mod stepping;
pub mod stores;
pub mod webhooks;
