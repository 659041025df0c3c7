//! What people see: a room's view is a prefix of one history, and a session reads its own writes.

use super::operation::{LotState, Operation, Place, Reply, Sight, SightEvent};
use super::read::{History, Moment, Op, Sighting};
use super::verdict::{Check, Verdict};
use shared::LotId;
use std::collections::BTreeMap;

/// Checks the frames of every room: after a snapshot each session gets each frame once, in order,
/// none left out; all sessions get the same; bids only rise and nothing follows a close; and what
/// frames say is what the commands were answered.
///
/// A session that lost its place watches again: with a place it goes on from there, without one
/// it gets a snapshot, which may leave frames out, but is never older than what it has seen.
#[must_use]
pub fn rooms(history: &History) -> Verdict {
    let mut check = Check::default();
    for name in ["frames", "snapshots", "resumed", "views"] {
        check.count(name, 0);
    }
    check.looked_at(history.ops.len());
    let mut views: BTreeMap<(u32, LotId), View> = BTreeMap::new();
    for item in items(history) {
        let view = views.entry((item.session(), item.lot())).or_default();
        view.take_in(&item, &mut check);
    }
    check.count("views", views.len());
    one_history(history, &mut check);
    check.require("frames", 1);
    check.require("snapshots", 1);
    check.finish()
}

/// What a session got of a lot's channel.
#[derive(Clone, Copy)]
enum Item<'a> {
    Joined(&'a Op, Moment, LotId),
    Frame(&'a Sighting),
}

impl Item<'_> {
    const fn session(&self) -> u32 {
        match self {
            Self::Joined(op, ..) => op.session,
            Self::Frame(sighting) => sighting.session,
        }
    }

    const fn lot(&self) -> LotId {
        match self {
            Self::Joined(_, _, lot) => *lot,
            Self::Frame(sighting) => sighting.sight.lot,
        }
    }

    const fn at(&self) -> Moment {
        match self {
            Self::Joined(_, at, _) => *at,
            Self::Frame(sighting) => sighting.at,
        }
    }
}

/// Answers to `watch` and frames, in the order in which they came.
fn items(history: &History) -> Vec<Item<'_>> {
    let joined = history.ops.iter().filter_map(|op| {
        let Operation::Watch { lot, .. } = &op.operation else {
            return None;
        };
        op.reply()?;
        Some(Item::Joined(op, op.done()?, *lot))
    });
    let frames = history.sightings.iter().map(Item::Frame);
    let mut items: Vec<Item<'_>> = joined.chain(frames).collect();
    items.sort_by_key(Item::at);
    items
}

/// How far a session's view of a lot has come.
#[derive(Default)]
struct View {
    /// The last place; `None` before the first snapshot.
    last: Option<Place>,
}

impl View {
    fn take_in(&mut self, item: &Item<'_>, check: &mut Check) {
        match item {
            Item::Joined(op, ..) => self.join(op, check),
            Item::Frame(sighting) => self.frame(sighting, check),
        }
    }

    fn join(&mut self, op: &Op, check: &mut Check) {
        match (op.reply(), &op.operation) {
            (Some(Reply::Lot { epoch, state }), _) => {
                check.count("snapshots", 1);
                let place = Place {
                    epoch: *epoch,
                    offset: state.version,
                };
                let last = self.last.filter(|last| last.epoch == place.epoch);
                if last.is_some_and(|last| place.offset < last.offset) {
                    check.violated("a snapshot is older than what the session had seen", &[op]);
                }
                self.last = Some(place);
            }
            (Some(Reply::Resumed), Operation::Watch { since, .. }) => {
                check.count("resumed", 1);
                self.last = *since;
            }
            (_, _) => {}
        }
    }

    fn frame(&mut self, sighting: &Sighting, check: &mut Check) {
        check.count("frames", 1);
        let place = sighting.sight.place;
        let what = match self.last {
            None => Some("a frame before any snapshot"),
            Some(last) if last.epoch != place.epoch => Some("a frame of another history"),
            Some(last) if place.offset == last.offset => Some("a frame came twice"),
            Some(last) if place.offset < last.offset => Some("a frame came late"),
            Some(last) if last.offset.checked_add(1) != Some(place.offset) => {
                Some("a frame was left out")
            }
            Some(_) => None,
        };
        if let Some(what) = what {
            let last = self.last.map_or_else(
                || "nothing before it".to_owned(),
                |last| {
                    format!(
                        "the session's last place was {}:{}",
                        last.epoch, last.offset
                    )
                },
            );
            check.proven(what, [sighting.to_string(), last]);
        }
        self.last = Some(place);
    }
}

/// A lot's history as everybody together saw it.
#[derive(Default)]
struct Lot {
    frames: BTreeMap<Place, (SightEvent, String)>,
    /// What a snapshot or a read says at a version.
    states: BTreeMap<Place, (LotState, String)>,
    /// What commands were answered, by version.
    answers: BTreeMap<i64, (SightEvent, String)>,
}

