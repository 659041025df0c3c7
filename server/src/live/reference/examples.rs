//! An example of every frame. They are values of the protocol's own types, encoded as a socket
//! encodes them: what is shown is what is sent.

use super::super::board::{Telling, Told};
use super::super::frame;
use serde_json::json;
use shared::auction::{Dutch, Status};
use shared::chat::Moderation;
use shared::live::{
    Channel, ClientFrame, ErrorCode, LotEvent, Position, Push, ServerFrame, ServerMessage, Snapshot,
};
use shared::view::{
    Activity, ActivityKind, BoardLine, ChatMessage, ChatView, CrowdView, FloorView, LadderLine,
    LotView, Notice, Outcome, Person, Reaction, Reserve, RoomView, Terms, WalletView,
};
use shared::{Currency, LotId, MessageId, Money, PrincipalId, Region, Timestamp};
use std::collections::BTreeMap;
use uuid::Uuid;

/// When the examples happen: 1 January 2026.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// A frame, and what is to be said about it.
pub(super) struct Example<T> {
    pub frame: T,
    pub text: &'static str,
}

const fn of<T>(frame: T, text: &'static str) -> Example<T> {
    Example { frame, text }
}

fn lot() -> LotId {
    LotId::from_uuid(Uuid::from_u128(0x019b_76da_a800_7000_8000_0000_0000_0001))
}

fn message_id() -> MessageId {
    MessageId::from_uuid(Uuid::from_u128(0x019b_76da_a800_7000_8000_0000_0000_0002))
}

/// The amount as an example needs it; every amount here is one.
fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).unwrap_or(Money::zero(Currency::Usd))
}

fn lena() -> Person {
    Person {
        id: PrincipalId::from_uuid(Uuid::from_u128(0x019b_76da_a800_7000_8000_0000_0000_0003)),
        handle: "lena".to_owned(),
        name: "Lena".to_owned(),
        simulated: false,
    }
}

fn line() -> LadderLine {
    LadderLine {
        id: "bid_019b76daa80070008000000000000004".to_owned(),
        who: lena(),
        region: Region::Tokyo,
        amount: usd(125_000),
        units: 1,
        at: NOW,
    }
}

fn card() -> LotView {
    LotView {
        id: lot(),
        title: "Glass float".to_owned(),
        art: "float".to_owned(),
        seller: Person {
            handle: "sora".to_owned(),
            name: "Sora".to_owned(),
            ..lena()
        },
        currency: Currency::Usd,
        opens_at: NOW,
        closes_at: NOW.plus_ms(180_000),
        status: Status::Open,
        terms: Terms::Dutch {
            schedule: Dutch {
                start: usd(90_000),
                floor: usd(30_000),
                step_minor: 500,
                tick_ms: 2_000,
            },
        },
        outcome: None,
        epoch: 1,
        offset: 0,
    }
}

fn said() -> ChatMessage {
    ChatMessage {
        id: message_id(),
        client_id: "tab-7".to_owned(),
        who: lena(),
        region: Region::Tokyo,
        text: "Is it signed?".to_owned(),
        at: NOW,
    }
}

fn crowd() -> CrowdView {
    CrowdView {
        watchers: 2,
        people: vec![lena()],
        reactions: BTreeMap::from([(Reaction::Heart, 12)]),
        top: vec![BoardLine {
            who: lena(),
            amount: usd(125_000),
        }],
    }
}

fn wallet() -> WalletView {
    WalletView {
        available: usd(75_000),
        held: usd(125_000),
        spent: usd(0),
        funded: usd(200_000),
        version: 7,
    }
}

const AT: Position = Position {
    epoch: 1,
    offset: 42,
};

