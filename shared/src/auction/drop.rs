//! Fixed drop: a number of units at one price, first come, first served.
//!
//! Stock is split over buckets, one row each, so that claims on the same lot need not write the
//! same row. Splitting must not cost anybody a unit: a claim may be filled from several buckets,
//! and is refused only after all of them have been looked at.

use super::{Claim, ClaimAccepted, Refusal};
use crate::Money;
use crate::mutant::{self, Mutant};

/// The most units of a lot.
pub const MAX_UNITS: u32 = 1_000_000;

/// The most buckets of a lot. A claim reads all of them in one statement, so this also bounds
/// the rows it reads.
pub const MAX_BUCKETS: u32 = 64;

/// Units a bucket should have at least. A claim of one or two units still finds them in one row at
/// first, and a small drop has rows enough that its buyers seldom want the same one: 20 units in 5
/// rows cost 200 buyers twice the lost races of 20 units in 10.
pub const MIN_UNITS_PER_BUCKET: u32 = 2;

/// Terms and state of a drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    /// The price per unit.
    pub price: Money,
    /// Units offered.
    pub units: u32,
    /// Units that are left: the sum over every bucket of one snapshot.
    pub units_left: u32,
    /// Units that one buyer may have; `None` for no limit.
    pub limit: Option<u32>,
}

/// One row of split stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket's number within its lot.
    pub number: i32,
    /// Units left in it.
    pub available: u32,
}

/// Units taken from one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// The bucket's number.
    pub number: i32,
    /// Units to take, at least one.
    pub units: u32,
}

impl Drop {
    /// Units sold so far.
    #[must_use]
    pub const fn units_sold(&self) -> u32 {
        self.units.saturating_sub(self.units_left)
    }

    /// Price × units, for a number of units that can be asked for.
    pub(super) fn total(&self, units: u32) -> Result<Money, Refusal> {
        if units == 0 || units > MAX_UNITS {
            return Err(Refusal::InvalidAmount);
        }
        let total = self.price.checked_mul(units);
        total.map_err(|_out_of_range| Refusal::InvalidAmount)
    }

    pub(super) fn accept(
        &self,
        claim: &Claim,
        total: Money,
        available: Money,
        bought: u32,
    ) -> Result<ClaimAccepted, Refusal> {
        if self.units_left < claim.units && !mutant::is(Mutant::UncheckedStock) {
            return Err(Refusal::SoldOut {
                units_left: self.units_left,
            });
        }
        if let Some(limit) = self.limit
            && bought.saturating_add(claim.units) > limit
        {
            return Err(Refusal::LimitReached { limit, bought });
        }
        if claim.max_price.minor() < self.price.minor() {
            return Err(Refusal::PriceMoved { price: self.price });
        }
        if available.minor() < total.minor() {
            return Err(Refusal::Insufficient {
                needed: total,
                available,
            });
        }
        Ok(ClaimAccepted {
            price: self.price,
            units: claim.units,
            total,
        })
    }
}

/// How many buckets `units` are split over.
#[must_use]
pub fn bucket_count(units: u32) -> u32 {
    (units / MIN_UNITS_PER_BUCKET).clamp(1, MAX_BUCKETS)
}

/// Splits `units` evenly: the buckets differ by at most one unit and sum to `units`.
#[must_use]
pub fn split_stock(units: u32) -> Vec<Bucket> {
    let count = bucket_count(units);
    let (each, extra) = (units / count, units % count);
    (0..count)
        .zip(0_i32..)
        .map(|(place, number)| Bucket {
            number,
            available: each + u32::from(place < extra),
        })
        .collect()
}

/// Chooses buckets for `units`, the fewest possible: the first one that suffices, looking from
/// `start` on, else the fullest ones. `None` only if all of them together do not suffice.
#[must_use]
pub fn allocate(buckets: &[Bucket], units: u32, start: usize) -> Option<Vec<Take>> {
    if units == 0 || buckets.is_empty() {
        return None;
    }
    let start = start % buckets.len();
    let (before, after) = buckets.split_at(start);
    if let Some(bucket) = after.iter().chain(before).find(|b| b.available >= units) {
        return Some(vec![Take {
            number: bucket.number,
            units,
        }]);
    }
    let mut fullest: Vec<&Bucket> = buckets.iter().filter(|b| b.available > 0).collect();
    fullest.sort_by_key(|b| (core::cmp::Reverse(b.available), b.number));
    let mut missing = units;
    let mut takes = Vec::new();
    for bucket in fullest {
        let units = bucket.available.min(missing);
        takes.push(Take {
            number: bucket.number,
            units,
        });
        missing -= units;
        if missing == 0 {
            return Some(takes);
        }
    }
    None
}
