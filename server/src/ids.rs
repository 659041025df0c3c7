//! The one place that makes ids: v4 for rows of hot tables, whose writes must spread, v7 where
//! order by time helps.
#![expect(clippy::disallowed_methods, reason = "the one place that makes ids")]

use shared::{BidId, ClaimId, EventId, HoldId, IdempotencyKey, LotId, MessageId, TransferId};
use uuid::Uuid;

/// A fresh lot.
#[must_use]
pub fn lot() -> LotId {
    LotId::from_uuid(Uuid::new_v4())
}

/// A fresh bid.
#[must_use]
pub fn bid() -> BidId {
    BidId::from_uuid(Uuid::new_v4())
}

/// A fresh claim.
#[must_use]
pub fn claim() -> ClaimId {
    ClaimId::from_uuid(Uuid::new_v4())
}

/// A fresh hold.
#[must_use]
pub fn hold() -> HoldId {
    HoldId::from_uuid(Uuid::new_v4())
}

/// A fresh transfer.
#[must_use]
pub fn transfer() -> TransferId {
    TransferId::from_uuid(Uuid::new_v4())
}

/// A fresh event, ordered by time.
#[must_use]
pub fn event() -> EventId {
    EventId::from_uuid(Uuid::now_v7())
}

/// A fresh message, ordered by time.
#[must_use]
pub fn message() -> MessageId {
    MessageId::from_uuid(Uuid::now_v7())
}

/// A fresh idempotency key: 122 random bits.
#[must_use]
pub fn key() -> IdempotencyKey {
    let text = format!("key-{}", Uuid::new_v4().simple());
    text.try_into()
        .unwrap_or_else(|_never| unreachable!("hexadecimal digits are printable"))
}
