//! The commit kernel on a real database: exactly one purchase, or exactly nothing.
#![cfg(feature = "local")]

mod common;

use common::Database;
use common::checkout::code;
use futures::future::join_all;
use server::ledger::checkout::{Decision, Undecided};
use shared::purchase::Refusal;
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_buys_once_and_hears_the_same_again() {
    let database = Database::create().await;
    let node = database.node().await;
    let shop = node.shop("acme", 1_000).await;
    let item = node.item(&shop, 500, 10).await;
    let mandate = node.mandate(&shop, 2_000).await;
    let request = shop.one(item, mandate, "scout");
    let first = node
        .commit(&shop, "k-1", request.clone())
        .await
        .expect("answers");
    assert!(
        matches!(first.decision, Decision::Committed { amount, attempts: 1 } if amount.minor() == 500)
    );
    assert!(!first.replayed);
    let again = node
        .commit(&shop, "k-1", request.clone())
        .await
        .expect("answers");
    assert_eq!(
        (again.purchase, &again.decision, again.replayed),
        (first.purchase, &first.decision, true)
    );
    let mut other = request.clone();
    other.quantity = 2;
    assert_eq!(
        node.commit(&shop, "k-1", other).await,
        Err(Undecided::KeyReused)
    );
    // The same purchase under a fresh key is suspected, with the first one's receipt.
    let twin = node
        .commit(&shop, "k-2", request.clone())
        .await
        .expect("answers");
    let Decision::Refused(Refusal::DuplicateSuspected { first: named, .. }) = twin.decision else {
        panic!("not suspected: {twin:?}");
    };
    assert_eq!(named.purchase, first.purchase);
    let mut meant = request.clone();
    meant.allow_repeat = true;
    assert_eq!(node.buy(&shop, meant).await, "committed");
    assert_eq!(node.stock_left(&shop, item).await, 8);
    let left = node.mandate_of(&shop, mandate).await;
    assert_eq!((left.remaining_minor, left.spent_minor), (1_000, 1_000));
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rush_buys_what_there_is_and_nothing_is_declined_falsely() {
    let database = Database::create().await;
    let (tokyo, seoul) = (database.node().await, database.node().await);
    let shop = tokyo.shop("acme", 10_000).await;
    let item = tokyo.item(&shop, 500, 100).await;
    let mut mandates = Vec::new();
    for _ in 0..8 {
        mandates.push(tokyo.mandate(&shop, 100_000).await);
    }
    let buying = (0..1_000).map(|number| {
        let node = if number % 2 == 0 { &tokyo } else { &seoul };
        let request = shop.one(item, mandates[number % 8], &format!("agent-{number}"));
        node.buy(&shop, request)
    });
    let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
    for code in join_all(buying).await {
        *by_code.entry(code).or_default() += 1;
    }
    assert_eq!(
        by_code,
        BTreeMap::from([("committed", 100), ("sold_out", 900)])
    );
    assert_eq!(tokyo.stock_left(&shop, item).await, 0);
    assert!(
        tokyo.ledger.kernel().counters().batches < 500,
        "batches, not single requests"
    );
    // What came back can be bought: the mark of the epoch before no longer counts.
    tokyo.restock(&shop, item, 3).await;
    for number in 0..4 {
        let request = shop.one(item, mandates[0], &format!("late-{number}"));
        let expected = if number < 3 { "committed" } else { "sold_out" };
        assert_eq!(seoul.buy(&shop, request).await, expected);
    }
    tokyo.assert_clean().await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_64_times_at_once_is_one_purchase() {
    let database = Database::create().await;
    let (tokyo, seoul) = (database.node().await, database.node().await);
    let shop = tokyo.shop("acme", 1_000).await;
    let item = tokyo.item(&shop, 500, 64).await;
    let mandate = tokyo.mandate(&shop, 50_000).await;
    let request = shop.one(item, mandate, "scout");
    let sending = (0..64).map(|number| {
        let node = if number % 2 == 0 { &tokyo } else { &seoul };
        node.commit(&shop, "once", request.clone())
    });
    let answers = join_all(sending).await;
    let decided: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    assert!(
        decided
            .iter()
            .all(|answer| code(&answer.decision) == "committed")
    );
    assert_eq!(decided.iter().filter(|answer| !answer.replayed).count(), 1);
    let others = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(
        others
            .copied()
            .all(|undecided| undecided == Undecided::InProgress)
    );
    assert_eq!(tokyo.stock_left(&shop, item).await, 63);
    tokyo.assert_clean().await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_and_revokes_bring_back_what_is_left() {
    let database = Database::create().await;
    let node = database.node().await;
    let shop = node.shop("acme", 100).await;
    let item = node.item(&shop, 500, 2).await;
    let mandate = node.mandate(&shop, 3_000).await;
    assert_eq!(node.wallet(&shop.owner).await.available.minor(), 7_000);
    let mut bought = Vec::new();
    for name in ["one", "two"] {
        let answer = node
            .commit(&shop, name, shop.one(item, mandate, name))
            .await;
        bought.push(answer.expect("answers").purchase);
    }
    assert_eq!(
        node.buy(&shop, shop.one(item, mandate, "three")).await,
        "sold_out"
    );
    assert_eq!(
        node.refund(&shop, bought[0], Some(501), 0).await,
        Err("refund_too_large")
    );
    assert_eq!(
        node.refund(&shop, bought[0], None, 2).await,
        Err("too_many_units")
    );
    node.refund(&shop, bought[0], Some(200), 1)
        .await
        .expect("pays back");
    assert_eq!(node.mandate_of(&shop, mandate).await.remaining_minor, 2_200);
    assert_eq!(
        node.buy(&shop, shop.one(item, mandate, "three")).await,
        "committed"
    );
    node.revoke(&shop, mandate).await.expect("revokes");
    assert_eq!(node.revoke(&shop, mandate).await, Err("mandate_revoked"));
    assert_eq!(node.wallet(&shop.owner).await.available.minor(), 8_700);
    node.restock(&shop, item, 5).await;
    assert_eq!(
        node.buy(&shop, shop.one(item, mandate, "four")).await,
        "mandate_revoked"
    );
    node.refund(&shop, bought[1], None, 0)
        .await
        .expect("pays back");
    assert_eq!(
        node.refund(&shop, bought[1], None, 0).await,
        Err("refund_too_large")
    );
    let after = node.mandate_of(&shop, mandate).await;
    assert_eq!(
        (
            after.returned_minor,
            after.spent_minor,
            after.remaining_minor
        ),
        (2_200, 800, 0)
    );
    assert_eq!(node.wallet(&shop.owner).await.available.minor(), 9_200);
    node.assert_clean().await;
    database.drop().await;
}
