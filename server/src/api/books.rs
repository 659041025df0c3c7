//! The tenant's books: every leg of every transfer, and what was used.

use super::Api;
use super::call::{found, listed};
use super::credentials::Tenant;
use super::page::{List, Query, one_more};
use super::problem::Problem;
use super::schemas::{params, resources, scalars};
use super::undecided;
use crate::ledger::checkout::lists::{self, EntryFilter};
use crate::ledger::page::Cursor;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use shared::money::MAX_MINOR;
use shared::{Currency, MandateId, MerchantId, Timestamp};
use std::str::FromStr;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest time that usage is told of at once: 31 days.
const MAX_USAGE_MS: i64 = 31 * 24 * 3_600 * 1_000;

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(entries))
        .routes(routes!(usage))
}

/// Lists ledger entries, newest first.
///
/// Every movement of money is a transfer, and the legs of a transfer sum to zero.
#[utoipa::path(
    get,
    path = "/v1/ledger/entries",
    tag = "Books",
    operation_id = "list_entries",
    params(params::Page, params::Entries),
    responses((status = 200, description = "A page.", body = List<resources::Entry>)),
)]
pub async fn entries(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let known = ["limit", "cursor", "currency", "mandate_id", "merchant_id"];
    let query = Query::read(query.as_deref(), &known)?;
    let page = query.page()?;
    let currency = query.get("currency", "a currency", |text| {
        Currency::from_str(text).ok()
    })?;
    let mandate = query.id::<MandateId>("mandate_id", MandateId::PREFIX)?;
    let merchant = query.id::<MerchantId>("merchant_id", MerchantId::PREFIX)?;
    if mandate.is_some() && merchant.is_some() {
        let problem = Problem::invalid_query();
        return Err(problem.field("merchant_id", "not together with mandate_id"));
    }
    let filter = EntryFilter {
        currency: currency.unwrap_or(Currency::Usd),
        subaccount: mandate
            .map(MandateId::uuid)
            .or(merchant.map(MerchantId::uuid)),
    };
    let runner = api.ledger.runner();
    let wanted = one_more(page);
    let read = runner.read_once(move |tx| Box::pin(lists::entries(tx, tenant.id, filter, wanted)));
    listed(read.await, page, |entry| Cursor {
        at_ms: entry.at_ms,
        id: entry.transfer_id.uuid(),
        leg: entry.leg,
    })
}

/// What was used in some time.
#[derive(Serialize, ToSchema)]
struct Usage {
    /// From this instant on.
    #[schema(value_type = scalars::InstantMs)]
    from_ms: i64,
    /// Up to this one, itself left out.
    #[schema(value_type = scalars::InstantMs)]
    to_ms: i64,
    /// A line for each currency in which there was anything.
    #[schema(value_type = Vec<resources::UsageLine>)]
    data: Vec<lists::UsageLine>,
}

/// Tells what was used in up to 31 days.
#[utoipa::path(
    get,
    path = "/v1/usage",
    tag = "Books",
    operation_id = "get_usage",
    params(params::Usage),
    responses((status = 200, description = "What was used.", body = Usage)),
)]
pub async fn usage(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref(), &["from_ms", "to_ms"])?;
    let instant = |text: &str| {
        text.parse::<i64>()
            .ok()
            .filter(|ms| (0..=MAX_MINOR).contains(ms))
    };
    let a_time = "milliseconds since 1970";
    let to = query.get("to_ms", a_time, instant)?;
    let to = to.unwrap_or_else(|| api.ledger.clock().now().0);
    let from = query.get("from_ms", a_time, instant)?;
    let from = from.unwrap_or(to.saturating_sub(MAX_USAGE_MS));
    if from > to || to - from > MAX_USAGE_MS {
        let problem = Problem::invalid_query();
        return Err(problem.field("from_ms", "at most 31 days before to_ms"));
    }
    let (start, end) = (Timestamp(from), Timestamp(to));
    let data = api
        .ledger
        .runner()
        .read_once(move |tx| Box::pin(lists::usage(tx, tenant.id, start, end)))
        .await
        .map_err(undecided::failed)?;
    Ok(found(&Usage {
        from_ms: from,
        to_ms: to,
        data,
    }))
}
