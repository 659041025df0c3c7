//! The hub with a fake history: what listeners get, in which order, and how often.

mod joining;

use super::*;
use crate::events::EventBody;
use crate::ids;
use app::ports::Failure;
use async_trait::async_trait;
use proptest::prelude::*;
use shared::Timestamp;
use shared::auction::{Dutch, Status};
use shared::live::{ServerFrame, close_code};
use shared::view::{Activity, ActivityKind, LotView, Notice, Outcome, Person, Terms, WalletView};
use shared::{Currency, Money, PrincipalId};
use std::collections::VecDeque;
use uuid::Uuid;

/// Remembers offsets up to `knows` and counts how often it is asked.
struct Fake {
    knows: i64,
    asked: AtomicU64,
}

impl Fake {
    fn new(knows: i64) -> Arc<Self> {
        let asked = AtomicU64::new(0);
        Arc::new(Self { knows, asked })
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl History for Fake {
    async fn lot_events(
        &self,
        _lot: LotId,
        epoch: i64,
        after: i64,
        through: i64,
    ) -> Result<Vec<(Position, LotEvent)>, Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let known = after + 1..=through.min(self.knows);
        Ok(known
            .map(|offset| (Position { epoch, offset }, passed()))
            .collect())
    }
}

fn passed() -> LotEvent {
    LotEvent::Closed {
        status: Status::Passed,
        outcome: Outcome::Passed {
            reserve_not_met: false,
        },
        closes_at: Timestamp(0),
    }
}

fn lot() -> LotId {
    LotId::from_uuid(Uuid::from_u128(1))
}

fn money(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).expect("in range")
}

fn card(offset: i64) -> Box<LotView> {
    Box::new(LotView {
        id: lot(),
        title: "Lamp".to_owned(),
        art: "lamp".to_owned(),
        seller: Person {
            id: PrincipalId::from_uuid(Uuid::from_u128(9)),
            handle: "sora".to_owned(),
            name: "Sora".to_owned(),
            simulated: false,
        },
        currency: Currency::Usd,
        opens_at: Timestamp(0),
        closes_at: Timestamp(9),
        status: Status::Open,
        terms: Terms::Dutch {
            schedule: Dutch {
                start: money(9),
                floor: money(1),
                step_minor: 1,
                tick_ms: 1_000,
            },
        },
        outcome: None,
        epoch: 1,
        offset,
    })
}

fn event(offset: i64) -> HouseEvent {
    let activity = Activity {
        id: offset.to_string(),
        lot: lot(),
        title: "Lamp".to_owned(),
        what: ActivityKind::Passed,
        who: None,
        region: None,
        amount: None,
        at: Timestamp(5),
    };
    HouseEvent {
        id: ids::event(),
        at: Timestamp(5),
        body: EventBody::Lot {
            lot: lot(),
            position: at(offset),
            event: passed(),
            card: card(offset),
            activity,
            listed: true,
        },
    }
}

fn at(offset: i64) -> Position {
    Position { epoch: 1, offset }
}

fn hub(fakes: &[&Arc<Fake>]) -> Arc<Hub> {
    let hub = Hub::new(Arc::new(Clock::new()));
    let history = |fake: &&Arc<Fake>| -> Arc<dyn History> { Arc::<Fake>::clone(fake) };
    hub.set_histories(fakes.iter().map(history).collect());
    hub
}

const LOT: fn() -> Audience = || Audience::Channel(Channel::Lot(lot()));

/// A connection without a socket.
fn connect(hub: &Hub) -> Arc<Lanes> {
    hub.welcome(Lanes::new(hub.next_id(), Arc::clone(&hub.counters)))
}

/// A listener on the lot whose snapshot was at `offset`.
fn listener(hub: &Hub, offset: i64) -> Arc<Lanes> {
    let lanes = connect(hub);
    hub.register(LOT(), &lanes);
    let joined = hub.join(LOT(), lanes.id, Some(at(offset)), vec!["snapshot".into()]);
    assert_eq!(joined, Joined::Live);
    assert_eq!(taken(&lanes), ["snapshot"]);
    lanes
}

/// What the lanes hold: offsets of events, or the kind of anything else.
fn taken(lanes: &Lanes) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let batch = lanes.take(32);
        if batch.frames.is_empty() {
            return all;
        }
        all.extend(
            batch
                .frames
                .iter()
                .map(|frame| describe(&frame.to_string())),
        );
    }
}

