//! The house's activity, hour by hour: written by the relay, read newest first.
//!
//! An hour's lines are spread over [`keys::SHARDS`] partitions, and one partition says which hours
//! have any, so that a quiet month is skipped in one read.

use super::keys::{self, Item};
use super::{Firehose, FirehoseError};
use crate::events::{EventBody, HouseEvent};
use shared::Timestamp;
use shared::feed::{FeedCursor, FeedPage};
use shared::view::Activity;
use std::sync::{Mutex, PoisonError};

/// How long a line stays.
const LINE_KEPT_MS: i64 = 30 * 24 * 3_600_000;

/// The hour that this node last made known.
#[derive(Debug, Default)]
pub(super) struct KnownHour(Mutex<String>);

impl KnownHour {
    fn is(&self, hour: &str) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == hour
    }

    fn set(&self, hour: &str) {
        hour.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The line that the activity shows of an event, if any.
pub(super) fn line_of(event: &HouseEvent) -> Option<&Activity> {
    match &event.body {
        EventBody::Opened { activity, .. }
        | EventBody::Lot {
            activity,
            listed: true,
            ..
        }
        | EventBody::Stock {
            activity,
            listed: true,
            ..
        } => Some(activity),
        EventBody::Lot { .. }
        | EventBody::Stock { .. }
        | EventBody::Wallet { .. }
        | EventBody::Notice { .. }
        | EventBody::Checkout(_) => None,
    }
}

impl Firehose {
    /// Writes an event's line, if it has one; a repeat changes nothing.
    pub(super) async fn put_line(&self, event: &HouseEvent) -> Result<(), FirehoseError> {
        let Some(line) = line_of(event) else {
            return Ok(());
        };
        let hour = keys::hour(event.at);
        // Before the first line of the hour: a line whose hour is not known would not be found.
        if !self.feed_hour.is(&hour) {
            let item = Item::from([
                (keys::PK.to_owned(), keys::text(keys::FEED_PK)),
                (keys::SK.to_owned(), keys::text(hour.clone())),
                (
                    keys::EXPIRES_AT.to_owned(),
                    keys::expires(event.at, LINE_KEPT_MS),
                ),
            ]);
            self.put_once(item, "begin an hour of activity").await?;
            self.feed_hour.set(&hour);
        }
        let shard = keys::shard_of(&event.id.to_string());
        let body = serde_json::to_string(line).map_err(FirehoseError::Encode)?;
        let item = Item::from([
            (keys::PK.to_owned(), keys::text(keys::feed_pk(&hour, shard))),
            (
                keys::SK.to_owned(),
                keys::text(keys::timed_sk(event.at, event.id)),
            ),
            (keys::BODY.to_owned(), keys::text(body)),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(event.at, LINE_KEPT_MS),
            ),
        ]);
        let put = self.put_once(item, "write a line of activity").await;
        put.map(|_first| ())
    }

    /// At most `limit` lines of the activity, newest first: the latest, or those before a place.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn feed(
        &self,
        before: Option<FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, FirehoseError> {
        self.guarded(self.read_feed(before, limit)).await
    }

    async fn read_feed(
        &self,
        before: Option<FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, FirehoseError> {
        let from = before.map_or_else(|| self.clock.now().plus_ms(60_000), |before| before.at);
        // Every hour has a line, so more of them than lines are never needed.
        let wanted = limit.saturating_add(1);
        let mut found: Vec<(FeedCursor, Activity)> = Vec::new();
        for hour in self.hours(from, wanted).await? {
            let shards = (0..keys::SHARDS)
                .map(|shard| self.lines(keys::feed_pk(&hour, shard), before, wanted));
            let shards = futures::future::try_join_all(shards).await?;
            let mut lines = shards.concat();
            lines.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
            found.append(&mut lines);
            if found.len() >= wanted {
                break;
            }
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|(cursor, _)| *cursor);
        Ok(FeedPage {
            next: last.filter(|_| has_more),
            lines: found.into_iter().map(|(_, line)| line).collect(),
        })
    }

    /// Hours with activity, from one on backwards.
    async fn hours(&self, from: Timestamp, most: usize) -> Result<Vec<String>, FirehoseError> {
        let read = self
            .dynamo
            .query()
            .table_name(self.table())
            .key_condition_expression("#pk = :pk AND #sk <= :hour")
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_names("#sk", keys::SK)
            .expression_attribute_values(":pk", keys::text(keys::FEED_PK))
            .expression_attribute_values(":hour", keys::text(keys::hour(from)))
            .scan_index_forward(false)
            .limit(i32::try_from(most).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(FirehoseError::store("read the hours of activity"))?;
        let hours = read.items.unwrap_or_default();
        let hour = |item: &Item| keys::text_of(item, keys::SK).map(str::to_owned);
        Ok(hours.iter().filter_map(hour).collect())
    }

    async fn lines(
        &self,
        pk: String,
        before: Option<FeedCursor>,
        most: usize,
    ) -> Result<Vec<(FeedCursor, Activity)>, FirehoseError> {
        let query = self
            .dynamo
            .query()
            .table_name(self.table())
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_values(":pk", keys::text(pk))
            .scan_index_forward(false)
            .limit(i32::try_from(most).unwrap_or(i32::MAX));
        let query = match before {
            None => query.key_condition_expression("#pk = :pk"),
            Some(before) => query
                .key_condition_expression("#pk = :pk AND #sk < :before")
                .expression_attribute_names("#sk", keys::SK)
                .expression_attribute_values(":before", keys::text(keys::feed_sk(before))),
        };
        let read = query.send().await;
        let read = read.map_err(FirehoseError::store("read the activity"))?;
        let items = read.items.unwrap_or_default();
        items.iter().map(read_line).collect()
    }
}

fn read_line(item: &Item) -> Result<(FeedCursor, Activity), FirehoseError> {
    let read = || {
        let (at, event) = keys::text_of(item, keys::SK)?.split_once('#')?;
        let cursor = FeedCursor {
            at: Timestamp(at.parse().ok()?),
            event: event.parse().ok()?,
        };
        let line = serde_json::from_str(keys::text_of(item, keys::BODY)?).ok()?;
        Some((cursor, line))
    };
    read().ok_or(FirehoseError::Unreadable {
        what: "a line of the activity",
    })
}
