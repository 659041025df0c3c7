//! Who comes, with a snapshot or from where they were: nothing is missed and nothing comes twice.

use super::*;

#[tokio::test]
async fn a_snapshot_ahead_of_the_hub_makes_it_catch_up_for_the_others() {
    let full = Fake::new(99);
    let hub = hub(&[&full]);
    let early = listener(&hub, 4);
    let late = listener(&hub, 6);
    after_the_wait(&hub).await;
    assert_eq!(taken(&early), numbers(5..=6));
    hub.deliver(&event(7));
    assert_eq!(taken(&early), ["7"]);
    assert_eq!(taken(&late), ["7"], "5 and 6 were in its snapshot");
}

#[tokio::test]
async fn what_happens_while_the_snapshot_is_read_follows_it() {
    let hub = hub(&[]);
    let lanes = connect(&hub);
    hub.register(LOT(), &lanes);
    for offset in [6, 5, 7] {
        hub.deliver(&event(offset));
    }
    let stock = |units_left| Push::Stock {
        units_left,
        line: None,
    };
    hub.push(LOT(), stock(5));
    hub.push(LOT(), stock(7));
    assert!(taken(&lanes).is_empty(), "nothing before the snapshot");
    let joined = hub.join(LOT(), lanes.id, Some(at(5)), vec!["snapshot".into()]);
    assert_eq!(joined, Joined::Live);
    let expected = ["snapshot", "6", "7", "left 5", "left 5"];
    assert_eq!(taken(&lanes), expected);
}

