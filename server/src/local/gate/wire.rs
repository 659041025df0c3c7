//! PostgreSQL's messages as bytes: cut apart, recognised and made. Pure.

/// No message of this program comes near it; a larger one is no PostgreSQL.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of a message's length, which counts itself.
const LENGTH_BYTES: usize = 4;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// The bytes are no PostgreSQL messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of PostgreSQL's protocol")]
pub struct NotPostgres;

/// The message that opens a connection, without a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Asks for encryption; an answer of `N` declines and another opening follows.
    Encryption,
    /// Everything else is passed on as it is: a start, or the cancelling of a statement.
    PassOn(Vec<u8>),
}

/// A message with a tag, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What kind it is.
    pub tag: u8,
    /// Tag, length and body.
    pub bytes: Vec<u8>,
}

impl Message {
    /// What follows tag and length.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(1 + LENGTH_BYTES..).unwrap_or_default()
    }

    /// Whether a client that sends it waits for an answer: a query, the end of a batch, a flush, a
    /// function call, a password, the end of a copy.
    pub const fn awaits_answer(&self) -> bool {
        matches!(self.tag, b'Q' | b'S' | b'H' | b'F' | b'p' | b'c' | b'f')
    }
}

/// Collects bytes as they arrive and gives out whole messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes in what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next opening message, if it is whole.
    pub fn opening(&mut self) -> Result<Option<Opening>, NotPostgres> {
        let Some(bytes) = self.take(0)? else {
            return Ok(None);
        };
        let code = bytes
            .get(LENGTH_BYTES..)
            .and_then(|body| body.first_chunk());
        match code.map(|code| u32::from_be_bytes(*code)) {
            Some(SSL_REQUEST | GSS_REQUEST) => Ok(Some(Opening::Encryption)),
            Some(_) => Ok(Some(Opening::PassOn(bytes))),
            None => Err(NotPostgres),
        }
    }

    /// The next tagged message, if it is whole.
    pub fn message(&mut self) -> Result<Option<Message>, NotPostgres> {
        let Some(bytes) = self.take(1)? else {
            return Ok(None);
        };
        let tag = bytes.first().copied().ok_or(NotPostgres)?;
        Ok(Some(Message { tag, bytes }))
    }

    fn take(&mut self, tag_bytes: usize) -> Result<Option<Vec<u8>>, NotPostgres> {
        let length = self
            .buffer
            .get(tag_bytes..)
            .and_then(|rest| rest.first_chunk());
        let Some(length) = length.map(|bytes| u32::from_be_bytes(*bytes)) else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_wider| NotPostgres)?;
        if !(LENGTH_BYTES..=MAX_MESSAGE_BYTES).contains(&length) {
            return Err(NotPostgres);
        }
        let whole = tag_bytes + length;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let rest = self.buffer.split_off(whole);
        Ok(Some(std::mem::replace(&mut self.buffer, rest)))
    }
}

/// Whether an opening asks to cancel a statement: it gets no answer.
pub fn is_cancel(opening: &[u8]) -> bool {
    opening.get(LENGTH_BYTES..LENGTH_BYTES * 2) == Some(&CANCEL_REQUEST.to_be_bytes())
}

/// Reads a text that ends with zero; returns it and what follows.
pub fn text(body: &[u8]) -> Option<(&str, &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let (text, rest) = body.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, rest.get(1..)?))
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(LENGTH_BYTES + body.len()).unwrap_or(u32::MAX);
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A simple query.
pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), &[0]].concat())
}

/// The end of a batch of the extended protocol.
pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// A server's error about a statement.
pub fn error(sqlstate: &str, text: &str) -> Vec<u8> {
    report("ERROR", sqlstate, text)
}

/// A server's error that ends the connection.
pub fn fatal(sqlstate: &str, text: &str) -> Vec<u8> {
    report("FATAL", sqlstate, text)
}

