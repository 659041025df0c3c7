//! The faults of a gate by name, so that a scenario or an operator asks for them as data:
//! `{"fault": "slow", "from_ms": 20, "to_ms": 60}`.

use serde::{Deserialize, Serialize};
use std::mem::discriminant;

/// No client waits longer for an answer, so a longer delay would be [`Fault::Hung`].
pub const MAX_SLOW_MS: u64 = 60_000;

/// DSQL ends a connection by itself after 60 minutes (`dsql.md`, section 3).
pub const MAX_AGE_MS: u64 = 60 * 60 * 1_000;

/// DSQL's cluster holds 10,000 connections in all (`dsql.md`, section 3): nothing beyond is a limit.
pub const MAX_LOGINS: u32 = 10_000;

/// What a gate does wrong for as long as it is set. A percentage is that of a generator which starts
/// from the gate's seed, so that the same traffic meets the same faults again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Nobody is there: open connections are reset, and so is whoever comes.
    Closed,
    /// Whoever comes is reset; connections that are open stay so.
    Refusing,
    /// What clients say does not get through until the fault is taken back, and then all of it does;
    /// connections stay open, and new ones get no answer.
    Hung,
    /// What clients say gets through, and what the server says does not until the fault is taken
    /// back: work is done, and nobody hears of it.
    Mute,
    /// Each message that waits for an answer waits for a random time on its way to the server.
    Slow {
        /// The shortest delay in milliseconds.
        from_ms: u64,
        /// The longest delay in milliseconds, at most [`MAX_SLOW_MS`].
        to_ms: u64,
    },
    /// So many of 100 COMMITs: the connection is reset, and the server never hears of them.
    LostBeforeCommit {
        /// From 1 to 100.
        percent: u8,
    },
    /// So many of 100 COMMITs: the server answers, and the connection is reset in the answer's
    /// place.
    LostCommit {
        /// From 1 to 100.
        percent: u8,
    },
    /// So many of 100 COMMITs: rolled back, and answered with 40001.
    CommitConflict {
        /// From 1 to 100.
        percent: u8,
        /// What the answer says was in conflict.
        #[serde(default)]
        conflict: Conflict,
    },
    /// So many of 100 statements (BEGIN is one, COMMIT and ROLLBACK are none): answered with 40001,
    /// and their transaction is aborted.
    StatementConflict {
        /// From 1 to 100.
        percent: u8,
        /// What the answer says was in conflict.
        #[serde(default)]
        conflict: Conflict,
    },
    /// The nth statement from now, once: answered with 40001, and its transaction is aborted. Not
    /// set any more afterwards.
    NthStatementConflict {
        /// 1 is the next statement (BEGIN is one, COMMIT and ROLLBACK are none); counted down as
        /// they pass.
        nth: u64,
        /// What the answer says was in conflict.
        #[serde(default)]
        conflict: Conflict,
    },
    /// Each connection ends at this age, whatever it is doing, as DSQL's do after 60 minutes.
    MaxAge {
        /// Milliseconds after it was opened, at most [`MAX_AGE_MS`].
        ms: u64,
    },
    /// Logins beyond a rate are answered with an error, as DSQL does beyond 100 a second.
    LoginRate {
        /// How many logins come back in a second, at most [`MAX_LOGINS`].
        per_second: u32,
        /// How many may come at once, at most [`MAX_LOGINS`]; a second's worth if not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        burst: Option<u32>,
        /// The error of a refused login.
        #[serde(default)]
        refusal: LoginRefusal,
    },
}

/// What DSQL says was in conflict; its code stands in the message only (`dsql.md`, section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Conflict {
    /// Rows that another transaction wrote.
    #[default]
    #[serde(rename = "OC000")]
    Rows,
    /// The catalogue: the schema changed meanwhile.
    #[serde(rename = "OC001")]
    Catalogue,
}

impl Conflict {
    /// The message as DSQL words it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Rows => "change conflicts with another transaction, please retry: (OC000)",
            Self::Catalogue => {
                "schema has been updated by another transaction, please retry: (OC001)"
            }
        }
    }
}

/// With which SQLSTATE a login is refused. The driver's pool asks again by itself after 53300, and
/// hands 53400 to its caller at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LoginRefusal {
    /// `too_many_connections`, PostgreSQL's.
    #[default]
    #[serde(rename = "53300")]
    TooManyConnections,
    /// `configuration_limit_exceeded`, DSQL's for its rate (`dsql.md`, section 3).
    #[serde(rename = "53400")]
    LimitExceeded,
}

impl LoginRefusal {
    /// The SQLSTATE.
    #[must_use]
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::TooManyConnections => "53300",
            Self::LimitExceeded => "53400",
        }
    }
}

