//! The three mechanisms: (lot, command, now) → accepted, or a refusal.
//!
//! `now` is always the database's time of the transaction that decides. Checks run in one order
//! for every mechanism, the cheapest to explain first and money last, so that nobody is asked to
//! top up for something they could not buy anyway:
//!
//! 1. `not_found`: by the caller that reads the row
//! 2. `wrong_mechanism`: a bid on a Dutch lot or a drop, a claim on an English lot
//! 3. `own_lot`: sellers cannot buy their own lots
//! 4. `currency_mismatch`, `invalid_amount`: the offer, or the money behind it, cannot be
//!    compared with the lot
//! 5. `not_live`, then `ended`; but a drop without a unit left is `sold_out`, settled or not
//! 6. `sold_out`, `limit_reached`: what is scarce
//! 7. `too_low` or `price_moved`: the price
//! 8. `insufficient`: the money

pub mod drop;
pub mod dutch;
pub mod english;
pub mod plan;
mod refusal;
#[cfg(test)]
mod tests;

pub use drop::{Bucket, Drop, Take, allocate, bucket_count, split_stock};
pub use dutch::Dutch;
pub use english::{English, Extension, HighBid, Increments};
pub use plan::{Declined, LotPlan, Purse};
pub use refusal::Refusal;

use crate::ledger::FundSource;
use crate::{Currency, LotId, Money, PrincipalId, Region, Timestamp};
use serde::{Deserialize, Serialize};

/// How a lot is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// The price rises by bids.
    English,
    /// The price falls on a schedule; the first claim wins.
    Dutch,
    /// A number of units at one price, first come, first served.
    Drop,
}

impl Mechanism {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::English => "english",
            Self::Dutch => "dutch",
            Self::Drop => "drop",
        }
    }
}

/// Where a lot stands. Whether an open lot is live is a question of time: see [`Lot::phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Scheduled or live.
    Open,
    /// Closed and settled, with at least one unit sold.
    Sold,
    /// Closed without a sale.
    Passed,
    /// Withdrawn by the seller before the first bid.
    Cancelled,
}

/// What may be done with a lot at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Bidding has not begun.
    Scheduled,
    /// Bids or claims are taken.
    Live,
    /// The time is over, settlement is due.
    Due,
    /// Settled, passed or cancelled.
    Over,
}

/// A lot as the rules see it: terms and state of one row, read in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// The lot's id.
    pub id: LotId,
    /// Who sells it.
    pub seller: PrincipalId,
    /// The currency of every amount on this lot.
    pub currency: Currency,
    /// When bidding begins.
    pub opens_at: Timestamp,
    /// When bidding ends; only an extension moves it, and only later.
    pub closes_at: Timestamp,
    /// Where the lot stands.
    pub status: Status,
    /// Counts the row's changes; events take it as their offset.
    pub version: i64,
    /// The mechanism with its terms and state.
    pub book: Book,
}

/// The mechanism's own terms and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Book {
    /// Rising bids.
    English(English),
    /// Falling price.
    Dutch(Dutch),
    /// Units at one price.
    Drop(Drop),
}

impl Book {
    /// Which mechanism this is.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        match self {
            Self::English(_) => Mechanism::English,
            Self::Dutch(_) => Mechanism::Dutch,
            Self::Drop(_) => Mechanism::Drop,
        }
    }
}

/// An offer of a price on an English lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid {
    /// Who bids, and with which money.
    pub funds: FundSource,
    /// Where they act.
    pub region: Region,
    /// What they offer.
    pub amount: Money,
}

/// A take of units at no more than a stated price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who claims.
    pub buyer: PrincipalId,
    /// Where they act.
    pub region: Region,
    /// How many units; a Dutch lot has one.
    pub units: u32,
    /// The highest price per unit they agreed to.
    pub max_price: Money,
}

/// What an accepted bid changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BidAccepted {
    /// The bid's amount: the new price and the new hold.
    pub amount: Money,
    /// The bid that led until now; its hold is voided in the same commit.
    pub displaced: Option<HighBid>,
    /// When bidding ends from now on.
    pub closes_at: Timestamp,
    /// Whether the soft close moved the end.
    pub extended: bool,
    /// The least amount of the next bid.
    pub next_minimum: Money,
    /// The lot's version after this bid.
    pub version: i64,
}

/// What an accepted claim changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimAccepted {
    /// The price per unit that is charged, never above the claim's maximum.
    pub price: Money,
    /// Units taken.
    pub units: u32,
    /// Price × units.
    pub total: Money,
}

