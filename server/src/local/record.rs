//! `stores.json`: how the users of a data folder reach its stores.

use super::folder::{Folder, write_private};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;

/// What running stores tell about themselves. It holds secrets: its file is its owner's alone.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    /// The stores process.
    pub pid: u32,
    /// Where the private PostgreSQL is, password included.
    pub database_url: String,
    /// Where the embedded DynamoDB is.
    pub dynamodb_endpoint: String,
    /// Where users hold their connection open.
    pub control: SocketAddr,
    /// What users show there.
    pub token: String,
    /// PostgreSQL's version, such as 16.14.
    pub postgres_version: String,
    /// What the person at the terminal should know.
    pub notes: Vec<String>,
}

impl Record {
    /// Reads the record; none when there is none or it makes no sense (another version wrote it).
    pub fn read(folder: &Folder) -> io::Result<Option<Self>> {
        match std::fs::read(folder.record()) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the record in one step.
    pub fn write(&self, folder: &Folder) -> io::Result<()> {
        write_private(&folder.record(), &serde_json::to_vec_pretty(self)?)
    }
}
