//! Where missing events can be read again.

use crate::firehose::Firehose;
use app::ports::Failure;
use async_trait::async_trait;
use shared::LotId;
use shared::live::{LotEvent, Position};

/// A place that remembers the events of lots: the event log first, the ledger after it.
#[async_trait]
pub trait History: Send + Sync {
    /// The events of a lot after one offset and up to another, in order. What is not there is left
    /// out.
    async fn lot_events(
        &self,
        lot: LotId,
        epoch: i64,
        after: i64,
        through: i64,
    ) -> Result<Vec<(Position, LotEvent)>, Failure>;
}

#[async_trait]
impl History for Firehose {
    async fn lot_events(
        &self,
        lot: LotId,
        epoch: i64,
        after: i64,
        through: i64,
    ) -> Result<Vec<(Position, LotEvent)>, Failure> {
        let read = Self::lot_events(self, lot, epoch, after, through).await;
        read.map_err(|error| error.into_failure())
    }
}
