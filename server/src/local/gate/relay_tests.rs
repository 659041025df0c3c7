//! The gate as its clients meet it, in front of a server that knows three messages.

use super::*;
use crate::local::gate::wire::Message;
use crate::local::gate::{Conflict, Fault, Gate, LoginRefusal};

/// Longer than anything here takes, unless it waits for good.
const LONG: Duration = Duration::from_secs(10);

fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// A server that greets and says to each query that it has committed. Returns where it is.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address.to_string()
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut greeted = false;
    let ready = tagged(b'Z', b"I");
    loop {
        if !greeted && decoder.opening().expect("valid").is_some() {
            greeted = true;
            stream.write_all(&tagged(b'R', &[0; 4])).await?;
            stream.write_all(&ready).await?;
        }
        while greeted && decoder.message().expect("valid").is_some() {
            stream.write_all(&tagged(b'C', b"COMMIT\0")).await?;
            stream.write_all(&ready).await?;
        }
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => decoder.feed(&buffer[..read]),
        }
    }
}

struct Client {
    stream: TcpStream,
    decoder: Decoder,
}

impl Client {
    /// Connects and says who it is.
    async fn open(gate: &Gate) -> io::Result<Self> {
        let mut stream = TcpStream::connect(gate.address()).await?;
        let length = 8_u32.to_be_bytes();
        let start = [length, 196_608_u32.to_be_bytes()].concat();
        stream.write_all(&start).await?;
        let decoder = Decoder::default();
        Ok(Self { stream, decoder })
    }

    /// Connects and waits for the greeting.
    async fn greeted(gate: &Gate) -> Self {
        let mut client = Self::open(gate).await.expect("the gate listens");
        let tags = client.until_ready().await.expect("a greeting");
        assert_eq!(tags, "RZ");
        client
    }

    async fn message(&mut self) -> io::Result<Message> {
        let next = async {
            loop {
                if let Some(message) = self.decoder.message().map_err(invalid)? {
                    return Ok(message);
                }
                let mut buffer = [0; 1024];
                match self.stream.read(&mut buffer).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => self.decoder.feed(&buffer[..read]),
                }
            }
        };
        tokio::time::timeout(LONG, next)
            .await
            .expect("not for good")
    }

    /// The tags of the messages up to the one that says that the server is ready.
    async fn until_ready(&mut self) -> io::Result<String> {
        let mut tags = String::new();
        while !tags.ends_with('Z') {
            tags.push(char::from(self.message().await?.tag));
        }
        Ok(tags)
    }

    async fn ask(&mut self, sql: &str) -> io::Result<String> {
        self.stream.write_all(&wire::query(sql)).await?;
        self.until_ready().await
    }

    async fn is_answered_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.until_ready()).await.is_ok()
    }

    async fn end(&mut self) -> io::ErrorKind {
        self.message().await.expect_err("it ends").kind()
    }
}

async fn gate_with(faults: &[Fault]) -> Gate {
    let gate = Gate::start(&server().await).await.expect("a gate");
    gate.set(faults).expect("valid faults");
    gate
}

/// Waits for what happens beside the client.
async fn eventually(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("in time");
}

#[tokio::test]
async fn closing_resets_who_is_there_and_who_comes_until_it_is_restored() {
    let gate = gate_with(&[]).await;
    let mut open = Client::greeted(&gate).await;
    assert_eq!(gate.open_connections(), 1);
    gate.set(&[Fault::Closed]).expect("valid");
    assert_eq!(open.end().await, io::ErrorKind::ConnectionReset);
    // Who comes is reset at its first write or read.
    let kind = match Client::open(&gate).await {
        Ok(mut client) => client.end().await,
        Err(error) => error.kind(),
    };
    assert!(
        matches!(
            kind,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        ),
        "{kind}"
    );
    eventually(|| gate.counters().refused == 1 && gate.open_connections() == 0).await;
    assert_eq!(gate.counters().cut, 1);
    gate.disarm();
    let mut again = Client::greeted(&gate).await;
    assert_eq!(again.ask("SELECT 1").await.expect("open"), "CZ");
    assert_eq!(gate.counters().connections, 2);
}

#[tokio::test]
async fn adding_closed_resets_too_and_refusing_does_not() {
    let gate = gate_with(&[]).await;
    let mut open = Client::greeted(&gate).await;
    gate.add(Fault::Refusing).expect("valid");
    assert_eq!(open.ask("SELECT 1").await.expect("open"), "CZ");
    gate.add(Fault::Closed).expect("valid");
    assert_eq!(open.end().await, io::ErrorKind::ConnectionReset);
    assert_eq!(gate.counters().cut, 1);
}

