//! How much a client may have and how fast it may talk, with the answer to whoever goes beyond it.
#![expect(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test may end it, and names only what it expects"
)]

#[path = "support/house.rs"]
mod house;
#[path = "support/store.rs"]
mod store;

use house::{House, Socket};
use server::ids;
use server::live::{LiveConfig, MAX_CHANNELS, MAX_CROWDS};
use shared::live::{Channel, ClientFrame, ErrorCode, ServerMessage, close_code};
use shared::view::Reaction;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// How long a subscription that was too fast waits: as long as one more takes to be allowed.
const SUBSCRIPTION_PAUSE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn nobody_takes_too_many_sockets() {
    let house = House::with(LiveConfig {
        max_sockets: 4,
        max_sockets_per_person: 2,
        ..LiveConfig::default()
    })
    .await;
    let one = house.socket(Some("ada")).await;
    let _two = house.socket(Some("ada")).await;
    let mut third = house.request("");
    let cookie = "sessions=ada".parse().expect("a header");
    third.headers_mut().insert("cookie", cookie);
    let refused = Socket::open(third.clone()).await.err();
    assert_eq!(refused.map(|(status, _)| status), Some(503));
    let _guests = (house.socket(None).await, house.socket(None).await);
    let refused = Socket::open(house.request("")).await.err();
    assert_eq!(refused.map(|(status, _)| status), Some(503));
    drop(one);
    // The place is free again once the server has seen the end.
    for _ in 0..100 {
        if let Ok(_socket) = Socket::open(third.clone()).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place was not given back");
}

#[tokio::test]
async fn nobody_has_a_fifty_first_socket() {
    let house = House::open().await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(house.socket(Some("ada")).await);
    }
    let mut request = house.request("");
    let cookie = "sessions=ada".parse().expect("a header");
    request.headers_mut().insert("cookie", cookie);
    let refused = Socket::open(request).await.err();
    assert_eq!(refused.map(|(status, _)| status), Some(503));
    let _bo = house.socket(Some("bo")).await;
    for socket in &mut sockets {
        let id = socket.send(|id| ClientFrame::Ping { id }).await;
        assert_eq!(socket.next().await, ServerMessage::Pong { id });
    }
}

#[tokio::test]
async fn guests_of_one_address_share_their_sockets_unless_a_proxy_is_in_front() {
    let limits = LiveConfig {
        max_guest_sockets_per_address: 2,
        ..LiveConfig::default()
    };
    let house = House::with(limits.clone()).await;
    let _guests = (house.socket(None).await, house.socket(None).await);
    let refused = Socket::open(house.request("")).await.err();
    assert_eq!(refused.map(|(status, _)| status), Some(503));
    let _person = house.socket(Some("ada")).await;

    let public = "https://lotzero.example";
    let behind = House::with(LiveConfig {
        public_url: Some(public.parse().expect("an address")),
        ..limits
    })
    .await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut request = behind.request("");
        let origin = public.parse().expect("a header");
        request.headers_mut().insert("origin", origin);
        sockets.push(Socket::open(request).await.expect("connects"));
    }
}

#[tokio::test]
async fn a_flood_of_the_protocols_own_pings_is_closed() {
    let house = House::open().await;
    let mut socket = house.socket(None).await;
    for _ in 0..400 {
        let ping = Message::Ping(b"x".to_vec().into());
        if futures::SinkExt::send(&mut socket.inner, ping)
            .await
            .is_err()
        {
            break;
        }
    }
    assert_eq!(socket.closes().await, close_code::POLICY);
}

