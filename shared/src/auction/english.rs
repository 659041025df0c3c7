//! English: the price rises by bids, and the leader's money is held.

use super::{Bid, BidAccepted, Closing, Lot, Refusal};
use crate::ledger::FundSource;
use crate::{BidId, HoldId, Money, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

/// Increment bands: from a price on, the least raise over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Increments(Vec<Band>);

/// One band: from this price on, bids rise by at least this much (minor units).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// The price from which the band holds, in minor units.
    pub from_minor: i64,
    /// The least raise within the band, in minor units, at least 1.
    pub increment_minor: i64,
}

/// The bands of a lot, at most.
pub const MAX_BANDS: usize = 16;

impl Increments {
    /// Bands in rising order of price; the first starts at 0.
    ///
    /// Returns `None` if the bands are empty, too many, out of order, or raise by less than 1.
    #[must_use]
    pub fn new(bands: Vec<Band>) -> Option<Self> {
        let starts_at_zero = bands.first().is_some_and(|b| b.from_minor == 0);
        let rising = bands
            .iter()
            .zip(bands.iter().skip(1))
            .all(|(a, b)| a.from_minor < b.from_minor);
        let positive = bands.iter().all(|b| b.increment_minor >= 1);
        (starts_at_zero && rising && positive && bands.len() <= MAX_BANDS).then_some(Self(bands))
    }

    /// One increment at every price.
    #[must_use]
    pub fn flat(increment_minor: i64) -> Self {
        Self(vec![Band {
            from_minor: 0,
            increment_minor: increment_minor.max(1),
        }])
    }

    /// The least raise over `price_minor`.
    #[must_use]
    pub fn at(&self, price_minor: i64) -> i64 {
        let band = self.0.iter().rev().find(|b| b.from_minor <= price_minor);
        band.or(self.0.first()).map_or(1, |b| b.increment_minor)
    }

    /// The bands, in rising order of price.
    #[must_use]
    pub fn bands(&self) -> &[Band] {
        &self.0
    }
}

/// The soft close: a bid in the last `window_ms` moves the end to `window_ms` after the bid, but
/// never past `hard_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// The window before the end in which a bid extends, and the time it leaves; 0 for none.
    pub window_ms: i64,
    /// The instant that no extension passes: the cap on the total extension.
    pub hard_end: Timestamp,
}

/// The leading bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HighBid {
    /// The bid's id.
    pub bid: BidId,
    /// Whose money is set aside for it, and from which purse.
    pub funds: FundSource,
    /// The money set aside.
    pub hold: HoldId,
    /// The bid's amount, which is also the hold's.
    pub amount: Money,
}

impl HighBid {
    /// Who leads.
    #[must_use]
    pub const fn bidder(&self) -> PrincipalId {
        self.funds.owner()
    }
}

/// Terms and state of an English lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct English {
    /// The least first bid.
    pub opening: Money,
    /// The least raises.
    pub increments: Increments,
    /// The seller's least price; below it the lot passes.
    pub reserve: Option<Money>,
    /// The soft close.
    pub extension: Extension,
    /// The leading bid.
    pub high: Option<HighBid>,
}

impl English {
    /// The least amount of the next bid, or `None` when no higher amount exists.
    #[must_use]
    pub fn minimum(&self) -> Option<Money> {
        self.high
            .map_or(Some(self.opening), |high| self.above(high.amount))
    }

    fn above(&self, price: Money) -> Option<Money> {
        let increment = Money::new(self.increments.at(price.minor()), price.currency()).ok()?;
        price.checked_add(increment).ok()
    }

    /// Whether the leading bid reaches the reserve; `None` when there is no reserve.
    #[must_use]
    pub fn reserve_met(&self) -> Option<bool> {
        let reserve = self.reserve?;
        Some(
            self.high
                .is_some_and(|high| high.amount.minor() >= reserve.minor()),
        )
    }

    /// When bidding ends after a bid at `now`: only ever later, never past the hard end.
    #[must_use]
    pub fn end_after_bid(&self, closes_at: Timestamp, now: Timestamp) -> Timestamp {
        let wanted = now
            .plus_ms(self.extension.window_ms)
            .min(self.extension.hard_end);
        closes_at.max(wanted)
    }

    /// The least bid over a bid of `amount`. A price so high that no one could raise it would
    /// end the auction by arithmetic, so it is no valid amount.
    pub(super) fn minimum_after(&self, amount: Money) -> Result<Money, Refusal> {
        self.above(amount).ok_or(Refusal::InvalidAmount)
    }

    pub(super) fn accept(
        &self,
        lot: &Lot,
        bid: &Bid,
        next_minimum: Money,
        available: Money,
        now: Timestamp,
    ) -> Result<BidAccepted, Refusal> {
        let minimum = self.minimum().ok_or(Refusal::InvalidAmount)?;
        if bid.amount.minor() < minimum.minor() {
            return Err(Refusal::TooLow { minimum });
        }
        // Raising one's own bid costs only the difference: the own hold is voided in this commit.
        // A hold of another purse of the same owner brings this one nothing.
        let own_hold = self.high.filter(|high| high.funds == bid.funds);
        let cost = own_hold.map_or(Ok(bid.amount), |high| bid.amount.checked_sub(high.amount));
        let cost = cost.map_err(|_other_currency| Refusal::CurrencyMismatch {
            expected: lot.currency,
        })?;
        if available.minor() < cost.minor() {
            let usable = own_hold.map_or(Ok(available), |high| available.checked_add(high.amount));
            return Err(Refusal::Insufficient {
                needed: bid.amount,
                // Below the bid, so in range, and the fallback is never taken.
                available: usable.unwrap_or(available),
            });
        }
        let closes_at = self.end_after_bid(lot.closes_at, now);
        Ok(BidAccepted {
            amount: bid.amount,
            displaced: self.high,
            closes_at,
            extended: closes_at > lot.closes_at,
            next_minimum,
            version: lot.version + 1,
        })
    }

    pub(super) fn close(&self) -> Closing {
        match self.high {
            Some(high) if self.reserve_met() != Some(false) => Closing::Sold(high),
            other => Closing::Passed(other),
        }
    }
}
