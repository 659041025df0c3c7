//! Offers that are decided together, and agents that bid with mandates.
#![cfg(feature = "local")]

mod common;

use app::ports::{Actor, Ledger as _};
use common::auction::{agent_bid, agent_claim, code, offered, outcome};
use common::checkout::{Shop, agent};
use common::{Database, Node, drop_of, dutch, english, usd};
use server::events::{CheckoutNews, EventBody};
use server::ids;
use server::ledger::auction::settle::Settle;
use server::ledger::auction::{Offer, Wish};
use server::ledger::lots::NewTerms;
use server::ledger::queue::{Twins, Undecided};
use shared::view::Notice;
use shared::{MandateId, Region};
use std::sync::Arc;

/// What a mandate has free, held, spent and returned, in minor units.
async fn amounts(node: &Node, shop: &Shop, mandate: MandateId) -> [i64; 4] {
    let view = node.mandate_of(shop, mandate).await;
    [
        view.remaining_minor,
        view.held_minor,
        view.spent_minor,
        view.returned_minor,
    ]
}

/// English without a soft close, so that its end is where a test puts it.
fn english_to_the_second(reserve_minor: Option<i64>) -> NewTerms {
    let mut terms = english();
    if let NewTerms::English {
        extension_window_ms,
        reserve,
        ..
    } = &mut terms
    {
        *extension_window_ms = 0;
        *reserve = reserve_minor.map(usd);
    }
    terms
}

/// Sixty-four people bid at once: few transactions, and every bid that was accepted has its own
/// version of the lot.
#[tokio::test(flavor = "multi_thread")]
async fn bids_that_wait_together_are_committed_together() {
    const BIDDERS: i64 = 64;
    let database = Database::create().await;
    let node = Arc::new(database.node().await);
    let seller = node.person("s", 0).await;
    let lot = node.put_up(&seller, english()).await.id;
    let mut bidders: Vec<Actor> = Vec::new();
    for number in 0..BIDDERS {
        bidders.push(node.person(&format!("p{number}"), 100).await);
    }
    let before = node.ledger.counters().committed;
    let bids = (0..).zip(&bidders).map(|(number, who)| {
        let (node, who) = (Arc::clone(&node), who.clone());
        tokio::spawn(async move {
            let bid = node
                .ledger
                .bid(&who, ids::key(), lot, usd(1_000 + 100 * number));
            bid.await
                .expect("answers")
                .outcome
                .map(|receipt| receipt.version)
        })
    });
    let mut versions = Vec::new();
    for bid in bids.collect::<Vec<_>>() {
        versions.extend(bid.await.expect("runs"));
    }
    let committed = node.ledger.counters().committed - before;
    assert!(
        committed <= 8,
        "{committed} transactions for {BIDDERS} bids"
    );
    versions.sort_unstable();
    let accepted = i64::try_from(versions.len()).expect("few");
    assert!(accepted > 0);
    assert_eq!(versions, (2..accepted + 2).collect::<Vec<i64>>());
    let mut held = 0;
    for who in &bidders {
        held += node.wallet(who).await.held.minor();
    }
    assert_eq!(
        held,
        1_000 + 100 * (BIDDERS - 1),
        "the highest bid, and no other"
    );
    // In order, and everybody but the last leader was told once.
    let heard = node.heard.lock().expect("not poisoned").clone();
    let offsets: Vec<i64> = heard
        .iter()
        .filter_map(|e| e.position())
        .map(|p| p.offset)
        .collect();
    assert_eq!(offsets, versions);
    let outbid = heard.iter().filter(|event| {
        matches!(
            &event.body,
            EventBody::Wallet {
                notice: Some(Notice::Outbid { .. }),
                ..
            }
        )
    });
    assert_eq!(outbid.count(), versions.len() - 1);
    node.assert_clean().await;
    database.drop().await;
}

