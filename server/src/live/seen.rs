//! Which deliveries without an offset were here before: a bounded memory of ids.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// Parts with a lock each.
const PARTS: usize = 16;

/// Ids remembered per part: 65,536 in all, a minute of 1,000 events a second, while the stream is
/// behind by less than a second.
const MAX_IDS: usize = 4_096;

#[derive(Debug, Default)]
struct Part {
    known: HashSet<Uuid>,
    oldest_first: VecDeque<Uuid>,
}

/// The ids of what was delivered lately.
#[derive(Debug)]
pub(super) struct Seen {
    parts: [Mutex<Part>; PARTS],
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            parts: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Seen {
    /// Whether this is the first time; it is remembered.
    pub fn first_time(&self, id: Uuid) -> bool {
        // The last byte of every UUID version is random.
        let [.., last] = *id.as_bytes();
        let part = &self.parts[usize::from(last) % PARTS];
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if !part.known.insert(id) {
            return false;
        }
        part.oldest_first.push_back(id);
        if part.oldest_first.len() > MAX_IDS
            && let Some(oldest) = part.oldest_first.pop_front()
        {
            part.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_first_once_and_memory_is_bounded() {
        let seen = Seen::default();
        let id = |n: usize| Uuid::from_u128(u128::try_from(n).expect("fits") << 8);
        assert!(seen.first_time(id(0)));
        assert!(!seen.first_time(id(0)));
        for n in 1..=MAX_IDS {
            assert!(seen.first_time(id(n)));
        }
        assert!(seen.first_time(id(0)), "forgotten as the oldest");
        assert!(!seen.first_time(id(MAX_IDS)));
        let part = seen.parts[0].lock().expect("healthy");
        assert_eq!(part.known.len(), MAX_IDS);
    }
}
