//! A budget that an agent may spend: its rules, and how it is split over rows.

use super::{Pool, Refusal};
use crate::{Currency, MerchantId, Money, Timestamp};

/// The most rows that a budget is split over.
pub const MAX_BUDGET_BUCKETS: u32 = 20;

/// The most merchants that a mandate can name.
pub const MAX_SCOPE: usize = 20;

/// Purchases of the largest size that a row should cover: a purchase then finds its money in one
/// row at first.
const PURCHASES_PER_BUCKET: i64 = 4;

/// What a row should hold at least, in major units, where no purchase cap says how large purchases
/// are.
const MIN_MAJOR_PER_BUCKET: i64 = 50;

/// A mandate in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mandate {
    /// Its currency.
    pub currency: Currency,
    /// The most that one purchase may cost; `None` for no limit but the budget.
    pub purchase_cap: Option<Money>,
    /// From this instant on nothing can be bought.
    pub expires_at: Timestamp,
    /// Whether it was taken back.
    pub revoked: bool,
    /// The merchants it is for; empty for all of its tenant's.
    pub scope: Vec<MerchantId>,
    /// What is left of the budget, in minor units.
    pub budget: Pool,
}

impl Mandate {
    /// Whether the mandate may be used at all: not revoked, not expired.
    ///
    /// # Errors
    /// [`Refusal::MandateRevoked`], [`Refusal::MandateExpired`].
    pub fn usable(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.revoked {
            return Err(Refusal::MandateRevoked);
        }
        if now >= self.expires_at {
            return Err(Refusal::MandateExpired {
                at: self.expires_at,
            });
        }
        Ok(())
    }

    /// Whether a bid or a claim of this size may be made. A mandate that names merchants is for
    /// them alone: sellers of lots are none of them.
    ///
    /// # Errors
    /// As [`Mandate::usable`]; then [`Refusal::MerchantNotAllowed`], [`Refusal::OverPurchaseCap`].
    pub fn admits(&self, cost: Money, now: Timestamp) -> Result<(), Refusal> {
        self.usable(now)?;
        if !self.scope.is_empty() {
            return Err(Refusal::MerchantNotAllowed);
        }
        match self.purchase_cap {
            Some(cap) if cost.minor() > cap.minor() => Err(Refusal::OverPurchaseCap { cap }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a merchant may be paid.
    #[must_use]
    pub fn allows(&self, merchant: MerchantId) -> bool {
        self.scope.is_empty() || self.scope.contains(&merchant)
    }
}

/// Splits a budget of `cap` evenly over as many rows as its purchases can use: each row holds
/// several of the largest ones, so that a small budget is not scattered. The parts differ by at
/// most one minor unit and sum to the cap.
#[must_use]
pub fn split_budget(cap: Money, purchase_cap: Option<Money>) -> Vec<i64> {
    let scale = 10_i64.pow(cap.currency().exponent());
    let least = purchase_cap.map_or(MIN_MAJOR_PER_BUCKET.saturating_mul(scale), |largest| {
        largest.minor().saturating_mul(PURCHASES_PER_BUCKET)
    });
    let count = (cap.minor() / least.max(1)).clamp(1, i64::from(MAX_BUDGET_BUCKETS));
    let (each, extra) = (cap.minor() / count, cap.minor() % count);
    (0..count)
        .map(|place| each + i64::from(place < extra))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::Usd).expect("in range")
    }

    #[test]
    fn a_budget_is_split_by_the_size_of_its_purchases() {
        for (cap, largest, rows) in [
            (1, None, 1),
            (5_000, None, 1),
            (10_000, None, 2),
            (1_000_000, None, 20),
            (10_000, Some(10_000), 1),
            (10_000, Some(1_000), 2),
            (100_000, Some(100), 20),
        ] {
            let parts = split_budget(usd(cap), largest.map(usd));
            assert_eq!(parts.len(), rows, "{cap} {largest:?}");
            assert_eq!(parts.iter().sum::<i64>(), cap);
            let (least, most) = (parts.iter().min(), parts.iter().max());
            assert!(
                most.zip(least)
                    .is_some_and(|(most, least)| most - least <= 1)
            );
        }
    }
}
