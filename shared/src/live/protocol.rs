//! The frames of the live socket, subprotocol `lotzero.v1.json`.
//!
//! A client frame with an `id` gets one reply with that `id`. Everything else the server sends is
//! a push. Money commands do not go over the socket.

use crate::auction::Status;
use crate::chat::Moderation;
use crate::view::{
    Activity, ChatMessage, ChatView, CrowdView, LadderLine, LotView, Notice, Outcome, Reaction,
    Reserve, RoomView, WalletView,
};
use crate::{LotId, MessageId, Money, Timestamp};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// The subprotocol that both sides name in the handshake.
pub const SUBPROTOCOL: &str = "lotzero.v1.json";

/// The largest frame a client may send, in bytes; a larger one closes the socket with 1009.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Close codes. 4000–4499 mean "reconnect", 4500–4999 mean "do not".
pub mod close_code {
    /// A frame broke the WebSocket protocol.
    pub const PROTOCOL: u16 = 1002;
    /// Text was not UTF-8.
    pub const INVALID_TEXT: u16 = 1007;
    /// The server restarts: wait a random 2 to 20 seconds.
    pub const RESTART: u16 = 1012;
    /// The reader is too slow or takes nothing: resume from the last offset.
    pub const SLOW: u16 = 1013;
    /// Binary frames are not spoken here.
    pub const UNSUPPORTED: u16 = 1003;
    /// Too many malformed frames, a flood, or a session that has ended.
    pub const POLICY: u16 = 1008;
    /// A frame larger than [`super::MAX_FRAME_BYTES`].
    pub const TOO_BIG: u16 = 1009;
    /// No pong in time: reconnect.
    pub const SILENT: u16 = 4000;

    /// All that a server of ours closes with.
    pub const ALL: [u16; 8] = [
        PROTOCOL,
        UNSUPPORTED,
        INVALID_TEXT,
        POLICY,
        TOO_BIG,
        RESTART,
        SLOW,
        SILENT,
    ];
}

/// An ordered stream of frames for one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Money events of a lot; has epoch and offset.
    Lot(LotId),
    /// Chat of a lot's room; the cursor is the message id.
    Chat(LotId),
    /// Reactions and presence of a lot's room: the latest state wins.
    Crowd(LotId),
    /// The home page: cards and activity.
    Floor,
    /// News of the person the socket acts for: notices and the wallet.
    Me,
    /// How the house is, once a second. On one machine only, as [`Channel::Runs`] is.
    Vitals,
    /// How the node's latest proof run goes, five times a second.
    Runs,
}

/// The text names no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown channel")]
pub struct ChannelError;

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lot(id) => write!(f, "lot:{id}"),
            Self::Chat(id) => write!(f, "chat:{id}"),
            Self::Crowd(id) => write!(f, "crowd:{id}"),
            Self::Floor => f.write_str("floor"),
            Self::Me => f.write_str("me"),
            Self::Vitals => f.write_str("vitals"),
            Self::Runs => f.write_str("runs"),
        }
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, ChannelError> {
        let lot = |id: &str| id.parse::<LotId>().map_err(|_malformed| ChannelError);
        match text.split_once(':') {
            Some(("lot", id)) => lot(id).map(Self::Lot),
            Some(("chat", id)) => lot(id).map(Self::Chat),
            Some(("crowd", id)) => lot(id).map(Self::Crowd),
            None if text == "floor" => Ok(Self::Floor),
            None if text == "me" => Ok(Self::Me),
            None if text == "vitals" => Ok(Self::Vitals),
            None if text == "runs" => Ok(Self::Runs),
            Some(_) | None => Err(ChannelError),
        }
    }
}

