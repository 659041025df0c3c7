//! Our side: a whole node but for the pages, on the bench's stores, in a process of its own.

use super::Beat;
use super::stamp::{self, now_ns};
use super::talk::{self, Order, Ready};
use crate::api::limits::Quotas;
use crate::api::{self, Api};
use crate::bench::kernel::http;
use crate::bench::kernel::shop::Shop;
use crate::clock::Clock;
use crate::config::NodeUrl;
use crate::demo;
use crate::events::{EventBody, HouseEvent};
use crate::firehose::{Firehose, FirehoseConfig};
use crate::ids;
use crate::ledger::endpoint::{DEFAULT_POOL_SIZE, Endpoints};
use crate::ledger::lots::{NewLot, NewTerms};
use crate::ledger::outbox::{self, EventLog};
use crate::ledger::{Ledger, checkout::items, schema};
use crate::live::{self, Counters, Hub, LiveConfig, LiveParts, LiveState};
use crate::load::{Pace, Target, open_loop};
use crate::sessions::BrowserSessions;
use crate::webhooks::guard::Policy;
use anyhow::{Context, bail, ensure};
use app::ports::{Actor, Ledger as _};
use serde_json::{Value, json};
use shared::auction::Increments;
use shared::auction::english::Band;
use shared::live::{LotEvent, Position};
use shared::view::{Activity, ActivityKind, LadderLine, Reserve, RoomView};
use shared::{Currency, LotId, Money};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Groups that may be on their way: what the must lane holds of the largest group, four times over.
const WINDOW: u64 = 8;

/// How often it is looked whether they have gone out.
const LOOK: Duration = Duration::from_micros(500);

/// How long the lot of the bench lasts: longer than any run.
const DURATION_MS: i64 = 24 * 3_600_000;

/// Connections of the buyers.
const BUYERS: u16 = 32;

/// The lot's opening price, in minor units.
const OPENING_MINOR: i64 = 100;

/// What a side is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database.
    pub database_url: String,
    /// The embedded DynamoDB.
    pub dynamodb: String,
    /// The table.
    pub table: String,
    /// Another node's lot, to be watched here as well.
    pub lot: Option<LotId>,
    /// Frames that are written in one call at most.
    pub frames_per_write: usize,
}

struct Node {
    ledger: Arc<Ledger>,
    hub: Arc<Hub>,
    shop: Arc<Shop>,
    address: SocketAddr,
    room: RoomView,
    bidders: Vec<Actor>,
    offset: AtomicI64,
    /// Offsets of the lot, and when this node knew that they were committed.
    commits: Arc<Mutex<Vec<(i64, u64)>>>,
}

/// Serves until the input ends.
///
/// # Errors
/// When the stores fail or the input cannot be read.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let node = Arc::new(Node::start(&options).await?);
    talk::say(&Ready {
        address: node.address,
        lot: Some(node.room.lot.id),
        epoch: node.room.lot.epoch,
    });
    talk::obey(node, act).await
}

