//! Nodes as real processes on one stream: who reads it dies, stops or is paused while people bid
//! and talk, and everybody on the other nodes sees everything once. The table is reached through a
//! gate, which counts who reads a shard.
#![cfg(feature = "local")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test names only what it expects"
)]

mod common;

use common::eventually;
use common::web::{Browser, Served, Socket, request};
use serde_json::json;
use server::clock::Clock;
use server::firehose::{Firehose, FirehoseConfig};
use server::local::dynamo_gate::Habits;
use server::local::{Attached, DynamoGate, attach_with};
use shared::LotId;
use shared::live::{Channel, ClientFrame, LotEvent, Push, ServerMessage, close_code};
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc;

const TABLE: &str = "lotzero";

/// From one bid and one message to the next: a socket may send one message a second.
const PAUSE: Duration = Duration::from_millis(1_000);

/// Nodes in front of one pair of stores.
struct Nodes {
    folder: TempDir,
    stores: Attached,
    gate: DynamoGate,
    lot: LotId,
    opening: i64,
    bids: i64,
    said: usize,
}

impl Nodes {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("makes a folder");
        open(folder.path());
        let program = Path::new(env!("CARGO_BIN_EXE_lotzero"));
        let stores = attach_with(program, folder.path()).await.expect("attaches");
        let gate = DynamoGate::before(&stores.dynamodb_endpoint, 1, 3);
        Self {
            folder,
            stores,
            gate,
            lot: server::ids::lot(),
            opening: 0,
            bids: 0,
            said: 0,
        }
    }

    async fn start(&mut self, name: &str) -> Served {
        let door = self.gate.door(name).await.expect("a door");
        let plane = ["--dynamodb-table", TABLE, "--dynamodb-endpoint", &door];
        let folder = self.folder.path().to_owned();
        let served = tokio::task::block_in_place(|| Served::start(&folder, &plane));
        if self.opening == 0 {
            (self.lot, self.opening) = longest_lot(&self.stores.database_url).await;
        }
        served
    }

    /// A bid of somebody who raises: only the difference is held, so the money lasts.
    async fn bid(&mut self, lena: &Browser) {
        let (lot, key) = (self.lot, server::ids::key());
        let amount = self.opening + self.bids * 60;
        let form = format!(
            "lot={lot}&amount={amount}&currency=USD&key={key}&acting_as=lena&acting_in=eu-west-1"
        );
        let answer = lena.post("/api/bid", &form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.bids += 1;
    }

    async fn bid_and_say(&mut self, lena: &Browser, talk: &mpsc::UnboundedSender<String>) {
        self.bid(lena).await;
        talk.send(format!("message {}", self.said)).expect("talks");
        self.said += 1;
        tokio::time::sleep(PAUSE).await;
    }

    /// Waits until a tab has every bid and every message, and tests that it has each once and that
    /// the stores have no others.
    async fn is_complete(&self, name: &str, tab: &Tab) {
        let (bids, said) = (self.bids, self.said);
        eventually(&format!("{name} sees everything"), async || {
            let seen = tab.seen();
            seen.bids.len() >= usize::try_from(bids).expect("small") && seen.texts.len() >= said
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let seen = tab.seen();
        let amounts: Vec<i64> = (0..bids).map(|n| (self.opening + n * 60) * 100).collect();
        assert_eq!(seen.bids, amounts, "{name}: each bid once and in order");
        let texts: HashSet<&String> = seen.texts.iter().collect();
        assert_eq!((texts.len(), seen.texts.len()), (said, said), "{name}");
        assert_eq!(seen.resyncs, 0, "{name}");
        let mut raw = PgConnection::connect(&self.stores.database_url)
            .await
            .expect("connects");
        let in_ledger: i64 = sqlx::query_scalar("SELECT count(*) FROM bids WHERE lot_id = $1")
            .bind(self.lot.uuid())
            .fetch_one(&mut raw)
            .await
            .expect("counts");
        assert_eq!(in_ledger, bids);
        let config = FirehoseConfig {
            table: TABLE.to_owned(),
            endpoint: Some(self.stores.dynamodb_endpoint.clone()),
        };
        let firehose = Firehose::connect(config, Arc::new(Clock::new())).await;
        let in_table = firehose
            .messages(self.lot, None, 1_000)
            .await
            .expect("reads");
        assert_eq!(in_table.messages.len(), said);
    }
}

/// What a tab has seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    bids: Vec<i64>,
    texts: Vec<String>,
    watchers: u32,
    resyncs: usize,
    /// The server's close code, once the socket has ended.
    closed: Option<u16>,
}

/// A tab in the room, which notes what it sees.
struct Tab {
    seen: Arc<Mutex<Seen>>,
    /// Says something in the room.
    talk: mpsc::UnboundedSender<String>,
}

impl Tab {
    async fn open(browser: &Browser, handle: &str, lot: LotId) -> Self {
        let mut socket = browser.socket(handle).await;
        for channel in [Channel::Lot(lot), Channel::Chat(lot), Channel::Crowd(lot)] {
            socket.join(channel).await;
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (talk, mut said) = mpsc::unbounded_channel::<String>();
        let notes = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(text) = said.recv() => say(&mut socket, lot, text).await,
                    message = socket.next_or_close() => match message {
                        Ok(message) => note(&notes, message),
                        Err(code) => {
                            notes.lock().expect("not poisoned").closed = code;
                            return;
                        }
                    },
                }
            }
        });
        Self { seen, talk }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().expect("not poisoned").clone()
    }
}

