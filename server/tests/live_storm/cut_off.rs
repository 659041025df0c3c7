//! F26: a third of the clients is cut off for a while, and one for so long that the ring is over.

use crate::ALONE;
use crate::storm::{
    Auction, Away, BEGIN, Back, CAUGHT_UP, Client, Cut, RING, Report, Told, full, joined, random,
    say, until,
};
use futures::future::join_all;
use rand::Rng;
use rand::rngs::StdRng;
use shared::live::close_code;
use shared::view::RoomView;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Clients that keep a room up by the shared reducer, and how many of them are cut for a while;
/// one more is away for very long.
const CLIENTS: usize = 40;
const CUT: usize = 12;

/// Events that the one who is away for very long misses at least.
const LONG_GAP: i64 = RING + 50;

/// Everybody is cut within this time, and is away for no longer than that.
const CUT_WITHIN: Duration = Duration::from_secs(1);
const LONGEST_AWAY: Duration = Duration::from_secs(3);
const LONGEST_AWAY_FULL: Duration = Duration::from_secs(30);

/// From one bid to the next, and once only the one with the long gap is still away.
const BID_PACE: Duration = Duration::from_millis(20);
const QUICK_PACE: Duration = Duration::from_millis(2);

/// Bids after everybody is back.
const LAST_BIDS: usize = 20;

fn cuts(random: &mut StdRng) -> Vec<Option<Cut>> {
    let longest = if full() {
        LONGEST_AWAY_FULL
    } else {
        LONGEST_AWAY
    };
    let cut = |number| {
        let after = random.random_range(Duration::ZERO..=CUT_WITHIN);
        let time = random.random_range(Duration::ZERO..=longest);
        let away = if number < CUT {
            Away::For(time)
        } else {
            Away::ForEvents(LONG_GAP)
        };
        (number <= CUT).then_some(Cut { after, away })
    };
    (0..CLIENTS).map(cut).collect()
}

/// Bids until all who were cut are back and have caught up, and some more.
async fn bid_until_all_are_back(auction: &Auction, cut: usize) {
    let longest = if full() { 120 } else { 40 };
    let deadline = Instant::now() + Duration::from_secs(longest);
    let mut left = LAST_BIDS;
    while left > 0 {
        let back = auction.back.load(Ordering::Relaxed);
        assert!(Instant::now() < deadline, "{back} of {cut} are back");
        auction.bid();
        auction.keep_together().await;
        let pace = if back + 1 == cut {
            QUICK_PACE
        } else {
            BID_PACE
        };
        sleep(pace).await;
        left -= usize::from(back == cut);
    }
    let last = || auction.behind() == 0;
    until("everybody has the last bid", CAUGHT_UP, last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_cut_off_has_the_state_of_the_house_again() {
    let _alone = ALONE.lock().await;
    let cuts = cuts(&mut random());
    let auction = Arc::new(Auction::open(CLIENTS).await);
    let sockets = join_all((0..CLIENTS).map(|_| joined(&auction.house, None))).await;
    let counters = Arc::clone(&auction.house.hub.counters);
    let snapshots = counters.snapshots_read.get();
    let mut clients = Vec::new();
    for (number, ((socket, room), cut)) in sockets.into_iter().zip(&cuts).enumerate() {
        let client = Client::new(&auction, number, room);
        clients.push(tokio::spawn(client.run(socket, *cut)));
    }
    bid_until_all_are_back(&auction, cuts.iter().flatten().count()).await;
    let (_late, fresh) = joined(&auction.house, None).await;
    let snapshots = counters.snapshots_read.get() - snapshots;
    auction.house.live.shutdown().await;
    let reports = join_all(clients).await;
    let reports: Vec<Report> = reports.into_iter().map(|r| r.expect("lasts")).collect();
    check_reports(&auction.told(), &reports, &fresh);
    assert_eq!(counters.gaps_lost.get(), 0);
    assert_eq!(counters.slow_closed.get(), 0);
    // One for the late one, and one for each who missed too much: the rest cost the ledger nothing.
    let lost = |report: &&Report| report.back.is_some_and(|back| !back.recovered);
    let lost = u64::try_from(reports.iter().filter(lost).count()).expect("few");
    assert!(snapshots <= lost + 1, "{snapshots} snapshots for {lost}");
}

fn check_reports(told: &Told, reports: &[Report], fresh: &RoomView) {
    let written = |room: &RoomView| serde_json::to_string(&room.lot).expect("writes");
    let house = written(fresh);
    assert!(told.agrees(fresh, fresh.lot.offset));
    assert_eq!(fresh.lot.offset, told.offset(), "of the last bid");
    for (number, report) in reports.iter().enumerate() {
        assert_eq!(report.code, Some(close_code::RESTART), "{number}");
        assert_eq!(written(&report.room), house, "{number}");
        assert!(told.agrees(&report.room, report.base), "{number}");
    }
    // Nobody but who started from another snapshot has another ladder than who was never away.
    let never_away = reports.last().map(|report| &report.room);
    let same = reports.iter().filter(|report| report.base == BEGIN);
    let same: Vec<&RoomView> = same.map(|report| &report.room).collect();
    assert!(same.len() >= CLIENTS - CUT - 1);
    assert!(same.iter().all(|room| Some(*room) == never_away));
    let backs: Vec<Back> = reports.iter().filter_map(|report| report.back).collect();
    let took = backs.iter().map(|back| back.took).max();
    let missed: Vec<i64> = backs.iter().map(|back| back.missed).collect();
    say(&format!(
        "{} clients missed {missed:?} events and caught up within {took:?}; {} events in all",
        backs.len(),
        told.offset() - BEGIN
    ));
    assert_eq!(backs.len(), CUT + 1);
    let long = reports.get(CUT).and_then(|report| report.back);
    let long = long.expect("it was away");
    assert!(long.missed >= LONG_GAP && !long.recovered, "{long:?}");
}
