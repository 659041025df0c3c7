//! Bids and claims on lots, and how lots end.
//!
//! | file | what it holds |
//! |---|---|
//! | `offer` | what somebody, or an agent, asks for, and what they hear |
//! | `queues` | a queue for each lot: offers that wait together are decided together |
//! | `batch` | the one transaction of a batch |
//! | `snapshot`, `write`, `news` | what it reads, what it writes, what it tells |
//! | `settle` | a lot's end |
//! | `read` | what agents read of lots |
//! | `apart` | how a broken engine keeps keys |

mod apart;
mod batch;
pub mod news;
mod offer;
mod queues;
pub mod read;
pub mod settle;
mod snapshot;
mod statement;
mod write;

pub use offer::{Offer, Reply, Wish};
pub use queues::{Answer, LotQueues};

/// Every statement that decides offers on lots, by name, for tests of their plans.
#[must_use]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    let mut all = write::STATEMENTS.to_vec();
    all.push(("the read of offers", statement::READ));
    all.push(("the read of claims", statement::READ_CLAIMS));
    all.push(("wallets", super::posting::WALLETS));
    all
}
