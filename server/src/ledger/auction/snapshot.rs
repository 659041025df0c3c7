//! What the decisions of a batch rest on: the lot and its stock, keys, purses, limits and people, in
//! one statement.

use super::super::checkout::snapshot::{Row, mandate_part};
use super::super::keys::Keyed;
use super::super::rows::{LotRead, LotRow, count, lot_columns, lot_joins, money, now_ms};
use super::super::transaction::{Tx, TxError};
use shared::auction::{Bucket, Purse};
use shared::ledger::{FundSource, Wallet};
use shared::mutant::{self, Mutant};
use shared::purchase::Lane;
use shared::view::Person;
use shared::{Currency, LotId, MandateId, PrincipalId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(sqlx::FromRow)]
struct LotAndStock {
    now_ms: i64,
    #[sqlx(flatten)]
    lot: LotRow,
    bucket_numbers: Option<Vec<i32>>,
    bucket_available: Option<Vec<i32>>,
}

/// The part that is the lot.
const LOT: i32 = 4;

/// Nothing in place of the lot's columns, in rows that are of another part.
macro_rules! no_lot {
    () => {
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL"
    };
}

/// Everything: the lot with the database's time (4), and for each that is asked for a key with the
/// buyer's limit (0), a mandate (1), a wallet in the lot's currency (2), a person (3). The mandate of
/// the leader is read too.
///
/// One statement, since each is a round trip that every bid waits for.
pub const READ: &str = concat!(
    "SELECT 4 AS part, $1::uuid AS id, NULL::uuid AS other_id, NULL::bigint AS first,
            NULL::bigint AS second, NULL::bigint AS third, NULL::text AS word,
            NULL::text AS text, NULL::bytea AS bytes, NULL::boolean AS flag,
            NULL::integer[] AS numbers, NULL::bigint[] AS versions, NULL::bigint[] AS amounts,
            NULL::uuid[] AS ids, ",
    now_ms!(),
    " AS now_ms, stock.bucket_numbers, stock.bucket_available, ",
    lot_columns!(),
    " FROM (SELECT 1) AS one LEFT JOIN lots l ON l.lot_id = $1 ",
    lot_joins!(),
    " UNION ALL
     SELECT p.*, ",
    no_lot!(),
    " FROM (
     SELECT 0, d.owner, NULL::uuid, d.place, pl.units::bigint, NULL::bigint, NULL::text,
            k.outcome, k.fingerprint, NULL::boolean, NULL::integer[], NULL::bigint[],
            NULL::bigint[], NULL::uuid[]
     FROM unnest($2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY AS d(owner, route, key, place)
     LEFT JOIN idempotency_keys k
        ON k.principal_id = d.owner AND k.key = d.key AND k.route = d.route
     LEFT JOIN purchase_limits pl ON pl.lot_id = $1 AND pl.buyer_id = d.owner
     UNION ALL ",
    mandate_part!(
        "m.mandate_id = ANY($5::uuid[] || ARRAY(
            SELECT leader.high_mandate_id FROM lots leader WHERE leader.lot_id = $1))"
    ),
    "
     UNION ALL
     SELECT 2, w.principal_id, NULL, w.funded_minor, w.held_minor, w.spent_minor, w.currency,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL
     FROM lots of JOIN wallets w ON w.principal_id = ANY($6) AND w.currency = of.currency
     WHERE of.lot_id = $1
     UNION ALL
     SELECT 3, p.principal_id, NULL, NULL, NULL, NULL, p.name,
            p.handle, NULL, p.simulated, NULL, NULL, NULL, NULL
     FROM principals p WHERE p.principal_id = ANY($7)) AS p"
);

/// One row of it.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every row is the large one"
)]
enum Found {
    Lot(Box<LotAndStock>),
    Other(Row),
}

impl<'r> FromRow<'r, PgRow> for Found {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let part: i32 = row.try_get("part")?;
        if part == LOT {
            let lot = LotAndStock::from_row(row)?;
            return Ok(Self::Lot(Box::new(lot)));
        }
        Row::from_row(row).map(Self::Other)
    }
}

/// What a key was answered before.
pub struct Kept {
    /// Hash of the offer's meaning.
    pub fingerprint: Vec<u8>,
    /// The answer, as it was written.
    pub outcome: String,
}

/// One snapshot.
pub struct Snapshot {
    /// Database time of the transaction: prices, closes and expiries rest on it.
    pub now: Timestamp,
    /// The lot, `None` if there is no such row.
    pub lot: Option<LotRead>,
    /// Open buckets of a drop.
    pub buckets: Vec<Bucket>,
    /// What keys were answered before, by their places in what was asked.
    pub kept: HashMap<usize, Kept>,
    /// The money of those who ask, and of a leader whose money is a mandate's.
    pub purses: BTreeMap<FundSource, Purse>,
    /// Units of the lot that those who ask have already.
    pub bought: HashMap<PrincipalId, u32>,
    /// The people who were asked for.
    pub people: HashMap<PrincipalId, Person>,
}

/// What else than the lot is read.
#[derive(Default)]
pub struct Wanted<'a> {
    /// Keys.
    pub keys: Vec<&'a Keyed>,
    /// Money.
    pub funds: BTreeSet<FundSource>,
    /// People.
    pub people: BTreeSet<PrincipalId>,
}

