//! Transactions that only read.

use super::runner::Runner;
use super::{Command, Tx, TxError};
use app::ports::Failure;
use async_trait::async_trait;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

/// The name of every [`Read`].
pub(super) const READ: &str = "read";

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

impl Runner {
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
}
