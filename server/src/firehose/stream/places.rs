//! Where in the stream somebody is. Pure.

use rand::Rng;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A record's number within its shard: up to 40 digits. Larger is later; records of different
/// shards do not compare.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::firehose) struct Sequence(String);

impl Sequence {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Numbers too large for any integer type compare by length first.
    fn key(&self) -> (usize, &str) {
        let digits = self.0.trim_start_matches('0');
        (digits.len(), digits)
    }
}

impl PartialEq for Sequence {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Sequence {}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// How far somebody is in a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// Where its end was when the course began; nothing was read since.
    End,
    /// At the oldest record there is: the whole shard is news.
    Beginning,
    /// Behind a record that was read.
    After(Sequence),
    /// The shard is closed and everything in it was read.
    Drained,
}

impl Place {
    /// Whether a record is news to whoever is here.
    pub fn is_before(&self, sequence: &Sequence) -> bool {
        match self {
            Self::End | Self::Beginning => true,
            Self::After(last) => last < sequence,
            Self::Drained => false,
        }
    }

    /// Whether going from here to there is going on.
    pub fn leads_to(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Drained, _) | (_, Self::End | Self::Beginning) => false,
            (_, Self::Drained) => true,
            (here, Self::After(sequence)) => here.is_before(sequence),
        }
    }

    /// Whether somebody here has had everything up to a floor: what lies behind it can be handed
    /// to them.
    fn has_reached(&self, floor: &Self) -> bool {
        match (floor, self) {
            (Self::Beginning, _) | (Self::End | Self::After(_), Self::Drained) => true,
            (Self::Drained, here) => *here == Self::Drained,
            (Self::End, here) => *here != Self::Beginning,
            (Self::After(floor), Self::After(last)) => last >= floor,
            (Self::After(_), Self::End | Self::Beginning) => false,
        }
    }
}

/// How far somebody is in the whole stream.
///
/// A course is an unbroken reading of the stream, passed on from leader to leader. When something
/// was lost a new one begins, so places of another course say nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places {
    /// The stream's name, which is another one when the table was made anew.
    pub stream: String,
    pub course: String,
    pub shards: BTreeMap<String, Place>,
    /// Shards that were drained in this course and are gone: who knows of fewer has missed a whole
    /// shard.
    pub forgotten: usize,
}

impl Places {
    /// The places at which a course begins.
    pub fn of_new_course(stream: String, shards: BTreeMap<String, Place>) -> Self {
        let course = format!("{:016x}", rand::rng().random::<u64>());
        Self {
            stream,
            course,
            shards,
            forgotten: 0,
        }
    }

    /// A shard that is not known is a new one, in which everything is news.
    pub fn of(&self, shard: &str) -> &Place {
        self.shards.get(shard).unwrap_or(&Place::Beginning)
    }

    /// Whether somebody here can be handed everything that they have not had, by somebody who has
    /// what lies behind `floors`.
    pub fn have_reached(&self, floors: &Self) -> bool {
        let reached = |(shard, floor): (&String, &Place)| self.of(shard).has_reached(floor);
        // A shard that only they know is a new one, which they were told of by an earlier leader, or
        // one that is gone: then they must have been at its end.
        let ended = self.shards.iter().filter(|(shard, place)| {
            **place == Place::Drained && !floors.shards.contains_key(*shard)
        });
        let knew = self.forgotten.saturating_add(ended.count());
        self.stream == floors.stream
            && self.course == floors.course
            && floors.shards.iter().all(reached)
            && knew >= floors.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(n: u32) -> Place {
        Place::After(Sequence::new(n.to_string()))
    }

    proptest! {
        #[test]
        fn sequences_compare_as_numbers(a: u128, b: u128, zeros in 0_usize..5) {
            let padded = |n: u128| Sequence::new(format!("{}{n}", "0".repeat(zeros)));
            prop_assert_eq!(Sequence::new(a.to_string()).cmp(&padded(b)), a.cmp(&b));
        }
    }

    #[test]
    fn places_only_go_on() {
        let ways = [Place::End, after(1), after(2), Place::Drained];
        for (n, here) in ways.iter().enumerate() {
            for (m, there) in ways.iter().enumerate() {
                assert_eq!(here.leads_to(there), m > n, "{here:?} to {there:?}");
            }
            assert!(!here.leads_to(&Place::Beginning));
        }
        assert!(Place::Beginning.leads_to(&after(1)));
    }

    #[test]
    fn who_was_not_at_the_floor_has_lost_something() {
        let reached = |here: &Place, floor: &Place| here.has_reached(floor);
        for here in [Place::End, Place::Beginning, after(3), Place::Drained] {
            assert!(reached(&here, &Place::Beginning), "all of it is kept");
        }
        assert!(!reached(&Place::Beginning, &Place::End), "an unknown shard");
        assert!(reached(&after(5), &after(5)) && !reached(&after(4), &after(5)));
        assert!(!reached(&Place::End, &after(1)));
        assert!(!reached(&after(9), &Place::Drained), "what came behind 9?");
        assert!(reached(&Place::Drained, &after(9)));
    }

    #[test]
    fn a_shard_that_is_gone_matters_to_who_was_not_at_its_end() {
        let floors = Places::of_new_course("s".to_owned(), BTreeMap::new());
        let mut gone = floors.clone();
        gone.forgotten = 1;
        let mut had = floors.clone();
        assert!(!had.have_reached(&gone), "it never heard of the shard");
        had.shards.insert("a".to_owned(), Place::Drained);
        assert!(had.have_reached(&gone) && had.have_reached(&floors));
        had.shards.insert("a".to_owned(), after(7));
        assert!(!had.have_reached(&gone), "something came behind 7");
        assert!(had.have_reached(&floors), "the shard is new to the leader");
        let other = Places::of_new_course("s".to_owned(), BTreeMap::new());
        assert!(!other.have_reached(&floors), "another course");
    }
}
