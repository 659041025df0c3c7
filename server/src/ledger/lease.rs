//! Leases: work that one node does at a time. A lease is a row with a fence that grows with each
//! change of owner; losing it is noticed at the next renewal, and the work it covers is harmless
//! to repeat, so a slow loser does no damage.

use super::rows::now_ms;
use super::transaction::{Command, Tx, TxError};
use async_trait::async_trait;
use uuid::Uuid;

/// Takes or renews a lease.
pub struct TakeLease {
    /// The work.
    pub name: &'static str,
    /// This node.
    pub owner: Uuid,
    /// How long without renewal.
    pub life_ms: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    now_ms: i64,
    owner: Option<Uuid>,
    fence: Option<i64>,
    expires_at_ms: Option<i64>,
}

#[async_trait]
impl Command for TakeLease {
    /// The fence, if the lease is ours now.
    type Answer = Option<i64>;
    const NAME: &'static str = "lease";

    async fn attempt(&self, tx: &mut Tx) -> Result<Option<i64>, TxError> {
        let row: Row = tx
            .fetch_one(
                sqlx::query_as(concat!(
                    "SELECT ",
                    now_ms!(),
                    " AS now_ms, l.owner, l.fence, l.expires_at_ms
                     FROM (SELECT 1) AS one LEFT JOIN leases l ON l.name = $1"
                ))
                .bind(self.name),
            )
            .await?;
        let expires = row.now_ms + self.life_ms;
        let (Some(owner), Some(fence), Some(until)) = (row.owner, row.fence, row.expires_at_ms)
        else {
            let query = sqlx::query(
                "INSERT INTO leases (name, owner, fence, expires_at_ms) VALUES ($1, $2, 1, $3)",
            )
            .bind(self.name)
            .bind(self.owner)
            .bind(expires);
            tx.must_write(1, "lease", query).await?;
            return Ok(Some(1));
        };
        let ours = owner == self.owner;
        if !ours && until > row.now_ms {
            return Ok(None);
        }
        // A renewal that is not yet half due writes nothing.
        if ours && until - row.now_ms > self.life_ms / 2 {
            return Ok(Some(fence));
        }
        let next = if ours { fence } else { fence + 1 };
        let query = sqlx::query(
            "UPDATE leases SET owner = $2, fence = $3, expires_at_ms = $4
             WHERE name = $1 AND fence = $5 AND expires_at_ms = $6",
        )
        .bind(self.name)
        .bind(self.owner)
        .bind(next)
        .bind(expires)
        .bind(fence)
        .bind(until);
        tx.must_write(1, "lease", query).await?;
        Ok(Some(next))
    }
}

/// Gives a lease back, so that the next node need not wait for it to expire.
pub struct GiveBack {
    /// The work.
    pub name: &'static str,
    /// This node.
    pub owner: Uuid,
}

#[async_trait]
impl Command for GiveBack {
    type Answer = ();
    const NAME: &'static str = "give_back";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let query =
            sqlx::query("UPDATE leases SET expires_at_ms = 0 WHERE name = $1 AND owner = $2")
                .bind(self.name)
                .bind(self.owner);
        tx.execute(query).await.map(|_written| ())
    }
}
