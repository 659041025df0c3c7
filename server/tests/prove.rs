//! `lotzero prove` and `lotzero audit` as a person runs them: on temporary stores, by their exit
//! codes and their JSON. The figures are printed; what must hold is asserted.
#![cfg(feature = "local")]

mod common;

use clap::ValueEnum;
use common::Database;
use serde_json::Value;
use server::ledger::endpoint::Endpoints;
use server::ledger::sweeper;
use server::local::attach_with;
use server::proof::{self, Kernels, Settings, Stage, Watch};
use sqlx::{Connection, PgConnection};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn lotzero() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lotzero"));
    command
        .env_remove("DATABASE_URL")
        .env_remove("LOTZERO_DATA_DIR");
    command
}

/// A proof run that has ended.
struct Ran {
    code: Option<i32>,
    /// What it printed, problems last.
    said: String,
    report: Value,
    /// Where its histories are.
    _folder: tempfile::TempDir,
}

/// Runs a command on temporary stores and reads the report that it writes.
#[expect(clippy::print_stdout, reason = "the figures are to be seen")]
fn run(args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("makes a folder");
    let file = folder.path().join("deep/prove.json");
    let done = lotzero()
        .args(args)
        .arg("--json")
        .arg(&file)
        // Nothing runs there, so the command starts temporary stores and removes them.
        .arg("--data-dir")
        .arg(folder.path().join("nothing"))
        .arg("--histories")
        .arg(folder.path().join("histories"))
        .output()
        .expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&done.stdout) + &text(&done.stderr);
    println!("{said}");
    let report = std::fs::read_to_string(&file).expect("writes the report");
    let report: Value = serde_json::from_str(&report).expect("is JSON");
    let code = done.status.code();
    assert_eq!(report["exit_code"].as_i64(), code.map(i64::from), "{said}");
    Ran {
        code,
        said,
        report,
        _folder: folder,
    }
}

