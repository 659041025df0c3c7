//! The floor as a tab knows it: cards, settled lots, activity.

use shared::auction::{Mechanism, Status};
use shared::view::{Activity, FloorView, LotView, Terms};
use shared::{LotId, Timestamp};

/// Lines of activity shown.
const MAX_ACTIVITY: usize = 30;
/// Settled lots shown.
const MAX_SETTLED: usize = 12;

/// The state behind the floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloorState {
    view: FloorView,
}

impl FloorState {
    /// The page's floor.
    #[must_use]
    pub fn of(mut view: FloorView) -> Self {
        view.activity.truncate(MAX_ACTIVITY);
        view.settled.truncate(MAX_SETTLED);
        Self { view }
    }

    /// The live and scheduled lots, in order.
    #[must_use]
    pub fn live(&self) -> Vec<LotId> {
        self.view.live.iter().map(|lot| lot.id).collect()
    }

    /// A live or scheduled lot.
    #[must_use]
    pub fn lot(&self, id: LotId) -> Option<&LotView> {
        self.view.live.iter().find(|lot| lot.id == id)
    }

    /// The settled lots, newest first.
    #[must_use]
    pub fn settled(&self) -> &[LotView] {
        &self.view.settled
    }

    /// The activity, newest first.
    #[must_use]
    pub fn activity(&self) -> &[Activity] {
        &self.view.activity
    }

    /// The whole floor anew; answers how many lines of activity were new.
    pub fn replace(&mut self, view: &FloorView) -> u32 {
        let known: Vec<&str> = self.view.activity.iter().map(|a| a.id.as_str()).collect();
        let new = view
            .activity
            .iter()
            .filter(|a| !known.contains(&a.id.as_str()));
        let new = u32::try_from(new.count()).unwrap_or(u32::MAX);
        *self = Self::of(view.clone());
        new
    }

    /// How many lots are live, and what their prices do.
    pub fn sum(&self) -> String {
        let of = |mechanism| {
            let lots = self.view.live.iter();
            lots.filter(|lot| lot.mechanism() == mechanism).count()
        };
        let (rising, falling) = (of(Mechanism::English), of(Mechanism::Dutch));
        let live = self.view.live.len();
        format!(
            "{live} live: {rising} rising, {falling} falling, {} fixed.",
            of(Mechanism::Drop)
        )
    }

    /// Takes in a card; an older one than is known changes nothing.
    pub fn take_card(&mut self, card: &LotView) {
        let known = self.view.live.iter().chain(&self.view.settled);
        if let Some(known) = known.into_iter().find(|lot| lot.id == card.id)
            && !is_newer(card, known)
        {
            return;
        }
        self.view.settled.retain(|lot| lot.id != card.id);
        let place = self.view.live.iter().position(|lot| lot.id == card.id);
        if card.status != Status::Open {
            self.view.live.retain(|lot| lot.id != card.id);
            self.view.settled.insert(0, card.clone());
            self.view.settled.truncate(MAX_SETTLED);
            return;
        }
        // A card that is there stays in its place: nothing jumps under a finger.
        if let Some(lot) = place.and_then(|place| self.view.live.get_mut(place)) {
            *lot = card.clone();
            return;
        }
        let after = self.view.live.iter();
        let place = after.take_while(|lot| moment(lot) <= moment(card)).count();
        self.view.live.insert(place, card.clone());
    }

    /// Takes in a line of activity; answers whether it was new.
    pub fn take_activity(&mut self, line: &Activity) -> bool {
        if self.view.activity.iter().any(|known| known.id == line.id) {
            return false;
        }
        self.view.activity.insert(0, line.clone());
        self.view.activity.truncate(MAX_ACTIVITY);
        true
    }
}

/// The moment by which lots are ordered.
const fn moment(lot: &LotView) -> Timestamp {
    lot.closes_at
}

