//! The scenarios: what is raced for, and what the committed rows must say afterwards.

mod auctions;
mod checkout;
mod drops;
#[cfg(feature = "local")]
mod faults;
#[cfg(feature = "local")]
mod isolation;
#[cfg(feature = "local")]
mod kill;
#[cfg(feature = "local")]
mod naive;

use super::Stage;
use super::report::Scenario;
#[cfg(feature = "local")]
use super::settings::Engine;
use clap::ValueEnum;
use serde::Serialize;

pub use drops::warm_up;

/// What can be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Name {
    /// More buyers than units rush a drop
    Oversell,
    /// Few buyers rush small drops, whose histories are searched
    SmallDrops,
    /// One purchase's money is spent on many lots at once
    DoubleSpend,
    /// Many claim a falling price's only unit at once
    DutchFirstClaim,
    /// Two bidders outbid each other, both at once each time
    EnglishAlternation,
    /// Agents want more than their mandate's budget
    MandateBreach,
    /// One request is sent 64 times at once
    SameKey,
    /// An agent repeats a purchase under fresh keys
    FreshKey,
    /// A mandate is revoked in the middle of its purchases
    RevokeAgainstSpend,
    /// Bids go on while their lot closes
    BidAgainstClose,
    /// A Region is lost in the middle of a swarm, and comes back
    RegionLost,
    /// COMMITs and their answers are lost on the way
    LostCommit,
    /// Nodes are killed in the middle of a swarm, and started again
    KillMidSwarm,
    /// Transactions read and append while COMMITs are lost and refused
    StoreIsolation,
}

impl Name {
    /// Its name in reports and on the command line.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Oversell => "oversell",
            Self::SmallDrops => "small_drops",
            Self::DoubleSpend => "double_spend",
            Self::DutchFirstClaim => "dutch_first_claim",
            Self::EnglishAlternation => "english_alternation",
            Self::MandateBreach => "mandate_breach",
            Self::SameKey => "same_key",
            Self::FreshKey => "fresh_key",
            Self::RevokeAgainstSpend => "revoke_against_spend",
            Self::BidAgainstClose => "bid_against_close",
            Self::RegionLost => "region_lost",
            Self::LostCommit => "lost_commit",
            Self::KillMidSwarm => "kill_mid_swarm",
            Self::StoreIsolation => "store_isolation",
        }
    }

    /// Whether the way to the database, or a node, is broken for it: gates, and nodes of its own,
    /// stand before a PostgreSQL only.
    #[must_use]
    pub const fn needs_gates(self) -> bool {
        match self {
            Self::RegionLost | Self::LostCommit | Self::KillMidSwarm | Self::StoreIsolation => true,
            Self::Oversell
            | Self::SmallDrops
            | Self::DoubleSpend
            | Self::DutchFirstClaim
            | Self::EnglishAlternation
            | Self::MandateBreach
            | Self::SameKey
            | Self::FreshKey
            | Self::RevokeAgainstSpend
            | Self::BidAgainstClose => false,
        }
    }

    /// Runs it once.
    pub(super) async fn run(self, stage: &Stage) -> anyhow::Result<Scenario> {
        match self {
            #[cfg(feature = "local")]
            Self::Oversell if stage.settings.engine == Engine::Naive => {
                naive::oversell(stage).await
            }
            Self::Oversell => drops::oversell(stage).await,
            Self::SmallDrops => drops::small_drops(stage).await,
            Self::DoubleSpend => drops::double_spend(stage).await,
            Self::DutchFirstClaim => auctions::dutch_first_claim(stage).await,
            Self::EnglishAlternation => auctions::english_alternation(stage).await,
            Self::MandateBreach => checkout::mandate_breach(stage).await,
            Self::SameKey => checkout::same_key(stage).await,
            Self::FreshKey => checkout::fresh_key(stage).await,
            Self::RevokeAgainstSpend => checkout::revoke_against_spend(stage).await,
            Self::BidAgainstClose => auctions::bid_against_close(stage).await,
            #[cfg(feature = "local")]
            Self::RegionLost => faults::region_lost(stage).await,
            #[cfg(feature = "local")]
            Self::LostCommit => faults::lost_commit(stage).await,
            #[cfg(feature = "local")]
            Self::KillMidSwarm => kill::kill_mid_swarm(stage).await,
            #[cfg(feature = "local")]
            Self::StoreIsolation => isolation::store_isolation(stage).await,
            #[cfg(not(feature = "local"))]
            Self::RegionLost | Self::LostCommit | Self::KillMidSwarm | Self::StoreIsolation => {
                anyhow::bail!("this build breaks nothing")
            }
        }
    }
}
