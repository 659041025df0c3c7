//! Writing money: wallets, legs and the outbox, each with one array statement.

use super::rows::WalletRow;
use super::transaction::{Tx, TxError};
use crate::events::{Aggregate, HouseEvent};
use shared::ledger::Transfer;
use shared::mutant::{self, Mutant};
use shared::{Currency, LotId, PrincipalId, Timestamp, TransferId};
use std::collections::BTreeMap;

/// Wallets, net, each tested to cover its change.
pub const WALLETS: &str = "UPDATE wallets w
    SET funded_minor = w.funded_minor + d.funded,
        held_minor = w.held_minor + d.held, spent_minor = w.spent_minor + d.spent,
        version = w.version + 1
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[])
         AS d(owner, funded, held, spent)
    WHERE w.principal_id = d.owner AND w.currency = $5
      AND w.held_minor + d.held >= 0
      AND w.held_minor + d.held + w.spent_minor + d.spent
          <= w.funded_minor + d.funded
    RETURNING w.principal_id, w.funded_minor, w.held_minor, w.spent_minor,
              w.version";

/// A change of wallets, net per person.
#[derive(Clone, Debug, Default)]
pub struct WalletChanges(BTreeMap<PrincipalId, Change>);

#[derive(Clone, Copy, Debug, Default)]
struct Change {
    funded_minor: i64,
    held_minor: i64,
    spent_minor: i64,
}

/// The wallet of one owner among those that a commit wrote.
///
/// # Errors
/// [`TxError::Corrupt`] if it is not among them, which the caller's own write rules out.
pub fn wallet_of(rows: &[WalletRow], owner: PrincipalId) -> Result<&WalletRow, TxError> {
    let of_owner = |row: &&WalletRow| row.principal_id == owner.uuid();
    rows.iter()
        .find(of_owner)
        .ok_or(TxError::Corrupt("a wallet that was written"))
}

impl WalletChanges {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds to what is held and spent; negative amounts take away.
    pub fn add(&mut self, owner: PrincipalId, held_minor: i64, spent_minor: i64) {
        let change = self.0.entry(owner).or_default();
        change.held_minor = change.held_minor.saturating_add(held_minor);
        change.spent_minor = change.spent_minor.saturating_add(spent_minor);
    }

    /// Adds to what came in; a negative amount leaves the wallet for a mandate.
    pub fn add_funds(&mut self, owner: PrincipalId, funded_minor: i64) {
        let change = self.0.entry(owner).or_default();
        change.funded_minor = change.funded_minor.saturating_add(funded_minor);
    }

    /// Writes every wallet whose rules the commit rests on, testing that it is covered, and
    /// answers the wallets after it.
    ///
    /// # Errors
    /// [`TxError::Lost`] if a wallet does not cover its change any more.
    pub async fn write(self, tx: &mut Tx, currency: Currency) -> Result<Vec<WalletRow>, TxError> {
        if mutant::is(Mutant::StaleWallet) {
            return self.write_back(tx, currency).await;
        }
        let expected = self.0.len();
        let owners: Vec<_> = self.0.keys().map(|owner| owner.uuid()).collect();
        let funded: Vec<i64> = self.0.values().map(|change| change.funded_minor).collect();
        let held: Vec<i64> = self.0.values().map(|change| change.held_minor).collect();
        let spent: Vec<i64> = self.0.values().map(|change| change.spent_minor).collect();
        let rows: Vec<WalletRow> = tx
            .fetch_all(
                sqlx::query_as(WALLETS)
                    .bind(owners)
                    .bind(funded)
                    .bind(held)
                    .bind(spent)
                    .bind(currency.code()),
            )
            .await?;
        if rows.len() == expected {
            Ok(rows)
        } else {
            Err(TxError::Lost("wallet"))
        }
    }
}

impl WalletChanges {
    /// How a broken engine writes wallets: as it has read them, with its own changes added.
    async fn write_back(self, tx: &mut Tx, currency: Currency) -> Result<Vec<WalletRow>, TxError> {
        let mut rows = Vec::new();
        for (owner, change) in self.0 {
            let query = sqlx::query_as(
                "SELECT funded_minor, held_minor, spent_minor FROM wallets
                 WHERE principal_id = $1 AND currency = $2",
            );
            let query = query.bind(owner.uuid()).bind(currency.code());
            let (funded, held, spent): (i64, i64, i64) = tx.fetch_one(query).await?;
            let query = sqlx::query_as(
                "UPDATE wallets SET funded_minor = $3, held_minor = $4, spent_minor = $5,
                                    version = version + 1
                 WHERE principal_id = $1 AND currency = $2
                 RETURNING principal_id, funded_minor, held_minor, spent_minor, version",
            );
            let query = query
                .bind(owner.uuid())
                .bind(currency.code())
                .bind(funded + change.funded_minor)
                .bind(held + change.held_minor)
                .bind(spent + change.spent_minor);
            rows.push(tx.fetch_one(query).await?);
        }
        Ok(rows)
    }
}

