//! The one place that makes ids: v4 for rows of hot tables, whose writes must spread, v7 where
//! order by time helps.
#![expect(clippy::disallowed_methods, reason = "the one place that makes ids")]

use sha2::{Digest, Sha256};
use shared::{
    ApiKeyId, BidId, ClaimId, DeliveryId, EventId, HoldId, IdempotencyKey, ItemId, LotId,
    MandateId, MerchantId, MessageId, PrincipalId, PurchaseId, TransferId, WebhookEndpointId,
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
    let (endpoint, event) = (endpoint.uuid(), event.uuid());
    DeliveryId::from_uuid(hashed(&[
        b"delivery",
        endpoint.as_bytes(),
        event.as_bytes(),
    ]))
}

/// A fresh idempotency key: 122 random bits.
#[must_use]
pub fn key() -> IdempotencyKey {
    let text = format!("key-{}", Uuid::new_v4().simple());
    text.try_into()
        .unwrap_or_else(|_never| unreachable!("hexadecimal digits are printable"))
}

/// A fresh merchant.
#[must_use]
pub fn merchant() -> MerchantId {
    MerchantId::from_uuid(Uuid::new_v4())
}

/// A fresh item.
#[must_use]
pub fn item() -> ItemId {
    ItemId::from_uuid(Uuid::new_v4())
}

/// A fresh mandate.
#[must_use]
pub fn mandate() -> MandateId {
    MandateId::from_uuid(Uuid::new_v4())
}

/// A fresh API key's id.
#[must_use]
pub fn api_key() -> ApiKeyId {
    ApiKeyId::from_uuid(Uuid::new_v4())
}

/// The purchase of a tenant's key. The id is the key's hash, so the purchase's row is also the
/// key's: a second settlement under the same key is a duplicate of its primary key, for ever.
#[must_use]
pub fn purchase(tenant: PrincipalId, key: &IdempotencyKey) -> PurchaseId {
    let uuid = tenant.uuid();
    PurchaseId::from_uuid(hashed(&[
        b"purchase",
        uuid.as_bytes(),
        key.as_str().as_bytes(),
    ]))
}

/// The webhook endpoint of a tenant's key: the same key names the same endpoint.
#[must_use]
pub fn webhook_endpoint_of(tenant: PrincipalId, key: &IdempotencyKey) -> WebhookEndpointId {
    let (tenant, key) = (tenant.uuid(), key.as_str().as_bytes());
    WebhookEndpointId::from_uuid(hashed(&[b"webhook endpoint", tenant.as_bytes(), key]))
}

/// A key with whose it is and what it is for.
#[must_use]
pub fn keyed(owner: PrincipalId, route: &str, key: &IdempotencyKey) -> Uuid {
    let (owner, key) = (owner.uuid(), key.as_str().as_bytes());
    hashed(&[b"key", owner.as_bytes(), route.as_bytes(), key])
}

/// The row of an intent, by its tenant-independent text.
#[must_use]
pub fn intent(text: &str) -> Uuid {
    hashed(&[b"intent", text.as_bytes()])
}

/// 122 bits of a SHA-256 over parts, as a UUID of version 8.
fn hashed(parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        // The length in front keeps parts from flowing into each other.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(digest) {
        *byte = hashed;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
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
