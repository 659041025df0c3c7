//! The table fails while people talk and bid at a steady pace: first every call, later half of
//! them (F28). A real node reaches the table through a gate, which fails the calls and counts them.
//! Seen from outside: what whoever speaks is answered, what another socket of the room hears, how
//! long a bid takes, and what the table holds at the end.
//!
//! A phase lasts a few seconds; with `LOTZERO_FULL_FAULTS=1` as long as the fault is documented: a
//! minute without the table, ten minutes with half of it. Only the full length has bids enough for
//! their 99th percentile to be more than chance: a short run is held to what nine in ten of its bids take.
#![cfg(feature = "local")]

mod common;
#[path = "support/store.rs"]
mod store;

use common::web::{Browser, Served, Socket, folder};
use common::{Node, PATIENCE, english, eventually};
use futures::future::join_all;
use rand::Rng;
use server::clock::Clock;
use server::local::dynamo_gate::{Fault, Rule};
use server::local::{DynamoGate, attach_running};
use shared::LotId;
use shared::live::{Channel, ClientFrame, ErrorCode, LotEvent, Push, ServerMessage, Snapshot};
use shared::view::RoomView;
use sqlx::{Connection, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::Store;
use tokio::time::{Instant, sleep_until};

const TABLE: &str = "lotzero-test";

/// Seconds of the phases: without a fault, while every call fails, while half of them fail.
const SHORT: [u32; 3] = [4, 4, 4];

/// The same as the fault is documented.
const FULL: [u32; 3] = [60, 60, 600];

/// People who talk, each on a socket. A socket may send one message a second, so these send ten.
const TALKERS: u32 = 10;

/// From one message of somebody to the next.
const TURN: Duration = Duration::from_secs(1);

/// People who bid in turn; nobody has to outbid themselves.
const BIDDERS: u32 = 5;

const BIDS_PER_SECOND: u32 = 10;

/// What a bidder has, in dollars: the last bid of a full run is below $10,000.
const FUNDS: i64 = 50_000;

/// How long the lot is open: four times as long as a full run.
const LOT_MS: i64 = 3_600_000;

/// What a bid may take longer than in the calm phase, if a tenth is less: a tenth of some ten
/// milliseconds is nothing to a scheduler. Two processors run PostgreSQL, an unoptimised node, the
/// table and this test, and one slow write to the disk takes as long.
const NOISE: Duration = Duration::from_millis(50);

/// What the reader of the stream calls. It polls twenty times a second while all is well and
/// seldom when calls fail, which would hide that the others call too often. So it is counted apart.
const READER: [&str; 4] = [
    "DescribeTable",
    "DescribeStream",
    "GetShardIterator",
    "GetRecords",
];

/// What a bid amounts to, in dollars.
const fn dollars(bid: u32) -> u32 {
    10 + bid
}

struct Bidder {
    handle: String,
    browser: Browser,
}

impl Bidder {
    async fn bid(&self, lot: LotId, bid: u32) {
        let (handle, amount, key) = (&self.handle, dollars(bid), server::ids::key());
        let form = format!(
            "lot={lot}&amount={amount}&currency=USD&key={key}&acting_as={handle}&acting_in="
        );
        let answer = self.browser.post("/api/bid", &form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// What people who talk were answered in a phase.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    taken: u32,
    refused: u32,
}

struct Talker {
    name: String,
    socket: Socket,
    /// When it speaks within a turn, so that they do not all speak at once.
    after: Duration,
    frames: u32,
    /// Client ids of everything that it ever said.
    said: Vec<String>,
    /// Those that were acknowledged.
    taken: Vec<String>,
    /// What was refused. It is said again in place of something new: the pace stays the same.
    again: Option<String>,
}

impl Talker {
    /// Says one thing a turn.
    async fn talk(&mut self, lot: LotId, from: Instant, turns: u32) -> Answers {
        let mut answers = Answers::default();
        for turn in 0..turns {
            sleep_until(from + TURN * turn + self.after).await;
            let client_id = match self.again.take() {
                Some(refused) => refused,
                None => self.something_new(),
            };
            match self.say(lot, &client_id).await {
                Ok(()) => {
                    answers.taken += 1;
                    self.taken.push(client_id);
                }
                Err(code) => {
                    assert_eq!(code, ErrorCode::Unavailable, "{client_id}");
                    answers.refused += 1;
                    self.again = Some(client_id);
                }
            }
        }
        answers
    }

    /// Says nothing, but answers pings, as whoever does not is closed.
    async fn listen(&mut self) {
        while let Some(message) = self.socket.next_or_end().await {
            if message == ServerMessage::Ping {
                self.frames += 1;
                let id = self.frames;
                self.socket.send(&ClientFrame::Ping { id }).await;
            }
        }
    }

    fn something_new(&mut self) -> String {
        let client_id = format!("{}-{}", self.name, self.said.len());
        self.said.push(client_id.clone());
        client_id
    }

    async fn say(&mut self, lot: LotId, client_id: &str) -> Result<(), ErrorCode> {
        self.frames += 1;
        let asked = self.frames;
        let frame = ClientFrame::Chat {
            id: asked,
            lot,
            client_id: client_id.to_owned(),
            text: client_id.to_owned(),
        };
        self.socket.send(&frame).await;
        loop {
            let message = self.socket.next().await;
            if message == (ServerMessage::Done { id: asked }) {
                return Ok(());
            }
            if let ServerMessage::Error { id, code, .. } = message
                && id == Some(asked)
            {
                return Err(code);
            }
        }
    }
}

/// What a socket of the room has heard.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// Bids in minor units, in the order in which they came.
    bids: Vec<i64>,
    /// Client ids of messages.
    messages: Vec<String>,
    resyncs: u32,
}

impl Heard {
    fn take_in(&mut self, push: &Push) {
        if let Push::Event(LotEvent::Bid { line, .. }) = push {
            self.bids.push(line.amount.minor());
        } else if let Push::Chat(message) = push {
            self.messages.push(message.client_id.clone());
        }
    }

    /// A snapshot shows what was not told one by one, newest first.
    fn catch_up(&mut self, room: &RoomView) {
        let last = self.bids.last().copied().unwrap_or(0);
        let shown = room.ladder.iter().rev().map(|line| line.amount.minor());
        self.bids.extend(shown.filter(|minor| *minor > last));
    }
}

/// Listens as a page does: it answers pings, and takes a snapshot when it is told to.
async fn listen(mut socket: Socket, heard: Arc<Mutex<Heard>>) {
    let note = || heard.lock().expect("not poisoned");
    while let Some(message) = socket.next_or_end().await {
        if let ServerMessage::Push { push, .. } = message {
            note().take_in(&push);
        } else if let ServerMessage::Snapshot { snapshot, .. } = message {
            if let Snapshot::Room(room) = &*snapshot {
                note().catch_up(room);
            }
        } else if let ServerMessage::Resync { channel } = message {
            note().resyncs += 1;
            let (id, since) = (2, None);
            let frame = ClientFrame::Subscribe { id, channel, since };
            socket.send(&frame).await;
        } else if message == ServerMessage::Ping {
            socket.send(&ClientFrame::Ping { id: 3 }).await;
        }
    }
}

#[expect(clippy::print_stderr, reason = "the figures are to be seen")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// What was seen of a phase.
struct Phase {
    name: &'static str,
    seconds: u32,
    bids: Vec<Duration>,
    answers: Answers,
    calls: BTreeMap<String, u64>,
}

impl Phase {
    /// Calls at the gate, those of the stream's reader or all others.
    fn calls(&self, by_reader: bool) -> u64 {
        let counted = self.calls.iter();
        let counted = counted.filter(|(name, _)| READER.contains(&name.as_str()) == by_reader);
        counted.map(|(_, calls)| *calls).sum()
    }

    /// What so many percent of the bids took at most.
    fn bids_at(&self, percent: usize) -> Duration {
        let mut sorted = self.bids.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
    }

    /// The figures, for whoever reads the run.
    fn print(&self) {
        let Answers { taken, refused } = self.answers;
        say(&format!(
            "{}, {} s: {} bids, half within {:?}, p99 {:?}; {taken} messages taken, {refused} \
             refused; {} calls and {} of the stream's reader: {:?}",
            self.name,
            self.seconds,
            self.bids.len(),
            self.bids_at(50),
            self.bids_at(99),
            self.calls(false),
            self.calls(true),
            self.calls,
        ));
    }

    /// Tests that the fault cost the money plane no time and the table no more calls than a tenth,
    /// as compared with a calm phase.
    fn is_no_worse_than(&self, calm: &Self, percent: usize) {
        let name = self.name;
        let (took, before) = (self.bids_at(percent), calm.bids_at(percent));
        let allowed = (before * 11 / 10).max(before + NOISE);
        assert!(
            took <= allowed,
            "{name}: {percent} of 100 bids take up to {took:?}, before {before:?}"
        );
        for by_reader in [false, true] {
            let (calls, before) = (self.calls(by_reader), calm.calls(by_reader));
            let expected = before * u64::from(self.seconds);
            let allowed = expected * 11 / (u64::from(calm.seconds) * 10);
            assert!(
                calls <= allowed,
                "{name}: {calls} calls, {allowed} are allowed; by the stream's reader: \
                 {by_reader}; {:?}, before {:?}",
                self.calls,
                calm.calls
            );
        }
    }
}

/// A room in which people talk and bid.
struct Room {
    gate: DynamoGate,
    lot: LotId,
    bidders: Vec<Bidder>,
    bids: u32,
    talkers: Vec<Talker>,
    ledger: PgConnection,
}

impl Room {
    async fn open(gate: DynamoGate, address: &str, database_url: &str) -> Self {
        // The demo's lots end before a full run does.
        let node = Node::at(database_url, 4).await;
        let seller = node.person("seller", 0).await;
        let lot = node.put_up_for(&seller, english(), LOT_MS).await.id;
        let mut bidders = Vec::new();
        for n in 0..BIDDERS {
            let handle = format!("bidder{n}");
            node.person(&handle, FUNDS).await;
            let browser = Browser::step_in(address, &handle).await;
            bidders.push(Bidder { handle, browser });
        }
        let mut talkers = Vec::new();
        for n in 0..TALKERS {
            let name = format!("talker{n}");
            node.person(&name, 0).await;
            let browser = Browser::step_in(address, &name).await;
            talkers.push(Talker {
                socket: browser.socket(&name).await,
                name,
                after: TURN / TALKERS * n,
                frames: 0,
                said: Vec::new(),
                taken: Vec::new(),
                again: None,
            });
        }
        let ledger = PgConnection::connect(database_url).await;
        Self {
            gate,
            lot,
            bidders,
            bids: 0,
            talkers,
            ledger: ledger.expect("connects"),
        }
    }

    /// A socket that notes what it hears.
    async fn listener(&self) -> Arc<Mutex<Heard>> {
        let Bidder { handle, browser } = &self.bidders[0];
        let mut socket = browser.socket(handle).await;
        socket.join(Channel::Lot(self.lot)).await;
        socket.join(Channel::Chat(self.lot)).await;
        let heard = Arc::new(Mutex::new(Heard::default()));
        tokio::spawn(listen(socket, Arc::clone(&heard)));
        heard
    }

    /// Talking and bidding at the steady pace.
    async fn phase(&mut self, name: &'static str, seconds: u32) -> Phase {
        self.gate.take_calls();
        let from = Instant::now();
        let (bids, answers) = {
            let (lot, first) = (self.lot, self.bids);
            let bidding = bid_on(&self.bidders, lot, first, from, seconds * BIDS_PER_SECOND);
            let talking = talk_on(&mut self.talkers, lot, from, seconds);
            tokio::join!(bidding, talking)
        };
        self.bids += seconds * BIDS_PER_SECOND;
        let calls = self.gate.take_calls();
        let phase = Phase {
            name,
            seconds,
            bids,
            answers,
            calls,
        };
        phase.print();
        phase
    }

    /// Waits until every event of the ledger is in the table.
    async fn everything_is_published(&mut self) {
        let begun = Instant::now();
        let ledger = &mut self.ledger;
        let published = eventually("everything is published", async || {
            let left: i64 =
                sqlx::query_scalar("SELECT count(*) FROM outbox WHERE published = false")
                    .fetch_one(&mut *ledger)
                    .await
                    .expect("counts");
            left == 0
        });
        let all_published = tokio::select! {
            () = published => true,
            _ = join_all(self.talkers.iter_mut().map(Talker::listen)) => false,
        };
        assert!(all_published, "the talkers' sockets have ended");
        say(&format!(
            "everything is published after {:?}",
            begun.elapsed()
        ));
    }

    /// The table is well again: what was refused is said until it is taken.
    async fn recovers(&mut self) {
        self.gate.heal();
        let deadline = Instant::now() + PATIENCE;
        while self.talkers.iter().any(|talker| talker.again.is_some()) {
            assert!(Instant::now() < deadline, "messages are still refused");
            talk_on(&mut self.talkers, self.lot, Instant::now(), 1).await;
        }
    }

    /// Tests that what was acknowledged is in the table once, and the rest at most once.
    async fn has_every_message_once(&self, store: &Store) {
        let said = self.talkers.iter().flat_map(|talker| &talker.said);
        let said: BTreeSet<&str> = said.map(String::as_str).collect();
        let there = history(store, self.lot).await;
        let once: BTreeSet<&str> = there.iter().map(String::as_str).collect();
        assert_eq!(once.len(), there.len(), "a message is there twice");
        assert!(once.is_subset(&said), "a message that nobody said");
        let taken = self.talkers.iter().flat_map(|talker| &talker.taken);
        let lost: Vec<&String> = taken.filter(|id| !once.contains(id.as_str())).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }

    /// Tests that a socket heard every bid once and in order, and no message twice.
    async fn was_heard(&self, heard: &Mutex<Heard>) {
        let bids = (0..self.bids).map(|bid| i64::from(dollars(bid)) * 100);
        let bids: Vec<i64> = bids.collect();
        let heard = || heard.lock().expect("not poisoned").clone();
        eventually("the last bid is heard", async || {
            heard().bids.last() == bids.last()
        })
        .await;
        let heard = heard();
        assert_eq!(heard.bids, bids, "each once and in order");
        let once: BTreeSet<&String> = heard.messages.iter().collect();
        assert_eq!(once.len(), heard.messages.len(), "a message told twice");
    }
}

/// So many bids, one after another; how long each took.
async fn bid_on(
    bidders: &[Bidder],
    lot: LotId,
    first: u32,
    from: Instant,
    bids: u32,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 0..bids {
        sleep_until(from + TURN / BIDS_PER_SECOND * n).await;
        let bid = first + n;
        let turn = usize::try_from(bid % BIDDERS).expect("small");
        let sent = Instant::now();
        bidders[turn].bid(lot, bid).await;
        times.push(sent.elapsed());
    }
    times
}

async fn talk_on(talkers: &mut [Talker], lot: LotId, from: Instant, turns: u32) -> Answers {
    let all = talkers.iter_mut().map(|one| one.talk(lot, from, turns));
    let mut answers = Answers::default();
    for Answers { taken, refused } in join_all(all).await {
        answers.taken += taken;
        answers.refused += refused;
    }
    answers
}

/// The client ids of all messages that a room has in the table, read past the gate.
async fn history(store: &Store, lot: LotId) -> Vec<String> {
    let firehose = store.firehose(TABLE, &Arc::new(Clock::new())).await;
    let (mut client_ids, mut before) = (Vec::new(), None);
    loop {
        let page = firehose.messages(lot, before, 500).await.expect("reads");
        let messages = page.messages.into_iter();
        client_ids.extend(messages.map(|message| message.client_id));
        before = page.before;
        if before.is_none() {
            return client_ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bids_go_on_and_no_message_is_lost_while_the_table_fails() {
    let full = std::env::var("LOTZERO_FULL_FAULTS").is_ok_and(|value| value == "1");
    // Two slow writes of a disk are the slowest twentieth of forty bids, whatever the table does:
    // a short run leaves out three.
    let ([calm_s, down_s, half_s], percent) = if full { (FULL, 99) } else { (SHORT, 90) };
    let given = std::env::var("LOTZERO_FAULTS_SEED").ok();
    let given = given.and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| rand::rng().random());
    eprintln!("the faults are those of seed {seed} (LOTZERO_FAULTS_SEED)");
    let (folder, store) = (folder(), Store::start());
    let gate = DynamoGate::before(&store.endpoint(), seed, 1);
    let door = gate.door("node").await.expect("a door");
    let plane = ["--dynamodb-table", TABLE, "--dynamodb-endpoint", &door];
    let node = Served::start(folder.path(), &plane);
    let stores = attach_running(folder.path()).await.expect("runs");
    let mut room = Room::open(gate, &node.address, &stores.database_url).await;
    let heard = room.listener().await;
    // What only the first bids and messages cost is in no figure.
    room.phase("warming up", 1).await;
    room.everything_is_published().await;

    let calm = room.phase("calm", calm_s).await;
    assert_eq!(calm.answers.refused, 0, "nothing fails yet");
    room.everything_is_published().await;

    room.gate.add_fault(Rule::all(Fault::Broken));
    let down = room.phase("down", down_s).await;
    assert_eq!(down.answers.taken, 0, "nobody can have taken them");
    assert!(down.answers.refused > 0);
    // What waited meanwhile is written before the next fault, which is measured by itself.
    room.recovers().await;
    room.everything_is_published().await;

    // A fifth of the calls does what it asks for and loses the answer, so that a message that is
    // said again meets the first one. Three eighths of the rest make half of all fail.
    for (fault, share) in [(Fault::AnswerLost, 0.2), (Fault::Broken, 0.375)] {
        room.gate.add_fault(Rule::all(fault).share(share));
    }
    let half = room.phase("half", half_s).await;
    assert!(half.answers.refused > 0, "the fault had no effect");
    room.recovers().await;
    room.phase("healed", calm_s).await;
    room.recovers().await;

    room.has_every_message_once(&store).await;
    room.was_heard(&heard).await;
    let resyncs = heard.lock().expect("not poisoned").resyncs;
    // Records that were written just before a minute without the table are no news after it, and
    // everybody takes a snapshot instead.
    assert!(full || resyncs == 0, "{resyncs} snapshots");
    down.is_no_worse_than(&calm, percent);
    half.is_no_worse_than(&calm, percent);
}