/// Why faults cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// A percentage is none, or of nothing.
    #[error("a percentage is from 1 to 100")]
    Percent,
    /// More faults than COMMITs.
    #[error("the percentages of COMMITs come to more than 100")]
    CommitPercents,
    /// The shortest delay is longer than the longest, or that one is too long.
    #[error("a delay is from a shorter to a longer one of at most {MAX_SLOW_MS} ms")]
    Delay,
    /// There is no such statement.
    #[error("statements are counted from 1")]
    Nth,
    /// No connection has this age.
    #[error("connections end at an age from 1 to {MAX_AGE_MS} ms")]
    Age,
    /// No rate, or no limit.
    #[error("logins are limited to between 1 and {MAX_LOGINS}")]
    Logins,
    /// Which of the two should it be?
    #[error("a fault is set twice")]
    Twice,
}

impl Fault {
    /// Whether nobody can work behind the gate for as long as it is set.
    #[must_use]
    pub const fn takes_away(&self) -> bool {
        match self {
            Self::Closed | Self::Refusing | Self::Hung | Self::Mute => true,
            Self::Slow { .. }
            | Self::LostBeforeCommit { .. }
            | Self::LostCommit { .. }
            | Self::CommitConflict { .. }
            | Self::StatementConflict { .. }
            | Self::NthStatementConflict { .. }
            | Self::MaxAge { .. }
            | Self::LoginRate { .. } => false,
        }
    }

    /// Whether both are the same fault, perhaps in another measure.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        discriminant(self) == discriminant(other)
    }

    /// Whether its measures are in their bounds.
    ///
    /// # Errors
    /// Which is not.
    pub fn check(&self) -> Result<(), FaultError> {
        let fails = |when: bool, error| if when { Err(error) } else { Ok(()) };
        match *self {
            Self::Closed | Self::Refusing | Self::Hung | Self::Mute => Ok(()),
            Self::Slow { from_ms, to_ms } => {
                fails(from_ms > to_ms || to_ms > MAX_SLOW_MS, FaultError::Delay)
            }
            Self::LostBeforeCommit { percent }
            | Self::LostCommit { percent }
            | Self::CommitConflict { percent, .. }
            | Self::StatementConflict { percent, .. } => {
                fails(!(1..=100).contains(&percent), FaultError::Percent)
            }
            Self::NthStatementConflict { nth, .. } => fails(nth == 0, FaultError::Nth),
            Self::MaxAge { ms } => fails(!(1..=MAX_AGE_MS).contains(&ms), FaultError::Age),
            Self::LoginRate {
                per_second, burst, ..
            } => {
                let burst = burst.unwrap_or(per_second);
                let all = [per_second, burst];
                let outside = all.iter().any(|n| !(1..=MAX_LOGINS).contains(n));
                fails(outside, FaultError::Logins)
            }
        }
    }

    /// The part of all COMMITs that it hits, in percent.
    const fn commit_percent(&self) -> u8 {
        match *self {
            Self::LostBeforeCommit { percent }
            | Self::LostCommit { percent }
            | Self::CommitConflict { percent, .. } => percent,
            Self::Closed
            | Self::Refusing
            | Self::Hung
            | Self::Mute
            | Self::Slow { .. }
            | Self::StatementConflict { .. }
            | Self::NthStatementConflict { .. }
            | Self::MaxAge { .. }
            | Self::LoginRate { .. } => 0,
        }
    }
}

