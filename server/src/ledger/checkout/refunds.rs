//! Refunds: a merchant gives money back, all of it or a part, with or without units that go back
//! into stock. A refund is a transfer of its own; the purchase's legs stay as they are.

use super::super::posting::{WalletChanges, post, publish, wallet_of};
use super::super::rows::money;
use super::super::transaction::{Tx, TxError};
use super::items::put_back;
use super::lists::{RefundView, purchase as read_purchase};
use super::mandates::return_to_wallets;
use super::replies::Work;
use crate::events::{BucketState, CheckoutEvent, CheckoutNews, EventBody, HouseEvent};
use crate::ids;
use async_trait::async_trait;
use shared::ledger::Transfer;
use shared::purchase::{Named, Refusal};
use shared::{ItemId, MandateId, Money, PrincipalId, PurchaseId, Timestamp, TransferId};

/// Money back.
pub struct Refund {
    /// Whose.
    pub tenant: PrincipalId,
    /// The purchase.
    pub purchase: PurchaseId,
    /// How much, in minor units of the purchase's currency; `None` for all that is left.
    pub amount_minor: Option<i64>,
    /// Units that go back into stock.
    pub units: u32,
}

#[async_trait]
impl Work for Refund {
    type Resource = RefundView;
    const NAME: &'static str = "refund";

    async fn work(
        &self,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<Result<RefundView, Refusal>, TxError> {
        let Some(bought) = read_purchase(tx, self.tenant, self.purchase).await? else {
            let what = Named::Purchase;
            return Ok(Err(Refusal::NotFound { what }));
        };
        if bought.refusal.is_some() {
            return Ok(Err(Refusal::NotCommitted));
        }
        let left = money(bought.amount_minor - bought.refunded_minor, bought.currency)?;
        let amount_minor = self.amount_minor.unwrap_or(left.minor());
        if amount_minor > left.minor() || amount_minor <= 0 {
            return Ok(Err(Refusal::RefundTooLarge { left }));
        }
        let amount = money(amount_minor, bought.currency)?;
        let units_left = bought.quantity.saturating_sub(self.units_back(tx).await?);
        if self.units > units_left {
            return Ok(Err(Refusal::TooManyUnits { left: units_left }));
        }
        let transfer = ids::transfer();
        self.write_purchase(tx, bought.refunded_minor, amount)
            .await?;
        self.write_refund(tx, transfer, amount, now).await?;
        let stock = self.write_stock(tx, bought.item_id).await?;
        let (budgets, wallet) = self.credit(tx, bought.mandate_id, amount).await?;
        let mandate = wallet.is_none().then_some(bought.mandate_id);
        let moved = Transfer::refund(self.tenant, bought.merchant_id, mandate, amount);
        let moved = moved.ok_or(TxError::Corrupt("amount of a refund"))?;
        post(tx, &[(transfer, moved)], None, now).await?;
        let what = CheckoutNews::Refunded {
            purchase: self.purchase,
            item: bought.item_id,
            transfer,
            amount_minor,
            units: i64::from(self.units),
        };
        let checkout = EventBody::Checkout(Box::new(CheckoutEvent {
            tenant: self.tenant,
            what,
            currency: bought.currency,
            stock: stock
                .into_iter()
                .map(|state| (bought.item_id, state))
                .collect(),
            budgets: budgets
                .into_iter()
                .map(|state| (bought.mandate_id, state))
                .collect(),
            credits: vec![(bought.merchant_id, -amount_minor)],
        }));
        let mut events = vec![event(checkout, now)];
        events.extend(wallet.map(|body| event(body, now)));
        publish(tx, events).await?;
        Ok(Ok(RefundView {
            refund_id: transfer,
            purchase_id: self.purchase,
            amount_minor,
            currency: bought.currency,
            units: self.units,
            to: if mandate.is_some() {
                "mandate"
            } else {
                "wallet"
            }
            .to_owned(),
            created_at_ms: now.0,
        }))
    }
}

fn event(body: EventBody, at: Timestamp) -> HouseEvent {
    HouseEvent {
        id: ids::event(),
        at,
        body,
    }
}

impl Refund {
    /// Units of the purchase that went back before. Every refund writes the purchase's row, so no
    /// two of them can both count and both commit.
    async fn units_back(&self, tx: &mut Tx) -> Result<u32, TxError> {
        let query = sqlx::query_as(
            "SELECT coalesce(sum(units), 0)::bigint FROM refunds WHERE purchase_id = $1",
        )
        .bind(self.purchase.uuid());
        let (units,): (i64,) = tx.fetch_one(query).await?;
        u32::try_from(units).map_err(|_range| TxError::Corrupt("units of refunds"))
    }

