//! `lotzero stores`: the process that runs the stores of one data folder for all its users.
//!
//! In order: the folder's lock, PostgreSQL and DynamoDB together, the control port, `stores.json`;
//! at the end the same backwards.

use super::control::Control;
use super::dynamodb::{DynamoDb, DynamoDbError};
use super::folder::Folder;
use super::postgres::{Postgres, PostgresError};
use super::record::Record;
use super::{cluster, control};
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, io};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long stores on their way out may take to let go of the folder, or others on their way in to
/// answer: as long as whoever attaches waits.
const LOCK_WITHIN: Duration = Duration::from_secs(90);

/// Between two attempts to take the lock.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// What `lotzero stores` is told.
#[derive(Clone, Debug)]
pub struct StoresOptions {
    /// Where everything is kept; made if it is not there.
    pub data_dir: PathBuf,
}

/// Why the stores do not run.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// The data folder cannot be used.
    #[error("using the data folder {0}")]
    Folder(PathBuf, #[source] io::Error),
    /// Somebody holds the folder and serves nobody.
    #[error("another process holds the data folder {0} and does not answer")]
    Held(PathBuf),
    /// PostgreSQL does not run.
    #[error("starting the private PostgreSQL")]
    Postgres(#[from] PostgresError),
    /// DynamoDB does not run.
    #[error("starting the embedded DynamoDB")]
    DynamoDb(#[from] DynamoDbError),
    /// No port or signal to be had.
    #[error("opening the control port")]
    Control(#[source] io::Error),
    /// A store ended by itself.
    #[error("{0} ended by itself: its reason is in the log")]
    Ended(&'static str),
}

/// Runs the stores until their last user leaves or a signal asks for the end. Returns at once when
/// another process runs them already.
pub async fn run_stores(options: StoresOptions) -> Result<(), StoresError> {
    let data_dir = options.data_dir;
    let folder = |error| StoresError::Folder(data_dir.clone(), error);
    let folder = Folder::open(&data_dir).map_err(folder)?;
    let Some(lock) = lock(&folder).await? else {
        tracing::info!("the stores run already");
        return Ok(());
    };
    let mut asked = Asked::new().map_err(StoresError::Control)?;
    let result = tokio::select! {
        biased;
        () = asked.wait() => Ok(()),
        started = start(&folder) => match started {
            Ok(running) => running.until_the_end(&folder, &mut asked).await,
            Err(error) => Err(error),
        },
    };
    if folder.is_temporary() {
        remove(&folder);
    }
    drop(lock);
    result
}

/// Takes the folder's lock; none when stores that answer have it.
async fn lock(folder: &Folder) -> Result<Option<File>, StoresError> {
    let failed = |error| StoresError::Folder(folder.path.clone(), error);
    let deadline = Instant::now() + LOCK_WITHIN;
    loop {
        if let Some(lock) = folder.try_lock().map_err(failed)? {
            return Ok(Some(lock));
        }
        if let Some(record) = Record::read(folder).map_err(failed)?
            && control::enter(record.control, &record.token).await.is_ok()
        {
            return Ok(None);
        }
        if Instant::now() > deadline {
            return Err(StoresError::Held(folder.path.clone()));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// Both stores and the door to them.
struct Running {
    postgres: Postgres,
    dynamodb: DynamoDb,
    control: Control,
}

async fn start(folder: &Folder) -> Result<Running, StoresError> {
    let failed = |error| StoresError::Folder(folder.path.clone(), error);
    match fs::remove_file(folder.record()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let since = Instant::now();
    let (postgres, dynamodb) = tokio::join!(Postgres::start(folder), DynamoDb::start(folder));
    let (postgres, dynamodb) = (postgres?, dynamodb?);
    let control = Control::open().await.map_err(StoresError::Control)?;
    let record = Record {
        pid: std::process::id(),
        database_url: postgres.url(),
        dynamodb_endpoint: dynamodb.endpoint(),
        control: control.address(),
        token: control.token().to_owned(),
        postgres_version: postgres.version().to_owned(),
        notes: postgres.notes().to_vec(),
    };
    record.write(folder).map_err(failed)?;
    for note in &record.notes {
        tracing::warn!("{note}");
    }
    tracing::info!(
        elapsed_ms = since.elapsed().as_millis(),
        postgres = record.postgres_version,
        dynamodb = record.dynamodb_endpoint,
        "the stores run"
    );
    Ok(Running {
        postgres,
        dynamodb,
        control,
    })
}

impl Running {
    async fn until_the_end(
        mut self,
        folder: &Folder,
        asked: &mut Asked,
    ) -> Result<(), StoresError> {
        let result = tokio::select! {
            () = self.control.unused() => Ok(()),
            () = asked.wait() => Ok(()),
            () = self.postgres.ended() => Err(StoresError::Ended("PostgreSQL")),
            () = self.dynamodb.ended() => Err(StoresError::Ended("the embedded DynamoDB")),
        };
        tracing::info!("the stores stop");
        // First, so that nobody finds what is on its way out.
        if let Err(error) = fs::remove_file(folder.record()) {
            tracing::warn!(%error, "removing stores.json");
        }
        self.control.close();
        tokio::join!(self.postgres.stop(), self.dynamodb.stop());
        result
    }
}

/// Removes a temporary folder and what belongs to it elsewhere.
fn remove(folder: &Folder) {
    let elsewhere = cluster::elsewhere(&folder.path);
    for path in [&elsewhere, &folder.path] {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "removing a temporary folder");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// The signals that ask for the end.
struct Asked {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Asked {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
