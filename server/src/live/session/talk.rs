//! What one connection says in rooms: messages, reactions, older messages, moderation. Nothing here
//! touches money.

use super::super::frame;
use super::super::queues::Lane;
use super::{Flow, Session, in_time, unavailable};
use crate::firehose::{Posted, chat_text};
use crate::ids;
use shared::chat::{Moderation, Silence};
use shared::live::{ErrorCode, ServerMessage};
use shared::view::{ChatMessage, Reaction};
use shared::{LotId, MessageId};
use std::sync::Arc;
use tokio::time::Instant;

/// The longest client id of a message, in bytes.
const MAX_CLIENT_ID: usize = 64;

/// Why a message was not taken.
enum Unsaid {
    Refused(ErrorCode),
    Silenced(Silence),
}

impl From<ErrorCode> for Unsaid {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

impl Session {
    pub(super) async fn say(&mut self, id: u32, lot: LotId, client_id: String, text: &str) -> Flow {
        if client_id.is_empty() || client_id.len() > MAX_CLIENT_ID {
            return self.malformed(Some(id));
        }
        if !self.chat.take(Instant::now()) || !self.may_ask_for(lot) {
            return self.too_fast(Some(id));
        }
        match self.post(lot, client_id, text).await {
            Ok(message) => {
                if let Some(message) = message {
                    self.live.hub.deliver_chat(lot, message);
                }
                self.send(ServerMessage::Done { id });
            }
            Err(Unsaid::Refused(code)) => self.refuse(id, code),
            Err(Unsaid::Silenced(silence)) => {
                self.live.hub.counters.frames_refused.add(1);
                self.send(frame::silence(id, silence, self.live.clock.now()));
            }
        }
        Flow::GoOn
    }

    /// The message as it is in the room; `None` if it was there before and is removed.
    async fn post(
        &self,
        lot: LotId,
        client_id: String,
        text: &str,
    ) -> Result<Option<ChatMessage>, Unsaid> {
        let who = self.person()?.clone();
        let text = chat_text::clean(text).map_err(|_refusal| ErrorCode::InvalidText)?;
        let seller = in_time(self.live.seller_of(lot)).await?;
        let message = ChatMessage {
            id: ids::message(),
            client_id,
            who,
            region: self.viewer.region,
            text,
            at: self.live.clock.now(),
        };
        let bound = !self.viewer.moderates(seller);
        let said = self.live.firehose.say(lot, message, bound);
        let said = in_time(async {
            said.await
                .map_err(|error| unavailable(error.into_failure()))
        });
        match said.await? {
            Posted::New(message) => Ok(Some(message)),
            Posted::Before(message) => Ok(message),
            Posted::Silenced(silence) => Err(Unsaid::Silenced(silence)),
        }
    }

    /// A room's reactions are written together a few times a second. The answer comes when they are;
    /// what the socket says next does not wait for it.
    pub(super) async fn react(&mut self, id: u32, lot: LotId, reaction: Reaction) -> Flow {
        if !self.reactions.take(Instant::now()) || !self.may_ask_for(lot) {
            return self.too_fast(Some(id));
        }
        let may = async {
            self.person()?;
            self.live.seller_of(lot).await
        };
        if let Err(code) = in_time(may).await {
            self.refuse(id, code);
            return Flow::GoOn;
        }
        let (live, lanes) = (self.live.clone(), Arc::clone(&self.lanes));
        let cancel = live.cancel.clone();
        let counting = async move {
            let counted = in_time(async {
                let counted = live.firehose.react(lot, reaction).await;
                counted.map_err(|error| unavailable(error.into_failure()))
            });
            let answer = match counted.await {
                Ok(()) => {
                    live.rooms.totals_changed(lot);
                    frame::encode(&live.clock, ServerMessage::Done { id })
                }
                Err(code) => {
                    live.hub.counters.frames_refused.add(1);
                    frame::encode(&live.clock, frame::error(Some(id), code))
                }
            };
            lanes.send(Lane::Must, answer);
        };
        self.live.tasks.spawn(async move {
            cancel.run_until_cancelled(counting).await;
        });
        Flow::GoOn
    }

    pub(super) async fn history(&mut self, id: u32, lot: LotId, before: MessageId) -> Flow {
        // One token covers the question about the lot too.
        if !self.subscriptions.take(Instant::now()) {
            return self.too_fast(Some(id));
        }
        let social = &self.live.firehose as &dyn app::ports::Social;
        let read = async {
            self.live.seller_of(lot).await?;
            social.chat(lot, Some(before)).await.map_err(unavailable)
        };
        match in_time(read).await {
            Ok(page) => self.send(ServerMessage::History {
                id,
                messages: page.messages,
                before: page.before,
            }),
            Err(code) => self.refuse(id, code),
        }
        Flow::GoOn
    }

    pub(super) async fn moderate(&mut self, id: u32, lot: LotId, action: Moderation) -> Flow {
        if !self.moderation.take(Instant::now()) || !self.may_ask_for(lot) {
            return self.too_fast(Some(id));
        }
        let done = self.live.moderate(&self.viewer, lot, &action);
        match in_time(done).await {
            Ok(()) => self.send(ServerMessage::Done { id }),
            Err(code) => self.refuse(id, code),
        }
        Flow::GoOn
    }
}