async fn say(socket: &mut Socket, lot: LotId, text: String) {
    let frame = ClientFrame::Chat {
        id: 9,
        lot,
        client_id: text.clone(),
        text,
    };
    socket.send(&frame).await;
}

fn note(seen: &Mutex<Seen>, message: ServerMessage) {
    let mut seen = seen.lock().expect("not poisoned");
    match message {
        ServerMessage::Push { push, .. } => match *push {
            Push::Event(LotEvent::Bid { line, .. }) => seen.bids.push(line.amount.minor()),
            Push::Chat(message) => seen.texts.push(message.text),
            Push::Crowd(crowd) => seen.watchers = crowd.watchers,
            _ => {}
        },
        ServerMessage::Resync { .. } => seen.resyncs += 1,
        _ => {}
    }
}

/// The English lot that ends last, with its next minimum in major units.
async fn longest_lot(database_url: &str) -> (LotId, i64) {
    let mut raw = PgConnection::connect(database_url).await.expect("connects");
    let (id, opening): (uuid::Uuid, i64) = sqlx::query_as(
        "SELECT lot_id, opening_minor FROM lots WHERE mechanism = 'english' AND status = 'open'
         ORDER BY closes_at_ms DESC LIMIT 1",
    )
    .fetch_one(&mut raw)
    .await
    .expect("has one");
    (LotId::from_uuid(id), opening / 100)
}

