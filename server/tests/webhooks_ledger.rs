//! The rows of webhooks on a real database: whose they are, how many there may be, and that each
//! counts once.
#![cfg(feature = "local")]

mod common;
#[path = "support/webhooks.rs"]
mod support;

use app::ports::Failure;
use axum::http::StatusCode;
use common::eventually;
use server::ids;
use server::ledger::webhooks::{
    Attempt, Busy, Cursor, Delivery, DeliveryState, Disabled, EndpointLimit, MAX_ENDPOINTS, Replay,
    Then,
};
use server::webhooks::guard::WebhookUrl;
use std::sync::Arc;
use std::time::Duration;
use support::{AT_HOME, House, event, someone, statuses};

#[tokio::test]
async fn a_deleted_endpoint_frees_its_place_and_keeps_its_history() {
    let mut house = House::quiet().await;
    let created = house.endpoint("https://shop.example/hook").await;
    house.queue(&event("never")).await;
    let (ledger, tenant, id) = (&house.node.ledger, house.tenant, created.endpoint.id);
    for _ in 0..2 {
        let deleted = ledger.delete_webhook_endpoint(tenant, id).await;
        assert_eq!(deleted, Ok(true));
    }
    assert_eq!(ledger.webhook_endpoints(tenant).await, Ok(Vec::new()));
    let kept = ledger.webhook_endpoint(tenant, id).await.expect("answers");
    let disabled = kept.expect("exists").disabled;
    assert_eq!(disabled, Some(Disabled::Deleted));
    assert_eq!(ledger.webhook_secret(tenant, id).await, Ok(None));
    let rotated = ledger.rotate_webhook_secret(tenant, id).await;
    assert_eq!(rotated, Ok(None));
    let deliveries = house.all().await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].state, DeliveryState::Failed);
    // One that was queued just then is given up when its time comes.
    let mut raw = house.database.connect().await;
    let sql = "UPDATE webhook_deliveries SET state = 'pending', next_at_ms = 1";
    sqlx::query(sql).execute(&mut raw).await.expect("plants");
    house.start(AT_HOME);
    let given_up = async || house.all().await[0].state == DeliveryState::Failed;
    eventually("it is given up", given_up).await;
    assert_eq!(house.all().await[0].tries, 0);
    drop(raw);
    house.close().await;
}

#[tokio::test]
async fn what_is_anothers_is_the_same_as_what_does_not_exist() {
    let house = House::quiet().await;
    let url = WebhookUrl::parse("https://shop.example/hook", AT_HOME).expect("a URL");
    let created = house.endpoint(&url.to_string()).await;
    let mine = event("mine");
    house.queue(&mine).await;
    let (ledger, stranger) = (&house.node.ledger, someone());
    let endpoint = created.endpoint.id;
    let delivery = ids::delivery(endpoint, mine.id());

    assert_eq!(ledger.webhook_endpoints(stranger).await, Ok(Vec::new()));
    assert_eq!(ledger.webhook_endpoint(stranger, endpoint).await, Ok(None));
    assert_eq!(ledger.webhook_secret(stranger, endpoint).await, Ok(None));
    let rotated = ledger.rotate_webhook_secret(stranger, endpoint).await;
    assert_eq!(rotated, Ok(None));
    let deleted = ledger.delete_webhook_endpoint(stranger, endpoint).await;
    assert_eq!(deleted, Ok(false));
    let taken = ledger
        .create_webhook_endpoint(stranger, endpoint, &url)
        .await;
    assert_eq!(taken, Err(Failure::KeyReused));
    for of in [None, Some(endpoint)] {
        let page = ledger.webhook_deliveries(stranger, of, None, 10).await;
        assert_eq!(page.expect("answers").deliveries, Vec::new());
    }
    assert_eq!(ledger.webhook_delivery(stranger, delivery).await, Ok(None));
    let replay = ledger.replay_webhook(stranger, delivery).await;
    assert_eq!(replay, Ok(Replay::NotFound));
    // The stranger's events go to the stranger.
    let theirs = [event("theirs")];
    let queued = ledger.queue_webhooks(stranger, &theirs);
    queued.await.expect("answers");
    assert_eq!(house.all().await.len(), 1);
    // And nothing of the owner's changed.
    let kept = ledger.webhook_secret(house.tenant, endpoint).await;
    assert_eq!(kept, Ok(Some(created.secret)));
    house.close().await;
}

