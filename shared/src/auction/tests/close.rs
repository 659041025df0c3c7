//! When a lot may be closed, and how it ends.

use super::*;

fn led(reserve: Option<i64>, high: Option<i64>) -> Lot {
    lot(Book::English(English {
        reserve: reserve.map(usd),
        high: high.map(|minor| led_by(BUYER, minor)),
        ..english()
    }))
}

fn with_units_left(units_left: u32) -> Lot {
    lot(Book::Drop(Drop {
        units_left,
        ..ten_units()
    }))
}

#[test]
fn the_reserve_decides_between_sold_and_passed() {
    let sold = |minor| Closing::Sold(led_by(BUYER, minor));
    let passed = |minor: Option<i64>| Closing::Passed(minor.map(|minor| led_by(BUYER, minor)));
    for (reserve, high, closing, met) in [
        (None, Some(1_000), sold(1_000), None),
        (None, None, passed(None), None),
        (Some(5_000), Some(4_999), passed(Some(4_999)), Some(false)),
        (Some(5_000), Some(5_000), sold(5_000), Some(true)),
        (Some(5_000), Some(5_001), sold(5_001), Some(true)),
        (Some(5_000), None, passed(None), Some(false)),
    ] {
        let lot = led(reserve, high);
        assert_eq!(lot.close(CLOSES), Ok(closing), "{reserve:?} {high:?}");
        let Book::English(english) = &lot.book else {
            panic!("an English lot")
        };
        assert_eq!(english.reserve_met(), met, "{reserve:?} {high:?}");
    }
}

#[test]
fn a_lot_is_closed_at_its_time_and_not_before() {
    let not_due = Err(Refusal::NotDue { closes_at: CLOSES });
    let books = [
        led(None, Some(1_000)),
        lot(Book::Dutch(dutch())),
        with_units_left(1),
    ];
    for lot in books {
        for early in [OPENS.plus_ms(-1), OPENS, CLOSES.plus_ms(-1)] {
            assert_eq!(lot.close(early), not_due, "{lot:?}");
        }
        assert!(lot.close(CLOSES).is_ok(), "{lot:?}");
        assert!(lot.close(CLOSES.plus_ms(86_400_000)).is_ok(), "{lot:?}");
    }
}

#[test]
fn a_drop_ends_with_its_last_unit_or_with_its_time() {
    let ended = |units_sold| Ok(Closing::DropEnded { units_sold });
    assert_eq!(with_units_left(0).close(DURING), ended(10), "early");
    assert_eq!(with_units_left(3).close(CLOSES), ended(7));
    assert_eq!(with_units_left(10).close(CLOSES), Ok(Closing::Passed(None)));
    let scheduled = with_units_left(0).close(OPENS.plus_ms(-1));
    assert_eq!(scheduled, Err(Refusal::NotDue { closes_at: CLOSES }));
}

#[test]
fn an_unclaimed_dutch_lot_passes() {
    let closing = lot(Book::Dutch(dutch())).close(CLOSES);
    assert_eq!(closing, Ok(Closing::Passed(None)));
}

#[test]
fn a_lot_ends_once() {
    for status in [Status::Sold, Status::Passed, Status::Cancelled] {
        for lot in [
            led(None, Some(1_000)),
            lot(Book::Dutch(dutch())),
            with_units_left(0),
        ] {
            let over = Lot { status, ..lot };
            for now in [OPENS.plus_ms(-1), DURING, CLOSES] {
                assert_eq!(over.close(now), Err(Refusal::Ended), "{over:?}");
                assert_eq!(over.phase(now), Phase::Over);
            }
        }
    }
}

#[test]
fn a_phase_begins_at_its_very_moment() {
    let lot = led(None, None);
    for (now, phase) in [
        (OPENS.plus_ms(-1), Phase::Scheduled),
        (OPENS, Phase::Live),
        (CLOSES.plus_ms(-1), Phase::Live),
        (CLOSES, Phase::Due),
    ] {
        assert_eq!(lot.phase(now), phase, "at {now:?}");
    }
}
