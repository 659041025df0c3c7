//! The witness of a proof run: what the committed rows say of its lots, its money and its keys, each
//! answer from one snapshot. Replies are not asked.

use super::super::keys::read_outcome;
use super::super::rows::now_ms;
use super::super::transaction::{Tx, TxError};
use app::ports::KeptOutcome;
use shared::{BidId, ClaimId, EventId, LotId, MandateId, PrincipalId, PurchaseId};
use uuid::Uuid;

/// Some lots together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Claims stored.
    pub claims: u64,
    /// Units in them.
    pub units_claimed: u64,
    /// Units left in stock.
    pub units_left: u64,
    /// Minor units that sellers are owed.
    pub credited_minor: i64,
}

/// Counts rows.
///
/// # Errors
/// What the database says.
pub async fn tally(tx: &mut Tx, lots: Vec<Uuid>) -> Result<Tally, TxError> {
    let query = sqlx::query_as(
        "SELECT
               (SELECT count(*) FROM claims WHERE lot_id = ANY($1)),
               (SELECT coalesce(sum(units), 0)::bigint FROM claims WHERE lot_id = ANY($1)),
               (SELECT coalesce(sum(available), 0)::bigint FROM inventory_buckets
                 WHERE lot_id = ANY($1)),
               (SELECT coalesce(sum(amount_minor), 0)::bigint FROM legs
                 WHERE lot_id = ANY($1) AND account = 'payable')",
    )
    .bind(lots);
    let (claims, units_claimed, units_left, credited_minor): (i64, i64, i64, i64) =
        tx.fetch_one(query).await?;
    let count = |rows: i64| u64::try_from(rows).unwrap_or_default();
    Ok(Tally {
        claims: count(claims),
        units_claimed: count(units_claimed),
        units_left: count(units_left),
        credited_minor,
    })
}

/// A lot's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LotRow {
    /// Identity of its history.
    pub epoch: i64,
    /// The row's version.
    pub version: i64,
    /// The leading bid, in minor units.
    pub high_minor: Option<i64>,
    /// Units that are left of a drop or a Dutch lot.
    pub units_left: Option<i64>,
    /// Whether it is settled, passed or cancelled.
    pub closed: bool,
}

/// Reads a lot's row, `None` if there is no such lot.
///
/// # Errors
/// What the database says.
pub async fn lot(tx: &mut Tx, lot: LotId) -> Result<Option<LotRow>, TxError> {
    let query = sqlx::query_as(
        "SELECT l.epoch, l.version, l.high_minor, l.status <> 'open' AS closed,
                CASE l.mechanism
                  WHEN 'drop' THEN (SELECT coalesce(sum(b.available), 0)::bigint
                                    FROM inventory_buckets b WHERE b.lot_id = l.lot_id)
                  WHEN 'dutch' THEN CASE WHEN l.winning_claim_id IS NULL THEN 1 ELSE 0 END
                END AS units_left
         FROM lots l WHERE l.lot_id = $1",
    )
    .bind(lot.uuid());
    Ok(tx.fetch_all(query).await?.into_iter().next())
}

/// A wallet, or a mandate's budget: what may be used, what is set aside and what was paid, in minor
/// units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AccountRow {
    /// The person, or the mandate.
    pub id: Uuid,
    /// What may be used.
    pub free_minor: i64,
    /// What is set aside.
    pub held_minor: i64,
    /// What was paid.
    pub spent_minor: i64,
    /// The row's version; a budget is many rows and has none.
    pub version: Option<i64>,
}

/// Reads some people's wallets and some mandates' budgets, all in one snapshot.
///
/// # Errors
/// What the database says.
pub async fn accounts(
    tx: &mut Tx,
    people: &[PrincipalId],
    mandates: &[MandateId],
) -> Result<(Vec<AccountRow>, Vec<AccountRow>), TxError> {
    let people: Vec<Uuid> = people.iter().map(|person| person.uuid()).collect();
    let mandates: Vec<Uuid> = mandates.iter().map(|mandate| mandate.uuid()).collect();
    let wallets = sqlx::query_as(
        "SELECT principal_id AS id, funded_minor - held_minor - spent_minor AS free_minor,
                held_minor, spent_minor, version
         FROM wallets WHERE principal_id = ANY($1)",
    )
    .bind(people);
    let wallets = tx.fetch_all(wallets).await?;
    // What was paid is counted from what was bought: from the cap it would always add up.
    let budgets = sqlx::query_as(
        "SELECT m.mandate_id AS id,
                (SELECT coalesce(sum(b.remaining_minor), 0) FROM mandate_buckets b
                 WHERE b.mandate_id = m.mandate_id)::bigint AS free_minor,
                (SELECT coalesce(sum(h.amount_minor), 0) FROM holds h
                 WHERE h.mandate_id = m.mandate_id AND h.state = 'live')::bigint AS held_minor,
                ((SELECT coalesce(sum(p.price_minor * p.quantity - p.refunded_minor), 0)
                  FROM purchases p
                  WHERE p.mandate_id = m.mandate_id AND p.refusal IS NULL)
                 + (SELECT coalesce(sum(c.price_minor * c.units), 0) FROM claims c
                    WHERE c.mandate_id = m.mandate_id)
                 + (SELECT coalesce(sum(h.amount_minor), 0) FROM holds h
                    WHERE h.mandate_id = m.mandate_id AND h.state = 'captured'))::bigint
                  AS spent_minor,
                NULL::bigint AS version
         FROM mandates m WHERE m.mandate_id = ANY($1)",
    )
    .bind(mandates);
    Ok((wallets, tx.fetch_all(budgets).await?))
}

