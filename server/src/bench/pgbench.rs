//! The baseline: PostgreSQL's own load generator, one purchase a transaction, statement by statement
//! as the original did it.
//!
//! It is meant to be a strong one. Statements are prepared, conflicts are retried without end,
//! clients wait for locks instead of giving up, every lookup goes through its index, rows are as
//! light as they can be, updates of buckets stay within their page, and the best number of clients
//! counts. Server-side delays that gather commits were tried and made it slower.
//!
//! What counts is run at repeatable read, the isolation that LotZero runs at and the only one DSQL
//! has. Read committed, which promises less and waits where repeatable read conflicts, is measured
//! beside it.

use super::Stage;
use super::database::{Database, checkpoint};
use anyhow::Context;
use serde::Serialize;
use sqlx::PgConnection;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Clients of the runs. On two cores eight are the best: fewer leave the disk idle, more wait for
/// each other's buckets.
pub const CLIENTS: [u32; 3] = [2, 8, 32];

/// Threads of pgbench at most: it shares the cores with PostgreSQL.
const MAX_THREADS: u32 = 2;

/// How long a run takes, and how long a quick one does.
const RUN: Duration = Duration::from_secs(10);
const QUICK_RUN: Duration = Duration::from_secs(2);

/// The run before the first that counts: it makes the log's files and fills the caches.
const WARM_UP: Duration = Duration::from_secs(2);

/// How long after its time pgbench may take to end before it is ended.
const OVERTIME: Duration = Duration::from_secs(60);

/// The oldest pgbench that retries conflicts.
const OLDEST_MAJOR: u32 = 15;

/// Times that tables may be read whole in a run: by the checks around it, never by a purchase.
const MAX_WHOLE_READS: i64 = 100;

/// Two buckets, two legs, one event and one key.
pub const ROWS_PER_TRANSACTION: u32 = 6;

/// Tables as light as the transaction allows. Buckets leave room in their page, so that an update
/// need not touch an index.
const TABLES: &str = "
    CREATE TABLE idempotency_registry (
        merchant_id integer NOT NULL,
        idempotency_key uuid NOT NULL,
        response_snapshot text NOT NULL,
        PRIMARY KEY (merchant_id, idempotency_key)
    );
    CREATE TABLE inventory_buckets (
        bucket_id integer PRIMARY KEY,
        available_qty bigint NOT NULL CHECK (available_qty >= 0)
    ) WITH (fillfactor = 10);
    CREATE TABLE mandate_buckets (
        bucket_id integer PRIMARY KEY,
        remaining_minor bigint NOT NULL CHECK (remaining_minor >= 0)
    ) WITH (fillfactor = 10);
    CREATE TABLE ledger_entries (
        purchase_id uuid NOT NULL,
        leg smallint NOT NULL,
        account text NOT NULL,
        amount_minor bigint NOT NULL,
        PRIMARY KEY (purchase_id, leg)
    );
    CREATE TABLE event_outbox (
        event_id uuid PRIMARY KEY,
        aggregate_id integer NOT NULL,
        event_type text NOT NULL,
        payload text NOT NULL
    );";

/// Every run begins with the same rows: 64 buckets of stock and 20 of budget, none of which can run
/// out. The checkpoint keeps one run's dirty pages out of the next.
const RESET: &str = "
    TRUNCATE TABLE idempotency_registry, inventory_buckets, mandate_buckets, ledger_entries,
        event_outbox;
    INSERT INTO inventory_buckets SELECT n, 1000000000000 FROM generate_series(1, 64) AS n;
    INSERT INTO mandate_buckets SELECT n, 1000000000000000 FROM generate_series(1, 20) AS n;";

/// The six steps, at $10 a purchase. `KEY` stands for the purchase's key.
const STEPS: &str = r#"\set high random(1, 9223372036854775806)
\set low random(1, 9223372036854775806)
\set inventory random(1, 64)
\set mandate random(1, 20)
BEGIN;
SELECT response_snapshot FROM idempotency_registry WHERE merchant_id = 1 AND idempotency_key = KEY;
UPDATE inventory_buckets SET available_qty = available_qty - 1 WHERE bucket_id = :inventory AND available_qty >= 1;
UPDATE mandate_buckets SET remaining_minor = remaining_minor - 1000 WHERE bucket_id = :mandate AND remaining_minor >= 1000;
INSERT INTO ledger_entries (purchase_id, leg, account, amount_minor) VALUES (KEY, 1, 'MANDATE_RESERVED', -1000), (KEY, 2, 'MERCHANT_PAYABLE', 1000);
INSERT INTO event_outbox (event_id, aggregate_id, event_type, payload) VALUES (KEY, 1, 'purchase.committed', '{"amount_minor":1000}');
INSERT INTO idempotency_registry (merchant_id, idempotency_key, response_snapshot) VALUES (1, KEY, '{"status":"committed","amount_minor":1000}');
COMMIT;
"#;