    async fn write_purchase(
        &self,
        tx: &mut Tx,
        refunded_minor: i64,
        amount: Money,
    ) -> Result<(), TxError> {
        let query = sqlx::query(
            "UPDATE purchases SET refunded_minor = refunded_minor + $3
             WHERE purchase_id = $1 AND refunded_minor = $2",
        )
        .bind(self.purchase.uuid())
        .bind(refunded_minor)
        .bind(amount.minor());
        tx.must_write(1, "purchase", query).await
    }

    async fn write_refund(
        &self,
        tx: &mut Tx,
        transfer: TransferId,
        amount: Money,
        now: Timestamp,
    ) -> Result<(), TxError> {
        let query = sqlx::query(
            "INSERT INTO refunds (transfer_id, tenant_id, purchase_id, currency, amount_minor,
                                  units, at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(transfer.uuid())
        .bind(self.tenant.uuid())
        .bind(self.purchase.uuid())
        .bind(amount.currency().code())
        .bind(amount.minor())
        .bind(i32::try_from(self.units).unwrap_or(i32::MAX))
        .bind(now.0);
        tx.must_write(1, "refund", query).await
    }

    async fn write_stock(&self, tx: &mut Tx, item: ItemId) -> Result<Vec<BucketState>, TxError> {
        if self.units == 0 {
            return Ok(Vec::new());
        }
        // Whatever returns units writes the epoch, or a sold-out mark would not see them.
        let query =
            sqlx::query("UPDATE items SET stock_epoch = stock_epoch + 1 WHERE item_id = $1")
                .bind(item.uuid());
        tx.must_write(1, "item", query).await?;
        put_back(tx, item, &[(0, i64::from(self.units))]).await
    }

    /// Gives the money to the mandate; to the wallet if the mandate was revoked. Either way the row
    /// is written that says which.
    async fn credit(
        &self,
        tx: &mut Tx,
        mandate: MandateId,
        amount: Money,
    ) -> Result<(Vec<BucketState>, Option<EventBody>), TxError> {
        let read = sqlx::query_as(
            "SELECT revoked, version FROM mandate_buckets WHERE mandate_id = $1 AND bucket = 0",
        )
        .bind(mandate.uuid());
        let (revoked, version): (bool, i64) = tx.fetch_one(read).await?;
        if !revoked {
            let query = sqlx::query_as(
                "UPDATE mandate_buckets
                 SET remaining_minor = remaining_minor + $3, version = version + 1
                 WHERE mandate_id = $1 AND bucket = 0 AND version = $2 AND NOT revoked
                 RETURNING bucket, version, remaining_minor",
            )
            .bind(mandate.uuid())
            .bind(version)
            .bind(amount.minor());
            let rows: Vec<(i32, i64, i64)> = tx.fetch_all(query).await?;
            let Some(&(bucket, version, left)) = rows.first() else {
                return Err(TxError::Lost("budget"));
            };
            let state = BucketState {
                bucket,
                version,
                left,
            };
            return Ok((vec![state], None));
        }
        return_to_wallets(tx, &[(mandate, amount.minor())].into()).await?;
        let mut changes = WalletChanges::default();
        changes.add_funds(self.tenant, amount.minor());
        let wallets = changes.write(tx, amount.currency()).await?;
        let wallet = EventBody::Wallet {
            owner: self.tenant,
            wallet: wallet_of(&wallets, self.tenant)?.view(amount.currency())?,
            notice: None,
        };
        Ok((Vec::new(), Some(wallet)))
    }
}
