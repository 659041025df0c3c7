//! API keys: only the hash of a key is stored; the key itself is shown once.

use super::super::rows::now_ms;
use super::super::transaction::{Command, Tx, TxError};
use async_trait::async_trait;
use serde::Serialize;
use shared::{ApiKeyId, PrincipalId};
use uuid::Uuid;

/// A new key.
pub struct CreateKey {
    /// Its name in lists.
    pub id: ApiKeyId,
    /// Hash of the whole key, in hexadecimal.
    pub hash: String,
    /// The tenant it acts for.
    pub tenant: PrincipalId,
    /// Whether it moves real money.
    pub live: bool,
    /// The key's last characters, by which its owner knows it again.
    pub hint: String,
}

#[async_trait]
impl Command for CreateKey {
    type Answer = ();
    const NAME: &'static str = "create_key";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let query = sqlx::query(concat!(
            "INSERT INTO api_keys (key_hash, key_id, tenant_id, live, hint, created_at_ms)
             SELECT $1, $2, $3, $4, $5, ",
            now_ms!(),
            " ON CONFLICT (key_hash) DO NOTHING"
        ))
        .bind(self.hash.clone())
        .bind(self.id.uuid())
        .bind(self.tenant.uuid())
        .bind(self.live)
        .bind(self.hint.clone());
        tx.execute(query).await.map(|_written| ())
    }
}

/// Ends a key of a tenant; repeating it changes nothing. Answers whether there is such a key.
pub struct RevokeKey {
    /// Whose.
    pub tenant: PrincipalId,
    /// The key.
    pub id: ApiKeyId,
}

#[async_trait]
impl Command for RevokeKey {
    type Answer = bool;
    const NAME: &'static str = "revoke_key";

    async fn attempt(&self, tx: &mut Tx) -> Result<bool, TxError> {
        let query = sqlx::query(concat!(
            "UPDATE api_keys SET revoked_at_ms = coalesce(revoked_at_ms, ",
            now_ms!(),
            ") WHERE tenant_id = $1 AND key_id = $2"
        ))
        .bind(self.tenant.uuid())
        .bind(self.id.uuid());
        Ok(tx.execute(query).await? > 0)
    }
}

/// A key as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Its id.
    pub key_id: ApiKeyId,
    /// Whether it moves real money.
    pub live: bool,
    /// Its last characters.
    pub hint: String,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it ended.
    pub revoked_at_ms: Option<i64>,
}

/// A tenant's keys, oldest first.
///
/// # Errors
/// What the database says.
pub async fn of_tenant(tx: &mut Tx, tenant: PrincipalId) -> Result<Vec<KeyView>, TxError> {
    let query = sqlx::query_as(
        "SELECT key_id, live, hint, created_at_ms, revoked_at_ms FROM api_keys
         WHERE tenant_id = $1 ORDER BY created_at_ms, key_id",
    )
    .bind(tenant.uuid());
    let rows: Vec<(Uuid, bool, String, i64, Option<i64>)> = tx.fetch_all(query).await?;
    let view = |(id, live, hint, created_at_ms, revoked_at_ms)| KeyView {
        key_id: ApiKeyId::from_uuid(id),
        live,
        hint,
        created_at_ms,
        revoked_at_ms,
    };
    Ok(rows.into_iter().map(view).collect())
}

/// The tenant that a key acts for, and whether it moves real money; `None` for no key or an ended
/// one.
///
/// # Errors
/// What the database says.
pub async fn tenant_of(tx: &mut Tx, hash: String) -> Result<Option<(PrincipalId, bool)>, TxError> {
    let query = sqlx::query_as(
        "SELECT tenant_id, live FROM api_keys WHERE key_hash = $1 AND revoked_at_ms IS NULL",
    )
    .bind(hash);
    let rows: Vec<(Uuid, bool)> = tx.fetch_all(query).await?;
    let row = rows.first();
    Ok(row.map(|&(tenant, live)| (PrincipalId::from_uuid(tenant), live)))
}
