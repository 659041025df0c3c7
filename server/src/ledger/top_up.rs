//! Demo money into a wallet: bounded, keyed, and a transfer like any other.

use super::keys::{Keyed, Route};
use super::posting::{post, publish};
use super::rows::{WalletRow, now_ms};
use super::transaction::{Command, Tx, TxError};
use crate::events::{EventBody, HouseEvent};
use crate::ids;
use app::ports::{Actor, KeptOutcome, TopUpReceipt};
use async_trait::async_trait;
use shared::auction::Refusal;
use shared::ledger::{Transfer, Wallet};
use shared::{Currency, IdempotencyKey, Money, PrincipalId, Timestamp};

/// The most that a demo wallet may have free after a top-up, in major units: enough for any lot
/// of the demo, and far from the range's end.
pub const MAX_AVAILABLE_MAJOR: i64 = 100_000;

/// A top-up.
pub struct TopUp {
    owner: PrincipalId,
    keyed: Keyed,
    amount: Money,
}

#[derive(sqlx::FromRow)]
struct Row {
    now_ms: i64,
    fingerprint: Option<Vec<u8>>,
    outcome: Option<String>,
    principal_id: Option<uuid::Uuid>,
    funded_minor: Option<i64>,
    held_minor: Option<i64>,
    spent_minor: Option<i64>,
    version: Option<i64>,
}

/// The most that a demo wallet may have free.
///
/// # Errors
/// Never for the currencies of the house.
pub fn most_available(currency: Currency) -> Result<Money, TxError> {
    let minor = MAX_AVAILABLE_MAJOR.saturating_mul(10_i64.pow(currency.exponent()));
    Money::new(minor, currency).map_err(|_range| TxError::Corrupt("top-up bound"))
}

impl TopUp {
    /// A top-up of the actor's own wallet.
    #[must_use]
    pub fn new(actor: &Actor, key: IdempotencyKey, amount: Money) -> Self {
        let owner = actor.person.id;
        let meaning: [&dyn std::fmt::Display; 2] = [&amount.minor(), &amount.currency()];
        Self {
            owner,
            keyed: Keyed::new(owner, key, Route::TopUp, &meaning),
            amount,
        }
    }

    async fn read(&self, tx: &mut Tx) -> Result<Row, TxError> {
        tx.fetch_one(
            sqlx::query_as(concat!(
                "SELECT ",
                now_ms!(),
                " AS now_ms, k.fingerprint, k.outcome, w.principal_id, w.funded_minor,
                   w.held_minor, w.spent_minor, w.version
                 FROM (SELECT 1) AS one
                 LEFT JOIN idempotency_keys k
                    ON k.principal_id = $1 AND k.key = $2 AND k.route = $3
                 LEFT JOIN wallets w ON w.principal_id = $1 AND w.currency = $4"
            ))
            .bind(self.owner.uuid())
            .bind(self.keyed.key.as_str().to_owned())
            .bind(self.keyed.route_word())
            .bind(self.amount.currency().code()),
        )
        .await
    }

    fn decide(&self, before: &Wallet) -> Result<Wallet, Refusal> {
        if self.amount.minor() <= 0 {
            return Err(Refusal::InvalidAmount);
        }
        let currency = self.amount.currency();
        let limit = most_available(currency).map_err(|_never| Refusal::InvalidAmount)?;
        let room = limit
            .checked_sub(before.available())
            .unwrap_or(Money::zero(currency));
        let most = if room.minor() > 0 {
            room
        } else {
            Money::zero(currency)
        };
        if self.amount.minor() > most.minor() {
            return Err(Refusal::TopUpLimit { most });
        }
        before
            .top_up(self.amount)
            .map_err(|_range| Refusal::TopUpLimit { most })
    }

    async fn write_wallet(&self, tx: &mut Tx, before: Option<i64>) -> Result<(), TxError> {
        let (owner, currency) = (self.owner.uuid(), self.amount.currency().code());
        let query = match before {
            Some(version) => sqlx::query(
                "UPDATE wallets SET funded_minor = funded_minor + $3, version = version + 1
                 WHERE principal_id = $1 AND currency = $2 AND version = $4",
            )
            .bind(owner)
            .bind(currency)
            .bind(self.amount.minor())
            .bind(version),
            None => sqlx::query(
                "INSERT INTO wallets (principal_id, currency, funded_minor, held_minor,
                                      spent_minor, version)
                 VALUES ($1, $2, $3, 0, 0, 1)",
            )
            .bind(owner)
            .bind(currency)
            .bind(self.amount.minor()),
        };
        tx.must_write(1, "wallet", query).await
    }
}

#[async_trait]
impl Command for TopUp {
    /// The answer, and whether its key had it already.
    type Answer = (KeptOutcome, bool);
    const NAME: &'static str = "top_up";

    async fn attempt(&self, tx: &mut Tx) -> Result<(KeptOutcome, bool), TxError> {
        let row = self.read(tx).await?;
        if let Some(kept) = self
            .keyed
            .kept(row.fingerprint.as_deref(), row.outcome.as_deref())?
        {
            return Ok((kept, true));
        }
        let now = Timestamp(row.now_ms);
        let currency = self.amount.currency();
        let before = row.principal_id.map(|principal_id| WalletRow {
            principal_id,
            funded_minor: row.funded_minor.unwrap_or_default(),
            held_minor: row.held_minor.unwrap_or_default(),
            spent_minor: row.spent_minor.unwrap_or_default(),
            version: row.version.unwrap_or_default(),
        });
        let wallet = before.map_or(Ok(Wallet::empty(currency)), |row| row.wallet(currency))?;
        let after = match self.decide(&wallet) {
            Ok(after) => after,
            Err(refusal) => {
                let outcome = KeptOutcome::Refused(refusal);
                self.keyed.keep(tx, &outcome, None, now).await?;
                return Ok((outcome, false));
            }
        };
        let wallet = WalletRow {
            principal_id: self.owner.uuid(),
            funded_minor: after.funded.minor(),
            held_minor: after.held.minor(),
            spent_minor: after.spent.minor(),
            version: before.map_or(1, |row| row.version + 1),
        }
        .view(currency)?;
        let receipt = TopUpReceipt {
            amount: self.amount,
            wallet: wallet.clone(),
        };
        let outcome = KeptOutcome::TopUp(receipt);
        let id = ids::transfer();
        self.keyed.keep(tx, &outcome, Some(id.uuid()), now).await?;
        self.write_wallet(tx, before.map(|row| row.version)).await?;
        let transfer = Transfer::top_up(self.owner, self.amount);
        let transfer = transfer.ok_or(TxError::Corrupt("a top-up's amount"))?;
        post(tx, &[(id, transfer)], None, now).await?;
        let body = EventBody::Wallet {
            owner: self.owner,
            wallet,
            notice: None,
        };
        publish(
            tx,
            vec![HouseEvent {
                id: ids::event(),
                at: now,
                body,
            }],
        )
        .await?;
        Ok((outcome, false))
    }
}
