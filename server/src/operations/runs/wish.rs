//! What a run is made of, as it is asked for.

use crate::proof::swarm::{MAX_AGENTS, MAX_STOCK};
use crate::proof::{Engine, Name, RaceFault, Settings};
use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// Bounds of a race that is run from a page: a shared machine has other guests.
const BUYERS: std::ops::RangeInclusive<u32> = 10..=200;
const UNITS: std::ops::RangeInclusive<u32> = 1..=20;
const ATTEMPTS: std::ops::RangeInclusive<u32> = 2..=200;

/// A seed as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Seed(u64);

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.0.to_string()
    }
}

impl TryFrom<String> for Seed {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "run", rename_all = "snake_case", deny_unknown_fields)]
pub enum Wish {
    /// A scenario.
    Scenario {
        /// Which.
        name: Name,
        /// Buyers that rush a drop, from 10 to 200.
        #[serde(default = "buyers")]
        buyers: u32,
        /// Units of it, from 1 to 20.
        #[serde(default = "units")]
        units: u32,
        /// Lots that one purchase's money is spent on, from 2 to 200.
        #[serde(default = "attempts")]
        attempts: u32,
        /// Which engine sells.
        #[serde(default)]
        engine: Engine,
        /// What goes wrong beside the race.
        #[serde(default)]
        fault: Option<RaceFault>,
        /// Repeats a run: digits, since not every client has whole numbers as large.
        #[serde(default)]
        seed: Option<Seed>,
    },
    /// A swarm.
    Swarm {
        /// Agents, from 1 to 5,000,000.
        agents: u64,
        /// Units, from 1 to 400.
        stock: u32,
        /// Requests a second; as fast as they are answered if not said.
        per_second: Option<u32>,
        /// Whether a Region is lost at half of them, by gates of the run's own.
        #[serde(default)]
        lose_region: bool,
        /// Repeats a run: digits, since not every client has whole numbers as large.
        #[serde(default)]
        seed: Option<Seed>,
    },
}

fn buyers() -> u32 {
    Settings::default().buyers
}

fn units() -> u32 {
    Settings::default().units
}

fn attempts() -> u32 {
    Settings::default().attempts
}

impl Wish {
    /// What it is, in a few words.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Scenario {
                name,
                engine,
                fault,
                ..
            } => {
                let name = name.text().replace('_', " ");
                let engine = match engine {
                    Engine::House => "",
                    Engine::Naive => ", naive engine",
                };
                let fault = fault.map_or("", RaceFault::words);
                format!("{name}{engine}{fault}")
            }
            Self::Swarm {
                agents,
                stock,
                lose_region,
                ..
            } => {
                let lost = if *lose_region { ", a Region lost" } else { "" };
                let agents = crate::panels::grouped(*agents);
                format!("{agents} agents for {stock} units{lost}")
            }
        }
    }

    /// Refuses what makes no sense, or is too much for a page.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Scenario {
                name,
                buyers,
                units,
                attempts,
                ..
            } => {
                ensure!(BUYERS.contains(buyers), "10 to 200 buyers are possible");
                ensure!(UNITS.contains(units), "1 to 20 units are possible");
                ensure!(
                    ATTEMPTS.contains(attempts),
                    "2 to 200 attempts are possible"
                );
                self.settings().check(&[*name])
            }
            Self::Swarm { agents, stock, .. } => {
                ensure!(
                    (1..=MAX_AGENTS).contains(agents),
                    "1 to {MAX_AGENTS} agents are possible"
                );
                ensure!(
                    (1..=MAX_STOCK).contains(stock),
                    "1 to {MAX_STOCK} units are possible"
                );
                Ok(())
            }
        }
    }

    /// The settings of its stage.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let default = Settings::default();
        match self {
            Self::Scenario {
                buyers,
                units,
                attempts,
                engine,
                fault,
                seed,
                ..
            } => Settings {
                buyers: *buyers,
                units: *units,
                attempts: *attempts,
                engine: *engine,
                fault: *fault,
                seed: seed.map_or_else(rand::random, |seed| seed.0),
            },
            Self::Swarm { seed, .. } => Settings {
                seed: seed.map_or_else(rand::random, |seed| seed.0),
                ..default
            },
        }
    }
}
