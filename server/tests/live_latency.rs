//! How long an event takes from the commit's hand-over to another tab's socket: by the node's own
//! hub, and by the event log and its stream, as on any other node. Prints both, and whether the targets are met.
#![expect(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test may end it, and names only what it expects"
)]

#[path = "support/house.rs"]
mod house;
#[path = "support/store.rs"]
mod store;

use hdrhistogram::Histogram;
use house::{House, Socket, lot_event};
use shared::live::{Channel, ServerMessage};
use std::time::{Duration, Instant};

/// Events by each way.
const EVENTS: i64 = 100;

/// The house's targets for the 99th percentile.
const HUB_P99: Duration = Duration::from_millis(100);
const STREAM_P99: Duration = Duration::from_millis(400);

/// How many times a target a loaded machine may take.
const SLACK: u32 = 10;

/// What the histograms hold at most: ten seconds.
const LONGEST_MICROS: u64 = 10_000_000;

async fn next_offset(socket: &mut Socket) -> i64 {
    loop {
        match socket.next().await {
            ServerMessage::Push {
                position: Some(position),
                ..
            } => return position.offset,
            ServerMessage::Snapshot { .. } => {}
            other => panic!("no event: {other:?}"),
        }
    }
}

/// Prints the figures beside the target. A machine that does other work meanwhile may miss it; ten
/// times as much is a fault on any.
#[expect(clippy::print_stdout, reason = "the figures are to be seen")]
fn check(name: &str, times: &Histogram<u64>, target: Duration) {
    let at = |quantile| Duration::from_micros(times.value_at_quantile(quantile));
    let (median, p99) = (at(0.5), at(0.99));
    let verdict = if p99 < target { "met" } else { "missed" };
    println!("{name}: p50 {median:?}, p99 {p99:?}; target {target:?} {verdict}");
    assert!(p99 < target * SLACK, "{name}: {p99:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_on_the_other_screen_in_time() {
    let house = House::open().await;
    let mut socket = house.socket(None).await;
    socket.subscribe(Channel::Lot(house.lot), None).await;
    let mut offset = 4;
    let mut measured = Vec::new();
    for by_hub in [true, false] {
        let mut times = Histogram::<u64>::new_with_max(LONGEST_MICROS, 3).expect("bounds");
        for _ in 0..EVENTS {
            offset += 1;
            let event = lot_event(house.lot, offset);
            let begun = Instant::now();
            if by_hub {
                house.hub.deliver(&event);
            } else {
                house.firehose.append_event(&event).await.expect("appends");
            }
            assert_eq!(next_offset(&mut socket).await, offset);
            let micros = u64::try_from(begun.elapsed().as_micros());
            times.saturating_record(micros.expect("short"));
        }
        measured.push(times);
    }
    check("by the hub", &measured[0], HUB_P99);
    check("by the stream", &measured[1], STREAM_P99);
}
