//! Everything a client may do wrong on a socket, with the answer it gets. After each row the
//! house still serves the next client.

#[path = "support/house.rs"]
mod house;
#[path = "support/store.rs"]
mod store;

use house::{House, Socket};
use server::ids;
use server::live::LiveConfig;
use shared::live::{
    Channel, ClientFrame, ErrorCode, MAX_FRAME_BYTES, SUBPROTOCOL, ServerMessage, close_code,
};
use shared::view::Reaction;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

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
        assert_eq!(socket.error().await, expected, "{text:.80}");
        let ping = socket.send(|id| ClientFrame::Ping { id }).await;
        assert_eq!(socket.next().await, ServerMessage::Pong { id: ping });
    }
    let mut socket = house.socket(None).await;
    for _ in 0..8 {
        socket.text("nonsense").await;
        assert_eq!(socket.error().await.1, ErrorCode::Malformed);
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
    assert_eq!(largest.error().await.1, ErrorCode::Malformed);
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
        assert_eq!(socket.error().await, expected, "{channel}");
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
        assert_eq!(socket.error().await.1, expected);
    }
    let reaction = Reaction::Heart;
    let frame = |id| ClientFrame::React {
        id,
        lot: nowhere,
        reaction,
    };
    socket.send(frame).await;
    assert_eq!(socket.error().await.1, ErrorCode::NotFound);
    let nothing = house.firehose.messages(lot, None, 9).await;
    assert_eq!(nothing.expect("reads").messages, [], "nothing was written");
}
