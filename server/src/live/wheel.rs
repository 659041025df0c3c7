//! Pings: one task asks every socket in turn, instead of a timer per socket.

use super::frame;
use super::hub::Hub;
use super::lanes::{ConnectionId, Lanes};
use shared::live::ServerMessage;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Slots of the wheel: one turn of 25 s moves on every second.
const SLOTS: usize = 25;

/// Slots after its ping at which a socket must have been heard: 8 s of 25.
const PONG_SLOTS: usize = 8;

type Slot = BTreeMap<ConnectionId, Arc<Lanes>>;

/// Every connection of the node, spread evenly over one turn.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: [Mutex<Slot>; SLOTS],
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            slots: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Wheel {
    fn slot(&self, index: usize) -> MutexGuard<'_, Slot> {
        let slot = &self.slots[index % SLOTS];
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot_of(&self, id: ConnectionId) -> MutexGuard<'_, Slot> {
        let slots = u64::try_from(SLOTS).unwrap_or(1);
        self.slot(usize::try_from(id.0 % slots).unwrap_or(0))
    }

    pub fn add(&self, lanes: &Arc<Lanes>) {
        self.slot_of(lanes.id).insert(lanes.id, Arc::clone(lanes));
    }

    pub fn remove(&self, id: ConnectionId) {
        self.slot_of(id).remove(&id);
    }

    /// Every connection.
    pub fn all(&self) -> Vec<Arc<Lanes>> {
        let each = (0..SLOTS).map(|index| self.slot(index).values().cloned().collect::<Vec<_>>());
        each.flatten().collect()
    }
}

impl Hub {
    /// Pings every socket once per turn and closes those that stay silent or take nothing. Runs until dropped.
    pub(super) async fn turn_wheel(&self, clock: &crate::clock::Clock, turn: Duration) {
        let slots = u32::try_from(SLOTS).unwrap_or(1);
        let mut ticks = tokio::time::interval((turn / slots).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for index in (0..SLOTS).cycle() {
            ticks.tick().await;
            for writer in self.writers.all() {
                writer.give_up_stuck();
            }
            for lanes in self.wheel.slot(index + SLOTS - PONG_SLOTS).values() {
                lanes.check_pulse();
            }
            let slot = self.wheel.slot(index);
            if slot.is_empty() {
                continue;
            }
            let frame = frame::encode(clock, ServerMessage::Ping);
            for lanes in slot.values() {
                lanes.ping(frame.clone());
            }
        }
    }
}
