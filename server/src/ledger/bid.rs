//! A bid on an English lot. One transaction, eleven round trips:
//!
//! 1. BEGIN; 2. read key, lot and wallet; 3. key row; 4. lot row (the decisive one);
//! 5. wallets of the new and the old leader; 6. bid row; 7. new hold; 8. old hold;
//! 9. legs; 10. outbox; COMMIT. A refusal writes the key row only.

use super::decision::{Decision, activity, wallet_of};
use super::keys::{Keyed, Route};
use super::posting::{WalletChanges, post, publish};
use super::rows::{LotRead, WalletRow};
use super::transaction::{Command, Tx, TxError};
use crate::events::{EventBody, HouseEvent};
use crate::ids;
use app::ports::{Actor, BidReceipt, KeptOutcome};
use async_trait::async_trait;
use shared::auction::{Bid, BidAccepted, Book, HighBid, Refusal};
use shared::ledger::Transfer;
use shared::live::{LotEvent, Position};
use shared::view::{ActivityKind, LadderLine, LotView, Notice, Reserve, Terms};
use shared::{IdempotencyKey, LotId, Money, Timestamp};

/// A bid.
pub struct PlaceBid {
    actor: Actor,
    keyed: Keyed,
    lot: LotId,
    amount: Money,
}

impl PlaceBid {
    /// A bid by `actor`.
    #[must_use]
    pub fn new(actor: Actor, key: IdempotencyKey, lot: LotId, amount: Money) -> Self {
        let meaning: [&dyn std::fmt::Display; 3] = [&lot, &amount.minor(), &amount.currency()];
        let keyed = Keyed::new(actor.person.id, key, Route::Bid, &meaning);
        Self {
            actor,
            keyed,
            lot,
            amount,
        }
    }
}

/// An answer, and whether the key had it already.
pub type Answer = (KeptOutcome, bool);

#[async_trait]
impl Command for PlaceBid {
    type Answer = Answer;
    const NAME: &'static str = "bid";

    async fn attempt(&self, tx: &mut Tx) -> Result<Answer, TxError> {
        let decision = Decision::read(tx, &self.keyed, self.actor.person.id, self.lot).await?;
        if let Some(kept) = decision.kept {
            return Ok((kept, true));
        }
        let now = decision.now;
        let decided = match &decision.lot {
            None => Err(Refusal::NotFound),
            Some(read) => {
                let bid = Bid {
                    bidder: self.actor.person.id,
                    region: self.actor.region,
                    amount: self.amount,
                };
                let available = decision.available(read.lot.currency)?;
                read.lot
                    .bid(&bid, available, now)
                    .map(|accepted| (read, accepted))
            }
        };
        match decided {
            Err(refusal) => {
                let outcome = KeptOutcome::Refused(refusal);
                self.keyed.keep(tx, &outcome, None, now).await?;
                Ok((outcome, false))
            }
            Ok((read, accepted)) => self.accept(tx, read, &accepted, now).await,
        }
    }
}

impl PlaceBid {
    async fn accept(
        &self,
        tx: &mut Tx,
        read: &LotRead,
        accepted: &BidAccepted,
        now: Timestamp,
    ) -> Result<Answer, TxError> {
        let high = HighBid {
            bid: ids::bid(),
            bidder: self.actor.person.id,
            hold: ids::hold(),
            amount: accepted.amount,
        };
        let line = LadderLine {
            id: high.bid.to_string(),
            who: self.actor.person.clone(),
            region: self.actor.region,
            amount: accepted.amount,
            units: 1,
            at: now,
        };
        let receipt = BidReceipt {
            line: line.clone(),
            version: accepted.version,
            closes_at: accepted.closes_at,
            next_minimum: accepted.next_minimum,
        };
        let outcome = KeptOutcome::Bid(receipt);
        let effect = Some(high.bid.uuid());
        self.keyed.keep(tx, &outcome, effect, now).await?;
        self.write_lot(tx, read, accepted, high).await?;
        let wallets = write_wallets(tx, accepted, high).await?;
        self.write_bid_and_holds(tx, accepted, high, now).await?;
        let void = accepted
            .displaced
            .and_then(|old| Transfer::void(old.bidder, old.amount));
        let moves = void
            .into_iter()
            .chain(Transfer::hold(high.bidder, high.amount));
        let transfers: Vec<_> = moves.map(|transfer| (ids::transfer(), transfer)).collect();
        post(tx, &transfers, Some(self.lot), now).await?;
        publish(tx, events(read, accepted, &line, &wallets, now)?).await?;
        Ok((outcome, false))
    }

    async fn write_lot(
        &self,
        tx: &mut Tx,
        read: &LotRead,
        accepted: &BidAccepted,
        high: HighBid,
    ) -> Result<(), TxError> {
        let query = sqlx::query(
            "UPDATE lots
             SET high_bid_id = $3, high_bidder_id = $4, high_hold_id = $5, high_minor = $6,
                 closes_at_ms = $7, version = version + 1
             WHERE lot_id = $1 AND version = $2 AND status = 'open'",
        )
        .bind(self.lot.uuid())
        .bind(read.lot.version)
        .bind(high.bid.uuid())
        .bind(high.bidder.uuid())
        .bind(high.hold.uuid())
        .bind(high.amount.minor())
        .bind(accepted.closes_at.0);
        tx.must_write(1, "lot", query).await
    }

