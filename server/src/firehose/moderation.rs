//! Moderation of a room, and what it leaves behind.
//!
//! Each action is one transaction with its line of the audit. A mute and slow mode bind through the
//! condition of the next message, so a mute acts at once everywhere; slow mode acts within
//! [`RULES_AGE`], the age to which a node trusts what it read of a room's rules.

use super::chat::{Posted, is_removed, writer_of};
use super::keys::{self, Item};
use super::writes::{Transacted, delete, put_over, update, update_of};
use super::{Firehose, FirehoseError};
use crate::ids;
use aws_sdk_dynamodb::types::TransactWriteItem;
use shared::chat::{AuditLine, FOR_GOOD, Moderation, Muted};
use shared::view::{ChatMessage, Person};
use shared::{LotId, MessageId, PrincipalId, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long what was read of a room's rules is trusted: a change acts on every node within it.
pub const RULES_AGE: Duration = Duration::from_millis(900);

/// Rooms whose rules are remembered; beyond it the memory begins anew.
const MAX_ROOMS: usize = 4_096;

/// How long the audit, and a mute without an end, are kept: longer than any lot lives.
const KEPT_MS: i64 = 400 * 24 * 3_600_000;

/// Lines of the audit, or muted people, that are read at once.
const MAX_LISTED: usize = 100;

/// Who moderates, and whether that is their business in this room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moderator {
    /// Who.
    pub person: Person,
    /// Whether they are the lot's seller or an operator.
    pub moderates: bool,
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moderated {
    /// It is done, by this action or by one before it.
    Done,
    /// There is no such message, or nobody of that name is muted.
    NotFound,
    /// Somebody else may do it.
    Forbidden,
}

/// The rules of rooms as this node knows them.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<BTreeMap<LotId, (Instant, u32)>>);

impl Rules {
    fn known(&self, lot: LotId) -> Option<u32> {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, slow_s) = rooms.get(&lot)?;
        (read_at.elapsed() < RULES_AGE).then_some(*slow_s)
    }

    fn learn(&self, lot: LotId, slow_s: u32) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() >= MAX_ROOMS {
            rooms.clear();
        }
        rooms.insert(lot, (Instant::now(), slow_s));
    }
}

