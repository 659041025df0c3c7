//! The proof: deliberate races with really parallel connections, checked from the committed rows.
//!
//! | file | what it holds |
//! |---|---|
//! | `stage` | kernels, people with money, lots, shops: new ones for each race |
//! | `race` | many requests at once, and what became of them |
//! | `trial` | a race that is watched: its history, its observers, and what is said of it |
//! | `regions`, `trouble` | two Regions behind gates, and a fault beside a race |
//! | `watch` | what kernels count and commit, for those who look on |
//! | `swarm` | agents that buy over HTTP, and the nodes that they call |
//! | `scenarios` | what is raced for, and what the rows must say afterwards |
//! | `report` | what a run found, for people and for programs |
//! | `faults` | the faults of the reference, each injected and checked |
//! | `mutants` | which check sees which engine that is broken on purpose |
//! | `history` | what clients asked for and were told, and whether that can be |

#[cfg(feature = "local")]
pub mod faults;
pub mod history;
#[cfg(feature = "mutants")]
pub mod mutants;
mod race;
#[cfg(feature = "local")]
mod regions;
mod report;
mod scenarios;
mod settings;
mod stage;
#[cfg(feature = "local")]
pub mod swarm;
mod trial;
#[cfg(feature = "local")]
mod trouble;
mod watch;

pub use report::{Latency, Report, Scenario, print};
pub use scenarios::{Name, warm_up};
pub use settings::{Engine, RaceFault, Settings};
#[cfg(feature = "local")]
pub use stage::{PRICE_MINOR, Shop};
pub use watch::{Line, Watch};

use crate::ledger::Ledger;
use crate::ledger::audit;
use crate::ledger::endpoint::{EndpointError, Endpoints};
use crate::ledger::read::witness;
use std::path::PathBuf;
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
        watch: &Arc<Watch>,
        open: impl AsyncFn() -> Result<Endpoints, EndpointError>,
    ) -> Result<Self, EndpointError> {
        let mut nodes = Vec::new();
        for _ in 0..count.max(2) {
            nodes.push(watch.kernel(open().await?));
        }
        Ok(Self { nodes })
    }

    /// The kernel for the n-th Region.
    #[must_use]
    pub fn of(&self, place: usize) -> &Arc<Ledger> {
        &self.nodes[place % self.nodes.len()]
    }

    /// Closes every connection.
    pub async fn close(&self) {
        for node in &self.nodes {
            node.close().await;
        }
    }
}

/// What a run is played on.
pub struct Stage {
    /// The kernels.
    pub kernels: Kernels,
    /// The sizes and the seed.
    pub settings: Settings,
    /// The PostgreSQL that gates may stand before; none on Aurora DSQL.
    pub database_url: Option<String>,
    /// Connections of a kernel to each endpoint.
    pub pool: u32,
    /// The folder into which each scenario writes its history.
    pub histories: PathBuf,
    /// Gates that are there already: a swarm goes through them, so that whoever has them can take a
    /// Region away.
    #[cfg(feature = "local")]
    pub gates: Option<Arc<crate::local::RegionalGates>>,
    /// What goes wrong beside a race.
    #[cfg(feature = "local")]
    pub trouble: Option<trouble::Trouble>,
    /// Who looks on.
    pub watch: Arc<Watch>,
}

impl Stage {
    /// The kernels that races are sent to: behind gates, if something goes wrong beside them.
    #[must_use]
    pub fn racers(&self) -> &Kernels {
        #[cfg(feature = "local")]
        if let Some(trouble) = &self.trouble {
            return trouble.kernels();
        }
        &self.kernels
    }

    #[cfg(feature = "local")]
    async fn regions(&self) -> anyhow::Result<regions::Regions> {
        let url = self.database_url.as_deref();
        let url = anyhow::Context::context(url, "gates stand before a PostgreSQL only")?;
        regions::Regions::open(url, self.pool, self.settings.seed, &self.watch).await
    }

    /// Kernels behind the gates that are there already, if any are.
    #[cfg(feature = "local")]
    async fn behind_gates(&self) -> anyhow::Result<Option<Kernels>> {
        match &self.gates {
            Some(gates) => Ok(Some(regions::kernels(gates, self.pool, &self.watch).await?)),
            None => Ok(None),
        }
    }
}

