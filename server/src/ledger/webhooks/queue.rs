//! Deliveries on their way: queued, and due.

use super::super::rows::now_ms;
use super::super::transaction::{Command, Tx, TxError};
use super::{secret, small};
use crate::ids;
use crate::webhooks::event::{MAX_BODY_BYTES, WebhookEvent};
use crate::webhooks::signature::Secret;
use async_trait::async_trait;
use shared::{DeliveryId, PrincipalId, WebhookEndpointId};
use uuid::Uuid;

/// Events of one transaction: with ten webhook endpoints 1,000 rows, which is what maintenance
/// takes of the 3,000 that DSQL allows.
const MAX_EVENTS: usize = 100;

/// Bytes of the bodies of one transaction: written once for each of ten webhook endpoints they are
/// 4 MB, of the 10 MiB that DSQL allows.
const MAX_BYTES: usize = 400_000;

const _: () = assert!(MAX_BODY_BYTES <= MAX_BYTES);

/// Due deliveries among which a round chooses.
const MAX_DUE: i64 = 2_000;

/// Splits events so that each part fits into a transaction.
pub fn batches(events: &[WebhookEvent]) -> Vec<&[WebhookEvent]> {
    let mut batches = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |event: &&WebhookEvent| {
            bytes += event.body().len();
            bytes <= MAX_BYTES
        };
        let count = rest.iter().take(MAX_EVENTS).take_while(fits).count();
        // One body always fits.
        let (batch, after) = rest.split_at(count.max(1));
        batches.push(batch);
        rest = after;
    }
    batches
}

/// Queues events for every enabled webhook endpoint of a tenant.
pub struct Queue {
    /// Whose.
    pub tenant: PrincipalId,
    /// What, at most what fits into a transaction.
    pub events: Vec<WebhookEvent>,
}

#[async_trait]
impl Command for Queue {
    type Answer = ();
    const NAME: &'static str = "queue_webhooks";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        queue(tx, self.tenant, &self.events).await
    }
}

/// Queues events for every enabled webhook endpoint of a tenant, in the transaction of what they
/// tell of or in one of their own: a read and a write, at most [`MAX_EVENTS`] events of
/// [`MAX_BYTES`] in all.
///
/// # Errors
/// What the database says.
pub async fn queue(
    tx: &mut Tx,
    tenant: PrincipalId,
    events: &[WebhookEvent],
) -> Result<(), TxError> {
    let query: sqlx::query::QueryAs<'_, _, (Uuid,), _> = sqlx::query_as(
        "SELECT endpoint_id FROM webhook_endpoints
         WHERE tenant_id = $1 AND slot IS NOT NULL AND enabled",
    );
    let endpoints = tx.fetch_all(query.bind(tenant.uuid())).await?;
    let mut rows: Vec<(Uuid, Uuid, Uuid)> = Vec::new();
    for (endpoint,) in endpoints {
        let endpoint = WebhookEndpointId::from_uuid(endpoint);
        rows.extend(events.iter().map(|event| {
            let delivery = ids::delivery(endpoint, event.id());
            (delivery.uuid(), endpoint.uuid(), event.id().uuid())
        }));
    }
    if rows.is_empty() {
        return Ok(());
    }
    // In the order of their keys, so that two writers of the same rows do not wait crosswise.
    rows.sort_unstable();
    let column = |get: fn(&(Uuid, Uuid, Uuid)) -> Uuid| rows.iter().map(get).collect();
    let (deliveries, endpoints): (Vec<_>, Vec<_>) = (column(|row| row.0), column(|row| row.1));
    let of_event: Vec<_> = column(|row| row.2);
    let text = |get: fn(&WebhookEvent) -> &str| -> Vec<String> {
        events.iter().map(|event| get(event).into()).collect()
    };
    let query = sqlx::query(concat!(
        "INSERT INTO webhook_deliveries
            (delivery_id, endpoint_id, tenant_id, event_id, event_type, payload, state,
             tries, tries_before, next_at_ms, created_at_ms)
         SELECT d.delivery, d.endpoint, $1, d.event, e.kind, e.body, 'pending',
                0, 0, t.now_ms, t.now_ms
         FROM unnest($2::uuid[], $3::uuid[], $4::uuid[]) AS d(delivery, endpoint, event)
         JOIN unnest($5::uuid[], $6::text[], $7::text[]) AS e(event, kind, body)
            ON e.event = d.event
         CROSS JOIN (SELECT ",
        now_ms!(),
        " AS now_ms) AS t
         ORDER BY d.delivery
         ON CONFLICT (delivery_id) DO NOTHING"
    ))
    .bind(tenant.uuid())
    .bind(deliveries)
    .bind(endpoints)
    .bind(of_event)
    .bind(
        events
            .iter()
            .map(|event| event.id().uuid())
            .collect::<Vec<_>>(),
    )
    .bind(text(|event| event.kind()))
    .bind(text(WebhookEvent::body));
    tx.execute(query).await.map(|_written| ())
}

