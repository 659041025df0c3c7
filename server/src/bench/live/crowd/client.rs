//! One socket of the crowd.

use super::Shared;
use crate::bench::live::stamp;
use crate::bench::live::talk::{Connect, Side};
use crate::bench::live::wire::{self, Kind};
use anyhow::{anyhow, bail, ensure};
use memchr::memmem::Finder;
use shared::live::{After, Backoff, SUBPROTOCOL};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Bytes that are read at once.
const BUFFER: usize = 128 * 1024;

/// The longest answer to a handshake.
const MAX_ANSWER: usize = 4_096;

/// How often it is tried.
const MAX_TRIES: u32 = 12;

/// What a frame of ours is told by.
static PUSH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""type":"push""#));
static SNAPSHOT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""type":"snapshot""#));
static RECOVERED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""recovered":true"#));
static OFFSET: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""offset":"#));

thread_local! {
    static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// What all sockets are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Read.
    Stay,
    /// Those with a number below this one read no more.
    StopReading { below: usize },
    /// Drop the connection and come back; since when.
    ComeBack { at_ns: u64 },
    /// Close for good.
    Leave,
}

/// One socket.
pub(crate) struct Client {
    index: usize,
    connect: Arc<Connect>,
    shared: Arc<Shared>,
    /// Bytes of a frame that is not whole yet.
    rest: Vec<u8>,
    joined: bool,
    /// Since when it is on its way back.
    lost_ns: Option<u64>,
    /// The offset that it has to reach to have caught up.
    goal: i64,
}

impl Client {
    pub fn new(index: usize, connect: Arc<Connect>, shared: Arc<Shared>) -> Self {
        Self {
            index,
            connect,
            shared,
            rest: Vec::new(),
            joined: false,
            lost_ns: None,
            goal: 0,
        }
    }

    /// Connects, reads, and comes back when it is cut off or told to.
    pub async fn run(mut self) {
        let mut plan = self.shared.plan.subscribe();
        plan.mark_unchanged();
        let (mut tries, mut backoff) = (0, Backoff::default());
        while tries < MAX_TRIES {
            let ended = self.attend(&mut plan).await;
            if std::mem::take(&mut self.joined) {
                self.shared.connected.fetch_sub(1, Ordering::Relaxed);
                (tries, backoff) = (0, Backoff::default());
            }
            self.rest.clear();
            match ended {
                Ok(Plan::Leave) => return,
                Ok(Plan::ComeBack { at_ns }) => self.lost_ns = Some(at_ns),
                Ok(Plan::Stay | Plan::StopReading { .. }) | Err(_) => {}
            }
            let pause_ms = backoff.pause_ms(After::Reconnect, rand::random());
            tokio::time::sleep(Duration::from_millis(u64::from(pause_ms))).await;
            tries += 1;
        }
    }

    async fn attend(&mut self, plan: &mut watch::Receiver<Plan>) -> anyhow::Result<Plan> {
        let mut stream = self.open().await?;
        self.greet(&mut stream).await?;
        self.take_in_early(&stream)?;
        loop {
            tokio::select! {
                biased;
                ended = poll_fn(|context| self.poll_read(&mut stream, context)) => ended?,
                _ = plan.changed() => {
                    let now = *plan.borrow_and_update();
                    match now {
                        Plan::Stay => {}
                        Plan::StopReading { below } if self.index < below => {
                            let _until = plan.changed().await;
                            return Ok(*plan.borrow_and_update());
                        }
                        Plan::StopReading { .. } => {}
                        Plan::ComeBack { .. } | Plan::Leave => return Ok(now),
                    }
                }
            }
        }
    }

