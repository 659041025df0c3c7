//! Closing and settling a lot, by any node, once: the conditional write of the lot's row makes a
//! second one harmless. An English hold is captured or voided; a drop's every bucket is closed, so
//! that no claim can be under way; a Dutch lot without a claim passes.

use super::bid::{Answer, end_hold};
use super::decision::{Decision, activity, wallet_of};
use super::keys::{Keyed, Route};
use super::posting::{WalletChanges, post, publish};
use super::rows::{LotRead, WalletRow, drop_outcome, status_word};
use super::transaction::{Command, Tx, TxError};
use crate::events::{EventBody, HouseEvent};
use crate::ids;
use app::ports::{KeptOutcome, SettleReceipt};
use async_trait::async_trait;
use shared::auction::{Book, Closing, HighBid, Refusal, Status};
use shared::ledger::Transfer;
use shared::live::{LotEvent, Position};
use shared::view::{ActivityKind, LadderLine, Notice, Outcome, Terms};
use shared::{IdempotencyKey, LotId, PrincipalId, Timestamp};

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
    type Answer = Answer;
    const NAME: &'static str = "settle";

    async fn attempt(&self, tx: &mut Tx) -> Result<Answer, TxError> {
        let decision = Decision::read(tx, &self.keyed, self.keyed.owner, self.lot).await?;
        if let Some(kept) = decision.kept {
            return Ok((kept, true));
        }
        let now = decision.now;
        let decided = match &decision.lot {
            None => Err(Refusal::NotFound),
            Some(read) => read.lot.close(now).map(|closing| (read, closing)),
        };
        let (read, closing) = match decided {
            Ok(decided) => decided,
            Err(refusal) => {
                let outcome = KeptOutcome::Refused(refusal);
                if self.keep {
                    self.keyed.keep(tx, &outcome, None, now).await?;
                }
                return Ok((outcome, false));
            }
        };
        let (status, outcome) = outcome(read, closing)?;
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
            self.close_buckets(tx, &decision).await?;
        }
        let wallets = self.end_leader(tx, read, closing, now).await?;
        publish(
            tx,
            events(read, status, &outcome, leader(closing), &wallets, now)?,
        )
        .await?;
        Ok((kept, false))
    }
}

const fn leader(closing: Closing) -> Option<(HighBid, bool)> {
    match closing {
        Closing::Sold(high) => Some((high, true)),
        Closing::Passed(Some(high)) => Some((high, false)),
        Closing::Passed(None) | Closing::DropEnded { .. } => None,
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

    async fn close_buckets(&self, tx: &mut Tx, decision: &Decision) -> Result<(), TxError> {
        let query = sqlx::query(
            "UPDATE inventory_buckets SET open = false, version = version + 1
             WHERE lot_id = $1 AND open",
        )
        .bind(self.lot.uuid());
        tx.must_write(decision.buckets.len(), "bucket", query).await
    }

    async fn end_leader(
        &self,
        tx: &mut Tx,
        read: &LotRead,
        closing: Closing,
        now: Timestamp,
    ) -> Result<Vec<WalletRow>, TxError> {
        let Some((high, sold)) = leader(closing) else {
            return Ok(Vec::new());
        };
        let minor = high.amount.minor();
        let mut changes = WalletChanges::default();
        changes.add(high.bidder, -minor, if sold { minor } else { 0 });
        let wallets = changes.write(tx, high.amount.currency()).await?;
        end_hold(tx, high, if sold { "captured" } else { "voided" }, now).await?;
        let transfer = if sold {
            Transfer::capture(high.bidder, read.lot.seller, high.amount)
        } else {
            Transfer::void(high.bidder, high.amount)
        };
        let transfer = transfer.ok_or(TxError::Corrupt("a hold's amount"))?;
        post(tx, &[(ids::transfer(), transfer)], Some(self.lot), now).await?;
        Ok(wallets)
    }
}

fn events(
    read: &LotRead,
    status: Status,
    outcome: &Outcome,
    leader: Option<(HighBid, bool)>,
    wallets: &[WalletRow],
    now: Timestamp,
) -> Result<Vec<HouseEvent>, TxError> {
    let id = ids::event();
    let mut card = read.view.clone();
    card.offset += 1;
    card.status = status;
    card.closes_at = card.closes_at.min(now);
    card.outcome = Some(outcome.clone());
    let (lot, title, currency) = (card.id, card.title.clone(), card.currency);
    let (kind, line) = match outcome {
        Outcome::Sold { line } => (ActivityKind::Sold, Some(line)),
        Outcome::DropEnded { .. } => (ActivityKind::Sold, None),
        Outcome::Passed { .. } | Outcome::Cancelled => (ActivityKind::Passed, None),
    };
    let activity = activity(id, &card, kind, line, now);
    let position = Position {
        epoch: card.epoch,
        offset: card.offset,
    };
    let event = LotEvent::Closed {
        status,
        outcome: outcome.clone(),
        closes_at: card.closes_at,
    };
    let body = EventBody::Lot {
        lot,
        position,
        event,
        card: Box::new(card),
        activity,
        listed: read.listed,
    };
    let mut events = vec![HouseEvent { id, at: now, body }];
    if let Some((high, sold)) = leader {
        let wallet = wallet_of(wallets, high.bidder)?.view(currency)?;
        let notice = if sold {
            let proceeds = high.amount;
            let body = EventBody::Notice {
                owner: read.lot.seller,
                notice: Notice::SoldYours {
                    lot,
                    title: title.clone(),
                    proceeds,
                },
            };
            events.push(HouseEvent {
                id: ids::event(),
                at: now,
                body,
            });
            Notice::Won {
                lot,
                title,
                paid: high.amount,
            }
        } else {
            Notice::Freed {
                lot,
                title,
                freed: high.amount,
            }
        };
        let body = EventBody::Wallet {
            owner: high.bidder,
            wallet,
            notice: Some(notice),
        };
        events.push(HouseEvent {
            id: ids::event(),
            at: now,
            body,
        });
    }
    Ok(events)
}
