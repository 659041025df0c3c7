//! The order of one lot's events on this node, and the ring of the last ones. Pure.
//!
//! Events come from two sides, the node's own commits and the stream, with repeats and out of
//! order. They leave in the order of their offsets, each once. An event that is ahead waits until
//! the ones before it have come or have been read.

use shared::live::Position;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Events kept for clients that come back: at 10 bids a second almost a minute.
pub const MAX_RING_EVENTS: usize = 512;

/// How long an event is kept for clients that come back.
pub const RING_AGE: Duration = Duration::from_secs(120);

/// Events that may wait for earlier ones; more are read again when the gap is filled.
const MAX_WAITING: usize = 1_024;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Accepted<F> {
    /// These go out now, in this order.
    Forward(Vec<(i64, F)>),
    /// It was here before.
    Repeat,
    /// Something before it is missing.
    Waits,
    /// It belongs to another history: whoever listens has to start from a snapshot.
    NewHistory,
}

/// Offsets that are known to exist and are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub epoch: i64,
    pub after: i64,
    pub through: i64,
}

/// One lot's events, generic over what a frame is.
#[derive(Clone, Debug)]
pub(super) struct Log<F> {
    /// Epoch, and the last offset that went out; `None` before anything is known.
    place: Option<Position>,
    /// The highest offset known to exist.
    known: i64,
    waiting: BTreeMap<i64, F>,
    /// The history that what waits belongs to, while the place is not known.
    waiting_epoch: i64,
    ring: VecDeque<(i64, Instant, F)>,
}

impl<F> Default for Log<F> {
    fn default() -> Self {
        Self {
            place: None,
            known: 0,
            waiting: BTreeMap::new(),
            waiting_epoch: 0,
            ring: VecDeque::new(),
        }
    }
}

impl<F: Clone> Log<F> {
    /// Whether an event needs no further look.
    pub fn is_repeat(&self, at: Position) -> bool {
        let gone = self
            .place
            .is_some_and(|p| at.epoch < p.epoch || at.epoch == p.epoch && at.offset <= p.offset);
        let epoch = self.place.map_or(self.waiting_epoch, |p| p.epoch);
        gone || epoch == at.epoch && self.waiting.contains_key(&at.offset)
    }

    /// Takes in an event. `awaited` says that somebody reads a snapshot right now, so the place to
    /// begin at is about to be known.
    pub fn accept(&mut self, at: Position, frame: F, awaited: bool, now: Instant) -> Accepted<F> {
        if self.is_repeat(at) {
            return Accepted::Repeat;
        }
        let Some(place) = self.place else {
            if self.waiting_epoch != at.epoch {
                self.waiting.clear();
                self.known = 0;
                self.waiting_epoch = at.epoch;
            }
            if !awaited {
                self.place = Some(Position {
                    epoch: at.epoch,
                    offset: at.offset.saturating_sub(1),
                });
            }
            self.wait(at.offset, frame);
            return self.forward(now);
        };
        if at.epoch != place.epoch {
            self.begin(at.epoch, at.offset.saturating_sub(1));
            self.wait(at.offset, frame);
            let _first = self.forward(now);
            return Accepted::NewHistory;
        }
        self.wait(at.offset, frame);
        self.forward(now)
    }

    fn wait(&mut self, offset: i64, frame: F) {
        self.known = self.known.max(offset);
        if self.waiting.len() < MAX_WAITING {
            self.waiting.insert(offset, frame);
        }
    }

    /// Moves what follows directly on the last offset from waiting into the ring.
    fn forward(&mut self, now: Instant) -> Accepted<F> {
        let Some(place) = &mut self.place else {
            return Accepted::Waits;
        };
        let mut out = Vec::new();
        while let Some(next) = place.offset.checked_add(1)
            && let Some(frame) = self.waiting.remove(&next)
        {
            place.offset = next;
            self.ring.push_back((place.offset, now, frame.clone()));
            out.push((place.offset, frame));
        }
        self.trim(now);
        if out.is_empty() {
            Accepted::Waits
        } else {
            Accepted::Forward(out)
        }
    }

    /// Forgets what is too old or too much.
    pub fn trim(&mut self, now: Instant) {
        let old = |at: &Instant| now.duration_since(*at) > RING_AGE;
        while self.ring.len() > MAX_RING_EVENTS
            || self.ring.front().is_some_and(|(_, at, _)| old(at))
        {
            self.ring.pop_front();
        }
    }

    /// Starts another history, or the same one at another place.
    fn begin(&mut self, epoch: i64, offset: i64) {
        *self = Self {
            place: Some(Position { epoch, offset }),
            known: offset,
            ..Self::default()
        };
    }

    /// Learns from the ledger that everything up to `at` has happened: never from a client, whose
    /// number would become everybody's. Answers what may go out to
    /// those who listen already; [`Accepted::NewHistory`] if they listen to another history.
    pub fn learn(&mut self, at: Position, now: Instant) -> Accepted<F> {
        match self.place {
            None => {
                let (mut waiting, known) = (std::mem::take(&mut self.waiting), self.known);
                let same_history = self.waiting_epoch == at.epoch;
                self.begin(at.epoch, at.offset);
                if same_history {
                    self.waiting = waiting.split_off(&at.offset.saturating_add(1));
                    self.known = known.max(at.offset);
                }
                self.forward(now)
            }
            Some(place) if place.epoch < at.epoch => {
                self.begin(at.epoch, at.offset);
                Accepted::NewHistory
            }
            Some(place) => {
                if place.epoch == at.epoch {
                    self.known = self.known.max(at.offset);
                }
                Accepted::Repeat
            }
        }
    }

