//! What the decisions of a batch rest on: the lot and its stock, keys, purses, limits and people.

use super::super::checkout::snapshot::Row;
use super::super::keys::Keyed;
use super::super::rows::{JoinedColumns, LotRead, LotRow, count, money, need};
use super::super::transaction::{Tx, TxError};
use super::statement::{Found, LotPart, READ, READ_CLAIMS};
use shared::auction::{Bucket, Purse};
use shared::ledger::{FundSource, Wallet};
use shared::mutant::{self, Mutant};
use shared::purchase::{Lane, Mandate};
use shared::view::Person;
use shared::{LotId, MandateId, PrincipalId, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

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
    /// The people who were asked for, and those whom the lot names; nobody if there is no lot.
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
    /// Nothing but claims that wallets pay for is to be decided.
    pub is_for_claims: bool,
}

impl Snapshot {
    /// Reads everything.
    ///
    /// # Errors
    /// What the database says, or a corrupt row.
    pub async fn read(tx: &mut Tx, lot: LotId, wanted: Wanted<'_>) -> Result<Self, TxError> {
        let mut parts = if wanted.is_for_claims {
            Parts::read(tx, READ_CLAIMS, lot, &wanted).await?
        } else {
            Parts::read(tx, READ, lot, &wanted).await?
        };
        if wanted.is_for_claims && parts.are_of_english() {
            // They are refused, but by the lot's own rules, which are not whole without its
            // increments and its leader.
            parts = Parts::read(tx, READ, lot, &wanted).await?;
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

impl Parts {
    async fn read(
        tx: &mut Tx,
        statement: &'static str,
        lot: LotId,
        wanted: &Wanted<'_>,
    ) -> Result<Self, TxError> {
        let keys = &wanted.keys;
        let words = keys.iter().map(|k| k.key.as_str().to_owned());
        let wallets = wanted.funds.iter().filter_map(|funds| match funds {
            FundSource::Wallet(owner) => Some(owner.uuid()),
            FundSource::Mandate { .. } => None,
        });
        let mut query = sqlx::query_as(statement)
            .bind(lot.uuid())
            .bind(keys.iter().map(|k| k.owner.uuid()).collect::<Vec<_>>())
            .bind(keys.iter().map(|k| k.route_word()).collect::<Vec<_>>())
            .bind(words.collect::<Vec<_>>())
            .bind(wallets.collect::<Vec<_>>())
            .bind(wanted.people.iter().map(|id| id.uuid()).collect::<Vec<_>>());
        if statement == READ {
            let mandates = wanted.funds.iter().filter_map(|funds| funds.mandate());
            query = query.bind(mandates.map(|id| id.uuid()).collect::<Vec<_>>());
        }
        let mut parts = Self::default();
        for row in tx.fetch_all(query).await? {
            match row {
                Found::Lot(lot) => parts.lot = Some(lot),
                Found::Other(row) => parts.take_in(row)?,
            }
        }
        Ok(parts)
    }

    fn are_of_english(&self) -> bool {
        let mechanism = self
            .lot
            .as_ref()
            .and_then(|lot| lot.own.mechanism.as_deref());
        mechanism == Some("english")
    }

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
