//! Chat of a lot's room.

use super::keys::{self, Item};
use super::{Firehose, FirehoseError};
use shared::LotId;
use shared::view::ChatMessage;

/// How long a message stays.
const MESSAGE_KEPT_MS: i64 = 7 * 24 * 3_600_000;

impl Firehose {
    /// Writes a message and answers the one that counts: for a client id that its sender used in
    /// this room before, that is the first message.
    ///
    /// The first use is remembered before the message is written, and a repeat writes the
    /// remembered message again, so a crash in between loses nothing.
    pub async fn post_message(
        &self,
        lot: LotId,
        message: ChatMessage,
    ) -> Result<ChatMessage, FirehoseError> {
        let body = serde_json::to_string(&message).map_err(FirehoseError::Encode)?;
        let said = Item::from([
            (
                keys::PK.to_owned(),
                keys::text(keys::said_pk(lot, message.who.id)),
            ),
            (keys::SK.to_owned(), keys::text(message.client_id.clone())),
            (keys::BODY.to_owned(), keys::text(body)),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(message.at, MESSAGE_KEPT_MS),
            ),
        ]);
        let first = self.put_once(said, "remember a message").await?;
        let message = if first {
            message
        } else {
            self.said_before(lot, &message).await?
        };
        self.put_message(lot, &message).await?;
        Ok(message)
    }

    async fn put_message(&self, lot: LotId, message: &ChatMessage) -> Result<(), FirehoseError> {
        let body = serde_json::to_string(message).map_err(FirehoseError::Encode)?;
        let item = Item::from([
            (keys::PK.to_owned(), keys::text(keys::chat_pk(lot))),
            (keys::SK.to_owned(), keys::text(message.id.to_string())),
            (keys::KIND.to_owned(), keys::text(keys::KIND_CHAT)),
            (keys::LOT.to_owned(), keys::text(lot.to_string())),
            (keys::BODY.to_owned(), keys::text(body)),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(message.at, MESSAGE_KEPT_MS),
            ),
        ]);
        let put = self.put_once(item, "write a message").await;
        put.map(|_first| ())
    }

    async fn said_before(
        &self,
        lot: LotId,
        message: &ChatMessage,
    ) -> Result<ChatMessage, FirehoseError> {
        let pk = keys::said_pk(lot, message.who.id);
        let read = self
            .dynamo
            .get_item()
            .table_name(self.table())
            .consistent_read(true)
            .key(keys::PK, keys::text(pk))
            .key(keys::SK, keys::text(message.client_id.clone()))
            .send()
            .await
            .map_err(FirehoseError::store("read a remembered message"))?;
        match read.item {
            Some(item) => message_of(&item),
            // It expired between the two calls: then this is the first use.
            None => Ok(message.clone()),
        }
    }

    /// The latest messages of a room, at most `limit`, oldest first.
    pub async fn recent_messages(
        &self,
        lot: LotId,
        limit: usize,
    ) -> Result<Vec<ChatMessage>, FirehoseError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX).max(1);
        let read = self
            .dynamo
            .query()
            .table_name(self.table())
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_values(":pk", keys::text(keys::chat_pk(lot)))
            .scan_index_forward(false)
            .limit(limit)
            .send()
            .await
            .map_err(FirehoseError::store("read messages"))?;
        let newest_first = read.items.unwrap_or_default();
        newest_first.iter().rev().map(message_of).collect()
    }
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
