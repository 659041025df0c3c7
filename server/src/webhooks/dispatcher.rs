//! The dispatcher: takes deliveries whose time has come, sends them, has the ledger record each
//! try. Woken by what this node queues and by a timer, owned by one node at a time through a
//! lease. Losing the lease does no harm: two nodes may send the same message, and one record
//! counts.
//!
//! Recording comes after sending. A node that dies in between leaves the delivery due, and it is
//! sent again with the same `webhook-id`: at least once, never silently not at all.

use super::schedule;
use super::sender::{Message, Outcome, Sender};
use crate::ledger::Ledger;
use crate::ledger::lease::{GiveBack, TakeLease};
use crate::ledger::webhooks::{Attempt, Busy, Due, Then};
use futures::FutureExt as _;
use shared::{DeliveryId, PrincipalId, WebhookEndpointId};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Messages on their way at the same time.
const MAX_FLYING: usize = 16;

/// Of these, to one webhook endpoint: a slow one must not hold up the rest.
const MAX_PER_ENDPOINT: usize = 4;

/// And to the webhook endpoints of one tenant, who may have ten slow ones.
const MAX_PER_TENANT: usize = 8;

/// How long a receiver is left alone that is overloaded and does not say for how long.
const REST: Duration = Duration::from_secs(30);

/// Receivers that are left alone at once; beyond it nobody else is. They are only remembered here,
/// and what is forgotten costs one more try.
const MAX_RESTING: usize = 10_000;

/// How long a node owns the dispatcher without renewing.
const LEASE_LIFE_MS: i64 = 10_000;

/// The longest sleep without a wake-up: another node's events are found within it.
const IDLE: Duration = Duration::from_secs(1);

/// How long messages on their way may take when the node stops; then they are sent again.
const LAST_CALL: Duration = Duration::from_secs(3);

const LEASE: &str = "webhooks";

/// What is on its way, and who is left alone.
#[derive(Default)]
struct Load {
    flying: BTreeMap<DeliveryId, (WebhookEndpointId, PrincipalId)>,
    resting: BTreeMap<WebhookEndpointId, Instant>,
}

impl Load {
    fn room(&self) -> usize {
        MAX_FLYING.saturating_sub(self.flying.len())
    }

    fn of_endpoint(&self, endpoint: WebhookEndpointId) -> usize {
        let is_its = |(of, _): &&(WebhookEndpointId, PrincipalId)| *of == endpoint;
        self.flying.values().filter(is_its).count()
    }

    fn of_tenant(&self, tenant: PrincipalId) -> usize {
        let is_theirs = |(_, of): &&(WebhookEndpointId, PrincipalId)| *of == tenant;
        self.flying.values().filter(is_theirs).count()
    }

    /// What the ledger must not answer now. Who has rested long enough is forgotten.
    fn busy(&mut self, now: Instant) -> Busy {
        self.resting.retain(|_, until| *until > now);
        let resting = self.resting.keys().copied();
        let full = self.flying.values().map(|(endpoint, _)| *endpoint);
        let full = full.filter(|endpoint| self.of_endpoint(*endpoint) >= MAX_PER_ENDPOINT);
        let tenants = self.flying.values().map(|(_, tenant)| *tenant);
        Busy {
            deliveries: self.flying.keys().copied().collect(),
            endpoints: resting.chain(full).collect(),
            tenants: tenants
                .filter(|tenant| self.of_tenant(*tenant) >= MAX_PER_TENANT)
                .collect(),
            per_endpoint: u32::try_from(MAX_PER_ENDPOINT).unwrap_or(u32::MAX),
            limit: u32::try_from(MAX_FLYING).unwrap_or(u32::MAX),
        }
    }

    /// Whether a delivery may leave now; if so, it is counted.
    fn admit(&mut self, due: &Due) -> bool {
        let fits = self.room() > 0
            && self.of_endpoint(due.endpoint) < MAX_PER_ENDPOINT
            && self.of_tenant(due.tenant) < MAX_PER_TENANT
            && !self.flying.contains_key(&due.id);
        if fits {
            self.flying.insert(due.id, (due.endpoint, due.tenant));
        }
        fits
    }

