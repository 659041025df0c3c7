//! What a checker says of a history.

use super::read::Op;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Findings that a verdict lists; the others are counted. One broken rule breaks thousands of
/// replies, and nobody reads more.
pub const MAX_FINDINGS: usize = 20;

/// What happened in a history, by name: a verdict without figures proves little.
pub type Coverage = BTreeMap<&'static str, u64>;

/// One thing that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule that was broken.
    pub what: String,
    /// The operations that prove it, in words.
    pub evidence: Vec<String>,
}

/// What a checker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing contradicts the rules.
    Valid {
        /// Operations looked at.
        ops: u64,
        /// What they were.
        coverage: Coverage,
    },
    /// A rule was broken.
    Violated {
        /// How, at most [`MAX_FINDINGS`].
        findings: Vec<Finding>,
        /// Further findings that are not listed.
        more: u64,
    },
    /// Nothing is proven: too little happened, or the check did not come to an end. Not green.
    Invalid {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// Whether the history keeps the rules, and enough happened in it.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. })
    }

    /// Whether a rule was broken.
    #[must_use]
    pub const fn is_violated(&self) -> bool {
        matches!(self, Self::Violated { .. })
    }

    /// The verdict in a few words.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Valid { ops, .. } => format!("finds nothing wrong in {ops} operations"),
            Self::Violated { findings, more } => {
                let all = whole(findings.len()).saturating_add(*more);
                format!("FINDS {all} VIOLATIONS")
            }
            Self::Invalid { why } => format!("proves nothing: {why}"),
        }
    }

    /// One verdict for several histories of a kind: what was broken in any of them, else what one of
    /// them does not prove.
    #[must_use]
    pub fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Check::default();
        for verdict in verdicts {
            match verdict {
                Self::Valid { ops, coverage } => {
                    all.ops = all.ops.saturating_add(ops);
                    for (name, figure) in coverage {
                        let sum = all.coverage.entry(name).or_default();
                        *sum = sum.saturating_add(figure);
                    }
                }
                Self::Violated { findings, more } => {
                    for Finding { what, evidence } in findings {
                        all.proven(what, evidence);
                    }
                    all.more = all.more.saturating_add(more);
                }
                Self::Invalid { why } => all.undecided(why),
            }
        }
        all.finish()
    }

    /// A verdict that proves nothing.
    pub(super) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid { why: why.into() }
    }
}

/// Collects what a checker sees and turns it into a verdict.
#[derive(Debug, Default)]
pub(super) struct Check {
    ops: u64,
    coverage: Coverage,
    findings: Vec<Finding>,
    more: u64,
    too_little: Option<String>,
}

impl Check {
    /// Adds to a figure of the coverage; with 0 the figure is shown all the same.
    pub(super) fn count(&mut self, name: &'static str, by: usize) {
        let figure = self.coverage.entry(name).or_default();
        *figure = figure.saturating_add(whole(by));
    }

    /// Says how many operations were looked at.
    pub(super) fn looked_at(&mut self, ops: usize) {
        self.ops = self.ops.saturating_add(whole(ops));
    }

    /// A rule was broken, as these operations prove.
    pub(super) fn violated(&mut self, what: impl Into<String>, ops: &[&Op]) {
        self.proven(what, ops.iter().copied());
    }

    /// A rule was broken, as these words prove.
    pub(super) fn proven<T: Display>(
        &mut self,
        what: impl Into<String>,
        evidence: impl IntoIterator<Item = T>,
    ) {
        if self.findings.len() < MAX_FINDINGS {
            let evidence = evidence.into_iter().map(|it| it.to_string()).collect();
            let what = what.into();
            self.findings.push(Finding { what, evidence });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// The check did not come to an end.
    pub(super) fn undecided(&mut self, why: impl Into<String>) {
        self.too_little.get_or_insert(why.into());
    }

    /// Asks for a figure of the coverage to be at least this.
    pub(super) fn require(&mut self, name: &'static str, least: u64) {
        let figure = self.coverage.get(name).copied().unwrap_or(0);
        if figure < least && self.too_little.is_none() {
            self.too_little = Some(format!("{name}: {figure}, at least {least} are needed"));
        }
    }

    /// The verdict. What was broken counts even where too little happened.
    pub(super) fn finish(self) -> Verdict {
        if !self.findings.is_empty() {
            return Verdict::Violated {
                findings: self.findings,
                more: self.more,
            };
        }
        match self.too_little {
            Some(why) => Verdict::Invalid { why },
            None => Verdict::Valid {
                ops: self.ops,
                coverage: self.coverage,
            },
        }
    }
}

/// A length as it stands in a report.
pub(super) fn whole(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
