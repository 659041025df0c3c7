//! How fast one connection may talk.

use std::time::Duration;
use tokio::time::Instant;

/// So many at once, and one more every so often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub burst: u32,
    pub every: Duration,
}

/// Frames of any kind: 50 a second.
pub(super) const FRAMES: Rate = Rate {
    burst: 100,
    every: Duration::from_millis(20),
};

/// Chat messages: 1 a second.
pub(super) const CHAT: Rate = Rate {
    burst: 5,
    every: Duration::from_secs(1),
};

/// Reactions: 10 a second.
pub(super) const REACTIONS: Rate = Rate {
    burst: 20,
    every: Duration::from_millis(100),
};

/// Subscriptions, and questions about lots that may not exist: 5 a second. Each may cost a read of
/// the ledger; a page needs about five, so one may open four at once.
pub(super) const SUBSCRIPTIONS: Rate = Rate {
    burst: 20,
    every: Duration::from_millis(200),
};

/// What moderators do: 2 a second. Each is a transaction on the table.
pub(super) const MODERATION: Rate = Rate {
    burst: 20,
    every: Duration::from_millis(500),
};

/// Refusals for speed that are forgiven before the socket is closed.
pub(super) const FORGIVEN: Rate = Rate {
    burst: 16,
    every: Duration::from_secs(5),
};

/// A bucket of tokens.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// When the bucket would be full; a token taken moves it one interval on.
    full_at: Instant,
}

impl Bucket {
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.rate.every;
        if full_at > now + self.rate.every * self.rate.burst {
            return false;
        }
        self.full_at = full_at;
        true
    }

    /// Takes the next token, also one that is still to come: how long until it is there, or `None`
    /// if that is longer than somebody should wait.
    pub fn take_later(&mut self, now: Instant, longest: Duration) -> Option<Duration> {
        let full_at = self.full_at.max(now) + self.rate.every;
        let there_at = now + self.rate.every * self.rate.burst;
        let wait = full_at.saturating_duration_since(there_at);
        if wait > longest {
            return None;
        }
        self.full_at = full_at;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(CHAT, start);
        let taken = (0..20).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 5);
        assert!(!bucket.take(start + Duration::from_millis(999)));
        assert!(bucket.take(start + Duration::from_millis(1_000)));
        assert!(!bucket.take(start + Duration::from_millis(1_001)));
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 5);
    }

    #[test]
    fn who_waits_comes_in_turn_and_nobody_waits_for_too_long() {
        let (start, longest) = (Instant::now(), Duration::from_secs(3));
        let mut bucket = Bucket::new(CHAT, start);
        let waits: Vec<_> = (0..10)
            .map(|_| bucket.take_later(start, longest).map(|wait| wait.as_secs()))
            .collect();
        let now = Some(0);
        let expected = [
            now,
            now,
            now,
            now,
            now,
            Some(1),
            Some(2),
            Some(3),
            None,
            None,
        ];
        assert_eq!(waits, expected, "a burst, then one a second");
        let later = start + Duration::from_secs(2);
        assert_eq!(
            bucket.take_later(later, longest),
            Some(Duration::from_secs(2))
        );
    }
}
