//! Where the ledger lives: Aurora DSQL by endpoint, or a PostgreSQL by URL. The statements are
//! the same; the only differences in SQL are [`Dialect::index`] and [`Dialect::writes_together`].

use super::failover::{Failover, Heard};
use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::str::FromStr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Connections of one node. DSQL allows 10,000 a cluster; 2 cores are busy with 16.
pub const DEFAULT_POOL_SIZE: u32 = 16;

/// The longest wait for a connection; beyond it the caller hears "unavailable".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// DSQL ends a connection after 60 minutes; ours end before, spread by the pool.
const MAX_LIFETIME: Duration = Duration::from_secs(45 * 60);

/// How PostgreSQL plans: once for a statement, whatever its arguments, since every statement of a
/// command finds its rows by key and planning it anew each time would cost more than running it.
/// A plan made while a table was empty would read the whole table, and be kept as the table grows:
/// so tables are read whole only where there is no other way.
const PLANS: [(&str, &str); 2] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
];

/// How long connections may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often endpoints are asked while one of them is in trouble, and how long each may take.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the endpoints while one of them is in trouble, for as long as somebody chooses among them. A
/// node that is well asks nothing.
async fn probe(pools: Vec<PgPool>, failover: Weak<Failover>) {
    let mut rounds = tokio::time::interval(PROBE_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let Some(failover) = failover.upgrade() else {
            return;
        };
        if !failover.wants_probes() {
            continue;
        }
        let asked = pools.iter().enumerate().map(async |(endpoint, pool)| {
            failover.hear(endpoint, ask(pool).await, Instant::now());
        });
        futures::future::join_all(asked).await;
    }
}

async fn ask(pool: &PgPool) -> Heard {
    let asked = async {
        let mut connection = pool.acquire().await?;
        // Whatever becomes of it, a connection in doubt serves nobody else.
        connection.close_on_drop();
        connection.execute("SELECT 1").await.map(|_one| ())
    };
    match tokio::time::timeout(PROBE_TIMEOUT, asked).await {
        Ok(Ok(())) => Heard::Answer,
        Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => Heard::Silence,
        Ok(Err(_)) => Heard::Refusal,
    }
}

/// Which database this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Aurora DSQL.
    Dsql,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// The words that begin the creation of an index.
    #[must_use]
    pub const fn index(self) -> &'static str {
        match self {
            Self::Dsql => "INDEX ASYNC",
            Self::Postgres => "INDEX",
        }
    }

    /// Whether one statement may write several tables, a data-modifying CTE. Aurora DSQL's grammar
    /// has it, but nobody has published that it works there; the statements are the same anyway.
    #[must_use]
    pub const fn writes_together(self) -> bool {
        match self {
            Self::Dsql => false,
            Self::Postgres => true,
        }
    }
}

/// Why an endpoint could not be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL cannot be read.
    #[error("DATABASE_URL cannot be read")]
    Url(#[source] sqlx::Error),
    /// The database does not answer.
    #[error("the database does not answer")]
    Connect(#[source] sqlx::Error),
    /// DSQL's connector failed.
    #[error("connecting to Aurora DSQL failed")]
    Dsql(#[from] aurora_dsql_sqlx_connector::DsqlError),
    /// The database would lose updates or hide write skew.
    #[error(
        "the database's isolation is {0:?}; it must be \"repeatable read\" (ALTER DATABASE … SET default_transaction_isolation)"
    )]
    Isolation(String),
}

/// The ledger's endpoints: the one of this node's Region, then its peers.
#[derive(Clone, Debug)]
pub struct Endpoints {
    pools: Vec<PgPool>,
    dialect: Dialect,
    failover: Arc<Failover>,
}

fn options(size: u32) -> PgPoolOptions {
    // Dead connections are found by the statement that fails, which is retried: no ping before.
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(MAX_LIFETIME)
        .idle_timeout(Duration::from_secs(10 * 60))
        .test_before_acquire(false)
}

impl Endpoints {
    /// A PostgreSQL. Refuses one that does not run at REPEATABLE READ.
    ///
    /// # Errors
    /// When it does not answer or its isolation is another.
    pub async fn postgres(url: &str, size: u32) -> Result<Self, EndpointError> {
        Self::postgres_at(&[url], size).await
    }

    /// One PostgreSQL behind several URLs, as a cluster's endpoints in two Regions are one
    /// database: the first is this node's, the others its peers.
    ///
    /// # Errors
    /// When one of them does not answer or its isolation is another.
    pub async fn postgres_at(urls: &[&str], size: u32) -> Result<Self, EndpointError> {
        let mut pools = Vec::new();
        for url in urls {
            let connect = PgConnectOptions::from_str(url)
                .map_err(EndpointError::Url)?
                .options(PLANS);
            let pool = options(size)
                .connect_with(connect)
                .await
                .map_err(EndpointError::Connect)?;
            let isolation: String = sqlx::query_scalar("SHOW default_transaction_isolation")
                .fetch_one(&pool)
                .await
                .map_err(EndpointError::Connect)?;
            if isolation != "repeatable read" {
                return Err(EndpointError::Isolation(isolation));
            }
            pools.push(pool);
        }
        Ok(Self::over(pools, Dialect::Postgres))
    }

    /// Aurora DSQL, by the cluster's endpoint and, if there is one, its peer's.
    ///
    /// # Errors
    /// When a cluster cannot be reached or a token cannot be had.
    pub async fn dsql(hosts: &[String], size: u32) -> Result<Self, EndpointError> {
        let mut pools = Vec::new();
        let mut failure = None;
        for host in hosts {
            let config = aurora_dsql_sqlx_connector::DsqlConnectOptions::from_connection_string(
                &format!("postgres://admin@{host}/postgres"),
            )?;
            match aurora_dsql_sqlx_connector::pool::connect_with(&config, options(size)).await {
                Ok(pool) => pools.push(pool),
                // A node must start while a Region is down; it then has the other ones only.
                Err(error) => {
                    tracing::warn!(host, %error, "an endpoint does not answer; starting without it");
                    failure = Some(error);
                }
            }
        }
        if let (true, Some(error)) = (pools.is_empty(), failure) {
            return Err(error.into());
        }
        Ok(Self::over(pools, Dialect::Dsql))
    }

    fn over(pools: Vec<PgPool>, dialect: Dialect) -> Self {
        let failover = Arc::new(Failover::among(pools.len()));
        if pools.len() > 1 {
            tokio::spawn(probe(pools.clone(), Arc::downgrade(&failover)));
        }
        Self {
            pools,
            dialect,
            failover,
        }
    }

    /// The pool that commands begin at.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.pool_of(self.failover.endpoint(0))
    }

    /// The pool of an endpoint.
    #[must_use]
    pub(super) fn pool_of(&self, endpoint: usize) -> &PgPool {
        &self.pools[endpoint % self.pools.len()]
    }

    /// Chooses where commands begin.
    #[must_use]
    pub fn failover(&self) -> &Failover {
        &self.failover
    }

    /// Which database this is.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Closes every connection, but waits for none that hangs.
    pub async fn close(&self) {
        let pools = self.pools.iter().map(PgPool::close);
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, futures::future::join_all(pools)).await;
        if closed.is_err() {
            tracing::warn!("some connections to the database did not close in time");
        }
    }
}
