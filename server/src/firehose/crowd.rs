//! Reactions and presence in a lot's room.

use super::keys::{self, Item};
use super::{Firehose, FirehoseError};
use aws_sdk_dynamodb::types::AttributeValue;
use shared::view::{CrowdView, MAX_WATCHERS_NAMED, Person, Reaction};
use shared::{LotId, PrincipalId, Timestamp};
use std::collections::BTreeMap;

/// How long a watcher counts after the last sign of life: three beats of 10 s.
pub const PRESENT_MS: i64 = 30_000;

/// How long a watcher's item stays, for tidiness only.
const PRESENCE_KEPT_MS: i64 = 3_600_000;

/// How long reactions stay after the last one.
const REACTIONS_KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Watchers read per shard of a room: 10,000 items of about 200 bytes are two pages.
const MAX_WATCHERS_READ: usize = 10_000;

impl Firehose {
    /// Counts one reaction.
    pub async fn react(&self, lot: LotId, reaction: Reaction) -> Result<(), FirehoseError> {
        let now = self.clock.now();
        // The clock's low bits spread the writes once there is more than one shard.
        let shard = u32::try_from(now.0.rem_euclid(i64::from(keys::CROWD_SHARDS))).unwrap_or(0);
        self.dynamo
            .update_item()
            .table_name(self.table())
            .key(keys::PK, keys::text(keys::reactions_pk(lot)))
            .key(keys::SK, keys::text(keys::shard_sk(shard)))
            .update_expression(
                "ADD #reaction :one SET #kind = :kind, #lot = :lot, #expires = :expires",
            )
            .expression_attribute_names("#reaction", reaction.word())
            .expression_attribute_names("#kind", keys::KIND)
            .expression_attribute_names("#lot", keys::LOT)
            .expression_attribute_names("#expires", keys::EXPIRES_AT)
            .expression_attribute_values(":one", keys::number(1))
            .expression_attribute_values(":kind", keys::text(keys::KIND_REACTIONS))
            .expression_attribute_values(":lot", keys::text(lot.to_string()))
            .expression_attribute_values(":expires", keys::expires(now, REACTIONS_KEPT_MS))
            .send()
            .await
            .map_err(FirehoseError::store("count a reaction"))?;
        Ok(())
    }

    /// Totals by reaction, those that are not zero.
    pub async fn reactions(&self, lot: LotId) -> Result<BTreeMap<Reaction, u64>, FirehoseError> {
        let mut totals = BTreeMap::new();
        let pk = keys::reactions_pk(lot);
        for item in self.whole_partition(pk, "read reactions").await? {
            for reaction in Reaction::ALL {
                let count = keys::number_of(&item, reaction.word()).unwrap_or(0);
                if let Ok(count @ 1..) = u64::try_from(count) {
                    *totals.entry(reaction).or_default() += count;
                }
            }
        }
        Ok(totals)
    }

    /// Says that a watcher is in the room now. `joined` marks the first sign of life, which others
    /// should hear of; later ones only keep the watcher counted.
    pub async fn touch_presence(
        &self,
        lot: LotId,
        watcher: &str,
        person: Option<&Person>,
        joined: bool,
        now: Timestamp,
    ) -> Result<(), FirehoseError> {
        let mut item = Item::from([
            (
                keys::PK.to_owned(),
                keys::text(keys::presence_pk(lot, keys::shard_of(watcher))),
            ),
            (keys::SK.to_owned(), keys::text(watcher)),
            (keys::KIND.to_owned(), keys::text(keys::KIND_PRESENCE)),
            (keys::LOT.to_owned(), keys::text(lot.to_string())),
            (keys::SEEN_AT.to_owned(), keys::number(now.0)),
            (keys::JOINED.to_owned(), AttributeValue::Bool(joined)),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(now, PRESENCE_KEPT_MS),
            ),
        ]);
        if let Some(person) = person {
            let person = serde_json::to_string(person).map_err(FirehoseError::Encode)?;
            item.insert(keys::PERSON.to_owned(), keys::text(person));
        }
        self.dynamo
            .put_item()
            .table_name(self.table())
            .set_item(Some(item))
            .send()
            .await
            .map_err(FirehoseError::store("touch presence"))?;
        Ok(())
    }

    /// Says that a watcher left the room.
    pub async fn leave(&self, lot: LotId, watcher: &str) -> Result<(), FirehoseError> {
        let pk = keys::presence_pk(lot, keys::shard_of(watcher));
        self.dynamo
            .delete_item()
            .table_name(self.table())
            .key(keys::PK, keys::text(pk))
            .key(keys::SK, keys::text(watcher))
            .send()
            .await
            .map_err(FirehoseError::store("leave a room"))?;
        Ok(())
    }

    /// Who is in a room at `now` and what they feel. A person in several windows is one watcher;
    /// guests count by window.
    pub async fn crowd(&self, lot: LotId, now: Timestamp) -> Result<CrowdView, FirehoseError> {
        let watchers = async {
            let mut all = Vec::new();
            for shard in 0..keys::CROWD_SHARDS {
                let pk = keys::presence_pk(lot, shard);
                all.extend(self.whole_partition(pk, "read presence").await?);
            }
            Ok::<_, FirehoseError>(all)
        };
        let (watchers, reactions) = futures::try_join!(watchers, self.reactions(lot))?;
        let mut crowd = count(&watchers, now);
        crowd.reactions = reactions;
        Ok(crowd)
    }

    async fn whole_partition(
        &self,
        pk: String,
        doing: &'static str,
    ) -> Result<Vec<Item>, FirehoseError> {
        let mut pages = self
            .dynamo
            .query()
            .table_name(self.table())
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_values(":pk", keys::text(pk))
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while items.len() < MAX_WATCHERS_READ
            && let Some(item) = pages.next().await
        {
            items.push(item.map_err(FirehoseError::store(doing))?);
        }
        Ok(items)
    }
}

fn count(watchers: &[Item], now: Timestamp) -> CrowdView {
    let mut people: BTreeMap<PrincipalId, Person> = BTreeMap::new();
    let mut guests = 0_u32;
    for item in watchers {
        let seen_at = keys::number_of(item, keys::SEEN_AT).map(Timestamp);
        if seen_at.is_none_or(|seen| now.since_ms(seen) >= PRESENT_MS) {
            continue;
        }
        let person = keys::text_of(item, keys::PERSON);
        match person.and_then(|json| serde_json::from_str::<Person>(json).ok()) {
            Some(person) => {
                people.insert(person.id, person);
            }
            None => guests = guests.saturating_add(1),
        }
    }
    let named = u32::try_from(people.len()).unwrap_or(u32::MAX);
    let mut people: Vec<Person> = people.into_values().collect();
    people.sort_by(|a, b| a.handle.cmp(&b.handle));
    people.truncate(MAX_WATCHERS_NAMED);
    CrowdView {
        watchers: guests.saturating_add(named),
        people,
        reactions: BTreeMap::new(),
    }
}
