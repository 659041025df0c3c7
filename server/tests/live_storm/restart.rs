//! F27: a planned restart sends everybody away, and they come back spread over time.

use crate::ALONE;
use crate::house::{House, Socket, person, wallet_of};
use crate::storm::{
    BEGIN, bid_event, busiest, full, joined, line, lot_led_by, next_room, next_wallet, offset_of,
    random, say,
};
use futures::future::join_all;
use rand::Rng;
use shared::live::{After, Backoff, Channel, Position, after_close, close_code};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Clients of the node that restarts.
const GUESTS: usize = 300;

/// Clients of the plan.
const PLANNED: u32 = 5_000;

/// Everybody is back by then.
const ALL_BACK: Duration = Duration::from_secs(30);

/// A shutdown closes sockets over two seconds in twenty steps (`DRAIN_TIME`, `DRAIN_STEPS`).
const DRAIN: Duration = Duration::from_secs(2);
const DRAIN_STEPS: u32 = 20;

/// By how much pauses are shortened: the storm is as many times as dense as in earnest.
const SHORTENED: u32 = 4;

/// Of a hundred clients, so many may wish to come back in any one second. Over the eighteen
/// seconds that pauses differ by, 300 clients are 17 a second on average, and more than 45 come
/// less than once in a hundred million runs.
const MOST_A_SECOND_PERCENT: usize = 15;

/// Of the plan's 5,000, so many: 278 a second on average, and the 400 are over seven standard
/// deviations above it.
const MOST_A_SECOND_OF_PLANNED: usize = 400;

/// Of a hundred clients, so many may be closed within a tenth of a second. By the server's steps
/// there are 5 to 10; a machine that stalls makes clients notice together.
const MOST_CLOSED_PERCENT: usize = 50;

/// Bids before the restart, and from one to the next while everybody comes back.
const BIDS_BEFORE: i64 = 10;
const STORM_PACE: Duration = Duration::from_millis(200);

/// From one read of wallets to the next, as the live plane has it.
const WALLETS_PAUSE: Duration = Duration::from_millis(200);

/// Two nodes of a house, of which one restarts.
struct Storm {
    house: House,
    beside: House,
    /// The last bid that was told.
    last: AtomicI64,
}

impl Storm {
    /// A bid that both nodes hear of by the stream. The ledger tells of it last: see
    /// [`Auction::bid`].
    async fn bid(&self) {
        let offset = self.last.load(Ordering::Relaxed) + 1;
        let line = line(offset, "Bo".to_owned());
        let event = bid_event(self.house.lot, offset, &line);
        let appended = self.house.firehose.append_event(&event).await;
        appended.expect("appends");
        let view = lot_led_by(self.house.lot, offset, &line);
        self.house.ledger.put(view);
        self.last.store(offset, Ordering::Relaxed);
    }
}

/// How a client came through the restart.
struct Return {
    /// When its socket was closed, and for how long it should wait then.
    closed_at: Instant,
    pause: Duration,
    back_at: Instant,
    /// From the first byte to the other node until it had everything.
    took: Duration,
    recovered: bool,
    /// Up to where it has heard everything since, and its reading.
    on: (Arc<AtomicI64>, JoinHandle<()>),
}

/// Follows the lot until the node restarts, and comes back to the other one when the shared
/// schedule says so.
async fn ride_out(storm: Arc<Storm>, handle: String, mut socket: Socket, random: u32) -> Return {
    let mut offset = BEGIN;
    let code = loop {
        match socket.next_or_close().await {
            Ok(message) => {
                assert_eq!(offset_of(&message), offset + 1, "{handle}");
                offset += 1;
            }
            Err(code) => break code,
        }
    };
    let closed_at = Instant::now();
    drop(socket);
    assert_eq!(code, Some(close_code::RESTART), "{handle}");
    let after = after_close(close_code::RESTART);
    let pause = Backoff::default().pause_ms(after, random);
    let pause = Duration::from_millis(pause.into());
    sleep(if full() { pause } else { pause / SHORTENED }).await;
    let begun = Instant::now();
    let mut socket = storm.beside.socket(Some(handle.as_str())).await;
    // As every page does, whose wallet is its reader's own.
    socket.subscribe(Channel::Me, None).await;
    let wallet = next_wallet(&mut socket).await;
    assert_eq!(wallet, Some(wallet_of(person(&handle).id)), "{handle}");
    let since = Position { epoch: 1, offset };
    let channel = Channel::Lot(storm.beside.lot);
    let recovered = socket.subscribe(channel, Some(since)).await;
    let goal = storm.last.load(Ordering::Relaxed);
    if !recovered {
        offset = next_room(&mut socket).await.lot.offset;
    }
    while offset < goal {
        assert_eq!(offset_of(&socket.next().await), offset + 1, "{handle}");
        offset += 1;
    }
    Return {
        closed_at,
        pause,
        back_at: Instant::now(),
        took: begun.elapsed(),
        recovered,
        on: stay(socket, offset),
    }
}

