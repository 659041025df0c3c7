//! How often each thing happened, and how long it took.

use shared::auction::drop;
use std::collections::BTreeMap;
use std::time::Duration;

/// Buckets that stock is split into at most.
#[expect(clippy::as_conversions, reason = "a small constant")]
pub const MAX_BUCKETS: usize = drop::MAX_BUCKETS as usize;

/// How often each thing happened; counters only grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Committed transactions, without those that only read.
    pub committed: u64,
    /// Retries by cause: a class, with the SQLSTATE or the row that was lost.
    pub retries: BTreeMap<String, u64>,
    /// COMMITs whose outcome was unknown at first.
    pub unknown_commits: u64,
    /// Commands given up.
    pub given_up: u64,
    /// How long committed commands took.
    pub took: Durations,
    /// What became of the tries that took units from each bucket of stock, by its number.
    pub buckets: [BucketLoad; MAX_BUCKETS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            committed: 0,
            retries: BTreeMap::new(),
            unknown_commits: 0,
            given_up: 0,
            took: Durations::default(),
            buckets: [BucketLoad::default(); MAX_BUCKETS],
        }
    }
}

impl Counters {
    /// Retries of all causes.
    #[must_use]
    pub fn all_retries(&self) -> u64 {
        self.retries.values().sum()
    }

    /// Retries because another transaction was first.
    #[must_use]
    pub fn conflicts(&self) -> u64 {
        let conflict = |(cause, _): &(&String, &u64)| cause.starts_with("conflict");
        self.retries
            .iter()
            .filter(conflict)
            .map(|(_, count)| count)
            .sum()
    }

    /// Adds what another runner counted.
    pub fn add(&mut self, other: &Self) {
        self.committed += other.committed;
        self.unknown_commits += other.unknown_commits;
        self.given_up += other.given_up;
        for (cause, count) in &other.retries {
            *self.retries.entry(cause.clone()).or_default() += count;
        }
        for (own, other) in self.took.counts.iter_mut().zip(other.took.counts) {
            *own += other;
        }
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            own.committed += other.committed;
            own.lost += other.lost;
        }
    }

    /// Notes what became of a try that took from these buckets.
    pub(super) fn note_buckets(&mut self, numbers: &[i32], note: impl Fn(&mut BucketLoad)) {
        for number in numbers {
            let bucket = usize::try_from(*number).ok();
            if let Some(bucket) = bucket.and_then(|number| self.buckets.get_mut(number)) {
                note(bucket);
            }
        }
    }
}

/// What became of the tries that took units from one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketLoad {
    /// Tries that were committed.
    pub committed: u64,
    /// Tries that lost a race, over this bucket or another row of theirs.
    pub lost: u64,
}

/// How many steps of [`Durations`] there are: the last one takes everything from half a minute on.
const STEPS: usize = 54;

/// The first step's upper bound, in microseconds.
const FIRST_STEP_US: f64 = 250.0;

/// How much longer each step is than the one before: what is read from it is within a tenth.
const GROWTH: f64 = 1.25;

/// Durations, counted by steps. Whoever watches takes two of them and looks at the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    counts: [u64; STEPS],
}

impl Default for Durations {
    fn default() -> Self {
        Self { counts: [0; STEPS] }
    }
}

impl Durations {
    pub(super) fn note(&mut self, took: Duration) {
        let mut bound = FIRST_STEP_US;
        let us = took.as_secs_f64() * 1e6;
        let last = STEPS - 1;
        for (step, count) in self.counts.iter_mut().enumerate() {
            if us <= bound || step == last {
                *count += 1;
                return;
            }
            bound *= GROWTH;
        }
    }

    /// What was counted since `before`; nothing if that is of another runner.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut counts = self.counts;
        for (own, before) in counts.iter_mut().zip(before.counts) {
            *own = own.saturating_sub(before);
        }
        Self { counts }
    }

    /// The duration below which so many of 100 are, in milliseconds and at most a quarter too long;
    /// `None` if there is none at all.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all * u64::from(percent)).div_ceil(100).max(1);
        let (mut bound, mut seen) = (FIRST_STEP_US, 0);
        for count in self.counts {
            seen += count;
            if seen >= wanted {
                return Some(bound / 1e3);
            }
            bound *= GROWTH;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_at_most_a_quarter_too_long() {
        let mut all = Durations::default();
        assert_eq!(all.percentile(50), None);
        for ms in 1..=1_000 {
            all.note(Duration::from_millis(ms));
        }
        for (percent, exact) in [(1_u8, 10.0), (50, 500.0), (99, 990.0), (100, 1_000.0)] {
            let seen = all.percentile(percent).expect("some");
            assert!(
                seen >= exact && seen <= exact * GROWTH,
                "{percent}: {seen} for {exact}"
            );
        }
    }

    #[test]
    fn differences_count_what_came_in_between() {
        let mut before = Durations::default();
        before.note(Duration::from_secs(20));
        let mut after = before;
        after.note(Duration::from_millis(1));
        let between = after.since(&before);
        assert!(between.percentile(99).expect("one") < 1.3);
        // A runner that began anew has counted less: nothing is negative.
        assert_eq!(before.since(&after).percentile(50), None);
    }

    #[test]
    fn the_longest_step_takes_what_never_ends() {
        let mut all = Durations::default();
        all.note(Duration::from_secs(3_600));
        assert!(all.percentile(50).expect("one") > 30_000.0);
    }

    #[test]
    fn buckets_beyond_the_last_are_not_counted() {
        let mut counters = Counters::default();
        counters.note_buckets(&[0, 63, 64, -1], |bucket| bucket.lost += 1);
        let lost: u64 = counters.buckets.iter().map(|bucket| bucket.lost).sum();
        assert_eq!(lost, 2);
        let mut sum = counters.clone();
        sum.add(&counters);
        assert_eq!(sum.buckets[63].lost, 2);
    }
}
