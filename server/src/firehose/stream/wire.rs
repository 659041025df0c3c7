//! What a leader sends its followers: lines of JSON, for as long as both live.

use super::StreamItem;
use super::intake::Pulse;
use super::places::{Place, Places, Sequence};
use axum::body::Bytes;
use serde::{Deserialize, Serialize};

/// The longest line: an item of the table has at most 400 KB, and a place a hundred bytes.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The most bytes of places that a follower may bring: 8,000 shards.
pub(super) const MAX_PLACES_BYTES: usize = 1024 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    /// The follower is here now. It had no places before, or what it missed is lost.
    Begin { places: Places },
    /// The follower goes on from its own places; what it missed follows.
    Resume,
    /// An item of the stream.
    Item {
        shard: String,
        sequence: Sequence,
        item: StreamItem,
    },
    /// A shard was read on without an item, or is new.
    Moved { shard: String, place: Place },
    /// A drained shard is gone.
    Gone { shard: String },
    /// The leader lives, and this is how its reading goes.
    Beat { pulse: Pulse },
}

impl Line {
    /// The line as it is sent, with its end.
    pub fn encode(&self) -> Bytes {
        // Everything in a line has been read from JSON or has names for keys, so it can be written.
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        Bytes::from(text)
    }
}

/// Cuts what comes over a connection into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

/// A line is longer than any that a leader sends.
#[derive(Debug)]
pub(super) struct TooLong;

impl Lines {
    /// Takes in bytes and answers the lines that are complete, each with its end.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, TooLong> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.len() > MAX_LINE_BYTES {
                return Err(TooLong);
            }
            if piece.ends_with(b"\n") {
                lines.push(Bytes::from(std::mem::take(&mut self.partial)));
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::LotId;
    use uuid::Uuid;

    #[test]
    fn lines_read_as_they_were_written() {
        let item = StreamItem::CrowdChanged(LotId::from_uuid(Uuid::from_u128(7)));
        let line = Line::Item {
            shard: "s".to_owned(),
            sequence: Sequence::new("100000000000000000001"),
            item,
        };
        for line in [line, Line::Resume] {
            let text = line.encode();
            let read: Line = serde_json::from_slice(&text).expect("reads");
            assert_eq!(read, line);
        }
    }

    proptest! {
        #[test]
        fn lines_come_out_whole_however_they_are_cut(
            lines in prop::collection::vec("[a-z]{0,9}", 0..9), cut in 1_usize..7,
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let mut cutter = Lines::default();
            let mut got = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                got.extend(cutter.feed(piece).expect("short"));
            }
            let expected: Vec<Bytes> = lines.iter().map(|l| Bytes::from(format!("{l}\n"))).collect();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut lines = Lines::default();
        assert!(lines.feed(&vec![b'x'; MAX_LINE_BYTES + 1]).is_err());
    }
}
