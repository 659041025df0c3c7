//! Merchants: who sells items to agents.

use super::Api;
use super::call::{Id, keyed, listed, one};
use super::credentials::Tenant;
use super::page::{List, Query, one_more};
use super::problem::Problem;
use super::schemas::{bodies, params, resources, scalars};
use crate::ids;
use crate::ledger::Route;
use crate::ledger::checkout::lists;
use crate::ledger::checkout::merchants::NewMerchant;
use crate::ledger::page::Cursor;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use shared::MerchantId;
use shared::purchase::Named;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(new_merchant, merchants))
        .routes(routes!(merchant))
}

/// Makes a merchant.
///
/// Items belong to a merchant, and what agents pay for them is owed to it.
#[utoipa::path(
    post,
    path = "/v1/merchants",
    tag = "Merchants",
    operation_id = "create_merchant",
    params(params::Key),
    request_body = bodies::NewMerchant,
    responses((status = 201, description = "It is made.", body = resources::Merchant)),
)]
pub async fn new_merchant(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let made = (Route::Merchant, StatusCode::CREATED);
    keyed(&api, tenant, &headers, made, &body, |fields| {
        let name = fields.label("name")?;
        let meaning = vec![name.to_string()];
        let work = NewMerchant {
            tenant: tenant.id,
            id: ids::merchant(),
            name,
        };
        Some((work, meaning))
    })
    .await
}

/// Reads a merchant.
#[utoipa::path(
    get,
    path = "/v1/merchants/{id}",
    tag = "Merchants",
    operation_id = "get_merchant",
    params(("id" = inline(scalars::MerchantId), Path, description = "Which.")),
    responses((status = 200, description = "It is there.", body = resources::Merchant)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn merchant(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<MerchantId>,
) -> Result<Response, Problem> {
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(lists::merchant(tx, tenant.id, id)));
    one(read.await, Named::Merchant)
}

/// Lists merchants, newest first.
#[utoipa::path(
    get,
    path = "/v1/merchants",
    tag = "Merchants",
    operation_id = "list_merchants",
    params(params::Page),
    responses((status = 200, description = "A page.", body = List<resources::Merchant>)),
)]
pub async fn merchants(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let runner = api.ledger.runner();
    let read =
        runner.read_once(move |tx| Box::pin(lists::merchants(tx, tenant.id, one_more(page))));
    listed(read.await, page, |view| Cursor {
        at_ms: view.created_at_ms,
        id: view.merchant_id.uuid(),
        leg: 0,
    })
}
