//! The same over HTTP, by the API's own router on a real socket: keep-alive connections, keys,
//! bodies, problems. The load generator shares the cores.

use super::shop::Shop;
use super::{Figures, Latency, Million};
use crate::api::limits::Quotas;
use crate::api::{self, Api};
use crate::bench::Stage;
use crate::bench::load::{Measured, Pace, Target, Until, closed_loop, open_loop};
use crate::webhooks::guard::Policy;
use anyhow::{Context, ensure};
use axum::body::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use shared::ItemId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Connections, which are the callers: each has one request on its way.
const CONNECTIONS: u16 = 256;

const LONG: Duration = Duration::from_secs(10);
const QUICK: Duration = Duration::from_secs(2);

/// The rush: so many attempts on so many units.
const ATTEMPTS: u64 = 1_000_000;
const QUICK_ATTEMPTS: u64 = 50_000;
const UNITS: u32 = 100;

fn request(shop: &Shop, item: ItemId, run: &str, number: u64) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from(shop.body(item, number)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static("/v1/purchases/commit");
    let headers = request.headers_mut();
    let values = [
        (AUTHORIZATION, format!("Bearer {}", shop.key)),
        (CONTENT_TYPE, "application/json".to_owned()),
        (
            http::HeaderName::from_static("idempotency-key"),
            format!("{run}-{number}"),
        ),
    ];
    for (name, value) in values {
        if let Ok(value) = http::HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    request
}

/// Measures purchases a second over HTTP, their latencies at half that rate, and the rush.
///
/// # Errors
/// When a reply is missing or not what it must be.
pub async fn measure(stage: &Stage, shop: &Arc<Shop>, figures: &mut Figures) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = api::routes(Api::new(
        Arc::clone(&shop.ledger),
        Policy::default(),
        Quotas::OFF,
    ));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let measured = all(stage, shop, address, figures).await;
    server.abort();
    measured
}

async fn all(
    stage: &Stage,
    shop: &Arc<Shop>,
    address: SocketAddr,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let target = Target {
        address,
        connections: CONNECTIONS,
    };
    let long = if stage.quick { QUICK } else { LONG };
    (stage.say)("the kernel over HTTP, 256 connections");
    let item = shop.item(crate::ledger::checkout::items::MAX_UNITS).await?;
    let make = {
        let shop = Arc::clone(shop);
        move |number| request(&shop, item, "peak", number)
    };
    let peak = closed_loop(target, Until::Elapsed(long), make, |_, _, _| {}).await?;
    only(&peak, StatusCode::CREATED)?;
    figures.http_purchases_per_s = Some(peak.per_second());
    (stage.say)("latencies at half that rate");
    let item = shop.item(crate::ledger::checkout::items::MAX_UNITS).await?;
    let make = {
        let shop = Arc::clone(shop);
        move |number| request(&shop, item, "half", number)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is far below 2^32 and not negative"
    )]
    #[expect(clippy::as_conversions, reason = "there is no other way from a float")]
    let per_second = (peak.per_second() / 2.0) as u32;
    let pace = Pace {
        per_second,
        duration: long,
    };
    let steady = open_loop(target, pace, make, |_, _, _| {}).await?;
    only(&steady, StatusCode::CREATED)?;
    figures.latency_ms = Some(Latency::from(&steady));
    figures.million = Some(rush(stage, shop, target).await?);
    Ok(())
}

/// Everything was answered, and so.
fn only(measured: &Measured, status: StatusCode) -> anyhow::Result<()> {
    let answered = measured.with_status(status);
    ensure!(
        answered > 0 && answered == measured.answered() && measured.unanswered == 0,
        "{answered} of {} replies are {status}, and {} never came",
        measured.answered(),
        measured.unanswered
    );
    Ok(())
}

async fn rush(stage: &Stage, shop: &Arc<Shop>, target: Target) -> anyhow::Result<Million> {
    let attempts = if stage.quick {
        QUICK_ATTEMPTS
    } else {
        ATTEMPTS
    };
    (stage.say)(&format!("{attempts} attempts on {UNITS} units"));
    let item = shop.item(UNITS).await?;
    let make = {
        let shop = Arc::clone(shop);
        move |number| request(&shop, item, "rush", number)
    };
    let rush = closed_loop(target, Until::Requests(attempts), make, |_, _, _| {}).await?;
    let sold = rush.with_status(StatusCode::CREATED);
    let refused = rush.with_status(StatusCode::CONFLICT);
    ensure!(
        sold + refused == attempts && rush.unanswered == 0,
        "{sold} sold and {refused} refused of {attempts}"
    );
    let left = u64::try_from(shop.units_left(item).await?).context("units left")?;
    ensure!(
        sold + left == u64::from(UNITS),
        "{sold} sold and {left} left of {UNITS}"
    );
    Ok(Million {
        attempts,
        sold,
        refused,
        // Whoever was refused while a unit was left at the end was refused falsely.
        false_declines: left.min(refused),
        elapsed_s: (rush.elapsed.as_secs_f64() * 100.0).round() / 100.0,
    })
}
