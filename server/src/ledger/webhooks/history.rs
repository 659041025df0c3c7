//! What owners read of their deliveries.

use super::super::transaction::{Tx, TxError};
use super::small;
use shared::{DeliveryId, EventId, PrincipalId, Timestamp, WebhookEndpointId};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The most deliveries of a page.
const MAX_PAGE: u32 = 100;

/// The most tries that are shown of a delivery, the newest ones: ten replays.
const MAX_ATTEMPTS: i64 = 100;

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its next try.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    /// The word as stored, and as scripts read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// One event on its way to one webhook endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The `webhook-id`.
    pub id: DeliveryId,
    /// To whom.
    pub endpoint: WebhookEndpointId,
    /// What it tells of.
    pub event: EventId,
    /// The event's type.
    pub kind: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Tries so far, of all replays.
    pub tries: u16,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// What the receiver answered last.
    pub last_status: Option<u16>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When the receiver took it.
    pub delivered_at: Option<Timestamp>,
}

/// A delivery with what was sent and its tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryDetail {
    /// The delivery.
    pub delivery: Delivery,
    /// What it says.
    pub body: String,
    /// Its tries, the first one first.
    pub attempts: Vec<AttemptLine>,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptLine {
    /// Its number, from 1.
    pub attempt: u16,
    /// When it began.
    pub at: Timestamp,
    /// What the receiver answered.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took.
    pub took_ms: i64,
}

/// Some deliveries, and where the next ones begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The deliveries, the newest first.
    pub deliveries: Vec<Delivery>,
    /// What to ask for next; `None` after the last.
    pub next: Option<Cursor>,
}

/// A place in the list: the delivery that a page ended with. Its text is for machines only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    created_at_ms: i64,
    delivery: Uuid,
}

impl Cursor {
    /// Before the newest.
    const START: Self = Self {
        created_at_ms: i64::MAX,
        delivery: Uuid::max(),
    };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created_at_ms, self.delivery.simple())
    }
}

/// The text is no place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor of a list of deliveries")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (created, delivery) = text.split_once('-').ok_or(CursorError)?;
        let cursor = Self {
            created_at_ms: created.parse().map_err(|_malformed| CursorError)?,
            delivery: delivery.parse().map_err(|_malformed| CursorError)?,
        };
        // One way to write each.
        if cursor.to_string() == text {
            Ok(cursor)
        } else {
            Err(CursorError)
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    delivery_id: Uuid,
    endpoint_id: Uuid,
    event_id: Uuid,
    event_type: String,
    state: String,
    tries: i16,
    next_at_ms: Option<i64>,
    created_at_ms: i64,
    last_status: Option<i32>,
    last_error: Option<String>,
    delivered_at_ms: Option<i64>,
}

macro_rules! columns {
    () => {
        "SELECT delivery_id, endpoint_id, event_id, event_type, state, tries, next_at_ms,
                created_at_ms, last_status, last_error, delivered_at_ms
         FROM webhook_deliveries "
    };
}

impl Row {
    const fn cursor(&self) -> Cursor {
        Cursor {
            created_at_ms: self.created_at_ms,
            delivery: self.delivery_id,
        }
    }

    fn read(self) -> Result<Delivery, TxError> {
        let state = match self.state.as_str() {
            "pending" => DeliveryState::Pending,
            "delivered" => DeliveryState::Delivered,
            "failed" => DeliveryState::Failed,
            _ => return Err(TxError::Corrupt("state of a delivery")),
        };
        Ok(Delivery {
            id: DeliveryId::from_uuid(self.delivery_id),
            endpoint: WebhookEndpointId::from_uuid(self.endpoint_id),
            event: EventId::from_uuid(self.event_id),
            kind: self.event_type,
            state,
            tries: small(self.tries)?,
            next_at: self.next_at_ms.map(Timestamp),
            created_at: Timestamp(self.created_at_ms),
            last_status: self.last_status.map(small).transpose()?,
            last_error: self.last_error,
            delivered_at: self.delivered_at_ms.map(Timestamp),
        })
    }
}

