//! The build and test commands: `cargo xtask run | build | test | check | …`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its terminal"
)]

mod bench;
mod check;
mod cli;
mod compress;
mod css;
mod names;
mod pgbench;
mod room;
mod run;
mod site;
mod size;
mod stamp;
mod step;
mod test;
mod tools;
mod unused;
mod wasm;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::dispatch(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
