//! F25: a tenth of the readers stops reading.

use crate::ALONE;
use crate::house::{House, Socket};
use crate::storm::{BEGIN, bid_event, joined, line, offset_of, say, until};
use futures::future::join_all;
use server::live::LiveConfig;
use shared::live::close_code;
use shared::view::RoomView;
use socket2::SockRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::MaybeTlsStream;

/// Sockets that read on, and those that stop.
const READERS: usize = 90;
const STUCK: usize = 10;

/// Frames before anybody stops, to compare with, and frames after the last stuck one is closed.
const CALM_FRAMES: usize = 40;
const LATE_FRAMES: usize = 20;

/// Every frame is longer than this, and of that size thirty fill a lane.
const NAME_BYTES: usize = 8 * 1024;

/// Bytes that may wait for a socket: `MAX_MUST_BYTES` of `server/src/live/queues.rs`.
const LANE_BYTES: usize = 256 * 1024;

/// Frames of a stuck socket that its loop has taken out of the lane: it takes what is there, and
/// here the next one is published once everybody has the one before.
const IN_HAND: usize = 1;

/// By this many frames a stuck socket must be closed: a lane's 256 KiB, the 128 KiB that the
/// kernel keeps on the server's side and 64 KiB on the client's are 55, and the rest is slack. A
/// queue without a bound is never full and meets this.
const MOST_FRAMES: usize = 160;

/// The kernel's room for a reader that will be stuck; it takes twice of it. By default it is
/// larger, and differs from one machine to another.
const RECEIVE_BUFFER: usize = 32 * 1024;

/// From the first socket that is closed as slow to the last: all have stopped at the same frame.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// No frame may be later. A stuck socket that held up the others would do so until it is closed.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// Added to the fifth that the others' 99th percentile may grow by: two cores run the server, a
/// hundred clients and other tests, and a thread may wait that long for its turn.
const SCHEDULING: Duration = Duration::from_millis(250);

/// The process may grow by this much, in KiB: 50 MiB.
const MAX_GROWTH_KIB: u64 = 50 * 1024;

/// From one frame to the next.
const FRAME_PACE: Duration = Duration::from_millis(20);

/// A socket that is to be closed has two seconds to take what is left (`CLOSE_GRACE`).
const AFTER_GRACE: Duration = Duration::from_millis(2_500);

/// What one reader received.
struct Heard {
    receipts: Vec<(i64, Instant)>,
    code: Option<u16>,
}

async fn listen(mut socket: Socket, received: Arc<AtomicU64>) -> Heard {
    let mut receipts = Vec::new();
    loop {
        match socket.next_or_close().await {
            Ok(message) => {
                receipts.push((offset_of(&message), Instant::now()));
                received.fetch_add(1, Ordering::Relaxed);
            }
            Err(code) => return Heard { receipts, code },
        }
    }
}

/// A room full of readers, and when each frame was published.
struct Crowd {
    house: House,
    readers: Vec<JoinHandle<Heard>>,
    received: Arc<AtomicU64>,
    published: Vec<Instant>,
}

