//! The reducer against snapshots: whatever arrives, in whatever order and how often, a view that
//! was kept up by events equals the one that would be read anew.

use super::*;
use crate::auction::{
    Bid, Book, Closing, Dutch, English, Extension, HighBid, Increments, Lot, Status,
};
use crate::ledger::FundSource;
use crate::view::{LotView, Person, Reserve};
use crate::{
    BidId, Currency, HoldId, LotId, Money, PrincipalId, Region, Timestamp, money::MAX_MINOR,
};
use proptest::prelude::*;
use uuid::Uuid;

const EPOCH: i64 = 3;
const OPENS: Timestamp = Timestamp(1_000);
const CLOSES: Timestamp = Timestamp(60_000);

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).expect("in range")
}

fn person(number: u128) -> Person {
    Person {
        id: PrincipalId::from_uuid(Uuid::from_u128(number)),
        handle: format!("p{number}"),
        name: format!("Person {number}"),
        simulated: false,
    }
}

fn line(number: usize, who: u128, minor: i64, at: Timestamp) -> LadderLine {
    LadderLine {
        id: format!("bid_{number:032x}"),
        who: person(who),
        region: Region::Tokyo,
        amount: usd(minor),
        units: 1,
        at,
    }
}

/// What a snapshot says: the newest lines first, and no more than fit.
fn room(terms: Terms, offset: i64, newest_first: Vec<LadderLine>) -> RoomView {
    let mut ladder = newest_first;
    ladder.truncate(MAX_LADDER_LINES);
    RoomView {
        lot: LotView {
            id: LotId::from_uuid(Uuid::from_u128(9)),
            title: "Brass telescope".into(),
            art: "telescope".into(),
            seller: person(0),
            currency: Currency::Usd,
            opens_at: OPENS,
            closes_at: CLOSES,
            status: Status::Open,
            terms,
            outcome: None,
            epoch: EPOCH,
            offset,
        },
        description: "Three draws, in its case.".into(),
        ladder,
        server_time: OPENS,
    }
}

fn at(offset: i64) -> Position {
    Position {
        epoch: EPOCH,
        offset,
    }
}

fn new_lot(reserve: Option<i64>) -> Lot {
    Lot {
        id: LotId::from_uuid(Uuid::from_u128(9)),
        seller: person(0).id,
        currency: Currency::Usd,
        opens_at: OPENS,
        closes_at: CLOSES,
        status: Status::Open,
        version: 1,
        book: Book::English(English {
            opening: usd(500),
            increments: Increments::flat(50),
            reserve: reserve.map(usd),
            extension: Extension {
                window_ms: 5_000,
                hard_end: CLOSES.plus_ms(20_000),
            },
            high: None,
        }),
    }
}

fn english_of(lot: &Lot) -> &English {
    let Book::English(english) = &lot.book else {
        panic!("an English lot")
    };
    english
}

fn reserve_of(english: &English) -> Reserve {
    match english.reserve_met() {
        None => Reserve::None,
        Some(false) => Reserve::NotMet,
        Some(true) => Reserve::Met,
    }
}

fn snapshot(lot: &Lot, lines: &[LadderLine], outcome: Option<Outcome>) -> RoomView {
    let english = english_of(lot);
    let terms = Terms::English {
        opening: english.opening,
        increments: english.increments.clone(),
        extension: english.extension,
        reserve: reserve_of(english),
        leader: lines.last().cloned(),
        next_minimum: english.minimum(),
    };
    let mut view = room(terms, lot.version, lines.iter().rev().cloned().collect());
    view.lot.status = lot.status;
    view.lot.closes_at = lot.closes_at;
    view.lot.outcome = outcome;
    view
}

/// An English lot's whole life under the real rules: its events, and the snapshot that could be
/// read before the first and after each.
#[derive(Clone, Debug)]
struct History {
    events: Vec<(Position, LotEvent)>,
    snapshots: Vec<RoomView>,
}

fn take_bid(lot: &mut Lot, line: &LadderLine) -> Option<LotEvent> {
    let bid = Bid {
        funds: FundSource::Wallet(line.who.id),
        region: line.region,
        amount: line.amount,
    };
    let accepted = lot.bid(&bid, usd(MAX_MINOR), line.at).ok()?;
    lot.closes_at = accepted.closes_at;
    lot.version = accepted.version;
    if let Book::English(english) = &mut lot.book {
        english.high = Some(HighBid {
            bid: BidId::from_uuid(Uuid::from_u128(1)),
            funds: bid.funds,
            hold: HoldId::from_uuid(Uuid::from_u128(1)),
            amount: bid.amount,
        });
    }
    Some(LotEvent::Bid {
        line: line.clone(),
        closes_at: accepted.closes_at,
        extended: accepted.extended,
        reserve: reserve_of(english_of(lot)),
        next_minimum: accepted.next_minimum,
    })
}

