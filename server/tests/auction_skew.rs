//! The write-skew register of the auctions: two commands decide on snapshots that do not see each
//! other, in two sessions, both ways round. What they did together must be what one after the other
//! would have done.
#![cfg(feature = "local")]

mod common;

use app::ports::{Actor, Ledger as _};
use common::auction::{agent_bid, outcome};
use common::checkout::Shop;
use common::halt::{BUDGETS, Halts, LOTS, LOTS_TOO, PURCHASES, UNITS, WALLETS};
use common::{Database, Node, drop_of, english, usd};
use server::ids;
use server::ledger::auction::settle::Settle;
use shared::LotId;
use std::time::Duration;

/// Long enough for a command to take its snapshot, in milliseconds.
const SOON_MS: i64 = 600;

/// Two nodes of one database: `slow` stops where it is told to, `fast` never does.
struct Pair {
    database: Database,
    halts: Halts,
    slow: Node,
    fast: Node,
    seller: Actor,
    ann: Actor,
    bob: Actor,
}

impl Pair {
    async fn open() -> Self {
        let database = Database::create().await;
        let (halts, slow) = Halts::with_node(&database).await;
        let fast = database.node().await;
        let (seller, ann, bob) = (
            slow.person("s", 0).await,
            slow.person("ann", 100).await,
            slow.person("bob", 100).await,
        );
        Self {
            database,
            halts,
            slow,
            fast,
            seller,
            ann,
            bob,
        }
    }

    /// A lot whose time is over soon.
    async fn ends_soon(&self) -> LotId {
        let lot = self.slow.put_up_for(&self.seller, english(), SOON_MS).await;
        lot.id
    }

    /// That the slow command really lost a race, and the books are right.
    async fn close(self) {
        let counters = self.slow.ledger.counters();
        assert!(counters.conflicts() > 0, "{:?}", counters.retries);
        self.end().await;
    }

    async fn end(self) {
        self.fast.assert_clean().await;
        drop(self.halts);
        self.database.drop().await;
    }
}

async fn bid(node: &Node, who: &Actor, lot: LotId, minor: i64) -> &'static str {
    outcome(node.ledger.bid(who, ids::key(), lot, usd(minor)).await)
}

async fn claim(node: &Node, who: &Actor, lot: LotId, units: u32) -> &'static str {
    let claim = node.ledger.claim(who, ids::key(), lot, units, usd(500));
    outcome(claim.await)
}

