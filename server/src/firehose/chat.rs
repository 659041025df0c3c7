//! Chat of a lot's room: writing, and reading back.
//!
//! A message is one transaction: the first use of its client id, its sender's voice (whose
//! condition is slow mode and the mute), the message. So two sockets of one person cannot both
//! pass, on whichever nodes they are, and a message is there once or not at all.

use super::keys::{self, Item};
use super::writes::{Transacted, put_first, update, update_of};
use super::{Firehose, FirehoseError};
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use shared::chat::{Silence, Voice};
use shared::view::{ChatMessage, ChatView, Person};
use shared::{LotId, MessageId, Timestamp};
use std::collections::HashMap;

/// How long a message stays.
const MESSAGE_KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// How long it stays known when somebody spoke: far longer than the slowest slow mode.
const VOICE_KEPT_MS: i64 = 24 * 3_600_000;

/// Reads of one page of history: each looks at a page of items, of which those that were removed
/// do not count.
const MAX_READS: u32 = 8;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is in the room.
    New(ChatMessage),
    /// Its sender used the client id in this room before: that message counts. `None` if it was
    /// removed meanwhile.
    Before(Option<ChatMessage>),
    /// Its sender may not speak now.
    Silenced(Silence),
}

/// The places of a transaction's writes.
const SAID: usize = 0;
const VOICE: usize = 2;

impl Firehose {
    /// Writes a message, unless its sender used its client id before in this room. `slow_s` is the
    /// room's slow mode in seconds; `None` for a moderator, who is bound by no rule of the room.
    ///
    /// # Errors
    /// When the table does not answer: then the message may be there, and the same client id tells.
    pub async fn post_message(
        &self,
        lot: LotId,
        message: ChatMessage,
        slow_s: Option<u32>,
    ) -> Result<Posted, FirehoseError> {
        let mut writes = vec![self.said(lot, &message)?, self.message(lot, &message)?];
        if let Some(slow_s) = slow_s {
            writes.push(self.voice(lot, &message, slow_s)?);
        }
        let done = self.transact(writes, "write a message").await?;
        if matches!(done, Transacted::Done) {
            return Ok(Posted::New(message));
        }
        if let Some(said) = done.met(SAID) {
            let first = said.get(keys::MESSAGE).and_then(|id| id.as_s().ok());
            let first = first.and_then(|id| id.parse().ok());
            let first = first.ok_or(FirehoseError::Unreadable {
                what: "the first use of a client id",
            })?;
            return self.message_by_id(lot, first).await.map(Posted::Before);
        }
        let voice = done.met(VOICE).map(voice_of).unwrap_or_default();
        match voice.may_speak(slow_s.unwrap_or(0), message.at) {
            Err(silence) => Ok(Posted::Silenced(silence)),
            // The condition in the table and the rule are the same.
            Ok(()) => Err(FirehoseError::Unreadable {
                what: "the refusal of a message",
            }),
        }
    }

