//! What waits to be written to one socket, in three lanes. Pure.
//!
//! *Must* arrives, or the socket is closed and its client resumes. *Latest* keeps one frame per
//! key, the newest. *Droppable* loses its oldest frames, and they are counted. So a slow reader
//! costs a bounded amount of memory and never holds up anybody else.

use super::frame::Frame;
use shared::live::{Channel, close_code};
use shared::{Currency, LotId};
use std::collections::{BTreeMap, VecDeque};

/// Frames that may wait in the must lane.
pub const MAX_MUST_FRAMES: usize = 256;

/// Bytes that may wait in the must lane. One frame alone may be larger.
pub const MAX_MUST_BYTES: usize = 256 * 1024;

/// Frames of resumed histories that may wait: two whole rings. They are shared with the ring, so
/// each costs 40 bytes here.
pub const MAX_RESUMED_FRAMES: usize = 1_024;

/// Frames that may wait in the droppable lane.
pub const MAX_DROPPABLE_FRAMES: usize = 64;

/// Pongs and the echo of a close that may wait; a client is closed for pinging faster long before.
const MAX_ANSWERS: usize = 128;

/// Room that an empty queue keeps: what a burst took is given back.
const KEPT_ROOM: usize = 16;

/// What a frame in the latest lane is about: a newer one replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The price of a Dutch lot.
    Tick(LotId),
    /// The crowd of a room.
    Crowd(LotId),
    /// A lot's card on the floor.
    Card(LotId),
    /// A wallet of the socket's person.
    Wallet(Currency),
    /// What a panel shows.
    Panel(Channel),
}

/// How a frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// It arrives, or the socket is closed.
    Must,
    /// Only the newest of its key arrives: the highest rank, and of equals the last.
    Latest(Key, i64),
    /// It may be lost.
    Droppable,
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The close code.
    pub code: u16,
    /// The same in words.
    pub reason: &'static str,
}

#[derive(Debug)]
struct Waiting {
    frame: Frame,
    resumed: bool,
}

/// The queues of one socket.
#[derive(Debug, Default)]
pub(super) struct Queues {
    must: VecDeque<Waiting>,
    must_frames: usize,
    must_bytes: usize,
    resumed_frames: usize,
    latest: BTreeMap<Key, (i64, Frame)>,
    droppable: VecDeque<Frame>,
    /// What the protocol's own machine answers.
    answers: VecDeque<Frame>,
    ping: Option<Frame>,
    close: Option<Close>,
    /// Whether nothing comes after what waits, not even a close frame.
    finished: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits.
    Queued,
    /// It waits instead of an older one of its key, or the other way round.
    Replaced,
    /// It waits, and the oldest droppable one is gone.
    Dropped,
    /// There was no room, and the socket is closed for it.
    Overflow,
    /// The socket is about to end.
    Ended,
}

/// What is to be written next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub frames: VecDeque<Frame>,
    /// How many of them, at the front, nobody queued: answers and the ping.
    pub uncounted: usize,
    /// To be written after them, as the last.
    pub close: Option<Close>,
    /// Whether nothing comes after that.
    pub last: bool,
}

impl Queues {
    /// Queues a frame in its lane.
    pub fn send(&mut self, lane: Lane, frame: Frame) -> Taken {
        if self.has_ended() {
            return Taken::Ended;
        }
        match lane {
            Lane::Must => {
                if !self.push_must(frame) {
                    return self.overflow();
                }
            }
            Lane::Latest(key, rank) => {
                if !self.put_latest(key, rank, frame) {
                    return Taken::Replaced;
                }
            }
            Lane::Droppable => {
                let full = self.droppable.len() == MAX_DROPPABLE_FRAMES;
                if full {
                    self.droppable.pop_front();
                }
                self.droppable.push_back(frame);
                if full {
                    return Taken::Dropped;
                }
            }
        }
        Taken::Queued
    }

    /// Queues the missed events of a history.
    pub fn send_resumed(&mut self, frames: Vec<Frame>) -> Taken {
        if self.has_ended() {
            return Taken::Ended;
        }
        self.resumed_frames += frames.len();
        if self.resumed_frames > MAX_RESUMED_FRAMES {
            return self.overflow();
        }
        let waiting = |frame| Waiting {
            frame,
            resumed: true,
        };
        self.must.extend(frames.into_iter().map(waiting));
        Taken::Queued
    }

