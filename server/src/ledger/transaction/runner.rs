//! Runs commands: tries, what their failures are, and when to try again.

use super::counters::Counters;
use super::read::READ;
use super::{Command, GivenUp, Ran, Tx, TxError};
use crate::events::HouseEvent;
use crate::ledger::endpoint::Endpoints;
use crate::ledger::error::{Class, Phase, classify, sqlstate, too_slow};
use crate::ledger::failover::Heard;
use app::ports::Failure;
use shared::mutant::{self, Mutant};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The first back-off's upper bound; it doubles with each attempt.
const BACKOFF_BASE_MS: u64 = 2;

/// The upper bound of any back-off.
const BACKOFF_CAP_MS: u64 = 100;

/// How far a command has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The try, from 1 on.
    pub attempt: u32,
    /// Failures of an endpoint.
    failures: usize,
    /// The endpoint of this try.
    pub endpoint: usize,
    /// Lost races.
    races: u32,
    /// Whether a COMMIT was lost.
    pub was_unknown: bool,
    /// When the command began.
    started: Instant,
}

/// Hears events after their COMMIT.
pub type Listener = Box<dyn Fn(&[HouseEvent]) + Send + Sync>;

/// Runs commands.
pub struct Runner {
    endpoints: Endpoints,
    counters: Mutex<Counters>,
    listener: OnceLock<Listener>,
}

impl Runner {
    /// A runner over endpoints.
    #[must_use]
    pub fn new(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            counters: Mutex::default(),
            listener: OnceLock::new(),
        }
    }

    /// Sets who hears events after COMMIT; the first call counts.
    pub fn listen(&self, listener: Listener) {
        // A second listener would be a wiring mistake; the first one stays.
        let _already_set = self.listener.set(listener);
    }

    /// The endpoints, for what must not run in a transaction: the schema, and the clock.
    #[must_use]
    pub const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
            .lock()
            .map_or_else(|poisoned| poisoned.into_inner().clone(), |c| c.clone())
    }

    fn tell(&self, events: &[HouseEvent]) {
        if let (false, Some(listener)) = (events.is_empty(), self.listener.get()) {
            listener(events);
        }
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        if let Ok(mut counters) = self.counters.lock() {
            change(&mut counters);
        }
    }

    /// Runs a command to its end, whether or not the caller still waits.
    ///
    /// # Errors
    /// [`Failure`] when no answer could be had within [`Command::max_races`] and
    /// [`Command::BOUNDS`].
    pub async fn run<C: Command>(self: &Arc<Self>, command: C) -> Result<Ran<C::Answer>, Failure> {
        let ran = self.try_run(command).await;
        ran.map_err(|given_up| given_up.failure)
    }

    /// As [`Runner::run`], for a caller that can do something about the cause.
    ///
    /// # Errors
    /// Why it was given up.
    pub async fn try_run<C: Command>(
        self: &Arc<Self>,
        command: C,
    ) -> Result<Ran<C::Answer>, GivenUp> {
        if mutant::is(Mutant::CallersFuture) {
            return self.run_here(&command).await;
        }
        let runner = Arc::clone(self);
        let task = tokio::spawn(async move { runner.run_here(&command).await });
        task.await.unwrap_or_else(|panicked| {
            tracing::error!(command = C::NAME, error = %panicked, "a command panicked");
            Err(GivenUp {
                failure: Failure::Unknown,
                class: None,
                attempts: 0,
            })
        })
    }

    async fn run_here<C: Command>(&self, command: &C) -> Result<Ran<C::Answer>, GivenUp> {
        let started = Instant::now();
        let left = || C::BOUNDS.elapsed.saturating_sub(started.elapsed());
        let mut run = Progress {
            attempt: 1,
            failures: 0,
            endpoint: 0,
            races: 0,
            was_unknown: false,
            started,
        };
        let failover = self.endpoints.failover();
        let class = loop {
            run.endpoint = failover.endpoint(run.failures);
            let (class, cause) = match self.attempt(command, run, left()).await {
                Ok(answer) => {
                    failover.hear(run.endpoint, Heard::Answer, Instant::now());
                    return Ok(Ran {
                        answer,
                        attempts: run.attempt,
                        was_unknown: run.was_unknown,
                    });
                }
                Err((_, TxError::KeyReused)) => {
                    return Err(GivenUp {
                        failure: Failure::KeyReused,
                        class: None,
                        attempts: run.attempt,
                    });
                }
                Err((phase, error)) => {
                    let (class, cause) = self.sort(C::NAME, phase, &error);
                    failover.hear(run.endpoint, heard(class, &error), Instant::now());
                    (class, cause)
                }
            };
            run.was_unknown |= class == Class::Unknown;
            run.failures += usize::from(matches!(class, Class::Unknown | Class::Transient));
            run.races += u32::from(class == Class::Conflict);
            let backoff = jitter(run.attempt);
            if class == Class::Final || run.races >= command.max_races() || backoff >= left() {
                break class;
            }
            self.count(|c| *c.retries.entry(cause).or_default() += 1);
            tokio::time::sleep(backoff).await;
            run.attempt += 1;
        };
        self.count(|c| c.given_up += 1);
        let failure = if run.was_unknown {
            Failure::Unknown
        } else {
            Failure::Unavailable
        };
        Err(GivenUp {
            failure,
            class: Some(class),
            attempts: run.attempt,
        })
    }

    async fn attempt<C: Command>(
        &self,
        command: &C,
        run: Progress,
        left: Duration,
    ) -> Result<C::Answer, (Phase, TxError)> {
        let before = |error: TxError| (Phase::BeforeCommit, error);
        let deadline = C::BOUNDS.attempt.min(left);
        // Dropping what hangs closes its connection.
        let work = timeout(deadline, self.work(command, run)).await;
        let (mut tx, answer) = work.unwrap_or(Err(TxError::TooSlow)).map_err(before)?;
        let buckets = tx.buckets();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tx.roll_back().await;
                self.note_race(&buckets, Phase::BeforeCommit, &error);
                return Err(before(error));
            }
        };
        if mutant::is(Mutant::EarlyNews) {
            self.tell(tx.events());
        }
        match timeout(deadline, tx.commit()).await {
            Ok(Ok(events)) => {
                if C::NAME != READ {
                    self.count(|c| {
                        c.committed += 1;
                        c.took.note(run.started.elapsed());
                        c.note_buckets(&buckets, |bucket| bucket.committed += 1);
                    });
                }
                if !mutant::is(Mutant::EarlyNews) {
                    self.tell(&events);
                }
                Ok(answer)
            }
            Ok(Err(error)) => {
                let error = error.into();
                self.note_race(&buckets, Phase::AtCommit, &error);
                Err((Phase::AtCommit, error))
            }
            Err(_elapsed) => Err((Phase::AtCommit, TxError::TooSlow)),
        }
    }

    /// A transaction up to its COMMIT: the command's answer, or why it must be rolled back.
    async fn work<C: Command>(
        &self,
        command: &C,
        run: Progress,
    ) -> Result<(Tx, Result<C::Answer, TxError>), TxError> {
        let mut tx = Tx::begin(&self.endpoints, run, C::IS_ONE_STATEMENT).await?;
        let answer = match command.attempt(&mut tx).await {
            // A command that went on after a failed statement must not commit: COMMIT would
            // answer ROLLBACK, and the driver would not complain.
            Ok(_) if tx.poisoned => Err(TxError::Corrupt("a failed statement was ignored")),
            other => other,
        };
        Ok((tx, answer))
    }

    /// Counts the buckets of a try that lost a race.
    fn note_race(&self, buckets: &[i32], phase: Phase, error: &TxError) {
        if !buckets.is_empty() && class_of(phase, error) == Class::Conflict {
            self.count(|c| c.note_buckets(buckets, |bucket| bucket.lost += 1));
        }
    }

    fn sort(&self, command: &'static str, phase: Phase, error: &TxError) -> (Class, String) {
        let class = class_of(phase, error);
        let detail = match error {
            TxError::Database(error) => sqlstate(error).unwrap_or_else(|| "connection".into()),
            TxError::TooSlow => "deadline".into(),
            TxError::Lost(what) => (*what).to_owned(),
            TxError::KeyReused | TxError::Corrupt(_) => error.to_string(),
        };
        match class {
            Class::Conflict => tracing::debug!(command, detail, "conflict"),
            Class::Transient => tracing::warn!(command, detail, ?error, "transient failure"),
            Class::Unknown => {
                self.count(|c| c.unknown_commits += 1);
                tracing::warn!(
                    command,
                    detail,
                    ?error,
                    "the outcome of a COMMIT is unknown"
                );
            }
            Class::Final => tracing::error!(command, detail, ?error, "final failure"),
        }
        let name = match class {
            Class::Conflict => "conflict",
            Class::Transient => "transient",
            Class::Unknown => "unknown",
            Class::Final => "final",
        };
        (class, format!("{name} {detail}"))
    }
}

