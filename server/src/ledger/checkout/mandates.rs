//! Mandates: a wallet's money that an agent may spend, within its rules. The money leaves the wallet
//! when the mandate is given, so no purchase touches the wallet's row; a revoke drains every bucket
//! in one transaction and brings back what is left.

use super::super::posting::{WalletChanges, post, publish, wallet_of};
use super::super::rows::{WalletRow, money};
use super::super::transaction::{Tx, TxError};
use super::lists::{MandateStatus, MandateView, mandate as read_mandate};
use super::merchants;
use super::replies::Work;
use crate::events::{BucketState, CheckoutEvent, CheckoutNews, EventBody, HouseEvent};
use crate::ids;
use async_trait::async_trait;
use shared::ledger::{Transfer, Wallet};
use shared::purchase::{Named, Refusal, split_budget};
use shared::{Currency, MandateId, MerchantId, Money, PrincipalId, Timestamp};
use std::collections::BTreeMap;

/// What a batch takes from buckets of mandates, or gives back (below 0), net.
pub const TAKE_BUDGETS: &str = "UPDATE mandate_buckets b
    SET remaining_minor = b.remaining_minor - d.taken, version = b.version + 1
    FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[])
         AS d(mandate, bucket, version, taken)
    WHERE b.mandate_id = d.mandate AND b.bucket = d.bucket AND b.version = d.version
      AND NOT b.revoked AND b.remaining_minor >= d.taken";

/// A new mandate.
pub struct NewMandate {
    /// Whose, and whose wallet pays for it.
    pub tenant: PrincipalId,
    /// Its id.
    pub id: MandateId,
    /// The budget, above 0.
    pub cap: Money,
    /// The most that one purchase may cost; `None` for no limit but the budget.
    pub purchase_cap: Option<Money>,
    /// The merchants it is for, at most [`shared::purchase::MAX_SCOPE`]; empty for all.
    pub scope: Vec<MerchantId>,
    /// How long it may be used from now on, in milliseconds, above 0.
    pub lifetime_ms: i64,
}

#[async_trait]
impl Work for NewMandate {
    type Resource = MandateView;
    const NAME: &'static str = "new_mandate";

    async fn work(
        &self,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<Result<MandateView, Refusal>, TxError> {
        if merchants::owned(tx, self.tenant, &self.scope).await? != self.scope.len() {
            let what = Named::Merchant;
            return Ok(Err(Refusal::NotFound { what }));
        }
        let currency = self.cap.currency();
        let available = available(tx, self.tenant, currency).await?;
        if available.minor() < self.cap.minor() {
            return Ok(Err(Refusal::Insufficient { available }));
        }
        let mut changes = WalletChanges::default();
        changes.add_funds(self.tenant, -self.cap.minor());
        let wallets = changes.write(tx, currency).await?;
        let expires_at = Timestamp(now.0.saturating_add(self.lifetime_ms));
        self.insert(tx, expires_at, now).await?;
        let parts = split_budget(self.cap, self.purchase_cap);
        insert_buckets(tx, self.id, &parts).await?;
        let transfer = Transfer::fund(self.tenant, self.id, self.cap);
        let transfer = transfer.ok_or(TxError::Corrupt("cap of a mandate"))?;
        post(tx, &[(ids::transfer(), transfer)], None, now).await?;
        let budgets = (0..).zip(parts).map(|(bucket, left)| BucketState {
            bucket,
            version: 1,
            left,
        });
        let event = MandateEvent {
            tenant: self.tenant,
            mandate: self.id,
            currency,
            what: CheckoutNews::Granted { mandate: self.id },
            budgets: budgets.collect(),
        };
        publish(tx, event.with_wallet(&wallets, now)?).await?;
        Ok(Ok(MandateView {
            mandate_id: self.id,
            status: MandateStatus::Active,
            currency,
            cap_minor: self.cap.minor(),
            remaining_minor: self.cap.minor(),
            held_minor: 0,
            spent_minor: 0,
            returned_minor: 0,
            purchase_cap_minor: self.purchase_cap.map(Money::minor),
            merchant_ids: self.scope.clone(),
            expires_at_ms: expires_at.0,
            created_at_ms: now.0,
            revoked_at_ms: None,
        }))
    }
}

impl NewMandate {
    async fn insert(
        &self,
        tx: &mut Tx,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), TxError> {
        let query = sqlx::query(
            "INSERT INTO mandates (mandate_id, tenant_id, currency, cap_minor, purchase_cap_minor,
                                   expires_at_ms, created_at_ms, returned_minor)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
        )
        .bind(self.id.uuid())
        .bind(self.tenant.uuid())
        .bind(self.cap.currency().code())
        .bind(self.cap.minor())
        .bind(self.purchase_cap.map(Money::minor))
        .bind(expires_at.0)
        .bind(now.0);
        tx.must_write(1, "mandate", query).await?;
        let scope: Vec<_> = self.scope.iter().map(|merchant| merchant.uuid()).collect();
        let query = sqlx::query(
            "INSERT INTO mandate_scope (mandate_id, merchant_id)
             SELECT $1, m FROM unnest($2::uuid[]) AS d(m)",
        )
        .bind(self.id.uuid())
        .bind(scope);
        tx.must_write(self.scope.len(), "mandate scope", query)
            .await
    }
}

