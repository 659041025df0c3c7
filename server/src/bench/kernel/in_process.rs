//! Callers in the kernel's own process, each of which asks again as soon as it is answered.

use super::shop::Shop;
use super::{Batches, Figures};
use crate::bench::Stage;
use crate::bench::database::Database;
use crate::ids;
use crate::ledger::checkout::Decision;
use anyhow::bail;
use shared::ItemId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Callers, as the target says.
const CALLERS: u64 = 256;

/// How long is measured, after a start that is not.
const WARM_UP: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(10);
const QUICK: Duration = Duration::from_secs(2);

/// Rows of a purchase that it shares with no other: itself, two legs, its intent.
const OWN_ROWS: f64 = 4.0;

struct Rush {
    shop: Arc<Shop>,
    item: ItemId,
    next: AtomicU64,
    committed: AtomicU64,
    stop: AtomicBool,
}

impl Rush {
    async fn call(self: Arc<Self>) -> anyhow::Result<()> {
        let kernel = Arc::clone(self.shop.ledger.kernel());
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let request = self.shop.request(self.item, number)?;
            let answer = kernel.commit(self.shop.tenant, &ids::key(), request).await;
            match answer.map(|answer| answer.decision) {
                Ok(Decision::Committed { .. }) => {
                    self.committed.fetch_add(1, Ordering::Relaxed);
                }
                other => bail!("a purchase was not made: {other:?}"),
            }
        }
        Ok(())
    }
}

/// Measures purchases a second in process; a run that was better before stands.
///
/// # Errors
/// When a purchase is not made.
pub async fn measure(
    stage: &Stage,
    database: &Database,
    shop: &Arc<Shop>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    (stage.say)("the kernel in process, 256 callers");
    let rush = Arc::new(Rush {
        shop: Arc::clone(shop),
        item: shop.item(crate::ledger::checkout::items::MAX_UNITS).await?,
        next: AtomicU64::new(0),
        committed: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(Arc::clone(&rush).call()))
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let kernel = shop.ledger.kernel();
    let (started, log_before) = (Instant::now(), database.log_bytes().await?);
    let (committed_before, batches_before) = (
        rush.committed.load(Ordering::Relaxed),
        kernel.counters().batches,
    );
    tokio::time::sleep(if stage.quick { QUICK } else { LONG }).await;
    let committed = rush.committed.load(Ordering::Relaxed) - committed_before;
    let elapsed = started.elapsed().as_secs_f64();
    let batches = kernel.counters().batches - batches_before;
    let log = database.log_bytes().await? - log_before;
    rush.stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await??;
    }
    let per_batch = |count: f64| count / as_f64(batches.max(1));
    let per_s = as_f64(committed) / elapsed;
    if figures.purchases_per_s.is_some_and(|before| before > per_s) {
        return Ok(());
    }
    figures.purchases_per_s = Some(per_s);
    let purchases = per_batch(as_f64(committed));
    figures.batches = Some(Batches {
        purchases_per_transaction: purchases,
        // One bucket of stock, one of each of the lane's mandates, and the event.
        rows_per_transaction: purchases * OWN_ROWS + 12.0,
        bytes_per_transaction: per_batch(as_f64(u64::try_from(log).unwrap_or(0))),
        retries: shop.ledger.counters().retries,
    });
    Ok(())
}

/// A count as a number to divide; counts of a bench are far below 2^53.
pub fn as_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
