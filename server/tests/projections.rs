//! What readers see of the checkout is what the ledger has (A19), however often an event is
//! written and in whatever order.
#![cfg(feature = "local")]

mod common;
#[path = "support/store.rs"]
mod store;

use common::{Database, eventually};
use server::audits;
use server::clock::Clock;
use server::events::{EventBody, HouseEvent};
use server::ledger::outbox::relay;
use shared::Currency;
use std::sync::Arc;
use store::Store;
use tokio_util::sync::CancellationToken;

fn is_checkout(event: &HouseEvent) -> bool {
    matches!(event.body, EventBody::Checkout(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_relay_has_drained_both_stores_say_the_same() {
    let database = Database::create().await;
    let node = database.node().await;
    let dynamo = Store::start();
    let firehose = dynamo
        .firehose("projections", &Arc::new(Clock::new()))
        .await;
    firehose.ensure_table().await.expect("a table");
    let stop = CancellationToken::new();
    let relaying = tokio::spawn(relay(
        Arc::clone(&node.ledger),
        Arc::new(firehose.clone()),
        stop.clone(),
    ));
    let shop = node.shop("acme", 1_000).await;
    let item = node.item(&shop, 500, 40).await;
    let (kept, ended) = (
        node.mandate(&shop, 20_000).await,
        node.mandate(&shop, 20_000).await,
    );
    let mut bought = Vec::new();
    for number in 0..30 {
        let mandate = if number % 3 == 0 { ended } else { kept };
        let name = format!("agent-{number}");
        let answer = node
            .commit(&shop, &name, shop.one(item, mandate, &name))
            .await;
        bought.push(answer.expect("answers").purchase);
    }
    node.refund(&shop, bought[1], Some(200), 1)
        .await
        .expect("pays back");
    node.revoke(&shop, ended).await.expect("revokes");
    node.refund(&shop, bought[0], None, 0)
        .await
        .expect("pays back");
    node.restock(&shop, item, 9).await;
    let mut raw = database.connect().await;
    eventually("the outbox is empty", async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE NOT published")
            .fetch_one(&mut raw)
            .await
            .expect("counts");
        left == 0
    })
    .await;
    stop.cancel();
    relaying.await.expect("ends");
    let credited: i64 =
        sqlx::query_scalar("SELECT sum(amount_minor)::bigint FROM legs WHERE subaccount_id = $1")
            .bind(shop.merchant.uuid())
            .fetch_one(&mut raw)
            .await
            .expect("sums");
    let in_ledger = (
        node.stock_left(&shop, item).await,
        node.mandate_of(&shop, kept).await.remaining_minor,
        node.mandate_of(&shop, ended).await.remaining_minor,
        credited,
    );
    assert_eq!(in_ledger, (20, 10_200, 0, 30 * 500 - 700));
    let seen = async || {
        (
            firehose.stock(item).await.expect("reads"),
            firehose.budget(kept).await.expect("reads"),
            firehose.budget(ended).await.expect("reads"),
            firehose
                .balance(shop.merchant, Currency::Usd)
                .await
                .expect("reads"),
        )
    };
    assert_eq!(seen().await, in_ledger);
    let agree = audits::run(&node.ledger, &firehose).await.expect("runs");
    assert!(
        agree
            .iter()
            .all(|it| it.violations == 0 && it.unknown.is_none()),
        "{agree:?}"
    );
    // Every event again, the newest first: nothing changes.
    let heard = node.heard.lock().expect("not poisoned").clone();
    for event in heard.iter().rev().filter(|event| is_checkout(event)) {
        firehose.append_event(event).await.expect("writes");
    }
    assert_eq!(seen().await, in_ledger);
    node.assert_clean().await;
    // What readers see is wrong, and A19 says where.
    let damage = sqlx::query("UPDATE stock_buckets SET available = available + 1 WHERE bucket = 0");
    damage.execute(&mut raw).await.expect("plants");
    let differ = audits::run(&node.ledger, &firehose).await.expect("runs");
    let differ = differ.last().expect("is run");
    assert_eq!((differ.audit.id, differ.violations), ("A19", 1));
    assert!(differ.evidence[0].contains(&item.to_string()), "{differ:?}");
    // What is not published yet is unknown, and so is everything without the table.
    let waits = sqlx::query("UPDATE outbox SET published = false");
    waits.execute(&mut raw).await.expect("plants");
    let unknown = audits::run(&node.ledger, &firehose).await.expect("runs");
    let unknown = unknown.last().expect("is run");
    assert!(
        unknown.violations == 0 && unknown.unknown.is_some(),
        "{unknown:?}"
    );
    database.drop().await;
}
