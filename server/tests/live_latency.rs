//! How long an event takes from the commit's hand-over to another tab's socket: by the node's own
//! hub, and by the event log and its stream, as on any other node. Prints both.
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

#[expect(clippy::print_stdout, reason = "the figures are to be seen")]
fn p99(name: &str, times: &Histogram<u64>) -> Duration {
    let at = |quantile| Duration::from_micros(times.value_at_quantile(quantile));
    println!("{name}: p50 {:?}, p99 {:?}", at(0.5), at(0.99));
    at(0.99)
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
    let hub = p99("by the hub", &measured[0]);
    let stream = p99("by the stream", &measured[1]);
    assert!(hub < HUB_P99, "{hub:?}");
    assert!(stream < STREAM_P99, "{stream:?}");
}
