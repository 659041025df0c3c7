//! How the connection stands, as people see it.

/// A connection that is down for longer than this is shown, in milliseconds.
const PATIENCE_MS: i64 = 2_000;

/// How the connection stands. Times are those of the tab's monotonic clock, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The page has not started its scripts.
    Starting,
    /// Connected, everything is fresh.
    Live,
    /// Not connected.
    Down {
        /// Since when.
        since_ms: i64,
        /// When the next try is made; `None` while one is under way.
        retry_at_ms: Option<i64>,
    },
    /// The server asked not to come back.
    Ended,
    /// The page was made for a person whom the server no longer knows in this browser.
    SignedOut,
}

/// What is shown of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Fresh.
    Live,
    /// On its way; nothing is marked yet.
    Connecting,
    /// Numbers on the page may be old.
    Stale {
        /// Seconds to the next try; `None` while one is under way.
        retry_in_s: Option<i64>,
    },
    /// Numbers are old and stay so.
    Ended,
    /// The same, and the page shows somebody as whom nobody can act here any more.
    SignedOut,
}

impl Link {
    /// What is shown at `now_ms`.
    #[must_use]
    pub fn shown(self, now_ms: i64) -> Shown {
        match self {
            Self::Starting => Shown::Connecting,
            Self::Live => Shown::Live,
            Self::Down { since_ms, .. } if now_ms - since_ms < PATIENCE_MS => Shown::Connecting,
            Self::Down { retry_at_ms, .. } => Shown::Stale {
                retry_in_s: retry_at_ms.map(|at| ((at - now_ms).max(0) + 999) / 1_000),
            },
            Self::Ended => Shown::Ended,
            Self::SignedOut => Shown::SignedOut,
        }
    }

    /// Since when it has been down, if it is down or goes down now.
    #[must_use]
    pub const fn down_since(self, now_ms: i64) -> i64 {
        match self {
            Self::Down { since_ms, .. } => since_ms,
            Self::Starting | Self::Live | Self::Ended | Self::SignedOut => now_ms,
        }
    }
}

impl Shown {
    /// The word on the page, also for tests.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Connecting => "connecting",
            Self::Stale { .. } | Self::Ended | Self::SignedOut => "stale",
        }
    }

    /// Whether what the page shows may be old.
    #[must_use]
    pub const fn is_stale(self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Ended | Self::SignedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_drop_is_not_shown_and_a_long_one_counts_down() {
        let down = Link::Down {
            since_ms: 1_000,
            retry_at_ms: Some(6_500),
        };
        assert_eq!(down.shown(2_999), Shown::Connecting);
        assert_eq!(
            down.shown(3_000),
            Shown::Stale {
                retry_in_s: Some(4)
            }
        );
        assert_eq!(
            down.shown(9_000),
            Shown::Stale {
                retry_in_s: Some(0)
            }
        );
        assert_eq!(
            (down.down_since(9_000), Link::Live.down_since(9_000)),
            (1_000, 9_000)
        );
        assert!(Link::Ended.shown(0).is_stale());
        assert_eq!(Link::SignedOut.shown(0).word(), "stale");
        assert!(Link::SignedOut.shown(0).is_stale());
        assert!(!Link::Live.shown(0).is_stale());
        assert_eq!(Link::Starting.shown(0).word(), "connecting");
    }
}