impl Serialize for Channel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A place in a channel's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Identity of the history.
    pub epoch: i64,
    /// The last frame seen.
    pub offset: i64,
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientFrame {
    /// Joins a channel. With `since`, missed events follow; without it, or when history is lost,
    /// a snapshot.
    Subscribe {
        /// Names the reply.
        id: u32,
        /// The channel.
        channel: Channel,
        /// The last place seen, on `lot:` channels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Position>,
    },
    /// Leaves a channel.
    Unsubscribe {
        /// Names the reply.
        id: u32,
        /// The channel.
        channel: Channel,
    },
    /// Writes in a room.
    Chat {
        /// Names the reply.
        id: u32,
        /// The room.
        lot: LotId,
        /// The client's own id for the message, at most 64 bytes; a repeat is shown once.
        client_id: String,
        /// The text.
        text: String,
    },
    /// Reacts in a room.
    React {
        /// Names the reply.
        id: u32,
        /// The room.
        lot: LotId,
        /// The reaction.
        reaction: Reaction,
    },
    /// Asks for messages of a room that are older than one of them. The answer is `history`.
    History {
        /// Names the reply.
        id: u32,
        /// The room.
        lot: LotId,
        /// The message; the snapshot of the channel and each answer say which comes next.
        before: MessageId,
    },
    /// Moderates a room. Its seller and the operators may; everybody may remove their own messages.
    Moderate {
        /// Names the reply.
        id: u32,
        /// The room.
        lot: LotId,
        /// What to do.
        action: Moderation,
    },
    /// Asks for the server's time.
    Ping {
        /// Names the pong.
        id: u32,
    },
}

/// What the server sends: a message, and the server's time when it was encoded. Replayed frames
/// carry old time, so clocks are set by pongs only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFrame {
    /// Database time as this node knows it.
    pub server_time: Timestamp,
    /// The message.
    #[serde(flatten)]
    pub message: ServerMessage,
}

/// The message in a server frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The first frame.
    Hello {
        /// The handle of the person the socket acts for, `None` for a guest.
        acting: Option<String>,
    },
    /// The answer to a frame with this id: done.
    Done {
        /// The client frame's id.
        id: u32,
    },
    /// The answer to a `subscribe`: joined, and whether the history since `since` follows. When
    /// false a snapshot comes next.
    Subscribed {
        /// The client frame's id.
        id: u32,
        /// The channel.
        channel: Channel,
        /// Whether nothing was lost.
        recovered: bool,
    },
    /// The answer to a frame with this id: refused. Without id: about the connection.
    Error {
        /// The client frame's id, if it could be read.
        id: Option<u32>,
        /// What is wrong.
        code: ErrorCode,
        /// The same in words.
        message: String,
        /// Whether the same frame may succeed later.
        temporary: bool,
        /// From when on it may, where that is known: the end of a mute or of slow mode's pause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The answer to a `history`.
    History {
        /// The client frame's id.
        id: u32,
        /// Messages, oldest first, at most 50; those that were removed are left out.
        messages: Vec<ChatMessage>,
        /// Where to go on; `None` if nothing is older.
        before: Option<MessageId>,
    },
    /// The answer to a `ping`; its `server_time` is fresh.
    Pong {
        /// The client frame's id.
        id: u32,
    },
    /// The server asks whether the client lives; any frame answers.
    Ping,
    /// The whole state of a channel.
    Snapshot {
        /// The channel.
        channel: Channel,
        /// The state.
        snapshot: Box<Snapshot>,
    },
    /// A change.
    Push {
        /// The channel.
        channel: Channel,
        /// Its place, on `lot:` channels, for frames that must arrive in order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
        /// The change.
        push: Box<Push>,
    },
    /// The channel cannot be continued from where the client is: subscribe again without `since`.
    Resync {
        /// The channel.
        channel: Channel,
    },
}

/// Why a client frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame is no JSON of a known type, or has unknown fields.
    Malformed,
    /// There is no such lot, no such message in it, or no such channel in this house.
    NotFound,
    /// A guest cannot do this.
    SignIn,
    /// The text is empty or too long after cleaning.
    InvalidText,
    /// Too many frames in a short time.
    RateLimited,
    /// Too many subscriptions on one socket.
    TooManyChannels,
    /// Somebody else may do this.
    Forbidden,
    /// A duration is longer than a room knows.
    InvalidDuration,
    /// A moderator muted the sender in this room; `until` says for how long, if it ends.
    Muted,
    /// The room is in slow mode and the sender wrote lately; `until` says from when on they may.
    SlowMode,
    /// The store behind the channel does not answer.
    Unavailable,
}

/// The whole state of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a message holds it boxed")]
pub enum Snapshot {
    /// Of a `lot:` channel; its position is the view's epoch and offset.
    Room(RoomView),
    /// Of a `chat:` channel: the latest messages, and the room's rules.
    Chat(ChatView),
    /// Of a `crowd:` channel.
    Crowd(CrowdView),
    /// Of the `me` channel.
    Me {
        /// The wallet, `None` if the person has none.
        wallet: Option<WalletView>,
    },
    /// Of the `floor` channel.
    Floor(crate::view::FloorView),
}

