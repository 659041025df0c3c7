//! When a delivery that failed is tried again: ten tries over about three days, as Standard
//! Webhooks recommends. The first is made at once.

use std::time::Duration;

/// The pause after each failed try, in seconds. After the last there is none: the delivery has
/// failed for good, about 75 hours after the event.
const PAUSES_S: [u64; 9] = [
    5,
    5 * 60,
    30 * 60,
    2 * 3_600,
    5 * 3_600,
    10 * 3_600,
    14 * 3_600,
    20 * 3_600,
    24 * 3_600,
];

/// How far chance moves a pause, in thousandths either way, so that the deliveries that failed
/// together do not come back together.
const JITTER: u64 = 100;

/// The longest that a receiver may ask to be left alone for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// How long to wait after the try of the given number (1 is the first), or `None` after the last.
/// `chance` is a random number; `asked` is what the receiver asked for.
#[must_use]
pub fn pause_after(failed_try: u32, chance: u64, asked: Option<Duration>) -> Option<Duration> {
    let place = usize::try_from(failed_try.checked_sub(1)?).ok()?;
    let seconds = *PAUSES_S.get(place)?;
    let thousandths = 1_000 - JITTER + chance % (2 * JITTER + 1);
    let pause = Duration::from_millis(seconds * thousandths);
    Some(pause.max(asked.unwrap_or_default().min(MAX_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_tries_take_about_three_days() {
        let pauses: Vec<_> = (1..)
            .map_while(|failed| pause_after(failed, JITTER, None))
            .collect();
        assert_eq!(pauses.len(), 9);
        assert_eq!(pauses[0], Duration::from_secs(5));
        assert_eq!(pauses[8], Duration::from_secs(24 * 3_600));
        let hours = pauses.iter().sum::<Duration>().as_secs() / 3_600;
        assert_eq!(hours, 75);
        assert_eq!(pause_after(0, 0, None), None);
        assert_eq!(pause_after(10, 0, None), None);
        assert_eq!(pause_after(u32::MAX, 0, None), None);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_less_or_for_ever() {
        let after = |failed, seconds| {
            let asked = Some(Duration::from_secs(seconds));
            pause_after(failed, JITTER, asked).map(|pause| pause.as_secs())
        };
        assert_eq!(after(1, 60), Some(60));
        assert_eq!(after(2, 60), Some(300));
        assert_eq!(after(1, 1_000_000), Some(3_600));
        assert_eq!(after(10, 60), None);
    }

    proptest! {
        #[test]
        fn chance_moves_a_pause_by_at_most_a_tenth(failed in 1_u32..10, chance: u64) {
            let exact = pause_after(failed, JITTER, None).expect("a pause");
            let moved = pause_after(failed, chance, None).expect("a pause");
            prop_assert!(moved >= exact * 9 / 10 && moved <= exact * 11 / 10);
        }
    }
}
