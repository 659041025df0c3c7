//! `lotzero bench kernel`: the commit kernel beside PostgreSQL's own load generator, on the same
//! private PostgreSQL, one after the other.
//!
//! In order: stores in a folder of the bench's own, the machine, the baseline, how much load can be
//! made, the kernel, the best of the baseline once more, the kernel's purchases a second once more.
//! Each measurement has a database of its own, which is dropped after it; the stores and their
//! folder go away at the end.

pub mod ceiling;
pub mod database;
pub mod kernel;
pub mod live;
pub mod machine;
pub mod pgbench;
pub mod report;

pub use report::{Report, print};

use crate::ledger::endpoint::Endpoints;
use crate::ledger::schema;
use crate::local::gate::by_address;
use crate::local::{Attached, attach_temporary_in};
use crate::proof::faults::{self, FaultsReport, Ground};
use anyhow::Context;
use database::Database;
use machine::Machine;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections by which it is measured how much load can be made.
const CEILING_CONNECTIONS: u16 = 64;

/// How long that takes, and how long in a quick run.
const CEILING: Duration = Duration::from_secs(4);
const QUICK_CEILING: Duration = Duration::from_secs(1);

/// What a bench is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// PostgreSQL's load generator.
    pub pgbench: PathBuf,
    /// Where the folder of the stores is made. It should be on a disk.
    pub within: PathBuf,
    /// Short runs, to see that everything works.
    pub quick: bool,
}

/// What the faults are told.
#[derive(Clone, Debug)]
pub struct FaultsOptions {
    /// Where the folder of the stores is made. It should be on a disk.
    pub within: PathBuf,
    /// A tenth of the sizes.
    pub quick: bool,
    /// Faults to try; all if none is named.
    pub only: Vec<String>,
    /// Decides what is drawn by chance.
    pub seed: u64,
}

/// Connections of each kernel that faults are tried on.
const FAULTS_POOL: u32 = 16;

/// Injects the faults of the reference, on stores that are there for this only.
///
/// # Errors
/// When the stores fail, or a name is no fault's; never because a fault was not withstood.
pub async fn faults(options: &FaultsOptions, say: fn(&str)) -> anyhow::Result<FaultsReport> {
    let try_all = async |stage: &Stage| {
        let endpoints = Endpoints::postgres(&stage.stores.database_url, FAULTS_POOL).await?;
        schema::apply(&endpoints).await?;
        endpoints.close().await;
        let ground = Ground {
            database_url: stage.stores.database_url.clone(),
            folder: options.within.join(format!("faults-{:016x}", options.seed)),
            pool: FAULTS_POOL,
            quick: stage.quick,
            seed: options.seed,
        };
        let report = faults::run(&ground, &options.only, stage.say).await;
        // Histories of a run that is over; a folder that stays harms nobody.
        if let Err(error) = std::fs::remove_dir_all(&ground.folder) {
            tracing::debug!(%error, "the folder of the faults stays");
        }
        report
    };
    on_stage(&options.within, options.quick, say, try_all).await
}

/// What a measurement takes place on.
#[derive(Debug)]
pub struct Stage {
    /// The stores that the bench started.
    pub stores: Attached,
    /// Short runs.
    pub quick: bool,
    /// Tells the person at the terminal.
    pub say: fn(&str),
}

impl Stage {
    /// Makes a database for one measurement, which drops it when it is done. It is reached by the
    /// loopback, on both sides, as a database elsewhere is by a network: a Unix socket would spare
    /// every round trip the same, of which a purchase by itself has many and a batch shares few.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn database(&self, name: &'static str) -> anyhow::Result<Database> {
        Database::create(&by_address(&self.stores.database_url), name).await
    }
}

/// Measures everything.
///
/// # Errors
/// When the stores, pgbench or a measurement fails; never because a figure is low.
pub async fn run(options: &Options, say: fn(&str)) -> anyhow::Result<Report> {
    let measure = async |stage: &Stage| measure(options, stage).await;
    on_stage(&options.within, options.quick, say, measure).await
}

/// Measures on stores that are there for this only, and go away with it.
async fn on_stage<R>(
    within: &Path,
    quick: bool,
    say: fn(&str),
    measure: impl AsyncFnOnce(&Stage) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    let stores = attach_temporary_in(within).await?;
    let stage = Stage { stores, quick, say };
    let report = measure(&stage).await;
    if !stage.stores.close().await {
        say("the stores of the bench do not end");
    }
    report
}

async fn measure(options: &Options, stage: &Stage) -> anyhow::Result<Report> {
    for note in &stage.stores.notes {
        (stage.say)(note);
    }
    let database = stage.database("bench_machine").await?;
    let machine = Machine::describe(&database).await?;
    database.drop().await?;
    let mut baseline = pgbench::measure(&options.pgbench, stage)
        .await
        .context("measuring the baseline")?;
    let ceiling = if stage.quick { QUICK_CEILING } else { CEILING };
    let ceiling = ceiling::measure(CEILING_CONNECTIONS, ceiling)
        .await
        .context("measuring the load generator")?;
    let mut figures = kernel::measure(stage)
        .await
        .context("measuring the kernel")?;
    pgbench::again(&mut baseline, &options.pgbench, stage)
        .await
        .context("measuring the baseline once more")?;
    kernel::again(stage, &mut figures)
        .await
        .context("measuring the kernel once more")?;
    Report::new(machine, stage.quick, baseline, ceiling, &figures)
}
