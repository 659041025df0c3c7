//! The rows of bids and claims, each kind with one array statement.

use super::super::checkout::mandates::{TAKE_BUDGETS, return_to_wallets};
use super::super::posting::{WalletChanges, post};
use super::super::rows::{LotRead, WalletRow};
use super::super::transaction::{Tx, TxError};
use super::batch::{Taken, TakenAs};
use super::offer::Wish;
use crate::events::BucketState;
use crate::ids;
use shared::auction::plan::{BidTaken, ClaimTaken, LotChanges};
use shared::auction::{Book, HighBid, Lot};
use shared::ledger::{FundSource, Transfer};
use shared::mutant::{self, Mutant};
use shared::{ClaimId, Currency, LotId, MandateId, Timestamp, TransferId};
use std::collections::HashSet;
use uuid::Uuid;

/// A lot after its bids.
const LOT_BY_BIDS: &str = "UPDATE lots
    SET high_bid_id = $4, high_bidder_id = $5, high_mandate_id = $6,
        high_hold_id = $7, high_minor = $8, closes_at_ms = $9, version = $3
    WHERE lot_id = $1 AND version = $2 AND status = 'open'";

/// A Dutch lot after its one claim.
const LOT_BY_CLAIM: &str = "UPDATE lots
    SET winning_claim_id = $4, status = 'sold', settled_at_ms = $5, version = $3
    WHERE lot_id = $1 AND version = $2 AND status = 'open'";

/// A drop's buckets.
const STOCK: &str = "UPDATE inventory_buckets b
    SET available = b.available - d.units, version = b.version + 1
    FROM unnest($2::integer[], $3::integer[]) AS d(bucket, units)
    WHERE b.lot_id = $1 AND b.bucket = d.bucket AND b.open AND b.available >= d.units";

/// What buyers of a drop have.
const LIMITS: &str = "INSERT INTO purchase_limits (lot_id, buyer_id, units)
    SELECT $1::uuid, b, u FROM unnest($2::uuid[], $3::integer[]) AS d(b, u)
    ON CONFLICT (lot_id, buyer_id) DO UPDATE
    SET units = purchase_limits.units + excluded.units
    WHERE purchase_limits.units + excluded.units <= $4";

/// Bids.
const BIDS: &str =
    "INSERT INTO bids (bid_id, lot_id, lot_version, bidder_id, mandate_id, agent_id, hold_id,
                      region, currency, amount_minor, at_ms)
    SELECT b, $1::uuid, v, o, m, g, h, r, $2::text, a, $3::bigint
    FROM unnest($4::uuid[], $5::bigint[], $6::uuid[], $7::uuid[], $8::text[], $9::uuid[],
                $10::text[], $11::bigint[]) AS d(b, v, o, m, g, h, r, a)";

/// Their holds.
const HOLDS: &str =
    "INSERT INTO holds (hold_id, lot_id, bid_id, owner_id, mandate_id, currency, amount_minor,
                       state, created_at_ms, ended_at_ms)
    SELECT h, $1::uuid, b, o, m, $2::text, a, CASE WHEN l THEN 'live' ELSE 'voided' END, $3::bigint,
           CASE WHEN l THEN NULL ELSE $3::bigint END
    FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::bigint[], $9::boolean[])
         AS d(h, b, o, m, a, l)";

/// A hold's end.
const END_HOLD: &str =
    "UPDATE holds SET state = $2, ended_at_ms = $3 WHERE hold_id = $1 AND state = 'live'";

/// Claims.
const CLAIMS: &str =
    "INSERT INTO claims (claim_id, lot_id, buyer_id, mandate_id, agent_id, transfer_id, region,
                        currency, units, price_minor, max_price_minor, at_ms)
    SELECT c, $1::uuid, b, m, g, t, r, $2::text, u, p, x, $3::bigint
    FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::uuid[], $9::text[],
                $10::integer[], $11::bigint[], $12::bigint[])
         AS d(c, b, m, g, t, r, u, p, x)";