async fn insert_buckets(tx: &mut Tx, mandate: MandateId, parts: &[i64]) -> Result<(), TxError> {
    let query = sqlx::query(
        "INSERT INTO mandate_buckets (mandate_id, bucket, remaining_minor, revoked, version)
         SELECT $1, (n - 1)::integer, r, false, 1
         FROM unnest($2::bigint[]) WITH ORDINALITY AS d(r, n)",
    )
    .bind(mandate.uuid())
    .bind(parts.to_vec());
    tx.must_write(parts.len(), "budget", query).await
}

async fn available(tx: &mut Tx, owner: PrincipalId, currency: Currency) -> Result<Money, TxError> {
    let query = sqlx::query_as(
        "SELECT principal_id, funded_minor, held_minor, spent_minor, version
         FROM wallets WHERE principal_id = $1 AND currency = $2",
    )
    .bind(owner.uuid())
    .bind(currency.code());
    let rows: Vec<WalletRow> = tx.fetch_all(query).await?;
    let wallet = rows.first().map(|row| row.wallet(currency)).transpose()?;
    Ok(wallet.unwrap_or(Wallet::empty(currency)).available())
}

/// What a mandate's change tells.
pub struct MandateEvent {
    /// Whose.
    pub tenant: PrincipalId,
    /// The mandate.
    pub mandate: MandateId,
    /// Its currency.
    pub currency: Currency,
    /// What happened.
    pub what: CheckoutNews,
    /// Its buckets that were written.
    pub budgets: Vec<BucketState>,
}

impl MandateEvent {
    fn with_wallet(self, wallets: &[WalletRow], at: Timestamp) -> Result<Vec<HouseEvent>, TxError> {
        let owner = self.tenant;
        let wallet = EventBody::Wallet {
            owner,
            wallet: wallet_of(wallets, owner)?.view(self.currency)?,
            notice: None,
        };
        let budgets = self.budgets.into_iter();
        let checkout = EventBody::Checkout(Box::new(CheckoutEvent {
            tenant: owner,
            what: self.what,
            currency: self.currency,
            stock: Vec::new(),
            budgets: budgets.map(|state| (self.mandate, state)).collect(),
            credits: Vec::new(),
        }));
        let event = |body| HouseEvent {
            id: ids::event(),
            at,
            body,
        };
        Ok(vec![event(checkout), event(wallet)])
    }
}

/// A mandate's end.
pub struct Revoke {
    /// Whose.
    pub tenant: PrincipalId,
    /// The mandate.
    pub mandate: MandateId,
}

