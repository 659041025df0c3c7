//! The command line.

mod key;
mod prove;

use crate::clock::Clock;
use crate::config::{ServeArgs, StoreArgs};
use crate::firehose::Firehose;
use crate::ledger::{Ledger, audit, schema};
use crate::stores::{self, Missing, Stores};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
#[cfg(feature = "local")]
use std::collections::BTreeSet;
use std::path::Path;
#[cfg(feature = "local")]
use std::path::PathBuf;
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
    Prove(prove::ProveArgs),
    /// Sends a swarm of agents for few units over HTTP, and checks the committed rows
    #[cfg(feature = "local")]
    Swarm(prove::SwarmArgs),
    /// A build for production sends no swarm, and says so
    #[cfg(not(feature = "local"))]
    #[command(hide = true)]
    Swarm {
        /// Whatever was asked for
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        asked: Vec<String>,
    },
    /// A node of a proof run that can be killed
    #[cfg(feature = "local")]
    #[command(hide = true)]
    ApiNode(prove::ApiNodeArgs),
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
    /// Injects the faults of the reference one after another, on stores of its own
    Faults(BenchFaultsArgs),
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
struct BenchFaultsArgs {
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where the folder of the bench's stores is made, on a disk; it goes away with them
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    within: PathBuf,
    /// A tenth of the sizes, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Try this fault only, such as F6; may be repeated
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Repeat a run: the order of what is drawn by chance follows from it
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
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

impl Command {
    /// What is logged if `RUST_LOG` says nothing. A proof run breaks things on purpose: that they
    /// broke is in its report.
    const fn log_filter(&self) -> &'static str {
        match self {
            Self::Prove(_) => "error",
            #[cfg(feature = "local")]
            Self::Swarm(_) | Self::ApiNode(_) => "error",
            #[cfg(not(feature = "local"))]
            Self::Swarm { .. } => LOG_FILTER,
            #[cfg(feature = "local")]
            Self::Stores { .. } | Self::Bench { .. } => LOG_FILTER,
            Self::Serve(_) | Self::Seed(_) | Self::Schema(_) | Self::Key(_) | Self::Audit(_) => {
                LOG_FILTER
            }
        }
    }
}

const LOG_FILTER: &str = "info,aws=warn,hyper=warn,sqlx=warn";

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_unset| cli.command.log_filter().into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
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
        Command::Prove(args) => prove::prove(&args).await,
        #[cfg(feature = "local")]
        Command::Swarm(args) => prove::swarm(&args).await,
        #[cfg(not(feature = "local"))]
        Command::Swarm { asked: _ } => anyhow::bail!(crate::config::BREAKS_NOTHING),
        #[cfg(feature = "local")]
        Command::ApiNode(args) => prove::api_node(&args).await,
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
        Bench::Faults(args) => return bench_faults(&args).await,
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
    let clock = Arc::clone(ledger.clock());
    let firehose = Firehose::connect(stores.firehose.clone(), clock).await;
    let findings = crate::audits::run(&ledger, &firehose).await?;
    let broken = audit::violations(&findings);
    if args.json {
        say(&serde_json::to_string_pretty(&findings)?);
    } else {
        for line in &stores.banner {
            say(line);
        }
        for finding in &findings {
            let state = match (finding.violations, &finding.unknown) {
                (0, None) => "ok     ",
                (0, Some(_)) => "unknown",
                _ => "BROKEN ",
            };
            let (audit, evidence) = (finding.audit, finding.evidence.join(", "));
            let unknown = finding.unknown.as_deref().unwrap_or_default();
            say(&format!(
                "{:<4} {state} {} {evidence}{unknown}",
                audit.id, audit.invariant
            ));
        }
        let unknown = findings.iter().filter(|one| one.unknown.is_some()).count();
        say(&format!(
            "{} audits, {broken} violations, {unknown} unknown",
            findings.len()
        ));
    }
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
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
        parts.extend(<live::Part as clap::ValueEnum>::value_variants());
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

#[cfg(feature = "local")]
async fn bench_faults(args: &BenchFaultsArgs) -> anyhow::Result<ExitCode> {
    use crate::proof::faults;
    let options = crate::bench::FaultsOptions {
        within: args.within.clone(),
        quick: args.quick,
        only: args.only.clone(),
        seed: args.seed.unwrap_or_else(rand::random),
    };
    let report = crate::bench::faults(&options, say).await?;
    say(&faults::print(&report));
    if let Some(file) = &args.report {
        write_json(file, &report)?;
    }
    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

fn write_json(file: &Path, report: &impl Serialize) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}