fn describe(frame: &str) -> String {
    let Ok(frame) = serde_json::from_str::<ServerFrame>(frame) else {
        return frame.to_owned();
    };
    match frame.message {
        ServerMessage::Push {
            position: Some(at), ..
        } => at.offset.to_string(),
        ServerMessage::Push { push, .. } => match *push {
            Push::Stock { units_left, .. } => format!("left {units_left}"),
            Push::Card(card) => format!("card {}", card.offset),
            Push::Activity(activity) => format!("activity {}", activity.id),
            Push::Wallet(wallet) => format!("wallet {}", wallet.version),
            Push::Notice(_) => "notice".to_owned(),
            Push::Chat(message) => message.text,
            Push::Removed { .. } => "removed".to_owned(),
            Push::Event(_) | Push::Tick { .. } | Push::Crowd(_) | Push::Slow { .. } => {
                "other".to_owned()
            }
        },
        ServerMessage::Resync { .. } => "resync".to_owned(),
        ServerMessage::Hello { .. }
        | ServerMessage::Done { .. }
        | ServerMessage::Subscribed { .. }
        | ServerMessage::Error { .. }
        | ServerMessage::History { .. }
        | ServerMessage::Pong { .. }
        | ServerMessage::Ping
        | ServerMessage::Snapshot { .. } => "other".to_owned(),
    }
}

