//! Sockets against a real server on a free port: what a client gets when all is well. The money
//! plane is a fake behind its port; chat, crowd and stream run on an embedded `DynamoDB`.
#![expect(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test may end it, and names only what it expects"
)]

#[path = "support/house.rs"]
mod house;
#[path = "support/store.rs"]
mod store;

use house::{
    House, PATIENCE, Socket, claimed, drop_lot, dutch_lot, english_lot, lot_event, money, person,
    with_units_left,
};
use server::events::Audience;
use server::ids;
use server::live::LiveConfig;
use shared::LotId;
use shared::live::{
    Channel, ClientFrame, ErrorCode, Position, Push, ServerMessage, Snapshot, close_code,
};
use shared::view::{ChatView, CrowdView, Notice, Reaction};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

fn at(offset: i64) -> Position {
    Position { epoch: 1, offset }
}

/// The offset of the next event of a lot.
async fn next_offset(socket: &mut Socket) -> i64 {
    match socket.next().await {
        ServerMessage::Push {
            position: Some(position),
            ..
        } => position.offset,
        other => panic!("no event: {other:?}"),
    }
}

async fn next_snapshot(socket: &mut Socket) -> Snapshot {
    match socket.next().await {
        ServerMessage::Snapshot { snapshot, .. } => *snapshot,
        other => panic!("no snapshot: {other:?}"),
    }
}

async fn next_push(socket: &mut Socket) -> Push {
    match socket.next().await {
        ServerMessage::Push { push, .. } => *push,
        other => panic!("no push: {other:?}"),
    }
}

async fn say(socket: &mut Socket, lot: LotId, client_id: &str, text: &str) -> u32 {
    let (client_id, text) = (client_id.to_owned(), text.to_owned());
    let chat = |id| ClientFrame::Chat {
        id,
        lot,
        client_id,
        text,
    };
    socket.send(chat).await
}

async fn joined(house: &House, handle: Option<&str>, channel: Channel) -> Socket {
    let mut socket = house.socket(handle).await;
    assert!(!socket.subscribe(channel, None).await);
    next_snapshot(&mut socket).await;
    socket
}

/// Reads crowds until one fits.
async fn crowd_with(socket: &mut Socket, what: &str, fits: impl Fn(&CrowdView) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        let Push::Crowd(crowd) = next_push(socket).await else {
            continue;
        };
        if fits(&crowd) {
            return;
        }
        last = Some(crowd);
    }
    panic!("never {what}, but {last:?}");
}

#[tokio::test]
async fn every_channel_begins_with_its_snapshot() {
    let house = House::open().await;
    let lot = house.lot;
    let mut socket = house.socket(Some("ada")).await;
    assert!(!socket.subscribe(Channel::Lot(lot), None).await);
    let Snapshot::Room(room) = next_snapshot(&mut socket).await else {
        panic!("no room");
    };
    assert_eq!((room.lot.id, room.lot.offset), (lot, 4));
    socket.subscribe(Channel::Chat(lot), None).await;
    let chat = next_snapshot(&mut socket).await;
    assert_eq!(chat, Snapshot::Chat(ChatView::default()));
    socket.subscribe(Channel::Floor, None).await;
    let Snapshot::Floor(floor) = next_snapshot(&mut socket).await else {
        panic!("no floor");
    };
    assert_eq!(floor.live, [english_lot(lot, 4)]);
    socket.subscribe(Channel::Me, None).await;
    let Snapshot::Me { wallet } = next_snapshot(&mut socket).await else {
        panic!("no wallet");
    };
    assert_eq!(wallet.map(|w| w.version), Some(3));
    socket.subscribe(Channel::Crowd(lot), None).await;
    let crowd = next_snapshot(&mut socket).await;
    assert_eq!(crowd, Snapshot::Crowd(CrowdView::default()));
}

