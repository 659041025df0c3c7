//! The embedded DynamoDB: dynoxide in this process, on a free port of the loopback, kept in one
//! file.

use super::{folder::Folder, stream_records};
use dynoxide::Database;
use std::fs::OpenOptions;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Real DynamoDB takes minutes to days; nothing may rest on when an expired item goes.
const TTL_SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How long requests under way may take to finish at the end.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

/// Why the embedded DynamoDB does not run.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    /// Its file cannot be opened.
    #[error("opening the embedded DynamoDB's file")]
    File(#[source] io::Error),
    /// Its file makes no sense to it.
    #[error("reading the embedded DynamoDB's file")]
    Content(#[source] dynoxide::errors::DynoxideError),
    /// Its stream cannot be indexed.
    #[error("indexing the embedded DynamoDB's stream")]
    Index(#[source] rusqlite::Error),
    /// No port to be had.
    #[error("opening the embedded DynamoDB's port")]
    Port(#[source] io::Error),
}

/// A running embedded DynamoDB.
#[derive(Debug)]
pub struct DynamoDb {
    address: SocketAddr,
    stop: CancellationToken,
    /// Taken by whoever sees its end first: a task is joined once.
    server: Option<JoinHandle<()>>,
    sweep: JoinHandle<()>,
}

impl DynamoDb {
    /// Opens the data folder's file, or makes it, and serves it.
    pub async fn start(folder: &Folder) -> Result<Self, DynamoDbError> {
        let path = folder.dynamodb();
        // SQLite gives the files beside it the same permissions.
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(DynamoDbError::File)?;
        let name = path.to_string_lossy().into_owned();
        let opened = tokio::task::spawn_blocking(move || Database::new(&name)).await;
        let database = opened
            .map_err(|error| DynamoDbError::File(io::Error::other(error)))?
            .map_err(DynamoDbError::Content)?;
        let indexed = path.clone();
        tokio::task::spawn_blocking(move || stream_records::index(&indexed))
            .await
            .map_err(|error| DynamoDbError::File(io::Error::other(error)))?
            .map_err(DynamoDbError::Index)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(DynamoDbError::Port)?;
        let address = listener.local_addr().map_err(DynamoDbError::Port)?;
        let stop = CancellationToken::new();
        let sweep = tokio::spawn(sweep(database.clone(), path, stop.clone()));
        let server = tokio::spawn(serve(listener, database, stop.clone()));
        Ok(Self {
            address,
            stop,
            server: Some(server),
            sweep,
        })
    }

    /// What the AWS SDK takes as its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Resolves when the server has ended, which it does only by a fault.
    pub async fn ended(&mut self) {
        if let Some(server) = &mut self.server {
            // A panic inside is an end as well.
            let _ = server.await;
        }
        self.server = None;
    }

    /// Lets requests finish and closes the file.
    pub async fn stop(self) {
        self.stop.cancel();
        let server = futures::future::OptionFuture::from(self.server);
        let both = futures::future::join(server, self.sweep);
        if tokio::time::timeout(STOPS_WITHIN, both).await.is_err() {
            tracing::warn!("the embedded DynamoDB does not finish its requests");
        }
    }
}

async fn serve(listener: TcpListener, database: Database, stop: CancellationToken) {
    let served =
        dynoxide::server::serve_with_shutdown(listener, database, stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(error, "the embedded DynamoDB ended");
    }
}

async fn sweep(database: Database, path: PathBuf, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(TTL_SWEEP_EVERY))
        .await
        .is_some()
    {
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(removed)) => tracing::debug!(removed, "swept expired items"),
            Ok(Err(error)) => tracing::warn!(%error, "sweeping expired items"),
            Err(error) => tracing::warn!(%error, "sweeping expired items"),
        }
        let path = path.clone();
        match tokio::task::spawn_blocking(move || stream_records::trim(&path, None)).await {
            Ok(Ok(removed)) => tracing::debug!(removed, "trimmed the stream"),
            Ok(Err(error)) => tracing::warn!(%error, "trimming the stream"),
            Err(error) => tracing::warn!(%error, "trimming the stream"),
        }
    }
}