    fn landed(&mut self, landed: &Landed, now: Instant) {
        self.flying.remove(&landed.delivery);
        if let Some(rest) = landed.rest
            && self.resting.len() < MAX_RESTING
        {
            self.resting.insert(landed.endpoint, now + rest);
        }
    }
}

/// A message that came to an end.
struct Landed {
    delivery: DeliveryId,
    endpoint: WebhookEndpointId,
    rest: Option<Duration>,
}

/// Sends webhooks until cancelled.
pub async fn dispatch(ledger: Arc<Ledger>, sender: Arc<Sender>, stop: CancellationToken) {
    let mut dispatcher = Dispatcher {
        ledger,
        sender,
        load: Load::default(),
        tasks: JoinSet::new(),
    };
    while !stop.is_cancelled() {
        dispatcher.launch().await;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(landed) = dispatcher.tasks.join_next() => dispatcher.land(landed),
            () = dispatcher.ledger.webhooks_queued().notified() => {}
            () = tokio::time::sleep(IDLE) => {}
        }
        // Whatever else came to an end meanwhile makes room in the same round.
        while let Some(landed) = dispatcher.tasks.try_join_next() {
            dispatcher.land(landed);
        }
    }
    dispatcher.end().await;
}

struct Dispatcher {
    ledger: Arc<Ledger>,
    sender: Arc<Sender>,
    load: Load,
    tasks: JoinSet<Landed>,
}

impl Dispatcher {
    /// One round: fills the free places with what is due, if this node is the one to do it.
    async fn launch(&mut self) {
        let take = TakeLease {
            name: LEASE,
            owner: self.ledger.node(),
            life_ms: LEASE_LIFE_MS,
        };
        let ours = self.ledger.runner().run(take).await;
        if self.load.room() == 0 || !ours.is_ok_and(|ran| ran.answer.is_some()) {
            return;
        }
        let busy = self.load.busy(Instant::now());
        // A ledger that does not answer is asked again in the next round.
        let due = self.ledger.due_webhooks(busy).await.unwrap_or_default();
        let (due, disabled): (Vec<Due>, Vec<Due>) = due.into_iter().partition(|due| due.enabled);
        if !disabled.is_empty() {
            let endpoints = disabled.iter().map(|due| due.endpoint).collect();
            if let Err(failure) = self.ledger.abandon_webhooks(endpoints).await {
                tracing::warn!(%failure, "deliveries could not be given up; the next round tries");
            }
        }
        for due in due {
            if self.load.admit(&due) {
                let (ledger, sender) = (Arc::clone(&self.ledger), Arc::clone(&self.sender));
                let lost = Landed {
                    delivery: due.id,
                    endpoint: due.endpoint,
                    rest: Some(REST),
                };
                // A panic must free the place of its delivery.
                self.tasks.spawn(async move {
                    let delivered = AssertUnwindSafe(deliver(&ledger, &sender, due));
                    delivered.catch_unwind().await.unwrap_or(lost)
                });
            }
        }
    }

    fn land(&mut self, landed: Result<Landed, JoinError>) {
        match landed {
            Ok(landed) => self.load.landed(&landed, Instant::now()),
            Err(error) => tracing::error!(%error, "a webhook's task was ended"),
        }
    }

    async fn end(mut self) {
        let flown = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_CALL, flown).await.is_err() {
            tracing::info!("some webhooks were on their way and will be sent again");
        }
        let back = GiveBack {
            name: LEASE,
            owner: self.ledger.node(),
        };
        if self.ledger.runner().run(back).await.is_err() {
            tracing::debug!("the webhooks lease expires by itself");
        }
    }
}

/// Sends one message and has its try recorded.
async fn deliver(ledger: &Ledger, sender: &Sender, due: Due) -> Landed {
    let message = Message {
        id: due.id,
        url: due.url,
        secrets: due.secrets,
        body: due.body,
    };
    let (outcome, took) = sender.send(&message, ledger.clock().now()).await;
    tracing::debug!(delivery = %due.id, ?outcome, "sent a webhook");
    let attempt = Attempt {
        delivery: due.id,
        endpoint: due.endpoint,
        tries: due.tries,
        status: outcome.status(),
        error: outcome.error(),
        took,
        then: then(outcome, due.tries_of_schedule, rand::random()),
    };
    let mut rest = outcome.rest(REST);
    match ledger.record_webhook(attempt).await {
        Ok(true) => {}
        Ok(false) => tracing::debug!(delivery = %due.id, "another try was recorded first"),
        Err(failure) => {
            tracing::warn!(delivery = %due.id, %failure, "a try could not be recorded");
            // It is still due: a ledger that cannot answer must not make it a flood.
            rest = Some(REST);
        }
    }
    Landed {
        delivery: due.id,
        endpoint: due.endpoint,
        rest,
    }
}

