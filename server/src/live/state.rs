//! What every socket shares.

use super::board::Board;
use super::doors::Doors;
use super::history::History;
use super::hub::Hub;
use super::origin::Origins;
use super::rooms::{self, Rooms};
use super::snapshots::Snapshots;
use super::stock::Stock;
use super::ticks::Ticks;
use super::watch::Watch;
use crate::clock::Clock;
use crate::config::{NodeUrl, PublicUrl};
use crate::firehose::{Firehose, Stream, StreamConfig, StreamItem};
use crate::gather::Gather;
use app::ports::{Ledger, Sessions};
use shared::chat::Moderation;
use shared::view::WalletView;
use shared::{Currency, LotId, PrincipalId};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Items of the stream that may wait for the hub: two full pages.
const MAX_STREAM_ITEMS: usize = 2_048;

/// How often channels that nobody listens to are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// How long the stream may take to open before sockets are served without it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The least time from one read of wallets to the next: the page has shown each its own already.
const WALLETS_PAUSE: Duration = Duration::from_millis(200);

/// How long closed sockets may take to end: what is left is written, and the client answers.
const SOCKETS_END: Duration = Duration::from_secs(4);

/// How long tasks may take to end.
const TASKS_END: Duration = Duration::from_secs(3);

/// Lots that are known to exist: 40 bytes each.
const MAX_KNOWN_LOTS: usize = 65_536;

/// Handshakes a second for each processor.
const HANDSHAKES_PER_CORE: u32 = 300;

/// How the live plane behaves.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// The address people use: its pages may open a socket. Without it this server's own may.
    pub public_url: Option<PublicUrl>,
    /// Where the other nodes reach this one, to follow the stream.
    pub node_url: Option<NodeUrl>,
    /// Sockets of this node.
    pub max_sockets: usize,
    /// Handshakes a second: who comes faster waits a while. On 2 cores 800 take a fifth of them.
    pub handshakes_per_second: u32,
    /// Sockets of one person on this node.
    pub max_sockets_per_person: usize,
    /// Sockets of guests from one network address on this node. Not counted with a public address:
    /// then a proxy is in front, and everybody comes from its address.
    pub max_guest_sockets_per_address: usize,
    /// How often a socket is pinged; it has 8 of 25 parts of this time to answer.
    pub ping_every: Duration,
    /// Frames that are handed to the operating system in one call at most. What was handed over
    /// can no longer be replaced by newer.
    pub frames_per_write: usize,
    /// The currency of the wallet on the `me` channel.
    pub currency: Currency,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            public_url: None,
            node_url: None,
            // At about 10 KiB a socket, 200 MiB.
            max_sockets: 20_000,
            handshakes_per_second: HANDSHAKES_PER_CORE.saturating_mul(cores()),
            max_sockets_per_person: 50,
            // A large office behind one address, and a hundredth of the node.
            max_guest_sockets_per_address: 200,
            ping_every: Duration::from_secs(25),
            frames_per_write: 32,
            currency: Currency::Usd,
        }
    }
}

fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(1)
}

/// What the live plane is built from.
pub struct LiveParts {
    /// The house's clock.
    pub clock: Arc<Clock>,
    /// The hub that the ledger delivers to.
    pub hub: Arc<Hub>,
    /// The money plane, for snapshots.
    pub ledger: Arc<dyn Ledger>,
    /// The social plane.
    pub firehose: Firehose,
    /// Who may act.
    pub sessions: Arc<dyn Sessions>,
    /// Where gaps are filled from after the event log, usually the ledger.
    pub histories: Vec<Arc<dyn History>>,
}

/// The live plane of a node: the state of its routes.
#[derive(Clone)]
pub struct LiveState(Arc<Inner>);

/// What [`LiveState`] shares.
pub struct Inner {
    pub(super) clock: Arc<Clock>,
    /// Everybody who listens.
    pub hub: Arc<Hub>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) firehose: Firehose,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) rooms: Arc<Rooms>,
    pub(super) ticks: Arc<Ticks>,
    /// Whose pages may open a socket or send a form.
    pub origins: Origins,
    pub(super) doors: Doors,
    pub(super) seats: Seats,
    pub(super) watch: Arc<Watch>,
    pub(super) known_lots: KnownLots,
    pub(super) snapshots: Snapshots,
    /// Wallets for the snapshots of `me`.
    pub(super) wallets: Gather<PrincipalId, WalletView>,
    pub(super) board: OnceLock<Arc<dyn Board>>,
    pub(super) frames_per_write: usize,
    /// The table's stream, as this node takes part in it.
    pub stream: Stream,
    pub(super) sockets: TaskTracker,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
}

