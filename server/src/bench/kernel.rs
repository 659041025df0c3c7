//! The commit kernel's side of the bench.

mod http;
mod in_process;
mod shop;

use super::Stage;
use super::load::Measured;
use serde::Serialize;
use shop::Shop;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Latencies of an open loop, in milliseconds, from the time a request was due.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// One in a hundred takes longer.
    pub p99: f64,
    /// One in a thousand takes longer.
    pub p999: f64,
}

impl From<&Measured> for Latency {
    fn from(measured: &Measured) -> Self {
        Self {
            p50: measured.p50_ms(),
            p99: measured.p99_ms(),
            p999: measured.p999_ms(),
        }
    }
}

/// A million attempts on a hundred units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Million {
    /// Purchases that were asked for.
    pub attempts: u64,
    /// Units that were sold.
    pub sold: u64,
    /// Purchases that were refused.
    pub refused: u64,
    /// Refusals although stock or budget remained.
    pub false_declines: u64,
    /// From the first request to the last answer.
    pub elapsed_s: f64,
}

/// What was measured of the kernel; what was not is absent from the report.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Purchases a second, callers in the kernel's process.
    pub purchases_per_s: Option<f64>,
    /// Purchases a second over HTTP.
    pub http_purchases_per_s: Option<f64>,
    /// Of purchases over HTTP at a steady rate.
    pub latency_ms: Option<Latency>,
    /// The rush.
    pub million: Option<Million>,
    /// What a batch is like.
    pub batches: Option<Batches>,
}

/// What a batch of the kernel is like, under the load in process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Batches {
    /// Purchases a transaction.
    pub purchases_per_transaction: f64,
    /// Rows a transaction changes.
    pub rows_per_transaction: f64,
    /// Bytes of the server's log a transaction.
    pub bytes_per_transaction: f64,
    /// Retries, by cause.
    pub retries: BTreeMap<String, u64>,
}

/// Measures the kernel in a database of its own, on the PostgreSQL that the baseline ran on.
///
/// # Errors
/// When a measurement could not be made.
pub async fn measure(stage: &Stage) -> anyhow::Result<Figures> {
    let database = stage.database("bench_kernel").await?;
    let shop = Arc::new(Shop::open(&database.url).await?);
    let mut figures = Figures::default();
    in_process::measure(stage, &database, &shop, &mut figures).await?;
    http::measure(stage, &shop, &mut figures).await?;
    shop.check().await?;
    shop.close().await;
    database.drop().await?;
    Ok(figures)
}
