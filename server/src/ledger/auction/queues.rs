//! A queue for each lot. One hot lot costs one transaction at a time on a node, so bids on it do
//! not race each other; what races is another node, or the lot's end.

use super::super::queue::{Decide, Queue, Queues, Twins, Undecided, run_halving};
use super::super::transaction::Runner;
use super::apart;
use super::batch::{LotBatch, MAX_OFFERS, Outcome};
use super::offer::{Offer, Reply};
use app::ports::Failure;
use async_trait::async_trait;
use shared::LotId;
use shared::mutant::{self, Mutant};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use uuid::Uuid;

/// What an offer is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was decided.
    pub reply: Reply,
    /// Whether the key had been answered before.
    pub replayed: bool,
    /// Tries of the transaction, at least 1.
    pub attempts: u32,
}

/// A node's queues of lots.
pub struct LotQueues {
    runner: Arc<Runner>,
    queues: Queues<LotId, Desk>,
    halved: Arc<AtomicU64>,
    start: usize,
}

/// What decides the batches of one lot.
struct Desk {
    runner: Arc<Runner>,
    lot: LotId,
    halved: Arc<AtomicU64>,
    start: usize,
}

impl LotQueues {
    /// Queues whose batches `runner` runs.
    #[must_use]
    pub fn new(runner: Arc<Runner>) -> Self {
        Self {
            runner,
            queues: Queues::default(),
            halved: Arc::default(),
            // Two nodes then seldom begin with the same bucket of a drop.
            start: rand::random_range(0..usize::from(u16::MAX)),
        }
    }

    /// Bids or claims. The work goes on to its end even if the caller does not wait for it.
    ///
    /// # Errors
    /// [`Undecided`]: nothing is known to have happened; the same key may be tried again, except
    /// after [`Undecided::KeyReused`].
    pub async fn offer(&self, offer: Offer, twins: Twins) -> Result<Answer, Undecided> {
        let lot = offer.lot;
        let desk = || Desk {
            runner: Arc::clone(&self.runner),
            lot,
            halved: Arc::clone(&self.halved),
            start: self.start,
        };
        // One lane: all offers on a lot want the same row.
        let queue = self.queues.get_or_make(lot, || Queue::new(desk(), 1));
        let answer = queue.ask(lot.uuid(), offer, twins)?;
        // A worker that panicked leaves its callers without an answer.
        answer
            .await
            .unwrap_or(Err(Undecided::Failed(Failure::Unknown)))
    }
}

#[async_trait]
impl Decide for Desk {
    type Asked = Offer;
    type Answer = Result<Answer, Undecided>;
    const MAX_ASKS: usize = MAX_OFFERS;

    fn key(offer: &Offer) -> Uuid {
        offer.keyed.number()
    }

    async fn decide(
        &self,
        _lane: usize,
        offers: &Arc<[Offer]>,
    ) -> Vec<Option<Result<Answer, Undecided>>> {
        let parts = run_halving(
            &self.runner,
            offers.len(),
            &self.halved,
            |range, earlier| {
                LotBatch::new(self.lot, Arc::clone(offers), range, self.start, earlier)
            },
        );
        let mut answers: Vec<Option<Result<Answer, Undecided>>> = Vec::new();
        answers.resize_with(offers.len(), || None);
        let parts = parts.await;
        if mutant::is(Mutant::KeyApart) {
            apart::keep(&self.runner, offers.iter().map(Self::key)).await;
        }
        for (range, ran) in parts {
            let answers = &mut answers[range];
            let outcomes = match ran {
                Ok(ran) => ran.answer,
                Err(failure) => {
                    answers.fill_with(|| Some(Err(Undecided::Failed(failure))));
                    continue;
                }
            };
            for (answer, outcome) in answers.iter_mut().zip(outcomes) {
                *answer = Some(match outcome {
                    Outcome::Decided {
                        reply,
                        replayed,
                        attempts,
                    } => Ok(Answer {
                        reply,
                        replayed,
                        attempts,
                    }),
                    Outcome::KeyReused => Err(Undecided::KeyReused),
                });
            }
        }
        answers
    }
}
