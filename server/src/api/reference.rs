//! `GET /docs/api`: the reference that people read, drawn from `/openapi.json` by Scalar, whose one
//! file is served from here. Nothing on the page comes from or goes to anybody else.

use app::actions::Theme;
use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::HeaderMap;
use http::header::{self, HeaderValue};
use serde_json::json;

/// Our own files only. Scalar puts its styles into the page itself, so inline ones are let through
/// here, and nowhere else; scripts are not.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      font-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page's route.
pub fn routes() -> Router {
    Router::new().route("/docs/api", get(page))
}

/// What Scalar is told. Everything of its own makers' services is off.
fn settings(theme: Theme) -> String {
    let mut settings = json!({
        "theme": "none",
        "withDefaultFonts": false,
        "telemetry": false,
        "agent": {"disabled": true},
        "mcp": {"disabled": true},
        "showDeveloperTools": "never",
        "hideClientButton": true,
        "hideDarkModeToggle": true,
        "persistAuth": false,
        "documentDownloadType": "direct",
        "defaultHttpClient": {"targetKey": "shell", "clientKey": "curl"},
        "authentication": {"preferredSecurityScheme": "key"},
        "favicon": "/favicon.svg",
        "metaData": {"title": "API reference · LotZero"},
    });
    // Without a choice of the reader's, the system's counts.
    match theme {
        Theme::System => {}
        Theme::Light | Theme::Dark => settings["forceDarkModeState"] = json!(theme.word()),
    }
    settings.to_string()
}

async fn page(headers: HeaderMap) -> Response {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let mut themes = cookies.filter_map(|all| all.to_str().ok().map(Theme::in_cookies));
    let theme = themes.find(|theme| *theme != Theme::System);
    let theme = theme.unwrap_or_default();
    // The settings are ours; quotes are all that could end the attribute.
    let settings = settings(theme).replace('&', "&amp;").replace('\'', "&#39;");
    let word = theme.word();
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\" data-theme=\"{word}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>API reference · LotZero</title>\
         <link rel=\"icon\" href=\"/favicon.svg\"><link rel=\"stylesheet\" href=\"/pkg/lotzero.css\">\
         <link rel=\"stylesheet\" href=\"/pkg/reference.css\">\
         </head><body><header class=\"strip\">\
         <a class=\"mark\" href=\"/\" aria-label=\"LotZero: the floor\">\
         <img src=\"/favicon.svg\" width=\"28\" height=\"28\" alt=\"\">\
         <span class=\"mark-name\">LotZero</span></a>\
         <nav class=\"ways\" aria-label=\"Reference\"><a href=\"/docs/api\" aria-current=\"page\">API</a>\
         <a href=\"/docs/errors\">Errors</a><a href=\"/openapi.json\">OpenAPI</a></nav></header>\
         <noscript><p class=\"without-script\">This page is drawn by a script. The same is in \
         <a href=\"/openapi.json\">openapi.json</a>; the errors are <a href=\"/docs/errors\">listed</a> \
         without one.</p></noscript>\
         <script id=\"api-reference\" type=\"application/json\" data-url=\"/openapi.json\" \
         data-configuration='{settings}'></script>\
         <script src=\"/pkg/scalar.js\" defer></script></body></html>"
    );
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(POLICY);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    // It depends on the cookie with the theme.
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    response
}
