//! Engines that are broken on purpose: each is caught, and by exactly the checks that are named for it.
#![cfg(feature = "mutants")]

mod common;

use async_trait::async_trait;
use common::{Database, eventually};
use serde_json::Value;
use server::events::HouseEvent;
use server::ledger::outbox::{Appended, EventLog, relay};
use server::proof::mutants::CASES;
use shared::EventId;
use shared::mutant::{self, Mutant};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Runs the race that a broken engine is told apart by, and compares who caught it.
fn is_caught(mutant: Mutant) {
    let case = CASES.iter().find(|case| case.mutant == mutant);
    let case = case.expect("stands in the table");
    let folder = tempfile::tempdir().expect("makes a folder");
    let report = folder.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lotzero"));
    command
        .env_remove("DATABASE_URL")
        .env_remove("LOTZERO_DATA_DIR")
        .args(["prove", case.scenario.text(), "--mutant", mutant.id()])
        .arg("--json")
        .arg(&report)
        .arg("--data-dir")
        .arg(folder.path().join("nothing"))
        .arg("--histories")
        .arg(folder.path().join("histories"));
    if let Some(fault) = case.fault {
        let name = clap::ValueEnum::to_possible_value(&fault).expect("has a name");
        command.args(["--fault", name.get_name()]);
    }
    let done = command.output().expect("runs");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(3), "{said}");
    let caught = caught_by(&std::fs::read_to_string(&report).expect("writes the report"));
    let named: BTreeSet<String> = case.caught_by.iter().map(ToString::to_string).collect();
    assert_eq!(caught, named, "{said}");
}

/// The checks that a report says saw something wrong.
fn caught_by(report: &str) -> BTreeSet<String> {
    let report: Value = serde_json::from_str(report).expect("is JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut caught = BTreeSet::new();
    for audit in list(&report["audits"]) {
        if audit["violations"] != 0 {
            caught.insert(audit["id"].as_str().expect("has an id").to_owned());
        }
    }
    for scenario in list(&report["scenarios"]) {
        let checks = scenario["checks"].as_object().expect("an object");
        let violated = checks.iter().filter(|(_, it)| it["verdict"] == "violated");
        caught.extend(violated.map(|(checker, _)| checker.clone()));
        let findings = list(&scenario["findings"]);
        let mut findings = findings.iter().filter_map(Value::as_str);
        if findings.any(|it| !it.starts_with("the history, by ")) {
            caught.insert("rows".to_owned());
        }
    }
    caught
}

macro_rules! caught {
    ($($name:ident: $mutant:ident,)*) => {
        $(#[test]
        fn $name() {
            is_caught(Mutant::$mutant);
        })*

        /// Every engine of the table has its test.
        #[test]
        fn every_case_is_tried() {
            let tried = [$(Mutant::$mutant),*];
            let missing: Vec<_> = CASES.iter().filter(|case| !tried.contains(&case.mutant)).collect();
            assert!(missing.is_empty(), "{missing:?}");
            assert_eq!(CASES.len() + 2, Mutant::ALL.len(), "M7 is caught below, M16 among the rules");
        }
    };
}

caught! {
    m01_a_drop_that_sells_what_is_not_there: UncheckedStock,
    m02_a_key_in_a_transaction_of_its_own: KeyApart,
    m03_news_before_commit: EarlyNews,
    m04_a_wallet_that_is_written_back: StaleWallet,
    m05_a_bid_that_does_not_write_its_lot: UnwrittenLot,
    m06_a_price_by_the_nodes_own_clock: OwnClock,
    m09_a_key_that_answers_anything: NoFingerprint,
    m10_a_command_that_ends_with_its_caller: CallersFuture,
    m12_a_claim_that_looks_at_one_bucket: FirstBucketOnly,
    m13_a_retry_under_a_new_key: FreshKeyOnRetry,
    m14_a_limit_that_is_counted: CountedLimit,
    m15_a_hold_that_outlives_its_lot: LastingHold,
}

/// A log that does not answer at first, as a table that is throttled.
#[derive(Default)]
struct Log {
    refusals: Mutex<u32>,
    taken: Mutex<Vec<EventId>>,
}

#[async_trait]
impl EventLog for Log {
    async fn append(&self, events: &[HouseEvent]) -> Vec<Appended> {
        let mut refusals = self.refusals.lock().expect("not poisoned");
        if *refusals < 2 && !events.is_empty() {
            *refusals += 1;
            return events.iter().map(|_| Appended::Later).collect();
        }
        let mut taken = self.taken.lock().expect("not poisoned");
        taken.extend(events.iter().map(|event| event.id));
        events.iter().map(|_| Appended::Done).collect()
    }
}

/// What the log lacks once the outbox says that all is published.
async fn undelivered() -> usize {
    let database = Database::create().await;
    let node = database.node().await;
    let shop = node.shop("acme", 1_000).await;
    node.item(&shop, 500, 5).await;
    let log = Arc::new(Log::default());
    let stop = CancellationToken::new();
    let relaying = tokio::spawn(relay(
        Arc::clone(&node.ledger),
        Arc::<Log>::clone(&log),
        stop.clone(),
    ));
    let mut raw = database.connect().await;
    eventually("all is marked as published", async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE NOT published")
            .fetch_one(&mut raw)
            .await
            .expect("counts");
        left == 0
    })
    .await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    stop.cancel();
    relaying.await.expect("ends");
    let taken: BTreeSet<EventId> = log
        .taken
        .lock()
        .expect("not poisoned")
        .iter()
        .copied()
        .collect();
    let heard = node.heard.lock().expect("not poisoned").clone();
    assert!(!heard.is_empty());
    let missing = heard
        .iter()
        .filter(|event| !taken.contains(&event.id))
        .count();
    database.drop().await;
    missing
}

/// One test, since a process stays the engine that it once is.
#[tokio::test(flavor = "multi_thread")]
async fn m07_an_event_that_is_marked_before_it_is_published() {
    assert_eq!(undelivered().await, 0, "our own relay delivers all");
    mutant::choose(Mutant::MarkedFirst);
    assert!(
        undelivered().await > 0,
        "the broken one loses what the log refused at first"
    );
}
