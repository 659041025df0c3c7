//! The relay between the ledger and the event log: each event has one effect, in the order of its
//! aggregate, and one that the log will not take holds nobody up.
#![cfg(feature = "local")]

mod common;

use async_trait::async_trait;
use common::{Database, eventually};
use server::events::{Aggregate, EventBody, HouseEvent};
use server::ledger::outbox::{Appended, EventLog, MAX_TRIES, relay};
use shared::EventId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// A log in memory that will not take the stock events of units that came in by the thousand, and
/// takes nothing while it is down.
#[derive(Default)]
struct Log {
    taken: Mutex<BTreeMap<Aggregate, Vec<EventId>>>,
    refused: Mutex<BTreeMap<EventId, i16>>,
    down: AtomicBool,
}

fn is_poison(event: &HouseEvent) -> bool {
    let EventBody::Checkout(checkout) = &event.body else {
        return false;
    };
    matches!(
        checkout.what,
        server::events::CheckoutNews::Stocked { units: 1_000, .. }
    )
}

#[async_trait]
impl EventLog for Log {
    async fn append(&self, events: &[HouseEvent]) -> Vec<Appended> {
        let down = self.down.load(Ordering::SeqCst);
        let mut taken = self.taken.lock().expect("not poisoned");
        let mut stopped: Vec<Aggregate> = Vec::new();
        let mut all = Vec::new();
        for event in events {
            let aggregate = event.aggregate();
            all.push(if down || stopped.contains(&aggregate) {
                Appended::Later
            } else if is_poison(event) {
                stopped.push(aggregate);
                *self
                    .refused
                    .lock()
                    .expect("not poisoned")
                    .entry(event.id)
                    .or_default() += 1;
                Appended::Refused("too large".into())
            } else {
                taken.entry(aggregate).or_default().push(event.id);
                Appended::Done
            });
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_is_buried_after_five_tries_and_holds_nobody_up() {
    let database = Database::create().await;
    let node = database.node().await;
    let log = Arc::new(Log::default());
    log.down.store(true, Ordering::SeqCst);
    let shop = node.shop("acme", 1_000).await;
    let item = node.item(&shop, 500, 5).await;
    node.restock(&shop, item, 1_000).await;
    node.restock(&shop, item, 7).await;
    let mandate = node.mandate(&shop, 10_000).await;
    assert_eq!(
        node.buy(&shop, shop.one(item, mandate, "scout")).await,
        "committed"
    );
    let mut raw = database.connect().await;
    sqlx::query(
        "INSERT INTO outbox (event_id, aggregate, version, payload, created_at_ms, listed, tries,
                             published)
         VALUES (gen_random_uuid(), 'nobody', 0, 'no event', 1, false, 0, false)",
    )
    .execute(&mut raw)
    .await
    .expect("plants");
    let stop = CancellationToken::new();
    let relaying = tokio::spawn(relay(
        Arc::clone(&node.ledger),
        Arc::<Log>::clone(&log),
        stop.clone(),
    ));
    // A log that is down is no reason to bury anything.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let tries: i16 =
        sqlx::query_scalar("SELECT max(tries) FROM outbox WHERE aggregate <> 'nobody'")
            .fetch_one(&mut raw)
            .await
            .expect("reads");
    assert_eq!(tries, 0);
    log.down.store(false, Ordering::SeqCst);
    let heard = node.heard.lock().expect("not poisoned").clone();
    eventually("all but the poison is in the log", async || {
        let taken = log.taken.lock().expect("not poisoned");
        taken.values().flatten().count() == heard.len() - 1
    })
    .await;
    let mut letters: Vec<(String, String, i16)> = Vec::new();
    eventually("both are buried", async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE NOT published")
            .fetch_one(&mut raw)
            .await
            .expect("counts");
        letters = sqlx::query_as("SELECT aggregate, reason, tries FROM dead_letters ORDER BY 1")
            .fetch_all(&mut raw)
            .await
            .expect("reads");
        left == 0
    })
    .await;
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert_eq!(
        letters[0],
        (item.to_string(), "too large".into(), MAX_TRIES)
    );
    assert!(letters[1].1.starts_with("unreadable"), "{letters:?}");
    let refused = log.refused.lock().expect("not poisoned").clone();
    assert_eq!(refused.into_values().collect::<Vec<_>>(), [MAX_TRIES]);
    // What the node told is what the log has, in the same order within each aggregate.
    let mut told: BTreeMap<Aggregate, Vec<EventId>> = BTreeMap::new();
    for event in heard.iter().filter(|event| !is_poison(event)) {
        told.entry(event.aggregate()).or_default().push(event.id);
    }
    assert_eq!(*log.taken.lock().expect("not poisoned"), told);
    stop.cancel();
    relaying.await.expect("ends");
    database.drop().await;
}
