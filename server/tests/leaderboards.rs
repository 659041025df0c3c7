//! Leaderboards and the activity on the table say what the ledger has once the relay has drained,
//! however often an event is written and in whatever order.
#![cfg(feature = "local")]

mod common;
#[path = "support/store.rs"]
mod store;

use app::ports::{Actor, Ledger as _};
use common::auction::{agent_bid, outcome};
use common::{Database, Node, eventually, usd};
use server::clock::Clock;
use server::firehose::Firehose;
use server::ids;
use server::ledger::lots::{NewLot, NewTerms};
use server::ledger::outbox::relay;
use shared::feed::FeedCursor;
use shared::view::{ActivityKind, BoardLine, MAX_TOP_LINES};
use shared::{Currency, LotId, Timestamp};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Store;
use tokio_util::sync::CancellationToken;

async fn put_up(
    node: &Node,
    seller: &Actor,
    terms: NewTerms,
    duration_ms: i64,
    listed: bool,
) -> LotId {
    let lot = NewLot {
        id: ids::lot(),
        seller: seller.person.id,
        title: "A clock".into(),
        description: "It ticks.".into(),
        art: "clock".into(),
        currency: Currency::Usd,
        opens_in_ms: 0,
        duration_ms,
        listed,
        terms,
    };
    let id = lot.id;
    node.ledger.put_up(lot).await.expect("puts up");
    id
}

async fn bid(node: &Node, who: &Actor, lot: LotId, minor: i64) {
    let bid = node.ledger.bid(who, ids::key(), lot, usd(minor)).await;
    assert_eq!(outcome(bid), "ok");
}

async fn claim(node: &Node, who: &Actor, lot: LotId, units: u32) {
    let claim = node.ledger.claim(who, ids::key(), lot, units, usd(100_000));
    assert_eq!(outcome(claim.await), "ok");
}

fn amounts(board: &[BoardLine]) -> Vec<(String, i64)> {
    let line = |line: &BoardLine| (line.who.handle.clone(), line.amount.minor());
    board.iter().map(line).collect()
}

/// What the ledger says: by person, the highest bid or the sum of claims, highest first.
async fn board_in_sql(raw: &mut PgConnection, lot: LotId) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT p.handle, a.amount FROM (
             SELECT bidder_id AS who, max(amount_minor)::bigint AS amount FROM bids
                 WHERE lot_id = $1 GROUP BY 1
             UNION ALL
             SELECT buyer_id, sum(units * price_minor)::bigint FROM claims
                 WHERE lot_id = $1 GROUP BY 1) a
         JOIN principals p ON p.principal_id = a.who ORDER BY 2 DESC, 1",
    )
    .bind(lot.uuid())
    .fetch_all(raw)
    .await
    .expect("reads")
}

/// What was spent on listed lots.
async fn spent_in_sql(raw: &mut PgConnection) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT p.handle, sum(a.amount)::bigint FROM (
             SELECT b.bidder_id AS who, b.amount_minor AS amount FROM lots l
                 JOIN bids b ON b.bid_id = l.high_bid_id
                 WHERE l.status = 'sold' AND l.listed
             UNION ALL
             SELECT c.buyer_id, c.units * c.price_minor FROM claims c
                 JOIN lots l ON l.lot_id = c.lot_id WHERE l.listed) a
         JOIN principals p ON p.principal_id = a.who GROUP BY 1 ORDER BY 2 DESC, 1",
    )
    .fetch_all(raw)
    .await
    .expect("reads")
}

async fn drained(raw: &mut PgConnection) {
    eventually("the outbox is empty", async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE NOT published")
            .fetch_one(&mut *raw)
            .await
            .expect("counts");
        left == 0
    })
    .await;
}