/// Claims in one batch: everybody hears how many units were left after their own.
#[tokio::test(flavor = "multi_thread")]
async fn claims_that_wait_together_count_down() {
    let database = Database::create().await;
    let node = Arc::new(database.node().await);
    let seller = node.person("s", 0).await;
    let lot = node.put_up(&seller, drop_of(20, Some(1))).await.id;
    let mut claims = Vec::new();
    for number in 0..40 {
        let who = node.person(&format!("p{number}"), 10).await;
        let node = Arc::clone(&node);
        claims.push(
            async move { outcome(node.ledger.claim(&who, ids::key(), lot, 1, usd(500)).await) },
        );
    }
    let before = node.ledger.counters().committed;
    let answers = futures::future::join_all(claims).await;
    let count = |code| answers.iter().filter(|answer| **answer == code).count();
    assert_eq!((count("ok"), count("sold_out")), (20, 20));
    let committed = node.ledger.counters().committed - before;
    assert!(committed <= 6, "{committed} transactions for 40 claims");
    let heard = node.heard.lock().expect("not poisoned").clone();
    let left = heard.iter().filter_map(|event| match &event.body {
        EventBody::Stock { units_left, .. } => Some(*units_left),
        EventBody::Opened { .. }
        | EventBody::Lot { .. }
        | EventBody::Wallet { .. }
        | EventBody::Notice { .. }
        | EventBody::Checkout(_) => None,
    });
    assert_eq!(
        left.collect::<Vec<u32>>(),
        (0..20).rev().collect::<Vec<_>>()
    );
    node.assert_clean().await;
    database.drop().await;
}

/// F1: free, held, spent.
#[tokio::test]
async fn a_mandate_holds_for_a_leading_bid_and_pays_for_a_won_one() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let shop = node.shop("acme", 200).await;
    let mandate = node.mandate(&shop, 10_000).await;
    let lot = node.put_up(&seller, english_to_the_second(None)).await.id;
    assert_eq!(agent_bid(&node, &shop, mandate, lot, 2_000).await, "ok");
    assert_eq!(amounts(&node, &shop, mandate).await, [8_000, 2_000, 0, 0]);
    let wallet = node.wallet(&shop.owner).await;
    assert_eq!((wallet.held, wallet.available), (usd(0), usd(10_000)));
    assert_eq!(
        agent_bid(&node, &shop, mandate, lot, 2_050).await,
        "too_low"
    );
    // Its own raise costs the difference.
    assert_eq!(agent_bid(&node, &shop, mandate, lot, 10_000).await, "ok");
    assert_eq!(amounts(&node, &shop, mandate).await, [0, 10_000, 0, 0]);
    node.assert_clean().await;
    // Outbid: free in the same commit. Then it bids again, and wins.
    let other = node.put_up(&seller, english_to_the_second(None)).await.id;
    assert_eq!(
        agent_bid(&node, &shop, mandate, other, 1_000).await,
        "mandate_exhausted"
    );
    let more = node.shop("rich", 400).await;
    let second = node.mandate(&more, 20_000).await;
    assert_eq!(agent_bid(&node, &more, second, lot, 11_000).await, "ok");
    assert_eq!(amounts(&node, &shop, mandate).await, [10_000, 0, 0, 0]);
    assert_eq!(agent_bid(&node, &shop, mandate, other, 1_000).await, "ok");
    database.end_lot(lot).await;
    let settled = node.ledger.settle(&ann, ids::key(), lot).await;
    assert_eq!(outcome(settled), "ok");
    assert_eq!(amounts(&node, &more, second).await, [9_000, 0, 11_000, 0]);
    node.assert_clean().await;
    let heard = node.heard.lock().expect("not poisoned").clone();
    let news: Vec<&CheckoutNews> = heard
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Checkout(checkout) => Some(&checkout.what),
            EventBody::Opened { .. }
            | EventBody::Lot { .. }
            | EventBody::Stock { .. }
            | EventBody::Wallet { .. }
            | EventBody::Notice { .. } => None,
        })
        .collect();
    let placed = news
        .iter()
        .filter(|n| matches!(n, CheckoutNews::BidPlaced { .. }));
    assert_eq!(placed.count(), 4);
    let freed = news.iter().filter(|news| {
        matches!(
            news,
            CheckoutNews::BidFreed {
                freed_minor: 10_000,
                price_minor: Some(11_000),
                to_wallet: false,
                ..
            }
        )
    });
    assert_eq!(freed.count(), 1, "{news:#?}");
    let won = news.iter().filter(|news| {
        matches!(
            news,
            CheckoutNews::BidWon {
                paid_minor: 11_000,
                ..
            }
        )
    });
    assert_eq!(won.count(), 1);
    database.drop().await;
}

