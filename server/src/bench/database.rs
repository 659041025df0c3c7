//! A database of a measurement's own on the bench's PostgreSQL.

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// A database that nobody else uses.
#[derive(Clone, Debug)]
pub struct Database {
    /// How to connect, password included.
    pub url: String,
    server: String,
    name: &'static str,
}

impl Database {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn create(server: &str, name: &'static str) -> anyhow::Result<Self> {
        administer(server, format!("CREATE DATABASE {name}"))
            .await
            .with_context(|| format!("making the database {name}"))?;
        Ok(Self {
            url: named(server, name).context("the stores' URL names no database")?,
            server: server.to_owned(),
            name,
        })
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url).await
    }

    /// Bytes that the server has written to its log so far, for all databases together.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn log_bytes(&self) -> Result<i64, sqlx::Error> {
        let mut connection = self.connect().await?;
        sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
            .fetch_one(&mut connection)
            .await
    }

    /// As [`checkpoint`].
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn checkpoint(&self) -> Result<(), sqlx::Error> {
        checkpoint(&mut self.connect().await?).await
    }

    /// Drops it, whoever is connected.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn drop(self) -> anyhow::Result<()> {
        let name = self.name;
        administer(&self.server, format!("DROP DATABASE {name} WITH (FORCE)"))
            .await
            .with_context(|| format!("dropping the database {name}"))
    }
}

/// Has the server write out what it holds in memory, for all databases together.
///
/// # Errors
/// When it does not answer.
pub async fn checkpoint(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute("CHECKPOINT").await.map(drop)
}

async fn administer(server: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

/// The URL of another database of the same server.
fn named(server: &str, name: &str) -> Option<String> {
    let (address, options) = server.split_once('?').unwrap_or((server, ""));
    let (server, _database) = address.rsplit_once('/')?;
    Some(if options.is_empty() {
        format!("{server}/{name}")
    } else {
        format!("{server}/{name}?{options}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_database_changes() {
        let named = |server| named(server, "bench");
        let url = named("postgres://a:b@127.0.0.1:5/postgres?sslmode=disable");
        assert_eq!(
            url.as_deref(),
            Some("postgres://a:b@127.0.0.1:5/bench?sslmode=disable")
        );
        assert_eq!(
            named("postgres://h/p").as_deref(),
            Some("postgres://h/bench")
        );
    }
}