/// Every statement of this file, by what it writes, for a test of their plans.
pub const STATEMENTS: [(&str, &str); 8] = [
    ("a lot by bids", LOT_BY_BIDS),
    ("a lot by a claim", LOT_BY_CLAIM),
    ("a drop's stock", STOCK),
    ("limits", LIMITS),
    ("bids", BIDS),
    ("holds", HOLDS),
    ("the end of a hold", END_HOLD),
    ("claims", CLAIMS),
];

/// The bids among accepted offers.
pub fn bids_of<'t>(
    taken: &'t [Taken<'t>],
) -> impl Iterator<Item = (&'t Taken<'t>, &'t BidTaken)> + Clone {
    taken.iter().filter_map(|one| match &one.what {
        TakenAs::Bid(bid) => Some((one, bid.as_ref())),
        TakenAs::Claim(..) => None,
    })
}

/// The claims among accepted offers.
fn claims_of<'t>(
    taken: &'t [Taken<'t>],
) -> impl Iterator<Item = (&'t Taken<'t>, ClaimId, TransferId, &'t ClaimTaken)> + Clone {
    taken.iter().filter_map(|one| match &one.what {
        TakenAs::Bid(_) => None,
        TakenAs::Claim(claim, transfer, what) => Some((one, *claim, *transfer, what)),
    })
}