/// What a client sends.
pub(super) fn client_frames() -> Vec<Example<ClientFrame>> {
    let lot = lot();
    let moderate = |id, action| ClientFrame::Moderate { id, lot, action };
    vec![
        of(
            ClientFrame::Subscribe {
                id: 1,
                channel: Channel::Lot(lot),
                since: Some(AT),
            },
            "Joins a channel. Answered by <code>subscribed</code>. With <code>since</code>, on \
             <code>lot:</code> only, the missed events follow; without it, or when history was \
             lost, a <code>snapshot</code>.",
        ),
        of(
            ClientFrame::Unsubscribe {
                id: 2,
                channel: Channel::Floor,
            },
            "Leaves a channel. Answered by <code>done</code>.",
        ),
        of(
            ClientFrame::Chat {
                id: 3,
                lot,
                client_id: "tab-7".to_owned(),
                text: "Is it signed?".to_owned(),
            },
            "Writes in a room, at most 280 characters as a person counts them. Answered by \
             <code>done</code> once the message is stored. Without an answer send it again under \
             the same <code>client_id</code> (1 to 64 bytes): it is shown once.",
        ),
        of(
            ClientFrame::React {
                id: 4,
                lot,
                reaction: Reaction::Heart,
            },
            "Reacts: heart, clap, fire, gasp or laugh. Answered by <code>done</code> once it is \
             counted.",
        ),
        of(
            ClientFrame::History {
                id: 5,
                lot,
                before: message_id(),
            },
            "Asks for messages older than one of them. Answered by <code>history</code>.",
        ),
        of(
            moderate(
                6,
                Moderation::Remove {
                    message: message_id(),
                },
            ),
            "Takes a message back for good. The lot's seller, an operator and its writer may. \
             Answered by <code>done</code>, as all moderation.",
        ),
        of(
            moderate(
                7,
                Moderation::Mute {
                    message: message_id(),
                    seconds: Some(3_600),
                },
            ),
            "Keeps the writer of a message from writing in this room, for at most a week; without \
             <code>seconds</code> for good.",
        ),
        of(
            moderate(8, Moderation::Unmute { who: lena().id }),
            "Lets somebody write again.",
        ),
        of(
            moderate(9, Moderation::Slow { seconds: 30 }),
            "Sets how many seconds lie between two messages of one person, at most 300; 0 ends \
             slow mode.",
        ),
        of(
            ClientFrame::Ping { id: 10 },
            "Asks for the server's time. Answered by <code>pong</code>.",
        ),
    ]
}

fn push(channel: Channel, position: Option<Position>, push: Push) -> ServerMessage {
    ServerMessage::Push {
        channel,
        position,
        push: Box::new(push),
    }
}

fn snapshot(channel: Channel, snapshot: Snapshot) -> ServerMessage {
    ServerMessage::Snapshot {
        channel,
        snapshot: Box::new(snapshot),
    }
}

/// What the server sends by itself or in answer, but snapshots and pushes.
pub(super) fn server_frames() -> Vec<Example<ServerMessage>> {
    let channel = Channel::Lot(lot());
    vec![
        of(
            ServerMessage::Hello {
                acting: Some("lena".to_owned()),
            },
            "The first frame: whom the socket acts for, null for a guest.",
        ),
        of(
            ServerMessage::Done { id: 3 },
            "The frame with this id was done.",
        ),
        of(
            ServerMessage::Subscribed {
                id: 1,
                channel,
                recovered: true,
            },
            "Joined. When <code>recovered</code>, every event since <code>since</code> follows and \
             nothing was lost; else a snapshot comes next.",
        ),
        of(
            frame::error(Some(1), ErrorCode::NotFound),
            "The frame with this id was refused; without an id the connection is meant. When \
             <code>temporary</code>, the same frame may succeed later; <code>until</code> says from \
             when on, where that is known.",
        ),
        of(
            ServerMessage::History {
                id: 5,
                messages: vec![said()],
                before: None,
            },
            "Older messages, oldest first, at most 50, and where to go on; null if nothing is \
             older.",
        ),
        of(
            ServerMessage::Pong { id: 10 },
            "The answer to a ping. Its <code>server_time</code> is fresh: clocks are set by pongs \
             only, since replayed frames carry old time.",
        ),
        of(
            ServerMessage::Ping,
            "Sent every 25 seconds beside the protocol's own ping. Any frame or pong within 8 \
             seconds answers it.",
        ),
        of(
            ServerMessage::Resync { channel },
            "The channel cannot go on from where the client is, and it is off it: subscribe again \
             without <code>since</code>.",
        ),
    ]
}

