//! Webhook endpoints and their secrets.
//!
//! How many a tenant may have is decided by a row: each takes one of ten slots, and the unique
//! index on (tenant, slot) lets two creations at the same time not both take the last one.

use super::super::rows::now_ms;
use super::super::transaction::{Command, Tx, TxError};
use super::attempts::abandon;
use super::secret;
use crate::webhooks::guard::WebhookUrl;
use crate::webhooks::signature::Secret;
use async_trait::async_trait;
use shared::{PrincipalId, Timestamp, WebhookEndpointId};
use uuid::Uuid;

/// The most webhook endpoints of a tenant; the CHECK on `slot` says the same. An event is at most
/// this many deliveries.
pub const MAX_ENDPOINTS: i16 = 10;

/// How long the secret before a rotation signs too: a day to bring the new one to every receiver.
pub const SECRET_OVERLAP_MS: i64 = 86_400_000;

/// Somewhere that hears of a tenant's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Where messages go.
    pub url: String,
    /// Why no more messages go there, if so.
    pub disabled: Option<Disabled>,
    /// Until when the secret before the last rotation signs too.
    pub previous_secret_until: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Why a webhook endpoint hears of nothing more. Neither can be undone: create another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// The receiver answered 410.
    Gone,
    /// Its owner deleted it.
    Deleted,
}

impl Disabled {
    /// The word as stored, and as scripts read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Deleted => "deleted",
        }
    }
}

/// A new webhook endpoint with its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedEndpoint {
    /// The endpoint.
    pub endpoint: WebhookEndpoint,
    /// What messages are signed with.
    pub secret: Secret,
}

/// The tenant has [`MAX_ENDPOINTS`] webhook endpoints that are not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {MAX_ENDPOINTS} webhook endpoints already; delete one first")]
pub struct EndpointLimit;

/// A rotation's new secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// What messages are signed with first.
    pub secret: Secret,
    /// Until when the one before signs too.
    pub previous_secret_until: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    endpoint_id: Uuid,
    tenant_id: Uuid,
    slot: Option<i16>,
    url: String,
    secret: String,
    previous_expires_at_ms: Option<i64>,
    disabled_reason: Option<String>,
    created_at_ms: i64,
    now_ms: i64,
}

macro_rules! columns {
    () => {
        concat!(
            "SELECT e.endpoint_id, e.tenant_id, e.slot, e.url, e.secret,
                    e.previous_expires_at_ms, e.disabled_reason, e.created_at_ms, ",
            now_ms!(),
            " AS now_ms FROM webhook_endpoints e "
        )
    };
}

impl Row {
    fn view(&self) -> Result<WebhookEndpoint, TxError> {
        let disabled = match self.disabled_reason.as_deref() {
            None => None,
            Some("gone") => Some(Disabled::Gone),
            Some("deleted") => Some(Disabled::Deleted),
            Some(_) => return Err(TxError::Corrupt("why a webhook endpoint is disabled")),
        };
        let until = self
            .previous_expires_at_ms
            .filter(|until| *until > self.now_ms);
        Ok(WebhookEndpoint {
            id: WebhookEndpointId::from_uuid(self.endpoint_id),
            url: self.url.clone(),
            disabled,
            previous_secret_until: until.map(Timestamp),
            created_at: Timestamp(self.created_at_ms),
        })
    }
}

async fn by_id(tx: &mut Tx, id: WebhookEndpointId) -> Result<Option<Row>, TxError> {
    let query = sqlx::query_as(concat!(columns!(), "WHERE e.endpoint_id = $1")).bind(id.uuid());
    Ok(tx.fetch_all(query).await?.pop())
}

async fn rows_of(tx: &mut Tx, tenant: PrincipalId) -> Result<Vec<Row>, TxError> {
    let query = sqlx::query_as(concat!(
        columns!(),
        "WHERE e.tenant_id = $1 AND e.slot IS NOT NULL ORDER BY e.created_at_ms, e.endpoint_id"
    ))
    .bind(tenant.uuid());
    tx.fetch_all(query).await
}

/// A tenant's webhook endpoints without the deleted ones.
///
/// # Errors
/// What the database says.
pub async fn of_tenant(tx: &mut Tx, tenant: PrincipalId) -> Result<Vec<WebhookEndpoint>, TxError> {
    rows_of(tx, tenant).await?.iter().map(Row::view).collect()
}

/// A tenant's webhook endpoint and its secret.
///
/// # Errors
/// What the database says.
pub async fn one(
    tx: &mut Tx,
    tenant: PrincipalId,
    id: WebhookEndpointId,
) -> Result<Option<(WebhookEndpoint, Secret)>, TxError> {
    let row = by_id(tx, id).await?;
    let own = row.filter(|row| row.tenant_id == tenant.uuid());
    own.map(|row| Ok((row.view()?, secret(&row.secret)?)))
        .transpose()
}

