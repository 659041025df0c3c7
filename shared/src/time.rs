//! Moments and durations, in milliseconds.

use serde::{Deserialize, Serialize};

/// A moment in UTC, in milliseconds since 1970. On the server it is always the database's time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `ms` milliseconds later; saturates at the ends of the range.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; negative if `earlier` is later.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Time left as a person reads it: `2 d 04:11`, `1:02:09`, `12:09`, `0:07`.
#[must_use]
pub fn countdown(left_ms: i64) -> String {
    // Rounded up, so that 0:00 appears only when nothing is left.
    let seconds = left_ms.max(0).saturating_add(999) / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    if days > 0 {
        format!("{days} d {hours:02}:{minutes:02}")
    } else if hours > 0 {
        format!("{hours}:{minutes:02}:{rest:02}")
    } else {
        format!("{minutes}:{rest:02}")
    }
}

/// The time of day of a moment in UTC, as `14:03:09`: the same on server and client.
#[must_use]
pub fn clock_utc(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1000).rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_countdown_reads_like_a_clock_and_ends_at_nothing() {
        assert_eq!(countdown(187_860_000), "2 d 04:11");
        assert_eq!(countdown(3_729_000), "1:02:09");
        assert_eq!(countdown(729_000), "12:09");
        assert_eq!(countdown(6_001), "0:07");
        assert_eq!(countdown(1), "0:01");
        assert_eq!(countdown(0), "0:00");
        assert_eq!(countdown(-5_000), "0:00");
    }

    #[test]
    fn the_clock_is_utc_and_holds_before_1970() {
        assert_eq!(clock_utc(Timestamp(50_589_000)), "14:03:09");
        assert_eq!(clock_utc(Timestamp(-1_000)), "23:59:59");
    }
}
