//! The gate: a proxy in front of a PostgreSQL that understands its protocol and breaks things on
//! demand, most of all around COMMIT. For tests and proofs; nothing configures it into `serve`.
//!
//! `wire` cuts bytes into messages, `session` knows what they mean, `faults` holds what is armed;
//! this file moves the bytes.

mod faults;
mod session;
mod wire;

pub use faults::Counters;

use faults::Switchboard;
use session::{CommitFault, Session, Step};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use wire::{Decoder, NotPostgres, Opening};

/// Read from a socket at once.
const READ_BYTES: usize = 16 * 1024;

/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A running gate and the handle to its faults; closes with everything in it when dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
    closed: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    board: Switchboard,
    /// Cuts the connections that are open now; replaced each time.
    cut: Mutex<CancellationToken>,
}

impl Gate {
    /// Opens a gate on a free port of the loopback in front of `host:port`.
    pub async fn start(upstream: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            board: Switchboard::default(),
            cut: Mutex::default(),
        });
        let closed = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&shared), closed.clone()));
        Ok(Self {
            address,
            shared,
            closed,
        })
    }

    /// Opens a gate in front of the server that a database URL names.
    pub async fn before(database_url: &str) -> io::Result<Self> {
        let upstream = host_and_port(database_url)
            .and_then(|range| database_url.get(range))
            .ok_or(io::ErrorKind::InvalidInput)?;
        Self::start(upstream).await
    }

    /// Where the gate listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database URL with this gate's host and port; as it was if it has none.
    #[must_use]
    pub fn url(&self, database_url: &str) -> String {
        let mut url = database_url.to_owned();
        if let Some(range) = host_and_port(database_url) {
            url.replace_range(range, &self.address.to_string());
        }
        url
    }

    /// The next `times` COMMITs: the connection is cut and the server never hears of them.
    pub fn cut_before_commit(&self, times: usize) {
        self.shared
            .board
            .arm_commits(times, &CommitFault::CutBefore);
    }

    /// The next `times` COMMITs: the server answers, and the connection is cut in the answer's
    /// place.
    pub fn cut_after_commit(&self, times: usize) {
        self.shared.board.arm_commits(times, &CommitFault::CutAfter);
    }

    /// The next `times` COMMITs: rolled back, and answered with that SQLSTATE.
    pub fn fail_commit_with(&self, times: usize, sqlstate: &str) {
        let fault = CommitFault::Fail(sqlstate.to_owned());
        self.shared.board.arm_commits(times, &fault);
    }

    /// The nth statement from now (1 is the next; BEGIN counts, COMMIT and ROLLBACK do not) is
    /// answered with 40001, and its transaction is aborted.
    pub fn fail_statement(&self, nth: u64) {
        self.shared.board.arm_statement(nth);
    }

    /// Turns new connections away, or stops doing so.
    pub fn refuse_connections(&self, refuse: bool) {
        self.shared.board.refuse(refuse);
    }

    /// Cuts every connection that is open now.
    pub fn cut_connections(&self) {
        let mut cut = self
            .shared
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Holds each message of a client back for that long.
    pub fn delay(&self, delay: Duration) {
        self.shared.board.delay(delay);
    }

    /// Lets no message of a client through until told otherwise; connections stay open.
    pub fn hang(&self, hang: bool) {
        self.shared.board.hang(hang);
    }

    /// Takes back everything that is armed.
    pub fn disarm(&self) {
        self.shared.board.disarm();
    }

    /// What took effect so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.board.counters()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.closed.cancel();
        self.cut_connections();
    }
}

/// Where a URL names its server: between the password and the path.
fn host_and_port(url: &str) -> Option<Range<usize>> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let user = authority.rfind('@').map_or(0, |at| at + 1);
    let start = scheme.len() + "://".len();
    (authority.len() > user).then(|| start + user..start + authority.len())
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, closed: CancellationToken) {
    while let Some(accepted) = closed.run_until_cancelled(listener.accept()).await {
        let Ok((client, _)) = accepted else {
            // Out of descriptors: let some go.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !shared.board.admits() {
            // A reset, as nobody listening would answer with.
            let _ = client.set_zero_linger();
            continue;
        }
        let cut = shared
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // Its end, however it came about, is all that both sides learn.
            if let Some(Err(error)) = cut.run_until_cancelled(carry(client, &shared)).await {
                tracing::debug!(%error, "a connection through the gate ended");
            }
        });
    }
}

