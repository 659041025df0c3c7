//! What a proof run is made of.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Which engine sells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The house's own
    #[default]
    House,
    /// One that reads what is left and then writes, wrong on purpose: it must be caught
    Naive,
}

/// The sizes of the races.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Buyers that rush the scarce drop.
    pub buyers: u32,
    /// Units of it.
    pub units: u32,
    /// Lots that one purchase's money is spent on at once.
    pub attempts: u32,
    /// Which engine `oversell` is run against.
    pub engine: Engine,
    /// Decides the order of what is drawn by chance, so that a run can be repeated; ids and the
    /// interleaving of threads it does not decide.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            buyers: 200,
            units: 20,
            attempts: 150,
            engine: Engine::House,
            seed: 1,
        }
    }
}
