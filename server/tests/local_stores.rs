//! The stores process against a real PostgreSQL: who starts it, who shares it, when it ends, and
//! what a kill leaves behind. Observed from outside: pids, files and connections.
#![cfg(all(feature = "local", target_os = "linux"))]

use server::local::{AttachError, Attached, attach_running, attach_temporary_with, attach_with};
use sqlx::{Connection, PgConnection, Row};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lotzero");

fn program() -> &'static Path {
    Path::new(PROGRAM)
}

/// The PostgreSQL processes below a stores process, the postmaster first.
fn postgres_of(stores: u32) -> Vec<u32> {
    let mut all = children_of(stores);
    let grandchildren: Vec<u32> = all.iter().flat_map(|pid| children_of(*pid)).collect();
    all.extend(grandchildren);
    all
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("proc").flatten();
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until all these processes are gone, and fails with those that are not.
async fn gone(pids: &[u32], within: Duration) {
    let deadline = Instant::now() + within;
    loop {
        let left: Vec<u32> = pids.iter().copied().filter(|pid| exists(*pid)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {left:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

async fn connect(stores: &Attached) -> PgConnection {
    PgConnection::connect(&stores.database_url)
        .await
        .expect("PostgreSQL answers")
}

async fn setting(stores: &Attached, name: &str) -> String {
    let mut connection = connect(stores).await;
    let row = sqlx::query("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await
        .expect("a setting");
    row.get(0)
}

#[tokio::test]
async fn temporary_stores_come_and_go() {
    let since = Instant::now();
    let stores = attach_temporary_with(program()).await.expect("attach");
    println!("first start: {} ms", since.elapsed().as_millis());
    assert!(stores.started_by_us);
    assert_eq!(
        setting(&stores, "default_transaction_isolation").await,
        "repeatable read"
    );
    assert_eq!(
        setting(&stores, "transaction_isolation").await,
        "repeatable read"
    );
    assert_eq!(setting(&stores, "TimeZone").await, "UTC");
    assert_eq!(
        setting(&stores, "server_version").await.split(' ').next(),
        Some(&*stores.postgres_version)
    );
    let pids = postgres_of(stores.pid);
    assert!(pids.len() > 1, "{pids:?}");
    assert!(stores.close().await, "they end with their last user");
    gone(&pids, Duration::from_secs(1)).await;
}
