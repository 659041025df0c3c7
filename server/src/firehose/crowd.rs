//! Reactions and presence in a lot's room, and the crowd as a room shows it.

use super::keys::{self, Item};
use super::writes::{update, update_of};
use super::{Firehose, FirehoseError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use rand::Rng;
use shared::view::{BoardLine, CrowdView, MAX_TOP_LINES, MAX_WATCHERS_NAMED, Person, Reaction};
use shared::{LotId, PrincipalId, Timestamp};
use std::collections::BTreeMap;

/// How long a watcher counts after the last sign of life: three beats of 10 s.
pub const PRESENT_MS: i64 = 30_000;

/// How long a watcher's item stays, for tidiness only.
const PRESENCE_KEPT_MS: i64 = 3_600_000;

/// How long reactions stay after the last one.
const REACTIONS_KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Reads of a batch until all of its items have been given.
const MAX_BATCH_READS: u32 = 4;

/// Watchers read per shard of a room: 10,000 items of about 200 bytes are two pages.
const MAX_WATCHERS_READ: usize = 10_000;

impl Firehose {
    /// Adds to a room's reactions, all at once. The shard is any one, so that many nodes spread. A
    /// transaction by itself: its token keeps the SDK's retries from adding twice.
    pub(super) async fn add_reactions(
        &self,
        lot: LotId,
        counts: &BTreeMap<Reaction, u64>,
    ) -> Result<(), FirehoseError> {
        let now = self.clock.now();
        let shard = rand::rng().random_range(0..keys::SHARDS);
        let mut add = update_of(
            self.table(),
            keys::reactions_pk(lot, shard),
            keys::SK_TOTALS,
        )
        .expression_attribute_names("#kind", keys::KIND)
        .expression_attribute_names("#lot", keys::LOT)
        .expression_attribute_names("#expires", keys::EXPIRES_AT)
        .expression_attribute_values(":kind", keys::text(keys::KIND_REACTIONS))
        .expression_attribute_values(":lot", keys::text(lot.to_string()))
        .expression_attribute_values(":expires", keys::expires(now, REACTIONS_KEPT_MS));
        let mut sums = Vec::new();
        for (reaction, count) in counts {
            let word = reaction.word();
            sums.push(format!("#{word} :{word}"));
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            add = add
                .expression_attribute_names(format!("#{word}"), word)
                .expression_attribute_values(format!(":{word}"), keys::number(count));
        }
        let expression = format!(
            "ADD {} SET #kind = :kind, #lot = :lot, #expires = :expires",
            sums.join(", ")
        );
        let add = update(add.update_expression(expression))?;
        self.transact(vec![add], "count reactions").await?;
        Ok(())
    }

    /// Totals by reaction, those that are not zero: the sum of all shards, read in one call.
    ///
    /// # Errors
    /// When the table does not answer, or not for every shard.
    pub async fn reactions(&self, lot: LotId) -> Result<BTreeMap<Reaction, u64>, FirehoseError> {
        let mut asked = KeysAndAttributes::builder().consistent_read(true);
        for shard in 0..keys::SHARDS {
            asked = asked.keys(Item::from([
                (
                    keys::PK.to_owned(),
                    keys::text(keys::reactions_pk(lot, shard)),
                ),
                (keys::SK.to_owned(), keys::text(keys::SK_TOTALS)),
            ]));
        }
        let mut asked = Some(asked.build().map_err(Box::new)?);
        let mut totals = BTreeMap::new();
        for _try in 0..MAX_BATCH_READS {
            let Some(shards) = asked.take() else { break };
            let read = self
                .dynamo
                .batch_get_item()
                .request_items(self.table(), shards)
                .send()
                .await
                .map_err(FirehoseError::store("read reactions"))?;
            for item in read.responses.unwrap_or_default().into_values().flatten() {
                add_up(&mut totals, &item);
            }
            let left = read.unprocessed_keys.unwrap_or_default();
            asked = left.into_values().next();
        }
        match asked {
            None => Ok(totals),
            // A part of the sum would be a wrong number.
            Some(_) => Err(FirehoseError::NotRead {
                doing: "read reactions",
            }),
        }
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
                keys::text(keys::presence_pk(lot, keys::shard_of_watcher(watcher))),
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
        let put = self.dynamo.put_item().table_name(self.table());
        let put = put.set_item(Some(item));
        self.guarded(async {
            let sent = put.send().await;
            sent.map(|_put| ())
                .map_err(FirehoseError::store("touch presence"))
        })
        .await
    }

    /// Says that a watcher left the room.
    pub async fn leave(&self, lot: LotId, watcher: &str) -> Result<(), FirehoseError> {
        let pk = keys::presence_pk(lot, keys::shard_of_watcher(watcher));
        let delete = self
            .dynamo
            .delete_item()
            .table_name(self.table())
            .key(keys::PK, keys::text(pk))
            .key(keys::SK, keys::text(watcher));
        self.guarded(async {
            let sent = delete.send().await;
            sent.map(|_deleted| ())
                .map_err(FirehoseError::store("leave a room"))
        })
        .await
    }

    /// Who is in a room at `now`, what they feel and who is on top. A person in several windows is one watcher;
    /// guests count by window.
    pub async fn crowd(&self, lot: LotId, now: Timestamp) -> Result<CrowdView, FirehoseError> {
        self.guarded(async {
            let shards = (0..keys::SHARDS).map(|shard| {
                let pk = keys::presence_pk(lot, shard);
                self.whole_partition(pk, "read presence")
            });
            let watchers = futures::future::try_join_all(shards);
            let (watchers, totals) = futures::try_join!(watchers, self.totals(lot))?;
            Ok(totals.put_into(count(&watchers.concat(), now)))
        })
        .await
    }

    /// What a room feels and who is on top, as far as it is newer than a crowd that is known. Far
    /// less is read than for all of the crowd.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn crowd_with_new_totals(
        &self,
        lot: LotId,
        known: CrowdView,
    ) -> Result<CrowdView, FirehoseError> {
        let totals = self.guarded(self.totals(lot)).await?;
        Ok(totals.put_into(known))
    }

    async fn totals(&self, lot: LotId) -> Result<Totals, FirehoseError> {
        let top = self.read_top_of_lot(lot, MAX_TOP_LINES);
        let (reactions, top) = futures::try_join!(self.reactions(lot), top)?;
        Ok(Totals { reactions, top })
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

/// The part of a crowd that is not people.
struct Totals {
    reactions: BTreeMap<Reaction, u64>,
    top: Vec<BoardLine>,
}

impl Totals {
    fn put_into(self, crowd: CrowdView) -> CrowdView {
        CrowdView {
            reactions: self.reactions,
            top: self.top,
            ..crowd
        }
    }
}

fn add_up(totals: &mut BTreeMap<Reaction, u64>, shard: &Item) {
    for reaction in Reaction::ALL {
        let count = keys::number_of(shard, reaction.word()).unwrap_or(0);
        if let Ok(count @ 1..) = u64::try_from(count) {
            *totals.entry(reaction).or_default() += count;
        }
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
        top: Vec::new(),
    }
}
