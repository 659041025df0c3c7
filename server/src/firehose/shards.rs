//! Which shards of a stream are read, from where, and in which order. Pure.
//!
//! A shard splits into children; their records follow the parent's, so a parent is drained first.
//! Shards that are open when reading begins are read from their end, since whoever connects takes
//! a snapshot; shards that appear later are read from their beginning, as everything in them is
//! new.

use std::collections::BTreeMap;

/// A shard as the stream describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub id: String,
    pub parent: Option<String>,
}

/// Where reading of a shard begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At what comes next.
    Latest,
    /// At the oldest record there is.
    Oldest,
    /// Behind a record that was read.
    After(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shard {
    parent: Option<String>,
    start: Start,
    iterator: Option<String>,
    drained: bool,
}

/// How far reading has come, shard by shard. Kept over reconnections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shards {
    known: BTreeMap<String, Shard>,
    begun: bool,
}

impl Shards {
    /// Takes in what the stream says now; forgets shards that are gone.
    pub fn update(&mut self, described: &[Described]) {
        self.known
            .retain(|id, _| described.iter().any(|shard| shard.id == *id));
        for shard in described {
            let first_look = !self.begun;
            // An ending sequence number is no proof: the embedded store shows one on open shards.
            let closed = described
                .iter()
                .any(|other| other.parent.as_ref() == Some(&shard.id));
            self.known.entry(shard.id.clone()).or_insert_with(|| Shard {
                parent: shard.parent.clone(),
                start: if first_look {
                    Start::Latest
                } else {
                    Start::Oldest
                },
                iterator: None,
                drained: first_look && closed,
            });
        }
        self.begun = true;
    }

    /// The shards to read now: not drained, and their parent, if it still exists, is.
    pub fn readable(&self) -> Vec<String> {
        let drained = |parent: &String| self.known.get(parent).is_none_or(|p| p.drained);
        let ready = |shard: &Shard| !shard.drained && shard.parent.iter().all(drained);
        let ready = self.known.iter().filter(|(_, shard)| ready(shard));
        ready.map(|(id, _)| id.clone()).collect()
    }

    /// Where to read a shard: an iterator that is at hand, or where to begin.
    pub fn place(&self, id: &str) -> Option<(Option<String>, Start)> {
        let shard = self.known.get(id)?;
        Some((shard.iterator.clone(), shard.start.clone()))
    }

    /// Notes a fresh iterator.
    pub fn set_iterator(&mut self, id: &str, iterator: Option<String>) {
        if let Some(shard) = self.known.get_mut(id) {
            shard.iterator = iterator;
        }
    }

    /// Notes a page that was handed on: the last record in it and the iterator behind it. Without
    /// one the shard is closed and drained.
    pub fn advance(&mut self, id: &str, last: Option<String>, next: Option<String>) {
        if let Some(shard) = self.known.get_mut(id) {
            if let Some(last) = last {
                shard.start = Start::After(last);
            }
            shard.drained = next.is_none();
            shard.iterator = next;
        }
    }

    /// The iterator is too old: the next one begins behind the last record. Answers whether
    /// records may have been missed, because none had been read yet.
    pub fn expire(&mut self, id: &str) -> bool {
        let Some(shard) = self.known.get_mut(id) else {
            return false;
        };
        shard.iterator = None;
        shard.start == Start::Latest
    }

    /// What was to be read is gone for good: continues at the oldest record there is.
    pub fn trim(&mut self, id: &str) {
        if let Some(shard) = self.known.get_mut(id) {
            shard.iterator = None;
            shard.start = Start::Oldest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parent: Option<&str>) -> Described {
        Described {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
        }
    }

    fn start(shards: &Shards, id: &str) -> Start {
        shards.place(id).expect("known").1
    }

    #[test]
    fn reading_begins_at_the_end_of_what_is_open() {
        let mut shards = Shards::default();
        shards.update(&[shard("a", None), shard("b", Some("a"))]);
        assert_eq!(shards.readable(), ["b"]);
        assert_eq!(start(&shards, "b"), Start::Latest);
    }

    #[test]
    fn children_wait_for_their_parent_and_lose_nothing() {
        let mut shards = Shards::default();
        shards.update(&[shard("a", None)]);
        shards.set_iterator("a", Some("i1".to_owned()));
        let split = [
            shard("a", None),
            shard("b", Some("a")),
            shard("c", Some("a")),
        ];
        shards.update(&split);
        assert_eq!(shards.readable(), ["a"], "the parent first");
        shards.advance("a", Some("17".to_owned()), Some("i2".to_owned()));
        assert_eq!(shards.readable(), ["a"]);
        shards.advance("a", None, None);
        assert_eq!(shards.readable(), ["b", "c"]);
        assert_eq!(start(&shards, "b"), Start::Oldest);
        // The parent leaves the description a day later.
        shards.update(&split[1..]);
        assert_eq!(shards.readable(), ["b", "c"]);
        assert_eq!(start(&shards, "c"), Start::Oldest);
    }

    #[test]
    fn an_old_iterator_is_replaced_behind_the_last_record() {
        let mut shards = Shards::default();
        shards.update(&[shard("a", None)]);
        assert!(
            shards.expire("a"),
            "nothing read yet: something may be lost"
        );
        shards.advance("a", Some("17".to_owned()), Some("i".to_owned()));
        assert!(!shards.expire("a"));
        let place = shards.place("a");
        assert_eq!(place, Some((None, Start::After("17".to_owned()))));
        shards.trim("a");
        assert_eq!(start(&shards, "a"), Start::Oldest);
        assert!(!shards.expire("gone"));
    }
}
