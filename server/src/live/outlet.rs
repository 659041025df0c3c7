//! How frames get onto the wire.
//!
//! A few loops write for all sockets of the node, instead of a task for each: a socket that has
//! something to write stands in its loop's line once, however much it is, and the loop hands
//! several frames to the operating system in one call. A socket that takes nothing
//! more leaves the line until it does; it holds up nobody.

use super::frame::Frame;
use super::lanes::{ConnectionId, Lanes};
use super::queues::Batch;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Loops of a node: one a processor, and with more than these the lock of a channel is the limit.
const MAX_WRITERS: usize = 16;

/// Sockets that a loop writes to before it lets other tasks run: at 5 µs each, a third of a
/// millisecond.
const TURN: usize = 64;

/// How long a socket may take nothing at all. With the second of the look and two to accept the
/// close, a reader that is stuck is gone in ten.
const STUCK: Duration = Duration::from_secs(6);

/// Bytes of several frames that are put together for one call; more take another call. To copy them
/// costs less than to have the operating system gather them.
const GATHER: usize = 64 * 1024;

/// The loops.
#[derive(Debug)]
pub(super) struct Writers(Vec<Arc<Writer>>);

impl Default for Writers {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(
            (0..processors.min(MAX_WRITERS))
                .map(|_| Arc::default())
                .collect(),
        )
    }
}

impl Writers {
    /// The loop of a connection.
    pub fn of(&self, connection: u64) -> Arc<Writer> {
        let count = u64::try_from(self.0.len()).unwrap_or(1).max(1);
        let index = usize::try_from(connection % count).unwrap_or(0);
        Arc::clone(&self.0[index])
    }

    /// Every loop, to be run in a task each.
    pub fn all(&self) -> &[Arc<Writer>] {
        &self.0
    }
}

/// One loop, and the line of sockets that have something to write.
#[derive(Debug, Default)]
pub(super) struct Writer {
    line: Mutex<Vec<Arc<Lanes>>>,
    wake: Notify,
    /// Sockets that take nothing, and since when.
    blocked: Mutex<BTreeMap<ConnectionId, (Instant, Weak<Lanes>)>>,
}

