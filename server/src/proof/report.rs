//! What a proof run found: a table for people, JSON for programs.

use super::Settings;
use super::history::Verdict;
use crate::ledger::audit::Finding;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Upper bounds of the steps of a histogram, in milliseconds; one more step has no bound.
const STEPS_MS: [u32; 13] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000,
];

/// Requests that took no longer than this, and longer than the step before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// In milliseconds; `None` for everything beyond the last bound.
    pub up_to_ms: Option<u32>,
    /// How many.
    pub requests: u64,
}

/// How long requests took, in milliseconds, from the first send to the answer; in an open loop from
/// the time at which each was due.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// One in twenty took longer.
    pub p95: f64,
    /// One in a hundred took longer.
    pub p99: f64,
    /// One in a thousand took longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// All of them by steps, up to the last that has any.
    pub histogram: Vec<Step>,
}

/// Steps with the number of requests in each. `within` tells how many took no longer than a bound.
fn steps(all: u64, within: impl Fn(u32) -> u64) -> Vec<Step> {
    let mut before = 0;
    let mut steps = Vec::new();
    let bounds = STEPS_MS.iter().copied().map(Some).chain([None]);
    for up_to_ms in bounds {
        let so_far = up_to_ms.map_or(all, &within);
        steps.push(Step {
            up_to_ms,
            requests: so_far.saturating_sub(before),
        });
        before = so_far;
        if so_far >= all {
            break;
        }
    }
    steps
}

impl Latency {
    /// The quantiles of some times.
    #[must_use]
    pub fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        let at = |permille: usize| {
            let index = (times.len() * permille / 1_000).min(times.len().saturating_sub(1));
            let time = times.get(index).copied().unwrap_or_default();
            (time.as_secs_f64() * 1e6).round() / 1e3
        };
        let within = |ms: u32| {
            let bound = Duration::from_millis(u64::from(ms));
            let count = times.partition_point(|time| *time <= bound);
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        Self {
            p50: at(500),
            p95: at(950),
            p99: at(990),
            p999: at(999),
            max: at(1_000),
            histogram: steps(u64::try_from(times.len()).unwrap_or(u64::MAX), within),
        }
    }

    /// The same of a histogram in microseconds.
    #[cfg(feature = "local")]
    #[must_use]
    pub fn of_histogram(times: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile: f64| {
            let micros = times.value_at_quantile(quantile);
            #[expect(
                clippy::as_conversions,
                clippy::cast_precision_loss,
                reason = "far below 2^52 microseconds, which a float has exactly"
            )]
            let micros = micros as f64;
            micros / 1e3
        };
        Self {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
            histogram: steps(times.len(), |ms| {
                times.count_between(0, u64::from(ms) * 1_000)
            }),
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
    /// What the command ends with: 0 if everything held, 3 if something is broken, 4 if nothing is
    /// proven.
    pub exit_code: u8,
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
        let violations = raced + u64::try_from(broken).unwrap_or(u64::MAX);
        let valid = scenarios.iter().all(|scenario| scenario.valid);
        Self {
            violations,
            valid,
            exit_code: match (violations, valid) {
                (0, true) => 0,
                (0, false) => 4,
                _ => 3,
            },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(latency: &Latency) -> Vec<(Option<u32>, u64)> {
        let steps = latency.histogram.iter();
        steps.map(|step| (step.up_to_ms, step.requests)).collect()
    }

    #[test]
    fn every_request_is_in_one_step() {
        let ms = Duration::from_millis;
        let times = [ms(1), ms(1), ms(2), ms(7), ms(20_000)];
        let latency = Latency::of(times.into_iter());
        let all: u64 = requests(&latency).iter().map(|(_, count)| count).sum();
        assert_eq!(all, 5);
        assert_eq!(
            requests(&latency)[..4],
            [(Some(1), 2), (Some(2), 1), (Some(5), 0), (Some(10), 1)]
        );
        assert_eq!(requests(&latency).last(), Some(&(None, 1)));
        assert!(
            requests(&Latency::of(std::iter::empty()))
                .iter()
                .all(|(_, count)| *count == 0)
        );
    }

    #[cfg(feature = "local")]
    #[test]
    fn both_kinds_of_histogram_agree() {
        let mut times = hdrhistogram::Histogram::new(3).expect("valid");
        for ms in 1..=1_000_u64 {
            times.record(ms * 1_000).expect("in range");
        }
        let one = Latency::of_histogram(&times);
        let other = Latency::of((1..=1_000).map(Duration::from_millis));
        assert!((one.p95 - other.p95).abs() < 2.0 && (one.p999 - other.p999).abs() < 2.0);
        assert_eq!(requests(&one).len(), requests(&other).len());
    }
}
