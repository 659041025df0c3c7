//! Queues in front of rows that many want. Requests that wait at the same time are decided
//! together: a worker takes what is there, has it decided as one batch and answers each caller. No
//! timer holds a request back; a batch is as large as what came in while the last one ran.

use super::error::Class;
use super::transaction::{Bounds, Command, GivenUp, MAX_RACES, Ran, Runner};
use app::ports::Failure;
use async_trait::async_trait;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;
use uuid::Uuid;

/// How often a worker lets others run, without a request more coming in, before it takes what is
/// there. The callers whom it has just answered ask again then, and come along: 101 purchases a
/// batch instead of 84 where 256 callers ask without a pause.
const STILL: u32 = 3;

/// Requests that may wait in one lane; beyond that the caller is asked to come back.
pub const MAX_WAITING: usize = 20_000;

/// Queues that a node remembers. Idle ones are forgotten beyond that.
const MAX_QUEUES: usize = 10_000;

/// Decides the batches of one queue.
#[async_trait]
pub trait Decide: Send + Sync + 'static {
    /// A request.
    type Asked: Clone + Send + Sync + 'static;
    /// What its caller hears.
    type Answer: Send + 'static;

    /// The most requests of a batch.
    const MAX_ASKS: usize;

    /// What makes two requests the same one: a hash of who asks and of their key.
    fn key(asked: &Self::Asked) -> Uuid;

    /// Decides a batch: one answer for each request, `None` for those that must wait for the next.
    async fn decide(&self, lane: usize, asked: &Arc<[Self::Asked]>) -> Vec<Option<Self::Answer>>;
}

/// What becomes of a request whose key is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twins {
    /// It is turned away.
    Refuse,
    /// It waits, and finds the answer of the first one.
    Wait,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The same key is being worked on.
    InProgress,
    /// Too many wait.
    Overloaded,
    /// The key belongs to another request.
    KeyReused,
    /// The ledger gave no answer: nothing happened, or nobody knows yet.
    Failed(Failure),
}

struct Waiting<D: Decide> {
    asked: D::Asked,
    reply: oneshot::Sender<D::Answer>,
}

struct Lane<D: Decide> {
    waiting: VecDeque<Waiting<D>>,
    /// Keys of the batch that runs.
    running: HashSet<Uuid>,
    has_worker: bool,
}

impl<D: Decide> Default for Lane<D> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            running: HashSet::new(),
            has_worker: false,
        }
    }
}

/// A queue: one or more lanes, each with a worker of its own while anything waits there.
pub struct Queue<D: Decide> {
    /// Who decides.
    pub decide: D,
    lanes: Vec<Mutex<Lane<D>>>,
}

/// A worker at its lane. One that panics leaves the lane to the next one, and its callers without an
/// answer: they hear that the outcome is unknown.
struct Worker<D: Decide> {
    queue: Arc<Queue<D>>,
    index: usize,
}

impl<D: Decide> Drop for Worker<D> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut lane = self.queue.lane(self.index);
            lane.running.clear();
            lane.waiting.clear();
            lane.has_worker = false;
        }
    }
}

impl<D: Decide> Queue<D> {
    /// A queue with a number of lanes, at least one.
    #[must_use]
    pub fn new(decide: D, lanes: u32) -> Self {
        Self {
            decide,
            lanes: (0..lanes.max(1)).map(|_| Mutex::default()).collect(),
        }
    }

    fn lane(&self, index: usize) -> MutexGuard<'_, Lane<D>> {
        self.lanes[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lanes there are.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        u32::try_from(self.lanes.len()).unwrap_or(1)
    }

    fn is_idle(&self) -> bool {
        (0..self.lanes.len()).all(|index| !self.lane(index).has_worker)
    }