/// pgbench draws no uuid of its own, and one drawn by the server would cost it a round trip.
const KEY: &str =
    "(lpad(to_hex(:high::bigint), 16, '0') || lpad(to_hex(:low::bigint), 16, '0'))::uuid";

/// What the rows say after a run.
const TALLY: &str = "SELECT
    (SELECT count(*) FROM idempotency_registry),
    (SELECT count(*) FROM event_outbox),
    (SELECT count(*) FROM ledger_entries WHERE amount_minor = 1000),
    (SELECT count(*) FROM ledger_entries WHERE amount_minor = -1000),
    (SELECT (sum(1000000000000 - available_qty))::bigint FROM inventory_buckets),
    (SELECT (sum(1000000000000000 - remaining_minor) / 1000)::bigint FROM mandate_buckets)";

/// The isolation level of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Isolation {
    /// The one that counts.
    #[serde(rename = "repeatable read")]
    RepeatableRead,
    /// The one that promises less.
    #[serde(rename = "read committed")]
    ReadCommitted,
}

impl Isolation {
    /// Settings of a connection. The private PostgreSQL ends waits for a lock early, as DSQL has
    /// none; pgbench does not retry that, and waiting is the faster way for it. A statement is
    /// planned while its table is empty, when reading all of it looks cheapest, and the plan is kept
    /// while the table grows: so that is forbidden.
    fn options(self) -> String {
        let level = match self {
            Self::RepeatableRead => r"repeatable\ read",
            Self::ReadCommitted => r"read\ committed",
        };
        format!("-c lock_timeout=0 -c enable_seqscan=off -c default_transaction_isolation={level}")
    }
}

/// What pgbench says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Said {
    /// Transactions that were committed.
    pub transactions: u64,
    /// Transactions that were given up.
    pub failed: u64,
    /// Transactions that lost at least one race.
    pub retried: u64,
    /// Tries beyond the first.
    pub retries: u64,
    /// From BEGIN to the answer of COMMIT, retries included.
    pub latency_ms_average: f64,
    /// Transactions a second.
    pub purchases_per_s: f64,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its isolation level.
    pub isolation: Isolation,
    /// Its clients.
    pub clients: u32,
    /// How long it took.
    pub seconds: u64,
    /// Bytes of the server's log a transaction.
    pub bytes_per_transaction: i64,
    /// The rest.
    #[serde(flatten)]
    pub said: Said,
}

/// All runs.
#[derive(Clone, Debug, Serialize)]
pub struct Baseline {
    /// Which pgbench.
    pub program: String,
    /// Rows that a purchase writes.
    pub rows_per_transaction: u32,
    /// Bytes of the server's log that a purchase of the best run writes.
    pub bytes_per_transaction: i64,
    /// Retries of the best run.
    pub retries: u64,
    /// Every run.
    pub runs: Vec<Run>,
}

impl Baseline {
    /// The fastest run at an isolation level.
    #[must_use]
    pub fn best(&self, isolation: Isolation) -> Option<&Run> {
        best(&self.runs, isolation)
    }

    fn keep_best(&mut self) {
        if let Some(best) = best(&self.runs, Isolation::RepeatableRead) {
            self.bytes_per_transaction = best.bytes_per_transaction;
            self.retries = best.said.retries;
        }
    }
}

fn best(runs: &[Run], isolation: Isolation) -> Option<&Run> {
    let speed = |run: &Run| run.said.purchases_per_s;
    runs.iter()
        .filter(|run| run.isolation == isolation)
        .max_by(|a, b| speed(a).total_cmp(&speed(b)))
}

/// Runs the baseline in a database of its own and drops that again.
///
/// # Errors
/// When pgbench or the database fails, or the rows are not what the transactions should have left.
pub async fn measure(program: &Path, stage: &Stage) -> anyhow::Result<Baseline> {
    let version = version(program).await?;
    let pgbench = Pgbench::open(program, stage).await?;
    let mut runs = Vec::new();
    for isolation in [Isolation::RepeatableRead, Isolation::ReadCommitted] {
        for clients in CLIENTS {
            runs.push(pgbench.timed(isolation, clients, stage).await?);
        }
    }
    pgbench.database.drop().await?;
    let mut baseline = Baseline {
        program: version,
        rows_per_transaction: ROWS_PER_TRANSACTION,
        bytes_per_transaction: 0,
        retries: 0,
        runs,
    };
    baseline.keep_best();
    Ok(baseline)
}

