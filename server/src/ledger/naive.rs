//! An engine as one would write it first: read what is left, then write what is left afterwards. It
//! is here to be caught, so that the proof is seen to catch something, and has tables of its own.

use super::endpoint::Endpoints;
use super::transaction::{Command, Tx, TxError};
use async_trait::async_trait;
use shared::{ClaimId, LotId};
use sqlx::Executor as _;

/// Its tables, which are made when it is first asked for.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS naive_drops (lot_id uuid PRIMARY KEY, available integer NOT NULL)",
    "CREATE TABLE IF NOT EXISTS naive_claims (claim_id uuid PRIMARY KEY, lot_id uuid NOT NULL)",
];

/// Makes its tables.
///
/// # Errors
/// What the database says.
pub async fn prepare(endpoints: &Endpoints) -> Result<(), sqlx::Error> {
    for table in TABLES {
        endpoints.pool().execute(table).await?;
    }
    Ok(())
}

/// Puts up a drop.
pub struct PutUp {
    /// Its id.
    pub lot: LotId,
    /// Its units.
    pub units: i32,
}

#[async_trait]
impl Command for PutUp {
    type Answer = ();
    const NAME: &'static str = "naive_put_up";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let query = sqlx::query("INSERT INTO naive_drops VALUES ($1, $2)")
            .bind(self.lot.uuid())
            .bind(self.units);
        tx.must_write(1, "naive drop", query).await
    }
}

/// Units that are left, as a transaction of its own: by the time of the sale it may be untrue.
///
/// # Errors
/// What the database says.
pub async fn available(tx: &mut Tx, lot: LotId) -> Result<i32, TxError> {
    let query = sqlx::query_as("SELECT available FROM naive_drops WHERE lot_id = $1");
    let (available,): (i32,) = tx.fetch_one(query.bind(lot.uuid())).await?;
    Ok(available)
}

/// Sells a unit to whoever was told that there is one.
pub struct Sell {
    /// The drop.
    pub lot: LotId,
    /// The claim.
    pub claim: ClaimId,
    /// What was left when it was read.
    pub seen: i32,
}

#[async_trait]
impl Command for Sell {
    type Answer = ();
    const NAME: &'static str = "naive_sell";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        // No condition: whoever writes last decides how many are left.
        let write = sqlx::query("UPDATE naive_drops SET available = $2 WHERE lot_id = $1")
            .bind(self.lot.uuid())
            .bind(self.seen - 1);
        tx.execute(write).await?;
        let claim = sqlx::query("INSERT INTO naive_claims VALUES ($1, $2)")
            .bind(self.claim.uuid())
            .bind(self.lot.uuid());
        tx.must_write(1, "naive claim", claim).await
    }
}

/// Claims stored, and units left, by the committed rows.
///
/// # Errors
/// What the database says.
pub async fn tally(tx: &mut Tx, lot: LotId) -> Result<(i64, i32), TxError> {
    let claims = sqlx::query_as("SELECT count(*) FROM naive_claims WHERE lot_id = $1");
    let (claims,): (i64,) = tx.fetch_one(claims.bind(lot.uuid())).await?;
    Ok((claims, available(tx, lot).await?))
}