    /// Lines a request up in the lane that follows from `spread`. A worker that panicked leaves the
    /// receiver without an answer.
    ///
    /// # Errors
    /// [`Undecided::InProgress`], [`Undecided::Overloaded`].
    pub fn ask(
        self: &Arc<Self>,
        spread: Uuid,
        asked: D::Asked,
        twins: Twins,
    ) -> Result<oneshot::Receiver<D::Answer>, Undecided> {
        let index = spread.as_u128() % u128::from(self.lanes());
        let index = usize::try_from(index).unwrap_or(0);
        let mut lane = self.lane(index);
        if twins == Twins::Refuse && lane.running.contains(&D::key(&asked)) {
            return Err(Undecided::InProgress);
        }
        if lane.waiting.len() >= MAX_WAITING {
            return Err(Undecided::Overloaded);
        }
        let (reply, answer) = oneshot::channel();
        lane.waiting.push_back(Waiting { asked, reply });
        if !lane.has_worker {
            lane.has_worker = true;
            tokio::spawn(Arc::clone(self).work(index));
        }
        Ok(answer)
    }

    /// Works until nothing waits in the lane.
    async fn work(self: Arc<Self>, index: usize) {
        let _worker = Worker {
            queue: Arc::clone(&self),
            index,
        };
        while let Some(batch) = self.next_batch(index).await {
            let (asked, replies): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|w| (w.asked, w.reply)).unzip();
            let asked: Arc<[D::Asked]> = asked.into();
            let answers = self.decide.decide(index, &asked).await;
            let mut lane = self.lane(index);
            lane.running.clear();
            let mut left = Vec::new();
            for ((reply, asked), answer) in replies.into_iter().zip(asked.iter()).zip(answers) {
                match answer {
                    // A caller that went away has its answer kept under its key.
                    Some(answer) => drop(reply.send(answer)),
                    None => left.push(Waiting {
                        asked: asked.clone(),
                        reply,
                    }),
                }
            }
            for waiting in left.into_iter().rev() {
                lane.waiting.push_front(waiting);
            }
        }
    }

    /// Takes what waits, once no more comes in at the moment; `None` ends the worker.
    async fn next_batch(&self, index: usize) -> Option<Vec<Waiting<D>>> {
        let (mut before, mut still) = (0, 0);
        while still < STILL && before < D::MAX_ASKS {
            tokio::task::yield_now().await;
            let waiting = self.lane(index).waiting.len();
            still = if waiting == before { still + 1 } else { 0 };
            before = waiting;
        }
        let mut lane = self.lane(index);
        if lane.waiting.is_empty() {
            lane.has_worker = false;
            return None;
        }
        let size = lane.waiting.len().min(D::MAX_ASKS);
        let batch: Vec<_> = lane.waiting.drain(..size).collect();
        lane.running = batch.iter().map(|w| D::key(&w.asked)).collect();
        Some(batch)
    }
}

/// The queues of a node, by what they stand in front of.
pub struct Queues<K, D: Decide>(Mutex<HashMap<K, Arc<Queue<D>>>>);

impl<K, D: Decide> Default for Queues<K, D> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, D: Decide> Queues<K, D> {
    fn all(&self) -> MutexGuard<'_, HashMap<K, Arc<Queue<D>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A queue that is remembered.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Arc<Queue<D>>> {
        self.all().get(key).map(Arc::clone)
    }

    /// The queue of a key, made if it is not remembered.
    #[must_use]
    pub fn get_or_make(&self, key: K, make: impl FnOnce() -> Queue<D>) -> Arc<Queue<D>> {
        let mut all = self.all();
        if all.len() >= MAX_QUEUES {
            all.retain(|_, queue| !queue.is_idle());
        }
        Arc::clone(all.entry(key).or_insert_with(|| Arc::new(make())))
    }
}

/// Races that a batch may lose before it is halved: one bad request then fails alone.
const MAX_RACES_OF_MANY: u32 = 2;

/// Races that a batch of so many requests may lose.
#[must_use]
pub const fn max_races(requests: usize) -> u32 {
    if requests > 1 {
        MAX_RACES_OF_MANY
    } else {
        MAX_RACES
    }
}