#[async_trait]
impl Work for Revoke {
    type Resource = MandateView;
    const NAME: &'static str = "revoke";

    async fn work(
        &self,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<Result<MandateView, Refusal>, TxError> {
        let Some(before) = read_mandate(tx, self.tenant, self.mandate).await? else {
            let what = Named::Mandate;
            return Ok(Err(Refusal::NotFound { what }));
        };
        if before.revoked_at_ms.is_some() {
            return Ok(Err(Refusal::MandateRevoked));
        }
        let budgets = self.drain(tx, before.remaining_minor).await?;
        let query = sqlx::query(
            "UPDATE mandates SET revoked_at_ms = $2, returned_minor = $3
             WHERE mandate_id = $1 AND revoked_at_ms IS NULL",
        )
        .bind(self.mandate.uuid())
        .bind(now.0)
        .bind(before.remaining_minor);
        tx.must_write(1, "mandate", query).await?;
        let mut changes = WalletChanges::default();
        changes.add_funds(self.tenant, before.remaining_minor);
        let wallets = changes.write(tx, before.currency).await?;
        let rest = money(before.remaining_minor, before.currency)?;
        if let Some(transfer) = Transfer::return_rest(self.tenant, self.mandate, rest) {
            post(tx, &[(ids::transfer(), transfer)], None, now).await?;
        }
        let event = MandateEvent {
            tenant: self.tenant,
            mandate: self.mandate,
            currency: before.currency,
            what: CheckoutNews::Revoked {
                mandate: self.mandate,
                returned_minor: before.remaining_minor,
            },
            budgets,
        };
        publish(tx, event.with_wallet(&wallets, now)?).await?;
        Ok(Ok(MandateView {
            status: MandateStatus::Revoked,
            remaining_minor: 0,
            returned_minor: before.remaining_minor,
            revoked_at_ms: Some(now.0),
            ..before
        }))
    }
}

impl Revoke {
    /// Empties and marks every bucket. A purchase that was decided on one of them loses.
    async fn drain(&self, tx: &mut Tx, remaining_minor: i64) -> Result<Vec<BucketState>, TxError> {
        let read = sqlx::query_as(
            "SELECT bucket, version, remaining_minor FROM mandate_buckets WHERE mandate_id = $1",
        )
        .bind(self.mandate.uuid());
        let rows: Vec<(i32, i64, i64)> = tx.fetch_all(read).await?;
        if rows.iter().map(|row| row.2).sum::<i64>() != remaining_minor {
            return Err(TxError::Corrupt("two reads of one snapshot differ"));
        }
        let query = sqlx::query(
            "UPDATE mandate_buckets b
             SET remaining_minor = 0, revoked = true, version = b.version + 1
             FROM unnest($2::integer[], $3::bigint[]) AS d(bucket, version)
             WHERE b.mandate_id = $1 AND b.bucket = d.bucket AND b.version = d.version
               AND NOT b.revoked",
        )
        .bind(self.mandate.uuid())
        .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>());
        tx.must_write(rows.len(), "budget", query).await?;
        let state = |(bucket, version, _)| BucketState {
            bucket,
            version: version + 1,
            left: 0,
        };
        Ok(rows.into_iter().map(state).collect())
    }
}

/// Notes what came back to wallets past mandates that have been revoked, in minor units. The
/// wallets are the caller's to write.
///
/// # Errors
/// [`TxError::Lost`] if one of them has not been revoked.
pub async fn return_to_wallets(
    tx: &mut Tx,
    returned: &BTreeMap<MandateId, i64>,
) -> Result<(), TxError> {
    if returned.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "UPDATE mandates m SET returned_minor = m.returned_minor + d.minor
         FROM unnest($1::uuid[], $2::bigint[]) AS d(mandate, minor)
         WHERE m.mandate_id = d.mandate AND m.revoked_at_ms IS NOT NULL",
    )
    .bind(returned.keys().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(returned.values().copied().collect::<Vec<_>>());
    tx.must_write(returned.len(), "mandate", query).await
}