/// Whose deliveries are not taken now.
#[derive(Clone, Debug, Default)]
pub struct Busy {
    /// Deliveries that are being sent.
    pub deliveries: Vec<DeliveryId>,
    /// Webhook endpoints that rest, or that are sent enough.
    pub endpoints: Vec<WebhookEndpointId>,
    /// Tenants whose webhook endpoints are sent enough.
    pub tenants: Vec<PrincipalId>,
    /// The most deliveries of one webhook endpoint.
    pub per_endpoint: u32,
    /// The most deliveries.
    pub limit: u32,
}

/// A delivery whose time has come.
#[derive(Clone, Debug)]
pub struct Due {
    /// Which.
    pub id: DeliveryId,
    /// To whom.
    pub endpoint: WebhookEndpointId,
    /// Whose.
    pub tenant: PrincipalId,
    /// Where the webhook endpoint is.
    pub url: String,
    /// With what to sign it, the newest secret first.
    pub secrets: Vec<Secret>,
    /// What it says.
    pub body: String,
    /// Tries so far, of all replays: what a record is conditional on.
    pub tries: u16,
    /// Tries since the last replay: its place in the schedule.
    pub tries_of_schedule: u16,
    /// Whether the webhook endpoint takes messages.
    pub enabled: bool,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    delivery_id: Uuid,
    endpoint_id: Uuid,
    tenant_id: Uuid,
    url: String,
    secret: String,
    previous_secret: Option<String>,
    payload: String,
    tries: i16,
    tries_before: i16,
    enabled: bool,
}

impl DueRow {
    fn read(self) -> Result<Due, TxError> {
        let secrets = [Some(self.secret), self.previous_secret];
        let secrets: Result<Vec<Secret>, TxError> =
            secrets.iter().flatten().map(|text| secret(text)).collect();
        let tries = small(self.tries)?;
        Ok(Due {
            id: DeliveryId::from_uuid(self.delivery_id),
            endpoint: WebhookEndpointId::from_uuid(self.endpoint_id),
            tenant: PrincipalId::from_uuid(self.tenant_id),
            url: self.url,
            secrets: secrets?,
            body: self.payload,
            tries,
            tries_of_schedule: tries.saturating_sub(small(self.tries_before)?),
            enabled: self.enabled,
        })
    }
}

/// Deliveries whose time has come, those that wait longest first, and few of each webhook
/// endpoint, so that a long queue of one does not hold up the others.
///
/// # Errors
/// What the database says.
pub async fn due(tx: &mut Tx, busy: Busy) -> Result<Vec<Due>, TxError> {
    let query = sqlx::query_as(concat!(
        "SELECT d.delivery_id, d.endpoint_id, d.tenant_id, e.url, e.secret,
                CASE WHEN e.previous_expires_at_ms > ",
        now_ms!(),
        " THEN e.previous_secret END AS previous_secret,
                d.payload, d.tries, d.tries_before, e.enabled
         FROM (SELECT w.delivery_id, w.next_at_ms,
                      row_number() OVER (PARTITION BY w.endpoint_id
                                         ORDER BY w.next_at_ms, w.delivery_id) AS place
               FROM (SELECT delivery_id, endpoint_id, next_at_ms FROM webhook_deliveries
                     WHERE state = 'pending' AND next_at_ms <= ",
        now_ms!(),
        "              AND NOT delivery_id = ANY($1) AND NOT endpoint_id = ANY($2)
                       AND NOT tenant_id = ANY($3)
                     ORDER BY next_at_ms LIMIT $4) AS w) AS r
         JOIN webhook_deliveries d ON d.delivery_id = r.delivery_id
         JOIN webhook_endpoints e ON e.endpoint_id = d.endpoint_id
         WHERE r.place <= $5
         ORDER BY r.next_at_ms, r.delivery_id LIMIT $6"
    ))
    .bind(
        busy.deliveries
            .iter()
            .map(|id| id.uuid())
            .collect::<Vec<_>>(),
    )
    .bind(
        busy.endpoints
            .iter()
            .map(|id| id.uuid())
            .collect::<Vec<_>>(),
    )
    .bind(busy.tenants.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(MAX_DUE)
    .bind(i64::from(busy.per_endpoint))
    .bind(i64::from(busy.limit));
    let rows: Vec<DueRow> = tx.fetch_all(query).await?;
    rows.into_iter().map(DueRow::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::Timestamp;

    fn event(bytes: usize) -> WebhookEvent {
        let data = json!("x".repeat(bytes));
        WebhookEvent::new(ids::event(), "a.b", Timestamp(0), &data).expect("an event")
    }

    #[test]
    fn every_event_is_in_one_batch_that_fits() {
        let mut events = vec![event(1); 250];
        events.extend(vec![event(19_000); 45]);
        let batches = batches(&events);
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), events.len());
        assert_eq!(sizes[..2], [100, 100]);
        for batch in batches {
            let bytes: usize = batch.iter().map(|event| event.body().len()).sum();
            assert!(batch.len() <= MAX_EVENTS && bytes <= MAX_BYTES);
        }
        assert!(super::batches(&[]).is_empty());
    }
}
