//! What pages read: each view from one statement per table, no transaction kept open.
//!
//! A view of several statements may mix two moments; each part carries its own version, and the
//! socket brings what is newer, so nothing decides on it.

use super::rows::{LotRead, LotRow, WalletRow, currency, lot_columns, lot_joins, money, now_ms};
use super::transaction::TxError;
use crate::events::{EventBody, HouseEvent};
use app::ports::{Failure, KeptOutcome};
use shared::auction::Mechanism;
use shared::ledger::{AccountKind, TransferKind};
use shared::live::{LotEvent, Position};
use shared::view::{
    Activity, FloorView, HoldView, LadderLine, MAX_LADDER_LINES, MAX_STATEMENT_LINES, Person,
    RoomView, StatementLine, WalletPageView, WalletView,
};
use shared::{
    BidId, ClaimId, Currency, IdempotencyKey, LotId, Money, PrincipalId, Timestamp, TransferId,
};
use sqlx::postgres::PgPool;
use uuid::Uuid;

/// Live lots that the floor shows.
const MAX_LIVE_LOTS: i64 = 60;

/// Settled lots that the floor shows.
const MAX_SETTLED_LOTS: i64 = 12;

/// Lines of activity that the floor shows.
const MAX_ACTIVITY: i64 = 30;

/// Outbox rows looked at for the activity: about one in three is a line of it.
const MAX_ACTIVITY_ROWS: i64 = 3 * MAX_ACTIVITY;

fn failed(error: TxError) -> Failure {
    tracing::error!(?error, "reading a view failed");
    Failure::Unavailable
}

/// A failed read, logged; its caller may try again.
pub(super) fn unavailable(error: sqlx::Error) -> Failure {
    failed(error.into())
}

#[derive(sqlx::FromRow)]
struct TimedLotRow {
    now_ms: i64,
    #[sqlx(flatten)]
    lot: LotRow,
}

