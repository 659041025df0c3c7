//! The one way to run a transaction.
//!
//! Each command runs in a task of its own, so that a browser that goes away cannot leave a
//! transaction half done. An attempt is BEGIN, the command's statements, COMMIT; a failure is
//! sorted by [`classify`] and retried from BEGIN with full jitter, within [`Bounds`]. A database
//! that hangs is a failure too: neither DSQL nor a dead wire ends a statement, so the deadline is
//! kept here, and the connection is thrown away. After a COMMIT
//! whose outcome is unknown the command simply runs again: every command begins by looking up its
//! key (or tests the version it read), so it finds its own answer or does the work for the first
//! time, and a transaction that was still under way loses on the key row.

use super::endpoint::{Dialect, Endpoints};
use super::error::{Class, Phase, classify, sqlstate, too_slow};
use crate::events::HouseEvent;
use app::ports::Failure;
use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::{Query, QueryAs};
use sqlx::{Executor, FromRow};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Races that one command may lose. A hot lot loses most races to its neighbours, not to bad luck,
/// so the bound is above the six or seven tries that a queue of 32 writers needs. Failures of the
/// connection are bounded by time alone: after a restart each dead connection of the pool costs
/// one try.
pub const MAX_RACES: u32 = 12;

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// One try: its statements, and then once more its COMMIT.
    pub attempt: Duration,
    /// All tries together; what is not decided by then is answered "unavailable" or "unknown".
    pub elapsed: Duration,
}

impl Bounds {
    /// What somebody waits for. A try that hangs leaves time for one at the peer.
    pub const COMMAND: Self = Self {
        attempt: Duration::from_millis(1_500),
        elapsed: Duration::from_secs(4),
    };

    /// What reads whole tables. DSQL ends a transaction after 300 s.
    pub const LONG: Self = Self {
        attempt: Duration::from_secs(120),
        elapsed: Duration::from_secs(240),
    };
}

/// How long a transaction that failed may take to roll back before its connection is thrown away.
const ROLLBACK: Duration = Duration::from_millis(250);

/// The first back-off's upper bound; it doubles with each attempt.
const BACKOFF_BASE_MS: u64 = 2;

/// The upper bound of any back-off.
const BACKOFF_CAP_MS: u64 = 100;

/// Work that one transaction does. It may run several times; only the last run is committed.
#[async_trait]
pub trait Command: Send + Sync + 'static {
    /// What the caller learns.
    type Answer: Send + 'static;

    /// A name for logs and counters.
    const NAME: &'static str;

    /// How long it may take.
    const BOUNDS: Bounds = Bounds::COMMAND;

    /// Whether it is one statement that only reads. That is a snapshot by itself, and without BEGIN
    /// and COMMIT it is one round trip instead of three.
    const IS_ONE_STATEMENT: bool = false;

    /// How many races it may lose.
    fn max_races(&self) -> u32 {
        MAX_RACES
    }

    /// One try: reads, decides, writes. Nothing outside `tx` may be touched.
    async fn attempt(&self, tx: &mut Tx) -> Result<Self::Answer, TxError>;
}

