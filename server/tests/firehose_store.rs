//! The firehose against an embedded `DynamoDB`, spoken to through the AWS SDK over loopback.
//! Each test starts a store of its own; waits have deadlines.

#[path = "support/store.rs"]
mod store;

use server::clock::Clock;
use server::events::{EventBody, HouseEvent};
use server::firehose::{Firehose, Posted, Stream, StreamConfig, StreamItem};
use server::ids;
use shared::auction::Status;
use shared::live::{LotEvent, Position};
use shared::view::{
    Activity, ActivityKind, ChatMessage, LadderLine, LotView, Notice, Outcome, Person, Reaction,
    Reserve, Terms,
};
use shared::{Currency, LotId, Money, Region, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TABLE: &str = "lotzero-test";

fn person(n: u128, handle: &str) -> Person {
    Person {
        id: shared::PrincipalId::from_uuid(Uuid::from_u128(n)),
        handle: handle.to_owned(),
        name: handle.to_uppercase(),
        simulated: false,
    }
}

fn money(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).expect("in range")
}

fn card(lot: LotId, offset: i64) -> Box<LotView> {
    Box::new(LotView {
        id: lot,
        title: "Lamp".to_owned(),
        art: "lamp".to_owned(),
        seller: person(9, "sora"),
        currency: Currency::Usd,
        opens_at: Timestamp(0),
        closes_at: Timestamp(9),
        status: Status::Passed,
        terms: Terms::Drop {
            price: money(5),
            units: 3,
            units_left: 3,
            limit: None,
        },
        outcome: None,
        epoch: 1,
        offset,
    })
}

fn activity(lot: LotId) -> Activity {
    Activity {
        id: "a".to_owned(),
        lot,
        title: "Lamp".to_owned(),
        what: ActivityKind::Passed,
        who: None,
        region: None,
        amount: None,
        at: Timestamp(5),
    }
}

fn closed(clock: &Clock, lot: LotId, offset: i64) -> HouseEvent {
    HouseEvent {
        id: ids::event(),
        at: clock.now(),
        body: EventBody::Lot {
            lot,
            position: Position { epoch: 1, offset },
            event: LotEvent::Closed {
                status: Status::Passed,
                outcome: Outcome::Passed {
                    reserve_not_met: false,
                },
                closes_at: Timestamp(5),
            },
            card: card(lot, offset),
            activity: activity(lot),
            listed: true,
        },
    }
}

fn notice(clock: &Clock, lot: LotId) -> HouseEvent {
    HouseEvent {
        id: ids::event(),
        at: clock.now(),
        body: EventBody::Notice {
            owner: person(1, "ada").id,
            notice: Notice::Freed {
                lot,
                title: "Lamp".to_owned(),
                freed: money(3),
            },
        },
    }
}

fn message(clock: &Clock, who: &Person, client_id: &str, text: &str) -> ChatMessage {
    ChatMessage {
        id: ids::message(),
        client_id: client_id.to_owned(),
        who: who.clone(),
        region: Region::Tokyo,
        text: text.to_owned(),
        at: clock.now(),
    }
}

async fn firehose(store: &Store) -> (Firehose, Arc<Clock>) {
    let clock = Arc::new(Clock::new());
    let firehose = store.firehose(TABLE, &clock).await;
    firehose.ensure_table().await.expect("table");
    (firehose, clock)
}

async fn next(items: &mut mpsc::Receiver<StreamItem>) -> StreamItem {
    tokio::time::timeout(Duration::from_secs(5), items.recv())
        .await
        .expect("an item within 5 s")
        .expect("the reader lives")
}

/// A node that takes part in the stream.
struct Following {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    fn of(stream: Stream) -> Self {
        let cancel = CancellationToken::new();
        let task = tokio::spawn(stream.run(cancel.clone()));
        Self { cancel, task }
    }

    async fn end(self) {
        self.cancel.cancel();
        self.task.await.expect("ends");
    }
}

async fn follow(firehose: &Firehose) -> (mpsc::Receiver<StreamItem>, Following) {
    let (sender, items) = mpsc::channel(16);
    let stream = firehose.stream(StreamConfig::default(), sender);
    let following = Following::of(stream.clone());
    assert!(stream.open(Duration::from_secs(5)).await, "it opens");
    (items, following)
}

#[tokio::test]
async fn several_nodes_may_make_the_table_at_once() {
    let store = Store::start();
    let (one, _) = firehose(&store).await;
    let other = store
        .firehose("lotzero-race", &Arc::new(Clock::new()))
        .await;
    let again = other.clone();
    let (a, b, c) = tokio::join!(
        other.ensure_table(),
        again.ensure_table(),
        one.ensure_table()
    );
    a.expect("first");
    b.expect("second");
    c.expect("again");
}

