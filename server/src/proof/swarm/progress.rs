//! How far a swarm is, read while it runs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters of a swarm; every request is counted by a lock-free add, but refusals by code.
#[derive(Debug)]
pub struct Progress {
    agents: u64,
    sent: AtomicU64,
    committed: AtomicU64,
    undecided: AtomicU64,
    refusals: Mutex<BTreeMap<String, u64>>,
    /// Purchases by the tries of the transaction that made them.
    tries: Mutex<BTreeMap<u32, u64>>,
}

/// Where a swarm stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Agents in all.
    pub agents: u64,
    /// Requests that were sent, each once.
    pub sent: u64,
    /// Requests that bought.
    pub committed: u64,
    /// Requests that were refused, by code.
    pub refusals: BTreeMap<String, u64>,
    /// Answers that decided nothing, after which the request was sent again.
    pub undecided: u64,
}

impl Standing {
    /// Requests that are decided.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.committed + self.refusals.values().sum::<u64>()
    }
}

impl Progress {
    pub(super) fn of(agents: u64) -> Self {
        Self {
            agents,
            sent: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            undecided: AtomicU64::new(0),
            refusals: Mutex::default(),
            tries: Mutex::default(),
        }
    }

    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn committed(&self, tries: u32) {
        self.committed.fetch_add(1, Ordering::Relaxed);
        let mut all = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry(tries).or_default() += 1;
    }

    pub(super) fn tries(&self) -> BTreeMap<u32, u64> {
        let all = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    pub(super) fn undecided(&self) {
        self.undecided.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, code: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match refusals.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                refusals.insert(code.to_owned(), 1);
            }
        }
    }

    /// Where it stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        Standing {
            agents: self.agents,
            sent: self.sent.load(Ordering::Relaxed),
            committed: self.committed.load(Ordering::Relaxed),
            refusals: refusals.clone(),
            undecided: self.undecided.load(Ordering::Relaxed),
        }
    }
}