fn close(lot: &mut Lot, lines: &[LadderLine]) -> (LotEvent, Outcome) {
    let closing = lot.close(lot.closes_at).expect("due");
    let outcome = match closing {
        Closing::Sold(_) => Outcome::Sold {
            line: lines.last().cloned().expect("somebody led"),
        },
        Closing::Passed(high) => Outcome::Passed {
            reserve_not_met: high.is_some(),
        },
        Closing::DropEnded { .. } => panic!("no drop"),
    };
    lot.version += 1;
    lot.status = match outcome {
        Outcome::Sold { .. } => Status::Sold,
        Outcome::Passed { .. } | Outcome::DropEnded { .. } | Outcome::Cancelled => Status::Passed,
    };
    let event = LotEvent::Closed {
        status: lot.status,
        outcome: outcome.clone(),
        closes_at: lot.closes_at,
    };
    (event, outcome)
}

fn history() -> impl Strategy<Value = History> {
    let bids = proptest::collection::vec((1_u128..5, 0_i64..200, 0_i64..2_000), 0..90);
    (bids, proptest::option::of(500_i64..9_000)).prop_map(|(bids, reserve)| {
        let mut lot = new_lot(reserve);
        let (mut lines, mut now) = (Vec::new(), OPENS);
        let mut history = History {
            events: Vec::new(),
            snapshots: vec![snapshot(&lot, &lines, None)],
        };
        for (who, over, after_ms) in bids {
            now = now.plus_ms(after_ms);
            let minimum = english_of(&lot).minimum().expect("far from the end");
            let line = line(lines.len(), who, minimum.minor() + over, now);
            let Some(event) = take_bid(&mut lot, &line) else {
                break;
            };
            lines.push(line);
            history.events.push((at(lot.version), event));
            history.snapshots.push(snapshot(&lot, &lines, None));
        }
        let (event, outcome) = close(&mut lot, &lines);
        history.events.push((at(lot.version), event));
        let last = snapshot(&lot, &lines, Some(outcome));
        history.snapshots.push(last);
        history
    })
}

fn is_sound(ladder: &[LadderLine]) -> bool {
    let ids: std::collections::BTreeSet<&str> = ladder.iter().map(|l| l.id.as_str()).collect();
    ids.len() == ladder.len() && ladder.len() <= MAX_LADDER_LINES
}

proptest! {
    #[test]
    fn events_lead_from_any_snapshot_to_any_later_one(
        history in history(),
        from in any::<prop::sample::Index>(),
    ) {
        let from = from.index(history.snapshots.len());
        let mut view = history.snapshots[from].clone();
        for (place, (position, event)) in history.events.iter().enumerate().skip(from) {
            prop_assert_eq!(apply(&mut view, *position, event), Applied::Changed);
            prop_assert_eq!(&view, &history.snapshots[place + 1]);
            prop_assert!(is_sound(&view.ladder));
        }
    }

    #[test]
    fn what_comes_twice_or_too_soon_changes_nothing(
        history in history(),
        arrivals in proptest::collection::vec((any::<prop::sample::Index>(), 0..6), 0..150),
    ) {
        let mut view = history.snapshots[0].clone();
        let mut have = 0;
        for (index, which) in arrivals {
            // Mostly what is due next, or nothing would ever be reached.
            let place = if which < 3 { have } else { index.index(history.events.len()) };
            let Some((position, event)) = history.events.get(place) else { continue };
            let elsewhere = Position { epoch: EPOCH + 1, ..*position };
            prop_assert_eq!(apply(&mut view, elsewhere, event), Applied::Gap);
            prop_assert_eq!(&view, &history.snapshots[have]);

            let expected = match place.cmp(&have) {
                std::cmp::Ordering::Less => Applied::Repeat,
                std::cmp::Ordering::Equal => Applied::Changed,
                std::cmp::Ordering::Greater => Applied::Gap,
            };
            prop_assert_eq!(apply(&mut view, *position, event), expected);
            have += usize::from(expected == Applied::Changed);
            prop_assert_eq!(&view, &history.snapshots[have]);
        }
    }

    #[test]
    fn claims_in_any_order_and_often_make_the_same_room(
        times in proptest::collection::vec(0_i64..40, 1..120),
        known in any::<prop::sample::Index>(),
        order in proptest::collection::vec(any::<u32>(), 120),
        repeats in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let units = u32::try_from(times.len()).expect("few");
        let mut moments = times;
        moments.sort_unstable();
        // Claim n is the n-th to commit and leaves that many fewer units.
        let claims: Vec<(u32, LadderLine)> = moments
            .iter()
            .enumerate()
            .map(|(n, ms)| (units - 1 - u32::try_from(n).expect("few"), line(n, 1, 700, OPENS.plus_ms(*ms))))
            .collect();
        let after = |count: usize| {
            let terms = Terms::Drop {
                price: usd(700),
                units,
                units_left: units - u32::try_from(count).expect("few"),
                limit: None,
            };
            let newest_first = claims[..count].iter().rev().map(|(_, line)| line.clone());
            room(terms, 1, newest_first.collect())
        };
        let known = known.index(claims.len() + 1);
        let mut view = after(known);
        let mut pushes: Vec<usize> = (known..claims.len()).collect();
        // A random order, and repeats, of claims from before the snapshot as well.
        pushes.sort_by_key(|n| order[*n]);
        pushes.extend(repeats.iter().map(|n| n.index(claims.len())));
        for n in pushes {
            let (left, line) = &claims[n];
            let before = units_left(&view);
            apply_units_left(&mut view, *left, Some(line));
            prop_assert!(units_left(&view) <= before, "units left never rise");
            prop_assert!(is_sound(&view.ladder));
        }
        prop_assert_eq!(view, after(claims.len()));
    }
}

