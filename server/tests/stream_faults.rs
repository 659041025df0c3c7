//! The stream as AWS's may be: many shards that split and roll over, batches that come again,
//! records that are late, iterators that expire, history that is trimmed (F21 to F24). A gate
//! before the embedded store makes it so; what it does at random follows from a seed that a failure
//! names.
#![cfg(feature = "local")]
#![expect(clippy::print_stdout, reason = "the seed is for whoever repeats a run")]

#[path = "support/store.rs"]
mod store;
#[path = "support/stream_node.rs"]
mod stream_node;

use rand::Rng;
use serde_json::{Value, json};
use server::clock::Clock;
use server::firehose::StreamItem;
use server::ids;
use server::local::DynamoGate;
use server::local::dynamo_gate::{Fault, Habits, Rule};
use shared::view::{ChatMessage, Person};
use shared::{LotId, PrincipalId, Region, Timestamp};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use store::Store;
use stream_node::{PATIENCE, StreamNode, eventually, firehose};
use uuid::Uuid;

/// A table whose stream is shown by the gate, and what was written to it.
struct Bench {
    gate: DynamoGate,
    /// Messages in each room, in the order in which they were written.
    written: HashMap<LotId, usize>,
    lots: Vec<LotId>,
    seed: u64,
    _store: Store,
}

impl Bench {
    async fn new(shards: usize) -> Self {
        let seed = rand::rng().random();
        println!("seed {seed}");
        let store = Store::start();
        let gate = DynamoGate::before(&store.endpoint(), seed, shards);
        let table = firehose(&store.endpoint()).await;
        table.ensure_table().await.expect("a table");
        Self {
            gate,
            written: HashMap::new(),
            lots: (0..64).map(|_| ids::lot()).collect(),
            seed,
            _store: store,
        }
    }

    async fn node(&self, name: &'static str) -> StreamNode {
        let door = self.gate.door(name).await.expect("a door");
        StreamNode::start(name, &door).await
    }

    /// The records of so many messages, spread over the rooms. Each says which of its room's it is.
    fn records(&mut self, messages: usize) -> Vec<Value> {
        let mut records = Vec::new();
        for n in 0..messages {
            let lot = self.lots[n % self.lots.len()];
            let number = self.written.entry(lot).or_default();
            *number += 1;
            records.push(chat_record(lot, *number));
        }
        records
    }

    /// Puts so many messages into the stream. They do not pass through the store, which would take
    /// most of the time.
    fn write(&mut self, messages: usize) {
        let (records, now) = (self.records(messages), Instant::now());
        let mut topology = self.gate.topology();
        records
            .into_iter()
            .for_each(|record| topology.take_in(record, now));
    }

    fn total(&self) -> usize {
        self.written.values().sum()
    }

