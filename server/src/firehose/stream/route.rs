//! The leader's internal route: a follower posts its places and reads lines until one of them goes.
//!
//! Without the token of the present term there is no such page. The token is in the lease, so
//! whoever can read the table can follow, and nobody else.

use super::Stream;
use super::places::Places;
use super::wire::MAX_PLACES_BYTES;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use std::convert::Infallible;

/// Where followers come.
pub(super) const PATH: &str = "/internal/stream";

/// The route.
pub(super) fn routes(stream: Stream) -> Router {
    Router::new().route(PATH, post(tap)).with_state(stream)
}

async fn tap(State(stream): State<Stream>, request: Request) -> Response {
    let nothing = || StatusCode::NOT_FOUND.into_response();
    let Some(token) = token(request.headers()).map(str::to_owned) else {
        return nothing();
    };
    // The body of somebody without the token is not read.
    if !stream.may_tap(&token) {
        return nothing();
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_PLACES_BYTES).await;
    let had = body.map(|body| serde_json::from_slice::<Option<Places>>(&body));
    let Ok(Ok(had)) = had else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(tap) = stream.tap(&token, had.as_ref()) else {
        return nothing();
    };
    let lines = futures::stream::unfold(tap, async |mut tap| {
        let line = tap.next().await?;
        Some((Ok::<_, Infallible>(line), tap))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ")
}