/// A snapshot of each channel.
pub(super) fn snapshots() -> Vec<Example<ServerMessage>> {
    let lot = lot();
    vec![
        of(
            snapshot(
                Channel::Lot(lot),
                Snapshot::Room(RoomView {
                    lot: card(),
                    description: "Blown in Otaru.".to_owned(),
                    ladder: vec![line()],
                    server_time: NOW,
                }),
            ),
            "A room. The place to go on from is the lot's epoch and offset. The schedule of a Dutch \
             lot tells its price at any time.",
        ),
        of(
            snapshot(
                Channel::Chat(lot),
                Snapshot::Chat(ChatView {
                    messages: vec![said()],
                    before: Some(message_id()),
                    slow_s: 0,
                }),
            ),
            "The latest messages, oldest first, and where older ones begin.",
        ),
        of(
            snapshot(Channel::Crowd(lot), Snapshot::Crowd(crowd())),
            "Who is there, what they feel, who is on top.",
        ),
        of(
            snapshot(
                Channel::Floor,
                Snapshot::Floor(FloorView {
                    live: vec![card()],
                    settled: Vec::new(),
                    activity: Vec::new(),
                    server_time: NOW,
                }),
            ),
            "The home page.",
        ),
        of(
            snapshot(
                Channel::Me,
                Snapshot::Me {
                    wallet: Some(wallet()),
                },
            ),
            "The wallet of whom the socket acts for, null if there is none.",
        ),
    ]
}

/// A push of each kind.
pub(super) fn pushes() -> Vec<Example<ServerMessage>> {
    let mut all = money_pushes();
    all.extend(social_pushes());
    all.extend(wide_pushes());
    all
}

fn money_pushes() -> Vec<Example<ServerMessage>> {
    let room = Channel::Lot(lot());
    vec![
        of(
            push(
                room,
                Some(AT),
                Push::Event(LotEvent::Bid {
                    line: line(),
                    closes_at: NOW.plus_ms(20_000),
                    extended: true,
                    reserve: Reserve::Met,
                    next_minimum: usd(130_000),
                }),
            ),
            "A bid leads. Events of a lot have a place and follow on each other by 1.",
        ),
        of(
            push(
                room,
                Some(Position {
                    offset: AT.offset + 1,
                    ..AT
                }),
                Push::Event(LotEvent::Closed {
                    status: Status::Sold,
                    outcome: Outcome::Sold { line: line() },
                    closes_at: NOW,
                }),
            ),
            "The lot is over: sold, passed or cancelled.",
        ),
        of(
            push(room, None, Push::Tick { price: usd(89_500) }),
            "A Dutch lot's price fell. The latest wins; the schedule says the same.",
        ),
        of(
            push(
                room,
                None,
                Push::Stock {
                    units_left: 11,
                    line: Some(line()),
                },
            ),
            "Units of a drop were claimed. Claims have no place: the fewest units left win.",
        ),
    ]
}

fn social_pushes() -> Vec<Example<ServerMessage>> {
    let lot = lot();
    let chat = Channel::Chat(lot);
    vec![
        of(
            push(chat, None, Push::Chat(said())),
            "A message. Its id sorts by time.",
        ),
        of(
            push(
                chat,
                None,
                Push::Removed {
                    message: message_id(),
                },
            ),
            "A message was removed. This may come before the message itself, which then is not to \
             be shown.",
        ),
        of(
            push(chat, None, Push::Slow { seconds: 30 }),
            "Slow mode is another one.",
        ),
        of(
            push(Channel::Crowd(lot), None, Push::Crowd(crowd())),
            "The crowd changed, at most twice a second. The latest wins.",
        ),
    ]
}

fn wide_pushes() -> Vec<Example<ServerMessage>> {
    let lot = lot();
    vec![
        of(
            push(Channel::Floor, None, Push::Card(card())),
            "A lot on the floor changed or is new. The highest offset wins.",
        ),
        of(
            push(
                Channel::Floor,
                None,
                Push::Activity(Activity {
                    id: "evt_019b76daa80070008000000000000005".to_owned(),
                    lot,
                    title: "Glass float".to_owned(),
                    what: ActivityKind::Bid,
                    who: Some(lena()),
                    region: Some(Region::Tokyo),
                    amount: Some(usd(125_000)),
                    at: NOW,
                }),
            ),
            "Something happened in the house.",
        ),
        of(
            push(Channel::Me, None, Push::Wallet(wallet())),
            "The wallet changed. The highest version wins.",
        ),
        of(
            push(
                Channel::Me,
                None,
                Push::Notice(Notice::Outbid {
                    lot,
                    title: "Glass float".to_owned(),
                    freed: usd(125_000),
                    price: usd(130_000),
                }),
            ),
            "News for whom the socket acts for: outbid, won, freed or sold_yours.",
        ),
    ]
}