impl Writer {
    fn line(&self) -> MutexGuard<'_, Vec<Arc<Lanes>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, lanes: Arc<Lanes>) {
        let mut line = self.line();
        line.push(lanes);
        let was_empty = line.len() == 1;
        drop(line);
        if was_empty {
            self.wake.notify_one();
        }
    }

    fn blocked(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, (Instant, Weak<Lanes>)>> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the sockets that have taken nothing for [`STUCK`], with everything that waits for
    /// them. A reader of channels where only the latest counts never has too much waiting, so it
    /// would only be noticed by its silence, much later.
    pub fn give_up_stuck(&self) {
        let now = Instant::now();
        let mut stuck = Vec::new();
        self.blocked().retain(|_, (since, lanes)| {
            let is_stuck = now.duration_since(*since) >= STUCK;
            if is_stuck {
                stuck.extend(lanes.upgrade());
            }
            !is_stuck
        });
        for lanes in stuck {
            lanes.give_up();
        }
    }

    /// Writes for whoever is in the line, until dropped.
    pub async fn run(&self) {
        let (mut turn, mut gathered) = (Vec::new(), Vec::with_capacity(GATHER));
        loop {
            std::mem::swap(&mut *self.line(), &mut turn);
            if turn.is_empty() {
                self.wake.notified().await;
                continue;
            }
            for (index, lanes) in turn.drain(..).enumerate() {
                lanes.write(&mut gathered);
                if index % TURN == TURN - 1 {
                    tokio::task::yield_now().await;
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// One socket's way out.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// `None` for lanes that lead nowhere, in tests.
    writer: Option<Arc<Writer>>,
    in_line: AtomicBool,
    wire: Mutex<Option<Wire>>,
}

/// The socket, and what it has not taken yet.
#[derive(Debug)]
struct Wire {
    stream: Arc<TcpStream>,
    frames_per_write: usize,
    rest: VecDeque<Frame>,
    /// Bytes of the first frame of the rest that are written.
    written: usize,
    /// Frames at the front that nobody queued: answers and pings.
    uncounted: usize,
    /// Frames that went out and are to be counted.
    counted: usize,
    /// Whether the last frame of the rest is a close, which nobody queued either.
    closes: bool,
    /// Whether nothing comes after the rest.
    last: bool,
    /// Whether the socket took nothing when it was last tried.
    blocked: bool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    /// All there was.
    All,
    /// As much as one turn allows.
    More,
    /// The socket takes nothing at the moment.
    Blocked,
    /// The last there will ever be, or the socket is broken.
    Last,
}

impl Outlet {
    pub fn new(stream: Arc<TcpStream>, writer: Arc<Writer>, frames_per_write: usize) -> Self {
        Self {
            writer: Some(writer),
            in_line: AtomicBool::new(false),
            wire: Mutex::new(Some(Wire {
                stream,
                frames_per_write: frames_per_write.max(1),
                rest: VecDeque::new(),
                written: 0,
                uncounted: 0,
                counted: 0,
                closes: false,
                last: false,
                blocked: false,
            })),
        }
    }

    fn wire(&self) -> MutexGuard<'_, Option<Wire>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the socket. Needed at the end: a blocked socket keeps a waker, which keeps the
    /// lanes, which keep the socket.
    pub fn detach(&self, id: ConnectionId) {
        *self.wire() = None;
        if let Some(writer) = &self.writer {
            writer.blocked().remove(&id);
        }
    }
}

impl Lanes {
    /// Puts the socket into its loop's line, unless it stands there already.
    pub(super) fn queue_up(self: &Arc<Self>) {
        if let Some(writer) = &self.outlet.writer
            && !self.outlet.in_line.swap(true, Ordering::AcqRel)
        {
            writer.push(Arc::clone(self));
        }
    }

    /// Writes what the socket takes.
    fn write(self: &Arc<Self>, gathered: &mut Vec<u8>) {
        // Before the lanes are looked into, so that what comes after that queues up again.
        self.outlet.in_line.store(false, Ordering::Release);
        let mut held = self.outlet.wire();
        let Some(wire) = held.as_mut() else { return };
        match wire.write(self, gathered) {
            Wrote::All | Wrote::Blocked => {}
            Wrote::More => self.queue_up(),
            Wrote::Last => {
                *held = None;
                drop(held);
                self.written();
            }
        }
    }
}

/// A blocked socket takes bytes again.
impl Wake for Lanes {
    fn wake(self: Arc<Self>) {
        self.queue_up();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue_up();
    }
}

impl Wire {
    fn write(&mut self, lanes: &Arc<Lanes>, gathered: &mut Vec<u8>) -> Wrote {
        if self.rest.is_empty() {
            let Batch {
                frames,
                uncounted,
                close,
                last,
            } = lanes.take(self.frames_per_write);
            self.rest = frames;
            self.closes = close.is_some();
            self.rest
                .extend(close.map(|close| Frame::close(close.code, close.reason)));
            self.uncounted = uncounted;
            self.last = last;
        }
        let mut calls = 0;
        while !self.rest.is_empty() {
            calls += 1;
            match self.hand_over(gathered) {
                Ok(0) => return Wrote::Last,
                Ok(bytes) => {
                    self.unblock(lanes);
                    self.took(bytes);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    lanes.sent(std::mem::take(&mut self.counted), calls);
                    let waker = Waker::from(Arc::clone(lanes));
                    match self
                        .stream
                        .poll_write_ready(&mut Context::from_waker(&waker))
                    {
                        Poll::Pending => {
                            self.block(lanes);
                            return Wrote::Blocked;
                        }
                        Poll::Ready(Ok(())) => return Wrote::More,
                        Poll::Ready(Err(_)) => return Wrote::Last,
                    }
                }
                Err(_) => return Wrote::Last,
            }
        }
        lanes.sent(std::mem::take(&mut self.counted), calls);
        if self.last {
            Wrote::Last
        } else if lanes.has_more() {
            Wrote::More
        } else {
            Wrote::All
        }
    }

    /// Notes that the socket takes nothing, at the first time.
    fn block(&mut self, lanes: &Arc<Lanes>) {
        if !std::mem::replace(&mut self.blocked, true)
            && let Some(writer) = &lanes.outlet.writer
        {
            let since = (Instant::now(), Arc::downgrade(lanes));
            writer.blocked().insert(lanes.id, since);
        }
    }

    /// Notes that it took something.
    fn unblock(&mut self, lanes: &Arc<Lanes>) {
        if std::mem::take(&mut self.blocked)
            && let Some(writer) = &lanes.outlet.writer
        {
            writer.blocked().remove(&lanes.id);
        }
    }

    /// Hands over the first frame, with those that fit beside it.
    fn hand_over(&self, gathered: &mut Vec<u8>) -> std::io::Result<usize> {
        let first = self.rest.front().map_or(&[][..], Frame::bytes);
        let first = first.get(self.written..).unwrap_or_default();
        if self.rest.len() == 1 || first.len() > GATHER {
            return self.stream.try_write(first);
        }
        gathered.clear();
        gathered.extend_from_slice(first);
        for frame in self.rest.iter().skip(1) {
            if gathered.len() + frame.len() > GATHER {
                break;
            }
            gathered.extend_from_slice(frame.bytes());
        }
        self.stream.try_write(gathered)
    }

    /// Forgets what the socket took.
    fn took(&mut self, bytes: usize) {
        self.written += bytes;
        while let Some(first) = self.rest.front()
            && first.len() <= self.written
        {
            self.written -= first.len();
            self.rest.pop_front();
            if self.uncounted > 0 {
                self.uncounted -= 1;
            } else if !self.closes || !self.rest.is_empty() {
                self.counted += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::queues::Lane;
    use super::*;
    use crate::live::Counters;
    use shared::live::close_code;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(10);

    struct Pair {
        lanes: Arc<Lanes>,
        client: TcpStream,
        counters: Arc<Counters>,
    }

    async fn pair(writer: &Arc<Writer>, frames_per_write: usize) -> Pair {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _from) = accepted.expect("accepts");
        let counters = Arc::<Counters>::default();
        let lanes = Lanes::to(
            Arc::new(stream),
            frames_per_write,
            ConnectionId(1),
            Arc::clone(writer),
            Arc::clone(&counters),
        );
        Pair {
            lanes: Arc::new(lanes),
            client: client.expect("connects"),
            counters,
        }
    }

    fn running() -> Arc<Writer> {
        let writer = Arc::<Writer>::default();
        let runs = Arc::clone(&writer);
        tokio::spawn(async move { runs.run().await });
        writer
    }

    async fn read(client: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        let all = tokio::time::timeout(PATIENCE, client.read_exact(&mut read)).await;
        all.expect("in time").expect("all of it");
        read
    }

    fn frame(number: usize, bytes: usize) -> Frame {
        let mut text = number.to_string();
        text.extend(std::iter::repeat_n('.', bytes - text.len()));
        Frame::text(text)
    }

    #[tokio::test]
    async fn frames_go_out_in_order_several_in_a_call() {
        let writer = Arc::<Writer>::default();
        let mut pair = pair(&writer, 8).await;
        let frames: Vec<Frame> = (0..20).map(|number| frame(number, 50)).collect();
        for frame in &frames {
            pair.lanes.send(Lane::Must, frame.clone());
        }
        assert_eq!(writer.line().len(), 1, "it stands in the line once");
        tokio::spawn(async move { writer.run().await });
        let expected: Vec<u8> = frames.iter().flat_map(|f| f.bytes().to_vec()).collect();
        assert_eq!(read(&mut pair.client, expected.len()).await, expected);
        let (sent, writes) = (&pair.counters.frames_sent, &pair.counters.writes);
        assert_eq!((sent.get(), writes.get()), (20, 3), "8, 8 and 4");
    }

    #[tokio::test]
    async fn who_takes_nothing_holds_up_nobody_and_misses_nothing_later() {
        let writer = running();
        let (mut slow, mut quick) = (pair(&writer, 4).await, pair(&writer, 4).await);
        // More than both ends of a loopback connection hold.
        let large = 1 << 20;
        let frames: Vec<Frame> = (0..16).map(|number| frame(number, large)).collect();
        let whole: usize = frames.iter().map(Frame::len).sum();
        for frame in frames {
            // The lane refuses what is too much, so it is given what it can take.
            slow.lanes.send_resumed(vec![frame]);
        }
        quick.lanes.send(Lane::Must, frame(7, 50));
        assert_eq!(read(&mut quick.client, 52).await, frame(7, 50).bytes());
        let received = read(&mut slow.client, whole).await;
        let mut rest = &received[..];
        for number in 0..16 {
            let expected = frame(number, large);
            let (this, after) = rest.split_at(expected.len());
            assert!(this == expected.bytes(), "frame {number}");
            rest = after;
        }
    }

    #[tokio::test]
    async fn the_close_is_the_last_and_is_waited_for() {
        let writer = running();
        let mut pair = pair(&writer, 4).await;
        pair.lanes.send(Lane::Must, frame(1, 10));
        pair.lanes.close(close_code::POLICY, "enough");
        pair.lanes.send(Lane::Must, frame(2, 10));
        assert!(pair.lanes.drained().await);
        let close = Frame::close(close_code::POLICY, "enough");
        let expected = [frame(1, 10).bytes(), close.bytes()].concat();
        assert_eq!(read(&mut pair.client, expected.len()).await, expected);
    }

    #[tokio::test]
    async fn a_blocked_socket_is_let_go_of_and_a_broken_one_is_noticed() {
        let writer = running();
        let blocked = pair(&writer, 64).await;
        let large: Vec<Frame> = (0..16).map(|number| frame(number, 1 << 20)).collect();
        blocked.lanes.send_resumed(large.clone());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let gone = Arc::downgrade(&blocked.lanes);
        blocked.lanes.outlet.detach(ConnectionId(1));
        drop(blocked.lanes);
        let deadline = Instant::now() + PATIENCE;
        while gone.strong_count() > 0 {
            assert!(Instant::now() < deadline, "it keeps itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let broken = pair(&writer, 64).await;
        drop(broken.client);
        broken.lanes.send_resumed(large);
        assert!(broken.lanes.drained().await, "there is nobody to write to");
    }

    #[tokio::test]
    async fn who_takes_nothing_for_long_is_given_up_and_who_takes_again_is_not() {
        let writer = running();
        let (slow, mut again) = (pair(&writer, 4).await, pair(&writer, 4).await);
        // Both are connection 1 of their own hub; here they share a loop.
        let again_lanes = Arc::clone(&again.lanes);
        let large = || Frame::text("x".repeat(1 << 20));
        let many = || (0..16).map(|_| large()).collect::<Vec<_>>();
        again.lanes.send_resumed(many());
        let blocked = |expected: usize| {
            let writer = Arc::clone(&writer);
            async move {
                let deadline = Instant::now() + PATIENCE;
                while writer.blocked().len() != expected {
                    assert!(Instant::now() < deadline, "not {expected} are blocked");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        blocked(1).await;
        writer.give_up_stuck();
        assert!(!again.lanes.is_closing(), "not for long yet");
        read(&mut again.client, 16 << 20).await;
        blocked(0).await;
        slow.lanes.send_resumed(many());
        blocked(1).await;
        for (since, _) in writer.blocked().values_mut() {
            *since -= STUCK;
        }
        writer.give_up_stuck();
        assert!(slow.lanes.is_closing() && !again_lanes.is_closing());
        assert_eq!(slow.counters.slow_closed.get(), 1);
        blocked(0).await;
    }
}
