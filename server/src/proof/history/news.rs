//! What nodes told: each event once, and only what was committed.

use super::verdict::{Check, Verdict};
use shared::EventId;
use std::collections::{BTreeSet, HashSet};

/// Checks the events that nodes told, in the order in which they did, by those that are in the rows.
/// A node that tells of a transaction before its COMMIT tells of what never happened.
#[must_use]
pub fn check(told: &[EventId], committed: &HashSet<EventId>) -> Verdict {
    let mut check = Check::default();
    check.looked_at(told.len());
    check.count("events", told.len());
    let mut before = BTreeSet::new();
    for event in told {
        if !before.insert(event) {
            check.proven("an event was told twice", [event]);
        }
        if !committed.contains(event) {
            check.proven("an event was told that no commit wrote", [event]);
        }
    }
    check.require("events", 1);
    check.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids;

    #[test]
    fn what_was_never_committed_and_what_was_told_twice_are_found() {
        let told: Vec<EventId> = (0..3).map(|_| ids::event()).collect();
        let committed: HashSet<EventId> = told.iter().copied().collect();
        assert!(check(&told, &committed).is_valid());
        assert!(!check(&[], &committed).is_valid(), "nothing proves nothing");
        let phantom = ids::event();
        let twice = [told[0], told[0]];
        for (told, what) in [(&[phantom][..], "no commit"), (&twice, "twice")] {
            let Verdict::Violated { findings, .. } = check(told, &committed) else {
                panic!("{what}: not found");
            };
            assert!(findings[0].what.contains(what), "{findings:?}");
        }
    }
}
