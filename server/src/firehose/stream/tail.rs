//! The tail: the last items of the stream on this node, in the order in which they came. Pure.
//!
//! Who comes back with its places gets exactly what it missed, or hears that something is lost.
//! A floor is kept for each shard: behind it the tail has every item.

use super::places::{Place, Places, Sequence};
use axum::body::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Items in a tail: what 2,000 a second are while the lease of a leader that died moves.
pub(super) const MAX_ITEMS: usize = 16_384;

/// Bytes of the items in a tail, as they are sent.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long an item stays: four times what a change of leaders may take.
pub(super) const MAX_AGE: Duration = Duration::from_secs(40);

/// How much a tail keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub items: usize,
    pub bytes: usize,
    pub age: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            items: MAX_ITEMS,
            bytes: MAX_BYTES,
            age: MAX_AGE,
        }
    }
}

#[derive(Debug)]
struct Kept {
    shard: String,
    sequence: Sequence,
    at: Instant,
    line: Bytes,
}

/// The last items, and how far this node is.
#[derive(Debug)]
pub(super) struct Tail {
    places: Places,
    floors: Places,
    kept: VecDeque<Kept>,
    bytes: usize,
    bounds: Bounds,
}

impl Tail {
    /// Nothing yet, from these places on.
    pub fn from(places: Places, bounds: Bounds) -> Self {
        Self {
            floors: places.clone(),
            places,
            kept: VecDeque::new(),
            bytes: 0,
            bounds,
        }
    }

    /// How far this node is.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Whether a record has not been taken in.
    pub fn is_news(&self, shard: &str, sequence: &Sequence) -> bool {
        self.places.of(shard).is_before(sequence)
    }

    /// Takes in an item, as it is sent on; a repeat is left out, and answered with `false`.
    pub fn take(&mut self, shard: &str, sequence: &Sequence, line: Bytes, now: Instant) -> bool {
        if !self.advance(shard, Place::After(sequence.clone())) {
            return false;
        }
        self.bytes = self.bytes.saturating_add(line.len());
        self.kept.push_back(Kept {
            shard: shard.to_owned(),
            sequence: sequence.clone(),
            at: now,
            line,
        });
        self.trim(now);
        true
    }

    /// Goes on in a shard without an item, or learns of a new shard; answers whether it did.
    pub fn advance(&mut self, shard: &str, place: Place) -> bool {
        let Some(here) = self.places.shards.get_mut(shard) else {
            let floor = Place::Beginning;
            self.floors.shards.insert(shard.to_owned(), floor);
            self.places.shards.insert(shard.to_owned(), place);
            return true;
        };
        let goes_on = here.leads_to(&place);
        if goes_on {
            *here = place;
        }
        goes_on
    }

