//! `test`: everything CI runs, step by step, with a table of times at the end.

use crate::stamp::read_file;
use crate::{check, room, run, size, step, tools, wasm, wasm::Profile, workspace::Workspace};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Run only this step (may be repeated); what it builds upon must be there
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    only: Vec<String>,
    /// Leave this step out (may be repeated)
    #[arg(long, value_name = "STEP", value_parser = step_names(), conflicts_with = "only")]
    skip: Vec<String>,
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

const STEPS: [Step; 12] = [
    Step {
        name: "format",
        about: "rustfmt",
        run: check::format,
    },
    Step {
        name: "rules",
        about: "house rules by text",
        run: check::house_rules,
    },
    Step {
        name: "dependencies",
        about: "licences, single copies",
        run: check::dependencies,
    },
    Step {
        name: "lint",
        about: "clippy, host",
        run: check::lint_host,
    },
    Step {
        name: "lint-wasm",
        about: "clippy, browser",
        run: check::lint_wasm,
    },
    Step {
        name: "bundle",
        about: "wasm bundle and site",
        run: bundle,
    },
    Step {
        name: "size",
        about: "first page's budget",
        run: size::gate,
    },
    // Before the server's own step, as the next: what is built last is what the browser tests start.
    Step {
        name: "production",
        about: "the build for production",
        run: production,
    },
    Step {
        name: "mutants",
        about: "engines broken on purpose",
        run: mutants,
    },
    Step {
        name: "server",
        about: "the server and its tests",
        run: server,
    },
    Step {
        name: "rust",
        about: "unit and database tests",
        run: rust,
    },
    Step {
        name: "browser",
        about: "Playwright and axe",
        run: browser_step,
    },
];

/// The last step: it compares with the state before the first, so it stands outside the list.
const CLEAN: &str = "clean-tree";

struct Done {
    name: &'static str,
    about: &'static str,
    elapsed: Duration,
    passed: bool,
}

/// Runs the chosen steps until one fails, and prints their times.
pub fn run(workspace: &Workspace, arguments: &TestArgs) -> Result<()> {
    room::warn_if_short(workspace);
    let before = tree_state(workspace);
    let mut table = Vec::new();
    let mut outcome = Ok(());
    for chosen in STEPS.iter().filter(|step| arguments.wants(step.name)) {
        outcome = record(&mut table, chosen.name, chosen.about, || {
            (chosen.run)(workspace)
        });
        if outcome.is_err() {
            break;
        }
    }
    if outcome.is_ok() && arguments.wants(CLEAN) {
        outcome = record(&mut table, CLEAN, "nothing was left behind", || {
            compare_trees(before.as_deref(), tree_state(workspace).as_deref())
        });
    }
    print_table(&table);
    if outcome.is_err() {
        room::warn_if_short(workspace);
    }
    outcome
}

/// Runs the browser tests against the server that was built; extra arguments go to Playwright.
pub fn browser(workspace: &Workspace, profile: Profile, arguments: &[String]) -> Result<()> {
    let chromium = tools::for_browser_tests(workspace)?;
    let folder = workspace.end2end();
    let mut node = tools::node(workspace)?;
    node.current_dir(&folder)
        .arg(folder.join("node_modules/@playwright/test/cli.js"))
        .arg("test")
        .args(arguments)
        .env("LOTZERO_CHROMIUM", chromium)
        .env("LOTZERO_BIN", run::binary(workspace, profile))
        .env("LOTZERO_REPORTS", workspace.target.join("reports"))
        .env("LEPTOS_SITE_ROOT", workspace.site());
    step::run("browser tests (Playwright)", &mut node)
}

impl TestArgs {
    fn wants(&self, name: &str) -> bool {
        let among = |names: &[String]| names.iter().any(|chosen| chosen == name);
        if self.only.is_empty() {
            !among(&self.skip)
        } else {
            among(&self.only)
        }
    }
}

fn step_names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).chain([CLEAN]).collect()
}

fn record(
    table: &mut Vec<Done>,
    name: &'static str,
    about: &'static str,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let start = Instant::now();
    let outcome = work().with_context(|| format!("step {name} failed"));
    table.push(Done {
        name,
        about,
        elapsed: start.elapsed(),
        passed: outcome.is_ok(),
    });
    outcome
}

fn print_table(table: &[Done]) {
    println!("\n{:<14} {:<26} {:>12}", "step", "", "time");
    for Done {
        name,
        about,
        elapsed,
        passed,
    } in table
    {
        let mark = if *passed { "" } else { "  FAILED" };
        println!(
            "{name:<14} {about:<26} {:>12}{mark}",
            step::seconds(*elapsed)
        );
    }
    let total = table.iter().map(|done| done.elapsed).sum();
    println!("{:<14} {:<26} {:>12}", "total", "", step::seconds(total));
}