/// Runs the best once more, after the kernel was measured: what disturbed the machine the first
/// time must not count for the kernel.
///
/// # Errors
/// As [`measure`].
pub async fn again(baseline: &mut Baseline, program: &Path, stage: &Stage) -> anyhow::Result<()> {
    let pgbench = Pgbench::open(program, stage).await?;
    for isolation in [Isolation::RepeatableRead, Isolation::ReadCommitted] {
        let best = baseline.best(isolation).context("no run was made")?;
        let run = pgbench.timed(isolation, best.clients, stage).await?;
        baseline.runs.push(run);
    }
    pgbench.database.drop().await?;
    baseline.keep_best();
    Ok(())
}

/// Makes the tables.
///
/// # Errors
/// When the database refuses.
pub async fn create_tables(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(TABLES).execute(connection).await.map(drop)
}

/// Brings every table to the state before a run.
///
/// # Errors
/// When the database refuses.
pub async fn reset(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(RESET).execute(&mut *connection).await?;
    checkpoint(connection).await
}

/// Tests that the rows are those of so many purchases: a baseline that does less than it says
/// would be no baseline.
///
/// # Errors
/// When they are not.
pub async fn check(connection: &mut PgConnection, purchases: u64) -> anyhow::Result<()> {
    type Tally = (i64, i64, i64, i64, i64, i64);
    let rows: Tally = sqlx::query_as(TALLY).fetch_one(connection).await?;
    let n = i64::try_from(purchases)?;
    if rows != (n, n, n, n, n, n) {
        anyhow::bail!("{n} purchases left keys, events, credits, debits, units, money: {rows:?}");
    }
    Ok(())
}

/// How often tables were read whole so far.
async fn whole_reads(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables")
        .fetch_one(connection)
        .await
}

/// What pgbench runs.
#[must_use]
pub fn script() -> String {
    STEPS.replace("KEY", KEY)
}

fn describe(run: &Run) -> String {
    let level = match run.isolation {
        Isolation::RepeatableRead => "repeatable read",
        Isolation::ReadCommitted => "read committed",
    };
    format!(
        "pgbench, {level:<15} {:>2} clients: {:>7.0} purchases/s, {:>7.2} ms, {:>6} retries",
        run.clients, run.said.purchases_per_s, run.said.latency_ms_average, run.said.retries
    )
}

/// pgbench and where it runs.
struct Pgbench {
    program: PathBuf,
    database: Database,
}

impl Pgbench {
    /// Makes the database and the tables, and warms up.
    async fn open(program: &Path, stage: &Stage) -> anyhow::Result<Self> {
        let database = stage.database("bench_pgbench").await?;
        create_tables(&mut database.connect().await?).await?;
        let pgbench = Self {
            program: program.to_owned(),
            database,
        };
        pgbench
            .run(Isolation::RepeatableRead, CLIENTS[1], WARM_UP)
            .await
            .context("warming up")?;
        Ok(pgbench)
    }

    async fn timed(
        &self,
        isolation: Isolation,
        clients: u32,
        stage: &Stage,
    ) -> anyhow::Result<Run> {
        let duration = if stage.quick { QUICK_RUN } else { RUN };
        let run = self.run(isolation, clients, duration).await?;
        (stage.say)(&describe(&run));
        Ok(run)
    }

    async fn run(
        &self,
        isolation: Isolation,
        clients: u32,
        duration: Duration,
    ) -> anyhow::Result<Run> {
        let mut connection = self.database.connect().await?;
        reset(&mut connection).await?;
        let read_before = whole_reads(&mut connection).await?;
        let before = self.database.log_bytes().await?;
        let text = self.start(isolation, clients, duration).await?;
        let after = self.database.log_bytes().await?;
        let read = whole_reads(&mut connection).await? - read_before;
        if read > MAX_WHOLE_READS {
            anyhow::bail!("tables were read whole {read} times: the baseline is not at its best");
        }
        let said = parse(&text)?;
        if said.failed > 0 {
            anyhow::bail!("pgbench gave {} transactions up", said.failed);
        }
        check(&mut connection, said.transactions).await?;
        let transactions = i64::try_from(said.transactions)?.max(1);
        Ok(Run {
            isolation,
            clients,
            seconds: duration.as_secs(),
            bytes_per_transaction: (after - before) / transactions,
            said,
        })
    }

