//! `lotzero`: see `cli` for the commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::cli::main()
}
