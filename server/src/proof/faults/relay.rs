//! The way from the outbox to the event log: F29 and F31.

use super::super::Stage;
use super::deeds::{Kind, Yard};
use super::{Case, Ground, shop_for};
use crate::events::{Aggregate, CheckoutNews, EventBody, HouseEvent};
use crate::ids;
use crate::ledger::checkout::items::Restock;
use crate::ledger::outbox::{Appended, EventLog, MAX_TRIES, aggregate_name_of, relay};
use crate::ledger::read::witness;
use crate::ledger::{Keyed, Route, rehearsal};
use anyhow::Context;
use async_trait::async_trait;
use shared::EventId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often the publisher dies between publishing and marking.
const DEATHS: u32 = 200;

/// Deeds meanwhile.
const DEEDS: u32 = 30;

/// How soon everything is published once all is well.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(5);

/// Units of a restock whose event the log does not take.
const POISON_UNITS: u32 = 777;

/// How long a poisonous event may take to be given up, with the pauses of the relay.
const BURIED_WITHIN: Duration = Duration::from_secs(20);

/// A log in memory, whose appends have no effect a second time.
#[derive(Default)]
struct Log {
    /// The order in which each aggregate's events came, each event once.
    order: Mutex<BTreeMap<Aggregate, Vec<EventId>>>,
    /// Appends of events that were there already.
    repeats: AtomicU64,
    /// Deaths that are still to come: the next append that took something waits for its end.
    deaths: AtomicU64,
    /// Somebody is to end the publisher now: what it appended is there, and not marked.
    dying: Notify,
}

impl Log {
    fn order(&self) -> MutexGuard<'_, BTreeMap<Aggregate, Vec<EventId>>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> BTreeSet<EventId> {
        self.order().values().flatten().copied().collect()
    }

    fn take(&self, event: &HouseEvent) {
        let mut order = self.order();
        let events = order.entry(event.aggregate()).or_default();
        if events.contains(&event.id) {
            self.repeats.fetch_add(1, Ordering::SeqCst);
        } else {
            events.push(event.id);
        }
    }
}

fn is_poison(event: &HouseEvent) -> bool {
    let EventBody::Checkout(event) = &event.body else {
        return false;
    };
    matches!(&event.what, CheckoutNews::Stocked { units, .. } if *units == i64::from(POISON_UNITS))
}

#[async_trait]
impl EventLog for Log {
    async fn append(&self, events: &[HouseEvent]) -> Vec<Appended> {
        let mut stopped = BTreeSet::new();
        let mut all = Vec::new();
        for event in events {
            let aggregate = event.aggregate();
            all.push(if stopped.contains(&aggregate) {
                Appended::Later
            } else if is_poison(event) {
                stopped.insert(aggregate);
                Appended::Refused("too large".to_owned())
            } else {
                self.take(event);
                Appended::Done
            });
        }
        let left = self.deaths.load(Ordering::SeqCst);
        if left > 0 && !events.is_empty() {
            self.deaths.store(left - 1, Ordering::SeqCst);
            self.dying.notify_one();
            // Until the end of whoever asked.
            std::future::pending::<()>().await;
        }
        all
    }
}

/// Events that are not published yet.
async fn waiting(stage: &Stage) -> anyhow::Result<i64> {
    let read = stage.kernels.of(1).runner();
    let read = read.read(|tx| Box::pin(witness::outbox(tx)));
    Ok(read.await?.waiting)
}

