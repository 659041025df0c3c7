//! The commit kernel's queues. Requests for one item that wait at the same time are committed
//! together: a worker takes what is there, runs it as one transaction and answers each caller. No
//! timer holds a request back; a batch is as large as what came in while the last one ran.
//!
//! An item has [`LANES`] workers. A request's lane follows from its mandate, and each lane takes
//! from its own buckets first, so that two batches of a node that run side by side write
//! different rows. What races is then only what is truly contended: the last units, or another node.
//!
//! Once an item is sold out, a mark with its stock epoch answers the rush without a write: one read
//! a batch looks for keys that were answered before and for a newer epoch, which whatever returns
//! units writes. Refusals by the mark are not kept: their keys may buy later.

use super::super::queue::{Decide, Queue, Queues, Twins, Undecided, run_halving};
use super::super::transaction::{Ran, Runner};
use super::batch::{Answers, Asked, CommitBatch, Decision, ItemCard, MAX_ASKS, Outcome};
use super::items;
use super::snapshot::{Kept, read_sold_out};
use crate::ids;
use app::ports::Failure;
use async_trait::async_trait;
use shared::mutant::{self, Mutant};
use shared::purchase::{CommitRequest, Lane, Named, Refusal};
use shared::{IdempotencyKey, ItemId, PrincipalId, PurchaseId};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use uuid::Uuid;

/// Workers of one item on one node. Three keep the database busy while one or two of them wait for
/// their COMMITs: with two it idled a quarter of the time, and four only made smaller batches.
pub const LANES: u32 = 3;

/// The mark of an item that is not known to be sold out. Epochs begin with 1.
const IN_STOCK: i64 = 0;

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The purchase: the hash of tenant and key.
    pub purchase: PurchaseId,
    /// What was decided.
    pub decision: Decision,
    /// Whether the key had been answered before.
    pub replayed: bool,
}

/// What was decided, and whether the key had been answered before.
type Decided = Result<(Decision, bool), Undecided>;

/// What decides the batches of one item.
struct Desk {
    runner: Arc<Runner>,
    counts: Arc<Counts>,
    card: ItemCard,
    lanes: u32,
    /// Where among its buckets this node begins.
    start: u32,
    /// The stock epoch in which nothing is left, or [`IN_STOCK`].
    sold_out: AtomicI64,
}

/// How often each thing happened; counters only grow.
#[derive(Debug, Default)]
struct Counts {
    batches: AtomicU64,
    asked: AtomicU64,
    by_mark: AtomicU64,
    halved: AtomicU64,
}

/// What a kernel did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct KernelCounters {
    /// Batches that ran as one transaction.
    pub batches: u64,
    /// Requests in them.
    pub asked: u64,
    /// Requests refused by a sold-out mark, without a write.
    pub refused_by_mark: u64,
    /// Batches that were halved after they had failed.
    pub halved: u64,
}

/// One node's commit kernel.
pub struct Kernel {
    runner: Arc<Runner>,
    items: Queues<ItemId, Desk>,
    /// Where among its buckets this node begins, so that two nodes seldom begin with the same row.
    start: u32,
    counts: Arc<Counts>,
}

impl Kernel {
    /// A kernel that runs its batches by `runner`.
    #[must_use]
    pub fn new(runner: Arc<Runner>) -> Self {
        Self {
            runner,
            items: Queues::default(),
            start: rand::random(),
            counts: Arc::default(),
        }
    }

    /// What it did so far.
    #[must_use]
    pub fn counters(&self) -> KernelCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KernelCounters {
            batches: read(&self.counts.batches),
            asked: read(&self.counts.asked),
            refused_by_mark: read(&self.counts.by_mark),
            halved: read(&self.counts.halved),
        }
    }

    /// Commits a purchase, or says why not. The work goes on to its end even if the caller does
    /// not wait for it.
    ///
    /// # Errors
    /// [`Undecided`]: nothing is known to have happened; the same key may be tried again, except
    /// after [`Undecided::KeyReused`].
    pub async fn commit(
        self: &Arc<Self>,
        tenant: PrincipalId,
        key: &IdempotencyKey,
        request: CommitRequest,
    ) -> Result<Answer, Undecided> {
        let purchase = ids::purchase(tenant, key);
        let queue = self.queue(request.item).await?;
        let Some(queue) = queue.filter(|queue| queue.decide.card.tenant == tenant) else {
            let refusal = Refusal::NotFound { what: Named::Item };
            return Ok(Answer {
                purchase,
                decision: Decision::Refused(refusal),
                replayed: false,
            });
        };
        let mut asked = Asked::new(purchase, request, queue.decide.card.terms.price);
        if queue.decide.sold_out.load(Ordering::Acquire) == IN_STOCK {
            asked = asked.hashed();
        }
        let answer = queue.ask(asked.request.mandate.uuid(), asked, Twins::Refuse)?;
        // A worker that panicked leaves its callers without an answer.
        let answer = answer
            .await
            .unwrap_or(Err(Undecided::Failed(Failure::Unknown)))?;
        Ok(Answer {
            purchase,
            decision: answer.0,
            replayed: answer.1,
        })
    }

    /// The queue of an item, `None` if there is no such item.
    async fn queue(&self, item: ItemId) -> Result<Option<Arc<Queue<Desk>>>, Undecided> {
        if let Some(queue) = self.items.get(&item) {
            return Ok(Some(queue));
        }
        let card = self
            .runner
            .read_once(move |tx| Box::pin(items::card(tx, item)))
            .await
            .map_err(Undecided::Failed)?;
        let Some((card, buckets)) = card else {
            return Ok(None);
        };
        let lanes = LANES.min(buckets).max(1);
        let desk = || Desk {
            runner: Arc::clone(&self.runner),
            counts: Arc::clone(&self.counts),
            card,
            lanes,
            start: self.start,
            sold_out: AtomicI64::new(IN_STOCK),
        };
        let make = || Queue::new(desk(), lanes);
        Ok(Some(self.items.get_or_make(item, make)))
    }
}

