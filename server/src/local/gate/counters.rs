//! What a gate has seen and done.

use super::fault::Fault;
use serde::Serialize;

/// What was seen and what took effect since the gate was opened; nothing takes anything back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Connections that were let through.
    pub connections: u64,
    /// Connections that were turned away.
    pub refused: u64,
    /// Logins that were answered with an error, since there were too many at once.
    pub refused_logins: u64,
    /// Open connections that were reset, because the gate was closed or asked to.
    pub cut: u64,
    /// Connections that ended at their age.
    pub cut_by_age: u64,
    /// Messages of clients that were held back while the gate hung.
    pub held: u64,
    /// Messages of the server that were held back while the gate was mute.
    pub muted: u64,
    /// Messages of clients that went on later.
    pub slowed: u64,
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
    /// Other statements that were cut off.
    pub cut_statements: u64,
}

impl Counters {
    /// How often a fault took effect, whatever its measure: a run in which one never did proves
    /// nothing. Faults that do the same are counted together.
    #[must_use]
    pub const fn effects_of(&self, fault: &Fault) -> u64 {
        match fault {
            Fault::Closed => self.refused + self.cut,
            Fault::Refusing => self.refused,
            Fault::Hung => self.held,
            Fault::Mute => self.muted,
            Fault::Slow { .. } => self.slowed,
            Fault::LostBeforeCommit { .. } => self.cut_before_commit,
            Fault::LostCommit { .. } => self.cut_after_commit,
            Fault::CommitConflict { .. } => self.failed_commits,
            Fault::StatementConflict { .. } | Fault::NthStatementConflict { .. } => {
                self.failed_statements
            }
            Fault::MaxAge { .. } => self.cut_by_age,
            Fault::LoginRate { .. } => self.refused_logins,
        }
    }
}
