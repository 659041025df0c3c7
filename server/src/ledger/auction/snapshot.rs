//! What the decisions of a batch rest on: the lot and its stock, keys, purses, limits and people, in
//! one statement.

use super::super::checkout::snapshot::{Row, mandate_part};
use super::super::keys::Keyed;
use super::super::rows::{
    JoinedColumns, LotRead, LotRow, OwnColumns, count, money, now_ms, own_columns,
};
use super::super::transaction::{Tx, TxError};
use shared::auction::{Bucket, Purse};
use shared::ledger::{FundSource, Wallet};
use shared::mutant::{self, Mutant};
use shared::purchase::{Lane, Mandate};
use shared::view::Person;
use shared::{LotId, MandateId, PrincipalId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// The part that is the lot.
const LOT: i32 = 4;

/// Everything, in parts: the lot with the database's time (4), its increments (5), its stock (6),
/// its leading bid (7), its winning claim (8); and for each that is asked for a key with the buyer's
/// limit (0), a mandate (1), a wallet in the lot's currency (2), a person (3). The leader's mandate
/// is read too, and the people whom the lot names.
///
/// One statement, since each is a round trip that every bid waits for. The parts are narrow, and
/// only the lot's own row meets the lot's many columns: every step of a plan pays for each of its
/// columns before it reads a row.
pub const READ: &str = concat!(
    "SELECT q.*, ",
    now_ms!(),
    " AS now_ms, ",
    own_columns!(),
    " FROM (
     SELECT 4 AS part, $1::uuid AS id, NULL::uuid AS other_id, NULL::bigint AS first,
            NULL::bigint AS second, NULL::bigint AS third, NULL::text AS word,
            NULL::text AS text, NULL::bytea AS bytes, NULL::boolean AS flag,
            NULL::integer[] AS numbers, NULL::bigint[] AS versions, NULL::bigint[] AS amounts,
            NULL::uuid[] AS ids, $1::uuid AS lot
     UNION ALL SELECT p.*, NULL::uuid FROM (
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
     FROM lots of JOIN principals p ON p.principal_id = ANY($7 || ARRAY[
        of.seller_id, of.high_bidder_id,
        (SELECT won.buyer_id FROM claims won WHERE won.claim_id = of.winning_claim_id)])
     WHERE of.lot_id = $1
     UNION ALL
     SELECT 5, i.lot_id, NULL, i.from_minor, i.increment_minor, NULL, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL
     FROM lot_increments i WHERE i.lot_id = $1
     UNION ALL
     SELECT 6, b.lot_id, NULL, b.bucket::bigint, b.available::bigint, NULL, NULL,
            NULL, NULL, b.open, NULL, NULL, NULL, NULL
     FROM inventory_buckets b WHERE b.lot_id = $1
     UNION ALL
     SELECT 7, hb.bid_id, NULL, hb.at_ms, NULL, NULL, hb.region,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL
     FROM lots of JOIN bids hb ON hb.bid_id = of.high_bid_id WHERE of.lot_id = $1
     UNION ALL
     SELECT 8, wc.claim_id, wc.buyer_id, wc.at_ms, wc.price_minor, NULL, wc.region,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL
     FROM lots of JOIN claims wc ON wc.claim_id = of.winning_claim_id WHERE of.lot_id = $1) AS p)
     AS q LEFT JOIN lots l ON l.lot_id = q.lot"
);

/// The part that is the lot, which may not exist.
#[derive(sqlx::FromRow)]
struct LotPart {
    now_ms: i64,
    #[sqlx(flatten)]
    own: OwnColumns,
}

/// One row of it.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every row is the large one"
)]
enum Found {
    Lot(Box<LotPart>),
    Other(Row),
}

impl<'r> FromRow<'r, PgRow> for Found {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let part: i32 = row.try_get("part")?;
        if part == LOT {
            let lot = LotPart::from_row(row)?;
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
    /// The people who were asked for, and those whom the lot names.
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
        let mut parts = Parts::default();
        for row in rows {
            match row {
                Found::Lot(lot) => parts.lot = Some(lot),
                Found::Other(row) => parts.take_in(row)?,
            }
        }
        let mut snapshot = parts.snapshot()?;
        if mutant::is(Mutant::CountedLimit) {
            snapshot.count_limits(tx, lot).await?;
        }
        Ok(snapshot)
    }

    /// How a broken engine knows what a buyer has: by counting, so that no row is contended for.
    async fn count_limits(&mut self, tx: &mut Tx, lot: LotId) -> Result<(), TxError> {
        let counted = sqlx::query_as(
            "SELECT buyer_id, sum(units) FROM claims WHERE lot_id = $1 GROUP BY buyer_id",
        );
        let counted: Vec<(Uuid, i64)> = tx.fetch_all(counted.bind(lot.uuid())).await?;
        for (buyer, units) in counted {
            self.bought
                .insert(PrincipalId::from_uuid(buyer), count(units)?);
        }
        Ok(())
    }
}