fn numbers(range: std::ops::RangeInclusive<i64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Waits until nobody looks after a gap of the lot any more.
async fn after_the_wait(hub: &Hub) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let filling = || hub.shard(LOT()).get(&LOT()).is_some_and(|s| s.filling);
    while filling() {
        assert!(Instant::now() < deadline, "the fill never ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A frame is encoded once however many hear it: all of them hold the same bytes, and so does the
/// ring that whoever comes back is served from.
#[tokio::test]
async fn everybody_holds_the_same_bytes_of_a_frame() {
    let hub = hub(&[]);
    let listeners: Vec<_> = (0..3).map(|_| listener(&hub, 4)).collect();
    hub.deliver(&event(5));
    let late = connect(&hub);
    hub.register(LOT(), &late);
    assert!(hub.resume(lot(), late.id, at(4), "subscribed".into()));
    let hold = |lanes: &Arc<Lanes>| {
        let batch = lanes.take(32);
        batch.frames.back().cloned().expect("the event")
    };
    let frames: Vec<_> = listeners.iter().chain([&late]).map(hold).collect();
    let places: Vec<_> = frames.iter().map(|frame| frame.bytes().as_ptr()).collect();
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
}

#[tokio::test]
async fn events_go_out_once_in_order_and_repeats_are_dropped() {
    let hub = hub(&[]);
    let lanes = listener(&hub, 4);
    let events: Vec<_> = (3..=8).map(event).collect();
    for index in [0, 1, 2, 4, 4, 3, 2, 5] {
        hub.deliver(&events[index]);
    }
    assert_eq!(taken(&lanes), numbers(5..=8));
    assert!(hub.counters.repeats.get() >= 4);
}

#[tokio::test]
async fn a_gap_waits_and_is_then_filled_from_the_first_history_that_can() {
    let (empty, full) = (Fake::new(0), Fake::new(99));
    let hub = hub(&[&empty, &full]);
    let lanes = listener(&hub, 4);
    let begun = Instant::now();
    hub.deliver(&event(7));
    hub.deliver(&event(8));
    assert!(taken(&lanes).is_empty());
    after_the_wait(&hub).await;
    assert!(begun.elapsed() >= GAP_WAIT, "it might have come by itself");
    assert_eq!(taken(&lanes), numbers(5..=8));
    assert_eq!((empty.asked(), full.asked()), (1, 1), "one read each");
    assert_eq!(hub.counters.gaps_filled.get(), 1);
    hub.deliver(&event(6));
    assert!(taken(&lanes).is_empty(), "it was filled");
}

#[tokio::test]
async fn what_comes_by_itself_is_not_read() {
    let full = Fake::new(99);
    let hub = hub(&[&full]);
    let lanes = listener(&hub, 4);
    hub.deliver(&event(6));
    hub.deliver(&event(5));
    after_the_wait(&hub).await;
    assert_eq!(full.asked(), 0);
    assert_eq!(taken(&lanes), numbers(5..=6));
}

#[tokio::test]
async fn a_gap_that_nobody_can_fill_ends_in_a_resync() {
    let hub = hub(&[&Fake::new(0)]);
    let lanes = listener(&hub, 4);
    hub.deliver(&event(6));
    after_the_wait(&hub).await;
    assert_eq!(taken(&lanes), ["resync"]);
    assert_eq!(hub.counters.gaps_lost.get(), 1);
    // It comes back with a snapshot and goes on.
    hub.register(LOT(), &lanes);
    let joined = hub.join(LOT(), lanes.id, Some(at(6)), vec![]);
    assert_eq!(joined, Joined::Live);
    hub.deliver(&event(7));
    assert_eq!(taken(&lanes), ["7"]);
}

#[tokio::test]
async fn a_gap_that_nobody_hears_is_not_read() {
    let full = Fake::new(99);
    let hub = hub(&[&full]);
    for offset in [4, 7] {
        hub.deliver(&event(offset));
    }
    after_the_wait(&hub).await;
    assert_eq!(full.asked(), 0);
    let lanes = connect(&hub);
    hub.register(LOT(), &lanes);
    assert!(!hub.resume(lot(), lanes.id, at(4), "resumed".into()));
    assert!(hub.resume(lot(), lanes.id, at(7), "resumed".into()));
}

#[tokio::test]
async fn wallets_of_two_currencies_do_not_replace_each_other() {
    let hub = hub(&[]);
    let ada = Audience::Person(PrincipalId::from_uuid(Uuid::from_u128(1)));
    let lanes = connect(&hub);
    hub.register(ada, &lanes);
    hub.join(ada, lanes.id, None, vec![]);
    for (currency, version) in [(Currency::Usd, 7), (Currency::Jpy, 2), (Currency::Usd, 6)] {
        let money = |minor| Money::new(minor, currency).expect("in range");
        let wallet = WalletView {
            available: money(1),
            held: money(0),
            spent: money(0),
            funded: money(1),
            version,
        };
        hub.push(ada, Push::Wallet(wallet));
    }
    assert_eq!(taken(&lanes), ["wallet 7", "wallet 2"]);
}

#[tokio::test]
async fn a_slow_reader_is_closed_and_the_others_go_on() {
    let hub = hub(&[]);
    let (slow, quick) = (listener(&hub, 0), listener(&hub, 0));
    for offset in 1..=300 {
        hub.deliver(&event(offset));
        assert_eq!(taken(&quick), [offset.to_string()]);
    }
    let batch = slow.take(32);
    assert!(batch.frames.is_empty());
    assert_eq!(batch.close.map(|c| c.code), Some(close_code::SLOW));
    assert_eq!(hub.counters.slow_closed.get(), 1);
}

#[tokio::test]
async fn pushes_without_a_place_come_once_by_event() {
    let hub = hub(&[]);
    let lanes = connect(&hub);
    let ada = PrincipalId::from_uuid(Uuid::from_u128(1));
    let audiences = [Audience::Channel(Channel::Floor), Audience::Person(ada)];
    for audience in audiences {
        hub.register(audience, &lanes);
        hub.join(audience, lanes.id, None, vec![]);
    }
    let wallet = |version| HouseEvent {
        id: ids::event(),
        at: Timestamp(1),
        body: EventBody::Wallet {
            owner: ada,
            wallet: WalletView {
                available: money(1),
                held: money(0),
                spent: money(0),
                funded: money(1),
                version,
            },
            notice: Some(Notice::Freed {
                lot: lot(),
                title: "Lamp".to_owned(),
                freed: money(1),
            }),
        },
    };
    let (older, newer, closed) = (wallet(1), wallet(2), event(3));
    for event in [&newer, &older, &newer, &closed, &closed, &older] {
        hub.deliver(event);
    }
    let expected = ["notice", "notice", "card 3", "wallet 2", "activity 3"];
    assert_eq!(taken(&lanes), expected);
}

#[tokio::test]
async fn a_lost_stream_sends_everybody_to_a_snapshot() {
    let hub = hub(&[]);
    let lanes = listener(&hub, 4);
    let floor = Audience::Channel(Channel::Floor);
    hub.register(floor, &lanes);
    hub.join(floor, lanes.id, None, vec![]);
    hub.resync_all();
    assert_eq!(taken(&lanes), ["resync", "resync"]);
    hub.deliver(&event(9));
    assert_eq!(
        taken(&lanes),
        ["card 9", "activity 9"],
        "the lot only after a snapshot"
    );
    assert!(
        !hub.resume(lot(), lanes.id, at(4), "resumed".into()),
        "history is lost"
    );
}

#[tokio::test]
async fn a_drain_closes_everybody_little_by_little() {
    let hub = hub(&[]);
    let all: Vec<_> = (0..97).map(|_| connect(&hub)).collect();
    let begun = Instant::now();
    let over = Duration::from_millis(200);
    hub.drain_over(over).await;
    assert!(begun.elapsed() >= over / 2, "spread");
    for lanes in all {
        let close = lanes.take(32).close.map(|close| close.code);
        assert_eq!(close, Some(close_code::RESTART));
    }
}

#[tokio::test]
async fn the_wheel_pings_everybody_and_closes_who_stays_silent() {
    let hub = hub(&[]);
    let (alive, silent) = (connect(&hub), connect(&hub));
    let wheel = Arc::clone(&hub);
    let turn = Duration::from_millis(1_500);
    let task = tokio::spawn(async move {
        let clock = Arc::clone(&wheel.clock);
        wheel.turn_wheel(&clock, turn).await;
    });
    let deadline = Instant::now() + turn * 4;
    while !silent.is_closing() {
        assert!(Instant::now() < deadline, "silence was not noticed");
        tokio::time::sleep(turn / 300).await;
        if !alive.take(32).frames.is_empty() {
            alive.heard();
        }
    }
    task.abort();
    assert!(!alive.is_closing());
    assert_eq!(
        silent.take(32).close.map(|c| c.code),
        Some(close_code::SILENT)
    );
    assert_eq!(hub.counters.silent_closed.get(), 1);
}

#[tokio::test]
async fn idle_channels_are_forgotten() {
    let hub = hub(&[]);
    let lanes = listener(&hub, 4);
    hub.sweep();
    assert!(hub.is_heard(LOT()));
    hub.unregister(LOT(), lanes.id);
    assert!(!hub.is_heard(LOT()));
    let ghost = Audience::Channel(Channel::Lot(LotId::from_uuid(Uuid::from_u128(404))));
    hub.register(ghost, &lanes);
    hub.unregister(ghost, lanes.id);
    assert!(
        hub.shard(ghost).get(&ghost).is_none(),
        "nothing to remember"
    );
}

/// A step of the random test: an event comes by one of the two ways, or somebody subscribes, or
/// the snapshot of the first who still waits for one arrives.
#[derive(Clone, Debug)]
enum Step {
    Event(usize),
    Subscribe,
    Snapshot,
}

fn steps() -> impl Strategy<Value = (usize, Vec<Step>)> {
    (1_usize..25).prop_flat_map(|count| {
        // Both ways deliver every event; the shuffle reorders them as badly as it likes.
        let twice: Vec<Step> = (0..count).chain(0..count).map(Step::Event).collect();
        let joins = [vec![Step::Subscribe; 3], vec![Step::Snapshot; 3]].concat();
        let all = [twice, joins].concat();
        (Just(count), Just(all).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whoever_listens_gets_each_offset_once_in_order((count, steps) in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let end = i64::try_from(count).expect("short");
            let hub = hub(&[&Fake::new(99)]);
            let events: Vec<_> = (1..=end).map(event).collect();
            let mut committed = 0;
            let mut waiting = VecDeque::new();
            let mut listeners = vec![(listener(&hub, 0), 0)];
            let join = |lanes: Arc<Lanes>, from| {
                let joined = hub.join(LOT(), lanes.id, Some(at(from)), vec![]);
                assert_eq!(joined, Joined::Live);
                (lanes, from)
            };
            for step in steps {
                match step {
                    Step::Event(index) => {
                        // Whatever is delivered was committed, with all before it.
                        let offset = i64::try_from(index).expect("short") + 1;
                        committed = committed.max(offset);
                        hub.deliver(&events[index]);
                    }
                    Step::Subscribe => {
                        let lanes = connect(&hub);
                        hub.register(LOT(), &lanes);
                        waiting.push_back((lanes, committed));
                    }
                    Step::Snapshot => {
                        let first = waiting.pop_front();
                        listeners.extend(first.map(|(lanes, from)| join(lanes, from)));
                    }
                }
            }
            listeners.extend(waiting.into_iter().map(|(lanes, from)| join(lanes, from)));
            for (lanes, from) in listeners {
                assert_eq!(taken(&lanes), numbers(from + 1..=end), "from {from}");
            }
        });
    }
}
