//! What waits to be written to one socket, in three lanes.
//!
//! *Must* arrives, or the socket is closed and its client resumes. *Latest* keeps one frame per
//! key, the newest. *Droppable* loses its oldest frames, and they are counted. So a slow reader
//! costs a bounded amount of memory and never holds up anybody else.

use super::counters::Counters;
use super::frame::Frame;
use super::outlet::{Outlet, Writer};
use shared::live::close_code;
use shared::{Currency, LotId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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

/// How long a socket may take to accept what is left once it is to be closed.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(2);

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

/// Names a connection on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

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

#[derive(Debug, Default)]
struct Queues {
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

/// The lanes of one connection, and what the rest of the house knows of it.
#[derive(Debug)]
pub struct Lanes {
    /// The connection.
    pub id: ConnectionId,
    queues: Mutex<Queues>,
    pub(super) outlet: Outlet,
    closing: CancellationToken,
    written: CancellationToken,
    born: Instant,
    heard_ms: AtomicU64,
    pinged_ms: AtomicU64,
    counters: Arc<Counters>,
}

impl Lanes {
    /// The lanes of a socket, written by a loop, at most so many frames in one call.
    pub(super) fn to(
        stream: Arc<TcpStream>,
        frames_per_write: usize,
        id: ConnectionId,
        writer: Arc<Writer>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            outlet: Outlet::new(stream, writer, frames_per_write),
            ..Self::new(id, counters)
        }
    }

    /// Lanes that lead nowhere.
    pub(super) fn new(id: ConnectionId, counters: Arc<Counters>) -> Self {
        Self {
            id,
            queues: Mutex::default(),
            outlet: Outlet::default(),
            closing: CancellationToken::new(),
            written: CancellationToken::new(),
            born: Instant::now(),
            heard_ms: AtomicU64::new(0),
            pinged_ms: AtomicU64::new(0),
            counters,
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame in its lane.
    pub fn send(self: &Arc<Self>, lane: Lane, frame: Frame) {
        let mut queues = self.queues();
        if queues.has_ended() {
            return;
        }
        match lane {
            Lane::Must => {
                if !queues.push_must(frame) {
                    self.overflow(&mut queues);
                }
            }
            Lane::Latest(key, rank) => {
                if !queues.put_latest(key, rank, frame) {
                    self.counters.frames_replaced.add(1);
                }
            }
            Lane::Droppable => {
                if queues.droppable.len() == MAX_DROPPABLE_FRAMES {
                    queues.droppable.pop_front();
                    self.counters.frames_dropped.add(1);
                }
                queues.droppable.push_back(frame);
            }
        }
        drop(queues);
        self.counters.frames_queued.add(1);
        self.queue_up();
    }

    /// Queues the missed events of a history, which are shared and bounded on their own.
    pub(super) fn send_resumed(self: &Arc<Self>, frames: Vec<Frame>) {
        let count = frames.len();
        let mut queues = self.queues();
        if queues.has_ended() || count == 0 {
            return;
        }
        queues.resumed_frames += count;
        if queues.resumed_frames > MAX_RESUMED_FRAMES {
            self.overflow(&mut queues);
        } else {
            let waiting = |frame| Waiting {
                frame,
                resumed: true,
            };
            queues.must.extend(frames.into_iter().map(waiting));
        }
        drop(queues);
        self.counters.frames_queued.add(count);
        self.queue_up();
    }

    /// Closes the socket of a reader for whom more waits than can be kept.
    pub(super) fn give_up(self: &Arc<Self>) {
        let mut queues = self.queues();
        if !queues.has_ended() {
            self.overflow(&mut queues);
        }
        drop(queues);
        self.queue_up();
    }

    fn overflow(&self, queues: &mut Queues) {
        *queues = Queues {
            close: Some(Close {
                code: close_code::SLOW,
                reason: "too slow: resume from the last offset",
            }),
            ..Queues::default()
        };
        self.counters.slow_closed.add(1);
        self.closing.cancel();
    }

    /// Asks the writer to close the socket once the must lane is written. The first reason counts.
    pub fn close(self: &Arc<Self>, code: u16, reason: &'static str) {
        let mut queues = self.queues();
        if queues.has_ended() {
            return;
        }
        queues.close = Some(Close { code, reason });
        queues.latest.clear();
        queues.droppable.clear();
        drop(queues);
        self.closing.cancel();
        self.queue_up();
    }

    /// Whether the server wants the connection to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Resolves when the server wants the connection to end.
    pub(super) async fn ending(&self) {
        self.closing.cancelled().await;
    }

    /// Queues what the protocol's own machine answers.
    pub(super) fn answer(self: &Arc<Self>, frame: Frame) {
        let mut queues = self.queues();
        if queues.has_ended() || queues.answers.len() >= MAX_ANSWERS {
            return;
        }
        queues.answers.push_back(frame);
        drop(queues);
        self.queue_up();
    }

    /// Says that nothing comes after what waits: the client closed, and its close is answered.
    pub(super) fn finish(self: &Arc<Self>) {
        self.queues().finished = true;
        self.queue_up();
    }

    /// Notes that the last was written, or that the socket is broken.
    pub(super) fn written(&self) {
        self.written.cancel();
    }

    /// Waits until the last is written, for a while; answers whether it was.
    pub(super) async fn drained(&self) -> bool {
        let written = self.written.cancelled();
        tokio::time::timeout(CLOSE_GRACE, written).await.is_ok()
    }

    /// Takes what is to be written next: answers and the ping, then must, then latest, then
    /// droppable, at most so many frames. What was taken can no longer be replaced by newer.
    pub(super) fn take(&self, most: usize) -> Batch {
        let mut queues = self.queues();
        let mut frames = std::mem::take(&mut queues.answers);
        if let Some(ping) = queues.ping.take() {
            frames.extend([Frame::ping(), ping]);
        }
        let uncounted = frames.len();
        for _ in 0..most {
            let Some(frame) = queues.pop() else { break };
            frames.push_back(frame);
        }
        queues.give_back();
        let last = queues.must.is_empty() && queues.has_ended();
        let close = queues.close.filter(|_| last);
        Batch {
            frames,
            uncounted,
            close,
            last,
        }
    }

    /// Whether something waits to be written.
    pub(super) fn has_more(&self) -> bool {
        self.queues().has_more()
    }

    /// Counts frames that were written, and the calls that it took.
    pub(super) fn sent(&self, frames: usize, calls: usize) {
        self.counters.frames_sent.add(frames);
        self.counters.writes.add(calls);
    }

    fn now_ms(&self) -> u64 {
        // One more than the age, so that 0 means never.
        let age = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        age.saturating_add(1)
    }

    /// Notes a sign of life.
    pub(super) fn heard(&self) {
        self.heard_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Asks the client whether it lives.
    pub(super) fn ping(self: &Arc<Self>, frame: Frame) {
        self.pinged_ms.store(self.now_ms(), Ordering::Relaxed);
        self.queues().ping = Some(frame);
        self.queue_up();
    }

    /// Closes the connection if nothing was heard since the last ping.
    pub(super) fn check_pulse(self: &Arc<Self>) {
        let pinged = self.pinged_ms.load(Ordering::Relaxed);
        let heard = self.heard_ms.load(Ordering::Relaxed);
        if heard < pinged && !self.is_closing() {
            self.counters.silent_closed.add(1);
            self.close(close_code::SILENT, "nothing heard");
        }
    }
}

impl Queues {
    /// Whether nothing more is taken in.
    const fn has_ended(&self) -> bool {
        self.close.is_some() || self.finished
    }

    fn has_more(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn lanes() -> Arc<Lanes> {
        Arc::new(Lanes::new(ConnectionId(1), Arc::default()))
    }

    fn texts(lanes: &Lanes) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let batch = lanes.take(32);
            if batch.frames.is_empty() {
                return all;
            }
            all.extend(batch.frames.iter().map(ToString::to_string));
        }
    }

    #[test]
    fn must_comes_first_and_the_latest_replaces() {
        let lanes = lanes();
        let lot = LotId::from_uuid(Uuid::from_u128(1));
        lanes.send(Lane::Droppable, "chat".into());
        lanes.send(Lane::Latest(Key::Card(lot), 7), "card 7".into());
        lanes.send(Lane::Latest(Key::Card(lot), 6), "card 6".into());
        lanes.send(Lane::Latest(Key::Crowd(lot), 0), "crowd a".into());
        lanes.send(Lane::Latest(Key::Crowd(lot), 0), "crowd b".into());
        lanes.send(Lane::Must, "bid".into());
        assert_eq!(texts(&lanes), ["bid", "crowd b", "card 7", "chat"]);
        assert_eq!(lanes.counters.frames_replaced.get(), 2);
    }

    #[test]
    fn the_droppable_lane_keeps_the_newest_and_counts_the_rest() {
        let lanes = lanes();
        for n in 0..MAX_DROPPABLE_FRAMES + 3 {
            lanes.send(Lane::Droppable, n.to_string().into());
        }
        let kept = texts(&lanes);
        assert_eq!(kept.len(), MAX_DROPPABLE_FRAMES);
        assert_eq!(kept[0], "3");
        assert_eq!(lanes.counters.frames_dropped.get(), 3);
        assert!(!lanes.is_closing());
    }

    #[test]
    fn a_full_must_lane_closes_the_socket() {
        let lanes = lanes();
        for _ in 0..MAX_MUST_FRAMES {
            lanes.send(Lane::Must, "x".into());
        }
        assert!(!lanes.is_closing());
        lanes.send(Lane::Must, "one too many".into());
        let batch = lanes.take(32);
        assert!(batch.frames.is_empty(), "nothing of a history with a hole");
        assert_eq!(batch.close.map(|c| c.code), Some(close_code::SLOW));
    }

    #[test]
    fn bytes_count_too_but_one_large_frame_passes() {
        let lanes = lanes();
        let large = "x".repeat(MAX_MUST_BYTES + 1);
        lanes.send(Lane::Must, large.into());
        assert!(!lanes.is_closing());
        lanes.send(Lane::Must, "x".into());
        assert!(lanes.is_closing());
    }

    #[test]
    fn a_resumed_ring_leaves_room_for_what_is_live() {
        let lanes = lanes();
        lanes.send_resumed(vec!["old".into(); 512]);
        for _ in 0..MAX_MUST_FRAMES {
            lanes.send(Lane::Must, "new".into());
        }
        assert!(!lanes.is_closing());
        assert_eq!(texts(&lanes).len(), 512 + MAX_MUST_FRAMES);
        lanes.send_resumed(vec!["old".into(); MAX_RESUMED_FRAMES]);
        lanes.send_resumed(vec!["old".into()]);
        assert!(lanes.is_closing());
    }

    #[test]
    fn what_must_arrive_is_written_before_the_close() {
        let lanes = lanes();
        lanes.send(Lane::Must, "error".into());
        lanes.send(Lane::Droppable, "chat".into());
        lanes.close(close_code::POLICY, "enough");
        lanes.close(close_code::RESTART, "later");
        lanes.send(Lane::Must, "too late".into());
        let batch = lanes.take(32);
        assert_eq!(batch.frames, [Frame::from("error")]);
        assert_eq!(batch.close.map(|c| c.code), Some(close_code::POLICY));
    }

    #[test]
    fn silence_after_a_ping_closes() {
        let lanes = lanes();
        lanes.check_pulse();
        assert!(!lanes.is_closing(), "not asked yet");
        lanes.ping("ping".into());
        std::thread::sleep(Duration::from_millis(5));
        lanes.heard();
        lanes.check_pulse();
        assert!(!lanes.is_closing());
        std::thread::sleep(Duration::from_millis(5));
        lanes.ping("ping".into());
        lanes.check_pulse();
        assert!(lanes.is_closing());
    }
}
