//! Webhooks end to end: a real ledger, the real dispatcher and client, and a receiver that listens
//! on this machine.
#![cfg(feature = "local")]

mod common;
#[path = "support/webhooks.rs"]
mod support;

use async_trait::async_trait;
use server::ids;
use server::ledger::webhooks::{DeliveryState, Disabled, Replay};
use server::webhooks::event::WebhookEvent;
use server::webhooks::guard::{Names, Policy};
use server::webhooks::sender::{Fault, Message, Outcome, Sender};
use server::webhooks::signature::{Secret, VerifyError};
use shared::Timestamp;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{AT_HOME, House, Receiver, Seen, event, statuses};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_webhook_arrives_signed_and_once() {
    let house = House::open(AT_HOME).await;
    let receiver = Receiver::start().await;
    let created = house.endpoint(&receiver.url).await;
    let hello = event("hello");
    // However often it is queued.
    for _ in 0..3 {
        house.queue(&hello).await;
    }
    house.queue(&event("another")).await;
    let seen = receiver.has_seen(2).await;
    let id = ids::delivery(created.endpoint.id, hello.id());
    let is_it = |seen: &&Seen| seen.header("webhook-id") == id.to_string();
    let it = seen.iter().find(is_it).expect("it arrived");
    let now = house.node.ledger.clock().now();
    let secrets = [created.secret];
    assert_eq!(it.verify(&secrets, now), Ok(()));
    let later = it.verify(&secrets, now.plus_ms(600_000));
    assert_eq!(later, Err(VerifyError::OtherTime));
    let other = it.verify(&[Secret::generate()], now);
    assert_eq!(other, Err(VerifyError::NoMatch));
    assert_eq!(it.body, hello.body().as_bytes());
    assert_eq!(it.header("content-type"), "application/json");
    assert_eq!(it.header("user-agent"), "LotZero-Webhooks/1");

    let detail = house.tried(id, 1).await;
    assert_eq!(detail.delivery.state, DeliveryState::Delivered);
    assert!(detail.delivery.delivered_at.is_some());
    assert_eq!(detail.delivery.next_at, None);
    assert_eq!(detail.body, hello.body());
    assert_eq!(statuses(&detail), [Some(200)]);
    assert_eq!(house.all().await.len(), 2);
    house.close().await;
}

#[tokio::test]
async fn a_failure_is_tried_again_under_the_same_id() {
    let house = House::open(AT_HOME).await;
    let receiver = Receiver::start().await;
    receiver.will_answer(500, &[]);
    receiver.will_answer(429, &[("retry-after", "120")]);
    let created = house.endpoint(&receiver.url).await;
    let hello = event("hello");
    house.queue(&hello).await;
    let id = ids::delivery(created.endpoint.id, hello.id());

    let first = house.tried(id, 1).await;
    assert_eq!(first.delivery.state, DeliveryState::Pending);
    assert_eq!(first.delivery.last_status, Some(500));
    let line = &first.attempts[0];
    let pause = first.delivery.next_at.expect("waits").since_ms(line.at) - line.took_ms;
    assert!((4_500..=5_500).contains(&pause), "{pause}");

    house.make_due().await;
    let second = house.tried(id, 2).await;
    assert_eq!(second.delivery.last_status, Some(429));
    let line = &second.attempts[1];
    let pause = second.delivery.next_at.expect("waits").since_ms(line.at) - line.took_ms;
    assert!(pause >= 270_000, "the schedule asks for more: {pause}");

    let seen = receiver.has_seen(2).await;
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    assert_eq!(seen[0].body, seen[1].body);
    // The receiver asked to be left alone, and it is, although the delivery is due.
    house.make_due().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    receiver.has_seen(2).await;
    house.close().await;
}

