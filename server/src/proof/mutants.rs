//! Which check sees which broken engine: the table that CI compares with what it sees.

use super::settings::RaceFault;
use super::{Name, Report};
use shared::mutant::Mutant;
use std::collections::BTreeSet;

/// How a broken engine is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The engine.
    pub mutant: Mutant,
    /// What is raced for.
    pub scenario: Name,
    /// What goes wrong meanwhile.
    pub fault: Option<RaceFault>,
    /// Exactly the checks that see it: audits by their ids, checkers of the history by their names,
    /// and `rows` for what the scenario itself counts in the committed rows.
    pub caught_by: &'static [&'static str],
}

const fn case(mutant: Mutant, scenario: Name, caught_by: &'static [&'static str]) -> Case {
    Case {
        mutant,
        scenario,
        fault: None,
        caught_by,
    }
}

/// The engines that a race tells apart. Two are not among them: one that marks events before it
/// publishes them (M7) is seen by what the relay delivers, one that reads amounts by way of floating
/// point (M16) by the numbers themselves.
pub const CASES: [Case; 12] = [
    case(
        Mutant::UncheckedStock,
        Name::Oversell,
        &["A6", "drop", "rows"],
    ),
    case(Mutant::KeyApart, Name::LostCommit, &["A10", "keys", "rows"]),
    Case {
        fault: Some(RaceFault::Conflicts),
        ..case(Mutant::EarlyNews, Name::EnglishAlternation, &["news"])
    },
    case(Mutant::StaleWallet, Name::DoubleSpend, &["A4", "rows"]),
    case(
        Mutant::UnwrittenLot,
        Name::BidAgainstClose,
        &["A7", "A9", "linear", "rows"],
    ),
    case(Mutant::OwnClock, Name::DutchFirstClaim, &["A12"]),
    case(Mutant::NoFingerprint, Name::SameKey, &["rows"]),
    case(Mutant::CallersFuture, Name::ClientVanishes, &["rows"]),
    case(Mutant::FirstBucketOnly, Name::Oversell, &["drop", "rows"]),
    case(Mutant::FreshKeyOnRetry, Name::LostCommit, &["keys", "rows"]),
    case(Mutant::CountedLimit, Name::LimitPerBuyer, &["A6"]),
    case(Mutant::LastingHold, Name::BidAgainstClose, &["A9"]),
];

impl Report {
    /// The checks that saw something wrong, named as in [`Case::caught_by`].
    #[must_use]
    pub fn caught_by(&self) -> BTreeSet<&'static str> {
        let audits = self.audits.iter().filter(|audit| audit.violations > 0);
        let mut caught: BTreeSet<&'static str> = audits.map(|finding| finding.audit.id).collect();
        for scenario in &self.scenarios {
            let violated = scenario.checks.iter().filter(|(_, it)| it.is_violated());
            caught.extend(violated.map(|(checker, _)| *checker));
            let counted = scenario.findings.iter();
            let counted = counted.filter(|finding| !finding.starts_with("the history, by "));
            caught.extend(counted.map(|_| "rows"));
        }
        caught
    }
}
