//! The baseline of `lotzero bench kernel` on a real PostgreSQL, without pgbench, which not every
//! machine has: its tables take its transaction, its rows are counted, its CHECKs refuse. And what
//! the command says when it cannot begin.
#![cfg(feature = "local")]

mod common;

use common::Database;
use server::bench::pgbench;
use sqlx::AssertSqlSafe;
use std::process::Command;

/// The script as pgbench would send it: without its draws, with what they drew.
fn purchase(low: u64, inventory: u32) -> String {
    let statements: Vec<String> = pgbench::script()
        .lines()
        .filter(|line| !line.starts_with('\\'))
        .map(str::to_owned)
        .collect();
    statements
        .join("\n")
        .replace(":high::", "9223372036854775806::")
        .replace(":low::", &format!("{low}::"))
        .replace(":inventory", &inventory.to_string())
        .replace(":mandate", "20")
}

#[tokio::test]
async fn the_baseline_does_what_it_counts() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    pgbench::create_tables(&mut connection)
        .await
        .expect("makes the tables");
    for _run in 0..2 {
        pgbench::reset(&mut connection).await.expect("resets");
        pgbench::check(&mut connection, 0).await.expect("is empty");
        for number in 1..=3 {
            sqlx::raw_sql(AssertSqlSafe(purchase(number, 64)))
                .execute(&mut connection)
                .await
                .expect("buys");
        }
        pgbench::check(&mut connection, 3).await.expect("counts");
    }
    let more = pgbench::check(&mut connection, 4).await;
    assert!(more.is_err(), "a purchase that was not made is missed");
    // A key that was used is refused: it is what keeps a purchase from happening twice.
    let again = sqlx::raw_sql(AssertSqlSafe(purchase(3, 1)))
        .execute(&mut connection)
        .await;
    assert!(again.is_err(), "a key buys once");
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut connection)
        .await
        .expect("rolls back");
    pgbench::check(&mut connection, 3).await.expect("counts");
    for below_zero in [
        "UPDATE inventory_buckets SET available_qty = -1 WHERE bucket_id = 1",
        "UPDATE mandate_buckets SET remaining_minor = -1 WHERE bucket_id = 1",
    ] {
        let refused = sqlx::raw_sql(below_zero).execute(&mut connection).await;
        assert!(refused.is_err(), "{below_zero}");
    }
    drop(connection);
    database.drop().await;
}

#[test]
fn a_pgbench_that_is_none_is_said() {
    let folder = tempfile::tempdir().expect("makes a folder");
    for program in ["/nowhere/pgbench", "/bin/true"] {
        let done = Command::new(env!("CARGO_BIN_EXE_lotzero"))
            .args(["bench", "kernel", "--quick", "--pgbench", program])
            .arg("--within")
            .arg(folder.path())
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(program), "{said}");
    }
    let left = std::fs::read_dir(folder.path()).expect("lists").count();
    assert_eq!(
        left, 0,
        "the stores of the bench take their folder with them"
    );
}
