//! Where things are. The root is found at run time: a binary built in one checkout may be run in
//! another, and must then act on that other one.

use crate::step;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A checkout of this repository and its target folder.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
}

impl Workspace {
    /// Finds the checkout around the current folder.
    pub fn find() -> Result<Self> {
        let here = std::env::current_dir().context("reading the current folder")?;
        let root = root_above(&here).with_context(|| {
            format!(
                "no Cargo.toml with [workspace] at or above {}",
                here.display()
            )
        })?;
        let target = target_folder(&root)?;
        Ok(Self { root, target })
    }

    /// The folder the server serves files from.
    pub fn site(&self) -> PathBuf {
        self.target.join("site")
    }

    /// The folder of the installed npm packages.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The folder in which this tool remembers what is up to date.
    pub fn state(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// The folder of the browser tests.
    pub fn end2end(&self) -> PathBuf {
        self.root.join("end2end")
    }

    /// A cargo command in this checkout.
    pub fn cargo(&self) -> Command {
        cargo_in(&self.root)
    }

    /// A command in the given folder, without the variables `cargo run` set for this tool.
    pub fn command(&self, program: impl AsRef<Path>, folder: &Path) -> Command {
        clean_command(program.as_ref(), folder)
    }
}

fn root_above(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .find(|folder| is_root(folder))
        .map(Path::to_path_buf)
}

fn is_root(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
}

fn target_folder(root: &Path) -> Result<PathBuf> {
    let mut cargo = cargo_in(root);
    cargo.args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&step::capture(&mut cargo)?)
        .context("reading the answer of cargo metadata")?;
    let folder = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str)
        .context("cargo metadata names no target folder")?;
    Ok(PathBuf::from(folder))
}

fn cargo_in(root: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    clean_command(&cargo, root)
}

fn clean_command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_set_by_cargo_run) {
            command.env_remove(&name);
        }
    }
    command
}

fn is_set_by_cargo_run(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || [
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_BIN_NAME",
            "CARGO_CRATE_NAME",
        ]
        .contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_nearest_manifest_with_a_workspace() {
        let folder = tempfile::tempdir().unwrap();
        let member = folder.path().join("member/src");
        std::fs::create_dir_all(&member).unwrap();
        std::fs::write(
            folder.path().join("Cargo.toml"),
            "[workspace]\nmembers = []\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("member/Cargo.toml"), "[package]\n").unwrap();

        assert_eq!(root_above(&member).as_deref(), Some(folder.path()));
    }

    #[test]
    fn only_the_variables_of_cargo_run_are_dropped() {
        assert!(is_set_by_cargo_run("CARGO_PKG_NAME"));
        assert!(is_set_by_cargo_run("CARGO_MANIFEST_DIR"));
        assert!(!is_set_by_cargo_run("CARGO_HOME"));
        assert!(!is_set_by_cargo_run("CARGO_TARGET_DIR"));
    }
}