/// What a row of the run is, and the key that its command was sent under; `None` if no key says
/// that it made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectRow {
    /// The key as text.
    pub key: Option<String>,
    /// The bid, the claim, or the lot that was settled.
    pub effect: String,
}

/// Reads every bid, claim and asked-for settlement of some lots, with their keys.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn effects(tx: &mut Tx, lots: &[LotId]) -> Result<Vec<EffectRow>, TxError> {
    let lots: Vec<Uuid> = lots.iter().map(|lot| lot.uuid()).collect();
    let mut effects = Vec::new();
    let bids = sqlx::query_as(
        "SELECT k.key, b.bid_id FROM bids b
         LEFT JOIN idempotency_keys k
           ON k.principal_id = b.bidder_id AND k.effect_id = b.bid_id
         WHERE b.lot_id = ANY($1)",
    )
    .bind(lots.clone());
    let bids: Vec<(Option<String>, Uuid)> = tx.fetch_all(bids).await?;
    effects.extend(bids.into_iter().map(|(key, bid)| EffectRow {
        key,
        effect: BidId::from_uuid(bid).to_string(),
    }));
    let claims = sqlx::query_as(
        "SELECT k.key, c.claim_id FROM claims c
         LEFT JOIN idempotency_keys k
           ON k.principal_id = c.buyer_id AND k.effect_id = c.claim_id
         WHERE c.lot_id = ANY($1)",
    )
    .bind(lots);
    let claims: Vec<(Option<String>, Uuid)> = tx.fetch_all(claims).await?;
    effects.extend(claims.into_iter().map(|(key, claim)| EffectRow {
        key,
        effect: ClaimId::from_uuid(claim).to_string(),
    }));
    Ok(effects)
}

/// Reads the settlements that some people asked for and that were done, with their keys.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn settlements(tx: &mut Tx, people: &[PrincipalId]) -> Result<Vec<EffectRow>, TxError> {
    let people: Vec<Uuid> = people.iter().map(|person| person.uuid()).collect();
    let query = sqlx::query_as(
        "SELECT key, outcome FROM idempotency_keys
         WHERE principal_id = ANY($1) AND route = 'settle'",
    )
    .bind(people);
    let rows: Vec<(String, String)> = tx.fetch_all(query).await?;
    let mut effects = Vec::new();
    for (key, outcome) in rows {
        if let KeptOutcome::Settle(settled) = read_outcome(&outcome)? {
            effects.push(EffectRow {
                key: Some(key),
                effect: settled.lot.to_string(),
            });
        }
    }
    Ok(effects)
}

/// Reads the top-ups that some people asked for and that were done, with their keys; each is named by
/// whose wallet it was.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub async fn top_ups(tx: &mut Tx, people: &[PrincipalId]) -> Result<Vec<EffectRow>, TxError> {
    let people: Vec<Uuid> = people.iter().map(|person| person.uuid()).collect();
    let query = sqlx::query_as(
        "SELECT k.key, g.owner_id FROM legs g
         LEFT JOIN idempotency_keys k
           ON k.principal_id = g.owner_id AND k.effect_id = g.transfer_id
         WHERE g.owner_id = ANY($1) AND g.kind = 'top_up' AND g.account = 'funding'",
    )
    .bind(people);
    let rows: Vec<(Option<String>, Uuid)> = tx.fetch_all(query).await?;
    let row = |(key, owner)| EffectRow {
        key,
        effect: PrincipalId::from_uuid(owner).to_string(),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Reads the purchases that a tenant's agents made.
///
/// # Errors
/// What the database says.
pub async fn purchases(tx: &mut Tx, tenant: PrincipalId) -> Result<Vec<PurchaseId>, TxError> {
    let query = sqlx::query_as(
        "SELECT purchase_id FROM purchases WHERE tenant_id = $1 AND refusal IS NULL",
    )
    .bind(tenant.uuid());
    let rows: Vec<(Uuid,)> = tx.fetch_all(query).await?;
    Ok(rows
        .into_iter()
        .map(|(purchase,)| PurchaseId::from_uuid(purchase))
        .collect())
}

/// Those of some events that are in the rows.
///
/// # Errors
/// What the database says.
pub async fn committed_events(tx: &mut Tx, events: &[EventId]) -> Result<Vec<EventId>, TxError> {
    let events: Vec<Uuid> = events.iter().map(|event| event.uuid()).collect();
    let query = sqlx::query_as("SELECT event_id FROM outbox WHERE event_id = ANY($1)").bind(events);
    let rows: Vec<(Uuid,)> = tx.fetch_all(query).await?;
    Ok(rows
        .into_iter()
        .map(|(event,)| EventId::from_uuid(event))
        .collect())
}

/// What waits to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outbox {
    /// Events.
    pub waiting: i64,
    /// How old the oldest of them is, in milliseconds.
    pub oldest_ms: i64,
}

/// Reads what waits to be published.
///
/// # Errors
/// What the database says.
pub async fn outbox(tx: &mut Tx) -> Result<Outbox, TxError> {
    let query = sqlx::query_as(concat!(
        "SELECT count(*), coalesce(",
        now_ms!(),
        " - min(created_at_ms), 0) FROM outbox WHERE published = false"
    ));
    let (waiting, oldest_ms): (i64, i64) = tx.fetch_one(query).await?;
    Ok(Outbox { waiting, oldest_ms })
}
