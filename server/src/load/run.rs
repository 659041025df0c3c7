//! What the connections of a run share: whose turn it is, and the answers so far.

use super::measured::Tally;
use http::{Request, StatusCode};
use hyper::body::Bytes;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

const NANOS_PER_S: u128 = 1_000_000_000;

/// The pacemaker's shortest sleep. A shorter one would only keep a core busy.
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);

pub type Make = Box<dyn Fn(u64) -> Request<Bytes> + Send + Sync>;
pub type Judge = Box<dyn Fn(u64, StatusCode, &[u8]) -> Then + Send + Sync>;

/// What is done after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is the answer.
    Next,
    /// It decides nothing: the same request is sent again, if the run insists.
    Again,
}

/// A request and when its time began.
pub struct Job {
    pub sequence: u64,
    pub due: Instant,
    pub request: Request<Bytes>,
}

/// When a request may be sent.
#[derive(Clone, Copy, Debug)]
pub enum Turn {
    /// As soon as a connection is free, so many times.
    Requests(u64),
    /// As soon as a connection is free, for so long.
    Elapsed(Duration),
    /// At its time, so many times.
    Paced { per_second: u32, requests: u64 },
}

pub struct Run {
    /// Connections begin at them in turn; one that breaks goes on at the next.
    addresses: Vec<SocketAddr>,
    /// Whether a request without an answer is sent again: harmless only if it carries a key.
    pub insists: bool,
    turn: Turn,
    begun: Instant,
    taken: AtomicU64,
    released: Semaphore,
    over: AtomicBool,
    tally: Mutex<Tally>,
    make: Make,
    judge: Judge,
}

impl Run {
    pub fn new(
        addresses: Vec<SocketAddr>,
        insists: bool,
        turn: Turn,
        tally: Tally,
        (make, judge): (Make, Judge),
    ) -> Self {
        Self {
            addresses,
            insists,
            turn,
            begun: Instant::now(),
            taken: AtomicU64::new(0),
            released: Semaphore::new(0),
            over: AtomicBool::new(false),
            tally: Mutex::new(tally),
            make,
            judge,
        }
    }

    /// Where a connection's nth try goes.
    pub fn address(&self, place: usize) -> SocketAddr {
        self.addresses[place % self.addresses.len()]
    }

    /// Starts the clock, once the connections are there.
    pub fn start_clock(&mut self) {
        self.begun = Instant::now();
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Requests of the run so far.
    pub fn requests(&self) -> u64 {
        let taken = self.taken.load(Ordering::Relaxed);
        match self.turn {
            Turn::Requests(most) | Turn::Paced { requests: most, .. } => taken.min(most),
            Turn::Elapsed(_) => taken,
        }
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
            || match self.turn {
                Turn::Elapsed(longest) => self.elapsed() >= longest,
                Turn::Requests(_) | Turn::Paced { .. } => false,
            }
    }

    /// The next request of all connections, once it may be sent; none when there are no more.
    pub async fn next(&self) -> Option<Job> {
        if self.is_over() {
            return None;
        }
        let (most, pace) = match self.turn {
            Turn::Requests(most) => (most, None),
            Turn::Elapsed(_) => (u64::MAX, None),
            Turn::Paced {
                per_second,
                requests,
            } => {
                self.released.acquire().await.ok()?.forget();
                (requests, Some(per_second))
            }
        };
        let sequence = self.taken.fetch_add(1, Ordering::Relaxed);
        if sequence >= most {
            return None;
        }
        let request = (self.make)(sequence);
        let due = pace.map_or_else(Instant::now, |pace| self.begun + due(sequence, pace));
        Some(Job {
            sequence,
            due,
            request,
        })
    }

    pub fn with_tally<T>(&self, read: impl FnOnce(&mut Tally) -> T) -> T {
        read(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands an answer over; answers what is done next.
    pub fn judge(&self, sequence: u64, status: StatusCode, body: &[u8]) -> Then {
        let then = (self.judge)(sequence, status, body);
        if self.insists { then } else { Then::Next }
    }

    /// Releases every request at its time, whether or not a connection is free for it. Runs in a
    /// thread of its own: the runtime's timers count whole milliseconds, which a latency would show.
    pub fn keep_pace(&self, per_second: u32, requests: u64, connections: usize) {
        let mut released = 0;
        while released < requests && !self.is_over() {
            let now_due = due_by(self.elapsed(), per_second).min(requests);
            self.release(now_due - released);
            released = now_due;
            let ahead = due(released, per_second).saturating_sub(self.elapsed());
            thread::sleep(ahead.max(SHORTEST_SLEEP));
        }
        // One more each, so that every connection learns that there are no more.
        self.released.add_permits(connections);
    }

    fn release(&self, count: u64) {
        self.released
            .add_permits(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS));
    }
}

/// When the request is due, counted from the beginning.
fn due(sequence: u64, per_second: u32) -> Duration {
    let nanos = u128::from(sequence) * NANOS_PER_S / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How many requests are due by then.
fn due_by(elapsed: Duration, per_second: u32) -> u64 {
    let due = elapsed.as_nanos() * u128::from(per_second) / NANOS_PER_S;
    u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_due_at_once_and_the_rest_evenly() {
        assert_eq!(due(0, 3), Duration::ZERO);
        assert_eq!(due(3, 3), Duration::from_secs(1));
        assert_eq!(due_by(Duration::ZERO, 1_000), 1);
        assert_eq!(due_by(Duration::from_micros(999), 1_000), 1);
        assert_eq!(due_by(Duration::from_millis(1), 1_000), 2);
        for sequence in 0..1_000 {
            // By its time a request is due, whatever the rounding, or half a nanosecond later.
            let at = due(sequence, 7_919) + Duration::from_nanos(1);
            assert_eq!(due_by(at, 7_919), sequence + 1);
        }
    }
}
