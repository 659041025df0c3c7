//! Settlement at the due time, by any node. Every node looks; the conditional write of the lot's
//! row makes a second settlement harmless, so none needs to be alone.

use super::Ledger;
use super::auction::settle::Settle;
use super::read::due_lots;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a node looks for due lots: how late a lot is settled at worst, and with one indexed
/// read a quarter second what looking costs.
const INTERVAL: Duration = Duration::from_millis(250);

/// Lots settled in one round.
const MAX_LOTS: i64 = 50;

/// Settles due lots until cancelled.
pub async fn sweep(ledger: Arc<Ledger>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        let read = ledger.runner().read(|tx| Box::pin(due_lots(tx, MAX_LOTS)));
        let due = read.await.unwrap_or_default();
        for lot in due {
            if let Err(failure) = ledger.runner().run(Settle::due(lot)).await {
                tracing::warn!(%lot, %failure, "settling failed; the next round tries again");
            }
        }
    }
}
