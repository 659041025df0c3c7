//! `lotzero`: see `cli` for the commands.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A request makes and drops a few dozen small things. The system's allocator took a sixth of the
/// processors for that under a rush.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    server::cli::main()
}