impl Node {
    async fn start(options: &Options) -> anyhow::Result<Self> {
        let endpoints = Endpoints::postgres(&options.database_url, DEFAULT_POOL_SIZE).await?;
        schema::apply(&endpoints).await?;
        let clock = Arc::new(Clock::new());
        let hub = Hub::new(Arc::clone(&clock));
        let commits = Arc::new(Mutex::new(Vec::new()));
        let (ear, noted) = (Arc::clone(&hub), Arc::clone(&commits));
        let ledger = Ledger::new(endpoints, Arc::clone(&clock), move |events| {
            for event in events {
                if let EventBody::Lot { position, .. } = &event.body {
                    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    noted.push((position.offset, now_ns()));
                }
                ear.deliver(event);
            }
        });
        ledger.measure_clock().await?;
        let config = FirehoseConfig {
            table: options.table.clone(),
            endpoint: Some(options.dynamodb.clone()),
        };
        let firehose = Firehose::connect(config, Arc::clone(&clock)).await;
        firehose.ensure_table().await?;
        // The listener first: the other node follows the stream by this address.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let node_url = NodeUrl::of_listener(address, true);
        let parts = LiveParts {
            clock,
            hub: Arc::clone(&hub),
            ledger: Arc::<Ledger>::clone(&ledger),
            firehose: firehose.clone(),
            sessions: Arc::new(BrowserSessions::new(
                Arc::clone(&ledger),
                false,
                false,
                None,
            )),
            histories: vec![Arc::<Ledger>::clone(&ledger)],
        };
        let config = LiveConfig {
            // The crowd comes from one address.
            max_guest_sockets_per_address: usize::MAX,
            frames_per_write: options.frames_per_write,
            node_url,
            ..LiveConfig::default()
        };
        let live = LiveState::start(config, parts).await;
        let log: Arc<dyn EventLog> = Arc::new(firehose);
        let stop = CancellationToken::new();
        tokio::spawn(outbox::relay(Arc::clone(&ledger), log, stop));
        let shop = Arc::new(Shop::open(&options.database_url).await?);
        let agents = Api::new(Arc::clone(&shop.ledger), Policy::default(), Quotas::OFF);
        let followers = live.stream.routes();
        let router = live::routes(live)
            .merge(followers)
            .merge(api::routes(agents));
        tokio::spawn(async move {
            let app = router.into_make_service_with_connect_info::<SocketAddr>();
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "our side ended");
            }
        });
        let cast = demo::seed(&ledger).await?;
        let lot = match options.lot {
            Some(lot) => lot,
            None => put_up(&ledger, &cast).await?,
        };
        let room = ledger.room(lot).await?.context("the lot is gone")?;
        Ok(Self {
            ledger,
            hub,
            shop,
            address,
            offset: AtomicI64::new(room.lot.offset),
            room,
            bidders: cast.crowd,
            commits,
        })
    }

    /// A bid that nobody made, the size of a real one, stamped.
    fn frame(&self) -> anyhow::Result<HouseEvent> {
        let offset = self.offset.fetch_add(1, Ordering::Relaxed) + 1;
        let bidder = self.bidders.first().context("nobody to bid")?;
        let mut who = bidder.person.clone();
        who.name = stamp::stamp();
        let amount = Money::new(OPENING_MINOR + 1_000_000, Currency::Usd)?;
        let line = LadderLine {
            id: ids::bid().to_string(),
            who: who.clone(),
            region: bidder.region,
            amount,
            units: 1,
            at: self.room.server_time,
        };
        let lot = &self.room.lot;
        Ok(HouseEvent {
            id: ids::event(),
            at: self.room.server_time,
            body: EventBody::Lot {
                lot: lot.id,
                position: Position {
                    epoch: lot.epoch,
                    offset,
                },
                event: LotEvent::Bid {
                    line,
                    closes_at: lot.closes_at,
                    extended: false,
                    reserve: Reserve::None,
                    next_minimum: amount,
                },
                card: Box::new(lot.clone()),
                activity: Activity {
                    id: String::new(),
                    lot: lot.id,
                    title: String::new(),
                    what: ActivityKind::Bid,
                    who: None,
                    region: None,
                    amount: None,
                    at: self.room.server_time,
                },
                listed: false,
            },
        })
    }

    fn publish(&self, frames: u32) -> anyhow::Result<()> {
        for _ in 0..frames {
            self.hub.deliver(&self.frame()?);
        }
        Ok(())
    }

    /// Publishes groups as fast as they go out, and answers how many frames went out in a write.
    async fn rush(&self, groups: u32, per_group: u32) -> anyhow::Result<Value> {
        let counters = &self.hub.counters;
        let waiting = || waiting(counters);
        let (sent, writes) = (counters.frames_sent.get(), counters.writes.get());
        let window = WINDOW * u64::from(per_group) * counters.sockets.get();
        let group = window / WINDOW;
        for _ in 0..groups {
            while waiting() + group > window {
                tokio::time::sleep(LOOK).await;
            }
            self.publish(per_group)?;
        }
        while waiting() > 0 {
            tokio::time::sleep(LOOK).await;
        }
        let (sent, writes) = (
            counters.frames_sent.get() - sent,
            counters.writes.get() - writes,
        );
        Ok(json!({ "frames_per_write": ratio(sent, writes) }))
    }

    async fn bid(&self, count: u32, every: Duration) -> anyhow::Result<Value> {
        let from = self.commits().len();
        let mut next = tokio::time::interval(every);
        for number in 0..count {
            next.tick().await;
            let bidder = usize::try_from(number)? % self.bidders.len().clamp(1, 2);
            let bidder = self.bidders.get(bidder).context("nobody to bid")?;
            let minor = OPENING_MINOR + i64::try_from(self.commits().len())?;
            let amount = Money::new(minor, Currency::Usd)?;
            let lot = self.room.lot.id;
            let decided = self.ledger.bid(bidder, ids::key(), lot, amount).await?;
            if let Err(refusal) = decided.outcome {
                bail!("a bid was refused: {refusal:?}");
            }
        }
        Ok(json!(self.commits().get(from..).unwrap_or_default()))
    }

    fn commits(&self) -> std::sync::MutexGuard<'_, Vec<(i64, u64)>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn purchase(&self, per_second: u32, duration: Duration) -> anyhow::Result<Value> {
        let item = self.shop.item(items::MAX_UNITS).await?;
        let make = http::requests(&self.shop, ids::event().uuid().to_string(), item);
        let target = Target {
            address: self.address,
            connections: BUYERS,
        };
        let pace = Pace {
            per_second,
            duration,
        };
        let measured = open_loop(target, pace, make, |_, _, _| {}).await?;
        let made = measured.with_status(::http::StatusCode::CREATED);
        ensure!(
            made == measured.requests,
            "{made} of {} purchases were made",
            measured.requests
        );
        Ok(json!({ "p50_ms": measured.p50_ms(), "p99_ms": measured.p99_ms() }))
    }
}

