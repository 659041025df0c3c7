//! Places in the house's activity, to read on from.

use crate::view::Activity;
use crate::{EventId, Timestamp};
use core::fmt;
use core::str::FromStr;

/// A place in the house's activity: older lines are read before it. Written as milliseconds, a dot
/// and the event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedCursor {
    /// When.
    pub at: Timestamp,
    /// The event behind the line.
    pub event: EventId,
}

/// The text is no place in the activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place in the activity")]
pub struct FeedCursorError;

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.0, self.event)
    }
}

impl FromStr for FeedCursor {
    type Err = FeedCursorError;

    fn from_str(text: &str) -> Result<Self, FeedCursorError> {
        let (at, event) = text.split_once('.').ok_or(FeedCursorError)?;
        let digits = !at.is_empty() && at.bytes().all(|b| b.is_ascii_digit());
        let at = at.parse().ok().filter(|_| digits).ok_or(FeedCursorError)?;
        let event = event.parse().map_err(|_malformed| FeedCursorError)?;
        let at = Timestamp(at);
        Ok(Self { at, event })
    }
}

/// Some of the house's activity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedPage {
    /// Lines, newest first.
    pub lines: Vec<Activity>,
    /// Where it goes on; `None` at the end.
    pub next: Option<FeedCursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_activity_is_read_as_it_is_written_and_nothing_else_is() {
        let event = EventId::from_uuid(uuid::Uuid::from_u128(5));
        let at = Timestamp(1_764_191_364_000);
        let cursor = FeedCursor { at, event };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let digits = "0".repeat(31);
        for bad in [
            "".to_owned(),
            "5".to_owned(),
            "5.".to_owned(),
            format!("-5.evt_{digits}5"),
            format!("+5.evt_{digits}5"),
            format!(".evt_{digits}5"),
            format!("5.lot_{digits}5"),
            format!("5.evt_{digits}5 "),
            format!("99999999999999999999.evt_{digits}5"),
        ] {
            assert_eq!(bad.parse::<FeedCursor>(), Err(FeedCursorError), "{bad}");
        }
    }
}
