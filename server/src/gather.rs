//! Reads of single rows, gathered: whoever asks within a moment of the last read waits, and is served
//! together with everybody else who asks meanwhile.
//!
//! After a restart thousands come back within seconds, each of whom needs a row or two of their
//! own. One by one they would take the connections that bids need. A read begins after everybody
//! whom it serves has asked, so nobody is told what was true before.

use app::ports::Failure;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Keys of one read.
const MAX_KEYS: usize = 1_000;

/// Reads many keys at once; those that are not there are left out.
type ReadMany<K, V> =
    Box<dyn Fn(Vec<K>) -> BoxFuture<'static, Result<BTreeMap<K, V>, Failure>> + Send + Sync>;

type Answer<V> = oneshot::Sender<Result<Option<V>, Failure>>;

/// Gathers the reads of one kind of row.
pub struct Gather<K, V>(Arc<Shared<K, V>>);

struct Shared<K, V> {
    /// The least time from the begin of one read to that of the next.
    pause: Duration,
    read_many: ReadMany<K, V>,
    waiting: Mutex<Waiting<K, V>>,
}

struct Waiting<K, V> {
    by_key: BTreeMap<K, Vec<Answer<V>>>,
    /// Whether a task is there to read for them.
    has_reader: bool,
    read_at: Option<Instant>,
}

impl<K, V> Gather<K, V>
where
    K: Copy + Ord + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Gathers reads that are made by `read_many`, which leaves out keys that are not there. From
    /// the begin of one read to that of the next it is a pause at least; who asks when nobody did
    /// for so long does not wait.
    pub fn new<F, R>(pause: Duration, read_many: F) -> Self
    where
        F: Fn(Vec<K>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<BTreeMap<K, V>, Failure>> + Send + 'static,
    {
        Self(Arc::new(Shared {
            pause,
            read_many: Box::new(move |keys| Box::pin(read_many(keys))),
            waiting: Mutex::new(Waiting {
                by_key: BTreeMap::new(),
                has_reader: false,
                read_at: None,
            }),
        }))
    }

    /// What a key has, read after this was called; `None` if it is not there.
    ///
    /// # Errors
    /// Those of the read that served it.
    pub async fn get(&self, key: K) -> Result<Option<V>, Failure> {
        let (answer, answered) = oneshot::channel();
        if self.0.wait(key, answer) {
            tokio::spawn(Arc::clone(&self.0).read_for_all());
        }
        answered.await.unwrap_or(Err(Failure::Unavailable))
    }
}

