//! The resources of the API as the ledger knows them. Their fields are what callers read, and what
//! a key's reply keeps.

use serde::{Deserialize, Serialize};
use shared::purchase::Refusal;
use shared::{Currency, ItemId, MandateId, MerchantId, PurchaseId, TransferId};

/// Who sells items to agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MerchantView {
    /// Its id.
    pub merchant_id: MerchantId,
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// What agents buy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemView {
    /// Its id.
    pub item_id: ItemId,
    /// Who sells it.
    pub merchant_id: MerchantId,
    /// Its name.
    pub title: String,
    /// The price of a unit, in minor units.
    pub price_minor: i64,
    /// The currency of the price.
    pub currency: Currency,
    /// Units that can be bought now.
    pub available: i64,
    /// Units that ever came in, without those that came back by refunds.
    pub stocked: i64,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// Whether a mandate can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateStatus {
    /// It can.
    Active,
    /// Its time is over; what is left comes back when it is revoked.
    Expired,
    /// It was taken back.
    Revoked,
}

/// A budget that an agent may spend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MandateView {
    /// Its id.
    pub mandate_id: MandateId,
    /// Whether it can be used.
    pub status: MandateStatus,
    /// The currency of all its amounts.
    pub currency: Currency,
    /// The budget, in minor units: what remains, is held, was spent and was returned adds up to it.
    pub cap_minor: i64,
    /// What can still be spent, in minor units.
    pub remaining_minor: i64,
    /// What is held for bids that lead, in minor units.
    pub held_minor: i64,
    /// What was spent and not paid back, in minor units.
    pub spent_minor: i64,
    /// What came back to the wallet, in minor units.
    pub returned_minor: i64,
    /// The most that one purchase may cost, in minor units; none if only the budget limits it.
    pub purchase_cap_minor: Option<i64>,
    /// The merchants it is for; empty for all.
    pub merchant_ids: Vec<MerchantId>,
    /// From when on it cannot be used, in milliseconds since 1970.
    pub expires_at_ms: i64,
    /// When it was given, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// When it was taken back, in milliseconds since 1970.
    pub revoked_at_ms: Option<i64>,
}

/// A purchase, committed or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseView {
    /// Its id.
    pub purchase_id: PurchaseId,
    /// The item.
    pub item_id: ItemId,
    /// Who sold it.
    pub merchant_id: MerchantId,
    /// The mandate.
    pub mandate_id: MandateId,
    /// The agent.
    pub agent_id: String,
    /// Units.
    pub quantity: u32,
    /// The price of a unit, in minor units.
    pub price_minor: i64,
    /// Price × quantity, in minor units.
    pub amount_minor: i64,
    /// The currency of the amounts.
    pub currency: Currency,
    /// What was paid back, in minor units.
    pub refunded_minor: i64,
    /// Why it was not made, if so.
    pub refusal: Option<Refusal>,
    /// When it was decided.
    pub created_at_ms: i64,
}

/// Money back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefundView {
    /// Its id, which is its transfer's.
    pub refund_id: TransferId,
    /// The purchase.
    pub purchase_id: PurchaseId,
    /// What was paid back, in minor units.
    pub amount_minor: i64,
    /// The currency of the amount.
    pub currency: Currency,
    /// Units that went back into stock.
    pub units: u32,
    /// Where the money went: `mandate`, or `wallet` if the mandate had been revoked.
    pub to: String,
    /// When, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// One leg of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryView {
    /// The transfer.
    pub transfer_id: TransferId,
    /// Its number within the transfer.
    pub leg: i16,
    /// Why the transfer was made.
    pub kind: String,
    /// The account: `available`, `held`, `funding`, `payable` or `budget`.
    pub account: String,
    /// The mandate of a `budget` account.
    pub mandate_id: Option<MandateId>,
    /// The merchant of a `payable` account.
    pub merchant_id: Option<MerchantId>,
    /// The signed amount, in minor units: positive comes in.
    pub amount_minor: i64,
    /// The currency of the amount.
    pub currency: Currency,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// What a tenant used in some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageLine {
    /// The currency.
    pub currency: Currency,
    /// Purchases that were committed: what is billed.
    pub committed: i64,
    /// What they cost, in minor units.
    pub amount_minor: i64,
    /// Purchases that were refused.
    pub refused: i64,
}
