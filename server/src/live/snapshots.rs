//! Snapshots of channels, read once for everybody who waits for one.
//!
//! After a restart thousands ask for the same room within seconds. Those who wait at the same time
//! share a read, and a channel is read at most twenty times a second. A read begins after everybody
//! whom it serves was put on the channel: so what it does not show reaches them as a push. What is
//! a person's own, on `me`, is gathered: the wallets of all who wait are one read.

use super::frame::{self, Frame};
use super::moderate::unavailable;
use super::state::LiveState;
use crate::events::Audience;
use app::ports::Social;
use shared::live::{Channel, ErrorCode, Position, ServerMessage, Snapshot};
use shared::view::{Person, Terms};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a store may take before a client is told to try again.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// The least time from one read of a channel to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Channels of which it is remembered when they were read.
const REMEMBERED: usize = 4_096;

/// A snapshot as it is sent, and its place if it has one.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub frame: Frame,
    pub at: Option<Position>,
    /// Whether it is the room of a drop, whose claims have no offset: who was away missed some of
    /// them, although the offset is the same.
    pub is_drop: bool,
}

type Answer = oneshot::Sender<Result<Taken, ErrorCode>>;

#[derive(Debug, Default)]
struct Waiting {
    for_it: Vec<Answer>,
    /// Whether somebody reads or is about to.
    has_reader: bool,
    read_at: Option<Instant>,
}

/// Who waits for which snapshot.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<BTreeMap<Audience, Waiting>>);

impl Snapshots {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Audience, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits with the others; answers whether a reader is needed.
    fn wait(&self, audience: Audience, answer: Answer) -> bool {
        let mut all = self.all();
        if all.len() > REMEMBERED {
            all.retain(|_, waiting| waiting.has_reader);
        }
        let waiting = all.entry(audience).or_default();
        waiting.for_it.push(answer);
        !std::mem::replace(&mut waiting.has_reader, true)
    }

    /// When the channel may be read again.
    fn due(&self, audience: Audience) -> Instant {
        let all = self.all();
        let read_at = all.get(&audience).and_then(|waiting| waiting.read_at);
        read_at.map_or_else(Instant::now, |at| at + PAUSE)
    }

    /// Everybody who waits now; nobody ends the reader's work.
    fn take(&self, audience: Audience) -> Vec<Answer> {
        let mut all = self.all();
        let Some(waiting) = all.get_mut(&audience) else {
            return Vec::new();
        };
        waiting.has_reader = !waiting.for_it.is_empty();
        waiting.read_at = Some(Instant::now());
        std::mem::take(&mut waiting.for_it)
    }
}

/// Whoever reads for the others. One that ends before its time leaves nobody waiting.
struct Reader<'a> {
    snapshots: &'a Snapshots,
    audience: Audience,
    reads: bool,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if self.reads {
            self.snapshots.all().remove(&self.audience);
        }
    }
}

impl LiveState {
    /// The snapshot of a channel, read after this was called. `person` is whom `me` is about.
    pub(super) async fn snapshot(
        &self,
        channel: Channel,
        audience: Audience,
        person: Option<&Person>,
    ) -> Result<Taken, ErrorCode> {
        // Nobody waits with somebody else for what is a person's own; the wallet's read is shared.
        if channel == Channel::Me {
            return in_time(self.take(channel, person)).await;
        }
        let (answer, taken) = oneshot::channel();
        if self.snapshots.wait(audience, answer) {
            let (live, person) = (self.clone(), person.cloned());
            self.tasks.spawn(async move {
                let cancel = live.cancel.clone();
                let reading = live.read_for_all(channel, audience, person);
                cancel.run_until_cancelled(reading).await;
            });
        }
        taken.await.unwrap_or(Err(ErrorCode::Unavailable))
    }

    /// Reads as long as somebody waits.
    async fn read_for_all(&self, channel: Channel, audience: Audience, person: Option<Person>) {
        let mut reader = Reader {
            snapshots: &self.snapshots,
            audience,
            reads: true,
        };
        loop {
            tokio::time::sleep_until(self.snapshots.due(audience)).await;
            let waiting = self.snapshots.take(audience);
            if waiting.is_empty() {
                reader.reads = false;
                return;
            }
            let taken = in_time(self.take(channel, person.as_ref())).await;
            for answer in waiting {
                // Who is gone needs none.
                let _gone = answer.send(taken.clone());
            }
        }
    }

