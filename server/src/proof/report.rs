//! What a proof run found: a table for people, JSON for programs.

use super::Settings;
use crate::ledger::audit::Finding;
use serde::Serialize;
use std::collections::BTreeMap;

/// One race. `offered = committed + refused`, or it is a violation.
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
    /// Refusals although stock or money remained.
    pub false_declines: u64,
    /// Invariants broken, counted from the committed rows.
    pub violations: u64,
    /// Tries that lost a race: a scarce lot without any has not been contended for.
    pub conflicts: u64,
    /// Tries that were repeated, for any cause.
    pub retries: u64,
    /// From the first command sent to the last answer.
    pub elapsed_ms: u64,
    /// Rounds until commands met; the figures are the last one's.
    pub rounds: u32,
    /// Whether the race took place: without conflicts it proves nothing.
    pub valid: bool,
    /// Refusals by code.
    pub refusals: BTreeMap<String, u64>,
    /// Repeats by cause.
    pub retries_by_cause: BTreeMap<String, u64>,
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
        "{:<14}{:>8}{:>10}{:>9}{:>9}{:>8}{:>11}{:>10}{:>9}{:>11}",
        "scenario",
        "offered",
        "committed",
        "expected",
        "refused",
        "false",
        "violations",
        "conflicts",
        "retries",
        "elapsed"
    )];
    for s in &report.scenarios {
        lines.push(format!(
            "{:<14}{:>8}{:>10}{:>9}{:>9}{:>8}{:>11}{:>10}{:>9}{:>8} ms",
            s.name,
            s.offered,
            s.committed,
            s.expected,
            s.refused,
            s.false_declines,
            s.violations,
            s.conflicts,
            s.retries,
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
    lines.push(match (report.violations, report.valid) {
        (0, true) => "0 violations".into(),
        (0, false) => "INVALID: a race without a single conflict proves nothing".into(),
        (n, _) => format!("{n} VIOLATIONS"),
    });
    lines.join("\n")
}
