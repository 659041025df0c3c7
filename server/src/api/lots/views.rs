//! Lots, bids and claims as agents read them.

use super::super::schemas::scalars;
use crate::ledger::auction::read::{BidRow, ClaimRow, LotRead, reserve};
use app::ports::{BidReceipt, ClaimReceipt};
use serde::Serialize;
use shared::auction::{Book, Mechanism, Phase, Status};
use shared::view::Reserve;
use shared::{BidId, ClaimId, Currency, LotId, MandateId, Money, Timestamp, TransferId};
use utoipa::ToSchema;

/// How a lot is sold.
#[derive(ToSchema)]
#[schema(as = Mechanism, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document reads it")]
enum Mechanisms {
    English,
    Dutch,
    Drop,
}

/// Where a lot stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document reads it")]
enum LotStatus {
    Scheduled,
    Live,
    Due,
    Sold,
    Passed,
    Cancelled,
}

/// Whether the leading bid reaches the seller's least price.
#[derive(ToSchema)]
#[schema(as = Reserve, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document reads it")]
enum Reserves {
    None,
    Met,
    NotMet,
}

/// What became of a bid.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document reads it")]
enum BidStatus {
    Leading,
    Won,
    Freed,
}

/// A lot.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lot)]
pub struct LotBody {
    /// The lot.
    #[schema(value_type = scalars::LotId)]
    pub lot_id: LotId,
    /// Its name.
    pub title: String,
    /// `english` takes bids, `dutch` and `drop` take claims.
    #[schema(value_type = Mechanisms)]
    pub mechanism: Mechanism,
    /// `scheduled`, `live`, `due` (its end is being settled), `sold`, `passed` or `cancelled`.
    #[schema(value_type = LotStatus)]
    pub status: &'static str,
    /// The currency of all its amounts.
    #[schema(value_type = scalars::Currency)]
    pub currency: Currency,
    /// What the leader bid, what a unit costs now, in minor units; none before the first bid.
    #[schema(value_type = Option<scalars::AmountMinor>, required)]
    pub price_minor: Option<i64>,
    /// The least bid that would be accepted, in minor units; only English lots have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::AmountMinor, required = false)]
    pub next_minimum_minor: Option<i64>,
    /// The bid that leads; only English lots have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::BidId, required = false)]
    pub leading_bid_id: Option<BidId>,
    /// Whether the leading bid reaches the seller's least price: `none`, `met`, `not_met`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Reserves, required = false)]
    pub reserve: Option<Reserve>,
    /// Units that are left; only drops have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::LotUnitsLeft, required = false)]
    pub units_left: Option<u32>,
    /// Units that one buyer may have; only drops with a limit have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::LotUnits, required = false)]
    pub limit_units: Option<u32>,
    /// When bidding begins, in milliseconds since 1970.
    #[schema(value_type = scalars::InstantMs)]
    pub opens_at_ms: i64,
    /// When bidding ends, in milliseconds since 1970; a late bid moves it.
    #[schema(value_type = scalars::InstantMs)]
    pub closes_at_ms: i64,
    /// Counts the lot's changes.
    #[schema(value_type = scalars::LotVersion)]
    pub version: i64,
    /// The house's time of this answer, in milliseconds since 1970.
    #[schema(value_type = scalars::InstantMs)]
    pub server_time_ms: i64,
}

impl LotBody {
    /// A lot as it was at `now`.
    #[must_use]
    pub fn new(read: &LotRead, now: Timestamp) -> Self {
        let lot = &read.lot;
        let mut body = Self {
            lot_id: lot.id,
            title: read.view.title.clone(),
            mechanism: lot.book.mechanism(),
            status: status(lot.phase(now), lot.status),
            currency: lot.currency,
            price_minor: None,
            next_minimum_minor: None,
            leading_bid_id: None,
            reserve: None,
            units_left: None,
            limit_units: None,
            opens_at_ms: lot.opens_at.0,
            closes_at_ms: read.view.closes_at.0,
            version: lot.version,
            server_time_ms: now.0,
        };
        match &lot.book {
            Book::English(english) => {
                body.price_minor = english.high.map(|high| high.amount.minor());
                body.next_minimum_minor = english.minimum().map(Money::minor);
                body.leading_bid_id = english.high.map(|high| high.bid);
                body.reserve = Some(reserve(english));
            }
            Book::Dutch(dutch) => {
                // Once it is sold, the price stands still.
                let at = now.min(read.view.closes_at);
                body.price_minor = Some(dutch.price_at(lot.opens_at, at).minor());
            }
            Book::Drop(drop) => {
                body.price_minor = Some(drop.price.minor());
                body.units_left = Some(drop.units_left);
                body.limit_units = drop.limit;
            }
        }
        body
    }
}

const fn status(phase: Phase, status: Status) -> &'static str {
    match (phase, status) {
        (Phase::Scheduled, _) => "scheduled",
        (Phase::Live, _) => "live",
        (Phase::Due, _) | (Phase::Over, Status::Open) => "due",
        (Phase::Over, Status::Sold) => "sold",
        (Phase::Over, Status::Passed) => "passed",
        (Phase::Over, Status::Cancelled) => "cancelled",
    }
}

