//! What readers see of the agents' checkout, without asking the ledger: stock, budgets, merchants'
//! balances.
//!
//! | what | partition | sort key | how a repeat or an old event is harmless |
//! |---|---|---|---|
//! | stock | `STOCK#item` | bucket | a bucket's newest version wins |
//! | budget | `BUDGET#mandate` | bucket | a bucket's newest version wins |
//! | balance | `BALANCE#merchant` | currency | added in the transaction that logs the event, which happens once |

use super::keys::{self, Item};
use super::writes::{update, update_of};
use super::{Firehose, FirehoseError};
use crate::events::{BucketState, CheckoutEvent};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::TransactWriteItem;
use futures::{StreamExt, TryStreamExt};
use shared::{Currency, ItemId, MandateId, MerchantId};

/// Buckets of one event that are written at the same time.
const MAX_PARALLEL: usize = 16;

const LEFT: &str = "left";
const VERSION: &str = "version";
const MINOR: &str = "minor";

fn stock_pk(item: ItemId) -> String {
    format!("STOCK#{item}")
}

fn budget_pk(mandate: MandateId) -> String {
    format!("BUDGET#{mandate}")
}

fn balance_pk(merchant: MerchantId) -> String {
    format!("BALANCE#{merchant}")
}

impl Firehose {
    /// Writes an event of the checkout: first its buckets, which a repeat leaves as they are, then
    /// the log's item together with what it adds to balances, once.
    pub(super) async fn append_checkout(
        &self,
        item: Item,
        event: &CheckoutEvent,
    ) -> Result<(), FirehoseError> {
        let stock = event
            .stock
            .iter()
            .map(|(item, state)| (stock_pk(*item), *state));
        let budgets = event
            .budgets
            .iter()
            .map(|(m, state)| (budget_pk(*m), *state));
        let buckets = stock.chain(budgets).collect::<Vec<_>>().into_iter();
        let puts = buckets.map(|(pk, state)| self.put_newest(pk, state));
        futures::stream::iter(puts)
            .buffer_unordered(MAX_PARALLEL)
            .try_collect::<Vec<()>>()
            .await?;
        let put = self.put_once_with(item, self.credits(event)?, "log an event");
        put.await.map(|_first| ())
    }

    async fn put_newest(&self, pk: String, state: BucketState) -> Result<(), FirehoseError> {
        let sent = self
            .dynamo
            .put_item()
            .table_name(self.table())
            .item(keys::PK, keys::text(pk))
            .item(keys::SK, keys::text(format!("{:05}", state.bucket)))
            .item(LEFT, keys::number(state.left))
            .item(VERSION, keys::number(state.version))
            .condition_expression("attribute_not_exists(#pk) OR #version < :version")
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", keys::number(state.version))
            .send()
            .await;
        match sent {
            Ok(_put) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(FirehoseError::store("project a bucket")(error)),
        }
    }

    fn credits(&self, event: &CheckoutEvent) -> Result<Vec<TransactWriteItem>, FirehoseError> {
        let add = |(merchant, minor): &(MerchantId, i64)| {
            let add = update_of(self.table(), balance_pk(*merchant), event.currency.code())
                .update_expression("ADD #minor :minor")
                .expression_attribute_names("#minor", MINOR)
                .expression_attribute_values(":minor", keys::number(*minor));
            update(add)
        };
        event.credits.iter().map(add).collect()
    }

    /// What readers see of an item's stock, in units.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn stock(&self, item: ItemId) -> Result<i64, FirehoseError> {
        self.left(stock_pk(item)).await
    }

    /// What readers see of what is left of a mandate, in minor units.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn budget(&self, mandate: MandateId) -> Result<i64, FirehoseError> {
        self.left(budget_pk(mandate)).await
    }

    /// What readers see of a merchant's balance, in minor units.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn balance(
        &self,
        merchant: MerchantId,
        currency: Currency,
    ) -> Result<i64, FirehoseError> {
        let read = self
            .dynamo
            .get_item()
            .table_name(self.table())
            .key(keys::PK, keys::text(balance_pk(merchant)))
            .key(keys::SK, keys::text(currency.code()))
            .consistent_read(true)
            .send()
            .await
            .map_err(FirehoseError::store("read a balance"))?;
        let item = read.item.unwrap_or_default();
        Ok(keys::number_of(&item, MINOR).unwrap_or(0))
    }

    /// The sum of what is left in all buckets of a partition.
    async fn left(&self, pk: String) -> Result<i64, FirehoseError> {
        let pages = self
            .dynamo
            .query()
            .table_name(self.table())
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", keys::PK)
            .expression_attribute_values(":pk", keys::text(pk))
            .into_paginator()
            .items()
            .send();
        let items = pages.try_collect().await;
        let items: Vec<Item> = items.map_err(FirehoseError::store("read buckets"))?;
        Ok(items
            .iter()
            .filter_map(|item| keys::number_of(item, LEFT))
            .sum())
    }
}