    /// The events after a place, if this log still has them all. A place ahead of the log has lost
    /// nothing, if it is one that the ledger has reached.
    pub fn since(&self, at: Position) -> Option<Vec<F>> {
        let place = self.place.filter(|place| place.epoch == at.epoch)?;
        if at.offset >= place.offset {
            return Some(Vec::new());
        }
        let (first, _, _) = self.ring.front()?;
        (at.offset.saturating_add(1) >= *first).then(|| {
            let missed = self.ring.iter().filter(|(offset, ..)| *offset > at.offset);
            missed.map(|(_, _, frame)| frame.clone()).collect()
        })
    }

    /// The last offset that went out.
    pub fn place(&self) -> Option<Position> {
        self.place
    }

    /// What is missing, if something is.
    pub fn gap(&self) -> Option<Gap> {
        let place = self.place?;
        (self.known > place.offset).then_some(Gap {
            epoch: place.epoch,
            after: place.offset,
            through: self.known,
        })
    }

    /// Gives up on what is missing: goes on behind everything known, with an empty ring.
    pub fn skip_gap(&mut self) {
        if let Some(place) = self.place {
            self.begin(place.epoch, self.known.max(place.offset));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(offset: i64) -> Position {
        Position { epoch: 1, offset }
    }

    fn known(offset: i64) -> Log<i64> {
        let mut log = Log::default();
        log.learn(at(offset), Instant::now());
        log
    }

    fn take(log: &mut Log<i64>, offset: i64) -> Accepted<i64> {
        log.accept(at(offset), offset, false, Instant::now())
    }

    #[test]
    fn what_is_ahead_waits_and_repeats_go() {
        let mut log = known(3);
        assert_eq!(take(&mut log, 5), Accepted::Waits);
        assert_eq!(take(&mut log, 5), Accepted::Repeat);
        let gap = log.gap().expect("4 is missing");
        assert_eq!((gap.after, gap.through), (3, 5));
        assert_eq!(take(&mut log, 4), Accepted::Forward(vec![(4, 4), (5, 5)]));
        assert_eq!(log.gap(), None);
        for old in [1, 3, 4, 5] {
            assert_eq!(take(&mut log, old), Accepted::Repeat);
        }
    }

    #[test]
    fn nothing_goes_out_before_the_snapshot_that_is_being_read() {
        let mut log: Log<i64> = Log::default();
        let now = Instant::now();
        assert_eq!(log.accept(at(7), 7, true, now), Accepted::Waits);
        assert_eq!(log.learn(at(5), now), Accepted::Waits);
        assert_eq!(log.gap().map(|g| (g.after, g.through)), Some((5, 7)));
        let six = log.accept(at(6), 6, false, now);
        assert_eq!(six, Accepted::Forward(vec![(6, 6), (7, 7)]));
    }

    #[test]
    fn a_snapshot_ahead_of_the_log_shows_a_gap() {
        let mut log = known(5);
        assert_eq!(log.learn(at(8), Instant::now()), Accepted::Repeat);
        assert_eq!(log.gap().map(|g| (g.after, g.through)), Some((5, 8)));
        log.skip_gap();
        assert_eq!((log.gap(), log.place()), (None, Some(at(8))));
    }

    #[test]
    fn the_ring_serves_those_who_come_back() {
        let mut log = known(0);
        for offset in 1..=600 {
            take(&mut log, offset);
        }
        assert_eq!(log.since(at(600)), Some(vec![]));
        assert_eq!(log.since(at(598)), Some(vec![599, 600]));
        assert_eq!(log.since(at(88)).map(|all| all.len()), Some(512));
        assert_eq!(log.since(at(87)), None);
        assert_eq!(log.since(at(650)), Some(vec![]), "ahead of the log");
        let other = Position {
            epoch: 2,
            offset: 600,
        };
        assert_eq!(log.since(other), None);
        assert_eq!(Log::<i64>::default().since(at(1)), None);
        log.trim(Instant::now() + RING_AGE + Duration::from_secs(1));
        assert_eq!(log.since(at(599)), None, "too old");
        assert_eq!(log.since(at(600)), Some(vec![]));
    }

    #[test]
    fn another_epoch_is_another_history() {
        let mut log = known(5);
        let now = Instant::now();
        let place = |epoch, offset| Position { epoch, offset };
        assert_eq!(log.accept(place(0, 9), 9, false, now), Accepted::Repeat);
        assert_eq!(log.accept(place(2, 1), 1, false, now), Accepted::NewHistory);
        assert_eq!(log.place(), Some(place(2, 1)));
        assert_eq!(take(&mut log, 6), Accepted::Repeat, "of the old history");
        assert_eq!(log.learn(place(3, 4), now), Accepted::NewHistory);
        assert_eq!(log.place(), Some(place(3, 4)));
    }

    proptest! {
        #[test]
        fn each_offset_leaves_once_and_in_order(
            start in 0_i64..5,
            repeats in proptest::collection::vec((1_usize..3, any::<u32>(), any::<u32>()), 1..60),
        ) {
            let mut deliveries = Vec::new();
            for (n, (copies, first, second)) in (start + 1..).zip(&repeats) {
                deliveries.push((*first, n));
                if *copies == 2 {
                    deliveries.push((*second, n));
                }
            }
            deliveries.sort_unstable();
            let mut log = known(start);
            let mut out = Vec::new();
            for (_, offset) in deliveries {
                if let Accepted::Forward(frames) = take(&mut log, offset) {
                    out.extend(frames.into_iter().map(|(offset, _)| offset));
                }
            }
            let end = start + i64::try_from(repeats.len()).expect("short");
            prop_assert_eq!(out, (start + 1..=end).collect::<Vec<_>>());
        }
    }
}
