//! Writes that happen together or not at all.

use super::keys::{self, Item};
use super::{Firehose, FirehoseError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use rand::Rng;
use std::time::Duration;

/// Tries of a transaction that met another one at the same item.
const MAX_CONFLICTS: u32 = 8;

/// The first wait after such a meeting; the bound doubles.
const CONFLICT_WAIT: Duration = Duration::from_millis(5);

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Transacted {
    /// All of it was written.
    Done,
    /// Nothing was written: for each write whose condition failed, the item that it met (empty if
    /// there was none); `None` for the others.
    Refused(Vec<Option<Item>>),
}

impl Transacted {
    /// The item that the condition of a write met, if that failed.
    pub fn met(&self, write: usize) -> Option<&Item> {
        match self {
            Self::Done => None,
            Self::Refused(met) => met.get(write)?.as_ref(),
        }
    }
}

/// Puts an item unless one is there under its keys.
pub(super) fn put_first(table: &str, item: Item) -> Result<TransactWriteItem, FirehoseError> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(#pk)")
        .expression_attribute_names("#pk", keys::PK)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let put = put.build().map_err(Box::new)?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// Puts an item, whatever was there.
pub(super) fn put_over(table: &str, item: Item) -> Result<TransactWriteItem, FirehoseError> {
    let put = Put::builder().table_name(table).set_item(Some(item));
    let put = put.build().map_err(Box::new)?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// Deletes an item, if it is there.
pub(super) fn delete(
    table: &str,
    pk: String,
    sk: &str,
) -> Result<TransactWriteItem, FirehoseError> {
    let delete = Delete::builder()
        .table_name(table)
        .key(keys::PK, keys::text(pk))
        .key(keys::SK, keys::text(sk));
    let delete = delete.build().map_err(Box::new)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// The beginning of an update of one item, which tells what its condition met.
pub(super) fn update_of(table: &str, pk: String, sk: &str) -> UpdateBuilder {
    Update::builder()
        .table_name(table)
        .key(keys::PK, keys::text(pk))
        .key(keys::SK, keys::text(sk))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
}

pub(super) type UpdateBuilder = aws_sdk_dynamodb::types::builders::UpdateBuilder;

pub(super) fn update(update: UpdateBuilder) -> Result<TransactWriteItem, FirehoseError> {
    let update = update.build().map_err(Box::new)?;
    Ok(TransactWriteItem::builder().update(update).build())
}

impl Firehose {
    /// Writes all or nothing. The SDK sends its own retries under one token, so that what is
    /// written twice happens once, additions too; a meeting with another transaction at the same
    /// item is tried again here, since then nothing was written.
    pub(super) async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
        doing: &'static str,
    ) -> Result<Transacted, FirehoseError> {
        let mut met = 0;
        loop {
            let sent = self
                .dynamo
                .transact_write_items()
                .set_transact_items(Some(writes.clone()))
                .send()
                .await;
            let error = match sent {
                Ok(_written) => return Ok(Transacted::Done),
                Err(error) => error,
            };
            let reasons = reasons_of(error.as_service_error());
            let failed = |reason: &CancellationReason| {
                let failed = reason.code() == Some("ConditionalCheckFailed");
                failed.then(|| reason.item.clone().unwrap_or_default())
            };
            let refused: Vec<Option<Item>> = reasons.iter().map(failed).collect();
            if refused.iter().any(Option::is_some) {
                return Ok(Transacted::Refused(refused));
            }
            let conflict =
                |reason: &CancellationReason| reason.code() == Some("TransactionConflict");
            if met >= MAX_CONFLICTS || !reasons.iter().any(conflict) {
                return Err(FirehoseError::store(doing)(error));
            }
            let bound = CONFLICT_WAIT.saturating_mul(1 << met);
            let wait = rand::rng().random_range(Duration::ZERO..=bound);
            tokio::time::sleep(wait).await;
            met += 1;
        }
    }

    /// Puts an item unless one is there under its keys, and makes further changes with it, once;
    /// answers whether it was the first.
    pub(super) async fn put_once_with(
        &self,
        item: Item,
        more: Vec<TransactWriteItem>,
        doing: &'static str,
    ) -> Result<bool, FirehoseError> {
        if more.is_empty() {
            return self.put_once(item, doing).await;
        }
        let mut writes = vec![put_first(self.table(), item)?];
        writes.extend(more);
        match self.transact(writes, doing).await? {
            Transacted::Done => Ok(true),
            Transacted::Refused(_) => Ok(false),
        }
    }
}

fn reasons_of(error: Option<&TransactWriteItemsError>) -> &[CancellationReason] {
    match error {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons()
        }
        _ => &[],
    }
}
