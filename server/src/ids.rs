//! The one place that makes ids: v4 for rows of hot tables, whose writes must spread, v7 where
//! order by time helps.
#![expect(clippy::disallowed_methods, reason = "the one place that makes ids")]

use sha2::{Digest, Sha256};
use shared::{
    BidId, ClaimId, DeliveryId, EventId, HoldId, IdempotencyKey, LotId, MessageId, TransferId,
    WebhookEndpointId,
};
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

/// A fresh webhook endpoint.
#[must_use]
pub fn webhook_endpoint() -> WebhookEndpointId {
    WebhookEndpointId::from_uuid(Uuid::new_v4())
}

/// The delivery of an event to a webhook endpoint: always the same one, so that an event that is
/// queued twice is delivered once.
#[must_use]
pub fn delivery(endpoint: WebhookEndpointId, event: EventId) -> DeliveryId {
    let mut hash = Sha256::new();
    hash.update(endpoint.uuid().as_bytes());
    hash.update(event.uuid().as_bytes());
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    DeliveryId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// A fresh idempotency key: 122 random bits.
#[must_use]
pub fn key() -> IdempotencyKey {
    let text = format!("key-{}", Uuid::new_v4().simple());
    text.try_into()
        .unwrap_or_else(|_never| unreachable!("hexadecimal digits are printable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_follows_from_its_endpoint_and_its_event() {
        let (endpoint, event) = (webhook_endpoint(), event());
        let id = delivery(endpoint, event);
        assert_eq!(delivery(endpoint, event), id);
        assert_ne!(delivery(webhook_endpoint(), event), id);
        assert_ne!(delivery(endpoint, self::event()), id);
        assert_eq!(id.uuid().get_version_num(), 8);
    }
}