/// Whether `card` tells more than `known`. Claims of a drop do not advance its offset; there the
/// fewer units left are the newer.
fn is_newer(card: &LotView, known: &LotView) -> bool {
    if card.epoch != known.epoch {
        return card.epoch > known.epoch;
    }
    if card.offset != known.offset {
        return card.offset > known.offset;
    }
    match (&card.terms, &known.terms) {
        (
            Terms::Drop { units_left, .. },
            Terms::Drop {
                units_left: before, ..
            },
        ) => units_left < before,
        (Terms::English { .. } | Terms::Dutch { .. } | Terms::Drop { .. }, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::view::{ActivityKind, Person};
    use shared::{Currency, Money};

    fn drop_lot(number: u32, closes: i64, offset: i64, left: u32) -> LotView {
        LotView {
            id: format!("lot_{number:032x}").parse().expect("an id"),
            title: format!("Lot {number}"),
            art: "vase".into(),
            seller: Person {
                id: format!("usr_{:032x}", 1).parse().expect("an id"),
                handle: "house".into(),
                name: "House".into(),
                simulated: false,
            },
            currency: Currency::Usd,
            opens_at: Timestamp(0),
            closes_at: Timestamp(closes),
            status: Status::Open,
            terms: Terms::Drop {
                price: Money::new(100, Currency::Usd).expect("in range"),
                units: 10,
                units_left: left,
                limit: None,
            },
            outcome: None,
            epoch: 1,
            offset,
        }
    }

    fn floor(live: Vec<LotView>) -> FloorState {
        FloorState::of(FloorView {
            live,
            settled: Vec::new(),
            activity: Vec::new(),
            server_time: Timestamp(0),
        })
    }

    fn left(floor: &FloorState, lot: &LotView) -> Option<u32> {
        match floor.lot(lot.id)?.terms {
            Terms::Drop { units_left, .. } => Some(units_left),
            Terms::English { .. } | Terms::Dutch { .. } => None,
        }
    }

    #[test]
    fn the_highest_offset_wins_and_of_equal_ones_the_fewest_units() {
        let mut floor = floor(vec![drop_lot(1, 100, 5, 8)]);
        let lot = drop_lot(1, 100, 5, 8);
        floor.take_card(&drop_lot(1, 100, 4, 2));
        assert_eq!(left(&floor, &lot), Some(8));
        floor.take_card(&drop_lot(1, 100, 5, 6));
        floor.take_card(&drop_lot(1, 100, 5, 7));
        assert_eq!(left(&floor, &lot), Some(6));
        floor.take_card(&drop_lot(1, 100, 6, 9));
        assert_eq!(left(&floor, &lot), Some(9));
    }

    #[test]
    fn new_lots_stand_by_their_end_and_settled_ones_leave() {
        let mut floor = floor(vec![drop_lot(1, 100, 0, 8), drop_lot(3, 300, 0, 8)]);
        floor.take_card(&drop_lot(2, 200, 0, 8));
        let ids = |numbers: [i64; 3]| {
            numbers.map(|n| drop_lot(u32::try_from(n).expect("small"), 0, 0, 0).id)
        };
        assert_eq!(floor.live(), ids([1, 2, 3]));
        let mut sold = drop_lot(2, 200, 1, 0);
        sold.status = Status::Sold;
        floor.take_card(&sold);
        assert_eq!(floor.live().len(), 2);
        assert_eq!(floor.settled()[0].id, sold.id);
        floor.take_card(&drop_lot(2, 200, 0, 8));
        assert_eq!(floor.live().len(), 2, "an old card brings nothing back");
    }

    #[test]
    fn the_sum_follows_the_cards() {
        let mut floor = floor(vec![drop_lot(1, 100, 0, 8)]);
        floor.take_card(&drop_lot(2, 200, 0, 8));
        assert_eq!(floor.sum(), "2 live: 0 rising, 0 falling, 2 fixed.");
        let mut sold = drop_lot(2, 200, 1, 0);
        sold.status = Status::Sold;
        floor.take_card(&sold);
        assert_eq!(floor.sum(), "1 live: 0 rising, 0 falling, 1 fixed.");
    }

    #[test]
    fn activity_is_shown_once() {
        let mut floor = floor(Vec::new());
        let line = Activity {
            id: "evt_1".into(),
            lot: drop_lot(1, 0, 0, 0).id,
            title: "Lot 1".into(),
            what: ActivityKind::Opened,
            who: None,
            region: None,
            amount: None,
            at: Timestamp(0),
        };
        assert!(floor.take_activity(&line));
        assert!(!floor.take_activity(&line));
        assert_eq!(floor.activity().len(), 1);
    }
}