impl Crowd {
    async fn in_room_of(house: House) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let sockets = join_all((0..READERS).map(|_| joined(&house, None))).await;
        let reader = |(socket, _room): (Socket, RoomView)| {
            tokio::spawn(listen(socket, Arc::clone(&received)))
        };
        Self {
            readers: sockets.into_iter().map(reader).collect(),
            house,
            received,
            published: Vec::new(),
        }
    }

    /// Publishes a frame, and waits until every reader has it.
    async fn publish(&mut self) {
        let offset = BEGIN + 1 + i64::try_from(self.published.len()).expect("few");
        let line = line(offset, "x".repeat(NAME_BYTES));
        let event = bid_event(self.house.lot, offset, &line);
        self.published.push(Instant::now());
        self.house.hub.deliver(&event);
        let all = u64::try_from(self.readers.len() * self.published.len()).expect("few");
        let received = Arc::clone(&self.received);
        let everybody_has_it = || received.load(Ordering::Relaxed) >= all;
        until("every reader has the frame", MAX_DELAY, everybody_has_it).await;
        sleep(FRAME_PACE).await;
    }

    fn slow_closed(&self) -> usize {
        let closed = self.house.hub.counters.slow_closed.get();
        usize::try_from(closed).expect("few")
    }

    /// Frames that wait for sockets which do not take them; what was thrown away counts too.
    fn waiting(&self) -> usize {
        let counters = &self.house.hub.counters;
        let (queued, sent) = (counters.frames_queued.get(), counters.frames_sent.get());
        usize::try_from(queued.saturating_sub(sent)).expect("few")
    }

    async fn end(self) -> (Vec<Heard>, Vec<Instant>) {
        self.house.live.shutdown().await;
        let heard = join_all(self.readers).await;
        let heard = heard.into_iter().map(|heard| heard.expect("reads"));
        (heard.collect(), self.published)
    }
}

/// The kernel keeps little for it.
fn shrink(socket: &Socket) {
    let MaybeTlsStream::Plain(stream) = socket.inner.get_ref() else {
        panic!("no plain connection");
    };
    let shrunk = SockRef::from(stream).set_recv_buffer_size(RECEIVE_BUFFER);
    shrunk.expect("a small buffer");
}

/// The memory of this process, in KiB, where the system tells it.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn p99(mut delays: Vec<Duration>) -> Duration {
    delays.sort_unstable();
    delays[delays.len() * 99 / 100]
}

/// How it went while some were stuck.
struct Jam {
    /// Frames until all of them were closed.
    frames: usize,
    /// The most that waited for one, on average, in frames.
    waited_each: usize,
    closing_took: Duration,
    grown_kib: u64,
}

/// Publishes until the server has closed everybody who is stuck.
async fn jam(crowd: &mut Crowd) -> Jam {
    // A loop of the server counts a frame right after it was written, so each may be one behind.
    let loops = std::thread::available_parallelism().map_or(1, usize::from);
    let most = STUCK * (LANE_BYTES / NAME_BYTES + IN_HAND) + loops;
    let memory = resident_kib();
    let (mut frames, mut waited, mut grown_kib) = (0_usize, 0_usize, 0_u64);
    let mut first_closed = None;
    while crowd.slow_closed() < STUCK {
        assert!(
            frames < MOST_FRAMES,
            "{} of {STUCK} were closed in {frames} frames, {} frames wait",
            crowd.slow_closed(),
            crowd.waiting()
        );
        crowd.publish().await;
        frames += 1;
        if crowd.slow_closed() == 0 {
            waited = waited.max(crowd.waiting());
            assert!(
                waited <= most,
                "{waited} frames of {NAME_BYTES} bytes wait for {STUCK} sockets"
            );
        } else {
            first_closed.get_or_insert_with(Instant::now);
        }
        if let (Some(before), Some(now)) = (memory, resident_kib()) {
            grown_kib = grown_kib.max(now.saturating_sub(before));
        }
    }
    Jam {
        frames,
        waited_each: waited / STUCK,
        closing_took: first_closed.map_or(Duration::ZERO, |first| first.elapsed()),
        grown_kib,
    }
}

