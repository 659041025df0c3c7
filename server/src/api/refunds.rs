//! Refunds: money back, with or without units into stock.

use super::Api;
use super::call::{keyed, listed};
use super::credentials::Tenant;
use super::page::{List, Query, one_more};
use super::problem::Problem;
use super::schemas::{bodies, params, resources};
use crate::ledger::Route;
use crate::ledger::checkout::items::MAX_UNITS;
use crate::ledger::checkout::lists;
use crate::ledger::checkout::refunds::Refund;
use crate::ledger::page::Cursor;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use shared::PurchaseId;
use shared::money::MAX_MINOR;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(refund, refunds))
}

/// Pays back a purchase, or a part of it.
///
/// The money goes to the mandate that had paid, or to the wallet if that was revoked.
#[utoipa::path(
    post,
    path = "/v1/refunds",
    tag = "Refunds",
    operation_id = "create_refund",
    params(params::Key),
    request_body = bodies::NewRefund,
    responses((status = 201, description = "It is paid back.", body = resources::Refund)),
    extensions(("x-problem-codes" = json!(["not_found", "not_committed", "refund_too_large", "too_many_units"]))),
)]
pub async fn refund(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let made = (Route::Refund, StatusCode::CREATED);
    keyed(&api, tenant, &headers, made, &body, |fields| {
        let purchase = fields.id::<PurchaseId>("purchase_id", PurchaseId::PREFIX);
        let amount = fields.optional_integer("amount_minor", 1..=MAX_MINOR);
        let units = fields.optional_integer("units", 0..=i64::from(MAX_UNITS));
        let work = Refund {
            tenant: tenant.id,
            purchase: purchase?,
            amount_minor: amount?,
            units: u32::try_from(units?.unwrap_or(0)).ok()?,
        };
        let amount = work.amount_minor.map(|amount| amount.to_string());
        let meaning = vec![
            work.purchase.to_string(),
            amount.unwrap_or_default(),
            work.units.to_string(),
        ];
        Some((work, meaning))
    })
    .await
}

/// Lists refunds, newest first.
#[utoipa::path(
    get,
    path = "/v1/refunds",
    tag = "Refunds",
    operation_id = "list_refunds",
    params(params::Page),
    responses((status = 200, description = "A page.", body = List<resources::Refund>)),
)]
pub async fn refunds(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(lists::refunds(tx, tenant.id, one_more(page))));
    listed(read.await, page, |view| Cursor {
        at_ms: view.created_at_ms,
        id: view.refund_id.uuid(),
        leg: 0,
    })
}
