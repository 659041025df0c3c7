//! The commit kernel's side of the bench.

pub mod http;
mod in_process;
pub mod shop;

use super::Stage;
use super::database::Database;
use crate::load::Measured;
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

/// Measures the kernel on the PostgreSQL that the baseline ran on.
///
/// # Errors
/// When a measurement could not be made.
pub async fn measure(stage: &Stage) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    peaks(stage, &mut figures).await?;
    let (database, shop) = open(stage).await?;
    http::latencies(stage, &database, &shop, &mut figures).await?;
    http::rush(stage, &database, &shop, &mut figures).await?;
    close(database, &shop).await?;
    Ok(figures)
}

/// Measures purchases a second once more, as the baseline's best is run once more: what disturbs the
/// machine for a moment must not count for or against either side. The better of the two is kept.
///
/// # Errors
/// As [`measure`].
pub async fn again(stage: &Stage, figures: &mut Figures) -> anyhow::Result<()> {
    peaks(stage, figures).await
}

/// Purchases a second in process and over HTTP, each from empty tables, as the baseline's runs are.
async fn peaks(stage: &Stage, figures: &mut Figures) -> anyhow::Result<()> {
    let (database, shop) = open(stage).await?;
    in_process::measure(stage, &database, &shop, figures).await?;
    close(database, &shop).await?;
    let (database, shop) = open(stage).await?;
    http::peak(stage, &shop, figures).await?;
    close(database, &shop).await
}

async fn open(stage: &Stage) -> anyhow::Result<(Database, Arc<Shop>)> {
    let database = stage.database("bench_kernel").await?;
    let shop = Arc::new(Shop::open(&database.url).await?);
    // What was written before is written out now, as before each run of the baseline.
    database.checkpoint().await?;
    Ok((database, shop))
}

async fn close(database: Database, shop: &Shop) -> anyhow::Result<()> {
    shop.check().await?;
    shop.close().await;
    database.drop().await
}