    async fn open(&mut self) -> anyhow::Result<TcpStream> {
        let _turn = self.shared.doors.acquire().await?;
        self.shared.handshakes.fetch_add(1, Ordering::Relaxed);
        let mut stream = TcpStream::connect(self.connect.address).await?;
        stream.set_nodelay(true)?;
        let (path, protocol) = match self.connect.side {
            Side::Ours => ("/live", Some(SUBPROTOCOL)),
            Side::Bare => ("/", None),
            Side::Socketio => ("/socket.io/?EIO=4&transport=websocket", None),
        };
        let host = self.connect.address.to_string();
        let request = wire::handshake(&host, path, protocol);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let end = loop {
            stream.readable().await?;
            match stream.try_read_buf(&mut answer) {
                Ok(0) => bail!("closed during the handshake"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(answer.len() < MAX_ANSWER, "a long answer to the handshake");
        };
        ensure!(
            answer.starts_with(b"HTTP/1.1 101"),
            "the handshake was refused"
        );
        self.rest = answer.split_off(end);
        Ok(stream)
    }

    /// Says what this side has to be told before it publishes to the socket.
    async fn greet(&mut self, stream: &mut TcpStream) -> anyhow::Result<()> {
        match (self.connect.side, self.connect.lot) {
            (Side::Ours, Some(lot)) => {
                let offset = self.shared.tally().sockets[self.index].offset;
                let since = if offset > 0 {
                    let epoch = self.connect.epoch;
                    format!(r#","since":{{"epoch":{epoch},"offset":{offset}}}"#)
                } else {
                    String::new()
                };
                let frame =
                    format!(r#"{{"type":"subscribe","id":1,"channel":"lot:{lot}"{since}}}"#);
                stream.write_all(&wire::text(&frame)).await?;
            }
            (Side::Ours, None) => bail!("no lot to watch"),
            (Side::Bare, _) => self.join(),
            (Side::Socketio, _) => stream.write_all(&wire::text("40")).await?,
        }
        Ok(())
    }

    fn join(&mut self) {
        if !std::mem::replace(&mut self.joined, true) {
            self.shared.connected.fetch_add(1, Ordering::Relaxed);
            self.goal = self.shared.tally().newest;
            self.check_caught_up();
        }
    }

    fn check_caught_up(&mut self) {
        let Some(lost_ns) = self.lost_ns.filter(|_| self.joined) else {
            return;
        };
        let mut tally = self.shared.tally();
        if tally.sockets[self.index].offset >= self.goal {
            tally
                .caught_up
                .push(stamp::now_ns().saturating_sub(lost_ns));
            self.lost_ns = None;
        }
    }

    /// Takes in what came with the answer to the handshake.
    fn take_in_early(&mut self, stream: &TcpStream) -> anyhow::Result<()> {
        let early = std::mem::take(&mut self.rest);
        let used = self.take_in(&early, stream)?;
        self.rest.extend_from_slice(&early[used..]);
        Ok(())
    }

    /// Takes in whatever comes; ready only with the end. A short read is known to have emptied the
    /// socket, so that no second call has to find that out.
    fn poll_read(
        &mut self,
        stream: &mut TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<anyhow::Result<()>> {
        RECEIVED.with_borrow_mut(|buffer| {
            loop {
                let held = self.rest.len();
                buffer[..held].copy_from_slice(&self.rest);
                let mut room = ReadBuf::new(&mut buffer[held..]);
                ready!(Pin::new(&mut *stream).poll_read(context, &mut room))?;
                let received = room.filled().len();
                if received == 0 {
                    return Poll::Ready(Err(anyhow!("closed")));
                }
                let all = &buffer[..held + received];
                let used = self.take_in(all, stream)?;
                self.rest.clear();
                self.rest.extend_from_slice(&all[used..]);
                if self.rest.len() >= BUFFER / 2 {
                    return Poll::Ready(Err(anyhow!("a frame that is too large")));
                }
            }
        })
    }

    /// Reads whole frames; answers how many bytes they had.
    fn take_in(&mut self, all: &[u8], stream: &TcpStream) -> anyhow::Result<usize> {
        let now_ns = stamp::now_ns();
        let mut used = 0;
        while let Some(found) = wire::first(&all[used..]) {
            let payload = &all[used + found.payload.start..used + found.payload.end];
            used += found.payload.end;
            match found.kind {
                Kind::Text => self.text(payload, now_ns, stream)?,
                Kind::Ping => answer(stream, &wire::pong(payload))?,
                Kind::Close => bail!("closed"),
                Kind::Other => {}
            }
        }
        Ok(used)
    }

    fn text(&mut self, payload: &[u8], now_ns: u64, stream: &TcpStream) -> anyhow::Result<()> {
        if let Some(published_ns) = stamp::read(payload) {
            let mut tally = self.shared.tally();
            tally.count(self.index, published_ns, now_ns);
            if self.index == 0 {
                tally.sample = Some(String::from_utf8_lossy(payload).into_owned());
            }
        }
        match self.connect.side {
            Side::Ours => self.ours(payload, now_ns),
            Side::Bare => {}
            Side::Socketio if payload == b"2" => answer(stream, &wire::text("3"))?,
            Side::Socketio if payload.starts_with(b"40") => self.join(),
            Side::Socketio => {}
        }
        Ok(())
    }

    fn ours(&mut self, payload: &[u8], now_ns: u64) {
        // Only a part of each frame is looked at: its head says what it is.
        let head = &payload[..payload.len().min(160)];
        if PUSH.find(head).is_some() {
            if let Some(offset) = offset_in(head) {
                self.shared.tally().saw(self.index, offset, now_ns);
                if self.lost_ns.is_some() {
                    self.check_caught_up();
                }
            }
        } else if SNAPSHOT.find(head).is_some() {
            if let Some(offset) = offset_in(payload) {
                let mut tally = self.shared.tally();
                tally.snapshots += 1;
                tally.saw(self.index, offset, now_ns);
            }
            self.join();
        } else if RECOVERED.find(head).is_some() {
            self.join();
        }
    }
}

fn offset_in(text: &[u8]) -> Option<i64> {
    let from = OFFSET.find(text)? + OFFSET.needle().len();
    let digits = text.get(from..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// A few bytes always fit, unless the server has stopped reading.
fn answer(stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.try_write(bytes).map(drop)
}