/// Every line of the activity, read in pages.
async fn whole_feed(firehose: &Firehose) -> Vec<(ActivityKind, LotId)> {
    let mut before: Option<FeedCursor> = None;
    let mut lines = Vec::new();
    loop {
        let page = firehose.feed(before, 7).await.expect("reads");
        assert!(page.lines.len() <= 7);
        lines.extend(page.lines.iter().map(|line| (line.what, line.lot)));
        before = page.next;
        if before.is_none() {
            return lines;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boards_and_activity_say_what_the_ledger_has() {
    let database = Database::create().await;
    let node = database.node().await;
    let dynamo = Store::start();
    let firehose = dynamo.firehose("boards", &Arc::new(Clock::new())).await;
    firehose.ensure_table().await.expect("a table");
    let stop = CancellationToken::new();
    let log = Arc::new(firehose.clone());
    let relaying = tokio::spawn(relay(Arc::clone(&node.ledger), log, stop.clone()));

    let seller = node.person("seller", 0).await;
    let mut people = Vec::new();
    for n in 0..12 {
        people.push(node.person(&format!("buyer-{n:02}"), 1_000).await);
    }
    let shop = node.shop("acme", 1_000).await;
    let mandate = node.mandate(&shop, 90_000).await;
    let english = put_up(&node, &seller, common::english(), 600_000, true).await;
    let sold = put_up(&node, &seller, common::english(), 60_000, true).await;
    let unlisted = put_up(&node, &seller, common::drop_of(50, None), 600_000, false).await;
    let drop = put_up(&node, &seller, common::drop_of(60, None), 600_000, true).await;
    let mut minor = 10_000;
    for round in 0..3 {
        for (n, who) in people.iter().enumerate() {
            minor += 1_000;
            bid(&node, who, english, minor).await;
            if round == 0 {
                claim(&node, who, drop, u32::try_from(n % 3).expect("small") + 1).await;
                claim(&node, who, unlisted, 1).await;
            } else {
                claim(&node, who, drop, 1).await;
            }
        }
        minor += 1_000;
        let decided = agent_bid(&node, &shop, mandate, english, minor).await;
        assert_eq!(decided, "ok");
    }
    bid(&node, &people[4], sold, 20_000).await;
    database.end_lot(sold).await;
    let settled = node.ledger.settle(&seller, ids::key(), sold).await;
    assert_eq!(outcome(settled), "ok");
    let mut raw = database.connect().await;
    drained(&mut raw).await;
    stop.cancel();
    relaying.await.expect("ends");

    let in_ledger = [
        board_in_sql(&mut raw, english).await,
        board_in_sql(&mut raw, drop).await,
        board_in_sql(&mut raw, unlisted).await,
        spent_in_sql(&mut raw).await,
    ];
    assert_eq!(
        in_ledger[0][0],
        ("acme".to_owned(), minor),
        "an agent's owner"
    );
    assert_eq!(in_ledger[0].len(), 13);
    let table = &firehose;
    let on_table = async |n| {
        let lot = |lot| async move { amounts(&table.top_of_lot(lot, n).await.expect("reads")) };
        let all = table.top_overall(Currency::Usd, n).await;
        [
            lot(english).await,
            lot(drop).await,
            lot(unlisted).await,
            amounts(&all.expect("reads")),
        ]
    };
    assert_eq!(on_table(99).await, in_ledger);
    let crowd = firehose.crowd(english, Timestamp(0)).await.expect("reads");
    assert_eq!(amounts(&crowd.top), in_ledger[0][..MAX_TOP_LINES]);
    let top = in_ledger.clone().map(|board| board[..3].to_vec());
    let sums = on_table(3).await;
    for (top, in_ledger) in sums.iter().zip(&top) {
        let amounts = |board: &[(String, i64)]| board.iter().map(|l| l.1).collect::<Vec<_>>();
        assert_eq!(amounts(top), amounts(in_ledger), "of equals any");
    }

    let feed = whole_feed(&firehose).await;
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    for (what, lot) in &feed {
        assert_ne!(*lot, unlisted, "what the floor does not show");
        let kind = match what {
            ActivityKind::Opened => "opened",
            ActivityKind::Bid => "bid",
            ActivityKind::Claimed => "claimed",
            ActivityKind::Sold => "sold",
            ActivityKind::Passed => "passed",
        };
        *by_kind.entry(kind).or_default() += 1;
    }
    let expected = [("bid", 40), ("claimed", 36), ("opened", 3), ("sold", 1)];
    assert_eq!(by_kind, expected.into_iter().collect());

    // Every event again, the newest first: nothing changes.
    let heard = node.heard.lock().expect("not poisoned").clone();
    for event in heard.iter().rev() {
        firehose.append_event(event).await.expect("writes");
    }
    assert_eq!(on_table(99).await, in_ledger);
    assert_eq!(whole_feed(&firehose).await, feed);
    database.drop().await;
}
