//! The decisions of a batch: requests for one item, one after another, on the rows of one
//! snapshot. Each row is then written once, with the sum of what the batch took from it.

use super::{Change, CommitRequest, MAX_BUDGET_BUCKETS, Mandate, Named, Pool, Refusal};
use crate::auction::drop::MAX_BUCKETS;
use crate::{MandateId, MerchantId, Money, PurchaseId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// How long a purchase guards against the same one under another key, in milliseconds: agents that
/// repeat a call by mistake do so within minutes.
pub const DUPLICATE_WINDOW_MS: i64 = 10 * 60 * 1_000;

/// What never changes about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemTerms {
    /// Who sells it.
    pub merchant: MerchantId,
    /// The price of a unit.
    pub price: Money,
}

/// The purchase that an intent was last carried out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// The purchase.
    pub purchase: PurchaseId,
    /// When it was committed.
    pub at: Timestamp,
}

/// One request of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'r> {
    /// The id that the purchase has if it is made.
    pub purchase: PurchaseId,
    /// Hash of [`CommitRequest::intent`].
    pub intent: Uuid,
    /// The request.
    pub request: &'r CommitRequest,
}

/// A purchase that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What it costs: price × quantity.
    pub amount: Money,
}

/// A batch that is being decided.
#[derive(Clone, Debug)]
pub struct Plan {
    now: Timestamp,
    item: ItemTerms,
    stock: Pool,
    mandates: BTreeMap<MandateId, Mandate>,
    intents: HashMap<Uuid, First>,
    accepted: HashMap<Uuid, First>,
    rows: usize,
}

/// Rows of a purchase that it shares with no other: itself, two legs, its intent.
const OWN_ROWS: usize = 4;

/// The most rows that one more purchase can add to a batch: its own, and every row of the stock and
/// of its budget.
pub const MAX_ROWS_PER_PURCHASE: usize =
    OWN_ROWS + MAX_BUCKETS as usize + MAX_BUDGET_BUCKETS as usize;

/// What a batch writes besides its purchases, net: each row once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Buckets of the item's stock, by number.
    pub stock: Vec<Change>,
    /// Buckets of mandates, by mandate and number.
    pub budgets: Vec<(MandateId, Change)>,
    /// The purchase of each intent that was never carried out before, by intent.
    pub first_intents: Vec<(Uuid, First)>,
    /// The last purchase of each other intent, by intent.
    pub intents_again: Vec<(Uuid, First)>,
}

impl Plan {
    /// A batch on the rows of one snapshot, taken at `now`.
    #[must_use]
    pub fn new(
        now: Timestamp,
        item: ItemTerms,
        stock: Pool,
        mandates: BTreeMap<MandateId, Mandate>,
        intents: HashMap<Uuid, First>,
    ) -> Self {
        Self {
            now,
            item,
            stock,
            mandates,
            intents,
            accepted: HashMap::new(),
            rows: 0,
        }
    }

    /// Units left after what was decided so far.
    #[must_use]
    pub const fn stock_left(&self) -> i64 {
        self.stock.total()
    }

    /// Rows that the purchases accepted so far change.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Decides one request on what the ones before it left.
    ///
    /// # Errors
    /// Why the purchase is not made; then nothing was taken.
    pub fn decide(&mut self, ask: &Ask<'_>) -> Result<Accepted, Refusal> {
        let request = ask.request;
        let price = self.item.price;
        if request.merchant != self.item.merchant {
            return Err(Refusal::NotFound { what: Named::Item });
        }
        let Some(mandate) = self.mandates.get_mut(&request.mandate) else {
            return Err(Refusal::NotFound {
                what: Named::Mandate,
            });
        };
        for (ours, theirs) in [
            (price.currency(), request.max_price.currency()),
            (mandate.currency, price.currency()),
        ] {
            if ours != theirs {
                return Err(Refusal::CurrencyMismatch { expected: ours });
            }
        }
        mandate.usable(self.now)?;
        if !mandate.allows(request.merchant) {
            return Err(Refusal::MerchantNotAllowed);
        }
        if price.minor() > request.max_price.minor() {
            return Err(Refusal::PriceMoved { price });
        }
        let amount = price.checked_mul(request.quantity);
        let amount = amount.map_err(|_range| Refusal::TotalOutOfRange)?;
        if let Some(cap) = mandate.purchase_cap
            && amount.minor() > cap.minor()
        {
            return Err(Refusal::OverPurchaseCap { cap });
        }
        let earlier = self.accepted.get(&ask.intent).or_else(|| {
            let before = self.intents.get(&ask.intent);
            before.filter(|first| self.now.0.saturating_sub(first.at.0) < DUPLICATE_WINDOW_MS)
        });
        if let (Some(&first), false) = (earlier, request.allow_repeat) {
            return Err(Refusal::DuplicateSuspected { first, amount });
        }
        if self.stock.total() < i64::from(request.quantity) {
            return Err(Refusal::SoldOut {
                left: self.stock.total(),
            });
        }
        let touched = self.stock.touched() + mandate.budget.touched();
        if !mandate.budget.take(amount.minor()) {
            let left = Money::new(mandate.budget.total(), mandate.currency);
            return Err(Refusal::MandateExhausted {
                left: left.unwrap_or(Money::zero(mandate.currency)),
            });
        }
        // Tested above: there is enough.
        let taken = self.stock.take(i64::from(request.quantity));
        debug_assert!(taken, "the stock was counted before");
        self.rows += OWN_ROWS + self.stock.touched() + mandate.budget.touched() - touched;
        let first = First {
            purchase: ask.purchase,
            at: self.now,
        };
        self.accepted.insert(ask.intent, first);
        Ok(Accepted { amount })
    }

    /// What all decisions change together.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let of_mandate = |(&id, mandate): (&MandateId, &Mandate)| {
            let changes = mandate.budget.changes().into_iter();
            changes.map(move |change| (id, change)).collect::<Vec<_>>()
        };
        let mut intents: Vec<(Uuid, First)> = self.accepted.iter().map(|(&k, &v)| (k, v)).collect();
        intents.sort_by_key(|(intent, _)| *intent);
        let (again, first) = intents
            .into_iter()
            .partition(|(intent, _)| self.intents.contains_key(intent));
        Changes {
            stock: self.stock.changes(),
            budgets: self.mandates.iter().flat_map(of_mandate).collect(),
            first_intents: first,
            intents_again: again,
        }
    }
}
