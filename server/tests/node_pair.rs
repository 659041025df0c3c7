//! Two nodes on the same stores: what is bid on one is seen on the other through the event log and
//! its stream, and killing one loses nothing.
#![cfg(feature = "local")]
#![expect(
    clippy::print_stdout,
    reason = "the figures are for whoever reads the run"
)]

mod common;

use common::web::{Browser, Served, Socket, folder};
use server::local::attach_running;
use shared::live::{Channel, LotEvent, Push};
use sqlx::{Connection, PgConnection};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bids that are timed; each is seen on both nodes.
const BIDS: i64 = 60;

/// The English lot that ends last, with its next minimum in major units.
async fn longest_lot(data: &Path) -> (shared::LotId, i64) {
    let stores = attach_running(data).await.expect("runs");
    let mut raw = PgConnection::connect(&stores.database_url)
        .await
        .expect("connects");
    let (id, opening): (uuid::Uuid, i64) = sqlx::query_as(
        "SELECT lot_id, opening_minor FROM lots WHERE mechanism = 'english' AND status = 'open'
         ORDER BY closes_at_ms DESC LIMIT 1",
    )
    .fetch_one(&mut raw)
    .await
    .expect("has one");
    (shared::LotId::from_uuid(id), opening / 100)
}

async fn bid_seen(socket: &mut Socket) -> i64 {
    loop {
        if let Push::Event(LotEvent::Bid { line, .. }) = socket.push().await {
            return line.amount.minor();
        }
    }
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn report(way: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let (p50, p99) = (quantile(&times, 50), quantile(&times, 99));
    println!(
        "bid sent → seen {way}: p50 {p50:?}, p99 {p99:?}, {} bids",
        times.len()
    );
    p99
}

#[tokio::test]
async fn a_bid_on_one_node_is_seen_on_both() {
    let folder = folder();
    let (here, there) = (
        Served::start(folder.path(), &[]),
        Served::start(folder.path(), &[]),
    );
    let lena = Browser::step_in(&here.address, "lena").await;
    let kenji = Browser::step_in(&there.address, "kenji").await;
    let (lot, opening) = longest_lot(folder.path()).await;
    let mut own = lena.socket("lena").await;
    let mut other = kenji.socket("kenji").await;
    own.join(Channel::Lot(lot)).await;
    other.join(Channel::Lot(lot)).await;
    let (mut hub, mut stream) = (Vec::new(), Vec::new());
    for round in 0..BIDS {
        // One bidder who raises: the difference is held, so the wallet lasts.
        let amount = opening + round * 60;
        let key = server::ids::key();
        let form = format!(
            "lot={lot}&amount={amount}&currency=USD&key={key}&acting_as=lena&acting_in=eu-west-1"
        );
        let sent = Instant::now();
        let (answer, (), ()) = tokio::join!(
            lena.post("/api/bid", &form),
            async {
                assert_eq!(bid_seen(&mut own).await, amount * 100);
                hub.push(sent.elapsed());
            },
            async {
                assert_eq!(bid_seen(&mut other).await, amount * 100);
                stream.push(sent.elapsed());
            },
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // Targets are for commit → screen; this counts from the moment the bid was sent. The bounds
    // here only catch what is broken, since other tests share the processors.
    assert!(report("on the own node (hub)", hub) < Duration::from_secs(2));
    assert!(report("on the other node (stream)", stream) < Duration::from_secs(3));
}

#[tokio::test]
async fn killing_a_node_leaves_the_stores_and_the_other_node() {
    let folder = folder();
    let mut first = Served::start(folder.path(), &[]);
    let second = Served::start(folder.path(), &[]);
    let lena = Browser::step_in(&first.address, "lena").await;
    let (lot, opening) = longest_lot(folder.path()).await;
    let form = |amount: i64, key: &shared::IdempotencyKey| {
        format!(
            "lot={lot}&amount={amount}&currency=USD&key={key}&acting_as=lena&acting_in=eu-west-1"
        )
    };
    let key = server::ids::key();
    let before = lena.post("/api/bid", &form(opening, &key)).await;
    assert_eq!(before.status, 200, "{before:?}");
    first.kill();
    // The same browser at the other node: the same person, and the same key has the same answer.
    let origin = format!("http://{}", second.address);
    let moved = Browser {
        address: second.address.clone(),
        origin,
        ..lena
    };
    let again = moved.post("/api/bid", &form(opening, &key)).await;
    assert_eq!((again.status, again.body), (200, before.body));
    let mut socket = moved.socket("lena").await;
    socket.join(Channel::Lot(lot)).await;
    let next = moved
        .post("/api/bid", &form(opening + 500, &server::ids::key()))
        .await;
    assert_eq!(next.status, 200, "{next:?}");
    assert_eq!(bid_seen(&mut socket).await, (opening + 500) * 100);
}
