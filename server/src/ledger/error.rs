//! Sorts every database failure into one of four classes. The phase counts: before COMMIT is sent
//! nothing has happened; after it, only a decided code proves an abort.

use sqlx::error::DatabaseError;

/// How far a transaction had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// COMMIT had not been sent.
    BeforeCommit,
    /// COMMIT had been sent and its answer did not say "done".
    AtCommit,
}

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Another transaction was first: retry from BEGIN on fresh state.
    Conflict,
    /// The database did not do it, and may next time: retry, maybe on the peer endpoint.
    Transient,
    /// COMMIT was sent and its outcome is not known: resolve by key.
    Unknown,
    /// Retrying cannot help: a bug or a full quota.
    Final,
}

/// Unique constraints whose violation means "another was first", not a bug: rows that a caller's
/// key names, and what on Aurora DSQL two transactions can both try to write: a lot's next version,
/// a tenant's free slot for a webhook endpoint, a delivery's next attempt.
const KEY_CONSTRAINTS: [&str; 16] = [
    "idempotency_keys_pkey",
    "purchases_pkey",
    "purchase_intents_pkey",
    "purchase_limits_pkey",
    "wallets_pkey",
    "leases_pkey",
    "lots_pkey",
    "browser_sessions_pkey",
    "principals_by_handle",
    "bids_by_lot",
    "webhook_endpoints_pkey",
    "webhook_endpoints_by_slot",
    "webhook_deliveries_pkey",
    "webhook_attempts_pkey",
    "proof_lists_pkey",
    "journal_marks_pkey",
];

/// Sorts a failure of the driver.
#[must_use]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the driver's enum is open: what it may add is final"
)]
pub fn classify(error: &sqlx::Error, phase: Phase) -> Class {
    match error {
        sqlx::Error::Database(error) => classify_code(
            error.code().as_deref().unwrap_or(""),
            error.constraint(),
            phase,
        ),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => at_commit_unknown(Class::Transient, phase),
        // Wrong arguments, columns or types: the program's own mistakes. (The driver's enum is
        // open, so the rest cannot be listed.)
        _ => at_commit_unknown(Class::Final, phase),
    }
}

fn classify_code(code: &str, constraint: Option<&str>, phase: Phase) -> Class {
    match code {
        // Decided aborts, at COMMIT too: a lost race (OC000, OC001), a deadlock, a lock timeout.
        "40001" | "40P01" | "55P03" => Class::Conflict,
        // A database that does not say which constraint gets the benefit of the doubt: tries are
        // bounded.
        "23505" if constraint.is_none_or(|name| KEY_CONSTRAINTS.contains(&name)) => Class::Conflict,
        // Server unavailable, shutdown, starting up, cancelled, connection limits, disk full; and
        // a refused login, since a token may have expired: the next connection takes a new one.
        "XX000" | "57P01" | "57P02" | "57P03" | "57014" | "53300" | "53400" | "53100" | "28000"
        | "28P01" => at_commit_unknown(Class::Transient, phase),
        _ if code.starts_with("08") => at_commit_unknown(Class::Transient, phase),
        // Integrity errors and exceeded limits are decided also at COMMIT.
        _ if code.starts_with("23") || code.starts_with("54") => Class::Final,
        _ => at_commit_unknown(Class::Final, phase),
    }
}

/// The class of a database that did not answer in time.
#[must_use]
pub const fn too_slow(phase: Phase) -> Class {
    at_commit_unknown(Class::Transient, phase)
}

const fn at_commit_unknown(class: Class, phase: Phase) -> Class {
    match phase {
        Phase::BeforeCommit => class,
        Phase::AtCommit => Class::Unknown,
    }
}

/// The SQLSTATE of a failure, if the database named one.
#[must_use]
pub fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(DatabaseError::code)
        .map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_has_its_class_in_both_phases() {
        use Class::{Conflict, Final, Transient, Unknown};
        let table = [
            ("40001", Conflict, Conflict),
            ("40P01", Conflict, Conflict),
            ("55P03", Conflict, Conflict),
            ("XX000", Transient, Unknown),
            ("08006", Transient, Unknown),
            ("08003", Transient, Unknown),
            ("57P01", Transient, Unknown),
            ("57P02", Transient, Unknown),
            ("57P03", Transient, Unknown),
            ("57014", Transient, Unknown),
            ("53300", Transient, Unknown),
            ("53400", Transient, Unknown),
            ("53100", Transient, Unknown),
            ("28000", Transient, Unknown),
            ("28P01", Transient, Unknown),
            ("54000", Final, Final),
            ("53200", Final, Unknown),
            ("25P02", Final, Unknown),
            ("0A000", Final, Unknown),
            ("42601", Final, Unknown),
            ("42P01", Final, Unknown),
            ("23503", Final, Final),
            ("23514", Final, Final),
            ("23505", Conflict, Conflict),
            ("99999", Final, Unknown),
            ("", Final, Unknown),
        ];
        for (code, before, at) in table {
            assert_eq!(
                classify_code(code, None, Phase::BeforeCommit),
                before,
                "{code} before"
            );
            assert_eq!(
                classify_code(code, None, Phase::AtCommit),
                at,
                "{code} at COMMIT"
            );
        }
    }

    #[test]
    fn a_duplicate_is_a_conflict_only_on_a_key_row() {
        let class = |name| classify_code("23505", Some(name), Phase::BeforeCommit);
        assert_eq!(class("idempotency_keys_pkey"), Class::Conflict);
        assert_eq!(class("bids_by_lot"), Class::Conflict);
        assert_eq!(class("bids_pkey"), Class::Final);
    }

    #[test]
    fn lost_connections_are_unknown_only_once_commit_was_sent() {
        let reset = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(classify(&reset(), Phase::BeforeCommit), Class::Transient);
        assert_eq!(classify(&reset(), Phase::AtCommit), Class::Unknown);
        assert_eq!(
            classify(&sqlx::Error::PoolTimedOut, Phase::BeforeCommit),
            Class::Transient
        );
        assert_eq!(
            classify(&sqlx::Error::RowNotFound, Phase::BeforeCommit),
            Class::Final
        );
    }
}
