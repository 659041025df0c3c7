//! The table's stream on this node.
//!
//! Every node takes in the whole stream, but a shard may have two readers at most. So one node, the
//! leader, reads all of it under a [`lease`], and the others, its followers, tap the leader
//! ([`route`], [`tap`]). Behind the channel of [`StreamItem`]s nobody knows which of them this
//! node is.
//!
//! What comes goes through the [`feed`], which leaves out repeats, keeps the last items for
//! followers that come back ([`tail`]) and knows how far this node is in each shard ([`places`]).
//! A follower that becomes the leader goes on reading where it is itself; only a node that was
//! nowhere begins at the checkpoint.

mod feed;
mod lease;
mod places;
mod reader;
mod route;
mod shards;
mod tail;
mod tap;
mod wire;

pub use feed::{Counts, Pulse};
pub(super) use places::Sequence;
pub(super) use reader::Pace;

use super::Firehose;
use crate::config::NodeUrl;
use crate::events::HouseEvent;
use axum::Router;
use feed::Feed;
use lease::{Holder, Lease, Term, Watch};
use places::Places;
use rand::Rng;
use reader::{Reader, Stop};
use serde::{Deserialize, Serialize};
use shared::LotId;
use shared::view::ChatMessage;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tap::TapEnd;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// What the stream says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamItem {
    /// An event of the money plane.
    Event(Box<HouseEvent>),
    /// A message in a room.
    Chat(LotId, Box<ChatMessage>),
    /// Reactions or watchers of a room changed.
    CrowdChanged(LotId),
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

