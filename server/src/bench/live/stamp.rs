//! When a frame was published, inside the frame: an at sign and twenty digits of nanoseconds since
//! 1970. Publisher and crowd are on one machine, so they have one clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Digits of a stamp.
const DIGITS: usize = 20;

/// Nanoseconds since 1970.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "it times frames between processes of one machine and decides nothing"
)]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

/// A stamp of now.
#[must_use]
pub fn stamp() -> String {
    format!("@{:020}", now_ns())
}

/// Where the digits of a stamp are in a frame.
#[must_use]
pub fn find(frame: &[u8]) -> Option<usize> {
    let at = memchr::memchr(b'@', frame)?;
    let digits = frame.get(at + 1..at + 1 + DIGITS)?;
    digits.iter().all(u8::is_ascii_digit).then_some(at + 1)
}

/// Reads the stamp in a frame, if it has one.
#[must_use]
pub fn read(frame: &[u8]) -> Option<u64> {
    let from = find(frame)?;
    let digits = frame.get(from..from + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The same frame, published now.
#[must_use]
pub fn renew(frame: &str) -> String {
    let Some(from) = find(frame.as_bytes()) else {
        return frame.to_owned();
    };
    let (before, after) = (frame.get(..from - 1), frame.get(from + DIGITS..));
    format!(
        "{}{}{}",
        before.unwrap_or_default(),
        stamp(),
        after.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_read_and_renewed() {
        let frame = r#"{"mail":"a","name":"@00000000000000000042","z":1}"#;
        assert_eq!(read(frame.as_bytes()), Some(42));
        let renewed = renew(frame);
        assert_eq!(renewed.len(), frame.len());
        assert!(read(renewed.as_bytes()).expect("a stamp") > 42);
        for none in ["", "no stamp", "@123", r#"{"a":"@0000000000000000004x"}"#] {
            assert_eq!(read(none.as_bytes()), None, "{none}");
            assert_eq!(renew(none), none);
        }
    }
}
