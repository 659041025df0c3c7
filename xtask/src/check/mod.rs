//! `check`: format, lints, house rules and dependencies.

mod dependencies;
mod licence;
mod rules;
mod source;

use crate::{site, step, tools, wasm, workspace::Workspace};
use anyhow::{Result, bail};

/// The packages of the host's side. `app` is compiled with `ssr` here; the browser's side has a
/// cargo call of its own, because `ssr` and `hydrate` must never meet in one.
pub const HOST_PACKAGES: [&str; 10] = [
    "-p",
    "shared",
    "-p",
    "app",
    "-p",
    "server",
    "-p",
    "xtask",
    "--features",
    "app/ssr",
];

/// Folders whose Rust and SQL the house rules read.
const SOURCE_FOLDERS: [&str; 3] = ["app", "server", "shared"];

/// Runs every check.
pub fn run(workspace: &Workspace) -> Result<()> {
    format(workspace)?;
    house_rules(workspace)?;
    dependencies(workspace)?;
    lint_host(workspace)?;
    lint_wasm(workspace)
}

/// Requires that rustfmt would change nothing.
pub fn format(workspace: &Workspace) -> Result<()> {
    tools::for_lints(workspace)?;
    let mut cargo = workspace.cargo();
    step::run(
        "checking the format",
        cargo.args(["fmt", "--all", "--", "--check"]),
    )
}

/// Runs clippy over the host's packages and their tests, and over the server as it is built for
/// production: without the stores, gates and benches of one machine.
pub fn lint_host(workspace: &Workspace) -> Result<()> {
    tools::for_lints(workspace)?;
    let mut cargo = workspace.cargo();
    cargo
        .arg("clippy")
        .args(HOST_PACKAGES)
        .args(["--features", "server/mutants"])
        .args(["--all-targets", "--", "-D", "warnings"]);
    step::run("clippy, host", &mut cargo)?;
    let mut cargo = workspace.cargo();
    cargo.args(["clippy", "-p", "server", "--no-default-features"]);
    cargo.args(["--", "-D", "warnings"]);
    step::run("clippy, server for production", &mut cargo)
}

/// Runs clippy over what the browser runs.
pub fn lint_wasm(workspace: &Workspace) -> Result<()> {
    tools::for_lints(workspace)?;
    let mut cargo = workspace.cargo();
    cargo.args(["clippy", "-p", "browser", "-p", "app", "-p", "shared"]);
    cargo.args([
        "--features",
        "app/hydrate",
        "--target",
        wasm::TARGET,
        "--",
        "-D",
        "warnings",
    ]);
    step::run("clippy, browser", &mut cargo)
}

/// Reads the sources for what the house rules forbid.
pub fn house_rules(workspace: &Workspace) -> Result<()> {
    step::timed("reading the sources for house rules", || {
        let mut findings = Vec::new();
        for folder in SOURCE_FOLDERS {
            for path in site::files_below(&workspace.root.join(folder))? {
                let name = site::name_below(&workspace.root, &path)?;
                let ending = path.extension().and_then(|ending| ending.to_str());
                if matches!(ending, Some("rs" | "sql")) {
                    let text = String::from_utf8(crate::stamp::read_file(&path)?)?;
                    findings.extend(rules::findings(&name, &text));
                }
            }
        }
        for lock in ["xtask/npm/package-lock.json", "end2end/package-lock.json"] {
            let text = String::from_utf8(crate::stamp::read_file(&workspace.root.join(lock))?)?;
            findings.extend(rules::lock_findings(lock, &text));
        }
        report("house rules", &findings)
    })
}

/// Checks licences, sources and single copies of the dependencies.
pub fn dependencies(workspace: &Workspace) -> Result<()> {
    step::timed("checking the dependencies", || {
        report("dependencies", &dependencies::findings(workspace)?)
    })?;
    if step::succeeds(workspace.cargo().args(["deny", "--version"])) {
        let mut cargo = workspace.cargo();
        cargo.args(["deny", "check", "licenses", "bans", "sources"]);
        return step::run("cargo deny", &mut cargo);
    }
    step::note("cargo-deny is not installed: only our own reading of deny.toml was checked");
    Ok(())
}

fn report(what: &str, findings: &[String]) -> Result<()> {
    for finding in findings {
        step::note(finding);
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("{what}: 1 finding"),
        several => bail!("{what}: {several} findings"),
    }
}
