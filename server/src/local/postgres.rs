//! The private PostgreSQL: started on a free port of the loopback, watched, started again when it
//! crashes, and never left running.

use super::cluster::{Cluster, ClusterError, USER};
use super::folder::Folder;
use super::os::{self, Signal};
use super::user;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection, Row};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};
use tokio::sync::watch;

/// Stands in for DSQL's absence of lock waits: long enough for a busy machine's commit to pass,
/// short enough that a wait shows as the conflict that it would be there.
const LOCK_TIMEOUT_MS: u32 = 200;

/// Two Regions, four nodes and a proof run's pools fit: 5 × 32, and room for tests.
const MAX_CONNECTIONS: u32 = 200;

/// Recovery after a kill takes well under a second; this is for a machine that is very busy.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Between two attempts to connect.
const READY_POLL: Duration = Duration::from_millis(10);

/// Somebody else can take a free port between finding and using it, hardly ever thrice.
const MAX_PORTS_TRIED: usize = 5;

/// How long each way of stopping may take before the next, harsher one.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// A server that ran for less than this did not run.
const MIN_RUN: Duration = Duration::from_secs(1);

/// Crashes in a row, each after less than [`MIN_RUN`], after which it stays down.
const MAX_SHORT_RUNS: u32 = 5;

/// Why the private PostgreSQL does not run.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No programs, or no folder.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// No thread or port to be had.
    #[error("preparing to start PostgreSQL")]
    Prepare(#[source] io::Error),
    /// It ended before it answered.
    #[error("PostgreSQL ended while starting: its reason is in the log")]
    EndedEarly,
    /// It never answered.
    #[error("PostgreSQL does not answer within {} s", READY_WITHIN.as_secs())]
    NotReady(#[source] sqlx::Error),
    /// It runs with other settings than it was given.
    #[error("PostgreSQL runs at isolation level {0}, not repeatable read")]
    Isolation(String),
}

/// A running private PostgreSQL; stops when dropped, at the latest with this process.
#[derive(Debug)]
pub struct Postgres {
    cluster: Arc<Cluster>,
    port: u16,
    /// Such as 16.14.
    version: String,
    watched: Watched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running(u32),
    Ended,
}

/// What the watching thread and its owner share.
#[derive(Debug)]
struct Watched {
    phase: watch::Receiver<Phase>,
    orders: Arc<Mutex<Orders>>,
}

/// What the owner tells the watching thread.
#[derive(Debug, Default)]
struct Orders {
    /// It has answered once: a crash from now on is mended.
    answered: bool,
    /// Its end is wanted.
    stop: bool,
}

impl Postgres {
    /// Starts the data folder's PostgreSQL, making its cluster first if there is none, and waits
    /// until it answers.
    pub async fn start(folder: &Folder) -> Result<Self, PostgresError> {
        let folder = folder.clone();
        let prepared = tokio::task::spawn_blocking(move || Cluster::prepare(&folder)).await;
        let cluster =
            prepared.map_err(|error| PostgresError::Prepare(io::Error::other(error)))??;
        let cluster = Arc::new(cluster);
        let mut tried = 1;
        loop {
            match Self::start_on_some_port(&cluster).await {
                Err(PostgresError::EndedEarly) if tried < MAX_PORTS_TRIED => tried += 1,
                Ok(started) => return Ok(started),
                Err(error) => return Err(error),
            }
        }
    }

    async fn start_on_some_port(cluster: &Arc<Cluster>) -> Result<Self, PostgresError> {
        let port = free_port().map_err(PostgresError::Prepare)?;
        let watched = watch_over(Arc::clone(cluster), port).map_err(PostgresError::Prepare)?;
        let mut started = Self {
            cluster: Arc::clone(cluster),
            port,
            version: String::new(),
            watched,
        };
        started.version = started.ready().await?;
        started.watched.answered();
        Ok(started)
    }

    /// How to connect, password included: by the cluster's Unix socket if it can have one, which
    /// costs every statement less than the loopback, and with the loopback's address for gates.
    #[must_use]
    pub fn url(&self) -> String {
        let password = &self.cluster.password;
        let loopback = format!(
            "postgres://{USER}:{password}@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        );
        match &self.cluster.socket_folder {
            Some(folder) => format!("{loopback}&host={folder}"),
            None => loopback,
        }
    }

    /// Such as 16.14.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the person at the terminal should know.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.cluster.notes
    }

    /// Resolves when PostgreSQL is down for good.
    pub async fn ended(&mut self) {
        // A closed channel means that the watching thread is gone, and PostgreSQL with it.
        let _ = self.watched.phase.wait_for(|p| *p == Phase::Ended).await;
    }

    /// Stops PostgreSQL and waits until it is gone.
    pub async fn stop(mut self) {
        self.watched.forbid_restart();
        for signal in [Signal::Interrupt, Signal::Quit, Signal::Kill] {
            self.watched.signal(signal);
            let ended = tokio::time::timeout(STOPS_WITHIN, self.ended()).await;
            if ended.is_ok() {
                return;
            }
            tracing::warn!(?signal, "PostgreSQL does not stop");
        }
    }

    /// Connects until it is answered; returns the version.
    async fn ready(&mut self) -> Result<String, PostgresError> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(USER)
            .password(&self.cluster.password)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable);
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if self.watched.phase.has_changed().is_err()
                || *self.watched.phase.borrow() == Phase::Ended
            {
                return Err(PostgresError::EndedEarly);
            }
            match ask(&options).await {
                Ok((version, isolation)) if isolation == "repeatable read" => return Ok(version),
                Ok((_, isolation)) => return Err(PostgresError::Isolation(isolation)),
                Err(error) if Instant::now() > deadline => {
                    return Err(PostgresError::NotReady(error));
                }
                Err(_) => tokio::time::sleep(READY_POLL).await,
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.forbid_restart();
        self.signal(Signal::Interrupt);
    }
}

