//! A whole node and the social side of its pages: moderation by plain forms, older activity, and a
//! table that is slow, broken or gone while bids go on.
#![cfg(feature = "local")]

mod common;
#[path = "support/store.rs"]
mod store;

use common::PATIENCE;
use common::web::{Answer, Browser, Served, Socket, request};
use serde_json::{Value, json};
use server::clock::Clock;
use server::local::dynamo_gate::{Fault, Rule};
use server::local::{DynamoGate, attach_running};
use shared::LotId;
use shared::live::{Channel, ClientFrame, ErrorCode, Push, ServerMessage};
use shared::view::ChatMessage;
use sqlx::{Connection, PgConnection};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Store;

const TABLE: &str = "lotzero-test";

/// Units that the agents buy from.
const UNITS: i64 = 100;

/// A purchase takes no longer, whatever the table does: calls to it are given up after seconds.
const PROMPT: Duration = Duration::from_secs(2);

/// Slower than a socket may write.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(1_100);

/// A data folder that PostgreSQL's own user may enter.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("makes a folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("opens it");
    folder
}

/// An open English lot, its seller's handle, and its least next bid in minor units.
async fn lot(data: &Path) -> (LotId, String, i64) {
    let stores = attach_running(data).await.expect("runs");
    let mut raw = PgConnection::connect(&stores.database_url)
        .await
        .expect("connects");
    let (id, seller, opening): (uuid::Uuid, String, i64) = sqlx::query_as(
        "SELECT l.lot_id, p.handle, l.opening_minor FROM lots l
         JOIN principals p ON p.principal_id = l.seller_id
         WHERE l.mechanism = 'english' AND l.status = 'open' AND l.high_minor IS NULL
         ORDER BY l.closes_at_ms DESC LIMIT 1",
    )
    .fetch_one(&mut raw)
    .await
    .expect("has one");
    (LotId::from_uuid(id), seller, opening)
}

/// An open drop.
async fn open_drop(data: &Path) -> LotId {
    let stores = attach_running(data).await.expect("runs");
    let mut raw = PgConnection::connect(&stores.database_url)
        .await
        .expect("connects");
    let id = sqlx::query_scalar(
        "SELECT lot_id FROM lots WHERE mechanism = 'drop' AND status = 'open'
         ORDER BY closes_at_ms DESC LIMIT 1",
    );
    LotId::from_uuid(id.fetch_one(&mut raw).await.expect("has one"))
}

/// Says something as soon as the socket may write: how many messages were tried before, and so how much
/// of its allowance is left, depends on how fast the table comes back.
async fn say(socket: &mut Socket, lot: LotId, client_id: &str) -> Result<(), ErrorCode> {
    loop {
        match say_now(socket, lot, client_id).await {
            // A socket that goes on for too long is closed, which ends this.
            Err(ErrorCode::RateLimited) => tokio::time::sleep(BETWEEN_MESSAGES).await,
            answer => return answer,
        }
    }
}

async fn say_now(socket: &mut Socket, lot: LotId, client_id: &str) -> Result<(), ErrorCode> {
    let (client_id, text) = (client_id.to_owned(), format!("<b>{client_id}</b>"));
    let frame = ClientFrame::Chat {
        id: 7,
        lot,
        client_id,
        text,
    };
    socket.send(&frame).await;
    loop {
        match socket.next().await {
            ServerMessage::Done { id: 7 } => return Ok(()),
            ServerMessage::Error {
                id: Some(7), code, ..
            } => return Err(code),
            ServerMessage::Hello { .. }
            | ServerMessage::Done { .. }
            | ServerMessage::Subscribed { .. }
            | ServerMessage::Error { .. }
            | ServerMessage::History { .. }
            | ServerMessage::Pong { .. }
            | ServerMessage::Ping
            | ServerMessage::Snapshot { .. }
            | ServerMessage::Push { .. }
            | ServerMessage::Resync { .. } => {}
        }
    }
}

async fn heard(socket: &mut Socket) -> ChatMessage {
    loop {
        if let Push::Chat(message) = socket.push().await {
            return message;
        }
    }
}

/// Where a form led to.
fn led_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{answer:?}");
    &answer.headers["location"]
}