#[tokio::test]
async fn the_last_failure_is_for_good_until_somebody_plays_it_again() {
    let house = House::open(AT_HOME).await;
    let receiver = Receiver::start().await;
    for _ in 0..10 {
        receiver.will_answer(500, &[]);
    }
    let created = house.endpoint(&receiver.url).await;
    let hello = event("hello");
    house.queue(&hello).await;
    let id = ids::delivery(created.endpoint.id, hello.id());
    for tries in 1..=10 {
        house.tried(id, tries).await;
        house.make_due().await;
    }
    let failed = house.detail(id).await;
    assert_eq!(failed.delivery.state, DeliveryState::Failed);
    assert_eq!(statuses(&failed), [Some(500); 10]);

    let ledger = &house.node.ledger;
    let replay = ledger.replay_webhook(house.tenant, id).await;
    assert_eq!(replay, Ok(Replay::Queued));
    let again = house.tried(id, 11).await;
    assert_eq!(again.delivery.state, DeliveryState::Delivered);
    // One that was delivered may be played again too.
    receiver.will_answer(500, &[]);
    let replay = ledger.replay_webhook(house.tenant, id).await;
    assert_eq!(replay, Ok(Replay::Queued));
    let waits = house.tried(id, 12).await;
    assert_eq!(waits.delivery.state, DeliveryState::Pending);
    assert_eq!(waits.delivery.delivered_at, None);
    // And one that waits is brought forward.
    let replay = ledger.replay_webhook(house.tenant, id).await;
    assert_eq!(replay, Ok(Replay::Queued));
    let done = house.tried(id, 13).await;
    assert_eq!(done.delivery.state, DeliveryState::Delivered);
    let seen = receiver.has_seen(13).await;
    assert!(
        seen.iter()
            .all(|one| one.header("webhook-id") == id.to_string())
    );
    house.close().await;
}

