//! The crowd: a process with thousands of sockets that count and time what they receive.
//!
//! One thread, a task a socket and nothing done a frame that is not needed, since it shares the
//! cores with the server.

mod client;
mod tally;

use super::stamp::now_ns;
use super::talk::{self, Connect, Order};
use anyhow::{Context, bail, ensure};
use client::{Client, Plan};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
pub use tally::Figures;
use tally::Tally;
use tokio::sync::{Semaphore, watch};

/// Handshakes at the same time: fewer than what a listener lets wait.
const HANDSHAKES: usize = 128;

/// How long all of them may take.
const CONNECTED: Duration = Duration::from_secs(60);

/// How often it is looked whether everything is there.
const LOOK: Duration = Duration::from_millis(2);

/// What all sockets share.
pub(super) struct Shared {
    pub tally: Mutex<Tally>,
    /// Sockets that are open and told what they should be.
    pub connected: AtomicUsize,
    /// Handshakes in all.
    pub handshakes: AtomicUsize,
    pub doors: Semaphore,
    pub plan: watch::Sender<Plan>,
}

impl Shared {
    pub fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a crowd until the input ends.
///
/// # Errors
/// When the input cannot be read.
pub async fn run() -> anyhow::Result<()> {
    let shared = Arc::new(Shared {
        tally: Mutex::default(),
        connected: AtomicUsize::new(0),
        handshakes: AtomicUsize::new(0),
        doors: Semaphore::new(HANDSHAKES),
        plan: watch::Sender::new(Plan::Stay),
    });
    talk::say(&json!({ "ready": true }));
    talk::obey(shared, act).await
}

async fn act(shared: Arc<Shared>, order: Order) -> anyhow::Result<Value> {
    match order {
        Order::Connect(connect) => open(&shared, connect).await,
        Order::Await { frames, timeout_s } => {
            received(&shared, frames, Duration::from_secs(timeout_s)).await
        }
        Order::Sample => Ok(json!(shared.tally().sample.clone())),
        Order::Stop { sockets } => {
            shared.tally().stopped = sockets;
            shared
                .plan
                .send_replace(Plan::StopReading { below: sockets });
            Ok(Value::Null)
        }
        Order::Drop { timeout_s } => come_back(&shared, Duration::from_secs(timeout_s)).await,
        Order::Receipts => Ok(json!(shared.tally().receipts)),
        Order::Leave => {
            shared.plan.send_replace(Plan::Leave);
            until(Duration::from_secs(20), || {
                shared.connected.load(Ordering::Relaxed) == 0
            })
            .await
            .context("sockets that do not close")?;
            shared.tally().sockets.clear();
            Ok(Value::Null)
        }
        Order::Publish { .. }
        | Order::Pace { .. }
        | Order::Copy { .. }
        | Order::Bid { .. }
        | Order::Purchase { .. }
        | Order::Counters => bail!("a crowd does no such thing"),
    }
}

async fn open(shared: &Arc<Shared>, connect: Connect) -> anyhow::Result<Value> {
    ensure!(
        connect.address.ip().is_loopback(),
        "{} is not on the loopback, and load is made for this machine only",
        connect.address
    );
    let begun = Instant::now();
    shared.plan.send_replace(Plan::Stay);
    *shared.tally() = Tally::new(connect.sockets);
    let connect = Arc::new(connect);
    for index in 0..connect.sockets {
        let client = Client::new(index, Arc::clone(&connect), Arc::clone(shared));
        tokio::spawn(client.run());
    }
    let all = || shared.connected.load(Ordering::Relaxed) >= connect.sockets;
    until(CONNECTED, all).await.with_context(|| {
        let open = shared.connected.load(Ordering::Relaxed);
        format!("{open} of {} sockets opened", connect.sockets)
    })?;
    Ok(json!({ "elapsed_s": begun.elapsed().as_secs_f64() }))
}

async fn received(shared: &Arc<Shared>, frames: u64, longest: Duration) -> anyhow::Result<Value> {
    let all = until(longest, || shared.tally().has_each(frames)).await;
    let mut tally = shared.tally();
    let figures = tally.take();
    figures.of_each(frames)?;
    all.context("frames that came too late: the run is void")?;
    Ok(serde_json::to_value(figures)?)
}

async fn come_back(shared: &Arc<Shared>, longest: Duration) -> anyhow::Result<Value> {
    let sockets = shared.tally().sockets.len();
    let before = shared.handshakes.load(Ordering::Relaxed);
    let begun = Instant::now();
    shared.tally().caught_up.clear();
    shared.plan.send_replace(Plan::ComeBack { at_ns: now_ns() });
    let all = until(longest, || shared.tally().caught_up.len() >= sockets).await;
    let mut caught_up = std::mem::take(&mut shared.tally().caught_up);
    ensure!(
        all.is_ok(),
        "{} of {sockets} sockets came back",
        caught_up.len()
    );
    caught_up.sort_unstable();
    let half = caught_up.get(sockets / 2).copied().unwrap_or_default();
    Ok(json!({
        "all_back_s": begun.elapsed().as_secs_f64(),
        "half_back_s": Duration::from_nanos(half).as_secs_f64(),
        "handshakes": shared.handshakes.load(Ordering::Relaxed) - before,
        "snapshots": shared.tally().snapshots,
    }))
}

async fn until(longest: Duration, done: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + longest;
    while !done() {
        ensure!(Instant::now() < deadline, "not within {longest:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
