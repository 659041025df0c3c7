//! Deliveries that were tried, given up, or are to be played again.
//!
//! A delivery's row decides. Each try is recorded under the condition that nobody recorded one
//! since the row was read, so two dispatchers at the same time may send twice, but count once.

use super::super::rows::now_ms;
use super::super::transaction::{Command, Tx, TxError};
use super::small;
use async_trait::async_trait;
use http::StatusCode;
use shared::{DeliveryId, PrincipalId, WebhookEndpointId};
use std::time::Duration;
use uuid::Uuid;

/// The most tries of a delivery over all replays: what its number has room for, rounded down.
pub const MAX_TRIES: u16 = 30_000;

/// Deliveries that are given up in one transaction.
const MAX_ABANDONED: i64 = 500;

const ABANDONED: &str = "the webhook endpoint is disabled";

/// A try that was made.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// To whom.
    pub endpoint: WebhookEndpointId,
    /// The tries before it.
    pub tries: u16,
    /// What the receiver answered, if it did.
    pub status: Option<StatusCode>,
    /// What went wrong, if anything did.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// What comes after it.
    pub then: Then,
}

/// What comes after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the receiver has it.
    Delivered,
    /// Another try, after a pause.
    Again(Duration),
    /// Nothing: that was the last one.
    Failed,
    /// Nothing more to this webhook endpoint, ever.
    Gone,
}

impl Then {
    /// The state's word, and the pause in milliseconds.
    fn row(self) -> (&'static str, Option<i64>) {
        match self {
            Self::Delivered => ("delivered", None),
            Self::Again(pause) => ("pending", Some(milliseconds(pause))),
            Self::Failed | Self::Gone => ("failed", None),
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Records a try; `false` if another one was recorded since.
pub struct Record(pub Attempt);

impl Record {
    /// The number of tries as it is stored.
    fn tries(&self) -> Result<i16, TxError> {
        i16::try_from(self.0.tries).map_err(|_range| TxError::Corrupt("tries of a delivery"))
    }

    async fn write_delivery(&self, tx: &mut Tx) -> Result<bool, TxError> {
        let attempt = &self.0;
        let (state, pause) = attempt.then.row();
        let query = sqlx::query(concat!(
            "UPDATE webhook_deliveries
             SET state = $3, tries = tries + 1, next_at_ms = t.now_ms + $4::bigint,
                 last_status = $5, last_error = $6,
                 delivered_at_ms = CASE WHEN $3 = 'delivered' THEN t.now_ms END
             FROM (SELECT ",
            now_ms!(),
            " AS now_ms) AS t
             WHERE delivery_id = $1 AND tries = $2 AND state = 'pending'"
        ))
        .bind(attempt.delivery.uuid())
        .bind(self.tries()?)
        .bind(state)
        .bind(pause)
        .bind(attempt.status.map(|status| i32::from(status.as_u16())))
        .bind(attempt.error.clone());
        Ok(tx.execute(query).await? == 1)
    }

    async fn write_attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let attempt = &self.0;
        let query = sqlx::query(concat!(
            "INSERT INTO webhook_attempts
                (delivery_id, attempt, at_ms, status, error, duration_ms)
             SELECT $1, $2, ",
            now_ms!(),
            " - $5, $3, $4, $5"
        ))
        .bind(attempt.delivery.uuid())
        .bind(self.tries()?.saturating_add(1))
        .bind(attempt.status.map(|status| i32::from(status.as_u16())))
        .bind(attempt.error.clone())
        .bind(milliseconds(attempt.took));
        tx.must_write(1, "attempt of a delivery", query).await
    }
}

#[async_trait]
impl Command for Record {
    type Answer = bool;
    const NAME: &'static str = "record_webhook";

    async fn attempt(&self, tx: &mut Tx) -> Result<bool, TxError> {
        if !self.write_delivery(tx).await? {
            return Ok(false);
        }
        self.write_attempt(tx).await?;
        if self.0.then == Then::Gone {
            let endpoint = self.0.endpoint.uuid();
            let query = sqlx::query(
                "UPDATE webhook_endpoints SET enabled = false, disabled_reason = 'gone'
                 WHERE endpoint_id = $1 AND enabled",
            );
            tx.execute(query.bind(endpoint)).await?;
            abandon(tx, &[endpoint]).await?;
        }
        Ok(true)
    }
}

/// Gives up some of what waits for webhook endpoints that are disabled. What is more than fits is
/// found again at its time.
pub async fn abandon(tx: &mut Tx, endpoints: &[Uuid]) -> Result<(), TxError> {
    let query = sqlx::query(
        "UPDATE webhook_deliveries
         SET state = 'failed', next_at_ms = NULL, last_error = $2
         WHERE state = 'pending' AND delivery_id IN
            (SELECT d.delivery_id FROM webhook_deliveries d
             JOIN webhook_endpoints e ON e.endpoint_id = d.endpoint_id
             WHERE d.endpoint_id = ANY($1) AND d.state = 'pending' AND NOT e.enabled
             ORDER BY d.next_at_ms LIMIT $3)",
    )
    .bind(endpoints.to_vec())
    .bind(ABANDONED)
    .bind(MAX_ABANDONED);
    tx.execute(query).await.map(|_written| ())
}

/// Gives up what waits for webhook endpoints that are disabled.
pub struct Abandon(pub Vec<WebhookEndpointId>);

#[async_trait]
impl Command for Abandon {
    type Answer = ();
    const NAME: &'static str = "abandon_webhooks";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let endpoints: Vec<Uuid> = self.0.iter().map(|id| id.uuid()).collect();
        abandon(tx, &endpoints).await
    }
}

/// What became of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It is due now.
    Queued,
    /// The tenant has no such delivery.
    NotFound,
    /// Its webhook endpoint is disabled.
    Disabled,
    /// It was tried [`MAX_TRIES`] times.
    TooOften,
}

/// Makes a delivery due now.
pub struct PlayAgain {
    /// Whose.
    pub tenant: PrincipalId,
    /// Which.
    pub id: DeliveryId,
}

#[derive(sqlx::FromRow)]
struct PlayedRow {
    state: String,
    tries: i16,
    tries_before: i16,
    enabled: bool,
}

#[async_trait]
impl Command for PlayAgain {
    type Answer = Replay;
    const NAME: &'static str = "replay_webhook";