/// A change on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a message holds it boxed")]
pub enum Push {
    /// On `lot:`, in order, each once.
    Event(LotEvent),
    /// On `lot:` of a Dutch lot, one a tick: the price now. The schedule says the same.
    Tick {
        /// The price.
        price: Money,
    },
    /// On `lot:` of a drop: units left, the fewest wins; with the claim that took some.
    Stock {
        /// Units left.
        units_left: u32,
        /// The claim.
        line: Option<LadderLine>,
    },
    /// On `chat:`.
    Chat(ChatMessage),
    /// On `chat:`: a message was removed. It may come before the message itself, which then is not
    /// to be shown.
    Removed {
        /// The message.
        message: MessageId,
    },
    /// On `chat:`: the room's slow mode is another one.
    Slow {
        /// Seconds between two messages of one person; 0 if it is off.
        seconds: u32,
    },
    /// On `crowd:`.
    Crowd(CrowdView),
    /// On `floor`: a lot changed or is new; the highest offset wins.
    Card(LotView),
    /// On `floor`.
    Activity(Activity),
    /// On `me`: the highest version wins.
    Wallet(WalletView),
    /// On `me`.
    Notice(Notice),
}

/// A change of a lot's row. Its offset is the version the change wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LotEvent {
    /// A bid leads.
    Bid {
        /// The bid.
        line: LadderLine,
        /// When bidding ends now.
        closes_at: Timestamp,
        /// Whether the soft close moved the end.
        extended: bool,
        /// Reserve met or not.
        reserve: Reserve,
        /// The least amount of the next bid.
        next_minimum: Money,
    },
    /// The lot is over.
    Closed {
        /// Sold, passed or cancelled.
        status: Status,
        /// How it ended.
        outcome: Outcome,
        /// When bidding ended: when it was due, or earlier if nothing was left to sell.
        closes_at: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_as_documented() {
        let frame = r#"{"type":"subscribe","id":1,"channel":"floor"}"#;
        let read: ClientFrame = serde_json::from_str(frame).expect("reads");
        assert_eq!(
            read,
            ClientFrame::Subscribe {
                id: 1,
                channel: Channel::Floor,
                since: None
            }
        );
        let pong = ServerFrame {
            server_time: Timestamp(5),
            message: ServerMessage::Pong { id: 3 },
        };
        let text = serde_json::to_string(&pong).expect("writes");
        assert_eq!(text, r#"{"server_time":5,"type":"pong","id":3}"#);
        assert_eq!(
            serde_json::from_str::<ServerFrame>(&text).expect("reads"),
            pong
        );
    }

    #[test]
    fn channels_are_read_as_they_are_written() {
        let lot = LotId::from_uuid(uuid::Uuid::from_u128(1));
        for channel in [
            Channel::Lot(lot),
            Channel::Chat(lot),
            Channel::Crowd(lot),
            Channel::Floor,
            Channel::Me,
            Channel::Vitals,
            Channel::Runs,
        ] {
            assert_eq!(channel.to_string().parse(), Ok(channel));
        }
    }

    #[test]
    fn unknown_types_fields_and_channels_are_refused() {
        for bad in [
            r#"{"type":"bid","id":1,"lot":"x"}"#,
            r#"{"type":"ping","id":1,"extra":true}"#,
            r#"{"type":"ping","id":-1}"#,
            r#"{"type":"subscribe","id":1,"channel":"lot:1"}"#,
            r#"{"type":"subscribe","id":1,"channel":"ops"}"#,
            r#"{"type":"subscribe","id":1,"channel":"floor","since":{"epoch":1}}"#,
            r#"{"type":"history","id":1,"lot":"lot_00000000000000000000000000000001"}"#,
            r#"{"type":"moderate","id":1,"lot":"lot_00000000000000000000000000000001","action":{"do":"ban"}}"#,
            r#"{"type":"moderate","id":1,"lot":"lot_00000000000000000000000000000001","action":{"do":"slow","seconds":-1}}"#,
            r#"{"type":"moderate","id":1,"lot":"lot_00000000000000000000000000000001","action":{"do":"slow","seconds":1,"x":1}}"#,
            "[]",
            "",
        ] {
            assert!(serde_json::from_str::<ClientFrame>(bad).is_err(), "{bad}");
        }
    }
}
