//! What rehearsals of faults do to a database that no engine does: age keys, change the catalogue under
//! way, find the process to kill. For stores of one machine.

use super::endpoint::Endpoints;
use super::transaction::{Tx, TxError};
use anyhow::Context;
use shared::PrincipalId;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// Makes everything that was asked for under keys of these people older.
///
/// # Errors
/// What the database says.
pub async fn age_keys(
    endpoints: &Endpoints,
    owners: &[PrincipalId],
    by_ms: i64,
) -> Result<u64, sqlx::Error> {
    let owners: Vec<Uuid> = owners.iter().map(|owner| owner.uuid()).collect();
    let mut aged = 0;
    for sql in [
        "UPDATE idempotency_keys SET created_at_ms = created_at_ms - $2 WHERE principal_id = ANY($1)",
        "UPDATE purchases SET created_at_ms = created_at_ms - $2 WHERE tenant_id = ANY($1)",
        "UPDATE purchase_intents SET at_ms = at_ms - $2 WHERE purchase_id IN
            (SELECT purchase_id FROM purchases WHERE tenant_id = ANY($1))",
    ] {
        let done = sqlx::query(sql).bind(owners.clone()).bind(by_ms);
        aged += done.execute(endpoints.pool()).await?.rows_affected();
    }
    Ok(aged)
}

/// Adds a column to a table that every purchase writes, as a migration does while nodes serve.
///
/// # Errors
/// What the database says.
pub async fn add_column(endpoints: &Endpoints, number: u32) -> Result<(), sqlx::Error> {
    let sql = format!("ALTER TABLE purchases ADD COLUMN IF NOT EXISTS spare_{number} integer");
    let added = sqlx::query(AssertSqlSafe(sql)).execute(endpoints.pool());
    added.await.map(|_done| ())
}

/// Takes the columns of [`add_column`] away again.
///
/// # Errors
/// What the database says.
pub async fn drop_columns(endpoints: &Endpoints, numbers: u32) -> Result<(), sqlx::Error> {
    for number in 0..numbers {
        let sql = format!("ALTER TABLE purchases DROP COLUMN IF EXISTS spare_{number}");
        sqlx::query(AssertSqlSafe(sql))
            .execute(endpoints.pool())
            .await?;
    }
    Ok(())
}

/// The process of the PostgreSQL behind the first endpoint.
///
/// # Errors
/// When it does not tell where it keeps its data, or that folder names no process.
pub async fn postmaster(endpoints: &Endpoints) -> anyhow::Result<u32> {
    let folder: (String,) = sqlx::query_as("SHOW data_directory")
        .fetch_one(endpoints.pool())
        .await?;
    let file = std::path::Path::new(&folder.0).join("postmaster.pid");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let first = text.lines().next().context("an empty file")?;
    Ok(first.trim().parse()?)
}

/// Events of an aggregate that were given up, with why and after how many tries.
///
/// # Errors
/// What the database says.
pub async fn dead_letters(tx: &mut Tx, aggregate: String) -> Result<Vec<(String, i16)>, TxError> {
    let query = sqlx::query_as("SELECT reason, tries FROM dead_letters WHERE aggregate = $1");
    tx.fetch_all(query.bind(aggregate)).await
}
