//! How often each thing happened.

use std::collections::BTreeMap;

/// How often each thing happened; counters only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Committed transactions, without those that only read.
    pub committed: u64,
    /// Retries by cause: a class, with the SQLSTATE or the row that was lost.
    pub retries: BTreeMap<String, u64>,
    /// COMMITs whose outcome was unknown at first.
    pub unknown_commits: u64,
    /// Commands given up.
    pub given_up: u64,
}

impl Counters {
    /// Retries of all causes.
    #[must_use]
    pub fn all_retries(&self) -> u64 {
        self.retries.values().sum()
    }

    /// Retries because another transaction was first.
    #[must_use]
    pub fn conflicts(&self) -> u64 {
        let conflict = |(cause, _): &(&String, &u64)| cause.starts_with("conflict");
        self.retries
            .iter()
            .filter(conflict)
            .map(|(_, count)| count)
            .sum()
    }
}
