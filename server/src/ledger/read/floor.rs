//! The floor: what is live, what was settled lately, what goes on.

use super::super::rows::{LotRow, lot_columns, lot_joins, now_ms};
use super::super::transaction::{Tx, TxError};
use crate::events::HouseEvent;
use shared::Timestamp;
use shared::view::{Activity, FloorView, LotView};

/// Live lots that the floor shows.
const MAX_LIVE_LOTS: i64 = 60;

/// Settled lots that the floor shows.
const MAX_SETTLED_LOTS: i64 = 12;

/// Lines of activity that the floor shows.
const MAX_ACTIVITY: i64 = 30;

/// Outbox rows looked at for the activity: about one in three is a line of it.
const MAX_ACTIVITY_ROWS: i64 = 3 * MAX_ACTIVITY;

/// The floor.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn floor(tx: &mut Tx) -> Result<FloorView, TxError> {
    let live = sqlx::query_as(concat!(
        "SELECT ",
        lot_columns!(),
        " FROM lots l ",
        lot_joins!(),
        " WHERE l.status = 'open' AND l.listed ORDER BY l.closes_at_ms, l.lot_id LIMIT $1"
    ))
    .bind(MAX_LIVE_LOTS);
    let live = views(&tx.fetch_all(live).await?)?;
    let settled = sqlx::query_as(concat!(
        "SELECT ",
        lot_columns!(),
        " FROM lots l ",
        lot_joins!(),
        " WHERE l.listed AND l.settled_at_ms IS NOT NULL
          ORDER BY l.settled_at_ms DESC, l.lot_id LIMIT $1"
    ))
    .bind(MAX_SETTLED_LOTS);
    let settled = views(&tx.fetch_all(settled).await?)?;
    let (activity, server_time) = activity(tx).await?;
    Ok(FloorView {
        live,
        settled,
        activity,
        server_time,
    })
}

fn views(rows: &[LotRow]) -> Result<Vec<LotView>, TxError> {
    let reads = rows.iter().filter_map(|row| row.read().transpose());
    reads.map(|read| read.map(|read| read.view)).collect()
}

/// What went on lately, newest first, and the database's time.
async fn activity(tx: &mut Tx) -> Result<(Vec<Activity>, Timestamp), TxError> {
    let query = sqlx::query_as(concat!(
        "SELECT ",
        now_ms!(),
        ", array(SELECT payload FROM outbox WHERE listed = true
                 ORDER BY created_at_ms DESC LIMIT $1)"
    ))
    .bind(MAX_ACTIVITY_ROWS);
    let (now_ms, payloads): (i64, Vec<String>) = tx.fetch_one(query).await?;
    let read = payloads
        .iter()
        .filter_map(|text| serde_json::from_str::<HouseEvent>(text).ok());
    let line = |event: HouseEvent| event.body.into_activity();
    let most = usize::try_from(MAX_ACTIVITY).unwrap_or(usize::MAX);
    Ok((
        read.filter_map(line).take(most).collect(),
        Timestamp(now_ms),
    ))
}
