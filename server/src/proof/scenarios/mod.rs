//! The scenarios: what is raced for, and what the committed rows must say afterwards.

mod auctions;
mod checkout;
mod drops;
#[cfg(feature = "local")]
mod faults;

use super::race::Tally;
use super::report::{Latency, Scenario};
use super::{Kernels, Stage};
use crate::ledger::transaction::Counters;
use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeMap;

pub use drops::warm_up;

/// What can be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Name {
    /// More buyers than units rush a drop
    Oversell,
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
}

impl Name {
    /// Its name in reports and on the command line.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Oversell => "oversell",
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
        }
    }

    /// Whether the way to the database is broken for it: it then needs gates, which stand before
    /// a PostgreSQL only.
    #[must_use]
    pub const fn needs_gates(self) -> bool {
        match self {
            Self::RegionLost | Self::LostCommit => true,
            Self::Oversell
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
            Self::Oversell => drops::oversell(stage).await,
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
            #[cfg(not(feature = "local"))]
            Self::RegionLost | Self::LostCommit => anyhow::bail!("this build breaks nothing"),
        }
    }
}

/// The counters of all kernels together.
fn counters(kernels: &Kernels) -> Counters {
    let mut sum = Counters::default();
    for node in &kernels.nodes {
        let one = node.counters();
        for (cause, count) in one.retries {
            *sum.retries.entry(cause).or_default() += count;
        }
        sum.committed += one.committed;
        sum.unknown_commits += one.unknown_commits;
        sum.given_up += one.given_up;
    }
    sum
}

/// What is said of a race before its rows are looked at.
struct Said<'a> {
    name: Name,
    /// Requests that must be accepted, if that follows from the set-up.
    expected: Option<u64>,
    tally: &'a Tally,
    before: &'a Counters,
    after: &'a Counters,
}

impl Said<'_> {
    fn scenario(self, stage: &Stage) -> Scenario {
        let Self {
            name,
            expected,
            tally,
            before,
            after,
        } = self;
        let since = |cause: &String, count: &u64| count - before.retries.get(cause).unwrap_or(&0);
        let retries_by_cause: BTreeMap<String, u64> = after
            .retries
            .iter()
            .map(|(cause, count)| (cause.clone(), since(cause, count)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let (committed, undecided) = (tally.committed(), tally.undecided());
        let expected = expected.unwrap_or(committed);
        let refusals = tally.refusals();
        let mut scenario = Scenario {
            name: name.text(),
            offered: u64::try_from(tally.all.len()).unwrap_or(u64::MAX),
            committed,
            expected,
            refused: refusals.values().sum(),
            replayed: tally.replayed(),
            false_declines: expected.saturating_sub(committed),
            violations: 0,
            conflicts: after.conflicts() - before.conflicts(),
            retries: after.all_retries() - before.all_retries(),
            resent: tally.resent(),
            unknown_commits: after.unknown_commits - before.unknown_commits,
            elapsed_ms: u64::try_from(tally.elapsed.as_millis()).unwrap_or(u64::MAX),
            latency_ms: Latency::of(tally.all.iter().map(|one| one.answered - one.sent)),
            rounds: 1,
            valid: true,
            seed: stage.settings.seed,
            refusals,
            retries_by_cause,
            tries: tally.depths(),
            took_effect: BTreeMap::new(),
            figures: BTreeMap::new(),
            findings: Vec::new(),
        };
        scenario.expect(undecided == 0, || {
            format!("{undecided} requests were never decided")
        });
        let contradicted = tally.contradicted();
        scenario.expect(contradicted == 0, || {
            format!("{contradicted} keys heard two different answers")
        });
        let sum = scenario.committed + scenario.refused + scenario.replayed + undecided;
        let offered = scenario.offered;
        scenario.expect(offered == sum, || {
            format!("{offered} offered, but {sum} were answered")
        });
        let declined = scenario.false_declines;
        scenario.expect(declined == 0, || {
            format!("{declined} were declined although they could be met")
        });
        scenario
    }
}

impl Scenario {
    /// Counts a violation unless `holds`.
    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations += 1;
            self.findings.push(otherwise());
        }
    }

    /// Makes the run prove nothing unless `holds`: what should have been tried was not.
    fn needs(&mut self, holds: bool, otherwise: &str) {
        if !holds {
            self.valid = false;
            self.findings.push(otherwise.to_owned());
        }
    }

    /// A race in which no two transactions met proves nothing.
    fn needs_conflicts(&mut self) {
        self.needs(
            self.conflicts > 0,
            "no conflict: the race did not take place",
        );
    }

    /// Whatever was refused must have been refused for one of these reasons.
    fn only_refused_as(&mut self, codes: &[&str]) {
        let others: u64 = self
            .refusals
            .iter()
            .filter(|(code, _)| !codes.contains(&code.as_str()))
            .map(|(_, count)| count)
            .sum();
        self.expect(others == 0, || {
            format!("{others} refusals are not {}", codes.join(" or "))
        });
    }
}
