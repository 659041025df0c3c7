//! Several nodes on one stream: one reads it, the others follow, and whoever goes or comes back
//! misses nothing. The nodes are in this process and speak to each other over the loopback; their
//! leases are a fifth as long as in earnest.
#![cfg(feature = "local")]

#[path = "support/store.rs"]
mod store;
#[path = "support/stream_node.rs"]
mod stream_node;

use server::clock::Clock;
use server::config::NodeUrl;
use server::firehose::{Firehose, Role};
use server::ids;
use server::local::DynamoGate;
use server::local::dynamo_gate::{Fault, Rule};
use shared::view::{ChatMessage, Person};
use shared::{LotId, PrincipalId, Region};
use store::Store;
use stream_node::{LEASE, StreamNode, eventually, firehose};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// A table in which people talk.
struct Room {
    firehose: Firehose,
    gate: DynamoGate,
    lot: LotId,
    said: usize,
    _store: Store,
}

impl Room {
    async fn open() -> Self {
        let store = Store::start();
        let gate = DynamoGate::before(&store.endpoint(), 1, 1);
        let firehose = firehose(&store.endpoint()).await;
        firehose.ensure_table().await.expect("a table");
        Self {
            firehose,
            gate,
            lot: ids::lot(),
            said: 0,
            _store: store,
        }
    }

    async fn node(&self, name: &'static str) -> StreamNode {
        let door = self.gate.door(name).await.expect("a door");
        StreamNode::start(name, &door).await
    }

    async fn say(&mut self) {
        self.said += 1;
        let message = ChatMessage {
            id: ids::message(),
            client_id: self.said.to_string(),
            who: Person {
                id: PrincipalId::from_uuid(Uuid::from_u128(1)),
                handle: "ada".to_owned(),
                name: "Ada".to_owned(),
                simulated: false,
            },
            region: Region::Tokyo,
            text: self.said.to_string(),
            at: Clock::new().now(),
        };
        let posted = self.firehose.post_message(self.lot, message, None).await;
        posted.expect("posts");
    }

    async fn say_some(&mut self, some: usize) {
        for _message in 0..some {
            self.say().await;
        }
    }

    /// Waits until everybody has heard everything from `first` on, each message once.
    async fn all_hear(&self, nodes: &[&StreamNode], first: usize) {
        let expected: Vec<String> = (first..=self.said).map(|n| n.to_string()).collect();
        for node in nodes {
            let last = self.said.to_string();
            eventually(&format!("{} hears {last}", node.name), || {
                node.texts().contains(&last)
            })
            .await;
            assert_eq!(node.texts(), expected, "{}", node.name);
        }
    }
}

fn leader_of<'a>(nodes: &[&'a StreamNode]) -> &'a StreamNode {
    let mut leaders = nodes.iter().filter(|node| node.leads());
    let leader = leaders.next().expect("somebody leads");
    assert!(leaders.next().is_none(), "only one leads");
    leader
}

#[tokio::test]
async fn followers_hear_what_the_leader_reads() {
    let mut room = Room::open().await;
    let a = room.node("a").await;
    room.say_some(3).await;
    // What the leader has read before they come, they do not hear.
    room.all_hear(&[&a], 1).await;
    let b = room.node("b").await;
    let c = room.node("c").await;
    assert_eq!(leader_of(&[&a, &b, &c]).name, "a");
    room.say_some(3).await;
    room.all_hear(&[&b, &c], 4).await;
    room.all_hear(&[&a], 1).await;
    eventually("the leader knows its followers", || {
        a.stream.status().followers == 2
    })
    .await;
    assert!(matches!(b.stream.status().role, Role::Follower(_)));
    for node in [&a, &b, &c] {
        assert_eq!(node.losses(), 0, "{}", node.name);
        eventually("it knows how reading goes", || {
            let pulse = node.stream.status().pulse;
            pulse.is_some_and(|pulse| pulse.read_ago_ms < 5_000 && pulse.lag_ms < 5_000)
        })
        .await;
    }
    assert_eq!(room.gate.most_readers(), 1);
}