#[tokio::test]
async fn an_event_comes_once_by_the_hub_or_by_the_stream() {
    let house = House::open().await;
    let mut socket = joined(&house, None, Channel::Lot(house.lot)).await;
    // By both ways, by the hub alone, by the stream alone.
    let (five, six, seven) = (
        lot_event(house.lot, 5),
        lot_event(house.lot, 6),
        lot_event(house.lot, 7),
    );
    house.hub.deliver(&five);
    house.firehose.append_event(&five).await.expect("appends");
    house.hub.deliver(&six);
    house.firehose.append_event(&seven).await.expect("appends");
    for offset in 5..=7 {
        assert_eq!(next_offset(&mut socket).await, offset);
    }
}

#[tokio::test]
async fn a_hole_is_filled_from_the_event_log() {
    // Before this node follows the stream, so only the log can tell it of them.
    let house = House::after(LiveConfig::default(), &[5, 6]).await;
    let mut socket = joined(&house, None, Channel::Lot(house.lot)).await;
    house.hub.deliver(&lot_event(house.lot, 7));
    for offset in 5..=7 {
        assert_eq!(next_offset(&mut socket).await, offset);
    }
    assert_eq!(house.hub.counters.gaps_filled.get(), 1);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_leaves_a_live_channel_as_it_was() {
    let house = House::open().await;
    let channel = Channel::Lot(house.lot);
    let mut socket = joined(&house, None, channel).await;
    house.ledger.is_down.store(true, Ordering::Relaxed);
    let since = None;
    socket
        .send(|id| ClientFrame::Subscribe { id, channel, since })
        .await;
    refused(&mut socket, ErrorCode::Unavailable).await;
    house.hub.deliver(&lot_event(house.lot, 5));
    assert_eq!(next_offset(&mut socket).await, 5);
}

#[tokio::test]
async fn claims_at_the_same_time_end_at_the_ledgers_number() {
    let house = House::open().await;
    let (lot, unheard) = (ids::lot(), ids::lot());
    for lot in [lot, unheard] {
        house.ledger.put(drop_lot(lot, 4));
    }
    let mut room = joined(&house, None, Channel::Lot(lot)).await;
    let reads = *house.ledger.reads.lock().expect("healthy");
    house.hub.deliver(&claimed(unheard, 8));
    // Neither claim saw the other, so both say 8 of 9.
    house.ledger.put(with_units_left(drop_lot(lot, 4), 7));
    for _ in 0..2 {
        house.hub.deliver(&claimed(lot, 8));
    }
    assert_eq!(units_left(&mut room, 3).await, [8, 8, 7]);
    let reads = *house.ledger.reads.lock().expect("healthy") - reads;
    assert_eq!(reads, 1, "for both claims, and none for the unheard lot");
    // The floor shows the number too.
    let mut floor = joined(&house, None, Channel::Floor).await;
    house.ledger.put(with_units_left(drop_lot(lot, 4), 5));
    house.hub.deliver(&claimed(lot, 6));
    let mut cards = Vec::new();
    while cards.len() < 2 {
        if let Push::Card(card) = next_push(&mut floor).await {
            cards.push(card);
        }
    }
    let left = |left| with_units_left(drop_lot(lot, 4), left);
    assert_eq!(cards, [left(6), left(5)]);
}

async fn units_left(socket: &mut Socket, pushes: usize) -> Vec<u32> {
    let mut all = Vec::new();
    while all.len() < pushes {
        if let Push::Stock { units_left, .. } = next_push(socket).await {
            all.push(units_left);
        }
    }
    all
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_without_a_read() {
    let house = House::open().await;
    let lot = house.lot;
    let mut first = joined(&house, None, Channel::Lot(lot)).await;
    house.hub.deliver(&lot_event(lot, 5));
    assert_eq!(next_offset(&mut first).await, 5);
    drop(first);
    for offset in 6..=8 {
        house.hub.deliver(&lot_event(lot, offset));
    }
    let reads = *house.ledger.reads.lock().expect("healthy");
    let mut again = house.socket(None).await;
    assert!(again.subscribe(Channel::Lot(lot), Some(at(5))).await);
    for offset in 6..=8 {
        assert_eq!(next_offset(&mut again).await, offset);
    }
    assert_eq!(*house.ledger.reads.lock().expect("healthy"), reads);
    house.hub.deliver(&lot_event(lot, 9));
    assert_eq!(next_offset(&mut again).await, 9);
}

#[tokio::test]
async fn lost_history_is_said_and_a_client_ahead_has_lost_nothing() {
    let house = House::open().await;
    let lot = house.lot;
    let mut socket = house.socket(None).await;
    for lost in [
        at(1),
        Position {
            epoch: 9,
            offset: 4,
        },
    ] {
        assert!(!socket.subscribe(Channel::Lot(lot), Some(lost)).await);
        let Snapshot::Room(room) = next_snapshot(&mut socket).await else {
            panic!("no room");
        };
        assert_eq!(room.lot.offset, 4);
    }
    // The ledger has 5 and 6, and this node has not heard of them yet.
    house.ledger.put(english_lot(lot, 6));
    let mut ahead = house.socket(None).await;
    assert!(ahead.subscribe(Channel::Lot(lot), Some(at(6))).await);
    for offset in 5..=7 {
        house.hub.deliver(&lot_event(lot, offset));
    }
    assert_eq!(next_offset(&mut ahead).await, 7, "5 and 6 it has");
}

#[tokio::test]
async fn a_made_up_place_gets_a_snapshot_and_harms_nobody() {
    for made_up in [1_000_000_000, i64::MAX, -1, i64::MIN] {
        let house = House::open().await;
        let channel = Channel::Lot(house.lot);
        let mut liar = house.socket(None).await;
        assert!(
            !liar.subscribe(channel, Some(at(made_up))).await,
            "{made_up}"
        );
        next_snapshot(&mut liar).await;
        let mut honest = joined(&house, None, channel).await;
        for offset in 5..=6 {
            house.hub.deliver(&lot_event(house.lot, offset));
            assert_eq!(next_offset(&mut honest).await, offset, "{made_up}");
            assert_eq!(next_offset(&mut liar).await, offset, "{made_up}");
        }
        assert!(
            !liar.subscribe(channel, Some(at(made_up))).await,
            "{made_up}"
        );
    }
}

#[tokio::test]
async fn who_comes_back_to_a_drop_sees_the_claims_made_meanwhile() {
    let house = House::open().await;
    let lot = ids::lot();
    house.ledger.put(drop_lot(lot, 4));
    let first = joined(&house, None, Channel::Lot(lot)).await;
    drop(first);
    house.hub.deliver(&claimed(lot, 7));
    house.ledger.put(with_units_left(drop_lot(lot, 4), 7));
    let mut again = house.socket(None).await;
    assert!(!again.subscribe(Channel::Lot(lot), Some(at(4))).await);
    let Snapshot::Room(room) = next_snapshot(&mut again).await else {
        panic!("no room");
    };
    assert_eq!(room.lot, with_units_left(drop_lot(lot, 4), 7));
}

#[tokio::test]
async fn a_fresh_node_lets_a_client_go_on_that_missed_nothing() {
    let house = House::open().await;
    let mut socket = house.socket(None).await;
    let channel = Channel::Lot(house.lot);
    assert!(socket.subscribe(channel, Some(at(4))).await);
    house.hub.deliver(&lot_event(house.lot, 5));
    assert_eq!(next_offset(&mut socket).await, 5);
}

#[tokio::test]
async fn chat_reaches_the_other_socket_and_a_repeat_is_shown_once() {
    let house = House::open().await;
    let lot = house.lot;
    let mut ada = joined(&house, Some("ada"), Channel::Chat(lot)).await;
    let mut bo = joined(&house, Some("bo"), Channel::Chat(lot)).await;
    for text in ["  hello\u{202E} there ", "hello again, same id"] {
        let id = say(&mut ada, lot, "c1", text).await;
        loop {
            match ada.next().await {
                ServerMessage::Done { id: done } => break assert_eq!(done, id),
                ServerMessage::Push { .. } => {}
                other => panic!("not said: {other:?}"),
            }
        }
    }
    say(&mut bo, lot, "c1", "hi").await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        if let ServerMessage::Push { push, .. } = bo.next().await
            && let Push::Chat(message) = *push
        {
            heard.push((message.who.handle, message.client_id, message.text));
        }
    }
    let line = |who: &str, text: &str| (who.to_owned(), "c1".to_owned(), text.to_owned());
    assert_eq!(heard, [line("ada", "hello there"), line("bo", "hi")]);
    let mut late = house.socket(None).await;
    late.subscribe(Channel::Chat(lot), None).await;
    let Snapshot::Chat(ChatView { messages, .. }) = next_snapshot(&mut late).await else {
        panic!("no chat");
    };
    assert_eq!(messages.len(), 2);
}

#[tokio::test]
async fn the_crowd_sees_who_comes_feels_and_goes() {
    let house = House::open().await;
    let lot = house.lot;
    let mut ada = joined(&house, Some("ada"), Channel::Crowd(lot)).await;
    crowd_with(&mut ada, "alone", |crowd| crowd.people == [person("ada")]).await;
    let mut bo = joined(&house, Some("bo"), Channel::Crowd(lot)).await;
    let guest = joined(&house, None, Channel::Crowd(lot)).await;
    crowd_with(&mut ada, "three", |crowd| {
        crowd.watchers == 3 && crowd.people == [person("ada"), person("bo")]
    })
    .await;
    bo.send(|id| ClientFrame::React {
        id,
        lot,
        reaction: Reaction::Fire,
    })
    .await;
    crowd_with(&mut ada, "on fire", |crowd| {
        crowd.reactions.get(&Reaction::Fire) == Some(&1)
    })
    .await;
    bo.send(|id| ClientFrame::Unsubscribe {
        id,
        channel: Channel::Crowd(lot),
    })
    .await;
    drop(guest);
    crowd_with(&mut ada, "alone again", |crowd| crowd.watchers == 1).await;
}

#[tokio::test]
async fn a_dutch_price_falls_on_every_screen() {
    let house = House::open().await;
    let lot = ids::lot();
    let tick_ms = 100;
    house.ledger.put(dutch_lot(lot, house.clock.now(), tick_ms));
    let mut socket = joined(&house, None, Channel::Lot(lot)).await;
    let mut prices = Vec::new();
    while prices.len() < 4 {
        if let Push::Tick { price } = next_push(&mut socket).await {
            prices.push(price.minor());
        }
    }
    assert!(prices.is_sorted_by(|a, b| a > b), "{prices:?}");
    assert!(prices.iter().all(|price| price % 10 == 0), "{prices:?}");
    house.hub.deliver(&lot_event(lot, 1));
    // At most one tick was on its way when the lot ended.
    let quiet = Duration::from_millis(350);
    let mut after = 0;
    while let Ok(next) = tokio::time::timeout(quiet, socket.next()).await {
        let tick = matches!(&next, ServerMessage::Push { position: None, .. });
        after += u32::from(tick);
    }
    assert!(after <= 1, "{after} ticks of a lot that is over");
}

#[tokio::test]
async fn a_session_that_is_gone_makes_a_guest() {
    let house = House::open().await;
    let mut request = house.request("?as=cleo&in=eu-west-1");
    let cookie = "sessions=ada+bo".parse().expect("a header");
    request.headers_mut().insert("cookie", cookie);
    let mut socket = Socket::open(request).await.expect("connects");
    let hello = socket.next().await;
    assert_eq!(hello, ServerMessage::Hello { acting: None });
    let channel = Channel::Me;
    let since = None;
    let frame = |id| ClientFrame::Subscribe { id, channel, since };
    socket.send(frame).await;
    refused(&mut socket, ErrorCode::SignIn).await;
    say(&mut socket, house.lot, "c1", "let me in").await;
    refused(&mut socket, ErrorCode::SignIn).await;
    let (lot, reaction) = (house.lot, Reaction::Gasp);
    socket
        .send(|id| ClientFrame::React { id, lot, reaction })
        .await;
    refused(&mut socket, ErrorCode::SignIn).await;
    // Watching is for everybody.
    assert!(!socket.subscribe(Channel::Lot(lot), None).await);
}

async fn refused(socket: &mut Socket, expected: ErrorCode) {
    match socket.next().await {
        ServerMessage::Error { code, id, .. } => {
            assert_eq!(code, expected);
            assert!(id.is_some());
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_handle_selects_among_the_cookies_sessions() {
    let house = House::open().await;
    let mut request = house.request("?as=bo");
    let cookie = "sessions=ada+bo".parse().expect("a header");
    request.headers_mut().insert("cookie", cookie);
    let mut socket = Socket::open(request).await.expect("connects");
    let acting = Some("bo".to_owned());
    assert_eq!(socket.next().await, ServerMessage::Hello { acting });
}

#[tokio::test]
async fn a_pong_answers_a_ping() {
    let house = House::open().await;
    let mut socket = house.socket(None).await;
    let id = socket.send(|id| ClientFrame::Ping { id }).await;
    assert_eq!(socket.next().await, ServerMessage::Pong { id });
}

/// Nobody else's socket hears what is a person's own, also not one of the same browser.
#[tokio::test]
async fn news_reach_the_person_and_nobody_else() {
    let house = House::open().await;
    let mut ada = joined(&house, Some("ada"), Channel::Me).await;
    let mut bo = joined(&house, Some("bo"), Channel::Me).await;
    let mut request = house.request("?as=bo");
    let cookie = "sessions=ada+bo".parse().expect("a header");
    request.headers_mut().insert("cookie", cookie);
    let mut both = Socket::open(request).await.expect("connects");
    assert!(matches!(both.next().await, ServerMessage::Hello { .. }));
    both.subscribe(Channel::Me, None).await;
    next_snapshot(&mut both).await;
    let mut room = joined(&house, None, Channel::Lot(house.lot)).await;
    let notice = Notice::Freed {
        lot: house.lot,
        title: "Lamp".to_owned(),
        freed: money(1),
    };
    let hers = Audience::Person(person("ada").id);
    house.hub.push(hers, Push::Notice(notice.clone()));
    let ServerMessage::Push { push, .. } = ada.next().await else {
        panic!("no push");
    };
    assert_eq!(*push, Push::Notice(notice));
    for socket in [&mut bo, &mut both, &mut room] {
        let id = socket.send(|id| ClientFrame::Ping { id }).await;
        assert_eq!(
            socket.next().await,
            ServerMessage::Pong { id },
            "nothing before"
        );
    }
}

#[tokio::test]
async fn a_slow_reader_is_told_to_resume() {
    let house = House::open().await;
    let mut socket = joined(&house, Some("ada"), Channel::Me).await;
    let notice = Notice::Freed {
        lot: house.lot,
        title: "x".repeat(200_000),
        freed: money(1),
    };
    let ada = Audience::Person(person("ada").id);
    let deadline = Instant::now() + PATIENCE;
    while house.hub.counters.slow_closed.get() == 0 {
        assert!(Instant::now() < deadline, "never too slow");
        house.hub.push(ada, Push::Notice(notice.clone()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(socket.closes().await, close_code::SLOW);
}

#[tokio::test]
async fn silence_is_noticed() {
    let config = LiveConfig {
        ping_every: Duration::from_millis(500),
        ..LiveConfig::default()
    };
    let house = House::with(config).await;
    let mut socket = house.socket(None).await;
    let deadline = Instant::now() + PATIENCE;
    // A client that does not read does not answer pings either.
    while house.hub.counters.silent_closed.get() == 0 {
        assert!(Instant::now() < deadline, "never noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(socket.closes().await, close_code::SILENT);
}

#[tokio::test]
async fn a_shutdown_closes_sockets_and_lets_nobody_in() {
    let house = House::open().await;
    let mut socket = joined(&house, Some("ada"), Channel::Crowd(house.lot)).await;
    crowd_with(&mut socket, "there", |crowd| crowd.watchers == 1).await;
    let live = house.live.clone();
    let shutdown = tokio::spawn(async move { live.shutdown().await });
    assert_eq!(socket.closes().await, close_code::RESTART);
    let refused = Socket::open(house.request("")).await.err();
    assert_eq!(refused.map(|(status, _)| status), Some(503));
    drop(socket);
    shutdown.await.expect("ends");
    let now = house.clock.now();
    let crowd = house.firehose.crowd(house.lot, now).await.expect("reads");
    assert_eq!(crowd.watchers, 0, "everybody was taken out");
    assert_eq!(house.hub.counters.sockets.get(), 0);
}
