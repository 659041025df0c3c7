//! A node's time as the leader: it reads, renews the lease and feeds its followers.

use super::lease::Term;
use super::part::{Candidate, Taken};
use super::reader::{Reader, Stop};
use super::{Inner, Role, Stream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

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
    /// Reads the stream until the term ends; answers whether anybody still hears the items.
    pub(super) async fn lead(
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
        let Inner {
            firehose, intake, ..
        } = &*self.0;
        candidate.last_term = Some(term.name.clone());
        candidate.failures = 0;
        tracing::info!(term = term.name, "this node leads the stream");
        self.become_a(Role::Leader);
        intake.lead(term.token.clone());
        let (renewed, until) = watch::channel(until);
        let reading = async {
            if let Some(checkpoint) = checkpoint.filter(|_| intake.places().is_none())
                && intake.begin(checkpoint).await.is_err()
            {
                return TermEnd::Unheard;
            }
            match Reader::new(firehose, intake, until).run().await {
                Stop::Unheard => TermEnd::Unheard,
                Stop::Over | Stop::Failed(_) => TermEnd::NotRenewed,
            }
        };
        let end = tokio::select! {
            end = reading => end,
            end = self.renew(&term, &renewed) => end,
            () = is_over(renewed.subscribe()) => TermEnd::NotRenewed,
            () = self.beat() => TermEnd::NotRenewed,
            () = cancel.cancelled() => TermEnd::Resigned,
            () = self.0.resigned.cancelled() => TermEnd::Resigned,
        };
        // Followers look at the lease when they are cut off, and should find it free.
        if matches!(end, TermEnd::Resigned | TermEnd::Unheard) {
            self.give_back(&term).await;
        }
        intake.step_down();
        tracing::info!(
            term = term.name,
            ?end,
            "this node leads the stream no longer"
        );
        end != TermEnd::Unheard
    }

    /// Renews the lease in time, and writes the checkpoint: the places of one renewal ago, so that
    /// followers have had what lies before it, and need not be sent to a snapshot if a node that
    /// was nowhere goes on there.
    async fn renew(&self, term: &Term, until: &watch::Sender<Instant>) -> TermEnd {
        let Inner {
            firehose,
            config,
            intake,
            ..
        } = &*self.0;
        let mut next = Instant::now() + config.renew_every();
        let mut places = intake.places();
        loop {
            tokio::time::sleep_until(next).await;
            let sent = Instant::now();
            if sent >= *until.borrow() {
                return TermEnd::NotRenewed;
            }
            let reached = intake.places();
            let renewal = firehose.renew_lease(term, places.as_ref());
            match timeout(config.call_time(), renewal).await {
                Ok(Ok(true)) => {
                    until.send_replace(sent + config.lead_time());
                    next = sent + config.renew_every();
                    places = reached;
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
            self.0.intake.beat();
        }
    }

    async fn give_back(&self, term: &Term) {
        let Inner {
            firehose,
            config,
            intake,
            ..
        } = &*self.0;
        let places = intake.places();
        let giving = firehose.give_lease_back(term, places.as_ref());
        match timeout(config.call_time(), giving).await {
            Ok(Ok(_given)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the stream's lease ends by itself"),
            Err(_elapsed) => tracing::warn!("the stream's lease ends by itself"),
        }
    }
}

/// Waits until a time that may be put off has come.
async fn is_over(until: watch::Receiver<Instant>) {
    loop {
        let end = *until.borrow();
        tokio::time::sleep_until(end).await;
        if *until.borrow() <= end {
            return;
        }
    }
}
