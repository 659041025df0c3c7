//! The decisions of a batch: bids and claims on one lot, one after another, on the rows of one
//! snapshot. Each row that they share is then written once, with the sum of what the batch did to
//! it; every bid and claim keeps its own rows.

use super::{
    Bid, BidAccepted, Book, Bucket, Claim, ClaimAccepted, Closing, HighBid, Lot, Refusal, Status,
    allocate,
};
use crate::auction::drop::MAX_BUCKETS;
use crate::ledger::{FundSource, Transfer, Wallet};
use crate::mutant::{self, Mutant};
use crate::purchase::{self, Change, MAX_BUDGET_BUCKETS, Mandate, Named};
use crate::{BidId, HoldId, MandateId, Money, PrincipalId, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// Money in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purse {
    /// A person's wallet.
    Wallet(Wallet),
    /// A mandate that an agent acts with.
    Mandate(Mandate),
}

/// A decided "no": the lot's or the mandate's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declined {
    /// By the rules of the auction.
    Lot(Refusal),
    /// By the rules of the mandate.
    Mandate(purchase::Refusal),
}

impl From<Refusal> for Declined {
    fn from(refusal: Refusal) -> Self {
        Self::Lot(refusal)
    }
}

impl From<purchase::Refusal> for Declined {
    fn from(refusal: purchase::Refusal) -> Self {
        Self::Mandate(refusal)
    }
}

/// Where the money of a hold that ended has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed {
    /// The bid that the hold was for.
    pub high: HighBid,
    /// The purse that has it now: the one it came from, but the owner's wallet if that was a
    /// mandate which has been revoked.
    pub to: FundSource,
}

/// A bid that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BidTaken {
    /// What it changes about the lot.
    pub accepted: BidAccepted,
    /// The new leader.
    pub high: HighBid,
    /// The money of the leader before.
    pub freed: Option<Freed>,
    /// What moves: the old hold's end, and the new hold.
    pub transfers: Vec<Transfer>,
}

/// A claim that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimTaken {
    /// What it changes.
    pub accepted: ClaimAccepted,
    /// The payment.
    pub transfer: Transfer,
    /// Units that are left of a drop after it; 0 for a Dutch lot.
    pub units_left: u32,
}

/// A lot that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// How.
    pub closing: Closing,
    /// The leader's money, if it was freed.
    pub freed: Option<Freed>,
    /// What moves: the leader's hold becomes the payment, or ends.
    pub transfer: Option<Transfer>,
}

/// How a wallet changes, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalletChange {
    /// What comes in.
    pub funded: i64,
    /// What is set aside, less what is freed.
    pub held: i64,
    /// What is paid.
    pub spent: i64,
}

/// What a batch changes besides its bids and claims, net: each row once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LotChanges {
    /// Wallets, by owner.
    pub wallets: BTreeMap<PrincipalId, WalletChange>,
    /// Buckets of mandates, by mandate and number.
    pub budgets: Vec<(MandateId, Change)>,
    /// What went back to wallets past mandates that had been revoked, in minor units.
    pub returned: BTreeMap<MandateId, i64>,
    /// Units taken from a drop's buckets, by number.
    pub stock: BTreeMap<i32, u32>,
    /// Units taken by each buyer of a drop.
    pub bought: BTreeMap<PrincipalId, u32>,
}

/// Rows of an accepted bid that it shares with no other: its key, itself, its hold, four legs, and
/// at most five events; and one wallet or mandate for each of the two leaders. A claim has fewer.
const OWN_ROWS: usize = 14;

/// The most rows that one more bid or claim can add to a batch: its own, and every bucket of its
/// mandate, one of the mandate that is freed, and every bucket of a drop.
pub const MAX_ROWS_PER_OFFER: usize =
    OWN_ROWS + MAX_BUDGET_BUCKETS as usize + 1 + MAX_BUCKETS as usize;

/// A batch that is being decided.
#[derive(Clone, Debug)]
pub struct LotPlan {
    now: Timestamp,
    lot: Lot,
    purses: BTreeMap<FundSource, Purse>,
    bought: HashMap<PrincipalId, u32>,
    buckets: Vec<Bucket>,
    start: usize,
    changes: LotChanges,
    rows: usize,
}

impl LotPlan {
    /// A batch on the rows of one snapshot, taken at `now`: the lot, the purses of those who bid or
    /// claim and of the leader, what buyers have already, the open buckets of a drop, and where
    /// among them this node begins.
    #[must_use]
    pub fn new(
        now: Timestamp,
        lot: Lot,
        purses: BTreeMap<FundSource, Purse>,
        bought: HashMap<PrincipalId, u32>,
        buckets: Vec<Bucket>,
        start: usize,
    ) -> Self {
        Self {
            now,
            lot,
            purses,
            bought,
            buckets,
            start,
            changes: LotChanges::default(),
            rows: 0,
        }
    }

    /// The lot after what was decided so far.
    #[must_use]
    pub const fn lot(&self) -> &Lot {
        &self.lot
    }

