//! How a broken engine keeps keys: in a transaction of their own, after that of their effects. Whoever
//! loses the answer to the first COMMIT finds no key, and does the work again.

use super::super::keys::{Keyed, keep_all};
use super::super::rows::now_ms;
use super::super::transaction::{Command, Runner, Tx, TxError};
use async_trait::async_trait;
use shared::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// A key, the answer to it, and the row that it made.
type Answer = (Keyed, String, Option<Uuid>);

/// Answers whose keys are not written yet, by the key's number. What a later try decided counts.
static WAITING: Mutex<Option<HashMap<Uuid, Answer>>> = Mutex::new(None);

fn waiting() -> MutexGuard<'static, Option<HashMap<Uuid, Answer>>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has keys written later.
pub fn later(answers: Vec<Answer>) {
    let mut waiting = waiting();
    let waiting = waiting.get_or_insert_default();
    waiting.extend(answers.into_iter().map(|it| (it.0.number(), it)));
}

/// Writes the keys of effects that are committed.
pub async fn keep(runner: &Arc<Runner>, keys: impl Iterator<Item = Uuid> + Send) {
    let mut answers = Vec::new();
    if let Some(waiting) = waiting().as_mut() {
        answers.extend(keys.filter_map(|key| waiting.remove(&key)));
    }
    if answers.is_empty() {
        return;
    }
    if let Err(failure) = runner.run(Keep(answers)).await {
        tracing::warn!(%failure, "keys were not kept");
    }
}

struct Keep(Vec<Answer>);

#[async_trait]
impl Command for Keep {
    type Answer = ();
    const NAME: &'static str = "keep_keys";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let now = sqlx::query_as(concat!("SELECT ", now_ms!()));
        let (now,): (i64,) = tx.fetch_one(now).await?;
        keep_all(tx, self.0.clone(), Timestamp(now)).await
    }
}