#[tokio::test]
async fn a_login_too_many_hears_why_and_is_closed() {
    let table = [
        (LoginRefusal::TooManyConnections, "53300"),
        (LoginRefusal::LimitExceeded, "53400"),
    ];
    for (refusal, sqlstate) in table {
        let gate = gate_with(&[Fault::LoginRate {
            per_second: 1,
            burst: Some(2),
            refusal,
        }])
        .await;
        let mut first = Client::greeted(&gate).await;
        let _second = Client::greeted(&gate).await;
        let mut third = Client::open(&gate).await.expect("the gate listens");
        let error = third.message().await.expect("an error");
        assert_eq!(error.tag, b'E');
        let fields = String::from_utf8_lossy(error.body()).into_owned();
        assert!(fields.starts_with("SFATAL\0"), "{fields:?}");
        assert!(fields.contains(&format!("\0C{sqlstate}\0")), "{fields:?}");
        assert_eq!(third.end().await, io::ErrorKind::UnexpectedEof);
        assert_eq!(gate.counters().refused_logins, 1);
        assert_eq!(first.ask("SELECT 1").await.expect("open"), "CZ");
    }
}

#[tokio::test]
async fn a_connection_ends_at_its_age_whatever_it_does() {
    let gate = gate_with(&[Fault::MaxAge { ms: 80 }]).await;
    let born = Instant::now();
    let mut idle = Client::greeted(&gate).await;
    let mut busy = Client::greeted(&gate).await;
    while busy.ask("SELECT 1").await.is_ok() {
        assert!(born.elapsed() < LONG);
    }
    assert!(born.elapsed() >= Duration::from_millis(80));
    assert_eq!(idle.end().await, io::ErrorKind::UnexpectedEof);
    eventually(|| gate.counters().cut_by_age == 2).await;
    let mut new = Client::greeted(&gate).await;
    assert_eq!(new.ask("SELECT 1").await.expect("young"), "CZ");
}

#[tokio::test]
async fn commits_are_lost_by_a_reset() {
    let gate = gate_with(&[Fault::LostCommit { percent: 100 }]).await;
    let mut client = Client::greeted(&gate).await;
    let lost = client.ask("COMMIT").await.expect_err("lost");
    assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(gate.counters().applied_then_cut, 1);

    gate.set(&[Fault::LostBeforeCommit { percent: 100 }])
        .expect("valid");
    let mut client = Client::greeted(&gate).await;
    let lost = client.ask("COMMIT").await.expect_err("lost");
    assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
    let counters = gate.counters();
    assert_eq!(counters.cut_before_commit, 1);
    assert_eq!(counters.applied_then_cut, 1, "the server heard of no other");
}

#[tokio::test]
async fn conflicts_are_heard_in_the_words_of_the_fault() {
    let conflict = Conflict::Catalogue;
    let gate = gate_with(&[Fault::CommitConflict {
        percent: 100,
        conflict,
    }])
    .await;
    let mut client = Client::greeted(&gate).await;
    let commit = wire::query("COMMIT");
    client.stream.write_all(&commit).await.expect("writes");
    let error = client.message().await.expect("an error");
    assert_eq!(
        error.bytes,
        wire::error("40001", conflict.message()),
        "{error:?}"
    );
    assert_eq!(client.until_ready().await.expect("usable"), "Z");
}

#[tokio::test]
async fn a_round_trip_waits_once_for_its_delay() {
    let gate = gate_with(&[Fault::Slow {
        from_ms: 40,
        to_ms: 60,
    }])
    .await;
    let since = Instant::now();
    let mut client = Client::greeted(&gate).await;
    assert!(since.elapsed() >= Duration::from_millis(40));
    client.ask("SELECT 1").await.expect("slow");
    assert!(since.elapsed() >= Duration::from_millis(80));
    assert_eq!(gate.counters().slowed, 2, "the login and the query");
}

#[tokio::test]
async fn hung_and_mute_give_what_they_held_when_they_end() {
    for fault in [Fault::Hung, Fault::Mute] {
        let gate = gate_with(&[]).await;
        let mut client = Client::greeted(&gate).await;
        gate.set(&[fault]).expect("valid");
        let commit = wire::query("COMMIT");
        client.stream.write_all(&commit).await.expect("writes");
        let soon = Duration::from_millis(60);
        assert!(!client.is_answered_within(soon).await, "{fault:?}");
        let counters = gate.counters();
        assert_eq!(counters.effects_of(&fault), 1, "{fault:?}");
        // Whether the COMMIT went on is what tells the two apart.
        assert_eq!(counters.commits, u64::from(fault == Fault::Mute));
        gate.disarm();
        assert!(client.is_answered_within(LONG).await, "{fault:?}");
    }
}

#[tokio::test]
async fn a_commit_that_hung_is_done_later_though_its_client_has_gone() {
    let gate = gate_with(&[]).await;
    let mut client = Client::greeted(&gate).await;
    gate.set(&[Fault::Hung]).expect("valid");
    let commit = wire::query("COMMIT");
    client.stream.write_all(&commit).await.expect("writes");
    eventually(|| gate.counters().held == 1).await;
    drop(client);
    gate.disarm();
    eventually(|| gate.counters().commits == 1).await;
}
