//! How a node, `prove` or a test gets to the stores: through running ones, or by starting them.

use super::control;
use super::folder::Folder;
use super::os;
use super::record::Record;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A first start takes 2 s; this is for a machine that is very busy, or recovers a large log.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Between two looks at `stores.json`.
const READY_POLL: Duration = Duration::from_millis(15);

/// Stores stop PostgreSQL within 10 s, as a rule in less than one.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// A log longer than this starts anew with the next start.
const MAX_LOG_BYTES: u64 = 1024 * 1024;

/// How much of the log's end an error shows.
const MAX_LOG_LINES_SHOWN: usize = 8;

/// Why the stores cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The data folder cannot be used.
    #[error("using the data folder {0}")]
    Folder(PathBuf, #[source] io::Error),
    /// The program that runs the stores cannot be started.
    #[error("starting {0} stores")]
    Spawn(PathBuf, #[source] io::Error),
    /// The stores ended while starting.
    #[error("the local stores ended while starting ({status}):\n{log}")]
    Ended { status: String, log: String },
    /// The stores never became ready.
    #[error("the local stores are not ready within {} s:\n{log}", READY_WITHIN.as_secs())]
    NotReady { log: String },
}

/// The stores, for as long as this value lives.
#[derive(Debug)]
pub struct Attached {
    /// Where the private PostgreSQL is, password included.
    pub database_url: String,
    /// Where the embedded DynamoDB is; it takes any credentials.
    pub dynamodb_endpoint: String,
    /// Such as 16.14.
    pub postgres_version: String,
    /// The stores process.
    pub pid: u32,
    /// Whether this call started the stores.
    pub started_by_us: bool,
    /// What the person at the terminal should know, a line each.
    pub notes: Vec<String>,
    folder: Folder,
    connection: TcpStream,
}

impl Attached {
    /// Resolves when the stores have gone away.
    pub async fn lost(&mut self) {
        // They say nothing more after their welcome: an answer of any kind is their end.
        let _ = self.connection.read_u8().await;
    }

    /// Leaves, and waits until the stores have ended, which they do when nobody else uses them.
    /// Returns whether they did.
    pub async fn close(self) -> bool {
        let folder = self.folder.clone();
        drop(self);
        let deadline = Instant::now() + GONE_WITHIN;
        while folder.is_held() {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(READY_POLL).await;
        }
        true
    }
}

/// Attaches to the data folder's stores and starts them if they do not run, with this very program.
pub async fn attach(data_dir: &Path) -> Result<Attached, AttachError> {
    attach_with(&this_program()?, data_dir).await
}

/// Whether stores have run in the data folder and left what they keep.
#[must_use]
pub fn holds_stores(data_dir: &Path) -> bool {
    let path = data_dir.to_owned();
    Folder { path }.dynamodb().is_file()
}

/// Attaches to the data folder's stores if they run.
pub async fn attach_running(data_dir: &Path) -> Option<Attached> {
    let path = data_dir.canonicalize().ok()?;
    look(&Folder { path }).await.ok().flatten()
}

/// Starts stores in a folder that goes away with them.
pub async fn attach_temporary() -> Result<Attached, AttachError> {
    attach_temporary_with(&this_program()?).await
}

/// [`attach_temporary`] with the program given, for tests, which are another program.
pub async fn attach_temporary_with(program: &Path) -> Result<Attached, AttachError> {
    let failed = |error| AttachError::Folder(std::env::temp_dir(), error);
    let folder = Folder::temporary().map_err(failed)?;
    attach_to(program, &folder).await
}

/// [`attach_temporary`] with the folder's parent given: what waits for the disk is measured on one.
pub async fn attach_temporary_in(parent: &Path) -> Result<Attached, AttachError> {
    let failed = |error| AttachError::Folder(parent.to_path_buf(), error);
    let folder = Folder::temporary_in(parent).map_err(failed)?;
    attach_to(&this_program()?, &folder).await
}

/// [`attach`] with the program given, for tests, which are another program.
pub async fn attach_with(program: &Path, data_dir: &Path) -> Result<Attached, AttachError> {
    let failed = |error| AttachError::Folder(data_dir.to_path_buf(), error);
    let folder = Folder::open(data_dir).map_err(failed)?;
    attach_to(program, &folder).await
}

fn this_program() -> Result<PathBuf, AttachError> {
    std::env::current_exe().map_err(|error| AttachError::Spawn(PathBuf::from("lotzero"), error))
}

async fn attach_to(program: &Path, folder: &Folder) -> Result<Attached, AttachError> {
    let failed = |error| AttachError::Folder(folder.path.clone(), error);
    if let Some(attached) = look(folder).await.map_err(failed)? {
        return Ok(attached);
    }
    let mut log = open_log(folder).map_err(failed)?;
    let started = spawn(program, folder, &log)
        .map_err(|error| AttachError::Spawn(program.to_path_buf(), error))?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        // Looked at before the record: stores that another call started first are there by then.
        let ended = started.ended.borrow().clone();
        if let Some(mut attached) = look(folder).await.map_err(failed)? {
            attached.started_by_us = attached.pid == started.pid;
            return Ok(attached);
        }
        match ended {
            Some(status) if status != "0" => {
                let log = log.tail();
                return Err(AttachError::Ended { status, log });
            }
            Some(_) | None if Instant::now() > deadline => {
                return Err(AttachError::NotReady { log: log.tail() });
            }
            Some(_) | None => tokio::time::sleep(READY_POLL).await,
        }
    }
}

