//! What the projections of the checkout must say, by the ledger: the ground for audit A19.

use super::super::rows::currency;
use super::super::transaction::{Tx, TxError};
use shared::{Currency, ItemId, MandateId, MerchantId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Where projections are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Projected {
    /// Units of an item that are left.
    Stock(ItemId),
    /// What a mandate has left, in minor units.
    Budget(MandateId),
    /// What a merchant is owed, in minor units.
    Balance(MerchantId, Currency),
}

/// The ledger's side of the projections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projections {
    /// Events that are not in the event log yet: until they are, readers see an older state.
    pub unpublished: i64,
    /// What readers must see.
    pub values: BTreeMap<Projected, i64>,
}

/// Reads the newest items, mandates and merchants, at most `limit` of each, all in one snapshot.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn projections(tx: &mut Tx, limit: i64) -> Result<Projections, TxError> {
    let unpublished = sqlx::query_as("SELECT count(*) FROM outbox WHERE published = false");
    let (unpublished,): (i64,) = tx.fetch_one(unpublished).await?;
    let mut values = BTreeMap::new();
    let stock = sqlx::query_as(
        "SELECT i.item_id, coalesce(sum(b.available), 0)::bigint
         FROM (SELECT item_id, created_at_ms FROM items
               ORDER BY created_at_ms DESC LIMIT $1) AS i
         LEFT JOIN stock_buckets b ON b.item_id = i.item_id GROUP BY i.item_id",
    )
    .bind(limit);
    let stock: Vec<(Uuid, i64)> = tx.fetch_all(stock).await?;
    for (item, left) in stock {
        values.insert(Projected::Stock(ItemId::from_uuid(item)), left);
    }
    let budgets = sqlx::query_as(
        "SELECT m.mandate_id, coalesce(sum(b.remaining_minor), 0)::bigint
         FROM (SELECT mandate_id, created_at_ms FROM mandates
               ORDER BY created_at_ms DESC LIMIT $1) AS m
         LEFT JOIN mandate_buckets b ON b.mandate_id = m.mandate_id GROUP BY m.mandate_id",
    )
    .bind(limit);
    let budgets: Vec<(Uuid, i64)> = tx.fetch_all(budgets).await?;
    for (mandate, left) in budgets {
        values.insert(Projected::Budget(MandateId::from_uuid(mandate)), left);
    }
    let balances = sqlx::query_as(
        "SELECT m.merchant_id, g.currency, sum(g.amount_minor)::bigint
         FROM (SELECT merchant_id, created_at_ms FROM merchants
               ORDER BY created_at_ms DESC LIMIT $1) AS m
         JOIN legs g ON g.subaccount_id = m.merchant_id AND g.account = 'payable'
         GROUP BY m.merchant_id, g.currency",
    )
    .bind(limit);
    let balances: Vec<(Uuid, String, i64)> = tx.fetch_all(balances).await?;
    for (merchant, code, owed) in balances {
        let merchant = MerchantId::from_uuid(merchant);
        values.insert(Projected::Balance(merchant, currency(&code)?), owed);
    }
    Ok(Projections {
        unpublished,
        values,
    })
}
