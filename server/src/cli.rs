//! The command line.

mod key;

use crate::clock::Clock;
use crate::config::{ServeArgs, StoreArgs};
use crate::ledger::endpoint::Endpoints;
use crate::ledger::{Ledger, audit, schema};
use crate::proof::{self, Kernels, Settings, Stage};
use crate::stores::{self, Missing, Stores};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
#[cfg(feature = "local")]
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// A live-auction house in which the last unit is sold once and no money is spent twice.
///
/// With nothing configured everything runs on this machine. Exit codes: 0 done, 1 failed,
/// 2 wrong usage, 3 an invariant is broken, 4 a proof run that proves nothing.
#[derive(Parser)]
#[command(version, name = "lotzero")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the pages, the live socket and the demo
    Serve(ServeArgs),
    /// Seeds the demo's people, wallets and lots; harmless to repeat
    Seed(StoreArgs),
    /// Creates what is missing of the schema and waits until every index is valid
    Schema(StoreArgs),
    /// Makes, lists and ends keys of the agents' API
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Runs every audit in one snapshot; exits with 3 if an invariant is broken
    Audit(AuditArgs),
    /// Races many buyers for few units and one purchase's money, and checks the committed rows
    Prove(ProveArgs),
    /// Runs the local stores for all their users; the other commands start it by themselves
    #[cfg(feature = "local")]
    Stores {
        /// Where everything is kept
        #[arg(long, env = "LOTZERO_DATA_DIR", default_value = ".lotzero")]
        data_dir: PathBuf,
    },
    /// Measures; `cargo xtask bench` builds what it needs and calls it
    #[cfg(feature = "local")]
    #[command(hide = true)]
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
}

#[cfg(feature = "local")]
#[derive(Subcommand)]
enum Bench {
    /// Measures the commit kernel beside pgbench, on stores of its own
    Kernel(BenchKernelArgs),
    /// Measures the live sockets beside a bare loop and Socket.IO, on stores of its own
    Live(BenchLiveArgs),
    /// The process of the bench that is a node
    #[command(hide = true)]
    LiveSide(BenchSideArgs),
    /// The process of the bench that only delivers
    #[command(hide = true)]
    LiveBare,
    /// The process of the bench that is the crowd
    #[command(hide = true)]
    LiveCrowd,
}

#[cfg(feature = "local")]
#[derive(Args)]
struct BenchLiveArgs {
    /// A folder in whose `node_modules` Socket.IO is; needed for the deliveries
    #[arg(long, value_name = "FOLDER")]
    socketio: Option<PathBuf>,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where the folder of the bench's stores is made, on a disk; it goes away with them
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    within: PathBuf,
    /// Short runs, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Measure this part only; may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<crate::bench::live::Part>,
}

#[cfg(feature = "local")]
#[derive(Args)]
struct BenchSideArgs {
    #[arg(long)]
    database_url: String,
    #[arg(long)]
    dynamodb: String,
    #[arg(long)]
    table: String,
    #[arg(long)]
    lot: Option<shared::LotId>,
    #[arg(long)]
    frames_per_write: usize,
}

#[cfg(feature = "local")]
#[derive(Args)]
struct BenchKernelArgs {
    /// PostgreSQL's load generator, version 15 or newer
    #[arg(long, value_name = "FILE")]
    pgbench: PathBuf,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where the folder of the bench's stores is made, on a disk; it goes away with them
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    within: PathBuf,
    /// Short runs, to see that everything works
    #[arg(long)]
    quick: bool,
}