fn units_left(view: &RoomView) -> u32 {
    match view.lot.terms {
        Terms::Drop { units_left, .. } => units_left,
        Terms::English { .. } | Terms::Dutch { .. } => panic!("no drop"),
    }
}

fn drop_room(units_left: u32) -> RoomView {
    let terms = Terms::Drop {
        price: usd(700),
        units: 10,
        units_left,
        limit: Some(2),
    };
    room(terms, 4, Vec::new())
}

#[test]
fn a_dutch_sale_puts_its_claim_into_the_ladder_once() {
    let schedule = Dutch {
        start: usd(5_000),
        floor: usd(1_000),
        step_minor: 100,
        tick_ms: 500,
    };
    let mut view = room(Terms::Dutch { schedule }, 1, Vec::new());
    let winner = line(0, 1, 4_200, Timestamp(5_000));
    let outcome = Outcome::Sold {
        line: winner.clone(),
    };
    let event = LotEvent::Closed {
        status: Status::Sold,
        outcome: outcome.clone(),
        closes_at: winner.at,
    };
    assert_eq!(apply(&mut view, at(2), &event), Applied::Changed);
    assert_eq!(apply(&mut view, at(2), &event), Applied::Repeat);
    assert_eq!(view.lot.closes_at, winner.at, "the claim ended it");
    assert_eq!(view.ladder, [winner]);
    assert_eq!(view.lot.status, Status::Sold);
    assert_eq!(view.lot.outcome, Some(outcome));
    assert_eq!(
        view.lot.price_at(Timestamp(59_000)),
        usd(4_200),
        "what was paid"
    );
}

#[test]
fn a_drop_that_ended_shows_what_its_end_says_was_sold() {
    let mut view = drop_room(5);
    let event = LotEvent::Closed {
        status: Status::Sold,
        outcome: Outcome::DropEnded {
            units_sold: 8,
            total: usd(5_600),
        },
        closes_at: Timestamp(5_000),
    };
    assert_eq!(apply(&mut view, at(5), &event), Applied::Changed);
    assert_eq!(units_left(&view), 2, "also when a push of stock was lost");
    apply_units_left(&mut view, 3, None);
    assert_eq!(units_left(&view), 2, "a late push raises nothing");
}

#[test]
fn stock_without_a_claim_moves_only_the_units() {
    let mut view = drop_room(5);
    apply_units_left(&mut view, 3, None);
    assert_eq!(view, drop_room(3));
}

#[test]
fn a_withdrawn_lot_is_over() {
    let mut view = drop_room(10);
    let event = LotEvent::Closed {
        status: Status::Cancelled,
        outcome: Outcome::Cancelled,
        closes_at: Timestamp(5_000),
    };
    assert_eq!(apply(&mut view, at(5), &event), Applied::Changed);
    assert_eq!(view.lot.status, Status::Cancelled);
    assert_eq!(view.lot.outcome, Some(Outcome::Cancelled));
    assert_eq!(units_left(&view), 10);
}