/// Whether these can be set together.
pub fn check_all(faults: &[Fault]) -> Result<(), FaultError> {
    faults.iter().try_for_each(Fault::check)?;
    let commits: u32 = faults.iter().map(|f| u32::from(f.commit_percent())).sum();
    if commits > 100 {
        return Err(FaultError::CommitPercents);
    }
    let mut earlier = faults;
    while let Some((fault, rest)) = earlier.split_last() {
        if rest.iter().any(|other| other.is_like(fault)) {
            return Err(FaultError::Twice);
        }
        earlier = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ROWS: Conflict = Conflict::Rows;

    #[test]
    fn faults_are_named_by_data_and_read_back() {
        let login = |burst, refusal| Fault::LoginRate {
            per_second: 5,
            burst,
            refusal,
        };
        let table = [
            (Fault::Closed, json!({"fault": "closed"})),
            (Fault::Refusing, json!({"fault": "refusing"})),
            (Fault::Hung, json!({"fault": "hung"})),
            (Fault::Mute, json!({"fault": "mute"})),
            (
                Fault::Slow {
                    from_ms: 20,
                    to_ms: 60,
                },
                json!({"fault": "slow", "from_ms": 20, "to_ms": 60}),
            ),
            (
                Fault::LostBeforeCommit { percent: 1 },
                json!({"fault": "lost_before_commit", "percent": 1}),
            ),
            (
                Fault::LostCommit { percent: 100 },
                json!({"fault": "lost_commit", "percent": 100}),
            ),
            (
                Fault::CommitConflict {
                    percent: 30,
                    conflict: Conflict::Catalogue,
                },
                json!({"fault": "commit_conflict", "percent": 30, "conflict": "OC001"}),
            ),
            (
                Fault::StatementConflict {
                    percent: 30,
                    conflict: ROWS,
                },
                json!({"fault": "statement_conflict", "percent": 30, "conflict": "OC000"}),
            ),
            (
                Fault::NthStatementConflict {
                    nth: 4,
                    conflict: ROWS,
                },
                json!({"fault": "nth_statement_conflict", "nth": 4, "conflict": "OC000"}),
            ),
            (
                Fault::MaxAge { ms: 20_000 },
                json!({"fault": "max_age", "ms": 20_000}),
            ),
            (
                login(None, LoginRefusal::TooManyConnections),
                json!({"fault": "login_rate", "per_second": 5, "refusal": "53300"}),
            ),
            (
                login(Some(9), LoginRefusal::LimitExceeded),
                json!({"fault": "login_rate", "per_second": 5, "burst": 9, "refusal": "53400"}),
            ),
        ];
        for (fault, data) in table {
            assert_eq!(serde_json::to_value(fault).expect("serialises"), data);
            let read: Fault = serde_json::from_value(data).expect("reads back");
            assert_eq!(read, fault);
            assert_eq!(fault.check(), Ok(()));
        }
    }

    #[test]
    fn what_may_be_left_out_has_its_default_and_nothing_else_is_accepted() {
        let read = |text: &str| serde_json::from_str::<Fault>(text);
        let short = read(r#"{"fault": "commit_conflict", "percent": 5}"#).expect("a fault");
        let long = Fault::CommitConflict {
            percent: 5,
            conflict: ROWS,
        };
        assert_eq!(short, long);
        for text in [
            r#"{"fault": "meteor"}"#,
            r#"{"fault": "max_age"}"#,
            r#"{"fault": "max_age", "ms": -1}"#,
            r#"{"fault": "max_age", "ms": 5, "s": 5}"#,
            r#"{"fault": "lost_commit", "percent": 256}"#,
            r#"{"fault": "commit_conflict", "percent": 5, "conflict": "OC002"}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn measures_have_bounds() {
        let slow = |from_ms, to_ms| Fault::Slow { from_ms, to_ms };
        let percent = |percent| Fault::StatementConflict {
            percent,
            conflict: ROWS,
        };
        let nth = |nth| Fault::NthStatementConflict {
            nth,
            conflict: ROWS,
        };
        let age = |ms| Fault::MaxAge { ms };
        let login = |per_second, burst| Fault::LoginRate {
            per_second,
            burst,
            refusal: LoginRefusal::default(),
        };
        for (fault, error) in [
            (slow(2, 1), FaultError::Delay),
            (slow(0, MAX_SLOW_MS + 1), FaultError::Delay),
            (percent(0), FaultError::Percent),
            (percent(101), FaultError::Percent),
            (Fault::LostCommit { percent: 0 }, FaultError::Percent),
            (nth(0), FaultError::Nth),
            (age(0), FaultError::Age),
            (age(MAX_AGE_MS + 1), FaultError::Age),
            (login(0, None), FaultError::Logins),
            (login(1, Some(0)), FaultError::Logins),
            (login(MAX_LOGINS + 1, None), FaultError::Logins),
        ] {
            assert_eq!(check_all(&[fault]), Err(error), "{fault:?}");
        }
        for fault in [
            slow(0, 0),
            slow(0, MAX_SLOW_MS),
            percent(100),
            nth(1),
            age(MAX_AGE_MS),
            login(MAX_LOGINS, Some(1)),
        ] {
            assert_eq!(check_all(&[fault]), Ok(()), "{fault:?}");
        }
    }

    #[test]
    fn a_set_is_of_different_faults_for_at_most_every_commit() {
        let lost = |percent| Fault::LostCommit { percent };
        let before = |percent| Fault::LostBeforeCommit { percent };
        assert_eq!(check_all(&[lost(50), before(50)]), Ok(()));
        let too_many = check_all(&[lost(50), before(51)]);
        assert_eq!(too_many, Err(FaultError::CommitPercents));
        let twice = check_all(&[lost(1), Fault::Hung, lost(2)]);
        assert_eq!(twice, Err(FaultError::Twice));
    }
}
