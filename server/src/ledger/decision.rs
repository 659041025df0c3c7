//! The one read that a command on a lot decides from: the key, the lot, the wallet and the stock
//! of one snapshot, in one round trip, with the database's time.

use super::keys::Keyed;
use super::rows::{LotRead, LotRow, WalletRow, count, lot_columns, lot_joins, now_ms};
use super::transaction::{Tx, TxError};
use app::ports::KeptOutcome;
use shared::auction::Bucket;
use shared::ledger::Wallet;
use shared::view::{Activity, ActivityKind, LadderLine, LotView};
use shared::{Currency, EventId, LotId, Money, PrincipalId, Timestamp};

#[derive(sqlx::FromRow)]
struct Row {
    now_ms: i64,
    fingerprint: Option<Vec<u8>>,
    outcome: Option<String>,
    #[sqlx(flatten)]
    lot: LotRow,
    wallet_funded: Option<i64>,
    wallet_held: Option<i64>,
    wallet_spent: Option<i64>,
    wallet_version: Option<i64>,
    bought: Option<i32>,
    bucket_numbers: Option<Vec<i32>>,
    bucket_available: Option<Vec<i32>>,
}

/// What a command knows when it decides.
pub struct Decision {
    /// Database time of the transaction: prices, closes and expiries rest on it.
    pub now: Timestamp,
    /// What the key decided before, if it did.
    pub kept: Option<KeptOutcome>,
    /// The lot, `None` if there is no such row.
    pub lot: Option<LotRead>,
    wallet: Option<WalletRow>,
    /// Units of the lot that the person has already.
    pub bought: u32,
    /// Open buckets.
    pub buckets: Vec<Bucket>,
}

impl Decision {
    /// Reads everything.
    ///
    /// # Errors
    /// What the database says, [`TxError::KeyReused`], or a corrupt row.
    pub async fn read(
        tx: &mut Tx,
        keyed: &Keyed,
        who: PrincipalId,
        lot: LotId,
    ) -> Result<Self, TxError> {
        let row: Row = tx
            .fetch_one(
                sqlx::query_as(concat!(
                    "SELECT ",
                    now_ms!(),
                    " AS now_ms, k.fingerprint, k.outcome, ",
                    lot_columns!(),
                    ", w.funded_minor AS wallet_funded, w.held_minor AS wallet_held,
                       w.spent_minor AS wallet_spent, w.version AS wallet_version,
                       pl.units AS bought,
                       (SELECT array_agg(b.bucket ORDER BY b.bucket) FROM inventory_buckets b
                         WHERE b.lot_id = l.lot_id AND b.open) AS bucket_numbers,
                       (SELECT array_agg(b.available ORDER BY b.bucket) FROM inventory_buckets b
                         WHERE b.lot_id = l.lot_id AND b.open) AS bucket_available
                     FROM (SELECT 1) AS one
                     LEFT JOIN idempotency_keys k
                        ON k.principal_id = $1 AND k.key = $2 AND k.route = $3
                     LEFT JOIN lots l ON l.lot_id = $4 ",
                    lot_joins!(),
                    " LEFT JOIN wallets w ON w.principal_id = $5 AND w.currency = l.currency
                     LEFT JOIN purchase_limits pl ON pl.lot_id = l.lot_id AND pl.buyer_id = $5"
                ))
                .bind(keyed.owner.uuid())
                .bind(keyed.key.as_str().to_owned())
                .bind(keyed.route_word())
                .bind(lot.uuid())
                .bind(who.uuid()),
            )
            .await?;
        let kept = keyed.kept(row.fingerprint.as_deref(), row.outcome.as_deref())?;
        let wallet = row.wallet_funded.map(|funded_minor| WalletRow {
            principal_id: who.uuid(),
            funded_minor,
            held_minor: row.wallet_held.unwrap_or_default(),
            spent_minor: row.wallet_spent.unwrap_or_default(),
            version: row.wallet_version.unwrap_or_default(),
        });
        let numbers = row.bucket_numbers.unwrap_or_default();
        let available = row.bucket_available.unwrap_or_default();
        let bucket = |(number, available): (i32, i32)| {
            Ok(Bucket {
                number,
                available: count(available.into())?,
            })
        };
        Ok(Self {
            now: Timestamp(row.now_ms),
            kept,
            lot: row.lot.read()?,
            wallet,
            bought: count(row.bought.unwrap_or(0).into())?,
            buckets: numbers
                .into_iter()
                .zip(available)
                .map(bucket)
                .collect::<Result<_, TxError>>()?,
        })
    }

    /// What the person's wallet has free; nothing if they have none in the lot's currency.
    ///
    /// # Errors
    /// A corrupt row.
    pub fn available(&self, currency: Currency) -> Result<Money, TxError> {
        let wallet = self.wallet.map(|row| row.wallet(currency)).transpose()?;
        Ok(wallet.unwrap_or(Wallet::empty(currency)).available())
    }
}

/// The activity's line about something that happened on a lot.
#[must_use]
pub fn activity(
    id: EventId,
    lot: &LotView,
    what: ActivityKind,
    line: Option<&LadderLine>,
    at: Timestamp,
) -> Activity {
    Activity {
        id: id.to_string(),
        lot: lot.id,
        title: lot.title.clone(),
        what,
        who: line.map(|line| line.who.clone()),
        region: line.map(|line| line.region),
        amount: line.map(|line| line.amount),
        at,
    }
}

/// The wallet of one owner among those that a commit wrote.
///
/// # Errors
/// [`TxError::Corrupt`] if it is not among them, which the caller's own write rules out.
pub fn wallet_of(rows: &[WalletRow], owner: PrincipalId) -> Result<&WalletRow, TxError> {
    let of_owner = |row: &&WalletRow| row.principal_id == owner.uuid();
    rows.iter()
        .find(of_owner)
        .ok_or(TxError::Corrupt("a wallet that was written"))
}
