//! Lots for agents: what is open, and bids and claims that a mandate pays. A bid holds what it
//! offers of the mandate until another one leads; the commit that changes the leader frees it.

mod offers;
mod views;

use super::Api;
use super::call::{Id, found, one};
use super::credentials::Tenant;
use super::page::{List, Query, one_more};
use super::problem::Problem;
use super::schemas::{params, scalars};
use super::undecided;
use crate::ledger::auction::read;
use crate::ledger::page::Cursor;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use shared::LotId;
use shared::purchase::Named;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use views::LotBody;

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(lots))
        .routes(routes!(lot))
        .merge(offers::routes())
}

/// Lists lots that are open, those that end last first.
#[utoipa::path(
    get,
    path = "/v1/lots",
    tag = "Lots",
    operation_id = "list_lots",
    params(params::Page),
    responses((status = 200, description = "A page.", body = List<LotBody>)),
)]
pub async fn lots(
    State(api): State<Api>,
    _tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(read::open_lots(tx, one_more(page))));
    let read = read.await.map_err(undecided::failed)?;
    // The place of a lot in the list is its end as the row has it, not as its page shows it.
    let bodies: Vec<(i64, LotBody)> = read
        .iter()
        .map(|(read, now)| (read.lot.closes_at.0, LotBody::new(read, *now)))
        .collect();
    let List { data, next_cursor } = List::of(bodies, page.limit, |(ends, body)| Cursor {
        at_ms: *ends,
        id: body.lot_id.uuid(),
        leg: 0,
    });
    Ok(found(&List {
        data: data.into_iter().map(|(_, body)| body).collect(),
        next_cursor,
    }))
}

/// Reads a lot.
///
/// Lots are the house's: any key reads them. The price of a Dutch lot is that of this moment.
#[utoipa::path(
    get,
    path = "/v1/lots/{id}",
    tag = "Lots",
    operation_id = "get_lot",
    params(("id" = inline(scalars::LotId), Path, description = "Which.")),
    responses((status = 200, description = "It is there.", body = LotBody)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn lot(
    State(api): State<Api>,
    _tenant: Tenant,
    Id(id): Id<LotId>,
) -> Result<Response, Problem> {
    let runner = api.ledger.runner();
    let read = runner
        .read_once(move |tx| Box::pin(read::lot(tx, id)))
        .await;
    let read = read.map(|lot| lot.map(|(read, now)| LotBody::new(&read, now)));
    one(read, Named::Lot)
}
