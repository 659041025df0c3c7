//! An agent's purchase: what it asks for, what it is answered, and how a whole batch of such
//! requests for one item is decided at once.
//!
//! | file | what it holds |
//! |---|---|
//! | `label` | a name that people read |
//! | `request` | what an agent asks for, and its meaning as one text |
//! | `refusal` | why a purchase is not made |
//! | `pool` | stock or a budget split over rows, and taking from it |
//! | `mandate` | a budget with its rules, and how it is split |
//! | `plan` | the decisions of a batch, and its net changes |

mod label;
mod mandate;
mod plan;
mod pool;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

pub use label::{Label, LabelError, MAX_LABEL_CHARS};
pub use mandate::{MAX_BUDGET_BUCKETS, MAX_SCOPE, Mandate, split_budget};
pub use plan::{
    Accepted, Ask, Changes, DUPLICATE_WINDOW_MS, First, ItemTerms, MAX_ROWS_PER_PURCHASE, Plan,
};
pub use pool::{Change, Lane, Pool, Slot};
pub use refusal::{Named, Refusal};
pub use request::{AgentId, AgentIdError, CommitRequest, MAX_AGENT_BYTES, MAX_QUANTITY};