async fn until_published(stage: &Stage, within: Duration) -> anyhow::Result<bool> {
    let begun = Instant::now();
    while waiting(stage).await? > 0 {
        if begun.elapsed() > within {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(true)
}

/// F29: the publisher dies between publishing and marking, again and again: every event is in the
/// log, each aggregate's in its order, and what was appended twice is there once.
pub async fn publisher_dies(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let log = Arc::new(Log::default());
    let stop = CancellationToken::new();
    let publish = || {
        let log = Arc::<Log>::clone(&log);
        tokio::spawn(relay(Arc::clone(stage.kernels.of(0)), log, stop.clone()))
    };
    // What others left is published first, so that every death is over events of this fault.
    let mut publisher = publish();
    until_published(&stage, BURIED_WITHIN).await?;
    let _of_others = stage.watch.noted();
    let yard = Yard::new(&stage.kernels).await?;
    let deaths = ground.times(DEATHS);
    log.deaths.store(u64::from(deaths), Ordering::SeqCst);
    let mut died = 0;
    let work = async {
        for _ in 0..ground.times(DEEDS) {
            for kind in Kind::ALL {
                let told = yard.deed(kind).await?.send(stage.kernels.of(0)).await?;
                anyhow::ensure!(told.answer.is_ok(), "{kind:?}: {told:?}");
            }
        }
        anyhow::Ok(())
    };
    tokio::pin!(work);
    let mut is_working = true;
    while is_working || (died < deaths && waiting(&stage).await? > 0) {
        tokio::select! {
            done = &mut work, if is_working => {
                done?;
                is_working = false;
            }
            () = log.dying.notified() => {
                publisher.abort();
                died += 1;
                publisher = publish();
            }
            () = tokio::time::sleep(Duration::from_millis(500)), if !is_working => {}
        }
    }
    log.deaths.store(0, Ordering::SeqCst);
    // One that waits for its end since the last death would wait for ever.
    publisher.abort();
    let publisher = publish();
    let is_published = until_published(&stage, PUBLISHED_WITHIN).await?;
    stop.cancel();
    publisher.await.context("the relay panicked")?;
    // Each death came after an append and before its mark: the next publisher appends again.
    let repeats = log.repeats.load(Ordering::SeqCst);
    case.happened(u64::from(deaths), u64::from(died));
    case.needs(repeats > 0, "nothing was appended twice");
    case.expect(is_published, || {
        "not everything is published in time".to_owned()
    });
    let told: BTreeSet<EventId> = stage.watch.noted().into_iter().collect();
    let missing = told.difference(&log.known()).count();
    case.expect(missing == 0, || {
        format!("{missing} events are not in the log")
    });
    case.needs(died >= deaths.min(5), "the publisher hardly ever died");
    case.checked(format!(
        "{} events are in the log after {died} deaths, each once: {repeats} came twice",
        told.len(),
    ));
    case.audit(&stage).await?;
    stage.kernels.close().await;
    Ok(case)
}

/// F31: an event that the log does not take is given up after five tries, with the reason, and holds
/// nobody up.
pub async fn poison(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let shop = shop_for(&stage, 400).await?;
    let mut items = Vec::new();
    for _ in 0..ground.times(20) {
        let item = shop.item(&stage.kernels, 10).await?;
        let work = Restock {
            tenant: shop.tenant,
            item,
            units: POISON_UNITS,
        };
        let keyed = Keyed::new(shop.tenant, ids::key(), Route::Restock, &[&item]);
        stage.kernels.of(0).run_keyed(keyed, work).await?;
        items.push(item);
    }
    let innocent = shop.item(&stage.kernels, 10).await?;
    let log = Arc::new(Log::default());
    let stop = CancellationToken::new();
    let kernel = Arc::clone(stage.kernels.of(0));
    let publisher = tokio::spawn(relay(kernel, Arc::<Log>::clone(&log), stop.clone()));
    let begun = Instant::now();
    let mut passed_after = None;
    while waiting(&stage).await? > 0 && begun.elapsed() < BURIED_WITHIN {
        if passed_after.is_none() && log.order().contains_key(&Aggregate::Item(innocent)) {
            passed_after = Some(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    publisher.await.context("the relay panicked")?;
    let passed_after = passed_after.unwrap_or_else(|| begun.elapsed());
    case.expect(passed_after < PUBLISHED_WITHIN, || {
        format!("another event waited for {} ms", passed_after.as_millis())
    });
    for item in &items {
        let aggregate = aggregate_name_of(Aggregate::Item(*item));
        let runner = stage.kernels.of(1).runner();
        let letters = runner.read(move |tx| {
            let aggregate = aggregate.clone();
            Box::pin(async move { rehearsal::dead_letters(tx, aggregate).await })
        });
        let letters = letters.await?;
        case.happened(1, u64::try_from(letters.len())?);
        let as_wanted = letters == [("too large".to_owned(), MAX_TRIES)];
        case.expect(as_wanted, || format!("dead letters of {item}: {letters:?}"));
    }
    case.checked(format!(
        "{} given up after {MAX_TRIES} tries with the reason, others passed after {} ms",
        items.len(),
        passed_after.as_millis()
    ));
    case.audit(&stage).await?;
    stage.kernels.close().await;
    Ok(case)
}
