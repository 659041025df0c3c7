//! Leaves a table alone that does not answer.
//!
//! What rooms ask of the table goes through here. After [`FAILURES`] failures in a row nothing is
//! sent for a while, so that nobody waits for a store that is gone and a store that is overloaded
//! is not asked more than in good times. After each pause one caller tries; the first success opens
//! the way for all. The relay and the stream have pauses of their own.

use super::{Firehose, FirehoseError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row after which the table is left alone.
const FAILURES: u32 = 5;

/// The first pause; it doubles up to [`MAX_PAUSE`] while the table fails on.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: the longest that a table that is back is not noticed.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// A call that its caller gave up after this long counts as failed.
const PATIENCE: Duration = Duration::from_millis(800);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Until when nothing is sent.
    resting_until: Option<Instant>,
    pauses: u32,
}

/// Whether the table is asked at the moment.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call may be made now. The first one after a pause begins the next pause, so that
    /// no other comes with it.
    fn admits(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.resting_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.rest(now);
                true
            }
        }
    }

    fn succeeded(&self) {
        *self.state() = State::default();
    }

    fn failed(&self, now: Instant) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES && state.resting_until.is_none() {
            state.rest(now);
        }
    }
}

impl State {
    fn rest(&mut self, now: Instant) {
        let pause = PAUSE.saturating_mul(1 << self.pauses.min(10));
        self.resting_until = Some(now + pause.min(MAX_PAUSE));
        self.pauses = self.pauses.saturating_add(1);
    }
}

/// One call; a failure if it is dropped after a long wait without having ended.
struct Call<'b> {
    breaker: &'b Breaker,
    begun: Instant,
    ended: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended && self.begun.elapsed() >= PATIENCE {
            self.breaker.failed(Instant::now());
        }
    }
}

impl Firehose {
    /// Does something with the table unless that is left alone at the moment.
    pub(super) async fn guarded<T>(
        &self,
        work: impl Future<Output = Result<T, FirehoseError>>,
    ) -> Result<T, FirehoseError> {
        if !self.breaker.admits(Instant::now()) {
            return Err(FirehoseError::Resting);
        }
        let mut call = Call {
            breaker: &self.breaker,
            begun: Instant::now(),
            ended: false,
        };
        let done = work.await;
        call.ended = true;
        match &done {
            Ok(_) => self.breaker.succeeded(),
            // What the table will never take says nothing about how it is.
            Err(error) if error.is_permanent() => {}
            Err(_) => self.breaker.failed(Instant::now()),
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(times: u32, now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..times {
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn it_rests_after_failures_in_a_row_only() {
        let now = Instant::now();
        let breaker = failing(FAILURES - 1, now);
        assert!(breaker.admits(now));
        breaker.succeeded();
        breaker.failed(now);
        assert!(breaker.admits(now), "counted anew");
        assert!(!failing(FAILURES, now).admits(now));
    }

    #[test]
    fn after_a_pause_one_caller_tries_and_a_success_lets_all_in() {
        let now = Instant::now();
        let breaker = failing(FAILURES, now);
        let later = now + PAUSE;
        assert!(!breaker.admits(later - Duration::from_millis(1)));
        assert!(breaker.admits(later));
        assert!(!breaker.admits(later), "only one");
        breaker.failed(later);
        assert!(!breaker.admits(later + PAUSE), "the pause doubles");
        assert!(breaker.admits(later + PAUSE * 2));
        breaker.succeeded();
        assert!(breaker.admits(later) && breaker.admits(later));
    }

    #[test]
    fn the_pause_has_a_bound() {
        let mut now = Instant::now();
        let breaker = failing(FAILURES, now);
        for _ in 0..40 {
            now += MAX_PAUSE;
            assert!(breaker.admits(now));
        }
    }
}