async fn until_due() {
    let due = Duration::from_millis(SOON_MS.unsigned_abs() + 20);
    tokio::time::sleep(due).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bid_against_close() {
    let mut pair = Pair::open().await;
    let lot = pair.ends_soon().await;
    let Pair {
        halts,
        slow,
        fast,
        ann,
        ..
    } = &mut pair;
    let close = async {
        until_due().await;
        fast.ledger.runner().run(Settle::due(lot)).await
    };
    let (late, closed) = halts
        .interleave(LOTS, bid(slow, ann, lot, 1_000), close)
        .await;
    closed.expect("closes");
    assert_eq!(late, "ended", "nothing is accepted after the close");
    assert_eq!(pair.fast.wallet(&pair.ann).await.held, usd(0));
    pair.close().await;
}

/// The bid's snapshot is from before the end, the close's from after it; the bid commits first and
/// moves the end, so the lot is not due any more.
#[tokio::test(flavor = "multi_thread")]
async fn close_against_bid() {
    let mut pair = Pair::open().await;
    let closer = pair.halts.second_node(&pair.database).await;
    let lot = pair.ends_soon().await;
    let Pair {
        halts,
        slow,
        ann,
        bob,
        ..
    } = &mut pair;
    let settle = closer.ledger.settle(bob, ids::key(), lot);
    let early = bid(slow, ann, lot, 1_000);
    let (early, closed) = commit_before(halts, LOTS, early, settle).await;
    assert_eq!(early, "ok");
    assert_eq!(outcome(closed), "not_due", "the bid moved the end");
    assert_eq!(pair.fast.wallet(&pair.ann).await.held, usd(1_000));
    assert!(closer.ledger.counters().conflicts() > 0);
    pair.end().await;
}

/// Has `early` take its snapshot before a lot is due and stop at `place`, and `closes` take its own
/// after that; then `early` commits, and `closes` goes on.
async fn commit_before<A, B>(
    halts: &mut Halts,
    place: &str,
    early: impl Future<Output = A>,
    closes: impl Future<Output = B>,
) -> (A, B) {
    halts.close(place).await;
    let (committed, has_committed) = tokio::sync::oneshot::channel();
    let early = async {
        let answer = early.await;
        committed.send(()).expect("is waited for");
        answer
    };
    let close = async {
        halts.stopped().await;
        until_due().await;
        halts.close(LOTS_TOO).await;
        let go_on = async {
            halts.stopped().await;
            halts.open(place).await;
            has_committed.await.expect("commits");
            halts.open(LOTS_TOO).await;
        };
        tokio::join!(closes, go_on).0
    };
    tokio::join!(early, close)
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_against_close() {
    let mut pair = Pair::open().await;
    let terms = drop_of(10, None);
    let lot = pair.slow.put_up_for(&pair.seller, terms, SOON_MS).await.id;
    let Pair {
        halts,
        slow,
        fast,
        ann,
        ..
    } = &mut pair;
    let close = async {
        until_due().await;
        fast.ledger.runner().run(Settle::due(lot)).await
    };
    let (late, closed) = halts
        .interleave(UNITS, claim(slow, ann, lot, 1), close)
        .await;
    closed.expect("closes");
    assert_eq!(late, "ended");
    assert_eq!(pair.fast.wallet(&pair.ann).await.spent, usd(0));
    pair.close().await;
}

/// The claim commits between the close's snapshot and its writes: the close tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn close_against_claim() {
    let mut pair = Pair::open().await;
    let closer = pair.halts.second_node(&pair.database).await;
    let terms = drop_of(10, None);
    let lot = pair.slow.put_up_for(&pair.seller, terms, SOON_MS).await.id;
    let Pair {
        halts,
        slow,
        ann,
        bob,
        ..
    } = &mut pair;
    let settle = closer.ledger.settle(bob, ids::key(), lot);
    let early = claim(slow, ann, lot, 3);
    let (early, closed) = commit_before(halts, UNITS, early, settle).await;
    assert_eq!((early, outcome(closed)), ("ok", "ok"));
    let room = pair.fast.ledger.room(lot).await.expect("answers");
    let ended = room.expect("a lot").lot.outcome;
    let sold_three = matches!(
        ended,
        Some(shared::view::Outcome::DropEnded { units_sold: 3, .. })
    );
    assert!(sold_three, "{ended:?}");
    assert!(closer.ledger.counters().conflicts() > 0);
    pair.end().await;
}

/// Two claims of one buyer who may have three units.
#[tokio::test(flavor = "multi_thread")]
async fn limit_per_buyer() {
    for (late_units, early_units) in [(2, 2), (1, 3), (3, 1)] {
        let mut pair = Pair::open().await;
        let lot = pair
            .slow
            .put_up(&pair.seller, drop_of(50, Some(3)))
            .await
            .id;
        let Pair {
            halts,
            slow,
            fast,
            ann,
            ..
        } = &mut pair;
        let (late, early) = halts
            .interleave(
                UNITS,
                claim(slow, ann, lot, late_units),
                claim(fast, ann, lot, early_units),
            )
            .await;
        assert_eq!((late, early), ("limit_reached", "ok"));
        let spent = pair.fast.wallet(&pair.ann).await.spent;
        assert_eq!(spent, usd(500 * i64::from(early_units)));
        pair.close().await;
    }
}

/// Two bids of one wallet that covers one of them, on two lots.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_money_of_a_wallet() {
    for (late_minor, early_minor) in [(6_000, 5_000), (5_000, 6_000)] {
        let mut pair = Pair::open().await;
        let one = pair.slow.put_up(&pair.seller, english()).await.id;
        let two = pair.slow.put_up(&pair.seller, english()).await.id;
        let Pair {
            halts,
            slow,
            fast,
            ann,
            ..
        } = &mut pair;
        let (late, early) = halts
            .interleave(
                WALLETS,
                bid(slow, ann, one, late_minor),
                bid(fast, ann, two, early_minor),
            )
            .await;
        assert_eq!((late, early), ("insufficient", "ok"));
        assert_eq!(pair.fast.wallet(&pair.ann).await.held, usd(early_minor));
        pair.close().await;
    }
}