    async fn start(
        &self,
        isolation: Isolation,
        clients: u32,
        duration: Duration,
    ) -> anyhow::Result<String> {
        let threads = clients.min(MAX_THREADS);
        let mut command = Command::new(&self.program);
        command
            .args(["--no-vacuum", "--protocol=prepared", "--file=-"])
            // Retried without end, within the run's time.
            .arg("--max-tries=0")
            .arg(format!("--client={clients}"))
            .arg(format!("--jobs={threads}"))
            .arg(format!("--time={}", duration.as_secs()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        // Among the arguments every user of the machine could read the password.
        command
            .env("PGDATABASE", &self.database.url)
            .env("PGOPTIONS", isolation.options())
            .env("LC_ALL", "C");
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let mut input = child.stdin.take().context("pgbench takes no script")?;
        input.write_all(script().as_bytes()).await?;
        drop(input);
        let output = tokio::time::timeout(duration + OVERTIME, child.wait_with_output())
            .await
            .context("pgbench does not end")??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let reason = said.lines().next_back().unwrap_or("no reason given");
            anyhow::bail!("pgbench ended with {}: {reason}", output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Asks which pgbench it is.
async fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .await
        .with_context(|| format!("starting {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match major(&text) {
        Some(major) if major >= OLDEST_MAJOR => Ok(text),
        Some(_) | None => anyhow::bail!(
            "{} is no pgbench of version {OLDEST_MAJOR} or newer, it says `{text}`",
            program.display()
        ),
    }
}

/// Reads `pgbench (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(version: &str) -> Option<u32> {
    let (_, after) = version.split_once("pgbench (PostgreSQL) ")?;
    after
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// Reads the figures that pgbench prints.
///
/// # Errors
/// When one is missing.
pub fn parse(text: &str) -> anyhow::Result<Said> {
    Ok(Said {
        transactions: figure(text, "number of transactions actually processed: ")?,
        failed: figure(text, "number of failed transactions: ")?,
        retried: figure(text, "number of transactions retried: ")?,
        retries: figure(text, "total number of retries: ")?,
        latency_ms_average: figure(text, "latency average = ")?,
        purchases_per_s: figure(text, "tps = ")?,
    })
}

/// Reads the number after a label at the beginning of a line.
fn figure<T: std::str::FromStr>(text: &str, label: &str) -> anyhow::Result<T> {
    text.lines()
        .find_map(|line| {
            let rest = line.strip_prefix(label)?;
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
        })
        .with_context(|| format!("pgbench printed no `{}`", label.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "pgbench (15.18 (Debian 15.18-0+deb12u1), server 16.14)
transaction type: -
scaling factor: 1
query mode: prepared
number of clients: 8
number of threads: 2
duration: 6 s
number of transactions actually processed: 20544
number of failed transactions: 3 (0.015%)
number of transactions retried: 5468 (26.616%)
total number of retries: 7630
latency average = 2.325 ms
initial connection time = 27.155 ms
tps = 3440.238499 (without initial connection time)
";

    #[test]
    fn every_figure_is_read() {
        let expected = Said {
            transactions: 20_544,
            failed: 3,
            retried: 5_468,
            retries: 7_630,
            latency_ms_average: 2.325,
            purchases_per_s: 3_440.238_499,
        };
        assert_eq!(parse(OUTPUT).expect("reads"), expected);
    }

    #[test]
    fn a_figure_that_is_missing_is_named() {
        for label in ["tps = ", "total number of retries: ", "latency average = "] {
            let error = parse(&OUTPUT.replace(label, "x ")).expect_err("is missing");
            assert!(error.to_string().contains(label.trim()), "{error}");
        }
        assert!(parse(&OUTPUT.replace("= 2.325", "= ?")).is_err());
    }

    #[test]
    fn only_a_pgbench_that_retries_will_do() {
        assert_eq!(major("pgbench (PostgreSQL) 15.18 (Debian 1)"), Some(15));
        assert_eq!(major("pgbench (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major("psql (PostgreSQL) 15.18"), None);
    }

    #[test]
    fn the_script_is_one_transaction_of_six_steps() {
        let script = script();
        assert!(!script.contains("KEY") && script.contains(KEY));
        let statements: Vec<&str> = script.lines().filter(|l| !l.starts_with('\\')).collect();
        let words: Vec<&str> = statements
            .iter()
            .filter_map(|line| line.split([' ', ';']).next())
            .collect();
        assert_eq!(
            words,
            [
                "BEGIN", "SELECT", "UPDATE", "UPDATE", "INSERT", "INSERT", "INSERT", "COMMIT"
            ]
        );
        assert!(statements.iter().all(|line| line.ends_with(';')));
    }

    #[test]
    fn the_best_run_of_its_level_counts() {
        let run = |isolation, clients, purchases_per_s| Run {
            isolation,
            clients,
            seconds: 2,
            bytes_per_transaction: 1_000,
            said: Said {
                purchases_per_s,
                ..parse(OUTPUT).expect("reads")
            },
        };
        let runs = [
            run(Isolation::RepeatableRead, 2, 2_000.0),
            run(Isolation::RepeatableRead, 8, 3_000.0),
            run(Isolation::ReadCommitted, 8, 4_000.0),
        ];
        let clients = |isolation| best(&runs, isolation).map(|run| run.clients);
        assert_eq!(clients(Isolation::RepeatableRead), Some(8));
        assert_eq!(best(&runs[..2], Isolation::ReadCommitted).map(|_| ()), None);
    }
}
