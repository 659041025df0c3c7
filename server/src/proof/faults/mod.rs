//! The faults of `reliability.md`, section 5, one after another: each is injected, seen to take effect,
//! and its check is made. One that never took effect is invalid, not green.
//!
//! | file | which |
//! |---|---|
//! | `deeds` | every kind of transaction, once: what most faults are tried on |
//! | `statements` | F1 to F4, F6, F9: what befalls a statement or a COMMIT |
//! | `keys` | F32, F33: a key with another body, and after a long time |
//! | `places` | F10 to F13, F35: a database or a Region that is gone, hangs or cuts |
//! | `relay` | F29, F31: the way from the outbox to the event log |
//! | `races` | the others: scenarios, and a node that is asked to end |

mod deeds;
mod keys;
mod places;
mod races;
mod relay;
mod report;
mod statements;

pub use report::{Entry, FaultsReport, Outcome, print};

use super::report::Report;
use super::settings::Settings;
use super::stage::{PRICE_MINOR, Shop};
use super::{Kernels, Stage, Watch};
use crate::ledger::endpoint::Endpoints;
use anyhow::Context;
use futures::future::BoxFuture;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What faults are tried on: stores that are there for this only.
pub struct Ground {
    /// The private PostgreSQL.
    pub database_url: String,
    /// A folder for histories and for nodes' own stores.
    pub folder: PathBuf,
    /// Connections of a kernel.
    pub pool: u32,
    /// A tenth of the sizes.
    pub quick: bool,
    /// Decides what is drawn by chance.
    pub seed: u64,
}

impl Ground {
    /// A size, or a tenth of it in a quick run.
    const fn times(&self, full: u32) -> u32 {
        if self.quick { full.div_ceil(10) } else { full }
    }

    /// A stage on kernels of its own.
    async fn stage(&self) -> anyhow::Result<Stage> {
        let watch = Arc::<Watch>::default();
        let mut nodes = Vec::new();
        for _kernel in 0..2 {
            let endpoints = Endpoints::postgres(&self.database_url, self.pool).await;
            nodes.push(watch.kernel(endpoints.context("opening the kernels")?));
        }
        Ok(Stage {
            kernels: Kernels { nodes },
            settings: Settings {
                seed: self.seed,
                ..Settings::default()
            },
            database_url: Some(self.database_url.clone()),
            pool: self.pool,
            histories: self.folder.join("histories"),
            gates: None,
            trouble: None,
            watch,
        })
    }
}

/// What became of one fault.
#[derive(Debug, Default)]
pub struct Case {
    /// How often it was asked for.
    injected: u64,
    /// How often it was seen to happen.
    took_effect: u64,
    /// What was checked, in words.
    checked: Vec<String>,
    /// What is wrong.
    findings: Vec<String>,
    /// Why nothing is proven.
    invalid: Vec<String>,
}

impl Case {
    /// Notes that a fault was asked for, and how often it has happened.
    const fn happened(&mut self, injected: u64, took_effect: u64) {
        self.injected += injected;
        self.took_effect += took_effect;
    }

    /// Notes what is wrong unless something holds.
    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.findings.push(otherwise());
        }
    }

    /// Notes why nothing is proven unless something was the case.
    fn needs(&mut self, holds: bool, otherwise: &str) {
        if !holds {
            self.invalid.push(otherwise.to_owned());
        }
    }

    /// Notes what was checked.
    fn checked(&mut self, what: impl Into<String>) {
        self.checked.push(what.into());
    }

    /// Takes in a proof run: what took effect in it, what was checked, and what was found.
    fn take_in(&mut self, report: &Report) {
        for scenario in &report.scenarios {
            let effects: u64 = scenario.took_effect.values().sum();
            self.happened(effects, effects);
            let name = scenario.name.replace('_', " ");
            self.checked(format!("{name}: {} offered", scenario.offered));
            let checks = scenario.checks.iter();
            self.checked.extend(
                checks.map(|(checker, verdict)| format!("{checker} {}", verdict.sentence())),
            );
            self.findings.extend(scenario.findings.iter().cloned());
        }
        self.checked(format!("{} audits", report.audits.len()));
        self.needs(report.valid, "what should have been tried was not");
        let broken = report.audits.iter().filter(|audit| audit.violations > 0);
        self.findings
            .extend(broken.map(|finding| format!("audit {} is broken", finding.audit.id)));
    }

    /// Runs every audit.
    async fn audit(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let audits = stage.kernels.of(0).audit().await?;
        self.checked(format!("{} audits", audits.len()));
        let broken = audits.iter().filter(|audit| audit.violations > 0);
        self.findings.extend(broken.map(|finding| {
            let evidence = finding.evidence.join(", ");
            format!("audit {} is broken: {evidence}", finding.audit.id)
        }));
        Ok(())
    }

    fn outcome(&self) -> Outcome {
        if !self.findings.is_empty() {
            Outcome::Failed
        } else if !self.invalid.is_empty() || self.took_effect == 0 {
            Outcome::Invalid
        } else {
            Outcome::Passed
        }
    }
}