/// What became of a batch's requests in larger batches before.
#[derive(Clone, Debug, Default)]
pub struct Earlier {
    /// Tries.
    pub attempts: u32,
    /// Whether one of them may have been committed.
    pub unknown: bool,
    /// The keys that had an answer before any of them wrote; set by the first one that reads.
    pub old_keys: Arc<OnceLock<HashSet<Uuid>>>,
}

impl Earlier {
    /// What a half of a batch that was given up must know.
    fn and(&self, given_up: GivenUp) -> Self {
        Self {
            attempts: self.attempts.saturating_add(given_up.attempts),
            unknown: self.unknown || given_up.failure == Failure::Unknown,
            old_keys: if self.old_keys.get().is_some() {
                Arc::clone(&self.old_keys)
            } else {
                // Nothing was read yet: what one half will read says nothing about the other's keys.
                Arc::default()
            },
        }
    }
}

/// A part of a batch, and what became of it.
pub type Part<T> = (Range<usize>, Result<Ran<T>, Failure>);

/// Runs a batch of `len` requests as one command, and its halves where it fails as a whole.
pub async fn run_halving<C: Command>(
    runner: &Arc<Runner>,
    len: usize,
    halved: &AtomicU64,
    make: impl Fn(Range<usize>, Earlier) -> C + Send + Sync,
) -> Vec<Part<C::Answer>> {
    let started = Instant::now();
    let mut done = Vec::new();
    let mut parts = vec![(0..len, Earlier::default())];
    while let Some((range, earlier)) = parts.pop() {
        let ran = if earlier.attempts > 0 && is_over(started) {
            Err(OVER)
        } else {
            runner.try_run(make(range.clone(), earlier.clone())).await
        };
        match ran {
            Ok(ran) => done.push((range, Ok(ran))),
            Err(given_up) if range.len() > 1 && may_be_one_of_many(given_up, started) => {
                halved.fetch_add(1, Ordering::Relaxed);
                let middle = range.start + range.len() / 2;
                for half in [middle..range.end, range.start..middle] {
                    parts.push((half, earlier.and(given_up)));
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
                done.push((range, Err(failure)));
            }
        }
    }
    done
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    /// Answers each number with itself, once it may.
    struct Gated(Semaphore);

    #[async_trait]
    impl Decide for Gated {
        type Asked = u32;
        type Answer = u32;
        const MAX_ASKS: usize = 1_000;

        fn key(asked: &u32) -> Uuid {
            Uuid::from_u128((*asked).into())
        }

        async fn decide(&self, _lane: usize, asked: &Arc<[u32]>) -> Vec<Option<u32>> {
            let _open = self.0.acquire().await;
            asked.iter().copied().map(Some).collect()
        }
    }

    #[tokio::test]
    async fn a_full_lane_turns_away_at_once_and_answers_everybody_who_waits() {
        let queue = Arc::new(Queue::new(Gated(Semaphore::new(0)), 1));
        let ask = |number| queue.ask(Uuid::nil(), number, Twins::Refuse);
        let first = ask(0).expect("waits");
        // The worker takes it, and stands before the gate.
        while !queue.lane(0).waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(0).err(), Some(Undecided::InProgress), "a twin");
        let most = u32::try_from(MAX_WAITING).expect("few");
        let waiting: Vec<_> = (1..=most).map(|n| ask(n).expect("waits")).collect();
        assert_eq!(ask(most + 1).err(), Some(Undecided::Overloaded));
        queue.decide.0.add_permits(1);
        assert_eq!(first.await, Ok(0));
        for (expected, answer) in (1..).zip(waiting) {
            assert_eq!(answer.await, Ok(expected));
        }
        let again = ask(most + 1).expect("there is room again");
        assert_eq!(again.await, Ok(most + 1));
    }
}
