//! The hub: who on this node listens to what.
//!
//! Audiences are spread over a fixed number of locks by hash. No lock is held over an await, and
//! nothing here waits for a socket: a push is a clone of a shared text into a bounded lane.

use super::channel::{ChannelState, Joined, Next};
use super::counters::Counters;
use super::frame::{self, Frame};
use super::history::History;
use super::lanes::{ConnectionId, Lanes};
use super::outlet::Writers;
use super::queues::{Key, Lane};
use super::seen::Seen;
use super::stock::MovedStock;
use super::wheel::Wheel;
use crate::clock::Clock;
use crate::events::{Audience, Delivery, EventBody, HouseEvent};
use shared::LotId;
use shared::live::{Channel, LotEvent, Position, Push, ServerMessage, close_code};
use shared::view::{ChatMessage, LotView, Terms};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Locks that the audiences are spread over: with 2 to 64 cores, two threads rarely meet.
const SHARDS: u64 = 64;

/// How long an event that is ahead waits for the ones before it to come by themselves.
const GAP_WAIT: Duration = Duration::from_millis(200);

/// How long one history may take to fill a gap.
const FILL_TIMEOUT: Duration = Duration::from_secs(3);

/// A shutdown closes sockets spread over this time, so that not all are told at once. The return is
/// spread by the clients' own pauses of 2 to 20 s, so a longer one would only delay the restart.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Steps in which a shutdown does that.
const DRAIN_STEPS: usize = 20;

/// The reason that goes with the close code of a shutdown.
const RESTARTS: &str = "the server restarts";

type Shard = HashMap<Audience, ChannelState>;

