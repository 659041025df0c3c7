//! The stores process against a real PostgreSQL: who starts it, who shares it, when it ends, and
//! what a kill leaves behind. Observed from outside: pids, files and connections.
#![cfg(all(feature = "local", target_os = "linux"))]

use server::local::gate::by_address;
use server::local::{AttachError, Attached, attach_running, attach_temporary_with, attach_with};
use sqlx::{Connection, PgConnection, Row};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
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

/// Whether the process runs; what has ended and waits for its parent to notice does not.
fn exists(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    !matches!(after_name.split_whitespace().next(), None | Some("Z" | "X"))
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

async fn run(stores: &Attached, sql: &'static str) {
    let mut connection = connect(stores).await;
    sqlx::query(sql).execute(&mut connection).await.expect(sql);
}

async fn count(stores: &Attached, sql: &'static str) -> i64 {
    let mut connection = connect(stores).await;
    let row = sqlx::query(sql).fetch_one(&mut connection).await;
    row.expect(sql).get(0)
}

/// A folder as a person would make it, which PostgreSQL's user can pass through.
fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("permissions");
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

#[tokio::test]
async fn users_share_the_stores_and_the_last_one_ends_them() {
    let data = tempfile::tempdir().expect("a folder");
    open_to_all(data.path());
    assert!(
        attach_running(data.path()).await.is_none(),
        "nobody runs them"
    );
    let first = attach_with(program(), data.path()).await.expect("attach");
    let second = attach_with(program(), data.path()).await.expect("attach");
    let third = attach_running(data.path()).await.expect("they run");
    assert!(first.started_by_us && !second.started_by_us && !third.started_by_us);
    assert_eq!((second.pid, third.pid), (first.pid, first.pid));
    assert_eq!(second.database_url, first.database_url);
    assert_eq!(third.dynamodb_endpoint, first.dynamodb_endpoint);
    run(&first, "CREATE TABLE kept (n bigint)").await;
    run(&second, "INSERT INTO kept VALUES (42)").await;

    let postgres = postgres_of(first.pid);
    let stores = first.pid;
    drop((first, second));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(exists(stores), "one user is left");
    assert!(third.close().await);
    gone(&postgres, Duration::from_millis(100)).await;
    assert!(!data.path().join("stores.json").exists());

    let since = Instant::now();
    let again = attach_with(program(), data.path()).await.expect("attach");
    println!("next start: {} ms", since.elapsed().as_millis());
    assert_eq!(count(&again, "SELECT n FROM kept").await, 42);
    assert!(again.close().await);
}

#[tokio::test]
async fn starters_at_once_end_up_with_the_same_stores() {
    let data = tempfile::tempdir().expect("a folder");
    open_to_all(data.path());
    let attach = || attach_with(program(), data.path());
    let all = tokio::join!(attach(), attach(), attach(), attach());
    let all = [all.0, all.1, all.2, all.3].map(|one| one.expect("attach"));
    assert!(all.iter().all(|one| one.pid == all[0].pid));
    assert_eq!(all.iter().filter(|one| one.started_by_us).count(), 1);
    let [first, rest @ ..] = all;
    drop(rest);
    assert!(first.close().await);
}

#[tokio::test]
async fn killed_stores_leave_no_postgres_and_the_next_start_is_quick() {
    let data = tempfile::tempdir().expect("a folder");
    open_to_all(data.path());
    let mut stores = attach_with(program(), data.path()).await.expect("attach");
    run(&stores, "CREATE TABLE kept AS SELECT 42::bigint AS n").await;
    let postgres = postgres_of(stores.pid);
    kill(stores.pid, "-KILL");
    let since = Instant::now();
    tokio::time::timeout(Duration::from_secs(2), stores.lost())
        .await
        .expect("its users hear of it");
    let again = attach_with(program(), data.path()).await.expect("attach");
    let elapsed = since.elapsed();
    println!("start after kill -9: {} ms", elapsed.as_millis());
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    assert_ne!(again.pid, stores.pid);
    gone(&postgres, Duration::from_millis(100)).await;
    assert_eq!(count(&again, "SELECT n FROM kept").await, 42);

    // Alone, too, PostgreSQL ends when the stores are killed.
    let postgres = postgres_of(again.pid);
    kill(again.pid, "-KILL");
    gone(&postgres, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_postgres_that_cannot_hear_the_end_is_stopped_by_the_next_start() {
    let data = tempfile::tempdir().expect("a folder");
    open_to_all(data.path());
    let stores = attach_with(program(), data.path()).await.expect("attach");
    run(&stores, "CREATE TABLE kept AS SELECT 42::bigint AS n").await;
    let postgres = postgres_of(stores.pid);
    kill(postgres[0], "-STOP");
    kill(stores.pid, "-KILL");
    let again = attach_with(program(), data.path()).await.expect("attach");
    gone(&postgres, Duration::from_millis(100)).await;
    assert_eq!(count(&again, "SELECT n FROM kept").await, 42);
    assert!(again.close().await);
}

#[tokio::test]
async fn a_crashed_postgres_comes_back_where_it_was() {
    let mut stores = attach_temporary_with(program()).await.expect("attach");
    run(&stores, "CREATE TABLE kept AS SELECT 42::bigint AS n").await;
    let postgres = postgres_of(stores.pid);
    kill(postgres[0], "-KILL");
    let deadline = Instant::now() + Duration::from_secs(10);
    while PgConnection::connect(&stores.database_url).await.is_err() {
        assert!(Instant::now() < deadline, "PostgreSQL does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count(&stores, "SELECT n FROM kept").await, 42);
    let lost = tokio::time::timeout(Duration::from_millis(50), stores.lost()).await;
    assert!(lost.is_err(), "the stores stay");
    assert!(stores.close().await);
}

#[tokio::test]
async fn files_left_behind_are_no_obstacle() {
    let data = tempfile::tempdir().expect("a folder");
    open_to_all(data.path());
    let stores = attach_with(program(), data.path()).await.expect("attach");
    let record = fs::read(data.path().join("stores.json")).expect("a record");
    assert!(stores.close().await);

    // Of stores that were killed, on ports where nobody listens now.
    fs::write(data.path().join("stores.json"), record).expect("write");
    // A pid that is another program's by now: this test's.
    let stale = format!("{}\n/elsewhere\n0\n5432\n\n127.0.0.1\n", std::process::id());
    fs::write(data.path().join("postgres/postmaster.pid"), &stale).expect("write");
    let sockets = [".s.PGSQL.5432", ".s.PGSQL.5432.lock"].map(|name| {
        let socket = data.path().join("postgres").join(name);
        fs::write(&socket, &stale).expect("write");
        socket
    });
    assert!(attach_running(data.path()).await.is_none());
    let again = attach_with(program(), data.path()).await.expect("attach");
    assert!(sockets.iter().all(|socket| !socket.exists()));
    run(&again, "SELECT 1").await;
    assert!(again.close().await);

    // Nonsense, and an initdb that was cut short.
    fs::write(data.path().join("stores.json"), "{").expect("write");
    fs::remove_dir_all(data.path().join("postgres")).expect("remove");
    fs::create_dir(data.path().join("postgres.partial")).expect("create");
    fs::write(data.path().join("postgres.partial/PG_VERSION"), "16\n").expect("write");
    let again = attach_with(program(), data.path()).await.expect("attach");
    run(&again, "SELECT 1").await;
    assert!(again.close().await);
}

#[tokio::test]
async fn asked_to_end_they_end_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let mut stores = attach_temporary_with(program()).await.expect("attach");
        let postgres = postgres_of(stores.pid);
        kill(stores.pid, signal);
        let since = Instant::now();
        tokio::time::timeout(Duration::from_secs(2), stores.lost())
            .await
            .expect("its users hear of it");
        gone(&[stores.pid], Duration::from_secs(5)).await;
        println!("stop by {signal}: {} ms", since.elapsed().as_millis());
        gone(&postgres, Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_keeps_them_from_starting_is_told() {
    let data = tempfile::tempdir().expect("a folder");
    open_to_all(data.path());
    fs::create_dir(data.path().join("postgres")).expect("create");
    fs::write(data.path().join("postgres/notes.txt"), "mine").expect("write");
    let since = Instant::now();
    let error = attach_with(program(), data.path())
        .await
        .expect_err("in the way");
    assert!(since.elapsed() < Duration::from_secs(5));
    assert!(matches!(error, AttachError::Ended { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("is in the way"), "{text}");
    assert!(
        data.path().join("postgres/notes.txt").exists(),
        "nothing of it is touched"
    );

    let file = data.path().join("a-file");
    fs::write(&file, "").expect("write");
    let error = attach_with(program(), &file).await.expect_err("no folder");
    assert!(matches!(error, AttachError::Folder(..)), "{error:?}");
    let error = attach_with(Path::new("/no/such/program"), &data.path().join("x")).await;
    assert!(matches!(error, Err(AttachError::Spawn(..))), "{error:?}");
}

#[tokio::test]
async fn secrets_are_their_owners_and_the_terminal_is_left_alone() {
    let data = tempfile::tempdir().expect("a folder");
    open_to_all(data.path());
    let stores = attach_with(program(), data.path()).await.expect("attach");
    for name in [
        "stores.json",
        "stores.log",
        "stores.lock",
        "dynamodb.sqlite",
    ] {
        let mode = fs::metadata(data.path().join(name)).expect(name).mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    let cluster = fs::metadata(data.path().join("postgres")).expect("a cluster");
    assert_eq!(cluster.mode() & 0o077, 0);
    let stat = fs::read_to_string(format!("/proc/{}/stat", stores.pid)).expect("stat");
    let after_name = stat.rsplit(')').next().expect("fields");
    let session = after_name.split_whitespace().nth(3).expect("a session");
    assert_eq!(session, stores.pid.to_string(), "a session of its own");
    let postmaster = postgres_of(stores.pid)[0];
    let owner = fs::metadata(format!("/proc/{postmaster}"))
        .expect("a process")
        .uid();
    assert_ne!(owner, 0, "PostgreSQL does not run as root");
    assert_eq!(owner, cluster.uid());
    let wrong = stores
        .database_url
        .replacen(":", ":x", 2)
        .replacen(":x//", "://", 1);
    for url in [by_address(&wrong), wrong] {
        let refused = PgConnection::connect(&url).await.expect_err("refused");
        let code = refused.as_database_error().and_then(|error| error.code());
        assert_eq!(
            code.as_deref(),
            Some("28P01"),
            "the password counts: {refused}"
        );
    }
    assert!(stores.close().await);
}

#[tokio::test]
async fn a_socket_leads_to_postgres_and_its_address_does_too() {
    let data = tempfile::tempdir_in("/tmp").expect("a folder");
    open_to_all(data.path());
    let stores = attach_with(program(), data.path()).await.expect("attach");
    let by_socket = "SELECT count(*) FROM pg_stat_activity
                     WHERE pid = pg_backend_pid() AND client_addr IS NULL";
    assert_eq!(count(&stores, by_socket).await, 1);
    // What stands in front of the database, such as a gate, has the address only.
    let loopback = by_address(&stores.database_url);
    assert_ne!(loopback, stores.database_url);
    let mut connection = PgConnection::connect(&loopback).await.expect("answers");
    let row = sqlx::query(by_socket).fetch_one(&mut connection).await;
    assert_eq!(row.expect("counts").get::<i64, _>(0), 0);
    connection.close().await.expect("says goodbye");
    assert!(stores.close().await);
}

#[tokio::test]
async fn where_no_socket_can_be_the_loopback_serves() {
    let data = tempfile::tempdir_in("/tmp").expect("a folder");
    open_to_all(data.path());
    let odd = data.path().join("a folder with spaces");
    fs::create_dir(&odd).expect("creates");
    open_to_all(&odd);
    let stores = attach_with(program(), &odd).await.expect("attach");
    assert_eq!(stores.database_url, by_address(&stores.database_url));
    run(&stores, "SELECT 1").await;
    assert!(stores.close().await);
}

/// Only root can meet this: as an ordinary user PostgreSQL runs as oneself.
#[tokio::test]
async fn a_folder_that_the_user_cannot_reach_is_left_for_one_that_it_can() {
    let data = tempfile::tempdir().expect("a folder");
    if fs::metadata(data.path()).expect("there").uid() != 0 {
        return;
    }
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(data.path(), closed).expect("permissions");
    // The mark makes the stores clean up.
    let inside = data.path().join("data");
    fs::create_dir(&inside).expect("create");
    fs::write(inside.join("temporary"), "").expect("write");
    let stores = attach_with(program(), &inside).await.expect("attach");
    run(&stores, "SELECT 1").await;
    let note = stores.notes.first().expect("one line says so").clone();
    assert!(note.contains("/var/lib/lotzero/data/"), "{note}");
    let home = note
        .split_whitespace()
        .find(|word| word.starts_with("/var"))
        .expect("a path");
    let home = Path::new(home.trim_end_matches(':')).to_path_buf();
    assert!(home.join("postgres/PG_VERSION").exists());
    assert!(stores.close().await);
    assert!(!home.exists() && !inside.exists(), "both go away");
}
