//! `lotzero prove` and `lotzero swarm`.

use super::{say, write_json};
use crate::config::StoreArgs;
use crate::ledger::endpoint::{EndpointError, Endpoints};
use crate::ledger::schema;
use crate::proof::{self, Kernels, Report, Settings, Stage, Watch};
use crate::stores::{self, Missing, Stores};
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// What `prove` is told.
#[derive(Args)]
pub struct ProveArgs {
    /// What is to be proven; the two races of the seeds if nothing is named
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<proof::Name>,
    /// Every scenario
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Buyers that rush the scarce drop
    #[arg(long, default_value_t = Settings::default().buyers,
          value_parser = clap::value_parser!(u32).range(1..=5_000))]
    buyers: u32,
    /// Units of it
    #[arg(long, default_value_t = Settings::default().units,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    units: u32,
    /// Lots that one purchase's money is spent on at once
    #[arg(long, default_value_t = Settings::default().attempts,
          value_parser = clap::value_parser!(u32).range(1..=5_000))]
    attempts: u32,
    /// Run `oversell` against an engine that is wrong on purpose, to see it caught: exits with 3
    #[cfg(feature = "local")]
    #[arg(long, value_name = "ENGINE", default_value = "house")]
    engine: proof::Engine,
    /// What goes wrong beside the race, on two Regions before the private PostgreSQL
    #[cfg(feature = "local")]
    #[arg(long, value_name = "FAULT")]
    fault: Option<proof::RaceFault>,
    /// A build for production breaks nothing, and says so
    #[cfg(not(feature = "local"))]
    #[arg(long, hide = true, value_parser = crate::config::breaks_nothing)]
    fault: Option<String>,
    /// Be an engine that is broken on purpose, such as M1
    #[cfg(feature = "mutants")]
    #[arg(long, value_name = "ID", value_parser = mutant)]
    mutant: Option<shared::mutant::Mutant>,
    #[command(flatten)]
    run: RunArgs,
}

#[cfg(feature = "mutants")]
fn mutant(id: &str) -> Result<shared::mutant::Mutant, String> {
    let known = shared::mutant::Mutant::ALL.into_iter();
    let mut known = known.filter(|mutant| mutant.id() == id);
    known.next().ok_or_else(|| "no such engine".to_owned())
}

impl ProveArgs {
    #[cfg(feature = "local")]
    const fn engine(&self) -> proof::Engine {
        self.engine
    }

    /// A build for production has no other.
    #[cfg(not(feature = "local"))]
    const fn engine(&self) -> proof::Engine {
        let _no_choice = self;
        proof::Engine::House
    }

    #[cfg(feature = "local")]
    const fn fault(&self) -> Option<proof::RaceFault> {
        self.fault
    }

    /// A build for production breaks nothing.
    #[cfg(not(feature = "local"))]
    fn fault(&self) -> Option<proof::RaceFault> {
        let _always_refused = self.fault.as_ref();
        None
    }
}

/// What every proof run is told.
#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    stores: StoreArgs,
    /// Repeat a run: the order of what is drawn by chance follows from it
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Kernels that drive the races, one a Region, each with connections of its own
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=6))]
    kernels: u8,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where each scenario writes its history, a file of JSON lines; the last run's are replaced
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "target/reports/histories"
    )]
    histories: PathBuf,
    /// Run on stores that are not local: a proof run leaves its lots and people behind
    #[arg(long)]
    yes_really: bool,
}

impl RunArgs {
    /// Opens the stores, which must be local or meant.
    async fn open(&self) -> anyhow::Result<Stores> {
        ensure!(
            self.stores.local_ledger() || self.yes_really,
            "a proof run leaves lots and people behind; on these stores say --yes-really"
        );
        let stores = stores::open(&self.stores, Missing::Temporary).await?;
        schema::apply(&stores.endpoints).await?;
        for line in &stores.banner {
            say(line);
        }
        Ok(stores)
    }

    /// The PostgreSQL that a run is on, if it is one.
    fn postgres_of(&self, stores: &Stores) -> Option<String> {
        if self.stores.dsql_cluster_endpoint.is_some() || !cfg!(feature = "local") {
            return None;
        }
        #[cfg(feature = "local")]
        if let (None, Some(local)) = (&self.stores.database_url, &stores.local) {
            return Some(local.database_url.clone());
        }
        let _only_for_local_stores = stores;
        self.stores.database_url.clone()
    }

    /// The stage, on kernels of its own.
    async fn stage(&self, stores: &Stores, settings: Settings) -> anyhow::Result<Stage> {
        let pool = self.stores.kernel_pool();
        let watch = Arc::<Watch>::default();
        let kernels = Kernels::open(usize::from(self.kernels), &watch, async || {
            self.reopen(stores, pool).await
        });
        Ok(Stage {
            kernels: kernels.await.context("opening the kernels")?,
            settings,
            database_url: self.postgres_of(stores),
            pool,
            histories: self.histories.clone(),
            #[cfg(feature = "local")]
            gates: None,
            #[cfg(feature = "local")]
            trouble: None,
            watch,
        })
    }

    async fn reopen(&self, stores: &Stores, pool: u32) -> Result<Endpoints, EndpointError> {
        if let Some(host) = &self.stores.dsql_cluster_endpoint {
            let hosts: Vec<String> = std::iter::once(host)
                .chain(&self.stores.dsql_peer_endpoint)
                .cloned()
                .collect();
            return Endpoints::dsql(&hosts, pool).await;
        }
        if let Some(url) = &self.stores.database_url {
            return Endpoints::postgres(url, pool).await;
        }
        #[cfg(feature = "local")]
        if let Some(local) = &stores.local {
            return Endpoints::postgres(&local.database_url, pool).await;
        }
        Ok(stores.endpoints.clone())
    }

