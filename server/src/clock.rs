//! The shell's clock. Decisions use the time of their own database transaction; everything shown
//! to people uses this: database time, as this node measured its offset.

use shared::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// Database time without asking the database: a monotonic clock and the measured offset.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    /// Database time at `started`, in milliseconds since 1970.
    base_ms: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock set by the machine until [`Clock::set`] has been told better.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    pub fn new() -> Self {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = since_1970.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        Self {
            started: Instant::now(),
            base_ms: AtomicI64::new(ms),
        }
    }

    fn elapsed_ms(&self, at: Instant) -> i64 {
        let elapsed = at.saturating_duration_since(self.started);
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    /// Takes in a measurement: the database said `database` between `asked` and `answered`.
    pub fn set(&self, asked: Instant, answered: Instant, database: Timestamp) {
        let middle = (self.elapsed_ms(asked) + self.elapsed_ms(answered)) / 2;
        self.base_ms.store(database.0 - middle, Ordering::Relaxed);
    }

    /// Database time now, as this node knows it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let base = self.base_ms.load(Ordering::Relaxed);
        Timestamp(base + self.elapsed_ms(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_time_counts_however_wrong_the_machine_is() {
        let clock = Clock::new();
        let machine = clock.now();
        for skew_ms in [-3_600_000, 600_000] {
            let (asked, database) = (Instant::now(), machine.plus_ms(skew_ms));
            clock.set(asked, asked, database);
            let off = clock.now().since_ms(database);
            assert!(
                (0..1_000).contains(&off),
                "{off} ms after the database's {skew_ms}"
            );
        }
    }
}