/// Two bids on one lot: the later one decides on what the first one left.
#[tokio::test(flavor = "multi_thread")]
async fn bid_against_bid() {
    for (late_minor, expected) in [(1_500, "too_low"), (2_500, "ok")] {
        let mut pair = Pair::open().await;
        let lot = pair.slow.put_up(&pair.seller, english()).await.id;
        let Pair {
            halts,
            slow,
            fast,
            ann,
            bob,
            ..
        } = &mut pair;
        let (late, early) = halts
            .interleave(
                LOTS,
                bid(slow, ann, lot, late_minor),
                bid(fast, bob, lot, 2_000),
            )
            .await;
        assert_eq!((late, early), (expected, "ok"));
        pair.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_bid_against_revoke() {
    let mut pair = Pair::open().await;
    let shop = pair.slow.shop("acme", 100).await;
    let mandate = pair.slow.mandate(&shop, 5_000).await;
    let lot = pair.slow.put_up(&pair.seller, english()).await.id;
    let Pair {
        halts, slow, fast, ..
    } = &mut pair;
    let (late, revoked) = halts
        .interleave(
            LOTS,
            agent_bid(slow, &shop, mandate, lot, 2_000),
            fast.revoke(&shop, mandate),
        )
        .await;
    revoked.expect("revokes");
    assert_eq!(late, "mandate_revoked");
    assert_eq!(pair.fast.wallet(&shop.owner).await.available, usd(10_000));
    pair.close().await;
}

/// A leading bid placed before the revoke binds: what it holds does not come back.
#[tokio::test(flavor = "multi_thread")]
async fn revoke_against_an_agents_bid() {
    let mut pair = Pair::open().await;
    let shop = pair.slow.shop("acme", 100).await;
    let mandate = pair.slow.mandate(&shop, 5_000).await;
    let lot = pair.slow.put_up(&pair.seller, english()).await.id;
    let Pair {
        halts, slow, fast, ..
    } = &mut pair;
    let (revoked, early) = halts
        .interleave(
            BUDGETS,
            slow.revoke(&shop, mandate),
            agent_bid(fast, &shop, mandate, lot, 2_000),
        )
        .await;
    revoked.expect("revokes");
    assert_eq!(early, "ok");
    assert_eq!(pair.fast.wallet(&shop.owner).await.available, usd(8_000));
    let view = pair.fast.mandate_of(&shop, mandate).await;
    assert_eq!((view.held_minor, view.returned_minor), (2_000, 3_000));
    pair.close().await;
}

/// A purchase and a bid with a mandate's last money, both ways round.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_money_of_a_mandate() {
    for bid_is_late in [true, false] {
        let mut pair = Pair::open().await;
        let shop = pair.slow.shop("acme", 100).await;
        let mandate = pair.slow.mandate(&shop, 2_000).await;
        let item = pair.slow.item(&shop, 500, 5).await;
        let lot = pair.slow.put_up(&pair.seller, english()).await.id;
        let Pair {
            halts, slow, fast, ..
        } = &mut pair;
        let buy = |node| buy(node, &shop, shop.one(item, mandate, "a"));
        let (late, early) = if bid_is_late {
            let late = agent_bid(slow, &shop, mandate, lot, 2_000);
            halts.interleave(LOTS, late, buy(fast)).await
        } else {
            let early = agent_bid(fast, &shop, mandate, lot, 2_000);
            halts.interleave(PURCHASES, buy(slow), early).await
        };
        let early_code = if bid_is_late { "committed" } else { "ok" };
        assert_eq!((late, early), ("mandate_exhausted", early_code));
        pair.close().await;
    }
}

async fn buy(node: &Node, shop: &Shop, request: shared::purchase::CommitRequest) -> &'static str {
    node.buy(shop, request).await
}
