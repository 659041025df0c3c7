//! Bids on the lot of a [`House`], and clients that keep its room up by them as the app does. After
//! every step a client's room is compared with what the house has told.
//!
//! The lints that a helper of a test may break are named in the test file.

use super::house::{House, PATIENCE, Socket, english_lot, lot_event, money, person};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server::events::{EventBody, HouseEvent};
use shared::live::{Applied, Channel, LotEvent, Position, Push, ServerMessage, Snapshot, apply};
use shared::view::{
    LadderLine, LotView, MAX_LADDER_LINES, Person, Reserve, RoomView, Terms, WalletView,
};
use shared::{LotId, Region, Timestamp};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The offset of the house's lot before anything happens in a test.
pub const BEGIN: i64 = 4;

/// How often it is looked whether something has come true.
const LOOK: Duration = Duration::from_millis(1);

/// Events that a node remembers for those who come back: `MAX_RING_EVENTS` of
/// `server/src/live/log.rs`.
pub const RING: i64 = 512;

/// From the wish to come back to the state of the house.
pub const CAUGHT_UP: Duration = Duration::from_secs(2);

/// Bids wait for a client that is further behind: less than half of what its lane takes, so that
/// on a busy machine nobody is closed for slowness, which is another test's matter.
const MAX_BEHIND: i64 = 100;

/// The offset that a client which is away has seen, so that nobody waits for it.
const AWAY: i64 = i64::MAX;

#[expect(
    clippy::print_stderr,
    reason = "the figures are for whoever reads the run"
)]
pub fn say(text: &str) {
    eprintln!("{text}");
}

pub fn full() -> bool {
    std::env::var("LOTZERO_FULL_FAULTS").is_ok_and(|value| value == "1")
}

/// What is random in a test, by a seed that repeats it.
pub fn random() -> StdRng {
    let given = std::env::var("LOTZERO_FAULTS_SEED").ok();
    let given = given.and_then(|text| text.parse::<u64>().ok());
    let seed = given.unwrap_or_else(|| rand::rng().random());
    say(&format!("seed {seed}"));
    StdRng::seed_from_u64(seed)
}

pub async fn until(what: &str, longest: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + longest;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {longest:?}: {what}");
        sleep(LOOK).await;
    }
}

/// The most of some moments that lie within one window of this length.
pub fn busiest(moments: &[Duration], window: Duration) -> usize {
    let mut sorted = moments.to_vec();
    sorted.sort_unstable();
    let within = |(place, first): (usize, &Duration)| {
        let rest = sorted.iter().skip(place);
        rest.take_while(|at| **at < *first + window).count()
    };
    sorted.iter().enumerate().map(within).max().unwrap_or(0)
}

/// A bid that leads from this offset on. Amounts rise with the offset, as in a real auction.
pub fn line(offset: i64, name: String) -> LadderLine {
    LadderLine {
        id: format!("bid_{offset:032x}"),
        who: Person {
            name,
            ..person("bo")
        },
        region: Region::Seoul,
        amount: money(offset),
        units: 1,
        at: Timestamp(offset),
    }
}

/// The house's lot once a bid leads.
pub fn lot_led_by(lot: LotId, offset: i64, line: &LadderLine) -> LotView {
    let mut view = english_lot(lot, offset);
    if let Terms::English {
        leader,
        next_minimum,
        ..
    } = &mut view.terms
    {
        *leader = Some(line.clone());
        *next_minimum = Some(money(offset + 1));
    }
    view
}

/// The bid as its commit tells of it.
pub fn bid_event(lot: LotId, offset: i64, line: &LadderLine) -> HouseEvent {
    let mut told = lot_event(lot, offset);
    let EventBody::Lot {
        event,
        card,
        listed,
        ..
    } = &mut told.body
    else {
        panic!("no event of a lot");
    };
    *event = LotEvent::Bid {
        line: line.clone(),
        closes_at: Timestamp(i64::MAX),
        extended: false,
        reserve: Reserve::None,
        next_minimum: money(offset + 1),
    };
    **card = lot_led_by(lot, offset, line);
    *listed = false;
    told
}

fn place(room: &RoomView) -> Position {
    Position {
        epoch: room.lot.epoch,
        offset: room.lot.offset,
    }
}

pub async fn next_room(socket: &mut Socket) -> RoomView {
    match socket.next().await {
        ServerMessage::Snapshot { snapshot, .. } => match *snapshot {
            Snapshot::Room(room) => room,
            other => panic!("no room: {other:?}"),
        },
        other => panic!("no snapshot: {other:?}"),
    }
}