/// A page of a tenant's deliveries, of one webhook endpoint or of all.
///
/// # Errors
/// What the database says.
pub async fn page(
    tx: &mut Tx,
    tenant: PrincipalId,
    endpoint: Option<WebhookEndpointId>,
    after: Option<Cursor>,
    limit: u32,
) -> Result<DeliveryPage, TxError> {
    let limit = limit.clamp(1, MAX_PAGE);
    let after = after.unwrap_or(Cursor::START);
    let query = if let Some(endpoint) = endpoint {
        sqlx::query_as(concat!(
            columns!(),
            "WHERE tenant_id = $1 AND (created_at_ms, delivery_id) < ($2, $3) AND endpoint_id = $5
             ORDER BY created_at_ms DESC, delivery_id DESC LIMIT $4"
        ))
        .bind(tenant.uuid())
        .bind(after.created_at_ms)
        .bind(after.delivery)
        .bind(i64::from(limit) + 1)
        .bind(endpoint.uuid())
    } else {
        sqlx::query_as(concat!(
            columns!(),
            "WHERE tenant_id = $1 AND (created_at_ms, delivery_id) < ($2, $3)
             ORDER BY created_at_ms DESC, delivery_id DESC LIMIT $4"
        ))
        .bind(tenant.uuid())
        .bind(after.created_at_ms)
        .bind(after.delivery)
        .bind(i64::from(limit) + 1)
    };
    let mut rows: Vec<Row> = tx.fetch_all(query).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    // One more than asked for says whether there is a next page.
    let has_more = rows.len() > wanted;
    rows.truncate(wanted);
    let next = rows.last().filter(|_| has_more).map(Row::cursor);
    let deliveries: Result<Vec<Delivery>, TxError> = rows.into_iter().map(Row::read).collect();
    Ok(DeliveryPage {
        deliveries: deliveries?,
        next,
    })
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    attempt: i16,
    at_ms: i64,
    status: Option<i32>,
    error: Option<String>,
    duration_ms: i64,
}

impl AttemptRow {
    fn read(self) -> Result<AttemptLine, TxError> {
        Ok(AttemptLine {
            attempt: small(self.attempt)?,
            at: Timestamp(self.at_ms),
            status: self.status.map(small).transpose()?,
            error: self.error,
            took_ms: self.duration_ms,
        })
    }
}

/// One delivery of a tenant.
///
/// # Errors
/// What the database says.
pub async fn one(
    tx: &mut Tx,
    tenant: PrincipalId,
    id: DeliveryId,
) -> Result<Option<DeliveryDetail>, TxError> {
    let query = sqlx::query_as(concat!(
        columns!(),
        "WHERE delivery_id = $1 AND tenant_id = $2"
    ));
    let query = query.bind(id.uuid()).bind(tenant.uuid());
    let Some(row): Option<Row> = tx.fetch_all(query).await?.pop() else {
        return Ok(None);
    };
    let query = sqlx::query_as("SELECT payload FROM webhook_deliveries WHERE delivery_id = $1");
    let (body,): (String,) = tx.fetch_one(query.bind(id.uuid())).await?;
    let query = sqlx::query_as(
        "SELECT attempt, at_ms, status, error, duration_ms FROM webhook_attempts
         WHERE delivery_id = $1 ORDER BY attempt DESC LIMIT $2",
    );
    let query = query.bind(id.uuid()).bind(MAX_ATTEMPTS);
    let rows: Vec<AttemptRow> = tx.fetch_all(query).await?;
    let attempts: Result<Vec<AttemptLine>, TxError> =
        rows.into_iter().rev().map(AttemptRow::read).collect();
    Ok(Some(DeliveryDetail {
        delivery: row.read()?,
        body,
        attempts: attempts?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_has_one_form() {
        let cursor = Cursor {
            created_at_ms: 42,
            delivery: Uuid::from_u128(0xabc),
        };
        let text = "42-00000000000000000000000000000abc";
        assert_eq!(cursor.to_string(), text);
        assert_eq!(text.parse(), Ok(cursor));
        for other in [
            "",
            "42",
            "42-",
            "-42-00000000000000000000000000000abc",
            "042-00000000000000000000000000000abc",
            "42-00000000-0000-0000-0000-000000000abc",
            "42-00000000000000000000000000000ABC",
        ] {
            assert_eq!(other.parse::<Cursor>(), Err(CursorError), "{other}");
        }
    }
}
