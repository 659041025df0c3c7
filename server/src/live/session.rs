//! What one connection asks for, and what it gets.

mod talk;

use super::channel::Joined;
use super::frame::{self, Frame};
use super::lanes::Lanes;
use super::limits::{self, Bucket};
use super::moderate::unavailable;
use super::queues::Lane;
use super::snapshots::{Taken, in_time};
use super::state::LiveState;
use crate::events::Audience;
use app::ports::Viewer;
use serde::Deserialize;
use shared::LotId;
use shared::live::{Channel, ClientFrame, ErrorCode, Position, ServerMessage, close_code};
use shared::view::Person;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::Instant;

/// Channels of one socket: a page needs about five; the rest is for pages that are left and opened
/// faster than the server hears of it.
pub const MAX_CHANNELS: usize = 32;

/// Rooms whose crowd one socket may be in: the app is in one, and each costs a write every ten
/// seconds.
pub const MAX_CROWDS: usize = 4;

/// Malformed frames that a client may send in a connection's life.
const MAX_MALFORMED: u32 = 8;

/// Snapshots that are read before a subscription is given up: a second is needed only when more
/// than a whole ring of events came while the first was read.
const MAX_SNAPSHOTS: u32 = 3;

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    GoOn,
    /// The server closes it; the lanes know why.
    End,
}

/// One connection's state; leaving every channel when dropped.
pub(super) struct Session {
    live: LiveState,
    lanes: Arc<Lanes>,
    viewer: Viewer,
    channels: BTreeSet<Channel>,
    malformed: u32,
    frames: Bucket,
    chat: Bucket,
    reactions: Bucket,
    moderation: Bucket,
    subscriptions: Bucket,
    forgiven: Bucket,
}

impl Session {
    pub fn new(live: LiveState, lanes: Arc<Lanes>, viewer: Viewer) -> Self {
        let now = Instant::now();
        let session = Self {
            live,
            lanes,
            viewer,
            channels: BTreeSet::new(),
            malformed: 0,
            frames: Bucket::new(limits::FRAMES, now),
            chat: Bucket::new(limits::CHAT, now),
            reactions: Bucket::new(limits::REACTIONS, now),
            moderation: Bucket::new(limits::MODERATION, now),
            subscriptions: Bucket::new(limits::SUBSCRIPTIONS, now),
            forgiven: Bucket::new(limits::FORGIVEN, now),
        };
        let acting = session.viewer.person.as_ref();
        session.send(ServerMessage::Hello {
            acting: acting.map(|person| person.handle.clone()),
        });
        session
    }

    fn encode(&self, message: ServerMessage) -> Frame {
        frame::encode(&self.live.clock, message)
    }

    fn send(&self, message: ServerMessage) {
        self.lanes.send(Lane::Must, self.encode(message));
    }

    fn refuse(&self, id: u32, code: ErrorCode) {
        self.live.hub.counters.frames_refused.add(1);
        self.send(frame::error(Some(id), code));
    }

    /// Counts any frame, also those that say nothing; `id` names the refused one, if it is known.
    pub fn count_frame(&mut self, id: impl FnOnce() -> Option<u32>) -> Result<(), Flow> {
        if self.frames.take(Instant::now()) {
            return Ok(());
        }
        Err(self.too_fast(id()))
    }

    fn too_fast(&mut self, id: Option<u32>) -> Flow {
        self.live.hub.counters.frames_refused.add(1);
        self.send(frame::error(id, ErrorCode::RateLimited));
        if self.forgiven.take(Instant::now()) {
            Flow::GoOn
        } else {
            self.lanes.close(close_code::POLICY, "too many frames");
            Flow::End
        }
    }

    fn malformed(&mut self, id: Option<u32>) -> Flow {
        self.live.hub.counters.frames_refused.add(1);
        self.send(frame::error(id, ErrorCode::Malformed));
        self.malformed += 1;
        if self.malformed < MAX_MALFORMED {
            return Flow::GoOn;
        }
        self.lanes
            .close(close_code::POLICY, "too many malformed frames");
        Flow::End
    }

    /// Does what a text frame asks for.
    pub async fn text(&mut self, text: &str) -> Flow {
        if let Err(flow) = self.count_frame(|| id_of(text)) {
            return flow;
        }
        let Ok(frame) = serde_json::from_str::<ClientFrame>(text) else {
            return self.malformed(id_of(text));
        };
        match frame {
            ClientFrame::Ping { id } => self.send(ServerMessage::Pong { id }),
            ClientFrame::Unsubscribe { id, channel } => {
                self.leave(channel);
                self.send(ServerMessage::Done { id });
            }
            // Boxed, so that a connection that only listens stays small.
            ClientFrame::Subscribe { id, channel, since } => {
                if !self.subscriptions.take(Instant::now()) {
                    return self.too_fast(Some(id));
                }
                Box::pin(self.subscribe(id, channel, since)).await;
            }
            ClientFrame::Chat {
                id,
                lot,
                client_id,
                text,
            } => return Box::pin(self.say(id, lot, client_id, &text)).await,
            ClientFrame::React { id, lot, reaction } => {
                return Box::pin(self.react(id, lot, reaction)).await;
            }
            ClientFrame::History { id, lot, before } => {
                return Box::pin(self.history(id, lot, before)).await;
            }
            ClientFrame::Moderate { id, lot, action } => {
                return Box::pin(self.moderate(id, lot, action)).await;
            }
        }
        Flow::GoOn
    }

