//! The real node is killed while agents buy over HTTP, and started again on the same data. Whoever
//! heard a receipt hears the same bytes again; whoever heard nothing asks again with the same key
//! and has one purchase.
#![cfg(feature = "local")]

mod common;

use common::web::Served;
use futures::future::join_all;
use serde_json::{Value, json};
use server::local::attach_running;
use sqlx::{Connection, PgConnection};
use std::io;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Kills, and the most until one of them has come between a COMMIT and its answer.
const ROUNDS: usize = 5;
const MAX_ROUNDS: usize = 10;

const AGENTS: usize = 32;

/// What came of a request that was sent to a node that may die.
enum Heard {
    /// All of it.
    Answer(Answer),
    /// The request was sent; no answer, or a part of one, came.
    Nothing,
    /// There was nobody to send it to.
    NotSent,
}

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    replayed: bool,
    body: String,
}

/// What one agent bought before the node died, and the key it has no answer for.
#[derive(Default)]
struct Bought {
    receipts: Vec<(String, String)>,
    open: Option<(String, bool)>,
}

/// A tenant's API as its agents call it.
#[derive(Clone)]
struct Api {
    address: String,
    secret: String,
}

impl Api {
    async fn send(&self, path: &str, key: &str, body: &Value) -> Heard {
        let body = body.to_string();
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Idempotency-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            self.secret,
            body.len()
        );
        let Ok(mut stream) = TcpStream::connect(&self.address).await else {
            return Heard::NotSent;
        };
        match exchange(&mut stream, &text).await {
            Ok(Some(answer)) => Heard::Answer(answer),
            Ok(None) | Err(_) => Heard::Nothing,
        }
    }

    /// Sends until it is decided.
    async fn decided(&self, path: &str, key: &str, body: &Value) -> Answer {
        let deadline = Instant::now() + common::PATIENCE;
        loop {
            if let Heard::Answer(answer) = self.send(path, key, body).await {
                let undecided = ["in_progress", "unavailable", "outcome_unknown"];
                if !undecided.iter().any(|code| answer.body.contains(code)) {
                    return answer;
                }
            }
            assert!(Instant::now() < deadline, "{path} {key} is never decided");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes a resource; its id.
    async fn make(&self, path: &str, key: &str, body: Value, id: &str) -> String {
        let answer = self.decided(path, key, &body).await;
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
        let resource: Value = serde_json::from_str(&answer.body).expect("JSON");
        resource[id].as_str().expect("an id").to_owned()
    }
}

/// Sends a request and reads the whole answer; `None` if it ends too early.
async fn exchange(stream: &mut TcpStream, text: &str) -> io::Result<Option<Answer>> {
    stream.write_all(text.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    if length != Some(body.len().to_string().as_str()) {
        return Ok(None);
    }
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(status.map(|status| Answer {
        status,
        replayed: head.contains("idempotent-replayed: true"),
        body: body.to_owned(),
    }))
}

/// What the agents buy, and with what.
struct Stand {
    merchant: String,
    item: String,
    mandates: [String; 4],
}

impl Stand {
    async fn build(api: &Api) -> Self {
        let top_up = json!({"amount_minor": 10_000_000, "currency": "USD"});
        let answer = api.decided("/v1/wallet/top-up", "money", &top_up).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let body = json!({"name": "Socks & Co"});
        let merchant = api
            .make("/v1/merchants", "merchant", body, "merchant_id")
            .await;
        let body = json!({
            "merchant_id": merchant, "title": "Socks", "price_minor": 100, "currency": "USD",
            "units": 100_000
        });
        let item = api.make("/v1/items", "item", body, "item_id").await;
        let mandate = async |number: usize| {
            let body = json!({"cap_minor": 2_000_000, "currency": "USD", "expires_in_s": 86_400});
            let key = format!("mandate-{number}");
            api.make("/v1/mandates", &key, body, "mandate_id").await
        };
        let mandates = [
            mandate(0).await,
            mandate(1).await,
            mandate(2).await,
            mandate(3).await,
        ];
        Self {
            merchant,
            item,
            mandates,
        }
    }

    /// The request of a key, always the same; the agent has the key's name.
    fn request(&self, key: &str) -> Value {
        let agent = key.split('-').nth(1).and_then(|word| word.parse().ok());
        let mandate = &self.mandates[agent.unwrap_or(0_usize) % 4];
        json!({
            "merchant_id": self.merchant, "mandate_id": mandate, "item_id": self.item,
            "agent_id": key, "quantity": 1, "max_price_minor": 100, "currency": "USD"
        })
    }
}

const COMMIT: &str = "/v1/purchases/commit";

/// Buys one after another until the node is gone.
async fn buy_on(api: &Api, stand: &Stand, prefix: &str) -> Bought {
    let mut bought = Bought::default();
    for number in 0.. {
        let key = format!("{prefix}-{number}");
        match api.send(COMMIT, &key, &stand.request(&key)).await {
            Heard::Answer(answer) => {
                assert_eq!((answer.status, answer.replayed), (201, false), "{answer:?}");
                bought.receipts.push((key, answer.body));
            }
            Heard::Nothing => {
                bought.open = Some((key, true));
                break;
            }
            Heard::NotSent => {
                bought.open = Some((key, false));
                break;
            }
        }
    }
    bought
}

fn lotzero(data: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lotzero"))
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .env_remove("DATABASE_URL")
        .output()
        .expect("runs")
}

/// A data folder that PostgreSQL's own user may enter.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("makes a folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("opens it");
    folder
}

/// Asks again for keys whose receipts are known, many at once; the same bytes must come back.
async fn replay(api: &Api, stand: &Stand, receipts: &[(String, String)]) {
    for some in receipts.chunks(AGENTS) {
        let asking = some.iter().map(|(key, body)| async move {
            let again = api.decided(COMMIT, key, &stand.request(key)).await;
            assert_eq!((again.status, again.replayed), (201, true), "{key}");
            assert_eq!(again.body, *body, "{key}");
        });
        join_all(asking).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_under_load_loses_no_purchase_and_makes_none_twice() {
    let folder = folder();
    let data = folder.path();
    let mut node = Served::start(data, &[]);
    let made = lotzero(data, &["key", "create", "--tenant", "shop"]);
    assert!(made.status.success(), "{made:?}");
    let text = String::from_utf8(made.stdout).expect("text");
    let secret = text.lines().find_map(|line| line.strip_prefix("key     "));
    let mut api = Api {
        address: node.address.clone(),
        secret: secret.expect("a key").to_owned(),
    };
    let stand = Arc::new(Stand::build(&api).await);
    let mut receipts: Vec<(String, String)> = Vec::new();
    let (mut in_flight, mut done_unheard) = (0, 0);
    let mut round = 0;
    // A kill may find no COMMIT whose answer is on its way: then it is tried again.
    while round < ROUNDS || (done_unheard == 0 && round < MAX_ROUNDS) {
        let mut agents = JoinSet::new();
        for agent in 0..AGENTS {
            let (api, stand) = (api.clone(), Arc::clone(&stand));
            agents.spawn(async move { buy_on(&api, &stand, &format!("r{round}-{agent}")).await });
        }
        let wait = rand::random_range(200..700);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        node.kill();
        let bought = agents.join_all().await;
        let began = Instant::now();
        node = Served::start(data, &[]);
        api.address = node.address.clone();
        let back = began.elapsed();
        let mut fresh = Vec::new();
        let mut open = Vec::new();
        for one in bought {
            fresh.extend(one.receipts);
            open.extend(one.open);
        }
        let sent = open.iter().filter(|(_, sent)| *sent).count();
        let asking = open.iter().map(|(key, _)| {
            let (api, stand) = (&api, &stand);
            async move {
                (
                    key.clone(),
                    api.decided(COMMIT, key, &stand.request(key)).await,
                )
            }
        });
        let mut found = Vec::new();
        for (key, answer) in join_all(asking).await {
            assert_eq!(answer.status, 201, "{key}: {answer:?}");
            done_unheard += usize::from(answer.replayed);
            found.push((key, answer.body));
        }
        println!(
            "round {round}: killed after {wait} ms, {} receipts, {sent} in flight, back in {back:?}",
            fresh.len()
        );
        in_flight += sent;
        replay(&api, &stand, &fresh).await;
        receipts.extend(fresh);
        receipts.extend(found);
        round += 1;
    }
    println!("{in_flight} in flight, {done_unheard} of them had been committed");
    assert!(in_flight > 0, "invalid: nothing was in flight");
    assert!(done_unheard > 0, "invalid: no COMMIT was there unheard");
    replay(&api, &stand, &receipts).await;
    assert_one_purchase_each(data, &receipts).await;
    assert!(node.terminate(), "ends well");
    let audit = lotzero(data, &["audit"]);
    let text = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert_eq!(audit.status.code(), Some(0), "{text}");
}

async fn assert_one_purchase_each(data: &Path, receipts: &[(String, String)]) {
    let stores = attach_running(data).await.expect("runs");
    let mut raw = PgConnection::connect(&stores.database_url)
        .await
        .expect("connects");
    let keys: Vec<&str> = receipts.iter().map(|(key, _)| key.as_str()).collect();
    let bought: Vec<(String, i64)> = sqlx::query_as(
        "SELECT agent_id, count(*) FROM purchases
         WHERE refusal IS NULL AND agent_id LIKE 'r_-%' GROUP BY agent_id",
    )
    .fetch_all(&mut raw)
    .await
    .expect("counts");
    let twice: Vec<_> = bought.iter().filter(|(_, times)| *times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(bought.len(), keys.len(), "purchases and keys");
    raw.close().await.expect("closes");
}
