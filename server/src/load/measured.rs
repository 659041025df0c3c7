//! What a run of the load generator saw.

use hdrhistogram::Histogram;
use http::StatusCode;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest latency that is told apart: what takes longer counts as this.
const LONGEST_MICROS: u64 = 60_000_000;

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

const MICROS_PER_MS: f64 = 1_000.0;

/// The answers while they come in.
#[derive(Debug)]
pub struct Tally {
    pub answered: u64,
    pub by_status: BTreeMap<u16, u64>,
    pub connection_errors: u64,
    pub resent: u64,
    pub latencies: Histogram<u64>,
}

impl Tally {
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            answered: 0,
            by_status: BTreeMap::new(),
            connection_errors: 0,
            resent: 0,
            latencies: Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS)?,
        })
    }

    pub fn answer(&mut self, status: StatusCode, latency: Duration) {
        self.answered += 1;
        *self.by_status.entry(status.as_u16()).or_default() += 1;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_MICROS);
        self.latencies.saturating_record(micros);
    }
}

/// A run that has ended. Every request is in `by_status` or in `unanswered`.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Requests of the run.
    pub requests: u64,
    /// Answers by status code.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests without an answer: their connection broke, or was never to be had.
    pub unanswered: u64,
    /// Connections that broke or were refused.
    pub connection_errors: u64,
    /// Requests that were sent again, each time, in a run that insists.
    pub resent: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    latencies: Histogram<u64>,
}

impl Measured {
    pub(super) fn new(tally: &Tally, requests: u64, elapsed: Duration) -> Self {
        Self {
            requests,
            by_status: tally.by_status.clone(),
            unanswered: requests.saturating_sub(tally.answered),
            connection_errors: tally.connection_errors,
            resent: tally.resent,
            elapsed,
            latencies: tally.latencies.clone(),
        }
    }

    /// Answers of any status.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// Answers with this status.
    #[must_use]
    pub fn with_status(&self, status: StatusCode) -> u64 {
        self.by_status.get(&status.as_u16()).copied().unwrap_or(0)
    }

    /// Answers a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        // Counts are far below 2^53, so a float holds them exactly.
        self.answered() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The median latency in milliseconds.
    #[must_use]
    pub fn p50_ms(&self) -> f64 {
        self.quantile_ms(0.5)
    }

    /// The latency that one request in a hundred exceeds.
    #[must_use]
    pub fn p99_ms(&self) -> f64 {
        self.quantile_ms(0.99)
    }

    /// The latency that one request in a thousand exceeds.
    #[must_use]
    pub fn p999_ms(&self) -> f64 {
        self.quantile_ms(0.999)
    }

    /// The longest latency.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        self.quantile_ms(1.0)
    }

    /// Any latency, in microseconds.
    #[must_use]
    pub const fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        let micros = self.latencies.value_at_quantile(quantile);
        Duration::from_micros(micros).as_secs_f64() * MICROS_PER_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_answered_or_not() {
        let mut tally = Tally::new().expect("bounds");
        for ms in 1..=100 {
            tally.answer(StatusCode::CREATED, Duration::from_millis(ms));
        }
        tally.answer(StatusCode::CONFLICT, Duration::from_secs(3_600));
        let measured = Measured::new(&tally, 104, Duration::from_secs(2));
        assert_eq!((measured.answered(), measured.unanswered), (101, 3));
        assert_eq!(measured.with_status(StatusCode::CREATED), 100);
        assert_eq!(measured.with_status(StatusCode::OK), 0);
        assert!((measured.per_second() - 50.5).abs() < 1e-9);
        assert!(
            (measured.p50_ms() - 51.0).abs() < 0.1,
            "{}",
            measured.p50_ms()
        );
        assert!((measured.p999_ms() - 60_000.0).abs() < 60.0);
    }
}