impl<K, V> Shared<K, V>
where
    K: Copy + Ord + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn waiting(&self) -> MutexGuard<'_, Waiting<K, V>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits with the others; answers whether somebody has to read.
    fn wait(&self, key: K, answer: Answer<V>) -> bool {
        let mut waiting = self.waiting();
        waiting.by_key.entry(key).or_default().push(answer);
        !std::mem::replace(&mut waiting.has_reader, true)
    }

    /// Everybody who waits and has not left, in as many parts as it takes reads; nobody ends the
    /// task that reads.
    fn take(&self) -> Vec<BTreeMap<K, Vec<Answer<V>>>> {
        let mut waiting = self.waiting();
        let mut rest = std::mem::take(&mut waiting.by_key);
        rest.retain(|_, answers| {
            answers.retain(|answer| !answer.is_closed());
            !answers.is_empty()
        });
        let mut parts = Vec::new();
        while let Some(beyond) = rest.keys().nth(MAX_KEYS).copied() {
            let more = rest.split_off(&beyond);
            parts.push(std::mem::replace(&mut rest, more));
        }
        if !rest.is_empty() {
            parts.push(rest);
        }
        waiting.has_reader = !parts.is_empty();
        if waiting.has_reader {
            waiting.read_at = Some(Instant::now());
        }
        parts
    }

    /// Reads as long as somebody waits. A read that takes long keeps no later one from its turn; it
    /// ends by itself, as whatever it reads from has a limit of its own.
    async fn read_for_all(self: Arc<Self>) {
        loop {
            let read_at = self.waiting().read_at;
            if let Some(read_at) = read_at {
                tokio::time::sleep_until(read_at + self.pause).await;
            }
            let parts = self.take();
            if parts.is_empty() {
                return;
            }
            for part in parts {
                tokio::spawn(Arc::clone(&self).read(part));
            }
        }
    }

    async fn read(self: Arc<Self>, part: BTreeMap<K, Vec<Answer<V>>>) {
        let read = (self.read_many)(part.keys().copied().collect()).await;
        for (key, answers) in part {
            let value = read.as_ref().map(|found| found.get(&key).cloned());
            for answer in answers {
                // Who is gone needs none.
                let _gone = answer.send(value.clone().map_err(|failure| *failure));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(30);

    type Reads = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Doubles even keys; odd ones are not there.
    fn doubled(pause: Duration) -> (Gather<u32, u32>, Reads) {
        let reads = Reads::default();
        let noted = Arc::clone(&reads);
        let gather = Gather::new(pause, move |keys: Vec<u32>| {
            noted.lock().expect("healthy").push(keys.clone());
            let even = keys.into_iter().filter(|key| key % 2 == 0);
            let found = even.map(|key| (key, key * 2)).collect();
            async move { Ok(found) }
        });
        (gather, reads)
    }

    fn lengths(reads: &Reads) -> Vec<usize> {
        reads
            .lock()
            .expect("healthy")
            .iter()
            .map(Vec::len)
            .collect()
    }

    #[tokio::test]
    async fn who_asks_alone_does_not_wait_and_who_asks_with_others_shares() {
        let (gather, reads) = doubled(LONG);
        let begun = Instant::now();
        assert_eq!(gather.get(4).await, Ok(Some(8)));
        assert!(begun.elapsed() < LONG / 2, "nobody was before");
        assert_eq!(lengths(&reads), [1]);

        let (gather, reads) = doubled(SHORT);
        assert_eq!(gather.get(3).await, Ok(None));
        let all = join_all((0..50).map(|n| gather.get(n / 2))).await;
        for (number, found) in (0..50).zip(all) {
            let key = number / 2;
            assert_eq!(found, Ok((key % 2 == 0).then_some(key * 2)));
        }
        assert_eq!(lengths(&reads), [1, 25], "each key once");
    }

    #[tokio::test]
    async fn a_read_that_hangs_holds_up_no_later_one_and_serves_nobody_who_came_after() {
        let turn = Arc::new(AtomicUsize::new(0));
        let (release, released) = oneshot::channel::<()>();
        let released = Mutex::new(Some(released));
        let gather = Gather::new(SHORT, move |keys: Vec<u32>| {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let released = released.lock().expect("healthy").take();
            async move {
                if let Some(released) = released {
                    released.await.expect("is told");
                    return Err(Failure::Unavailable);
                }
                Ok(keys.into_iter().map(|key| (key, turn)).collect())
            }
        });
        let gather = Arc::new(gather);
        let asked = Arc::clone(&gather);
        let first = tokio::spawn(async move { asked.get(1).await });
        tokio::time::sleep(SHORT * 2).await;
        assert_eq!(gather.get(1).await, Ok(Some(1)), "by a read of its own");
        assert!(!first.is_finished());
        release.send(()).expect("waits");
        assert_eq!(first.await.expect("ends"), Err(Failure::Unavailable));
    }

    #[tokio::test]
    async fn a_read_has_at_most_a_thousand_keys_and_whoever_leaves_holds_up_nobody() {
        let (gather, reads) = doubled(SHORT);
        assert_eq!(gather.get(1).await, Ok(None));
        let mut gone = Box::pin(gather.get(9_999));
        assert!(futures::poll!(&mut gone).is_pending());
        drop(gone);
        let many = join_all((0..2_500).map(|n| gather.get(n))).await;
        assert_eq!(
            many.iter().filter(|found| *found == &Ok(None)).count(),
            1_250
        );
        let mut lengths = lengths(&reads);
        lengths.sort_unstable();
        assert_eq!(lengths, [1, 500, 1_000, 1_000], "without who left");
    }

    #[tokio::test]
    async fn a_read_that_panics_is_a_failure_and_the_next_one_is_made() {
        let turn = AtomicUsize::new(0);
        let gather = Gather::new(SHORT, move |keys: Vec<u32>| {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            assert!(turn != 0, "on purpose");
            async move {
                assert!(turn != 1, "on purpose");
                Ok(keys.into_iter().map(|key| (key, ())).collect())
            }
        });
        assert_eq!(gather.get(1).await, Err(Failure::Unavailable));
        assert_eq!(gather.get(1).await, Err(Failure::Unavailable));
        assert_eq!(gather.get(1).await, Ok(Some(())));
    }
}
