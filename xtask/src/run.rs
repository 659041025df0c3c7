//! `build` and `run`.

use crate::{site, step, tools, wasm, wasm::Profile, workspace::Workspace};
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

/// Builds everything that serving needs.
pub fn build(workspace: &Workspace, profile: Profile) -> Result<()> {
    tools::for_build(workspace)?;
    bundle(workspace, profile)?;
    server(workspace, profile)
}

/// Builds the wasm bundle and fills the site folder.
pub fn bundle(workspace: &Workspace, profile: Profile) -> Result<()> {
    let folder = wasm::bundle(workspace, profile)?;
    site::build(workspace, &folder, profile)
}

/// Builds the server.
pub fn server(workspace: &Workspace, profile: Profile) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "server", "--bin", "lotzero"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    step::run("compiling the server", &mut cargo)
}

/// The server's binary.
pub fn binary(workspace: &Workspace, profile: Profile) -> PathBuf {
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    workspace.target.join(folder).join("lotzero")
}

/// Becomes the server: Ctrl-C and signals go straight to it. Returns only if it cannot start.
pub fn serve(workspace: &Workspace, profile: Profile, arguments: &[String]) -> Result<()> {
    step::note("starting lotzero serve; Ctrl-C stops it");
    let binary = binary(workspace, profile);
    let mut command = workspace.command(&binary, &workspace.root);
    command.arg("serve").args(arguments);
    if std::env::var_os("LEPTOS_SITE_ROOT").is_none() {
        command.env("LEPTOS_SITE_ROOT", workspace.site());
    }
    Err(command.exec()).with_context(|| format!("starting {}", binary.display()))
}
