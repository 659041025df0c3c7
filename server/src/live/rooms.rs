//! Who is in which room on this node, and what the crowd of a room looks like.
//!
//! Presence is written for every connection that listens to a room's crowd: at once when it comes,
//! every ten seconds while it stays, and removed when it goes, at most four times a second however
//! often it comes and goes. A change of a crowd is read and pushed at most twice a second a room.

use super::hub::Hub;
use super::lanes::ConnectionId;
use crate::clock::Clock;
use crate::events::Audience;
use crate::firehose::{Firehose, FirehoseError};
use futures::StreamExt;
use rand::Rng;
use shared::LotId;
use shared::chat::Moderation;
use shared::live::{Channel, Push};
use shared::view::{CrowdView, Person};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often presence is written for somebody who stays; a watcher counts for 30 s.
const BEAT: Duration = Duration::from_secs(10);

/// Beats are spread by up to this much, so that they do not all fall together.
const BEAT_JITTER: Duration = Duration::from_secs(1);

/// When a presence write that failed is tried again, if others do not know yet that somebody came
/// or left. Who stays is written with the next beat: a store in trouble is not asked more often.
const RETRY: Duration = Duration::from_secs(2);

/// How often comings and goings are written.
const PRESENCE_ROUND: Duration = Duration::from_millis(250);

/// Presence writes of one round: with 10,000 rooms × connections a node, 1,000 beats a second
/// are 250 a round.
const MAX_ROUND_WRITES: usize = 1_024;

/// Presence writes, or reads of crowds, at the same time.
const MAX_PARALLEL: usize = 16;

/// The least time between two pushes of one crowd.
const CROWD_PAUSE: Duration = Duration::from_millis(500);

/// How often a crowd is read although nothing was heard: watchers also end by silence.
const CROWD_REFRESH: Duration = Duration::from_secs(10);

/// How long leaving all rooms may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long leaving a room is tried: after this the watcher no longer counts by itself.
const FORGET: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
struct Watcher {
    person: Option<Person>,
    /// Whether others were told.
    announced: bool,
    /// Since when they are gone; kept until that is written.
    gone: Option<Instant>,
    write_at: Instant,
}

#[derive(Clone, Debug)]
struct Crowd {
    /// Whether all of it is to be read.
    dirty: bool,
    /// Whether reactions and leaderboard are, in any case.
    totals_dirty: bool,
    read_at: Instant,
    shown: Option<CrowdView>,
}

type Watchers = BTreeMap<Place, Watcher>;

/// A connection in a room.
type Place = (LotId, ConnectionId);

/// Presence and crowds of this node.
pub(super) struct Rooms {
    firehose: Firehose,
    hub: Arc<Hub>,
    clock: Arc<Clock>,
    /// Tells this node's watchers from those of others, and of its earlier lives.
    node: String,
    watchers: Mutex<Watchers>,
    /// Where the last round of writes ended.
    round_end: Mutex<Option<Place>>,
    crowds: Mutex<BTreeMap<LotId, Crowd>>,
    changed: Notify,
}

/// Tells a room's listeners on this node what a moderator did; the stream tells all nodes, this one
/// again, and hearing it twice changes nothing.
pub(super) fn tell_moderation(hub: &Hub, lot: LotId, action: &Moderation) {
    let push = match action {
        Moderation::Remove { message } => Push::Removed { message: *message },
        Moderation::Slow { seconds } => Push::Slow { seconds: *seconds },
        // Those whom it concerns hear of it when they write.
        Moderation::Mute { .. } | Moderation::Unmute { .. } => return,
    };
    hub.push(Audience::Channel(Channel::Chat(lot)), push);
}

/// One write of presence.
enum Write {
    Touch {
        person: Option<Person>,
        joined: bool,
    },
    Leave,
}

