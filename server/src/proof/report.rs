//! What a proof run found: a table for people, JSON for programs.

use super::Settings;
use super::history::Verdict;
use crate::ledger::audit::Finding;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How long requests took, in milliseconds, from the first send to the answer.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// One in a hundred took longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    /// The quantiles of some times.
    #[must_use]
    pub fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            let time = times.get(index).copied().unwrap_or_default();
            (time.as_secs_f64() * 1e6).round() / 1e3
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// One race. `offered = committed + refused + replayed`, or it is a violation.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Commands sent, each a request of its own.
    pub offered: u64,
    /// Commands that were accepted, by their answers.
    pub committed: u64,
    /// Commands that must be accepted.
    pub expected: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Requests whose key had been answered before.
    pub replayed: u64,
    /// Refusals although stock or money remained.
    pub false_declines: u64,
    /// Invariants broken, counted from the committed rows.
    pub violations: u64,
    /// Tries that lost a race: a scarce lot without any has not been contended for.
    pub conflicts: u64,
    /// Tries that were repeated, for any cause.
    pub retries: u64,
    /// Requests that were sent again under their key, each time.
    pub resent: u64,
    /// COMMITs whose outcome was not known at first.
    pub unknown_commits: u64,
    /// From the first command sent to the last answer.
    pub elapsed_ms: u64,
    /// How long a request took.
    pub latency_ms: Latency,
    /// Rounds until commands met; the figures are the last one's.
    pub rounds: u32,
    /// Whether the race took place: without conflicts it proves nothing.
    pub valid: bool,
    /// What repeats the order of what was drawn by chance.
    pub seed: u64,
    /// Refusals by code.
    pub refusals: BTreeMap<String, u64>,
    /// Repeats by cause.
    pub retries_by_cause: BTreeMap<String, u64>,
    /// Decided requests by the tries of the transaction that decided them.
    pub tries: BTreeMap<u32, u64>,
    /// Faults that took effect, and how often.
    pub took_effect: BTreeMap<String, u64>,
    /// What else was measured.
    pub figures: BTreeMap<String, i64>,
    /// What every client asked for and was told, as JSON lines.
    pub history: PathBuf,
    /// What the checkers say of it.
    pub checks: BTreeMap<&'static str, Verdict>,
    /// What is wrong, in words.
    pub findings: Vec<String>,
}

/// A proof run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Violations of all scenarios and audits together.
    pub violations: u64,
    /// Whether every race took place.
    pub valid: bool,
    /// The sizes.
    pub settings: Settings,
    /// Processors of this machine.
    pub cores: usize,
    /// The races.
    pub scenarios: Vec<Scenario>,
    /// The audits, run over all rows afterwards.
    pub audits: Vec<Finding>,
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        scenarios: Vec<Scenario>,
        audits: Vec<Finding>,
        broken: usize,
    ) -> Self {
        let raced: u64 = scenarios.iter().map(|scenario| scenario.violations).sum();
        Self {
            violations: raced + u64::try_from(broken).unwrap_or(u64::MAX),
            valid: scenarios.iter().all(|scenario| scenario.valid),
            settings: *settings,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            scenarios,
            audits,
        }
    }
}

/// The report as a table.
#[must_use]
pub fn print(report: &Report) -> String {
    let mut lines = vec![format!(
        "{:<22}{:>8}{:>10}{:>9}{:>9}{:>9}{:>8}{:>11}{:>10}{:>9}{:>10}{:>11}",
        "scenario",
        "offered",
        "committed",
        "expected",
        "refused",
        "replayed",
        "false",
        "violations",
        "conflicts",
        "retries",
        "p99",
        "elapsed"
    )];
    for s in &report.scenarios {
        lines.push(format!(
            "{:<22}{:>8}{:>10}{:>9}{:>9}{:>9}{:>8}{:>11}{:>10}{:>9}{:>7.1} ms{:>8} ms",
            s.name,
            s.offered,
            s.committed,
            s.expected,
            s.refused,
            s.replayed,
            s.false_declines,
            s.violations,
            s.conflicts,
            s.retries,
            s.latency_ms.p99,
            s.elapsed_ms
        ));
    }
    for s in &report.scenarios {
        let by = |map: &BTreeMap<String, u64>| {
            let pairs: Vec<_> = map.iter().map(|(name, n)| format!("{name} {n}")).collect();
            if pairs.is_empty() {
                "none".into()
            } else {
                pairs.join(", ")
            }
        };
        lines.push(format!("{}: refused {}", s.name, by(&s.refusals)));
        lines.push(format!("{}: retried {}", s.name, by(&s.retries_by_cause)));
        if !s.took_effect.is_empty() {
            lines.push(format!("{}: faults {}", s.name, by(&s.took_effect)));
        }
        lines.push(format!("{}: history {}", s.name, s.history.display()));
        lines.extend(
            s.checks
                .iter()
                .map(|(checker, verdict)| format!("{}: {checker} {}", s.name, verdict.sentence())),
        );
        let figures = s.figures.iter();
        lines.extend(figures.map(|(name, figure)| format!("{}: {name} {figure}", s.name)));
        lines.extend(
            s.findings
                .iter()
                .map(|finding| format!("{}: {finding}", s.name)),
        );
    }
    let broken: Vec<_> = report.audits.iter().filter(|a| a.violations > 0).collect();
    lines.push(format!(
        "audits: {} run, {} broken",
        report.audits.len(),
        broken.len()
    ));
    for finding in broken {
        let (audit, evidence) = (finding.audit, finding.evidence.join(", "));
        lines.push(format!(
            "{} broken: {} ({evidence})",
            audit.id, audit.invariant
        ));
    }
    #[cfg(feature = "mutants")]
    lines.push(format!("caught by: {:?}", report.caught_by()));
    lines.push(match (report.violations, report.valid) {
        (0, true) => "0 violations".into(),
        (0, false) => "INVALID: what should have been tried was not, so nothing is proven".into(),
        (n, _) => format!("{n} VIOLATIONS"),
    });
    lines.join("\n")
}