/// Rounds of a race in which nobody met, before the run is invalid. A race of a few dozen requests on
/// a busy machine may miss its chance several times in a row.
const MAX_ROUNDS: u32 = 10;

/// The same for an engine that is broken on purpose: what it does wrong needs two who meet, and its
/// own races may be no conflicts.
const MAX_ROUNDS_WITH_A_MUTANT: u32 = 20;

fn max_rounds() -> u32 {
    if shared::mutant::is_any() {
        MAX_ROUNDS_WITH_A_MUTANT
    } else {
        MAX_ROUNDS
    }
}

/// Races until what was to be tried was tried, with lots and people of its own each time. The first
/// of 150 may be done before the second begins; whatever a round did wrong ends it at once.
async fn until_valid(name: Name, stage: &Stage) -> anyhow::Result<Scenario> {
    let mut rounds = 1;
    loop {
        #[cfg_attr(
            not(feature = "local"),
            expect(unused_mut, reason = "faults change it")
        )]
        let mut scenario = told(stage, name.run(stage)).await?;
        #[cfg(feature = "local")]
        if let Some(trouble) = &stage.trouble {
            trouble.must_have_taken_effect(&mut scenario);
        }
        if scenario.valid || scenario.violations > 0 || rounds >= max_rounds() {
            return Ok(Scenario { rounds, ..scenario });
        }
        rounds += 1;
    }
}

/// Checks what the nodes of a scenario told meanwhile against what is committed.
async fn told(
    stage: &Stage,
    scenario: impl Future<Output = anyhow::Result<Scenario>>,
) -> anyhow::Result<Scenario> {
    let _of_others = stage.watch.noted();
    let mut scenario = scenario.await?;
    let told = stage.watch.noted();
    if told.is_empty() {
        return Ok(scenario);
    }
    let ids = told.clone();
    let committed = stage.kernels.of(0).runner();
    let committed = committed.read(move |tx| {
        let ids = ids.clone();
        Box::pin(async move { witness::committed_events(tx, &ids).await })
    });
    let committed = committed.await?.into_iter().collect();
    scenario.check("news", history::news::check(&told, &committed));
    Ok(scenario)
}

/// Runs scenarios one after another, then every audit. `say` hears of each as it begins.
///
/// # Errors
/// When the settings do not fit the scenarios, or a race could not be set up or read back.
pub async fn prove(stage: &mut Stage, names: &[Name], say: fn(&str)) -> anyhow::Result<Report> {
    stage.settings.check(names)?;
    warm_up(&stage.kernels).await?;
    #[cfg(feature = "local")]
    if let Some(fault) = stage.settings.fault {
        let trouble = trouble::Trouble::open(stage, fault).await?;
        warm_up(trouble.kernels()).await?;
        stage.trouble = Some(trouble);
    }
    let mut scenarios = Vec::new();
    for (number, name) in names.iter().copied().enumerate() {
        let text = name.text();
        say(&format!("{} of {}: {text}", number + 1, names.len()));
        let scenario = until_valid(name, stage).await;
        scenarios.push(anyhow::Context::context(scenario, text)?);
    }
    #[cfg(feature = "local")]
    if let Some(trouble) = stage.trouble.take() {
        trouble.close().await;
    }
    report(stage, scenarios).await
}

/// Runs a swarm, then every audit. `watch` is handed the swarm before it begins.
///
/// # Errors
/// When its size makes no sense, or it could not be set up or read back.
#[cfg(feature = "local")]
pub async fn prove_swarm(
    stage: &Stage,
    plan: swarm::Plan,
    watch: impl FnOnce(&Arc<swarm::Swarm>),
) -> anyhow::Result<Report> {
    plan.check()?;
    if plan.lose_region {
        anyhow::ensure!(
            stage.database_url.is_some(),
            "a Region is taken away by a gate, which stands before a PostgreSQL only"
        );
    }
    warm_up(&stage.kernels).await?;
    let scenario = told(stage, swarm::prove(stage, plan, watch)).await?;
    report(stage, vec![scenario]).await
}

async fn report(stage: &Stage, scenarios: Vec<Scenario>) -> anyhow::Result<Report> {
    let audits = stage.kernels.of(0).audit().await?;
    let broken = audit::violations(&audits);
    Ok(Report::new(&stage.settings, scenarios, audits, broken))
}
