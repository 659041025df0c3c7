//! Items: what agents buy, and how much of it there is.

use super::Api;
use super::call::{Id, keyed, listed, one};
use super::credentials::Tenant;
use super::page::{List, Query, one_more};
use super::problem::Problem;
use super::schemas::{bodies, params, resources, scalars};
use crate::ids;
use crate::ledger::Route;
use crate::ledger::checkout::items::{MAX_UNITS, NewItem, Restock};
use crate::ledger::checkout::lists;
use crate::ledger::page::Cursor;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use shared::money::MAX_MINOR;
use shared::purchase::Named;
use shared::{ItemId, MerchantId, Money};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(new_item, items))
        .routes(routes!(item))
        .routes(routes!(restock))
}

/// Makes an item.
///
/// It can be bought as soon as it is made.
#[utoipa::path(
    post,
    path = "/v1/items",
    tag = "Items",
    operation_id = "create_item",
    params(params::Key),
    request_body = bodies::NewItem,
    responses((status = 201, description = "It is made.", body = resources::Item)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn new_item(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let made = (Route::Item, StatusCode::CREATED);
    keyed(&api, tenant, &headers, made, &body, |fields| {
        let merchant = fields.id::<MerchantId>("merchant_id", MerchantId::PREFIX);
        let title = fields.label("title");
        let price = fields.integer("price_minor", 1..=MAX_MINOR);
        let currency = fields.currency("currency");
        let units = fields.units("units", 0..=MAX_UNITS);
        let work = NewItem {
            tenant: tenant.id,
            id: ids::item(),
            merchant: merchant?,
            title: title?,
            price: Money::new(price?, currency?).ok()?,
            units: units?,
        };
        let meaning = vec![
            work.merchant.to_string(),
            work.title.to_string(),
            work.price.minor().to_string(),
            work.price.currency().to_string(),
            work.units.to_string(),
        ];
        Some((work, meaning))
    })
    .await
}

/// Reads an item.
#[utoipa::path(
    get,
    path = "/v1/items/{id}",
    tag = "Items",
    operation_id = "get_item",
    params(("id" = inline(scalars::ItemId), Path, description = "Which.")),
    responses((status = 200, description = "It is there.", body = resources::Item)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn item(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<ItemId>,
) -> Result<Response, Problem> {
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(lists::item(tx, tenant.id, id)));
    one(read.await, Named::Item)
}

/// Lists items, newest first.
#[utoipa::path(
    get,
    path = "/v1/items",
    tag = "Items",
    operation_id = "list_items",
    params(params::Page),
    responses((status = 200, description = "A page.", body = List<resources::Item>)),
)]
pub async fn items(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(lists::items(tx, tenant.id, one_more(page))));
    listed(read.await, page, |view| Cursor {
        at_ms: view.created_at_ms,
        id: view.item_id.uuid(),
        leg: 0,
    })
}

/// Brings in more units of an item.
///
/// Who was refused as sold out may then ask again, under another key.
#[utoipa::path(
    post,
    path = "/v1/items/{id}/restock",
    tag = "Items",
    operation_id = "restock_item",
    params(("id" = inline(scalars::ItemId), Path, description = "Which item."), params::Key),
    request_body = bodies::Restock,
    responses((status = 200, description = "They are in. The item as it is now.", body = resources::Item)),
    extensions(("x-problem-codes" = json!(["not_found", "stock_limit"]))),
)]
pub async fn restock(
    State(api): State<Api>,
    tenant: Tenant,
    Id(item): Id<ItemId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let done = (Route::Restock, StatusCode::OK);
    keyed(&api, tenant, &headers, done, &body, |fields| {
        let units = fields.units("units", 1..=MAX_UNITS)?;
        let work = Restock {
            tenant: tenant.id,
            item,
            units,
        };
        Some((work, vec![item.to_string(), units.to_string()]))
    })
    .await
}
