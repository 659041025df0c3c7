//! `lotzero bench live` as a program, in its quick size: every part that needs no Socket.IO runs and
//! writes the keys that others read. The figures of a development build say nothing, so only what
//! they may never be is tested.
#![cfg(feature = "local")]

use serde_json::Value;
use std::process::{Command, Output};

fn bench(folder: &std::path::Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lotzero"))
        .args(["bench", "live", "--quick"])
        .args(more)
        .arg("--within")
        .arg(folder)
        .output()
        .expect("runs")
}

fn number(report: &Value, path: &str) -> f64 {
    let number = report.pointer(path).and_then(Value::as_f64);
    number.expect(path)
}

#[test]
fn faults_and_ways_are_measured() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let file = folder.path().join("live.json");
    let name = file.to_str().expect("text");
    let parts = ["stuck", "reconnect", "commit"];
    let mut arguments = vec!["--report", name];
    arguments.extend(parts.iter().flat_map(|part| ["--only", part]));
    let done = bench(folder.path(), &arguments);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let report = std::fs::read_to_string(&file).expect("is there");
    let report: Value = serde_json::from_str(&report).expect("is JSON");
    assert_eq!(report["quick"], true);
    assert!(report.get("runs").is_none(), "not asked for");
    assert_eq!(
        (
            number(&report, "/stuck/stuck"),
            number(&report, "/stuck/sockets")
        ),
        (20.0, 200.0)
    );
    for above_zero in [
        "/stuck/p99_before_ms",
        "/stuck/p99_ms",
        "/reconnect/all_back_s",
        "/reconnect/money_p99_before_ms",
        "/reconnect/money_p99_ms",
        "/commit_to_socket_ms/own/p50",
        "/commit_to_socket_ms/own/p99",
        "/commit_to_socket_ms/stream/p99",
    ] {
        assert!(number(&report, above_zero) > 0.0, "{above_zero}");
    }
    assert_eq!(number(&report, "/reconnect/sockets"), 200.0);
    let read = number(&report, "/reconnect/snapshots_read");
    assert!(read <= 20.0, "{read} reads for 200 clients");
    let (own, stream) = (
        number(&report, "/commit_to_socket_ms/own/p50"),
        number(&report, "/commit_to_socket_ms/stream/p50"),
    );
    assert!(
        own < stream,
        "the stream is the longer way: {own}, {stream}"
    );
}

#[test]
fn deliveries_need_to_know_where_socketio_is() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let done = bench(folder.path(), &["--only", "fanout"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("--socketio"), "{said}");
    let unknown = bench(folder.path(), &["--only", "all"]);
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(2), "{said}");
    assert!(said.contains("fanout"), "it names the parts: {said}");
}
