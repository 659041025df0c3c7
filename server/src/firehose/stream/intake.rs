//! What the stream brings to this node, whether the node reads it or follows: each item once, to
//! the node's own listener, into the tail, and while the node leads to its followers.

use super::StreamItem;
use super::places::{Place, Places, Sequence};
use super::tail::{Bounds, Tail};
use super::wire::Line;
use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Lines that may wait for a follower: one that is further behind is cut off, and comes back by its
/// places for what the tail still has.
const MAX_WAITING_LINES: usize = 4_096;

/// The listener of the items is gone.
#[derive(Debug)]
pub(super) struct Unheard;

/// How far the first connection to the stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing is known yet.
    Waiting,
    /// The leader does not answer; whoever follows it comes only after its lease.
    Unreachable,
    /// This node has its places.
    Begun,
}

/// How the reading of the stream goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// Milliseconds since every shard was last read.
    pub read_ago_ms: u64,
    /// Milliseconds from the writing of the newest record to its reading; whole seconds on AWS.
    pub lag_ms: i64,
}

/// What was counted since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items handed to this node's sockets.
    pub items: u64,
    /// Records that came again and were left out.
    pub repeats: u64,
    /// Records that were too old when they were read, and left out.
    pub late: u64,
    /// Times that everybody was sent to a snapshot, since something was lost.
    pub lost: u64,
    /// Followers that were cut off because they did not keep up.
    pub cut_off: u64,
}

#[derive(Debug, Default)]
struct Shared {
    tail: Option<Tail>,
    /// Somebody was served before this node had its places.
    owes_lost: bool,
    taps: Option<Taps>,
    read_at: Option<Instant>,
    pulse: Option<Pulse>,
    counts: Counts,
}

/// The followers of this node in its present term.
#[derive(Debug)]
struct Taps {
    token: String,
    followers: Vec<mpsc::Sender<Bytes>>,
}

