//! The gate's faults between sqlx and a real PostgreSQL: what the client hears, and which rows are
//! there afterwards, read past the gate. `regions` has two gates, as a cluster has two endpoints.
#![cfg(feature = "local")]

#[path = "local_gate/regions.rs"]
mod regions;

use server::local::gate::{Conflict, Fault, LoginRefusal};
use server::local::{Attached, Gate, attach_temporary_with};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longer than anything here takes, unless it waits for good.
const LONG: Duration = Duration::from_secs(20);

/// A private PostgreSQL with one table, a gate in front of it, and a way past the gate.
struct Bench {
    stores: Attached,
    gate: Gate,
    url: String,
    past: PgConnection,
}

impl Bench {
    async fn open() -> Self {
        let stores = attach_temporary_with(Path::new(env!("CARGO_BIN_EXE_lotzero")))
            .await
            .expect("stores");
        let gate = Gate::before(&stores.database_url).await.expect("gate");
        let url = gate.url(&stores.database_url);
        let mut past = PgConnection::connect(&stores.database_url)
            .await
            .expect("PostgreSQL answers");
        run(&mut past, "CREATE TABLE marks (name text PRIMARY KEY)")
            .await
            .expect("a table");
        Self {
            stores,
            gate,
            url,
            past,
        }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url)
            .await
            .expect("the gate answers")
    }

    /// Writes a row in a transaction through the gate.
    async fn mark(&self, name: &str) -> Result<(), sqlx::Error> {
        mark(&self.url, name).await
    }

    fn set(&self, faults: &[Fault]) {
        self.gate.set(faults).expect("valid faults");
    }

    async fn is_marked(&mut self, name: &str) -> bool {
        sqlx::query("SELECT 1 FROM marks WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut self.past)
            .await
            .expect("a plain read")
            .is_some()
    }
}

async fn mark(url: &str, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO marks VALUES ($1)")
        .bind(name)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(|_| ())
}

fn code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

#[tokio::test]
async fn faults_around_commit() {
    let mut bench = Bench::open().await;
    bench.mark("plain").await.expect("no fault is armed");
    assert!(bench.is_marked("plain").await);

    bench.gate.cut_before_commit(1);
    let before = bench.mark("before").await.expect_err("cut");
    assert!(!bench.is_marked("before").await);

    bench.gate.cut_after_commit(1);
    let after = bench.mark("after").await.expect_err("cut");
    assert!(
        bench.is_marked("after").await,
        "applied, though nobody said so"
    );

    // The client cannot tell the two apart: this is what makes the outcome unknown.
    assert!(matches!(before, sqlx::Error::Io(_)), "{before:?}");
    assert!(matches!(after, sqlx::Error::Io(_)), "{after:?}");
    assert_eq!(before.to_string(), after.to_string());

    bench.gate.fail_commit_with(1, "40001");
    let failed = bench.mark("failed").await.expect_err("refused");
    assert_eq!(code(&failed).as_deref(), Some("40001"));
    assert!(!bench.is_marked("failed").await);

    bench
        .mark("last")
        .await
        .expect("everything armed is used up");
    let counters = bench.gate.counters();
    assert_eq!(counters.commits, 5);
    assert_eq!(counters.cut_before_commit, 1);
    assert_eq!(
        (counters.cut_after_commit, counters.applied_then_cut),
        (1, 1)
    );
    assert_eq!(counters.failed_commits, 1);
}

#[tokio::test]
async fn commit_as_a_prepared_statement_is_a_commit_too() {
    let mut bench = Bench::open().await;
    let outcomes = [("before", false), ("after", true), ("failed", false)];
    for (name, marked) in outcomes {
        match name {
            "before" => bench.gate.cut_before_commit(1),
            "after" => bench.gate.cut_after_commit(1),
            _ => bench.gate.fail_commit_with(1, "40001"),
        }
        let mut connection = bench.connect().await;
        run(&mut connection, "BEGIN").await.expect("begin");
        sqlx::query("INSERT INTO marks VALUES ($1)")
            .bind(name)
            .execute(&mut connection)
            .await
            .expect("insert");
        // A bound query goes through Parse, Bind and Execute.
        let error = sqlx::query("COMMIT")
            .persistent(true)
            .execute(&mut connection)
            .await
            .expect_err(name);
        assert_eq!(code(&error).is_some(), name == "failed", "{error:?}");
        assert_eq!(bench.is_marked(name).await, marked, "{name}");
    }
}

