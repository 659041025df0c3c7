//! The agents' checkout: merchants and their items, mandates, and the commit kernel.
//!
//! | file | what it holds |
//! |---|---|
//! | `kernel` | the queues: requests for one item that wait together are committed together |
//! | `batch` | the one transaction of a batch |
//! | `snapshot`, `batch_rows` | its one read, and its one write |
//! | `merchants`, `items`, `mandates`, `refunds` | the other commands |
//! | `api_keys` | who may call |
//! | `lists`, `views` | what the API reads, and as what |

pub mod api_keys;
mod batch;
mod batch_rows;
pub mod items;
pub mod kernel;
pub mod lists;
pub mod mandates;
pub mod merchants;
pub mod refunds;
mod replies;
pub(super) mod snapshot;
mod views;

pub use super::queue::Undecided;
pub use batch::{Decision, MAX_ASKS, MAX_ROWS};
pub use kernel::{Answer, Kernel};
pub use replies::{KeyedWork, Reply, Work};

/// Every statement that the kernel sends, by name, for tests of their plans.
#[must_use]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    let mut all = batch_rows::statements();
    all.push(("a batch's read", snapshot::READ));
    all.push(("a sold-out batch's read", snapshot::READ_SOLD_OUT));
    all
}