async fn leads(node: &Served) -> bool {
    let answer = request(&node.address, "GET", "/readyz", &[], "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.contains("stream: leads")
}

fn signal(node: &Served, name: &str) {
    let pid = node.pid().to_string();
    let sent = Command::new("kill").args([name, &pid]).status();
    assert!(sent.expect("kill runs").success());
}

/// Waits until one of the nodes leads, and answers how long that took.
async fn until_one_leads(nodes: &[&Served]) -> Duration {
    let begun = Instant::now();
    eventually("another node leads", async || {
        for node in nodes {
            if leads(node).await {
                return true;
            }
        }
        false
    })
    .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_on_different_nodes_see_each_other_and_a_node_that_stops_hands_over() {
    let mut nodes = Nodes::open().await;
    let mut a = nodes.start("a").await;
    let b = nodes.start("b").await;
    assert!(leads(&a).await && !leads(&b).await);
    let lena = Browser::step_in(&a.address, "lena").await;
    let kenji = Browser::step_in(&b.address, "kenji").await;
    let here = Tab::open(&lena, "lena", nodes.lot).await;
    let there = Tab::open(&kenji, "kenji", nodes.lot).await;
    nodes.bid_and_say(&lena, &there.talk).await;
    nodes.bid_and_say(&lena, &here.talk).await;
    nodes.is_complete("here", &here).await;
    nodes.is_complete("there", &there).await;
    eventually("both see two watchers", async || {
        here.seen().watchers == 2 && there.seen().watchers == 2
    })
    .await;
    // A third of the records come late, so bids are overtaken by others: shown are they in order.
    nodes.gate.topology().habits = Habits {
        hold: 0.3,
        hold_time: Duration::from_millis(1_200),
        ..Habits::default()
    };
    for _ in 0..12 {
        nodes.bid(&lena).await;
    }
    nodes.is_complete("there", &there).await;
    nodes.gate.topology().habits = Habits::default();
    // The leader is asked to stop; its own sockets end, and the other goes on.
    signal(&a, "-TERM");
    let moved = until_one_leads(&[&b]).await;
    println!("SIGTERM of the leader → another leads: {moved:?}");
    assert!(moved < Duration::from_secs(3), "{moved:?}");
    assert!(a.terminate(), "it ends well");
    assert_eq!(here.seen().closed, Some(close_code::RESTART), "come back");
    assert_eq!(there.seen().closed, None);
    let lena = Browser::step_in(&b.address, "lena").await;
    nodes.bid_and_say(&lena, &there.talk).await;
    nodes.is_complete("there", &there).await;
    assert!(nodes.gate.most_readers() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_leader_moves_the_lease_and_loses_nothing() {
    let mut nodes = Nodes::open().await;
    let mut a = nodes.start("a").await;
    let b = nodes.start("b").await;
    let c = nodes.start("c").await;
    let lena = Browser::step_in(&c.address, "lena").await;
    let kenji = Browser::step_in(&b.address, "kenji").await;
    let tab_c = Tab::open(&lena, "lena", nodes.lot).await;
    let tab_b = Tab::open(&kenji, "kenji", nodes.lot).await;
    for _ in 0..2 {
        nodes.bid_and_say(&lena, &tab_c.talk).await;
    }
    assert!(leads(&a).await);
    a.kill();
    let others = [&b, &c];
    let (moved, ()) = tokio::join!(until_one_leads(&others), async {
        for _ in 0..8 {
            nodes.bid_and_say(&lena, &tab_c.talk).await;
        }
    });
    println!("kill -9 of the leader → another leads: {moved:?}");
    assert!(moved < Duration::from_secs(10), "{moved:?}");
    nodes.is_complete("on b", &tab_b).await;
    nodes.is_complete("on c", &tab_c).await;
    assert!(nodes.gate.most_readers() <= 2);
}

/// How often a node has sent everybody to a snapshot, by its own account.
async fn lost(node: &Served) -> u64 {
    let answer = request(&node.address, "GET", "/readyz", &[], "").await;
    let before = answer.body.split(" lost").next().expect("a part");
    let number = before.rsplit(' ').next().expect("a word");
    number.parse().expect("a number")
}

/// F24: what the table has trimmed before anybody read it is gone, so every tab of every node is
/// told to take a snapshot, and an operator can see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trimmed_history_sends_the_tabs_of_every_node_to_a_snapshot() {
    let mut nodes = Nodes::open().await;
    let a = nodes.start("a").await;
    let b = nodes.start("b").await;
    let lena = Browser::step_in(&a.address, "lena").await;
    let kenji = Browser::step_in(&b.address, "kenji").await;
    let here = Tab::open(&lena, "lena", nodes.lot).await;
    let there = Tab::open(&kenji, "kenji", nodes.lot).await;
    nodes.bid_and_say(&lena, &there.talk).await;
    nodes.is_complete("here", &here).await;
    nodes.is_complete("there", &there).await;
    let before = (lost(&a).await, lost(&b).await);
    let record = json!({
        "eventName": "INSERT",
        "dynamodb": {
            "Keys": { "pk": { "S": "CHAT#gone" }, "sk": { "S": "gone" } },
            "SequenceNumber": "0",
            "ApproximateCreationDateTime": Clock::new().now().0 / 1_000,
        },
    });
    {
        // It comes and goes before anybody can read it.
        let mut topology = nodes.gate.topology();
        topology.take_in(record, Instant::now());
        topology.trim();
    }
    // The lot, its chat and its crowd.
    eventually("both are told of all three channels", async || {
        here.seen().resyncs == 3 && there.seen().resyncs == 3
    })
    .await;
    let after = (lost(&a).await, lost(&b).await);
    assert_eq!(after, (before.0 + 1, before.1 + 1));
    // It goes on for whoever came back.
    let again = Tab::open(&kenji, "kenji", nodes.lot).await;
    nodes.bid(&lena).await;
    eventually("a bid on the other node", async || {
        again.seen().bids.len() == 1
    })
    .await;
    assert_eq!(again.seen().resyncs, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_paused_comes_back_as_a_follower() {
    let mut nodes = Nodes::open().await;
    let a = nodes.start("a").await;
    let b = nodes.start("b").await;
    let c = nodes.start("c").await;
    let lena = Browser::step_in(&c.address, "lena").await;
    let tab_c = Tab::open(&lena, "lena", nodes.lot).await;
    let mut tabs = Vec::new();
    for (name, node, handle) in [("on a", &a, "kenji"), ("on b", &b, "minjun")] {
        let browser = Browser::step_in(&node.address, handle).await;
        tabs.push((name, Tab::open(&browser, handle, nodes.lot).await));
    }
    nodes.bid_and_say(&lena, &tab_c.talk).await;
    assert!(leads(&a).await);
    signal(&a, "-STOP");
    let others = [&b, &c];
    let (moved, ()) = tokio::join!(until_one_leads(&others), async {
        for _ in 0..8 {
            nodes.bid_and_say(&lena, &tab_c.talk).await;
        }
    });
    println!("SIGSTOP of the leader → another leads: {moved:?}");
    signal(&a, "-CONT");
    for _ in 0..2 {
        nodes.bid_and_say(&lena, &tab_c.talk).await;
    }
    for (name, tab) in &tabs {
        nodes.is_complete(name, tab).await;
    }
    nodes.is_complete("on c", &tab_c).await;
    assert!(!leads(&a).await, "it follows");
    let readers = nodes.gate.most_readers();
    println!("at most {readers} readers of a shard at the same time");
    assert!(readers <= 2);
}

/// PostgreSQL's own user must be able to enter.
fn open(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, mode).expect("opens it");
}
