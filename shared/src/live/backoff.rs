//! When a client connects again.

use super::close_code;

/// The first pause is at most this long, in milliseconds.
const FIRST_MS: u32 = 200;
/// No pause is longer, in milliseconds.
const LONGEST_MS: u32 = 20_000;
/// A connection that stood this long has earned a fresh start, in milliseconds.
const STABLE_MS: i64 = 30_000;
/// A restarting server is left alone for at least this long, in milliseconds.
const RESTART_LEAST_MS: u32 = 2_000;
/// And at most for this long: with the time of the restart, everybody is back in half a minute.
const RESTART_MOST_MS: u32 = 20_000;

/// What a closed socket means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Connect again after a pause.
    Reconnect,
    /// The server restarts: give it time.
    Restart,
    /// Do not come back.
    Stay,
}

/// What a close code asks for.
#[must_use]
pub const fn after_close(code: u16) -> After {
    match code {
        close_code::RESTART => After::Restart,
        4500..=4999 => After::Stay,
        _ => After::Reconnect,
    }
}

/// Pauses with full jitter: random up to a bound that doubles with every failed try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The pause before the next try, in milliseconds. `random` is any random number.
    pub fn pause_ms(&mut self, after: After, random: u32) -> u32 {
        if after == After::Restart {
            return RESTART_LEAST_MS + random % (RESTART_MOST_MS - RESTART_LEAST_MS + 1);
        }
        let doubled = FIRST_MS.saturating_mul(1_u32.checked_shl(self.tries).unwrap_or(u32::MAX));
        self.tries = (self.tries + 1).min(16);
        random % (doubled.min(LONGEST_MS) + 1)
    }

    /// Takes note of a connection that stood for `stood_ms`.
    pub fn stood(&mut self, stood_ms: i64) {
        if stood_ms >= STABLE_MS {
            self.tries = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_start_over_after_a_stable_time() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u32> = (0..10)
            .map(|_| {
                let mut same = backoff;
                let bound = (0..2_000).map(|r| same_try(&mut same, r * 37)).max();
                backoff.pause_ms(After::Reconnect, 0);
                bound.expect("tries")
            })
            .collect();
        assert!(bounds[0] <= 200 && bounds[3] <= 1_600);
        assert!(bounds.iter().all(|b| *b <= LONGEST_MS));
        assert!(bounds[9] > 10_000);
        backoff.stood(29_999);
        assert_eq!(backoff.tries, 10);
        backoff.stood(30_000);
        assert!(backoff.pause_ms(After::Reconnect, u32::MAX) <= 200);
    }

    fn same_try(backoff: &mut Backoff, random: u32) -> u32 {
        let mut copy = *backoff;
        copy.pause_ms(After::Reconnect, random)
    }

    #[test]
    fn a_restart_is_given_time_and_some_closings_are_final() {
        let mut backoff = Backoff::default();
        for random in [0, 1, 12_345, u32::MAX] {
            let pause = backoff.pause_ms(after_close(1012), random);
            assert!((2_000..=20_000).contains(&pause), "{pause}");
        }
        assert_eq!(after_close(4500), After::Stay);
        assert_eq!(after_close(4999), After::Stay);
        for code in [1000, 1006, 1008, 1013, 4000, 4499, 5000] {
            assert_eq!(after_close(code), After::Reconnect, "{code}");
        }
    }
}
