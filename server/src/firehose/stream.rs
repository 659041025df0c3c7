//! The table's stream on this node.
//!
//! Every node takes in the whole stream, but a shard may have two readers at most. So one node, the
//! leader, reads all of it under a [`lease`], and the others, its followers, tap the leader
//! ([`route`], [`tap`]). Behind the channel of [`StreamItem`]s nobody knows which of them this
//! node is.
//!
//! What comes goes through the [`intake`], which leaves out repeats, keeps the last items for
//! followers that come back ([`tail`]) and knows how far this node is in each shard ([`places`]).
//! A follower that becomes the leader goes on reading where it is itself; only a node that was
//! nowhere begins at the checkpoint.

mod intake;
mod lease;
mod part;
mod places;
mod reader;
mod route;
mod shards;
mod store_clock;
mod tail;
mod tap;
mod term;
mod wire;

pub use intake::{Counts, Pulse};
pub(super) use places::Sequence;
pub(super) use reader::Pace;
pub(super) use store_clock::StoreClock;

use super::Firehose;
use crate::config::NodeUrl;
use crate::events::HouseEvent;
use axum::Router;
use intake::Intake;
use places::Places;
use serde::{Deserialize, Serialize};
use shared::view::ChatMessage;
use shared::{LotId, MessageId};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the stream says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamItem {
    /// An event of the money plane.
    Event(Box<HouseEvent>),
    /// A message in a room.
    Chat(LotId, Box<ChatMessage>),
    /// A message in a room was removed.
    Removed(LotId, MessageId),
    /// A room's slow mode is another one, in seconds.
    Slow(LotId, u32),
    /// Watchers of a room changed.
    CrowdChanged(LotId),
    /// Reactions of a room or its leaderboard changed.
    TotalsChanged(LotId),
    /// Records are gone that were not read: everybody has to start from a snapshot.
    Lost,
}

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Where the other nodes reach this one; without it they cannot follow it.
    pub node_url: Option<NodeUrl>,
    /// How long a leader that does not renew its lease keeps it.
    pub lease_time: Duration,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            node_url: None,
            // The lease of a leader that died moves in 4 to 7 s.
            lease_time: Duration::from_secs(5),
        }
    }
}

impl StreamConfig {
    /// From one renewal to the next: two may fail.
    fn renew_every(&self) -> Duration {
        self.lease_time * 3 / 10
    }

    /// How long a leader reads after its last renewal; the rest of the lease's time is for clocks
    /// that do not run alike, and for a read that is under way.
    fn lead_time(&self) -> Duration {
        self.lease_time * 4 / 5
    }

    /// From one look at the lease to the next.
    fn look_every(&self) -> Duration {
        self.lease_time / 5
    }

    /// From one beat of the leader to the next.
    fn beat_every(&self) -> Duration {
        self.lease_time / 5
    }

    /// How long a leader may say nothing to its followers.
    fn silence(&self) -> Duration {
        self.lease_time * 3 / 5
    }

    /// How long one read or write of the lease may take.
    fn call_time(&self) -> Duration {
        self.lease_time / 5
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It reads the stream.
    Leader,
    /// It follows the node at this address.
    Follower(NodeUrl),
    /// There is no leader that it can follow at the moment.
    Waiting,
}

/// How the stream goes on this node, for whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    /// What the node is.
    pub role: Role,
    /// Nodes that follow it.
    pub followers: usize,
    /// How reading goes, here or at the leader; `None` before the first read.
    pub pulse: Option<Pulse>,
    /// What was counted.
    pub counts: Counts,
}

impl fmt::Display for StreamStatus {
    /// One line, without the addresses of nodes: anybody may read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Role::Leader => write!(f, "leads, {} followers", self.followers)?,
            Role::Follower(_) => write!(f, "follows")?,
            Role::Waiting => write!(f, "waits for a leader")?,
        }
        if let Some(Pulse {
            read_ago_ms,
            lag_ms,
        }) = self.pulse
        {
            write!(f, ", read {read_ago_ms} ms ago, lag {lag_ms} ms")?;
        }
        let Counts {
            items,
            repeats,
            late,
            lost,
            cut_off,
        } = self.counts;
        write!(
            f,
            ", {items} items, {repeats} repeats, {late} late, {lost} lost, {cut_off} cut off"
        )
    }
}

struct Inner {
    firehose: Firehose,
    config: StreamConfig,
    intake: Intake,
    role: Mutex<Role>,
    resigned: CancellationToken,
}

/// The stream on this node; clones are the same stream.
#[derive(Clone)]
pub struct Stream(Arc<Inner>);

impl Firehose {
    /// The stream of this table, as a node takes part in it. Items go to `items` once
    /// [`Stream::run`] runs.
    #[must_use]
    pub fn stream(&self, config: StreamConfig, items: mpsc::Sender<StreamItem>) -> Stream {
        Stream(Arc::new(Inner {
            firehose: self.clone(),
            config,
            intake: Intake::new(items),
            role: Mutex::new(Role::Waiting),
            resigned: CancellationToken::new(),
        }))
    }
}

impl Stream {
    /// The route at which other nodes follow this one. It has no time limit, and is not for people.
    pub fn routes(&self) -> Router {
        route::routes(self.clone())
    }

    /// Waits until this node has its places, so that what happens after the snapshots that follow
    /// on this is heard. If that takes longer, or the leader does not answer, the first thing heard
    /// later is that something was lost. Answers whether it has them.
    pub async fn open(&self, within: Duration) -> bool {
        self.0.intake.opened(within).await
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        let intake = &self.0.intake;
        StreamStatus {
            role: self.role(),
            followers: intake.followers(),
            pulse: intake.pulse(),
            counts: intake.counts(),
        }
    }

    fn role(&self) -> Role {
        self.0
            .role
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn become_a(&self, role: Role) {
        *self.0.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
    }

    fn may_tap(&self, token: &str) -> bool {
        self.0.intake.admits(token)
    }

    fn tap(&self, token: &str, had: Option<&Places>) -> Option<intake::Tap> {
        self.0.intake.tap(token, had)
    }

    /// Gives the lease back if this node has it, and does not take it again: the node is about to
    /// stop. Until then it follows whoever leads next.
    pub fn resign(&self) {
        self.0.resigned.cancel();
    }
}