/// What comes after a try that had `tries` before it in its schedule.
fn then(outcome: Outcome, tries: u16, chance: u64) -> Then {
    let asked = match outcome {
        Outcome::Delivered { .. } => return Then::Delivered,
        Outcome::Gone => return Then::Gone,
        Outcome::SlowDown { retry_after, .. } => retry_after,
        Outcome::Failed(_) => None,
    };
    let failed_try = u32::from(tries) + 1;
    schedule::pause_after(failed_try, chance, asked).map_or(Then::Failed, Then::Again)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids;
    use crate::webhooks::sender::Fault;
    use http::StatusCode;

    fn due(endpoint: WebhookEndpointId, tenant: PrincipalId) -> Due {
        Due {
            id: ids::delivery(endpoint, ids::event()),
            endpoint,
            tenant,
            url: String::new(),
            secrets: Vec::new(),
            body: String::new(),
            tries: 0,
            tries_of_schedule: 0,
            enabled: true,
        }
    }

    fn tenant() -> PrincipalId {
        PrincipalId::from_uuid(ids::event().uuid())
    }

    #[test]
    fn one_endpoint_and_one_tenant_leave_room_for_others() {
        let mut load = Load::default();
        let (greedy, slow) = (tenant(), ids::webhook_endpoint());
        let admitted = |load: &mut Load, endpoint, tenant, of: usize| {
            (0..of)
                .filter(|_| load.admit(&due(endpoint, tenant)))
                .count()
        };
        assert_eq!(admitted(&mut load, slow, greedy, 10), 4);
        let other = ids::webhook_endpoint();
        assert_eq!(admitted(&mut load, other, greedy, 10), 4);
        assert_eq!(admitted(&mut load, ids::webhook_endpoint(), greedy, 10), 0);
        let busy = load.busy(Instant::now());
        assert_eq!(busy.deliveries.len(), 8);
        assert!(busy.endpoints.contains(&slow) && busy.endpoints.contains(&other));
        assert!(busy.tenants.contains(&greedy));
        for _ in 0..8 {
            assert_eq!(admitted(&mut load, ids::webhook_endpoint(), tenant(), 1), 1);
        }
        assert_eq!(load.room(), 0);
        assert_eq!(admitted(&mut load, ids::webhook_endpoint(), tenant(), 1), 0);
    }

    #[test]
    fn a_delivery_is_on_its_way_once_and_its_place_is_free_again() {
        let mut load = Load::default();
        let due = due(ids::webhook_endpoint(), tenant());
        assert!(load.admit(&due));
        assert!(!load.admit(&due));
        let now = Instant::now();
        let landed = Landed {
            delivery: due.id,
            endpoint: due.endpoint,
            rest: Some(REST),
        };
        load.landed(&landed, now);
        assert_eq!(load.room(), MAX_FLYING);
        assert_eq!(load.busy(now).endpoints, [due.endpoint]);
        assert!(load.busy(now + REST).endpoints.is_empty());
    }

    #[test]
    fn what_comes_after_a_try_follows_from_its_outcome_and_its_number() {
        let failed = Outcome::Failed(Fault::Status(StatusCode::INTERNAL_SERVER_ERROR));
        let status = StatusCode::OK;
        assert_eq!(then(Outcome::Delivered { status }, 3, 0), Then::Delivered);
        assert_eq!(then(Outcome::Gone, 3, 0), Then::Gone);
        assert_eq!(
            then(failed, 0, 0),
            Then::Again(Duration::from_millis(4_500))
        );
        assert_eq!(then(failed, 9, 0), Then::Failed);
        let slow = Outcome::SlowDown {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(Duration::from_secs(60)),
        };
        assert_eq!(then(slow, 0, 0), Then::Again(Duration::from_secs(60)));
    }
}
