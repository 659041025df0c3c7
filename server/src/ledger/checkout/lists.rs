//! What the API reads: one resource, or a page of them, always of one tenant.

use super::super::page::Page;
use super::super::rows::{currency, money};
use super::super::transaction::{Tx, TxError};
pub use super::views::{
    EntryView, ItemView, MandateStatus, MandateView, MerchantView, PurchaseView, RefundView,
    UsageLine,
};
use shared::{
    Currency, ItemId, MandateId, MerchantId, Money, PrincipalId, PurchaseId, Timestamp, TransferId,
};
use uuid::Uuid;

/// A tenant's merchant.
///
/// # Errors
/// What the database says.
pub async fn merchant(
    tx: &mut Tx,
    tenant: PrincipalId,
    id: MerchantId,
) -> Result<Option<MerchantView>, TxError> {
    let query = sqlx::query_as(
        "SELECT merchant_id, name, created_at_ms FROM merchants
         WHERE merchant_id = $1 AND tenant_id = $2",
    )
    .bind(id.uuid())
    .bind(tenant.uuid());
    let rows: Vec<(Uuid, String, i64)> = tx.fetch_all(query).await?;
    Ok(rows.into_iter().next().map(merchant_view))
}

fn merchant_view((id, name, created_at_ms): (Uuid, String, i64)) -> MerchantView {
    MerchantView {
        merchant_id: MerchantId::from_uuid(id),
        name,
        created_at_ms,
    }
}

/// A page of a tenant's merchants.
///
/// # Errors
/// What the database says.
pub async fn merchants(
    tx: &mut Tx,
    tenant: PrincipalId,
    page: Page,
) -> Result<Vec<MerchantView>, TxError> {
    let query = sqlx::query_as(
        "SELECT merchant_id, name, created_at_ms FROM merchants
         WHERE tenant_id = $1 AND (created_at_ms, merchant_id) < ($2, $3)
         ORDER BY created_at_ms DESC, merchant_id DESC LIMIT $4",
    )
    .bind(tenant.uuid())
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(i64::from(page.limit));
    let rows: Vec<(Uuid, String, i64)> = tx.fetch_all(query).await?;
    Ok(rows.into_iter().map(merchant_view).collect())
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    item_id: Uuid,
    merchant_id: Uuid,
    title: String,
    price_minor: i64,
    currency: String,
    available: i64,
    stocked: i64,
    created_at_ms: i64,
}

/// The columns of an item, after which comes a condition on `i`.
macro_rules! items {
    ($condition:literal) => {
        concat!(
            "SELECT i.item_id, i.merchant_id, i.title, i.price_minor, i.currency, i.stocked,
                    i.created_at_ms,
                    (SELECT coalesce(sum(b.available), 0) FROM stock_buckets b
                     WHERE b.item_id = i.item_id)::bigint AS available
             FROM items i WHERE ",
            $condition
        )
    };
}

impl ItemRow {
    fn view(self) -> Result<ItemView, TxError> {
        Ok(ItemView {
            item_id: ItemId::from_uuid(self.item_id),
            merchant_id: MerchantId::from_uuid(self.merchant_id),
            title: self.title,
            price_minor: self.price_minor,
            currency: currency(&self.currency)?,
            available: self.available,
            stocked: self.stocked,
            created_at_ms: self.created_at_ms,
        })
    }
}

/// A tenant's item.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn item(
    tx: &mut Tx,
    tenant: PrincipalId,
    id: ItemId,
) -> Result<Option<ItemView>, TxError> {
    let query = sqlx::query_as(items!("i.item_id = $1 AND i.tenant_id = $2"))
        .bind(id.uuid())
        .bind(tenant.uuid());
    let rows: Vec<ItemRow> = tx.fetch_all(query).await?;
    rows.into_iter().next().map(ItemRow::view).transpose()
}

