//! The one read of a batch: keys, stock, mandates and intents, from one snapshot in one statement.

use super::super::rows::{currency, money, need, now_ms};
use super::super::transaction::{Tx, TxError};
use super::batch::{Asked, Decision, ItemCard};
use shared::purchase::{First, Lane, Mandate, Pool, Slot};
use shared::{MandateId, MerchantId, Money, PurchaseId, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// What a key was answered before.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Hash of the request's meaning.
    pub fingerprint: Vec<u8>,
    /// The answer.
    pub decision: Decision,
}

/// Everything that the decisions of a batch rest on.
pub struct Snapshot {
    /// The database's time.
    pub now: Timestamp,
    /// Changes whenever units come back.
    pub stock_epoch: i64,
    /// The item's stock.
    pub stock: Pool,
    /// The mandates that the batch names, those of the tenant.
    pub mandates: BTreeMap<MandateId, Mandate>,
    /// The purchases of keys that were used before.
    pub kept: HashMap<PurchaseId, Kept>,
    /// The last purchases of the batch's intents.
    pub intents: HashMap<Uuid, First>,
}

/// One row of a read that brings several kinds of rows in one statement: which kind it is, and its
/// columns under names that fit all of them. Here: an item (0), a mandate (1), a purchase (2) or an
/// intent (3).
#[derive(sqlx::FromRow)]
pub struct Row {
    /// The kind.
    pub part: i32,
    /// Its id.
    pub id: Uuid,
    /// Another id.
    pub other_id: Option<Uuid>,
    /// A number.
    pub first: Option<i64>,
    /// Another.
    pub second: Option<i64>,
    /// A third one.
    pub third: Option<i64>,
    /// A word, such as a currency.
    pub word: Option<String>,
    /// A longer text.
    pub text: Option<String>,
    /// A hash.
    pub bytes: Option<Vec<u8>>,
    /// A yes or no.
    pub flag: Option<bool>,
    numbers: Option<Vec<i32>>,
    versions: Option<Vec<i64>>,
    amounts: Option<Vec<i64>>,
    ids: Option<Vec<Uuid>>,
}

/// A mandate as part 1 of a read, after which comes a condition on `m`.
macro_rules! mandate_part {
    ($condition:literal) => {
        concat!(
            "SELECT 1, m.mandate_id, m.tenant_id, m.purchase_cap_minor, m.expires_at_ms,
                    NULL::bigint, m.currency, NULL::text, NULL::bytea, b.revoked, b.numbers,
                    b.versions, b.amounts,
                    (SELECT array_agg(c.merchant_id) FROM mandate_scope c
                     WHERE c.mandate_id = m.mandate_id)
             FROM mandates m
             CROSS JOIN LATERAL (
                SELECT array_agg(s.bucket) AS numbers, array_agg(s.version) AS versions,
                       array_agg(s.remaining_minor) AS amounts, bool_or(s.revoked) AS revoked
                FROM mandate_buckets s WHERE s.mandate_id = m.mandate_id) AS b
             WHERE ",
            $condition
        )
    };
}

pub(in super::super) use mandate_part;

/// Each part is found by its primary key; NULLs fill what a part does not have.
pub const READ: &str = concat!(
    "SELECT 0 AS part, i.item_id AS id, NULL::uuid AS other_id, ",
    now_ms!(),
    " AS first, i.stock_epoch AS second, NULL::bigint AS third, NULL::text AS word,
            NULL::text AS text, NULL::bytea AS bytes, NULL::boolean AS flag,
            b.numbers, b.versions, b.amounts, NULL::uuid[] AS ids
     FROM items i
     CROSS JOIN LATERAL (
        SELECT array_agg(s.bucket) AS numbers, array_agg(s.version) AS versions,
               array_agg(s.available) AS amounts
        FROM stock_buckets s WHERE s.item_id = i.item_id) AS b
     WHERE i.item_id = $1
     UNION ALL ",
    mandate_part!("m.mandate_id = ANY($2) AND m.tenant_id = $3"),
    "
     UNION ALL
     SELECT 2, p.purchase_id, NULL, p.price_minor, p.quantity, p.attempts, p.currency,
            p.refusal, p.fingerprint, NULL, NULL, NULL, NULL, NULL
     FROM purchases p WHERE p.purchase_id = ANY($4)
     UNION ALL
     SELECT 3, n.intent_id, n.purchase_id, n.at_ms, NULL, NULL, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL
     FROM purchase_intents n WHERE n.intent_id = ANY($5)"
);

/// What a stampede on sold-out stock reads: keys that were used before, and whether units came
/// back since.
pub const READ_SOLD_OUT: &str = "SELECT i.stock_epoch, p.purchase_id, p.price_minor,
            p.quantity, p.attempts, p.currency, p.refusal, p.fingerprint
     FROM items i LEFT JOIN purchases p ON p.purchase_id = ANY($2)
     WHERE i.item_id = $1";