impl Snapshot {
    /// Reads everything.
    ///
    /// # Errors
    /// What the database says, or a corrupt row.
    pub async fn read(tx: &mut Tx, lot: LotId, wanted: Wanted<'_>) -> Result<Self, TxError> {
        let keys = &wanted.keys;
        let mandates = wanted.funds.iter().filter_map(|funds| funds.mandate());
        let wallets = wanted.funds.iter().filter_map(|funds| match funds {
            FundSource::Wallet(owner) => Some(owner.uuid()),
            FundSource::Mandate { .. } => None,
        });
        let query = sqlx::query_as(READ)
            .bind(lot.uuid())
            .bind(keys.iter().map(|k| k.owner.uuid()).collect::<Vec<_>>())
            .bind(keys.iter().map(|k| k.route_word()).collect::<Vec<_>>())
            .bind(
                keys.iter()
                    .map(|k| k.key.as_str().to_owned())
                    .collect::<Vec<_>>(),
            )
            .bind(mandates.map(|id| id.uuid()).collect::<Vec<_>>())
            .bind(wallets.collect::<Vec<_>>())
            .bind(wanted.people.iter().map(|id| id.uuid()).collect::<Vec<_>>());
        let rows: Vec<Found> = tx.fetch_all(query).await?;
        let (mut first, mut others) = (None, Vec::with_capacity(rows.len()));
        for row in rows {
            match row {
                Found::Lot(lot) => first = Some(lot),
                Found::Other(row) => others.push(row),
            }
        }
        let first = first.ok_or(TxError::Corrupt("a lot's read"))?;
        let mut snapshot = Self::of(*first)?;
        let currency = snapshot.lot.as_ref().map(|read| read.lot.currency);
        for row in others {
            snapshot.take_in(row, currency)?;
        }
        if mutant::is(Mutant::CountedLimit) {
            snapshot.count_limits(tx, lot).await?;
        }
        Ok(snapshot)
    }

    fn of(first: LotAndStock) -> Result<Self, TxError> {
        let numbers = first.bucket_numbers.into_iter().flatten();
        let available = first.bucket_available.into_iter().flatten();
        let bucket = |(number, available): (i32, i32)| {
            Ok(Bucket {
                number,
                available: count(available.into())?,
            })
        };
        let buckets = numbers.zip(available).map(bucket);
        Ok(Self {
            now: Timestamp(first.now_ms),
            lot: first.lot.read()?,
            buckets: buckets.collect::<Result<_, TxError>>()?,
            kept: HashMap::new(),
            purses: BTreeMap::new(),
            bought: HashMap::new(),
            people: HashMap::new(),
        })
    }

    /// How a broken engine knows what a buyer has: by counting, so that no row is contended for.
    async fn count_limits(&mut self, tx: &mut Tx, lot: LotId) -> Result<(), TxError> {
        let counted = sqlx::query_as(
            "SELECT buyer_id, sum(units) FROM claims WHERE lot_id = $1 GROUP BY buyer_id",
        );
        let counted: Vec<(uuid::Uuid, i64)> = tx.fetch_all(counted.bind(lot.uuid())).await?;
        for (buyer, units) in counted {
            self.bought
                .insert(PrincipalId::from_uuid(buyer), count(units)?);
        }
        Ok(())
    }

    fn take_in(&mut self, row: Row, currency: Option<Currency>) -> Result<(), TxError> {
        let owner = PrincipalId::from_uuid(row.id);
        match row.part {
            0 => {
                let bought = count(row.second.unwrap_or(0))?;
                self.bought.insert(owner, bought);
                if let (Some(fingerprint), Some(outcome)) = (row.bytes, row.text) {
                    let place = row.first.and_then(|place| usize::try_from(place - 1).ok());
                    let place = place.ok_or(TxError::Corrupt("place of a key"))?;
                    self.kept.insert(
                        place,
                        Kept {
                            fingerprint,
                            outcome,
                        },
                    );
                }
            }
            1 => {
                let of = row.other_id.ok_or(TxError::Corrupt("owner of a mandate"))?;
                let id = MandateId::from_uuid(row.id);
                let funds = FundSource::new(PrincipalId::from_uuid(of), Some(id));
                let purse = Purse::Mandate(row.mandate(Lane::ONLY)?);
                self.purses.insert(funds, purse);
            }
            2 => {
                let currency = currency.ok_or(TxError::Corrupt("a wallet for no lot"))?;
                let amount = |minor: Option<i64>| money(minor.unwrap_or_default(), currency);
                let wallet = Wallet {
                    funded: amount(row.first)?,
                    held: amount(row.second)?,
                    spent: amount(row.third)?,
                };
                self.purses
                    .insert(FundSource::Wallet(owner), Purse::Wallet(wallet));
            }
            _ => {
                let person = Person {
                    id: owner,
                    handle: row.text.unwrap_or_default(),
                    name: row.word.unwrap_or_default(),
                    simulated: row.flag.unwrap_or_default(),
                };
                self.people.insert(owner, person);
            }
        }
        Ok(())
    }
}