pub async fn next_wallet(socket: &mut Socket) -> Option<WalletView> {
    match socket.next().await {
        ServerMessage::Snapshot { snapshot, .. } => match *snapshot {
            Snapshot::Me { wallet } => wallet,
            other => panic!("no wallet: {other:?}"),
        },
        other => panic!("no snapshot: {other:?}"),
    }
}

/// A socket that is in the lot's room, and the room as it found it.
pub async fn joined(house: &House, handle: Option<&str>) -> (Socket, RoomView) {
    let mut socket = house.socket(handle).await;
    let recovered = socket.subscribe(Channel::Lot(house.lot), None).await;
    assert!(!recovered, "there was nothing to go on from");
    let room = next_room(&mut socket).await;
    (socket, room)
}

/// The offset of an event; on the lot's channel nothing else is pushed here.
pub fn offset_of(message: &ServerMessage) -> i64 {
    let ServerMessage::Push {
        position: Some(position),
        ..
    } = message
    else {
        panic!("no event: {message:?}");
    };
    position.offset
}

/// What the house has told: the truth that every client's room is compared with. It is made without
/// the reducer.
pub struct Told {
    /// The lot at each offset, from [`BEGIN`] on.
    lots: Vec<LotView>,
    /// The bid of each offset after that.
    lines: Vec<LadderLine>,
}

impl Told {
    pub fn offset(&self) -> i64 {
        self.lots.last().map_or(BEGIN, |lot| lot.offset)
    }

    /// Whether a room is as the house's was at its offset. Rooms of the fake ledger come without a
    /// ladder, so a client's has the bids since its last snapshot, which was at `base`.
    pub fn agrees(&self, room: &RoomView, base: i64) -> bool {
        let place = |offset: i64| usize::try_from(offset - BEGIN).ok();
        let (Some(from), Some(to)) = (place(base), place(room.lot.offset)) else {
            return false;
        };
        let lines = self.lines.get(from..to).unwrap_or_default();
        let newest_first = lines.iter().rev().take(MAX_LADDER_LINES);
        self.lots.get(to) == Some(&room.lot) && room.ladder.iter().eq(newest_first)
    }
}

/// An auction that goes on whoever is away.
pub struct Auction {
    pub house: House,
    told: Mutex<Told>,
    /// The last offset that each client has seen.
    seen: Vec<AtomicI64>,
    /// Clients that came back and caught up.
    pub back: AtomicUsize,
}

impl Auction {
    /// An auction for so many clients.
    pub async fn open(clients: usize) -> Self {
        let house = House::open().await;
        let told = Told {
            lots: vec![english_lot(house.lot, BEGIN)],
            lines: Vec::new(),
        };
        Self {
            house,
            told: Mutex::new(told),
            seen: (0..clients).map(|_| AtomicI64::new(BEGIN)).collect(),
            back: AtomicUsize::new(0),
        }
    }

    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("healthy")
    }

    fn offset(&self) -> i64 {
        self.told().offset()
    }

    /// A bid, known to clients and to the truth at the same time. The ledger tells of it last: a
    /// snapshot may be older than the hub, which knows the rest, but one that is newer would have
    /// the hub look for an event that only this thread can bring.
    pub fn bid(&self) {
        let mut told = self.told();
        let offset = told.offset() + 1;
        let line = line(offset, "Bo".to_owned());
        let view = lot_led_by(self.house.lot, offset, &line);
        let event = bid_event(self.house.lot, offset, &line);
        told.lots.push(view.clone());
        told.lines.push(line);
        self.house.hub.deliver(&event);
        self.house.ledger.put(view);
    }

    /// By how many events the slowest is behind of those who are there.
    pub fn behind(&self) -> i64 {
        let seen = self.seen.iter().map(|seen| seen.load(Ordering::Relaxed));
        self.offset() - seen.min().unwrap_or(AWAY)
    }

    pub async fn keep_together(&self) {
        let together = || self.behind() <= MAX_BEHIND;
        until("everybody who is there hears", PATIENCE, together).await;
    }
}

/// For how long a client is away.
#[derive(Clone, Copy, Debug)]
pub enum Away {
    For(Duration),
    ForEvents(i64),
}

/// When a client is cut off, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub after: Duration,
    pub away: Away,
}

/// How a client came back.
#[derive(Clone, Copy, Debug)]
pub struct Back {
    pub missed: i64,
    /// Whether by the missed events, and not by a snapshot.
    pub recovered: bool,
    pub took: Duration,
}