    /// Says what was found; the exit code.
    fn end(&self, report: &Report) -> anyhow::Result<ExitCode> {
        say(&proof::print(report));
        if let Some(file) = &self.json {
            write_json(file, report)?;
        }
        Ok(ExitCode::from(report.exit_code))
    }
}

/// What is to be proven.
fn scenarios(args: &ProveArgs) -> Vec<proof::Name> {
    if args.all {
        proof::Name::value_variants().to_vec()
    } else if args.scenarios.is_empty() {
        vec![proof::Name::Oversell, proof::Name::DoubleSpend]
    } else {
        args.scenarios.clone()
    }
}

/// Runs scenarios.
pub async fn prove(args: &ProveArgs) -> anyhow::Result<ExitCode> {
    let run = &args.run;
    let names = scenarios(args);
    #[cfg(feature = "mutants")]
    if let Some(mutant) = args.mutant {
        shared::mutant::choose(mutant);
    }
    let settings = Settings {
        buyers: args.buyers,
        units: args.units,
        attempts: args.attempts,
        engine: args.engine(),
        fault: args.fault(),
        seed: run.seed.unwrap_or_else(rand::random),
    };
    settings.check(&names)?;
    let stores = run.open().await?;
    let mut stage = run.stage(&stores, settings).await?;
    if stage.database_url.is_none()
        && let Some(name) = names.iter().find(|name| name.needs_gates())
    {
        anyhow::bail!(
            "{} breaks the way to the database, which this program does before a PostgreSQL only",
            name.text()
        );
    }
    let report = proof::prove(&mut stage, &names, say).await?;
    stage.kernels.close().await;
    run.end(&report)
}

#[cfg(feature = "local")]
pub use local::{ApiNodeArgs, SwarmArgs, api_node, swarm};

#[cfg(feature = "local")]
mod local {
    use super::RunArgs;
    use crate::cli::say;
    use crate::proof::swarm::{self, Crowd, MAX_AGENTS, MAX_STOCK, Plan, Swarm};
    use crate::proof::{self, Settings};
    use clap::Args;
    use indicatif::{ProgressBar, ProgressStyle};
    use std::net::SocketAddr;
    use std::process::ExitCode;
    use std::sync::Arc;
    use std::time::Duration;

    /// From one stroke of the progress bar to the next.
    const STROKE: Duration = Duration::from_millis(100);

    /// What `swarm` is told.
    #[derive(Args)]
    pub struct SwarmArgs {
        /// Agents, each of which wants one unit
        #[arg(long, default_value_t = 10_000,
              value_parser = clap::value_parser!(u64).range(1..=MAX_AGENTS))]
        agents: u64,
        /// Units that there are
        #[arg(long, default_value_t = 100,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_STOCK)))]
        stock: u32,
        /// Requests a second, each at its time (an open loop); without it as fast as they are
        /// answered
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        per_second: Option<u32>,
        /// Lose a Region once half of the agents are answered, and restore it at three quarters
        #[arg(long)]
        lose_region: bool,
        #[command(flatten)]
        run: RunArgs,
    }

    /// Sends a swarm.
    pub async fn swarm(args: &SwarmArgs) -> anyhow::Result<ExitCode> {
        let stores = args.run.open().await?;
        let settings = Settings {
            seed: args.run.seed.unwrap_or_else(rand::random),
            ..Settings::default()
        };
        let stage = args.run.stage(&stores, settings).await?;
        let plan = Plan {
            crowd: Crowd {
                agents: args.agents,
                per_second: args.per_second,
            },
            stock: args.stock,
            lose_region: args.lose_region,
        };
        let report = proof::prove_swarm(&stage, plan, |swarm| show(Arc::clone(swarm))).await?;
        stage.kernels.close().await;
        args.run.end(&report)
    }

    /// Draws how far the swarm is, and stops it when the person at the terminal says so.
    fn show(swarm: Arc<Swarm>) {
        let bar = ProgressBar::new(swarm.progress().standing().agents);
        let style = ProgressStyle::with_template(
            "{bar:32} {percent:>3} % of {len} agents, {per_sec}, {elapsed} {msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        tokio::spawn(async move {
            loop {
                let standing = swarm.progress().standing();
                bar.set_position(standing.decided());
                bar.set_message(format!("{} sold", standing.committed));
                if standing.decided() == standing.agents || swarm.stop().is_cancelled() {
                    break bar.finish();
                }
                tokio::select! {
                    () = tokio::time::sleep(STROKE) => {}
                    () = swarm.stop().cancelled() => {}
                    asked = tokio::signal::ctrl_c() => {
                        if asked.is_ok() {
                            swarm.stop().cancel();
                        }
                    }
                }
            }
        });
    }

    /// What a node of a proof run is told.
    #[derive(Args)]
    pub struct ApiNodeArgs {
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
        #[arg(long)]
        addr: SocketAddr,
        #[arg(long)]
        pool: u32,
    }

    /// Serves until it is killed.
    pub async fn api_node(args: &ApiNodeArgs) -> anyhow::Result<ExitCode> {
        swarm::run_api_node(&args.database_url, args.addr, args.pool, say).await?;
        Ok(ExitCode::SUCCESS)
    }
}