    /// Forgets everything: the socket is closed, and its client resumes.
    pub fn overflow(&mut self) -> Taken {
        if self.has_ended() {
            return Taken::Ended;
        }
        *self = Self {
            close: Some(Close {
                code: close_code::SLOW,
                reason: "too slow: resume from the last offset",
            }),
            ..Self::default()
        };
        Taken::Overflow
    }

    /// Ends the socket once the must lane is written; answers whether this is the first reason.
    pub fn close(&mut self, code: u16, reason: &'static str) -> bool {
        if self.has_ended() {
            return false;
        }
        self.close = Some(Close { code, reason });
        self.latest.clear();
        self.droppable.clear();
        true
    }

    /// Says that nothing comes after what waits.
    pub const fn finish(&mut self) {
        self.finished = true;
    }

    /// Queues an answer of the protocol's machine; whether it was taken. After the echo of a close
    /// nothing may follow.
    pub fn answer(&mut self, frame: Frame) -> bool {
        let is_close = frame.is_close();
        let taken = !self.has_ended() && (is_close || self.answers.len() < MAX_ANSWERS);
        if taken && is_close {
            let answers = std::mem::take(&mut self.answers);
            *self = Self {
                answers,
                finished: true,
                ..Self::default()
            };
        }
        if taken {
            self.answers.push_back(frame);
        }
        taken
    }

    /// Puts a ping before everything else.
    pub fn ping(&mut self, frame: Frame) {
        self.ping = Some(frame);
    }

    /// Takes what is to be written next: answers and the ping, then must, then latest, then
    /// droppable, at most so many frames.
    pub fn take(&mut self, most: usize) -> Batch {
        let mut frames = std::mem::take(&mut self.answers);
        if let Some(ping) = self.ping.take() {
            frames.extend([Frame::ping(), ping]);
        }
        let uncounted = frames.len();
        for _ in 0..most {
            let Some(frame) = self.pop() else { break };
            frames.push_back(frame);
        }
        self.give_back();
        let last = self.must.is_empty() && self.has_ended();
        let close = self.close.filter(|_| last);
        Batch {
            frames,
            uncounted,
            close,
            last,
        }
    }

    /// Whether nothing more is taken in.
    const fn has_ended(&self) -> bool {
        self.close.is_some() || self.finished
    }

    /// Whether something waits to be written.
    pub fn has_more(&self) -> bool {
        let empty = self.must.is_empty()
            && self.latest.is_empty()
            && self.droppable.is_empty()
            && self.answers.is_empty();
        !empty || self.ping.is_some() || self.has_ended()
    }

    /// Gives back the memory of queues that are empty after a burst.
    fn give_back(&mut self) {
        if self.must.is_empty() && self.must.capacity() > KEPT_ROOM {
            self.must = VecDeque::new();
        }
        if self.droppable.is_empty() && self.droppable.capacity() > KEPT_ROOM {
            self.droppable = VecDeque::new();
        }
    }

    /// Answers whether there was room.
    fn push_must(&mut self, frame: Frame) -> bool {
        let bytes = self.must_bytes + frame.len();
        let full = self.must_frames >= MAX_MUST_FRAMES || bytes > MAX_MUST_BYTES;
        if full && self.must_frames > 0 {
            return false;
        }
        self.must_frames += 1;
        self.must_bytes = bytes;
        self.must.push_back(Waiting {
            frame,
            resumed: false,
        });
        true
    }

    /// Answers whether the key had been free.
    fn put_latest(&mut self, key: Key, rank: i64, frame: Frame) -> bool {
        match self.latest.get_mut(&key) {
            Some(waiting) => {
                if rank >= waiting.0 {
                    *waiting = (rank, frame);
                }
                false
            }
            None => {
                self.latest.insert(key, (rank, frame));
                true
            }
        }
    }

    fn pop(&mut self) -> Option<Frame> {
        if let Some(waiting) = self.must.pop_front() {
            if waiting.resumed {
                self.resumed_frames -= 1;
            } else {
                self.must_frames -= 1;
                self.must_bytes -= waiting.frame.len();
            }
            return Some(waiting.frame);
        }
        let latest = self.latest.pop_first().map(|(_, (_, frame))| frame);
        latest.or_else(|| self.droppable.pop_front())
    }
}