/// Why a try did not come to COMMIT.
#[derive(Debug, thiserror::Error)]
pub enum TxError {
    /// The database refused or was lost.
    #[error("running a statement failed")]
    Database(#[from] sqlx::Error),
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    TooSlow,
    /// A conditional write met another version than the one read.
    #[error("lost a race on {0}")]
    Lost(&'static str),
    /// The key was used for another command.
    #[error("the idempotency key belongs to another command")]
    KeyReused,
    /// A row holds what the program never writes.
    #[error("a row cannot be read: {0}")]
    Corrupt(&'static str),
}

/// An open transaction. A statement that failed poisons it: it can only be rolled back.
pub struct Tx {
    connection: PoolConnection<Postgres>,
    dialect: Dialect,
    attempt: u32,
    after_unknown: bool,
    events: Vec<HouseEvent>,
    poisoned: bool,
    ended: bool,
    /// Statements that may still be run; no bound within BEGIN and COMMIT.
    statements_left: Option<u32>,
}

impl Drop for Tx {
    fn drop(&mut self) {
        // A connection whose transaction was not ended must never serve anybody else.
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

impl Tx {
    async fn begin(
        endpoints: &Endpoints,
        run: Progress,
        is_one_statement: bool,
    ) -> Result<Self, sqlx::Error> {
        let connection = endpoints.pool(run.failures).acquire().await?;
        let mut tx = Self {
            connection,
            dialect: endpoints.dialect(),
            attempt: run.attempt,
            after_unknown: run.was_unknown,
            events: Vec::new(),
            poisoned: false,
            ended: false,
            statements_left: is_one_statement.then_some(1),
        };
        if !is_one_statement {
            tx.connection.execute("BEGIN").await?;
        }
        Ok(tx)
    }

    /// Which database this is.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Which try of its command this is; the first is 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether an earlier try may have been committed: what it wrote may be found now.
    #[must_use]
    pub const fn after_unknown(&self) -> bool {
        self.after_unknown
    }

    fn admit_statement(&mut self) -> Result<(), TxError> {
        if let Some(left) = &mut self.statements_left {
            let second = TxError::Corrupt("a second statement without a transaction");
            *left = left.checked_sub(1).ok_or(second)?;
        }
        Ok(())
    }

    fn note<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, TxError> {
        self.poisoned |= result.is_err();
        Ok(result?)
    }

    /// Runs a statement and answers how many rows it wrote.
    ///
    /// # Errors
    /// What the database says; the transaction is then poisoned.
    pub async fn execute(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, TxError> {
        self.admit_statement()?;
        let result = query.execute(&mut *self.connection).await;
        self.note(result).map(|done| done.rows_affected())
    }

    /// Runs a statement and answers its rows.
    ///
    /// # Errors
    /// What the database says; the transaction is then poisoned.
    pub async fn fetch_all<T>(
        &mut self,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>, TxError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.admit_statement()?;
        let result = query.fetch_all(&mut *self.connection).await;
        self.note(result)
    }

    /// Runs a statement that answers exactly one row.
    ///
    /// # Errors
    /// What the database says; the transaction is then poisoned.
    pub async fn fetch_one<T>(
        &mut self,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<T, TxError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.admit_statement()?;
        let result = query.fetch_one(&mut *self.connection).await;
        self.note(result)
    }

    /// Runs a conditional write of `expected` rows: anything else means that another transaction
    /// was first.
    ///
    /// # Errors
    /// [`TxError::Lost`] naming `what`, or what the database says.
    pub async fn must_write(
        &mut self,
        expected: usize,
        what: &'static str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<(), TxError> {
        let written = self.execute(query).await?;
        if u64::try_from(expected).is_ok_and(|expected| expected == written) {
            return Ok(());
        }
        Err(TxError::Lost(what))
    }

    /// Remembers an event that is told after COMMIT; its outbox row is the caller's to write.
    pub fn tell(&mut self, event: HouseEvent) {
        self.events.push(event);
    }

    async fn commit(mut self) -> Result<Vec<HouseEvent>, sqlx::Error> {
        if self.statements_left.is_none() {
            self.connection.execute("COMMIT").await?;
        }
        self.ended = true;
        Ok(std::mem::take(&mut self.events))
    }

    async fn roll_back(mut self) {
        if self.statements_left.is_some() {
            self.ended = !self.poisoned;
            return;
        }
        let rolled_back = timeout(ROLLBACK, self.connection.execute("ROLLBACK")).await;
        self.ended = matches!(rolled_back, Ok(Ok(_)));
    }
}

/// The name of every [`Read`].
const READ: &str = "read";

/// A transaction that only reads: one snapshot of all its statements, or of its only one.
struct Read<T, F, const IS_ONE_STATEMENT: bool> {
    work: F,
    answers: PhantomData<fn() -> T>,
}

/// What a read does with its transaction.
pub type Reading<'tx, T> = Pin<Box<dyn Future<Output = Result<T, TxError>> + Send + 'tx>>;

#[async_trait]
impl<T, F, const IS_ONE_STATEMENT: bool> Command for Read<T, F, IS_ONE_STATEMENT>
where
    T: Send + 'static,
    F: for<'tx> Fn(&'tx mut Tx) -> Reading<'tx, T> + Send + Sync + 'static,
{
    type Answer = T;
    const NAME: &'static str = READ;
    const IS_ONE_STATEMENT: bool = IS_ONE_STATEMENT;

    async fn attempt(&self, tx: &mut Tx) -> Result<T, TxError> {
        (self.work)(tx).await
    }
}

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

/// An answer, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran<T> {
    /// The command's answer.
    pub answer: T,
    /// Tries, at least 1.
    pub attempts: u32,
    /// Whether a COMMIT of this command was lost and had to be resolved.
    pub was_unknown: bool,
}

/// How far a command has come.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The try, from 1 on.
    attempt: u32,
    /// Failures of an endpoint.
    failures: usize,
    /// Lost races.
    races: u32,
    /// Whether a COMMIT was lost.
    was_unknown: bool,
}

/// Why a command was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// What the caller hears.
    pub failure: Failure,
    /// The class of its last failure; `None` if its key belongs to another command, or it panicked.
    pub class: Option<Class>,
    /// Tries that were made; 0 if it panicked.
    pub attempts: u32,
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

    /// Reads in one snapshot, with the same retries as a command.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when the database does not answer in time.
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: for<'tx> Fn(&'tx mut Tx) -> Reading<'tx, T> + Send + Sync + 'static,
    {
        self.run_read::<T, F, false>(work).await
    }

    /// Reads by one statement, which needs no transaction around it.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when the database does not answer in time, or when `work` runs a
    /// second statement.
    pub async fn read_once<T, F>(self: &Arc<Self>, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: for<'tx> Fn(&'tx mut Tx) -> Reading<'tx, T> + Send + Sync + 'static,
    {
        self.run_read::<T, F, true>(work).await
    }

    async fn run_read<T, F, const IS_ONE_STATEMENT: bool>(
        self: &Arc<Self>,
        work: F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: for<'tx> Fn(&'tx mut Tx) -> Reading<'tx, T> + Send + Sync + 'static,
    {
        let read = Read::<T, F, IS_ONE_STATEMENT> {
            work,
            answers: PhantomData,
        };
        // A read has no outcome that could be unknown.
        let ran = self.run(read).await;
        ran.map(|ran| ran.answer)
            .map_err(|_failure| Failure::Unavailable)
    }

    async fn run_here<C: Command>(&self, command: &C) -> Result<Ran<C::Answer>, GivenUp> {
        let started = Instant::now();
        let left = || C::BOUNDS.elapsed.saturating_sub(started.elapsed());
        let mut run = Progress {
            attempt: 1,
            failures: 0,
            races: 0,
            was_unknown: false,
        };
        let class = loop {
            let (class, cause) = match self.attempt(command, run, left()).await {
                Ok(answer) => {
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
                Err((phase, error)) => self.sort(C::NAME, phase, &error),
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
        let (tx, answer) = work.unwrap_or(Err(TxError::TooSlow)).map_err(before)?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tx.roll_back().await;
                return Err(before(error));
            }
        };
        match timeout(deadline, tx.commit()).await {
            Ok(Ok(events)) => {
                if C::NAME != READ {
                    self.count(|c| c.committed += 1);
                }
                if let (false, Some(listener)) = (events.is_empty(), self.listener.get()) {
                    listener(&events);
                }
                Ok(answer)
            }
            Ok(Err(error)) => Err((Phase::AtCommit, error.into())),
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

    fn sort(&self, command: &'static str, phase: Phase, error: &TxError) -> (Class, String) {
        let (class, detail) = match error {
            TxError::Database(error) => (
                classify(error, phase),
                sqlstate(error).unwrap_or_else(|| "connection".into()),
            ),
            TxError::TooSlow => (too_slow(phase), "deadline".into()),
            TxError::Lost(what) => (Class::Conflict, (*what).to_owned()),
            TxError::KeyReused | TxError::Corrupt(_) => (Class::Final, error.to_string()),
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

/// Full jitter: anything between nothing and the bound, which doubles with each attempt.
fn jitter(attempt: u32) -> Duration {
    let bound = BACKOFF_BASE_MS
        .saturating_mul(1 << attempt.min(10))
        .min(BACKOFF_CAP_MS);
    Duration::from_micros(rand::random_range(0..=bound * 1000))
}
