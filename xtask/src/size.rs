//! What the first page weighs, and the budget it must keep.

use crate::compress::{Effort, brotli};
use crate::stamp::read_file;
use crate::{wasm, workspace::Workspace};
use anyhow::{Result, bail};

/// The most that the wasm module and its glue may weigh together in brotli: 250 KB of 1,000 bytes,
/// the mission's target for a first page. A slow phone line (1.6 Mbit/s) takes 1.25 s for it.
pub const MAX_BUNDLE_BYTES: usize = 250_000;

/// Prints the bundle's sizes and returns its brotli size in bytes.
pub fn report(workspace: &Workspace) -> Result<usize> {
    let package = workspace.site().join("pkg");
    let mut total = 0;
    println!("{:<14} {:>10} {:>10}", "file", "bytes", "brotli 11");
    for name in [wasm::wasm_file(), wasm::glue_file()] {
        let bytes = read_file(&package.join(&name))?;
        let small = brotli(&bytes, Effort::Smallest)?.len();
        println!("{name:<14} {:>10} {small:>10}", bytes.len());
        total += small;
    }
    println!(
        "{:<14} {:>10} {total:>10}  (budget {MAX_BUNDLE_BYTES})",
        "first page", ""
    );
    Ok(total)
}

/// Fails if the bundle is over its budget.
pub fn gate(workspace: &Workspace) -> Result<()> {
    let total = report(workspace)?;
    if total > MAX_BUNDLE_BYTES {
        bail!("the bundle weighs {total} bytes in brotli, over its budget of {MAX_BUNDLE_BYTES}");
    }
    Ok(())
}
