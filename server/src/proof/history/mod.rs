//! Histories: what the clients of a proof run asked for and were told, and whether that can be.
//!
//! [`Recorder`] writes a run down as JSON lines, each request before it is sent; [`History::read`]
//! reads it back and refuses a malformed one. Every checker takes a history, knows nothing of the
//! server, and answers with a [`Verdict`]; a sceptic can run them over the file again.
//!
//! | Checker | What must hold |
//! |---|---|
//! | [`linear`] | an English lot, a small drop: one order explains every reply (a library searches) |
//! | [`drop`] | a large drop, by arithmetic: accepted ≤ units ≤ accepted + unknown, "sold out" is true |
//! | [`bank`] | reads of all wallets: money is conserved, nothing negative, each read one snapshot |
//! | [`keys`] | one idempotency key has one effect at most, and every unknown is resolved |
//! | [`events`] | a room's view is a prefix of one history; a session reads its own writes |
//! | [`news`] | nodes tell each event once, and only what is committed |
//! | [`isolation`] | the store keeps snapshot isolation, and the check can tell write skew |
//!
//! The rules behind them: `reliability.md`, section 7. "Unknown" is an operation that may have
//! happened at any time after it was sent, or never; its process makes no further request.

pub mod bank;
pub mod drop;
pub mod events;
pub mod isolation;
pub mod keys;
pub mod linear;
pub mod news;
mod operation;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod verdict;

pub use operation::{
    Account, Decision, KeyEffect, LotState, Operation, Place, Reply, Sight, SightEvent, Step,
};
pub use read::{Ended, History, HistoryError, MAX_LINE_BYTES, Moment, Op, Outcome, Sighting};
pub use record::{Call, Client, RecordError, Recorder, Request};
pub use verdict::{Coverage, Finding, MAX_FINDINGS, Verdict};
