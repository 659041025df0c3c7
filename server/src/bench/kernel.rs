//! The commit kernel's side of the bench.

use super::Stage;
use super::load::Measured;
use serde::Serialize;

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
}

/// Measures the kernel in a database of its own, on the PostgreSQL that the baseline ran on.
///
/// There is no kernel to measure yet, so nothing is.
///
/// # Errors
/// When a measurement could not be made.
#[expect(
    clippy::unused_async,
    reason = "whatever measures a kernel waits for it"
)]
pub async fn measure(_stage: &Stage) -> anyhow::Result<Figures> {
    Ok(Figures::default())
}
