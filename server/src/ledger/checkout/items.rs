//! Items: what agents buy, with stock that is split over buckets.

use super::super::posting::publish;
use super::super::rows::{currency, money};
use super::super::transaction::{Tx, TxError};
use super::batch::ItemCard;
use super::lists::{ItemView, item as read_item};
use super::merchants;
use super::replies::Work;
use crate::events::{BucketState, CheckoutEvent, CheckoutNews, EventBody, HouseEvent};
use crate::ids;
use async_trait::async_trait;
use shared::auction::drop::{bucket_count, split_stock};
use shared::purchase::{ItemTerms, Label, Named, Refusal};
use shared::{ItemId, MerchantId, Money, PrincipalId, Timestamp};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The most units that one call brings in.
pub const MAX_UNITS: u32 = shared::auction::drop::MAX_UNITS;

/// The most units that ever come in of one item.
pub const MAX_STOCKED: i64 = 1_000_000_000;

/// A new item.
pub struct NewItem {
    /// Whose.
    pub tenant: PrincipalId,
    /// Its id.
    pub id: ItemId,
    /// Who sells it.
    pub merchant: MerchantId,
    /// Its name.
    pub title: Label,
    /// The price of a unit, above 0. It never changes: another price is another item.
    pub price: Money,
    /// Units, at most [`MAX_UNITS`].
    pub units: u32,
}

#[async_trait]
impl Work for NewItem {
    type Resource = ItemView;
    const NAME: &'static str = "new_item";

    async fn work(
        &self,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<Result<ItemView, Refusal>, TxError> {
        if merchants::owned(tx, self.tenant, &[self.merchant]).await? == 0 {
            let what = Named::Merchant;
            return Ok(Err(Refusal::NotFound { what }));
        }
        let query = sqlx::query(
            "INSERT INTO items (item_id, tenant_id, merchant_id, title, currency, price_minor,
                                stock_epoch, stocked, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8)",
        )
        .bind(self.id.uuid())
        .bind(self.tenant.uuid())
        .bind(self.merchant.uuid())
        .bind(self.title.as_str().to_owned())
        .bind(self.price.currency().code())
        .bind(self.price.minor())
        .bind(i64::from(self.units))
        .bind(now.0);
        tx.must_write(1, "item", query).await?;
        let buckets = split_stock(self.units);
        let numbers: Vec<i32> = buckets.iter().map(|bucket| bucket.number).collect();
        let units: Vec<i64> = buckets.iter().map(|b| i64::from(b.available)).collect();
        insert_buckets(tx, self.id, &numbers, &units).await?;
        let states = numbers.iter().zip(&units);
        let states = states.map(|(&bucket, &left)| BucketState {
            bucket,
            version: 1,
            left,
        });
        let came = Came {
            tenant: self.tenant,
            item: self.id,
            price: self.price,
            units: self.units,
        };
        publish(tx, vec![came.event(states.collect(), now)]).await?;
        Ok(Ok(ItemView {
            item_id: self.id,
            merchant_id: self.merchant,
            title: self.title.as_str().to_owned(),
            price_minor: self.price.minor(),
            currency: self.price.currency(),
            available: i64::from(self.units),
            stocked: i64::from(self.units),
            created_at_ms: now.0,
        }))
    }
}

async fn insert_buckets(
    tx: &mut Tx,
    item: ItemId,
    numbers: &[i32],
    units: &[i64],
) -> Result<(), TxError> {
    let query = sqlx::query(
        "INSERT INTO stock_buckets (item_id, bucket, available, version)
         SELECT $1, b, u, 1 FROM unnest($2::integer[], $3::bigint[]) AS d(b, u)",
    )
    .bind(item.uuid())
    .bind(numbers.to_vec())
    .bind(units.to_vec());
    tx.must_write(numbers.len(), "stock", query).await
}

/// Units that come in.
struct Came {
    tenant: PrincipalId,
    item: ItemId,
    price: Money,
    units: u32,
}

impl Came {
    fn event(&self, stock: Vec<BucketState>, at: Timestamp) -> HouseEvent {
        let body = EventBody::Checkout(Box::new(CheckoutEvent {
            tenant: self.tenant,
            what: CheckoutNews::Stocked {
                item: self.item,
                units: i64::from(self.units),
            },
            currency: self.price.currency(),
            stock: stock.into_iter().map(|state| (self.item, state)).collect(),
            budgets: Vec::new(),
            credits: Vec::new(),
        }));
        HouseEvent {
            id: ids::event(),
            at,
            body,
        }
    }
}

/// More units of an item.
pub struct Restock {
    /// Whose.
    pub tenant: PrincipalId,
    /// The item.
    pub item: ItemId,
    /// Units, from 1 to [`MAX_UNITS`].
    pub units: u32,
}

#[async_trait]
impl Work for Restock {
    type Resource = ItemView;
    const NAME: &'static str = "restock";

