//! Commands whose answer is kept as it was said: the API's other routes than the commit.

use super::super::keys::Keyed;
use super::super::rows::now_ms;
use super::super::transaction::{Command, Tx, TxError};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared::Timestamp;
use shared::purchase::Refusal;

/// What a keyed route answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The resource, as the text that was sent.
    Made(String),
    /// Why not.
    Refused(Refusal),
}

/// What a keyed route does in its transaction.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// What it answers with.
    type Resource: Serialize + Send;

    /// A name for logs and counters.
    const NAME: &'static str;

    /// Decides and writes.
    async fn work(
        &self,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<Result<Self::Resource, Refusal>, TxError>;
}

/// Work under a key.
pub struct KeyedWork<W> {
    keyed: Keyed,
    work: W,
}

impl<W: Work> KeyedWork<W> {
    /// Work under a key.
    #[must_use]
    pub const fn new(keyed: Keyed, work: W) -> Self {
        Self { keyed, work }
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    now_ms: i64,
    fingerprint: Option<Vec<u8>>,
    outcome: Option<String>,
}

#[async_trait]
impl<W: Work> Command for KeyedWork<W> {
    /// The reply, and whether the key had it already.
    type Answer = (Reply, bool);
    const NAME: &'static str = W::NAME;

    async fn attempt(&self, tx: &mut Tx) -> Result<(Reply, bool), TxError> {
        let query = sqlx::query_as(concat!(
            "SELECT ",
            now_ms!(),
            " AS now_ms, k.fingerprint, k.outcome
             FROM (SELECT 1) AS one
             LEFT JOIN idempotency_keys k
                ON k.principal_id = $1 AND k.key = $2 AND k.route = $3"
        ))
        .bind(self.keyed.owner.uuid())
        .bind(self.keyed.key.as_str().to_owned())
        .bind(self.keyed.route_word());
        let row: KeyRow = tx.fetch_one(query).await?;
        let kept = self
            .keyed
            .kept_text(row.fingerprint.as_deref(), row.outcome.as_deref())?;
        if let Some(text) = kept {
            let reply = serde_json::from_str(text);
            let reply = reply.map_err(|_unreadable| TxError::Corrupt("reply of a key"))?;
            return Ok((reply, true));
        }
        let now = Timestamp(row.now_ms);
        let unwritable = |_never| TxError::Corrupt("reply of a key");
        let reply = match self.work.work(tx, now).await? {
            Ok(resource) => Reply::Made(serde_json::to_string(&resource).map_err(unwritable)?),
            // What does not exist now may exist later: the key is not used up.
            Err(refusal @ Refusal::NotFound { .. }) => return Ok((Reply::Refused(refusal), false)),
            Err(refusal) => Reply::Refused(refusal),
        };
        let text = serde_json::to_string(&reply).map_err(unwritable)?;
        self.keyed.keep_text(tx, text, None, now).await?;
        Ok((reply, false))
    }
}