/// The answer to a bid that was accepted. Its fields stand in this order, for ever.
#[derive(Debug, Serialize, ToSchema)]
pub struct BidAnswer {
    /// Always `leading`: the bid led when it was accepted.
    #[schema(example = "leading")]
    pub outcome: &'static str,
    /// The bid.
    #[schema(value_type = scalars::BidId)]
    pub bid_id: String,
    /// The lot.
    #[schema(value_type = scalars::LotId)]
    pub lot_id: LotId,
    /// The mandate that its amount is held of.
    #[schema(value_type = scalars::MandateId)]
    pub mandate_id: MandateId,
    /// What is held, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// The currency of the amounts.
    #[schema(value_type = scalars::Currency)]
    pub currency: Currency,
    /// The lot's version after the bid.
    #[schema(value_type = scalars::LotVersion)]
    pub lot_version: i64,
    /// When bidding ends now, in milliseconds since 1970.
    #[schema(value_type = scalars::InstantMs)]
    pub closes_at_ms: i64,
    /// The least bid that would be accepted next, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub next_minimum_minor: i64,
}

impl BidAnswer {
    /// The answer of a receipt.
    #[must_use]
    pub fn new(lot_id: LotId, mandate_id: MandateId, receipt: BidReceipt) -> Self {
        Self {
            outcome: "leading",
            bid_id: receipt.line.id,
            lot_id,
            mandate_id,
            amount_minor: receipt.line.amount.minor(),
            currency: receipt.line.amount.currency(),
            lot_version: receipt.version,
            closes_at_ms: receipt.closes_at.0,
            next_minimum_minor: receipt.next_minimum.minor(),
        }
    }
}

/// The answer to a claim that was paid. Its fields stand in this order, for ever.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClaimAnswer {
    /// Always `claimed`.
    #[schema(example = "claimed")]
    pub outcome: &'static str,
    /// The claim.
    #[schema(value_type = scalars::ClaimId)]
    pub claim_id: String,
    /// Its transfer in the ledger.
    #[schema(value_type = scalars::TransferId)]
    pub transfer_id: TransferId,
    /// The lot.
    #[schema(value_type = scalars::LotId)]
    pub lot_id: LotId,
    /// The mandate that paid.
    #[schema(value_type = scalars::MandateId)]
    pub mandate_id: MandateId,
    /// Units.
    #[schema(value_type = scalars::LotUnits)]
    pub units: u32,
    /// What a unit cost, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub price_minor: i64,
    /// Price × units, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// The currency of the amounts.
    #[schema(value_type = scalars::Currency)]
    pub currency: Currency,
}

impl ClaimAnswer {
    /// The answer of a receipt.
    #[must_use]
    pub fn new(lot_id: LotId, mandate_id: MandateId, receipt: ClaimReceipt) -> Self {
        Self {
            outcome: "claimed",
            claim_id: receipt.line.id,
            transfer_id: receipt.transfer,
            lot_id,
            mandate_id,
            units: receipt.line.units,
            price_minor: receipt.line.amount.minor(),
            amount_minor: receipt.total.minor(),
            currency: receipt.total.currency(),
        }
    }
}

/// A bid of an agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bid)]
pub struct BidBody {
    /// The bid.
    #[schema(value_type = scalars::BidId)]
    pub bid_id: BidId,
    /// `leading` while its amount is held, `won` once it paid, `freed` once it was outbid or its
    /// lot passed.
    #[schema(value_type = BidStatus)]
    pub status: &'static str,
    /// The lot.
    #[schema(value_type = scalars::LotId)]
    pub lot_id: LotId,
    /// The mandate.
    #[schema(value_type = scalars::MandateId)]
    pub mandate_id: MandateId,
    /// The agent.
    #[schema(value_type = scalars::AgentId)]
    pub agent_id: String,
    /// What was bid, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// Its currency.
    #[schema(value_type = scalars::Currency)]
    pub currency: Currency,
    /// When, in milliseconds since 1970.
    #[schema(value_type = scalars::InstantMs)]
    pub created_at_ms: i64,
}

impl From<BidRow> for BidBody {
    fn from(row: BidRow) -> Self {
        Self {
            bid_id: row.bid,
            status: match row.hold.as_str() {
                "live" => "leading",
                "captured" => "won",
                _ => "freed",
            },
            lot_id: row.lot,
            mandate_id: row.mandate,
            agent_id: row.agent,
            amount_minor: row.amount_minor,
            currency: row.currency,
            created_at_ms: row.at_ms,
        }
    }
}

/// A claim of an agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Claim)]
pub struct ClaimBody {
    /// The claim.
    #[schema(value_type = scalars::ClaimId)]
    pub claim_id: ClaimId,
    /// Its transfer in the ledger.
    #[schema(value_type = scalars::TransferId)]
    pub transfer_id: TransferId,
    /// The lot.
    #[schema(value_type = scalars::LotId)]
    pub lot_id: LotId,
    /// The mandate.
    #[schema(value_type = scalars::MandateId)]
    pub mandate_id: MandateId,
    /// The agent.
    #[schema(value_type = scalars::AgentId)]
    pub agent_id: String,
    /// Units.
    #[schema(value_type = scalars::LotUnits)]
    pub units: u32,
    /// What a unit cost, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub price_minor: i64,
    /// Price × units, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// The currency of the amounts.
    #[schema(value_type = scalars::Currency)]
    pub currency: Currency,
    /// When, in milliseconds since 1970.
    #[schema(value_type = scalars::InstantMs)]
    pub created_at_ms: i64,
}

impl From<ClaimRow> for ClaimBody {
    fn from(row: ClaimRow) -> Self {
        Self {
            claim_id: row.claim,
            transfer_id: row.transfer,
            lot_id: row.lot,
            mandate_id: row.mandate,
            agent_id: row.agent,
            units: row.units,
            price_minor: row.price_minor,
            amount_minor: row.price_minor.saturating_mul(i64::from(row.units)),
            currency: row.currency,
            created_at_ms: row.at_ms,
        }
    }
}
