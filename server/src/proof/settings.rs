//! What a proof run is made of.

use super::Name;
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

/// What goes wrong while a race is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum RaceFault {
    /// A Region is lost as the race begins
    RegionLost,
    /// One COMMIT in five is refused as a conflict (40001)
    Conflicts,
    /// One COMMIT in five is lost on its way, and the answer of one in five
    LostCommits,
    /// Each message to the database takes 5 to 25 ms more
    Slow,
    /// Every connection is cut as the race begins
    Cut,
    /// The nodes' own clocks are wrong by ten minutes, one ahead and one behind
    ClockSkew,
}

impl RaceFault {
    /// What follows a race's name in its title.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::RegionLost => ", a Region lost",
            Self::Conflicts => ", COMMITs refused",
            Self::LostCommits => ", COMMITs lost",
            Self::Slow => ", a slow way to the database",
            Self::Cut => ", every connection cut",
            Self::ClockSkew => ", clocks wrong",
        }
    }
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
    /// What goes wrong meanwhile.
    pub fault: Option<RaceFault>,
    /// Decides the order of what is drawn by chance, so that a run can be repeated; ids and the
    /// interleaving of threads it does not decide.
    pub seed: u64,
}

impl Settings {
    /// Refuses what makes no sense together.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self, names: &[Name]) -> anyhow::Result<()> {
        if self.engine == Engine::Naive {
            anyhow::ensure!(
                names == [Name::Oversell],
                "the naive engine knows `oversell` only"
            );
            anyhow::ensure!(
                self.fault.is_none(),
                "the naive engine is wrong without a fault"
            );
        }
        let own = names.iter().find(|name| name.needs_gates());
        if let (Some(_), Some(name)) = (self.fault, own) {
            anyhow::bail!("{} brings faults of its own", name.text());
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            buyers: 200,
            units: 20,
            attempts: 150,
            engine: Engine::House,
            fault: None,
            seed: 1,
        }
    }
}
