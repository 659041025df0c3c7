//! One socket: what the client says is read here, and the manners of ending. What the house says
//! goes by the lanes and their loop.

use super::frame::Frame;
use super::lanes::Lanes;
use super::session::{Flow, Session};
use super::state::{LiveState, Seat};
use app::ports::Viewer;
use axum::body::Bytes;
use shared::live::{MAX_FRAME_BYTES, close_code};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

/// Read buffer of a socket, which it keeps: most client frames are smaller.
const READ_BUFFER: usize = 1024;

/// How long the client may take to answer a close before the connection is dropped.
const LINGER: Duration = Duration::from_secs(1);

/// How long a connection stays open after a frame that cannot be skipped, so that the close is
/// read before the reset that unread bytes cause.
const LINGER_UNREAD: Duration = Duration::from_millis(300);

/// Bytes that are read at once while lingering.
const LINGER_BUFFER: usize = 512;

/// How the reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client is gone.
    Gone,
    /// The client closed, and the answer waits to be written.
    Closed,
    /// The server wants to close.
    Closing,
    /// The server wants to close, and what the client sent can not be read on.
    Unreadable,
}

/// A socket as the protocol's machine sees it: it reads from the socket, and what it answers goes
/// into the lanes, since only their loop writes.
struct Ends {
    stream: Arc<TcpStream>,
    lanes: Arc<Lanes>,
}

impl Read for Ends {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.stream.try_read(into)
    }
}

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.lanes.answer(Frame::wire(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Serves one socket until it ends; `early` is what came with the handshake.
pub(super) async fn serve(
    stream: TcpStream,
    early: Bytes,
    live: LiveState,
    viewer: Viewer,
    seat: Seat,
) {
    let stream = Arc::new(stream);
    let lanes = live.hub.connect(Arc::clone(&stream), live.frames_per_write);
    let watched = viewer.session.map(|key| live.watch.add(key, &lanes));
    let mut session = Session::new(live, Arc::clone(&lanes), viewer);
    let end = tokio::select! {
        end = read(&stream, early, &mut session, &lanes) => end,
        () = lanes.ending() => End::Closing,
    };
    // Nobody else should count this connection while it lingers.
    drop(session);
    drop(watched);
    drop(seat);
    let written = match end {
        End::Gone => false,
        End::Closed => {
            lanes.finish();
            let _written = lanes.drained().await;
            false
        }
        End::Closing | End::Unreadable => lanes.drained().await,
    };
    lanes.outlet.detach(lanes.id);
    match end {
        // Boxed: only who leaves needs the room.
        End::Closing if written => Box::pin(linger(&stream)).await,
        End::Unreadable if written => tokio::time::sleep(LINGER_UNREAD).await,
        End::Gone | End::Closed | End::Closing | End::Unreadable => {}
    }
}

/// Reads and throws away until the client has closed, so that it sees the close frame and no
/// reset.
async fn linger(stream: &TcpStream) {
    let rest = async {
        let mut bytes = [0; LINGER_BUFFER];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut bytes) {
                Ok(0) => return,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {}
            }
        }
    };
    let _closed = tokio::time::timeout(LINGER, rest).await;
}

async fn read(
    stream: &Arc<TcpStream>,
    early: Bytes,
    session: &mut Session,
    lanes: &Arc<Lanes>,
) -> End {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let ends = Ends {
        stream: Arc::clone(stream),
        lanes: Arc::clone(lanes),
    };
    let mut socket =
        WebSocket::from_partially_read(ends, early.to_vec(), Role::Server, Some(config));
    // Empty as it usually is, it holds on to the buffer that the handshake was read into.
    drop(early);
    loop {
        let message = match socket.read() {
            Ok(message) => message,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                match stream.readable().await {
                    Ok(()) => continue,
                    Err(_) => return End::Gone,
                }
            }
            Err(error) => return broken(&error, lanes),
        };
        lanes.heard();
        let flow = match message {
            Message::Text(text) => session.text(&text).await,
            Message::Binary(_) => {
                lanes.close(close_code::UNSUPPORTED, "only text frames are spoken here");
                Flow::End
            }
            Message::Ping(_) | Message::Pong(_) => {
                session.count_frame(|| None).err().unwrap_or(Flow::GoOn)
            }
            // The answer is on its way; reading ends next. The machine hands out no raw frames.
            Message::Close(_) | Message::Frame(_) => Flow::GoOn,
        };
        // Reading a snapshot may have taken a while: that was not the client's silence.
        lanes.heard();
        if flow == Flow::End {
            return End::Closing;
        }
        // Whoever has much to say lets others be heard.
        tokio::task::coop::consume_budget().await;
    }
}

/// What to say about bytes that are no frame.
fn broken(error: &Error, lanes: &Arc<Lanes>) -> End {
    match error {
        Error::ConnectionClosed => return End::Closed,
        Error::Capacity(_) => {
            lanes.close(close_code::TOO_BIG, "the frame is too large");
        }
        Error::Utf8(_) => {
            lanes.close(close_code::INVALID_TEXT, "the text is not UTF-8");
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return End::Gone,
        Error::Protocol(_) => {
            lanes.close(close_code::PROTOCOL, "the frame breaks the protocol");
        }
        Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => return End::Gone,
    }
    End::Unreadable
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a socket keeps beside its buffers for as long as it lives, in bytes.
    const MAX_BYTES: usize = 2_048;

    fn size_of_task<A, B, C, D, E, F: Future>(_serve: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_socket_that_only_listens_stays_small() {
        let (task, lanes) = (size_of_task(serve), size_of::<Lanes>());
        assert!(task + lanes <= MAX_BYTES, "{task} and {lanes} bytes");
    }
}
