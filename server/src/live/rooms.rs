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

/// When a presence write that failed is tried again.
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

#[derive(Clone, Debug)]
struct Watcher {
    person: Option<Person>,
    /// Whether others were told.
    announced: bool,
    gone: bool,
    write_at: Instant,
}

#[derive(Clone, Debug)]
struct Crowd {
    dirty: bool,
    read_at: Instant,
    shown: Option<CrowdView>,
}

type Watchers = BTreeMap<(LotId, ConnectionId), Watcher>;

/// Presence and crowds of this node.
pub(super) struct Rooms {
    firehose: Firehose,
    hub: Arc<Hub>,
    clock: Arc<Clock>,
    /// Tells this node's watchers from those of others, and of its earlier lives.
    node: String,
    watchers: Mutex<Watchers>,
    crowds: Mutex<BTreeMap<LotId, Crowd>>,
    changed: Notify,
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
            Some(watcher) => watcher.gone = false,
            None => {
                let watcher = Watcher {
                    person,
                    announced: false,
                    gone: false,
                    write_at: Instant::now(),
                };
                watchers.insert((lot, id), watcher);
            }
        }
    }

    /// Somebody left a room.
    pub fn leave(&self, lot: LotId, id: ConnectionId) {
        if let Some(watcher) = self.watchers().get_mut(&(lot, id)) {
            watcher.gone = true;
        }
    }

    /// The crowd of a room is another one now.
    pub fn crowd_changed(&self, lot: LotId) {
        let audience = Audience::Channel(Channel::Crowd(lot));
        if !self.hub.is_heard(audience) {
            return;
        }
        let fresh = || Crowd {
            dirty: true,
            read_at: Instant::now(),
            shown: None,
        };
        self.crowds().entry(lot).or_insert_with(fresh).dirty = true;
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
        let mut writes = Vec::new();
        for ((lot, id), watcher) in std::mem::take(&mut *self.watchers()) {
            if watcher.announced {
                writes.push((lot, id, Write::Leave));
            }
        }
        let all = self.write_all(writes);
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("leaving the rooms took too long");
        }
    }

    fn due_writes(&self) -> Vec<(LotId, ConnectionId, Write)> {
        let now = Instant::now();
        let mut writes = Vec::new();
        self.watchers().retain(|(lot, id), watcher| {
            if writes.len() >= MAX_ROUND_WRITES {
                return true;
            }
            if watcher.gone {
                if watcher.announced {
                    writes.push((*lot, *id, Write::Leave));
                }
                return false;
            }
            if watcher.write_at <= now {
                let write = Write::Touch {
                    person: watcher.person.clone(),
                    joined: !watcher.announced,
                };
                writes.push((*lot, *id, write));
                watcher.write_at =
                    now + BEAT - rand::rng().random_range(Duration::ZERO..BEAT_JITTER);
            }
            true
        });
        writes
    }

    async fn write_all(&self, writes: Vec<(LotId, ConnectionId, Write)>) {
        let each = futures::stream::iter(writes);
        let each = each.for_each_concurrent(MAX_PARALLEL, async |(lot, id, write)| {
            if let Err(error) = self.write(lot, id, &write).await {
                tracing::warn!(%lot, %error, "presence was not written");
                if let Some(watcher) = self.watchers().get_mut(&(lot, id)) {
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
                self.crowd_changed(lot);
            }
        }
        Ok(())
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
            each.for_each_concurrent(MAX_PARALLEL, |lot| self.show(lot))
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
        let dirty = crowds.values().filter(|crowd| crowd.dirty);
        let next = dirty.map(|crowd| crowd.read_at).min();
        next.unwrap_or_else(|| Instant::now() + CROWD_REFRESH)
    }

    fn due_reads(&self) -> Vec<LotId> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (lot, crowd) in self.crowds().iter_mut() {
            if crowd.dirty && crowd.read_at <= now {
                crowd.dirty = false;
                crowd.read_at = now + CROWD_PAUSE;
                due.push(*lot);
            }
        }
        due
    }

    async fn show(&self, lot: LotId) {
        match self.firehose.crowd(lot, self.clock.now()).await {
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
