//! What every call has in common.

use super::Api;
use super::credentials::{self, Tenant};
use super::decisions;
use super::fields::Fields;
use super::limits::Peer;
use super::limits::admit::Caller;
use super::page::List;
use super::problem::Problem;
use super::undecided;
use crate::ledger::checkout::{Reply, Work};
use crate::ledger::page::{Cursor, Page};
use crate::ledger::{Keyed, Route};
use app::ports::Failure;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use shared::IdempotencyKey;
use shared::purchase::{Named, Refusal};
use std::str::FromStr;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

impl FromRequestParts<Api> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, Problem> {
        match parts.extensions.get() {
            Some(Caller::Tenant(tenant)) => Ok(*tenant),
            Some(Caller::Stranger(problem)) => Err(problem.clone()),
            Some(Caller::Visitor(_)) | None => Err(credentials::unauthorized()),
        }
    }
}

impl FromRequestParts<Api> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, Problem> {
        match parts.extensions.get() {
            Some(Caller::Visitor(peer)) => Ok(*peer),
            // Only the sandbox asks, and there everybody is a visitor.
            Some(Caller::Tenant(_) | Caller::Stranger(_)) | None => {
                Err(Problem::new("internal", "The address is not known."))
            }
        }
    }
}

/// An id in the path.
pub struct Id<T>(pub T);

impl<T: FromStr> FromRequestParts<Api> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, api)
            .await
            .map_err(|_unreadable| malformed_id())?;
        text.parse().map(Self).map_err(|_no_id| malformed_id())
    }
}

fn malformed_id() -> Problem {
    Problem::new(
        "malformed",
        "The path does not hold an id of the right kind.",
    )
}

/// The caller's key.
///
/// # Errors
/// `idempotency_key_missing`, `idempotency_key_invalid`.
pub fn key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let mut values = headers.get_all(KEY).into_iter();
    let Some(value) = values.next() else {
        return Err(Problem::new(
            "idempotency_key_missing",
            "Send an Idempotency-Key header.",
        ));
    };
    let invalid = || {
        Problem::new(
            "idempotency_key_invalid",
            "A key has 1 to 255 printable ASCII characters and occurs once.",
        )
    };
    if values.next().is_some() {
        return Err(invalid());
    }
    let text = value.to_str().map_err(|_not_ascii| invalid())?;
    text.parse().map_err(|_unusable| invalid())
}

/// A reply in JSON; `replayed` if its key had it already.
pub fn json(status: StatusCode, body: String, replayed: bool) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    mark(headers, replayed);
    response
}

/// Says that a reply is an old one.
pub fn mark(headers: &mut HeaderMap, replayed: bool) {
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// A refusal; one that is kept under its key is said again to whoever repeats the request.
pub fn refused(problem: Problem, is_kept: bool, replayed: bool) -> Response {
    let problem = if is_kept { problem.kept() } else { problem };
    let mut response = problem.into_response();
    mark(response.headers_mut(), replayed);
    response
}

/// What was read, in JSON.
pub fn found<T: Serialize>(resource: &T) -> Response {
    // Resources are texts and numbers, which can always be written.
    let body = serde_json::to_string(resource).unwrap_or_default();
    json(StatusCode::OK, body, false)
}

/// A resource that was read, or that there is none.
///
/// # Errors
/// `not_found`, or why nothing was read.
pub fn one<T: Serialize>(
    read: Result<Option<T>, Failure>,
    what: Named,
) -> Result<Response, Problem> {
    let view = read.map_err(undecided::failed)?;
    let view = view.ok_or_else(|| decisions::refused(&Refusal::NotFound { what }))?;
    Ok(found(&view))
}

/// A page of what was read with one more than the page has.
///
/// # Errors
/// Why nothing was read.
pub fn listed<T: Serialize>(
    read: Result<Vec<T>, Failure>,
    page: Page,
    place: impl Fn(&T) -> Cursor,
) -> Result<Response, Problem> {
    let read = read.map_err(undecided::failed)?;
    Ok(found(&List::of(read, page.limit, place)))
}

/// Runs a keyed command: reads the body by `parse`, whose meaning is the body itself with its
/// fields in order.
///
/// # Errors
/// What is wrong with the request, or why the ledger gave no answer.
pub async fn keyed<W: Work>(
    api: &Api,
    tenant: Tenant,
    headers: &HeaderMap,
    (route, status): (Route, StatusCode),
    body: &Bytes,
    parse: impl FnOnce(&mut Fields<'_>) -> Option<(W, Vec<String>)>,
) -> Result<Response, Problem> {
    let key = key(headers)?;
    let mut fields = Fields::read(body)?;
    let parsed = parse(&mut fields);
    fields.finish()?;
    let Some((work, meaning)) = parsed else {
        return Err(Problem::invalid_fields());
    };
    let keyed = {
        let parts = meaning.iter().map(|part| part as &dyn std::fmt::Display);
        Keyed::new(tenant.id, key, route, &parts.collect::<Vec<_>>())
    };
    let ran = api.ledger.run_keyed(keyed, work).await;
    let (reply, replayed) = ran.map_err(undecided::failed)?;
    Ok(match reply {
        Reply::Made(body) => json(status, body, replayed),
        Reply::Refused(refusal) => {
            // An answer about nothing uses up no key.
            let is_kept = !matches!(refusal, Refusal::NotFound { .. });
            refused(decisions::refused(&refusal), is_kept, replayed)
        }
    })
}