    /// Rows that what was accepted so far changes.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Decides a bid on what the ones before it left; `id` and `hold` are the ones it has if it is
    /// accepted.
    ///
    /// # Errors
    /// The first refusal in the module's order; a mandate's own rules stand before its money.
    pub fn bid(&mut self, bid: &Bid, id: BidId, hold: HoldId) -> Result<BidTaken, Declined> {
        let available = self.available(bid.funds)?;
        let decided = self.lot.bid(bid, available, self.now);
        let accepted = self.by_mandate(bid.funds, bid.amount, decided)?;
        let freed = accepted.displaced.map(|old| self.free(old));
        self.take(bid.funds, bid.amount, true);
        let high = HighBid {
            bid: id,
            funds: bid.funds,
            hold,
            amount: bid.amount,
        };
        if let Book::English(english) = &mut self.lot.book {
            english.high = Some(high);
        }
        self.lot.closes_at = accepted.closes_at;
        self.lot.version = accepted.version;
        let transfers = freed.and_then(freed_transfer).into_iter();
        Ok(BidTaken {
            high,
            freed,
            transfers: transfers
                .chain(Transfer::hold(bid.funds, bid.amount))
                .collect(),
            accepted,
        })
    }

    /// Decides a claim on what the ones before it left.
    ///
    /// # Errors
    /// As [`LotPlan::bid`].
    pub fn claim(&mut self, funds: FundSource, claim: &Claim) -> Result<ClaimTaken, Declined> {
        let available = self.available(funds)?;
        let bought = self.bought.get(&claim.buyer).copied().unwrap_or(0);
        let decided = self.lot.claim(claim, available, bought, self.now);
        let cost = match &decided {
            Ok(accepted) => accepted.total,
            Err(Refusal::Insufficient { needed, .. }) => *needed,
            Err(_) => claim.max_price,
        };
        let accepted = self.by_mandate(funds, cost, decided)?;
        // An accepted claim costs something.
        let transfer = Transfer::purchase(funds, self.lot.seller, accepted.total);
        let transfer = transfer.ok_or(Refusal::InvalidAmount)?;
        let units_left = match &mut self.lot.book {
            Book::English(_) | Book::Dutch(_) => {
                self.lot.status = Status::Sold;
                self.lot.version += 1;
                0
            }
            Book::Drop(drop) => {
                // The rules counted the same buckets, so they suffice; if not, there are none.
                let takes = if mutant::is(Mutant::FirstBucketOnly) {
                    allocate(&first_bucket(&self.buckets, self.start), claim.units, 0)
                } else {
                    allocate(&self.buckets, claim.units, self.start)
                };
                let nothing = mutant::is(Mutant::UncheckedStock).then(Vec::new);
                let takes = takes
                    .or(nothing)
                    .ok_or(Refusal::SoldOut { units_left: 0 })?;
                for take in takes {
                    let taken = self.changes.stock.entry(take.number).or_default();
                    self.rows += usize::from(*taken == 0);
                    *taken += take.units;
                    for bucket in &mut self.buckets {
                        if bucket.number == take.number {
                            bucket.available = bucket.available.saturating_sub(take.units);
                        }
                    }
                }
                drop.units_left = drop.units_left.saturating_sub(claim.units);
                *self.bought.entry(claim.buyer).or_default() += claim.units;
                *self.changes.bought.entry(claim.buyer).or_default() += claim.units;
                drop.units_left
            }
        };
        self.take(funds, accepted.total, false);
        Ok(ClaimTaken {
            accepted,
            transfer,
            units_left,
        })
    }

    /// Decides the lot's end, and what becomes of the leader's money.
    ///
    /// # Errors
    /// As [`Lot::close`].
    pub fn close(&mut self) -> Result<Closed, Refusal> {
        let closing = self.lot.close(self.now)?;
        let (freed, transfer) = match closing {
            Closing::Sold(high) => {
                self.capture(high);
                let transfer = Transfer::capture(high.funds, self.lot.seller, high.amount);
                (None, transfer)
            }
            Closing::Passed(Some(high)) => {
                let freed = self.free(high);
                (Some(freed), freed_transfer(freed))
            }
            Closing::Passed(None) | Closing::DropEnded { .. } => (None, None),
        };
        Ok(Closed {
            closing,
            freed,
            transfer,
        })
    }

    /// What everything decided changes together.
    #[must_use]
    pub fn changes(&self) -> LotChanges {
        let of_mandate = |(source, purse): (&FundSource, &Purse)| {
            let changes = match (source.mandate(), purse) {
                (Some(id), Purse::Mandate(mandate)) => {
                    let changes = mandate.budget.changes().into_iter();
                    changes.map(|change| (id, change)).collect()
                }
                (_, Purse::Wallet(_) | Purse::Mandate(_)) => Vec::new(),
            };
            changes.into_iter()
        };
        let mut changes = self.changes.clone();
        changes.budgets = self.purses.iter().flat_map(of_mandate).collect();
        changes
            .budgets
            .sort_by_key(|(mandate, change)| (*mandate, change.number));
        changes
    }

