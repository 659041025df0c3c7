//! What the ledger writes into replies, field by field as in `ledger::checkout::views`.

use super::scalars;
use utoipa::ToSchema;

/// Who sells items to agents.
#[derive(ToSchema)]
pub struct Merchant {
    /// Its id.
    #[schema(value_type = scalars::MerchantId)]
    pub merchant_id: String,
    /// Its name.
    #[schema(value_type = scalars::Label)]
    pub name: String,
    /// When it was made.
    #[schema(value_type = scalars::InstantMs)]
    pub created_at_ms: i64,
}

/// What agents buy.
#[derive(ToSchema)]
pub struct Item {
    /// Its id.
    #[schema(value_type = scalars::ItemId)]
    pub item_id: String,
    /// Who sells it.
    #[schema(value_type = scalars::MerchantId)]
    pub merchant_id: String,
    /// Its name.
    #[schema(value_type = scalars::Label)]
    pub title: String,
    /// The price of a unit, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub price_minor: i64,
    /// The currency of the price.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// Units that can be bought now.
    #[schema(value_type = scalars::Units)]
    pub available: i64,
    /// Units that ever came in, without those that came back by refunds.
    #[schema(value_type = scalars::Units)]
    pub stocked: i64,
    /// When it was made.
    #[schema(value_type = scalars::InstantMs)]
    pub created_at_ms: i64,
}

/// Whether a mandate can be used: it can; its time is over, and what is left comes back when it is
/// revoked; it was taken back.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum MandateStatus {
    /// It can.
    Active,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

/// A budget that an agent may spend.
#[derive(ToSchema)]
pub struct Mandate {
    /// Its id.
    #[schema(value_type = scalars::MandateId)]
    pub mandate_id: String,
    /// Whether it can be used.
    pub status: MandateStatus,
    /// The currency of all its amounts.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// The budget, in minor units: what remains, is held, was spent and was returned adds up to it.
    #[schema(value_type = scalars::AmountMinor)]
    pub cap_minor: i64,
    /// What can still be spent, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    pub remaining_minor: i64,
    /// What is held for bids that lead, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    pub held_minor: i64,
    /// What was spent and not paid back, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    pub spent_minor: i64,
    /// What came back to the wallet, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    pub returned_minor: i64,
    /// The most that one purchase may cost, in minor units; none if only the budget limits it.
    #[schema(value_type = Option<scalars::AmountMinor>, required)]
    pub purchase_cap_minor: Option<i64>,
    /// The merchants it is for; empty for all.
    #[schema(value_type = Vec<scalars::MerchantId>)]
    pub merchant_ids: Vec<String>,
    /// From when on it cannot be used.
    #[schema(value_type = scalars::InstantMs)]
    pub expires_at_ms: i64,
    /// When it was given.
    #[schema(value_type = scalars::InstantMs)]
    pub created_at_ms: i64,
    /// When it was taken back.
    #[schema(value_type = Option<scalars::InstantMs>, required)]
    pub revoked_at_ms: Option<i64>,
}

/// Where a refund went.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum RefundedTo {
    /// The mandate that had paid.
    Mandate,
    /// The wallet, since the mandate had been revoked.
    Wallet,
}

/// Money back.
#[derive(ToSchema)]
pub struct Refund {
    /// Its id, which is its transfer's.
    #[schema(value_type = scalars::TransferId)]
    pub refund_id: String,
    /// The purchase.
    #[schema(value_type = scalars::PurchaseId)]
    pub purchase_id: String,
    /// What was paid back, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// The currency of the amount.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// Units that went back into stock.
    #[schema(value_type = scalars::Units)]
    pub units: u32,
    /// Where the money went: to the mandate, or to the wallet if the mandate had been revoked.
    pub to: RefundedTo,
    /// When.
    #[schema(value_type = scalars::InstantMs)]
    pub created_at_ms: i64,
}

/// One leg of a transfer. The legs of a transfer sum to zero.
#[derive(ToSchema)]
pub struct Entry {
    /// The transfer.
    #[schema(value_type = scalars::TransferId)]
    pub transfer_id: String,
    /// Its number within the transfer.
    pub leg: i16,
    /// Why the transfer was made.
    #[schema(example = "purchase")]
    pub kind: String,
    /// The account: `available`, `held`, `funding`, `payable` or `budget`.
    #[schema(example = "budget")]
    pub account: String,
    /// The mandate of a `budget` account.
    #[schema(value_type = Option<scalars::MandateId>, required)]
    pub mandate_id: Option<String>,
    /// The merchant of a `payable` account.
    #[schema(value_type = Option<scalars::MerchantId>, required)]
    pub merchant_id: Option<String>,
    /// The amount, in minor units.
    #[schema(value_type = scalars::SignedMinor)]
    pub amount_minor: i64,
    /// The currency of the amount.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// When.
    #[schema(value_type = scalars::InstantMs)]
    pub at_ms: i64,
}

/// What was used in one currency.
#[derive(ToSchema)]
pub struct UsageLine {
    /// The currency.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// Purchases that were committed: what is billed.
    pub committed: u64,
    /// What they cost, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    pub amount_minor: i64,
    /// Purchases that were refused.
    pub refused: u64,
}
