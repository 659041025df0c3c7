//! `bench`: builds what is measured, and has it measure itself.

use crate::{pgbench, run, step, tools, wasm::Profile, workspace::Workspace};
use anyhow::{Context, Result};
use clap::Args;
use std::os::unix::process::CommandExt;

#[derive(Debug, Args)]
pub struct LiveArgs {
    /// Short runs, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Measure this part only (fanout, stuck, reconnect or commit); may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

/// Becomes `lotzero bench live`, as [`kernel`] does.
pub fn live(workspace: &Workspace, arguments: &LiveArgs) -> Result<()> {
    tools::for_stores(workspace)?;
    // Node.js runs Socket.IO.
    tools::node(workspace)?;
    let socketio = tools::for_live_bench(workspace)?;
    run::server(workspace, Profile::Release)?;
    let binary = run::binary(workspace, Profile::Release);
    let mut command = workspace.command(&binary, &workspace.root);
    command.args(["bench", "live", "--socketio"]).arg(socketio);
    command
        .arg("--report")
        .arg(workspace.target.join("reports/live.json"));
    command.arg("--within").arg(workspace.target.join("bench"));
    if arguments.quick {
        command.arg("--quick");
    }
    for part in &arguments.only {
        command.args(["--only", part]);
    }
    step::note("starting lotzero bench live; nothing else should run meanwhile");
    Err(command.exec()).with_context(|| format!("starting {}", binary.display()))
}

#[derive(Debug, Args)]
pub struct FaultsArgs {
    /// A tenth of the sizes, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Try this fault only, such as F6; may be repeated
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Repeat a run
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Becomes `lotzero bench faults`, as [`kernel`] does.
pub fn faults(workspace: &Workspace, arguments: &FaultsArgs) -> Result<()> {
    tools::for_stores(workspace)?;
    run::server(workspace, Profile::Release)?;
    let binary = run::binary(workspace, Profile::Release);
    let mut command = workspace.command(&binary, &workspace.root);
    command.args(["bench", "faults", "--report"]);
    command.arg(workspace.target.join("reports/faults.json"));
    command.arg("--within").arg(workspace.target.join("bench"));
    if arguments.quick {
        command.arg("--quick");
    }
    for id in &arguments.only {
        command.args(["--only", id]);
    }
    if let Some(seed) = arguments.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    step::note("starting lotzero bench faults");
    Err(command.exec()).with_context(|| format!("starting {}", binary.display()))
}

#[derive(Debug, Args)]
pub struct KernelArgs {
    /// Short runs, to see that everything works
    #[arg(long)]
    quick: bool,
}

/// Becomes `lotzero bench kernel`: its exit code is this one's. Returns only if it cannot start.
///
/// Only the server is built. The bench serves the API from its own process, which needs no pages;
/// `lotzero serve` is what asks for them.
pub fn kernel(workspace: &Workspace, arguments: &KernelArgs) -> Result<()> {
    tools::for_stores(workspace)?;
    let pgbench = pgbench::find(workspace)?;
    run::server(workspace, Profile::Release)?;
    let binary = run::binary(workspace, Profile::Release);
    let mut command = workspace.command(&binary, &workspace.root);
    command.args(["bench", "kernel", "--pgbench"]).arg(pgbench);
    command
        .arg("--report")
        .arg(workspace.target.join("reports/kernel.json"));
    command.arg("--within").arg(workspace.target.join("bench"));
    if arguments.quick {
        command.arg("--quick");
    }
    step::note("starting lotzero bench kernel; nothing else should run meanwhile");
    Err(command.exec()).with_context(|| format!("starting {}", binary.display()))
}