    /// What a source has free, in its own currency. Who has no wallet has nothing.
    fn available(&self, funds: FundSource) -> Result<Money, purchase::Refusal> {
        match self.purses.get(&funds) {
            Some(Purse::Wallet(wallet)) => Ok(wallet.available()),
            Some(Purse::Mandate(mandate)) => {
                let left = Money::new(mandate.budget.total(), mandate.currency);
                Ok(left.unwrap_or(Money::zero(mandate.currency)))
            }
            None if funds.mandate().is_some() => Err(purchase::Refusal::NotFound {
                what: Named::Mandate,
            }),
            None => Ok(Money::zero(self.lot.currency)),
        }
    }

    /// A decision of the lot's rules, unless the mandate that would pay refuses: its rules stand
    /// after the lot's, and before the question whether the money suffices.
    fn by_mandate<T>(
        &self,
        funds: FundSource,
        cost: Money,
        decided: Result<T, Refusal>,
    ) -> Result<T, Declined> {
        let Some(Purse::Mandate(mandate)) = self.purses.get(&funds) else {
            return Ok(decided?);
        };
        match decided {
            Err(Refusal::Insufficient { available, .. }) => {
                mandate.admits(cost, self.now)?;
                Err(purchase::Refusal::MandateExhausted { left: available }.into())
            }
            Err(refusal) => Err(refusal.into()),
            Ok(accepted) => {
                mandate.admits(cost, self.now)?;
                Ok(accepted)
            }
        }
    }

    /// Takes what was decided to be there: it is held for a bid, or paid for a claim.
    fn take(&mut self, funds: FundSource, amount: Money, is_hold: bool) {
        self.rows += OWN_ROWS;
        match self.purses.get_mut(&funds) {
            Some(Purse::Mandate(mandate)) => {
                let before = mandate.budget.touched();
                let taken = mandate.budget.take(amount.minor());
                debug_assert!(taken, "the budget was counted before");
                self.rows += mandate.budget.touched() - before;
            }
            Some(Purse::Wallet(wallet)) => {
                let minor = amount.minor();
                let (after, held, spent) = if is_hold {
                    (wallet.hold(amount), minor, 0)
                } else {
                    (wallet.spend(amount), 0, minor)
                };
                *wallet = after.unwrap_or(*wallet);
                let change = self.wallet(funds.owner());
                change.held += held;
                change.spent += spent;
            }
            // Nothing can be taken where there is nothing.
            None => {}
        }
    }

    /// Ends a hold: its money is free again where it came from. What was held of a mandate that has
    /// been revoked since goes to the owner's wallet, as its rest did.
    fn free(&mut self, high: HighBid) -> Freed {
        let owner = FundSource::Wallet(high.bidder());
        let minor = high.amount.minor();
        let to = match (high.funds, self.purses.get_mut(&high.funds)) {
            (FundSource::Mandate { .. }, Some(Purse::Mandate(mandate))) if !mandate.revoked => {
                self.rows += usize::from(mandate.budget.touched() == 0);
                mandate.budget.give(minor);
                high.funds
            }
            (FundSource::Mandate { mandate, .. }, _) => {
                *self.changes.returned.entry(mandate).or_default() += minor;
                self.wallet(high.bidder()).funded += minor;
                if let Some(Purse::Wallet(wallet)) = self.purses.get_mut(&owner) {
                    *wallet = wallet.top_up(high.amount).unwrap_or(*wallet);
                }
                owner
            }
            (FundSource::Wallet(_), purse) => {
                if let Some(Purse::Wallet(wallet)) = purse {
                    *wallet = wallet.void(high.amount).unwrap_or(*wallet);
                }
                self.wallet(high.bidder()).held -= minor;
                owner
            }
        };
        Freed { high, to }
    }

    /// A hold becomes a payment. What a mandate held has left its budget already.
    fn capture(&mut self, high: HighBid) {
        if let FundSource::Wallet(owner) = high.funds {
            let change = self.wallet(owner);
            change.held -= high.amount.minor();
            change.spent += high.amount.minor();
        }
    }

    fn wallet(&mut self, owner: PrincipalId) -> &mut WalletChange {
        self.changes.wallets.entry(owner).or_default()
    }
}

/// The only bucket that a broken engine looks at.
fn first_bucket(buckets: &[Bucket], start: usize) -> Vec<Bucket> {
    let place = start % buckets.len().max(1);
    buckets.get(place).copied().into_iter().collect()
}

/// The transfer that ends a hold.
fn freed_transfer(freed: Freed) -> Option<Transfer> {
    let Freed { high, to } = freed;
    match (high.funds, to) {
        (FundSource::Mandate { owner, mandate }, FundSource::Wallet(_)) => {
            Transfer::return_held(owner, mandate, high.amount)
        }
        (source, _) => Transfer::void(source, high.amount),
    }
}