/// A page of a tenant's items.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn items(tx: &mut Tx, tenant: PrincipalId, page: Page) -> Result<Vec<ItemView>, TxError> {
    let query = sqlx::query_as(items!(
        "i.tenant_id = $1 AND (i.created_at_ms, i.item_id) < ($2, $3)
         ORDER BY i.created_at_ms DESC, i.item_id DESC LIMIT $4"
    ))
    .bind(tenant.uuid())
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(i64::from(page.limit));
    let rows: Vec<ItemRow> = tx.fetch_all(query).await?;
    rows.into_iter().map(ItemRow::view).collect()
}

#[derive(sqlx::FromRow)]
struct MandateRow {
    mandate_id: Uuid,
    currency: String,
    cap_minor: i64,
    remaining_minor: i64,
    held_minor: i64,
    returned_minor: i64,
    purchase_cap_minor: Option<i64>,
    scope: Vec<Uuid>,
    expires_at_ms: i64,
    created_at_ms: i64,
    revoked_at_ms: Option<i64>,
    expired: bool,
}

/// The columns of a mandate, after which comes a condition on `m`.
macro_rules! mandates {
    ($condition:literal) => {
        concat!(
            "SELECT m.mandate_id, m.currency, m.cap_minor, m.purchase_cap_minor, m.expires_at_ms,
                    m.created_at_ms, m.revoked_at_ms, m.returned_minor,
                    m.expires_at_ms <= ",
            super::super::rows::now_ms!(),
            " AS expired,
                    (SELECT coalesce(sum(b.remaining_minor), 0) FROM mandate_buckets b
                     WHERE b.mandate_id = m.mandate_id)::bigint AS remaining_minor,
                    (SELECT coalesce(sum(h.amount_minor), 0) FROM holds h
                     WHERE h.mandate_id = m.mandate_id AND h.state = 'live')::bigint AS held_minor,
                    array(SELECT s.merchant_id FROM mandate_scope s
                          WHERE s.mandate_id = m.mandate_id ORDER BY s.merchant_id) AS scope
             FROM mandates m WHERE ",
            $condition
        )
    };
}

impl MandateRow {
    fn view(self) -> Result<MandateView, TxError> {
        let status = match (self.revoked_at_ms, self.expired) {
            (Some(_), _) => MandateStatus::Revoked,
            (None, true) => MandateStatus::Expired,
            (None, false) => MandateStatus::Active,
        };
        Ok(MandateView {
            mandate_id: MandateId::from_uuid(self.mandate_id),
            status,
            currency: currency(&self.currency)?,
            cap_minor: self.cap_minor,
            remaining_minor: self.remaining_minor,
            held_minor: self.held_minor,
            spent_minor: self.cap_minor
                - self.remaining_minor
                - self.held_minor
                - self.returned_minor,
            returned_minor: self.returned_minor,
            purchase_cap_minor: self.purchase_cap_minor,
            merchant_ids: self.scope.into_iter().map(MerchantId::from_uuid).collect(),
            expires_at_ms: self.expires_at_ms,
            created_at_ms: self.created_at_ms,
            revoked_at_ms: self.revoked_at_ms,
        })
    }
}

/// A tenant's mandate.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn mandate(
    tx: &mut Tx,
    tenant: PrincipalId,
    id: MandateId,
) -> Result<Option<MandateView>, TxError> {
    let query = sqlx::query_as(mandates!("m.mandate_id = $1 AND m.tenant_id = $2"))
        .bind(id.uuid())
        .bind(tenant.uuid());
    let rows: Vec<MandateRow> = tx.fetch_all(query).await?;
    rows.into_iter().next().map(MandateRow::view).transpose()
}

/// A page of a tenant's mandates.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn mandates(
    tx: &mut Tx,
    tenant: PrincipalId,
    page: Page,
) -> Result<Vec<MandateView>, TxError> {
    let query = sqlx::query_as(mandates!(
        "m.tenant_id = $1 AND (m.created_at_ms, m.mandate_id) < ($2, $3)
         ORDER BY m.created_at_ms DESC, m.mandate_id DESC LIMIT $4"
    ))
    .bind(tenant.uuid())
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(i64::from(page.limit));
    let rows: Vec<MandateRow> = tx.fetch_all(query).await?;
    rows.into_iter().map(MandateRow::view).collect()
}