#[tokio::test]
async fn a_snapshot_older_than_the_ring_is_read_again() {
    let hub = hub(&[]);
    let first = listener(&hub, 0);
    for offset in 1..=600 {
        hub.deliver(&event(offset));
        if offset % 100 == 0 {
            taken(&first);
        }
    }
    let lanes = connect(&hub);
    hub.register(LOT(), &lanes);
    let join = |offset| hub.join(LOT(), lanes.id, Some(at(offset)), vec!["snapshot".into()]);
    assert_eq!(join(50), Joined::TooOld);
    assert!(taken(&lanes).is_empty());
    assert_eq!(join(598), Joined::Live);
    assert_eq!(taken(&lanes), ["snapshot", "599", "600"]);
    hub.unregister(LOT(), lanes.id);
    assert_eq!(join(600), Joined::Gone);
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_from_the_ring() {
    let hub = hub(&[]);
    let gone = listener(&hub, 4);
    hub.unregister(LOT(), gone.id);
    for offset in 5..=9 {
        hub.deliver(&event(offset));
    }
    assert!(taken(&gone).is_empty());
    let lanes = connect(&hub);
    hub.register(LOT(), &lanes);
    assert!(
        !hub.resume(lot(), lanes.id, at(3), "resumed".into()),
        "lost"
    );
    let another = Position {
        epoch: 7,
        offset: 9,
    };
    assert!(!hub.resume(lot(), lanes.id, another, "resumed".into()));
    assert!(hub.resume(lot(), lanes.id, at(6), "resumed".into()));
    assert_eq!(taken(&lanes), ["resumed", "7", "8", "9"]);
    hub.deliver(&event(10));
    assert_eq!(taken(&lanes), ["10"]);
}

#[tokio::test]
async fn a_client_ahead_of_the_log_has_lost_nothing() {
    let hub = hub(&[]);
    let slow = listener(&hub, 4);
    let lanes = connect(&hub);
    hub.register(LOT(), &lanes);
    assert!(
        !hub.resume(lot(), lanes.id, at(6), "resumed".into()),
        "only the ledger knows whether there is a 6"
    );
    let joined = hub.join(LOT(), lanes.id, Some(at(6)), vec!["joined".into()]);
    assert_eq!(joined, Joined::Live);
    for offset in 5..=7 {
        hub.deliver(&event(offset));
    }
    assert_eq!(taken(&lanes), ["joined", "7"], "5 and 6 it has");
    assert_eq!(taken(&slow), numbers(5..=7));
}

#[tokio::test]
async fn nobody_goes_on_by_a_number_of_their_own() {
    let hub = hub(&[]);
    let honest = listener(&hub, 4);
    for made_up in [5, 1_000_000_000, i64::MAX, -1, i64::MIN] {
        let lanes = connect(&hub);
        hub.register(LOT(), &lanes);
        let resumed = hub.resume(lot(), lanes.id, at(made_up), "resumed".into());
        assert!(!resumed, "{made_up}");
        hub.unregister(LOT(), lanes.id);
    }
    for offset in 5..=6 {
        hub.deliver(&event(offset));
    }
    assert_eq!(taken(&honest), numbers(5..=6));
}

#[tokio::test]
async fn nobody_goes_on_by_an_offset_in_the_room_of_a_drop() {
    let hub = hub(&[]);
    let _there = listener(&hub, 4);
    let mut drop = card(4);
    drop.terms = Terms::Drop {
        price: money(5),
        units: 9,
        units_left: 9,
        limit: None,
    };
    hub.note_mechanism(&drop);
    let lanes = connect(&hub);
    hub.register(LOT(), &lanes);
    assert!(!hub.resume(lot(), lanes.id, at(4), "resumed".into()));
}

#[tokio::test]
async fn a_new_history_at_a_join_is_told_to_those_who_listen() {
    let hub = hub(&[]);
    let there = listener(&hub, 4);
    let lanes = connect(&hub);
    hub.register(LOT(), &lanes);
    let anew = Position {
        epoch: 2,
        offset: 1,
    };
    let joined = hub.join(LOT(), lanes.id, Some(anew), vec!["snapshot".into()]);
    assert_eq!(joined, Joined::Live);
    assert_eq!(taken(&there), ["resync"]);
    assert_eq!(taken(&lanes), ["snapshot"]);
}

#[tokio::test]
async fn who_asks_for_another_snapshot_in_vain_goes_on_as_before() {
    let hub = hub(&[]);
    let lanes = listener(&hub, 4);
    hub.register(LOT(), &lanes);
    hub.deliver(&event(5));
    hub.push(LOT(), Push::Tick { price: money(3) });
    assert!(taken(&lanes).is_empty(), "a snapshot is being read");
    assert!(hub.go_back(LOT(), lanes.id));
    assert_eq!(taken(&lanes), ["5", "other"]);
    hub.deliver(&event(6));
    assert_eq!(taken(&lanes), ["6"]);
    // Of a history that ended meanwhile nothing is left to go on with.
    hub.register(LOT(), &lanes);
    hub.resync_all();
    assert!(!hub.go_back(LOT(), lanes.id));
    assert_eq!(taken(&lanes), ["resync"]);
    // Who never was on the channel is off it again, without another word.
    hub.register(LOT(), &lanes);
    assert!(!hub.go_back(LOT(), lanes.id));
    assert!(taken(&lanes).is_empty());
    assert!(!hub.is_heard(LOT()));
}

#[tokio::test]
async fn with_too_many_pushes_the_snapshot_is_read_again_and_notices_are_kept() {
    let hub = hub(&[]);
    let ada = Audience::Person(PrincipalId::from_uuid(Uuid::from_u128(1)));
    let lanes = connect(&hub);
    let notice = || {
        Push::Notice(Notice::Freed {
            lot: lot(),
            title: "Lamp".to_owned(),
            freed: money(1),
        })
    };
    let wallet = |version| {
        Push::Wallet(WalletView {
            available: money(1),
            held: money(0),
            spent: money(0),
            funded: money(1),
            version,
        })
    };
    let join = || hub.join(ada, lanes.id, None, vec!["snapshot".into()]);
    hub.register(ada, &lanes);
    hub.push(ada, notice());
    for version in 1..=200 {
        hub.push(ada, wallet(version));
    }
    assert_eq!(join(), Joined::TooOld);
    hub.push(ada, wallet(201));
    assert_eq!(join(), Joined::Live);
    assert_eq!(taken(&lanes), ["snapshot", "notice", "wallet 201"]);
    // A reader for whom even the notices are too many is told to begin again.
    let slow = connect(&hub);
    hub.register(ada, &slow);
    (0..200).for_each(|_| hub.push(ada, notice()));
    assert_eq!(slow.take(32).close.map(|c| c.code), Some(close_code::SLOW));
}
