//! One socket: a reader and a writer in one task, and the manners of ending.

use super::lanes::{CLOSE_GRACE, Lanes};
use super::session::{Flow, Session};
use super::state::{LiveState, Seat};
use app::ports::Viewer;
use axum::Error;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use shared::live::close_code;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite;

/// How long the client may take to answer a close before the connection is dropped.
const LINGER: Duration = Duration::from_secs(1);

/// How long a connection stays open after a frame that cannot be skipped, so that the close is
/// read before the reset that unread bytes cause.
const LINGER_UNREAD: Duration = Duration::from_millis(300);

/// Close code of RFC 6455 for a frame that breaks the protocol.
const PROTOCOL: u16 = 1002;

/// Close code of RFC 6455 for text that is not UTF-8.
const INVALID_TEXT: u16 = 1007;

/// How the reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed or is gone.
    Gone,
    /// The server wants to close.
    Closing,
    /// The server wants to close, and what the client sent can not be read on.
    Unreadable,
}

/// What ended first.
enum First {
    Read(End),
    Written,
    Overdue,
}

/// Serves one socket until it ends.
pub(super) async fn serve(socket: WebSocket, live: LiveState, viewer: Viewer, seat: Seat) {
    let lanes = live.hub.connect();
    let mut session = Session::new(live, Arc::clone(&lanes), viewer);
    let (sink, mut stream) = socket.split();
    let mut write = Box::pin(write(sink, Arc::clone(&lanes)));
    let first = tokio::select! {
        end = read(&mut stream, &mut session, &lanes) => First::Read(end),
        () = &mut write => First::Written,
        () = lanes.overdue() => First::Overdue,
    };
    // Nobody else should count this connection while it lingers.
    drop(session);
    drop(seat);
    match first {
        First::Read(End::Gone) | First::Overdue => {}
        First::Read(End::Closing) => {
            let _written = tokio::time::timeout(CLOSE_GRACE, write).await;
            linger(stream).await;
        }
        First::Read(End::Unreadable) => {
            let _written = tokio::time::timeout(CLOSE_GRACE, write).await;
            tokio::time::sleep(LINGER_UNREAD).await;
        }
        First::Written => linger(stream).await,
    }
}

/// Reads and throws away until the client has closed, so that it sees the close frame and no
/// reset.
async fn linger(mut stream: SplitStream<WebSocket>) {
    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
    let _closed = tokio::time::timeout(LINGER, rest).await;
}

async fn read(stream: &mut SplitStream<WebSocket>, session: &mut Session, lanes: &Lanes) -> End {
    while let Some(message) = stream.next().await {
        lanes.heard();
        let flow = match message {
            Ok(Message::Text(text)) => session.text(&text).await,
            Ok(Message::Binary(_)) => {
                lanes.close(close_code::UNSUPPORTED, "only text frames are spoken here");
                Flow::End
            }
            Ok(Message::Ping(_) | Message::Pong(_)) => {
                session.count_frame(|| None).err().unwrap_or(Flow::GoOn)
            }
            // The answer is on its way; the stream ends next.
            Ok(Message::Close(_)) => Flow::GoOn,
            Err(error) => return broken(error, lanes),
        };
        // Reading a snapshot may have taken a while: that was not the client's silence.
        lanes.heard();
        if flow == Flow::End {
            return End::Closing;
        }
    }
    if lanes.is_closing() {
        End::Closing
    } else {
        End::Gone
    }
}

/// What to say about bytes that are no frame.
fn broken(error: Error, lanes: &Lanes) -> End {
    let inner = error.into_inner();
    match inner.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => {
            lanes.close(close_code::TOO_BIG, "the frame is too large");
        }
        Some(tungstenite::Error::Utf8(_)) => {
            lanes.close(INVALID_TEXT, "the text is not UTF-8");
        }
        Some(tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => return End::Gone,
        Some(tungstenite::Error::Protocol(_)) => {
            lanes.close(PROTOCOL, "the frame breaks the protocol");
        }
        _ => return End::Gone,
    }
    End::Unreadable
}

/// Writes what the lanes hold, several frames at a time with one flush, until told to close or
/// until the socket is gone.
async fn write(mut sink: SplitSink<WebSocket, Message>, lanes: Arc<Lanes>) {
    loop {
        let batch = lanes.next().await;
        let count = batch.frames.len();
        let ping = batch
            .ping
            .map(|text| [Message::Ping("lotzero".into()), Message::Text(text)]);
        let messages = ping.into_iter().flatten();
        let messages = messages.chain(batch.frames.into_iter().map(Message::Text));
        for message in messages {
            if sink.feed(message).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
        lanes.sent(count);
        if let Some(close) = batch.close {
            let frame = CloseFrame {
                code: close.code,
                reason: close.reason.into(),
            };
            let _gone = sink.send(Message::Close(Some(frame))).await;
            return;
        }
    }
}
