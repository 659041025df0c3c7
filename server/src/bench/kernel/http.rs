//! The same over HTTP, by the API's own router on a real socket: keep-alive connections, keys,
//! bodies, problems. The load generator shares the cores.

use super::shop::Shop;
use super::{Figures, Latency, Million};
use crate::bench::Stage;
use crate::bench::database::Database;
use crate::ledger::checkout::items;
use crate::load::{Measured, Pace, Target, Until, closed_loop, open_loop};
use crate::proof::swarm::ApiNode;
use anyhow::{Context, ensure};
use axum::body::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use shared::ItemId;
use std::sync::Arc;
use std::time::Duration;

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

/// Measures purchases a second over HTTP; a run that was better before stands.
///
/// # Errors
/// When a reply is missing or not what it must be.
pub async fn peak(stage: &Stage, shop: &Arc<Shop>, figures: &mut Figures) -> anyhow::Result<()> {
    let server = ApiNode::start(&shop.ledger).await?;
    (stage.say)("the kernel over HTTP, 256 connections");
    let make = requests(shop, "peak", shop.item(items::MAX_UNITS).await?);
    let until = Until::Elapsed(duration(stage));
    let peak = closed_loop(target(&server), until, make, |_, _, _| {}).await?;
    only(&peak, StatusCode::CREATED)?;
    let before = figures.http_purchases_per_s.unwrap_or_default();
    figures.http_purchases_per_s = Some(before.max(peak.per_second()));
    Ok(())
}

/// Measures latencies at half the rate of the peak.
///
/// # Errors
/// When a reply is missing or not what it must be, or there was no peak before.
pub async fn latencies(
    stage: &Stage,
    database: &Database,
    shop: &Arc<Shop>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let peak = figures.http_purchases_per_s;
    let peak = peak.context("the peak was not measured")?;
    let server = ApiNode::start(&shop.ledger).await?;
    (stage.say)("latencies at half that rate");
    let make = requests(shop, "half", shop.item(items::MAX_UNITS).await?);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is far below 2^32 and not negative"
    )]
    #[expect(clippy::as_conversions, reason = "there is no other way from a float")]
    let per_second = (peak / 2.0) as u32;
    let pace = Pace {
        per_second,
        duration: duration(stage),
    };
    database.checkpoint().await?;
    let steady = open_loop(target(&server), pace, make, |_, _, _| {}).await?;
    only(&steady, StatusCode::CREATED)?;
    figures.latency_ms = Some(Latency::from(&steady));
    Ok(())
}

const fn duration(stage: &Stage) -> Duration {
    if stage.quick { QUICK } else { LONG }
}

const fn target(server: &ApiNode) -> Target {
    Target {
        address: server.address,
        connections: CONNECTIONS,
    }
}

/// Requests for one unit of an item each, with keys of their own.
pub fn requests(
    shop: &Arc<Shop>,
    run: impl Into<String>,
    item: ItemId,
) -> impl Fn(u64) -> Request<Bytes> + Send + Sync + 'static {
    let (shop, run) = (Arc::clone(shop), run.into());
    move |number| request(&shop, item, &run, number)
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

/// Measures the rush.
///
/// # Errors
/// When a reply is missing or not what it must be, or units and replies do not match.
pub async fn rush(
    stage: &Stage,
    database: &Database,
    shop: &Arc<Shop>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let attempts = if stage.quick {
        QUICK_ATTEMPTS
    } else {
        ATTEMPTS
    };
    (stage.say)(&format!("{attempts} attempts on {UNITS} units"));
    let server = ApiNode::start(&shop.ledger).await?;
    let item = shop.item(UNITS).await?;
    let make = requests(shop, "rush", item);
    let until = Until::Requests(attempts);
    database.checkpoint().await?;
    let rush = closed_loop(target(&server), until, make, |_, _, _| {}).await?;
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
    figures.million = Some(Million {
        attempts,
        sold,
        refused,
        // Whoever was refused while a unit was left at the end was refused falsely.
        false_declines: left.min(refused),
        elapsed_s: (rush.elapsed.as_secs_f64() * 100.0).round() / 100.0,
    });
    Ok(())
}
