//! One audience on this node: who listens, and for a lot what has happened.

use super::frame::Frame;
use super::lanes::{ConnectionId, Lanes};
use super::log::{Accepted, Gap, Log};
use super::queues::Lane;
use shared::live::Position;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pushes kept for a listener whose snapshot is being read: half of what the lanes take. With more
/// of them the snapshot is read again, since it has them.
const MAX_HELD: usize = 128;

/// How long a channel that nobody listens to is kept for those who come back: as long as its ring.
const IDLE: Duration = super::log::RING_AGE;

#[derive(Debug)]
enum Stage {
    /// The snapshot is being read; pushes without a place wait here, events in the log.
    Joining { held: Held, before: Before },
    /// Has everything up to this offset.
    Live { seen: i64 },
}

/// What a listener was before it asked for a snapshot.
#[derive(Clone, Copy, Debug)]
enum Before {
    Absent,
    /// It had everything up to this offset.
    Live {
        seen: i64,
    },
    /// It was live, and what it had is of no use any more.
    SentAway,
}

/// Pushes that wait for a snapshot.
#[derive(Debug, Default)]
struct Held {
    frames: Vec<(Lane, Frame)>,
    /// Whether some were thrown away, so that only a newer snapshot fits.
    overflowed: bool,
}

impl Held {
    /// Answers whether there was room. What a snapshot tells as well gives way to what it does
    /// not: notices.
    fn push(&mut self, lane: Lane, frame: Frame) -> bool {
        if self.frames.len() >= MAX_HELD {
            self.overflowed = true;
            self.keep_notices();
        }
        let has_room = self.frames.len() < MAX_HELD;
        if has_room {
            self.frames.push((lane, frame));
        }
        has_room
    }

    /// Prepares for another snapshot, if this one is too old.
    fn is_too_late(&mut self) -> bool {
        let overflowed = std::mem::take(&mut self.overflowed);
        if overflowed {
            self.keep_notices();
        }
        overflowed
    }

    fn keep_notices(&mut self) {
        self.frames.retain(|(lane, _)| *lane == Lane::Must);
    }
}

#[derive(Debug)]
struct Listener {
    lanes: Arc<Lanes>,
    stage: Stage,
}

/// Whether a snapshot could be joined to what came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Everything after the snapshot follows.
    Live,
    /// The snapshot is older than what this node remembers or could hold: read another one.
    TooOld,
    /// The listener left meanwhile.
    Gone,
}

/// What has to happen after an event was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// It was here before.
    Repeat,
    /// Something is missing: look again in a while.
    Fill,
    /// Listeners were sent away to take a snapshot.
    Resynced,
}

/// The state of one audience.
#[derive(Debug)]
pub(super) struct ChannelState {
    listeners: BTreeMap<ConnectionId, Listener>,
    /// Of a lot: its events.
    pub log: Log<Frame>,
    /// Of a drop: the fewest units left that anybody told of.
    fewest_left: Option<u32>,
    /// Whether it is a drop: its claims have no place, so an offset does not tell what was missed.
    pub is_drop: bool,
    /// Whether the lot is known to be over.
    pub over: bool,
    /// Whether somebody looks after a gap already.
    pub filling: bool,
    touched: Instant,
}

impl ChannelState {
    pub fn new(now: Instant) -> Self {
        Self {
            listeners: BTreeMap::new(),
            log: Log::default(),
            fewest_left: None,
            is_drop: false,
            over: false,
            filling: false,
            touched: now,
        }
    }

    pub fn is_heard(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Whether nobody needs it any more.
    pub fn is_idle(&self, now: Instant) -> bool {
        !self.is_heard() && !self.filling && now.duration_since(self.touched) > IDLE
    }

    /// Whether it holds nothing worth keeping.
    pub fn is_blank(&self) -> bool {
        !self.is_heard() && !self.filling && self.log.place().is_none()
    }

    /// Puts somebody on the channel who waits for a snapshot, be it again.
    pub fn register(&mut self, lanes: &Arc<Lanes>) {
        let listener = self.listeners.entry(lanes.id).or_insert_with(|| Listener {
            lanes: Arc::clone(lanes),
            stage: Stage::Joining {
                held: Held::default(),
                before: Before::Absent,
            },
        });
        if let Stage::Live { seen } = listener.stage {
            let before = Before::Live { seen };
            let held = Held::default();
            listener.stage = Stage::Joining { held, before };
        }
    }

    /// Lets a listener whose snapshot could not be read go on as it was, if it was live and this
    /// node remembers everything since. Else it is removed, and told so if it was.
    pub fn go_back(&mut self, id: ConnectionId, resync: impl FnOnce() -> Frame) -> bool {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return false;
        };
        let before = match listener.stage {
            Stage::Joining { before, .. } => before,
            Stage::Live { .. } => return true,
        };
        if let Before::Live { seen } = before
            && let Some(missed) = missed_since(&self.log, seen)
        {
            let last = self.log.place().map_or(seen, |place| place.offset);
            listener.lanes.send_resumed(missed);
            listener.go_live(seen.max(last));
            return true;
        }
        if !matches!(before, Before::Absent) {
            listener.lanes.send(Lane::Must, resync());
        }
        self.listeners.remove(&id);
        false
    }

    pub fn unregister(&mut self, id: ConnectionId, now: Instant) {
        self.listeners.remove(&id);
        self.touched = now;
    }