/// What panels of a house on one machine are told.
pub(super) fn panels() -> Vec<Example<Telling>> {
    let run = json!({
        "id": "3f9a0c51d2e84b67",
        "wish": { "run": "swarm", "agents": 1_000, "stock": 25 },
        "state": "running",
        "elapsed_ms": 400,
        "standing": { "agents": 1_000, "sent": 640, "committed": 25, "undecided": 15 },
    });
    let vitals = json!({
        "at_ms": 61_000,
        "committed": 1_204,
        "retries": { "conflict 40001": 7 },
        "unknown_commits": 0,
        "sockets": 3,
        "run": "3f9a0c51d2e84b67",
        "latency": [1.2, 4.8],
    });
    vec![
        of(
            Telling::snapshot(NOW, Channel::Runs, Told::Run { run: None }),
            "No run since the node began.",
        ),
        of(
            Telling::push(NOW, Channel::Runs, Told::Run { run: Some(run) }),
            "A run goes on. Its last push has another state; its report is at \
             <code>/api/proof/runs/{id}</code>. Some fields are left out here.",
        ),
        of(
            Telling::push(NOW, Channel::Vitals, Told::Vitals { vitals }),
            "The house at one moment. Counters only grow: take differences. Some fields are left \
             out here.",
        ),
    ]
}

/// A server's frame as it is sent.
pub(super) fn sent(message: ServerMessage) -> ServerFrame {
    ServerFrame {
        server_time: NOW,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The number of a client frame's kind, and of all kinds. A new kind does not compile until it
    /// is counted, and fails until it has an example.
    const fn client_kind(frame: &ClientFrame) -> (usize, usize) {
        let kind = match frame {
            ClientFrame::Subscribe { .. } => 0,
            ClientFrame::Unsubscribe { .. } => 1,
            ClientFrame::Chat { .. } => 2,
            ClientFrame::React { .. } => 3,
            ClientFrame::History { .. } => 4,
            ClientFrame::Ping { .. } => 5,
            ClientFrame::Moderate { action, .. } => match action {
                Moderation::Remove { .. } => 6,
                Moderation::Mute { .. } => 7,
                Moderation::Unmute { .. } => 8,
                Moderation::Slow { .. } => 9,
            },
        };
        (kind, 10)
    }

    const fn server_kind(message: &ServerMessage) -> (usize, usize) {
        let kind = match message {
            ServerMessage::Hello { .. } => 0,
            ServerMessage::Done { .. } => 1,
            ServerMessage::Subscribed { .. } => 2,
            ServerMessage::Error { .. } => 3,
            ServerMessage::History { .. } => 4,
            ServerMessage::Pong { .. } => 5,
            ServerMessage::Ping => 6,
            ServerMessage::Resync { .. } => 7,
            ServerMessage::Snapshot { snapshot, .. } => match &**snapshot {
                Snapshot::Room(_) => 8,
                Snapshot::Chat(_) => 9,
                Snapshot::Crowd(_) => 10,
                Snapshot::Me { .. } => 11,
                Snapshot::Floor(_) => 12,
            },
            ServerMessage::Push { push, .. } => match &**push {
                Push::Event(LotEvent::Bid { .. }) => 13,
                Push::Event(LotEvent::Closed { .. }) => 14,
                Push::Tick { .. } => 15,
                Push::Stock { .. } => 16,
                Push::Chat(_) => 17,
                Push::Removed { .. } => 18,
                Push::Slow { .. } => 19,
                Push::Crowd(_) => 20,
                Push::Card(_) => 21,
                Push::Activity(_) => 22,
                Push::Wallet(_) => 23,
                Push::Notice(_) => 24,
            },
        };
        (kind, 25)
    }

    #[test]
    fn every_kind_of_frame_has_an_example() {
        let client: BTreeSet<_> = client_frames()
            .iter()
            .map(|example| client_kind(&example.frame))
            .collect();
        assert_eq!(client, (0..10).map(|kind| (kind, 10)).collect());
        let server: BTreeSet<_> = [server_frames(), snapshots(), pushes()]
            .iter()
            .flatten()
            .map(|example| server_kind(&example.frame))
            .collect();
        assert_eq!(server, (0..25).map(|kind| (kind, 25)).collect());
    }

    #[test]
    fn examples_are_read_as_they_are_written() {
        for example in client_frames() {
            let text = serde_json::to_string(&example.frame).expect("writes");
            let read: ClientFrame = serde_json::from_str(&text).expect("reads");
            assert_eq!(read, example.frame);
        }
        for example in [server_frames(), snapshots(), pushes()]
            .into_iter()
            .flatten()
        {
            let text = serde_json::to_string(&sent(example.frame.clone())).expect("writes");
            let read: ServerFrame = serde_json::from_str(&text).expect("reads");
            assert_eq!(read.message, example.frame);
        }
    }
}