/// What is left of a client when the house has closed.
pub struct Report {
    pub room: RoomView,
    /// The offset of its last snapshot.
    pub base: i64,
    pub code: Option<u16>,
    pub back: Option<Back>,
}

/// A client that does as the app does.
pub struct Client {
    auction: Arc<Auction>,
    number: usize,
    room: RoomView,
    /// The offset of its last snapshot.
    base: i64,
    price_minor: i64,
}

impl Client {
    /// A client with the room as it found it.
    pub fn new(auction: &Arc<Auction>, number: usize, room: RoomView) -> Self {
        Self {
            auction: Arc::clone(auction),
            number,
            base: room.lot.offset,
            price_minor: 0,
            room,
        }
    }

    /// Keeps the room up, with one cut, until the house closes.
    pub async fn run(mut self, mut socket: Socket, cut: Option<Cut>) -> Report {
        let mut back = None;
        if let Some(cut) = cut {
            let closed = timeout(cut.after, self.follow(&mut socket)).await;
            assert!(closed.is_err(), "{} was closed: {closed:?}", self.number);
            self.has_seen(AWAY);
            drop(socket);
            self.stay_away(cut.away).await;
            let (again, how) = self.come_back().await;
            socket = again;
            back = Some(how);
            self.auction.back.fetch_add(1, Ordering::Relaxed);
        }
        let code = self.follow(&mut socket).await;
        Report {
            room: self.room,
            base: self.base,
            code,
            back,
        }
    }

    fn has_seen(&self, offset: i64) {
        self.auction.seen[self.number].store(offset, Ordering::Relaxed);
    }

    /// Takes in what comes until the socket is closed; answers why.
    async fn follow(&mut self, socket: &mut Socket) -> Option<u16> {
        loop {
            match socket.next_or_close().await {
                Ok(message) => self.hear(message),
                Err(code) => return code,
            }
        }
    }

    async fn stay_away(&self, away: Away) {
        match away {
            Away::For(time) => sleep(time).await,
            Away::ForEvents(events) => {
                let until = self.room.lot.offset + events;
                while self.auction.offset() < until {
                    sleep(LOOK).await;
                }
            }
        }
    }

    async fn come_back(&mut self) -> (Socket, Back) {
        let auction = Arc::clone(&self.auction);
        let since = place(&self.room);
        let begun = Instant::now();
        let mut socket = auction.house.socket(None).await;
        let at_least = auction.offset() - since.offset;
        let channel = Channel::Lot(auction.house.lot);
        let recovered = socket.subscribe(channel, Some(since)).await;
        let goal = auction.offset();
        let missed = goal - since.offset;
        // Between the two looks the auction went on.
        let name = format!("{} came back after {missed} events", self.number);
        assert!(recovered || missed > RING, "{name}, all of them known");
        assert!(!recovered || at_least <= RING, "{name}, some forgotten");
        if !recovered {
            let room = next_room(&mut socket).await;
            self.take(room);
        }
        while self.room.lot.offset < goal {
            let message = socket.next().await;
            self.hear(message);
        }
        let took = begun.elapsed();
        assert!(took <= CAUGHT_UP, "{name}, and it took {took:?}");
        let back = Back {
            missed,
            recovered,
            took,
        };
        (socket, back)
    }

    fn take(&mut self, room: RoomView) {
        assert!(
            room.lot.offset >= self.room.lot.offset,
            "{}: a snapshot from before",
            self.number
        );
        self.base = room.lot.offset;
        self.room = room;
        self.check();
    }

    fn hear(&mut self, message: ServerMessage) {
        let (at, push) = match message {
            ServerMessage::Push {
                position: Some(at),
                push,
                ..
            } => (at, *push),
            other => panic!("{} hears {other:?}", self.number),
        };
        let event = match push {
            Push::Event(event) => event,
            other => panic!("{} hears {other:?}", self.number),
        };
        let applied = apply(&mut self.room, at, &event);
        assert_eq!(
            applied,
            Applied::Changed,
            "{}: each event comes once and in order, also {at:?}",
            self.number
        );
        self.check();
    }

    /// After every step the room is as the house's was, and its price has not fallen.
    fn check(&mut self) {
        let price_minor = self.room.lot.price_at(Timestamp(0)).minor();
        let (number, before) = (self.number, self.price_minor);
        assert!(
            price_minor >= before,
            "{number}: {price_minor} after {before}"
        );
        self.price_minor = price_minor;
        let agrees = self.auction.told().agrees(&self.room, self.base);
        assert!(agrees, "{number} has {:?}", self.room);
        self.has_seen(self.room.lot.offset);
    }
}
