//! Moves the bytes between clients and the server, and lets the faults happen.

use super::faults::Switchboard;
use super::session::{Session, Step};
use super::wire::{self, Decoder, NotPostgres, Opening};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Read from a socket at once.
const READ_BYTES: usize = 16 * 1024;

/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What the handle of a gate and its connections have in common.
#[derive(Debug)]
pub struct Shared {
    /// `host:port` of the server.
    pub upstream: String,
    pub board: Switchboard,
    /// Cuts the connections that are open now; replaced each time.
    cut: Mutex<CancellationToken>,
}

impl Shared {
    pub fn new(upstream: String, board: Switchboard) -> Self {
        Self {
            upstream,
            board,
            cut: Mutex::default(),
        }
    }

    /// Resets every connection that is open now.
    pub fn cut(&self) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    fn cut_token(&self) -> CancellationToken {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut.clone()
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As connections end.
    Close,
    /// As they do when the machine at the other end is gone.
    Reset,
}

/// Takes in connections until told that the gate is closed for good.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>, closed: CancellationToken) {
    while let Some(accepted) = closed.run_until_cancelled(listener.accept()).await {
        let Ok((client, _)) = accepted else {
            // Out of descriptors: let some go.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        // Taken before the fault is looked at: whoever closes the gate sets the fault first and
        // then cuts, so that nobody slips through in between.
        let cut = shared.cut_token();
        tokio::spawn(async move { serve(client, &shared, cut).await });
    }
}

async fn serve(mut client: TcpStream, shared: &Shared, cut: CancellationToken) {
    let born = Instant::now();
    let Some(_open) = shared.board.admit() else {
        // As nobody listening would answer.
        reset(&client);
        return;
    };
    let ended = tokio::select! {
        () = cut.cancelled() => {
            shared.board.was_cut();
            Ok(End::Reset)
        }
        () = shared.board.aged(born) => Ok(End::Close),
        ended = carry(&mut client, shared) => ended,
    };
    match ended {
        Ok(End::Close) => {}
        Ok(End::Reset) => reset(&client),
        // Its end, however it came about, is all that both sides learn.
        Err(error) => tracing::debug!(%error, "a connection through the gate ended"),
    }
}

/// Makes a connection's other end find it reset once it is dropped.
fn reset(client: &TcpStream) {
    if let Err(error) = client.set_zero_linger() {
        tracing::debug!(%error, "a connection is closed, not reset");
    }
}

/// Carries one connection until either side ends it or a fault around COMMIT does.
async fn carry(client: &mut TcpStream, shared: &Shared) -> io::Result<End> {
    client.set_nodelay(true)?;
    let mut decoder = Decoder::default();
    let Some(opening) = open(client, &mut decoder).await? else {
        return Ok(End::Close);
    };
    shared.board.hold(true).await;
    let is_cancel = wire::is_cancel(&opening);
    if !is_cancel && let Some(refusal) = shared.board.refuses_login() {
        let error = wire::fatal(refusal.sqlstate(), "too many logins, says the gate");
        client.write_all(&error).await?;
        return Ok(End::Close);
    }
    let mut server = TcpStream::connect(&shared.upstream).await?;
    server.set_nodelay(true)?;
    server.write_all(&opening).await?;
    if is_cancel {
        // The server acts and closes without an answer.
        let _ = server.read_u8().await;
        return Ok(End::Close);
    }
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

/// Declines encryption until the client opens without it.
async fn open(client: &mut TcpStream, decoder: &mut Decoder) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; READ_BYTES];
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
) -> io::Result<End> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let mut out = Vec::new();
        let mut cut = false;
        while let Some(message) = decoder.message().map_err(invalid)? {
            shared.board.hold(message.awaits_answer()).await;
            let step = lock(session).client_says(message, &shared.board);
            cut = collect(&mut out, step);
            if cut {
                break;
            }
        }
        server.write_all(&out).await?;
        if cut {
            return Ok(End::Reset);
        }
        match client.read(&mut buffer).await? {
            0 => return Ok(End::Close),
            read => decoder.feed(buffer.get(..read).unwrap_or_default()),
        }
    }
}

async fn to_client(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    session: &Mutex<Session>,
    shared: &Shared,
) -> io::Result<End> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match server.read(&mut buffer).await? {
            0 => return Ok(End::Close),
            read => decoder.feed(buffer.get(..read).unwrap_or_default()),
        }
        let mut out = Vec::new();
        let mut cut = false;
        while let Some(message) = decoder.message().map_err(invalid)? {
            shared.board.hold_answer().await;
            let step = lock(session).server_says(message, &shared.board);
            cut = collect(&mut out, step);
            if cut {
                break;
            }
        }
        client.write_all(&out).await?;
        if cut {
            return Ok(End::Reset);
        }
    }
}

fn collect(out: &mut Vec<u8>, step: Step) -> bool {
    out.extend(step.forward);
    step.cut
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

fn invalid(error: NotPostgres) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
