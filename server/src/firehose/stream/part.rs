//! The part that a node takes: it leads if the lease is free, and follows whoever leads if not.

use super::lease::{Holder, Lease, Term, Watch};
use super::places::Places;
use super::tap::{self, TapEnd};
use super::{Role, Stream};
use crate::config::NodeUrl;
use rand::Rng;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// What a node knows while it looks for its part.
#[derive(Debug, Default)]
pub(super) struct Candidate {
    watch: Watch,
    /// The name of its own last term.
    pub last_term: Option<String>,
    /// Tries in a row that led to nothing.
    pub failures: u32,
}

/// What a node does next.
enum Part {
    Lead(Taken),
    Follow(Holder),
    Wait,
}

/// A lease that was just taken.
pub(super) struct Taken {
    pub term: Term,
    pub checkpoint: Option<Places>,
    /// Until when the node may read without another renewal.
    pub until: Instant,
}

impl Stream {
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

    /// Follows a leader until it or its lease ends; answers whether anybody still hears the items.
    async fn follow(&self, holder: &Holder, candidate: &mut Candidate) -> bool {
        let intake = &self.0.intake;
        let url: Option<NodeUrl> = holder.address.as_ref().and_then(|url| url.parse().ok());
        let Some(url) = url else {
            tracing::error!(
                "the stream's leader has no address that others can reach: set LOTZERO_NODE_URL there"
            );
            intake.is_unreachable();
            tokio::time::sleep(self.0.config.look_every()).await;
            return true;
        };
        self.become_a(Role::Follower(url.clone()));
        let silence = self.0.config.silence();
        let first = candidate.failures == 0;
        let end = tokio::select! {
            end = tap::follow(&url, &holder.token, intake, silence) => end,
            () = self.lease_moves(&holder.term, candidate) => return true,
        };
        if first {
            tracing::warn!(leader = %url, reason = %end, "the stream is not followed any more");
        }
        match end {
            TapEnd::Unheard => return false,
            TapEnd::HungUp | TapEnd::Silent => candidate.failures = 0,
            TapEnd::NoConnection | TapEnd::NotLeader(_) | TapEnd::Unreadable => {
                intake.is_unreachable();
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
