//! The write-skew register of the checkout: two commands decide on the same snapshot, one of them
//! stops before its first write, the other runs to its end, the first goes on; both ways round, by
//! the product's own commands in two sessions. What they did together must be what one after the
//! other would have done.
#![cfg(feature = "local")]

mod common;

use common::checkout::{DAY_MS, Shop, code};
use common::halt::{BUDGETS, COMMIT, Halts, PURCHASES, STOCK, WALLETS};
use common::{Database, Node, usd};
use server::ids;
use server::ledger::Route;
use server::ledger::checkout::Decision;
use server::ledger::checkout::mandates::NewMandate;
use shared::purchase::Refusal;
use shared::{ItemId, MandateId, PurchaseId};
use std::time::Duration;

const PRICE: i64 = 500;
const WALLET: i64 = 1_000_000;

/// Two nodes of one database: `slow` stops where it is told to, `fast` never does.
struct Pair {
    database: Database,
    halts: Halts,
    slow: Node,
    fast: Node,
    shop: Shop,
}

impl Pair {
    async fn open() -> Self {
        let database = Database::create().await;
        let (halts, slow) = Halts::with_node(&database).await;
        let fast = database.node().await;
        let shop = slow.shop("acme", WALLET / 100).await;
        Self {
            database,
            halts,
            slow,
            fast,
            shop,
        }
    }

    fn parts(&mut self) -> (&mut Halts, &Node, &Node, &Shop) {
        (&mut self.halts, &self.slow, &self.fast, &self.shop)
    }

    async fn item(&self, units: u32) -> ItemId {
        self.slow.item(&self.shop, PRICE, units).await
    }

    async fn mandate(&self, cap_minor: i64) -> MandateId {
        self.slow.mandate(&self.shop, cap_minor).await
    }

    /// A purchase of a unit by an agent of that name, before anything stops.
    async fn bought(&self, item: ItemId, mandate: MandateId, agent: &str) -> PurchaseId {
        let request = self.shop.one(item, mandate, agent);
        let answer = self.slow.commit(&self.shop, agent, request).await;
        let answer = answer.expect("answers");
        assert_eq!(code(&answer.decision), "committed");
        answer.purchase
    }

    async fn available(&self) -> i64 {
        let wallet = self.fast.wallet(&self.shop.owner).await;
        wallet.available.minor()
    }

