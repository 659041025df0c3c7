//! From a record of the stream to what it means.

use super::keys::{self, Item};
use super::stream::{Sequence, StreamItem};
use super::{FirehoseError, chat, events, moderation};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::types::{AttributeValue as StreamValue, OperationType, Record};
use shared::{LotId, Timestamp};
use std::collections::{BTreeSet, HashMap};

/// The user that `DynamoDB` names when an item goes by its time to live.
const EXPIRY: &str = "dynamodb.amazonaws.com";

/// What a record means, and where it was.
pub(super) struct Told {
    /// Its place in its shard.
    pub sequence: Sequence,
    /// When it was written, by AWS's clock and to the second.
    pub written_at: Timestamp,
    /// What it says.
    pub item: StreamItem,
}

/// What a page of records means, in their order. A room whose crowd changed is named once.
/// Records that cannot be read are reported and left out: one bad item must not stop the rest.
pub(super) fn told_by(records: &[Record]) -> Vec<Told> {
    let mut all = Vec::with_capacity(records.len());
    let (mut crowds, mut totals) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        match item_of(record) {
            Ok(Some(StreamItem::CrowdChanged(lot))) if !crowds.insert(lot) => {}
            Ok(Some(StreamItem::TotalsChanged(lot))) if !totals.insert(lot) => {}
            Ok(Some(item)) => all.extend(placed(record, item)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a record of the stream was left out"),
        }
    }
    all
}

fn placed(record: &Record, item: StreamItem) -> Option<Told> {
    let change = record.dynamodb()?;
    let written_at = change.approximate_creation_date_time();
    Some(Told {
        sequence: Sequence::new(change.sequence_number()?),
        written_at: Timestamp(written_at?.to_millis().ok()?),
        item,
    })
}

fn item_of(record: &Record) -> Result<Option<StreamItem>, FirehoseError> {
    let Some(change) = record.dynamodb() else {
        return Ok(None);
    };
    match record.event_name() {
        Some(OperationType::Insert | OperationType::Modify) => {
            let Some(image) = change.new_image() else {
                return Ok(None);
            };
            meaning(&plain(image))
        }
        Some(OperationType::Remove) => {
            let by_expiry = record
                .user_identity()
                .is_some_and(|user| user.principal_id() == Some(EXPIRY));
            let pk = change.keys().and_then(|keys| keys.get(keys::PK));
            let lot = pk
                .and_then(|pk| pk.as_s().ok())
                .and_then(|pk| keys::lot_of_presence(pk));
            // A watcher that expires stopped counting long before.
            Ok(lot.filter(|_| !by_expiry).map(StreamItem::CrowdChanged))
        }
        _ => Ok(None),
    }
}

fn meaning(item: &Item) -> Result<Option<StreamItem>, FirehoseError> {
    let lot = || -> Result<LotId, FirehoseError> {
        let lot = keys::text_of(item, keys::LOT).and_then(|lot| lot.parse().ok());
        lot.ok_or(FirehoseError::Unreadable {
            what: "the lot of an item",
        })
    };
    Ok(match keys::text_of(item, keys::KIND) {
        Some(keys::KIND_EVENT) => Some(StreamItem::Event(Box::new(events::event_of(item)?))),
        Some(keys::KIND_CHAT) => {
            let message = Box::new(chat::message_of(item)?);
            Some(StreamItem::Chat(lot()?, message))
        }
        Some(keys::KIND_REMOVED) => {
            let message = keys::text_of(item, keys::SK).and_then(|id| id.parse().ok());
            let message = message.ok_or(FirehoseError::Unreadable {
                what: "the id of a removed message",
            })?;
            Some(StreamItem::Removed(lot()?, message))
        }
        Some(keys::KIND_RULES) => Some(StreamItem::Slow(lot()?, moderation::slow_of(item))),
        Some(keys::KIND_REACTIONS | keys::KIND_BOARD) => Some(StreamItem::TotalsChanged(lot()?)),
        Some(keys::KIND_PRESENCE) => {
            let joined = item.get(keys::JOINED).and_then(|j| j.as_bool().ok());
            let joined = joined.copied().unwrap_or(true);
            joined.then(lot).transpose()?.map(StreamItem::CrowdChanged)
        }
        _ => None,
    })
}

/// The stream's SDK has attribute values of its own; only the kinds that this program writes are
/// carried over.
fn plain(image: &HashMap<String, StreamValue>) -> Item {
    let carried = image.iter().filter_map(|(name, value)| {
        let value = if let StreamValue::S(text) = value {
            AttributeValue::S(text.clone())
        } else if let StreamValue::N(number) = value {
            AttributeValue::N(number.clone())
        } else {
            AttributeValue::Bool(*value.as_bool().ok()?)
        };
        Some((name.clone(), value))
    });
    carried.collect()
}
