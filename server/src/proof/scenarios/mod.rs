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
#[cfg(feature = "local")]
mod vanish;

use super::Stage;
use super::report::Scenario;
#[cfg(feature = "local")]
use super::settings::Engine;
use clap::ValueEnum;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use drops::warm_up;
#[cfg(feature = "local")]
pub use faults::region_away;

/// What can be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Name {
    /// More buyers than units rush a drop
    Oversell,
    /// Few buyers rush small drops, whose histories are searched
    SmallDrops,
    /// Buyers want more of a drop than each may have
    LimitPerBuyer,
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
    /// Clients go away before they are answered
    ClientVanishes,
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
            Self::LimitPerBuyer => "limit_per_buyer",
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
            Self::ClientVanishes => "client_vanishes",
            Self::KillMidSwarm => "kill_mid_swarm",
            Self::StoreIsolation => "store_isolation",
        }
    }

    /// Whether the way to the database, or a node, is broken for it: gates, and nodes of its own,
    /// stand before a PostgreSQL only.
    #[must_use]
    pub const fn needs_gates(self) -> bool {
        match self {
            Self::RegionLost
            | Self::LostCommit
            | Self::ClientVanishes
            | Self::KillMidSwarm
            | Self::StoreIsolation => true,
            Self::Oversell
            | Self::SmallDrops
            | Self::LimitPerBuyer
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
    pub(super) fn run(self, stage: &Stage) -> BoxFuture<'_, anyhow::Result<Scenario>> {
        match self {
            #[cfg(feature = "local")]
            Self::Oversell if stage.settings.engine == Engine::Naive => {
                Box::pin(naive::oversell(stage))
            }
            Self::Oversell => Box::pin(drops::oversell(stage)),
            Self::SmallDrops => Box::pin(drops::small_drops(stage)),
            Self::LimitPerBuyer => Box::pin(drops::limit_per_buyer(stage)),
            Self::DoubleSpend => Box::pin(drops::double_spend(stage)),
            Self::DutchFirstClaim => Box::pin(auctions::dutch_first_claim(stage)),
            Self::EnglishAlternation => Box::pin(auctions::english_alternation(stage)),
            Self::MandateBreach => Box::pin(checkout::mandate_breach(stage)),
            Self::SameKey => Box::pin(checkout::same_key(stage)),
            Self::FreshKey => Box::pin(checkout::fresh_key(stage)),
            Self::RevokeAgainstSpend => Box::pin(checkout::revoke_against_spend(stage)),
            Self::BidAgainstClose => Box::pin(auctions::bid_against_close(stage)),
            #[cfg(feature = "local")]
            Self::RegionLost => Box::pin(faults::region_lost(stage)),
            #[cfg(feature = "local")]
            Self::LostCommit => Box::pin(faults::lost_commit(stage)),
            #[cfg(feature = "local")]
            Self::ClientVanishes => Box::pin(vanish::client_vanishes(stage)),
            #[cfg(feature = "local")]
            Self::KillMidSwarm => Box::pin(kill::kill_mid_swarm(stage)),
            #[cfg(feature = "local")]
            Self::StoreIsolation => Box::pin(isolation::store_isolation(stage)),
            #[cfg(not(feature = "local"))]
            Self::RegionLost
            | Self::LostCommit
            | Self::ClientVanishes
            | Self::KillMidSwarm
            | Self::StoreIsolation => {
                Box::pin(async { anyhow::bail!("this build breaks nothing") })
            }
        }
    }
}
