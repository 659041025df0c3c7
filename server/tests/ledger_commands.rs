//! The commands against a real PostgreSQL: what each writes, refuses and repeats, and that every
//! audit is clean afterwards.
#![cfg(feature = "local")]

mod common;

use app::ports::{Decided, Failure, KeptOutcome, Ledger as _};
use common::{Database, drop_of, dutch, english, no_lot, usd};
use server::events::Audience;
use server::ids;
use server::ledger::auction::settle::Settle;
use shared::auction::{Refusal, Status};
use shared::live::Channel;
use shared::view::{Outcome, Terms};
use shared::{Currency, Money};
use std::sync::Arc;

fn refused<T: std::fmt::Debug>(decided: Result<Decided<T>, Failure>) -> Refusal {
    decided.expect("answers").outcome.expect_err("is refused")
}

#[tokio::test]
async fn a_bid_holds_and_an_outbid_frees_in_the_same_commit() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann, bob) = (
        node.person("s", 0).await,
        node.person("ann", 100).await,
        node.person("bob", 100).await,
    );
    let lot = node.put_up(&seller, english()).await;
    let ledger = &node.ledger;
    let first = ledger
        .bid(&ann, ids::key(), lot.id, usd(1_000))
        .await
        .expect("answers");
    assert_eq!(first.outcome.expect("accepted").next_minimum, usd(1_100));
    assert_eq!(node.wallet(&ann).await.held, usd(1_000));
    ledger
        .bid(&bob, ids::key(), lot.id, usd(1_500))
        .await
        .expect("answers")
        .outcome
        .expect("ok");
    let (ann_after, bob_after) = (node.wallet(&ann).await, node.wallet(&bob).await);
    assert_eq!((ann_after.held, ann_after.available), (usd(0), usd(10_000)));
    assert_eq!(
        (bob_after.held, bob_after.available),
        (usd(1_500), usd(8_500))
    );
    // Raising one's own bid costs only the difference: $90 free + $15 held cover $100 (D1).
    ledger
        .bid(&bob, ids::key(), lot.id, usd(10_000))
        .await
        .expect("answers")
        .outcome
        .expect("ok");
    assert_eq!(node.wallet(&bob).await.available, usd(0));
    let room = ledger.room(lot.id).await.expect("answers").expect("exists");
    assert_eq!(room.lot.offset, 4);
    let amounts: Vec<_> = room.ladder.iter().map(|line| line.amount.minor()).collect();
    assert_eq!(amounts, [10_000, 1_500, 1_000]);
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_key_has_one_effect_and_one_answer() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, drop_of(10, None)).await;
    let ledger = &node.ledger;
    let key = ids::key();
    let first = ledger
        .claim(&ann, key.clone(), lot.id, 2, usd(500))
        .await
        .expect("answers");
    assert!(!first.replayed);
    let again = ledger
        .claim(&ann, key.clone(), lot.id, 2, usd(500))
        .await
        .expect("answers");
    assert!(again.replayed);
    assert_eq!(first.outcome, again.outcome);
    assert_eq!(node.wallet(&ann).await.spent, usd(1_000));
    let other = ledger.claim(&ann, key.clone(), lot.id, 3, usd(500)).await;
    assert_eq!(other.expect_err("another meaning"), Failure::KeyReused);
    let kept = ledger
        .kept_outcome(ann.person.id, &key)
        .await
        .expect("answers");
    assert!(matches!(kept, Some(KeptOutcome::Claim(_))));
    // Refusals are decided outcomes and are kept as well.
    let key = ids::key();
    let no = refused(ledger.claim(&ann, key.clone(), lot.id, 9, usd(500)).await);
    assert_eq!(no, Refusal::SoldOut { units_left: 8 });
    let again = ledger
        .claim(&ann, key, lot.id, 9, usd(500))
        .await
        .expect("answers");
    assert!(again.replayed);
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn sixty_four_twins_have_one_effect() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, drop_of(100, None)).await;
    let key = ids::key();
    let mut twins = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (ledger, ann, key, lot) = (Arc::clone(&node.ledger), ann.clone(), key.clone(), lot.id);
        twins.spawn(async move { ledger.claim(&ann, key, lot, 1, usd(500)).await });
    }
    let answers = twins.join_all().await;
    let receipts: Vec<_> = answers
        .into_iter()
        .map(|a| a.expect("answers").outcome.expect("accepted"))
        .collect();
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(node.wallet(&ann).await.spent, usd(500));
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_drop_sells_exactly_its_units_and_credits_the_seller() {
    let database = Database::create().await;
    let node = database.node().await;
    let seller = node.person("s", 0).await;
    let lot = node.put_up(&seller, drop_of(20, Some(2))).await;
    let mut buyers = Vec::new();
    for number in 0..30 {
        buyers.push(node.person(&format!("b{number}"), 100).await);
    }
    let mut claims = tokio::task::JoinSet::new();
    for buyer in buyers {
        let ledger = Arc::clone(&node.ledger);
        let lot = lot.id;
        claims.spawn(async move { ledger.claim(&buyer, ids::key(), lot, 1, usd(500)).await });
    }
    let answers = claims.join_all().await;
    let outcomes: Vec<_> = answers
        .into_iter()
        .map(|a| a.expect("answers").outcome)
        .collect();
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        20
    );
    for outcome in outcomes {
        if let Err(refusal) = outcome {
            assert_eq!(refusal, Refusal::SoldOut { units_left: 0 });
        }
    }
    // The last unit is gone, so the lot is due although its time is not over.
    let done = node
        .ledger
        .settle(&seller, ids::key(), lot.id)
        .await
        .expect("answers");
    let outcome = done.outcome.expect("settles").outcome;
    assert_eq!(
        outcome,
        Outcome::DropEnded {
            units_sold: 20,
            total: usd(10_000)
        }
    );
    let late = node.person("late", 100).await;
    let no = refused(
        node.ledger
            .claim(&late, ids::key(), lot.id, 1, usd(500))
            .await,
    );
    assert_eq!(no, Refusal::SoldOut { units_left: 0 }, "settled or not");
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_buyer_gets_no_more_than_the_limit_however_they_race() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, drop_of(40, Some(3))).await;
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (ledger, ann, lot) = (Arc::clone(&node.ledger), ann.clone(), lot.id);
        claims.spawn(async move { ledger.claim(&ann, ids::key(), lot, 1, usd(500)).await });
    }
    let outcomes: Vec<_> = claims
        .join_all()
        .await
        .into_iter()
        .map(|a| a.expect("answers").outcome)
        .collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    let limit = Refusal::LimitReached {
        limit: 3,
        bought: 3,
    };
    assert!(
        outcomes
            .iter()
            .filter_map(|o| o.as_ref().err())
            .all(|no| *no == limit)
    );
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_dutch_lot_is_sold_once_at_no_more_than_was_agreed() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann, bob) = (
        node.person("s", 0).await,
        node.person("ann", 500).await,
        node.person("bob", 500).await,
    );
    let lot = node.put_up(&seller, dutch()).await;
    let ledger = &node.ledger;
    let low = refused(ledger.claim(&ann, ids::key(), lot.id, 1, usd(2_000)).await);
    assert!(
        matches!(low, Refusal::PriceMoved { price } if price.minor() >= 9_700),
        "{low:?}"
    );
    let sold = ledger
        .claim(&ann, ids::key(), lot.id, 1, usd(10_000))
        .await
        .expect("answers");
    let receipt = sold.outcome.expect("accepted");
    assert!(receipt.total.minor() <= 10_000);
    let late = refused(ledger.claim(&bob, ids::key(), lot.id, 1, usd(10_000)).await);
    assert_eq!(late, Refusal::Ended);
    let room = ledger.room(lot.id).await.expect("answers").expect("exists");
    assert_eq!(room.lot.status, Status::Sold);
    assert_eq!(room.lot.closes_at, receipt.line.at, "the claim ended it");
    assert_eq!(node.wallet(&ann).await.spent, receipt.total);
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn settlement_captures_the_hold_once_and_by_itself() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let mut terms = english();
    if let server::ledger::lots::NewTerms::English {
        extension_window_ms,
        ..
    } = &mut terms
    {
        *extension_window_ms = 0;
    }
    let lot = node.put_up(&seller, terms).await;
    let ledger = &node.ledger;
    ledger
        .bid(&ann, ids::key(), lot.id, usd(2_000))
        .await
        .expect("answers")
        .outcome
        .expect("ok");
    let early = refused(ledger.settle(&ann, ids::key(), lot.id).await);
    assert!(matches!(early, Refusal::NotDue { .. }), "{early:?}");
    database.end_lot(lot.id).await;
    // Two nodes and a person at once: one settlement.
    let other = database.node().await;
    let (a, b, c) = tokio::join!(
        ledger.runner().run(Settle::due(lot.id)),
        other.ledger.runner().run(Settle::due(lot.id)),
        ledger.settle(&ann, ids::key(), lot.id),
    );
    a.expect("answers");
    b.expect("answers");
    c.expect("answers").outcome.ok();
    let wallet = node.wallet(&ann).await;
    assert_eq!((wallet.held, wallet.spent), (usd(0), usd(2_000)));
    let no = refused(ledger.bid(&ann, ids::key(), lot.id, usd(5_000)).await);
    assert_eq!(no, Refusal::Ended);
    let page = ledger
        .wallet_page(ann.person.id, Currency::Usd)
        .await
        .expect("answers");
    assert!(page.expect("has a wallet").holds.is_empty());
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn below_the_reserve_a_lot_passes_and_the_money_is_free() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let mut terms = english();
    if let server::ledger::lots::NewTerms::English {
        reserve,
        extension_window_ms,
        ..
    } = &mut terms
    {
        *reserve = Some(usd(5_000));
        *extension_window_ms = 0;
    }
    let lot = node.put_up(&seller, terms).await;
    let ledger = &node.ledger;
    ledger
        .bid(&ann, ids::key(), lot.id, usd(2_000))
        .await
        .expect("answers")
        .outcome
        .expect("ok");
    database.end_lot(lot.id).await;
    ledger
        .runner()
        .run(Settle::due(lot.id))
        .await
        .expect("answers");
    let room = ledger.room(lot.id).await.expect("answers").expect("exists");
    assert_eq!(
        room.lot.outcome,
        Some(Outcome::Passed {
            reserve_not_met: true
        })
    );
    assert_eq!(node.wallet(&ann).await.available, usd(10_000));
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn bad_input_is_named_and_writes_nothing() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 500).await, node.person("ann", 100).await);
    let rising = node.put_up(&seller, english()).await.id;
    let falling = node.put_up(&seller, dutch()).await.id;
    let units = node.put_up(&seller, drop_of(5, None)).await.id;
    let ledger = &node.ledger;
    let yen = Money::new(5_000, Currency::Jpy).expect("in range");
    let most = Money::new(shared::money::MAX_MINOR, Currency::Usd).expect("in range");
    let bids = [
        (no_lot(), usd(1_000), "not_found"),
        (rising, usd(0), "invalid_amount"),
        (rising, usd(-1_000), "invalid_amount"),
        (rising, most, "invalid_amount"),
        (rising, usd(999), "too_low"),
        (rising, usd(10_001), "insufficient"),
        (rising, yen, "currency_mismatch"),
        (falling, usd(1_000), "wrong_mechanism"),
        (units, usd(1_000), "wrong_mechanism"),
    ];
    for (lot, amount, code) in bids {
        let no = refused(ledger.bid(&ann, ids::key(), lot, amount).await);
        assert_eq!(no.code(), code, "bid {amount} on {lot}");
    }
    let claims = [
        (no_lot(), 1, usd(500), "not_found"),
        (rising, 1, usd(500), "wrong_mechanism"),
        (units, 0, usd(500), "invalid_amount"),
        (units, u32::MAX, usd(500), "invalid_amount"),
        (units, 6, usd(500), "sold_out"),
        (units, 1, usd(499), "price_moved"),
        (units, 1, usd(-1), "invalid_amount"),
        (units, 1, yen, "currency_mismatch"),
        (falling, 2, usd(10_000), "invalid_amount"),
        (falling, 1, usd(1), "price_moved"),
    ];
    for (lot, count, price, code) in claims {
        let no = refused(ledger.claim(&ann, ids::key(), lot, count, price).await);
        assert_eq!(no.code(), code, "claim {count} at {price} on {lot}");
    }
    let own = refused(ledger.bid(&seller, ids::key(), rising, usd(1_000)).await);
    assert_eq!(own, Refusal::OwnLot);
    for amount in [usd(0), usd(-5)] {
        assert_eq!(
            refused(ledger.top_up(&ann, ids::key(), amount).await),
            Refusal::InvalidAmount
        );
    }
    let much = refused(ledger.top_up(&ann, ids::key(), most).await);
    assert_eq!(
        much,
        Refusal::TopUpLimit {
            most: usd(9_990_000)
        }
    );
    let early = {
        let mut lot = node.put_up(&seller, english()).await;
        let new = server::ledger::lots::NewLot {
            id: ids::lot(),
            seller: seller.person.id,
            title: "Later".into(),
            description: String::new(),
            art: "vase".into(),
            currency: Currency::Usd,
            opens_in_ms: 60_000,
            duration_ms: 60_000,
            listed: false,
            terms: english(),
        };
        lot.id = node.ledger.put_up(new).await.expect("puts up").id;
        refused(ledger.bid(&ann, ids::key(), lot.id, usd(1_000)).await)
    };
    assert!(matches!(early, Refusal::NotLive { .. }), "{early:?}");
    let wallet = node.wallet(&ann).await;
    assert_eq!(
        (wallet.held, wallet.spent, wallet.funded),
        (usd(0), usd(0), usd(10_000))
    );
    let room = ledger.room(rising).await.expect("answers").expect("exists");
    assert!(
        matches!(room.lot.terms, Terms::English { leader: None, .. }) && room.ladder.is_empty()
    );
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn the_floor_hears_nothing_of_a_lot_that_it_does_not_show() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let hidden = |terms| server::ledger::lots::NewLot {
        id: ids::lot(),
        seller: seller.person.id,
        title: "Hidden".into(),
        description: String::new(),
        art: "vase".into(),
        currency: Currency::Usd,
        opens_in_ms: 0,
        duration_ms: 60_000,
        listed: false,
        terms,
    };
    let ledger = &node.ledger;
    let units = ledger.put_up(hidden(drop_of(2, None))).await.expect("up");
    let rising = ledger.put_up(hidden(english())).await.expect("up");
    let claim = ledger.claim(&ann, ids::key(), units.id, 2, usd(500)).await;
    claim.expect("answers").outcome.expect("accepted");
    let bid = ledger.bid(&ann, ids::key(), rising.id, usd(1_000)).await;
    bid.expect("answers").outcome.expect("accepted");
    let settled = ledger.runner().run(Settle::due(units.id)).await;
    settled.expect("answers");
    let heard = node.heard.lock().expect("not poisoned").clone();
    let audiences: Vec<_> = heard
        .iter()
        .flat_map(server::events::HouseEvent::deliveries)
        .map(|delivery| delivery.audience)
        .collect();
    let of = |channel| audiences.contains(&Audience::Channel(channel));
    assert!(of(Channel::Lot(units.id)) && of(Channel::Lot(rising.id)));
    assert!(!of(Channel::Floor), "{audiences:?}");
    let floor = ledger.floor().await.expect("answers");
    assert!(
        floor.live.is_empty() && floor.activity.is_empty(),
        "{floor:?}"
    );
    node.assert_clean().await;
    database.drop().await;
}