#[tokio::test]
async fn a_room_is_moderated_by_plain_forms_and_only_by_who_may() {
    let folder = folder();
    let node = Served::start(folder.path(), &["--operators", "kenji"]);
    let (lot, seller, _) = lot(folder.path()).await;
    let lena = Browser::step_in(&node.address, "lena").await;
    let seller_browser = Browser::step_in(&node.address, &seller).await;
    let kenji = Browser::step_in(&node.address, "kenji").await;
    let mut socket = lena.socket("lena").await;
    socket.join(Channel::Chat(lot)).await;
    assert_eq!(say(&mut socket, lot, "first words").await, Ok(()));
    let mut late = lena.socket("lena").await;
    late.join(Channel::Chat(lot)).await;
    assert_eq!(say(&mut socket, lot, "second words").await, Ok(()));
    let message = heard(&mut late).await;

    let page = format!("/lots/{lot}/moderation");
    let seen = seller_browser.get(&page).await;
    assert_eq!(seen.status, 200);
    assert!(
        seen.body.contains("&lt;b>second words&lt;/b>")
            || seen.body.contains("&lt;b&gt;second words&lt;/b&gt;")
    );
    assert!(
        !seen.body.contains("<b>second words</b>"),
        "what people wrote is escaped"
    );
    let refused = lena.get(&page).await;
    assert_eq!(refused.status, 403);
    assert!(!refused.body.contains("/api/moderate"));
    let nowhere = format!("/lots/{}/moderation", server::ids::lot());
    assert_eq!(seller_browser.get(&nowhere).await.status, 404);

    let form = |who: &str, more: &str| format!("lot={lot}&acting_as={who}&acting_in=&{more}");
    let message_id = message.id;
    let remove = format!("do=remove&message={message_id}");
    let mute = format!("do=mute&message={message_id}&seconds=600");
    let there = "/api/moderate";
    // Who acts comes from the cookie: a handle it does not hold is a guest.
    for (browser, who, more, problem) in [
        (&lena, seller.as_str(), &remove, "sign_in"),
        (&kenji, "lena", &remove, "sign_in"),
        (&lena, "lena", &mute, "forbidden"),
        (
            &kenji,
            "kenji",
            &"do=slow&seconds=301".to_owned(),
            "invalid_duration",
        ),
        (&kenji, "kenji", &"do=slow".to_owned(), "malformed"),
        (
            &kenji,
            "kenji",
            &"do=slow&seconds=5&x=1".to_owned(),
            "malformed",
        ),
    ] {
        let answer = browser.post(there, &form(who, more)).await;
        let place = led_to(&answer);
        assert!(
            place.ends_with(&format!("problem={problem}")),
            "{who} {more}: {place}"
        );
    }
    let foreign = [("Origin", "http://evil.example"), ("Cookie", &kenji.cookie)];
    let body = form("kenji", &remove);
    let answer = request(&node.address, "POST", there, &foreign, &body).await;
    assert_eq!(answer.status, 403);

    let answer = seller_browser.post(there, &form(&seller, &mute)).await;
    assert_eq!(led_to(&answer), format!("{page}?as={seller}"));
    assert_eq!(say(&mut socket, lot, "c3").await, Err(ErrorCode::Muted));
    let answer = kenji.post(there, &form("kenji", &remove)).await;
    assert_eq!(led_to(&answer), format!("{page}?as=kenji"));
    let removed = late.push().await;
    assert_eq!(
        removed,
        Push::Removed {
            message: message_id
        }
    );
    let after = kenji.get(&format!("{page}?as=kenji")).await.body;
    assert!(!after.contains("second words") && after.contains("first words"));
    assert!(after.contains("removed a message of Lena"), "the audit");
    assert!(
        after.contains("for 10 minutes"),
        "who is muted, and the audit"
    );
}

