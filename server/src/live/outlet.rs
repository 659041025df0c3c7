//! How frames get onto the wire.
//!
//! A few loops write for all sockets of the node, instead of a task for each: a socket that has
//! something to write stands in its loop's line once, however much it is, and the loop hands the
//! shared bytes of several frames to the operating system in one call. A socket that takes nothing
//! more leaves the line until it does; it holds up nobody.

use super::frame::Frame;
use super::lanes::{Batch, Lanes};
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Loops of a node: one a processor, and with more than these the lock of a channel is the limit.
const MAX_WRITERS: usize = 16;

/// Sockets that a loop writes to before it lets other tasks run: at 5 µs each, a third of a
/// millisecond.
const TURN: usize = 64;

/// Frames that are handed over in one call at most; more take another call.
const MAX_SLICES: usize = 64;

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

    /// Writes for whoever is in the line, until dropped.
    pub async fn run(&self) {
        let mut turn = Vec::new();
        loop {
            std::mem::swap(&mut *self.line(), &mut turn);
            if turn.is_empty() {
                self.wake.notified().await;
                continue;
            }
            for (index, lanes) in turn.drain(..).enumerate() {
                lanes.write();
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
    /// Whether nothing comes after the rest.
    last: bool,
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
                last: false,
            })),
        }
    }

    fn wire(&self) -> MutexGuard<'_, Option<Wire>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the socket. Needed at the end: a blocked socket keeps a waker, which keeps the
    /// lanes, which keep the socket.
    pub fn detach(&self) {
        *self.wire() = None;
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
    fn write(self: &Arc<Self>) {
        // Before the lanes are looked into, so that what comes after that queues up again.
        self.outlet.in_line.store(false, Ordering::Release);
        let mut held = self.outlet.wire();
        let Some(wire) = held.as_mut() else { return };
        match wire.write(self) {
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
    fn write(&mut self, lanes: &Arc<Lanes>) -> Wrote {
        if self.rest.is_empty() {
            let Batch {
                frames,
                close,
                last,
            } = lanes.take(self.frames_per_write);
            self.rest = frames;
            self.rest
                .extend(close.map(|close| Frame::close(close.code, close.reason)));
            self.last = last;
        }
        let count = self.rest.len();
        while !self.rest.is_empty() {
            match self.hand_over() {
                Ok(0) => return Wrote::Last,
                Ok(bytes) => self.took(bytes),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    lanes.sent(count - self.rest.len());
                    let waker = Waker::from(Arc::clone(lanes));
                    match self
                        .stream
                        .poll_write_ready(&mut Context::from_waker(&waker))
                    {
                        Poll::Pending => return Wrote::Blocked,
                        Poll::Ready(Ok(())) => return Wrote::More,
                        Poll::Ready(Err(_)) => return Wrote::Last,
                    }
                }
                Err(_) => return Wrote::Last,
            }
        }
        lanes.sent(count);
        if self.last {
            Wrote::Last
        } else if lanes.has_more() {
            Wrote::More
        } else {
            Wrote::All
        }
    }

    fn hand_over(&self) -> std::io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.rest) {
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(frame.bytes().get(from..).unwrap_or_default());
            count += 1;
        }
        self.stream
            .try_write_vectored(slices.get(..count).unwrap_or_default())
    }

    /// Forgets what the socket took.
    fn took(&mut self, bytes: usize) {
        self.written += bytes;
        while let Some(first) = self.rest.front()
            && first.len() <= self.written
        {
            self.written -= first.len();
            self.rest.pop_front();
        }
    }
}
