//! Why a purchase is not made.

use super::First;
use crate::{Currency, Money, Timestamp};
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// Who sells.
    Merchant,
    /// What is sold.
    Item,
    /// The budget that pays.
    Mandate,
    /// A purchase.
    Purchase,
    /// What the house auctions.
    Lot,
    /// A bid on it.
    Bid,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Merchant => "merchant",
            Self::Item => "item",
            Self::Mandate => "mandate",
            Self::Purchase => "purchase",
            Self::Lot => "lot",
            Self::Bid => "bid",
        })
    }
}

/// A decided "no". Each has a code of its own that never changes (the API's reference lists them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// The merchant has no such item, or the tenant no such mandate.
    #[error("there is no such {what}")]
    NotFound {
        /// What is not there.
        what: Named,
    },
    /// Item, mandate and request do not have the same currency.
    #[error("the currencies differ: this needs {expected}")]
    CurrencyMismatch {
        /// The currency of the item, or of the mandate if that is the other one.
        expected: Currency,
    },
    /// The mandate was taken back.
    #[error("the mandate was revoked")]
    MandateRevoked,
    /// The mandate's time is over.
    #[error("the mandate has expired")]
    MandateExpired {
        /// When.
        at: Timestamp,
    },
    /// The mandate is for other merchants.
    #[error("the mandate does not allow this merchant")]
    MerchantNotAllowed,
    /// A unit costs more than the agent agreed to.
    #[error("a unit costs {price}")]
    PriceMoved {
        /// The price of a unit.
        price: Money,
    },
    /// The purchase is larger than the mandate allows one to be.
    #[error("one purchase may cost {cap} at most")]
    OverPurchaseCap {
        /// The most that one purchase may cost.
        cap: Money,
    },
    /// The same purchase was made moments ago under another key.
    #[error("the same purchase was made moments ago")]
    DuplicateSuspected {
        /// The purchase that was made.
        first: First,
        /// What it cost.
        amount: Money,
    },
    /// Fewer units are left than were asked for.
    #[error("{left} units are left")]
    SoldOut {
        /// Units left over all buckets.
        left: i64,
    },
    /// The mandate has less left than the purchase costs.
    #[error("the mandate has {left} left")]
    MandateExhausted {
        /// What is left over all buckets.
        left: Money,
    },
    /// The wallet does not cover the mandate.
    #[error("the wallet has {available} free")]
    Insufficient {
        /// What is free.
        available: Money,
    },
    /// More would be paid back than was paid.
    #[error("{left} can still be paid back")]
    RefundTooLarge {
        /// What can still be paid back.
        left: Money,
    },
    /// More units would go back into stock than were bought.
    #[error("{left} units can still go back into stock")]
    TooManyUnits {
        /// Units that can still go back.
        left: u32,
    },
    /// The purchase was not made.
    #[error("the purchase was refused")]
    NotCommitted,
    /// The item would have more units than the house can count.
    #[error("{most} more units at most")]
    StockLimit {
        /// The most units that can still come in.
        most: i64,
    },
    /// Price × quantity is no amount that the house can keep.
    #[error("the total is out of range")]
    TotalOutOfRange,
}

impl Refusal {
    /// The code, as the API and the ledger write it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::CurrencyMismatch { .. } => "currency_mismatch",
            Self::MandateRevoked => "mandate_revoked",
            Self::MandateExpired { .. } => "mandate_expired",
            Self::MerchantNotAllowed => "merchant_not_allowed",
            Self::PriceMoved { .. } => "price_moved",
            Self::OverPurchaseCap { .. } => "over_purchase_cap",
            Self::DuplicateSuspected { .. } => "duplicate_suspected",
            Self::SoldOut { .. } => "sold_out",
            Self::MandateExhausted { .. } => "mandate_exhausted",
            Self::Insufficient { .. } => "insufficient",
            Self::RefundTooLarge { .. } => "refund_too_large",
            Self::TooManyUnits { .. } => "too_many_units",
            Self::NotCommitted => "not_committed",
            Self::StockLimit { .. } => "stock_limit",
            Self::TotalOutOfRange => "total_out_of_range",
        }
    }
}