/// Carries one connection until either side ends it or a fault cuts it.
async fn carry(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut server = TcpStream::connect(&shared.upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut decoder = Decoder::default();
    let Some(opening) = open(&mut client, &mut decoder).await? else {
        return Ok(());
    };
    shared.board.hold().await;
    server.write_all(&opening).await?;
    if wire::is_cancel(&opening) {
        // The server acts and closes without an answer.
        server.read_u8().await.map(|_| ()).or(Ok(()))
    } else {
        let session = Mutex::new(Session::default());
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let to_server = to_server(client_read, server_write, decoder, &session, shared);
        let to_client = to_client(server_read, client_write, &session, shared);
        tokio::select! {
            ended = to_server => ended,
            ended = to_client => ended,
        }
    }
}

/// Declines encryption until the client opens without it.
async fn open(client: &mut TcpStream, decoder: &mut Decoder) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; READ_BYTES];
    loop {
        match decoder.opening().map_err(invalid)? {
            Some(Opening::Encryption) => client.write_all(b"N").await?,
            Some(Opening::PassOn(bytes)) => return Ok(Some(bytes)),
            None => match client.read(&mut buffer).await? {
                0 => return Ok(None),
                read => decoder.feed(buffer.get(..read).unwrap_or_default()),
            },
        }
    }
}

async fn to_server(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    mut decoder: Decoder,
    session: &Mutex<Session>,
    shared: &Shared,
) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES];
    loop {
        let mut out = Vec::new();
        let mut cut = false;
        while let Some(message) = decoder.message().map_err(invalid)? {
            shared.board.hold().await;
            let step = lock(session).client_says(message, &shared.board);
            cut = collect(&mut out, step);
            if cut {
                break;
            }
        }
        server.write_all(&out).await?;
        if cut {
            return Ok(());
        }
        match client.read(&mut buffer).await? {
            0 => return Ok(()),
            read => decoder.feed(buffer.get(..read).unwrap_or_default()),
        }
    }
}

async fn to_client(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    session: &Mutex<Session>,
    shared: &Shared,
) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; READ_BYTES];
    loop {
        match server.read(&mut buffer).await? {
            0 => return Ok(()),
            read => decoder.feed(buffer.get(..read).unwrap_or_default()),
        }
        let mut out = Vec::new();
        let mut cut = false;
        while let Some(message) = decoder.message().map_err(invalid)? {
            let step = lock(session).server_says(message, &shared.board);
            cut = collect(&mut out, step);
            if cut {
                break;
            }
        }
        client.write_all(&out).await?;
        if cut {
            return Ok(());
        }
    }
}

fn collect(out: &mut Vec<u8>, step: Step) -> bool {
    out.extend(step.forward);
    step.cut
}

fn lock(session: &Mutex<Session>) -> std::sync::MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

fn invalid(error: NotPostgres) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_everything_but_host_and_port() {
        let found = |url: &'static str| host_and_port(url).and_then(|range| url.get(range));
        let plain = "postgres://u:p@127.0.0.1:5432/postgres?sslmode=disable";
        assert_eq!(found(plain), Some("127.0.0.1:5432"));
        assert_eq!(found("postgres://db:1/x"), Some("db:1"));
        assert_eq!(found("postgres://u:a@b@db:1"), Some("db:1"));
        assert_eq!(found("postgres://u@db?x=/@"), Some("db"));
        assert_eq!(found("postgres:///x"), None);
        assert_eq!(found("nonsense"), None);
    }

    #[tokio::test]
    async fn a_gate_rewrites_urls_to_itself() {
        let gate = Gate::before("postgres://u:p@127.0.0.1:1/postgres")
            .await
            .expect("open");
        let url = gate.url("postgres://u:p@127.0.0.1:1/postgres?a=b");
        assert_eq!(
            url,
            format!("postgres://u:p@{}/postgres?a=b", gate.address())
        );
    }
}
