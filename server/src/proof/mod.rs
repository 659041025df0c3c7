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

/// Rounds of a race in which nobody met, before the run is invalid.
const MAX_ROUNDS: u32 = 3;

/// Races until two commands met, with lots and people of its own each time. The first of 150 may be
/// done before the second begins; whatever a round did wrong ends it at once.
async fn contended(
    mut race: impl AsyncFnMut() -> anyhow::Result<Scenario>,
) -> anyhow::Result<Scenario> {
    let mut rounds = 1;
    loop {
        let scenario = race().await?;
        if scenario.valid || scenario.violations > 0 || rounds == MAX_ROUNDS {
            return Ok(Scenario { rounds, ..scenario });
        }
        rounds += 1;
    }
}

/// Runs both scenarios, then every audit.
///
/// # Errors
/// When a race could not be set up or read back.
pub async fn prove(kernels: &Kernels, settings: &Settings) -> anyhow::Result<Report> {
    warm_up(kernels).await?;
    let scenarios = vec![
        contended(async || oversell(kernels, settings).await).await?,
        contended(async || double_spend(kernels, settings).await).await?,
    ];
    let audits = kernels.of(0).audit().await?;
    let broken = audit::violations(&audits);
    Ok(Report::new(settings, scenarios, audits, broken))
}