impl Watched {
    fn forbid_restart(&self) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.stop = true;
    }

    fn answered(&self) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.answered = true;
    }

    fn signal(&self, signal: Signal) {
        if let Phase::Running(pid) = *self.phase.borrow() {
            // It may have ended by itself in between.
            let _ = os::send(pid, signal);
        }
    }
}

async fn ask(options: &PgConnectOptions) -> Result<(String, String), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let row = sqlx::query(
        "SELECT current_setting('server_version'), current_setting('default_transaction_isolation')",
    )
    .fetch_one(&mut connection)
    .await?;
    let answer = (row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?);
    connection.close().await?;
    // Debian adds its package's version.
    let version = answer.0.split_whitespace().next().unwrap_or_default();
    Ok((version.to_owned(), answer.1))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn server(cluster: &Cluster, port: u16) -> Command {
    let sockets = cluster.socket_folder.as_deref().unwrap_or_default();
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={sockets}"),
        format!("max_connections={MAX_CONNECTIONS}"),
        "default_transaction_isolation=repeatable read".to_owned(),
        format!("lock_timeout={LOCK_TIMEOUT_MS}"),
        "fsync=on".to_owned(),
        "synchronous_commit=on".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "jit=off".to_owned(),
        "max_parallel_workers_per_gather=0".to_owned(),
        // Nobody replicates it.
        "wal_level=minimal".to_owned(),
        "max_wal_senders=0".to_owned(),
        // Conflicts are daily bread; who meets them reports them.
        "log_min_messages=log".to_owned(),
        "log_checkpoints=off".to_owned(),
        "logging_collector=off".to_owned(),
    ];
    let program = cluster.binaries.bin.join("postgres");
    let mut command = user::command(program, cluster.run_as.as_ref(), &cluster.path);
    command.arg("-D").arg(&cluster.path);
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // Its log goes where this process's goes.
    command.stderr(Stdio::inherit());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    os::stop_with_parent(&mut command);
    command
}

/// Starts the server in a thread that lives as long as it: the signal that ends PostgreSQL with
/// its parent belongs to the thread that started it.
fn watch_over(cluster: Arc<Cluster>, port: u16) -> io::Result<Watched> {
    let orders = Arc::new(Mutex::new(Orders::default()));
    let first = server(&cluster, port);
    let (started, wait_for_start) = std::sync::mpsc::channel();
    let heard = Arc::clone(&orders);
    thread::Builder::new()
        .name("postgres".to_owned())
        .spawn(move || watch_in_this_thread(&cluster, port, first, &started, &heard))?;
    let phase = wait_for_start.recv().map_err(io::Error::other)??;
    Ok(Watched { phase, orders })
}

type Started = std::sync::mpsc::Sender<io::Result<watch::Receiver<Phase>>>;

fn watch_in_this_thread(
    cluster: &Cluster,
    port: u16,
    mut first: Command,
    started: &Started,
    orders: &Mutex<Orders>,
) {
    let mut child = match first.spawn() {
        Ok(child) => child,
        Err(error) => {
            // The other side is waiting for this very answer.
            let _ = started.send(Err(error));
            return;
        }
    };
    let (phase, watched) = watch::channel(Phase::Running(child.id()));
    let _ = started.send(Ok(watched));
    let mut short_runs = 0;
    loop {
        let since = Instant::now();
        let status = child.wait();
        let long = since.elapsed() >= MIN_RUN;
        short_runs = if long { 0 } else { short_runs + 1 };
        // Held until the new one runs, so that a stop meets either the old or the new.
        let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.stop || !orders.answered || short_runs > MAX_SHORT_RUNS {
            break;
        }
        tracing::error!(?status, "PostgreSQL crashed; starting it again");
        let again = cluster.clear().map_err(io::Error::other);
        match again.and_then(|()| server(cluster, port).spawn()) {
            Ok(next) => child = next,
            Err(error) => {
                tracing::error!(%error, "PostgreSQL does not start again");
                break;
            }
        }
        phase.send_replace(Phase::Running(child.id()));
    }
    phase.send_replace(Phase::Ended);
}
