//! The units left of drops, read again after claims.
//!
//! Each claim tells the units left as its own snapshot had them. Of claims at the same time none
//! sees the others, so the fewest that anybody told may still be too many. A moment after the first
//! of several claims this node reads the true number once.

use super::hub::Hub;
use crate::events::Audience;
use app::ports::Ledger;
use futures::StreamExt;
use shared::LotId;
use shared::live::{Channel, Push};
use shared::view::Terms;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long claims are gathered before the number is read: at most four reads a second a lot.
const GATHER: Duration = Duration::from_millis(250);

/// When a read that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Lots whose number is to be read at the same time.
const MAX_LOTS: usize = 4_096;

/// Reads at the same time: few beside the connections that claims need.
const MAX_PARALLEL: usize = 4;

/// The longest sleep while there is nothing to read.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// When the stock of a lot is to be read, and whether the floor shows the lot.
#[derive(Clone, Copy, Debug)]
struct Moved {
    read_at: Instant,
    listed: bool,
}

/// Lots whose stock moved.
#[derive(Debug, Default)]
pub(super) struct MovedStock {
    lots: Mutex<BTreeMap<LotId, Moved>>,
    added: Notify,
}

impl MovedStock {
    /// Units of a lot were claimed.
    pub fn note(&self, lot: LotId, listed: bool) {
        self.read_after(lot, listed, GATHER);
    }

    fn lots(&self) -> MutexGuard<'_, BTreeMap<LotId, Moved>> {
        self.lots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_after(&self, lot: LotId, listed: bool, wait: Duration) {
        let read_at = Instant::now() + wait;
        let mut lots = self.lots();
        // The next claim of a lot that does not fit now brings it here again.
        if lots.len() < MAX_LOTS {
            lots.entry(lot).or_insert(Moved { read_at, listed });
        }
        drop(lots);
        self.added.notify_one();
    }

    /// Takes the lots whose time has come; a claim from now on begins a new wait.
    fn due(&self) -> Vec<(LotId, bool)> {
        let now = Instant::now();
        let mut due = Vec::new();
        self.lots().retain(|lot, moved| {
            let waits = moved.read_at > now;
            if !waits {
                due.push((*lot, moved.listed));
            }
            waits
        });
        due
    }

    fn next(&self) -> Instant {
        let next = self.lots().values().map(|moved| moved.read_at).min();
        next.unwrap_or_else(|| Instant::now() + LONGEST_SLEEP)
    }
}

/// Reads and pushes the true number.
pub(super) struct Stock {
    hub: Arc<Hub>,
    ledger: Arc<dyn Ledger>,
}

impl Stock {
    pub fn new(hub: Arc<Hub>, ledger: Arc<dyn Ledger>) -> Self {
        Self { hub, ledger }
    }

    /// Reads until dropped.
    pub async fn run(&self) {
        let moved = &self.hub.moved_stock;
        loop {
            let due = futures::stream::iter(moved.due());
            due.for_each_concurrent(MAX_PARALLEL, |(lot, listed)| self.read_again(lot, listed))
                .await;
            tokio::select! {
                () = moved.added.notified() => {}
                () = tokio::time::sleep_until(moved.next()) => {}
            }
        }
    }

    async fn read_again(&self, lot: LotId, listed: bool) {
        let (room, floor) = (Channel::Lot(lot), Channel::Floor);
        let (room, floor) = (Audience::Channel(room), Audience::Channel(floor));
        let on_floor = listed && self.hub.is_heard(floor);
        if !self.hub.is_heard(room) && !on_floor {
            return;
        }
        match self.ledger.room(lot).await {
            Ok(Some(fresh)) => {
                if let Terms::Drop { units_left, .. } = fresh.lot.terms {
                    let line = None;
                    self.hub.push(room, Push::Stock { units_left, line });
                }
                if on_floor {
                    self.hub.push(floor, Push::Card(fresh.lot));
                }
            }
            Ok(None) => tracing::warn!(%lot, "units of a lot that does not exist were claimed"),
            Err(failure) => {
                tracing::warn!(%lot, %failure, "the units left could not be read");
                self.hub.moved_stock.read_after(lot, listed, RETRY);
            }
        }
    }
}
