//! The wasm bundle: cargo, then wasm-bindgen as a library, then wasm-opt and terser for release.

use crate::names::Renamed;
use crate::stamp::{Stamp, read_file};
use crate::{compress::Effort, step, tools, unused, workspace::Workspace};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the bundle's files. The page asks for `NAME.js` and `NAME.wasm`, because
/// `LEPTOS_OUTPUT_NAME` is set at compile time (`.cargo/config.toml`).
pub const NAME: &str = "lotzero";

pub const TARGET: &str = "wasm32-unknown-unknown";

/// The features rustc uses. With `--all-features` wasm-opt writes what browsers refuse
/// ("Invalid import kind 127").
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// What wasm-opt does: small before fast; then it follows which values can arrive where, and makes
/// what that leaves small again, until nothing gets smaller. Nothing lies in the first KiB of the
/// memory, which is the far end of the stack.
const WASM_OPTIONS: [&str; 5] = [
    "-Oz",
    "--gufa-optimizing",
    "-Oz",
    "--converge",
    "--low-memory-unused",
];

/// Then it shortens the names, which it says on its output. Together with `--converge` it would
/// say so several times. A last look at what was written and read again still finds something.
const SHORTEN_NAMES: [&str; 3] = [
    "-Oz",
    "--low-memory-unused",
    "--minify-imports-and-exports-and-modules",
];

/// What terser does to the glue, an ECMAScript module.
const GLUE_OPTIONS: [&str; 4] = ["--module", "--compress", "passes=2", "--mangle"];

/// A panic in the released bundle stops it without words, and nothing derives `Debug` text or
/// keeps its place in the source: an eighth of the download. Development builds keep all of it.
/// These options of the stable compiler are not stable yet; a toolchain that lacks them builds
/// the larger bundle.
const LEAN_FLAGS: &str =
    "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=none";

/// The standard library, compiled with the same options.
const LEAN_CARGO: [&str; 2] = [
    "-Zbuild-std=std,panic_abort",
    "-Zbuild-std-features=optimize_for_size",
];

/// Lets the stable compiler take [`LEAN_FLAGS`].
const UNSTABLE: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

/// Text that only the server has; in the browser's bundle it would mean that server code leaked.
const SERVER_TEXT: [&str; 6] = [
    "postgres://",
    "INSERT INTO",
    "aws_sdk",
    "dynamodb",
    "sqlx",
    "rustls",
];

/// How the bundle and the server are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Dev,
    Release,
}

impl Profile {
    /// The cargo profile of the wasm crate.
    fn cargo_name(self) -> &'static str {
        match self {
            Self::Dev => "wasm-dev",
            Self::Release => "wasm-release",
        }
    }

    /// How hard the site's files are compressed.
    pub fn effort(self) -> Effort {
        match self {
            Self::Dev => Effort::Quick,
            Self::Release => Effort::Smallest,
        }
    }
}

/// Builds the bundle and returns the folder that holds its files.
pub fn bundle(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let name = profile.cargo_name();
    let mut cargo = workspace.cargo();
    cargo.args([
        "build",
        "--package",
        "browser",
        "--lib",
        "--target",
        TARGET,
        "--profile",
        name,
    ]);
    if profile == Profile::Release && takes_lean_flags(workspace) {
        tools::standard_library_source(workspace)?;
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        cargo
            .args(LEAN_CARGO)
            .env("RUSTFLAGS", format!("{flags} {LEAN_FLAGS}"))
            .env(UNSTABLE.0, UNSTABLE.1);
    }
    step::run(
        &format!("compiling the browser's side ({name})"),
        &mut cargo,
    )?;

    let compiled = workspace
        .target
        .join(TARGET)
        .join(name)
        .join("browser.wasm");
    let wasm = read_file(&compiled)?;
    let folder = workspace.state().join(name);
    let lock = read_file(&tools::npm_folder(workspace).join("package-lock.json"))?;
    let stamp = Stamp::new(
        workspace.state().join(format!("{name}.stamp")),
        [
            wasm.as_slice(),
            lock.as_slice(),
            WASM_FEATURES.concat().as_bytes(),
            WASM_OPTIONS.concat().as_bytes(),
            SHORTEN_NAMES.concat().as_bytes(),
            GLUE_OPTIONS.concat().as_bytes(),
            unused::CLASSES.as_bytes(),
        ],
    );
    if stamp.is_current() && folder.join(wasm_file()).is_file() {
        return Ok(folder);
    }
    stamp.clear()?;
    step::timed("binding wasm to JavaScript", || {
        bind(wasm, &folder, profile)
    })?;
    if profile == Profile::Release {
        optimise(workspace, &folder)?;
    }
    stamp.write()?;
    Ok(folder)
}

