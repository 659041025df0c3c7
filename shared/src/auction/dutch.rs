//! Dutch: the price falls by schedule to a floor, and the first claim wins.

use super::{Claim, ClaimAccepted, Lot, Refusal};
use crate::{Money, Timestamp};
use serde::{Deserialize, Serialize};

/// The schedule of a Dutch lot. The price is a pure function of it and of time, so that the
/// ledger, every node and every browser agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dutch {
    /// The price when the lot opens.
    pub start: Money,
    /// The lowest price.
    pub floor: Money,
    /// What one tick takes off, in minor units, at least 1.
    pub step_minor: i64,
    /// Milliseconds between ticks, at least 1.
    pub tick_ms: i64,
}

impl Dutch {
    /// The price at `now`, for a lot that opened at `opens_at`. Rounding does not occur: prices
    /// are the start less a whole number of steps, or the floor.
    #[must_use]
    pub fn price_at(&self, opens_at: Timestamp, now: Timestamp) -> Money {
        let ticks = now.since_ms(opens_at).max(0) / self.tick_ms.max(1);
        let fallen = ticks.saturating_mul(self.step_minor.max(1));
        let minor = self
            .start
            .minor()
            .saturating_sub(fallen)
            .max(self.floor.minor());
        // Between floor and start, both in range, so the fallback is never taken.
        Money::new(minor, self.start.currency()).unwrap_or(self.floor)
    }

    /// When the price falls next, or `None` at the floor.
    #[must_use]
    pub fn next_tick_at(&self, opens_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.price_at(opens_at, now).minor() <= self.floor.minor() {
            return None;
        }
        let tick = self.tick_ms.max(1);
        let ticks = now.since_ms(opens_at).max(0) / tick;
        Some(opens_at.plus_ms((ticks + 1).saturating_mul(tick)))
    }

    /// When the price reaches the floor.
    #[must_use]
    pub fn floor_at(&self, opens_at: Timestamp) -> Timestamp {
        let fall = self.start.minor().saturating_sub(self.floor.minor()).max(0);
        let step = self.step_minor.max(1);
        // Rounded up: the last step may be a part of one.
        let ticks = fall / step + i64::from(fall % step != 0);
        opens_at.plus_ms(ticks.saturating_mul(self.tick_ms.max(1)))
    }

    pub(super) fn accept(
        &self,
        lot: &Lot,
        claim: &Claim,
        available: Money,
        now: Timestamp,
    ) -> Result<ClaimAccepted, Refusal> {
        let price = self.price_at(lot.opens_at, now);
        if claim.max_price.minor() < price.minor() {
            return Err(Refusal::PriceMoved { price });
        }
        if available.minor() < price.minor() {
            return Err(Refusal::Insufficient {
                needed: price,
                available,
            });
        }
        Ok(ClaimAccepted {
            price,
            units: 1,
            total: price,
        })
    }
}
