//! One connection as the rest of the house knows it: what waits to be written to it, and whether it
//! lives.

use super::counters::Counters;
use super::frame::Frame;
use super::outlet::{Outlet, Writer};
use super::queues::{Batch, Lane, Queues, Taken};
use shared::live::close_code;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a socket may take to accept what is left once it is to be closed.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Names a connection on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

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
        let taken = self.queues().send(lane, frame);
        self.note(taken, 1);
    }

    /// Queues the missed events of a history, which are shared and bounded on their own.
    pub(super) fn send_resumed(self: &Arc<Self>, frames: Vec<Frame>) {
        let count = frames.len();
        if count > 0 {
            let taken = self.queues().send_resumed(frames);
            self.note(taken, count);
        }
    }

    /// Closes the socket of a reader for whom more waits than can be kept.
    pub(super) fn give_up(self: &Arc<Self>) {
        let taken = self.queues().overflow();
        self.note(taken, 0);
    }

    fn note(self: &Arc<Self>, taken: Taken, frames: usize) {
        match taken {
            Taken::Queued => {}
            Taken::Replaced => self.counters.frames_replaced.add(1),
            Taken::Dropped => self.counters.frames_dropped.add(1),
            Taken::Overflow => {
                self.counters.slow_closed.add(1);
                self.closing.cancel();
            }
            Taken::Ended => return,
        }
        self.counters.frames_queued.add(frames);
        self.queue_up();
    }

    /// Asks the writer to close the socket once the must lane is written. The first reason counts.
    pub fn close(self: &Arc<Self>, code: u16, reason: &'static str) {
        if self.queues().close(code, reason) {
            self.closing.cancel();
            self.queue_up();
        }
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
        if self.queues().answer(frame) {
            self.queue_up();
        }
    }

    /// Says that nothing comes after what waits: the client closed, and its close is answered.
    pub(super) fn finish(self: &Arc<Self>) {
        self.queues().finish();
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
        self.queues().take(most)
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
        self.queues().ping(frame);
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

#[cfg(test)]
mod tests {
    use super::super::queues::{
        Key, MAX_DROPPABLE_FRAMES, MAX_MUST_BYTES, MAX_MUST_FRAMES, MAX_RESUMED_FRAMES,
    };
    use super::*;
    use shared::LotId;
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
    fn nothing_follows_the_echo_of_a_close() {
        let lanes = lanes();
        lanes.send(Lane::Must, "bid".into());
        lanes.answer(Frame::ping());
        let echo = Frame::close(1000, "");
        lanes.answer(echo.clone());
        lanes.send(Lane::Must, "too late".into());
        let batch = lanes.take(32);
        assert_eq!(batch.frames, [Frame::ping(), echo]);
        assert!(batch.last && batch.close.is_none());
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