fn takes_lean_flags(workspace: &Workspace) -> bool {
    let mut rustc = workspace.command("rustc", &workspace.root);
    rustc
        .env(UNSTABLE.0, UNSTABLE.1)
        .args(LEAN_FLAGS.split(' '))
        .args(["--print", "cfg", "--target", TARGET]);
    let takes = step::succeeds(&mut rustc);
    if !takes {
        step::note("this Rust toolchain cannot leave panic messages out: a larger bundle");
    }
    takes
}

/// The file name of the wasm module.
pub fn wasm_file() -> String {
    format!("{NAME}.wasm")
}

/// The file name of its JavaScript glue.
pub fn glue_file() -> String {
    format!("{NAME}.js")
}

/// Fails if the bundle holds text that only the server should have.
pub fn refuse_server_text(wasm: &[u8]) -> Result<()> {
    let leaked = leaked_text(wasm);
    if !leaked.is_empty() {
        bail!("the wasm bundle holds server text: {}", leaked.join(", "));
    }
    Ok(())
}

fn leaked_text(wasm: &[u8]) -> Vec<&'static str> {
    let holds = |text: &str| {
        wasm.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    SERVER_TEXT.into_iter().filter(|text| holds(text)).collect()
}

fn bind(wasm: Vec<u8>, folder: &Path, profile: Profile) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("emptying {}", folder.display()))?;
    }
    let release = profile == Profile::Release;
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen
        .input_bytes(NAME, wasm)
        .web(true)?
        .typescript(false)
        // The page always says where the module is.
        .omit_default_module_path(true)
        .remove_name_section(release)
        .remove_producers_section(release)
        .generate(folder)
        .context("wasm-bindgen")?;
    adopt_page_name(folder)
}

/// Gives the module the name the page asks for; wasm-bindgen always appends `_bg`.
fn adopt_page_name(folder: &Path) -> Result<()> {
    let written = format!("{NAME}_bg.wasm");
    std::fs::rename(folder.join(&written), folder.join(wasm_file()))
        .with_context(|| format!("renaming {written}"))?;
    let glue = String::from_utf8(read_file(&folder.join(glue_file()))?)?;
    if glue.contains(&written) {
        bail!("the JavaScript glue asks for {written} itself: it must take the page's name");
    }
    Ok(())
}

fn optimise(workspace: &Workspace, folder: &Path) -> Result<()> {
    let wasm = folder.join(wasm_file());
    unused::drop_stream_classes(&folder.join(glue_file()), &wasm)?;
    let smaller = folder.join("optimised.wasm");
    let mut shrink = wasm_opt(workspace, &wasm, &smaller)?;
    step::run_quietly(
        "shrinking the wasm (wasm-opt -Oz)",
        shrink.args(WASM_OPTIONS),
    )?;
    let mut shorten = wasm_opt(workspace, &smaller, &wasm)?;
    let renamed = Renamed::read(&step::capture(shorten.args(SHORTEN_NAMES))?)?;
    std::fs::remove_file(&smaller).with_context(|| format!("removing {}", smaller.display()))?;
    let path = folder.join(glue_file());
    let glue = renamed.rewrite(&String::from_utf8(read_file(&path)?)?)?;
    std::fs::write(&path, glue).with_context(|| format!("writing {}", path.display()))?;
    let mut shrink = tools::node(workspace)?;
    shrink
        .arg(workspace.tools().join("node_modules/terser/bin/terser"))
        .args(GLUE_OPTIONS)
        .arg("--output")
        .arg(&path)
        .arg(&path);
    step::run_quietly("shrinking the JavaScript glue (terser)", &mut shrink)
}

fn wasm_opt(workspace: &Workspace, from: &Path, to: &Path) -> Result<Command> {
    let mut command = tools::node(workspace)?;
    command
        .arg(workspace.tools().join("node_modules/binaryen/bin/wasm-opt"))
        .args(WASM_FEATURES)
        .arg(from)
        .arg("-o")
        .arg(to);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_text_in_the_bundle_is_found() {
        assert_eq!(leaked_text(b"\0asm place your bid"), Vec::<&str>::new());
        assert_eq!(leaked_text(b"\0asm..INSERT INTO bids.."), ["INSERT INTO"]);
        assert!(refuse_server_text(b"postgres://x").is_err());
    }

    #[test]
    fn the_module_gets_the_name_the_page_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("lotzero_bg.wasm"), "wasm").unwrap();
        std::fs::write(path("lotzero.js"), "fetch(module_or_path)").unwrap();

        adopt_page_name(folder.path()).unwrap();
        assert!(path("lotzero.wasm").is_file() && !path("lotzero_bg.wasm").exists());
    }

    #[test]
    fn a_glue_with_a_name_of_its_own_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lotzero_bg.wasm"), "wasm").unwrap();
        std::fs::write(
            folder.path().join("lotzero.js"),
            "new URL('lotzero_bg.wasm')",
        )
        .unwrap();
        assert!(adopt_page_name(folder.path()).is_err());
    }
}
