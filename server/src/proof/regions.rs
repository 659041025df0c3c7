//! Two Regions of one database, each behind a gate that can take it away, and a kernel that is at
//! home in each.

use super::Kernels;
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::ledger::endpoint::Endpoints;
use crate::local::Gate;
use anyhow::Context;
use std::sync::Arc;

/// The Regions.
pub struct Regions {
    /// The gate of each: the first is where the first kernel is at home.
    pub gates: [Gate; 2],
    /// A kernel at home in each, with the other one as its peer.
    pub kernels: Kernels,
}

impl Regions {
    /// Opens gates before a PostgreSQL, and kernels with so many connections to each.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(database_url: &str, pool: u32) -> anyhow::Result<Self> {
        let gate = async || Gate::before(database_url).await.context("opening a gate");
        let gates = [gate().await?, gate().await?];
        let urls = gates.each_ref().map(|gate| gate.url(database_url));
        let [here, there] = urls.each_ref().map(String::as_str);
        let mut nodes = Vec::new();
        for at_home in [[here, there], [there, here]] {
            let endpoints = Endpoints::postgres_at(&at_home, pool).await?;
            let clock = Arc::new(Clock::new());
            nodes.push(Ledger::new(endpoints, clock, |_events| {}));
        }
        let kernels = Kernels { nodes };
        Ok(Self { gates, kernels })
    }
}
