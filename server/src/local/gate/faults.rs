//! What a gate is told to do, and what of it took effect.

use super::session::{CommitFault, Faults};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What took effect since the gate was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that were let through.
    pub connections: u64,
    /// Connections that were turned away.
    pub refused: u64,
    /// Statements seen, neither COMMIT nor ROLLBACK.
    pub statements: u64,
    /// COMMITs seen.
    pub commits: u64,
    /// Connections cut before a COMMIT went on.
    pub cut_before_commit: u64,
    /// Connections cut after a COMMIT's answer had arrived.
    pub cut_after_commit: u64,
    /// Those of them where the server had said that it committed.
    pub applied_then_cut: u64,
    /// COMMITs rolled back and answered with an error.
    pub failed_commits: u64,
    /// Other statements answered with an error.
    pub failed_statements: u64,
}

#[derive(Debug, Default)]
struct Armed {
    commits: VecDeque<CommitFault>,
    /// Statements to let pass before the one that fails.
    statement_after: Option<u64>,
    refuse: bool,
    delay: Duration,
    counters: Counters,
}

/// The state shared by the handle and all connections of a gate.
#[derive(Debug)]
pub struct Switchboard {
    armed: Mutex<Armed>,
    hangs: watch::Sender<bool>,
}

impl Default for Switchboard {
    fn default() -> Self {
        Self {
            armed: Mutex::default(),
            hangs: watch::Sender::new(false),
        }
    }
}

impl Switchboard {
    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn arm_commits(&self, times: usize, fault: &CommitFault) {
        let faults = std::iter::repeat_n(fault, times).cloned();
        self.armed().commits.extend(faults);
    }

    pub fn arm_statement(&self, nth: u64) {
        self.armed().statement_after = Some(nth.saturating_sub(1));
    }

    pub fn disarm(&self) {
        let mut armed = self.armed();
        let counters = armed.counters;
        *armed = Armed {
            counters,
            ..Armed::default()
        };
        self.hangs.send_replace(false);
    }

    pub fn refuse(&self, refuse: bool) {
        self.armed().refuse = refuse;
    }

    pub fn delay(&self, delay: Duration) {
        self.armed().delay = delay;
    }

    pub fn hang(&self, hang: bool) {
        self.hangs.send_replace(hang);
    }

    pub fn counters(&self) -> Counters {
        self.armed().counters
    }

    /// Counts a connection that arrives; whether it is let through.
    pub fn admits(&self) -> bool {
        let mut armed = self.armed();
        let refuse = armed.refuse;
        if refuse {
            armed.counters.refused += 1;
        } else {
            armed.counters.connections += 1;
        }
        !refuse
    }

    /// Holds a client's message back for as long as the gate hangs or delays.
    pub async fn hold(&self) {
        let mut hangs = self.hangs.subscribe();
        // The sender lives as long as this very value.
        let _ = hangs.wait_for(|hangs| !hangs).await;
        let delay = self.armed().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

impl Faults for Switchboard {
    fn at_commit(&self) -> Option<CommitFault> {
        let mut armed = self.armed();
        armed.counters.commits += 1;
        let fault = armed.commits.pop_front();
        match &fault {
            Some(CommitFault::CutBefore) => armed.counters.cut_before_commit += 1,
            Some(CommitFault::Fail(_)) => armed.counters.failed_commits += 1,
            // Counted when the answer has come.
            Some(CommitFault::CutAfter) | None => {}
        }
        fault
    }

    fn at_statement(&self) -> Option<String> {
        let mut armed = self.armed();
        armed.counters.statements += 1;
        let (fails, left) = match armed.statement_after {
            Some(0) => (true, None),
            Some(more) => (false, Some(more - 1)),
            None => (false, None),
        };
        armed.statement_after = left;
        armed.counters.failed_statements += u64::from(fails);
        fails.then(|| "40001".to_owned())
    }

    fn was_cut_after_commit(&self, applied: bool) {
        let mut armed = self.armed();
        armed.counters.cut_after_commit += 1;
        armed.counters.applied_then_cut += u64::from(applied);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_the_order_they_were_armed_and_are_counted() {
        let board = Switchboard::default();
        board.arm_commits(2, &CommitFault::CutBefore);
        board.arm_commits(1, &CommitFault::Fail("40001".to_owned()));
        assert_eq!(board.at_commit(), Some(CommitFault::CutBefore));
        assert_eq!(board.at_commit(), Some(CommitFault::CutBefore));
        assert!(matches!(board.at_commit(), Some(CommitFault::Fail(_))));
        assert_eq!(board.at_commit(), None);
        let counters = board.counters();
        assert_eq!(counters.commits, 4);
        assert_eq!(counters.cut_before_commit, 2);
        assert_eq!(counters.failed_commits, 1);
    }

    #[test]
    fn exactly_the_nth_statement_fails() {
        let board = Switchboard::default();
        board.arm_statement(3);
        let fails: Vec<bool> = (0..5).map(|_| board.at_statement().is_some()).collect();
        assert_eq!(fails, [false, false, true, false, false]);
    }

    #[test]
    fn disarming_keeps_the_counters() {
        let board = Switchboard::default();
        board.arm_commits(5, &CommitFault::CutAfter);
        board.arm_statement(1);
        board.refuse(true);
        assert!(!board.admits());
        board.disarm();
        assert!(board.admits());
        assert_eq!(board.at_commit(), None);
        assert_eq!(board.at_statement(), None);
        assert_eq!(board.counters().refused, 1);
        assert_eq!(board.counters().connections, 1);
    }
}
