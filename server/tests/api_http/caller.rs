//! A tenant with a key, and what a test looks at in the ledger.

use crate::common::Node;
use crate::common::web::{Answer, Served, request};
use crate::contract;
use serde_json::Value;
use server::ids;
use server::ledger::lots::NewTerms;
use server::local::attach_running;
use sqlx::{Connection, PgConnection};
use std::path::Path;
use std::process::Command;

/// A node with a data folder of its own.
pub struct Site {
    // Ended before its folder goes.
    pub node: Served,
    folder: tempfile::TempDir,
}

impl Site {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A node that is started with more arguments.
    pub fn start_with(more: &[&str]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("makes a folder");
        // PostgreSQL's own user may enter it.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("opens it");
        let node = Served::start(folder.path(), more);
        Self { node, folder }
    }

    /// Runs `lotzero key …` on the node's stores.
    pub fn key_command(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_lotzero"))
            .arg("key")
            .args(arguments)
            .arg("--data-dir")
            .arg(self.folder.path())
            .env_remove("DATABASE_URL")
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{complaint}");
        said
    }

    /// A tenant with a test key.
    pub fn tenant(&self, handle: &str) -> Caller {
        self.caller(&["create", "--tenant", handle])
    }

    /// A tenant with a live key.
    pub fn live_tenant(&self, handle: &str) -> Caller {
        self.caller(&["create", "--tenant", handle, "--live"])
    }

    fn caller(&self, arguments: &[&str]) -> Caller {
        let said = self.key_command(arguments);
        let after = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.expect("is said").trim().to_owned()
        };
        Caller {
            address: self.node.address.clone(),
            key_id: after("key id"),
            secret: after("key  "),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A lot of a seller of the house, by its id.
    pub async fn lot(&self, terms: NewTerms) -> String {
        let stores = attach_running(self.path()).await.expect("runs");
        let node = Node::at(&stores.database_url, 2).await;
        let seller = node.person("seller", 0).await;
        let lot = node.put_up(&seller, terms).await;
        node.ledger.close().await;
        lot.id.to_string()
    }

    pub async fn connect(&self) -> PgConnection {
        let stores = attach_running(self.path()).await.expect("runs");
        PgConnection::connect(&stores.database_url)
            .await
            .expect("connects")
    }

    /// Rows that any call would write, and what their counts do not show.
    pub async fn rows(&self) -> Vec<i64> {
        sqlx::query_scalar(
            "SELECT count(*) FROM legs UNION ALL SELECT count(*) FROM purchases
             UNION ALL SELECT count(*) FROM purchase_intents
             UNION ALL SELECT count(*) FROM items UNION ALL SELECT count(*) FROM mandates
             UNION ALL SELECT count(*) FROM mandate_scope
             UNION ALL SELECT count(*) FROM merchants UNION ALL SELECT count(*) FROM refunds
             UNION ALL SELECT count(*) FROM idempotency_keys
             UNION ALL SELECT coalesce(sum(version), 0)::bigint FROM lots
             UNION ALL SELECT coalesce(sum(version), 0)::bigint FROM inventory_buckets
             UNION ALL SELECT coalesce(sum(version), 0)::bigint FROM wallets
             UNION ALL SELECT coalesce(sum(version), 0)::bigint FROM stock_buckets
             UNION ALL SELECT coalesce(sum(version), 0)::bigint FROM mandate_buckets",
        )
        .fetch_all(&mut self.connect().await)
        .await
        .expect("counts")
    }

    /// Fails unless every audit of the node's ledger is clean.
    pub async fn assert_clean(&self) {
        let stores = attach_running(self.path()).await.expect("runs");
        let node = Node::at(&stores.database_url, 2).await;
        node.assert_clean().await;
        node.ledger.close().await;
    }
}

/// Who calls with a key.
#[derive(Clone)]
pub struct Caller {
    pub address: String,
    pub key_id: String,
    pub secret: String,
}

impl Caller {
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, "").await
    }

    /// Posts under a key.
    pub async fn post(&self, path: &str, key: &str, body: &str) -> Answer {
        self.call("POST", path, Some(key), body).await
    }

    /// Calls, and looks whether the reply is one that the document describes.
    pub async fn call(&self, method: &str, path: &str, key: Option<&str>, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.secret);
        let mut headers = vec![("Authorization", bearer.as_str())];
        if let Some(key) = key {
            headers.push(("Idempotency-Key", key));
            headers.push(("Content-Type", "application/json"));
        }
        let answer = request(&self.address, method, path, &headers, body).await;
        contract::check(method, path, &answer);
        answer
    }

    /// Posts under a fresh key.
    pub async fn send(&self, path: &str, body: &Value) -> Answer {
        let key = ids::key();
        self.post(path, key.as_str(), &body.to_string()).await
    }

    /// Posts what must succeed with a status, and reads the answer.
    pub async fn make(&self, path: &str, body: &Value, status: u16) -> Value {
        let answer = self.send(path, body).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json");
        json(&answer)
    }

    /// Gets what must be there, and reads it.
    pub async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json");
        json(&answer)
    }
}

pub fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect(&answer.body)
}

/// A text of a resource, such as its id.
pub fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.expect(name).to_owned()
}

/// Refusals that a repeat is answered with, whose bytes name no single request.
const KEPT: [&str; 21] = [
    "currency_mismatch",
    "ended",
    "insufficient",
    "limit_reached",
    "mandate_exhausted",
    "mandate_expired",
    "mandate_revoked",
    "merchant_not_allowed",
    "not_committed",
    "not_live",
    "over_purchase_cap",
    "own_lot",
    "price_moved",
    "refund_too_large",
    "sold_out",
    "stock_limit",
    "too_low",
    "too_many_units",
    "top_up_limit",
    "total_out_of_range",
    "wrong_mechanism",
];

/// Whether a problem says where it happened: at a purchase, or in this request.
fn is_placed(answer: &Answer, body: &Value) -> bool {
    let id = answer.headers.get("x-request-id");
    let request = id.map(|id| format!("urn:request:{id}"));
    match body["instance"].as_str() {
        Some(place) => place.starts_with("/v1/purchases/pur_") || Some(place) == request.as_deref(),
        None => KEPT.contains(&body["code"].as_str().unwrap_or_default()),
    }
}

/// What is wrong with an answer that must be a problem with this status and code.
pub fn wrong(answer: &Answer, status: u16, code: &str, what: &str) -> Option<String> {
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let right = answer.status == status
        && body["code"] == code
        && body["status"] == status
        && body["type"] == format!("/docs/errors/{code}")
        && body["title"].is_string()
        && body["detail"].is_string()
        && is_placed(answer, &body)
        && header("content-type") == Some("application/problem+json")
        && header("cache-control") == Some("no-store")
        && header("x-request-id").is_some_and(|id| !id.is_empty());
    let what: String = what.chars().take(120).collect();
    (!right).then(|| format!("{what}: expected {status} {code}, got {answer:?}"))
}

/// Fails with all that is wrong, one a line.
pub fn assert_none(mistakes: &[String]) {
    let count = mistakes.len();
    assert!(
        mistakes.is_empty(),
        "{count} wrong:\n{}",
        mistakes.join("\n")
    );
}
