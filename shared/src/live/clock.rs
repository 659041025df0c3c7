//! The estimate of the server's clock from timestamped pings.

/// Samples kept.
const MAX_SAMPLES: usize = 16;

/// One ping: how long it took and what it says about the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    round_trip_ms: i64,
    offset_ms: i64,
}

/// Estimates server time from a local monotonic clock: the median offset of the recent pings,
/// without those whose round trip took over twice the median one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset {
    samples: Vec<Sample>,
}

impl ClockOffset {
    /// An estimate with no samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a pong: the local monotonic clock when the ping left and when the pong came, and
    /// the server's time in it, all in milliseconds. A pong from before its ping is ignored.
    pub fn sample(&mut self, sent_ms: i64, received_ms: i64, server_ms: i64) {
        if received_ms < sent_ms {
            return;
        }
        if self.samples.len() == MAX_SAMPLES {
            self.samples.remove(0);
        }
        let round_trip_ms = received_ms - sent_ms;
        // The server read its clock about half-way; what is lost by halving is under 1 ms.
        let offset_ms = server_ms - (sent_ms + round_trip_ms / 2);
        self.samples.push(Sample {
            round_trip_ms,
            offset_ms,
        });
    }

    fn good(&self) -> Vec<Sample> {
        let Some(median) = median(self.samples.iter().map(|s| s.round_trip_ms)) else {
            return Vec::new();
        };
        let quick = |s: &&Sample| s.round_trip_ms <= median.saturating_mul(2);
        self.samples.iter().filter(quick).copied().collect()
    }

    /// Server time minus local time, or `None` before the first sample.
    #[must_use]
    pub fn offset_ms(&self) -> Option<i64> {
        median(self.good().iter().map(|s| s.offset_ms))
    }

    /// How far the estimate may be off: half the median round trip of the samples used.
    #[must_use]
    pub fn uncertainty_ms(&self) -> Option<i64> {
        median(self.good().iter().map(|s| s.round_trip_ms)).map(|ms| ms / 2 + 1)
    }
}

/// The middle value. It is found by counting: there are few, and sorting weighs on the bundle.
fn median(values: impl Iterator<Item = i64>) -> Option<i64> {
    let values: Vec<i64> = values.collect();
    let middle = values.len() / 2;
    let count = |of: &dyn Fn(&i64) -> bool| values.iter().filter(|v| of(v)).count();
    let is_middle = |value: &i64| {
        let (below, up_to) = (count(&|v| v < value), count(&|v| v <= value));
        below <= middle && middle < up_to
    };
    values.iter().copied().find(is_middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_slow_ping_does_not_move_the_clock() {
        let mut clock = ClockOffset::new();
        for at in [0, 100, 200, 300] {
            clock.sample(at, at + 10, at + 5 + 60_000);
        }
        clock.sample(400, 2_400, 460_000);
        assert_eq!(clock.offset_ms(), Some(60_000));
        assert_eq!(clock.uncertainty_ms(), Some(6));
        assert_eq!(ClockOffset::new().offset_ms(), None);
    }

    proptest! {
        #[test]
        fn the_error_stays_within_the_uncertainty(
            skew in -3_600_000_i64..3_600_000,
            trips in proptest::collection::vec((0_i64..80, 0_i64..80), 3..40),
        ) {
            let mut clock = ClockOffset::new();
            let mut at = 1_000;
            for (out, back) in trips {
                clock.sample(at, at + out + back, at + out + skew);
                at += 500;
            }
            let offset = clock.offset_ms().expect("samples");
            prop_assert!((offset - skew).abs() <= 80, "offset {offset} for skew {skew}");
        }
    }
}