async fn put_up(ledger: &Arc<Ledger>, cast: &demo::Cast) -> anyhow::Result<LotId> {
    let seller = cast.sellers.first().context("nobody to sell")?;
    let band = Band {
        from_minor: 0,
        increment_minor: 1,
    };
    let lot = NewLot {
        id: ids::lot(),
        seller: seller.id,
        title: "Lamp".into(),
        description: "A lamp that thousands watch.".into(),
        art: "lamp".into(),
        currency: Currency::Usd,
        opens_in_ms: 0,
        duration_ms: DURATION_MS,
        listed: false,
        terms: NewTerms::English {
            opening: Money::new(OPENING_MINOR, Currency::Usd)?,
            increments: Increments::new(vec![band]).context("increments")?,
            reserve: None,
            extension_window_ms: 1_000,
            max_extension_ms: 1_000,
        },
    };
    Ok(ledger.put_up(lot).await?.id)
}

async fn act(node: Arc<Node>, order: Order) -> anyhow::Result<Value> {
    match order {
        Order::Publish { groups, per_group } => node.rush(groups, per_group).await,
        Order::Pace {
            per_second,
            groups,
            per_group,
        } => {
            let mut beat = Beat::new(per_second)?;
            for _ in 0..groups {
                beat.next().await;
                node.publish(per_group)?;
            }
            Ok(Value::Null)
        }
        Order::Bid { count, every_ms } => node.bid(count, Duration::from_millis(every_ms)).await,
        Order::Purchase {
            per_second,
            seconds,
        } => {
            node.purchase(per_second, Duration::from_secs(seconds))
                .await
        }
        Order::Counters => {
            let counters = &node.hub.counters;
            Ok(json!({
                "slow_closed": counters.slow_closed.get(),
                "silent_closed": counters.silent_closed.get(),
                "snapshots_read": counters.snapshots_read.get(),
            }))
        }
        Order::Copy { .. }
        | Order::Connect(_)
        | Order::Await { .. }
        | Order::Sample
        | Order::Stop { .. }
        | Order::Drop { .. }
        | Order::Receipts
        | Order::Leave => bail!("our side does no such thing"),
    }
}

/// Frames that wait to be written.
fn waiting(counters: &Counters) -> u64 {
    // What was replaced or dropped never goes out; pings go out and were never queued.
    let queued = counters.frames_queued.get();
    queued.saturating_sub(counters.frames_sent.get())
}

fn ratio(all: u64, parts: u64) -> f64 {
    let number = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    number(all) / number(parts.max(1))
}