/// Reads on: who does not is closed as silent within the storm. Answers up to where it has heard
/// everything, once and in order.
fn stay(mut socket: Socket, heard: i64) -> (Arc<AtomicI64>, JoinHandle<()>) {
    let told = Arc::new(AtomicI64::new(heard));
    let tell = Arc::clone(&told);
    let reading = tokio::spawn(async move {
        for offset in heard + 1.. {
            assert_eq!(offset_of(&socket.next().await), offset);
            tell.store(offset, Ordering::Relaxed);
        }
    });
    (told, reading)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_restart_sends_everybody_to_the_other_node_spread_over_time() {
    let _alone = ALONE.lock().await;
    let mut random = random();
    let house = House::open().await;
    let beside = House::beside(&house).await;
    let storm = Arc::new(Storm {
        house,
        beside,
        last: AtomicI64::new(BEGIN),
    });
    let (mut neighbour, _) = joined(&storm.beside, None).await;
    let handles: Vec<String> = (0..GUESTS).map(|number| format!("w{number}")).collect();
    // Each is a person of its own: guests of one address share a few places only.
    let joining = handles
        .iter()
        .map(|handle| joined(&storm.house, Some(handle.as_str())));
    let sockets = join_all(joining).await;
    let mut guests = Vec::new();
    for (handle, (socket, _)) in handles.iter().zip(sockets) {
        let (storm, handle) = (Arc::clone(&storm), handle.clone());
        guests.push(tokio::spawn(ride_out(
            storm,
            handle,
            socket,
            random.random(),
        )));
    }
    for _ in 0..BIDS_BEFORE {
        storm.bid().await;
    }
    // The second node has heard of them, so it can tell who comes.
    let mut heard = BEGIN;
    while heard < BEGIN + BIDS_BEFORE {
        heard = offset_of(&neighbour.next().await);
    }
    let neighbour = stay(neighbour, heard);
    let snapshots = storm.beside.hub.counters.snapshots_read.get();
    let reads = *storm.house.ledger.reads.lock().expect("healthy");
    let wallet_reads = || storm.house.ledger.wallet_reads.load(Ordering::Relaxed);
    assert_eq!(wallet_reads(), 0);
    let begun = Instant::now();
    let restarting = Arc::clone(&storm);
    let shutdown = tokio::spawn(async move { restarting.house.live.shutdown().await });
    while !guests.iter().all(JoinHandle::is_finished) {
        assert!(begun.elapsed() < ALL_BACK * 2, "not everybody came back");
        storm.bid().await;
        sleep(STORM_PACE).await;
    }
    let returns = join_all(guests).await;
    let returns: Vec<Return> = returns
        .into_iter()
        .map(|r| r.expect("comes back"))
        .collect();
    shutdown.await.expect("ends");
    // Whoever was on the second node all the time, or has come, heard everything, once and in order.
    let last = storm.last.load(Ordering::Relaxed);
    for (told, reading) in returns.iter().map(|r| &r.on).chain([&neighbour]) {
        while told.load(Ordering::Relaxed) < last {
            assert!(!reading.is_finished(), "a reader on the second node ended");
            sleep(STORM_PACE).await;
        }
    }
    let counters = &storm.beside.hub.counters;
    let wallet_reads = wallet_reads();
    let snapshots = counters.snapshots_read.get() - snapshots - u64::from(wallet_reads);
    let reads = *storm.house.ledger.reads.lock().expect("healthy") - reads;
    say(&format!(
        "{GUESTS} clients came back with {snapshots} snapshots and {reads} reads of the ledger, and \
         with {wallet_reads} reads of wallets"
    ));
    let few = u64::try_from(GUESTS / 10).expect("few");
    assert!(snapshots <= few && u64::from(reads) <= few);
    let turns = begun.elapsed().as_millis() / WALLETS_PAUSE.as_millis() + 1;
    assert!(u128::from(wallet_reads) <= turns, "{turns} at most");
    let there = u64::try_from(GUESTS + 1).expect("few");
    assert_eq!(counters.sockets.get(), there, "all of them are there");
    assert_eq!(storm.house.hub.counters.sockets.get(), 0);
    check_returns(begun, &returns);
}

fn check_returns(begun: Instant, returns: &[Return]) {
    let closed: Vec<Duration> = returns.iter().map(|r| r.closed_at - begun).collect();
    let pauses: Vec<Duration> = returns.iter().map(|r| r.pause).collect();
    // At the pace in earnest, with what it took in this denser storm.
    let wished = |r: &Return| r.closed_at - begun + r.pause;
    let wishes: Vec<Duration> = returns.iter().map(wished).collect();
    let back = returns.iter().map(|r| wished(r) + r.took).max();
    let measured = returns.iter().map(|r| r.back_at - begun).max();
    let took = returns.iter().map(|r| r.took).max();
    let recovered = returns.iter().filter(|r| r.recovered).count();
    let closed_at_once = busiest(&closed, Duration::from_millis(100));
    let second = Duration::from_secs(1);
    let (paused, wished) = (busiest(&pauses, second), busiest(&wishes, second));
    say(&format!(
        "closed between {:?} and {:?}, at most {closed_at_once} in 100 ms; pauses of {:?} to {:?}, \
         at most {paused} in a second, {wished} with the closes' spread; back after {measured:?}, \
         in earnest {back:?}; one took at most {took:?}; {recovered} without a snapshot",
        closed.iter().min(),
        closed.iter().max(),
        pauses.iter().min(),
        pauses.iter().max(),
    ));
    let percent = |count: usize| count * 100 / GUESTS;
    assert!(percent(closed_at_once) <= MOST_CLOSED_PERCENT);
    assert!(percent(paused) <= MOST_A_SECOND_PERCENT, "{paused}");
    assert!(percent(wished) <= MOST_A_SECOND_PERCENT, "{wished}");
    assert!(back.is_some_and(|back| back <= ALL_BACK), "{back:?}");
    assert!(measured.is_some_and(|at| at <= ALL_BACK), "{measured:?}");
}

/// The plan's 5,000 by the schedule alone. That each second has at most 100 of them, as the plan's
/// row says of logins, is not so and cannot be: 5,000 within 30 seconds are 167 a second at least.
#[test]
fn five_thousand_clients_come_back_spread_over_the_schedule() {
    let mut random = random();
    let arrival = |number: u32| {
        let step = number * DRAIN_STEPS / PLANNED;
        let after = after_close(close_code::RESTART);
        let pause = Backoff::default().pause_ms(after, random.random());
        DRAIN * step / DRAIN_STEPS + Duration::from_millis(pause.into())
    };
    let arrivals: Vec<Duration> = (0..PLANNED).map(arrival).collect();
    let (first, last) = (arrivals.iter().min(), arrivals.iter().max());
    let most = busiest(&arrivals, Duration::from_secs(1));
    say(&format!(
        "{PLANNED} clients come back between {first:?} and {last:?}, at most {most} in a second"
    ));
    assert!(most <= MOST_A_SECOND_OF_PLANNED, "{most} in a second");
    assert!(last.is_some_and(|last| *last < ALL_BACK));
}

/// Whatever closed the sockets, and however often it was tried already, clients do not come
/// together: a tenth of the longest pause never has more than 15 of 100.
#[test]
fn every_pause_is_spread() {
    let mut random = random();
    for after in [After::Reconnect, After::Restart] {
        let mut clients = vec![Backoff::default(); 2_000];
        for failed in 0..8 {
            let pause = |client: &mut Backoff| client.pause_ms(after, random.random());
            let pauses = clients.iter_mut().map(pause);
            let pauses: Vec<Duration> = pauses.map(|ms| Duration::from_millis(ms.into())).collect();
            let longest = pauses.iter().max().copied().unwrap_or_default();
            let most = busiest(&pauses, longest / 10);
            let text = format!("{after:?}, try {failed}: {most} within {:?}", longest / 10);
            assert!(
                most * 100 <= clients.len() * MOST_A_SECOND_PERCENT,
                "{text}"
            );
        }
    }
}
