//! What a webhook says: a body of `type`, `timestamp` and `data`, under 20 KB.

use serde::Serialize;
use shared::{EventId, Timestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The most bytes of a body. Standard Webhooks asks for bodies under 20 KB, since receivers limit
/// what they read.
pub const MAX_BODY_BYTES: usize = 20_000;

/// The most letters of an event's type.
const MAX_KIND_BYTES: usize = 64;

/// Something that receivers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvent {
    id: EventId,
    kind: &'static str,
    body: String,
}

/// Why something cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The type is not of the form `purchase.committed`.
    #[error("an event's type is small letters, digits, underscores and dots")]
    Kind,
    /// The data cannot be written as JSON, or its time as text.
    #[error("the event cannot be written as JSON")]
    Unwritable,
    /// The body is too long.
    #[error("the event's body would be longer than {MAX_BODY_BYTES} bytes")]
    TooLong,
}

#[derive(Serialize)]
struct Body<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: String,
    data: &'a T,
}

impl WebhookEvent {
    /// An event. Its id decides what a repeat is: each webhook endpoint hears of it once.
    ///
    /// # Errors
    /// [`EventError`] when it cannot be told.
    pub fn new(
        id: EventId,
        kind: &'static str,
        at: Timestamp,
        data: &impl Serialize,
    ) -> Result<Self, EventError> {
        let part = |part: &str| {
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            !part.is_empty() && part.bytes().all(allowed)
        };
        if kind.len() > MAX_KIND_BYTES || !kind.split('.').all(part) {
            return Err(EventError::Kind);
        }
        let body = Body {
            kind,
            timestamp: rfc3339(at).ok_or(EventError::Unwritable)?,
            data,
        };
        let body = serde_json::to_string(&body).map_err(|_unwritable| EventError::Unwritable)?;
        if body.len() > MAX_BODY_BYTES {
            return Err(EventError::TooLong);
        }
        Ok(Self { id, kind, body })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The text that is sent.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }
}

fn rfc3339(at: Timestamp) -> Option<String> {
    let nanoseconds = i128::from(at.0) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    at.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &'static str, data: &serde_json::Value) -> Result<WebhookEvent, EventError> {
        let id = crate::ids::event();
        WebhookEvent::new(id, kind, Timestamp(1_763_813_789_042), data)
    }

    #[test]
    fn a_body_has_type_time_and_data() {
        let event = event("purchase.committed", &json!({ "id": "pur_1" })).expect("an event");
        assert_eq!(
            event.body(),
            r#"{"type":"purchase.committed","timestamp":"2025-11-22T12:16:29.042Z","data":{"id":"pur_1"}}"#
        );
    }

    #[test]
    fn long_bodies_and_odd_types_are_refused() {
        let long = json!("x".repeat(MAX_BODY_BYTES));
        assert_eq!(event("a", &long), Err(EventError::TooLong));
        let short = json!("x".repeat(MAX_BODY_BYTES - 100));
        assert!(event("a", &short).is_ok());
        for kind in ["", ".", "a.", "A", "a b", "a\n", "é"] {
            assert_eq!(event(kind, &json!(1)), Err(EventError::Kind), "{kind:?}");
        }
    }
}
