//! Reactions of this node on their way to the table.
//!
//! What comes in for a room while the one before is written, or within [`ROUND`] of it, is added in
//! one write. So a room costs a node at most four writes a second, however many people react. Who
//! reacted is answered after the write: what was acknowledged is in the table.

use super::{Firehose, FirehoseError};
use shared::LotId;
use shared::view::Reaction;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The least time between two writes for a room.
pub const ROUND: Duration = Duration::from_millis(250);

/// What waits for a room.
#[derive(Debug, Default)]
struct Waiting {
    counts: BTreeMap<Reaction, u64>,
    callers: Vec<Caller>,
}

/// Who is answered once the reaction is in the table.
type Caller = oneshot::Sender<Result<(), Failed>>;

/// Why a write failed: the cause itself for one caller, a note for the others.
type Failed = Option<FirehoseError>;

/// What waits, by room. A room is here while a task writes for it.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<LotId, Waiting>>);

impl Tally {
    fn rooms(&self) -> MutexGuard<'_, BTreeMap<LotId, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a reaction; answers whether nobody writes for the room yet.
    fn add(&self, lot: LotId, reaction: Reaction, caller: Caller) -> bool {
        let mut rooms = self.rooms();
        let is_first = !rooms.contains_key(&lot);
        let waiting = rooms.entry(lot).or_default();
        *waiting.counts.entry(reaction).or_default() += 1;
        waiting.callers.push(caller);
        is_first
    }

    /// What waits for a room; the room is forgotten if that is nothing.
    fn take(&self, lot: LotId) -> Option<Waiting> {
        let mut rooms = self.rooms();
        let waiting = std::mem::take(rooms.get_mut(&lot)?);
        if waiting.callers.is_empty() {
            rooms.remove(&lot);
            return None;
        }
        Some(waiting)
    }
}

impl Firehose {
    /// Counts one reaction; answers once it is in the table.
    ///
    /// # Errors
    /// When the table does not answer: then it may have been counted.
    pub async fn react(&self, lot: LotId, reaction: Reaction) -> Result<(), FirehoseError> {
        let (caller, answer) = oneshot::channel();
        if self.tally.add(lot, reaction, caller) {
            tokio::spawn(self.clone().write_reactions(lot));
        }
        let doing = "count a reaction";
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Some(cause))) => Err(cause),
            Ok(Err(None)) | Err(_) => Err(FirehoseError::NotWritten { doing }),
        }
    }

    async fn write_reactions(self, lot: LotId) {
        while let Some(waiting) = self.tally.take(lot) {
            let begun = Instant::now();
            let added = self.add_reactions(lot, &waiting.counts);
            let mut failed = self.guarded(added).await.err().map(Some);
            for caller in waiting.callers {
                let answer = match &mut failed {
                    None => Ok(()),
                    Some(cause) => Err(cause.take()),
                };
                // Who asked may have given up.
                let _heard = caller.send(answer);
            }
            tokio::time::sleep_until(begun + ROUND).await;
        }
    }
}