/// A revoke brings back what is free. What leads is bound: it pays, or goes to the wallet.
#[tokio::test]
async fn a_leading_bid_outlives_its_mandate() {
    for wins in [true, false] {
        let database = Database::create().await;
        let node = database.node().await;
        let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
        let shop = node.shop("acme", 100).await;
        let mandate = node.mandate(&shop, 6_000).await;
        let lot = node.put_up(&seller, english_to_the_second(None)).await.id;
        assert_eq!(agent_bid(&node, &shop, mandate, lot, 2_000).await, "ok");
        node.revoke(&shop, mandate).await.expect("revokes");
        assert_eq!(amounts(&node, &shop, mandate).await, [0, 2_000, 0, 4_000]);
        assert_eq!(
            agent_bid(&node, &shop, mandate, lot, 3_000).await,
            "mandate_revoked"
        );
        node.assert_clean().await;
        if !wins {
            let bid = node.ledger.bid(&ann, ids::key(), lot, usd(2_500)).await;
            assert_eq!(outcome(bid), "ok");
            assert_eq!(amounts(&node, &shop, mandate).await, [0, 0, 0, 6_000]);
            node.assert_clean().await;
        }
        database.end_lot(lot).await;
        let settled = node.ledger.runner().run(Settle::due(lot)).await;
        settled.expect("settles");
        let expected = if wins {
            [0, 0, 2_000, 4_000]
        } else {
            [0, 0, 0, 6_000]
        };
        assert_eq!(amounts(&node, &shop, mandate).await, expected);
        let wallet = node.wallet(&shop.owner).await;
        assert_eq!(wallet.available, usd(if wins { 8_000 } else { 10_000 }));
        assert_eq!(
            wallet.funded, wallet.available,
            "nothing is held or spent there"
        );
        node.assert_clean().await;
        database.drop().await;
    }
}

/// Below the reserve the lot passes: the mandate has its money again, or the wallet if it was
/// revoked.
#[tokio::test]
async fn what_a_passed_lot_held_is_free_again() {
    for revoked in [false, true] {
        let database = Database::create().await;
        let node = database.node().await;
        let seller = node.person("s", 0).await;
        let shop = node.shop("acme", 100).await;
        let mandate = node.mandate(&shop, 6_000).await;
        let lot = node
            .put_up(&seller, english_to_the_second(Some(50_000)))
            .await
            .id;
        assert_eq!(agent_bid(&node, &shop, mandate, lot, 2_000).await, "ok");
        if revoked {
            node.revoke(&shop, mandate).await.expect("revokes");
        }
        database.end_lot(lot).await;
        let settled = node.ledger.runner().run(Settle::due(lot)).await;
        settled.expect("settles");
        let expected = if revoked {
            [0, 0, 0, 6_000]
        } else {
            [6_000, 0, 0, 0]
        };
        assert_eq!(amounts(&node, &shop, mandate).await, expected);
        node.assert_clean().await;
        database.drop().await;
    }
}

