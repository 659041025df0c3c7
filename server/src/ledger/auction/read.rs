//! What agents read: lots, and the bids and claims that were made with a tenant's mandates.

use super::super::page::Page;
pub use super::super::rows::{LotRead, reserve};
use super::super::rows::{LotRow, count, currency, lot_columns, lot_joins, now_ms};
use super::super::transaction::{Tx, TxError};
use shared::{BidId, ClaimId, Currency, LotId, MandateId, PrincipalId, Timestamp, TransferId};
use uuid::Uuid;

#[derive(sqlx::FromRow)]
struct LotNow {
    now_ms: i64,
    #[sqlx(flatten)]
    lot: LotRow,
}

impl LotNow {
    fn read(self) -> Result<Option<(LotRead, Timestamp)>, TxError> {
        let now = Timestamp(self.now_ms);
        Ok(self.lot.read()?.map(|read| (read, now)))
    }
}

/// A lot with the database's time, `None` if there is none.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn lot(tx: &mut Tx, id: LotId) -> Result<Option<(LotRead, Timestamp)>, TxError> {
    let query = sqlx::query_as(concat!(
        "SELECT ",
        now_ms!(),
        " AS now_ms, ",
        lot_columns!(),
        " FROM lots l ",
        lot_joins!(),
        " WHERE l.lot_id = $1"
    ));
    let rows: Vec<LotNow> = tx.fetch_all(query.bind(id.uuid())).await?;
    rows.into_iter().next().map_or(Ok(None), LotNow::read)
}

/// Lots that are open and that the floor shows, those that end last first, with the database's time.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn open_lots(tx: &mut Tx, page: Page) -> Result<Vec<(LotRead, Timestamp)>, TxError> {
    let query = sqlx::query_as(concat!(
        "SELECT ",
        now_ms!(),
        " AS now_ms, ",
        lot_columns!(),
        " FROM lots l ",
        lot_joins!(),
        " WHERE l.status = 'open' AND l.listed AND (l.closes_at_ms, l.lot_id) < ($1, $2)
          ORDER BY l.closes_at_ms DESC, l.lot_id DESC LIMIT $3"
    ))
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(i64::from(page.limit));
    let rows: Vec<LotNow> = tx.fetch_all(query).await?;
    rows.into_iter()
        .filter_map(|row| row.read().transpose())
        .collect()
}

/// A bid that was made with a mandate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BidRow {
    /// Its id.
    pub bid: BidId,
    /// The lot.
    pub lot: LotId,
    /// The mandate.
    pub mandate: MandateId,
    /// The agent.
    pub agent: String,
    /// What was bid, in minor units.
    pub amount_minor: i64,
    /// Its currency.
    pub currency: Currency,
    /// `live` while it leads, then `captured` or `voided`.
    pub hold: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

#[derive(sqlx::FromRow)]
struct BidColumns {
    bid_id: Uuid,
    lot_id: Uuid,
    mandate_id: Uuid,
    agent_id: String,
    amount_minor: i64,
    currency: String,
    state: String,
    at_ms: i64,
}

impl BidColumns {
    fn read(self) -> Result<BidRow, TxError> {
        Ok(BidRow {
            bid: BidId::from_uuid(self.bid_id),
            lot: LotId::from_uuid(self.lot_id),
            mandate: MandateId::from_uuid(self.mandate_id),
            agent: self.agent_id,
            amount_minor: self.amount_minor,
            currency: currency(&self.currency)?,
            hold: self.state,
            at_ms: self.at_ms,
        })
    }
}

/// The columns of an agent's bid, after which comes a condition on `b`.
macro_rules! bids {
    ($condition:literal) => {
        concat!(
            "SELECT b.bid_id, b.lot_id, b.mandate_id, b.agent_id, b.amount_minor, b.currency,
                    h.state, b.at_ms
             FROM bids b JOIN holds h ON h.hold_id = b.hold_id
             WHERE b.mandate_id IS NOT NULL AND ",
            $condition
        )
    };
}

/// A bid of a tenant's agents.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn bid(tx: &mut Tx, tenant: PrincipalId, id: BidId) -> Result<Option<BidRow>, TxError> {
    let query = sqlx::query_as(bids!("b.bid_id = $1 AND b.bidder_id = $2"))
        .bind(id.uuid())
        .bind(tenant.uuid());
    let rows: Vec<BidColumns> = tx.fetch_all(query).await?;
    rows.into_iter().next().map(BidColumns::read).transpose()
}

/// A page of the bids of a tenant's agents.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn bids(tx: &mut Tx, tenant: PrincipalId, page: Page) -> Result<Vec<BidRow>, TxError> {
    let query = sqlx::query_as(bids!(
        "b.bidder_id = $1 AND (b.at_ms, b.bid_id) < ($2, $3)
         ORDER BY b.at_ms DESC, b.bid_id DESC LIMIT $4"
    ))
    .bind(tenant.uuid())
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(i64::from(page.limit));
    let rows: Vec<BidColumns> = tx.fetch_all(query).await?;
    rows.into_iter().map(BidColumns::read).collect()
}

/// A claim that was made with a mandate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRow {
    /// Its id.
    pub claim: ClaimId,
    /// The lot.
    pub lot: LotId,
    /// The mandate.
    pub mandate: MandateId,
    /// The agent.
    pub agent: String,
    /// The payment.
    pub transfer: TransferId,
    /// Units.
    pub units: u32,
    /// The price of a unit, in minor units.
    pub price_minor: i64,
    /// Its currency.
    pub currency: Currency,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

#[derive(sqlx::FromRow)]
struct ClaimColumns {
    claim_id: Uuid,
    lot_id: Uuid,
    mandate_id: Uuid,
    agent_id: String,
    transfer_id: Uuid,
    units: i32,
    price_minor: i64,
    currency: String,
    at_ms: i64,
}

/// A page of the claims of a tenant's agents.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn claims(
    tx: &mut Tx,
    tenant: PrincipalId,
    page: Page,
) -> Result<Vec<ClaimRow>, TxError> {
    let query = sqlx::query_as(
        "SELECT c.claim_id, c.lot_id, c.mandate_id, c.agent_id, c.transfer_id, c.units,
                c.price_minor, c.currency, c.at_ms
         FROM claims c
         WHERE c.mandate_id IS NOT NULL AND c.buyer_id = $1 AND (c.at_ms, c.claim_id) < ($2, $3)
         ORDER BY c.at_ms DESC, c.claim_id DESC LIMIT $4",
    )
    .bind(tenant.uuid())
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(i64::from(page.limit));
    let rows: Vec<ClaimColumns> = tx.fetch_all(query).await?;
    let read = |row: ClaimColumns| {
        Ok(ClaimRow {
            claim: ClaimId::from_uuid(row.claim_id),
            lot: LotId::from_uuid(row.lot_id),
            mandate: MandateId::from_uuid(row.mandate_id),
            agent: row.agent_id,
            transfer: TransferId::from_uuid(row.transfer_id),
            units: count(row.units.into())?,
            price_minor: row.price_minor,
            currency: currency(&row.currency)?,
            at_ms: row.at_ms,
        })
    };
    rows.into_iter().map(read).collect()
}
