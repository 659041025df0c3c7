//! The relay: outbox rows → event log. Woken by this node's commits and by a timer, owned by one
//! node at a time, it rescans what is unpublished (never a cursor: a transaction that began
//! earlier may commit later), appends with a condition so that a repeat has no effect, queues
//! webhooks, then marks. An event that the log refuses for good goes to the dead letters.

use super::Ledger;
use super::lease::{GiveBack, TakeLease};
use super::rows::now_ms;
use super::transaction::{Command, Tx, TxError};
use crate::events::{Aggregate, EventBody, HouseEvent};
use crate::webhooks::news;
use app::ports::Failure;
use async_trait::async_trait;
use shared::PrincipalId;
use shared::mutant::{self, Mutant};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Appends events, keeping the order of each aggregate; a repeat has no effect. Answers what
    /// became of each. An aggregate stops at its first event that is not in the log.
    async fn append(&self, events: &[HouseEvent]) -> Vec<Appended>;
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log.
    Done,
    /// Not yet: the log did not answer, or an earlier event of its aggregate is not there.
    Later,
    /// The log will not take it as it is, and why.
    Refused(String),
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
        let (pause, failed) = match round(&ledger, log.as_ref()).await {
            Some(published) if published > 0 => continue,
            Some(_) => (IDLE, false),
            None => (AFTER_FAILURE, true),
        };
        tokio::select! {
            () = stop.cancelled() => break,
            // A log that failed is left alone, however much is committed meanwhile.
            () = ledger.committed().notified(), if !failed => {}
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

/// The name of an aggregate in the outbox and among the dead letters.
#[must_use]
pub fn aggregate_name_of(aggregate: Aggregate) -> String {
    super::posting::aggregate_name(aggregate)
}

/// How often an event may be refused before it goes to the dead letters.
pub const MAX_TRIES: i16 = 5;

/// Counts that events were refused. Those that were refused too often become dead letters: kept
/// with the reason, and no longer in the way of what comes after them.
struct Refuse(Vec<(Uuid, String)>);

#[async_trait]
impl Command for Refuse {
    type Answer = u64;
    const NAME: &'static str = "refuse_events";

    async fn attempt(&self, tx: &mut Tx) -> Result<u64, TxError> {
        let ids: Vec<Uuid> = self.0.iter().map(|(id, _)| *id).collect();
        let reasons: Vec<String> = self.0.iter().map(|(_, reason)| reason.clone()).collect();
        let counted = sqlx::query(
            "UPDATE outbox SET tries = tries + 1 WHERE event_id = ANY($1) AND published = false",
        )
        .bind(ids.clone());
        tx.execute(counted).await?;
        let buried = sqlx::query(concat!(
            "INSERT INTO dead_letters (event_id, aggregate, payload, reason, tries, at_ms)
             SELECT o.event_id, o.aggregate, o.payload, d.reason, o.tries, ",
            now_ms!(),
            " FROM outbox o
             JOIN unnest($1::uuid[], $2::text[]) AS d(event_id, reason) ON d.event_id = o.event_id
             WHERE o.published = false AND o.tries >= $3
             ON CONFLICT (event_id) DO NOTHING"
        ))
        .bind(ids.clone())
        .bind(reasons)
        .bind(MAX_TRIES);
        let buried = tx.execute(buried).await?;
        let given_up = sqlx::query(
            "UPDATE outbox SET published = true
             WHERE event_id = ANY($1) AND published = false AND tries >= $2",
        )
        .bind(ids)
        .bind(MAX_TRIES);
        tx.execute(given_up).await?;
        Ok(buried)
    }
}

/// Queues webhooks of events that are in the log, and answers the tenants for whom it could not. An
/// event is marked as published only after that, and queueing it twice queues it once.
async fn tell_receivers(ledger: &Ledger, events: &[&HouseEvent]) -> BTreeSet<PrincipalId> {
    let mut by_tenant: BTreeMap<PrincipalId, Vec<&HouseEvent>> = BTreeMap::new();
    for event in events {
        if let Some(tenant) = tenant_of(event) {
            by_tenant.entry(tenant).or_default().push(event);
        }
    }
    let mut untold = BTreeSet::new();
    for (tenant, events) in by_tenant {
        if let Err(failure) = tell_tenant(ledger, tenant, &events).await {
            tracing::warn!(%tenant, %failure, "webhooks could not be queued yet");
            untold.insert(tenant);
        }
    }
    untold
}

const fn tenant_of(event: &HouseEvent) -> Option<PrincipalId> {
    match &event.body {
        EventBody::Checkout(checkout) => Some(checkout.tenant),
        EventBody::Opened { .. }
        | EventBody::Lot { .. }
        | EventBody::Stock { .. }
        | EventBody::Wallet { .. }
        | EventBody::Notice { .. } => None,
    }
}

async fn tell_tenant(
    ledger: &Ledger,
    tenant: PrincipalId,
    events: &[&HouseEvent],
) -> Result<(), Failure> {
    let endpoints = ledger.webhook_endpoints(tenant).await?;
    if endpoints.iter().all(|endpoint| endpoint.disabled.is_some()) {
        return Ok(());
    }
    let news: Vec<_> = events.iter().copied().flat_map(news::of_event).collect();
    ledger.queue_webhooks(tenant, &news).await
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
    let mut refused: Vec<(Uuid, String)> = Vec::new();
    for row in &rows {
        match serde_json::from_str::<HouseEvent>(&row.payload) {
            Ok(event) => events.push(event),
            Err(error) => refused.push((row.event_id, format!("unreadable: {error}"))),
        }
    }
    if mutant::is(Mutant::MarkedFirst) {
        let all = events.iter().map(|event| event.id.uuid()).collect();
        ledger.runner().run(Mark(all)).await.ok()?;
    }
    let appended = log.append(&events).await;
    let mut done: Vec<&HouseEvent> = Vec::new();
    for (event, appended) in events.iter().zip(appended) {
        match appended {
            Appended::Done => done.push(event),
            Appended::Later => {}
            Appended::Refused(why) => refused.push((event.id.uuid(), why)),
        }
    }
    let untold = tell_receivers(ledger, &done).await;
    done.retain(|event| tenant_of(event).is_none_or(|tenant| !untold.contains(&tenant)));
    let published = done.len();
    if published > 0 {
        let done = done.iter().map(|event| event.id.uuid()).collect();
        ledger.runner().run(Mark(done)).await.ok()?;
    }
    if !refused.is_empty() {
        for (event, why) in &refused {
            tracing::error!(%event, why, "the event log does not take an event");
        }
        ledger.runner().run(Refuse(refused)).await.ok()?;
    }
    (published == rows.len()).then_some(published)
}
