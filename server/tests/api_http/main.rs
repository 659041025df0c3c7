//! `/v1` as its callers meet it: a real node, real keys, raw HTTP.
//!
//! | file | what it holds |
//! |---|---|
//! | `caller` | a tenant with a key, and what a test looks at in the ledger |
//! | `paths` | every POST route with a body that is right, and every GET route |
//! | `right` | every route does what it says, and a repeat is the same bytes |
//! | `wrong_bodies`, `wrong_requests` | every bad input has its code and writes nothing |
//! | `arriving` | bodies in pieces, without end, in no text |
//! | `refusals` | every refusal has its status |
//! | `tenants` | nobody sees or moves what is another tenant's |
//! | `lists`, `sandbox` | pages; a commit without a key |
//! | `limits` | how often callers may call |
//! | `contract`, `schema`, `document` | every reply is as the OpenAPI document says; every route is in it |
#![cfg(feature = "local")]

mod arriving;
mod caller;
#[path = "../common/mod.rs"]
mod common;
mod contract;
mod document;
mod limits;
mod lists;
mod lots;
mod paths;
mod refusals;
mod right;
mod sandbox;
mod schema;
mod tenants;
mod wrong_bodies;
mod wrong_requests;