/// Reads to the end of a socket that was stuck: what it still gets goes on without a hole, and the
/// close says why, if it comes to read it before the connection is dropped.
async fn wake(mut socket: Socket, most: usize) -> Option<u16> {
    let mut offset = BEGIN + i64::try_from(CALM_FRAMES).expect("few");
    let last = offset + i64::try_from(most).expect("few");
    loop {
        match socket.next_or_close().await {
            Ok(message) => {
                assert_eq!(offset_of(&message), offset + 1, "nothing is skipped");
                offset += 1;
            }
            Err(code) => {
                assert!(offset < last, "it cannot have had what did not fit");
                let expected = matches!(code, None | Some(close_code::SLOW));
                assert!(expected, "closed with {code:?}");
                return code;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_stuck_are_closed_and_hold_up_nobody() {
    let _alone = ALONE.lock().await;
    let house = House::with(LiveConfig {
        // A stuck client answers no pings either; here only slowness may close it.
        ping_every: Duration::from_secs(600),
        ..LiveConfig::default()
    })
    .await;
    // They come first, so that a frame gets to them before it gets to the readers, and everybody
    // having it says that it was tried with them.
    let mut stuck = join_all((0..STUCK).map(|_| joined(&house, None))).await;
    stuck.iter().for_each(|(socket, _)| shrink(socket));
    let mut crowd = Crowd::in_room_of(house).await;
    for _ in 0..CALM_FRAMES {
        crowd.publish().await;
        for (socket, _) in &mut stuck {
            offset_of(&socket.next().await);
        }
    }
    // From here on they read nothing.
    let jam = jam(&mut crowd).await;
    let counters = Arc::clone(&crowd.house.hub.counters);
    let only_readers = || counters.sockets.get() == u64::try_from(READERS).expect("few");
    until("the stuck ones are gone", CLOSED_WITHIN, only_readers).await;
    let closed_at = Instant::now();
    // Half of them wake up at once, the other half when the server has dropped them.
    let sleepers = stuck.split_off(STUCK / 2);
    let woken = stuck
        .into_iter()
        .map(|(socket, _)| wake(socket, jam.frames));
    let told = join_all(woken).await;
    for _ in 0..LATE_FRAMES {
        crowd.publish().await;
    }
    tokio::time::sleep_until(closed_at + AFTER_GRACE).await;
    let slept = sleepers
        .into_iter()
        .map(|(socket, _)| wake(socket, jam.frames));
    let dropped = join_all(slept).await;
    let (heard, published) = crowd.end().await;
    check_readers(&heard, &published);
    say(&format!(
        "{STUCK} stuck readers: closed by frame {}, within {:?}; about {} KiB waited for each; \
         the process grew by {} KiB; told {told:?}, dropped {dropped:?}",
        jam.frames,
        jam.closing_took,
        jam.waited_each * NAME_BYTES / 1024,
        jam.grown_kib
    ));
    assert!(jam.closing_took <= CLOSED_WITHIN);
    assert!(jam.grown_kib <= MAX_GROWTH_KIB, "{} KiB", jam.grown_kib);
    assert!(
        told.contains(&Some(close_code::SLOW)),
        "who wakes up is told to resume"
    );
}

/// Every reader has every frame, in order and in time, as if nobody had been stuck.
fn check_readers(heard: &[Heard], published: &[Instant]) {
    let end = BEGIN + i64::try_from(published.len()).expect("few");
    let all: Vec<i64> = (BEGIN + 1..=end).collect();
    let (mut calm, mut jammed) = (Vec::new(), Vec::new());
    assert_eq!(heard.len(), READERS);
    for reader in heard {
        let offsets: Vec<i64> = reader.receipts.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, all);
        assert_eq!(reader.code, Some(close_code::RESTART));
        let receipts = reader.receipts.iter().zip(published).enumerate();
        for (number, ((_, received), published)) in receipts {
            let delay = received.duration_since(*published);
            assert!(delay <= MAX_DELAY, "frame {number} took {delay:?}");
            if number < CALM_FRAMES {
                calm.push(delay);
            } else {
                jammed.push(delay);
            }
        }
    }
    let (before, meanwhile) = (p99(calm), p99(jammed));
    say(&format!(
        "{READERS} readers: p99 {before:?} before, {meanwhile:?} while {STUCK} were stuck"
    ));
    let most = before * 6 / 5 + SCHEDULING;
    assert!(meanwhile <= most, "{meanwhile:?} instead of {before:?}");
}
