//! Talking in rooms over sockets: older messages, slow mode, removing and muting on two nodes of one
//! table, and everything a client may do wrong with it.
#![expect(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test may end it, and names only what it expects"
)]

#[path = "support/house.rs"]
mod house;
#[path = "support/store.rs"]
mod store;

use house::{House, Socket, person};
use server::firehose::RULES_AGE;
use server::ids;
use shared::LotId;
use shared::chat::{MAX_MUTE_S, MAX_SLOW_S, Moderation};
use shared::live::{Channel, ClientFrame, ErrorCode, Push, ServerMessage, Snapshot};
use shared::view::{ChatMessage, ChatView};
use std::time::Duration;
use tokio::time::Instant;

/// `ok`, or the refusal's code, whatever else comes before it.
async fn answer(socket: &mut Socket, asked: u32) -> Result<(), ErrorCode> {
    loop {
        match socket.next().await {
            ServerMessage::Done { id } if id == asked => return Ok(()),
            ServerMessage::Error {
                id: Some(id), code, ..
            } if id == asked => return Err(code),
            ServerMessage::Push { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, lot: LotId, client_id: &str) -> Result<(), ErrorCode> {
    let (client_id, text) = (client_id.to_owned(), format!("text {client_id}"));
    let frame = |id| ClientFrame::Chat {
        id,
        lot,
        client_id,
        text,
    };
    let id = socket.send(frame).await;
    answer(socket, id).await
}

async fn moderate(socket: &mut Socket, lot: LotId, action: Moderation) -> Result<(), ErrorCode> {
    let id = socket
        .send(|id| ClientFrame::Moderate { id, lot, action })
        .await;
    answer(socket, id).await
}

async fn chat(socket: &mut Socket, lot: LotId) -> ChatView {
    socket.subscribe(Channel::Chat(lot), None).await;
    match socket.next().await {
        ServerMessage::Snapshot { snapshot, .. } => match *snapshot {
            Snapshot::Chat(view) => view,
            other => panic!("no chat: {other:?}"),
        },
        other => panic!("no snapshot: {other:?}"),
    }
}

/// The next push that fits, within the second that moderation may take.
async fn hears(socket: &mut Socket, what: &str, fits: impl Fn(&Push) -> bool) -> Push {
    let begun = Instant::now();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(1), socket.next()).await;
        let Ok(next) = next else {
            panic!("not heard in {:?}: {what}", begun.elapsed());
        };
        if let ServerMessage::Push { push, .. } = next
            && fits(&push)
        {
            return *push;
        }
    }
}

async fn message_of(socket: &mut Socket, client_id: &str) -> ChatMessage {
    let fits = |push: &Push| matches!(push, Push::Chat(m) if m.client_id == client_id);
    match hears(socket, client_id, fits).await {
        Push::Chat(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

async fn history(
    socket: &mut Socket,
    lot: LotId,
    before: shared::MessageId,
) -> (Vec<String>, Option<shared::MessageId>) {
    let asked = socket
        .send(|id| ClientFrame::History { id, lot, before })
        .await;
    loop {
        match socket.next().await {
            ServerMessage::History {
                id,
                messages,
                before,
            } if id == asked => {
                let texts = messages.into_iter().map(|m| m.client_id).collect();
                return (texts, before);
            }
            // The stream tells the latest ones again.
            ServerMessage::Push { .. } => {}
            other => panic!("no history: {other:?}"),
        }
    }
}

#[tokio::test]
async fn older_messages_are_read_page_by_page() {
    let house = House::open().await;
    let lot = house.lot;
    let ada = person("ada");
    for n in 0..120 {
        let message = ChatMessage {
            id: ids::message(),
            client_id: n.to_string(),
            who: ada.clone(),
            region: shared::Region::Seoul,
            text: "hello".to_owned(),
            at: house.clock.now(),
        };
        let posted = house.firehose.post_message(lot, message, None).await;
        posted.expect("posts");
    }
    // A guest may read.
    let mut socket = house.socket(None).await;
    let latest = chat(&mut socket, lot).await;
    assert_eq!(latest.messages.len(), 50);
    assert_eq!(latest.messages[0].client_id, "70");
    let before = latest.before.expect("there are older ones");
    let (second, before) = history(&mut socket, lot, before).await;
    assert_eq!((second.len(), second[0].as_str()), (50, "20"));
    let (third, end) = history(&mut socket, lot, before.expect("older")).await;
    assert_eq!((third.len(), third[0].as_str(), end), (20, "0", None));
}

#[tokio::test]
async fn what_a_moderator_does_is_seen_on_every_node_within_a_second() {
    let house = House::open().await;
    let other = House::beside(&house).await;
    let lot = house.lot;
    let mut seller = house.socket(Some("sora")).await;
    let mut ada = other.socket(Some("ada")).await;
    let mut guest = other.socket(None).await;
    assert_eq!(chat(&mut guest, lot).await, ChatView::default());
    chat(&mut ada, lot).await;
    chat(&mut seller, lot).await;
    assert_eq!(say(&mut ada, lot, "a1").await, Ok(()));
    let bad = message_of(&mut seller, "a1").await;

    let remove = Moderation::Remove { message: bad.id };
    assert_eq!(moderate(&mut seller, lot, remove).await, Ok(()));
    for socket in [&mut guest, &mut ada] {
        let removed = |push: &Push| matches!(push, Push::Removed { message } if *message == bad.id);
        hears(socket, "the message is removed", removed).await;
    }
    let mut late = house.socket(None).await;
    assert_eq!(chat(&mut late, lot).await.messages, []);

    let slow = Moderation::Slow { seconds: 60 };
    assert_eq!(moderate(&mut seller, lot, slow).await, Ok(()));
    let slowed = |push: &Push| matches!(push, Push::Slow { seconds: 60 });
    hears(&mut guest, "slow mode", slowed).await;
    // The other node had read the old rules when Ada spoke.
    tokio::time::sleep(RULES_AGE).await;
    assert_eq!(say(&mut ada, lot, "a2").await, Err(ErrorCode::SlowMode));
    assert_eq!(say(&mut seller, lot, "s1").await, Ok(()));
    assert_eq!(
        say(&mut seller, lot, "s2").await,
        Ok(()),
        "who moderates is not bound"
    );
    let off = Moderation::Slow { seconds: 0 };
    assert_eq!(moderate(&mut seller, lot, off).await, Ok(()));
    tokio::time::sleep(RULES_AGE).await;
    assert_eq!(say(&mut ada, lot, "a3").await, Ok(()));

    let (message, seconds) = (bad.id, None);
    let mute = Moderation::Mute { message, seconds };
    assert_eq!(
        moderate(&mut seller, lot, mute).await,
        Ok(()),
        "also by a removed message"
    );
    assert_eq!(say(&mut ada, lot, "a4").await, Err(ErrorCode::Muted));
    let who = bad.who.id;
    let unmute = || Moderation::Unmute { who };
    assert_eq!(
        moderate(&mut ada, lot, unmute()).await,
        Err(ErrorCode::Forbidden)
    );
    let mut operator = other.socket(Some("operator")).await;
    assert_eq!(moderate(&mut operator, lot, unmute()).await, Ok(()));
    assert_eq!(say(&mut ada, lot, "a5").await, Ok(()));
    let audit = house.firehose.audit(lot).await.expect("reads");
    assert_eq!(audit.len(), 5);
    assert_eq!(audit[0].by, person("operator"));
}

#[tokio::test]
async fn slow_mode_and_a_mute_say_until_when() {
    let house = House::open().await;
    let lot = house.lot;
    let mut seller = house.socket(Some("sora")).await;
    let mut ada = house.socket(Some("ada")).await;
    let slow = Moderation::Slow { seconds: 30 };
    assert_eq!(moderate(&mut seller, lot, slow).await, Ok(()));
    assert_eq!(say(&mut ada, lot, "a1").await, Ok(()));
    let (client_id, text) = ("a2".to_owned(), "again".to_owned());
    let frame = |id| ClientFrame::Chat {
        id,
        lot,
        client_id,
        text,
    };
    let asked = ada.send(frame).await;
    let ServerMessage::Error {
        id,
        code,
        message,
        temporary,
        until,
    } = ada.next().await
    else {
        panic!("no refusal");
    };
    assert_eq!(
        (id, code, temporary),
        (Some(asked), ErrorCode::SlowMode, true)
    );
    let left = until.expect("it ends").since_ms(house.clock.now());
    assert!((25_000..=30_000).contains(&left), "{left} ms");
    assert!(message.ends_with("seconds."), "{message}");
}

#[tokio::test]
async fn what_one_may_not_do_or_does_not_exist_is_refused() {
    let house = House::open().await;
    let (lot, nowhere) = (house.lot, ids::lot());
    let other_room = ids::lot();
    house.ledger.put(house::english_lot(other_room, 0));
    let (mut ada, mut bo) = (
        house.socket(Some("ada")).await,
        house.socket(Some("bo")).await,
    );
    let (mut seller, mut guest) = (house.socket(Some("sora")).await, house.socket(None).await);
    chat(&mut bo, lot).await;
    assert_eq!(say(&mut ada, lot, "a1").await, Ok(()));
    let message = message_of(&mut bo, "a1").await.id;
    let unknown = ids::message();
    let who = person("ada").id;
    let remove = |message| Moderation::Remove { message };
    let mute = |seconds| Moderation::Mute { message, seconds };
    let slow = |seconds| Moderation::Slow { seconds };
    use ErrorCode as E;
    for action in [remove(message), slow(5)] {
        let refused = moderate(&mut guest, lot, action).await;
        assert_eq!(refused, Err(E::SignIn));
    }
    for (action, expected) in [
        (remove(message), E::Forbidden),
        (remove(unknown), E::NotFound),
        (mute(None), E::Forbidden),
        (mute(Some(MAX_MUTE_S + 1)), E::InvalidDuration),
        (slow(5), E::Forbidden),
        (Moderation::Unmute { who }, E::Forbidden),
    ] {
        let refused = moderate(&mut bo, lot, action.clone()).await;
        assert_eq!(refused, Err(expected), "{action:?}");
    }
    for (room, action, expected) in [
        (nowhere, slow(5), E::NotFound),
        (other_room, remove(message), E::NotFound),
        (other_room, mute_of(message), E::NotFound),
        (lot, remove(unknown), E::NotFound),
        (lot, mute_of(unknown), E::NotFound),
        (lot, Moderation::Unmute { who }, E::NotFound),
        (lot, mute(Some(0)), E::InvalidDuration),
        (lot, mute(Some(u32::MAX)), E::InvalidDuration),
        (lot, slow(MAX_SLOW_S + 1), E::InvalidDuration),
        (lot, slow(u32::MAX), E::InvalidDuration),
    ] {
        let refused = moderate(&mut seller, room, action.clone()).await;
        assert_eq!(refused, Err(expected), "{action:?}");
    }
    assert_eq!(house.firehose.audit(lot).await.expect("reads"), []);
    assert_eq!(
        moderate(&mut ada, lot, remove(message)).await,
        Ok(()),
        "her own"
    );
    let before = unknown;
    let id = bo
        .send(|id| ClientFrame::History {
            id,
            lot: nowhere,
            before,
        })
        .await;
    assert_eq!(answer(&mut bo, id).await, Err(E::NotFound));
}

fn mute_of(message: shared::MessageId) -> Moderation {
    let seconds = Some(60);
    Moderation::Mute { message, seconds }
}

#[tokio::test]
async fn malformed_frames_about_rooms_are_named() {
    let house = House::open().await;
    let lot = house.lot;
    let message = ids::message();
    let moderate =
        |action: &str| format!(r#"{{"type":"moderate","id":5,"lot":"{lot}","action":{action}}}"#);
    let rows = [
        format!(r#"{{"type":"history","id":5,"lot":"{lot}"}}"#),
        format!(r#"{{"type":"history","id":5,"lot":"{lot}","before":"{lot}"}}"#),
        format!(r#"{{"type":"history","id":5,"lot":"{lot}","before":"msg_1"}}"#),
        format!(r#"{{"type":"history","id":5,"lot":"{lot}","before":"{message}","limit":9}}"#),
        format!(r#"{{"type":"history","id":5,"lot":"{message}","before":"{message}"}}"#),
        moderate("null"),
        moderate("{}"),
        moderate(r#"{"do":"ban","message":"x"}"#),
        moderate(r#"{"do":"remove"}"#),
        moderate(&format!(r#"{{"do":"remove","message":"{message}","x":1}}"#)),
        moderate(&format!(
            r#"{{"do":"mute","message":"{message}","seconds":-1}}"#
        )),
        moderate(&format!(
            r#"{{"do":"mute","message":"{message}","seconds":1.5}}"#
        )),
        moderate(&format!(
            r#"{{"do":"mute","message":"{message}","seconds":4294967296}}"#
        )),
        moderate(r#"{"do":"slow","seconds":"5"}"#),
        moderate(r#"{"do":"unmute","who":"ada"}"#),
    ];
    for text in rows {
        let mut socket = house.socket(Some("sora")).await;
        socket.text(&text).await;
        assert_eq!(
            answer(&mut socket, 5).await,
            Err(ErrorCode::Malformed),
            "{text}"
        );
    }
}

#[tokio::test]
async fn floods_of_history_and_of_moderation_are_told() {
    let house = House::open().await;
    let lot = house.lot;
    let mut socket = house.socket(Some("sora")).await;
    let before = ids::message();
    for _ in 0..30 {
        socket
            .send(|id| ClientFrame::History { id, lot, before })
            .await;
    }
    let (mut read, mut refused) = (0, 0);
    for _ in 0..30 {
        match socket.next().await {
            ServerMessage::History { .. } => read += 1,
            ServerMessage::Error {
                code: ErrorCode::RateLimited,
                ..
            } => refused += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!((19..=25).contains(&read), "{read} read");
    assert!(refused >= 5, "{refused} refused");
    let mut socket = house.socket(Some("sora")).await;
    let mut codes = Vec::new();
    for seconds in 0..26 {
        let action = Moderation::Slow { seconds };
        codes.push(moderate(&mut socket, lot, action).await);
    }
    let done = codes.iter().filter(|code| code.is_ok()).count();
    assert!((20..=23).contains(&done), "{done} done");
    assert!(codes.contains(&Err(ErrorCode::RateLimited)));
}
