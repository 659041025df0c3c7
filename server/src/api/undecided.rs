//! What is answered when nothing was decided.

use super::problem::Problem;
use crate::ledger::checkout::Undecided;
use app::ports::Failure;

/// Seconds after which the same request may be sent again: commits take milliseconds, and a
/// failover a few seconds.
const SOON_S: u32 = 1;

/// The ledger gave no answer.
#[must_use]
pub fn failed(failure: Failure) -> Problem {
    match failure {
        Failure::Unavailable => Problem::new(
            "unavailable",
            "Nothing happened. Send the same request with the same key.",
        )
        .retry_after(SOON_S),
        Failure::Unknown => Problem::new(
            "outcome_unknown",
            "It happened once or not at all. Send the same request with the same key.",
        )
        .retry_after(SOON_S),
        Failure::KeyReused => Problem::new(
            "idempotency_key_reused",
            "The key was used with another body.",
        ),
    }
}

/// The kernel gave no answer.
#[must_use]
pub fn problem(undecided: Undecided) -> Problem {
    match undecided {
        Undecided::InProgress => Problem::new(
            "in_progress",
            "A request with this key has not been decided yet.",
        )
        .retry_after(SOON_S),
        Undecided::Overloaded => Problem::new(
            "overloaded",
            "Too many requests wait for the same item or lot. Send this one again with the same key.",
        )
        .retry_after(SOON_S),
        Undecided::KeyReused => failed(Failure::KeyReused),
        Undecided::Failed(failure) => failed(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_decided_may_be_sent_again_and_a_key_of_another_request_may_not() {
        let table = [
            (Undecided::InProgress, 409, "in_progress"),
            (Undecided::Overloaded, 503, "overloaded"),
            (Undecided::Failed(Failure::Unavailable), 503, "unavailable"),
            (Undecided::Failed(Failure::Unknown), 503, "outcome_unknown"),
            (Undecided::KeyReused, 422, "idempotency_key_reused"),
        ];
        for (undecided, status, code) in table {
            let problem = problem(undecided);
            assert_eq!(problem.code(), code);
            assert_eq!(problem.status().as_u16(), status, "{code}");
            let says_when = problem.body().contains("\"retry_after\":1");
            assert_eq!(says_when, undecided != Undecided::KeyReused, "{code}");
        }
    }
}
