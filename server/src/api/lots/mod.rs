//! Lots for agents: what is open, and bids and claims that a mandate pays. A bid holds what it
//! offers of the mandate until another one leads; the commit that changes the leader frees it.

mod offers;
mod views;

pub use offers::{bid, bids, claim, claims, place_bid};
use views::LotBody;

use super::Api;
use super::call::{Id, found};
use super::credentials::Tenant;
use super::page::{List, Query};
use super::problem::Problem;
use super::undecided;
use crate::ledger::auction::read;
use crate::ledger::checkout::lists::{Cursor, Page};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use shared::LotId;

/// The part of a list that is asked for, and one more, to know whether more follows.
fn one_more(page: Page) -> Page {
    Page {
        limit: page.limit + 1,
        ..page
    }
}

/// `GET /v1/lots`: open lots, those that end last first.
///
/// # Errors
/// `invalid`, `unavailable`.
pub async fn lots(
    State(api): State<Api>,
    _tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let wanted = one_more(page);
    let read = api
        .ledger
        .runner()
        .read(move |tx| Box::pin(read::open_lots(tx, wanted)))
        .await
        .map_err(undecided::failed)?;
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

/// `GET /v1/lots/{id}`
///
/// # Errors
/// `malformed`, `not_found`, `unavailable`.
pub async fn lot(
    State(api): State<Api>,
    _tenant: Tenant,
    Id(id): Id<LotId>,
) -> Result<Response, Problem> {
    let read = api
        .ledger
        .runner()
        .read(move |tx| Box::pin(read::lot(tx, id)))
        .await
        .map_err(undecided::failed)?;
    let (read, now) = read.ok_or_else(no_such_lot)?;
    Ok(found(&LotBody::new(&read, now)))
}

fn no_such_lot() -> Problem {
    Problem::new("not_found", "There is no such lot.").with("what", "lot")
}
