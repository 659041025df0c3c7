//! The demo and what keeps it going: lots follow one another, settlement needs nobody, seeding
//! twice seeds once, and outside a demo nobody steps in.
#![cfg(feature = "local")]

mod common;

use app::ports::{Actor, Ledger as _, Sessions as _, StepIn};
use common::{Database, english, eventually, usd};
use futures::future::join_all;
use http::HeaderMap;
use http::header::COOKIE;
use server::demo;
use server::ids;
use server::ledger::lots::NewTerms;
use server::ledger::sweeper;
use server::sessions::BrowserSessions;
use shared::auction::{Mechanism, Status};
use shared::view::{LotView, Terms};
use shared::{Currency, PrincipalId};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_lot_is_settled_at_its_time_by_itself() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let mut terms = english();
    if let NewTerms::English {
        extension_window_ms,
        ..
    } = &mut terms
    {
        *extension_window_ms = 0;
    }
    let lot = node.put_up(&seller, terms).await;
    node.ledger
        .bid(&ann, ids::key(), lot.id, usd(2_000))
        .await
        .expect("answers")
        .outcome
        .expect("ok");
    database.end_lot(lot.id).await;
    let stop = CancellationToken::new();
    let sweepers = [
        tokio::spawn(sweeper::sweep(Arc::clone(&node.ledger), stop.clone())),
        tokio::spawn(sweeper::sweep(Arc::clone(&node.ledger), stop.clone())),
    ];
    eventually("the lot is settled", async || {
        let room = node.ledger.room(lot.id).await.expect("answers");
        room.expect("exists").lot.status == Status::Sold
    })
    .await;
    stop.cancel();
    for sweeper in sweepers {
        sweeper.await.expect("ends");
    }
    let room = node
        .ledger
        .room(lot.id)
        .await
        .expect("answers")
        .expect("exists");
    assert_eq!(room.lot.status, Status::Sold);
    assert_eq!(node.wallet(&ann).await.spent, usd(2_000));
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn seeding_twice_seeds_once_and_a_lot_that_ends_is_followed() {
    let database = Database::create().await;
    let node = database.node().await;
    demo::seed(&node.ledger).await.expect("seeds");
    let cast = demo::seed(&node.ledger).await.expect("seeds again");
    let people = node.ledger.demo_people().await.expect("answers");
    assert_eq!(people.len(), 7);
    let floor = node.ledger.floor().await.expect("answers");
    let live = |mechanism| {
        floor
            .live
            .iter()
            .filter(|lot| lot.mechanism() == mechanism)
            .count()
    };
    let kinds = [Mechanism::English, Mechanism::Dutch, Mechanism::Drop];
    assert_eq!(kinds.map(live), [4, 3, 2]);
    let buyer = &cast.crowd[0];
    assert_eq!(node.wallet(buyer).await.funded, usd(500_000), "funded once");
    // A Dutch price starts at its start when its lot opens (D7), and its end is followed.
    let dutch = floor
        .live
        .iter()
        .find(|lot| lot.mechanism() == Mechanism::Dutch)
        .expect("one");
    let Terms::Dutch { schedule } = &dutch.terms else {
        panic!("a Dutch lot")
    };
    assert_eq!(
        schedule.price_at(dutch.opens_at, dutch.opens_at),
        schedule.start
    );
    assert!(
        floor.server_time.since_ms(dutch.opens_at) < 30_000,
        "anchored at its opening"
    );
    let claim = node
        .ledger
        .claim(buyer, ids::key(), dutch.id, 1, schedule.start)
        .await;
    claim.expect("answers").outcome.expect("sold");
    let stop = CancellationToken::new();
    let run = demo::run(
        Arc::clone(&node.ledger),
        Arc::new(cast),
        false,
        stop.clone(),
    );
    let run = tokio::spawn(run);
    let falling = async || {
        let floor = node.ledger.floor().await.expect("answers");
        let dutch = |lot: &&LotView| lot.mechanism() == Mechanism::Dutch;
        floor.live.iter().filter(dutch).count()
    };
    eventually("another falling price", async || falling().await == 3).await;
    stop.cancel();
    run.await.expect("ends");
    let after = node.ledger.floor().await.expect("answers");
    let falling: Vec<_> = after
        .live
        .iter()
        .filter(|lot| lot.mechanism() == Mechanism::Dutch)
        .collect();
    assert_eq!(falling.len(), 3);
    assert!(falling.iter().all(|lot| lot.id != dutch.id));
    assert_eq!(after.settled.first().map(|lot| lot.id), Some(dutch.id));
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn outside_a_demo_nobody_steps_in() {
    let database = Database::create().await;
    let node = database.node().await;
    node.person("lena", 0).await;
    let closed = BrowserSessions::new(Arc::clone(&node.ledger), true, false, []);
    let answer = closed
        .step_in(&HeaderMap::new(), "lena")
        .await
        .expect("answers");
    assert_eq!(answer, StepIn::Unknown);
    assert!(closed.demo_people().await.expect("answers").is_empty());
    let open = BrowserSessions::new(Arc::clone(&node.ledger), true, true, []);
    let StepIn::Done {
        cookie: Some(cookie),
    } = open
        .step_in(&HeaderMap::new(), "lena")
        .await
        .expect("answers")
    else {
        panic!("the first step in brings a cookie")
    };
    for part in [
        "__Host-lotzero=",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Path=/;",
    ] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    database.drop().await;
}

#[tokio::test]
async fn wallets_that_are_read_together_are_each_their_owners() {
    let database = Database::create().await;
    let node = database.node().await;
    let (ann, ben) = (node.person("ann", 100).await, node.person("ben", 250).await);
    let poor = node.person("cat", 0).await;
    let people = [ben.person.id, ann.person.id, poor.person.id];
    let nobody = PrincipalId::from_uuid(ids::event().uuid());
    let asked = people.into_iter().chain([nobody, people[0]]).collect();
    let wallets = node.ledger.wallets(asked, Currency::Usd).await;
    let wallets = wallets.expect("answers");
    let funded = |who: &Actor| wallets.get(&who.person.id).map(|wallet| wallet.funded);
    assert_eq!(funded(&ann), Some(node.wallet(&ann).await.funded));
    assert_eq!(funded(&ben), Some(node.wallet(&ben).await.funded));
    assert_ne!(funded(&ann), funded(&ben));
    assert!(wallets.len() <= 3, "nobody else's: {wallets:?}");
    let euros = node.ledger.wallets(vec![people[0]], Currency::Eur).await;
    assert!(euros.expect("answers").is_empty(), "of that currency");
    database.drop().await;
}

#[tokio::test]
async fn browsers_that_come_at_once_are_each_told_whom_they_may_act_as() {
    const BROWSERS: usize = 40;
    let database = Database::create().await;
    let node = database.node().await;
    let handles = ["lena", "kenji", "priya"];
    for handle in handles {
        node.person(handle, 0).await;
    }
    let sessions = || BrowserSessions::new(Arc::clone(&node.ledger), false, true, []);
    let with = |cookie: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, cookie.parse().expect("a header"));
        headers
    };
    let before = sessions();
    let mut browsers = Vec::new();
    for number in 0..BROWSERS {
        let own = &handles[..=number % handles.len()];
        let mut headers = HeaderMap::new();
        for handle in own {
            let done = before.step_in(&headers, handle).await.expect("answers");
            if let StepIn::Done { cookie: Some(set) } = done {
                headers = with(set.split(';').next().expect("a pair"));
            }
        }
        browsers.push((headers, own));
    }
    let unknown = with(&format!("lotzero_browser={}", "0".repeat(64)));
    browsers.push((unknown, &[]));
    // Another node, which has to read all of them.
    let after = sessions();
    let viewers = browsers
        .iter()
        .map(|(headers, _)| after.viewer(headers, None, None));
    for (viewer, (_, own)) in join_all(viewers).await.into_iter().zip(&browsers) {
        let viewer = viewer.expect("answers");
        let seen: Vec<_> = viewer.sessions.iter().map(|p| p.handle.as_str()).collect();
        assert_eq!(&seen, own, "in the order in which they stepped in");
    }
    database.drop().await;
}

