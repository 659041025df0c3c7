//! Sessions that end while their sockets are open: a socket acts for somebody only as long as the
//! session does that it was opened by.

use super::counters::Counters;
use super::lanes::{ConnectionId, Lanes};
use app::ports::{SessionKey, Sessions};
use shared::live::close_code;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// How often it is asked which sessions have ended. With the two seconds for which a node trusts
/// what it read of a session, no socket outlives its session by five.
const ROUND: Duration = Duration::from_secs(2);

type Sockets = BTreeMap<ConnectionId, (SessionKey, Arc<Lanes>)>;

/// The sockets of this node that act for somebody.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sockets: Mutex<Sockets>,
    /// A session of this node has just ended.
    hurry: Notify,
}

/// A socket under watch; no longer when dropped.
pub(super) struct Watched {
    watch: Arc<Watch>,
    id: ConnectionId,
}

impl Watch {
    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes this socket once its session ends.
    pub fn add(self: &Arc<Self>, session: SessionKey, lanes: &Arc<Lanes>) -> Watched {
        let socket = (session, Arc::clone(lanes));
        self.sockets().insert(lanes.id, socket);
        Watched {
            watch: Arc::clone(self),
            id: lanes.id,
        }
    }

    /// Looks at once which sessions have ended.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Closes the sockets of ended sessions, for ever.
    pub async fn run(&self, sessions: &dyn Sessions, counters: &Counters) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = self.hurry.notified() => {}
            }
            self.round(sessions, counters).await;
        }
    }

    async fn round(&self, sessions: &dyn Sessions, counters: &Counters) {
        let open: BTreeSet<_> = self.sockets().values().map(|(key, _)| *key).collect();
        let open: Vec<_> = open.into_iter().collect();
        if open.is_empty() {
            return;
        }
        let ended = match sessions.ended(&open).await {
            Ok(ended) => BTreeSet::from_iter(ended),
            // Nobody is thrown out because a store is away: nothing can be bought then either.
            Err(failure) => {
                counters.sessions_unread.add(1);
                tracing::warn!(%failure, "it could not be read which sessions have ended");
                return;
            }
        };
        for (session, lanes) in self.sockets().values() {
            if ended.contains(session) && !lanes.is_closing() {
                counters.session_closed.add(1);
                lanes.close(close_code::POLICY, "the session has ended");
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.sockets().remove(&self.id);
    }
}