fn lots(rows: &[LotRow]) -> Result<Vec<LotRead>, Failure> {
    rows.iter()
        .filter_map(|row| row.read().transpose())
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// Database time.
///
/// # Errors
/// When the database does not answer.
pub async fn now(pool: &PgPool) -> Result<Timestamp, Failure> {
    let query = sqlx::query_scalar(concat!("SELECT ", now_ms!()));
    query
        .fetch_one(pool)
        .await
        .map(Timestamp)
        .map_err(unavailable)
}

/// The floor.
///
/// # Errors
/// When the database does not answer.
pub async fn floor(pool: &PgPool) -> Result<FloorView, Failure> {
    let live: Vec<LotRow> = sqlx::query_as(concat!(
        "SELECT ",
        lot_columns!(),
        " FROM lots l ",
        lot_joins!(),
        " WHERE l.status = 'open' AND l.listed ORDER BY l.closes_at_ms, l.lot_id LIMIT $1"
    ))
    .bind(MAX_LIVE_LOTS)
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    let settled: Vec<LotRow> = sqlx::query_as(concat!(
        "SELECT ",
        lot_columns!(),
        " FROM lots l ",
        lot_joins!(),
        " WHERE l.listed AND l.settled_at_ms IS NOT NULL
          ORDER BY l.settled_at_ms DESC, l.lot_id LIMIT $1"
    ))
    .bind(MAX_SETTLED_LOTS)
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    let views = |rows: &[LotRow]| {
        lots(rows).map(|all| all.into_iter().map(|read| read.view).collect::<Vec<_>>())
    };
    Ok(FloorView {
        live: views(&live)?,
        settled: views(&settled)?,
        activity: activity(pool).await?,
        server_time: now(pool).await?,
    })
}

async fn activity(pool: &PgPool) -> Result<Vec<Activity>, Failure> {
    let payloads: Vec<String> =
        sqlx::query_scalar("SELECT payload FROM outbox ORDER BY created_at_ms DESC LIMIT $1")
            .bind(MAX_ACTIVITY_ROWS)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?;
    let read = payloads
        .iter()
        .filter_map(|text| serde_json::from_str::<HouseEvent>(text).ok());
    let line = |event: HouseEvent| match event.body {
        EventBody::Opened { activity, .. } => Some(activity),
        EventBody::Lot { activity, .. } | EventBody::Stock { activity, .. } => Some(activity),
        EventBody::Wallet { .. } | EventBody::Notice { .. } => None,
    };
    let most = usize::try_from(MAX_ACTIVITY).unwrap_or(usize::MAX);
    Ok(read.filter_map(line).take(most).collect())
}

/// A lot's room.
///
/// # Errors
/// When the database does not answer.
pub async fn room(pool: &PgPool, lot: LotId) -> Result<Option<RoomView>, Failure> {
    let row: Option<TimedLotRow> = sqlx::query_as(concat!(
        "SELECT ",
        now_ms!(),
        " AS now_ms, ",
        lot_columns!(),
        " FROM lots l ",
        lot_joins!(),
        " WHERE l.lot_id = $1"
    ))
    .bind(lot.uuid())
    .fetch_optional(pool)
    .await
    .map_err(unavailable)?;
    let Some(row) = row else { return Ok(None) };
    let Some(read) = row.lot.read().map_err(failed)? else {
        return Ok(None);
    };
    let ladder = ladder(pool, &read).await?;
    Ok(Some(RoomView {
        lot: read.view,
        description: read.description,
        ladder,
        server_time: Timestamp(row.now_ms),
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

async fn ladder(pool: &PgPool, read: &LotRead) -> Result<Vec<LadderLine>, Failure> {
    let mechanism = read.lot.book.mechanism();
    // Bids above the version of the lot that was read belong to events the client has yet to get.
    let query = match mechanism {
        Mechanism::English => sqlx::query_as(
            "SELECT b.bid_id AS id, p.principal_id, p.handle, p.name, p.simulated, b.region,
                    b.amount_minor, 1 AS units, b.at_ms
             FROM bids b JOIN principals p ON p.principal_id = b.bidder_id
             WHERE b.lot_id = $1 AND b.lot_version <= $3
             ORDER BY b.lot_version DESC LIMIT $2",
        ),
        Mechanism::Dutch | Mechanism::Drop => sqlx::query_as(
            "SELECT c.claim_id AS id, p.principal_id, p.handle, p.name, p.simulated, c.region,
                    c.price_minor AS amount_minor, c.units, c.at_ms
             FROM claims c JOIN principals p ON p.principal_id = c.buyer_id
             WHERE c.lot_id = $1 AND $3 >= 0
             ORDER BY c.at_ms DESC, c.claim_id DESC LIMIT $2",
        ),
    };
    let rows: Vec<LineRow> = query
        .bind(read.lot.id.uuid())
        .bind(i64::try_from(MAX_LADDER_LINES).unwrap_or(i64::MAX))
        .bind(read.lot.version)
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
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
    rows.into_iter()
        .map(line)
        .collect::<Result<_, TxError>>()
        .map_err(failed)
}

/// A person's wallet.
///
/// # Errors
/// When the database does not answer.
pub async fn wallet(
    pool: &PgPool,
    who: PrincipalId,
    currency: Currency,
) -> Result<Option<WalletView>, Failure> {
    let row: Option<WalletRow> = sqlx::query_as(
        "SELECT principal_id, funded_minor, held_minor, spent_minor, version
         FROM wallets WHERE principal_id = $1 AND currency = $2",
    )
    .bind(who.uuid())
    .bind(currency.code())
    .fetch_optional(pool)
    .await
    .map_err(unavailable)?;
    row.map(|row| row.view(currency))
        .transpose()
        .map_err(failed)
}

#[derive(sqlx::FromRow)]
struct HoldRow {
    lot_id: Uuid,
    title: String,
    bid_id: Uuid,
    amount_minor: i64,
    created_at_ms: i64,
}

#[derive(sqlx::FromRow)]
struct LegRow {
    transfer_id: Uuid,
    kind: String,
    account: String,
    currency: String,
    amount_minor: i64,
    lot_id: Option<Uuid>,
    title: Option<String>,
    at_ms: i64,
}

fn transfer_kind(word: &str) -> Result<TransferKind, TxError> {
    use TransferKind::{Capture, Hold, Purchase, TopUp, Void};
    let kinds = [TopUp, Hold, Void, Capture, Purchase];
    kinds
        .into_iter()
        .find(|kind| kind.word() == word)
        .ok_or(TxError::Corrupt("transfer kind"))
}

fn account_kind(word: &str) -> Result<AccountKind, TxError> {
    use AccountKind::{Available, Funding, Held, Payable};
    let kinds = [Funding, Available, Held, Payable];
    kinds
        .into_iter()
        .find(|kind| kind.word() == word)
        .ok_or(TxError::Corrupt("account"))
}

impl LegRow {
    fn line(self) -> Result<StatementLine, TxError> {
        let currency = currency(&self.currency)?;
        Ok(StatementLine {
            transfer: TransferId::from_uuid(self.transfer_id).to_string(),
            kind: transfer_kind(&self.kind)?,
            account: account_kind(&self.account)?,
            amount: money(self.amount_minor, currency)?,
            lot: self.lot_id.map(LotId::from_uuid),
            title: self.title,
            at: Timestamp(self.at_ms),
        })
    }
}

/// A person's wallet page, `None` if they have no wallet in the currency.
///
/// # Errors
/// When the database does not answer.
pub async fn wallet_page(
    pool: &PgPool,
    who: PrincipalId,
    in_currency: Currency,
) -> Result<Option<WalletPageView>, Failure> {
    let Some(wallet) = wallet(pool, who, in_currency).await? else {
        return Ok(None);
    };
    let holds: Vec<HoldRow> = sqlx::query_as(
        "SELECT h.lot_id, l.title, h.bid_id, h.amount_minor, h.created_at_ms
         FROM holds h JOIN lots l ON l.lot_id = h.lot_id
         WHERE h.owner_id = $1 AND h.state = 'live' AND h.currency = $2
         ORDER BY h.created_at_ms DESC, h.hold_id",
    )
    .bind(who.uuid())
    .bind(in_currency.code())
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    let legs: Vec<LegRow> = sqlx::query_as(
        "SELECT g.transfer_id, g.kind, g.account, g.currency, g.amount_minor, g.lot_id, l.title,
                g.at_ms
         FROM legs g LEFT JOIN lots l ON l.lot_id = g.lot_id
         WHERE g.owner_id = $1 AND g.currency = $2 
           AND (g.account IN ('available', 'payable')
                OR (g.account = 'held' AND g.kind = 'capture'))
         ORDER BY g.at_ms DESC, g.transfer_id, g.leg LIMIT $3",
    )
    .bind(who.uuid())
    .bind(in_currency.code())
    .bind(i64::try_from(MAX_STATEMENT_LINES).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    let hold = |row: HoldRow| {
        Ok(HoldView {
            lot: LotId::from_uuid(row.lot_id),
            title: row.title,
            bid: BidId::from_uuid(row.bid_id),
            amount: money(row.amount_minor, in_currency)?,
            at: Timestamp(row.created_at_ms),
        })
    };
    Ok(Some(WalletPageView {
        wallet,
        holds: holds
            .into_iter()
            .map(hold)
            .collect::<Result<_, TxError>>()
            .map_err(failed)?,
        statement: legs
            .into_iter()
            .map(LegRow::line)
            .collect::<Result<_, _>>()
            .map_err(failed)?,
        proceeds: proceeds(pool, who, in_currency).await?,
        server_time: now(pool).await?,
    }))
}

async fn proceeds(pool: &PgPool, who: PrincipalId, in_: Currency) -> Result<Money, Failure> {
    let minor: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(amount_minor), 0)::bigint FROM legs
         WHERE owner_id = $1 AND currency = $2 AND account = 'payable'",
    )
    .bind(who.uuid())
    .bind(in_.code())
    .fetch_one(pool)
    .await
    .map_err(unavailable)?;
    money(minor, in_).map_err(failed)
}

/// What a key of a person decided, the newest route first if the key served several.
///
/// # Errors
/// When the database does not answer.
pub async fn kept_outcome(
    pool: &PgPool,
    who: PrincipalId,
    key: &IdempotencyKey,
) -> Result<Option<KeptOutcome>, Failure> {
    let text: Option<String> = sqlx::query_scalar(
        "SELECT outcome FROM idempotency_keys WHERE principal_id = $1 AND key = $2
         ORDER BY created_at_ms DESC LIMIT 1",
    )
    .bind(who.uuid())
    .bind(key.as_str().to_owned())
    .fetch_optional(pool)
    .await
    .map_err(unavailable)?;
    text.map(|text| super::keys::read_outcome(&text))
        .transpose()
        .map_err(failed)
}

/// A lot's events after one offset and through another, from the outbox: what the hub asks when
/// the event log does not have them yet.
///
/// # Errors
/// When the database does not answer.
pub async fn lot_events(
    pool: &PgPool,
    lot: LotId,
    after: i64,
    through: i64,
) -> Result<Vec<(Position, LotEvent)>, Failure> {
    let payloads: Vec<String> = sqlx::query_scalar(
        "SELECT payload FROM outbox
         WHERE aggregate = $1 AND version > $2 AND version <= $3 ORDER BY version",
    )
    .bind(lot.to_string())
    .bind(after)
    .bind(through)
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    let read = payloads
        .iter()
        .filter_map(|text| serde_json::from_str::<HouseEvent>(text).ok());
    let event = |event: HouseEvent| match event.body {
        EventBody::Lot {
            position, event, ..
        } => Some((position, event)),
        EventBody::Opened { .. }
        | EventBody::Stock { .. }
        | EventBody::Wallet { .. }
        | EventBody::Notice { .. } => None,
    };
    Ok(read.filter_map(event).collect())
}

/// Listed and unlisted lots that may be settled now: their time is over, or the last unit of a
/// drop is sold.
///
/// # Errors
/// When the database does not answer.
pub async fn due_lots(pool: &PgPool, most: i64) -> Result<Vec<LotId>, Failure> {
    let rows: Vec<Uuid> = sqlx::query_scalar(concat!(
        "SELECT l.lot_id FROM lots l
         WHERE l.status = 'open'
           AND (l.closes_at_ms <= ",
        now_ms!(),
        "       OR (l.mechanism = 'drop' AND NOT EXISTS (
                    SELECT 1 FROM inventory_buckets b
                    WHERE b.lot_id = l.lot_id AND b.available > 0)))
         ORDER BY l.closes_at_ms LIMIT $1"
    ))
    .bind(most)
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    Ok(rows.into_iter().map(LotId::from_uuid).collect())
}

/// What the committed rows say about some lots together: the witness of a proof run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Claims stored.
    pub claims: u64,
    /// Units in them.
    pub units_claimed: u64,
    /// Units left in stock.
    pub units_left: u64,
    /// Minor units that sellers are owed.
    pub credited_minor: i64,
}

/// Counts rows.
///
/// # Errors
/// When the database does not answer.
pub async fn tally(pool: &PgPool, lots: &[LotId]) -> Result<Tally, Failure> {
    let ids: Vec<Uuid> = lots.iter().map(|lot| lot.uuid()).collect();
    let (claims, units_claimed, units_left, credited_minor): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT
               (SELECT count(*) FROM claims WHERE lot_id = ANY($1)),
               (SELECT coalesce(sum(units), 0)::bigint FROM claims WHERE lot_id = ANY($1)),
               (SELECT coalesce(sum(available), 0)::bigint FROM inventory_buckets
                 WHERE lot_id = ANY($1)),
               (SELECT coalesce(sum(amount_minor), 0)::bigint FROM legs
                 WHERE lot_id = ANY($1) AND account = 'payable')",
    )
    .bind(ids)
    .fetch_one(pool)
    .await
    .map_err(unavailable)?;
    let count = |rows: i64| u64::try_from(rows).unwrap_or_default();
    Ok(Tally {
        claims: count(claims),
        units_claimed: count(units_claimed),
        units_left: count(units_left),
        credited_minor,
    })
}