#[tokio::test]
async fn every_command_with_a_key_has_one_effect() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 0).await);
    let ledger = &node.ledger;
    let key = ids::key();
    for round in 0..3 {
        let done = ledger
            .top_up(&ann, key.clone(), usd(5_000))
            .await
            .expect("answers");
        assert_eq!(done.replayed, round > 0);
        assert_eq!(done.outcome.expect("tops up").wallet.funded, usd(5_000));
    }
    assert_eq!(node.wallet(&ann).await.funded, usd(5_000));
    let lot = node.put_up(&seller, english()).await;
    let key = ids::key();
    for round in 0..3 {
        let done = ledger
            .bid(&ann, key.clone(), lot.id, usd(1_000))
            .await
            .expect("answers");
        assert_eq!(done.replayed, round > 0);
        done.outcome.expect("accepted");
    }
    let room = ledger.room(lot.id).await.expect("answers").expect("exists");
    assert_eq!(room.ladder.len(), 1);
    let short = node.put_up_for(&seller, english(), 50).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    let key = ids::key();
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(
            ledger
                .settle(&ann, key.clone(), short.id)
                .await
                .expect("answers"),
        );
    }
    assert_eq!(answers[0].outcome, answers[1].outcome);
    assert!(answers[1].replayed && answers[0].outcome.is_ok());
    node.assert_clean().await;
    database.drop().await;
}