    async fn write_bid_and_holds(
        &self,
        tx: &mut Tx,
        accepted: &BidAccepted,
        high: HighBid,
        now: Timestamp,
    ) -> Result<(), TxError> {
        let currency = high.amount.currency().code();
        let bid = sqlx::query(
            "INSERT INTO bids (bid_id, lot_id, lot_version, bidder_id, hold_id, region, currency,
                               amount_minor, at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(high.bid.uuid())
        .bind(self.lot.uuid())
        .bind(accepted.version)
        .bind(high.bidder.uuid())
        .bind(high.hold.uuid())
        .bind(self.actor.region.code())
        .bind(currency)
        .bind(high.amount.minor())
        .bind(now.0);
        tx.must_write(1, "bid", bid).await?;
        let hold = sqlx::query(
            "INSERT INTO holds (hold_id, lot_id, bid_id, owner_id, currency, amount_minor, state,
                                created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, 'live', $7)",
        )
        .bind(high.hold.uuid())
        .bind(self.lot.uuid())
        .bind(high.bid.uuid())
        .bind(high.bidder.uuid())
        .bind(currency)
        .bind(high.amount.minor())
        .bind(now.0);
        tx.must_write(1, "hold", hold).await?;
        match accepted.displaced {
            Some(old) => end_hold(tx, old, "voided", now).await,
            None => Ok(()),
        }
    }
}

/// Ends a hold, once: `captured` or `voided`.
///
/// # Errors
/// [`TxError::Lost`] if it has ended already.
pub async fn end_hold(
    tx: &mut Tx,
    high: HighBid,
    state: &'static str,
    now: Timestamp,
) -> Result<(), TxError> {
    let query = sqlx::query(
        "UPDATE holds SET state = $2, ended_at_ms = $3 WHERE hold_id = $1 AND state = 'live'",
    )
    .bind(high.hold.uuid())
    .bind(state)
    .bind(now.0);
    tx.must_write(1, "hold", query).await
}

async fn write_wallets(
    tx: &mut Tx,
    accepted: &BidAccepted,
    high: HighBid,
) -> Result<Vec<WalletRow>, TxError> {
    let mut changes = WalletChanges::default();
    changes.add(high.bidder, high.amount.minor(), 0);
    if let Some(old) = accepted.displaced {
        // For a raise of one's own bid the two add up to the difference, on one row.
        changes.add(old.bidder, -old.amount.minor(), 0);
    }
    changes.write(tx, high.amount.currency()).await
}

fn view_after(read: &LotRead, accepted: &BidAccepted, line: &LadderLine) -> (LotView, Reserve) {
    let mut view = read.view.clone();
    view.offset = accepted.version;
    view.closes_at = accepted.closes_at;
    let reserve = match &read.lot.book {
        Book::English(english) => match english.reserve {
            None => Reserve::None,
            Some(least) if accepted.amount.minor() >= least.minor() => Reserve::Met,
            Some(_) => Reserve::NotMet,
        },
        Book::Dutch(_) | Book::Drop(_) => Reserve::None,
    };
    if let Terms::English {
        leader,
        next_minimum,
        reserve: met,
        ..
    } = &mut view.terms
    {
        *leader = Some(line.clone());
        *next_minimum = Some(accepted.next_minimum);
        *met = reserve;
    }
    (view, reserve)
}

fn events(
    read: &LotRead,
    accepted: &BidAccepted,
    line: &LadderLine,
    wallets: &[WalletRow],
    now: Timestamp,
) -> Result<Vec<HouseEvent>, TxError> {
    let (card, reserve) = view_after(read, accepted, line);
    let currency = card.currency;
    let id = ids::event();
    let activity = activity(id, &card, ActivityKind::Bid, Some(line), now);
    let title = card.title.clone();
    let event = LotEvent::Bid {
        line: line.clone(),
        closes_at: accepted.closes_at,
        extended: accepted.extended,
        reserve,
        next_minimum: accepted.next_minimum,
    };
    let position = Position {
        epoch: card.epoch,
        offset: accepted.version,
    };
    let lot = card.id;
    let body = EventBody::Lot {
        lot,
        position,
        event,
        card: Box::new(card),
        activity,
        listed: read.listed,
    };
    let mut events = vec![HouseEvent { id, at: now, body }];
    let displaced = accepted.displaced.filter(|old| old.bidder != line.who.id);
    let outbid = displaced.map(|old| {
        let notice = Notice::Outbid {
            lot,
            title,
            freed: old.amount,
            price: accepted.amount,
        };
        (old.bidder, Some(notice))
    });
    for (owner, notice) in std::iter::once((line.who.id, None)).chain(outbid) {
        let wallet = wallet_of(wallets, owner)?.view(currency)?;
        let body = EventBody::Wallet {
            owner,
            wallet,
            notice,
        };
        events.push(HouseEvent {
            id: ids::event(),
            at: now,
            body,
        });
    }
    Ok(events)
}