    fn said(&self, lot: LotId, message: &ChatMessage) -> Result<TransactWriteItem, FirehoseError> {
        let said = Item::from([
            (
                keys::PK.to_owned(),
                keys::text(keys::said_pk(lot, message.who.id)),
            ),
            (keys::SK.to_owned(), keys::text(message.client_id.clone())),
            (keys::MESSAGE.to_owned(), keys::text(message.id.to_string())),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(message.at, MESSAGE_KEPT_MS),
            ),
        ]);
        put_first(self.table(), said)
    }

    fn message(
        &self,
        lot: LotId,
        message: &ChatMessage,
    ) -> Result<TransactWriteItem, FirehoseError> {
        let body = serde_json::to_string(message).map_err(FirehoseError::Encode)?;
        let writer = serde_json::to_string(&message.who).map_err(FirehoseError::Encode)?;
        let item = Item::from([
            (keys::PK.to_owned(), keys::text(keys::chat_pk(lot))),
            (keys::SK.to_owned(), keys::text(message.id.to_string())),
            (keys::KIND.to_owned(), keys::text(keys::KIND_CHAT)),
            (keys::LOT.to_owned(), keys::text(lot.to_string())),
            (keys::BODY.to_owned(), keys::text(body)),
            (keys::PERSON.to_owned(), keys::text(writer)),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(message.at, MESSAGE_KEPT_MS),
            ),
        ]);
        put_first(self.table(), item)
    }

    /// The condition is [`Voice::may_speak`] in the table's words.
    fn voice(
        &self,
        lot: LotId,
        message: &ChatMessage,
        slow_s: u32,
    ) -> Result<TransactWriteItem, FirehoseError> {
        let mut condition =
            "(attribute_not_exists(#muted_until) OR #muted_until <= :now)".to_owned();
        let pk = keys::voice_pk(lot, message.who.id);
        let mut voice = update_of(self.table(), pk, keys::SK_VOICE)
            .update_expression("SET #said_at = :now, #expires = :expires")
            .expression_attribute_names("#said_at", keys::SAID_AT)
            .expression_attribute_names("#muted_until", keys::MUTED_UNTIL)
            .expression_attribute_names("#expires", keys::EXPIRES_AT)
            .expression_attribute_values(":now", keys::number(message.at.0))
            .expression_attribute_values(":expires", keys::expires(message.at, VOICE_KEPT_MS));
        if slow_s > 0 {
            condition.push_str(" AND (attribute_not_exists(#said_at) OR #said_at <= :last)");
            let last = message.at.plus_ms(i64::from(slow_s) * -1_000);
            voice = voice.expression_attribute_values(":last", keys::number(last.0));
        }
        update(voice.condition_expression(condition))
    }

    /// A message that is there and was not removed.
    async fn message_by_id(
        &self,
        lot: LotId,
        message: MessageId,
    ) -> Result<Option<ChatMessage>, FirehoseError> {
        let item = self.message_item(lot, message).await?;
        let kept = item.filter(|item| !is_removed(item));
        kept.as_ref().map(message_of).transpose()
    }

    /// A message's item, removed or not.
    pub(super) async fn message_item(
        &self,
        lot: LotId,
        message: MessageId,
    ) -> Result<Option<Item>, FirehoseError> {
        let read = self
            .dynamo
            .get_item()
            .table_name(self.table())
            .consistent_read(true)
            .key(keys::PK, keys::text(keys::chat_pk(lot)))
            .key(keys::SK, keys::text(message.to_string()))
            .send()
            .await;
        Ok(read.map_err(FirehoseError::store("read a message"))?.item)
    }

    /// At most `limit` messages of a room, oldest first: the latest, or those before one of them.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn messages(
        &self,
        lot: LotId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<ChatView, FirehoseError> {
        let mut newest_first = Vec::new();
        let mut start: Option<HashMap<String, AttributeValue>> = None;
        let mut older = true;
        let mut reads = 0;
        // One more than wanted tells whether something is older.
        while older && newest_first.len() <= limit && reads < MAX_READS {
            let page = self.message_page(lot, before, limit, start.take()).await?;
            start = page.last_evaluated_key;
            older = start.is_some();
            for item in page.items.unwrap_or_default() {
                if !is_removed(&item) {
                    newest_first.push(message_of(&item)?);
                }
            }
            reads += 1;
        }
        let mut next = None;
        if newest_first.len() > limit {
            newest_first.truncate(limit);
            next = newest_first.last().map(|oldest| oldest.id);
        } else if older {
            // So many were removed that the page is not full: it goes on where reading stopped.
            let stopped_at = start.and_then(|key| key.get(keys::SK)?.as_s().ok()?.parse().ok());
            next = stopped_at;
        }
        newest_first.reverse();
        Ok(ChatView {
            messages: newest_first,
            before: next,
            slow_s: 0,
        })
    }

    async fn message_page(
        &self,
        lot: LotId,
        before: Option<MessageId>,
        limit: usize,
        start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<aws_sdk_dynamodb::operation::query::QueryOutput, FirehoseError> {
        let limit = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
        let query = self
            .dynamo
            .query()
            .table_name(self.table())
            .consistent_read(true)
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_values(":pk", keys::text(keys::chat_pk(lot)))
            .scan_index_forward(false)
            .limit(limit)
            .set_exclusive_start_key(start);
        let query = match before {
            None => query.key_condition_expression("#pk = :pk"),
            Some(before) => query
                .key_condition_expression("#pk = :pk AND #sk < :before")
                .expression_attribute_names("#sk", keys::SK)
                .expression_attribute_values(":before", keys::text(before.to_string())),
        };
        let read = query.send().await;
        read.map_err(FirehoseError::store("read messages"))
    }
}

/// What the table knows of a voice.
fn voice_of(item: &Item) -> Voice {
    Voice {
        said_at: keys::number_of(item, keys::SAID_AT).map(Timestamp),
        muted_until: keys::number_of(item, keys::MUTED_UNTIL).map(Timestamp),
    }
}

pub(super) fn is_removed(item: &Item) -> bool {
    keys::text_of(item, keys::KIND) == Some(keys::KIND_REMOVED)
}

/// Who wrote a message, removed or not; also who is muted.
pub(super) fn writer_of(item: &Item) -> Result<Person, FirehoseError> {
    let writer = keys::text_of(item, keys::PERSON);
    let writer = writer.and_then(|json| serde_json::from_str(json).ok());
    writer.ok_or(FirehoseError::Unreadable {
        what: "the writer of a message",
    })
}

/// Reads the message in an item.
pub(super) fn message_of(item: &Item) -> Result<ChatMessage, FirehoseError> {
    let unreadable = FirehoseError::Unreadable {
        what: "the body of a message",
    };
    let Some(body) = keys::text_of(item, keys::BODY) else {
        return Err(unreadable);
    };
    serde_json::from_str(body).map_err(|_malformed| unreadable)
}
