//! What waits to be written to one socket, in three lanes.
//!
//! *Must* arrives, or the socket is closed and its client resumes. *Latest* keeps one frame per
//! key, the newest. *Droppable* loses its oldest frames, and they are counted. So a slow reader
//! costs a bounded amount of memory and never holds up anybody else.

use super::counters::Counters;
use axum::extract::ws::Utf8Bytes;
use shared::live::close_code;
use shared::{Currency, LotId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
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

/// Frames that the writer takes at once: what it has taken can no longer be replaced by newer.
const MAX_BATCH: usize = 32;

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
    frame: Utf8Bytes,
    resumed: bool,
}

#[derive(Debug, Default)]
struct Queues {
    must: VecDeque<Waiting>,
    must_frames: usize,
    must_bytes: usize,
    resumed_frames: usize,
    latest: BTreeMap<Key, (i64, Utf8Bytes)>,
    droppable: VecDeque<Utf8Bytes>,
    ping: Option<Utf8Bytes>,
    close: Option<Close>,
}

/// What the writer has to write next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub frames: Vec<Utf8Bytes>,
    pub ping: Option<Utf8Bytes>,
    pub close: Option<Close>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.ping.is_none() && self.close.is_none()
    }
}

/// The lanes of one connection, and what the rest of the house knows of it.
#[derive(Debug)]
pub struct Lanes {
    /// The connection.
    pub id: ConnectionId,
    queues: Mutex<Queues>,
    wake: Notify,
    closing: CancellationToken,
    born: Instant,
    heard_ms: AtomicU64,
    pinged_ms: AtomicU64,
    counters: Arc<Counters>,
}

impl Lanes {
    pub(super) fn new(id: ConnectionId, counters: Arc<Counters>) -> Self {
        Self {
            id,
            queues: Mutex::default(),
            wake: Notify::new(),
            closing: CancellationToken::new(),
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
    pub fn send(&self, lane: Lane, frame: Utf8Bytes) {
        let mut queues = self.queues();
        if queues.close.is_some() {
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
        self.wake.notify_one();
    }

    /// Queues the missed events of a history, which are shared and bounded on their own.
    pub(super) fn send_resumed(&self, frames: Vec<Utf8Bytes>) {
        let count = frames.len();
        let mut queues = self.queues();
        if queues.close.is_some() || count == 0 {
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
        self.wake.notify_one();
    }

    /// Closes the socket of a reader for whom more waits than can be kept.
    pub(super) fn give_up(&self) {
        let mut queues = self.queues();
        if queues.close.is_none() {
            self.overflow(&mut queues);
        }
        drop(queues);
        self.wake.notify_one();
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
    pub fn close(&self, code: u16, reason: &'static str) {
        let mut queues = self.queues();
        if queues.close.is_some() {
            return;
        }
        queues.close = Some(Close { code, reason });
        queues.latest.clear();
        queues.droppable.clear();
        drop(queues);
        self.closing.cancel();
        self.wake.notify_one();
    }

    /// Whether the server wants the connection to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Resolves when the connection had to end and did not in time.
    pub(super) async fn overdue(&self) {
        self.closing.cancelled().await;
        tokio::time::sleep(CLOSE_GRACE).await;
    }

    /// Waits for something to write.
    pub(super) async fn next(&self) -> Batch {
        loop {
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            self.wake.notified().await;
        }
    }

    /// Takes what is to be written next: must, then latest, then droppable, at most
    /// [`MAX_BATCH`] frames.
    pub(super) fn take(&self) -> Batch {
        let mut queues = self.queues();
        let mut batch = Batch {
            ping: queues.ping.take(),
            ..Batch::default()
        };
        while batch.frames.len() < MAX_BATCH
            && let Some(frame) = queues.pop()
        {
            batch.frames.push(frame);
        }
        if queues.must.is_empty() {
            batch.close = queues.close;
        }
        batch
    }

    /// Counts frames that were written.
    pub(super) fn sent(&self, frames: usize) {
        self.counters.frames_sent.add(frames);
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
    pub(super) fn ping(&self, frame: Utf8Bytes) {
        self.pinged_ms.store(self.now_ms(), Ordering::Relaxed);
        self.queues().ping = Some(frame);
        self.wake.notify_one();
    }

    /// Closes the connection if nothing was heard since the last ping.
    pub(super) fn check_pulse(&self) {
        let pinged = self.pinged_ms.load(Ordering::Relaxed);
        let heard = self.heard_ms.load(Ordering::Relaxed);
        if heard < pinged && !self.is_closing() {
            self.counters.silent_closed.add(1);
            self.close(close_code::SILENT, "nothing heard");
        }
    }
}

impl Queues {
    /// Answers whether there was room.
    fn push_must(&mut self, frame: Utf8Bytes) -> bool {
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
    fn put_latest(&mut self, key: Key, rank: i64, frame: Utf8Bytes) -> bool {
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

    fn pop(&mut self) -> Option<Utf8Bytes> {
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

    fn lanes() -> Lanes {
        Lanes::new(ConnectionId(1), Arc::default())
    }

    fn texts(lanes: &Lanes) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let batch = lanes.take();
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
        let batch = lanes.take();
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
        let batch = lanes.take();
        assert_eq!(batch.frames, ["error"]);
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