impl Firehose {
    /// A room's slow mode in seconds, as it was at most [`RULES_AGE`] ago.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn slow_mode(&self, lot: LotId) -> Result<u32, FirehoseError> {
        if let Some(slow_s) = self.rules.known(lot) {
            return Ok(slow_s);
        }
        let read = self
            .dynamo
            .get_item()
            .table_name(self.table())
            .consistent_read(true)
            .key(keys::PK, keys::text(keys::room_pk(lot)))
            .key(keys::SK, keys::text(keys::SK_RULES))
            .send()
            .await
            .map_err(FirehoseError::store("read a room's rules"))?;
        let slow_s = read.item.as_ref().map_or(0, slow_of);
        self.rules.learn(lot, slow_s);
        Ok(slow_s)
    }

    /// Takes a message into a room. Who is `bound` by the room's rules may be silenced.
    ///
    /// # Errors
    /// When the table does not answer: then the message may be there, and the same client id tells.
    pub async fn say(
        &self,
        lot: LotId,
        message: ChatMessage,
        bound: bool,
    ) -> Result<Posted, FirehoseError> {
        self.guarded(async {
            let slow_s = if bound {
                Some(self.slow_mode(lot).await?)
            } else {
                None
            };
            self.post_message(lot, message, slow_s).await
        })
        .await
    }

    /// Does what a moderator asks for, whose duration has been tested.
    ///
    /// # Errors
    /// When the table does not answer; every action may be repeated.
    pub async fn moderate(
        &self,
        lot: LotId,
        by: &Moderator,
        action: &Moderation,
    ) -> Result<Moderated, FirehoseError> {
        // Whose message it is, is looked at later.
        if !action.is_allowed(by.moderates, true) {
            return Ok(Moderated::Forbidden);
        }
        self.guarded(async {
            match action {
                Moderation::Remove { message } => self.remove(lot, *message, by, action).await,
                Moderation::Mute { message, seconds } => {
                    self.mute(lot, *message, *seconds, by, action).await
                }
                Moderation::Unmute { who } => self.unmute(lot, *who, by, action).await,
                Moderation::Slow { seconds } => self.slow(lot, *seconds, by, action).await,
            }
        })
        .await
    }

    /// What stays of a removed message is that there was one, and who wrote it.
    async fn remove(
        &self,
        lot: LotId,
        message: MessageId,
        by: &Moderator,
        action: &Moderation,
    ) -> Result<Moderated, FirehoseError> {
        let Some(item) = self.message_item(lot, message).await? else {
            return Ok(Moderated::NotFound);
        };
        let writer = writer_of(&item)?;
        if !action.is_allowed(by.moderates, writer.id == by.person.id) {
            return Ok(Moderated::Forbidden);
        }
        if is_removed(&item) {
            return Ok(Moderated::Done);
        }
        let sk = message.to_string();
        let removed = update_of(self.table(), keys::chat_pk(lot), &sk)
            .update_expression("SET #kind = :removed REMOVE #body")
            .condition_expression("#kind = :chat")
            .expression_attribute_names("#kind", keys::KIND)
            .expression_attribute_names("#body", keys::BODY)
            .expression_attribute_values(":removed", keys::text(keys::KIND_REMOVED))
            .expression_attribute_values(":chat", keys::text(keys::KIND_CHAT));
        let writes = vec![
            update(removed)?,
            self.audit_line(lot, by, action, Some(writer))?,
        ];
        match self.transact(writes, "remove a message").await? {
            // Refused: somebody else removed it meanwhile, or it expired.
            Transacted::Done | Transacted::Refused(_) => Ok(Moderated::Done),
        }
    }

    async fn mute(
        &self,
        lot: LotId,
        message: MessageId,
        seconds: Option<u32>,
        by: &Moderator,
        action: &Moderation,
    ) -> Result<Moderated, FirehoseError> {
        let Some(item) = self.message_item(lot, message).await? else {
            return Ok(Moderated::NotFound);
        };
        let writer = writer_of(&item)?;
        let now = self.clock.now();
        let until = seconds.map_or(FOR_GOOD, |seconds| now.plus_ms(i64::from(seconds) * 1_000));
        let muted = Item::from([
            (keys::PK.to_owned(), keys::text(keys::muted_pk(lot))),
            (keys::SK.to_owned(), keys::text(writer.id.to_string())),
            (keys::MUTED_UNTIL.to_owned(), keys::number(until.0)),
            (
                keys::PERSON.to_owned(),
                keys::text(serde_json::to_string(&writer).map_err(FirehoseError::Encode)?),
            ),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(now, until.since_ms(now).min(KEPT_MS)),
            ),
        ]);
        let voice = self.set_mute(lot, writer.id, until)?;
        let writes = vec![
            voice,
            put_over(self.table(), muted)?,
            self.audit_line(lot, by, action, Some(writer))?,
        ];
        self.transact(writes, "mute somebody").await?;
        Ok(Moderated::Done)
    }

    async fn unmute(
        &self,
        lot: LotId,
        who: PrincipalId,
        by: &Moderator,
        action: &Moderation,
    ) -> Result<Moderated, FirehoseError> {
        let pk = keys::muted_pk(lot);
        let read = self
            .dynamo
            .get_item()
            .table_name(self.table())
            .consistent_read(true)
            .key(keys::PK, keys::text(pk.clone()))
            .key(keys::SK, keys::text(who.to_string()))
            .send()
            .await
            .map_err(FirehoseError::store("read who is muted"))?;
        let Some(muted) = read.item else {
            return Ok(Moderated::NotFound);
        };
        let writes = vec![
            self.set_mute(lot, who, self.clock.now())?,
            delete(self.table(), pk, &who.to_string())?,
            self.audit_line(lot, by, action, Some(writer_of(&muted)?))?,
        ];
        self.transact(writes, "unmute somebody").await?;
        Ok(Moderated::Done)
    }

    fn set_mute(
        &self,
        lot: LotId,
        who: PrincipalId,
        until: Timestamp,
    ) -> Result<TransactWriteItem, FirehoseError> {
        let expires = keys::expires(self.clock.now(), KEPT_MS);
        let voice = update_of(self.table(), keys::voice_pk(lot, who), keys::SK_VOICE)
            .update_expression("SET #muted_until = :until, #expires = :expires")
            .expression_attribute_names("#muted_until", keys::MUTED_UNTIL)
            .expression_attribute_names("#expires", keys::EXPIRES_AT)
            .expression_attribute_values(":until", keys::number(until.0))
            .expression_attribute_values(":expires", expires);
        update(voice)
    }

    async fn slow(
        &self,
        lot: LotId,
        seconds: u32,
        by: &Moderator,
        action: &Moderation,
    ) -> Result<Moderated, FirehoseError> {
        let rules = Item::from([
            (keys::PK.to_owned(), keys::text(keys::room_pk(lot))),
            (keys::SK.to_owned(), keys::text(keys::SK_RULES)),
            (keys::KIND.to_owned(), keys::text(keys::KIND_RULES)),
            (keys::LOT.to_owned(), keys::text(lot.to_string())),
            (keys::SLOW_S.to_owned(), keys::number(seconds.into())),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(self.clock.now(), KEPT_MS),
            ),
        ]);
        let writes = vec![
            put_over(self.table(), rules)?,
            self.audit_line(lot, by, action, None)?,
        ];
        self.transact(writes, "set slow mode").await?;
        self.rules.learn(lot, seconds);
        Ok(Moderated::Done)
    }

    fn audit_line(
        &self,
        lot: LotId,
        by: &Moderator,
        what: &Moderation,
        whom: Option<Person>,
    ) -> Result<TransactWriteItem, FirehoseError> {
        let at = self.clock.now();
        let line = AuditLine {
            at,
            by: by.person.clone(),
            what: what.clone(),
            whom,
        };
        let body = serde_json::to_string(&line).map_err(FirehoseError::Encode)?;
        let item = Item::from([
            (keys::PK.to_owned(), keys::text(keys::audit_pk(lot))),
            (
                keys::SK.to_owned(),
                keys::text(keys::timed_sk(at, ids::event())),
            ),
            (keys::BODY.to_owned(), keys::text(body)),
            (keys::EXPIRES_AT.to_owned(), keys::expires(at, KEPT_MS)),
        ]);
        put_over(self.table(), item)
    }

    /// What was done in a room, newest first, the last hundred lines.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn audit(&self, lot: LotId) -> Result<Vec<AuditLine>, FirehoseError> {
        let items = self.listed(keys::audit_pk(lot), "read the audit").await?;
        let line = |item: &Item| {
            let body = keys::text_of(item, keys::BODY);
            let line = body.and_then(|body| serde_json::from_str(body).ok());
            line.ok_or(FirehoseError::Unreadable {
                what: "a line of the audit",
            })
        };
        items.iter().map(line).collect()
    }

    /// Who is muted in a room now, at most a hundred.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn muted(&self, lot: LotId) -> Result<Vec<Muted>, FirehoseError> {
        let mut pages = self
            .dynamo
            .query()
            .table_name(self.table())
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .filter_expression("#muted_until > :now")
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_names("#muted_until", keys::MUTED_UNTIL)
            .expression_attribute_values(":pk", keys::text(keys::muted_pk(lot)))
            .expression_attribute_values(":now", keys::number(self.clock.now().0))
            .into_paginator()
            .items()
            .send();
        let mut muted = Vec::new();
        while muted.len() < MAX_LISTED
            && let Some(item) = pages.next().await
        {
            let item = item.map_err(FirehoseError::store("read who is muted"))?;
            let until = keys::number_of(&item, keys::MUTED_UNTIL).map(Timestamp);
            let until = until.filter(|until| *until != FOR_GOOD);
            let who = writer_of(&item)?;
            muted.push(Muted { who, until });
        }
        Ok(muted)
    }

    async fn listed(&self, pk: String, doing: &'static str) -> Result<Vec<Item>, FirehoseError> {
        let read = self
            .dynamo
            .query()
            .table_name(self.table())
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_values(":pk", keys::text(pk))
            .scan_index_forward(false)
            .limit(i32::try_from(MAX_LISTED).unwrap_or(i32::MAX))
            .send()
            .await;
        let read = read.map_err(FirehoseError::store(doing))?;
        Ok(read.items.unwrap_or_default())
    }
}

/// The slow mode in a room's rules, in seconds.
pub(super) fn slow_of(item: &Item) -> u32 {
    let seconds = keys::number_of(item, keys::SLOW_S);
    seconds
        .and_then(|seconds| seconds.try_into().ok())
        .unwrap_or(0)
}
