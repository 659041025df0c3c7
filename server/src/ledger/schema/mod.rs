//! What creates the tables: one statement a transaction, indexes built asynchronously where the
//! database does so, and no traffic before every index is valid.

mod tables;

pub use tables::{INDEXES, TABLES};

use super::endpoint::{Dialect, Endpoints};
use super::error::{Class, Phase, classify, sqlstate};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use std::time::Duration;

/// How long the indexes may take before start-up gives up.
const INDEX_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Tries of one statement; two nodes that start together collide on the catalogue.
const MAX_TRIES: u32 = 8;

/// What PostgreSQL says to the slower of two transactions that create the same object, although
/// both said IF NOT EXISTS: a duplicate key of the catalogue, a duplicate table, or a duplicate of
/// the table's row type, depending on how far the faster one had come.
const RACED: [&str; 3] = ["23505", "42P07", "42710"];

/// Why the schema is not ready.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A statement failed for good.
    #[error("applying the schema failed at: {statement}")]
    Statement {
        /// The statement's first words.
        statement: String,
        /// What the database says.
        source: sqlx::Error,
    },
    /// Tables stay as they were created: Aurora DSQL cannot change their columns.
    #[error(
        "these columns are not as this version needs them: {0}. If it is the demo's data, start afresh (local stores: remove the data folder)"
    )]
    Outdated(String),
    /// Reading the catalogue failed.
    #[error("reading the catalogue failed")]
    Catalogue(#[source] sqlx::Error),
    /// Some indexes never became valid.
    #[error("these indexes are not valid: {0}")]
    Indexes(String),
}

/// What applying did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Tables that must exist.
    pub tables: usize,
    /// Indexes that are valid.
    pub indexes: usize,
}

/// The statement that creates an index.
#[must_use]
pub fn index_statement(dialect: Dialect, index: (&str, bool, &str)) -> String {
    let (name, unique, on) = index;
    let unique = if unique { "UNIQUE " } else { "" };
    let words = dialect.index();
    format!("CREATE {unique}{words} IF NOT EXISTS {name} ON {on}")
}

async fn statement(endpoints: &Endpoints, sql: String) -> Result<(), SchemaError> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Autocommit: one DDL statement is one transaction, as DSQL demands.
        let result = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(endpoints.pool())
            .await;
        let Err(error) = result else { return Ok(()) };
        let raced = sqlstate(&error).is_some_and(|code| RACED.contains(&code.as_str()));
        let again = raced || classify(&error, Phase::BeforeCommit) != Class::Final;
        if !again || tries == MAX_TRIES {
            let statement = sql.lines().next().unwrap_or_default().to_owned();
            return Err(SchemaError::Statement {
                statement,
                source: error,
            });
        }
        tokio::time::sleep(Duration::from_millis(20 << tries)).await;
    }
}

/// Creates what is missing and waits until every index is valid. Harmless to repeat.
///
/// # Errors
/// [`SchemaError`] when a statement fails for good or an index does not become valid in time.
pub async fn apply(endpoints: &Endpoints) -> Result<Applied, SchemaError> {
    for table in TABLES {
        statement(endpoints, table.to_owned()).await?;
    }
    let outdated = outdated_columns(endpoints).await?;
    if !outdated.is_empty() {
        return Err(SchemaError::Outdated(outdated.join(", ")));
    }
    for index in INDEXES {
        statement(endpoints, index_statement(endpoints.dialect(), index)).await?;
    }
    let deadline = tokio::time::Instant::now() + INDEX_DEADLINE;
    loop {
        let missing = invalid_indexes(endpoints.pool()).await?;
        if missing.is_empty() {
            return Ok(Applied {
                tables: TABLES.len(),
                indexes: INDEXES.len(),
            });
        }
        if tokio::time::Instant::now() > deadline {
            return Err(SchemaError::Indexes(missing.join(", ")));
        }
        tracing::info!(waiting_for = missing.join(", "), "indexes are being built");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The columns that a statement creates: table, column, type. Each stands on a line of its own
/// and in small letters, which the words of SQL do not.
#[must_use]
pub fn columns(statement: &'static str) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut lines = statement.lines();
    let first = lines.next().unwrap_or_default();
    let table = first.trim_end_matches(" (").rsplit(' ').next();
    let column = |line: &'static str| {
        let mut words = line.trim().split([' ', ',', ')']);
        let (name, kind) = (words.next()?, words.next()?);
        let small = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase());
        (small(name) && small(kind)).then_some((table?, name, kind))
    };
    lines.filter_map(column).collect()
}

/// The columns that are missing or of another type, as `table.column`.
async fn outdated_columns(endpoints: &Endpoints) -> Result<Vec<String>, SchemaError> {
    let found: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text, t.typname::text
         FROM pg_attribute a
         JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_type t ON t.oid = a.atttypid
         WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
    )
    .fetch_all(endpoints.pool())
    .await
    .map_err(SchemaError::Catalogue)?;
    let is_there = |&(table, name, kind): &(&str, &str, &str)| {
        let kind = catalogue_name(kind);
        found
            .iter()
            .any(|(t, n, k)| t == table && n == name && k == kind)
    };
    let wanted = TABLES.iter().flat_map(|table| columns(table));
    Ok(wanted
        .filter(|column| !is_there(column))
        .map(|(table, name, _)| format!("{table}.{name}"))
        .collect())
}

/// What the catalogue calls a type.
fn catalogue_name(kind: &str) -> &str {
    match kind {
        "bigint" => "int8",
        "integer" => "int4",
        "smallint" => "int2",
        "boolean" => "bool",
        other => other,
    }
}

/// The names of the indexes that are missing or not yet valid. Only `indisvalid` counts: a job
/// that says "completed" may have failed.
///
/// # Errors
/// When the catalogue cannot be read.
pub async fn invalid_indexes(pool: &PgPool) -> Result<Vec<&'static str>, SchemaError> {
    let valid: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indisvalid",
    )
    .fetch_all(pool)
    .await
    .map_err(SchemaError::Catalogue)?;
    let missing = |name: &&str| !valid.iter().any(|known| known == name);
    Ok(INDEXES
        .iter()
        .map(|(name, ..)| *name)
        .filter(missing)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_statement_is_found_and_nothing_else() {
        let wallets = columns(TABLES[2]);
        let names: Vec<_> = wallets.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "principal_id",
                "currency",
                "funded_minor",
                "held_minor",
                "spent_minor",
                "version"
            ]
        );
        assert_eq!(wallets[2], ("wallets", "funded_minor", "bigint"));
        let types = [
            "uuid", "text", "boolean", "bigint", "integer", "smallint", "bytea",
        ];
        for (table, name, kind) in TABLES.iter().flat_map(|table| columns(table)) {
            assert!(types.contains(&kind), "{table}.{name} {kind}");
        }
    }
}
