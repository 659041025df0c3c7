//! How much load can be made at all. A figure near this one is the generator's, not the server's.

use crate::load::{self, Target, Until};
use axum::Router;
use axum::routing::post;
use http::Request;
use hyper::body::Bytes;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const PATH: &str = "/v1/purchases/commit";

/// As long as the body of a purchase.
const BODY: &str = r#"{"mandate":"mnd_0000000000000000","item":"itm_0000000000000000","units":1,"max_price_minor":1000,"currency":"USD"}"#;

/// Requests a second to a server that does nothing but answer.
///
/// # Errors
/// When no load could be made.
pub async fn measure(connections: u16, duration: Duration) -> anyhow::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let router = Router::new().route(PATH, post(async || r#"{"status":"committed"}"#));
    let server = {
        let stop = stop.clone();
        let serving = axum::serve(listener, router);
        tokio::spawn(async move { serving.with_graceful_shutdown(stop.cancelled_owned()).await })
    };
    let target = Target {
        address,
        connections,
    };
    let make_request = |_sequence| {
        let mut request = Request::new(Bytes::from_static(BODY.as_bytes()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(PATH);
        request
    };
    let load = load::closed_loop(target, Until::Elapsed(duration), make_request, |_, _, _| {});
    let measured = load.await?;
    stop.cancel();
    server.await??;
    if measured.unanswered > 0 || measured.answered() != measured.with_status(http::StatusCode::OK)
    {
        anyhow::bail!("the load generator lost answers: {:?}", measured.by_status);
    }
    Ok(measured.per_second())
}