fn bundle(workspace: &Workspace) -> Result<()> {
    tools::for_build(workspace)?;
    run::bundle(workspace, Profile::Release)?;
    let wasm = read_file(&workspace.site().join("pkg").join(wasm::wasm_file()))?;
    wasm::refuse_server_text(&wasm)
}

/// Compiles the server, and the tests with it: by itself it would be compiled once more for them.
fn server(workspace: &Workspace) -> Result<()> {
    tools::for_build(workspace)?;
    let mut cargo = tests(workspace);
    step::run("compiling the server and its tests", cargo.arg("--no-run"))
}

fn browser_step(workspace: &Workspace) -> Result<()> {
    browser(workspace, Profile::Dev, &[])
}

/// What runs Rust tests. All of them run, whatever fails. All steps name the same packages: then the
/// dependencies have the same features in each, and are compiled once.
fn runner(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    if has_nextest(workspace) {
        cargo.args(["nextest", "run", "--profile", "ci"]);
    } else {
        cargo.args(["test", "--no-fail-fast"]);
    }
    cargo.args(check::HOST_PACKAGES);
    cargo
}

fn has_nextest(workspace: &Workspace) -> bool {
    step::succeeds(workspace.cargo().args(["nextest", "--version"]))
}

/// Runs the unit and database tests, without the examples in docs.
fn tests(workspace: &Workspace) -> Command {
    let mut cargo = runner(workspace);
    if !has_nextest(workspace) {
        cargo.args(["--bins", "--lib", "--tests"]);
    }
    cargo
}

/// Unit and database tests. The database tests start PostgreSQL from the npm packages.
fn rust(workspace: &Workspace) -> Result<()> {
    tools::for_build(workspace)?;
    if !has_nextest(workspace) {
        step::note(
            "cargo-nextest is not installed: `cargo test` it is (cargo install --locked cargo-nextest)",
        );
    }
    step::run("unit and database tests", &mut tests(workspace))?;
    let mut cargo = workspace.cargo();
    step::run_quietly(
        "examples in the rules' docs",
        cargo.args(["test", "--doc", "-p", "shared"]),
    )
}

/// Sees to it that each engine that is broken on purpose is caught, by a build of its own. Only its
/// own tests are named: a filter of the runner would have all the others built as well.
fn mutants(workspace: &Workspace) -> Result<()> {
    tools::for_build(workspace)?;
    let mut cargo = runner(workspace);
    cargo.args(["--features", "server/mutants"]);
    cargo.args(["--test", "mutants", "--test", "mutant"]);
    step::run("engines broken on purpose", &mut cargo)
}

/// Sees to it that a build for production breaks nothing and says so.
fn production(workspace: &Workspace) -> Result<()> {
    let mut cargo = runner(workspace);
    cargo.args(["--no-default-features", "--test", "production"]);
    step::run("the build for production", &mut cargo)
}

/// What git says about the tree; `None` where this is not a git checkout.
fn tree_state(workspace: &Workspace) -> Option<String> {
    let mut git = workspace.command("git", &workspace.root);
    step::capture(git.args(["status", "--porcelain"])).ok()
}

fn compare_trees(before: Option<&str>, after: Option<&str>) -> Result<()> {
    let (Some(before), Some(after)) = (before, after) else {
        step::note("git says nothing here: the clean-tree check has nothing to compare");
        return Ok(());
    };
    let fresh: Vec<&str> = after
        .lines()
        .filter(|line| !before.lines().any(|known| &known == line))
        .collect();
    if !fresh.is_empty() {
        bail!("the tests changed the tree: {}", fresh.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(only: &[&str], skip: &[&str]) -> TestArgs {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        TestArgs {
            only: owned(only),
            skip: owned(skip),
        }
    }

    #[test]
    fn only_and_skip_choose_the_steps() {
        assert!(arguments(&[], &[]).wants("lint"));
        assert!(!arguments(&[], &["lint"]).wants("lint"));
        assert!(arguments(&["lint"], &[]).wants("lint"));
        assert!(!arguments(&["lint"], &[]).wants("rust"));
    }

    #[test]
    fn a_tree_that_changed_is_named_and_earlier_changes_are_not() {
        assert!(compare_trees(Some(" M a.rs\n"), Some(" M a.rs\n")).is_ok());
        assert!(compare_trees(None, None).is_ok());
        let error = compare_trees(Some(" M a.rs\n"), Some(" M a.rs\n?? b.txt\n")).unwrap_err();
        assert!(error.to_string().contains("b.txt") && !error.to_string().contains("a.rs"));
    }

    #[test]
    fn a_failed_step_is_in_the_table_and_in_the_error() {
        let mut table = Vec::new();
        let error = record(&mut table, "lint", "clippy", || bail!("three warnings")).unwrap_err();
        assert_eq!(format!("{error:#}"), "step lint failed: three warnings");
        assert!(!table[0].passed);
    }
}
