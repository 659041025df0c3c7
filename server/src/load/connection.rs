//! One connection of the load generator: a request, its answer, the next request.

use super::run::{Job, Run, Then};
use super::wire::{self, WireError};
use hyper::body::Bytes;
use rand::Rng as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Connections that break in a row, without an answer between them, before no more are made.
const MAX_BROKEN_IN_A_ROW: u32 = 20;

/// Before the next connection: a server that starts again needs a moment.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);

/// Before a request is sent again that was answered, but not decided: at most so many milliseconds.
const AGAIN_WITHIN_MS: u64 = 50;

/// Room for a request, and for an answer, before more is made.
const ROOM: usize = 4_096;

/// Why a connection cannot be used, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It was refused, or broke off.
    #[error("the connection to the server broke")]
    Connection(#[from] io::Error),
    /// The server does not speak HTTP as is expected of it.
    #[error("speaking HTTP to the server")]
    Http(#[from] WireError),
}

/// Connects for a connection's nth time.
pub async fn connect(run: &Run, place: usize) -> Result<TcpStream, Broken> {
    let stream = TcpStream::connect(run.address(place)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends requests until there are no more, on this connection and, when it breaks, on the next.
pub async fn serve(run: Arc<Run>, mut place: usize, first: TcpStream) {
    let mut stream = Some(first);
    let mut job = None;
    let mut answered = 0;
    let mut broken = 0;
    while (run.insists || broken < MAX_BROKEN_IN_A_ROW) && !run.is_over() {
        match on_one_connection(&run, (place, stream.take()), &mut job, &mut answered).await {
            Ok(End::NoMoreRequests) => return,
            // A server may end an idle connection: nothing is lost by that.
            Ok(End::ClosedIdle) if answered > 0 => broken = 0,
            Ok(End::ClosedIdle) => {
                broken += 1;
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
            Err(error) => {
                tracing::debug!(%error, "a connection broke");
                run.with_tally(|tally| tally.connection_errors += 1);
                broken = if answered > 0 { 1 } else { broken + 1 };
                place += 1;
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
        }
        answered = 0;
    }
}

enum End {
    NoMoreRequests,
    ClosedIdle,
}

async fn on_one_connection(
    run: &Run,
    (place, stream): (usize, Option<TcpStream>),
    job: &mut Option<Job>,
    answered: &mut u64,
) -> Result<End, Broken> {
    let stream = match stream {
        Some(stream) => stream,
        None => connect(run, place).await?,
    };
    let host = run.address(place).to_string();
    let mut line = Line {
        stream,
        sent: Vec::with_capacity(ROOM),
        received: Vec::with_capacity(ROOM),
    };
    loop {
        let next = match job.take() {
            Some(waiting) => waiting,
            None => match run.next().await {
                Some(next) => next,
                None => return Ok(End::NoMoreRequests),
            },
        };
        if line.is_closed()? {
            // Not a byte of it was sent.
            *job = Some(next);
            return Ok(End::ClosedIdle);
        }
        let head = match line.ask(&next.request, &host).await {
            Ok(head) => head,
            Err(broken) => {
                if run.insists {
                    run.with_tally(|tally| tally.resent += 1);
                    *job = Some(next);
                }
                return Err(broken);
            }
        };
        let latency = next.due.elapsed();
        *answered += 1;
        let body = line.received.get(head.length..).unwrap_or_default();
        match run.judge(next.sequence, head.status, body) {
            Then::Next => run.with_tally(|tally| tally.answer(head.status, latency)),
            Then::Again => {
                run.with_tally(|tally| tally.resent += 1);
                *job = Some(next);
                let pause = rand::rng().random_range(1..=AGAIN_WITHIN_MS);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        if run.is_over() {
            return Ok(End::NoMoreRequests);
        }
        if head.is_last {
            return Ok(End::ClosedIdle);
        }
    }
}

/// A connection with the bytes of one exchange.
struct Line {
    stream: TcpStream,
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl Line {
    /// Whether the server has ended the connection, while nothing was asked.
    fn is_closed(&self) -> Result<bool, Broken> {
        match self.stream.try_read(&mut [0]) {
            Ok(0) => Ok(true),
            Ok(_) => Err(WireError::Unasked.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request and reads its answer.
    async fn ask(
        &mut self,
        request: &http::Request<Bytes>,
        host: &str,
    ) -> Result<wire::Head, Broken> {
        self.sent.clear();
        wire::encode(request, host, &mut self.sent);
        self.stream.write_all(&self.sent).await?;
        self.received.clear();
        let head = loop {
            self.read().await?;
            if let Some(head) = wire::head(&self.received)? {
                break head;
            }
        };
        while self.received.len() < head.length + head.body {
            self.read().await?;
        }
        if self.received.len() > head.length + head.body {
            return Err(WireError::Unasked.into());
        }
        Ok(head)
    }

    async fn read(&mut self) -> Result<(), Broken> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
}
