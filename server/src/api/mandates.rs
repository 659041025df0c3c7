//! Mandates: budgets that agents may spend.

use super::Api;
use super::call::{Id, keyed, listed, one};
use super::credentials::Tenant;
use super::page::{List, Query, one_more};
use super::problem::Problem;
use super::schemas::{bodies, params, resources, scalars};
use crate::ids;
use crate::ledger::Route;
use crate::ledger::checkout::lists;
use crate::ledger::checkout::mandates::{NewMandate, Revoke};
use crate::ledger::page::Cursor;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use shared::money::MAX_MINOR;
use shared::purchase::{MAX_SCOPE, Named};
use shared::{MandateId, MerchantId, Money};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest life of a mandate: a year.
pub const MAX_LIFETIME_S: i64 = 366 * 24 * 3_600;

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(new_mandate, mandates))
        .routes(routes!(mandate))
        .routes(routes!(revoke))
}

/// Gives a mandate.
///
/// Its budget leaves the wallet now, so that it is there when an agent buys. What is not spent comes back
/// when the mandate is revoked.
#[utoipa::path(
    post,
    path = "/v1/mandates",
    tag = "Mandates",
    operation_id = "create_mandate",
    params(params::Key),
    request_body = bodies::NewMandate,
    responses((status = 201, description = "It is given.", body = resources::Mandate)),
    extensions(("x-problem-codes" = json!(["not_found", "insufficient"]))),
)]
pub async fn new_mandate(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let made = (Route::Mandate, StatusCode::CREATED);
    keyed(&api, tenant, &headers, made, &body, |fields| {
        let cap = fields.integer("cap_minor", 1..=MAX_MINOR);
        let currency = fields.currency("currency");
        let purchase_cap = fields.optional_integer("purchase_cap_minor", 1..=MAX_MINOR);
        let scope = fields.ids::<MerchantId>("merchant_ids", MerchantId::PREFIX, MAX_SCOPE);
        let lifetime = fields.integer("expires_in_s", 1..=MAX_LIFETIME_S);
        let (cap, currency, purchase_cap) = (cap?, currency?, purchase_cap?);
        let (scope, lifetime) = (scope?, lifetime?);
        let in_currency = |minor| Money::new(minor, currency).ok();
        let mut meaning = vec![
            cap.to_string(),
            currency.to_string(),
            purchase_cap.map_or_else(String::new, |cap| cap.to_string()),
            lifetime.to_string(),
        ];
        meaning.extend(scope.iter().map(ToString::to_string));
        let work = NewMandate {
            tenant: tenant.id,
            id: ids::mandate(),
            cap: in_currency(cap)?,
            purchase_cap: purchase_cap.and_then(in_currency),
            scope,
            lifetime_ms: lifetime.saturating_mul(1_000),
        };
        Some((work, meaning))
    })
    .await
}

/// Reads a mandate.
#[utoipa::path(
    get,
    path = "/v1/mandates/{id}",
    tag = "Mandates",
    operation_id = "get_mandate",
    params(("id" = inline(scalars::MandateId), Path, description = "Which.")),
    responses((status = 200, description = "It is there.", body = resources::Mandate)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn mandate(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<MandateId>,
) -> Result<Response, Problem> {
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(lists::mandate(tx, tenant.id, id)));
    one(read.await, Named::Mandate)
}

/// Lists mandates, newest first.
#[utoipa::path(
    get,
    path = "/v1/mandates",
    tag = "Mandates",
    operation_id = "list_mandates",
    params(params::Page),
    responses((status = 200, description = "A page.", body = List<resources::Mandate>)),
)]
pub async fn mandates(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(lists::mandates(tx, tenant.id, one_more(page))));
    listed(read.await, page, |view| Cursor {
        at_ms: view.created_at_ms,
        id: view.mandate_id.uuid(),
        leg: 0,
    })
}

/// Revokes a mandate.
///
/// From then on nothing can be bought with it, and what is left of it is in the wallet again.
#[utoipa::path(
    post,
    path = "/v1/mandates/{id}/revoke",
    tag = "Mandates",
    operation_id = "revoke_mandate",
    params(("id" = inline(scalars::MandateId), Path, description = "Which mandate."), params::Key),
    request_body(content = inline(Option<bodies::Nothing>), description = "May be left out."),
    responses((status = 200, description = "It is revoked. The mandate as it is now.", body = resources::Mandate)),
    extensions(("x-problem-codes" = json!(["not_found", "mandate_revoked"]))),
)]
pub async fn revoke(
    State(api): State<Api>,
    tenant: Tenant,
    Id(mandate): Id<MandateId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    // A body says nothing here; it may be left out.
    let body = if body.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        body
    };
    let done = (Route::Revoke, StatusCode::OK);
    keyed(&api, tenant, &headers, done, &body, |_no_fields| {
        let work = Revoke {
            tenant: tenant.id,
            mandate,
        };
        Some((work, vec![mandate.to_string()]))
    })
    .await
}
