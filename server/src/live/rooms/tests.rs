use super::*;
use crate::firehose::FirehoseConfig;
use uuid::Uuid;

/// Rooms whose store does not answer.
async fn rooms() -> Rooms {
    let clock = Arc::new(Clock::new());
    let config = FirehoseConfig {
        table: "none".to_owned(),
        endpoint: Some("http://127.0.0.1:1".to_owned()),
    };
    let firehose = Firehose::connect(config, Arc::clone(&clock)).await;
    Rooms::new(firehose, Hub::new(Arc::clone(&clock)), clock)
}

fn lot() -> LotId {
    LotId::from_uuid(Uuid::from_u128(1))
}

fn told(rooms: &Rooms) {
    for watcher in rooms.watchers().values_mut() {
        watcher.announced = true;
    }
}

#[tokio::test]
async fn who_left_is_kept_until_that_is_written() {
    let rooms = rooms().await;
    let id = ConnectionId(1);
    rooms.enter(lot(), id, None);
    told(&rooms);
    rooms.leave(lot(), id);
    let cut_off = rooms.due_writes();
    assert!(matches!(cut_off[..], [(_, _, Write::Leave)]));
    drop(cut_off);
    assert_eq!(rooms.watchers().len(), 1, "the farewell still knows");
    rooms.left(lot(), id);
    assert!(rooms.watchers().is_empty());
}

#[tokio::test]
async fn who_comes_back_while_leaving_is_written_is_written_anew() {
    let rooms = rooms().await;
    let id = ConnectionId(1);
    rooms.enter(lot(), id, None);
    told(&rooms);
    rooms.leave(lot(), id);
    let _in_flight = rooms.due_writes();
    rooms.enter(lot(), id, None);
    rooms.left(lot(), id);
    let again = rooms.due_writes();
    assert!(matches!(
        again[..],
        [(_, _, Write::Touch { joined: true, .. })]
    ));
}

#[tokio::test]
async fn a_round_begins_where_the_one_before_ended() {
    let rooms = rooms().await;
    let most = u64::try_from(MAX_ROUND_WRITES).expect("small");
    for id in 0..most + 10 {
        rooms.enter(lot(), ConnectionId(id), None);
    }
    assert_eq!(rooms.due_writes().len(), MAX_ROUND_WRITES);
    // The store is so slow that all of them are due again.
    for watcher in rooms.watchers().values_mut() {
        watcher.write_at = Instant::now();
    }
    let second = rooms.due_writes();
    assert_eq!(second.len(), MAX_ROUND_WRITES);
    assert_eq!(second[0].1, ConnectionId(most), "nobody is left out");
    assert_eq!(second[10].1, ConnectionId(0));
}

#[tokio::test]
async fn what_the_others_were_shown_is_pushed_again_for_who_comes() {
    let rooms = rooms().await;
    let shown = Crowd {
        dirty: false,
        totals_dirty: false,
        read_at: Instant::now(),
        shown: Some(CrowdView::default()),
    };
    rooms.crowds().insert(lot(), shown);
    rooms.enter(lot(), ConnectionId(1), None);
    let crowd = rooms.crowds().get(&lot()).cloned().expect("known");
    assert!(crowd.dirty && crowd.shown.is_none());
}

#[tokio::test]
async fn a_bid_alone_reads_no_watchers_again() {
    let rooms = rooms().await;
    let shown = CrowdView {
        watchers: 3,
        ..CrowdView::default()
    };
    let crowd = |dirty| Crowd {
        dirty,
        totals_dirty: true,
        read_at: Instant::now(),
        shown: Some(shown.clone()),
    };
    rooms.crowds().insert(lot(), crowd(false));
    assert_eq!(rooms.due_reads(), [(lot(), Some(shown.clone()))]);
    assert_eq!(rooms.due_reads(), [], "not within the pause");
    rooms.crowds().insert(lot(), crowd(true));
    assert_eq!(rooms.due_reads(), [(lot(), None)], "somebody came too");
}
