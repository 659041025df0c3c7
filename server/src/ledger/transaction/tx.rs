//! One try of a command: its connection, from BEGIN to COMMIT.

use super::TxError;
use super::runner::Progress;
use crate::events::HouseEvent;
use crate::ledger::endpoint::{Dialect, Endpoints};
use shared::mutant::{self, Mutant};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::{Query, QueryAs};
use sqlx::{Executor, FromRow};
use std::time::Duration;
use tokio::time::timeout;

/// How long a transaction that failed may take to roll back before its connection is thrown away.
const ROLLBACK: Duration = Duration::from_millis(250);

/// An open transaction. A statement that failed poisons it: it can only be rolled back.
pub struct Tx {
    connection: PoolConnection<Postgres>,
    dialect: Dialect,
    attempt: u32,
    after_unknown: bool,
    events: Vec<HouseEvent>,
    buckets: Vec<i32>,
    pub(super) poisoned: bool,
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
    pub(super) async fn begin(
        endpoints: &Endpoints,
        run: Progress,
        is_one_statement: bool,
    ) -> Result<Self, sqlx::Error> {
        let connection = endpoints.pool_of(run.endpoint).acquire().await?;
        let mut tx = Self {
            connection,
            dialect: endpoints.dialect(),
            attempt: run.attempt,
            after_unknown: run.was_unknown,
            events: Vec::new(),
            buckets: Vec::new(),
            poisoned: false,
            ended: false,
            statements_left: is_one_statement.then_some(1),
        };
        if !is_one_statement {
            let begin = if mutant::is(Mutant::StaleWallet) {
                "BEGIN ISOLATION LEVEL READ COMMITTED"
            } else {
                "BEGIN"
            };
            tx.connection.execute(begin).await?;
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

    /// What is told after COMMIT.
    pub(super) fn events(&self) -> &[HouseEvent] {
        &self.events
    }

    /// Notes the buckets of stock that this try takes from, for those who watch where races are lost.
    pub fn takes_from(&mut self, buckets: impl Iterator<Item = i32>) {
        self.buckets.extend(buckets);
    }

    /// The buckets that this try takes from.
    pub(super) fn buckets(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.buckets)
    }

    pub(super) async fn commit(mut self) -> Result<Vec<HouseEvent>, sqlx::Error> {
        if self.statements_left.is_none() {
            self.connection.execute("COMMIT").await?;
        }
        self.ended = true;
        Ok(std::mem::take(&mut self.events))
    }

    pub(super) async fn roll_back(mut self) {
        if self.statements_left.is_some() {
            self.ended = !self.poisoned;
            return;
        }
        let rolled_back = timeout(ROLLBACK, self.connection.execute("ROLLBACK")).await;
        self.ended = matches!(rolled_back, Ok(Ok(_)));
    }
}
