//! What was found of each fault, for people and for programs.

use super::{Case, Ground};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Faults of the reference in all.
const ALL: usize = 44;

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It took effect, and everything held.
    Passed,
    /// Something did not hold.
    Failed,
    /// It did not take effect as it should have, so nothing is proven.
    Invalid,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Invalid => "INVALID",
        }
    }
}

/// One fault.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its number in the reference.
    pub id: &'static str,
    /// What it is.
    pub fault: &'static str,
    /// How often it was asked for.
    pub injected: u64,
    /// How often it was seen to happen.
    pub took_effect: u64,
    /// What was checked.
    pub checked: Vec<String>,
    /// What became of it.
    pub result: Outcome,
    /// What is wrong, or why nothing is proven.
    pub findings: Vec<String>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

impl Entry {
    pub(super) fn new(
        id: &'static str,
        fault: &'static str,
        case: &Case,
        elapsed: Duration,
    ) -> Self {
        let findings = case.findings.iter().chain(&case.invalid);
        Self {
            id,
            fault,
            injected: case.injected,
            took_effect: case.took_effect,
            checked: case.checked.clone(),
            result: case.outcome(),
            findings: findings.cloned().collect(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_millis(self.elapsed_ms).as_secs_f64();
        write!(
            f,
            "{}: injected {}, took effect {}, {seconds:.1} s",
            self.result.word(),
            self.injected,
            self.took_effect,
        )?;
        for finding in self.findings.iter().take(5) {
            write!(f, "\n      {finding}")?;
        }
        Ok(())
    }
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct FaultsReport {
    /// Faults of the reference.
    pub of: usize,
    /// Those that were tried and passed.
    pub passed: usize,
    /// Whether it was a run of a tenth of the sizes.
    pub quick: bool,
    /// What repeats what was drawn by chance.
    pub seed: u64,
    /// Processors of this machine.
    pub cores: usize,
    /// Each that was tried.
    pub faults: Vec<Entry>,
}

impl FaultsReport {
    pub(super) fn new(faults: Vec<Entry>, ground: &Ground) -> Self {
        let passed = faults.iter().filter(|one| one.result == Outcome::Passed);
        Self {
            of: ALL,
            passed: passed.count(),
            quick: ground.quick,
            seed: ground.seed,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            faults,
        }
    }

    /// Whether every fault that was tried passed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.passed == self.faults.len()
    }
}

/// The report as a table that a README can hold.
#[must_use]
pub fn print(report: &FaultsReport) -> String {
    let mut lines = vec![
        "| Fault | | injected | took effect | result |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(report.faults.iter().map(|one| {
        let (id, fault) = (one.id, one.fault);
        let (injected, effects, word) = (one.injected, one.took_effect, one.result.word());
        format!("| {id} | {fault} | {injected} | {effects} | {word} |")
    }));
    lines.push(format!(
        "{} of {} tried here passed; the reference has {}",
        report.passed,
        report.faults.len(),
        report.of
    ));
    lines.join("\n")
}
