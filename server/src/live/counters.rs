//! What the live plane counts about itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only this module's reader and many writers touch.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: usize) {
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn remove_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one node since it started, for the metrics page.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sockets that are open.
    pub sockets: Count,
    /// Sockets opened so far.
    pub sockets_opened: Count,
    /// Handshakes refused: origin, subprotocol, limits.
    pub upgrades_refused: Count,
    /// Frames that were handed to a socket's lanes.
    pub frames_queued: Count,
    /// Frames that were written to a socket.
    pub frames_sent: Count,
    /// Calls to the operating system that wrote them.
    pub writes: Count,
    /// Reads of a store for snapshots; those of people's wallets are gathered, many in one.
    pub snapshots_read: Count,
    /// Frames of the droppable lane that a slow reader did not get.
    pub frames_dropped: Count,
    /// Frames of the latest lane that a newer one replaced.
    pub frames_replaced: Count,
    /// Sockets closed because their reader was too slow.
    pub slow_closed: Count,
    /// Sockets closed because nothing was heard from them.
    pub silent_closed: Count,
    /// Sockets closed because their session ended.
    pub session_closed: Count,
    /// Rounds in which it could not be read which sessions have ended.
    pub sessions_unread: Count,
    /// Deliveries that were there already.
    pub repeats: Count,
    /// Gaps in a lot's history that a read filled.
    pub gaps_filled: Count,
    /// Gaps that no history could fill: the channel was resynced.
    pub gaps_lost: Count,
    /// Frames from clients that were refused.
    pub frames_refused: Count,
}