fn report(severity: &str, sqlstate: &str, text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [
        (b'S', severity),
        (b'V', severity),
        (b'C', sqlstate),
        (b'M', text),
    ] {
        body.push(field);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    message(b'E', &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let stream = [query("BEGIN"), sync(), query("COMMIT")].concat();
        for size in 1..=stream.len() {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                decoder.feed(chunk);
                while let Some(message) = decoder.message().expect("valid") {
                    found.push(message);
                }
            }
            let tags: Vec<u8> = found.iter().map(|message| message.tag).collect();
            assert_eq!(tags, b"QSQ", "chunks of {size}");
            assert_eq!(found.concat_bytes(), stream);
        }
    }

    trait ConcatBytes {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl ConcatBytes for Vec<Message> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter()
                .flat_map(|message| message.bytes.clone())
                .collect()
        }
    }

    #[test]
    fn openings_are_told_apart() {
        let opening = |code: u32, tail: &[u8]| {
            let length = u32::try_from(8 + tail.len()).expect("short");
            [&length.to_be_bytes()[..], &code.to_be_bytes(), tail].concat()
        };
        let start = opening(196_608, b"user\0me\0\0");
        let cancel = opening(CANCEL_REQUEST, &[0; 8]);
        let mut decoder = Decoder::default();
        decoder.feed(&opening(SSL_REQUEST, &[]));
        decoder.feed(&opening(GSS_REQUEST, &[]));
        decoder.feed(&start);
        decoder.feed(&cancel);
        assert_eq!(decoder.opening(), Ok(Some(Opening::Encryption)));
        assert_eq!(decoder.opening(), Ok(Some(Opening::Encryption)));
        assert_eq!(decoder.opening(), Ok(Some(Opening::PassOn(start.clone()))));
        assert_eq!(decoder.opening(), Ok(Some(Opening::PassOn(cancel.clone()))));
        assert_eq!(decoder.opening(), Ok(None));
        assert!(is_cancel(&cancel));
        assert!(!is_cancel(&start));
    }

    #[test]
    fn nonsense_is_refused_and_never_waited_for() {
        for length in [0_u32, 3, u32::MAX] {
            let mut decoder = Decoder::default();
            decoder.feed(b"Q");
            decoder.feed(&length.to_be_bytes());
            assert_eq!(decoder.message(), Err(NotPostgres), "length {length}");
        }
        let mut short_opening = Decoder::default();
        short_opening.feed(&4_u32.to_be_bytes());
        assert_eq!(short_opening.opening(), Err(NotPostgres));
    }

    #[test]
    fn a_batch_awaits_one_answer() {
        let awaits = |tag| {
            let bytes = sync();
            Message { tag, bytes }.awaits_answer()
        };
        let batch: Vec<bool> = b"PBDES".iter().map(|tag| awaits(*tag)).collect();
        assert_eq!(batch, [false, false, false, false, true]);
        assert!(awaits(b'Q') && awaits(b'p'));
        assert!(!awaits(b'X') && !awaits(b'd'));
    }

    #[test]
    fn an_error_says_how_bad_it_is() {
        let mut decoder = Decoder::default();
        decoder.feed(&fatal("53300", "full"));
        decoder.feed(&error("40001", "again"));
        let mut body = || {
            let message = decoder.message().expect("valid").expect("whole");
            assert_eq!(message.tag, b'E');
            message.body().to_vec()
        };
        assert_eq!(body(), b"SFATAL\0VFATAL\0C53300\0Mfull\0\0");
        assert_eq!(body(), b"SERROR\0VERROR\0C40001\0Magain\0\0");
    }

    #[test]
    fn texts_end_with_zero() {
        assert_eq!(text(b"a\0b\0"), Some(("a", &b"b\0"[..])));
        assert_eq!(text(b"\0"), Some(("", &b""[..])));
        assert_eq!(text(b"endless"), None);
        assert_eq!(text(b"\xff\0"), None);
    }
}