impl Taps {
    fn admits(&self, token: &str) -> bool {
        self.token.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

/// What one follower hears.
#[derive(Debug)]
pub(super) struct Tap {
    first: VecDeque<Bytes>,
    rest: mpsc::Receiver<Bytes>,
}

impl Tap {
    /// The next lines; none once the leader's term is over or the follower was cut off.
    pub async fn next(&mut self) -> Option<Bytes> {
        match self.first.pop_front() {
            Some(line) => Some(line),
            None => self.rest.recv().await,
        }
    }
}

/// The stream on this node.
#[derive(Debug)]
pub(super) struct Intake {
    shared: Mutex<Shared>,
    items: mpsc::Sender<StreamItem>,
    opening: watch::Sender<Opening>,
    bounds: Bounds,
}

impl Intake {
    pub fn new(items: mpsc::Sender<StreamItem>) -> Self {
        Self {
            shared: Mutex::default(),
            items,
            opening: watch::Sender::new(Opening::Waiting),
            bounds: Bounds::default(),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far this node is; `None` before it has begun.
    pub fn places(&self) -> Option<Places> {
        self.shared()
            .tail
            .as_ref()
            .map(|tail| tail.places().clone())
    }

    /// Begins a course, or goes on elsewhere than where this node was. If it was anywhere before,
    /// everybody hears that something is lost.
    pub async fn begin(&self, places: Places) -> Result<(), Unheard> {
        // A place in the queue first: from here on nothing waits, so a task that is dropped has
        // either done nothing or everything.
        let permit = self.items.reserve().await.map_err(|_closed| Unheard)?;
        let mut shared = self.shared();
        let before = shared.tail.replace(Tail::from(places.clone(), self.bounds));
        let owed = std::mem::take(&mut shared.owes_lost);
        if before.is_some() || owed {
            shared.counts.lost += 1;
            permit.send(StreamItem::Lost);
        }
        shared.tell(&Line::Begin { places });
        drop(shared);
        self.opening.send_replace(Opening::Begun);
        Ok(())
    }

    /// Takes in an item, encoded already if it came from a leader. A repeat is left out.
    pub async fn take(
        &self,
        shard: &str,
        sequence: Sequence,
        item: StreamItem,
        encoded: Option<Bytes>,
    ) -> Result<(), Unheard> {
        let permit = self.items.reserve().await.map_err(|_closed| Unheard)?;
        let mut shared = self.shared();
        let Some(tail) = &mut shared.tail else {
            return Ok(());
        };
        if !tail.is_news(shard, &sequence) {
            shared.counts.repeats += 1;
            return Ok(());
        }
        let line = match encoded {
            Some(line) => line,
            None => {
                let (shard, sequence) = (shard.to_owned(), sequence.clone());
                let line = Line::Item {
                    shard,
                    sequence,
                    item: item.clone(),
                };
                line.encode()
            }
        };
        tail.take(shard, &sequence, line.clone(), Instant::now());
        shared.counts.items += 1;
        shared.send(&line);
        permit.send(item);
        Ok(())
    }

    /// Goes on in a shard without an item.
    pub fn advance(&self, shard: &str, place: Place) {
        let mut shared = self.shared();
        let tail = shared.tail.as_mut();
        if tail.is_some_and(|tail| tail.advance(shard, place.clone())) {
            let shard = shard.to_owned();
            shared.tell(&Line::Moved { shard, place });
        }
    }

    /// Forgets a drained shard that is gone.
    pub fn forget(&self, shard: &str) {
        let mut shared = self.shared();
        if let Some(tail) = &mut shared.tail {
            tail.forget(shard);
        }
        let shard = shard.to_owned();
        shared.tell(&Line::Gone { shard });
    }

    /// From now on followers may come with this token.
    pub fn lead(&self, token: String) {
        let followers = Vec::new();
        self.shared().taps = Some(Taps { token, followers });
    }

    /// Nobody may follow any more.
    pub fn step_down(&self) {
        self.shared().taps = None;
    }

    /// Whether a follower with this token may come in.
    pub fn admits(&self, token: &str) -> bool {
        let shared = self.shared();
        shared.taps.as_ref().is_some_and(|taps| taps.admits(token))
    }

    /// Lets a follower in, with what it has missed, if its token is that of the present term and
    /// this node has its places.
    pub fn tap(&self, token: &str, had: Option<&Places>) -> Option<Tap> {
        let mut shared = self.shared();
        let shared = &mut *shared;
        let (tail, taps) = shared.tail.as_ref().zip(shared.taps.as_mut())?;
        if !taps.admits(token) {
            return None;
        }
        let missed = had.and_then(|had| Some((had, tail.since(had)?)));
        let mut first = VecDeque::new();
        if let Some((had, missed)) = missed {
            first.push_back(Line::Resume.encode());
            first.extend(missed);
            let places = tail.places().shards.iter();
            let moved = places.filter(|(shard, place)| had.shards.get(*shard) != Some(*place));
            first.extend(moved.map(|(shard, place)| {
                let (shard, place) = (shard.clone(), place.clone());
                Line::Moved { shard, place }.encode()
            }));
        } else {
            let places = tail.places().clone();
            first.push_back(Line::Begin { places }.encode());
        }
        let (lines, rest) = mpsc::channel(MAX_WAITING_LINES);
        taps.followers.push(lines);
        Some(Tap { first, rest })
    }

    /// Says to followers that this node lives, and forgets what is too old.
    pub fn beat(&self) {
        let mut shared = self.shared();
        if let Some(tail) = &mut shared.tail {
            tail.trim(Instant::now());
        }
        let pulse = shared.pulse();
        shared.tell(&Line::Beat { pulse });
    }

    /// Every shard was read; a record that was written so long ago was the newest.
    pub fn was_read(&self, lag_ms: Option<i64>) {
        let mut shared = self.shared();
        shared.read_at = Some(Instant::now());
        let lag_ms = lag_ms.unwrap_or_else(|| shared.pulse.unwrap_or_default().lag_ms);
        let read_ago_ms = 0;
        shared.pulse = Some(Pulse {
            read_ago_ms,
            lag_ms,
        });
    }

    /// The leader says how its reading goes.
    pub fn hear(&self, pulse: Pulse) {
        let mut shared = self.shared();
        let ago = Duration::from_millis(pulse.read_ago_ms);
        shared.read_at = Instant::now().checked_sub(ago);
        shared.pulse = Some(pulse);
    }

    /// A record was too old.
    pub fn was_late(&self) {
        self.shared().counts.late += 1;
    }

    /// How reading goes, if anything was read.
    pub fn pulse(&self) -> Option<Pulse> {
        let shared = self.shared();
        shared.read_at.map(|_| shared.pulse())
    }

    pub fn counts(&self) -> Counts {
        self.shared().counts
    }

    /// How many follow this node now.
    pub fn followers(&self) -> usize {
        let mut shared = self.shared();
        shared.taps.as_mut().map_or(0, |taps| {
            taps.followers.retain(|lines| !lines.is_closed());
            taps.followers.len()
        })
    }

    /// The leader does not answer, so nobody need wait for the beginning.
    pub fn is_unreachable(&self) {
        self.opening.send_if_modified(|opening| {
            let waits = *opening == Opening::Waiting;
            if waits {
                *opening = Opening::Unreachable;
            }
            waits
        });
    }

    /// Waits until this node has its places; answers whether it has. If not, the first thing that
    /// it hears later is that something is lost.
    pub async fn opened(&self, within: Duration) -> bool {
        let mut opening = self.opening.subscribe();
        let known = opening.wait_for(|opening| *opening != Opening::Waiting);
        // Whatever ends the wait, what counts is what is true now.
        let _known_or_late = tokio::time::timeout(within, known).await.is_ok();
        let mut shared = self.shared();
        shared.owes_lost = shared.tail.is_none();
        !shared.owes_lost
    }
}

impl Shared {
    fn tell(&mut self, line: &Line) {
        if self
            .taps
            .as_ref()
            .is_some_and(|taps| !taps.followers.is_empty())
        {
            self.send(&line.encode());
        }
    }

    fn send(&mut self, line: &Bytes) {
        let Some(taps) = &mut self.taps else { return };
        let mut cut_off = 0;
        taps.followers
            .retain(|lines| match lines.try_send(line.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    cut_off += 1;
                    false
                }
            });
        self.counts.cut_off += cut_off;
    }

    fn pulse(&self) -> Pulse {
        let ago = self.read_at.map_or(Duration::MAX, |at| at.elapsed());
        Pulse {
            read_ago_ms: u64::try_from(ago.as_millis()).unwrap_or(u64::MAX),
            lag_ms: self.pulse.unwrap_or_default().lag_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::LotId;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    const SHARD: &str = "s";
    const TOKEN: &str = "token";

    fn listened() -> (Intake, mpsc::Receiver<StreamItem>) {
        let (sender, items) = mpsc::channel(8_192);
        (Intake::new(sender), items)
    }

    fn beginning() -> Places {
        let shards = BTreeMap::from([(SHARD.to_owned(), Place::Beginning)]);
        Places::of_new_course("stream".to_owned(), shards)
    }

    fn item(n: usize) -> StreamItem {
        let n = u128::try_from(n).expect("small");
        StreamItem::CrowdChanged(LotId::from_uuid(Uuid::from_u128(n)))
    }

    async fn take(intake: &Intake, n: usize) {
        let sequence = Sequence::new(n.to_string());
        let taken = intake.take(SHARD, sequence, item(n), None).await;
        taken.expect("is heard");
    }

    /// What a line brings, if it is an item.
    fn brought(line: &Bytes) -> Option<StreamItem> {
        match serde_json::from_slice(line).expect("reads") {
            Line::Item { item, .. } => Some(item),
            Line::Begin { .. }
            | Line::Resume
            | Line::Moved { .. }
            | Line::Gone { .. }
            | Line::Beat { .. } => None,
        }
    }

    #[tokio::test]
    async fn a_follower_that_is_stuck_is_cut_off_and_comes_back_for_the_rest() {
        let (intake, mut items) = listened();
        intake.lead(TOKEN.to_owned());
        intake.begin(beginning()).await.expect("is heard");
        let mut stuck = intake.tap(TOKEN, None).expect("comes in");
        let all = MAX_WAITING_LINES + 500;
        for n in 1..=all {
            take(&intake, n).await;
        }
        assert_eq!((intake.followers(), intake.counts().cut_off), (0, 1));
        for n in 1..=all {
            assert_eq!(
                items.recv().await,
                Some(item(n)),
                "nobody else waits for it"
            );
        }
        let mut had = beginning();
        had.course = intake.places().expect("has begun").course;
        let mut heard = 0;
        while let Some(line) = stuck.next().await {
            if brought(&line).is_some() {
                heard += 1;
                assert_eq!(brought(&line), Some(item(heard)));
            }
        }
        assert_eq!(heard, MAX_WAITING_LINES);
        let place = Place::After(Sequence::new(heard.to_string()));
        had.shards.insert(SHARD.to_owned(), place);
        let mut back = intake.tap(TOKEN, Some(&had)).expect("comes in again");
        intake.step_down();
        let mut rest = Vec::new();
        while let Some(line) = back.next().await {
            rest.extend(brought(&line));
        }
        assert_eq!(rest, (heard + 1..=all).map(item).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_follower_of_another_course_begins_anew() {
        let (intake, _items) = listened();
        intake.lead(TOKEN.to_owned());
        assert!(
            intake.tap(TOKEN, None).is_none(),
            "there is nothing to follow yet"
        );
        intake.begin(beginning()).await.expect("is heard");
        assert!(intake.tap("another", None).is_none());
        let mut tap = intake.tap(TOKEN, Some(&beginning())).expect("comes in");
        let first = tap.next().await.expect("a line");
        let first: Line = serde_json::from_slice(&first).expect("reads");
        assert_eq!(
            first,
            Line::Begin {
                places: intake.places().expect("has begun")
            }
        );
        intake.step_down();
        assert!(tap.next().await.is_none());
        assert!(intake.tap(TOKEN, None).is_none(), "the term is over");
    }

    #[tokio::test]
    async fn each_item_is_heard_once_and_what_was_missed_is_said() {
        let (intake, mut items) = listened();
        assert!(!intake.opened(Duration::ZERO).await);
        intake.begin(beginning()).await.expect("is heard");
        take(&intake, 1).await;
        take(&intake, 1).await;
        intake.advance(SHARD, Place::After(Sequence::new("3")));
        take(&intake, 2).await;
        take(&intake, 4).await;
        intake.begin(beginning()).await.expect("is heard");
        drop(intake);
        let mut heard = Vec::new();
        while let Some(item) = items.recv().await {
            heard.push(item);
        }
        let expected = [StreamItem::Lost, item(1), item(4), StreamItem::Lost];
        assert_eq!(heard, expected, "somebody was served before it opened");
    }
}