#[tokio::test]
async fn while_secrets_rotate_both_sign() {
    let house = House::open(AT_HOME).await;
    let receiver = Receiver::start().await;
    let created = house.endpoint(&receiver.url).await;
    let (ledger, id) = (&house.node.ledger, created.endpoint.id);
    let rotated = ledger.rotate_webhook_secret(house.tenant, id).await;
    let rotated = rotated.expect("answers").expect("exists");
    assert_ne!(rotated.secret, created.secret);
    let kept = ledger.webhook_secret(house.tenant, id).await;
    assert_eq!(kept.expect("answers"), Some(rotated.secret.clone()));
    let endpoint = ledger.webhook_endpoint(house.tenant, id).await;
    let until = endpoint
        .expect("answers")
        .expect("exists")
        .previous_secret_until;
    assert_eq!(until, Some(rotated.previous_secret_until));

    house.queue(&event("both")).await;
    let now = ledger.clock().now();
    let seen = receiver.has_seen(1).await;
    assert_eq!(seen[0].header("webhook-signature").split(' ').count(), 2);
    for secret in [&created.secret, &rotated.secret] {
        assert_eq!(seen[0].verify(std::slice::from_ref(secret), now), Ok(()));
    }
    // A day later.
    let mut raw = house.database.connect().await;
    let end = sqlx::query("UPDATE webhook_endpoints SET previous_expires_at_ms = 1");
    end.execute(&mut raw).await.expect("ends");
    house.queue(&event("one")).await;
    let seen = receiver.has_seen(2).await;
    assert_eq!(seen[1].verify(&[rotated.secret], now), Ok(()));
    let old = seen[1].verify(&[created.secret], now);
    assert_eq!(old, Err(VerifyError::NoMatch));
    drop(raw);
    house.close().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_hears_nothing_more() {
    let house = House::open(AT_HOME).await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    receiver.will_answer(500, &[]);
    receiver.will_answer(410, &[]);
    let created = house.endpoint(&receiver.url).await;
    house.endpoint(&other.url).await;
    let (waiting, last) = (event("waits"), event("last"));
    let id = |event: &WebhookEvent| ids::delivery(created.endpoint.id, event.id());
    house.queue(&waiting).await;
    house.tried(id(&waiting), 1).await;
    house.queue(&last).await;
    let gone = house.tried(id(&last), 1).await;
    assert_eq!(gone.delivery.state, DeliveryState::Failed);
    assert_eq!(gone.delivery.last_status, Some(410));
    // What waited for it is given up in the same commit, without another try.
    let waited = house.detail(id(&waiting)).await;
    assert_eq!(waited.delivery.state, DeliveryState::Failed);
    assert_eq!(waited.delivery.tries, 1);

    let ledger = &house.node.ledger;
    let endpoint = ledger.webhook_endpoint(house.tenant, created.endpoint.id);
    let endpoint = endpoint.await.expect("answers").expect("exists");
    assert_eq!(endpoint.disabled, Some(Disabled::Gone));
    house.queue(&event("after")).await;
    other.has_seen(3).await;
    receiver.has_seen(2).await;
    let replay = ledger.replay_webhook(house.tenant, id(&last)).await;
    assert_eq!(replay, Ok(Replay::Disabled));
    house.close().await;
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let house = House::open(AT_HOME).await;
    let (receiver, hidden) = (Receiver::start().await, Receiver::start().await);
    for status in [301, 302, 307, 308] {
        receiver.will_answer(status, &[("location", &hidden.url)]);
    }
    let created = house.endpoint(&receiver.url).await;
    for _ in 0..4 {
        house.queue(&event("go on")).await;
    }
    receiver.has_seen(4).await;
    for delivery in house.all().await {
        let tried = house.tried(delivery.id, 1).await;
        assert_eq!(tried.delivery.endpoint, created.endpoint.id);
        assert_eq!(tried.delivery.state, DeliveryState::Pending);
        let status = tried.delivery.last_status.expect("answered");
        assert!((300..400).contains(&status), "{status}");
    }
    assert!(hidden.seen().is_empty());
    house.close().await;
}

#[tokio::test]
async fn away_from_home_no_private_address_is_reached() {
    // The URL was accepted when this house allowed it; now it does not.
    let house = House::open(Policy::default()).await;
    let receiver = Receiver::start().await;
    let created = house.endpoint(&receiver.url).await;
    let hello = event("hello");
    house.queue(&hello).await;
    let id = ids::delivery(created.endpoint.id, hello.id());
    let tried = house.tried(id, 1).await;
    assert_eq!(tried.delivery.state, DeliveryState::Pending);
    assert_eq!(tried.delivery.last_status, None);
    let error = Fault::NotAllowed.to_string();
    assert_eq!(tried.delivery.last_error, Some(error));
    assert!(receiver.seen().is_empty());
    house.close().await;
}

/// Says that every name is this machine, and counts how often it is asked.
struct ThisMachine(AtomicUsize);

#[async_trait]
impl Names for ThisMachine {
    async fn look_up(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

fn message(url: String) -> Message {
    Message {
        id: ids::delivery(ids::webhook_endpoint(), ids::event()),
        url,
        secrets: vec![Secret::generate()],
        body: "{}".to_owned(),
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_each_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    let names = Arc::new(ThisMachine(AtomicUsize::new(0)));
    let asked = Arc::<ThisMachine>::clone(&names);
    // Loopback is allowed here as an address that is written out, not as what a name leads to.
    let sender = Sender::with_names(AT_HOME, names).expect("TLS is set up");
    let refused = Outcome::Failed(Fault::NotAllowed);
    for sent in 1..=2 {
        let message = message(format!("https://rebind.example:{port}/"));
        let (outcome, _) = sender.send(&message, Timestamp(0)).await;
        assert_eq!(outcome, refused);
        assert_eq!(asked.0.load(Ordering::Relaxed), sent);
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "somebody connected");

    // The machine's own resolver, and other ways to write its address.
    let sender = Sender::new(Policy::default()).expect("TLS is set up");
    for host in [
        "localhost:8443",
        "127.1:8443",
        "2130706433:8443",
        "0x7f000001",
    ] {
        let message = message(format!("https://{host}/"));
        let (outcome, _) = sender.send(&message, Timestamp(0)).await;
        assert_eq!(outcome, refused, "{host}");
    }
}