#[derive(sqlx::FromRow)]
struct PurchaseRow {
    purchase_id: Uuid,
    item_id: Uuid,
    merchant_id: Uuid,
    mandate_id: Uuid,
    agent_id: String,
    quantity: i32,
    price_minor: i64,
    currency: String,
    refunded_minor: i64,
    refusal: Option<String>,
    created_at_ms: i64,
}

/// The columns of a purchase, after which comes a condition on `p`.
macro_rules! purchases {
    ($condition:literal) => {
        concat!(
            "SELECT p.purchase_id, p.item_id, i.merchant_id, p.mandate_id, p.agent_id, p.quantity,
                    p.price_minor, p.currency, p.refunded_minor, p.refusal, p.created_at_ms
             FROM purchases p JOIN items i ON i.item_id = p.item_id WHERE ",
            $condition
        )
    };
}

impl PurchaseRow {
    fn view(self) -> Result<PurchaseView, TxError> {
        let currency = currency(&self.currency)?;
        let quantity = u32::try_from(self.quantity);
        let quantity = quantity.map_err(|_negative| TxError::Corrupt("quantity"))?;
        let amount = money(self.price_minor, currency)?.checked_mul(quantity);
        let refusal = self.refusal.as_deref().map(serde_json::from_str);
        Ok(PurchaseView {
            purchase_id: PurchaseId::from_uuid(self.purchase_id),
            item_id: ItemId::from_uuid(self.item_id),
            merchant_id: MerchantId::from_uuid(self.merchant_id),
            mandate_id: MandateId::from_uuid(self.mandate_id),
            agent_id: self.agent_id,
            quantity,
            price_minor: self.price_minor,
            // Only a refused purchase can have a total that is out of range.
            amount_minor: amount.map_or(0, Money::minor),
            currency,
            refunded_minor: self.refunded_minor,
            refusal: refusal
                .transpose()
                .map_err(|_unreadable| TxError::Corrupt("refusal"))?,
            created_at_ms: self.created_at_ms,
        })
    }
}

/// A tenant's purchase.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn purchase(
    tx: &mut Tx,
    tenant: PrincipalId,
    id: PurchaseId,
) -> Result<Option<PurchaseView>, TxError> {
    let query = sqlx::query_as(purchases!("p.purchase_id = $1 AND p.tenant_id = $2"))
        .bind(id.uuid())
        .bind(tenant.uuid());
    let rows: Vec<PurchaseRow> = tx.fetch_all(query).await?;
    rows.into_iter().next().map(PurchaseRow::view).transpose()
}

/// A page of a tenant's purchases.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn purchases(
    tx: &mut Tx,
    tenant: PrincipalId,
    page: Page,
) -> Result<Vec<PurchaseView>, TxError> {
    let query = sqlx::query_as(purchases!(
        "p.tenant_id = $1 AND (p.created_at_ms, p.purchase_id) < ($2, $3)
         ORDER BY p.created_at_ms DESC, p.purchase_id DESC LIMIT $4"
    ))
    .bind(tenant.uuid())
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(i64::from(page.limit));
    let rows: Vec<PurchaseRow> = tx.fetch_all(query).await?;
    rows.into_iter().map(PurchaseRow::view).collect()
}

#[derive(sqlx::FromRow)]
struct RefundRow {
    transfer_id: Uuid,
    purchase_id: Uuid,
    currency: String,
    amount_minor: i64,
    units: i32,
    account: String,
    at_ms: i64,
}

