//! What pages, the hub and the proof read. Each read is one transaction of the runner, so a view
//! is one snapshot, and a lost connection or a lost Region costs a retry and not the page.

mod floor;
pub mod projections;
mod room;
mod wallet;
pub mod witness;

use super::rows::now_ms;
use super::transaction::{Tx, TxError};
use crate::events::{EventBody, HouseEvent};
use app::ports::KeptOutcome;
pub use floor::floor;
pub use room::room;
use shared::live::{LotEvent, Position};
use shared::{IdempotencyKey, LotId, PrincipalId, Timestamp};
use sqlx::postgres::PgPool;
use std::time::Instant;
use uuid::Uuid;
pub use wallet::{wallet_page, wallets};

/// Database time, and when it was asked for, by a statement of its own: in a transaction it would
/// be the time of BEGIN. Asked once a connection is there, since waiting for one is no part of the
/// way to the database.
///
/// # Errors
/// What the database says.
pub async fn now(pool: &PgPool) -> Result<(Instant, Timestamp), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let asked = Instant::now();
    let query = sqlx::query_scalar(concat!("SELECT ", now_ms!()));
    let now = query.fetch_one(&mut *connection).await?;
    Ok((asked, Timestamp(now)))
}

/// What a key of a person decided, the newest route first if the key served several.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn kept_outcome(
    tx: &mut Tx,
    who: PrincipalId,
    key: IdempotencyKey,
) -> Result<Option<KeptOutcome>, TxError> {
    let query = sqlx::query_as(
        "SELECT outcome FROM idempotency_keys WHERE principal_id = $1 AND key = $2
           AND route IN ('bid', 'claim', 'settle', 'top_up')
         ORDER BY created_at_ms DESC LIMIT 1",
    )
    .bind(who.uuid())
    .bind(key.as_str().to_owned());
    let rows: Vec<(String,)> = tx.fetch_all(query).await?;
    rows.first()
        .map(|(text,)| super::keys::read_outcome(text))
        .transpose()
}

/// A lot's events after one offset and through another, from the outbox: what the hub asks when
/// the event log does not have them yet.
///
/// # Errors
/// What the database says.
pub async fn lot_events(
    tx: &mut Tx,
    lot: LotId,
    after: i64,
    through: i64,
) -> Result<Vec<(Position, LotEvent)>, TxError> {
    let query = sqlx::query_as(
        "SELECT payload FROM outbox
         WHERE aggregate = $1 AND version > 0 AND version > $2 AND version <= $3
         ORDER BY version",
    )
    .bind(lot.to_string())
    .bind(after)
    .bind(through);
    let rows: Vec<(String,)> = tx.fetch_all(query).await?;
    let read = rows
        .iter()
        .filter_map(|(text,)| serde_json::from_str::<HouseEvent>(text).ok());
    let event = |event: HouseEvent| match event.body {
        EventBody::Lot {
            position, event, ..
        } => Some((position, event)),
        EventBody::Opened { .. }
        | EventBody::Stock { .. }
        | EventBody::Wallet { .. }
        | EventBody::Notice { .. }
        | EventBody::Checkout(_) => None,
    };
    Ok(read.filter_map(event).collect())
}

/// Listed and unlisted lots that may be settled now: their time is over, or the last unit of a
/// drop is sold.
///
/// # Errors
/// What the database says.
pub async fn due_lots(tx: &mut Tx, most: i64) -> Result<Vec<LotId>, TxError> {
    let query = sqlx::query_as(concat!(
        "SELECT l.lot_id FROM lots l
         WHERE l.status = 'open'
           AND (l.closes_at_ms <= ",
        now_ms!(),
        "       OR (l.mechanism = 'drop' AND NOT EXISTS (
                    SELECT 1 FROM inventory_buckets b
                    WHERE b.lot_id = l.lot_id AND b.available > 0)))
         ORDER BY l.closes_at_ms LIMIT $1"
    ))
    .bind(most);
    let rows: Vec<(Uuid,)> = tx.fetch_all(query).await?;
    Ok(rows
        .into_iter()
        .map(|(lot,)| LotId::from_uuid(lot))
        .collect())
}
