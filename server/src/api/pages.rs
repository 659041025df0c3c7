//! The pages that errors point at. They are plain documents without a script: whoever follows a
//! problem's `type`, person or program, reads what it means and what to do.

use super::catalogue::{self, ENTRIES, Entry};
use crate::plain::page;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use std::fmt::Write;

/// The error pages.
pub fn routes() -> Router {
    Router::new()
        .route("/docs/errors", get(all))
        .route("/docs/errors/{code}", get(one))
}

async fn all() -> Response {
    let mut list = String::from("<h1>Errors of the API</h1>");
    list.push_str(
        "<p>Every error is a problem as of RFC 9457. Programs test its <code>code</code>, which \
         never changes its meaning; the <code>detail</code> is for people. Which route answers which \
         is in the <a href=\"/docs/api\">reference</a>.</p><dl>",
    );
    for entry in ENTRIES {
        let Entry { code, title, .. } = entry;
        let status = entry.status.as_u16();
        // Writing to a string cannot fail.
        let _written = write!(
            list,
            "<dt><a href=\"/docs/errors/{code}\"><code>{code}</code></a> · {status}</dt>\
             <dd>{title}.</dd>"
        );
    }
    list.push_str("</dl>");
    page(StatusCode::OK, "Errors of the API", &list)
}

async fn one(Path(code): Path<String>) -> Response {
    let Some(entry) = catalogue::find(&code) else {
        let lost = "<h1>There is no such error</h1>\
                    <p><a href=\"/docs/errors\">All errors of the API</a></p>";
        return page(StatusCode::NOT_FOUND, "There is no such error", lost);
    };
    let repeat = if entry.may_be_repeated {
        "Yes, with the same key: it answers what was decided, or decides now."
    } else {
        "Only after something has changed, and with another key: what was decided under a key stays."
    };
    let Entry {
        code,
        title,
        meaning,
        remedy,
        ..
    } = entry;
    let status = entry.status.as_u16();
    let body = format!(
        "<h1>{title}</h1>\
         <dl><dt>Code</dt><dd><code>{code}</code></dd>\
         <dt>Status</dt><dd>{status}</dd>\
         <dt>What it means</dt><dd>{meaning}</dd>\
         <dt>What to do</dt><dd>{remedy}</dd>\
         <dt>May the same request be sent again?</dt><dd>{repeat}</dd></dl>\
         <p><a href=\"/docs/errors\">All errors of the API</a></p>"
    );
    page(StatusCode::OK, title, &body)
}