    async fn take(&self, channel: Channel, person: Option<&Person>) -> Result<Taken, ErrorCode> {
        let Some((snapshot, at)) = self.read(channel, person).await? else {
            return Ok(Taken {
                frame: self.board_now(channel).await?,
                at: None,
                is_drop: false,
            });
        };
        if channel != Channel::Me {
            self.hub.counters.snapshots_read.add(1);
        }
        let mut is_drop = false;
        if let Snapshot::Room(room) = &snapshot {
            self.ticks.watch(&room.lot);
            self.hub.note_mechanism(&room.lot);
            is_drop = matches!(room.lot.terms, Terms::Drop { .. });
        }
        let snapshot = Box::new(snapshot);
        let message = ServerMessage::Snapshot { channel, snapshot };
        Ok(Taken {
            frame: frame::encode(&self.clock, message),
            at,
            is_drop,
        })
    }

    /// The snapshot and its place; `None` if the channel is a panel's.
    async fn read(
        &self,
        channel: Channel,
        person: Option<&Person>,
    ) -> Result<Option<(Snapshot, Option<Position>)>, ErrorCode> {
        let social = &self.firehose as &dyn Social;
        let snapshot = match channel {
            Channel::Lot(lot) => {
                let room = self.ledger.room(lot).await.map_err(unavailable)?;
                let room = room.ok_or(ErrorCode::NotFound)?;
                self.known_lots.add(lot, room.lot.seller.id);
                let at = Position {
                    epoch: room.lot.epoch,
                    offset: room.lot.offset,
                };
                return Ok(Some((Snapshot::Room(room), Some(at))));
            }
            Channel::Chat(lot) => {
                self.seller_of(lot).await?;
                Snapshot::Chat(social.chat(lot, None).await.map_err(unavailable)?)
            }
            Channel::Crowd(lot) => {
                self.seller_of(lot).await?;
                Snapshot::Crowd(social.crowd(lot).await.map_err(unavailable)?)
            }
            Channel::Floor => Snapshot::Floor(self.ledger.floor().await.map_err(unavailable)?),
            Channel::Me => {
                let person = person.ok_or(ErrorCode::SignIn)?;
                let wallet = self.wallets.get(person.id).await.map_err(unavailable)?;
                Snapshot::Me { wallet }
            }
            Channel::Vitals | Channel::Runs => return Ok(None),
        };
        Ok(Some((snapshot, None)))
    }
}

/// Gives a store so long.
pub(super) async fn in_time<T>(
    work: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    match tokio::time::timeout(STORE_TIMEOUT, work).await {
        Ok(done) => done,
        Err(_elapsed) => Err(ErrorCode::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::LotId;
    use uuid::Uuid;

    fn room() -> Audience {
        Audience::Channel(Channel::Lot(LotId::from_uuid(Uuid::from_u128(1))))
    }

    fn answer() -> Answer {
        oneshot::channel().0
    }

    #[test]
    fn those_who_wait_together_share_a_read() {
        let snapshots = Snapshots::default();
        assert!(snapshots.wait(room(), answer()), "the first needs a reader");
        assert!(!snapshots.wait(room(), answer()));
        assert_eq!(snapshots.take(room()).len(), 2);
        // Who comes while it is read is served by the next read, not by this one.
        assert!(!snapshots.wait(room(), answer()));
        assert_eq!(snapshots.take(room()).len(), 1);
        assert!(snapshots.take(room()).is_empty(), "the reader ends");
        assert!(snapshots.wait(room(), answer()), "and another is needed");
        assert!(snapshots.due(room()) > Instant::now(), "in a moment");
    }

    #[test]
    fn a_reader_that_ends_early_leaves_nobody_waiting() {
        let snapshots = Snapshots::default();
        let (answer, mut waits) = oneshot::channel();
        snapshots.wait(room(), answer);
        drop(Reader {
            snapshots: &snapshots,
            audience: room(),
            reads: true,
        });
        let gone = waits.try_recv();
        assert!(matches!(gone, Err(oneshot::error::TryRecvError::Closed)));
        assert!(snapshots.wait(room(), self::answer()));
    }
}
