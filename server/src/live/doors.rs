//! How fast sockets are let in.
//!
//! When a crowd is cut off at once it comes back at once. A handshake costs processor time that a
//! purchase needs as well, so they are spread: who comes too fast waits at the door, in turn, and
//! who would wait too long is sent away to come again later.

use super::limits::{Bucket, Rate};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Handshakes that are let in at once.
const BURST: u32 = 100;

/// The longest that somebody waits: less than the ten seconds after which the page's script gives
/// a connection up.
const LONGEST: Duration = Duration::from_secs(8);

/// The doors of a node.
#[derive(Debug)]
pub(super) struct Doors(Mutex<Bucket>);

impl Doors {
    /// Doors for so many handshakes a second, at least one.
    pub fn new(per_second: u32) -> Self {
        let every = Duration::from_secs(1) / per_second.max(1);
        let rate = Rate {
            burst: BURST,
            every,
        };
        Self(Mutex::new(Bucket::new(rate, Instant::now())))
    }

    /// Waits for one's turn; answers whether it came.
    pub async fn enter(&self) -> bool {
        let wait = {
            let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take_later(Instant::now(), LONGEST)
        };
        match wait {
            None => false,
            Some(Duration::ZERO) => true,
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crowd_comes_in_at_the_rate_and_the_last_ones_are_sent_away() {
        let doors = Doors::new(400);
        let begun = Instant::now();
        let waiting = (0..300).map(|_| async {
            assert!(doors.enter().await);
            begun.elapsed()
        });
        let entered = futures::future::join_all(waiting).await;
        let early = entered
            .iter()
            .filter(|at| **at < Duration::from_millis(250));
        assert!((100..=200).contains(&early.count()), "{entered:?}");
        let last = entered.iter().max().expect("somebody");
        assert!(*last >= Duration::from_millis(500), "{last:?}");
        let full = Doors::new(1);
        for _ in 0..BURST {
            assert!(full.enter().await);
        }
        {
            let mut bucket = full.0.lock().expect("healthy");
            while bucket.take_later(Instant::now(), LONGEST).is_some() {}
        }
        assert!(
            !full.enter().await,
            "nobody waits for longer than eight seconds"
        );
    }
}