#[async_trait]
impl Decide for Desk {
    type Asked = Asked;
    type Answer = Decided;
    const MAX_ASKS: usize = MAX_ASKS;

    fn key(asked: &Asked) -> Uuid {
        asked.purchase.uuid()
    }

    async fn decide(&self, lane: usize, asked: &Arc<[Asked]>) -> Vec<Option<Decided>> {
        let mark = self.sold_out.load(Ordering::Acquire);
        if mark != IN_STOCK {
            if let Some(answers) = self.answer_sold_out(mark, asked).await {
                return answers;
            }
            // Units came back; or the database does not answer, which the batch will find out too.
            let unmarked =
                self.sold_out
                    .compare_exchange(mark, IN_STOCK, Ordering::AcqRel, Ordering::Acquire);
            tracing::debug!(item = %self.card.item, ?unmarked, "no longer marked as sold out");
        }
        let lane = Lane {
            index: u32::try_from(lane).unwrap_or(0),
            count: self.lanes,
            start: self.start,
        };
        self.counts.batches.fetch_add(1, Ordering::Relaxed);
        let size = u64::try_from(asked.len()).unwrap_or(0);
        self.counts.asked.fetch_add(size, Ordering::Relaxed);
        let parts = run_halving(
            &self.runner,
            asked.len(),
            &self.counts.halved,
            |range, earlier| CommitBatch::new(self.card, Arc::clone(asked), range, lane, earlier),
        );
        let mut answers: Vec<Option<Decided>> = Vec::new();
        answers.resize_with(asked.len(), || None);
        for (range, ran) in parts.await {
            let answers = &mut answers[range];
            match ran {
                Ok(ran) => self.note(answers, ran),
                Err(failure) => {
                    answers.fill_with(|| Some(Err(Undecided::Failed(failure))));
                }
            }
        }
        answers
    }
}

impl Desk {
    /// Answers requests for an item that is known to be sold out; `None` if it is no longer, or if
    /// that cannot be told.
    async fn answer_sold_out(
        &self,
        mark: i64,
        asked: &Arc<[Asked]>,
    ) -> Option<Vec<Option<Decided>>> {
        let item = self.card.item.uuid();
        let keys: Vec<Uuid> = asked.iter().map(|asked| asked.purchase.uuid()).collect();
        let read = self
            .runner
            .read_once(move |tx| Box::pin(read_sold_out(tx, item, keys.clone())))
            .await;
        let (epoch, kept) = read.ok()?;
        if epoch != mark {
            return None;
        }
        let mut by_mark = 0;
        let answers = asked.iter().map(|asked| {
            Some(match kept.get(&asked.purchase) {
                Some(kept) => replay(kept, asked),
                None => {
                    by_mark += 1;
                    Ok((Decision::Refused(Refusal::SoldOut { left: 0 }), false))
                }
            })
        });
        let answers = answers.collect();
        self.counts.by_mark.fetch_add(by_mark, Ordering::Relaxed);
        Some(answers)
    }

    /// Takes in what a batch answered.
    fn note(&self, answers: &mut [Option<Decided>], ran: Ran<Answers>) {
        if let Some(epoch) = ran.answer.sold_out {
            self.sold_out.store(epoch, Ordering::Release);
        }
        for (answer, outcome) in answers.iter_mut().zip(ran.answer.outcomes) {
            *answer = Some(match outcome {
                Outcome::Decided { decision, replayed } => Ok((decision, replayed)),
                Outcome::KeyReused => Err(Undecided::KeyReused),
            });
        }
    }
}

fn replay(kept: &Kept, asked: &Asked) -> Decided {
    let is_same = kept.fingerprint == asked.fingerprint();
    if is_same || mutant::is(Mutant::NoFingerprint) {
        Ok((kept.decision.clone(), true))
    } else {
        Err(Undecided::KeyReused)
    }
}
