//! What happens to everybody else: readers that are stuck, a crowd that is dropped at once, and a
//! second node that hears of a commit by the stream.

use super::fanout::{paced, resident};
use super::talk::{Order, Side};
use super::{Place, Scene, start};
use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;
use tokio::time::Instant;

/// Sockets of the crowd that a fault meets.
const SOCKETS: usize = 5_000;
const QUICK_SOCKETS: usize = 200;

/// Of ten sockets one is stuck.
const STUCK_IN: usize = 10;

/// Frames a second while some are stuck, and for how long: until their buffers and lanes are full
/// and they are closed.
const STUCK_PER_SECOND: f64 = 12.0;
const STUCK_SECONDS: u32 = 60;
const QUICK_STUCK_SECONDS: u32 = 2;

/// Purchases a second while everybody comes back, and for how long.
const PURCHASES_PER_SECOND: u32 = 500;
const PURCHASE_SECONDS: u64 = 15;
const QUICK_PURCHASE_SECONDS: u64 = 3;

/// How long the crowd may take to come back.
const BACK_S: u64 = 120;

/// Bids whose way is timed, and the time from one to the next.
const BIDS: u32 = 200;
const QUICK_BIDS: u32 = 10;
const BID_EVERY_MS: u64 = 50;

/// How long an event may take to the other node, with a lease that has to expire, and how often it
/// is looked.
const ARRIVES: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(50);

const NS_PER_US: u64 = 1_000;
const BYTES_PER_MIB: f64 = 1_048_576.0;

/// A part of the crowd reads no more.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stuck {
    /// Sockets in all, and those that are stuck.
    pub sockets: usize,
    pub stuck: usize,
    /// The 99th percentile of everybody, before, and of the others, meanwhile, in milliseconds.
    pub p99_before_ms: f64,
    pub p99_ms: f64,
    /// By which part it grew.
    pub p99_growth: f64,
    /// By how much the server's memory grew.
    pub rss_growth_mib: f64,
    /// Stuck sockets that the server closed.
    pub closed: u64,
}

/// The crowd is dropped at once.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Reconnect {
    /// How many.
    pub sockets: usize,
    /// Until all were back and had caught up.
    pub all_back_s: f64,
    /// Until half of them were.
    pub half_back_s: f64,
    /// Snapshots that the server read from its stores meanwhile.
    pub snapshots_read: u64,
    /// The 99th percentile of purchases before and meanwhile, in milliseconds.
    pub money_p99_before_ms: f64,
    pub money_p99_ms: f64,
}

/// From a commit, as its node learns of it, to a socket.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CommitToSocket {
    /// Of the same node.
    pub own: Percentiles,
    /// Of another node: by the outbox, DynamoDB and its stream.
    pub stream: Percentiles,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// One in a hundred takes longer.
    pub p99: f64,
}

impl Display for Stuck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} readers stuck: others' p99 {:.1} ms, before {:.1}; {} of the stuck closed; \
             {:.1} MiB more",
            self.stuck,
            self.sockets,
            self.p99_ms,
            self.p99_before_ms,
            self.closed,
            self.rss_growth_mib
        )
    }
}

impl Display for Reconnect {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sockets dropped: half back in {:.1} s, all in {:.1} s; {} snapshots read; \
             purchases' p99 {:.1} ms, before {:.1}",
            self.sockets,
            self.half_back_s,
            self.all_back_s,
            self.snapshots_read,
            self.money_p99_ms,
            self.money_p99_before_ms
        )
    }
}

impl Display for CommitToSocket {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (own, stream) = (self.own, self.stream);
        write!(
            f,
            "commit to socket: own node p50 {:.1} ms, p99 {:.1}; by the stream p50 {:.1}, p99 {:.1}",
            own.p50, own.p99, stream.p50, stream.p99
        )
    }
}

#[derive(Deserialize)]
struct Counters {
    slow_closed: u64,
    silent_closed: u64,
    snapshots_read: u64,
}

#[derive(Deserialize)]
struct Purchases {
    p99_ms: f64,
}

#[derive(Deserialize)]
struct Back {
    all_back_s: f64,
    half_back_s: f64,
}

/// Frames that a node writes in one call unless told otherwise.
const FRAMES_PER_WRITE: usize = 32;

const fn sockets(place: &Place<'_>) -> usize {
    if place.stage.quick {
        QUICK_SOCKETS
    } else {
        SOCKETS
    }
}

