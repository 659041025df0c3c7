//! The one way to run a transaction.
//!
//! Each command runs in a task of its own, so that a browser that goes away cannot leave a
//! transaction half done. An attempt is BEGIN, the command's statements, COMMIT; a failure is
//! sorted by [`classify`](super::error::classify) and retried from BEGIN with full jitter, within [`Bounds`]. A database
//! that hangs is a failure too: neither DSQL nor a dead wire ends a statement, so the deadline is
//! kept here, and the connection is thrown away. After a COMMIT
//! whose outcome is unknown the command simply runs again: every command begins by looking up its
//! key (or tests the version it read), so it finds its own answer or does the work for the first
//! time, and a transaction that was still under way loses on the key row.
//!
//! | file | what it holds |
//! |---|---|
//! | `runner` | tries, their causes, back-off |
//! | `tx` | one try's connection, from BEGIN to COMMIT |
//! | `read` | transactions that only read |
//! | `counters` | how often each thing happened |

mod counters;
mod read;
mod runner;
mod tx;

pub use counters::{BucketLoad, Counters, Durations, MAX_BUCKETS};
pub use read::Reading;
pub use runner::{Listener, Runner};
pub use tx::Tx;

use super::error::Class;
use app::ports::Failure;
use async_trait::async_trait;
use std::time::Duration;

/// Races that one command may lose. A hot lot loses most races to its neighbours, not to bad luck,
/// so the bound is above the six or seven tries that a queue of 32 writers needs. Failures of the
/// connection are bounded by time alone: after a restart each dead connection of the pool costs
/// one try.
pub const MAX_RACES: u32 = 12;

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// One try: its statements, and then once more its COMMIT.
    pub attempt: Duration,
    /// All tries together; what is not decided by then is answered "unavailable" or "unknown".
    pub elapsed: Duration,
}

impl Bounds {
    /// What somebody waits for. A try that hangs leaves time for one at the peer.
    pub const COMMAND: Self = Self {
        attempt: Duration::from_millis(1_500),
        elapsed: Duration::from_secs(4),
    };

    /// What reads whole tables. DSQL ends a transaction after 300 s.
    pub const LONG: Self = Self {
        attempt: Duration::from_secs(120),
        elapsed: Duration::from_secs(240),
    };
}

/// Work that one transaction does. It may run several times; only the last run is committed.
#[async_trait]
pub trait Command: Send + Sync + 'static {
    /// What the caller learns.
    type Answer: Send + 'static;

    /// A name for logs and counters.
    const NAME: &'static str;

    /// How long it may take.
    const BOUNDS: Bounds = Bounds::COMMAND;

    /// Whether it is one statement that only reads. That is a snapshot by itself, and without BEGIN
    /// and COMMIT it is one round trip instead of three.
    const IS_ONE_STATEMENT: bool = false;

    /// How many races it may lose.
    fn max_races(&self) -> u32 {
        MAX_RACES
    }

    /// One try: reads, decides, writes. Nothing outside `tx` may be touched.
    async fn attempt(&self, tx: &mut Tx) -> Result<Self::Answer, TxError>;
}

/// Why a try did not come to COMMIT.
#[derive(Debug, thiserror::Error)]
pub enum TxError {
    /// The database refused or was lost.
    #[error("running a statement failed")]
    Database(#[from] sqlx::Error),
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    TooSlow,
    /// A conditional write met another version than the one read.
    #[error("lost a race on {0}")]
    Lost(&'static str),
    /// The key was used for another command.
    #[error("the idempotency key belongs to another command")]
    KeyReused,
    /// A row holds what the program never writes.
    #[error("a row cannot be read: {0}")]
    Corrupt(&'static str),
}

/// An answer, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran<T> {
    /// The command's answer.
    pub answer: T,
    /// Tries, at least 1.
    pub attempts: u32,
    /// Whether a COMMIT of this command was lost and had to be resolved.
    pub was_unknown: bool,
}

/// Why a command was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// What the caller hears.
    pub failure: Failure,
    /// The class of its last failure; `None` if its key belongs to another command, or it panicked.
    pub class: Option<Class>,
    /// Tries that were made; 0 if it panicked.
    pub attempts: u32,
}