    async fn work(
        &self,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<Result<ItemView, Refusal>, TxError> {
        let Some(item) = read_item(tx, self.tenant, self.item).await? else {
            return Ok(Err(Refusal::NotFound { what: Named::Item }));
        };
        let units = i64::from(self.units);
        let most = MAX_STOCKED - item.stocked;
        if units > most {
            return Ok(Err(Refusal::StockLimit { most }));
        }
        let rows: Vec<(i32, i64)> = tx
            .fetch_all(
                sqlx::query_as("SELECT bucket, version FROM stock_buckets WHERE item_id = $1")
                    .bind(self.item.uuid()),
            )
            .await?;
        let states = self.spread(tx, item.available, &rows).await?;
        let query = sqlx::query(
            "UPDATE items SET stocked = stocked + $2, stock_epoch = stock_epoch + 1
             WHERE item_id = $1 AND stocked = $3",
        )
        .bind(self.item.uuid())
        .bind(units)
        .bind(item.stocked);
        tx.must_write(1, "item", query).await?;
        let price = money(item.price_minor, item.currency)?;
        let came = Came {
            tenant: self.tenant,
            item: self.item,
            price,
            units: self.units,
        };
        publish(tx, vec![came.event(states, now)]).await?;
        Ok(Ok(ItemView {
            available: item.available + units,
            stocked: item.stocked + units,
            ..item
        }))
    }
}

impl Restock {
    /// Spreads the units evenly over the buckets that so many units should have: old ones, and new
    /// ones where the stock outgrew them.
    async fn spread(
        &self,
        tx: &mut Tx,
        available: i64,
        rows: &[(i32, i64)],
    ) -> Result<Vec<BucketState>, TxError> {
        let versions: BTreeMap<i32, i64> = rows.iter().copied().collect();
        let total = u32::try_from(available).unwrap_or(u32::MAX);
        let wanted = usize::try_from(bucket_count(total.saturating_add(self.units))).unwrap_or(1);
        let count = i64::try_from(wanted.max(versions.len())).unwrap_or(1);
        let (each, extra) = (i64::from(self.units) / count, i64::from(self.units) % count);
        let shares = (0..count).zip(0_i32..).filter_map(|(place, number)| {
            let share = each + i64::from(place < extra);
            (share > 0).then_some((number, share))
        });
        let (old, new): (Vec<_>, Vec<_>) =
            shares.partition(|(number, _)| versions.contains_key(number));
        let (numbers, units): (Vec<i32>, Vec<i64>) = new.into_iter().unzip();
        insert_buckets(tx, self.item, &numbers, &units).await?;
        let fresh = numbers.into_iter().zip(units);
        let mut states: Vec<BucketState> = fresh
            .map(|(bucket, left)| BucketState {
                bucket,
                version: 1,
                left,
            })
            .collect();
        states.extend(put_back(tx, self.item, &old).await?);
        Ok(states)
    }
}

/// Adds units to buckets that are there, and answers the buckets after it.
///
/// # Errors
/// [`TxError::Lost`] if a bucket is not there.
pub async fn put_back(
    tx: &mut Tx,
    item: ItemId,
    units: &[(i32, i64)],
) -> Result<Vec<BucketState>, TxError> {
    let query = sqlx::query_as(
        "UPDATE stock_buckets b SET available = b.available + d.units, version = b.version + 1
         FROM unnest($2::integer[], $3::bigint[]) AS d(bucket, units)
         WHERE b.item_id = $1 AND b.bucket = d.bucket
         RETURNING b.bucket, b.version, b.available",
    )
    .bind(item.uuid())
    .bind(units.iter().map(|(bucket, _)| *bucket).collect::<Vec<_>>())
    .bind(units.iter().map(|(_, units)| *units).collect::<Vec<_>>());
    let rows: Vec<(i32, i64, i64)> = tx.fetch_all(query).await?;
    if rows.len() != units.len() {
        return Err(TxError::Lost("stock"));
    }
    let state = |(bucket, version, left)| BucketState {
        bucket,
        version,
        left,
    };
    Ok(rows.into_iter().map(state).collect())
}

#[derive(sqlx::FromRow)]
struct CardRow {
    tenant_id: Uuid,
    merchant_id: Uuid,
    price_minor: i64,
    currency: String,
    buckets: i64,
}

/// What never changes about an item, and how many buckets it has; `None` if there is none.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn card(tx: &mut Tx, item: ItemId) -> Result<Option<(ItemCard, u32)>, TxError> {
    let query = sqlx::query_as(
        "SELECT i.tenant_id, i.merchant_id, i.price_minor, i.currency,
                (SELECT count(*) FROM stock_buckets b WHERE b.item_id = i.item_id) AS buckets
         FROM items i WHERE i.item_id = $1",
    )
    .bind(item.uuid());
    let rows: Vec<CardRow> = tx.fetch_all(query).await?;
    let card = |row: &CardRow| {
        let price = money(row.price_minor, currency(&row.currency)?)?;
        let card = ItemCard {
            item,
            tenant: PrincipalId::from_uuid(row.tenant_id),
            terms: ItemTerms {
                merchant: MerchantId::from_uuid(row.merchant_id),
                price,
            },
        };
        Ok((card, u32::try_from(row.buckets).unwrap_or(1)))
    };
    rows.first().map(card).transpose()
}
