//! The falling prices of Dutch lots, pushed at each tick by one task.

use super::hub::Hub;
use crate::clock::Clock;
use crate::events::Audience;
use shared::auction::{Dutch, Status};
use shared::live::{Channel, Push};
use shared::view::{LotView, Terms};
use shared::{LotId, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Lots whose price is pushed at the same time.
const MAX_LOTS: usize = 4_096;

/// The longest sleep: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Falling {
    schedule: Dutch,
    opens_at: Timestamp,
    closes_at: Timestamp,
    next: Timestamp,
}

/// Lots whose price falls while somebody watches.
pub(super) struct Ticks {
    hub: Arc<Hub>,
    clock: Arc<Clock>,
    lots: Mutex<BTreeMap<LotId, Falling>>,
    added: Notify,
}

impl Ticks {
    pub fn new(hub: Arc<Hub>, clock: Arc<Clock>) -> Self {
        Self {
            hub,
            clock,
            lots: Mutex::default(),
            added: Notify::new(),
        }
    }

    fn lots(&self) -> MutexGuard<'_, BTreeMap<LotId, Falling>> {
        self.lots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes the price of this lot from now on, if it is one that falls.
    pub fn watch(&self, lot: &LotView) {
        let Terms::Dutch { schedule } = lot.terms else {
            return;
        };
        let next = schedule.next_tick_at(lot.opens_at, self.clock.now());
        let (Status::Open, Some(next)) = (lot.status, next) else {
            return;
        };
        let mut lots = self.lots();
        if lots.len() >= MAX_LOTS && !lots.contains_key(&lot.id) {
            return;
        }
        lots.entry(lot.id).or_insert(Falling {
            schedule,
            opens_at: lot.opens_at,
            closes_at: lot.closes_at,
            next,
        });
        drop(lots);
        self.added.notify_one();
    }

    /// Pushes prices until dropped.
    pub async fn run(&self) {
        loop {
            let now = self.clock.now();
            for (lot, falling) in self.due(now) {
                let audience = Audience::Channel(Channel::Lot(lot));
                let price = falling.schedule.price_at(falling.opens_at, now);
                self.hub.push(audience, Push::Tick { price });
            }
            let wait = self.wait_from(now);
            tokio::select! {
                () = self.added.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The lots whose price fell by now; each is set to its next tick, and those that are over or
    /// at their floor are forgotten.
    fn due(&self, now: Timestamp) -> Vec<(LotId, Falling)> {
        let mut due = Vec::new();
        self.lots().retain(|lot, falling| {
            if now >= falling.closes_at {
                return false;
            }
            if falling.next > now {
                return true;
            }
            if self.hub.is_over(*lot) {
                return false;
            }
            due.push((*lot, *falling));
            let next = falling.schedule.next_tick_at(falling.opens_at, now);
            falling.next = next.unwrap_or(falling.next);
            next.is_some()
        });
        due
    }

    fn wait_from(&self, now: Timestamp) -> Duration {
        let next = self.lots().values().map(|falling| falling.next).min();
        let wait = next.map_or(i64::MAX, |next| next.since_ms(now).max(1));
        Duration::from_millis(u64::try_from(wait).unwrap_or(1)).min(LONGEST_SLEEP)
    }
}