/// Posts transfers under ids of the caller's: every leg of each, in one statement.
///
/// # Errors
/// What the database says.
pub async fn post(
    tx: &mut Tx,
    transfers: &[(TransferId, Transfer)],
    lot: Option<LotId>,
    at: Timestamp,
) -> Result<(), TxError> {
    let mut columns = LegColumns::default();
    for (id, transfer) in transfers {
        let legs = transfer.legs();
        // Release builds test it too: an unbalanced transfer must never be written (audit A1).
        let sum: i64 = legs.iter().map(|leg| leg.amount.minor()).sum();
        if sum != 0 {
            return Err(TxError::Corrupt("legs that do not sum to zero"));
        }
        for (number, leg) in (0_i16..).zip(legs) {
            columns.transfer.push(id.uuid());
            columns.leg.push(number);
            columns.kind.push(transfer.kind().word());
            columns.owner.push(leg.account.owner.uuid());
            columns.account.push(leg.account.kind.word());
            columns.subaccount.push(leg.account.subaccount);
            columns.currency.push(leg.amount.currency().code());
            columns.minor.push(leg.amount.minor());
        }
    }
    let expected = columns.leg.len();
    let query = sqlx::query(
        "INSERT INTO legs
            (transfer_id, leg, kind, owner_id, account, currency, amount_minor, subaccount_id,
             lot_id, at_ms)
         SELECT t, n, k, o, a, c, m, s, $9, $10
         FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::uuid[], $5::text[], $6::text[],
                     $7::bigint[], $8::uuid[]) AS d(t, n, k, o, a, c, m, s)",
    )
    .bind(columns.transfer)
    .bind(columns.leg)
    .bind(columns.kind)
    .bind(columns.owner)
    .bind(columns.account)
    .bind(columns.currency)
    .bind(columns.minor)
    .bind(columns.subaccount)
    .bind(lot.map(LotId::uuid))
    .bind(at.0);
    tx.must_write(expected, "legs", query).await
}

#[derive(Default)]
struct LegColumns {
    transfer: Vec<uuid::Uuid>,
    leg: Vec<i16>,
    kind: Vec<&'static str>,
    owner: Vec<uuid::Uuid>,
    account: Vec<&'static str>,
    currency: Vec<&'static str>,
    minor: Vec<i64>,
    subaccount: Vec<Option<uuid::Uuid>>,
}

/// The aggregate's name in the outbox.
#[must_use]
pub fn aggregate_name(aggregate: Aggregate) -> String {
    match aggregate {
        Aggregate::Lot(lot) => lot.to_string(),
        Aggregate::Wallet(owner) => owner.to_string(),
        Aggregate::Item(item) => item.to_string(),
        Aggregate::Mandate(mandate) => mandate.to_string(),
    }
}

/// The outbox rows of some events, a column each.
#[derive(Default)]
struct OutboxColumns {
    event: Vec<uuid::Uuid>,
    aggregate: Vec<String>,
    version: Vec<i64>,
    payload: Vec<String>,
    created_at_ms: Vec<i64>,
    listed: Vec<bool>,
}

/// An event as its outbox row keeps it.
///
/// # Errors
/// Never for events of the house.
pub fn payload(event: &HouseEvent) -> Result<String, TxError> {
    serde_json::to_string(event).map_err(|_unwritable| TxError::Corrupt("payload of an event"))
}

/// Writes the outbox rows of a commit and has its node told after COMMIT.
///
/// # Errors
/// What the database says.
pub async fn publish(tx: &mut Tx, events: Vec<HouseEvent>) -> Result<(), TxError> {
    let mut columns = OutboxColumns::default();
    for event in &events {
        columns.event.push(event.id.uuid());
        columns.aggregate.push(aggregate_name(event.aggregate()));
        let version = event.position().map_or(0, |position| position.offset);
        columns.version.push(version);
        columns.payload.push(payload(event)?);
        columns.created_at_ms.push(event.at.0);
        columns.listed.push(event.is_listed());
    }
    let query = sqlx::query(
        "INSERT INTO outbox (event_id, aggregate, version, payload, created_at_ms, listed, tries,
                             published)
         SELECT e, a, v, p, c, l, 0, false
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::boolean[])
              AS d(e, a, v, p, c, l)",
    )
    .bind(columns.event)
    .bind(columns.aggregate)
    .bind(columns.version)
    .bind(columns.payload)
    .bind(columns.created_at_ms)
    .bind(columns.listed);
    tx.must_write(events.len(), "outbox", query).await?;
    for event in events {
        tx.tell(event);
    }
    Ok(())
}
