//! The event log: what the outbox relay writes and the hub reads to fill a gap.

use super::boards::Scores;
use super::keys::{self, Item};
use super::{Firehose, FirehoseError};
use crate::events::{Aggregate, EventBody, HouseEvent};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use futures::StreamExt;
use shared::live::{LotEvent, Position};
use shared::{EventId, LotId};
use std::collections::BTreeMap;
use std::pin::pin;

/// How long an event stays: a week, far beyond the stream's own day.
const EVENT_KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Aggregates that are written at the same time: with 5 ms a put, 3,000 events a second.
const MAX_PARALLEL: usize = 16;

/// Events of one aggregate on their way at the same time. One after another, a hot lot's events
/// fall behind: an append is a round trip, and a lot takes hundreds of bids a second.
const MAX_AHEAD: usize = 4;

/// Events of one answer when a gap is filled; `DynamoDB` ends a page at 1 MB anyway.
const MAX_EVENTS_READ: usize = 1_000;

/// What became of a batch of events.
#[derive(Debug, Default)]
pub struct Appended {
    /// The events that are in the log now.
    pub published: Vec<EventId>,
    /// The events that failed, and why. Those that are in neither list were not tried, or are not
    /// known to be written.
    pub failed: Vec<(EventId, FirehoseError)>,
}

impl Firehose {
    /// Writes an event to the log, its line to the activity and its amounts to leaderboards; a
    /// repeat changes nothing. All at the same time, as none rests on another: an event is done
    /// once all of it is.
    ///
    /// # Errors
    /// When the table does not answer, or does not take the event: some of it may be written.
    pub async fn append_event(&self, event: &HouseEvent) -> Result<(), FirehoseError> {
        let scores = Scores::of(event);
        let highest = async {
            match scores.highest {
                Some((lot, line)) => self.put_highest(lot, line).await,
                None => Ok(()),
            }
        };
        futures::try_join!(self.log(event, &scores), self.put_line(event), highest)?;
        Ok(())
    }

    async fn log(&self, event: &HouseEvent, scores: &Scores<'_>) -> Result<(), FirehoseError> {
        let body = serde_json::to_string(event).map_err(FirehoseError::Encode)?;
        let (pk, sk) = match &event.body {
            EventBody::Lot { lot, position, .. } => {
                (keys::event_pk_of_lot(*lot), keys::event_sk(*position))
            }
            EventBody::Opened { .. }
            | EventBody::Stock { .. }
            | EventBody::Wallet { .. }
            | EventBody::Notice { .. }
            | EventBody::Checkout(_) => (keys::event_pk(event.id), keys::SK_EVENT.to_owned()),
        };
        let item = Item::from([
            (keys::PK.to_owned(), keys::text(pk)),
            (keys::SK.to_owned(), keys::text(sk)),
            (keys::KIND.to_owned(), keys::text(keys::KIND_EVENT)),
            (keys::BODY.to_owned(), keys::text(body)),
            (
                keys::EXPIRES_AT.to_owned(),
                keys::expires(event.at, EVENT_KEPT_MS),
            ),
        ]);
        match &event.body {
            EventBody::Checkout(checkout) => self.append_checkout(item, checkout).await,
            EventBody::Opened { .. }
            | EventBody::Lot { .. }
            | EventBody::Stock { .. }
            | EventBody::Wallet { .. }
            | EventBody::Notice { .. } => {
                let additions = self.additions(scores)?;
                let put = self.put_once_with(item, additions, "log an event");
                put.await.map(|_first| ())
            }
        }
    }

    /// Writes events to the log: those of one aggregate in the given order, a few ahead of the
    /// oldest that is on its way, aggregates beside each other. So an event may be there a moment
    /// before the one that comes before it: the hub puts them in order. An aggregate stops at its
    /// first failure, whose successors count as not written, and once the table does not answer no
    /// further aggregate begins: the rest comes again with the next batch.
    pub async fn append_events(&self, events: &[HouseEvent]) -> Appended {
        let mut by_aggregate: BTreeMap<Aggregate, Vec<&HouseEvent>> = BTreeMap::new();
        for event in events {
            by_aggregate
                .entry(event.aggregate())
                .or_default()
                .push(event);
        }
        let mut groups = Vec::new();
        for group in by_aggregate.into_values() {
            groups.push(self.append_in_order(group));
        }
        let mut done = futures::stream::iter(groups).buffer_unordered(MAX_PARALLEL);
        let mut all = Appended::default();
        while let Some(part) = done.next().await {
            let answers = part
                .failed
                .iter()
                .all(|(_, failure)| failure.is_permanent());
            all.published.extend(part.published);
            all.failed.extend(part.failed);
            if !answers {
                break;
            }
        }
        all
    }

    async fn append_in_order(&self, events: Vec<&HouseEvent>) -> Appended {
        let mut part = Appended::default();
        let append = async |event: &HouseEvent| (event.id, self.append_event(event).await);
        // The first one alone: a table that does not answer is not asked more often than needed.
        let mut events = events.into_iter();
        let Some(first) = events.next() else {
            return part;
        };
        let first = futures::stream::once(append(first));
        let rest = futures::stream::iter(events.map(append)).buffered(MAX_AHEAD);
        let mut appended = pin!(first.chain(rest));
        while let Some((id, appended)) = appended.next().await {
            match appended {
                Ok(()) => part.published.push(id),
                Err(failure) => {
                    part.failed.push((id, failure));
                    break;
                }
            }
        }
        part
    }

    /// The events of a lot's history after one offset and up to another, in order, as far as the
    /// log has them.
    pub async fn lot_events(
        &self,
        lot: LotId,
        epoch: i64,
        after: i64,
        through: i64,
    ) -> Result<Vec<(Position, LotEvent)>, FirehoseError> {
        if through <= after {
            return Ok(Vec::new());
        }
        let sk = |offset| keys::text(keys::event_sk(Position { epoch, offset }));
        let mut pages = self
            .dynamo
            .query()
            .table_name(self.table())
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :first AND :last")
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_names("#sk", keys::SK)
            .expression_attribute_values(":pk", keys::text(keys::event_pk_of_lot(lot)))
            .expression_attribute_values(":first", sk(after.saturating_add(1)))
            .expression_attribute_values(":last", sk(through))
            .into_paginator()
            .items()
            .send();
        let mut events = Vec::new();
        while events.len() < MAX_EVENTS_READ
            && let Some(item) = pages.next().await
        {
            let item = item.map_err(FirehoseError::store("read events of a lot"))?;
            let event = event_of(&item)?;
            if let EventBody::Lot {
                position, event, ..
            } = event.body
            {
                events.push((position, event));
            }
        }
        Ok(events)
    }

    /// Puts an item unless one is there under its keys; answers whether it was the first.
    pub(super) async fn put_once(
        &self,
        item: Item,
        doing: &'static str,
    ) -> Result<bool, FirehoseError> {
        let sent = self
            .dynamo
            .put_item()
            .table_name(self.table())
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", keys::PK)
            .send()
            .await;
        match sent {
            Ok(_put) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(FirehoseError::store(doing)(error)),
        }
    }
}

/// Reads the event in an item of the log.
pub(super) fn event_of(item: &Item) -> Result<HouseEvent, FirehoseError> {
    let unreadable = FirehoseError::Unreadable {
        what: "the body of an event",
    };
    let Some(body) = keys::text_of(item, keys::BODY) else {
        return Err(unreadable);
    };
    serde_json::from_str(body).map_err(|_malformed| unreadable)
}
