//! Stock or a budget that is split over several rows so that writers need not meet on one, and
//! taking from it. Splitting must not cost anybody anything: a taking may come from several rows,
//! and is refused only when all of them together do not suffice.

use core::cmp::Reverse;

/// Which of the rows a writer takes from first, so that writers that run side by side write
/// different rows as long as they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// This writer's number, below `count`.
    pub index: u32,
    /// Writers of this node.
    pub count: u32,
    /// Where among its rows this node begins.
    pub start: u32,
}

impl Lane {
    /// The only writer, beginning with the first row.
    pub const ONLY: Self = Self {
        index: 0,
        count: 1,
        start: 0,
    };

    /// Whether a row is one of this writer's.
    fn owns(self, number: i32) -> bool {
        number.unsigned_abs() % self.count.max(1) == self.index
    }
}

/// One row: a bucket of stock (units) or of a budget (minor units).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The bucket's number.
    pub number: i32,
    /// The row's version as read.
    pub version: i64,
    /// What is left in it.
    pub left: i64,
}

/// What a batch takes from one row, net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The bucket's number.
    pub number: i32,
    /// The row's version as read.
    pub version: i64,
    /// What is taken; below 0 if more was given back.
    pub taken: i64,
    /// What is left afterwards.
    pub left: i64,
}

/// Rows of one snapshot, and what has been taken from them since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// In the order in which they are taken from.
    slots: Vec<(Slot, i64)>,
    total: i64,
    touched: usize,
}

impl Pool {
    /// A pool of rows, to be taken from in the order of a lane: its own rows first.
    #[must_use]
    pub fn new(mut slots: Vec<Slot>, lane: Lane) -> Self {
        slots.sort_by_key(|slot| slot.number);
        let (mut own, mut others): (Vec<_>, Vec<_>) =
            slots.into_iter().partition(|slot| lane.owns(slot.number));
        for rows in [&mut own, &mut others] {
            if !rows.is_empty() {
                let places = u32::try_from(rows.len()).unwrap_or(1);
                let start = usize::try_from(lane.start % places).unwrap_or(0);
                rows.rotate_left(start);
            }
        }
        own.append(&mut others);
        let total = own
            .iter()
            .fold(0_i64, |sum, slot| sum.saturating_add(slot.left));
        Self {
            slots: own.into_iter().map(|slot| (slot, 0)).collect(),
            total,
            touched: 0,
        }
    }

    /// What is left in all rows together.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.total
    }

    /// Gives back to a row that changes anyway, else to the first one.
    pub fn give(&mut self, amount: i64) {
        let place = self.slots.iter().position(|(_, taken)| *taken != 0);
        if let Some(row) = self.slots.get_mut(place.unwrap_or(0)) {
            self.touched += usize::from(row.1 == 0);
            row.0.left = row.0.left.saturating_add(amount);
            row.1 = row.1.saturating_sub(amount);
            self.total = self.total.saturating_add(amount);
        }
    }

    /// Rows that changed; one whose change was undone again may be counted twice.
    #[must_use]
    pub const fn touched(&self) -> usize {
        self.touched
    }

    /// Takes from the fewest rows: the first one that suffices, else the fullest ones. Answers
    /// whether it could; if not, nothing was taken.
    pub fn take(&mut self, amount: i64) -> bool {
        if amount <= 0 || amount > self.total {
            return false;
        }
        self.total -= amount;
        let touched = &mut self.touched;
        let mut taking = |row: &mut (Slot, i64), amount: i64| {
            *touched += usize::from(row.1 == 0);
            row.0.left -= amount;
            row.1 += amount;
        };
        if let Some(row) = self.slots.iter_mut().find(|row| row.0.left >= amount) {
            taking(row, amount);
            return true;
        }
        let mut fullest: Vec<&mut (Slot, i64)> = self.slots.iter_mut().collect();
        // The sort is stable: among equals the lane's order stays.
        fullest.sort_by_key(|row| Reverse(row.0.left));
        let mut missing = amount;
        for row in fullest {
            let part = row.0.left.min(missing);
            taking(row, part);
            missing -= part;
            if missing == 0 {
                break;
            }
        }
        true
    }

    /// What was taken, net, by bucket number.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let taken = self.slots.iter().filter(|(_, taken)| *taken != 0);
        let mut changes: Vec<Change> = taken
            .map(|&(slot, taken)| Change {
                number: slot.number,
                version: slot.version,
                taken,
                left: slot.left,
            })
            .collect();
        changes.sort_by_key(|change| change.number);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(left: &[i64], lane: Lane) -> Pool {
        let slot = |(number, &left)| Slot {
            number,
            version: 1,
            left,
        };
        Pool::new((0..).zip(left).map(slot).collect(), lane)
    }

    fn numbers(pool: &Pool) -> Vec<(i32, i64)> {
        let changes = pool.changes();
        changes.iter().map(|c| (c.number, c.taken)).collect()
    }

    #[test]
    fn a_lane_takes_from_its_own_rows_first_and_from_others_before_it_refuses() {
        let lane = Lane {
            index: 1,
            count: 2,
            start: 1,
        };
        let mut stock = pool(&[5, 5, 5, 5], lane);
        assert!(stock.take(5), "its own second row");
        assert!(stock.take(5), "its own first row");
        assert_eq!(numbers(&stock), [(1, 5), (3, 5)]);
        assert!(stock.take(5) && stock.take(5), "the other lane's rows");
        assert_eq!(stock.total(), 0);
        assert!(!stock.take(1));
    }

    #[test]
    fn a_taking_may_come_from_several_rows_the_fullest_first() {
        let mut stock = pool(&[1, 3, 2, 1], Lane::ONLY);
        assert!(!stock.take(8), "more than there is");
        assert!(stock.take(5));
        assert_eq!(numbers(&stock), [(1, 3), (2, 2)]);
        assert!(stock.take(2));
        assert_eq!(numbers(&stock), [(0, 1), (1, 3), (2, 2), (3, 1)]);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_costs_no_further_row() {
        let mut budget = pool(&[5, 5], Lane::ONLY);
        budget.give(4);
        assert_eq!((budget.total(), numbers(&budget)), (14, vec![(0, -4)]));
        assert!(budget.take(9), "more than the first row had");
        budget.give(2);
        assert_eq!((budget.total(), numbers(&budget)), (7, vec![(0, 3)]));
        budget.give(3);
        assert_eq!(numbers(&budget), [], "as it was");
    }

    #[test]
    fn nothing_and_less_than_nothing_cannot_be_taken() {
        let mut stock = pool(&[5], Lane::ONLY);
        assert!(!stock.take(0) && !stock.take(-1));
        assert_eq!(stock.total(), 5);
    }
}