#[derive(Args)]
struct AuditArgs {
    #[command(flatten)]
    stores: StoreArgs,
    /// Print the findings, with their queries, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ProveArgs {
    /// What is to be proven; the two races of the seeds if nothing is named
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<proof::Name>,
    /// Every scenario
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Repeat a run: the order of what is drawn by chance follows from it
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    #[command(flatten)]
    stores: StoreArgs,
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
    /// Kernels that drive the races, one a Region, each with connections of its own
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=6))]
    kernels: u8,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run on stores that are not local: a proof run leaves its lots and people behind
    #[arg(long)]
    yes_really: bool,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_unset| "info,aws=warn,hyper=warn,sqlx=warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error)),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the command line talks to the terminal"
)]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("lotzero: {error:#}");
    ExitCode::FAILURE
}

#[expect(
    clippy::print_stdout,
    reason = "the command line talks to the terminal"
)]
fn say(text: &str) {
    println!("{text}");
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => crate::serve::serve(args, say).await,
        Command::Seed(args) => seed(&args).await,
        Command::Schema(args) => schema_command(&args).await,
        Command::Key(command) => key::run(command, say).await,
        Command::Audit(args) => audit_command(&args).await,
        Command::Prove(args) => prove(&args).await,
        #[cfg(feature = "local")]
        Command::Stores { data_dir } => {
            crate::local::run_stores(crate::local::StoresOptions { data_dir }).await?;
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(feature = "local")]
        Command::Bench { what } => bench(what).await,
    }
}

