//! The shell's clock. Decisions use the time of their own database transaction; everything shown
//! to people uses this: database time, as this node measured its offset.

use shared::Timestamp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Measurements that the next one is compared with: with one every ten seconds, a minute.
const MAX_RECENT: usize = 6;

/// How much longer than twice the best round trip one may be: on a fast network a few milliseconds
/// are noise.
const SLACK: Duration = Duration::from_millis(5);

/// After this long without a good measurement any is better than the old one.
const TOO_OLD: Duration = Duration::from_secs(60);

/// Database time without asking the database: a monotonic clock and the measured offset.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    /// Database time at `started`, in milliseconds since 1970.
    base_ms: AtomicI64,
    measured: Mutex<Measured>,
}

/// What is known of the measurements so far.
#[derive(Debug, Default)]
struct Measured {
    /// The latest round trips.
    round_trips: VecDeque<Duration>,
    /// When the last one was taken in.
    taken_in_at: Option<Instant>,
}

impl Measured {
    /// Whether to take in a measurement; the middle of a long wait says little about the moment in
    /// which the database read its clock.
    fn take_in(&mut self, asked: Instant, answered: Instant) -> bool {
        let round_trip = answered.saturating_duration_since(asked);
        let best = self.round_trips.iter().min().copied();
        if self.round_trips.len() == MAX_RECENT {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back(round_trip);
        let is_good = best.is_none_or(|best| round_trip <= best * 2 + SLACK);
        let age = self
            .taken_in_at
            .map(|at| answered.saturating_duration_since(at));
        let is_wanted = is_good || age.is_none_or(|age| age >= TOO_OLD);
        if is_wanted {
            self.taken_in_at = Some(answered);
        }
        is_wanted
    }
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
            measured: Mutex::default(),
        }
    }

    fn elapsed_ms(&self, at: Instant) -> i64 {
        let elapsed = at.saturating_duration_since(self.started);
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    /// Takes in a measurement: the database said `database` between `asked` and `answered`. One
    /// that took much longer than the others lately is passed over.
    pub fn set(&self, asked: Instant, answered: Instant, database: Timestamp) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if !measured.take_in(asked, answered) {
            return;
        }
        drop(measured);
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

    /// Measurements as when they began and how long they took, with whether each is taken in.
    fn taken_in(measurements: &[(u64, u64)]) -> Vec<bool> {
        let start = Instant::now();
        let mut measured = Measured::default();
        let mut answers = Vec::new();
        for (at_ms, took_ms) in measurements {
            let asked = start + Duration::from_millis(*at_ms);
            let answered = asked + Duration::from_millis(*took_ms);
            answers.push(measured.take_in(asked, answered));
        }
        answers
    }

    #[test]
    fn a_long_wait_is_no_measurement() {
        let second = 1_000;
        let waits = [
            (0, 400),
            (10 * second, 10),
            (20 * second, 25),
            (30 * second, 26),
            (40 * second, 4_000),
            (50 * second, 11),
        ];
        let expected = [true, true, true, false, false, true];
        assert_eq!(taken_in(&waits), expected);
    }

    #[test]
    fn after_a_minute_without_any_a_long_wait_is_better_than_nothing() {
        let second = 1_000;
        let waits = [
            (0, 1),
            (30 * second, 500),
            (59 * second, 900),
            (60 * second, 800),
        ];
        assert_eq!(taken_in(&waits), [true, false, false, true]);
    }

    #[test]
    fn a_database_that_moved_away_is_measured_again() {
        let waits: Vec<_> = (0..9)
            .map(|n| (n * 1_000, if n == 0 { 1 } else { 90 }))
            .collect();
        let answers = taken_in(&waits);
        assert_eq!(answers.iter().rposition(|taken| !taken), Some(6));
    }

    #[test]
    fn a_measurement_that_took_too_long_leaves_the_clock_alone() {
        let clock = Clock::new();
        let asked = Instant::now();
        clock.set(asked, asked, Timestamp(1_000_000));
        clock.set(asked, asked + Duration::from_secs(3), Timestamp(9_000_000));
        assert!(clock.now().since_ms(Timestamp(1_000_000)) < 60_000);
    }

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
