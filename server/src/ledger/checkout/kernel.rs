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

use super::super::error::Class;
use super::super::transaction::{Bounds, GivenUp, Ran, Runner};
use super::batch::{Answers, Asked, CommitBatch, Decision, Earlier, ItemCard, MAX_ASKS, Outcome};
use super::items;
use super::snapshot::{Kept, read_sold_out};
use crate::ids;
use app::ports::Failure;
use sha2::{Digest, Sha256};
use shared::purchase::{CommitRequest, Lane, Named, Refusal};
use shared::{IdempotencyKey, ItemId, PrincipalId, PurchaseId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Workers of one item on one node. Two keep the database busy while one of them waits for its
/// COMMIT; more of them only made smaller batches.
pub const LANES: u32 = 2;

/// How often a worker lets others run, without a request more coming in, before it takes what is
/// there. The callers whom it has just answered ask again then, and come along: 101 purchases a
/// batch instead of 84 where 256 callers ask without a pause.
const STILL: u32 = 3;

/// Requests that may wait in one lane; beyond that the caller is asked to come back.
pub const MAX_WAITING: usize = 20_000;

/// Items whose queues a node remembers. Idle ones are forgotten beyond that.
const MAX_ITEMS: usize = 10_000;

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

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The same key is being worked on.
    InProgress,
    /// Too many wait for this item.
    Overloaded,
    /// The key belongs to another request.
    KeyReused,
    /// The ledger gave no answer: nothing happened, or nobody knows yet.
    Failed(Failure),
}

/// What was decided, and whether the key had been answered before.
type Decided = Result<(Decision, bool), Undecided>;

type Reply = oneshot::Sender<Decided>;

struct Waiting {
    asked: Asked,
    reply: Reply,
}

#[derive(Default)]
struct LaneState {
    waiting: VecDeque<Waiting>,
    /// Keys of the batch that runs.
    running: HashSet<PurchaseId>,
    has_worker: bool,
}

struct ItemQueue {
    card: ItemCard,
    lanes: Vec<Mutex<LaneState>>,
    /// The stock epoch in which nothing is left, or [`IN_STOCK`].
    sold_out: AtomicI64,
}

impl ItemQueue {
    fn lane(&self, index: usize) -> MutexGuard<'_, LaneState> {
        self.lanes[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        (0..self.lanes.len()).all(|index| !self.lane(index).has_worker)
    }
}

/// A worker at its lane. One that panics leaves the lane to the next one, and its callers without an
/// answer: they hear that the outcome is unknown.
struct Worker {
    queue: Arc<ItemQueue>,
    index: usize,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.queue.lane(self.index);
            state.running.clear();
            state.waiting.clear();
            state.has_worker = false;
        }
    }
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
    items: Mutex<HashMap<ItemId, Arc<ItemQueue>>>,
    /// Where among its buckets this node begins, so that two nodes seldom begin with the same row.
    start: u32,
    counts: Counts,
}

