//! The live plane under three faults, at a size that fits a test run: readers that are stuck (F25),
//! clients that miss events (F26), a restart that sends everybody away at once (F27).
//!
//! Server and clients share this process. What is observed is what clients receive and when, and
//! the hub's counters. Each test prints its figures. `LOTZERO_FULL_FAULTS=1` runs the times of the
//! plan: clients are away for up to half a minute, and come back at the real pace. A seed that is
//! printed may be given again as `LOTZERO_FAULTS_SEED`.
#![expect(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test may end it, and names only what it expects"
)]

#[path = "../support/house.rs"]
mod house;
#[path = "../support/store.rs"]
mod store;

mod cut_off;
mod restart;
mod storm;
mod stuck;

/// Each test has the process for itself: one looks at its memory, and all look at time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
