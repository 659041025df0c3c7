//! Every route of a node, and what stands around all of them: limits, headers, the origin check.

use crate::api::{self, Api};
use crate::audits::Auditor;
use crate::ledger::Ledger;
use crate::live::{self, LiveState};
#[cfg(feature = "local")]
use crate::operations::Operations;
use crate::{moderation, stepping};
use anyhow::Context;
use app::ports::Ports;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use leptos::config::LeptosOptions;
use leptos::prelude::{provide_context, use_context};
use leptos_axum::{LeptosRoutes, ResponseOptions, generate_route_list};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

/// The largest body of a request, in bytes: forms have a few hundred.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The longest a request may take: the ledger's own bound is four seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What the routes need.
#[derive(Clone)]
pub struct House {
    /// What pages may ask for.
    pub ports: Ports,
    /// For readiness.
    pub ledger: Arc<Ledger>,
    /// The live plane.
    pub live: LiveState,
    /// The agents' API.
    pub api: Api,
    /// The audits.
    pub auditor: Arc<Auditor>,
    /// What operators may do, on one machine.
    #[cfg(feature = "local")]
    pub operations: Option<Operations>,
    /// The folder with the built pages' files.
    pub site_root: PathBuf,
    /// Set once the node is stopping.
    pub draining: Arc<AtomicBool>,
}

/// Tests that the pages' files have been built.
///
/// # Errors
/// One line with the command that builds them.
pub fn check_site(site_root: &Path) -> anyhow::Result<()> {
    let bundle = site_root.join("pkg/lotzero.wasm");
    std::fs::metadata(&bundle).with_context(|| {
        format!(
            "{} is missing: build the pages first with `cargo xtask build`",
            bundle.display()
        )
    })?;
    Ok(())
}

/// Every route.
pub fn router(house: House, address: SocketAddr) -> Router {
    let options = LeptosOptions::builder()
        .output_name("lotzero")
        .site_root(house.site_root.to_string_lossy().into_owned())
        .site_pkg_dir("pkg")
        .site_addr(address)
        .build();
    let ports = house.ports.clone();
    let context = move || {
        provide_context(ports.clone());
        content_security_policy();
    };
    let shell = {
        let options = options.clone();
        move || app::shell(options.clone())
    };
    let pages = Router::new()
        .leptos_routes_with_context(
            &options,
            generate_route_list(app::App),
            context.clone(),
            shell,
        )
        .fallback(leptos_axum::file_and_error_handler_with_context::<
            LeptosOptions,
            _,
        >(context, app::shell))
        .with_state(options)
        // A page and its data carry keys of forms: a second reader must not get the first one's.
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest));
    let live = house.live.clone();
    let sockets = live::routes(live.clone());
    let followers = live.stream.routes();
    let agents = api::routes(house.api.clone());
    let operated = house.auditor.routes();
    #[cfg(feature = "local")]
    let operated = match house.operations.clone() {
        Some(operations) => operated.merge(operations.routes()),
        None => operated,
    };
    Router::new()
        .route("/api/step-in", post(stepping::step_in))
        .route("/api/step-out", post(stepping::step_out))
        .route("/api/moderate", post(moderation::moderate))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .merge(files(&house.site_root))
        .with_state(house)
        .merge(operated)
        .merge(pages)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            REQUEST_TIMEOUT,
        ))
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .layer(from_fn_with_state(live, same_origin))
        // The socket checks its own origin and has no request timeout. Agents send a key and no
        // cookie, so no page can borrow their authority; they have limits of their own.
        .merge(sockets)
        .merge(agents)
        // Other nodes, with the token of the stream's lease.
        .merge(followers)
        .layer(from_fn(headers))
        .layer(CatchPanicLayer::new())
}

/// The built files, with the compressed copies that lie beside them.
fn files(site_root: &Path) -> Router<House> {
    let folder = |name: &str| {
        ServeDir::new(site_root.join(name))
            .precompressed_br()
            .precompressed_gzip()
    };
    let cached = |value: &'static str| {
        SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, HeaderValue::from_static(value))
    };
    // Bundles keep their names from build to build, so browsers ask whether they changed.
    let bundles = Router::new()
        .nest_service("/pkg", folder("pkg"))
        .layer(cached("no-cache"));
    let fonts = Router::new()
        .nest_service("/fonts", folder("fonts"))
        .layer(cached("public, max-age=31536000, immutable"));
    let pictures = Router::new()
        .nest_service("/art", folder("art"))
        .route_service(
            "/favicon.svg",
            ServeFile::new(site_root.join("favicon.svg")),
        )
        .route_service(
            "/favicon.ico",
            ServeFile::new(site_root.join("favicon.svg")),
        )
        .route_service("/robots.txt", ServeFile::new(site_root.join("robots.txt")))
        .layer(cached("public, max-age=3600"));
    let panel = Router::new()
        .nest_service("/panel", folder("panel"))
        .layer(cached("no-cache"));
    Router::new()
        .merge(bundles)
        .merge(fonts)
        .merge(pictures)
        .merge(panel)
}

/// Sets the policy of one page, with the nonce that its scripts carry.
fn content_security_policy() {
    let Some(response) = use_context::<ResponseOptions>() else {
        return;
    };
    let nonce = leptos::nonce::use_nonce().map(|nonce| format!("'nonce-{nonce}' "));
    let policy = format!(
        "default-src 'self'; script-src {}'strict-dynamic' 'wasm-unsafe-eval'; \
         style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
         object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        nonce.unwrap_or_default()
    );
    if let Ok(value) = HeaderValue::from_str(&policy) {
        response.insert_header(header::CONTENT_SECURITY_POLICY, value);
    }
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let set = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    for (name, value) in set {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Refuses every changing request that another site's page could have made.
async fn same_origin(State(live): State<LiveState>, request: Request, next: Next) -> Response {
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let own = if request.headers().contains_key(header::ORIGIN) {
        live.origins.allow(request.headers())
    } else {
        let site = request.headers().get("sec-fetch-site");
        site.is_some_and(|site| site == "same-origin")
    };
    if changes && !own {
        return (
            StatusCode::FORBIDDEN,
            "This request did not come from a page of ours.",
        )
            .into_response();
    }
    next.run(request).await
}

async fn ready(State(house): State<House>) -> Response {
    if house.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    match house.ledger.ready().await {
        Ok(()) => {
            let stream = house.live.stream.status();
            let database = house.ledger.standing();
            format!("ready\nstream: {stream}\ndatabase: {database}\n").into_response()
        }
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}