impl Kernel {
    /// A kernel that runs its batches by `runner`.
    #[must_use]
    pub fn new(runner: Arc<Runner>) -> Self {
        Self {
            runner,
            items: Mutex::default(),
            start: rand::random(),
            counts: Counts::default(),
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
        let Some(queue) = queue.filter(|queue| queue.card.tenant == tenant) else {
            let refusal = Refusal::NotFound { what: Named::Item };
            return Ok(Answer {
                purchase,
                decision: Decision::Refused(refusal),
                replayed: false,
            });
        };
        let asked = Asked {
            purchase,
            intent: ids::intent(&request.intent(queue.card.terms.price)),
            fingerprint: Sha256::digest(request.meaning()).to_vec(),
            request,
        };
        let answer = self.enqueue(&queue, asked)?;
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
    async fn queue(&self, item: ItemId) -> Result<Option<Arc<ItemQueue>>, Undecided> {
        if let Some(queue) = self.items().get(&item) {
            return Ok(Some(Arc::clone(queue)));
        }
        let card = self
            .runner
            .read(move |tx| Box::pin(items::card(tx, item)))
            .await
            .map_err(Undecided::Failed)?;
        let Some((card, buckets)) = card else {
            return Ok(None);
        };
        let lanes = LANES.min(buckets).max(1);
        let mut items = self.items();
        if items.len() >= MAX_ITEMS {
            items.retain(|_, queue| !queue.is_idle());
        }
        let queue = items.entry(item).or_insert_with(|| {
            Arc::new(ItemQueue {
                card,
                lanes: (0..lanes).map(|_| Mutex::default()).collect(),
                sold_out: AtomicI64::new(IN_STOCK),
            })
        });
        Ok(Some(Arc::clone(queue)))
    }

    fn items(&self) -> MutexGuard<'_, HashMap<ItemId, Arc<ItemQueue>>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(
        self: &Arc<Self>,
        queue: &Arc<ItemQueue>,
        asked: Asked,
    ) -> Result<oneshot::Receiver<Decided>, Undecided> {
        let lanes = u128::try_from(queue.lanes.len()).unwrap_or(1);
        let lane = asked.request.mandate.uuid().as_u128() % lanes;
        let index = usize::try_from(lane).unwrap_or(0);
        let mut state = queue.lane(index);
        if state.running.contains(&asked.purchase) {
            return Err(Undecided::InProgress);
        }
        if state.waiting.len() >= MAX_WAITING {
            return Err(Undecided::Overloaded);
        }
        let (reply, answer) = oneshot::channel();
        state.waiting.push_back(Waiting { asked, reply });
        if !state.has_worker {
            state.has_worker = true;
            tokio::spawn(Arc::clone(self).work(Arc::clone(queue), index));
        }
        Ok(answer)
    }

    /// Works until nothing waits in the lane.
    async fn work(self: Arc<Self>, queue: Arc<ItemQueue>, index: usize) {
        let _worker = Worker {
            queue: Arc::clone(&queue),
            index,
        };
        loop {
            let Some(batch) = self.next_batch(&queue, index).await else {
                return;
            };
            let (asked, replies): (Vec<Asked>, Vec<Reply>) =
                batch.into_iter().map(|w| (w.asked, w.reply)).unzip();
            let asked: Arc<[Asked]> = asked.into();
            let outcomes = self.run(&queue, index, &asked).await;
            let mut state = queue.lane(index);
            state.running.clear();
            let mut left = Vec::new();
            for ((reply, asked), outcome) in replies.into_iter().zip(asked.iter()).zip(outcomes) {
                match outcome {
                    // A caller that went away has its answer kept under its key.
                    Some(answer) => drop(reply.send(answer)),
                    None => left.push(Waiting {
                        asked: asked.clone(),
                        reply,
                    }),
                }
            }
            for waiting in left.into_iter().rev() {
                state.waiting.push_front(waiting);
            }
        }
    }

    /// Takes what waits, once no more comes in at the moment; `None` ends the worker.
    async fn next_batch(&self, queue: &ItemQueue, index: usize) -> Option<Vec<Waiting>> {
        let (mut before, mut still) = (0, 0);
        while still < STILL && before < MAX_ASKS {
            tokio::task::yield_now().await;
            let waiting = queue.lane(index).waiting.len();
            still = if waiting == before { still + 1 } else { 0 };
            before = waiting;
        }
        let mut state = queue.lane(index);
        if state.waiting.is_empty() {
            state.has_worker = false;
            return None;
        }
        let size = state.waiting.len().min(MAX_ASKS);
        let batch: Vec<Waiting> = state.waiting.drain(..size).collect();
        state.running = batch.iter().map(|waiting| waiting.asked.purchase).collect();
        Some(batch)
    }

    /// Decides a batch: one answer for each request, `None` for those that must wait for the next.
    async fn run(
        &self,
        queue: &ItemQueue,
        index: usize,
        asked: &Arc<[Asked]>,
    ) -> Vec<Option<Decided>> {
        let mark = queue.sold_out.load(Ordering::Acquire);
        if mark != IN_STOCK {
            if let Some(answers) = self.answer_sold_out(queue, mark, asked).await {
                return answers;
            }
            // Units came back; or the database does not answer, which the batch will find out too.
            let unmarked = queue.sold_out.compare_exchange(
                mark,
                IN_STOCK,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            tracing::debug!(item = %queue.card.item, ?unmarked, "no longer marked as sold out");
        }
        let lane = Lane {
            index: u32::try_from(index).unwrap_or(0),
            count: u32::try_from(queue.lanes.len()).unwrap_or(1),
            start: self.start,
        };
        self.counts.batches.fetch_add(1, Ordering::Relaxed);
        let size = u64::try_from(asked.len()).unwrap_or(0);
        self.counts.asked.fetch_add(size, Ordering::Relaxed);
        self.run_halving(queue, asked, lane).await
    }

    /// Runs a batch, and its halves where it fails as a whole.
    async fn run_halving(
        &self,
        queue: &ItemQueue,
        asked: &Arc<[Asked]>,
        lane: Lane,
    ) -> Vec<Option<Decided>> {
        let started = Instant::now();
        let mut answers: Vec<Option<Decided>> = Vec::new();
        answers.resize_with(asked.len(), || None);
        let mut parts = vec![(0..asked.len(), Earlier::default())];
        while let Some((range, earlier)) = parts.pop() {
            let shared = Arc::clone(asked);
            let batch = CommitBatch::new(queue.card, shared, range.clone(), lane, earlier.clone());
            let ran = if earlier.attempts > 0 && is_over(started) {
                Err(OVER)
            } else {
                self.runner.try_run(batch).await
            };
            match ran {
                Ok(ran) => note(queue, &mut answers[range], ran),
                Err(given_up) if range.len() > 1 && may_be_one_of_many(given_up, started) => {
                    self.counts.halved.fetch_add(1, Ordering::Relaxed);
                    let middle = range.start + range.len() / 2;
                    for half in [middle..range.end, range.start..middle] {
                        parts.push((half, after(&earlier, given_up)));
                    }
                }
                Err(given_up) => {
                    // A larger batch may have been committed.
                    let may_be_done = earlier.unknown && given_up.failure == Failure::Unavailable;
                    let failure = if may_be_done {
                        Failure::Unknown
                    } else {
                        given_up.failure
                    };
                    for answer in &mut answers[range] {
                        *answer = Some(Err(Undecided::Failed(failure)));
                    }
                }
            }
        }
        answers
    }

    /// Answers requests for an item that is known to be sold out; `None` if it is no longer, or if
    /// that cannot be told.
    async fn answer_sold_out(
        &self,
        queue: &ItemQueue,
        mark: i64,
        asked: &Arc<[Asked]>,
    ) -> Option<Vec<Option<Decided>>> {
        let item = queue.card.item.uuid();
        let keys: Vec<Uuid> = asked.iter().map(|asked| asked.purchase.uuid()).collect();
        let read = self
            .runner
            .read(move |tx| Box::pin(read_sold_out(tx, item, keys.clone())))
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
}

/// Whether a batch that was given up may go through in parts: it lost races, or one of its requests
/// is at fault; and there is time left.
fn may_be_one_of_many(given_up: GivenUp, started: Instant) -> bool {
    matches!(given_up.class, Some(Class::Conflict | Class::Final)) && !is_over(started)
}

/// Whether callers have waited long enough: what is left of a batch is not tried any more.
fn is_over(started: Instant) -> bool {
    started.elapsed() >= Bounds::COMMAND.elapsed
}

/// The end of a part that is not tried.
const OVER: GivenUp = GivenUp {
    failure: Failure::Unavailable,
    class: Some(Class::Conflict),
    attempts: 0,
};

/// What a half of a batch that was given up must know.
fn after(earlier: &Earlier, given_up: GivenUp) -> Earlier {
    Earlier {
        attempts: earlier.attempts.saturating_add(given_up.attempts),
        unknown: earlier.unknown || given_up.failure == Failure::Unknown,
        old_keys: if earlier.old_keys.get().is_some() {
            Arc::clone(&earlier.old_keys)
        } else {
            // Nothing was read yet: what one half will read says nothing about the other's keys.
            Arc::default()
        },
    }
}

fn replay(kept: &Kept, asked: &Asked) -> Decided {
    if kept.fingerprint == asked.fingerprint {
        Ok((kept.decision.clone(), true))
    } else {
        Err(Undecided::KeyReused)
    }
}

/// Takes in what a batch answered.
fn note(queue: &ItemQueue, answers: &mut [Option<Decided>], ran: Ran<Answers>) {
    if let Some(epoch) = ran.answer.sold_out {
        queue.sold_out.store(epoch, Ordering::Release);
    }
    for (answer, outcome) in answers.iter_mut().zip(ran.answer.outcomes) {
        *answer = Some(match outcome {
            Outcome::Decided { decision, replayed } => Ok((decision, replayed)),
            Outcome::KeyReused => Err(Undecided::KeyReused),
        });
    }
}
