//! Everything a client may do wrong on a socket, with the answer it gets. After each row the
//! house still serves the next client.
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
use shared::live::{
    Channel, ClientFrame, ErrorCode, MAX_FRAME_BYTES, SUBPROTOCOL, ServerMessage, close_code,
};
use shared::view::Reaction;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// How long a subscription that was too fast waits: as long as one more takes to be allowed.
const SUBSCRIPTION_PAUSE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn handshakes_are_checked_before_the_upgrade() {
    let house = House::open().await;
    let own = format!("http://{}", house.address);
    let other_port = "http://127.0.0.1:1".to_owned();
    let tls = format!("https://{}", house.address);
    let (ok, bad) = (SUBPROTOCOL, "lotzero.v9.cbor");
    // Origin, subprotocol, query, cookie → status.
    let rows = [
        (Some(own.as_str()), Some(ok), "", "", 101),
        (Some("https://lotzero.example"), Some(ok), "", "", 403),
        (
            Some(&own),
            Some("lotzero.v9.cbor, lotzero.v1.json"),
            "",
            "",
            101,
        ),
        (None, Some(ok), "", "", 403),
        (Some("null"), Some(ok), "", "", 403),
        (Some("http://evil.example"), Some(ok), "", "", 403),
        (Some(&other_port), Some(ok), "", "", 403),
        (Some(&tls), Some(ok), "", "", 403),
        (Some(&own), None, "", "", 400),
        (Some(&own), Some(bad), "", "", 400),
        (Some(&own), Some(ok), "?as=ada&as=bo", "", 400),
        (Some(&own), Some(ok), "?as=%FF", "", 101),
        (Some(&own), Some(ok), "?in=mars&x=y", "", 101),
        (Some(&own), Some(ok), "", "broken", 503),
    ];
    for (origin, protocol, query, cookie, expected) in rows {
        let mut request = house.request(query);
        let headers = request.headers_mut();
        for (name, value) in [("origin", origin), ("sec-websocket-protocol", protocol)] {
            headers.remove(name);
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("a header"));
            }
        }
        headers.insert("cookie", cookie.parse().expect("a header"));
        let row = (origin, protocol, query, cookie);
        match Socket::open(request).await {
            Ok(mut socket) => {
                assert_eq!(expected, 101, "{row:?}");
                let hello = socket.next().await;
                assert_eq!(hello, ServerMessage::Hello { acting: None }, "{row:?}");
            }
            Err((status, text)) => {
                assert_eq!(status, expected, "{row:?}");
                assert!(!text.is_empty(), "{row:?} says why");
            }
        }
    }
    assert_eq!(house.hub.counters.upgrades_refused.get(), 10);
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_told_what_one_is() {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let house = House::open().await;
    let handshake = |version: u32| {
        format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\n{KEY}\r\nSec-WebSocket-Version: {version}"
        )
    };
    let rows = [
        ("GET", "Accept: */*".to_owned(), 400, ""),
        ("GET", handshake(12), 426, "sec-websocket-version: 13"),
        ("POST", handshake(13), 405, "allow: get"),
        ("GET", handshake(13), 101, "upgrade: websocket"),
    ];
    for (method, headers, status, says) in rows {
        let mut stream = TcpStream::connect(house.address).await.expect("connects");
        let request = format!(
            "{method} /live HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\n\
             Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n{headers}\r\n\r\n",
            house.address
        );
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut head = String::new();
        let mut lines = BufReader::new(stream).lines();
        while let Some(line) = lines.next_line().await.expect("reads") {
            if line.is_empty() {
                break;
            }
            head.push_str(&line.to_lowercase());
            head.push('\n');
        }
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{method}: {head}"
        );
        assert!(head.contains(says), "{method}: {head}");
    }
}

#[tokio::test]
async fn behind_a_public_address_only_its_pages_connect() {
    let public = "https://lotzero.example";
    let house = House::with(LiveConfig {
        public_url: Some(public.parse().expect("an address")),
        ..LiveConfig::default()
    })
    .await;
    let own = format!("http://{}", house.address);
    for (origin, expected) in [(public, None), (own.as_str(), Some(403))] {
        let mut request = house.request("");
        let origin = origin.parse().expect("a header");
        request.headers_mut().insert("origin", origin);
        let refused = Socket::open(request).await.err();
        assert_eq!(refused.map(|(status, _)| status), expected);
    }
}

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

