//! A lot's room: the lot, and its ladder of bids or claims.

use super::super::auction::read::lot as read_lot;
use super::super::rows::{LotRead, money};
use super::super::transaction::{Tx, TxError};
use shared::auction::Mechanism;
use shared::view::{LadderLine, MAX_LADDER_LINES, Person, RoomView};
use shared::{BidId, ClaimId, LotId, PrincipalId, Timestamp};
use uuid::Uuid;

/// A lot's room, `None` if there is no such lot.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn room(tx: &mut Tx, lot: LotId) -> Result<Option<RoomView>, TxError> {
    let Some((read, now)) = read_lot(tx, lot).await? else {
        return Ok(None);
    };
    let ladder = ladder(tx, &read).await?;
    Ok(Some(RoomView {
        lot: read.view,
        description: read.description,
        ladder,
        server_time: now,
    }))
}

#[derive(sqlx::FromRow)]
struct LineRow {
    id: Uuid,
    principal_id: Uuid,
    handle: String,
    name: String,
    simulated: bool,
    region: String,
    amount_minor: i64,
    units: i32,
    at_ms: i64,
}

async fn ladder(tx: &mut Tx, read: &LotRead) -> Result<Vec<LadderLine>, TxError> {
    let mechanism = read.lot.book.mechanism();
    let query = match mechanism {
        Mechanism::English => sqlx::query_as(
            "SELECT b.bid_id AS id, p.principal_id, p.handle, p.name, p.simulated, b.region,
                    b.amount_minor, 1 AS units, b.at_ms
             FROM bids b JOIN principals p ON p.principal_id = b.bidder_id
             WHERE b.lot_id = $1
             ORDER BY b.lot_version DESC LIMIT $2",
        ),
        Mechanism::Dutch | Mechanism::Drop => sqlx::query_as(
            "SELECT c.claim_id AS id, p.principal_id, p.handle, p.name, p.simulated, c.region,
                    c.price_minor AS amount_minor, c.units, c.at_ms
             FROM claims c JOIN principals p ON p.principal_id = c.buyer_id
             WHERE c.lot_id = $1
             ORDER BY c.at_ms DESC, c.claim_id DESC LIMIT $2",
        ),
    };
    let query = query
        .bind(read.lot.id.uuid())
        .bind(i64::try_from(MAX_LADDER_LINES).unwrap_or(i64::MAX));
    let rows: Vec<LineRow> = tx.fetch_all(query).await?;
    let line = |row: LineRow| {
        Ok(LadderLine {
            id: match mechanism {
                Mechanism::English => BidId::from_uuid(row.id).to_string(),
                Mechanism::Dutch | Mechanism::Drop => ClaimId::from_uuid(row.id).to_string(),
            },
            who: Person {
                id: PrincipalId::from_uuid(row.principal_id),
                handle: row.handle,
                name: row.name,
                simulated: row.simulated,
            },
            region: row
                .region
                .parse()
                .map_err(|_unknown| TxError::Corrupt("Region"))?,
            amount: money(row.amount_minor, read.lot.currency)?,
            units: u32::try_from(row.units).unwrap_or_default(),
            at: Timestamp(row.at_ms),
        })
    };
    rows.into_iter().map(line).collect()
}