#[tokio::test]
async fn a_leader_that_dies_is_followed_by_another_and_nothing_is_missed() {
    let mut room = Room::open().await;
    let mut a = room.node("a").await;
    let b = room.node("b").await;
    let c = room.node("c").await;
    room.say_some(5).await;
    room.all_hear(&[&a, &b, &c], 1).await;
    a.kill();
    room.say_some(5).await;
    let took = eventually("another leads", || b.leads() || c.leads()).await;
    println!("the lease moved in {took:?}, {LEASE:?} long");
    room.say_some(5).await;
    room.all_hear(&[&b, &c], 1).await;
    // Who starts now follows the new leader.
    let d = room.node("d").await;
    room.say().await;
    room.all_hear(&[&d], room.said).await;
    for node in [&b, &c, &d] {
        assert_eq!(node.losses(), 0, "{}", node.name);
    }
    leader_of(&[&b, &c, &d]);
    assert!(room.gate.most_readers() <= 2);
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_at_once() {
    let mut room = Room::open().await;
    let a = room.node("a").await;
    let b = room.node("b").await;
    room.say_some(2).await;
    room.all_hear(&[&a, &b], 1).await;
    a.stream.resign();
    let took = eventually("the other leads", || b.leads()).await;
    assert!(
        took < LEASE / 2,
        "the lease was given back, yet it took {took:?}"
    );
    room.say_some(2).await;
    // Until it ends, whoever resigned follows.
    room.all_hear(&[&a, &b], 1).await;
    assert!(matches!(a.stream.status().role, Role::Follower(_)));
    a.stop();
    b.stop();
    eventually("nobody leads", || !b.leads()).await;
    // All were gone: who comes next goes on at the checkpoint.
    room.say_some(2).await;
    let c = room.node("c").await;
    room.say_some(2).await;
    room.all_hear(&[&c], room.said - 3).await;
    assert_eq!((a.losses(), b.losses(), c.losses()), (0, 0, 0));
}

#[tokio::test]
async fn a_leader_without_the_table_stops_reading_before_another_begins() {
    let mut room = Room::open().await;
    let a = room.node("a").await;
    let b = room.node("b").await;
    room.say().await;
    room.all_hear(&[&a, &b], 1).await;
    room.gate.add_fault(Rule::all(Fault::Broken).through("a"));
    room.say_some(2).await;
    eventually("it steps down", || !a.leads()).await;
    assert!(!b.leads(), "there is time between the two");
    eventually("the other leads", || b.leads()).await;
    room.all_hear(&[&b], 1).await;
    // Who cannot read the lease does not know whom to follow; it misses nothing by it.
    room.gate.heal();
    room.say().await;
    room.all_hear(&[&a, &b], 1).await;
    assert_eq!((a.losses(), b.losses()), (0, 0));
}

#[tokio::test]
async fn one_node_after_another_goes_on_at_the_checkpoint() {
    let mut room = Room::open().await;
    for name in ["a", "b", "c"] {
        let node = room.node(name).await;
        // What was written while nobody was there is heard first.
        let first = room.said.max(1);
        room.say_some(2).await;
        room.all_hear(&[&node], first).await;
        assert_eq!(node.losses(), 0);
        node.stop();
        eventually("it ends", || !node.leads()).await;
        room.say().await;
    }
}

/// Whoever has no token of the present term finds nothing, whatever it sends.
#[tokio::test]
async fn only_a_node_with_the_token_may_follow() {
    let room = Room::open().await;
    let a = room.node("a").await;
    let url = a.url.clone().expect("has one");
    for token in ["", "Bearer ", "Bearer 0", "Basic abc"] {
        let status = post(&url, token).await;
        assert_eq!(status, 404, "{token:?}");
    }
}

async fn post(url: &NodeUrl, authorization: &str) -> u16 {
    let mut stream = TcpStream::connect((url.host(), url.port()))
        .await
        .expect("connects");
    let host = url.authority();
    let head = format!(
        "POST /internal/stream HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Authorization: {authorization}\r\nContent-Length: 4\r\n\r\nnull"
    );
    stream.write_all(head.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answers");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.expect("a status")
}