    /// Waits until a node has as many messages as were written, then tests that it has each once.
    async fn has_all(&self, node: &StreamNode) {
        let total = self.total();
        let seed = self.seed;
        let begun = Instant::now();
        while node.texts().len() < total {
            let (heard, status) = (node.texts().len(), node.stream.status());
            let missing = format!("{} heard {heard} of {total}", node.name);
            assert!(
                begun.elapsed() < PATIENCE,
                "{missing}, seed {seed}: {status}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // A repeat would come with the next read at the latest.
        tokio::time::sleep(Duration::from_millis(200)).await;
        for (lot, numbers) in numbers_by_room(node) {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            let expected: Vec<usize> = (1..=self.written[&lot]).collect();
            assert_eq!(sorted, expected, "{} in {lot}, seed {seed}", node.name);
        }
        assert_eq!(node.texts().len(), total, "{}, seed {seed}", node.name);
    }

    /// Tests that each room's messages came in their order.
    fn in_order(&self, node: &StreamNode) {
        for (lot, numbers) in numbers_by_room(node) {
            assert!(
                numbers.is_sorted(),
                "{lot}, seed {}: {numbers:?}",
                self.seed
            );
        }
    }
}

/// The numbers of the messages that a node heard, by room and in the order in which they came.
fn numbers_by_room(node: &StreamNode) -> HashMap<LotId, Vec<usize>> {
    let mut rooms: HashMap<LotId, Vec<usize>> = HashMap::new();
    for item in node.heard() {
        if let StreamItem::Chat(lot, message) = item {
            let number = message.text.parse().expect("a number");
            rooms.entry(lot).or_default().push(number);
        }
    }
    rooms
}

/// The record of a message as the house writes it.
fn chat_record(lot: LotId, number: usize) -> Value {
    let message = ChatMessage {
        id: ids::message(),
        client_id: number.to_string(),
        who: Person {
            id: PrincipalId::from_uuid(Uuid::from_u128(1)),
            handle: "ada".to_owned(),
            name: "Ada".to_owned(),
            simulated: false,
        },
        region: Region::Tokyo,
        text: number.to_string(),
        at: Timestamp(0),
    };
    let (pk, sk) = (format!("CHAT#{lot}"), message.id.to_string());
    let body = serde_json::to_string(&message).expect("writes");
    json!({
        "eventName": "INSERT",
        "dynamodb": {
            "Keys": { "pk": { "S": pk }, "sk": { "S": sk } },
            "NewImage": {
                "pk": { "S": pk }, "sk": { "S": sk }, "kind": { "S": "chat" },
                "lot": { "S": lot.to_string() }, "body": { "S": body },
            },
            "SequenceNumber": "0",
            "ApproximateCreationDateTime": Clock::new().now().0 / 1_000,
        },
    })
}

/// F21: batches that come again, and a leader that dies before it has written a checkpoint.
#[tokio::test]
async fn repeats_reach_nobody() {
    let mut bench = Bench::new(3).await;
    bench.gate.topology().habits = Habits {
        repeat: 0.5,
        ..Habits::default()
    };
    let mut a = bench.node("a").await;
    let b = bench.node("b").await;
    for _ in 0..10 {
        bench.write(60);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.has_all(&a).await;
    let repeats = a.stream.status().counts.repeats;
    assert!(repeats > 0, "none came, seed {}", bench.seed);
    a.kill();
    bench.write(300);
    bench.has_all(&b).await;
    bench.in_order(&b);
    assert_eq!(b.losses(), 0);
}

/// F22: a tenth of the records late and out of order, and some so late that they are no news.
#[tokio::test]
async fn late_records_come_once_and_old_ones_not_at_all() {
    let mut bench = Bench::new(3).await;
    bench.gate.topology().habits = Habits {
        hold: 0.1,
        hold_time: Duration::from_millis(1_500),
        ..Habits::default()
    };
    let a = bench.node("a").await;
    let b = bench.node("b").await;
    for _ in 0..10 {
        bench.write(100);
    }
    bench.has_all(&a).await;
    bench.has_all(&b).await;
    let rooms = numbers_by_room(&a);
    let reordered = rooms.values().any(|numbers| !numbers.is_sorted());
    assert!(reordered, "nothing was late, seed {}", bench.seed);
    assert_eq!((a.losses(), b.losses()), (0, 0));

    bench.gate.topology().habits = Habits {
        aged: Duration::from_secs(75),
        ..Habits::default()
    };
    let (heard, total) = (a.texts().len(), bench.total());
    bench.write(50);
    // In their place comes the order to take a snapshot, once.
    for node in [&a, &b] {
        eventually("everybody takes a snapshot", || node.losses() == 1).await;
        assert_eq!(node.texts().len(), heard, "{}", node.name);
    }
    assert_eq!(a.stream.status().counts.late, 50);
    bench.gate.topology().habits = Habits::default();
    bench.write(50);
    eventually("news go on", || a.texts().len() == total + 50).await;
    assert_eq!((a.losses(), b.losses()), (1, 1));
}

/// F23: shards split and roll over under 10,000 records, while nodes that read go and come.
#[tokio::test]
async fn nothing_is_missing_or_double_over_splits_and_restarts() {
    let mut bench = Bench::new(2).await;
    let watcher = bench.node("watcher").await;
    let mut leader = None;
    let names = ["a", "b", "c", "d"];
    for (round, name) in names.into_iter().enumerate() {
        // The leader may just have died: this one need not have its places yet.
        let door = bench.gate.door(name).await.expect("a door");
        let node = StreamNode::start_unopened(name, &door).await;
        for step in 0..25 {
            bench.write(100);
            tokio::time::sleep(Duration::from_millis(20)).await;
            match step % 8 {
                2 => bench.gate.topology().split_one(),
                5 => bench.gate.topology().roll_one(),
                _ => {}
            }
        }
        // The node before goes in the midst of it, and with the first the one that leads.
        if round == 0 {
            watcher.stream.resign();
        }
        drop(leader.replace(node));
    }
    assert_eq!(bench.total(), 10_000);
    bench.has_all(&watcher).await;
    bench.in_order(&watcher);
    assert_eq!(watcher.losses(), 0, "seed {}", bench.seed);
    assert!(bench.gate.topology().shards() > 12);
    assert!(
        bench.gate.most_readers() <= 2,
        "{}",
        bench.gate.most_readers()
    );
}

/// A description of several pages, calls that fail or are throttled, closed shards that vanish.
#[tokio::test]
async fn failing_calls_and_shards_that_vanish_lose_nothing() {
    let mut bench = Bench::new(7).await;
    let node = bench.node("a").await;
    for (fault, share) in [(Fault::Broken, 0.1), (Fault::Throttled, 0.2)] {
        let rule = Rule::all(fault).share(share).on("GetRecords");
        bench.gate.add_fault(rule);
    }
    for _ in 0..6 {
        bench.write(50);
        bench.gate.topology().roll_one();
    }
    bench.has_all(&node).await;
    bench.in_order(&node);
    bench.gate.heal();
    bench.gate.topology().forget_closed();
    bench.write(100);
    bench.has_all(&node).await;
    assert_eq!(node.losses(), 0, "seed {}", bench.seed);
}

/// F24: iterators that expire are replaced behind the last record.
#[tokio::test]
async fn expired_iterators_are_replaced() {
    let mut bench = Bench::new(2).await;
    let node = bench.node("a").await;
    bench.write(200);
    bench.has_all(&node).await;
    for _ in 0..3 {
        bench.gate.topology().expire_iterators();
        bench.write(40);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    bench.has_all(&node).await;
    bench.in_order(&node);
    assert_eq!(node.losses(), 0, "seed {}", bench.seed);
}

/// F24: what was trimmed before it was read is lost, which everybody hears once; then it goes on.
#[tokio::test]
async fn trimmed_history_sends_everybody_to_a_snapshot() {
    let mut bench = Bench::new(2).await;
    let a = bench.node("a").await;
    let b = bench.node("b").await;
    bench.write(50);
    bench.has_all(&a).await;
    bench.has_all(&b).await;
    // Records come and go before anybody can read them.
    let records = bench.records(50);
    {
        let mut topology = bench.gate.topology();
        let now = Instant::now();
        records
            .into_iter()
            .for_each(|record| topology.take_in(record, now));
        topology.trim();
    }
    for node in [&a, &b] {
        eventually("it hears that something is lost", || node.losses() == 1).await;
    }
    let heard = a.texts().len();
    bench.write(50);
    eventually("it goes on", || a.texts().len() == heard + 50).await;
    eventually("the follower too", || b.texts().len() == heard + 50).await;
    assert_eq!((a.losses(), b.losses()), (1, 1), "seed {}", bench.seed);
}