#[tokio::test]
async fn the_event_log_keeps_each_event_once_and_in_order() {
    let store = Store::start();
    let (firehose, clock) = firehose(&store).await;
    let (lot, other) = (ids::lot(), ids::lot());
    let mut events: Vec<_> = (1..=12).map(|n| closed(&clock, lot, n)).collect();
    events.push(closed(&clock, other, 1));
    events.push(notice(&clock, lot));
    for _repeat in 0..2 {
        let appended = firehose.append_events(&events).await;
        assert!(appended.failed.is_empty(), "{appended:?}");
        assert_eq!(appended.published.len(), events.len());
    }
    let read = firehose.lot_events(lot, 1, 2, 11).await.expect("reads");
    let offsets: Vec<i64> = read.iter().map(|(position, _)| position.offset).collect();
    assert_eq!(offsets, (3..=11).collect::<Vec<_>>());
    for (epoch, after, through) in [(2, 0, 99), (1, 12, 99), (1, 5, 5), (1, 7, 3)] {
        let none = firehose.lot_events(lot, epoch, after, through).await;
        assert_eq!(none.expect("reads"), []);
    }
}

#[tokio::test]
async fn a_client_id_is_said_once_by_its_sender() {
    let store = Store::start();
    let (firehose, clock) = firehose(&store).await;
    let lot = ids::lot();
    let (ada, bo) = (person(1, "ada"), person(2, "bo"));
    let first = message(&clock, &ada, "c1", "hello");
    let posted = firehose.post_message(lot, first.clone(), Some(0)).await;
    assert_eq!(posted.expect("posts"), Posted::New(first.clone()));
    let repeat = message(&clock, &ada, "c1", "hello?");
    let posted = firehose.post_message(lot, repeat, Some(300)).await;
    let before = Posted::Before(Some(first.clone()));
    assert_eq!(posted.expect("posts"), before, "the first one counts");
    let second = message(&clock, &bo, "c1", "hi");
    let posted = firehose.post_message(lot, second.clone(), Some(0)).await;
    assert_eq!(posted.expect("posts"), Posted::New(second.clone()));
    let recent = firehose.messages(lot, None, 10).await.expect("reads");
    assert_eq!(recent.messages, [first, second.clone()], "oldest first");
    assert_eq!(recent.before, None);
    let last = firehose.messages(lot, None, 1).await.expect("reads");
    assert_eq!(last.before, Some(second.id), "the first one is older");
    assert_eq!(last.messages, [second]);
}

#[tokio::test]
async fn watchers_count_by_their_time_and_people_once() {
    let store = Store::start();
    let (firehose, _clock) = firehose(&store).await;
    let lot = ids::lot();
    let (ada, bo) = (person(1, "ada"), person(2, "bo"));
    let now = Timestamp(1_000_000);
    let touches = [
        ("w1", Some(&bo), now),
        ("w2", Some(&ada), now.plus_ms(-29_999)),
        ("w3", Some(&ada), now),
        ("w4", None, now),
        ("w5", None, now.plus_ms(-30_000)),
        ("w6", None, now),
    ];
    for (watcher, who, at) in touches {
        let touch = firehose.touch_presence(lot, watcher, who, true, at).await;
        touch.expect("touches");
    }
    firehose.leave(lot, "w6").await.expect("leaves");
    let crowd = firehose.crowd(lot, now).await.expect("reads");
    assert_eq!(crowd.watchers, 3, "ada, bo and one guest");
    assert_eq!(crowd.people, [ada, bo]);
    let later = firehose.crowd(lot, now.plus_ms(30_000)).await;
    assert_eq!(later.expect("reads").watchers, 0, "items are still there");
}

/// The bid of one of many people.
fn bid(clock: &Clock, lot: LotId, offset: i64) -> HouseEvent {
    let who = person(ids::event().uuid().as_u128(), "bidder");
    let mut told = closed(clock, lot, offset);
    if let EventBody::Lot { event, .. } = &mut told.body {
        *event = LotEvent::Bid {
            line: LadderLine {
                id: offset.to_string(),
                who,
                region: Region::Tokyo,
                amount: money(offset),
                units: 1,
                at: Timestamp(5),
            },
            closes_at: Timestamp(9),
            extended: false,
            reserve: Reserve::None,
            next_minimum: money(offset + 1),
        };
    }
    told
}