#[tokio::test]
async fn older_activity_is_read_page_by_page_and_leads_to_lots() {
    let folder = folder();
    let node = Served::start(folder.path(), &[]);
    let (lot, _, opening) = lot(folder.path()).await;
    let lena = Browser::step_in(&node.address, "lena").await;
    let kenji = Browser::step_in(&node.address, "kenji").await;
    let mut amount = opening;
    for n in 0..60 {
        let (who, browser) = if n % 2 == 0 {
            ("lena", &lena)
        } else {
            ("kenji", &kenji)
        };
        amount += 10_000;
        let key = server::ids::key();
        let major = format!("{}.{:02}", amount / 100, amount % 100);
        let form =
            format!("lot={lot}&amount={major}&currency=USD&key={key}&acting_as={who}&acting_in=");
        let bid = browser.post("/api/bid", &form).await;
        // A wallet has an end; what was accepted until then is enough.
        if bid.status != 200 {
            break;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let older = loop {
        let page = lena.get("/activity?as=lena").await;
        assert_eq!(page.status, 200);
        let older = page.body.split("href=\"/activity?").find_map(|rest| {
            let address = rest.split('"').next()?;
            address
                .contains("before=")
                .then(|| address.replace("&amp;", "&"))
        });
        if let Some(older) = older {
            assert!(page.body.contains(&format!("/lots/{lot}?as=lena")));
            break older;
        }
        assert!(
            Instant::now() < deadline,
            "no older activity: {}",
            page.body
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let page = lena.get(&format!("/activity?{older}")).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Newest") && page.body.contains("activity-line"));
    for bad in ["x", "5.evt_1", "-1.evt_00000000000000000000000000000000"] {
        let page = lena.get(&format!("/activity?before={bad}")).await;
        assert_eq!(page.status, 200, "{bad}: a place that is none begins anew");
    }
    let floor = lena.get("/").await.body;
    assert!(floor.contains("Top buyers") && floor.contains("Older activity"));
}

/// A node whose calls to its table go through a gate.
async fn behind_a_gate(data: &Path) -> (Store, DynamoGate, Served) {
    let store = Store::start();
    let gate = DynamoGate::before(&store.endpoint(), 1, 1);
    let endpoint = gate.door("node").await.expect("a door");
    let table = ["--dynamodb-table", TABLE, "--dynamodb-endpoint", &endpoint];
    let node = Served::start(data, &table);
    (store, gate, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn bids_go_on_while_the_table_is_broken_throttled_or_hangs() {
    let folder = folder();
    let (_store, gate, node) = behind_a_gate(folder.path()).await;
    let (lot, _, opening) = lot(folder.path()).await;
    let lena = Browser::step_in(&node.address, "lena").await;
    let mut socket = lena.socket("lena").await;
    socket.join(Channel::Lot(lot)).await;
    assert_eq!(say(&mut socket, lot, "c0").await, Ok(()));
    let mut amount = opening;
    for (n, fault) in [Fault::Broken, Fault::Throttled, Fault::Hangs]
        .into_iter()
        .enumerate()
    {
        gate.add_fault(Rule::all(fault));
        let client_id = format!("c{}", n + 1);
        let refused = say(&mut socket, lot, &client_id).await;
        assert_eq!(refused, Err(ErrorCode::Unavailable), "{fault:?}");
        amount += 10_000;
        let key = server::ids::key();
        let major = format!("{}.{:02}", amount / 100, amount % 100);
        let form =
            format!("lot={lot}&amount={major}&currency=USD&key={key}&acting_as=lena&acting_in=");
        let begun = Instant::now();
        let bid = lena.post("/api/bid", &form).await;
        assert_eq!(bid.status, 200, "{fault:?}: {bid:?}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{fault:?}");
        // The room hears of it from the node's own commit.
        loop {
            if let Push::Event(_) = socket.push().await {
                break;
            }
        }
        let begun = Instant::now();
        let room = lena.get(&format!("/lots/{lot}?as=lena")).await;
        assert_eq!(room.status, 200, "{fault:?}");
        assert!(room.body.contains("Chat is slow to answer"), "{fault:?}");
        assert_eq!(lena.get("/").await.status, 200, "{fault:?}");
        assert_eq!(lena.get("/activity").await.status, 200, "{fault:?}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{fault:?}");
        gate.heal();
        let back = Instant::now();
        while say(&mut socket, lot, &client_id).await.is_err() {
            assert!(
                back.elapsed() < Duration::from_secs(10),
                "{fault:?}: not back"
            );
            tokio::time::sleep(BETWEEN_MESSAGES).await;
        }
    }
    let mut late = lena.socket("lena").await;
    late.join(Channel::Chat(lot)).await;
    late.send(&ClientFrame::History {
        id: 9,
        lot,
        before: server::ids::message(),
    })
    .await;
    let messages = loop {
        if let ServerMessage::History { messages, .. } = late.next().await {
            break messages;
        }
    };
    let ids: Vec<_> = messages.iter().map(|m| m.client_id.as_str()).collect();
    assert_eq!(ids, ["c0", "c1", "c2", "c3"], "each once, none lost");
}

/// A tenant's agent, and what it buys.
struct Agent {
    address: String,
    secret: String,
    purchase: Value,
}

impl Agent {
    async fn build(data: &Path, address: &str) -> Self {
        let made = Command::new(env!("CARGO_BIN_EXE_lotzero"))
            .args(["key", "create", "--tenant", "shop", "--data-dir"])
            .arg(data)
            .env_remove("DATABASE_URL")
            .output()
            .expect("runs");
        let text = String::from_utf8(made.stdout).expect("text");
        let secret = text.lines().find_map(|line| line.strip_prefix("key     "));
        let mut agent = Self {
            address: address.to_owned(),
            secret: secret.expect("a key").to_owned(),
            purchase: Value::Null,
        };
        let money = json!({"amount_minor": 10_000, "currency": "USD"});
        agent.make("/v1/wallet/top-up", &money).await;
        let merchant = agent.make("/v1/merchants", &json!({"name": "Socks"})).await;
        let merchant = &merchant["merchant_id"];
        let item = json!({
            "merchant_id": merchant, "title": "Socks", "price_minor": 100, "currency": "USD",
            "units": UNITS
        });
        let item = agent.make("/v1/items", &item).await;
        let mandate = json!({"cap_minor": 10_000, "currency": "USD", "expires_in_s": 3_600});
        let mandate = agent.make("/v1/mandates", &mandate).await;
        agent.purchase = json!({
            "merchant_id": merchant, "mandate_id": mandate["mandate_id"],
            "item_id": item["item_id"], "quantity": 1, "max_price_minor": 100,
            "currency": "USD"
        });
        agent
    }

    async fn send(&self, path: &str, key: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.secret);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Idempotency-Key", key),
            ("Content-Type", "application/json"),
        ];
        request(&self.address, "POST", path, &headers, &body.to_string()).await
    }

    async fn make(&self, path: &str, body: &Value) -> Value {
        let answer = self.send(path, server::ids::key().as_str(), body).await;
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Buys one, as an agent of its own: the same one would be asked whether it meant to buy twice.
    async fn buy(&self, key: &str) -> Answer {
        let mut purchase = self.purchase.clone();
        purchase["agent_id"] = key.into();
        self.send("/v1/purchases/commit", key, &purchase).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_go_on_while_the_table_is_broken_throttled_or_hangs() {
    let folder = folder();
    let (store, gate, node) = behind_a_gate(folder.path()).await;
    let drop = open_drop(folder.path()).await;
    let agent = Agent::build(folder.path(), &node.address).await;
    let mut receipts = Vec::new();
    // A drop sells each person a few units only.
    for (fault, handle) in [
        (Fault::Broken, "lena"),
        (Fault::Throttled, "kenji"),
        (Fault::Hangs, "minjun"),
    ] {
        let person = Browser::step_in(&node.address, handle).await;
        gate.add_fault(Rule::all(fault));
        for number in 0..5 {
            let key = format!("{fault:?}-{number}");
            let begun = Instant::now();
            let bought = agent.buy(&key).await;
            assert!(begun.elapsed() < PROMPT, "{fault:?}");
            assert_eq!(bought.status, 201, "{fault:?}: {bought:?}");
            receipts.push((key, bought.body));
        }
        for _ in 0..2 {
            let form = format!(
                "lot={drop}&units=1&max_price=1000000&currency=USD&key={}&acting_as={handle}\
                 &acting_in=",
                server::ids::key()
            );
            let begun = Instant::now();
            let claimed = person.post("/api/claim", &form).await;
            assert!(begun.elapsed() < PROMPT, "{fault:?}");
            assert_eq!(claimed.status, 200, "{fault:?}: {claimed:?}");
        }
        gate.heal();
    }
    // What readers of the table see catches up.
    let item = agent.purchase["item_id"].as_str().expect("an id");
    let item = item.parse().expect("an id");
    let left = UNITS - i64::try_from(receipts.len()).expect("few");
    let firehose = store.firehose(TABLE, &Arc::new(Clock::new())).await;
    let begun = Instant::now();
    while firehose.stock(item).await.expect("reads") != left {
        assert!(begun.elapsed() < PATIENCE, "the table never shows {left}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (key, receipt) in receipts {
        let again = agent.buy(&key).await;
        assert_eq!((again.status, again.body), (201, receipt), "{key}");
    }
}