    fn audience(&self, channel: Channel) -> Result<Audience, ErrorCode> {
        match (channel, &self.viewer.person) {
            (Channel::Me, Some(person)) => Ok(Audience::Person(person.id)),
            (Channel::Me, None) => Err(ErrorCode::SignIn),
            (channel, _) => Ok(Audience::Channel(channel)),
        }
    }

    async fn subscribe(&mut self, id: u32, channel: Channel, since: Option<Position>) {
        if !self.has_room_for(channel) {
            return self.refuse(id, ErrorCode::TooManyChannels);
        }
        let audience = match self.audience(channel) {
            Ok(audience) => audience,
            Err(code) => return self.refuse(id, code),
        };
        // On the channel first, so that nothing is missed while the snapshot is read.
        self.live.hub.register(audience, &self.lanes);
        self.channels.insert(channel);
        let joined = match (channel, since) {
            (Channel::Lot(lot), Some(since)) if self.resume(id, lot, since) => Ok(()),
            _ => self.join(id, channel, audience, since).await,
        };
        match joined {
            Ok(()) => {
                if let Channel::Crowd(lot) = channel {
                    let person = self.viewer.person.clone();
                    self.live.rooms.enter(lot, self.lanes.id, person);
                }
            }
            Err(code) => {
                if !self.live.hub.go_back(audience, self.lanes.id) {
                    self.leave(channel);
                }
                self.refuse(id, code);
            }
        }
    }

    fn has_room_for(&self, channel: Channel) -> bool {
        let is_crowd = |channel: &&Channel| matches!(channel, Channel::Crowd(_));
        let crowds = self.channels.iter().filter(is_crowd).count();
        let fits = !is_crowd(&&channel) || crowds < MAX_CROWDS;
        self.channels.contains(&channel) || fits && self.channels.len() < MAX_CHANNELS
    }

    /// Whether the ledger may be asked for this lot; for one that is known it is not.
    fn may_ask_for(&mut self, lot: LotId) -> bool {
        self.live.known_lots.seller(lot).is_some() || self.subscriptions.take(Instant::now())
    }

    fn resume(&self, id: u32, lot: LotId, since: Position) -> bool {
        let reply = self.subscribed(id, Channel::Lot(lot), true);
        self.live.hub.resume(lot, self.lanes.id, since, reply)
    }

    fn subscribed(&self, id: u32, channel: Channel, recovered: bool) -> Frame {
        self.encode(ServerMessage::Subscribed {
            id,
            channel,
            recovered,
        })
    }

    async fn join(
        &self,
        id: u32,
        channel: Channel,
        audience: Audience,
        since: Option<Position>,
    ) -> Result<(), ErrorCode> {
        for _try in 0..MAX_SNAPSHOTS {
            let person = self.viewer.person.as_ref();
            let Taken { frame, at, is_drop } =
                self.live.snapshot(channel, audience, person).await?;
            // Exactly: what is ahead of the ledger itself is of a history that it no longer has.
            let up_to_date = at.is_some() && since == at && !is_drop;
            let mut first = vec![self.subscribed(id, channel, up_to_date)];
            if !up_to_date {
                first.push(frame);
            }
            match self.live.hub.join(audience, self.lanes.id, at, first) {
                Joined::Live => return Ok(()),
                Joined::Gone => break,
                Joined::TooOld => {}
            }
        }
        Err(ErrorCode::Unavailable)
    }

    fn person(&self) -> Result<&Person, ErrorCode> {
        self.viewer.person.as_ref().ok_or(ErrorCode::SignIn)
    }

    fn leave(&mut self, channel: Channel) {
        if self.channels.remove(&channel) {
            self.unregister(channel);
        }
    }

    fn unregister(&self, channel: Channel) {
        if let Ok(audience) = self.audience(channel) {
            self.live.hub.unregister(audience, self.lanes.id);
        }
        if let Channel::Crowd(lot) = channel {
            self.live.rooms.leave(lot, self.lanes.id);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for channel in std::mem::take(&mut self.channels) {
            self.unregister(channel);
        }
        self.live.hub.disconnect(self.lanes.id);
    }
}

/// The id of a frame that could not be read as a whole.
fn id_of(text: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u32,
    }
    serde_json::from_str::<OnlyId>(text)
        .ok()
        .map(|only| only.id)
}