/// How a lot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The leader's hold is captured.
    Sold(HighBid),
    /// Nothing is sold; the leader's hold, if any, is voided.
    Passed(Option<HighBid>),
    /// A drop ends with this many units sold; the money has moved with each claim.
    DropEnded {
        /// Units sold, at least one.
        units_sold: u32,
    },
}

impl Lot {
    /// What may be done at `now`.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        match self.status {
            Status::Sold | Status::Passed | Status::Cancelled => Phase::Over,
            Status::Open if now < self.opens_at => Phase::Scheduled,
            Status::Open if now >= self.closes_at => Phase::Due,
            Status::Open => Phase::Live,
        }
    }

    /// Steps 3 and 4 of the module's order, without what only the mechanism can check.
    fn admit(&self, who: PrincipalId, offer: Money, available: Money) -> Result<(), Refusal> {
        if who == self.seller {
            return Err(Refusal::OwnLot);
        }
        // Numbers of two currencies must never be compared, the wallet's included.
        if [offer, available].map(Money::currency) != [self.currency; 2] {
            return Err(Refusal::CurrencyMismatch {
                expected: self.currency,
            });
        }
        if offer.minor() <= 0 {
            return Err(Refusal::InvalidAmount);
        }
        Ok(())
    }

    /// Step 5 of the module's order.
    fn live(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.phase(now) {
            Phase::Scheduled => Err(Refusal::NotLive {
                opens_at: self.opens_at,
            }),
            Phase::Due | Phase::Over => Err(Refusal::Ended),
            Phase::Live => Ok(()),
        }
    }

    /// Decides a bid. `available` is what the bid's source has free, in the lot's currency.
    ///
    /// # Errors
    /// The first refusal in the module's order.
    pub fn bid(&self, bid: &Bid, available: Money, now: Timestamp) -> Result<BidAccepted, Refusal> {
        let Book::English(english) = &self.book else {
            return Err(Refusal::WrongMechanism {
                mechanism: self.book.mechanism(),
            });
        };
        self.admit(bid.funds.owner(), bid.amount, available)?;
        let next_minimum = english.minimum_after(bid.amount)?;
        self.live(now)?;
        english.accept(self, bid, next_minimum, available, now)
    }

    /// Decides a claim. `bought` is how many units of this lot the buyer has already.
    ///
    /// # Errors
    /// The first refusal in the module's order.
    pub fn claim(
        &self,
        claim: &Claim,
        available: Money,
        bought: u32,
        now: Timestamp,
    ) -> Result<ClaimAccepted, Refusal> {
        match &self.book {
            Book::English(_) => Err(Refusal::WrongMechanism {
                mechanism: Mechanism::English,
            }),
            Book::Dutch(dutch) => {
                self.admit(claim.buyer, claim.max_price, available)?;
                if claim.units != 1 {
                    return Err(Refusal::InvalidAmount);
                }
                self.live(now)?;
                dutch.accept(self, claim, available, now)
            }
            Book::Drop(drop) => {
                self.admit(claim.buyer, claim.max_price, available)?;
                let total = drop.total(claim.units)?;
                // Who comes too late for the last unit hears so, whether or not the house has
                // settled the lot meanwhile.
                if drop.units_left > 0 {
                    self.live(now)?;
                }
                drop.accept(claim, total, available, bought)
            }
        }
    }

    /// Decides the end of the lot.
    ///
    /// # Errors
    /// [`Refusal::Ended`] if it has been settled, [`Refusal::NotDue`] if its time has not come.
    /// A drop is due as soon as its last unit is sold.
    pub fn close(&self, now: Timestamp) -> Result<Closing, Refusal> {
        let sold_out = matches!(&self.book, Book::Drop(drop) if drop.units_left == 0);
        match self.phase(now) {
            Phase::Over => return Err(Refusal::Ended),
            Phase::Live if sold_out => {}
            Phase::Scheduled | Phase::Live => {
                return Err(Refusal::NotDue {
                    closes_at: self.closes_at,
                });
            }
            Phase::Due => {}
        }
        Ok(match &self.book {
            Book::English(english) => english.close(),
            Book::Dutch(_) => Closing::Passed(None),
            Book::Drop(drop) if drop.units_sold() == 0 => Closing::Passed(None),
            Book::Drop(drop) => Closing::DropEnded {
                units_sold: drop.units_sold(),
            },
        })
    }
}