    async fn attempt(&self, tx: &mut Tx) -> Result<Replay, TxError> {
        let query = sqlx::query_as(
            "SELECT d.state, d.tries, d.tries_before, e.enabled FROM webhook_deliveries d
             JOIN webhook_endpoints e ON e.endpoint_id = d.endpoint_id
             WHERE d.delivery_id = $1 AND d.tenant_id = $2",
        );
        let query = query.bind(self.id.uuid()).bind(self.tenant.uuid());
        let found: Option<PlayedRow> = tx.fetch_all(query).await?.pop();
        let Some(row) = found else {
            return Ok(Replay::NotFound);
        };
        if !row.enabled {
            return Ok(Replay::Disabled);
        }
        if small(row.tries)? >= MAX_TRIES {
            return Ok(Replay::TooOften);
        }
        let tries_before = if row.state == "pending" {
            row.tries_before
        } else {
            row.tries
        };
        let query = sqlx::query(concat!(
            "UPDATE webhook_deliveries
             SET state = 'pending', delivered_at_ms = NULL, tries_before = $4, next_at_ms = ",
            now_ms!(),
            " WHERE delivery_id = $1 AND tries = $2 AND state = $3"
        ))
        .bind(self.id.uuid())
        .bind(row.tries)
        .bind(row.state)
        .bind(tries_before);
        tx.must_write(1, "delivery", query).await?;
        Ok(Replay::Queued)
    }
}
