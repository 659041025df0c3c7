//! WebSocket as the crowd reads it: headers only, as far as counting needs. A full client costs a
//! multiple, and that would be taken from the server that is measured on the same cores.

use std::ops::Range;

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// The protocol's ping; it is to be answered.
    Ping,
    /// The last frame.
    Close,
    /// Anything else.
    Other,
}

/// A frame in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// Where its payload is.
    pub payload: Range<usize>,
}

/// Finds the first frame in what was received; `None` while a part of it is missing.
#[must_use]
pub fn first(received: &[u8]) -> Option<Found> {
    let [head, length, ..] = received else {
        return None;
    };
    let (start, length): (usize, usize) = match length & 0x7f {
        126 => {
            let bytes = received.get(2..4)?.try_into().ok()?;
            (4, usize::from(u16::from_be_bytes(bytes)))
        }
        127 => {
            let bytes = received.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(bytes)).ok()?)
        }
        short => (2, usize::from(short)),
    };
    let end = start.checked_add(length)?;
    (received.len() >= end).then(|| Found {
        kind: match head & 0x0f {
            1 => Kind::Text,
            8 => Kind::Close,
            9 => Kind::Ping,
            _ => Kind::Other,
        },
        payload: start..end,
    })
}

/// A client's frame of less than 64 KiB. A client has to mask; zeros are a mask as well.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => bytes.push(0x80 | short),
        Ok(_) | Err(_) => {
            bytes.push(0x80 | 126);
            let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// A client's frame of text.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    frame(1, text.as_bytes())
}

/// A client's answer to a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(10, payload)
}

/// The request that opens a socket.
#[must_use]
pub fn handshake(host: &str, path: &str, protocol: Option<&str>) -> String {
    let protocol = protocol.map_or(String::new(), |protocol| {
        format!("sec-websocket-protocol: {protocol}\r\n")
    });
    // The key says nothing: it only keeps caches from answering.
    format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{protocol}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(head: &[u8], payload: &[u8]) -> Vec<u8> {
        [head, payload].concat()
    }

    #[test]
    fn frames_of_every_length_are_found_once_they_are_whole() {
        let cases = [
            (server(&[0x81, 5], b"hello"), Kind::Text, 2..7),
            (server(&[0x89, 0], b""), Kind::Ping, 2..2),
            (server(&[0x88, 2], &[3, 232]), Kind::Close, 2..4),
            (server(&[0x81, 126, 1, 0], &[b'x'; 256]), Kind::Text, 4..260),
            (
                server(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], &vec![0; 65_536]),
                Kind::Other,
                10..65_546,
            ),
        ];
        for (bytes, kind, payload) in cases {
            for cut in [0, 1, 3, bytes.len() - 1] {
                assert_eq!(first(&bytes[..cut.min(bytes.len() - 1)]), None);
            }
            assert_eq!(first(&bytes), Some(Found { kind, payload }));
        }
    }

    #[test]
    fn a_clients_frame_is_what_a_server_reads() {
        use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket};
        for length in [0, 3, 125, 126, 300] {
            let said = "x".repeat(length);
            let received = std::io::Cursor::new(text(&said));
            let mut socket = WebSocket::from_raw_socket(received, Role::Server, None);
            assert_eq!(socket.read().expect("a frame"), Message::text(said));
        }
    }
}
