//! The command line: what can be asked, and which module answers.

use crate::{bench, check, run, size, test, tools, wasm::Profile, workspace::Workspace};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Builds, runs and tests this repository, and installs what that needs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the wasm bundle and the server, then serve <http://localhost:3000>
    Run(RunArgs),
    /// Build the wasm bundle and the server
    Build(BuildArgs),
    /// Run everything CI runs: format, lints, rules, unit, database and browser tests
    Test(test::TestArgs),
    /// Run format, lints, house rules and dependency checks
    Check,
    /// Build, then run the browser tests; what follows `--` goes to Playwright
    End2end(RunArgs),
    /// Measure; a report goes to target/reports
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Print the compressed size of the wasm bundle that was built last
    Size,
    /// Install what building and testing need, and nothing else
    Tools,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The commit kernel beside pgbench, one purchase a transaction, on the same PostgreSQL
    Kernel(bench::KernelArgs),
    /// The live sockets beside a bare loop and Socket.IO, with the same frames and clients
    Live(bench::LiveArgs),
    /// The faults of the reference, each injected, seen to take effect, and checked
    Faults(bench::FaultsArgs),
}

#[derive(Debug, Args)]
struct BuildArgs {
    /// Optimise the server for speed and the wasm bundle for size
    #[arg(long)]
    release: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    build: BuildArgs,
    /// Arguments passed on
    #[arg(last = true)]
    rest: Vec<String>,
}

impl BuildArgs {
    fn profile(&self) -> Profile {
        if self.release {
            Profile::Release
        } else {
            Profile::Dev
        }
    }
}

/// Runs the task that was asked for.
pub fn dispatch(cli: Cli) -> Result<()> {
    let workspace = Workspace::find()?;
    match cli.command {
        Task::Run(args) => {
            run::build(&workspace, args.build.profile())?;
            run::serve(&workspace, args.build.profile(), &args.rest)
        }
        Task::Build(args) => run::build(&workspace, args.profile()),
        Task::Test(args) => test::run(&workspace, &args),
        Task::Check => check::run(&workspace),
        Task::End2end(args) => {
            run::build(&workspace, args.build.profile())?;
            test::browser(&workspace, args.build.profile(), &args.rest)
        }
        Task::Bench { what } => match what {
            Bench::Kernel(args) => bench::kernel(&workspace, &args),
            Bench::Live(args) => bench::live(&workspace, &args),
            Bench::Faults(args) => bench::faults(&workspace, &args),
        },
        Task::Size => size::report(&workspace).map(drop),
        Task::Tools => {
            tools::for_build(&workspace)?;
            tools::for_browser_tests(&workspace).map(drop)
        }
    }
}
