//! How things are named in the table.

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest, Sha256};
use shared::feed::FeedCursor;
use shared::live::Position;
use shared::{Currency, EventId, LotId, PrincipalId, Timestamp};
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
pub(super) const MESSAGE: &str = "message";
pub(super) const SAID_AT: &str = "said_at";
pub(super) const MUTED_UNTIL: &str = "muted_until";
pub(super) const SLOW_S: &str = "slow_s";
pub(super) const BOARD: &str = "board";
pub(super) const AMOUNT: &str = "amount";
pub(super) const CURRENCY: &str = "currency";

pub(super) const KIND_EVENT: &str = "event";
pub(super) const KIND_CHAT: &str = "chat";
pub(super) const KIND_REACTIONS: &str = "reactions";
pub(super) const KIND_PRESENCE: &str = "presence";
pub(super) const KIND_REMOVED: &str = "removed";
pub(super) const KIND_RULES: &str = "rules";
pub(super) const KIND_BOARD: &str = "board";

/// Sort keys of partitions that hold one item.
pub(super) const SK_EVENT: &str = "event";
pub(super) const SK_TOTALS: &str = "totals";
pub(super) const SK_VOICE: &str = "voice";
pub(super) const SK_RULES: &str = "rules";

/// The partition that says for which hours there is activity.
pub(super) const FEED_PK: &str = "FEED";

const PRESENCE_PREFIX: &str = "PRESENCE#";

/// Partitions that anything hot is spread over: a room's reactions and watchers, an hour of
/// activity, a leaderboard. See "Hot keys" in the module's documentation. Raising it is safe for
/// reactions, activity and presence, whose readers ask every shard; a leaderboard would have to be
/// written anew, as each person has one shard of it.
pub(super) const SHARDS: u32 = 8;

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

pub(super) fn reactions_pk(lot: LotId, shard: u32) -> String {
    format!("REACTIONS#{lot}#{shard:02}")
}

pub(super) fn voice_pk(lot: LotId, who: PrincipalId) -> String {
    format!("VOICE#{lot}#{who}")
}

pub(super) fn room_pk(lot: LotId) -> String {
    format!("ROOM#{lot}")
}

pub(super) fn muted_pk(lot: LotId) -> String {
    format!("MUTED#{lot}")
}

pub(super) fn audit_pk(lot: LotId) -> String {
    format!("AUDIT#{lot}")
}

/// A moment and what makes it unique; 19 digits hold every positive `i64`.
pub(super) fn timed_sk(at: Timestamp, event: EventId) -> String {
    format!("{:019}#{event}", at.0.max(0))
}

pub(super) fn feed_sk(cursor: FeedCursor) -> String {
    timed_sk(cursor.at, cursor.event)
}

/// The hour of a moment, as in `2026-11-26T21`: text order is time order for four-digit years.
pub(super) fn hour(at: Timestamp) -> String {
    let written = DateTime::from_millis(at.0.max(0)).fmt(DateTimeFormat::DateTime);
    // Only years beyond 9999 cannot be written.
    let written = written.unwrap_or_default();
    written.chars().take(13).collect()
}

pub(super) fn feed_pk(hour: &str, shard: u32) -> String {
    format!("{FEED_PK}#{hour}#{shard:02}")
}

pub(super) fn lot_board_pk(lot: LotId, shard: u32) -> String {
    format!("BOARD#{lot}#{shard:02}")
}

pub(super) fn house_board_pk(currency: Currency, shard: u32) -> String {
    format!("BOARD#{}#{shard:02}", currency.code())
}

pub(super) fn presence_pk(lot: LotId, shard: u32) -> String {
    format!("{PRESENCE_PREFIX}{lot}#{shard:02}")
}

/// The lot of a watcher's partition, if the key is one.
pub(super) fn lot_of_presence(pk: &str) -> Option<LotId> {
    let (lot, _shard) = pk.strip_prefix(PRESENCE_PREFIX)?.split_once('#')?;
    lot.parse().ok()
}

/// The shard of something with an id: sums are kept by it, so it stays what it is. The last two
/// characters hardly count, so only what differs before them, as ids do, is spread.
pub(super) fn shard_of(id: &str) -> u32 {
    // FNV-1a, of which the upper bits are spread best.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let shard = (hash >> 32) % u64::from(SHARDS);
    u32::try_from(shard).unwrap_or(0)
}

/// The shard of a watcher. Those of one node differ in their last digits only, so every bit of the
/// hash has to be good.
pub(super) fn shard_of_watcher(watcher: &str) -> u32 {
    let first = Sha256::digest(watcher)[0];
    u32::from(first) % SHARDS
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

    #[test]
    fn an_hour_is_written_so_that_text_order_is_time_order() {
        let at = Timestamp(1_764_191_364_000);
        assert_eq!(hour(at), "2025-11-26T21");
        assert_eq!(hour(at.plus_ms(3_600_000)), "2025-11-26T22");
        assert_eq!(hour(Timestamp(-5)), "1970-01-01T00");
    }

    /// How many names each shard gets.
    fn hits(
        shard_of: fn(&str) -> u32,
        names: impl Iterator<Item = String>,
    ) -> [u32; SHARDS as usize] {
        let mut hits = [0; SHARDS as usize];
        for name in names {
            hits[usize::try_from(shard_of(&name)).expect("small")] += 1;
        }
        hits
    }

    #[test]
    fn names_are_spread_over_all_shards() {
        let id = |n: u128| PrincipalId::from_uuid(Uuid::from_u128(n << 64 | n)).to_string();
        let hits = hits(shard_of, (0..8_000).map(id));
        assert!(
            hits.iter().all(|hit| (500..2_000).contains(hit)),
            "{hits:?}"
        );
    }

    #[test]
    fn a_nodes_watchers_are_spread_over_all_shards() {
        let node = Uuid::from_u128(7);
        let hits = hits(
            shard_of_watcher,
            (1_000..9_000).map(|n| format!("{node}-{n}")),
        );
        assert!(
            hits.iter().all(|hit| (800..1_200).contains(hit)),
            "{hits:?}"
        );
    }

    /// What is in a table already is found by these.
    #[test]
    fn ids_keep_their_shards() {
        let ids = [
            "usr_00000000000000000000000000000001",
            "usr_01a2204c48367297999e93046ad06fe7",
            "usr_01a220520c01756280f055416364074c",
        ];
        assert_eq!(ids.map(shard_of), [0, 2, 7]);
    }

    proptest! {
        #[test]
        fn places_sort_as_text(a in (0_i64.., 0_i64..), b in (0_i64.., 0_i64..)) {
            let sk = |(epoch, offset)| event_sk(Position { epoch, offset });
            prop_assert_eq!(sk(a).cmp(&sk(b)), a.cmp(&b));
        }
    }
}
