//! Regions of one database, each behind a gate that can take it away, and a kernel that is at home in
//! each.

use super::Kernels;
use super::report::Scenario;
use super::watch::Watch;
use crate::ledger::endpoint::Endpoints;
use crate::local::RegionalGates;
use crate::local::gate::{Fault, Gate};
use crate::local::regions::DEFAULT_REGIONS;
use anyhow::Context;
use shared::Region;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The Region that is lost where one is; the first kernel is at home there.
const LOST: Region = DEFAULT_REGIONS[0];

/// How long a lost Region may go unnoticed: a switch takes a second of refusals, of which a probe
/// makes some where nobody else does.
const PATIENCE: Duration = Duration::from_secs(10);

/// From one look at where commands begin to the next.
const PACE: Duration = Duration::from_millis(20);

/// The Regions.
pub struct Regions {
    /// Their gates.
    pub gates: RegionalGates,
    /// A kernel at home in each, with the other one as its peer.
    pub kernels: Kernels,
}

impl Regions {
    /// Opens gates before a PostgreSQL, whose generators follow the seed, and kernels with so many
    /// connections to each.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(
        database_url: &str,
        pool: u32,
        seed: u64,
        watch: &Arc<Watch>,
    ) -> anyhow::Result<Self> {
        let gates = RegionalGates::start(database_url, &DEFAULT_REGIONS).await;
        let gates = gates.context("opening the gates")?;
        gates.seed(seed);
        let kernels = kernels(&gates, pool, watch).await?;
        Ok(Self { gates, kernels })
    }

    /// Sets the same faults in every Region; none restores them.
    ///
    /// # Errors
    /// When one would take a Region away, or has a measure out of its bounds.
    pub fn set(&self, faults: &[Fault]) -> anyhow::Result<()> {
        for region in self.gates.regions() {
            self.gates.set(region, faults)?;
        }
        Ok(())
    }

    /// How often something was seen at all gates together.
    pub fn seen(&self, count: impl Fn(&crate::local::gate::Counters) -> u64) -> u64 {
        let status = self.gates.status();
        status.regions.iter().map(|it| count(&it.counters)).sum()
    }

    /// Takes [`LOST`] away, as an operator does.
    ///
    /// # Errors
    /// When it is away already.
    pub fn lose(&self) -> anyhow::Result<()> {
        self.lose_by(Fault::Closed)
    }

    /// Takes [`LOST`] away by some fault.
    ///
    /// # Errors
    /// When it is away already.
    pub fn lose_by(&self, fault: Fault) -> anyhow::Result<()> {
        self.gates.confirm(self.gates.arm(LOST, fault)?)?;
        Ok(())
    }

    /// The gate of [`LOST`].
    ///
    /// # Errors
    /// Never: it has one.
    pub fn gate(&self) -> anyhow::Result<&Gate> {
        Ok(self.gates.gate(LOST)?)
    }

    /// Waits until the node that was at home there goes elsewhere, for [`PATIENCE`] at most. A swarm
    /// can be over before a second of refusals is.
    pub async fn missed(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.kernels.of(0).standing().switches == 0 && Instant::now() < deadline {
            tokio::time::sleep(PACE).await;
        }
    }

    /// Resets every connection that is open now.
    ///
    /// # Errors
    /// Never: each Region has a gate.
    pub fn cut(&self) -> anyhow::Result<()> {
        for region in self.gates.regions() {
            self.gates.gate(region)?.cut_connections();
        }
        Ok(())
    }

    /// Gives it back.
    ///
    /// # Errors
    /// Never: it has a gate.
    pub fn give_back(&self) -> anyhow::Result<()> {
        Ok(self.gates.restore(LOST)?)
    }

    /// Notes how it was missed; a run in which nobody missed it proves nothing.
    ///
    /// # Errors
    /// Never: it has a gate.
    pub fn must_have_been_missed(&self, result: &mut Scenario) -> anyhow::Result<()> {
        let refused = self.gates.gate(LOST)?.counters().refused;
        let switches = self.kernels.of(0).standing().switches;
        result.needs(
            refused > 0 && switches > 0,
            "the Region was never missed: nobody had to go elsewhere",
        );
        let took_effect = [("connections refused", refused), ("switches", switches)];
        result.took_effect = took_effect.map(|(name, n)| (name.to_owned(), n)).into();
        Ok(())
    }

    /// Restores everything and closes the kernels' connections.
    pub async fn close(self) {
        self.gates.restore_all();
        self.kernels.close().await;
    }
}

/// A kernel at home in each Region, with the others as its peers, and so many connections to each.
///
/// # Errors
/// When no Region answers.
pub async fn kernels(
    gates: &RegionalGates,
    pool: u32,
    watch: &Arc<Watch>,
) -> anyhow::Result<Kernels> {
    let mut nodes = Vec::new();
    for at_home in 0..gates.urls().len() {
        let mut urls = gates.urls();
        urls.rotate_left(at_home);
        let endpoints = Endpoints::postgres_at(&urls, pool).await?;
        nodes.push(watch.kernel(endpoints));
    }
    Ok(Kernels { nodes })
}
