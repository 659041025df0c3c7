//! What an operator does to a house on one machine, over HTTP: Regions are taken away in two steps
//! and given back, proofs are run, stopped and kept.
#![cfg(feature = "local")]

mod common;

use common::web::{Answer, Served, Socket, folder, request};
use common::{PATIENCE, eventually};
use serde_json::{Value, json};
use shared::live::{Channel, ClientFrame};
use std::time::{Duration, Instant};

const TOKYO: &str = "ap-northeast-1";
const SEOUL: &str = "ap-northeast-2";

/// A node with gates, and whoever calls it from a page of its own.
struct House {
    _node: Served,
    address: String,
    origin: String,
    _folder: tempfile::TempDir,
}

impl House {
    fn open(args: &[&str]) -> Self {
        let folder = folder();
        let node = Served::start(folder.path(), args);
        let address = node.address.clone();
        Self {
            origin: format!("http://{address}"),
            address,
            _node: node,
            _folder: folder,
        }
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [
            ("Origin", self.origin.as_str()),
            ("Content-Type", "application/json"),
        ];
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        request(&self.address, method, path, &headers, &text).await
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let answer = self.call(method, path, &body).await;
        let value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        (answer.status, value)
    }

    /// A run's view once it has ended.
    async fn ended(&self, id: &str) -> Value {
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            let (_, run) = self
                .json("GET", &format!("/api/proof/runs/{id}"), Value::Null)
                .await;
            if run["state"] != "running" {
                return run;
            }
            assert!(Instant::now() < deadline, "the run does not end: {run}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_region_is_taken_away_in_two_steps_and_the_house_goes_on() {
    let house = House::open(&["--regional-gates"]);
    let (status, regions) = house.json("GET", "/api/regions", Value::Null).await;
    assert_eq!(status, 200, "{regions}");
    assert_eq!(regions["regions"][0]["region"], TOKYO);
    assert_eq!(regions["regions"][1]["region"], SEOUL);
    assert_eq!(regions["regions"][0]["open"], true);
    let probe = json!({ "write": TOKYO, "read": SEOUL });
    let (status, probed) = house
        .json("POST", "/api/regions/probe", probe.clone())
        .await;
    assert_eq!((status, &probed["equal"]), (200, &json!(true)), "{probed}");
    assert!(probed["read_ms"].as_f64() > Some(0.0));

    // Not by one slip of the hand, and not by another site.
    let closed = json!({ "region": TOKYO, "faults": [{ "fault": "closed" }] });
    let (status, refused) = house.json("POST", "/api/regions/set", closed).await;
    assert_eq!((status, &refused["code"]), (409, &json!("not_armed")));
    let nowhere = json!({ "token": "0123456789abcdef" });
    let (status, _) = house.json("POST", "/api/regions/confirm", nowhere).await;
    assert_eq!(status, 409);
    let other = [
        ("Origin", "http://evil.example"),
        ("Content-Type", "application/json"),
    ];
    let stranger = request(&house.address, "POST", "/api/regions/arm", &other, "{}").await;
    assert_eq!(stranger.status, 403);

    let lose = json!({ "region": TOKYO, "fault": { "fault": "closed" } });
    let (status, armed) = house.json("POST", "/api/regions/arm", lose).await;
    assert_eq!(status, 200, "{armed}");
    let confirm = json!({ "token": armed["token"] });
    let (status, regions) = house.json("POST", "/api/regions/confirm", confirm).await;
    assert_eq!(
        (status, &regions["regions"][0]["open"]),
        (200, &json!(false))
    );
    // The house answers from the other Region; the probe, which knows one only, says so.
    eventually("the node is ready elsewhere", async || {
        let ready = house.call("GET", "/readyz", &Value::Null).await;
        ready.status == 200 && ready.body.contains("database:")
    })
    .await;
    let floor = house.call("GET", "/", &Value::Null).await;
    assert_eq!(floor.status, 200);
    let (status, refused) = house
        .json("POST", "/api/regions/probe", probe.clone())
        .await;
    assert_eq!((status, &refused["code"]), (503, &json!("unavailable")));
    // The last one stays, unless that is meant.
    let last = json!({ "region": SEOUL, "fault": { "fault": "hung" } });
    let (status, refused) = house.json("POST", "/api/regions/arm", last).await;
    assert_eq!((status, &refused["code"]), (409, &json!("last_region")));

    let back = json!({ "region": TOKYO });
    let (status, regions) = house.json("POST", "/api/regions/restore", back).await;
    assert_eq!(
        (status, &regions["regions"][0]["open"]),
        (200, &json!(true))
    );
    eventually("the Region is back", async || {
        let (status, probed) = house
            .json("POST", "/api/regions/probe", probe.clone())
            .await;
        status == 200 && probed["equal"] == true
    })
    .await;
    let unknown = json!({ "region": "us-west-2" });
    let (status, _) = house.json("POST", "/api/regions/restore", unknown).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn runs_go_on_one_at_a_time_are_kept_and_can_be_stopped() {
    let house = House::open(&["--regional-gates"]);
    let wrong = [
        json!({ "run": "scenario", "name": "oversell", "buyers": 5 }),
        json!({ "run": "scenario", "name": "oversell", "units": 0 }),
        json!({ "run": "swarm", "agents": 0, "stock": 1 }),
        json!({ "run": "swarm", "agents": 1_000_000_000_000_u64, "stock": 1 }),
        json!({ "run": "scenario", "name": "same_key", "engine": "naive" }),
    ];
    for wish in wrong {
        let (status, refused) = house.json("POST", "/api/proof/runs", wish.clone()).await;
        assert_eq!(
            (status, &refused["code"]),
            (422, &json!("invalid_size")),
            "{wish}"
        );
    }
    let strange = json!({ "run": "scenario", "name": "everything" });
    let (status, _) = house.json("POST", "/api/proof/runs", strange).await;
    assert_eq!(status, 422);

    let oversell = json!({ "run": "scenario", "name": "oversell", "buyers": 100, "units": 10 });
    let begun = house.call("POST", "/api/proof/runs", &oversell).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let run: Value = serde_json::from_str(&begun.body).expect("JSON");
    let id = run["id"].as_str().expect("an id");
    assert_eq!(begun.headers["location"], format!("/proof/runs/{id}"));
    let (status, busy) = house.json("POST", "/api/proof/runs", oversell).await;
    assert_eq!((status, &busy["code"]), (409, &json!("busy")));
    let held = house.ended(id).await;
    assert_eq!(held["state"], "held", "{held}");
    assert_eq!(held["report"]["scenarios"][0]["committed"], 10);
    let history = format!("/api/proof/runs/{id}/histories/oversell");
    let history = house.call("GET", &history, &Value::Null).await;
    assert_eq!(history.status, 200);
    assert!(history.body.lines().count() > 200);

    let naive = json!({ "run": "scenario", "name": "oversell", "engine": "naive" });
    let (_, naive) = house.json("POST", "/api/proof/runs", naive).await;
    let broken = house.ended(naive["id"].as_str().expect("an id")).await;
    assert_eq!(broken["state"], "broken", "{broken}");
    // The first one is as it was.
    assert_eq!(house.ended(id).await, held);

    let swarm = json!({ "run": "swarm", "agents": 2_000_000, "stock": 50 });
    let (status, swarm) = house.json("POST", "/api/proof/runs", swarm).await;
    assert_eq!(status, 202, "{swarm}");
    let place = format!("/api/proof/runs/{}", swarm["id"].as_str().expect("an id"));
    eventually("the swarm has begun", async || {
        let (_, run) = house.json("GET", &place, Value::Null).await;
        run["standing"]["committed"].as_u64() == Some(50)
    })
    .await;
    let (status, _) = house.json("DELETE", &place, Value::Null).await;
    assert_eq!(status, 200);
    let stopped = house.ended(swarm["id"].as_str().expect("an id")).await;
    assert_eq!(
        stopped["state"], "invalid",
        "what was stopped proves nothing: {stopped}"
    );
    assert_eq!(stopped["report"]["violations"], 0, "{stopped}");

    let (_, list) = house.json("GET", "/api/proof/runs", Value::Null).await;
    let states: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|run| run["state"].as_str())
        .collect();
    assert_eq!(states, ["invalid", "broken", "held"]);
    for path in [
        "/api/proof/runs/0123456789abcdef",
        "/api/proof/runs/..%2F..%2Fetc",
    ] {
        let (status, _) = house.json("GET", path, Value::Null).await;
        assert_eq!(status, 404, "{path}");
    }
}

/// Joins a channel of panels; answers what its snapshot tells.
async fn panel(socket: &mut Socket, channel: Channel) -> Value {
    let subscribe = ClientFrame::Subscribe {
        id: 1,
        channel,
        since: None,
    };
    socket.send(&subscribe).await;
    loop {
        let frame: Value = socket.read().await;
        if frame["type"] == "snapshot" {
            assert_eq!(frame["channel"], channel.to_string());
            return frame["snapshot"].clone();
        }
        assert_ne!(frame["type"], "error", "{frame}");
    }
}

/// What the next push on a channel tells.
async fn pushed(socket: &mut Socket, channel: Channel) -> Value {
    loop {
        let frame: Value = socket.read().await;
        if frame["type"] == "push" && frame["channel"] == channel.to_string() {
            return frame["push"].clone();
        }
    }
}

#[tokio::test]
async fn figures_are_pushed_while_a_run_goes_on() {
    let house = House::open(&[]);
    let mut socket = Socket::of_guest(&house.address).await;
    let before = panel(&mut socket, Channel::Vitals).await;
    assert_eq!(before["kind"], "vitals", "{before}");
    assert_eq!(before["vitals"]["sockets"], 1);
    assert_eq!(before["vitals"]["run"], Value::Null);
    let none = panel(&mut socket, Channel::Runs).await;
    assert_eq!(none, json!({ "kind": "run", "run": null }));

    let wish = json!({ "run": "swarm", "agents": 2_000_000, "stock": 50 });
    let (status, run) = house.json("POST", "/api/proof/runs", wish).await;
    assert_eq!(status, 202, "{run}");
    let id = run["id"].as_str().expect("an id").to_owned();
    let mut decided = Vec::new();
    // A busy machine may tell the same more than once before the swarm goes on.
    while decided.len() < 3 || decided.last() == decided.first() {
        let told = pushed(&mut socket, Channel::Runs).await;
        assert_eq!(told["run"]["id"], id.as_str(), "{told}");
        assert_eq!(told["run"]["state"], "running", "{told}");
        decided.extend(told["run"]["standing"]["sent"].as_u64());
    }
    assert!(decided.is_sorted(), "{decided:?}");
    let meanwhile = pushed(&mut socket, Channel::Vitals).await;
    assert_eq!(meanwhile["vitals"]["run"], id.as_str(), "{meanwhile}");
    assert!(meanwhile["vitals"]["committed"].as_u64() > before["vitals"]["committed"].as_u64());

    let place = format!("/api/proof/runs/{id}");
    let (status, _) = house.json("DELETE", &place, Value::Null).await;
    assert_eq!(status, 200);
    let last = loop {
        let told = pushed(&mut socket, Channel::Runs).await;
        if told["run"]["state"] != "running" {
            break told;
        }
    };
    assert_eq!(last["run"]["state"], "invalid", "{last}");
    assert_eq!(
        last["run"]["report"],
        Value::Null,
        "the report is not pushed"
    );
    // Who comes late hears how it ended.
    let mut late = Socket::of_guest(&house.address).await;
    assert_eq!(panel(&mut late, Channel::Runs).await, last);
}

#[tokio::test]
async fn without_any_region_the_house_still_says_how_it_is() {
    let house = House::open(&["--regional-gates"]);
    for region in [TOKYO, SEOUL] {
        let lose = json!({ "region": region, "fault": { "fault": "hung" }, "forced": true });
        let (status, armed) = house.json("POST", "/api/regions/arm", lose).await;
        assert_eq!(status, 200, "{armed}");
        let confirm = json!({ "token": armed["token"] });
        let (status, _) = house.json("POST", "/api/regions/confirm", confirm).await;
        assert_eq!(status, 200);
    }
    let mut socket = Socket::of_guest(&house.address).await;
    let told = panel(&mut socket, Channel::Vitals).await;
    assert_eq!(told["vitals"]["outbox"], Value::Null, "{told}");
    for place in [0, 1] {
        let open = &told["vitals"]["regions"]["regions"][place]["open"];
        assert_eq!(open, false, "{told}");
    }
    for region in [TOKYO, SEOUL] {
        let back = json!({ "region": region });
        let (status, _) = house.json("POST", "/api/regions/restore", back).await;
        assert_eq!(status, 200);
    }
    loop {
        let told = pushed(&mut socket, Channel::Vitals).await;
        if told["vitals"]["outbox"] != Value::Null {
            break;
        }
    }
}

#[tokio::test]
async fn without_gates_nothing_can_be_broken_and_the_audits_are_told() {
    let house = House::open(&[]);
    let (status, refused) = house.json("GET", "/api/regions", Value::Null).await;
    assert_eq!((status, &refused["code"]), (409, &json!("no_gates")));
    let (status, report) = house.json("POST", "/api/audits", Value::Null).await;
    assert_eq!((status, &report["health"]), (200, &json!("ok")), "{report}");
    assert_eq!(report["audits"].as_array().expect("a list").len(), 19);
    assert!(report["age_ms"].as_u64() < Some(10_000));
}
