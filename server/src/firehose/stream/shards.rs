//! Which shards of a stream are read, from where, and in which order. Pure.
//!
//! A shard splits into children; their records follow the parent's, so a parent is drained first.
//! Shards that are open when a course begins are read from their end, since whoever connects takes
//! a snapshot; shards that appear later are read from their beginning, as everything in them is
//! new.

use super::places::{Place, Places, Sequence};
use std::collections::BTreeMap;

/// A shard as the stream describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub id: String,
    pub parent: Option<String>,
}

/// What a look at the stream brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Shards that are new since the last look.
    pub new: Vec<String>,
    /// Shards that were drained and are gone.
    pub gone: Vec<String>,
    /// Whether a shard is gone that had not been drained: nobody will ever read its rest.
    pub lost: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shard {
    parent: Option<String>,
    place: Place,
    iterator: Option<String>,
}

/// How far reading has come, shard by shard. Kept over reconnections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shards {
    known: BTreeMap<String, Shard>,
    begun: bool,
}

impl Shards {
    /// Goes on where somebody was.
    pub fn at(places: &Places) -> Self {
        let shard = |(id, place): (&String, &Place)| {
            let shard = Shard {
                parent: None,
                place: place.clone(),
                iterator: None,
            };
            (id.clone(), shard)
        };
        Self {
            known: places.shards.iter().map(shard).collect(),
            begun: true,
        }
    }

    /// How far reading has come.
    pub fn places(&self) -> BTreeMap<String, Place> {
        let known = self.known.iter();
        known
            .map(|(id, shard)| (id.clone(), shard.place.clone()))
            .collect()
    }

    /// Takes in what the stream says now; forgets shards that are gone.
    pub fn update(&mut self, described: &[Described]) -> Changes {
        let mut changes = Changes::default();
        self.known.retain(|id, shard| {
            let stays = described.iter().any(|shard| shard.id == *id);
            if !stays && shard.place == Place::Drained {
                changes.gone.push(id.clone());
            }
            changes.lost |= !stays && shard.place != Place::Drained;
            stays
        });
        for shard in described {
            if let Some(known) = self.known.get_mut(&shard.id) {
                known.parent.clone_from(&shard.parent);
                continue;
            }
            // An ending sequence number is no proof: the embedded store shows one on open shards.
            let is_parent = |other: &Described| other.parent.as_ref() == Some(&shard.id);
            let place = match (self.begun, described.iter().any(is_parent)) {
                (true, _) => Place::Beginning,
                (false, true) => Place::Drained,
                (false, false) => Place::End,
            };
            let known = Shard {
                parent: shard.parent.clone(),
                place,
                iterator: None,
            };
            self.known.insert(shard.id.clone(), known);
            changes.new.push(shard.id.clone());
        }
        self.begun = true;
        changes
    }

    /// The shards to read now: not drained, and their parent, if it still exists, is.
    pub fn readable(&self) -> Vec<String> {
        let drained = |parent: &String| {
            let parent = self.known.get(parent);
            parent.is_none_or(|parent| parent.place == Place::Drained)
        };
        let ready =
            |shard: &Shard| shard.place != Place::Drained && shard.parent.iter().all(drained);
        let ready = self.known.iter().filter(|(_, shard)| ready(shard));
        ready.map(|(id, _)| id.clone()).collect()
    }

    /// Where to read a shard: an iterator that is at hand, or where to begin.
    pub fn place(&self, id: &str) -> Option<(Option<String>, Place)> {
        let shard = self.known.get(id)?;
        Some((shard.iterator.clone(), shard.place.clone()))
    }

    /// Notes a fresh iterator.
    pub fn set_iterator(&mut self, id: &str, iterator: Option<String>) {
        if let Some(shard) = self.known.get_mut(id) {
            shard.iterator = iterator;
        }
    }