    /// Forgets a shard that is gone.
    pub fn forget(&mut self, shard: &str) {
        if self.places.shards.remove(shard).is_none() {
            return;
        }
        self.places.forgotten = self.places.forgotten.saturating_add(1);
        self.floors.forgotten = self.places.forgotten;
        self.floors.shards.remove(shard);
        let mut freed = 0;
        self.kept.retain(|kept| {
            let stays = kept.shard != shard;
            freed += if stays { 0 } else { kept.line.len() };
            stays
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }

    /// What somebody with these places has missed; `None` if it is not all here.
    pub fn since(&self, had: &Places) -> Option<Vec<Bytes>> {
        had.have_reached(&self.floors).then(|| {
            let missed = self.kept.iter();
            let missed = missed.filter(|kept| had.of(&kept.shard).is_before(&kept.sequence));
            missed.map(|kept| kept.line.clone()).collect()
        })
    }

    /// Forgets what is too old or too much.
    pub fn trim(&mut self, now: Instant) {
        let Bounds { items, bytes, age } = self.bounds;
        while self.kept.len() > items
            || self.bytes > bytes
            || (self.kept.front()).is_some_and(|kept| now.duration_since(kept.at) > age)
        {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.line.len());
            let floor = Place::After(oldest.sequence);
            self.floors.shards.insert(oldest.shard, floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// One thing that happens to the stream.
    #[derive(Clone, Debug)]
    enum Step {
        Item { shard: u8, bytes: usize },
        Read { shard: u8 },
        New { shard: u8 },
        Drain { shard: u8 },
        Forget { shard: u8 },
        Wait { seconds: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let shard = 0_u8..4;
        prop_oneof![
            8 => (shard.clone(), 1_usize..40).prop_map(|(shard, bytes)| Step::Item { shard, bytes }),
            2 => shard.clone().prop_map(|shard| Step::Read { shard }),
            1 => shard.clone().prop_map(|shard| Step::New { shard }),
            1 => shard.clone().prop_map(|shard| Step::Drain { shard }),
            1 => shard.prop_map(|shard| Step::Forget { shard }),
            1 => (1_u64..20).prop_map(|seconds| Step::Wait { seconds }),
        ]
    }

    /// A node whose items are all remembered beside its tail.
    struct Model {
        tail: Tail,
        now: Instant,
        next: u32,
        all: Vec<(String, Sequence, Bytes)>,
    }

    impl Model {
        fn new(bounds: Bounds) -> Self {
            let shards = BTreeMap::from([("s0".to_owned(), Place::End)]);
            Self {
                tail: Tail::from(Places::of_new_course("s".to_owned(), shards), bounds),
                now: Instant::now(),
                next: 1,
                all: Vec::new(),
            }
        }

        fn sequence(&mut self) -> Sequence {
            self.next += 1;
            Sequence::new(self.next.to_string())
        }

        /// Does what a reader could do, and leaves out what it could not.
        fn apply(&mut self, step: &Step) {
            let here = |shard: &str| self.tail.places().shards.get(shard).cloned();
            match step {
                Step::Wait { seconds } => {
                    self.now += Duration::from_secs(*seconds);
                    self.tail.trim(self.now);
                }
                Step::New { shard } => {
                    let shard = format!("s{shard}");
                    let was_there = self.all.iter().any(|(known, ..)| *known == shard);
                    if here(&shard).is_none() && !was_there {
                        assert!(self.tail.advance(&shard, Place::Beginning));
                    }
                }
                Step::Item { shard, bytes } => {
                    let shard = format!("s{shard}");
                    if here(&shard).is_none_or(|place| place == Place::Drained) {
                        return;
                    }
                    let sequence = self.sequence();
                    let line = Bytes::from(format!("{}{}", self.next, "x".repeat(*bytes)));
                    let took = self.tail.take(&shard, &sequence, line.clone(), self.now);
                    assert!(took, "it is news");
                    let again = self.tail.take(&shard, &sequence, line.clone(), self.now);
                    assert!(!again, "it is a repeat");
                    self.all.push((shard, sequence, line));
                }
                Step::Read { shard } => {
                    let sequence = self.sequence();
                    let shard = format!("s{shard}");
                    if self.tail.places().shards.contains_key(&shard) {
                        self.tail.advance(&shard, Place::After(sequence));
                    }
                }
                Step::Drain { shard } => {
                    let shard = format!("s{shard}");
                    if self.tail.places().shards.contains_key(&shard) {
                        self.tail.advance(&shard, Place::Drained);
                    }
                }
                Step::Forget { shard } => {
                    let shard = format!("s{shard}");
                    if here(&shard) == Some(Place::Drained) {
                        self.tail.forget(&shard);
                    }
                }
            }
        }
    }

    proptest! {
        /// Whoever left at any moment hears exactly what came since, or that something is lost.
        #[test]
        fn who_comes_back_misses_nothing_or_hears_so(
            before in prop::collection::vec(step(), 0..40),
            after in prop::collection::vec(step(), 0..40),
            items in 1_usize..12,
            bytes in 20_usize..400,
        ) {
            let bounds = Bounds { items, bytes, age: Duration::from_secs(30) };
            let mut model = Model::new(bounds);
            before.iter().for_each(|step| model.apply(step));
            let (had, heard) = (model.tail.places().clone(), model.all.len());
            after.iter().for_each(|step| model.apply(step));
            let missed: Vec<Bytes> = model.all[heard..].iter().map(|(.., l)| l.clone()).collect();
            if let Some(given) = model.tail.since(&had) {
                prop_assert_eq!(given, missed);
            }
            let kept: usize = model.tail.kept.iter().map(|kept| kept.line.len()).sum();
            prop_assert_eq!(kept, model.tail.bytes);
            prop_assert!(model.tail.kept.len() <= items && model.tail.bytes <= bytes);
        }

        /// With room enough nobody is told that something is lost.
        #[test]
        fn nothing_is_lost_while_everything_fits(
            before in prop::collection::vec(step(), 0..40),
            after in prop::collection::vec(step(), 0..40),
        ) {
            let bounds = Bounds { age: Duration::MAX, ..Bounds::default() };
            let stays = |step: &&Step| !matches!(step, Step::Forget { .. });
            let mut model = Model::new(bounds);
            before.iter().filter(stays).for_each(|step| model.apply(step));
            let (had, heard) = (model.tail.places().clone(), model.all.len());
            after.iter().filter(stays).for_each(|step| model.apply(step));
            let missed: Vec<Bytes> = model.all[heard..].iter().map(|(.., l)| l.clone()).collect();
            prop_assert_eq!(model.tail.since(&had), Some(missed));
        }
    }

    #[test]
    fn who_was_on_another_course_or_is_ahead_is_known() {
        let mut model = Model::new(Bounds::default());
        let item = Step::Item { shard: 0, bytes: 1 };
        model.apply(&item);
        let other = Model::new(Bounds::default());
        assert_eq!(model.tail.since(other.tail.places()), None);
        let mut ahead = model.tail.places().clone();
        let far = Place::After(Sequence::new("999999"));
        ahead.shards.insert("s0".to_owned(), far);
        assert_eq!(model.tail.since(&ahead), Some(Vec::new()));
    }
}