/// Everybody who listens on this node.
pub struct Hub {
    me: Weak<Self>,
    clock: Arc<Clock>,
    /// What is counted.
    pub counters: Arc<Counters>,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    seen: Seen,
    histories: OnceLock<Vec<Arc<dyn History>>>,
    pub(super) wheel: Wheel,
    pub(super) writers: Writers,
    pub(super) moved_stock: MovedStock,
    next_connection: AtomicU64,
    tasks: TaskTracker,
    ended: CancellationToken,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// An empty hub. The ledger may deliver to it at once.
    #[must_use]
    pub fn new(clock: Arc<Clock>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            clock,
            counters: Arc::default(),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            seen: Seen::default(),
            histories: OnceLock::new(),
            wheel: Wheel::default(),
            writers: Writers::default(),
            moved_stock: MovedStock::default(),
            next_connection: AtomicU64::new(1),
            tasks: TaskTracker::new(),
            ended: CancellationToken::new(),
        })
    }

    /// Says where gaps are filled from, in the order in which they are asked. Once only.
    pub fn set_histories(&self, histories: Vec<Arc<dyn History>>) {
        if self.histories.set(histories).is_err() {
            tracing::warn!("the hub has its histories already");
        }
    }

    fn shard(&self, audience: Audience) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(audience) % SHARDS;
        let shard = &self.shards[usize::try_from(index).unwrap_or(0)];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an event, from the node's own commits or from the stream. Must be called within
    /// the runtime.
    pub fn deliver(&self, event: &HouseEvent) {
        let fresh = self.seen.first_time(event.id.uuid());
        match &event.body {
            EventBody::Lot { card, .. } => self.note_mechanism(card),
            EventBody::Stock { lot, listed, .. } if fresh => {
                self.moved_stock.note(*lot, *listed);
            }
            EventBody::Stock { .. }
            | EventBody::Opened { .. }
            | EventBody::Wallet { .. }
            | EventBody::Notice { .. }
            | EventBody::Checkout(_) => {}
        }
        for delivery in event.deliveries() {
            let Delivery {
                audience,
                position,
                push,
            } = delivery;
            match (audience, position, push) {
                (Audience::Channel(Channel::Lot(lot)), Some(at), Push::Event(event)) => {
                    self.accept(lot, at, event);
                }
                (audience, _, push) if fresh => self.push(audience, push),
                _ => self.counters.repeats.add(1),
            }
        }
    }

    /// Takes in a message of a room; a repeat is dropped.
    pub fn deliver_chat(&self, lot: LotId, message: ChatMessage) {
        if self.seen.first_time(message.id.uuid()) {
            let audience = Audience::Channel(Channel::Chat(lot));
            self.push(audience, Push::Chat(message));
        } else {
            self.counters.repeats.add(1);
        }
    }

    /// Sends a push that has no place to everybody in an audience; the lane follows from what it
    /// is.
    pub fn push(&self, audience: Audience, push: Push) {
        let channel = channel_of(audience);
        let mut shard = self.shard(audience);
        let Some(state) = shard.get_mut(&audience).filter(|state| state.is_heard()) else {
            return;
        };
        let push = if let Push::Stock { units_left, line } = push {
            let units_left = state.fewest(units_left);
            Push::Stock { units_left, line }
        } else {
            push
        };
        let lane = lane_of(channel, &push);
        let frame = frame::push(&self.clock, channel, None, push);
        state.push(lane, &frame);
    }

    /// Sends a frame that is none of [`Push`] to everybody in an audience, if there is anybody.
    pub(super) fn push_frame(
        &self,
        audience: Audience,
        lane: Lane,
        encode: impl FnOnce(&Clock) -> Frame,
    ) {
        let mut shard = self.shard(audience);
        let state = shard.get_mut(&audience);
        if let Some(state) = state.filter(|state| state.is_heard()) {
            state.push(lane, &encode(&self.clock));
        }
    }

    /// Takes in one event of a lot's history.
    pub(super) fn accept(&self, lot: LotId, at: Position, event: LotEvent) {
        let audience = Audience::Channel(Channel::Lot(lot));
        let mut shard = self.shard(audience);
        let now = Instant::now();
        let state = shard.entry(audience);
        let state = state.or_insert_with(|| ChannelState::new(now));
        if state.log.is_repeat(at) {
            self.counters.repeats.add(1);
            return;
        }
        state.over |= matches!(event, LotEvent::Closed { .. });
        let push = Push::Event(event);
        let frame = frame::push(&self.clock, Channel::Lot(lot), Some(at), push);
        match state.accept(at, frame, || self.resync(Channel::Lot(lot)), now) {
            Next::Nothing | Next::Resynced => {}
            Next::Repeat => self.counters.repeats.add(1),
            Next::Fill => self.fill_soon(lot, state),
        }
    }

    /// Remembers that a lot is a drop, if it is one: nobody goes on in its room by an offset.
    pub(super) fn note_mechanism(&self, lot: &LotView) {
        if let Terms::Drop { .. } = lot.terms {
            let audience = Audience::Channel(Channel::Lot(lot.id));
            let mut shard = self.shard(audience);
            let state = shard.entry(audience);
            let state = state.or_insert_with(|| ChannelState::new(Instant::now()));
            state.is_drop = true;
        }
    }

    fn resync(&self, channel: Channel) -> Frame {
        frame::encode(&self.clock, ServerMessage::Resync { channel })
    }

    /// Puts somebody on a channel, at first, or until another snapshot is read, without hearing
    /// anything.
    pub(super) fn register(&self, audience: Audience, lanes: &Arc<Lanes>) {
        let mut shard = self.shard(audience);
        let state = shard.entry(audience);
        let state = state.or_insert_with(|| ChannelState::new(Instant::now()));
        state.register(lanes);
    }

    pub(super) fn unregister(&self, audience: Audience, id: ConnectionId) {
        let mut shard = self.shard(audience);
        let Some(state) = shard.get_mut(&audience) else {
            return;
        };
        state.unregister(id, Instant::now());
        if state.is_blank() {
            shard.remove(&audience);
        }
    }

    /// Lets somebody who asked for another snapshot in vain go on as before; answers whether they
    /// are still on the channel.
    pub(super) fn go_back(&self, audience: Audience, id: ConnectionId) -> bool {
        let mut shard = self.shard(audience);
        let state = shard.get_mut(&audience);
        let resync = || self.resync(channel_of(audience));
        state.is_some_and(|state| state.go_back(id, resync))
    }

    /// Lets somebody go on where they were, if this node remembers everything since.
    pub(super) fn resume(
        &self,
        lot: LotId,
        id: ConnectionId,
        since: Position,
        reply: Frame,
    ) -> bool {
        let audience = Audience::Channel(Channel::Lot(lot));
        let mut shard = self.shard(audience);
        let state = shard.get_mut(&audience);
        state.is_some_and(|state| state.resume(id, since, reply))
    }

    /// Hands somebody a snapshot and everything after the ledger's place in it.
    pub(super) fn join(
        &self,
        audience: Audience,
        id: ConnectionId,
        ledger_at: Option<Position>,
        first: Vec<Frame>,
    ) -> Joined {
        let mut shard = self.shard(audience);
        let Some(state) = shard.get_mut(&audience) else {
            return Joined::Gone;
        };
        let resync = || self.resync(channel_of(audience));
        let joined = state.join(id, ledger_at, first, resync, Instant::now());
        if let Audience::Channel(Channel::Lot(lot)) = audience
            && state.gap().is_some()
        {
            self.fill_soon(lot, state);
        }
        joined
    }

    /// Whether anybody on this node listens.
    #[must_use]
    pub fn is_heard(&self, audience: Audience) -> bool {
        let shard = self.shard(audience);
        shard.get(&audience).is_some_and(ChannelState::is_heard)
    }

    /// Whether a lot is known to be over.
    pub(super) fn is_over(&self, lot: LotId) -> bool {
        let audience = Audience::Channel(Channel::Lot(lot));
        let shard = self.shard(audience);
        shard.get(&audience).is_some_and(|state| state.over)
    }

    /// Rooms whose crowd somebody on this node watches.
    pub(super) fn watched_rooms(&self) -> Vec<LotId> {
        let mut rooms = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            rooms.extend(shard.iter().filter_map(|(audience, state)| match audience {
                Audience::Channel(Channel::Crowd(lot)) if state.is_heard() => Some(*lot),
                Audience::Channel(_) | Audience::Person(_) => None,
            }));
        }
        rooms.sort_unstable();
        rooms
    }

    fn fill_soon(&self, lot: LotId, state: &mut ChannelState) {
        if state.filling || self.ended.is_cancelled() {
            return;
        }
        let Some(hub) = self.me.upgrade() else { return };
        state.filling = true;
        self.tasks.spawn(async move {
            let fill = async {
                tokio::time::sleep(GAP_WAIT).await;
                hub.fill(lot).await;
            };
            hub.ended.run_until_cancelled(fill).await;
        });
    }

    /// Fills a lot's gap, if it still has one, from the first history that can.
    async fn fill(&self, lot: LotId) {
        let audience = Audience::Channel(Channel::Lot(lot));
        let gap = || {
            let shard = self.shard(audience);
            let state = shard.get(&audience);
            state.and_then(|state| state.gap().map(|gap| (gap, state.is_heard())))
        };
        let begun = gap();
        let heard = begun.is_some_and(|(_, heard)| heard);
        let histories = self.histories.get().filter(|_| heard);
        for history in histories.into_iter().flatten() {
            let Some((gap, true)) = gap() else { break };
            let read = history.lot_events(lot, gap.epoch, gap.after, gap.through);
            match tokio::time::timeout(FILL_TIMEOUT, read).await {
                Ok(Ok(events)) => {
                    for (at, event) in events {
                        self.accept(lot, at, event);
                    }
                }
                Ok(Err(failure)) => tracing::warn!(%lot, %failure, "a gap could not be read"),
                Err(_elapsed) => tracing::warn!(%lot, "reading a gap took too long"),
            }
        }
        self.after_fill(lot, begun.map(|(gap, _)| gap.through));
    }

    /// What was missing when the fill began and still is, is lost; what is missing since then
    /// gets its own wait.
    fn after_fill(&self, lot: LotId, wanted: Option<i64>) {
        let audience = Audience::Channel(Channel::Lot(lot));
        let mut shard = self.shard(audience);
        let Some(state) = shard.get_mut(&audience) else {
            return;
        };
        state.filling = false;
        match (state.gap(), wanted) {
            (Some(gap), Some(through)) if gap.after < through => {
                if state.is_heard() {
                    self.counters.gaps_lost.add(1);
                    tracing::warn!(%lot, after = gap.after, through, "a gap was not filled");
                }
                state.give_up(&self.resync(Channel::Lot(lot)));
            }
            (Some(_), _) => self.fill_soon(lot, state),
            (None, Some(_)) => self.counters.gaps_filled.add(1),
            (None, None) => {}
        }
    }

    /// Sends everybody on every channel to take a snapshot: something may have been missed.
    pub fn resync_all(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (audience, state) in shard.iter_mut() {
                let resync = self.resync(channel_of(*audience));
                if let Audience::Channel(Channel::Lot(_)) = audience {
                    state.forget(&resync);
                } else {
                    state.tell_all(&resync);
                }
            }
        }
    }

    /// Forgets channels that nobody listened to for a while.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, state| {
                state.log.trim(now);
                !state.is_idle(now)
            });
        }
    }

    /// A new connection's lanes, known to the ping wheel. At most so many frames are handed to the
    /// operating system in one call.
    pub(super) fn connect(&self, stream: Arc<TcpStream>, frames_per_write: usize) -> Arc<Lanes> {
        let id = self.next_id();
        let (writer, counters) = (self.writers.of(id.0), Arc::clone(&self.counters));
        self.welcome(Lanes::to(stream, frames_per_write, id, writer, counters))
    }

    fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    fn welcome(&self, lanes: Lanes) -> Arc<Lanes> {
        let lanes = Arc::new(lanes);
        self.wheel.add(&lanes);
        self.counters.sockets.add(1);
        self.counters.sockets_opened.add(1);
        // Too late for the shutdown's list of sockets.
        if self.ended.is_cancelled() {
            lanes.close(close_code::RESTART, RESTARTS);
        }
        lanes
    }

    pub(super) fn disconnect(&self, id: ConnectionId) {
        self.wheel.remove(id);
        self.counters.sockets.remove_one();
    }

    /// Closes every socket, spread over two seconds, and ends the hub's own tasks.
    pub async fn drain(&self) {
        self.drain_over(DRAIN_TIME).await;
    }

    async fn drain_over(&self, time: Duration) {
        self.ended.cancel();
        let mut sockets = self.wheel.all();
        let steps = u32::try_from(DRAIN_STEPS).unwrap_or(1);
        let pause = time / steps;
        let step = sockets.len().div_ceil(DRAIN_STEPS).max(1);
        while !sockets.is_empty() {
            for lanes in sockets.drain(..step.min(sockets.len())) {
                lanes.close(close_code::RESTART, RESTARTS);
            }
            if !sockets.is_empty() {
                tokio::time::sleep(pause).await;
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The channel that an audience listens on.
const fn channel_of(audience: Audience) -> Channel {
    match audience {
        Audience::Channel(channel) => channel,
        Audience::Person(_) => Channel::Me,
    }
}

/// How a push travels.
fn lane_of(channel: Channel, push: &Push) -> Lane {
    match (push, channel) {
        (Push::Tick { .. }, Channel::Lot(lot)) => Lane::Latest(Key::Tick(lot), 0),
        (Push::Crowd(_), Channel::Crowd(lot)) => Lane::Latest(Key::Crowd(lot), 0),
        (Push::Card(card), _) => Lane::Latest(Key::Card(card.id), card.offset),
        (Push::Wallet(wallet), _) => {
            Lane::Latest(Key::Wallet(wallet.available.currency()), wallet.version)
        }
        (Push::Event(_) | Push::Notice(_) | Push::Removed { .. } | Push::Slow { .. }, _) => {
            Lane::Must
        }
        // A claim's line may be lost to a slow reader; units left are right again with the next.
        (Push::Stock { .. } | Push::Chat(_) | Push::Activity(_), _) => Lane::Droppable,
        (Push::Tick { .. } | Push::Crowd(_), _) => Lane::Droppable,
    }
}

#[cfg(test)]
#[path = "hub_tests/mod.rs"]
mod tests;
