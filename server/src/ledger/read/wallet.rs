//! A person's wallet: the row, its live holds, the statement.

use super::super::rows::{WalletRow, currency, money, now_ms};
use super::super::transaction::{Tx, TxError};
use shared::ledger::{AccountKind, TransferKind};
use shared::view::{HoldView, MAX_STATEMENT_LINES, StatementLine, WalletPageView, WalletView};
use shared::{BidId, Currency, LotId, PrincipalId, Timestamp, TransferId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// People's wallets in a currency; people who have none are left out.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn wallets(
    tx: &mut Tx,
    of: Vec<PrincipalId>,
    currency: Currency,
) -> Result<BTreeMap<PrincipalId, WalletView>, TxError> {
    let of: Vec<Uuid> = of.into_iter().map(PrincipalId::uuid).collect();
    let query = sqlx::query_as(
        "SELECT principal_id, funded_minor, held_minor, spent_minor, version
         FROM wallets WHERE principal_id = ANY($1) AND currency = $2",
    )
    .bind(of)
    .bind(currency.code());
    let rows: Vec<WalletRow> = tx.fetch_all(query).await?;
    let view = |row: WalletRow| Ok((row.owner(), row.view(currency)?));
    rows.into_iter().map(view).collect()
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
    use TransferKind::{Capture, Fund, Hold, Purchase, Refund, Return, TopUp, Void};
    let kinds = [TopUp, Hold, Void, Capture, Purchase, Fund, Return, Refund];
    kinds
        .into_iter()
        .find(|kind| kind.word() == word)
        .ok_or(TxError::Corrupt("transfer kind"))
}

fn account_kind(word: &str) -> Result<AccountKind, TxError> {
    use AccountKind::{Available, Budget, Funding, Held, Payable};
    let kinds = [Funding, Available, Held, Payable, Budget];
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
/// What the database says, or a row that cannot be read.
pub async fn wallet_page(
    tx: &mut Tx,
    who: PrincipalId,
    currency: Currency,
) -> Result<Option<WalletPageView>, TxError> {
    let Some(wallet) = wallets(tx, vec![who], currency).await?.remove(&who) else {
        return Ok(None);
    };
    let holds = sqlx::query_as(
        "SELECT h.lot_id, l.title, h.bid_id, h.amount_minor, h.created_at_ms
         FROM holds h JOIN lots l ON l.lot_id = h.lot_id
         WHERE h.owner_id = $1 AND h.state = 'live' AND h.currency = $2
           AND h.mandate_id IS NULL
         ORDER BY h.created_at_ms DESC, h.hold_id",
    )
    .bind(who.uuid())
    .bind(currency.code());
    let holds: Vec<HoldRow> = tx.fetch_all(holds).await?;
    let hold = |row: HoldRow| {
        Ok(HoldView {
            lot: LotId::from_uuid(row.lot_id),
            title: row.title,
            bid: BidId::from_uuid(row.bid_id),
            amount: money(row.amount_minor, currency)?,
            at: Timestamp(row.created_at_ms),
        })
    };
    let legs = sqlx::query_as(
        "SELECT g.transfer_id, g.kind, g.account, g.currency, g.amount_minor, g.lot_id, l.title,
                g.at_ms
         FROM legs g LEFT JOIN lots l ON l.lot_id = g.lot_id
         WHERE g.owner_id = $1 AND g.currency = $2 AND g.subaccount_id IS NULL
           AND (g.account IN ('available', 'payable')
                OR (g.account = 'held' AND g.kind = 'capture'))
         ORDER BY g.at_ms DESC, g.transfer_id, g.leg LIMIT $3",
    )
    .bind(who.uuid())
    .bind(currency.code())
    .bind(i64::try_from(MAX_STATEMENT_LINES).unwrap_or(i64::MAX));
    let legs: Vec<LegRow> = tx.fetch_all(legs).await?;
    let proceeds = sqlx::query_as(concat!(
        "SELECT coalesce(sum(amount_minor), 0)::bigint, ",
        now_ms!(),
        " FROM legs WHERE owner_id = $1 AND currency = $2 AND account = 'payable'
              AND subaccount_id IS NULL"
    ))
    .bind(who.uuid())
    .bind(currency.code());
    let (proceeds, now_ms): (i64, i64) = tx.fetch_one(proceeds).await?;
    Ok(Some(WalletPageView {
        wallet,
        holds: holds
            .into_iter()
            .map(hold)
            .collect::<Result<_, TxError>>()?,
        statement: legs
            .into_iter()
            .map(LegRow::line)
            .collect::<Result<_, _>>()?,
        proceeds: money(proceeds, currency)?,
        server_time: Timestamp(now_ms),
    }))
}