#[tokio::test]
async fn a_failed_statement_aborts_its_transaction_and_leaves_the_connection_usable() {
    let bench = Bench::open().await;
    let mut connection = bench.connect().await;
    // BEGIN, a query without arguments, one with arguments.
    for nth in 1..=3 {
        bench.gate.fail_statement(nth);
        let mut failed_at = 0;
        let mut results = Vec::new();
        results.push(
            sqlx::raw_sql("BEGIN")
                .execute(&mut connection)
                .await
                .map(|_| ()),
        );
        results.push(
            sqlx::raw_sql("SELECT 1")
                .execute(&mut connection)
                .await
                .map(|_| ()),
        );
        let insert = sqlx::query("INSERT INTO marks VALUES ($1)").bind("x");
        results.push(insert.execute(&mut connection).await.map(|_| ()));
        for (place, result) in (1..).zip(&results) {
            if let Err(error) = result
                && code(error).as_deref() == Some("40001")
            {
                failed_at = place;
            }
        }
        assert_eq!(failed_at, nth, "{results:?}");
        if nth == 2 {
            let after = results[2].as_ref().expect_err("the transaction is aborted");
            assert_eq!(code(after).as_deref(), Some("25P02"));
        }
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut connection)
            .await
            .expect("rollback");
        sqlx::raw_sql("DELETE FROM marks")
            .execute(&mut connection)
            .await
            .expect("delete");
    }
    assert_eq!(bench.gate.counters().failed_statements, 3);
}

#[tokio::test]
async fn refused_cut_slow_and_hanging() {
    let bench = Bench::open().await;
    let mut open = bench.connect().await;

    bench.gate.refuse_connections(true);
    assert!(PgConnection::connect(&bench.url).await.is_err());
    run(&mut open, "SELECT 1")
        .await
        .expect("what is open stays open");
    bench.gate.refuse_connections(false);

    bench.gate.delay(Duration::from_millis(50));
    let since = Instant::now();
    sqlx::raw_sql("SELECT 1")
        .execute(&mut open)
        .await
        .expect("slow");
    assert!(since.elapsed() >= Duration::from_millis(50));
    bench.gate.delay(Duration::ZERO);

    bench.gate.hang(true);
    let select = sqlx::raw_sql("SELECT 1").execute(&mut open);
    let hung = tokio::time::timeout(Duration::from_millis(200), select).await;
    assert!(hung.is_err(), "nothing comes through");
    bench.gate.hang(false);

    let mut again = bench.connect().await;
    bench.gate.cut_connections();
    let cut = run(&mut again, "SELECT 1").await.expect_err("cut");
    assert!(matches!(cut, sqlx::Error::Io(_)), "{cut:?}");
    bench
        .mark("new")
        .await
        .expect("new connections are let through");
    assert_eq!(bench.gate.counters().refused, 1);
}

#[tokio::test]
async fn encryption_is_declined_and_much_goes_through() {
    let bench = Bench::open().await;
    // The client's default asks for TLS first.
    let url = bench.url.replace("sslmode=disable", "sslmode=prefer");
    let options: PgConnectOptions = url.parse().expect("a URL");
    let mut connection = options.connect().await.expect("without TLS");
    let text = "x".repeat(3_000_000);
    let row = sqlx::query("SELECT $1 || $1")
        .bind(&text)
        .fetch_one(&mut connection)
        .await
        .expect("a large value both ways");
    assert_eq!(row.get::<String, _>(0).len(), 6_000_000);

    let pool = PgPoolOptions::new()
        .max_connections(20)
        .connect(&bench.url)
        .await
        .expect("a pool");
    let queries = (0..200_i64).map(|n| {
        let pool = pool.clone();
        async move {
            let row = sqlx::query("SELECT $1::bigint")
                .bind(n)
                .fetch_one(&pool)
                .await;
            row.map(|row| row.get::<i64, _>(0))
        }
    });
    let answers = futures::future::try_join_all(queries)
        .await
        .expect("all answer");
    assert!(answers.into_iter().eq(0..200));
    pool.close().await;
}

#[tokio::test]
async fn connections_end_at_their_age_in_the_middle_of_a_statement_too() {
    let bench = Bench::open().await;
    let age = Duration::from_millis(300);
    let mut before = bench.connect().await;
    bench.set(&[Fault::MaxAge { ms: 300 }]);
    let born = Instant::now();
    let mut idle = bench.connect().await;
    let mut busy = bench.connect().await;
    run(&mut idle, "SELECT 1").await.expect("young");
    let sleep = run(&mut busy, "SELECT pg_sleep(20)");
    let cut = tokio::time::timeout(LONG, sleep).await.expect("cut");
    let cut = cut.expect_err("cut");
    assert!(matches!(cut, sqlx::Error::Io(_)), "{cut:?}");
    assert!(born.elapsed() >= age);
    // The others are as old or older.
    for connection in [&mut idle, &mut before] {
        let cut = run(connection, "SELECT 1").await.expect_err("cut");
        assert!(matches!(cut, sqlx::Error::Io(_)), "{cut:?}");
    }
    assert_eq!(bench.gate.counters().cut_by_age, 3);
    bench
        .mark("young")
        .await
        .expect("a new connection is young");
}