#[cfg(feature = "local")]
async fn bench(what: Bench) -> anyhow::Result<ExitCode> {
    use crate::bench::live;
    match what {
        Bench::Kernel(args) => return bench_kernel(&args).await,
        Bench::Live(args) => return bench_live(&args).await,
        Bench::LiveSide(args) => {
            let options = live::side::Options {
                database_url: args.database_url,
                dynamodb: args.dynamodb,
                table: args.table,
                lot: args.lot,
                frames_per_write: args.frames_per_write,
            };
            live::side::run(options).await?;
        }
        Bench::LiveBare => live::bare::run().await?,
        Bench::LiveCrowd => live::crowd::run().await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the stores, brings the schema up and makes a ledger without sockets.
async fn quiet_ledger(args: &StoreArgs, missing: Missing) -> anyhow::Result<(Stores, Arc<Ledger>)> {
    let stores = stores::open(args, missing).await?;
    schema::apply(&stores.endpoints).await?;
    let ledger = Ledger::new(
        stores.endpoints.clone(),
        Arc::new(Clock::new()),
        |_events| {},
    );
    Ok((stores, ledger))
}

async fn seed(args: &StoreArgs) -> anyhow::Result<ExitCode> {
    let (stores, ledger) = quiet_ledger(args, Missing::Start).await?;
    let cast = crate::demo::seed(&ledger).await?;
    let (sellers, crowd) = (cast.sellers.len(), cast.crowd.len());
    say(&format!(
        "seeded: {sellers} sellers, {crowd} simulated bidders, lots of every kind"
    ));
    drop(stores);
    Ok(ExitCode::SUCCESS)
}

async fn schema_command(args: &StoreArgs) -> anyhow::Result<ExitCode> {
    let stores = stores::open(args, Missing::Start).await?;
    let applied = schema::apply(&stores.endpoints).await?;
    say(&format!(
        "schema: {} tables, {} indexes, all valid",
        applied.tables, applied.indexes
    ));
    Ok(ExitCode::SUCCESS)
}

async fn audit_command(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let (stores, ledger) = quiet_ledger(&args.stores, Missing::Kept).await?;
    let findings = ledger.audit().await?;
    let broken = audit::violations(&findings);
    if args.json {
        say(&serde_json::to_string_pretty(&findings)?);
    } else {
        for line in &stores.banner {
            say(line);
        }
        for finding in &findings {
            let state = if finding.violations == 0 {
                "ok    "
            } else {
                "BROKEN"
            };
            let (audit, evidence) = (finding.audit, finding.evidence.join(", "));
            say(&format!(
                "{:<4} {state} {} {evidence}",
                audit.id, audit.invariant
            ));
        }
        say(&format!("{} audits, {broken} violations", findings.len()));
    }
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
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

/// The PostgreSQL that a run is on, if it is one.
fn postgres_of(args: &ProveArgs, stores: &Stores) -> Option<String> {
    if args.stores.dsql_cluster_endpoint.is_some() || !cfg!(feature = "local") {
        return None;
    }
    #[cfg(feature = "local")]
    if let (None, Some(local)) = (&args.stores.database_url, &stores.local) {
        return Some(local.database_url.clone());
    }
    args.stores.database_url.clone()
}

async fn prove(args: &ProveArgs) -> anyhow::Result<ExitCode> {
    if !args.stores.local_ledger() && !args.yes_really {
        anyhow::bail!(
            "a proof run leaves lots and people behind; on these stores say --yes-really"
        );
    }
    let stores = stores::open(&args.stores, Missing::Temporary).await?;
    schema::apply(&stores.endpoints).await?;
    for line in &stores.banner {
        say(line);
    }
    let names = scenarios(args);
    let database_url = postgres_of(args, &stores);
    if database_url.is_none()
        && let Some(name) = names.iter().find(|name| name.needs_gates())
    {
        anyhow::bail!(
            "{} breaks the way to the database, which this program does before a PostgreSQL only",
            name.text()
        );
    }
    let pool = args.stores.kernel_pool();
    let kernels = Kernels::open(usize::from(args.kernels), async || {
        reopen(args, &stores, pool).await
    });
    let kernels = kernels.await.context("opening the kernels")?;
    let stage = Stage {
        kernels,
        settings: Settings {
            buyers: args.buyers,
            units: args.units,
            attempts: args.attempts,
            seed: args.seed.unwrap_or_else(rand::random),
        },
        database_url,
        pool,
    };
    let report = proof::prove(&stage, &names, say).await?;
    stage.kernels.close().await;
    say(&proof::print(&report));
    if let Some(file) = &args.json {
        write_json(file, &report)?;
    }
    Ok(match (report.violations, report.valid) {
        (0, true) => ExitCode::SUCCESS,
        (0, false) => ExitCode::from(4),
        _ => ExitCode::from(3),
    })
}

async fn reopen(
    args: &ProveArgs,
    stores: &Stores,
    pool: u32,
) -> Result<Endpoints, crate::ledger::endpoint::EndpointError> {
    if let Some(host) = &args.stores.dsql_cluster_endpoint {
        let hosts: Vec<String> = std::iter::once(host)
            .chain(&args.stores.dsql_peer_endpoint)
            .cloned()
            .collect();
        return Endpoints::dsql(&hosts, pool).await;
    }
    if let Some(url) = &args.stores.database_url {
        return Endpoints::postgres(url, pool).await;
    }
    #[cfg(feature = "local")]
    if let Some(local) = &stores.local {
        return Endpoints::postgres(&local.database_url, pool).await;
    }
    Ok(stores.endpoints.clone())
}

#[cfg(feature = "local")]
async fn bench_kernel(args: &BenchKernelArgs) -> anyhow::Result<ExitCode> {
    let options = crate::bench::Options {
        pgbench: args.pgbench.clone(),
        within: args.within.clone(),
        quick: args.quick,
    };
    let report = crate::bench::run(&options, say).await?;
    say(&crate::bench::print(&report));
    if let Some(file) = &args.report {
        write_json(file, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "local")]
async fn bench_live(args: &BenchLiveArgs) -> anyhow::Result<ExitCode> {
    use crate::bench::live;
    let mut parts: BTreeSet<_> = args.only.iter().copied().collect();
    if parts.is_empty() {
        parts.extend(live::Part::value_variants());
    }
    let options = live::Options {
        socketio: args.socketio.clone(),
        within: args.within.clone(),
        quick: args.quick,
        parts,
    };
    let report = live::run(&options, say).await?;
    say(&live::print(&report));
    if let Some(file) = &args.report {
        write_json(file, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_json(file: &Path, report: &impl Serialize) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}
