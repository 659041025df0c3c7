//! Plain documents without a script, which people and programs read alike. What they are made of is
//! in this program, so nothing in them has to be escaped but examples.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};

/// No script, no picture, our own style.
const POLICY: &str = "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A document with a title and a body of HTML.
#[must_use]
pub fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · LotZero</title>\
         <link rel=\"icon\" href=\"/favicon.svg\"><link rel=\"stylesheet\" href=\"/pkg/lotzero.css\">\
         </head><body><div class=\"page\"><header class=\"strip\">\
         <a class=\"mark\" href=\"/\" aria-label=\"LotZero\">\
         <img src=\"/favicon.svg\" width=\"28\" height=\"28\" alt=\"\">\
         <span class=\"mark-name\">LotZero</span></a></header>\
         <main><article class=\"prose\">{body}</article></main></div></body></html>"
    );
    let mut response = (status, Html(html)).into_response();
    let policy = HeaderValue::from_static(POLICY);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Text as it is shown in HTML.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
