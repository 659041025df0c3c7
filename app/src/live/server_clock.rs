//! The server's clock as this tab shows it: set by pongs, slewed, never jumping.

use shared::Timestamp;
use shared::live::ClockOffset;

/// Of the time that passes, the part by which the shown clock may run fast or slow: one in this
/// many, so that a countdown stays even.
const SLEW_PART: i64 = 10;
/// An error so large that no slewing helps, in milliseconds: the computer slept.
const JUMP_MS: i64 = 5_000;

/// Estimates server time from the tab's monotonic clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerClock {
    estimate: ClockOffset,
    shown_offset_ms: Option<i64>,
    last_ms: i64,
    synced: bool,
}

impl ServerClock {
    /// Starts from the page's snapshot, whose time is known only to be in the past.
    pub fn start(&mut self, snapshot: Timestamp, local_ms: i64) {
        if self.shown_offset_ms.is_none() {
            self.shown_offset_ms = Some(snapshot.0.saturating_sub(local_ms));
            self.last_ms = local_ms;
        }
    }

    /// Takes in a pong.
    pub fn pong(&mut self, sent_ms: i64, received_ms: i64, server: Timestamp) {
        self.estimate.sample(sent_ms, received_ms, server.0);
    }

    /// Forgets old pongs, after a sleep or a new connection.
    pub fn forget(&mut self) {
        self.estimate = ClockOffset::new();
    }

    /// The server's time at `local_ms`, or `None` before anything is known.
    pub fn now(&mut self, local_ms: i64) -> Option<Timestamp> {
        let wanted = self.estimate.offset_ms();
        let passed = local_ms.saturating_sub(self.last_ms).max(0);
        self.last_ms = local_ms;
        let offset = match (self.shown_offset_ms, wanted) {
            (None, None) => return None,
            (Some(shown), None) => shown,
            (None, Some(wanted)) => wanted,
            // The page's snapshot is a guess; the first pong replaces it.
            (Some(_guess), Some(wanted)) if !self.synced => wanted,
            (Some(shown), Some(wanted)) => {
                let error = wanted - shown;
                let most = passed / SLEW_PART + 1;
                if error.abs() > JUMP_MS {
                    wanted
                } else {
                    shown + error.clamp(-most, most)
                }
            }
        };
        self.synced |= wanted.is_some();
        self.shown_offset_ms = Some(offset);
        Some(Timestamp(local_ms.saturating_add(offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_from_the_page_and_is_set_right_by_the_first_pong() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.now(10), None);
        clock.start(Timestamp(1_000_000), 100);
        clock.start(Timestamp(5), 100);
        assert_eq!(clock.now(350), Some(Timestamp(1_000_250)));
        clock.pong(400, 420, Timestamp(1_003_410));
        assert_eq!(clock.now(420), Some(Timestamp(1_003_420)));
    }

    #[test]
    fn small_errors_are_slewed_and_time_never_runs_backwards() {
        let mut clock = ServerClock::default();
        clock.pong(0, 10, Timestamp(100_005));
        let mut last = clock.now(10).expect("known");
        clock.forget();
        clock.pong(20, 30, Timestamp(99_525));
        for local in (30_i64..8_000).step_by(250) {
            let now = clock.now(local).expect("known");
            assert!(now > last, "{now:?} after {last:?}");
            last = now;
        }
        assert_eq!(clock.now(8_000), Some(Timestamp(107_500)));
    }

    #[test]
    fn after_a_sleep_it_jumps_once() {
        let mut clock = ServerClock::default();
        clock.pong(0, 0, Timestamp(1_000));
        assert_eq!(clock.now(0), Some(Timestamp(1_000)));
        clock.forget();
        clock.pong(10, 10, Timestamp(3_600_010));
        assert_eq!(clock.now(10), Some(Timestamp(3_600_010)));
    }
}