impl Rooms {
    pub fn new(firehose: Firehose, hub: Arc<Hub>, clock: Arc<Clock>) -> Self {
        Self {
            firehose,
            hub,
            clock,
            node: format!("{:016x}", rand::rng().random::<u64>()),
            watchers: Mutex::default(),
            round_end: Mutex::default(),
            crowds: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn crowds(&self) -> MutexGuard<'_, BTreeMap<LotId, Crowd>> {
        self.crowds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody came into a room.
    pub fn enter(&self, lot: LotId, id: ConnectionId, person: Option<Person>) {
        let mut watchers = self.watchers();
        match watchers.get_mut(&(lot, id)) {
            Some(watcher) => watcher.gone = None,
            None => {
                let watcher = Watcher {
                    person,
                    announced: false,
                    gone: None,
                    write_at: Instant::now(),
                };
                watchers.insert((lot, id), watcher);
            }
        }
        drop(watchers);
        // Their snapshot may show what nobody else was shown, so what comes next is pushed even if
        // it is what the others see already.
        if let Some(crowd) = self.crowds().get_mut(&lot) {
            crowd.shown = None;
            crowd.dirty = true;
        }
        self.changed.notify_one();
    }

    /// Somebody left a room.
    pub fn leave(&self, lot: LotId, id: ConnectionId) {
        if let Some(watcher) = self.watchers().get_mut(&(lot, id)) {
            watcher.gone = Some(Instant::now());
            watcher.write_at = Instant::now();
        }
    }

    /// The crowd of a room is another one now.
    pub fn crowd_changed(&self, lot: LotId) {
        self.change(lot, |crowd| crowd.dirty = true);
    }

    /// The reactions of a room or its leaderboard are. Not who is there: ten thousand watchers are
    /// not read again for each bid.
    pub fn totals_changed(&self, lot: LotId) {
        self.change(lot, |crowd| crowd.totals_dirty = true);
    }

    fn change(&self, lot: LotId, mark: impl FnOnce(&mut Crowd)) {
        let audience = Audience::Channel(Channel::Crowd(lot));
        if !self.hub.is_heard(audience) {
            return;
        }
        let fresh = || Crowd {
            dirty: true,
            totals_dirty: true,
            read_at: Instant::now(),
            shown: None,
        };
        mark(self.crowds().entry(lot).or_insert_with(fresh));
        self.changed.notify_one();
    }

    /// Writes presence until dropped.
    pub async fn keep_presence(&self) {
        let mut rounds = tokio::time::interval(PRESENCE_ROUND);
        loop {
            rounds.tick().await;
            let writes = self.due_writes();
            self.write_all(writes).await;
        }
    }

    /// Removes everybody of this node from their rooms, as far as that is quick.
    pub async fn farewell(&self) {
        // Also those of whom it is not known that others were told: a write may have been cut off.
        let places = std::mem::take(&mut *self.watchers()).into_keys();
        let writes = places.map(|(lot, id)| (lot, id, Write::Leave)).collect();
        let all = self.write_all(writes);
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("leaving the rooms took too long");
        }
    }

    /// What is to be written now. A round begins where the one before ended, so that in a crowded
    /// house nobody is always left out.
    fn due_writes(&self) -> Vec<(LotId, ConnectionId, Write)> {
        let now = Instant::now();
        let mut watchers = self.watchers();
        watchers.retain(|_, watcher| {
            watcher
                .gone
                .is_none_or(|gone| watcher.announced && now - gone < FORGET)
        });
        let mut round_end = self
            .round_end
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (early, late): (Vec<_>, Vec<_>) = watchers
            .iter_mut()
            .filter(|(_, watcher)| watcher.write_at <= now)
            .partition(|(place, _)| round_end.is_some_and(|end| **place <= end));
        let mut writes = Vec::new();
        for ((lot, id), watcher) in late.into_iter().chain(early).take(MAX_ROUND_WRITES) {
            let write = match watcher.gone {
                Some(_) => Write::Leave,
                None => Write::Touch {
                    person: watcher.person.clone(),
                    joined: !watcher.announced,
                },
            };
            watcher.write_at = now + BEAT - rand::rng().random_range(Duration::ZERO..BEAT_JITTER);
            writes.push((*lot, *id, write));
        }
        *round_end = writes.last().map(|(lot, id, _)| (*lot, *id));
        writes
    }

    async fn write_all(&self, writes: Vec<(LotId, ConnectionId, Write)>) {
        let each = futures::stream::iter(writes);
        let each = each.for_each_concurrent(MAX_PARALLEL, async |(lot, id, write)| {
            if let Err(error) = self.write(lot, id, &write).await {
                tracing::warn!(%lot, %error, "presence was not written");
                if let Some(watcher) = self.watchers().get_mut(&(lot, id))
                    && (watcher.gone.is_some() || !watcher.announced)
                {
                    watcher.write_at = Instant::now() + RETRY;
                }
            }
        });
        each.await;
    }

    async fn write(
        &self,
        lot: LotId,
        id: ConnectionId,
        write: &Write,
    ) -> Result<(), FirehoseError> {
        let key = format!("{}-{}", self.node, id.0);
        match write {
            Write::Touch { person, joined } => {
                let (person, now) = (person.as_ref(), self.clock.now());
                let touch = self
                    .firehose
                    .touch_presence(lot, &key, person, *joined, now);
                touch.await?;
                if let Some(watcher) = self.watchers().get_mut(&(lot, id)) {
                    watcher.announced = true;
                }
                if *joined {
                    self.crowd_changed(lot);
                }
            }
            Write::Leave => {
                self.firehose.leave(lot, &key).await?;
                self.left(lot, id);
                self.crowd_changed(lot);
            }
        }
        Ok(())
    }

    /// Forgets somebody who is out of a room; who came back meanwhile is written anew.
    fn left(&self, lot: LotId, id: ConnectionId) {
        let mut watchers = self.watchers();
        let Some(watcher) = watchers.get_mut(&(lot, id)) else {
            return;
        };
        if watcher.gone.is_some() {
            watchers.remove(&(lot, id));
        } else {
            watcher.announced = false;
            watcher.write_at = Instant::now();
        }
    }

    /// Reads and pushes crowds that changed, until dropped.
    pub async fn show_crowds(&self) {
        let mut refresh = tokio::time::interval(CROWD_REFRESH);
        loop {
            let next = self.next_read();
            tokio::select! {
                _ = refresh.tick() => self.refresh(),
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            let due = self.due_reads();
            let each = futures::stream::iter(due);
            each.for_each_concurrent(MAX_PARALLEL, |(lot, known)| self.show(lot, known))
                .await;
        }
    }

    /// Every room that is watched is read again; what is known of others is forgotten.
    fn refresh(&self) {
        let watched = self.hub.watched_rooms();
        let mut crowds = self.crowds();
        crowds.retain(|lot, _| watched.binary_search(lot).is_ok());
        for crowd in crowds.values_mut() {
            crowd.dirty = true;
        }
    }

    fn next_read(&self) -> Instant {
        let crowds = self.crowds();
        let dirty = crowds
            .values()
            .filter(|crowd| crowd.dirty || crowd.totals_dirty);
        let next = dirty.map(|crowd| crowd.read_at).min();
        next.unwrap_or_else(|| Instant::now() + CROWD_REFRESH)
    }

    /// Rooms to be read, with the crowd that is known if only its totals are.
    fn due_reads(&self) -> Vec<(LotId, Option<CrowdView>)> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (lot, crowd) in self.crowds().iter_mut() {
            if (crowd.dirty || crowd.totals_dirty) && crowd.read_at <= now {
                let known = crowd.shown.clone().filter(|_| !crowd.dirty);
                crowd.dirty = false;
                crowd.totals_dirty = false;
                crowd.read_at = now + CROWD_PAUSE;
                due.push((*lot, known));
            }
        }
        due
    }

    async fn show(&self, lot: LotId, known: Option<CrowdView>) {
        let read = match known {
            Some(known) => self.firehose.crowd_with_new_totals(lot, known).await,
            None => self.firehose.crowd(lot, self.clock.now()).await,
        };
        match read {
            Ok(view) => {
                let mut crowds = self.crowds();
                let Some(crowd) = crowds.get_mut(&lot) else {
                    return;
                };
                if crowd.shown.as_ref() == Some(&view) {
                    return;
                }
                crowd.shown = Some(view.clone());
                drop(crowds);
                let audience = Audience::Channel(Channel::Crowd(lot));
                self.hub.push(audience, Push::Crowd(view));
            }
            Err(error) => tracing::warn!(%lot, %error, "a crowd could not be read"),
        }
    }
}

#[cfg(test)]
mod tests;