#[test]
fn the_races_hold_and_the_report_adds_up() {
    let ran = run(&["prove"]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let report = &ran.report;
    assert_eq!(report["violations"], 0);
    let scenarios = report["scenarios"].as_array().expect("a list");
    let names: Vec<_> = scenarios
        .iter()
        .map(|scenario| scenario["name"].clone())
        .collect();
    assert_eq!(names, ["oversell", "double_spend"]);
    for scenario in scenarios {
        let number = |key: &str| scenario[key].as_u64().unwrap_or_else(|| panic!("{key}"));
        assert_eq!(number("offered"), number("committed") + number("refused"));
        assert_eq!(number("committed"), number("expected"));
        assert_eq!(number("violations") + number("false_declines"), 0);
        assert!(
            number("conflicts") > 0,
            "a race without a conflict is no race"
        );
        assert!(number("retries") >= number("conflicts") && number("elapsed_ms") > 0);
    }
    assert_eq!(
        report["audits"].as_array().expect("a list").len(),
        server::ledger::audit::AUDITS.len()
    );
}

/// Every scenario as a person runs it: all of them hold, each with its faults and its contention, and
/// nothing is green that was not tried.
#[test]
fn every_scenario_holds() {
    let ran = run(&["prove", "--all", "--seed", "7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let report = &ran.report;
    let scenarios = report["scenarios"].as_array().expect("a list");
    let names: Vec<&str> = scenarios
        .iter()
        .filter_map(|s| s["name"].as_str())
        .collect();
    let all: Vec<&str> = proof::Name::value_variants()
        .iter()
        .map(|name| name.text())
        .collect();
    assert_eq!(names, all);
    for scenario in scenarios {
        let name = scenario["name"].as_str().expect("a name");
        let number = |key: &str| scenario[key].as_u64().expect("a number");
        assert!(scenario["valid"] == true && scenario["seed"] == 7, "{name}");
        assert_eq!(number("violations") + number("false_declines"), 0, "{name}");
        let answered = number("committed") + number("refused") + number("replayed");
        assert_eq!(number("offered"), answered, "{name}");
        let latency = scenario["latency_ms"]["max"].as_f64().expect("a number");
        assert!(latency > 0.0, "{name}");
        let checks = scenario["checks"].as_object().expect("an object");
        assert!(!checks.is_empty(), "{name}: nobody looked at the history");
        for (checker, verdict) in checks {
            assert_eq!(verdict["verdict"], "valid", "{name}: {checker}");
            assert!(verdict["ops"].as_u64() > Some(0), "{name}: {checker}");
        }
        let history = scenario["history"].as_str().expect("a path");
        let lines = std::fs::read_to_string(history).expect("is there");
        assert!(lines.lines().count() > 50, "{name}");
    }
    let of = |name: &str| scenarios.iter().find(|s| s["name"] == name).expect("ran");
    for (name, fault) in [
        ("lost_commit", "answers cut after COMMIT"),
        ("lost_commit", "COMMITs cut"),
        ("region_lost", "connections refused"),
        ("region_lost", "switches"),
        ("kill_mid_swarm", "nodes killed"),
        ("client_vanishes", "clients gone before their answer"),
        ("store_isolation", "COMMITs refused"),
    ] {
        let times = of(name)["took_effect"][fault].as_u64().expect("counted");
        assert!(times > 0, "{name}: {fault}");
    }
    assert!(
        of("lost_commit")["unknown_commits"]
            .as_u64()
            .expect("counted")
            > 0
    );
}

/// A race with something going wrong beside it: each fault takes effect, and the race holds.
#[test]
fn races_hold_under_every_fault() {
    for fault in proof::RaceFault::value_variants() {
        let name = fault.to_possible_value().expect("has a name");
        let ran = run(&["prove", "mandate_breach", "--fault", name.get_name()]);
        assert_eq!(ran.code, Some(0), "{}", ran.said);
        let effects = ran.report["scenarios"][0]["took_effect"].clone();
        let effects = effects.as_object().expect("an object");
        let happened: u64 = effects.values().filter_map(Value::as_u64).sum();
        assert!(happened > 0, "{name:?}: {}", ran.said);
    }
}

/// What makes no sense together is refused before anything is started.
#[test]
fn absurd_wishes_are_refused_with_the_reason() {
    for (args, why) in [
        (
            ["oversell", "double_spend", "--engine=naive"],
            "knows `oversell` only",
        ),
        (
            ["oversell", "--engine=naive", "--fault=slow"],
            "wrong without a fault",
        ),
        (
            ["region_lost", "oversell", "--fault=slow"],
            "brings faults of its own",
        ),
    ] {
        let done = lotzero().arg("prove").args(args).output().expect("runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            !done.status.success() && said.contains(why),
            "{args:?}: {said}"
        );
    }
}

/// The faults of the reference at a tenth of their sizes, in parts, since each takes a while.
fn faults_are_withstood(ids: &[&str]) {
    let folder = tempfile::tempdir().expect("makes a folder");
    let file = folder.path().join("faults.json");
    let mut command = lotzero();
    command.args(["bench", "faults", "--quick", "--within"]);
    command
        .arg(folder.path().join("stores"))
        .arg("--report")
        .arg(&file);
    for id in ids {
        command.args(["--only", id]);
    }
    let done = command.output().expect("runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let report = std::fs::read_to_string(&file).expect("writes the report");
    let report: Value = serde_json::from_str(&report).expect("is JSON");
    let faults = report["faults"].as_array().expect("a list");
    assert_eq!(faults.len(), ids.len(), "{said}");
    for fault in faults {
        assert_eq!(fault["result"], "passed", "{fault:#}");
        assert!(fault["took_effect"].as_u64() > Some(0), "{fault:#}");
        assert!(
            !fault["checked"].as_array().expect("a list").is_empty(),
            "{fault:#}"
        );
    }
}

#[test]
fn faults_of_statements_are_withstood() {
    faults_are_withstood(&["F1", "F2", "F3", "F4", "F9"]);
}

#[test]
fn faults_of_commits_and_clients_are_withstood() {
    faults_are_withstood(&["F5", "F6", "F7", "F8"]);
}

#[test]
fn faults_of_places_are_withstood() {
    faults_are_withstood(&["F10", "F11", "F12", "F13", "F35"]);
}

#[test]
fn faults_of_lots_and_events_are_withstood() {
    faults_are_withstood(&[
        "F16", "F19", "F20", "F29", "F30", "F31", "F32", "F33", "F38", "F39",
    ]);
}

/// The same crowd against an engine that reads and then writes: it sells what is not there, and that
/// is seen in the rows and in the history. A proof that cannot fail proves nothing.
#[test]
fn a_naive_engine_is_caught() {
    let ran = run(&["prove", "oversell", "--engine", "naive"]);
    assert_eq!(ran.code, Some(3), "{}", ran.said);
    let report = &ran.report;
    let scenario = &report["scenarios"][0];
    assert_eq!(scenario["checks"]["drop"]["verdict"], "violated");
    assert!(scenario["figures"]["units sold twice"].as_i64() > Some(0));
    let audits = report["audits"].as_array().expect("a list");
    let broken = audits.iter().filter(|audit| audit["violations"] != 0);
    assert_eq!(
        broken.count(),
        0,
        "the house's own rows are as they should be"
    );
}

/// A swarm over HTTP, with a Region lost at half of it: the stock is sold exactly, and everybody hears
/// so.
#[test]
fn a_swarm_buys_what_there_is_though_a_region_is_lost() {
    let ran = run(&[
        "swarm",
        "--agents",
        "20000",
        "--stock",
        "100",
        "--lose-region",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let report = &ran.report;
    let swarm = &report["scenarios"][0];
    assert_eq!(
        (swarm["offered"].as_u64(), swarm["committed"].as_u64()),
        (Some(20_000), Some(100))
    );
    assert_eq!(swarm["refusals"]["sold_out"], 19_900);
    for checker in ["keys", "stock", "bank"] {
        assert_eq!(swarm["checks"][checker]["verdict"], "valid", "{checker}");
    }
    assert!(swarm["took_effect"]["switches"].as_u64() > Some(0));
}

/// One buyer for plenty of units meets nobody: that run proves nothing and must not be green.
#[test]
fn a_race_that_did_not_take_place_is_no_proof() {
    let ran = run(&[
        "prove",
        "--buyers",
        "1",
        "--units",
        "100",
        "--attempts",
        "1",
    ]);
    assert_eq!(ran.code, Some(4), "{}", ran.said);
    assert!(ran.said.contains("INVALID"));
}

/// The house settles what is sold out while the losers are still coming: they hear `sold_out` all
/// the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_races_hold_beside_a_house_that_settles() {
    let database = Database::create().await;
    let node = database.node().await;
    let stop = CancellationToken::new();
    let sweeper = tokio::spawn(sweeper::sweep(Arc::clone(&node.ledger), stop.clone()));
    let open = async || Endpoints::postgres(&database.url, 16).await;
    let watch = Arc::<Watch>::default();
    let kernels = Kernels::open(2, &watch, open).await.expect("connects");
    let settings = Settings {
        buyers: 400,
        units: 10,
        attempts: 60,
        seed: 1,
        engine: proof::Engine::House,
        fault: None,
    };
    let histories = tempfile::tempdir().expect("makes a folder");
    let mut stage = Stage {
        kernels,
        settings,
        database_url: None,
        pool: 16,
        histories: histories.path().to_owned(),
        gates: None,
        trouble: None,
        watch,
    };
    let names = [proof::Name::Oversell, proof::Name::DoubleSpend];
    let report = proof::prove(&mut stage, &names, |_| {})
        .await
        .expect("runs");
    assert_eq!(report.violations, 0, "{report:#?}");
    stop.cancel();
    sweeper.await.expect("ends");
    stage.kernels.close().await;
    database.drop().await;
}

#[tokio::test]
async fn an_audit_of_a_stopped_house_reads_what_it_keeps() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let run = |command: &str| {
        let mut lotzero = lotzero();
        let done = lotzero.args([command, "--data-dir"]).arg(folder.path());
        done.output().expect("runs").status.code()
    };
    assert_eq!(run("seed"), Some(0));
    assert_eq!(run("audit"), Some(0));
    let program = Path::new(env!("CARGO_BIN_EXE_lotzero"));
    let stores = attach_with(program, folder.path()).await.expect("starts");
    let mut raw = PgConnection::connect(&stores.database_url)
        .await
        .expect("connects");
    let damage = sqlx::raw_sql("UPDATE wallets SET funded_minor = funded_minor + 1");
    damage.execute(&mut raw).await.expect("plants");
    raw.close().await.expect("closes");
    assert!(stores.close().await, "the stores end");
    assert_eq!(run("audit"), Some(3));
}

#[test]
fn wrong_usage_is_said_and_strange_stores_are_refused() {
    let cases: [&[&str]; 10] = [
        &["prove", "--engine", "better"],
        &["swarm", "--agents", "0"],
        &["swarm", "--agents", "1000000000000"],
        &["swarm", "--stock", "100000"],
        &["prove", "everything"],
        &["prove", "oversell", "--all"],
        &["prove", "--buyers", "0"],
        &["prove", "--buyers", "-1"],
        &["serve", "--addr", "nowhere"],
        &["haggle"],
    ];
    for case in cases {
        let done = lotzero().args(case).output().expect("runs");
        assert_eq!(done.status.code(), Some(2), "{case:?}");
    }
    let done = lotzero()
        .arg("prove")
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .output()
        .expect("runs");
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("--yes-really"));
}
