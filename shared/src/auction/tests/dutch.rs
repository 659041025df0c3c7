//! The falling price as a function of time, and what a claim on it is charged.

use super::*;
use proptest::prelude::*;

fn schedule() -> impl Strategy<Value = Dutch> {
    let parts = (0_i64..20_000, 0_i64..20_000, 1_i64..3_000, 1_i64..5_000);
    parts.prop_map(|(floor, fall, step_minor, tick_ms)| Dutch {
        start: usd(floor + fall),
        floor: usd(floor),
        step_minor,
        tick_ms,
    })
}

/// Any moment, and often one at a tick or next to it.
fn moment(tick_ms: i64) -> impl Strategy<Value = Timestamp> {
    let ticks = (-2_i64..40, -1_i64..=1).prop_map(move |(n, off)| n * tick_ms + off);
    prop_oneof![ticks, -10_000_i64..200_000].prop_map(|ms| OPENS.plus_ms(ms))
}

proptest! {
    #[test]
    fn the_price_falls_by_whole_steps_from_start_to_floor(
        (dutch, one, other) in schedule().prop_flat_map(|d| (Just(d), moment(d.tick_ms), moment(d.tick_ms))),
    ) {
        let price = |now| dutch.price_at(OPENS, now).minor();
        let (early, late) = (one.min(other), one.max(other));
        prop_assert!(price(early) >= price(late), "never rises");
        prop_assert_eq!(price(OPENS), dutch.start.minor());
        prop_assert_eq!(price(OPENS.plus_ms(-1)), dutch.start.minor());
        let (start, floor) = (dutch.start.minor(), dutch.floor.minor());
        let fallen = start - price(one);
        prop_assert!(fallen % dutch.step_minor == 0 || price(one) == floor);

        let floor_at = dutch.floor_at(OPENS);
        prop_assert_eq!(price(floor_at), floor);
        if floor < start {
            prop_assert!(price(floor_at.plus_ms(-1)) > floor, "not before");
        }
        prop_assert_eq!(price(one) == floor, one >= floor_at || start == floor);
    }

    #[test]
    fn the_next_tick_is_when_the_price_changes(
        (dutch, now) in schedule().prop_flat_map(|d| (Just(d), moment(d.tick_ms))),
    ) {
        let price = dutch.price_at(OPENS, now);
        match dutch.next_tick_at(OPENS, now) {
            None => prop_assert_eq!(price, dutch.floor),
            Some(tick) => {
                prop_assert!(tick > now);
                prop_assert_eq!(dutch.price_at(OPENS, tick.plus_ms(-1)), price);
                prop_assert!(dutch.price_at(OPENS, tick).minor() < price.minor());
                prop_assert!(tick <= dutch.floor_at(OPENS));
            }
        }
    }

    #[test]
    fn a_claim_pays_the_price_of_the_moment_and_never_more_than_agreed(
        (dutch, now) in schedule().prop_flat_map(|d| (Just(d), moment(d.tick_ms))),
        max in 1_i64..45_000,
        available in 0_i64..45_000,
        bought in any::<u32>(),
    ) {
        let lot = lot(Book::Dutch(dutch));
        let price = dutch.price_at(OPENS, now);
        let decision = lot.claim(&claim(BUYER, 1, usd(max)), usd(available), bought, now);
        let expected = if now < OPENS {
            Err(Refusal::NotLive { opens_at: OPENS })
        } else if now >= CLOSES {
            Err(Refusal::Ended)
        } else if max < price.minor() {
            Err(Refusal::PriceMoved { price })
        } else if available < price.minor() {
            Err(Refusal::Insufficient { needed: price, available: usd(available) })
        } else {
            Ok(ClaimAccepted { price, units: 1, total: price })
        };
        prop_assert_eq!(decision, expected);
    }

    #[test]
    fn no_schedule_or_moment_makes_the_rules_panic(
        start in 0..=MAX_MINOR,
        floor in 0..=MAX_MINOR,
        step_minor in prop_oneof![Just(i64::MIN), Just(0), Just(1), Just(i64::MAX)],
        tick_ms in prop_oneof![Just(i64::MIN), Just(0), Just(1), Just(i64::MAX)],
        opens_at in prop_oneof![Just(i64::MIN), Just(0), Just(i64::MAX)],
        now in prop_oneof![Just(i64::MIN), Just(0), Just(i64::MAX)],
    ) {
        let dutch = Dutch { start: usd(start), floor: usd(floor), step_minor, tick_ms };
        let (opens_at, now) = (Timestamp(opens_at), Timestamp(now));
        let price = dutch.price_at(opens_at, now).minor();
        prop_assert!(price >= floor && price <= start.max(floor));
        let next = dutch.next_tick_at(opens_at, now);
        prop_assert_eq!(next.is_none(), price == floor || start <= floor);
        prop_assert!(dutch.floor_at(opens_at) >= opens_at);
    }
}

#[test]
fn a_schedule_reads_like_a_timetable() {
    let price = |ms| dutch().price_at(OPENS, OPENS.plus_ms(ms)).minor();
    let rows = [
        (0, 5_000),
        (999, 5_000),
        (1_000, 4_300),
        (4_999, 2_200),
        (5_000, 1_500),
        (6_000, 1_100),
        (600_000, 1_100),
    ];
    for (ms, minor) in rows {
        assert_eq!(price(ms), minor, "after {ms} ms");
    }
    assert_eq!(
        dutch().floor_at(OPENS),
        OPENS.plus_ms(6_000),
        "a part of a step counts"
    );
}

#[test]
fn a_dutch_lot_has_one_unit() {
    let lot = lot(Book::Dutch(dutch()));
    for units in [0, 2, u32::MAX] {
        let decision = lot.claim(&claim(BUYER, units, usd(9_000)), usd(9_000), 0, DURING);
        assert_eq!(decision, Err(Refusal::InvalidAmount), "{units} units");
    }
}