    /// That the slow command really lost a race that had to be lost, and the books are right.
    async fn close(self, races: bool) {
        let counters = self.slow.ledger.counters();
        assert_eq!(counters.conflicts() > 0, races, "{:?}", counters.retries);
        self.fast.assert_clean().await;
        drop(self.halts);
        self.database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spend_against_revoke() {
    // Several buckets: the revoke drains them all.
    for cap in [2_000, 50_000] {
        let mut pair = Pair::open().await;
        let (item, mandate) = (pair.item(10).await, pair.mandate(cap).await);
        let (halts, slow, fast, shop) = pair.parts();
        let (spend, revoke) = halts
            .interleave(
                PURCHASES,
                slow.buy(shop, shop.one(item, mandate, "a")),
                fast.revoke(shop, mandate),
            )
            .await;
        revoke.expect("revoked");
        assert_eq!(spend, "mandate_revoked");
        assert_eq!(pair.available().await, WALLET);
        assert_eq!(pair.fast.stock_left(&pair.shop, item).await, 10);
        pair.close(true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_against_spend() {
    for cap in [2_000, 50_000] {
        let mut pair = Pair::open().await;
        let (item, mandate) = (pair.item(10).await, pair.mandate(cap).await);
        let (halts, slow, fast, shop) = pair.parts();
        let (revoke, spend) = halts
            .interleave(
                BUDGETS,
                slow.revoke(shop, mandate),
                fast.buy(shop, shop.one(item, mandate, "a")),
            )
            .await;
        revoke.expect("revoked");
        assert_eq!(spend, "committed");
        assert_eq!(pair.available().await, WALLET - PRICE);
        let view = pair.fast.mandate_of(&pair.shop, mandate).await;
        assert_eq!(
            (view.spent_minor, view.returned_minor),
            (PRICE, cap - PRICE)
        );
        pair.close(true).await;
    }
}

/// Two purchases of the last unit, by mandates of their own.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_unit_against_the_last_unit() {
    let mut pair = Pair::open().await;
    let item = pair.item(1).await;
    let (one, two) = (pair.mandate(2_000).await, pair.mandate(2_000).await);
    let (halts, slow, fast, shop) = pair.parts();
    let (late, early) = halts
        .interleave(
            PURCHASES,
            slow.buy(shop, shop.one(item, one, "a")),
            fast.buy(shop, shop.one(item, two, "b")),
        )
        .await;
    assert_eq!((late, early), ("sold_out", "committed"));
    let view = pair.fast.mandate_of(&pair.shop, one).await;
    assert_eq!(view.remaining_minor, 2_000);
    pair.close(true).await;
}

/// Two purchases with a mandate's last money, of two items.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_money_against_the_last_money() {
    let mut pair = Pair::open().await;
    let (one, two) = (pair.item(5).await, pair.item(5).await);
    let mandate = pair.mandate(PRICE).await;
    let (halts, slow, fast, shop) = pair.parts();
    let (late, early) = halts
        .interleave(
            PURCHASES,
            slow.buy(shop, shop.one(one, mandate, "a")),
            fast.buy(shop, shop.one(two, mandate, "b")),
        )
        .await;
    assert_eq!((late, early), ("mandate_exhausted", "committed"));
    assert_eq!(pair.fast.stock_left(&pair.shop, one).await, 5);
    pair.close(true).await;
}

/// That units that came in can be bought on both nodes, and no more.
async fn assert_three_left(pair: &Pair, item: ItemId, mandate: MandateId) {
    let (slow, fast) = (&pair.slow, &pair.fast);
    for (node, agent) in [(slow, "b"), (fast, "c"), (slow, "d")] {
        let request = pair.shop.one(item, mandate, agent);
        let buy = node.buy(&pair.shop, request).await;
        assert_eq!(buy, "committed", "agent {agent}");
    }
    let request = pair.shop.one(item, mandate, "e");
    assert_eq!(slow.buy(&pair.shop, request).await, "sold_out");
}

/// The last unit is bought while units come in: whoever was first, both nodes sell them.
#[tokio::test(flavor = "multi_thread")]
async fn selling_out_against_restock() {
    let mut pair = Pair::open().await;
    let (item, mandate) = (pair.item(1).await, pair.mandate(10_000).await);
    let (halts, slow, fast, shop) = pair.parts();
    let (sale, ()) = halts
        .interleave(
            PURCHASES,
            slow.buy(shop, shop.one(item, mandate, "a")),
            fast.restock(shop, item, 3),
        )
        .await;
    assert_eq!(sale, "committed");
    assert_three_left(&pair, item, mandate).await;
    pair.close(true).await;
}

/// The seller is within its COMMIT and holds the bucket's row: the restock loses until it is done.
#[tokio::test(flavor = "multi_thread")]
async fn restock_against_a_sale_that_commits() {
    let mut pair = Pair::open().await;
    let (item, mandate) = (pair.item(1).await, pair.mandate(10_000).await);
    let (halts, slow, fast, shop) = pair.parts();
    halts.close(COMMIT).await;
    let restock = async {
        halts.stopped().await;
        let opens = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            halts.open(COMMIT).await;
        };
        tokio::join!(fast.restock(shop, item, 3), opens);
    };
    let buy = slow.buy(shop, shop.one(item, mandate, "a"));
    let (sale, ()) = tokio::join!(buy, restock);
    assert_eq!(sale, "committed");
    assert!(fast.ledger.counters().conflicts() > 0, "they never met");
    assert_three_left(&pair, item, mandate).await;
    pair.close(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restock_against_selling_out() {
    let mut pair = Pair::open().await;
    let (item, mandate) = (pair.item(1).await, pair.mandate(10_000).await);
    let (halts, slow, fast, shop) = pair.parts();
    let sells = async {
        let sale = fast.buy(shop, shop.one(item, mandate, "a")).await;
        // Now marked as sold out on that node.
        let no = fast.buy(shop, shop.one(item, mandate, "b")).await;
        (sale, no)
    };
    let ((), sale) = halts
        .interleave(STOCK, slow.restock(shop, item, 2), sells)
        .await;
    assert_eq!(sale, ("committed", "sold_out"));
    for (node, agent) in [(fast, "c"), (slow, "d")] {
        let buy = node.buy(shop, shop.one(item, mandate, agent)).await;
        assert_eq!(buy, "committed", "agent {agent}");
    }
    assert_eq!(fast.ledger.kernel().counters().refused_by_mark, 1);
    pair.close(true).await;
}

/// An item of two buckets whose last unit is in the second one, and a purchase of it that can be
/// refunded: the refund's unit goes into the first bucket, so the two commands share no row of it.
async fn two_buckets(pair: &Pair) -> (ItemId, PurchaseId) {
    let item = pair.item(4).await;
    let mandate = pair.mandate(10_000).await;
    let mut bought = None;
    for agent in ["x", "y", "z"] {
        bought = Some(pair.bought(item, mandate, agent).await);
    }
    let mut raw = pair.database.connect().await;
    let moved = sqlx::query("UPDATE stock_buckets SET available = bucket WHERE item_id = $1")
        .bind(item.uuid())
        .execute(&mut raw)
        .await
        .expect("moves");
    assert_eq!(moved.rows_affected(), 2, "buckets 0 and 1");
    (item, bought.expect("three"))
}

/// Both commit, for they write different rows; the mark of the seller must not outlive the refund.
#[tokio::test(flavor = "multi_thread")]
async fn selling_out_against_refund_into_another_bucket() {
    for place in [PURCHASES, COMMIT] {
        let mut pair = Pair::open().await;
        let (item, bought) = two_buckets(&pair).await;
        let mandate = pair.mandate(10_000).await;
        let (halts, slow, fast, shop) = pair.parts();
        let (sale, refund) = halts
            .interleave(
                place,
                slow.buy(shop, shop.one(item, mandate, "a")),
                fast.refund(shop, bought, None, 1),
            )
            .await;
        refund.expect("refunded");
        assert_eq!(sale, "committed");
        let buy = slow.buy(shop, shop.one(item, mandate, "b")).await;
        assert_eq!(buy, "committed", "the unit that came back, stop at {place}");
        let buy = slow.buy(shop, shop.one(item, mandate, "c")).await;
        assert_eq!(buy, "sold_out");
        pair.close(false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_into_another_bucket_against_selling_out() {
    let mut pair = Pair::open().await;
    let (item, bought) = two_buckets(&pair).await;
    let mandate = pair.mandate(10_000).await;
    let (halts, slow, fast, shop) = pair.parts();
    let sells = async {
        let sale = fast.buy(shop, shop.one(item, mandate, "a")).await;
        let no = fast.buy(shop, shop.one(item, mandate, "b")).await;
        (sale, no)
    };
    // The refund stops with the item's epoch written and the bucket not.
    let (refund, sale) = halts
        .interleave(STOCK, slow.refund(shop, bought, None, 1), sells)
        .await;
    refund.expect("refunded");
    assert_eq!(sale, ("committed", "sold_out"));
    let buy = fast.buy(shop, shop.one(item, mandate, "c")).await;
    assert_eq!(buy, "committed");
    pair.close(false).await;
}

/// Two refunds of one purchase, by amount: never more than it cost.
#[tokio::test(flavor = "multi_thread")]
async fn refund_against_refund() {
    let all = None;
    let table = [
        ((all, 0), (all, 0), Err("refund_too_large"), PRICE),
        ((Some(300), 0), (Some(201), 0), Err("refund_too_large"), 201),
        ((Some(300), 0), (Some(200), 0), Ok(()), PRICE),
        ((all, 0), (Some(200), 0), Ok(()), PRICE),
        ((Some(100), 1), (Some(100), 1), Err("too_many_units"), 100),
    ];
    for (slower, faster, expected, back) in table {
        let mut pair = Pair::open().await;
        let (item, mandate) = (pair.item(5).await, pair.mandate(10_000).await);
        let bought = pair.bought(item, mandate, "a").await;
        let (halts, slow, fast, shop) = pair.parts();
        let (late, early) = halts
            .interleave(
                PURCHASES,
                slow.refund(shop, bought, slower.0, slower.1),
                fast.refund(shop, bought, faster.0, faster.1),
            )
            .await;
        early.expect("the first is paid back");
        assert_eq!(late.map(drop), expected, "{slower:?} after {faster:?}");
        let view = pair.fast.mandate_of(&pair.shop, mandate).await;
        assert_eq!(view.spent_minor, PRICE - back);
        assert_eq!(view.remaining_minor, 10_000 - PRICE + back);
        pair.close(true).await;
    }
}

/// Money that comes back while its mandate ends is in the wallet once, whichever is first; also if
/// all of the mandate had been spent.
#[tokio::test(flavor = "multi_thread")]
async fn refund_against_revoke() {
    for (place, cap) in [(PURCHASES, 10_000), (BUDGETS, 10_000), (BUDGETS, PRICE)] {
        let mut pair = Pair::open().await;
        let (item, mandate) = (pair.item(5).await, pair.mandate(cap).await);
        let bought = pair.bought(item, mandate, "a").await;
        let (halts, slow, fast, shop) = pair.parts();
        let (refund, revoke) = halts
            .interleave(
                place,
                slow.refund(shop, bought, Some(300), 0),
                fast.revoke(shop, mandate),
            )
            .await;
        assert_money_lands_once(&pair, mandate, cap, (refund, "wallet"), revoke).await;
        pair.close(true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_against_refund() {
    for cap in [10_000, PRICE] {
        let mut pair = Pair::open().await;
        let (item, mandate) = (pair.item(5).await, pair.mandate(cap).await);
        let bought = pair.bought(item, mandate, "a").await;
        let (halts, slow, fast, shop) = pair.parts();
        let (revoke, refund) = halts
            .interleave(
                BUDGETS,
                slow.revoke(shop, mandate),
                fast.refund(shop, bought, Some(300), 0),
            )
            .await;
        assert_money_lands_once(&pair, mandate, cap, (refund, "mandate"), revoke).await;
        pair.close(true).await;
    }
}

async fn assert_money_lands_once(
    pair: &Pair,
    mandate: MandateId,
    cap: i64,
    (refund, to): (Result<String, &'static str>, &str),
    revoke: Result<String, &'static str>,
) {
    revoke.expect("revoked");
    let refund = refund.expect("refunded");
    assert!(refund.contains(&format!("\"to\":\"{to}\"")), "{refund}");
    let spent = PRICE - 300;
    assert_eq!(pair.available().await, WALLET - spent);
    let view = pair.fast.mandate_of(&pair.shop, mandate).await;
    assert_eq!((view.remaining_minor, view.spent_minor), (0, spent));
    assert_eq!(view.returned_minor, cap - spent);
}

/// Two revokes of one mandate bring its money back once.
#[tokio::test(flavor = "multi_thread")]
async fn revoke_against_revoke() {
    let mut pair = Pair::open().await;
    let mandate = pair.mandate(20_000).await;
    let (halts, slow, fast, shop) = pair.parts();
    let (late, early) = halts
        .interleave(
            BUDGETS,
            slow.revoke(shop, mandate),
            fast.revoke(shop, mandate),
        )
        .await;
    early.expect("revoked");
    assert_eq!(late, Err("mandate_revoked"));
    assert_eq!(pair.available().await, WALLET);
    pair.close(true).await;
}

/// Two mandates that together are more than the wallet has.
#[tokio::test(flavor = "multi_thread")]
async fn mandate_against_mandate_of_one_wallet() {
    let mut pair = Pair::open().await;
    let (halts, slow, fast, shop) = pair.parts();
    let tenant = shop.tenant();
    let grant = || NewMandate {
        tenant,
        id: ids::mandate(),
        cap: usd(WALLET * 6 / 10),
        purchase_cap: None,
        scope: Vec::new(),
        lifetime_ms: DAY_MS,
    };
    let (late, early) = halts
        .interleave(
            WALLETS,
            slow.keyed(tenant, Route::Mandate, grant()),
            fast.keyed(tenant, Route::Mandate, grant()),
        )
        .await;
    early.expect("granted");
    assert_eq!(late, Err("insufficient"));
    assert_eq!(pair.available().await, WALLET * 4 / 10);
    pair.close(true).await;
}

/// The same purchase under two fresh keys on two nodes; with and without one of long ago.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_intent_under_two_fresh_keys() {
    for long_ago in [false, true] {
        let mut pair = Pair::open().await;
        let (item, mandate) = (pair.item(100).await, pair.mandate(100_000).await);
        if long_ago {
            pair.bought(item, mandate, "scout").await;
            let mut raw = pair.database.connect().await;
            sqlx::query("UPDATE purchase_intents SET at_ms = at_ms - 3600000")
                .execute(&mut raw)
                .await
                .expect("ages");
        }
        let (halts, slow, fast, shop) = pair.parts();
        let request = || shop.one(item, mandate, "scout");
        let (late, early) = halts
            .interleave(
                PURCHASES,
                slow.commit(shop, "k-slow", request()),
                fast.commit(shop, "k-fast", request()),
            )
            .await;
        let (late, early) = (late.expect("answers"), early.expect("answers"));
        assert_eq!(code(&early.decision), "committed");
        let Decision::Refused(Refusal::DuplicateSuspected { first, .. }) = late.decision else {
            panic!("bought twice: {late:?}");
        };
        assert_eq!(first.purchase, early.purchase);
        let sold = 1 + i64::from(long_ago);
        assert_eq!(pair.fast.stock_left(&pair.shop, item).await, 100 - sold);
        pair.close(true).await;
    }
}
