//! Closing and settling a lot, by any node, once: the conditional write of the lot's row makes a
//! second one harmless. An English hold is captured or voided; a drop's every bucket is closed, so
//! that no claim can be under way; a Dutch lot without a claim passes.

use super::super::keys::{Keyed, Route};
use super::super::posting::{post, publish};
use super::super::rows::{LotRead, drop_outcome, status_word};
use super::super::transaction::{Command, Tx, TxError};
use super::snapshot::{Snapshot, Wanted};
use super::{news, write};
use crate::ids;
use app::ports::{KeptOutcome, SettleReceipt};
use async_trait::async_trait;
use shared::auction::plan::Closed;
use shared::auction::{Book, Closing, LotPlan, Refusal, Status};
use shared::mutant::{self, Mutant};
use shared::view::{LadderLine, Outcome, Terms};
use shared::{IdempotencyKey, LotId, PrincipalId, Timestamp};
use std::collections::HashMap;

/// A settlement.
pub struct Settle {
    keyed: Keyed,
    lot: LotId,
    /// Whether the answer is kept: the sweeper's own settlements need no key.
    keep: bool,
}

impl Settle {
    /// A settlement that a person asked for.
    #[must_use]
    pub fn asked(by: PrincipalId, key: IdempotencyKey, lot: LotId) -> Self {
        Self {
            keyed: Keyed::new(by, key, Route::Settle, &[&lot]),
            lot,
            keep: true,
        }
    }

    /// A settlement that is due.
    #[must_use]
    pub fn due(lot: LotId) -> Self {
        let nobody = PrincipalId::from_uuid(uuid::Uuid::nil());
        Self {
            keyed: Keyed::new(nobody, ids::key(), Route::Settle, &[&lot]),
            lot,
            keep: false,
        }
    }
}

#[async_trait]
impl Command for Settle {
    /// The answer, and whether its key had it already.
    type Answer = (KeptOutcome, bool);
    const NAME: &'static str = "settle";

    async fn attempt(&self, tx: &mut Tx) -> Result<(KeptOutcome, bool), TxError> {
        let wanted = Wanted {
            keys: vec![&self.keyed],
            ..Wanted::default()
        };
        let snapshot = Snapshot::read(tx, self.lot, wanted).await?;
        let now = snapshot.now;
        if let Some(kept) = snapshot.kept.get(&0) {
            let kept = self
                .keyed
                .kept(Some(&kept.fingerprint), Some(&kept.outcome))?;
            let kept = kept.ok_or(TxError::Corrupt("outcome of a key"))?;
            return Ok((kept, true));
        }
        let open_buckets = snapshot.buckets.len();
        let decided = match &snapshot.lot {
            None => Err(Refusal::NotFound),
            Some(read) => {
                let (lot, bought) = (read.lot.clone(), HashMap::new());
                let mut plan = LotPlan::new(now, lot, snapshot.purses, bought, Vec::new(), 0);
                plan.close().map(|closed| (read, plan, closed))
            }
        };
        let (read, plan, closed) = match decided {
            Ok(decided) => decided,
            Err(refusal) => {
                let outcome = KeptOutcome::Refused(refusal);
                if self.keep {
                    self.keyed.keep(tx, &outcome, None, now).await?;
                }
                return Ok((outcome, false));
            }
        };
        let (status, outcome) = outcome(read, closed.closing)?;
        let receipt = SettleReceipt {
            lot: self.lot,
            outcome: outcome.clone(),
        };
        let kept = KeptOutcome::Settle(receipt);
        if self.keep {
            self.keyed.keep(tx, &kept, None, now).await?;
        }
        self.write_lot(tx, read, status, now).await?;
        if let Book::Drop(_) = read.lot.book {
            self.close_buckets(tx, open_buckets).await?;
        }
        let money = write::money(tx, read.lot.currency, plan.changes()).await?;
        self.end_hold(tx, &closed, now).await?;
        let captured = match closed.closing {
            Closing::Sold(high) => Some(high),
            Closing::Passed(_) | Closing::DropEnded { .. } => None,
        };
        let end = (status, &outcome);
        let events = news::of_end(read, end, captured, closed.freed, &money, now)?;
        publish(tx, events).await?;
        Ok((kept, false))
    }
}

fn outcome(read: &LotRead, closing: Closing) -> Result<(Status, Outcome), TxError> {
    Ok(match closing {
        Closing::Sold(_) => {
            let line: LadderLine = match &read.view.terms {
                Terms::English {
                    leader: Some(line), ..
                } => line.clone(),
                Terms::English { .. } | Terms::Dutch { .. } | Terms::Drop { .. } => {
                    return Err(TxError::Corrupt("a sold lot without a leader"));
                }
            };
            (Status::Sold, Outcome::Sold { line })
        }
        Closing::Passed(high) => (
            Status::Passed,
            Outcome::Passed {
                reserve_not_met: high.is_some(),
            },
        ),
        Closing::DropEnded { .. } => match &read.lot.book {
            Book::Drop(drop) => (Status::Sold, drop_outcome(drop)?),
            Book::English(_) | Book::Dutch(_) => return Err(TxError::Corrupt("a drop")),
        },
    })
}

impl Settle {
    async fn write_lot(
        &self,
        tx: &mut Tx,
        read: &LotRead,
        status: Status,
        now: Timestamp,
    ) -> Result<(), TxError> {
        let query = sqlx::query(
            "UPDATE lots SET status = $3, settled_at_ms = $4, version = version + 1
             WHERE lot_id = $1 AND version = $2 AND status = 'open'",
        )
        .bind(self.lot.uuid())
        .bind(read.lot.version)
        .bind(status_word(status))
        .bind(now.0);
        tx.must_write(1, "lot", query).await
    }

    async fn close_buckets(&self, tx: &mut Tx, open: usize) -> Result<(), TxError> {
        let query = sqlx::query(
            "UPDATE inventory_buckets SET open = false, version = version + 1
             WHERE lot_id = $1 AND open",
        )
        .bind(self.lot.uuid());
        tx.must_write(open, "bucket", query).await
    }

    /// The leader's hold is captured or voided, and its money moves.
    async fn end_hold(&self, tx: &mut Tx, closed: &Closed, now: Timestamp) -> Result<(), TxError> {
        let (high, state) = match closed.closing {
            Closing::Sold(high) => (high, "captured"),
            Closing::Passed(Some(high)) => (high, "voided"),
            Closing::Passed(None) | Closing::DropEnded { .. } => return Ok(()),
        };
        if !mutant::is(Mutant::LastingHold) {
            write::end_hold(tx, high, state, now).await?;
        }
        let transfer = closed.transfer;
        let transfer = transfer.ok_or(TxError::Corrupt("a hold's amount"))?;
        post(tx, &[(ids::transfer(), transfer)], Some(self.lot), now).await
    }
}