async fn error(socket: &mut Socket) -> (Option<u32>, ErrorCode, bool) {
    match socket.next().await {
        ServerMessage::Error {
            id,
            code,
            temporary,
            message,
            ..
        } => {
            assert!(!message.is_empty());
            (id, code, temporary)
        }
        other => panic!("no error: {other:?}"),
    }
}

#[tokio::test]
async fn malformed_frames_are_named_and_eight_of_them_are_enough() {
    let house = House::open().await;
    let lot = house.lot;
    let deep = "[".repeat(10_000);
    let long_id = "x".repeat(65);
    let rows = [
        (String::new(), None),
        ("not json".to_owned(), None),
        ("\u{FEFF}{}".to_owned(), None),
        ("[]".to_owned(), None),
        ("null".to_owned(), None),
        (deep, None),
        (r#"{"type":"bid","id":7,"amount":1}"#.to_owned(), Some(7)),
        (r#"{"type":"ping"}"#.to_owned(), None),
        (r#"{"type":"ping","id":-1}"#.to_owned(), None),
        (r#"{"type":"ping","id":4294967296}"#.to_owned(), None),
        (r#"{"type":"ping","id":1.5}"#.to_owned(), None),
        (r#"{"type":"ping","id":3,"extra":true}"#.to_owned(), Some(3)),
        (r#"{"type":"ping","id":3} {}"#.to_owned(), None),
        (
            r#"{"type":"ping","type":"chat","id":3}"#.to_owned(),
            Some(3),
        ),
        (
            r#"{"type":"subscribe","id":4,"channel":"ops"}"#.to_owned(),
            Some(4),
        ),
        (
            r#"{"type":"subscribe","id":4,"channel":"lot:1"}"#.to_owned(),
            Some(4),
        ),
        (
            r#"{"type":"subscribe","id":4,"channel":"floor","since":{"epoch":1}}"#.to_owned(),
            Some(4),
        ),
        (
            r#"{"type":"subscribe","id":4,"channel":"floor","since":{"epoch":1,"offset":9223372036854775808}}"#
                .to_owned(),
            Some(4),
        ),
        (
            r#"{"type":"subscribe","id":4,"channel":"floor","since":{"epoch":1,"offset":1.5}}"#
                .to_owned(),
            Some(4),
        ),
        (
            r#"{"type":"subscribe","id":4,"channel":"floor","since":{"epoch":-9223372036854775809,"offset":1}}"#
                .to_owned(),
            Some(4),
        ),
        (
            format!(r#"{{"type":"react","id":5,"lot":"{lot}","reaction":"rage"}}"#),
            Some(5),
        ),
        (
            format!(r#"{{"type":"chat","id":6,"lot":"{lot}","client_id":"","text":"x"}}"#),
            Some(6),
        ),
        (
            format!(r#"{{"type":"chat","id":6,"lot":"{lot}","client_id":"{long_id}","text":"x"}}"#),
            Some(6),
        ),
    ];
    for (text, id) in &rows {
        let mut socket = house.socket(Some("ada")).await;
        socket.text(text).await;
        let expected = (*id, ErrorCode::Malformed, false);
        assert_eq!(error(&mut socket).await, expected, "{text:.80}");
        let ping = socket.send(|id| ClientFrame::Ping { id }).await;
        assert_eq!(socket.next().await, ServerMessage::Pong { id: ping });
    }
    let mut socket = house.socket(None).await;
    for _ in 0..8 {
        socket.text("nonsense").await;
        assert_eq!(error(&mut socket).await.1, ErrorCode::Malformed);
    }
    assert_eq!(socket.closes().await, close_code::POLICY);
}

#[tokio::test]
async fn frames_that_break_the_rules_get_their_close_code() {
    let house = House::open().await;
    let text = |payload: Vec<u8>, last| {
        Message::Frame(Frame::message(payload, OpCode::Data(Data::Text), last))
    };
    let more = |payload: Vec<u8>| {
        Message::Frame(Frame::message(payload, OpCode::Data(Data::Continue), false))
    };
    let mut reserved = Frame::message(b"{}".to_vec(), OpCode::Data(Data::Text), true);
    reserved.header_mut().rsv1 = true;
    let control = |code, length, last| {
        // Made as a data frame first: the library makes no control frame of this kind.
        let mut frame = Frame::message(vec![b'x'; length], OpCode::Data(Data::Text), last);
        frame.header_mut().opcode = OpCode::Control(code);
        Message::Frame(frame)
    };
    let half = vec![b'x'; MAX_FRAME_BYTES / 2 + 1];
    let rows = [
        (
            "too large",
            vec![text(vec![b'x'; MAX_FRAME_BYTES + 1], true)],
            1009,
        ),
        (
            "much too large",
            vec![text(vec![b'x'; 4 << 20], true)],
            1009,
        ),
        (
            "fragment bomb",
            vec![text(half.clone(), false), more(half)],
            1009,
        ),
        ("binary", vec![Message::binary(b"{}".to_vec())], 1003),
        ("no UTF-8", vec![text(b"{\"\xFF\":1}".to_vec(), true)], 1007),
        ("cut UTF-8", vec![text(b"\xE2\x82".to_vec(), true)], 1007),
        ("reserved bit", vec![Message::Frame(reserved)], 1002),
        ("lone continuation", vec![more(b"x".to_vec())], 1002),
        ("long ping", vec![control(Control::Ping, 126, true)], 1002),
        ("long pong", vec![control(Control::Pong, 126, true)], 1002),
        (
            "ping in parts",
            vec![control(Control::Ping, 1, false)],
            1002,
        ),
    ];
    for (row, messages, expected) in rows {
        let mut socket = house.socket(None).await;
        for message in messages {
            // The server may have closed before all of it was sent.
            let _sent = futures::SinkExt::send(&mut socket.inner, message).await;
        }
        assert_eq!(socket.closes().await, expected, "{row}");
    }
    let mut largest = house.socket(None).await;
    largest.text(&"x".repeat(MAX_FRAME_BYTES)).await;
    assert_eq!(error(&mut largest).await.1, ErrorCode::Malformed);
}

#[tokio::test]
async fn a_frame_without_a_mask_breaks_the_protocol() {
    let house = House::open().await;
    let mut socket = house.socket(None).await;
    let MaybeTlsStream::Plain(stream) = socket.inner.get_mut() else {
        panic!("no plain connection");
    };
    // The client library masks every frame, so these bytes go around it: text, two of them, `{}`.
    stream.write_all(b"\x81\x02{}").await.expect("sends");
    assert_eq!(socket.closes().await, 1002);
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

#[tokio::test]
async fn what_does_not_exist_or_says_nothing_is_refused() {
    let house = House::open().await;
    let (lot, nowhere) = (house.lot, ids::lot());
    let mut socket = house.socket(Some("ada")).await;
    for channel in [
        Channel::Lot(nowhere),
        Channel::Chat(nowhere),
        Channel::Crowd(nowhere),
        // Nobody here knows what panels show.
        Channel::Vitals,
        Channel::Runs,
    ] {
        let since = None;
        let frame = |id| ClientFrame::Subscribe { id, channel, since };
        let id = socket.send(frame).await;
        let expected = (Some(id), ErrorCode::NotFound, false);
        assert_eq!(error(&mut socket).await, expected, "{channel}");
    }
    let too_long = "ü".repeat(281);
    for (lot, text, expected) in [
        (nowhere, "hello", ErrorCode::NotFound),
        (lot, "", ErrorCode::InvalidText),
        (lot, " \u{200B}\u{202E}\n", ErrorCode::InvalidText),
        (lot, too_long.as_str(), ErrorCode::InvalidText),
    ] {
        let (client_id, text) = ("c1".to_owned(), text.to_owned());
        let frame = |id| ClientFrame::Chat {
            id,
            lot,
            client_id,
            text,
        };
        socket.send(frame).await;
        assert_eq!(error(&mut socket).await.1, expected);
    }
    let reaction = Reaction::Heart;
    let frame = |id| ClientFrame::React {
        id,
        lot: nowhere,
        reaction,
    };
    socket.send(frame).await;
    assert_eq!(error(&mut socket).await.1, ErrorCode::NotFound);
    let nothing = house.firehose.messages(lot, None, 9).await;
    assert_eq!(nothing.expect("reads").messages, [], "nothing was written");
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
        codes.push(error(&mut socket).await.1);
    }
    let reads = *house.ledger.reads.lock().expect("healthy") - reads;
    // The burst, and what a slow machine is allowed meanwhile.
    assert!((20..30).contains(&reads), "{reads} reads of the ledger");
    assert!(codes.contains(&ErrorCode::NotFound), "{codes:?}");
    assert!(codes.contains(&ErrorCode::RateLimited), "{codes:?}");
}
