//! Putting up a lot. The lot's id, made by the caller, is the key: a repeat changes nothing.

use super::auction::news::activity;
use super::posting::publish;
use super::rows::{LotRow, lot_columns, lot_joins, now_ms};
use super::transaction::{Command, Tx, TxError};
use crate::events::{EventBody, HouseEvent};
use crate::ids;
use async_trait::async_trait;
use shared::auction::{Dutch, Increments, Mechanism, split_stock};
use shared::view::{ActivityKind, LotView};
use shared::{Currency, LotId, Money, PrincipalId};

/// How a new lot is sold.
#[derive(Clone, Debug)]
pub enum NewTerms {
    /// Rising bids.
    English {
        /// The least first bid.
        opening: Money,
        /// The least raises.
        increments: Increments,
        /// The seller's least price.
        reserve: Option<Money>,
        /// The soft close's window, in milliseconds.
        extension_window_ms: i64,
        /// How far extensions may move the end in all, in milliseconds.
        max_extension_ms: i64,
    },
    /// Falling price.
    Dutch(Dutch),
    /// Units at one price.
    Drop {
        /// The price per unit.
        price: Money,
        /// Units offered.
        units: u32,
        /// Units that one buyer may have.
        limit: Option<u32>,
    },
}

/// A lot to be put up.
#[derive(Clone, Debug)]
pub struct NewLot {
    /// Its id.
    pub id: LotId,
    /// Who sells it.
    pub seller: PrincipalId,
    /// Its name.
    pub title: String,
    /// What it is.
    pub description: String,
    /// The illustration's name.
    pub art: String,
    /// The currency of every amount on it.
    pub currency: Currency,
    /// Milliseconds from now until bidding begins.
    pub opens_in_ms: i64,
    /// Milliseconds that bidding lasts.
    pub duration_ms: i64,
    /// Whether the floor shows it.
    pub listed: bool,
    /// How it is sold.
    pub terms: NewTerms,
}

/// Puts up a lot.
pub struct PutUp(pub NewLot);

#[async_trait]
impl Command for PutUp {
    type Answer = LotView;
    const NAME: &'static str = "put_up";

    async fn attempt(&self, tx: &mut Tx) -> Result<LotView, TxError> {
        let lot = &self.0;
        // Only the minor units are stored; the CHECKs refuse amounts and times that make no sense.
        if !lot.terms.are_in(lot.currency) {
            return Err(TxError::Corrupt("terms in another currency than the lot's"));
        }
        let written = self.write_lot(tx).await?;
        if written == 1 {
            self.write_parts(tx).await?;
        }
        let view = read_view(tx, lot.id)
            .await?
            .ok_or(TxError::Corrupt("a new lot"))?;
        if written == 1 && lot.listed {
            let (id, at) = (ids::event(), view.opens_at.plus_ms(-lot.opens_in_ms));
            let activity = activity(id, &view, ActivityKind::Opened, None, at);
            let body = EventBody::Opened {
                card: Box::new(view.clone()),
                activity,
            };
            publish(tx, vec![HouseEvent { id, at, body }]).await?;
        }
        Ok(view)
    }
}

async fn read_view(tx: &mut Tx, lot: LotId) -> Result<Option<LotView>, TxError> {
    let query = sqlx::query_as(concat!(
        "SELECT ",
        lot_columns!(),
        " FROM lots l ",
        lot_joins!(),
        " WHERE l.lot_id = $1"
    ));
    let row: LotRow = tx.fetch_one(query.bind(lot.uuid())).await?;
    Ok(row.read()?.map(|read| read.view))
}

/// The columns that only one mechanism has.
#[derive(Default)]
struct Columns {
    opening: Option<i64>,
    reserve: Option<i64>,
    window: Option<i64>,
    max_extension: Option<i64>,
    start: Option<i64>,
    floor: Option<i64>,
    decrease: Option<i64>,
    tick: Option<i64>,
    price: Option<i64>,
    units: Option<i32>,
    limit: Option<i32>,
}

impl NewTerms {
    const fn mechanism(&self) -> Mechanism {
        match self {
            Self::English { .. } => Mechanism::English,
            Self::Dutch(_) => Mechanism::Dutch,
            Self::Drop { .. } => Mechanism::Drop,
        }
    }