/// How a fault is tried.
type Try = for<'g> fn(&'g Ground) -> BoxFuture<'g, anyhow::Result<Case>>;

/// A fault that can be tried.
struct Fault {
    id: &'static str,
    name: &'static str,
    run: Try,
}

const fn fault(id: &'static str, name: &'static str, run: Try) -> Fault {
    Fault { id, name, run }
}

/// The faults that are tried here, in the order of the reference.
const FAULTS: [Fault; 24] = [
    fault("F1", "40001 at any statement", |g| {
        Box::pin(statements::conflict_anywhere(g))
    }),
    fault("F2", "40001 at COMMIT", |g| {
        Box::pin(statements::conflict_at_commit(g))
    }),
    fault("F3", "the catalogue changes (OC001)", |g| {
        Box::pin(statements::catalogue(g))
    }),
    fault("F4", "other SQLSTATEs", |g| {
        Box::pin(statements::other_codes(g))
    }),
    fault("F5", "one key many times at once", |g| {
        Box::pin(races::same_key(g))
    }),
    fault("F6", "ambiguous COMMIT", |g| {
        Box::pin(statements::lost_commits(g))
    }),
    fault("F7", "the client vanishes", |g| {
        Box::pin(races::client_vanishes(g))
    }),
    fault("F8", "a node is killed", |g| {
        Box::pin(races::node_killed(g))
    }),
    fault("F9", "cut at any statement", |g| {
        Box::pin(statements::cut_anywhere(g))
    }),
    fault("F10", "the database crashes", |g| {
        Box::pin(places::database_crashes(g))
    }),
    fault("F11", "a Region's endpoint is lost", |g| {
        Box::pin(places::region_lost(g))
    }),
    fault("F12", "a zombie Region", |g| Box::pin(places::zombie(g))),
    fault("F13", "connections end at an age", |g| {
        Box::pin(places::old_connections(g))
    }),
    fault("F16", "nodes' clocks are wrong", |g| {
        Box::pin(races::clock_skew(g))
    }),
    fault("F19", "a bid against the close", |g| {
        Box::pin(races::bid_against_close(g))
    }),
    fault("F20", "a bid against the release of the last", |g| {
        Box::pin(races::outbid(g))
    }),
    fault("F29", "the publisher dies", |g| {
        Box::pin(relay::publisher_dies(g))
    }),
    fault("F30", "events of what never happened", |g| {
        Box::pin(races::phantom_events(g))
    }),
    fault("F31", "a poisonous message", |g| Box::pin(relay::poison(g))),
    fault("F32", "one key, another body", |g| {
        Box::pin(keys::another_body(g))
    }),
    fault("F33", "a key after its time", |g| {
        Box::pin(keys::after_its_time(g))
    }),
    fault("F35", "the database hangs", |g| {
        Box::pin(places::database_hangs(g))
    }),
    fault("F38", "a stampede on what is sold out", |g| {
        Box::pin(races::stampede(g))
    }),
    fault("F39", "asked to end under load", |g| {
        Box::pin(races::graceful_end(g))
    }),
];

/// Tries faults, all of them if none is named, and tells the person at the terminal of each.
///
/// # Errors
/// When a name is none of theirs. A fault that could not be tried has failed, and the others go on.
pub async fn run(ground: &Ground, only: &[String], say: fn(&str)) -> anyhow::Result<FaultsReport> {
    if let Some(unknown) = only
        .iter()
        .find(|id| FAULTS.iter().all(|known| known.id != **id))
    {
        anyhow::bail!("{unknown} is not tried here");
    }
    let mut entries = Vec::new();
    for Fault { id, name, run } in FAULTS {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == id) {
            continue;
        }
        say(&format!("{id}: {name}"));
        let begun = Instant::now();
        let case = run(ground).await.unwrap_or_else(|error| Case {
            findings: vec![format!("it could not be tried: {error:#}")],
            ..Case::default()
        });
        let entry = Entry::new(id, name, &case, begun.elapsed());
        say(&format!("    {entry}"));
        entries.push(entry);
    }
    Ok(FaultsReport::new(entries, ground))
}

/// What swarms of these faults buy with: a shop whose tenant has money for so many units.
async fn shop_for(stage: &Stage, units: u32) -> anyhow::Result<Shop> {
    Shop::open(&stage.kernels, i64::from(units) * PRICE_MINOR).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_took_effect_is_not_green() {
        let mut case = Case::default();
        assert_eq!(case.outcome(), Outcome::Invalid);
        case.happened(3, 3);
        assert_eq!(case.outcome(), Outcome::Passed);
        case.needs(false, "too few");
        assert_eq!(case.outcome(), Outcome::Invalid);
        case.expect(false, || "wrong".to_owned());
        assert_eq!(case.outcome(), Outcome::Failed);
    }

    #[test]
    fn ids_are_in_order_and_each_is_there_once() {
        let number = |fault: &Fault| {
            fault
                .id
                .trim_start_matches('F')
                .parse::<u32>()
                .expect("a number")
        };
        let numbers: Vec<u32> = FAULTS.iter().map(number).collect();
        assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