#[tokio::test]
async fn a_tenant_has_ten_endpoints_at_most_however_they_race() {
    let house = House::quiet().await;
    let url = WebhookUrl::parse("https://shop.example/hook", AT_HOME).expect("a URL");
    let creations = (0..14).map(|_| {
        let (ledger, tenant) = (Arc::clone(&house.node.ledger), house.tenant);
        let (id, url) = (ids::webhook_endpoint(), url.clone());
        tokio::spawn(async move { ledger.create_webhook_endpoint(tenant, id, &url).await })
    });
    let (mut created, mut refused) = (Vec::new(), 0);
    for creation in creations.collect::<Vec<_>>() {
        match creation.await.expect("ran").expect("answers") {
            Ok(one) => created.push(one),
            Err(EndpointLimit) => refused += 1,
        }
    }
    let most = usize::try_from(MAX_ENDPOINTS).expect("positive");
    assert_eq!((created.len(), refused), (most, 4));
    let (ledger, tenant) = (&house.node.ledger, house.tenant);
    let all = ledger.webhook_endpoints(tenant).await.expect("answers");
    assert_eq!(all.len(), most);
    // A repeat is the same endpoint with the same secret, and takes no place.
    let first = &created[0];
    let again = ledger
        .create_webhook_endpoint(tenant, first.endpoint.id, &url)
        .await;
    assert_eq!(again, Ok(Ok(first.clone())));
    let deleted = ledger.delete_webhook_endpoint(tenant, first.endpoint.id);
    assert_eq!(deleted.await, Ok(true));
    house.endpoint("https://shop.example/other").await;
    house.close().await;
}

#[tokio::test]
async fn the_list_has_every_delivery_once_the_newest_first() {
    let house = House::quiet().await;
    let created = house.endpoint("https://shop.example/a").await;
    house.endpoint("https://shop.example/b").await;
    for number in 0..5 {
        house.queue(&event(&number.to_string())).await;
    }
    for (of, total) in [(None, 10), (Some(created.endpoint.id), 5)] {
        let (mut seen, mut after) = (Vec::new(), None::<Cursor>);
        loop {
            let page = house
                .node
                .ledger
                .webhook_deliveries(house.tenant, of, after, 3);
            let page = page.await.expect("answers");
            assert!(page.deliveries.len() <= 3);
            seen.extend(page.deliveries);
            // As a script would pass it on.
            after = page
                .next
                .map(|cursor| cursor.to_string().parse().expect("reads"));
            if after.is_none() {
                break;
            }
        }
        let place = |delivery: &Delivery| (delivery.created_at, delivery.id);
        assert_eq!(seen.len(), total);
        assert!(seen.windows(2).all(|two| place(&two[0]) > place(&two[1])));
    }
    house.close().await;
}

#[tokio::test]
async fn two_dispatchers_count_a_try_once() {
    let house = House::quiet().await;
    house.endpoint("https://shop.example/a").await;
    for _ in 0..6 {
        house.queue(&event("hello")).await;
    }
    let ledger = &house.node.ledger;
    let busy = Busy {
        per_endpoint: 4,
        limit: 16,
        ..Busy::default()
    };
    let due = ledger.due_webhooks(busy.clone()).await.expect("answers");
    assert_eq!(due.len(), 4, "no more of one webhook endpoint");
    let without = Busy {
        endpoints: vec![due[0].endpoint],
        ..busy.clone()
    };
    let none = ledger.due_webhooks(without).await.expect("answers");
    assert!(none.is_empty());
    let attempt = Attempt {
        delivery: due[0].id,
        endpoint: due[0].endpoint,
        tries: due[0].tries,
        status: Some(StatusCode::OK),
        error: None,
        took: Duration::from_millis(7),
        then: Then::Again(Duration::from_secs(5)),
    };
    let records = (0..8).map(|_| {
        let (ledger, attempt) = (Arc::clone(ledger), attempt.clone());
        tokio::spawn(async move { ledger.record_webhook(attempt).await })
    });
    let mut counted = 0;
    for record in records.collect::<Vec<_>>() {
        counted += usize::from(record.await.expect("ran").expect("answers"));
    }
    assert_eq!(counted, 1);
    let detail = house.detail(due[0].id).await;
    assert_eq!(detail.delivery.tries, 1);
    assert_eq!(statuses(&detail), [Some(200)]);
    assert_eq!(detail.attempts[0].took_ms, 7);
    let rest = ledger.due_webhooks(busy).await.expect("answers");
    assert!(rest.iter().all(|one| one.id != due[0].id));
    house.close().await;
}
