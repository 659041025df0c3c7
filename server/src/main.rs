//! The command line.

use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::path::PathBuf;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the local stores for all their users; `serve` starts it by itself
    #[cfg(feature = "local")]
    Stores {
        /// Where everything is kept
        #[arg(long, default_value = ".lotzero")]
        data_dir: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_unset| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match Cli::parse().command {
        #[cfg(feature = "local")]
        Command::Stores { data_dir } => {
            server::local::run_stores(server::local::StoresOptions { data_dir }).await?;
        }
    }
    Ok(())
}