/// What was read, before it is put together.
#[derive(Default)]
struct Parts {
    lot: Option<Box<LotPart>>,
    joined: JoinedColumns,
    /// Amount from which an increment holds, and the increment.
    bands: BTreeMap<i64, i64>,
    stock: BTreeMap<i64, Stocked>,
    kept: HashMap<usize, Kept>,
    mandates: BTreeMap<FundSource, Mandate>,
    wallets: Vec<Row>,
    bought: HashMap<PrincipalId, u32>,
    people: HashMap<PrincipalId, Person>,
}

/// A bucket of a drop's stock, open or not.
struct Stocked {
    available: i64,
    open: bool,
}

fn need<T>(value: Option<T>, what: &'static str) -> Result<T, TxError> {
    value.ok_or(TxError::Corrupt(what))
}

impl Parts {
    fn take_in(&mut self, row: Row) -> Result<(), TxError> {
        match row.part {
            0 => self.take_key(row)?,
            1 => {
                let of = PrincipalId::from_uuid(need(row.other_id, "owner of a mandate")?);
                let funds = FundSource::new(of, Some(MandateId::from_uuid(row.id)));
                self.mandates.insert(funds, row.mandate(Lane::ONLY)?);
            }
            2 => self.wallets.push(row),
            3 => {
                let id = PrincipalId::from_uuid(row.id);
                let person = Person {
                    id,
                    handle: row.text.unwrap_or_default(),
                    name: row.word.unwrap_or_default(),
                    simulated: row.flag.unwrap_or_default(),
                };
                self.people.insert(id, person);
            }
            5 => {
                let from = need(row.first, "start of an increment")?;
                self.bands.insert(from, need(row.second, "increment")?);
            }
            6 => {
                let stocked = Stocked {
                    available: need(row.second, "stock")?,
                    open: need(row.flag, "bucket")?,
                };
                self.stock.insert(need(row.first, "bucket")?, stocked);
            }
            7 => {
                self.joined.line_region_bid = row.word;
                self.joined.line_at_bid = row.first;
            }
            8 => {
                self.joined.claim_id = Some(row.id);
                self.joined.buyer_id = row.other_id;
                self.joined.claim_price_minor = row.second;
                self.joined.line_region_claim = row.word;
                self.joined.line_at_claim = row.first;
            }
            _ => return Err(TxError::Corrupt("a part that nobody asked for")),
        }
        Ok(())
    }

    fn take_key(&mut self, row: Row) -> Result<(), TxError> {
        let buyer = PrincipalId::from_uuid(row.id);
        self.bought.insert(buyer, count(row.second.unwrap_or(0))?);
        if let (Some(fingerprint), Some(outcome)) = (row.bytes, row.text) {
            let place = row.first.and_then(|place| usize::try_from(place - 1).ok());
            let kept = Kept {
                fingerprint,
                outcome,
            };
            self.kept.insert(need(place, "place of a key")?, kept);
        }
        Ok(())
    }

    fn snapshot(self) -> Result<Snapshot, TxError> {
        let LotPart { now_ms, own } = *need(self.lot, "a lot's read")?;
        let person =
            |id: Option<Uuid>| id.and_then(|id| self.people.get(&PrincipalId::from_uuid(id)));
        let mut joined = self.joined;
        if let Some(seller) = person(own.seller_id) {
            joined.seller_handle = Some(seller.handle.clone());
            joined.seller_name = Some(seller.name.clone());
            joined.seller_simulated = Some(seller.simulated);
        }
        if let Some(leader) = person(own.high_bidder_id.or(joined.buyer_id)) {
            joined.line_handle = Some(leader.handle.clone());
            joined.line_name = Some(leader.name.clone());
            joined.line_simulated = Some(leader.simulated);
        }
        joined.band_from = Some(self.bands.keys().copied().collect());
        joined.band_increment = Some(self.bands.values().copied().collect());
        joined.units_left = Some(self.stock.values().map(|bucket| bucket.available).sum());
        let lot = LotRow { own, joined }.read()?;

        let mut purses: BTreeMap<FundSource, Purse> = BTreeMap::new();
        for (funds, mandate) in self.mandates {
            purses.insert(funds, Purse::Mandate(mandate));
        }
        for row in self.wallets {
            let of = lot.as_ref().map(|read| read.lot.currency);
            let currency = need(of, "a wallet for no lot")?;
            let amount = |minor: Option<i64>| money(minor.unwrap_or_default(), currency);
            let wallet = Wallet {
                funded: amount(row.first)?,
                held: amount(row.second)?,
                spent: amount(row.third)?,
            };
            let funds = FundSource::Wallet(PrincipalId::from_uuid(row.id));
            purses.insert(funds, Purse::Wallet(wallet));
        }
        let open = self.stock.iter().filter(|(_, bucket)| bucket.open);
        let buckets = open.map(|(&number, bucket)| {
            Ok(Bucket {
                number: i32::try_from(number).map_err(|_range| TxError::Corrupt("bucket"))?,
                available: count(bucket.available)?,
            })
        });
        Ok(Snapshot {
            now: Timestamp(now_ms),
            lot,
            buckets: buckets.collect::<Result<_, TxError>>()?,
            kept: self.kept,
            purses,
            bought: self.bought,
            people: self.people,
        })
    }
}
