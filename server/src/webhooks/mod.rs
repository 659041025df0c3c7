//! Webhooks: the house tells the owners of API keys what happened, in the form of Standard
//! Webhooks 1.0.0.
//!
//! | file | what it holds |
//! |---|---|
//! | `event` | what is told |
//! | `signature` | how a receiver knows that the house told it |
//! | `guard`, `address` | where messages may go |
//! | `sender` | one try |
//! | `schedule` | when to try again |
//! | `dispatcher` | the loop that takes what is due, sends it and has the ledger record it |
//!
//! The rows are in `ledger::webhooks`. A message is delivered **at least once**: a node that dies
//! between sending and recording sends it again with the same `webhook-id`, so a receiver drops
//! what it has had by that id. Messages have no order; what they tell of carries its own time.

pub mod address;
pub mod dispatcher;
pub mod event;
pub mod guard;
pub mod news;
pub mod schedule;
pub mod sender;
pub mod signature;