/// What a failure means for its command.
fn class_of(phase: Phase, error: &TxError) -> Class {
    match error {
        TxError::Database(error) => classify(error, phase),
        TxError::TooSlow => too_slow(phase),
        TxError::Lost(_) => Class::Conflict,
        TxError::KeyReused | TxError::Corrupt(_) => Class::Final,
    }
}

/// What a failure says about its endpoint. A code is an answer; one that is worth another try
/// elsewhere is none: the endpoint is shutting down, full, or turns people away.
fn heard(class: Class, error: &TxError) -> Heard {
    match (class, error) {
        (Class::Conflict | Class::Final, _) => Heard::Answer,
        (Class::Transient | Class::Unknown, TxError::TooSlow)
        | (Class::Transient | Class::Unknown, TxError::Database(sqlx::Error::PoolTimedOut)) => {
            Heard::Silence
        }
        (
            Class::Transient | Class::Unknown,
            TxError::Database(_) | TxError::Lost(_) | TxError::KeyReused | TxError::Corrupt(_),
        ) => Heard::Refusal,
    }
}

/// Full jitter: anything between nothing and the bound, which doubles with each attempt.
fn jitter(attempt: u32) -> Duration {
    let bound = BACKOFF_BASE_MS
        .saturating_mul(1 << attempt.min(10))
        .min(BACKOFF_CAP_MS);
    Duration::from_micros(rand::random_range(0..=bound * 1000))
}
