//! Errors, as of RFC 9457.

use super::scalars;
use utoipa::ToSchema;

/// One field that is not as it must be.
#[derive(ToSchema)]
pub struct FieldError {
    /// The field, as a JSON pointer.
    #[schema(example = "/quantity")]
    pub pointer: String,
    /// What it must be.
    #[schema(example = "an integer from 1 to 1000000")]
    pub detail: String,
}

/// The purchase that another one seems to repeat.
#[derive(ToSchema)]
pub struct FirstPurchase {
    /// Its id.
    #[schema(value_type = scalars::PurchaseId)]
    pub purchase_id: String,
    /// Its transfer.
    #[schema(value_type = scalars::TransferId)]
    pub transfer_id: String,
    /// What it cost, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// The currency of the amount.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// When it was committed.
    #[schema(value_type = scalars::InstantMs)]
    pub committed_at_ms: i64,
}

/// An error as of RFC 9457. Programs test `code`, which never changes its meaning.
#[derive(ToSchema)]
pub struct Problem {
    /// A page about this kind of error.
    #[schema(format = "uri-reference")]
    pub r#type: String,
    /// The kind of error, in words.
    pub title: String,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What it was this time, for people.
    pub detail: String,
    /// Where it happened: the purchase that was refused, or `urn:request:` and the request's id. A
    /// refusal that a repeat will be answered with has none, or names no single request.
    pub instance: Option<String>,
    /// The code, for programs.
    pub code: String,
    /// Seconds after which the same request may be sent again, as in the Retry-After header.
    pub retry_after: Option<u32>,
    /// The fields or parameters that are not as they must be.
    #[schema(required = false)]
    pub errors: Option<Vec<FieldError>>,
    /// With `not_found`: what there is none of.
    pub what: Option<String>,
    /// With `currency_mismatch`: the currency that it must be.
    #[schema(value_type = Option<scalars::Currency>)]
    pub expected: Option<String>,
    /// With `mandate_expired`: since when.
    #[schema(value_type = Option<scalars::InstantMs>)]
    pub expired_at_ms: Option<i64>,
    /// With `price_moved`: what a unit costs now, in minor units.
    #[schema(value_type = Option<scalars::AmountMinor>)]
    pub price_minor: Option<i64>,
    /// With `over_purchase_cap`: the most that a purchase may cost, in minor units.
    #[schema(value_type = Option<scalars::AmountMinor>)]
    pub cap_minor: Option<i64>,
    /// With `mandate_exhausted` and `refund_too_large`: what is left, in minor units.
    #[schema(value_type = Option<scalars::SumMinor>)]
    pub left_minor: Option<i64>,
    /// With `insufficient`: what the wallet has free, in minor units.
    #[schema(value_type = Option<scalars::SumMinor>)]
    pub available_minor: Option<i64>,
    /// The currency of the amounts.
    #[schema(value_type = Option<scalars::Currency>)]
    pub currency: Option<String>,
    /// With `sold_out`, `too_many_units` and `stock_limit`: how many units are left.
    pub units_left: Option<u64>,
    /// With `top_up_limit`: the largest top-up that would be accepted, in minor units.
    #[schema(value_type = Option<scalars::SumMinor>)]
    pub most_minor: Option<i64>,
    /// With `too_low`: the least bid that would be accepted, in minor units.
    #[schema(value_type = Option<scalars::AmountMinor>)]
    pub next_minimum_minor: Option<i64>,
    /// With `not_live`: when bidding begins.
    #[schema(value_type = Option<scalars::InstantMs>)]
    pub opens_at_ms: Option<i64>,
    /// With `limit_reached`: how many units one buyer may have.
    #[schema(value_type = Option<scalars::LotUnits>)]
    pub limit_units: Option<u32>,
    /// With `limit_reached`: how many units the buyer has.
    #[schema(value_type = Option<scalars::LotUnitsLeft>)]
    pub bought_units: Option<u32>,
    /// With `wrong_mechanism`: how the lot is sold.
    pub mechanism: Option<String>,
    /// With `duplicate_suspected`: the first purchase.
    pub first: Option<FirstPurchase>,
}