impl Deref for LiveState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl LiveState {
    /// Starts the live plane: opens the stream and runs everything that sockets need.
    pub async fn start(config: LiveConfig, parts: LiveParts) -> Self {
        let LiveParts {
            clock,
            hub,
            ledger,
            firehose,
            sessions,
            histories,
        } = parts;
        let mut all: Vec<Arc<dyn History>> = vec![Arc::new(firehose.clone())];
        all.extend(histories);
        hub.set_histories(all);
        let rooms = Rooms::new(firehose.clone(), Arc::clone(&hub), Arc::clone(&clock));
        let ticks = Ticks::new(Arc::clone(&hub), Arc::clone(&clock));
        let (sender, items) = mpsc::channel(MAX_STREAM_ITEMS);
        let stream_config = StreamConfig {
            node_url: config.node_url.clone(),
            ..StreamConfig::default()
        };
        let stream = firehose.stream(stream_config, sender);
        let wallets = wallets(&hub, &ledger, config.currency);
        let state = Self(Arc::new(Inner {
            clock,
            hub,
            ledger,
            firehose,
            sessions,
            rooms: Arc::new(rooms),
            ticks: Arc::new(ticks),
            origins: Origins::new(config.public_url.as_ref()),
            doors: Doors::new(config.handshakes_per_second),
            seats: Seats::new(&config),
            watch: Arc::default(),
            known_lots: KnownLots::default(),
            snapshots: Snapshots::default(),
            wallets,
            board: OnceLock::new(),
            frames_per_write: config.frames_per_write,
            stream,
            sockets: TaskTracker::new(),
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
        }));
        state.follow_stream(items).await;
        state.run_tasks(config.ping_every);
        state
    }

    /// Takes part in the stream, and waits a while for a place in it: sockets that come then miss
    /// nothing. Those that come earlier are sent to a snapshot once there is one.
    async fn follow_stream(&self, mut items: mpsc::Receiver<StreamItem>) {
        let stream = self.stream.clone();
        self.tasks.spawn(stream.run(self.cancel.clone()));
        let (hub, rooms) = (Arc::clone(&self.hub), Arc::clone(&self.rooms));
        self.run(async move {
            while let Some(item) = items.recv().await {
                match item {
                    StreamItem::Event(event) => hub.deliver(&event),
                    StreamItem::Chat(lot, message) => hub.deliver_chat(lot, *message),
                    StreamItem::Removed(lot, message) => {
                        rooms::tell_moderation(&hub, lot, &Moderation::Remove { message });
                    }
                    StreamItem::Slow(lot, seconds) => {
                        rooms::tell_moderation(&hub, lot, &Moderation::Slow { seconds });
                    }
                    StreamItem::CrowdChanged(lot) => rooms.crowd_changed(lot),
                    StreamItem::TotalsChanged(lot) => rooms.totals_changed(lot),
                    StreamItem::Lost => hub.resync_all(),
                }
            }
        });
        if !self.stream.open(OPEN_TIMEOUT).await {
            tracing::warn!("the stream is not open yet, sockets are served without it for now");
        }
    }