/// What many people do at once lands in many partitions: one takes a thousand writes a second.
#[tokio::test]
async fn hot_keys_are_written_to_many_partitions() {
    const PEOPLE: i64 = 64;
    let store = Store::start();
    let (firehose, clock) = firehose(&store).await;
    let lot = ids::lot();
    let bids: Vec<_> = (1..=PEOPLE)
        .map(|offset| bid(&clock, lot, offset))
        .collect();
    let appended = firehose.append_events(&bids).await;
    assert!(appended.failed.is_empty(), "{appended:?}");
    for watcher in 0..PEOPLE {
        let name = watcher.to_string();
        let touch = firehose.touch_presence(lot, &name, None, true, clock.now());
        touch.await.expect("touches");
    }
    // A node writes a room's reactions together, so it takes many nodes.
    let nodes = (0..PEOPLE).map(|_| store.firehose(TABLE, &clock));
    let nodes = futures::future::join_all(nodes).await;
    let hearts = nodes.iter().map(|node| node.react(lot, Reaction::Heart));
    futures::future::try_join_all(hearts).await.expect("counts");
    let all = store.partitions(TABLE);
    let shards = |of: &str| {
        let sharded = all.iter().filter(|pk| pk.starts_with(of));
        let shard = |pk: &String| {
            pk.rsplit('#')
                .next()
                .and_then(|last| last.parse::<u32>().ok())
        };
        sharded.filter_map(shard).collect::<BTreeSet<_>>().len()
    };
    // Of eight; fewer than six of them, by chance, is rarer than once in a million runs.
    for kind in [
        format!("PRESENCE#{lot}#"),
        format!("REACTIONS#{lot}#"),
        format!("BOARD#{lot}#"),
        "FEED#".to_owned(),
    ] {
        assert!(shards(&kind) >= 6, "{kind}: {all:?}");
    }
}

#[tokio::test]
async fn reactions_at_the_same_time_all_count() {
    let store = Store::start();
    let (firehose, _clock) = firehose(&store).await;
    let lot = ids::lot();
    let hearts = (0..40).map(|_| firehose.react(lot, Reaction::Heart));
    futures::future::try_join_all(hearts).await.expect("counts");
    firehose.react(lot, Reaction::Fire).await.expect("counts");
    let totals = firehose.reactions(lot).await.expect("reads");
    let expected = [(Reaction::Heart, 40), (Reaction::Fire, 1)];
    assert_eq!(totals, expected.into_iter().collect());
    assert!(
        firehose
            .reactions(ids::lot())
            .await
            .expect("reads")
            .is_empty()
    );
}

#[tokio::test]
async fn the_stream_tells_what_is_written_after_it_was_opened() {
    let store = Store::start();
    let (firehose, clock) = firehose(&store).await;
    let lot = ids::lot();
    let ada = person(1, "ada");
    firehose
        .append_event(&closed(&clock, lot, 1))
        .await
        .expect("appends");
    let (mut items, following) = follow(&firehose).await;
    let event = closed(&clock, lot, 2);
    let said = message(&clock, &ada, "c1", "hello");
    firehose.append_event(&event).await.expect("appends");
    firehose.append_event(&event).await.expect("repeats");
    firehose
        .post_message(lot, said.clone(), Some(0))
        .await
        .expect("posts");
    let now = clock.now();
    firehose
        .touch_presence(lot, "w1", Some(&ada), true, now)
        .await
        .expect("touches");
    assert_eq!(next(&mut items).await, StreamItem::Event(Box::new(event)));
    assert_eq!(
        next(&mut items).await,
        StreamItem::Chat(lot, Box::new(said))
    );
    assert_eq!(next(&mut items).await, StreamItem::CrowdChanged(lot));
    // Staying is no news, leaving is.
    firehose
        .touch_presence(lot, "w1", Some(&ada), false, now)
        .await
        .expect("touches");
    let other = ids::lot();
    firehose.react(other, Reaction::Clap).await.expect("reacts");
    assert_eq!(next(&mut items).await, StreamItem::TotalsChanged(other));
    firehose.leave(lot, "w1").await.expect("leaves");
    assert_eq!(next(&mut items).await, StreamItem::CrowdChanged(lot));
    following.end().await;
}

#[tokio::test]
async fn a_reader_that_could_not_open_says_that_something_is_lost() {
    let store = Store::start();
    let (firehose, clock) = firehose(&store).await;
    let (sender, mut items) = mpsc::channel(16);
    let stream = firehose.stream(StreamConfig::default(), sender);
    assert!(!stream.open(Duration::ZERO).await, "it does not run yet");
    let following = Following::of(stream);
    assert_eq!(next(&mut items).await, StreamItem::Lost);
    let event = notice(&clock, ids::lot());
    firehose.append_event(&event).await.expect("appends");
    assert_eq!(next(&mut items).await, StreamItem::Event(Box::new(event)));
    following.end().await;
}

#[tokio::test]
async fn the_stream_goes_on_after_the_store_was_away() {
    let mut store = Store::start();
    let (firehose, clock) = firehose(&store).await;
    let (mut items, following) = follow(&firehose).await;
    let first = notice(&clock, ids::lot());
    firehose.append_event(&first).await.expect("appends");
    assert_eq!(next(&mut items).await, StreamItem::Event(Box::new(first)));
    store.stop();
    let second = notice(&clock, ids::lot());
    let away = firehose.append_event(&second).await;
    assert!(away.is_err(), "the store is away");
    store.listen();
    firehose.append_event(&second).await.expect("appends");
    assert_eq!(next(&mut items).await, StreamItem::Event(Box::new(second)));
    following.end().await;
}
