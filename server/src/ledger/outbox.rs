//! The relay: outbox rows → event log. Woken by this node's commits and by a timer, owned by one
//! node at a time, it rescans what is unpublished (never a cursor: a transaction that began
//! earlier may commit later), appends with a condition so that a repeat has no effect, then marks.

use super::Ledger;
use super::lease::{GiveBack, TakeLease};
use super::transaction::{Command, Tx, TxError};
use crate::events::{EventBody, HouseEvent};
use crate::webhooks::news;
use app::ports::Failure;
use async_trait::async_trait;
use shared::PrincipalId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Rows of one round; DSQL allows 3,000 changed rows a transaction, maintenance takes 1,000.
const MAX_ROWS: i64 = 500;

/// How long a node owns the relay without renewing.
const LEASE_LIFE_MS: i64 = 5_000;

/// The longest sleep without a wake-up: another node's commits are found within it.
const IDLE: Duration = Duration::from_millis(250);

/// The pause after a failed round.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

const LEASE: &str = "outbox";

/// Where events are appended.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends events, keeping the order of each aggregate; a repeat has no effect. Answers which
    /// of them are in the log now.
    async fn append(&self, events: &[HouseEvent]) -> Vec<bool>;
}

#[derive(sqlx::FromRow)]
struct Row {
    event_id: Uuid,
    payload: String,
}

async fn unpublished(tx: &mut Tx) -> Result<Vec<Row>, TxError> {
    let query = sqlx::query_as(
        "SELECT event_id, payload FROM outbox WHERE published = false
         ORDER BY created_at_ms, version LIMIT $1",
    )
    .bind(MAX_ROWS);
    tx.fetch_all(query).await
}

struct Mark(Vec<Uuid>);

#[async_trait]
impl Command for Mark {
    type Answer = ();
    const NAME: &'static str = "mark_published";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let query = sqlx::query("UPDATE outbox SET published = true WHERE event_id = ANY($1)")
            .bind(self.0.clone());
        tx.execute(query).await.map(|_written| ())
    }
}

/// Runs the relay until cancelled.
pub async fn relay(ledger: Arc<Ledger>, log: Arc<dyn EventLog>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match round(&ledger, log.as_ref()).await {
            Some(published) if published > 0 => continue,
            Some(_) => IDLE,
            None => AFTER_FAILURE,
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = ledger.committed().notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    let back = GiveBack {
        name: LEASE,
        owner: ledger.node(),
    };
    if ledger.runner().run(back).await.is_err() {
        tracing::debug!("the outbox lease expires by itself");
    }
}

/// Queues webhooks of the events that are in the log. An event is marked as published only after
/// that, and queueing it twice queues it once.
async fn tell_receivers(
    ledger: &Ledger,
    events: &[HouseEvent],
    appended: &[bool],
) -> Result<(), Failure> {
    let mut by_tenant: BTreeMap<PrincipalId, Vec<&HouseEvent>> = BTreeMap::new();
    for (event, _) in events.iter().zip(appended).filter(|(_, done)| **done) {
        if let EventBody::Checkout(checkout) = &event.body {
            by_tenant.entry(checkout.tenant).or_default().push(event);
        }
    }
    for (tenant, events) in by_tenant {
        let endpoints = ledger.webhook_endpoints(tenant).await?;
        if endpoints.iter().all(|endpoint| endpoint.disabled.is_some()) {
            continue;
        }
        let news: Vec<_> = events.into_iter().flat_map(news::of_event).collect();
        ledger.queue_webhooks(tenant, &news).await?;
    }
    Ok(())
}

/// One round: how many events were published, `None` after a failure.
async fn round(ledger: &Ledger, log: &dyn EventLog) -> Option<usize> {
    let take = TakeLease {
        name: LEASE,
        owner: ledger.node(),
        life_ms: LEASE_LIFE_MS,
    };
    if ledger.runner().run(take).await.ok()?.answer.is_none() {
        return Some(0);
    }
    let read = ledger.runner().read(|tx| Box::pin(unpublished(tx))).await;
    let rows = read.ok()?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        match serde_json::from_str::<HouseEvent>(&row.payload) {
            Ok(event) => events.push(event),
            // Left in the table: it holds up nobody, and an audit names it.
            Err(error) => tracing::error!(event = %row.event_id, %error, "an unreadable event"),
        }
    }
    if events.is_empty() {
        return Some(0);
    }
    let appended = log.append(&events).await;
    let done: Vec<Uuid> = events
        .iter()
        .zip(&appended)
        .filter_map(|(event, done)| done.then_some(event.id.uuid()))
        .collect();
    let published = done.len();
    tell_receivers(ledger, &events, &appended).await.ok()?;
    if published > 0 {
        ledger.runner().run(Mark(done)).await.ok()?;
    }
    (published == events.len()).then_some(published)
}