#[tokio::test]
async fn a_flood_is_told_and_then_closed() {
    let house = House::open().await;
    let mut socket = house.socket(None).await;
    for _ in 0..400 {
        let frame = r#"{"type":"ping","id":9}"#;
        if futures::SinkExt::send(&mut socket.inner, Message::text(frame))
            .await
            .is_err()
        {
            break;
        }
    }
    let (mut pongs, mut refused) = (0, 0);
    let code = loop {
        match socket.next_or_close().await {
            Ok(ServerMessage::Pong { .. }) => pongs += 1,
            Ok(ServerMessage::Error {
                id: Some(9),
                code: ErrorCode::RateLimited,
                temporary: true,
                ..
            }) => refused += 1,
            Ok(other) => panic!("unexpected {other:?}"),
            Err(code) => break code,
        }
    };
    assert_eq!(code, Some(close_code::POLICY));
    assert!((100..200).contains(&pongs), "{pongs} pongs");
    assert!((16..=18).contains(&refused), "{refused} refused");
}

/// Messages sent at once.
const CHATS: u32 = 12;

#[tokio::test]
async fn talking_and_reacting_too_fast_is_refused_and_later_fine() {
    let house = House::open().await;
    let lot = house.lot;
    let mut socket = house.socket(Some("ada")).await;
    for n in 0..CHATS {
        let (client_id, text) = (format!("c{n}"), "spam".to_owned());
        socket
            .send(|id| ClientFrame::Chat {
                id,
                lot,
                client_id,
                text,
            })
            .await;
    }
    let mut refused = 0;
    for _ in 0..CHATS {
        match socket.next().await {
            ServerMessage::Done { .. } => {}
            ServerMessage::Error { code, .. } => {
                assert_eq!(code, ErrorCode::RateLimited);
                refused += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    // Five at once pass; on a slow machine one or the other more while the rest is sent.
    assert!((1..=CHATS - 5).contains(&refused), "{refused} of {CHATS}");
    let reaction = Reaction::Clap;
    socket
        .send(|id| ClientFrame::React { id, lot, reaction })
        .await;
    assert!(matches!(socket.next().await, ServerMessage::Done { .. }));
}

/// Reactions sent at once: the burst, and fewer more than are forgiven.
const REACTS: u32 = 32;

#[tokio::test]
async fn reacting_too_much_at_once_is_refused_and_the_rest_is_counted() {
    let house = House::open().await;
    let lot = house.lot;
    let mut socket = house.socket(Some("ada")).await;
    let reaction = Reaction::Heart;
    for _ in 0..REACTS {
        let frame = |id| ClientFrame::React { id, lot, reaction };
        socket.send(frame).await;
    }
    let (mut done, mut refused) = (0, 0);
    for _ in 0..REACTS {
        match socket.next().await {
            ServerMessage::Done { .. } => done += 1,
            ServerMessage::Error { code, .. } => {
                assert_eq!(code, ErrorCode::RateLimited);
                refused += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    // Twenty at once; on a slow machine one or the other more while the rest is sent.
    assert!((1..=REACTS - 20).contains(&refused), "{refused} refused");
    for _ in 0..100 {
        let counted = house.firehose.reactions(lot).await.expect("reads");
        if counted.values().sum::<u64>() == done {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{done} reactions were acknowledged and not counted");
}

/// A room's reactions are written four times a second; what a socket says after one is not held up
/// until then. On a machine that stalls it may be, so it is tried a few times.
#[tokio::test]
async fn a_ping_waits_for_no_reaction_to_be_written() {
    let house = House::open().await;
    let lot = house.lot;
    let mut socket = house.socket(Some("ada")).await;
    for _ in 0..5 {
        for _ in 0..2 {
            let reaction = Reaction::Clap;
            let frame = |id| ClientFrame::React { id, lot, reaction };
            socket.send(frame).await;
        }
        socket.send(|id| ClientFrame::Ping { id }).await;
        let answers = [
            socket.next().await,
            socket.next().await,
            socket.next().await,
        ];
        if matches!(answers[2], ServerMessage::Done { .. }) {
            return;
        }
    }
    panic!("a pong always came last");
}

/// Subscribes as often as it takes until it is not too fast; answers the refusal, if there is one.
async fn subscribe_in_time(socket: &mut Socket, channel: Channel) -> Option<ErrorCode> {
    loop {
        let since = None;
        let frame = |id| ClientFrame::Subscribe { id, channel, since };
        socket.send(frame).await;
        match socket.next().await {
            ServerMessage::Subscribed { .. } => break,
            ServerMessage::Error { code, .. } if code != ErrorCode::RateLimited => {
                return Some(code);
            }
            ServerMessage::Error { .. } => tokio::time::sleep(SUBSCRIPTION_PAUSE).await,
            ServerMessage::Push { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(matches!(
        socket.next().await,
        ServerMessage::Snapshot { .. }
    ));
    None
}

#[tokio::test]
async fn a_socket_has_so_many_channels_and_no_more() {
    let house = House::open().await;
    let lots: Vec<_> = (0..=MAX_CHANNELS).map(|_| ids::lot()).collect();
    let mut socket = house.socket(None).await;
    for (n, lot) in lots.iter().enumerate() {
        house.ledger.put(house::drop_lot(*lot, 0));
        let refused = subscribe_in_time(&mut socket, Channel::Lot(*lot)).await;
        let expected = (n == MAX_CHANNELS).then_some(ErrorCode::TooManyChannels);
        assert_eq!(refused, expected);
    }
    // One that it has already may be joined again, and one that it leaves makes room.
    let channel = Channel::Lot(lots[0]);
    assert_eq!(subscribe_in_time(&mut socket, channel).await, None);
    let id = socket
        .send(|id| ClientFrame::Unsubscribe { id, channel })
        .await;
    assert_eq!(socket.next().await, ServerMessage::Done { id });
    assert_eq!(subscribe_in_time(&mut socket, Channel::Floor).await, None);
}

#[tokio::test]
async fn a_socket_is_in_a_few_rooms_at_most() {
    let house = House::open().await;
    let lots: Vec<_> = (0..=MAX_CROWDS).map(|_| ids::lot()).collect();
    let mut socket = house.socket(None).await;
    for (n, lot) in lots.iter().enumerate() {
        house.ledger.put(house::drop_lot(*lot, 0));
        let since = None;
        let channel = Channel::Crowd(*lot);
        let frame = |id| ClientFrame::Subscribe { id, channel, since };
        let asked = socket.send(frame).await;
        let refused = loop {
            match socket.next().await {
                ServerMessage::Subscribed { id, .. } if id == asked => break None,
                ServerMessage::Error { code, .. } => break Some(code),
                ServerMessage::Snapshot { .. } | ServerMessage::Push { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        };
        let expected = (n == MAX_CROWDS).then_some(ErrorCode::TooManyChannels);
        assert_eq!(refused, expected);
    }
}

#[tokio::test]
async fn asking_for_lots_that_do_not_exist_is_slowed_down() {
    let house = House::open().await;
    let mut socket = house.socket(Some("ada")).await;
    let reads = *house.ledger.reads.lock().expect("healthy");
    let mut codes = Vec::new();
    for n in 0..34 {
        let lot = ids::lot();
        if n % 2 == 0 {
            let (channel, since) = (Channel::Lot(lot), None);
            let frame = |id| ClientFrame::Subscribe { id, channel, since };
            socket.send(frame).await;
        } else {
            let reaction = Reaction::Clap;
            let frame = |id| ClientFrame::React { id, lot, reaction };
            socket.send(frame).await;
        }
        codes.push(socket.error().await.1);
    }
    let reads = *house.ledger.reads.lock().expect("healthy") - reads;
    // The burst, and what a slow machine is allowed meanwhile.
    assert!((20..30).contains(&reads), "{reads} reads of the ledger");
    assert!(codes.contains(&ErrorCode::NotFound), "{codes:?}");
    assert!(codes.contains(&ErrorCode::RateLimited), "{codes:?}");
}