#[tokio::test]
async fn logins_over_the_rate_are_refused_as_a_server_refuses() {
    let bench = Bench::open().await;
    let limit = |refusal| Fault::LoginRate {
        per_second: 1,
        burst: Some(1),
        refusal,
    };
    for (refusal, sqlstate) in [
        (LoginRefusal::TooManyConnections, "53300"),
        (LoginRefusal::LimitExceeded, "53400"),
    ] {
        bench.set(&[limit(refusal)]);
        let mut first = bench.connect().await;
        let refused = bench.mark("x").await.expect_err("one too many");
        assert_eq!(code(&refused).as_deref(), Some(sqlstate));
        run(&mut first, "SELECT 1").await.expect("it stays open");
        // A pool asks again by itself after the one, and tells of the other at once.
        let pool = PgPoolOptions::new()
            .acquire_timeout(LONG)
            .connect(&bench.url)
            .await;
        let code = pool.as_ref().err().and_then(code);
        let expected = (refusal == LoginRefusal::LimitExceeded).then_some("53400");
        assert_eq!(code.as_deref(), expected, "{pool:?}");
        assert!(bench.gate.counters().refused_logins >= 2);
        bench.set(&[]);
        bench.mark(sqlstate).await.expect("no limit any more");
    }
}

#[tokio::test]
async fn a_slow_region_delays_each_round_trip_by_another_time() {
    let bench = Bench::open().await;
    let mut connection = bench.connect().await;
    let (from_ms, to_ms) = (20, 60);
    bench.set(&[Fault::Slow { from_ms, to_ms }]);
    let mut took = Vec::new();
    for _ in 0..12 {
        let since = Instant::now();
        let select = sqlx::raw_sql("SELECT 1").execute(&mut connection).await;
        select.expect("slow");
        took.push(since.elapsed());
    }
    assert_eq!(bench.gate.counters().slowed, 12);
    let (shortest, longest) = (took.iter().min(), took.iter().max());
    let (shortest, longest) = (shortest.expect("some"), longest.expect("some"));
    assert!(*shortest >= Duration::from_millis(from_ms), "{took:?}");
    let spread = longest.saturating_sub(*shortest);
    assert!(spread >= Duration::from_millis(5), "{took:?}");
}

/// What became of so many commands, and whether each left its row.
async fn history(bench: &mut Bench, run: &str) -> Vec<(Option<String>, bool)> {
    let mut history = Vec::new();
    for n in 0..40 {
        let name = format!("{run}-{n}");
        let heard = match bench.mark(&name).await {
            Ok(()) => None,
            Err(error) => Some(code(&error).unwrap_or_else(|| "lost".to_owned())),
        };
        history.push((heard, bench.is_marked(&name).await));
    }
    history
}

#[tokio::test]
async fn faults_by_chance_repeat_with_their_seed_and_their_rows_agree() {
    let mut bench = Bench::open().await;
    let conflict = Conflict::Rows;
    let faults = [
        Fault::LostBeforeCommit { percent: 15 },
        Fault::LostCommit { percent: 15 },
        Fault::CommitConflict {
            percent: 15,
            conflict,
        },
        Fault::StatementConflict {
            percent: 10,
            conflict,
        },
    ];
    bench.gate.seed(11);
    bench.set(&faults);
    let first = history(&mut bench, "first").await;
    let counters = bench.gate.counters();
    for fault in &faults {
        assert!(counters.effects_of(fault) > 0, "{fault:?}: {counters:?}");
    }
    let count = |heard: Option<&str>, marked| {
        let of = |(h, m): &&(Option<String>, bool)| h.as_deref() == heard && *m == marked;
        u64::try_from(first.iter().filter(of).count()).expect("few")
    };
    assert_eq!(count(None, false), 0, "nothing confirmed is missing");
    assert_eq!(count(Some("40001"), true), 0, "no conflict left a row");
    assert_eq!(count(Some("lost"), true), counters.applied_then_cut);
    assert_eq!(count(Some("lost"), false), counters.cut_before_commit);
    let conflicts = counters.failed_commits + counters.failed_statements;
    assert_eq!(count(Some("40001"), false), conflicts);

    bench.set(&faults);
    assert_eq!(history(&mut bench, "again").await, first);
    bench.gate.seed(12);
    bench.set(&faults);
    assert_ne!(history(&mut bench, "other").await, first);
}

#[tokio::test]
async fn a_conflict_says_which_kind_it_is() {
    let bench = Bench::open().await;
    for (conflict, kind) in [
        (Conflict::Rows, "(OC000)"),
        (Conflict::Catalogue, "(OC001)"),
    ] {
        let percent = 100;
        let nth = 2;
        for fault in [
            Fault::CommitConflict { percent, conflict },
            Fault::StatementConflict { percent, conflict },
            Fault::NthStatementConflict { nth, conflict },
        ] {
            bench.set(&[fault]);
            let error = bench.mark("x").await.expect_err("a conflict");
            assert_eq!(code(&error).as_deref(), Some("40001"), "{fault:?}");
            let message = error.as_database_error().expect("heard").message();
            assert!(message.ends_with(kind), "{message}");
        }
    }
    assert_eq!(bench.gate.counters().failed_commits, 2);
    assert_eq!(bench.gate.counters().failed_statements, 4);
}
