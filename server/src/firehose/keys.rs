//! How things are named in the table.

use aws_sdk_dynamodb::types::AttributeValue;
use shared::live::Position;
use shared::{EventId, LotId, PrincipalId, Timestamp};
use std::collections::HashMap;

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
pub(super) const KIND: &str = "kind";
pub(super) const BODY: &str = "body";
pub(super) const LOT: &str = "lot";
pub(super) const SEEN_AT: &str = "seen_at";
pub(super) const JOINED: &str = "joined";
pub(super) const PERSON: &str = "person";
pub(super) const EXPIRES_AT: &str = "expires_at";

pub(super) const KIND_EVENT: &str = "event";
pub(super) const KIND_CHAT: &str = "chat";
pub(super) const KIND_REACTIONS: &str = "reactions";
pub(super) const KIND_PRESENCE: &str = "presence";

const PRESENCE_PREFIX: &str = "PRESENCE#";

/// Partitions that a room's reactions and watchers are spread over. One takes about 1,000 writes
/// a second; raising it is safe at any time, as reads ask every shard.
pub(super) const CROWD_SHARDS: u32 = 1;

pub(super) fn event_pk_of_lot(lot: LotId) -> String {
    format!("EVENT#{lot}")
}

pub(super) fn event_pk(event: EventId) -> String {
    format!("EVENT#{event}")
}

/// 19 digits hold every positive `i64`, so that text order is number order.
pub(super) fn event_sk(position: Position) -> String {
    let Position { epoch, offset } = position;
    format!("{:019}#{:019}", epoch.max(0), offset.max(0))
}

pub(super) fn chat_pk(lot: LotId) -> String {
    format!("CHAT#{lot}")
}

pub(super) fn said_pk(lot: LotId, who: PrincipalId) -> String {
    format!("SAID#{lot}#{who}")
}

pub(super) fn reactions_pk(lot: LotId) -> String {
    format!("REACTIONS#{lot}")
}

pub(super) fn shard_sk(shard: u32) -> String {
    format!("{shard:02}")
}

pub(super) fn presence_pk(lot: LotId, shard: u32) -> String {
    format!("{PRESENCE_PREFIX}{lot}#{shard:02}")
}

/// The lot of a watcher's partition, if the key is one.
pub(super) fn lot_of_presence(pk: &str) -> Option<LotId> {
    let (lot, _shard) = pk.strip_prefix(PRESENCE_PREFIX)?.split_once('#')?;
    lot.parse().ok()
}

/// The shard of a watcher: any spread will do, as long as it stays.
pub(super) fn shard_of(key: &str) -> u32 {
    let sum = key.bytes().fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    sum.checked_rem(CROWD_SHARDS).unwrap_or(0)
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The moment after which the item may go, in the seconds that `DynamoDB` wants.
pub(super) fn expires(from: Timestamp, after_ms: i64) -> AttributeValue {
    number(from.plus_ms(after_ms).0.div_euclid(1000))
}

pub(super) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(super) fn number_of(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[test]
    fn a_watchers_key_tells_the_lot() {
        let lot = LotId::from_uuid(Uuid::from_u128(7));
        assert_eq!(lot_of_presence(&presence_pk(lot, 3)), Some(lot));
        assert_eq!(lot_of_presence(&chat_pk(lot)), None);
        assert_eq!(lot_of_presence("PRESENCE#x#00"), None);
    }

    proptest! {
        #[test]
        fn places_sort_as_text(a in (0_i64.., 0_i64..), b in (0_i64.., 0_i64..)) {
            let sk = |(epoch, offset)| event_sk(Position { epoch, offset });
            prop_assert_eq!(sk(a).cmp(&sk(b)), a.cmp(&b));
        }
    }
}