    fn run_tasks(&self, ping_every: Duration) {
        for writer in self.hub.writers.all() {
            let writer = Arc::clone(writer);
            self.run(async move { writer.run().await });
        }
        let rooms = Arc::clone(&self.rooms);
        self.run(async move { rooms.keep_presence().await });
        let rooms = Arc::clone(&self.rooms);
        self.run(async move { rooms.show_crowds().await });
        let ticks = Arc::clone(&self.ticks);
        self.run(async move { ticks.run().await });
        let stock = Stock::new(Arc::clone(&self.hub), Arc::clone(&self.ledger));
        self.run(async move { stock.run().await });
        let (hub, clock) = (Arc::clone(&self.hub), Arc::clone(&self.clock));
        self.run(async move { hub.turn_wheel(&clock, ping_every).await });
        let (watch, sessions) = (Arc::clone(&self.watch), Arc::clone(&self.sessions));
        let counters = Arc::clone(&self.hub.counters);
        self.run(async move { watch.run(&*sessions, &counters).await });
        let hub = Arc::clone(&self.hub);
        self.run(async move {
            let mut rounds = tokio::time::interval(SWEEP);
            loop {
                rounds.tick().await;
                hub.sweep();
            }
        });
    }

    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            cancel.run_until_cancelled(work).await;
        });
    }

    /// Closes the sockets of sessions that have just ended, without waiting for the next round.
    pub fn sessions_ended(&self) {
        self.watch.hurry();
    }

    /// Closes every socket, spread over two seconds, takes everybody out of their rooms and ends
    /// every task.
    pub async fn shutdown(&self) {
        self.seats.close();
        // Another node leads while this one's sockets are closed one after another.
        self.stream.resign();
        self.hub.drain().await;
        // Whoever was closed last is still to hear it, and the loops that write are tasks too.
        self.sockets.close();
        let ended = tokio::time::timeout(SOCKETS_END, self.sockets.wait()).await;
        if ended.is_err() {
            tracing::warn!(
                left = self.sockets.len(),
                "some sockets did not end in time"
            );
        }
        self.cancel.cancel();
        self.rooms.farewell().await;
        self.tasks.close();
        let ended = tokio::time::timeout(TASKS_END, self.tasks.wait()).await;
        if ended.is_err() {
            tracing::warn!(left = self.tasks.len(), "some tasks did not end in time");
        }
    }
}

/// Gathers the reads of wallets.
fn wallets(
    hub: &Hub,
    ledger: &Arc<dyn Ledger>,
    currency: Currency,
) -> Gather<PrincipalId, WalletView> {
    let (counters, ledger) = (Arc::clone(&hub.counters), Arc::clone(ledger));
    Gather::new(WALLETS_PAUSE, move |people| {
        counters.snapshots_read.add(1);
        let ledger = Arc::clone(&ledger);
        async move { ledger.wallets(people, currency).await }
    })
}

#[derive(Debug, Default)]
struct Taken {
    closed: bool,
    total: usize,
    by_holder: BTreeMap<Holder, usize>,
}

/// Whom a socket counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Person(PrincipalId),
    /// A guest, by network address.
    Guest(IpAddr),
}

/// How many sockets there may be.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    taken: Arc<Mutex<Taken>>,
    max: usize,
    max_per_person: usize,
    /// `None` if guests' addresses say nothing.
    max_per_address: Option<usize>,
}

/// One socket's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    holder: Option<Holder>,
}

impl Seats {
    fn new(config: &LiveConfig) -> Self {
        let by_address = config.public_url.is_none();
        Self {
            taken: Arc::default(),
            max: config.max_sockets,
            max_per_person: config.max_sockets_per_person,
            max_per_address: by_address.then_some(config.max_guest_sockets_per_address),
        }
    }

    fn most_of(&self, holder: Holder) -> usize {
        match holder {
            Holder::Person(_) => self.max_per_person,
            Holder::Guest(_) => self.max_per_address.unwrap_or(self.max),
        }
    }

    /// A place, if there is one.
    pub fn take(&self, holder: Option<Holder>) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.closed || taken.total >= self.max {
            return None;
        }
        if let Some(holder) = holder {
            let count = taken.by_holder.get(&holder).copied().unwrap_or(0);
            if count >= self.most_of(holder) {
                return None;
            }
            taken.by_holder.insert(holder, count + 1);
        }
        taken.total += 1;
        let seats = self.clone();
        Some(Seat { seats, holder })
    }

    fn close(&self) {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let taken = self.seats.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Some(holder) = self.holder
            && let Some(count) = taken.by_holder.get_mut(&holder)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_holder.remove(&holder);
            }
        }
    }
}

/// Lots that were found once, with their sellers; neither ever changes.
#[derive(Debug, Default)]
pub(super) struct KnownLots(Mutex<BTreeMap<LotId, PrincipalId>>);

impl KnownLots {
    pub fn seller(&self, lot: LotId) -> Option<PrincipalId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&lot).copied()
    }

    pub fn add(&self, lot: LotId, seller: PrincipalId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN_LOTS {
            known.clear();
        }
        known.insert(lot, seller);
    }
}
