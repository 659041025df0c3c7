//! A claim on a Dutch lot or a drop. One transaction:
//!
//! BEGIN; read key, lot, wallet, limit and stock; key row; then the decisive row: the lot for
//! Dutch, the buckets (and the limit) for a drop; wallet; claim row; legs; outbox; COMMIT. A
//! refusal writes the key row only. A drop's claim does not write the lot's row: closing a drop
//! writes every bucket, so the two cannot both succeed.

use super::bid::Answer;
use super::decision::{Decision, activity, wallet_of};
use super::keys::{Keyed, Route};
use super::posting::{WalletChanges, post, publish};
use super::rows::{LotRead, WalletRow};
use super::transaction::{Command, Tx, TxError};
use crate::events::{EventBody, HouseEvent};
use crate::ids;
use app::ports::{Actor, ClaimReceipt, KeptOutcome};
use async_trait::async_trait;
use shared::auction::{self, Book, ClaimAccepted, Drop, Refusal, Status, allocate};
use shared::ledger::Transfer;
use shared::live::{LotEvent, Position};
use shared::view::{ActivityKind, LadderLine, Notice, Outcome, Terms};
use shared::{ClaimId, IdempotencyKey, LotId, Money, Timestamp, TransferId};

/// A claim.
pub struct PlaceClaim {
    actor: Actor,
    keyed: Keyed,
    lot: LotId,
    units: u32,
    max_price: Money,
}

impl PlaceClaim {
    /// A claim by `actor`.
    #[must_use]
    pub fn new(
        actor: Actor,
        key: IdempotencyKey,
        lot: LotId,
        units: u32,
        max_price: Money,
    ) -> Self {
        let meaning: [&dyn std::fmt::Display; 4] =
            [&lot, &units, &max_price.minor(), &max_price.currency()];
        let keyed = Keyed::new(actor.person.id, key, Route::Claim, &meaning);
        Self {
            actor,
            keyed,
            lot,
            units,
            max_price,
        }
    }
}

#[async_trait]
impl Command for PlaceClaim {
    type Answer = Answer;
    const NAME: &'static str = "claim";

    async fn attempt(&self, tx: &mut Tx) -> Result<Answer, TxError> {
        let decision = Decision::read(tx, &self.keyed, self.actor.person.id, self.lot).await?;
        if let Some(kept) = decision.kept {
            return Ok((kept, true));
        }
        match self.decide(&decision)? {
            Err(refusal) => {
                let outcome = KeptOutcome::Refused(refusal);
                self.keyed.keep(tx, &outcome, None, decision.now).await?;
                Ok((outcome, false))
            }
            Ok((read, accepted)) => self.accept(tx, &decision, read, accepted).await,
        }
    }
}