#[tokio::test]
async fn an_agent_claims_with_its_mandate() {
    let database = Database::create().await;
    let node = database.node().await;
    let seller = node.person("s", 0).await;
    let shop = node.shop("acme", 300).await;
    let mandate = node.mandate(&shop, 20_000).await;
    let units = node.put_up(&seller, drop_of(5, Some(3))).await.id;
    assert_eq!(agent_claim(&node, &shop, mandate, units, 2).await, "ok");
    assert_eq!(amounts(&node, &shop, mandate).await, [19_000, 0, 1_000, 0]);
    // The limit is the owner's, whoever acts for them.
    let own = node
        .ledger
        .claim(&shop.owner, ids::key(), units, 2, usd(500))
        .await;
    assert_eq!(outcome(own), "limit_reached");
    assert_eq!(agent_claim(&node, &shop, mandate, units, 1).await, "ok");
    let falling = node.put_up(&seller, dutch()).await.id;
    assert_eq!(agent_claim(&node, &shop, mandate, falling, 1).await, "ok");
    let [rest, 0, spent, 0] = amounts(&node, &shop, mandate).await else {
        unreachable!("nothing is held or returned")
    };
    assert_eq!(rest + spent, 20_000);
    assert!(spent > 10_000, "the Dutch price began at $100: {spent}");
    assert_eq!(
        agent_claim(&node, &shop, mandate, falling, 1).await,
        "ended"
    );
    assert_eq!(
        agent_bid(&node, &shop, mandate, falling, 500).await,
        "wrong_mechanism"
    );
    node.assert_clean().await;
    database.drop().await;
}

/// A foreign mandate, a lot that does not exist: not found, and the key may be used again.
#[tokio::test]
async fn a_foreign_mandate_is_not_found_and_uses_up_no_key() {
    let database = Database::create().await;
    let node = database.node().await;
    let seller = node.person("s", 0).await;
    let (shop, other) = (node.shop("acme", 100).await, node.shop("other", 100).await);
    let (own, foreign) = (
        node.mandate(&shop, 5_000).await,
        node.mandate(&other, 5_000).await,
    );
    let lot = node.put_up(&seller, english()).await.id;
    let key = ids::key();
    let send = async |mandate, lot| {
        let wish = Wish::Bid { amount: usd(1_000) };
        let funds = (shop.tenant(), mandate);
        let key = key.clone();
        let offer = Offer::by_agent(funds, agent("scout"), Region::Tokyo, key, lot, wish);
        node.ledger.lot_queues().offer(offer, Twins::Refuse).await
    };
    let foreign = send(foreign, lot).await.expect("answers");
    assert_eq!(
        (code(&foreign.reply), foreign.replayed),
        ("not_found", false)
    );
    let nothing = send(own, common::no_lot()).await.expect("answers");
    assert_eq!(code(&nothing.reply), "not_found");
    let done = send(own, lot).await.expect("answers");
    assert_eq!((code(&done.reply), done.replayed), ("ok", false));
    let again = send(own, lot).await.expect("answers");
    assert_eq!((again.reply, again.replayed), (done.reply, true));
    let reused = send(own, common::no_lot()).await;
    assert_eq!(reused, Err(Undecided::KeyReused));
    node.assert_clean().await;
    database.drop().await;
}

/// A batch with a bad offer in it: only that one is refused.
#[tokio::test]
async fn one_bad_offer_harms_no_other() {
    let database = Database::create().await;
    let node = database.node().await;
    let seller = node.person("s", 0).await;
    let shop = node.shop("acme", 500).await;
    let lot = node.put_up(&seller, english()).await.id;
    let mandate = node.mandate(&shop, 5_000).await;
    let bids = (0..30).map(|number| {
        let minor = if number % 3 == 0 {
            7_000
        } else {
            1_000 + 100 * number
        };
        let wish = Wish::Bid { amount: usd(minor) };
        offered(&node, &shop, mandate, lot, wish)
    });
    let answers = futures::future::join_all(bids).await;
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = answer.expect("answers");
        let expected = if number % 3 == 0 {
            "mandate_exhausted"
        } else {
            "ok"
        };
        assert_eq!(code(&answer.reply), expected, "{number}");
    }
    assert_eq!(amounts(&node, &shop, mandate).await, [1_100, 3_900, 0, 0]);
    node.assert_clean().await;
    database.drop().await;
}
