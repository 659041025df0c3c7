//! Encoding: one value, one frame, shared by every socket.

use crate::clock::Clock;
use axum::body::Bytes;
use serde::Serialize;
use shared::Timestamp;
use shared::chat::Silence;
use shared::live::{Channel, ErrorCode, Position, Push, ServerFrame, ServerMessage};
use shared::time::countdown;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WireFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// A frame as it goes over the wire, header included. A server's frames are not masked, so all
/// sockets get the very same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// A frame of text.
    #[must_use]
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::of(WireFrame::message(
            text.into(),
            OpCode::Data(Data::Text),
            true,
        ))
    }

    /// A ping of the protocol, which every client answers by itself.
    pub(super) fn ping() -> Self {
        Self::of(WireFrame::ping("lotzero"))
    }

    /// The last frame.
    pub(super) fn close(code: u16, reason: &'static str) -> Self {
        Self::of(WireFrame::close(Some(CloseFrame {
            code: code.into(),
            reason: reason.into(),
        })))
    }

    /// What the protocol's own machine answers: pongs and the echo of a close.
    pub(super) fn wire(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// Whether it is the last frame of its side.
    pub(super) fn is_close(&self) -> bool {
        const OPCODE: u8 = 0x0f;
        const CLOSE: u8 = 0x08;
        self.0.first().is_some_and(|head| head & OPCODE == CLOSE)
    }

    fn of(frame: WireFrame) -> Self {
        let mut bytes = Vec::with_capacity(frame.len());
        // Writing to memory does not fail.
        let _written = frame.format(&mut bytes);
        Self(bytes.into())
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes that are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::text(text.to_owned())
    }
}

#[cfg(test)]
impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// The text in a frame, for tests.
#[cfg(test)]
impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
        let mut bytes = std::io::Cursor::new(self.bytes());
        let parsed = FrameHeader::parse(&mut bytes);
        assert!(matches!(parsed, Ok(Some(_))), "a whole frame");
        let start = usize::try_from(bytes.position()).unwrap_or(0);
        f.write_str(&String::from_utf8_lossy(&self.bytes()[start..]))
    }
}

/// Encodes a message with the server's time.
pub(super) fn encode(clock: &Clock, message: ServerMessage) -> Frame {
    let frame = ServerFrame {
        server_time: clock.now(),
        message,
    };
    json(&frame)
}

/// Encodes a frame's fields.
pub(super) fn json<T: Serialize>(fields: &T) -> Frame {
    match serde_json::to_vec(fields) {
        Ok(text) => Frame::text(text),
        Err(error) => {
            // Only maps with keys other than text could fail, and no message has one.
            tracing::error!(%error, "a frame cannot be encoded");
            Frame::text(Bytes::from_static(br#"{"server_time":0,"type":"ping"}"#))
        }
    }
}

/// Encodes a push on a channel.
pub(super) fn push(
    clock: &Clock,
    channel: Channel,
    position: Option<Position>,
    push: Push,
) -> Frame {
    let message = ServerMessage::Push {
        channel,
        position,
        push: Box::new(push),
    };
    encode(clock, message)
}

/// The refusal of a client frame, in the words a person at the other end can use.
pub(super) fn error(id: Option<u32>, code: ErrorCode) -> ServerMessage {
    let (message, temporary) = match code {
        ErrorCode::Malformed => ("The frame cannot be read.", false),
        ErrorCode::NotFound => ("There is no such lot, message or channel.", false),
        ErrorCode::SignIn => ("Step in as somebody first.", false),
        ErrorCode::InvalidText => ("The message is empty or too long.", false),
        ErrorCode::RateLimited => ("Too fast. Wait a moment.", true),
        ErrorCode::TooManyChannels => ("Too many channels on one socket.", false),
        ErrorCode::Forbidden => ("The lot's seller may do this.", false),
        ErrorCode::InvalidDuration => ("The duration is too short or too long.", false),
        ErrorCode::Muted => ("You are muted in this room.", false),
        ErrorCode::SlowMode => ("The room is in slow mode.", true),
        ErrorCode::Unavailable => ("The house could not answer in time. Try again.", true),
    };
    ServerMessage::Error {
        id,
        code,
        message: message.to_owned(),
        temporary,
        until: None,
    }
}

/// The refusal of a message whose sender may not speak at `now`.
pub(super) fn silence(id: u32, silence: Silence, now: Timestamp) -> ServerMessage {
    let (code, until, message) = match silence {
        Silence::Muted { until: None } => (
            ErrorCode::Muted,
            None,
            "You are muted in this room.".to_owned(),
        ),
        Silence::Muted { until: Some(until) } => {
            let left = countdown(until.since_ms(now));
            let message = format!("You are muted in this room for another {left}.");
            (ErrorCode::Muted, Some(until), message)
        }
        Silence::Slow { until } => {
            let left_s = until.since_ms(now).max(0).saturating_add(999) / 1_000;
            let unit = if left_s == 1 { "second" } else { "seconds" };
            (
                ErrorCode::SlowMode,
                Some(until),
                format!("Slow mode: you may write again in {left_s} {unit}."),
            )
        }
    };
    ServerMessage::Error {
        id: Some(id),
        code,
        message,
        temporary: until.is_some(),
        until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_speak_hears_until_when() {
        let now = Timestamp(1_000);
        let said = |what| {
            let ServerMessage::Error {
                id: Some(7),
                code,
                message,
                temporary,
                until,
            } = silence(7, what, now)
            else {
                unreachable!("it is a refusal");
            };
            (code, message, temporary, until)
        };
        let until = Timestamp(2_001);
        let slow = said(Silence::Slow { until });
        let sentence = "Slow mode: you may write again in 2 seconds.".to_owned();
        assert_eq!(slow, (ErrorCode::SlowMode, sentence, true, Some(until)));
        let muted = said(Silence::Muted { until: Some(until) });
        let sentence = "You are muted in this room for another 0:02.".to_owned();
        assert_eq!(muted, (ErrorCode::Muted, sentence, true, Some(until)));
        let for_good = said(Silence::Muted { until: None });
        let sentence = "You are muted in this room.".to_owned();
        assert_eq!(for_good, (ErrorCode::Muted, sentence, false, None));
    }
}
