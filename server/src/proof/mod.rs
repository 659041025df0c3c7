//! The proof: deliberate races with really parallel connections, checked from the committed rows.

mod report;
mod scenario;
mod settings;

pub use report::{Report, Scenario, print};
pub use scenario::{double_spend, oversell, warm_up};
pub use settings::Settings;

use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::ledger::audit;
use crate::ledger::endpoint::{EndpointError, Endpoints};
use std::sync::Arc;

/// The kernels that drive a race: one per Region, each with connections of its own.
pub struct Kernels {
    /// At least two.
    pub nodes: Vec<Arc<Ledger>>,
}

impl Kernels {
    /// Kernels over the same stores.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn open(
        count: usize,
        open: impl AsyncFn() -> Result<Endpoints, EndpointError>,
    ) -> Result<Self, EndpointError> {
        let mut nodes = Vec::new();
        for _ in 0..count.max(2) {
            nodes.push(Ledger::new(
                open().await?,
                Arc::new(Clock::new()),
                |_events| {},
            ));
        }
        Ok(Self { nodes })
    }

    /// The kernel for the n-th Region.
    #[must_use]
    pub fn of(&self, place: usize) -> &Arc<Ledger> {
        &self.nodes[place % self.nodes.len()]
    }

    /// Closes every connection.
    pub async fn close(self) {
        for node in self.nodes {
            node.close().await;
        }
    }
}

/// Runs both scenarios, then every audit.
///
/// # Errors
/// When a race could not be set up or read back.
pub async fn prove(kernels: &Kernels, settings: &Settings) -> anyhow::Result<Report> {
    warm_up(kernels).await?;
    let scenarios = vec![
        oversell(kernels, settings).await?,
        double_spend(kernels, settings).await?,
    ];
    let audits = kernels.of(0).audit().await?;
    let broken = audit::violations(&audits);
    Ok(Report::new(settings, scenarios, audits, broken))
}