/// All sessions saw prefixes of one history, which is that of the answers.
fn one_history(history: &History, check: &mut Check) {
    let mut lots: BTreeMap<LotId, Lot> = BTreeMap::new();
    for sighting in &history.sightings {
        let Sight { lot, place, event } = sighting.sight;
        let frames = &mut lots.entry(lot).or_default().frames;
        let known = frames
            .entry(place)
            .or_insert_with(|| (event, sighting.to_string()));
        if known.0 != event {
            let proof = [known.1.clone(), sighting.to_string()];
            check.proven("two sessions saw different frames at one place", proof);
        }
    }
    for op in &history.ops {
        let Some(lot) = op.operation.lot() else {
            continue;
        };
        let lot = lots.entry(lot).or_default();
        match (op.reply(), answer(op)) {
            (Some(Reply::Lot { epoch, state }), _) => {
                let place = Place {
                    epoch: *epoch,
                    offset: state.version,
                };
                let known = lot.states.entry(place);
                let known = known.or_insert_with(|| (*state, op.to_string()));
                if known.0 != *state && known.0.units_left == state.units_left {
                    let proof = [known.1.clone(), op.to_string()];
                    check.proven("two reads differ at one version", proof);
                }
            }
            (_, Some((version, event))) => {
                let known = lot.answers.insert(version, (event, op.to_string()));
                if let Some((_, by)) = known {
                    check.proven(
                        "two commands were answered one version",
                        [by, op.to_string()],
                    );
                }
            }
            (_, None) => {}
        }
    }
    for lot in lots.values() {
        agree(lot, check);
        rising(lot, check);
    }
}

/// The frame that a command's answer announces.
fn answer(op: &Op) -> Option<(i64, SightEvent)> {
    match (&op.operation, op.reply()?) {
        (
            Operation::Bid { amount_minor, .. },
            Reply::Accepted {
                version: Some(version),
                ..
            },
        ) => {
            let amount_minor = *amount_minor;
            Some((*version, SightEvent::Bid { amount_minor }))
        }
        (
            Operation::Close { .. },
            Reply::Closed {
                amount_minor,
                version: Some(version),
                ..
            },
        ) => {
            let amount_minor = *amount_minor;
            Some((*version, SightEvent::Closed { amount_minor }))
        }
        (_, _) => None,
    }
}

/// Frames say what answers say, and snapshots what frames say.
fn agree(lot: &Lot, check: &mut Check) {
    for (place, (event, frame)) in &lot.frames {
        if let Some((told, by)) = lot.answers.get(&place.offset)
            && told != event
        {
            let proof = [by.clone(), frame.clone()];
            check.proven("a frame differs from the answer at its version", proof);
        }
        let Some((state, by)) = lot.states.get(place) else {
            continue;
        };
        let same = match event {
            SightEvent::Bid { amount_minor } => {
                state.high_minor == Some(*amount_minor) && !state.closed
            }
            SightEvent::Closed { .. } => state.closed,
        };
        if !same {
            let proof = [by.clone(), frame.clone()];
            check.proven("a read differs from the frame at its version", proof);
        }
    }
}

/// Bids only rise, and nothing follows a close.
fn rising(lot: &Lot, check: &mut Check) {
    let frames = lot.frames.iter();
    for ((one, (before, first)), (other, (after, second))) in frames.clone().zip(frames.skip(1)) {
        if one.epoch != other.epoch {
            continue;
        }
        let what = match (before, after) {
            (SightEvent::Closed { .. }, _) => Some("a frame follows the close"),
            (SightEvent::Bid { amount_minor: low }, SightEvent::Bid { amount_minor: high })
                if high <= low =>
            {
                Some("a bid does not rise")
            }
            (SightEvent::Bid { .. }, SightEvent::Bid { .. } | SightEvent::Closed { .. }) => None,
        };
        if let Some(what) = what {
            check.proven(what, [first, second]);
        }
    }
}

/// Checks that each session sees its own bids and closes in every read of the lot that it begins
/// afterwards, and never an older state than it has read before.
#[must_use]
pub fn own_writes(history: &History) -> Verdict {
    let mut check = Check::default();
    check.count("reads", 0);
    check.count("reads after an own write", 0);
    // Ends and starts of operations in one order; a session may run several at a time.
    let mut ended: Vec<(&Op, Moment)> = (history.ops.iter())
        .filter_map(|op| Some((op, op.done()?)))
        .collect();
    ended.sort_by_key(|(_, done)| *done);
    let mut ended = ended.into_iter().peekable();
    let mut known: BTreeMap<(u32, LotId), Known<'_>> = BTreeMap::new();
    for op in &history.ops {
        while let Some((before, _)) = ended.next_if(|(_, done)| *done < op.invoked) {
            if let Some(lot) = before.operation.lot() {
                known
                    .entry((before.session, lot))
                    .or_default()
                    .learn(before);
            }
        }
        check.looked_at(1);
        let (Some(lot), Some(Reply::Lot { state, .. })) = (op.operation.lot(), op.reply()) else {
            continue;
        };
        check.count("reads", 1);
        let Some(known) = known.get(&(op.session, lot)) else {
            continue;
        };
        if let Some((version, by)) = known.written {
            check.count("reads after an own write", 1);
            if state.version < version {
                check.violated("a session does not see what it wrote", &[by, op]);
            }
        }
        if let Some((version, by)) = known.read
            && state.version < version
        {
            check.violated("a session reads an older state than before", &[by, op]);
        }
    }
    check.require("reads after an own write", 1);
    check.finish()
}

/// The newest version that a session knows of, and how.
#[derive(Default)]
struct Known<'a> {
    written: Option<(i64, &'a Op)>,
    read: Option<(i64, &'a Op)>,
}

impl<'a> Known<'a> {
    fn learn(&mut self, op: &'a Op) {
        let newer = |known: Option<(i64, &'a Op)>, version: i64| {
            Some(
                known
                    .filter(|(it, _)| *it >= version)
                    .unwrap_or((version, op)),
            )
        };
        match op.reply() {
            Some(
                Reply::Accepted {
                    version: Some(version),
                    ..
                }
                | Reply::Closed {
                    version: Some(version),
                    ..
                },
            ) => self.written = newer(self.written, *version),
            Some(Reply::Lot { state, .. }) => self.read = newer(self.read, state.version),
            Some(_) | None => {}
        }
    }
}