/// A page of a tenant's refunds.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn refunds(
    tx: &mut Tx,
    tenant: PrincipalId,
    page: Page,
) -> Result<Vec<RefundView>, TxError> {
    let query = sqlx::query_as(
        "SELECT r.transfer_id, r.purchase_id, r.currency, r.amount_minor, r.units, g.account,
                r.at_ms
         FROM refunds r JOIN legs g ON g.transfer_id = r.transfer_id AND g.leg = 1
         WHERE r.tenant_id = $1 AND (r.at_ms, r.transfer_id) < ($2, $3)
         ORDER BY r.at_ms DESC, r.transfer_id DESC LIMIT $4",
    )
    .bind(tenant.uuid())
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(i64::from(page.limit));
    let rows: Vec<RefundRow> = tx.fetch_all(query).await?;
    let view = |row: RefundRow| {
        let units = u32::try_from(row.units);
        Ok(RefundView {
            refund_id: TransferId::from_uuid(row.transfer_id),
            purchase_id: PurchaseId::from_uuid(row.purchase_id),
            amount_minor: row.amount_minor,
            currency: currency(&row.currency)?,
            units: units.map_err(|_negative| TxError::Corrupt("units of a refund"))?,
            to: if row.account == "budget" {
                "mandate"
            } else {
                "wallet"
            }
            .to_owned(),
            created_at_ms: row.at_ms,
        })
    };
    rows.into_iter().map(view).collect()
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    transfer_id: Uuid,
    leg: i16,
    kind: String,
    account: String,
    subaccount_id: Option<Uuid>,
    amount_minor: i64,
    at_ms: i64,
}

/// Which of a tenant's entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryFilter {
    /// Those in this currency.
    pub currency: Currency,
    /// Those of this mandate or merchant; `None` for all.
    pub subaccount: Option<Uuid>,
}

/// A page of a tenant's ledger entries.
///
/// # Errors
/// What the database says.
pub async fn entries(
    tx: &mut Tx,
    tenant: PrincipalId,
    filter: EntryFilter,
    page: Page,
) -> Result<Vec<EntryView>, TxError> {
    let query = sqlx::query_as(
        "SELECT transfer_id, leg, kind, account, subaccount_id, amount_minor, at_ms
         FROM legs
         WHERE owner_id = $1 AND currency = $2 AND at_ms <= $3
           AND (at_ms, transfer_id, leg) < ($3, $4, $5)
           AND ($6::uuid IS NULL OR subaccount_id = $6)
         ORDER BY at_ms DESC, transfer_id DESC, leg DESC LIMIT $7",
    )
    .bind(tenant.uuid())
    .bind(filter.currency.code())
    .bind(page.after.at_ms)
    .bind(page.after.id)
    .bind(page.after.leg)
    .bind(filter.subaccount)
    .bind(i64::from(page.limit));
    let rows: Vec<EntryRow> = tx.fetch_all(query).await?;
    let view = |row: EntryRow| {
        let of = |account| row.subaccount_id.filter(|_| row.account == account);
        EntryView {
            transfer_id: TransferId::from_uuid(row.transfer_id),
            leg: row.leg,
            mandate_id: of("budget").map(MandateId::from_uuid),
            merchant_id: of("payable").map(MerchantId::from_uuid),
            kind: row.kind,
            account: row.account,
            amount_minor: row.amount_minor,
            currency: filter.currency,
            at_ms: row.at_ms,
        }
    };
    Ok(rows.into_iter().map(view).collect())
}

/// What a tenant used from one instant up to another.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn usage(
    tx: &mut Tx,
    tenant: PrincipalId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<UsageLine>, TxError> {
    let query = sqlx::query_as(
        "SELECT currency, count(*) FILTER (WHERE refusal IS NULL),
                coalesce(sum(price_minor * quantity) FILTER (WHERE refusal IS NULL), 0)::bigint,
                count(*) FILTER (WHERE refusal IS NOT NULL)
         FROM purchases WHERE tenant_id = $1 AND created_at_ms >= $2 AND created_at_ms < $3
         GROUP BY currency ORDER BY currency",
    )
    .bind(tenant.uuid())
    .bind(from.0)
    .bind(to.0);
    let rows: Vec<(String, i64, i64, i64)> = tx.fetch_all(query).await?;
    let line = |(code, committed, amount_minor, refused): (String, i64, i64, i64)| {
        Ok(UsageLine {
            currency: currency(&code)?,
            committed,
            amount_minor,
            refused,
        })
    };
    rows.into_iter().map(line).collect()
}
