//! `GET /openapi.json`: written once, when the node starts.

use crate::hexadecimal::hexadecimal;
use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower_http::compression::CompressionLayer;

/// Letters of the hash that tell one document from another.
const TAG_DIGITS: usize = 32;

/// The document's route.
pub fn routes(document: &Value) -> Router {
    let text = document.to_string();
    let mut hash = hexadecimal(&Sha256::digest(&text));
    hash.truncate(TAG_DIGITS);
    // It is weak, since the bytes may be compressed.
    let tag = HeaderValue::from_str(&format!("W/\"{hash}\"")).ok();
    let text = Bytes::from(text);
    let answer = move |headers: HeaderMap| {
        let (text, tag) = (text.clone(), tag.clone());
        async move { answer(&headers, text, tag) }
    };
    Router::new()
        .route("/openapi.json", get(answer))
        .layer(CompressionLayer::new())
}

fn answer(headers: &HeaderMap, text: Bytes, tag: Option<HeaderValue>) -> Response {
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = tag
        .as_ref()
        .zip(known)
        .is_some_and(|(tag, known)| holds(known, tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let json = [(header::CONTENT_TYPE, "application/json")];
        (json, text).into_response()
    };
    let headers = response.headers_mut();
    // A browser may keep it, and asks whether it has changed.
    let cache = HeaderValue::from_static("public, no-cache");
    headers.insert(header::CACHE_CONTROL, cache);
    headers.extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

/// Whether a list of tags holds this one.
fn holds(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let list = list.as_bytes().split(|byte| *byte == b',');
    let mut tags = list.map(<[u8]>::trim_ascii);
    tags.any(|one| one == b"*" || one == tag.as_bytes())
}
