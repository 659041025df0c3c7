//! What stands around all routes: sizes, times, request ids, and problems where the framework would
//! answer with a bare line.

use super::Api;
use super::limits::admit::admit;
use super::problem::{self, Problem};
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName, HeaderValue};
use http_body_util::Limited;
use std::time::Duration;

/// The largest body, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024;

/// The longest address, in bytes.
const MAX_URI_BYTES: usize = 8 * 1024;

/// All headers together, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The longest a call may take: the ledger's own bound is four seconds, a body's arrival is part of
/// it.
pub const API_TIMEOUT: Duration = Duration::from_secs(10);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over from a caller.
const MAX_REQUEST_ID: usize = 64;

/// Puts the layers around routes.
pub fn around(routes: Router, api: Api) -> Router {
    routes.layer(from_fn_with_state(api, pass))
}

/// One request from its arrival to its reply. All of it is one layer: each costs every request a few
/// allocations, and a rush is a matter of microseconds.
async fn pass(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let (admitted, standing) = admit(&api, &mut request).await;
    let mut response = match admitted {
        Ok(()) => within_bounds(request, next).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(standing) = standing {
        standing.mark(response.headers_mut());
    }
    let mut response = problem::placed(response, &id);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sizes and times, of requests that were let through.
async fn within_bounds(request: Request, next: Next) -> Response {
    if let Some(problem) = too_large(&request) {
        return problem.into_response();
    }
    let request = match bounded(request) {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    match tokio::time::timeout(API_TIMEOUT, next.run(request)).await {
        Ok(response) => tidy(response),
        Err(_elapsed) => too_slow().into_response(),
    }
}

/// The caller's id for the request if it is one, else a fresh one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID);
    let text = given.and_then(|value| value.to_str().ok());
    let usable = |text: &&str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !text.is_empty() && text.len() <= MAX_REQUEST_ID && text.bytes().all(plain)
    };
    match text.filter(usable) {
        Some(text) => text.to_owned(),
        None => crate::ids::event().uuid().to_string(),
    }
}

fn too_large(request: &Request) -> Option<Problem> {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if path > MAX_URI_BYTES {
        return Some(Problem::new("uri_too_long", "The address is too long."));
    }
    let headers = request.headers().iter();
    let size: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    (size > MAX_HEADER_BYTES)
        .then(|| Problem::new("header_too_large", "The headers are too large."))
}

/// A request whose body is no larger than it may be. One that tells its length is held to it by the
/// protocol; one that does not is counted as it arrives.
fn bounded(request: Request) -> Result<Request, Problem> {
    match request.body().size_hint().exact() {
        Some(length) if length > MAX_BODY_BYTES => Err(body_too_large()),
        Some(_) => Ok(request),
        None => Ok(request.map(|body| {
            let most = usize::try_from(MAX_BODY_BYTES).unwrap_or(usize::MAX);
            Body::new(Limited::new(body, most))
        })),
    }
}

fn body_too_large() -> Problem {
    Problem::new("too_large", "The body has more than 64 KiB.")
}

fn too_slow() -> Problem {
    Problem::new("too_slow", "The request did not arrive in time.")
}

/// Turns the framework's own refusals into problems.
fn tidy(response: Response) -> Response {
    let status = response.status();
    let is_ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if is_ours || status.is_success() {
        return response;
    }
    let problem = match status.as_u16() {
        413 => body_too_large(),
        400 => Problem::new("malformed", "The request cannot be read."),
        408 => too_slow(),
        _ => Problem::new("internal", "Something broke on our side."),
    };
    problem.into_response()
}

/// A path that does not exist.
pub async fn not_found() -> Problem {
    Problem::new("not_found", "The API has no such path.")
}

/// A method that a path does not have.
pub async fn method_not_allowed() -> Problem {
    Problem::new("method_not_allowed", "The path does not have this method.")
}