/// Creates a webhook endpoint.
pub struct Create {
    tenant: PrincipalId,
    id: WebhookEndpointId,
    url: String,
    secret: Secret,
}

impl Create {
    /// A creation; its secret is made here, so that a repeated try has the same.
    #[must_use]
    pub fn new(tenant: PrincipalId, id: WebhookEndpointId, url: &WebhookUrl) -> Self {
        Self {
            tenant,
            id,
            url: url.to_string(),
            secret: Secret::generate(),
        }
    }

    async fn write(&self, tx: &mut Tx, slot: i16) -> Result<(), TxError> {
        let query = sqlx::query(concat!(
            "INSERT INTO webhook_endpoints
                (endpoint_id, tenant_id, slot, url, secret, enabled, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, true, ",
            now_ms!(),
            ")"
        ))
        .bind(self.id.uuid())
        .bind(self.tenant.uuid())
        .bind(slot)
        .bind(self.url.clone())
        .bind(self.secret.reveal());
        tx.must_write(1, "webhook endpoint", query).await
    }
}

#[async_trait]
impl Command for Create {
    type Answer = Result<CreatedEndpoint, EndpointLimit>;
    const NAME: &'static str = "create_webhook_endpoint";

    async fn attempt(&self, tx: &mut Tx) -> Result<Self::Answer, TxError> {
        if by_id(tx, self.id).await?.is_none() {
            let taken = rows_of(tx, self.tenant).await?;
            let is_free = |slot: &i16| !taken.iter().any(|row| row.slot == Some(*slot));
            let Some(slot) = (1..=MAX_ENDPOINTS).find(is_free) else {
                return Ok(Err(EndpointLimit));
            };
            self.write(tx, slot).await?;
        }
        // Another tenant's id, or the same id for another URL, is a key that was used already.
        match one(tx, self.tenant, self.id).await? {
            Some((endpoint, secret)) if endpoint.url == self.url => {
                Ok(Ok(CreatedEndpoint { endpoint, secret }))
            }
            Some(_) | None => Err(TxError::KeyReused),
        }
    }
}

/// Gives a webhook endpoint a new secret.
pub struct Rotate {
    tenant: PrincipalId,
    id: WebhookEndpointId,
    secret: Secret,
}

impl Rotate {
    /// A rotation; its secret is made here, so that a repeated try has the same.
    #[must_use]
    pub fn new(tenant: PrincipalId, id: WebhookEndpointId) -> Self {
        Self {
            tenant,
            id,
            secret: Secret::generate(),
        }
    }
}

#[async_trait]
impl Command for Rotate {
    type Answer = Option<Rotated>;
    const NAME: &'static str = "rotate_webhook_secret";

    async fn attempt(&self, tx: &mut Tx) -> Result<Option<Rotated>, TxError> {
        let row = by_id(tx, self.id).await?;
        let own = row.filter(|row| row.tenant_id == self.tenant.uuid() && row.slot.is_some());
        let Some(row) = own else {
            return Ok(None);
        };
        let fresh = self.secret.reveal();
        let mut until = row.previous_expires_at_ms;
        // A COMMIT whose answer was lost may have done it.
        if row.secret != fresh {
            let query = sqlx::query(
                "UPDATE webhook_endpoints
                 SET secret = $2, previous_secret = $3, previous_expires_at_ms = $4
                 WHERE endpoint_id = $1 AND secret = $3 AND slot IS NOT NULL",
            )
            .bind(self.id.uuid())
            .bind(fresh)
            .bind(row.secret.clone())
            .bind(row.now_ms + SECRET_OVERLAP_MS);
            tx.must_write(1, "webhook secret", query).await?;
            until = Some(row.now_ms + SECRET_OVERLAP_MS);
        }
        let until = until.ok_or(TxError::Corrupt("end of a webhook secret"))?;
        Ok(Some(Rotated {
            secret: self.secret.clone(),
            previous_secret_until: Timestamp(until),
        }))
    }
}

/// Deletes a webhook endpoint.
pub struct Delete {
    /// Whose.
    pub tenant: PrincipalId,
    /// Which.
    pub id: WebhookEndpointId,
}

#[async_trait]
impl Command for Delete {
    type Answer = bool;
    const NAME: &'static str = "delete_webhook_endpoint";

    async fn attempt(&self, tx: &mut Tx) -> Result<bool, TxError> {
        let row = by_id(tx, self.id).await?;
        let own = row.filter(|row| row.tenant_id == self.tenant.uuid());
        let Some(row) = own else {
            return Ok(false);
        };
        if row.slot.is_some() {
            let query = sqlx::query(
                "UPDATE webhook_endpoints
                 SET enabled = false, disabled_reason = 'deleted', slot = NULL
                 WHERE endpoint_id = $1 AND slot IS NOT NULL",
            )
            .bind(self.id.uuid());
            tx.must_write(1, "webhook endpoint", query).await?;
            abandon(tx, &[self.id.uuid()]).await?;
        }
        Ok(true)
    }
}