    fn are_in(&self, currency: Currency) -> bool {
        let amounts = match self {
            Self::English {
                opening, reserve, ..
            } => [Some(*opening), *reserve],
            Self::Dutch(dutch) => [Some(dutch.start), Some(dutch.floor)],
            Self::Drop { price, .. } => [Some(*price), None],
        };
        let all = amounts.into_iter().flatten();
        all.map(Money::currency).all(|one| one == currency)
    }

    fn columns(&self) -> Columns {
        let small = |units: u32| i32::try_from(units).unwrap_or(i32::MAX);
        match self {
            Self::English {
                opening,
                reserve,
                extension_window_ms,
                max_extension_ms,
                ..
            } => Columns {
                opening: Some(opening.minor()),
                reserve: reserve.map(Money::minor),
                window: Some(*extension_window_ms),
                max_extension: Some(*max_extension_ms),
                ..Columns::default()
            },
            Self::Dutch(dutch) => Columns {
                start: Some(dutch.start.minor()),
                floor: Some(dutch.floor.minor()),
                decrease: Some(dutch.step_minor),
                tick: Some(dutch.tick_ms),
                ..Columns::default()
            },
            Self::Drop {
                price,
                units,
                limit,
            } => Columns {
                price: Some(price.minor()),
                units: Some(small(*units)),
                limit: limit.map(small),
                ..Columns::default()
            },
        }
    }
}

impl PutUp {
    async fn write_lot(&self, tx: &mut Tx) -> Result<u64, TxError> {
        let (lot, columns) = (&self.0, self.0.terms.columns());
        let query = sqlx::query(concat!(
            "INSERT INTO lots
                (lot_id, seller_id, title, description, art, mechanism, currency, listed,
                 opening_minor, reserve_minor, extension_window_ms, start_minor, floor_minor,
                 tick_decrease_minor, tick_ms, price_minor, units, limit_units,
                 opens_at_ms, closes_at_ms, hard_end_ms, created_at_ms,
                 status, version, epoch)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                    t.now_ms + $19, t.now_ms + $19 + $20, t.now_ms + $19 + $20 + $21, t.now_ms,
                    'open', 1, t.now_ms
             FROM (SELECT ",
            now_ms!(),
            " AS now_ms) AS t
             ON CONFLICT (lot_id) DO NOTHING"
        ))
        .bind(lot.id.uuid())
        .bind(lot.seller.uuid())
        .bind(lot.title.clone())
        .bind(lot.description.clone())
        .bind(lot.art.clone())
        .bind(lot.terms.mechanism().word())
        .bind(lot.currency.code())
        .bind(lot.listed)
        .bind(columns.opening)
        .bind(columns.reserve)
        .bind(columns.window)
        .bind(columns.start)
        .bind(columns.floor)
        .bind(columns.decrease)
        .bind(columns.tick)
        .bind(columns.price)
        .bind(columns.units)
        .bind(columns.limit)
        .bind(lot.opens_in_ms)
        .bind(lot.duration_ms)
        .bind(columns.max_extension);
        tx.execute(query).await
    }

    async fn write_parts(&self, tx: &mut Tx) -> Result<(), TxError> {
        match &self.0.terms {
            NewTerms::Dutch(_) => Ok(()),
            NewTerms::English { increments, .. } => {
                let bands = increments.bands();
                let query = sqlx::query(
                    "INSERT INTO lot_increments (lot_id, from_minor, increment_minor)
                     SELECT $1, f, i FROM unnest($2::bigint[], $3::bigint[]) AS d(f, i)",
                )
                .bind(self.0.id.uuid())
                .bind(bands.iter().map(|band| band.from_minor).collect::<Vec<_>>())
                .bind(
                    bands
                        .iter()
                        .map(|band| band.increment_minor)
                        .collect::<Vec<_>>(),
                );
                tx.must_write(bands.len(), "increments", query).await
            }
            NewTerms::Drop { units, .. } => {
                let buckets = split_stock(*units);
                let available = |available| i32::try_from(available).unwrap_or(i32::MAX);
                let query = sqlx::query(
                    "INSERT INTO inventory_buckets (lot_id, bucket, available, open, version)
                     SELECT $1, b, a, true, 1 FROM unnest($2::integer[], $3::integer[]) AS d(b, a)",
                )
                .bind(self.0.id.uuid())
                .bind(
                    buckets
                        .iter()
                        .map(|bucket| bucket.number)
                        .collect::<Vec<_>>(),
                )
                .bind(
                    buckets
                        .iter()
                        .map(|b| available(b.available))
                        .collect::<Vec<_>>(),
                );
                tx.must_write(buckets.len(), "buckets", query).await
            }
        }
    }
}