    /// Notes a page that was handed on: the last record in it and the iterator behind it. Without
    /// one the shard is closed and drained.
    pub fn advance(&mut self, id: &str, last: Option<Sequence>, next: Option<String>) {
        if let Some(shard) = self.known.get_mut(id) {
            let place = match (&next, last) {
                (None, _) => Place::Drained,
                (Some(_), Some(last)) => Place::After(last),
                (Some(_), None) => shard.place.clone(),
            };
            if shard.place.leads_to(&place) {
                shard.place = place;
            }
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
        shard.place == Place::End
    }

    /// Whether a shard is to be read from an end that nobody remembers: whoever had an iterator
    /// there is gone.
    pub fn has_unknown_end(&self) -> bool {
        let unknown = |shard: &Shard| shard.place == Place::End && shard.iterator.is_none();
        self.known.values().any(unknown)
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

    fn place(shards: &Shards, id: &str) -> Place {
        shards.place(id).expect("known").1
    }

    fn after(n: u32) -> Place {
        Place::After(Sequence::new(n.to_string()))
    }

    fn resumed(places: &[(&str, Place)]) -> Shards {
        let shards = places.iter();
        let shards = shards.map(|(id, place)| ((*id).to_owned(), place.clone()));
        Shards::at(&Places::of_new_course("s".to_owned(), shards.collect()))
    }

    #[test]
    fn a_course_begins_at_the_end_of_what_is_open() {
        let mut shards = Shards::default();
        let changes = shards.update(&[shard("a", None), shard("b", Some("a"))]);
        assert_eq!(changes.new, ["a", "b"]);
        assert_eq!(shards.readable(), ["b"]);
        assert_eq!(place(&shards, "b"), Place::End);
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
        shards.advance("a", Some(Sequence::new("17")), Some("i2".to_owned()));
        assert_eq!(shards.readable(), ["a"]);
        shards.advance("a", None, None);
        assert_eq!(shards.readable(), ["b", "c"]);
        assert_eq!(place(&shards, "b"), Place::Beginning);
        // The parent leaves the description a day later.
        let changes = shards.update(&split[1..]);
        assert_eq!((changes.gone, changes.lost), (vec!["a".to_owned()], false));
        assert_eq!(shards.readable(), ["b", "c"]);
        assert_eq!(place(&shards, "c"), Place::Beginning);
    }

    #[test]
    fn whoever_goes_on_reads_the_rest_of_the_parent_and_all_of_the_children() {
        let mut shards = resumed(&[("a", after(17))]);
        let changes = shards.update(&[
            shard("a", None),
            shard("b", Some("a")),
            shard("c", Some("b")),
        ]);
        assert!(!changes.lost);
        assert_eq!(shards.readable(), ["a"]);
        assert_eq!(place(&shards, "a"), after(17));
        shards.advance("a", Some(Sequence::new("18")), None);
        assert_eq!(shards.readable(), ["b"]);
        shards.advance("b", None, None);
        assert_eq!(shards.readable(), ["c"]);
        assert_eq!(place(&shards, "c"), Place::Beginning);
    }

    #[test]
    fn a_shard_that_goes_with_unread_records_is_lost() {
        let mut shards = resumed(&[("a", after(17)), ("b", Place::Drained)]);
        let changes = shards.update(&[shard("c", Some("b"))]);
        assert!(changes.lost);
        assert_eq!(changes.gone, ["b"]);
    }

    #[test]
    fn an_end_is_known_only_to_who_has_an_iterator_there() {
        let mut shards = Shards::default();
        shards.update(&[shard("a", None)]);
        assert!(shards.has_unknown_end());
        shards.set_iterator("a", Some("i".to_owned()));
        assert!(!shards.has_unknown_end());
        assert!(shards.expire("a") && shards.has_unknown_end());
        assert!(resumed(&[("a", Place::End)]).has_unknown_end());
        assert!(!resumed(&[("a", Place::Beginning)]).has_unknown_end());
    }

    #[test]
    fn an_old_iterator_is_replaced_behind_the_last_record() {
        let mut shards = Shards::default();
        shards.update(&[shard("a", None)]);
        shards.advance("a", Some(Sequence::new("17")), Some("i".to_owned()));
        assert!(!shards.expire("a"));
        assert_eq!(shards.place("a"), Some((None, after(17))));
        // A page that was read twice moves nothing back.
        shards.advance("a", Some(Sequence::new("9")), Some("j".to_owned()));
        assert_eq!(place(&shards, "a"), after(17));
        assert!(!shards.expire("gone"));
    }
}
