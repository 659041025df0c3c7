//! Refusals: the rules' own "no", with what a person needs to try again.

use super::Mechanism;
use crate::{Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};

/// A decided "no". Nothing has happened but that the answer is kept under its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such lot.
    NotFound,
    /// Bidding begins later.
    NotLive {
        /// When it begins.
        opens_at: Timestamp,
    },
    /// Bidding is over.
    Ended,
    /// The bid is below the next valid one.
    TooLow {
        /// The least amount that would be accepted.
        minimum: Money,
    },
    /// The wallet cannot cover the offer.
    Insufficient {
        /// What the offer needs.
        needed: Money,
        /// What could be used for it, the own hold on this lot included.
        available: Money,
    },
    /// Fewer units are left than were asked for.
    SoldOut {
        /// Units that are left.
        units_left: u32,
    },
    /// The price is above the highest price the buyer agreed to.
    PriceMoved {
        /// The price now, per unit.
        price: Money,
    },
    /// Sellers cannot buy their own lots.
    OwnLot,
    /// The buyer would hold more units than one buyer may.
    LimitReached {
        /// Units that one buyer may hold.
        limit: u32,
        /// Units the buyer has.
        bought: u32,
    },
    /// A bid on a lot that takes claims, or the reverse.
    WrongMechanism {
        /// The lot's mechanism.
        mechanism: Mechanism,
    },
    /// The offer is in another currency than the lot.
    CurrencyMismatch {
        /// The lot's currency.
        expected: Currency,
    },
    /// The amount or the number of units is zero, negative or beyond the range.
    InvalidAmount,
    /// Settlement was asked for before its time.
    NotDue {
        /// When the lot closes.
        closes_at: Timestamp,
    },
    /// A top-up beyond what a demo wallet may be given.
    TopUpLimit {
        /// The largest top-up that would be accepted now.
        most: Money,
    },
}

impl Refusal {
    /// The code as the wire has it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotLive { .. } => "not_live",
            Self::Ended => "ended",
            Self::TooLow { .. } => "too_low",
            Self::Insufficient { .. } => "insufficient",
            Self::SoldOut { .. } => "sold_out",
            Self::PriceMoved { .. } => "price_moved",
            Self::OwnLot => "own_lot",
            Self::LimitReached { .. } => "limit_reached",
            Self::WrongMechanism { .. } => "wrong_mechanism",
            Self::CurrencyMismatch { .. } => "currency_mismatch",
            Self::InvalidAmount => "invalid_amount",
            Self::NotDue { .. } => "not_due",
            Self::TopUpLimit { .. } => "top_up_limit",
        }
    }

    /// The refusal as one would say it, with the next step where there is one.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NotFound => "There is no such lot.".into(),
            Self::NotLive { .. } => "Bidding has not begun yet.".into(),
            Self::Ended => "Bidding on this lot is over.".into(),
            Self::TooLow { minimum } => format!("The next valid bid is {minimum}."),
            Self::Insufficient { needed, available } => {
                format!("This needs {needed}; you have {available} for it. Top up, then try again.")
            }
            Self::SoldOut { units_left: 0 } => "Sold out. The last unit is gone.".into(),
            Self::SoldOut { units_left } => format!("Only {units_left} left. Ask for fewer."),
            Self::PriceMoved { price } => {
                format!("The price is {price} now. You were not charged.")
            }
            Self::OwnLot => "This lot is yours, so you cannot buy it.".into(),
            Self::LimitReached { limit, bought } => {
                format!("One buyer may have {limit}; you have {bought}.")
            }
            Self::WrongMechanism {
                mechanism: Mechanism::English,
            } => "This lot takes bids, not claims.".into(),
            Self::WrongMechanism { .. } => "This lot takes claims, not bids.".into(),
            Self::CurrencyMismatch { expected } => format!("This lot is sold in {expected}."),
            Self::InvalidAmount => "That amount cannot be offered.".into(),
            Self::NotDue { .. } => "This lot is still open.".into(),
            Self::TopUpLimit { most } => format!("A demo wallet can take {most} more."),
        }
    }
}