impl PlaceClaim {
    fn decide<'d>(
        &self,
        decision: &'d Decision,
    ) -> Result<Result<(&'d LotRead, ClaimAccepted), Refusal>, TxError> {
        let Some(read) = &decision.lot else {
            return Ok(Err(Refusal::NotFound));
        };
        let claim = auction::Claim {
            buyer: self.actor.person.id,
            region: self.actor.region,
            units: self.units,
            max_price: self.max_price,
        };
        let available = decision.available(read.lot.currency)?;
        let decided = read
            .lot
            .claim(&claim, available, decision.bought, decision.now);
        Ok(decided.map(|accepted| (read, accepted)))
    }

    async fn accept(
        &self,
        tx: &mut Tx,
        decision: &Decision,
        read: &LotRead,
        accepted: ClaimAccepted,
    ) -> Result<Answer, TxError> {
        let now = decision.now;
        let claim = ids::claim();
        let line = LadderLine {
            id: claim.to_string(),
            who: self.actor.person.clone(),
            region: self.actor.region,
            amount: accepted.price,
            units: accepted.units,
            at: now,
        };
        let transfer = (
            ids::transfer(),
            Transfer::purchase(line.who.id, read.lot.seller, accepted.total)
                .ok_or(TxError::Corrupt("a claim's total"))?,
        );
        let receipt = ClaimReceipt {
            line: line.clone(),
            total: accepted.total,
            transfer: transfer.0,
        };
        let outcome = KeptOutcome::Claim(receipt);
        let effect = Some(claim.uuid());
        self.keyed.keep(tx, &outcome, effect, now).await?;
        // What others contend for comes first, so that a lost race costs the fewest statements.
        match &read.lot.book {
            Book::English(_) => return Err(TxError::Corrupt("a claim on an English lot")),
            Book::Dutch(_) => self.write_lot(tx, read, claim, now).await?,
            Book::Drop(drop) => self.take_stock(tx, decision, drop).await?,
        }
        let mut changes = WalletChanges::default();
        changes.add(line.who.id, 0, accepted.total.minor());
        let wallets = changes.write(tx, accepted.total.currency()).await?;
        self.write_claim(tx, claim, transfer.0, accepted, now)
            .await?;
        post(tx, &[transfer], Some(self.lot), now).await?;
        publish(tx, events(read, accepted, &line, &wallets, now)?).await?;
        Ok((outcome, false))
    }

    /// A Dutch lot is sold by its one claim.
    async fn write_lot(
        &self,
        tx: &mut Tx,
        read: &LotRead,
        claim: ClaimId,
        now: Timestamp,
    ) -> Result<(), TxError> {
        let query = sqlx::query(
            "UPDATE lots
             SET winning_claim_id = $3, status = 'sold', settled_at_ms = $4,
                 version = version + 1
             WHERE lot_id = $1 AND version = $2 AND status = 'open'",
        )
        .bind(self.lot.uuid())
        .bind(read.lot.version)
        .bind(claim.uuid())
        .bind(now.0);
        tx.must_write(1, "lot", query).await
    }

    async fn take_stock(
        &self,
        tx: &mut Tx,
        decision: &Decision,
        drop: &Drop,
    ) -> Result<(), TxError> {
        let start = rand::random_range(0..decision.buckets.len().max(1));
        let takes = allocate(&decision.buckets, self.units, start);
        // The rules counted the same buckets, so they suffice unless some are closed.
        let takes = takes.ok_or(TxError::Lost("bucket"))?;
        let numbers: Vec<i32> = takes.iter().map(|take| take.number).collect();
        let units: Vec<i32> = takes
            .iter()
            .map(|take| i32::try_from(take.units).unwrap_or(i32::MAX))
            .collect();
        let query = sqlx::query(
            "UPDATE inventory_buckets b
             SET available = b.available - d.units, version = b.version + 1
             FROM unnest($2::integer[], $3::integer[]) AS d(bucket, units)
             WHERE b.lot_id = $1 AND b.bucket = d.bucket AND b.open AND b.available >= d.units",
        )
        .bind(self.lot.uuid())
        .bind(numbers)
        .bind(units);
        tx.must_write(takes.len(), "bucket", query).await?;
        let Some(limit) = drop.limit else {
            return Ok(());
        };
        let query = sqlx::query(
            "INSERT INTO purchase_limits (lot_id, buyer_id, units) VALUES ($1, $2, $3)
             ON CONFLICT (lot_id, buyer_id) DO UPDATE
             SET units = purchase_limits.units + excluded.units
             WHERE purchase_limits.units + excluded.units <= $4",
        )
        .bind(self.lot.uuid())
        .bind(self.actor.person.id.uuid())
        .bind(i32::try_from(self.units).unwrap_or(i32::MAX))
        .bind(i32::try_from(limit).unwrap_or(i32::MAX));
        tx.must_write(1, "limit", query).await
    }

    async fn write_claim(
        &self,
        tx: &mut Tx,
        claim: ClaimId,
        transfer: TransferId,
        accepted: ClaimAccepted,
        now: Timestamp,
    ) -> Result<(), TxError> {
        let query = sqlx::query(
            "INSERT INTO claims (claim_id, lot_id, buyer_id, transfer_id, region, currency, units,
                                 price_minor, max_price_minor, at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(claim.uuid())
        .bind(self.lot.uuid())
        .bind(self.actor.person.id.uuid())
        .bind(transfer.uuid())
        .bind(self.actor.region.code())
        .bind(accepted.price.currency().code())
        .bind(i32::try_from(accepted.units).unwrap_or(i32::MAX))
        .bind(accepted.price.minor())
        .bind(self.max_price.minor())
        .bind(now.0);
        tx.must_write(1, "claim", query).await
    }
}

fn events(
    read: &LotRead,
    accepted: ClaimAccepted,
    line: &LadderLine,
    wallets: &[WalletRow],
    now: Timestamp,
) -> Result<Vec<HouseEvent>, TxError> {
    let id = ids::event();
    let mut card = read.view.clone();
    let (lot, title, currency) = (card.id, card.title.clone(), card.currency);
    let body = if let Terms::Drop { units_left, .. } = &mut card.terms {
        *units_left = units_left.saturating_sub(accepted.units);
        let units_left = *units_left;
        let activity = activity(id, &card, ActivityKind::Claimed, Some(line), now);
        EventBody::Stock {
            lot,
            units_left,
            line: line.clone(),
            card: Box::new(card),
            activity,
            listed: read.listed,
        }
    } else {
        card.offset += 1;
        card.status = Status::Sold;
        card.closes_at = card.closes_at.min(now);
        let outcome = Outcome::Sold { line: line.clone() };
        card.outcome = Some(outcome.clone());
        let activity = activity(id, &card, ActivityKind::Sold, Some(line), now);
        let position = Position {
            epoch: card.epoch,
            offset: card.offset,
        };
        let event = LotEvent::Closed {
            status: Status::Sold,
            outcome,
            closes_at: card.closes_at,
        };
        EventBody::Lot {
            lot,
            position,
            event,
            card: Box::new(card),
            activity,
            listed: read.listed,
        }
    };
    let wallet = wallet_of(wallets, line.who.id)?.view(currency)?;
    let won = Notice::Won {
        lot,
        title: title.clone(),
        paid: accepted.total,
    };
    let sold = Notice::SoldYours {
        lot,
        title,
        proceeds: accepted.total,
    };
    let more = [
        EventBody::Wallet {
            owner: line.who.id,
            wallet,
            notice: Some(won),
        },
        EventBody::Notice {
            owner: read.lot.seller,
            notice: sold,
        },
    ];
    let mut events = vec![HouseEvent { id, at: now, body }];
    events.extend(more.map(|body| HouseEvent {
        id: ids::event(),
        at: now,
        body,
    }));
    Ok(events)
}