impl Snapshot {
    /// Reads what the batch needs.
    ///
    /// # Errors
    /// What the database says, or a row that cannot be read.
    pub async fn read(
        tx: &mut Tx,
        card: &ItemCard,
        asked: &[Asked],
        lane: Lane,
    ) -> Result<Self, TxError> {
        let mandates: BTreeSet<Uuid> = asked.iter().map(|a| a.request.mandate.uuid()).collect();
        let purchases: BTreeSet<Uuid> = asked.iter().map(|a| a.purchase.uuid()).collect();
        let intents: BTreeSet<Uuid> = asked.iter().map(Asked::intent).collect();
        let query = sqlx::query_as(READ)
            .bind(card.item.uuid())
            .bind(mandates.into_iter().collect::<Vec<_>>())
            .bind(card.tenant.uuid())
            .bind(purchases.into_iter().collect::<Vec<_>>())
            .bind(intents.into_iter().collect::<Vec<_>>());
        let rows: Vec<Row> = tx.fetch_all(query).await?;
        let mut snapshot = Self {
            now: Timestamp(0),
            stock_epoch: 0,
            stock: Pool::new(Vec::new(), lane),
            mandates: BTreeMap::new(),
            kept: HashMap::new(),
            intents: HashMap::new(),
        };
        let mut has_item = false;
        for row in rows {
            match row.part {
                0 => {
                    has_item = true;
                    snapshot.now = Timestamp(need(row.first, "time")?);
                    snapshot.stock_epoch = need(row.second, "stock epoch")?;
                    snapshot.stock = row.pool(lane);
                }
                1 => {
                    let id = MandateId::from_uuid(row.id);
                    snapshot.mandates.insert(id, row.mandate(lane)?);
                }
                2 => {
                    let id = PurchaseId::from_uuid(row.id);
                    let kept = KeptRow {
                        price_minor: row.first,
                        quantity: row.second,
                        attempts: row.third,
                        currency: row.word,
                        refusal: row.text,
                        fingerprint: row.bytes,
                    };
                    snapshot.kept.insert(id, kept.kept()?);
                }
                _ => {
                    let first = First {
                        purchase: PurchaseId::from_uuid(need(row.other_id, "purchase")?),
                        at: Timestamp(need(row.first, "time of an intent")?),
                    };
                    snapshot.intents.insert(row.id, first);
                }
            }
        }
        if has_item {
            Ok(snapshot)
        } else {
            Err(TxError::Corrupt("an item that was there is gone"))
        }
    }
}

impl Row {
    fn pool(&self, lane: Lane) -> Pool {
        let numbers = self.numbers.iter().flatten();
        let versions = self.versions.iter().flatten();
        let amounts = self.amounts.iter().flatten();
        let rows = numbers.zip(versions).zip(amounts);
        let slots = rows.map(|((&number, &version), &left)| Slot {
            number,
            version,
            left,
        });
        Pool::new(slots.collect(), lane)
    }

    /// The mandate that part 1 holds.
    ///
    /// # Errors
    /// A row that cannot be read.
    pub fn mandate(&self, lane: Lane) -> Result<Mandate, TxError> {
        let currency = currency(self.word.as_deref().unwrap_or_default())?;
        let scope = self.ids.iter().flatten().copied();
        Ok(Mandate {
            currency,
            purchase_cap: self.first.map(|minor| money(minor, currency)).transpose()?,
            expires_at: Timestamp(need(self.second, "expiry of a mandate")?),
            revoked: need(self.flag, "buckets of a mandate")?,
            scope: scope.map(MerchantId::from_uuid).collect(),
            budget: self.pool(lane),
        })
    }
}

/// The columns of a purchase that answer its key.
struct KeptRow {
    price_minor: Option<i64>,
    quantity: Option<i64>,
    attempts: Option<i64>,
    currency: Option<String>,
    refusal: Option<String>,
    fingerprint: Option<Vec<u8>>,
}

impl KeptRow {
    fn kept(self) -> Result<Kept, TxError> {
        let decision = match self.refusal {
            Some(text) => {
                let refusal = serde_json::from_str(&text);
                Decision::Refused(refusal.map_err(|_unreadable| TxError::Corrupt("refusal"))?)
            }
            None => Decision::Committed {
                amount: self.amount()?,
                attempts: u32::try_from(need(self.attempts, "attempts")?)
                    .map_err(|_negative| TxError::Corrupt("attempts"))?,
            },
        };
        Ok(Kept {
            fingerprint: need(self.fingerprint, "fingerprint")?,
            decision,
        })
    }

    fn amount(&self) -> Result<Money, TxError> {
        let currency = currency(self.currency.as_deref().unwrap_or_default())?;
        let price = money(need(self.price_minor, "price")?, currency)?;
        let quantity = u32::try_from(need(self.quantity, "quantity")?);
        let quantity = quantity.map_err(|_range| TxError::Corrupt("quantity"))?;
        let amount = price.checked_mul(quantity);
        amount.map_err(|_range| TxError::Corrupt("amount of a purchase"))
    }
}

#[derive(sqlx::FromRow)]
struct SoldOutRow {
    stock_epoch: i64,
    purchase_id: Option<Uuid>,
    price_minor: Option<i64>,
    quantity: Option<i32>,
    attempts: Option<i32>,
    currency: Option<String>,
    refusal: Option<String>,
    fingerprint: Option<Vec<u8>>,
}

/// What keys were answered before, and the item's stock epoch.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn read_sold_out(
    tx: &mut Tx,
    item: Uuid,
    keys: Vec<Uuid>,
) -> Result<(i64, HashMap<PurchaseId, Kept>), TxError> {
    let query = sqlx::query_as(READ_SOLD_OUT).bind(item).bind(keys);
    let rows: Vec<SoldOutRow> = tx.fetch_all(query).await?;
    let epoch = need(rows.first().map(|row| row.stock_epoch), "item")?;
    let mut kept = HashMap::new();
    for row in rows {
        let Some(id) = row.purchase_id else { continue };
        let columns = KeptRow {
            price_minor: row.price_minor,
            quantity: row.quantity.map(i64::from),
            attempts: row.attempts.map(i64::from),
            currency: row.currency,
            refusal: row.refusal,
            fingerprint: row.fingerprint,
        };
        kept.insert(PurchaseId::from_uuid(id), columns.kept()?);
    }
    Ok((epoch, kept))
}