pub(super) async fn stuck(place: &Place<'_>) -> anyhow::Result<Stuck> {
    let sockets = sockets(place);
    let stuck = sockets / STUCK_IN;
    (place.stage.say)(&format!("{stuck} of {sockets} readers are stuck"));
    let scene = place.scene(Side::Ours, FRAMES_PER_WRITE).await?;
    scene.connect(sockets).await?;
    let seconds = if place.stage.quick {
        QUICK_STUCK_SECONDS
    } else {
        STUCK_SECONDS
    };
    let before = paced(&scene, STUCK_PER_SECOND, 1, seconds).await?;
    let memory = resident(scene.side.pid)?;
    let _stopped: Value = scene.crowd.order(Order::Stop { sockets: stuck }).await?;
    let during = paced(&scene, STUCK_PER_SECOND, 1, seconds).await?;
    let grown = resident(scene.side.pid)?.saturating_sub(memory);
    let counters: Counters = scene.side.order(Order::Counters).await?;
    scene.end().await;
    let mib = f64::from(u32::try_from(grown / 1_024).unwrap_or(u32::MAX)) * 1_024.0 / BYTES_PER_MIB;
    Ok(Stuck {
        sockets,
        stuck,
        p99_before_ms: before.p99_ms,
        p99_ms: during.p99_ms,
        p99_growth: during.p99_ms / before.p99_ms - 1.0,
        rss_growth_mib: mib,
        closed: counters.slow_closed + counters.silent_closed,
    })
}

pub(super) async fn reconnect(place: &Place<'_>) -> anyhow::Result<Reconnect> {
    let sockets = sockets(place);
    (place.stage.say)(&format!("{sockets} sockets are dropped at once"));
    let scene = place.scene(Side::Ours, FRAMES_PER_WRITE).await?;
    scene.connect(sockets).await?;
    let seconds = if place.stage.quick {
        QUICK_PURCHASE_SECONDS
    } else {
        PURCHASE_SECONDS
    };
    let purchase = || {
        scene.side.order::<Purchases>(Order::Purchase {
            per_second: PURCHASES_PER_SECOND,
            seconds,
        })
    };
    let count = u32::try_from(seconds)? * 2;
    // Bids go on all the time, so that there is something to catch up with, and so that what they
    // cost the purchases is not counted for the return.
    let bids = || {
        scene.side.order::<Value>(Order::Bid {
            count,
            every_ms: 500,
        })
    };
    let _warm = purchase().await?;
    let (calm, _bids) = tokio::try_join!(purchase(), bids())?;
    let counters: Counters = scene.side.order(Order::Counters).await?;
    let back = scene.crowd.order::<Back>(Order::Drop { timeout_s: BACK_S });
    let (busy, back, _bids) = tokio::try_join!(purchase(), back, bids())?;
    let after: Counters = scene.side.order(Order::Counters).await?;
    scene.end().await;
    Ok(Reconnect {
        sockets,
        all_back_s: back.all_back_s,
        half_back_s: back.half_back_s,
        snapshots_read: after.snapshots_read - counters.snapshots_read,
        money_p99_before_ms: calm.p99_ms,
        money_p99_ms: busy.p99_ms,
    })
}

pub(super) async fn commit_to_socket(place: &Place<'_>) -> anyhow::Result<CommitToSocket> {
    (place.stage.say)("from a commit to the sockets of two nodes");
    let scene = place.scene(Side::Ours, FRAMES_PER_WRITE).await?;
    scene.connect(1).await?;
    let (other, other_ready) = start(place.ours(FRAMES_PER_WRITE, scene.ready.lot)?).await?;
    let far = Scene {
        side: other,
        crowd: place.crowd().await?,
        ready: other_ready,
        kind: Side::Ours,
    };
    far.connect(1).await?;
    let count = if place.stage.quick { QUICK_BIDS } else { BIDS };
    let bid = async |count| {
        let order = Order::Bid {
            count,
            every_ms: BID_EVERY_MS,
        };
        scene.side.order::<Vec<(i64, u64)>>(order).await
    };
    // The relay's lease may still be with a node of an earlier measurement.
    arrived(&far, &bid(1).await?).await?;
    let commits = bid(count).await?;
    arrived(&far, &commits).await?;
    let own = took(&scene, &commits).await.context("the own node")?;
    let stream = took(&far, &commits).await.context("the other node")?;
    far.end().await;
    scene.end().await;
    Ok(CommitToSocket { own, stream })
}

/// Waits until the crowd has had the last of some commits.
async fn arrived(scene: &Scene, commits: &[(i64, u64)]) -> anyhow::Result<()> {
    let (last, _) = commits.last().context("nothing was committed")?;
    let deadline = Instant::now() + ARRIVES;
    loop {
        let receipts: Vec<(i64, u64)> = scene.crowd.order(Order::Receipts).await?;
        if receipts.iter().any(|(offset, _)| offset == last) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "an event did not arrive at the other node in {ARRIVES:?}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

async fn took(scene: &Scene, commits: &[(i64, u64)]) -> anyhow::Result<Percentiles> {
    let receipts: Vec<(i64, u64)> = scene.crowd.order(Order::Receipts).await?;
    let mut took = Histogram::<u64>::new(3)?;
    for (offset, committed_ns) in commits {
        let mut received = receipts.iter().filter(|(seen, _)| seen == offset);
        let (_, received_ns) = received.next().context("an event did not arrive")?;
        ensure!(received.next().is_none(), "an event arrived twice");
        took.record((received_ns.saturating_sub(*committed_ns) / NS_PER_US).max(1))?;
    }
    let ms = |quantile| Duration::from_micros(took.value_at_quantile(quantile)).as_secs_f64() * 1e3;
    Ok(Percentiles {
        p50: ms(0.5),
        p99: ms(0.99),
    })
}
