//! Encoding: one value, one text, shared by every socket.

use crate::clock::Clock;
use axum::extract::ws::Utf8Bytes;
use shared::live::{Channel, ErrorCode, Position, Push, ServerFrame, ServerMessage};

/// Encodes a message with the server's time.
pub(super) fn encode(clock: &Clock, message: ServerMessage) -> Utf8Bytes {
    let frame = ServerFrame {
        server_time: clock.now(),
        message,
    };
    match serde_json::to_string(&frame) {
        Ok(text) => text.into(),
        Err(error) => {
            // Only maps with keys other than text could fail, and no message has one.
            tracing::error!(%error, "a frame cannot be encoded");
            Utf8Bytes::from_static(r#"{"server_time":0,"type":"ping"}"#)
        }
    }
}

/// Encodes a push on a channel.
pub(super) fn push(
    clock: &Clock,
    channel: Channel,
    position: Option<Position>,
    push: Push,
) -> Utf8Bytes {
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
        ErrorCode::NotFound => ("There is no such lot.", false),
        ErrorCode::SignIn => ("Step in as somebody first.", false),
        ErrorCode::InvalidText => ("The message is empty or too long.", false),
        ErrorCode::RateLimited => ("Too fast. Wait a moment.", true),
        ErrorCode::TooManyChannels => ("Too many channels on one socket.", false),
        ErrorCode::Unavailable => ("The house could not answer in time. Try again.", true),
    };
    ServerMessage::Error {
        id,
        code,
        message: message.to_owned(),
        temporary,
    }
}