struct Inner {
    firehose: Firehose,
    config: StreamConfig,
    feed: Feed,
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
            feed: Feed::new(items),
            role: Mutex::new(Role::Waiting),
            resigned: CancellationToken::new(),
        }))
    }
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TermEnd {
    /// The node stops.
    Resigned,
    /// Another node has the lease.
    Taken,
    /// It could not be renewed in time.
    NotRenewed,
    /// Nobody hears the items.
    Unheard,
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
        self.0.feed.opened(within).await
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        let feed = &self.0.feed;
        StreamStatus {
            role: self.role(),
            followers: feed.followers(),
            pulse: feed.pulse(),
            counts: feed.counts(),
        }
    }

    fn role(&self) -> Role {
        self.0.role.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn become_a(&self, role: Role) {
        *self.0.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
    }

    fn may_tap(&self, token: &str) -> bool {
        self.0.feed.admits(token)
    }

    fn tap(&self, token: &str, had: Option<&Places>) -> Option<feed::Tap> {
        self.0.feed.tap(token, had)
    }

    /// Gives the lease back if this node has it, and does not take it again: the node is about to
    /// stop. Until then it follows whoever leads next.
    pub fn resign(&self) {
        self.0.resigned.cancel();
    }

    /// Leads or follows until cancelled or until nobody hears the items; a leader gives the lease
    /// back before it ends.
    pub async fn run(self, cancel: CancellationToken) {
        let mut candidate = Candidate::default();
        loop {
            let looked = cancel.run_until_cancelled(self.next_part(&mut candidate));
            let is_heard = match looked.await {
                None => return,
                Some(Part::Lead(taken)) => self.lead(taken, &mut candidate, &cancel).await,
                Some(Part::Follow(holder)) => {
                    let following = self.follow(&holder, &mut candidate);
                    cancel.run_until_cancelled(following).await.unwrap_or(false)
                }
                Some(Part::Wait) => true,
            };
            if !is_heard {
                return;
            }
            self.become_a(Role::Waiting);
            let pause = tokio::time::sleep(self.pause(candidate.failures));
            if cancel.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Looks at the lease, takes it if it is free, and says what this node does next.
    async fn next_part(&self, candidate: &mut Candidate) -> Part {
        let Some(lease) = self.look().await else {
            candidate.failures = candidate.failures.saturating_add(1);
            return Part::Wait;
        };
        if !self.is_free(&lease, candidate) {
            return lease.holder.map_or(Part::Wait, Part::Follow);
        }
        if self.0.resigned.is_cancelled() {
            return Part::Wait;
        }
        let taken = self.take(&lease).await;
        taken.map_or(Part::Wait, Part::Lead)
    }

    /// Whether nobody leads: the lease was given back or is over, or is this node's own, of an
    /// earlier term or of an earlier life at the same address.
    fn is_free(&self, lease: &Lease, candidate: &mut Candidate) -> bool {
        let time = self.0.config.lease_time;
        let over = candidate.watch.is_over(lease, time, Instant::now());
        lease.holder.as_ref().is_none_or(|holder| {
            let own_url = self.0.config.node_url.as_ref();
            let own_address = own_url.is_some_and(|url| holder.address == Some(url.to_string()));
            over || own_address || candidate.last_term.as_ref() == Some(&holder.term)
        })
    }

    async fn look(&self) -> Option<Lease> {
        let read = timeout(self.0.config.call_time(), self.0.firehose.read_lease());
        match read.await {
            Ok(Ok(lease)) => Some(lease),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the stream's lease could not be read");
                None
            }
            Err(_elapsed) => {
                tracing::warn!("reading the stream's lease takes long");
                None
            }
        }
    }

    async fn take(&self, lease: &Lease) -> Option<Taken> {
        let config = &self.0.config;
        let address = config.node_url.as_ref().map(ToString::to_string);
        let until = Instant::now() + config.lead_time();
        let taking = self.0.firehose.take_lease(lease, address.as_deref());
        match timeout(config.call_time(), taking).await {
            Ok(Ok(taken)) => {
                let (term, checkpoint) = taken?;
                Some(Taken {
                    term,
                    checkpoint,
                    until,
                })
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the stream's lease could not be taken");
                None
            }
            Err(_elapsed) => {
                tracing::warn!("taking the stream's lease takes long");
                None
            }
        }
    }

    /// Reads the stream until the term ends; answers whether anybody still hears the items.
    async fn lead(
        &self,
        taken: Taken,
        candidate: &mut Candidate,
        cancel: &CancellationToken,
    ) -> bool {
        let Taken {
            term,
            checkpoint,
            until,
        } = taken;
        let Inner { firehose, feed, .. } = &*self.0;
        candidate.last_term = Some(term.name.clone());
        candidate.failures = 0;
        tracing::info!(term = term.name, "this node leads the stream");
        self.become_a(Role::Leader);
        feed.lead(term.token.clone());
        let (renewed, until) = watch::channel(until);
        let drained = Notify::new();
        let reading = async {
            if let Some(checkpoint) = checkpoint.filter(|_| feed.places().is_none())
                && feed.begin(checkpoint).await.is_err()
            {
                return TermEnd::Unheard;
            }
            match Reader::new(firehose, feed, until, &drained).run().await {
                Stop::Unheard => TermEnd::Unheard,
                Stop::Over | Stop::Failed(_) => TermEnd::NotRenewed,
            }
        };
        let end = tokio::select! {
            end = reading => end,
            end = self.renew(&term, &renewed, &drained) => end,
            () = self.beat() => TermEnd::NotRenewed,
            () = cancel.cancelled() => TermEnd::Resigned,
            () = self.0.resigned.cancelled() => TermEnd::Resigned,
        };
        // Followers look at the lease when they are cut off, and should find it free.
        if matches!(end, TermEnd::Resigned | TermEnd::Unheard) {
            self.give_back(&term).await;
        }
        feed.step_down();
        tracing::info!(term = term.name, ?end, "this node leads the stream no longer");
        end != TermEnd::Unheard
    }

    /// Renews the lease and writes the checkpoint in time, and when a shard has been drained.
    async fn renew(
        &self,
        term: &Term,
        until: &watch::Sender<Instant>,
        drained: &Notify,
    ) -> TermEnd {
        let Inner {
            firehose,
            config,
            feed,
            ..
        } = &*self.0;
        let mut next = Instant::now() + config.renew_every();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = drained.notified() => {}
            }
            let sent = Instant::now();
            if sent >= *until.borrow() {
                return TermEnd::NotRenewed;
            }
            // What is in the feed has been handed on.
            let places = feed.places();
            let renewal = firehose.renew_lease(term, places.as_ref());
            match timeout(config.call_time(), renewal).await {
                Ok(Ok(true)) => {
                    until.send_replace(sent + config.lead_time());
                    next = sent + config.renew_every();
                }
                Ok(Ok(false)) => return TermEnd::Taken,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the stream's lease could not be renewed");
                    next = Instant::now() + config.call_time() / 5;
                }
                Err(_elapsed) => {
                    tracing::warn!("renewing the stream's lease takes long");
                    next = Instant::now() + config.call_time() / 5;
                }
            }
        }
    }

    async fn beat(&self) {
        let mut beats = tokio::time::interval(self.0.config.beat_every());
        loop {
            beats.tick().await;
            self.0.feed.beat();
        }
    }

    async fn give_back(&self, term: &Term) {
        let Inner {
            firehose,
            config,
            feed,
            ..
        } = &*self.0;
        let places = feed.places();
        let giving = firehose.give_lease_back(term, places.as_ref());
        match timeout(config.call_time(), giving).await {
            Ok(Ok(_given)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the stream's lease ends by itself"),
            Err(_elapsed) => tracing::warn!("the stream's lease ends by itself"),
        }
    }

    /// Follows a leader until it or its lease ends; answers whether anybody still hears the items.
    async fn follow(&self, holder: &Holder, candidate: &mut Candidate) -> bool {
        let feed = &self.0.feed;
        let url: Option<NodeUrl> = holder.address.as_ref().and_then(|url| url.parse().ok());
        let Some(url) = url else {
            tracing::error!(
                "the stream's leader has no address that others can reach: set LOTZERO_NODE_URL there"
            );
            feed.is_unreachable();
            tokio::time::sleep(self.0.config.look_every()).await;
            return true;
        };
        self.become_a(Role::Follower(url.clone()));
        let silence = self.0.config.silence();
        let first = candidate.failures == 0;
        let end = tokio::select! {
            end = tap::follow(&url, &holder.token, feed, silence) => end,
            () = self.lease_moves(&holder.term, candidate) => return true,
        };
        if first {
            tracing::warn!(leader = %url, reason = %end, "the stream is not followed any more");
        }
        match end {
            TapEnd::Unheard => return false,
            TapEnd::HungUp | TapEnd::Silent => candidate.failures = 0,
            TapEnd::NoConnection | TapEnd::NotLeader(_) | TapEnd::Unreadable => {
                feed.is_unreachable();
                candidate.failures = candidate.failures.saturating_add(1);
            }
        }
        true
    }

    /// Waits until somebody else has the lease, or nobody has.
    async fn lease_moves(&self, term: &str, candidate: &mut Candidate) {
        loop {
            tokio::time::sleep(self.0.config.look_every()).await;
            let Some(lease) = self.look().await else {
                continue;
            };
            let free = self.is_free(&lease, candidate);
            if free || lease.holder.is_none_or(|holder| holder.term != term) {
                return;
            }
        }
    }

    /// Full jitter, so that followers of one leader do not all come to the next at once.
    fn pause(&self, failures: u32) -> Duration {
        let longest = self.0.config.lease_time / 8;
        let bound = (longest / 8) * (1_u32 << failures.min(3));
        rand::rng().random_range(Duration::ZERO..=bound)
    }
}

/// What a node knows while it looks for its part.
#[derive(Debug, Default)]
struct Candidate {
    watch: Watch,
    /// The name of its own last term.
    last_term: Option<String>,
    /// Tries in a row that led to nothing.
    failures: u32,
}

/// What a node does next.
enum Part {
    Lead(Taken),
    Follow(Holder),
    Wait,
}

/// A lease that was just taken.
struct Taken {
    term: Term,
    checkpoint: Option<Places>,
    /// Until when the node may read without another renewal.
    until: Instant,
}