    /// Lets a listener go on from a place, without a snapshot, if nothing in between is lost.
    pub fn resume(&mut self, id: ConnectionId, since: Position, reply: Frame) -> bool {
        let Some(place) = self.log.place().filter(|_| !self.is_drop) else {
            return false;
        };
        // Only the ledger knows whether a client is ahead of this node or makes its place up.
        if since.offset > place.offset {
            return false;
        }
        let Some(missed) = self.log.since(since) else {
            return false;
        };
        let Some(listener) = self.listeners.get_mut(&id) else {
            return false;
        };
        listener.lanes.send(Lane::Must, reply);
        listener.lanes.send_resumed(missed);
        listener.go_live(place.offset);
        true
    }

    /// Hands a listener its first frames and everything after the ledger's place in them. Those
    /// who are live on a history that is over hear `resync`.
    pub fn join(
        &mut self,
        id: ConnectionId,
        ledger_at: Option<Position>,
        first: Vec<Frame>,
        resync: impl FnOnce() -> Frame,
        now: Instant,
    ) -> Joined {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return Joined::Gone;
        };
        if let Stage::Joining { held, .. } = &mut listener.stage
            && held.is_too_late()
        {
            return Joined::TooOld;
        }
        let mut seen = 0;
        let mut missed = Vec::new();
        if let Some(at) = ledger_at {
            match self.log.learn(at, now) {
                Accepted::Forward(frames) => self.forward(&frames),
                Accepted::NewHistory => self.send_away(&resync()),
                Accepted::Repeat | Accepted::Waits => {}
            }
            let Some(rest) = self.log.since(at) else {
                return Joined::TooOld;
            };
            missed = rest;
            seen = at.offset.max(self.log.place().map_or(0, |p| p.offset));
        }
        let Some(listener) = self.listeners.get_mut(&id) else {
            return Joined::Gone;
        };
        for frame in first {
            listener.lanes.send(Lane::Must, frame);
        }
        listener.lanes.send_resumed(missed);
        listener.go_live(seen);
        Joined::Live
    }

    /// Takes in an event of the lot's history.
    pub fn accept(
        &mut self,
        at: Position,
        frame: Frame,
        resync: impl FnOnce() -> Frame,
        now: Instant,
    ) -> Next {
        self.touched = now;
        let joining = |l: &Listener| matches!(l.stage, Stage::Joining { .. });
        let awaited = self.listeners.values().any(joining);
        match self.log.accept(at, frame, awaited, now) {
            Accepted::Forward(frames) => {
                self.forward(&frames);
                if self.log.gap().is_some() {
                    Next::Fill
                } else {
                    Next::Nothing
                }
            }
            Accepted::Repeat => Next::Repeat,
            // Without a place to begin at it is the snapshot that tells what is missing.
            Accepted::Waits if self.log.gap().is_none() => Next::Nothing,
            Accepted::Waits => Next::Fill,
            Accepted::NewHistory => {
                self.send_away(&resync());
                Next::Resynced
            }
        }
    }

    fn forward(&mut self, frames: &[(i64, Frame)]) {
        for listener in self.listeners.values_mut() {
            let Stage::Live { seen } = &mut listener.stage else {
                continue;
            };
            for (offset, frame) in frames {
                if *offset <= *seen {
                    continue;
                }
                debug_assert_eq!(
                    *offset,
                    seen.saturating_add(1),
                    "events go out without gaps"
                );
                listener.lanes.send(Lane::Must, frame.clone());
                *seen = *offset;
            }
        }
    }

    /// Takes in a push without a place.
    pub fn push(&mut self, lane: Lane, frame: &Frame) {
        for listener in self.listeners.values_mut() {
            match &mut listener.stage {
                Stage::Live { .. } => listener.lanes.send(lane, frame.clone()),
                Stage::Joining { held, .. } => {
                    if !held.push(lane, frame.clone()) {
                        listener.lanes.give_up();
                    }
                }
            }
        }
    }

    /// The fewest units left, this report included.
    pub fn fewest(&mut self, units_left: u32) -> u32 {
        let fewest = self.fewest_left.map_or(units_left, |f| f.min(units_left));
        self.fewest_left = Some(fewest);
        fewest
    }

    pub fn gap(&self) -> Option<Gap> {
        self.log.gap()
    }

    /// Gives up on a gap: who is live has to start from a snapshot.
    pub fn give_up(&mut self, resync: &Frame) {
        self.log.skip_gap();
        self.send_away(resync);
    }

    /// Forgets the history and sends everybody to take a snapshot.
    pub fn forget(&mut self, resync: &Frame) {
        self.log = Log::default();
        self.fewest_left = None;
        self.send_away(resync);
    }

    /// Tells everybody to take a snapshot, without ending their subscription.
    pub fn tell_all(&self, frame: &Frame) {
        for listener in self.listeners.values() {
            listener.lanes.send(Lane::Must, frame.clone());
        }
    }

    /// Removes who is live; those who are joining read a snapshot anyway.
    fn send_away(&mut self, resync: &Frame) {
        self.listeners.retain(|_, listener| {
            match &mut listener.stage {
                Stage::Live { .. } => {
                    listener.lanes.send(Lane::Must, resync.clone());
                    return false;
                }
                Stage::Joining { before, .. } => {
                    if let Before::Live { .. } = before {
                        *before = Before::SentAway;
                    }
                }
            }
            true
        });
    }
}

/// What came after an offset of the log's history; nothing on channels without one.
fn missed_since(log: &Log<Frame>, seen: i64) -> Option<Vec<Frame>> {
    let Some(place) = log.place() else {
        return Some(Vec::new());
    };
    let offset = seen;
    log.since(Position { offset, ..place })
}

impl Listener {
    fn go_live(&mut self, seen: i64) {
        let before = std::mem::replace(&mut self.stage, Stage::Live { seen });
        if let Stage::Joining { held, .. } = before {
            for (lane, frame) in held.frames {
                self.lanes.send(lane, frame);
            }
        }
    }
}