/// The lot's row, where it decides: by bids, or by a Dutch lot's one claim.
///
/// # Errors
/// [`TxError::Lost`] if it has changed since it was read.
pub async fn lot(
    tx: &mut Tx,
    read: &LotRead,
    after: &Lot,
    taken: &[Taken<'_>],
    now: Timestamp,
) -> Result<(), TxError> {
    let query = match (&after.book, claims_of(taken).next()) {
        (Book::Drop(_), _) => return Ok(()),
        (Book::English(_), _) if mutant::is(Mutant::UnwrittenLot) => return Ok(()),
        (Book::English(english), _) => {
            let high = english
                .high
                .ok_or(TxError::Corrupt("a bid without a leader"))?;
            sqlx::query(LOT_BY_BIDS)
                .bind(after.id.uuid())
                .bind(read.lot.version)
                .bind(after.version)
                .bind(high.bid.uuid())
                .bind(high.bidder().uuid())
                .bind(high.funds.mandate().map(MandateId::uuid))
                .bind(high.hold.uuid())
                .bind(high.amount.minor())
                .bind(after.closes_at.0)
        }
        (Book::Dutch(_), Some((_, claim, ..))) => sqlx::query(LOT_BY_CLAIM)
            .bind(after.id.uuid())
            .bind(read.lot.version)
            .bind(after.version)
            .bind(claim.uuid())
            .bind(now.0),
        (Book::Dutch(_), None) => return Err(TxError::Corrupt("a Dutch lot without a claim")),
    };
    tx.must_write(1, "lot", query).await
}

/// A drop's buckets and the limits of its buyers.
///
/// # Errors
/// [`TxError::Lost`] if the units, or a buyer's right to them, are gone.
pub async fn stock(tx: &mut Tx, read: &LotRead, changes: &LotChanges) -> Result<(), TxError> {
    let Book::Drop(drop) = &read.lot.book else {
        return Ok(());
    };
    tx.takes_from(changes.stock.keys().copied());
    let small = |units: u32| i32::try_from(units).unwrap_or(i32::MAX);
    let units: Vec<i32> = changes.stock.values().copied().map(small).collect();
    let query = sqlx::query(STOCK)
        .bind(read.lot.id.uuid())
        .bind(changes.stock.keys().copied().collect::<Vec<_>>())
        .bind(units);
    tx.must_write(changes.stock.len(), "bucket", query).await?;
    let Some(limit) = drop.limit.filter(|_| !mutant::is(Mutant::CountedLimit)) else {
        return Ok(());
    };
    let buyers: Vec<Uuid> = changes.bought.keys().map(|buyer| buyer.uuid()).collect();
    let units: Vec<i32> = changes.bought.values().copied().map(small).collect();
    let query = sqlx::query(LIMITS)
        .bind(read.lot.id.uuid())
        .bind(buyers)
        .bind(units)
        .bind(small(limit));
    tx.must_write(changes.bought.len(), "limit", query).await
}

/// Money after it was written.
#[derive(Debug, Default)]
pub struct MoneyRows {
    /// Wallets.
    pub wallets: Vec<WalletRow>,
    /// Buckets of mandates.
    pub budgets: Vec<(MandateId, BucketState)>,
}

/// Wallets and mandates: every row that an acceptance rests on, and every one that is given back
/// to.
///
/// # Errors
/// [`TxError::Lost`] if one of them has changed since it was read.
pub async fn money(
    tx: &mut Tx,
    currency: Currency,
    changes: LotChanges,
) -> Result<MoneyRows, TxError> {
    let mut rows = MoneyRows::default();
    let mut wallets = WalletChanges::default();
    for (owner, change) in changes.wallets {
        wallets.add(owner, change.held, change.spent);
        wallets.add_funds(owner, change.funded);
    }
    if !wallets.is_empty() {
        rows.wallets = wallets.write(tx, currency).await?;
    }
    let budgets = changes.budgets;
    if !budgets.is_empty() {
        let query = sqlx::query(TAKE_BUDGETS)
            .bind(budgets.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
            .bind(
                budgets
                    .iter()
                    .map(|(_, row)| row.number)
                    .collect::<Vec<_>>(),
            )
            .bind(
                budgets
                    .iter()
                    .map(|(_, row)| row.version)
                    .collect::<Vec<_>>(),
            )
            .bind(budgets.iter().map(|(_, row)| row.taken).collect::<Vec<_>>());
        tx.must_write(budgets.len(), "budget", query).await?;
    }
    rows.budgets = budgets
        .into_iter()
        .map(|(mandate, row)| {
            let state = BucketState {
                bucket: row.number,
                version: row.version + 1,
                left: row.left,
            };
            (mandate, state)
        })
        .collect();
    return_to_wallets(tx, &changes.returned).await?;
    Ok(rows)
}

/// Bids with their holds, and the end of the hold that led before.
///
/// # Errors
/// What the database says, or [`TxError::Lost`] if the old hold has ended already.
pub async fn bids(
    tx: &mut Tx,
    lot: LotId,
    taken: &[Taken<'_>],
    now: Timestamp,
) -> Result<(), TxError> {
    let bids = bids_of(taken);
    let count = bids.clone().count();
    let Some((_, first)) = bids.clone().next() else {
        return Ok(());
    };
    let high = |get: fn(&HighBid) -> Uuid| -> Vec<Uuid> {
        bids.clone().map(|(_, bid)| get(&bid.high)).collect()
    };
    let mandates: Vec<Option<Uuid>> = bids
        .clone()
        .map(|(_, bid)| bid.high.funds.mandate().map(MandateId::uuid))
        .collect();
    let amounts: Vec<i64> = bids
        .clone()
        .map(|(_, bid)| bid.high.amount.minor())
        .collect();
    let currency = first.high.amount.currency().code();
    let regions = bids.clone().map(|(one, _)| one.offer.region.code());
    let versions = bids.clone().map(|(_, bid)| bid.accepted.version);
    let query = sqlx::query(BIDS)
        .bind(lot.uuid())
        .bind(currency)
        .bind(now.0)
        .bind(high(|high| high.bid.uuid()))
        .bind(versions.collect::<Vec<_>>())
        .bind(high(|high| high.bidder().uuid()))
        .bind(mandates.clone())
        .bind(agents(bids.clone().map(|(one, _)| one)))
        .bind(high(|high| high.hold.uuid()))
        .bind(regions.collect::<Vec<_>>())
        .bind(amounts.clone());
    tx.must_write(count, "bid", query).await?;
    // Bids that were outbid within the batch had their holds, and lost them at the same moment.
    let outbid: HashSet<_> = bids
        .clone()
        .filter_map(|(_, bid)| bid.freed.map(|freed| freed.high.hold))
        .collect();
    let live = bids
        .clone()
        .map(|(_, bid)| !outbid.contains(&bid.high.hold));
    let query = sqlx::query(HOLDS)
        .bind(lot.uuid())
        .bind(currency)
        .bind(now.0)
        .bind(high(|high| high.hold.uuid()))
        .bind(high(|high| high.bid.uuid()))
        .bind(high(|high| high.bidder().uuid()))
        .bind(mandates)
        .bind(amounts)
        .bind(live.collect::<Vec<_>>());
    tx.must_write(count, "hold", query).await?;
    match first.freed {
        Some(freed) => end_hold(tx, freed.high, "voided", now).await,
        None => Ok(()),
    }
}

fn agents<'t>(taken: impl Iterator<Item = &'t Taken<'t>>) -> Vec<Option<String>> {
    let name = |one: &Taken<'_>| {
        one.offer
            .agent
            .as_ref()
            .map(|agent| agent.as_str().to_owned())
    };
    taken.map(name).collect()
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
    let query = sqlx::query(END_HOLD)
        .bind(high.hold.uuid())
        .bind(state)
        .bind(now.0);
    tx.must_write(1, "hold", query).await
}

/// Claims.
///
/// # Errors
/// What the database says.
pub async fn claims(
    tx: &mut Tx,
    lot: LotId,
    taken: &[Taken<'_>],
    now: Timestamp,
) -> Result<(), TxError> {
    let claims = claims_of(taken);
    let count = claims.clone().count();
    let Some((_, _, _, first)) = claims.clone().next() else {
        return Ok(());
    };
    let funds = claims.clone().map(|(one, ..)| one.offer.funds);
    let mandates = funds
        .clone()
        .map(|funds| funds.mandate().map(MandateId::uuid));
    let buyers = funds.map(FundSource::owner);
    let units = claims.clone().map(|(.., what)| what.accepted.units);
    let most = claims.clone().map(|(one, .., what)| match one.offer.wish {
        Wish::Claim { max_price, .. } => max_price.minor(),
        Wish::Bid { .. } => what.accepted.price.minor(),
    });
    let query = sqlx::query(CLAIMS)
        .bind(lot.uuid())
        .bind(first.accepted.price.currency().code())
        .bind(now.0)
        .bind(
            claims
                .clone()
                .map(|(_, claim, ..)| claim.uuid())
                .collect::<Vec<_>>(),
        )
        .bind(buyers.map(|buyer| buyer.uuid()).collect::<Vec<_>>())
        .bind(mandates.collect::<Vec<_>>())
        .bind(agents(claims.clone().map(|(one, ..)| one)))
        .bind(
            claims
                .clone()
                .map(|(_, _, transfer, _)| transfer.uuid())
                .collect::<Vec<_>>(),
        )
        .bind(
            claims
                .clone()
                .map(|(one, ..)| one.offer.region.code())
                .collect::<Vec<_>>(),
        )
        .bind(
            units
                .map(|units| i32::try_from(units).unwrap_or(i32::MAX))
                .collect::<Vec<_>>(),
        )
        .bind(
            claims
                .clone()
                .map(|(.., what)| what.accepted.price.minor())
                .collect::<Vec<_>>(),
        )
        .bind(most.collect::<Vec<_>>());
    tx.must_write(count, "claim", query).await
}

/// The legs of everything that moved.
///
/// # Errors
/// What the database says.
pub async fn transfers(
    tx: &mut Tx,
    lot: LotId,
    taken: &[Taken<'_>],
    now: Timestamp,
) -> Result<(), TxError> {
    let mut transfers: Vec<(TransferId, Transfer)> = Vec::new();
    for one in taken {
        match &one.what {
            TakenAs::Bid(bid) => {
                transfers.extend(bid.transfers.iter().map(|t| (ids::transfer(), *t)));
            }
            TakenAs::Claim(_, transfer, what) => transfers.push((*transfer, what.transfer)),
        }
    }
    post(tx, &transfers, Some(lot), now).await
}