/// Enters through the record that is there; none when there is none or nobody answers there.
async fn look(folder: &Folder) -> io::Result<Option<Attached>> {
    let Some(record) = Record::read(folder)? else {
        return Ok(None);
    };
    let Ok(connection) = control::enter(record.control, &record.token).await else {
        return Ok(None);
    };
    Ok(Some(Attached {
        database_url: record.database_url,
        dynamodb_endpoint: record.dynamodb_endpoint,
        postgres_version: record.postgres_version,
        pid: record.pid,
        started_by_us: false,
        notes: record.notes,
        folder: folder.clone(),
        connection,
    }))
}

/// A stores process that was started, and its exit code once it has one.
struct StartedStores {
    pid: u32,
    ended: watch::Receiver<Option<String>>,
}

fn spawn(program: &Path, folder: &Folder, log: &Log) -> io::Result<StartedStores> {
    let mut command = Command::new(program);
    command
        .arg("stores")
        .arg("--data-dir")
        .arg(&folder.path)
        .stdin(Stdio::null())
        .stdout(log.file.try_clone()?)
        .stderr(log.file.try_clone()?);
    os::own_session(&mut command);
    let mut child = command.spawn()?;
    let pid = child.id();
    let (tell, ended) = watch::channel(None);
    // Somebody has to hear of its end, or it would stay as a zombie for as long as this process.
    std::thread::Builder::new()
        .name("stores".to_owned())
        .spawn(move || {
            let text = child
                .wait()
                .map_or_else(|error| error.to_string(), |s| exit_text(&s));
            tell.send_replace(Some(text));
        })?;
    Ok(StartedStores { pid, ended })
}

fn exit_text(status: &ExitStatus) -> String {
    status
        .code()
        .map_or_else(|| status.to_string(), |code| code.to_string())
}

/// The stores' log, from where this start found it.
struct Log {
    file: File,
    from: u64,
}

fn open_log(folder: &Folder) -> io::Result<Log> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(folder.log())?;
    let length = file.metadata()?.len();
    let from = if length > MAX_LOG_BYTES { 0 } else { length };
    file.set_len(from)?;
    Ok(Log { file, from })
}

impl Log {
    /// The last lines since this start, without where in the program they come from.
    fn tail(&mut self) -> String {
        let mut text = Vec::new();
        // Through the open file: a temporary folder is gone by now.
        let read = self.file.seek(SeekFrom::Start(self.from)).and_then(|_| {
            let mut file = (&self.file).take(MAX_LOG_BYTES);
            file.read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("(their log cannot be read: {error})");
        }
        let text = String::from_utf8_lossy(&text);
        let told = |line: &&str| !line.starts_with("Stack backtrace:");
        let lines: Vec<&str> = text.lines().take_while(told).collect();
        let from = lines.len().saturating_sub(MAX_LOG_LINES_SHOWN);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}
