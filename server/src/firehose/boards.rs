//! Leaderboards: who offered or bought most of a lot, and who spent most in the house.
//!
//! A lot's board has each person's highest bid of an English lot, or what they paid for their
//! claims. The house's board of a currency has what each person spent on listed lots: a sale counts
//! when the lot is sold, a claim at once. What an agent offers counts for its owner. The relay
//! writes both: a highest amount under the condition that it is higher, so that an old event or a
//! repeat changes nothing; a sum in the transaction that logs the event, which happens once.
//!
//! A person's item lies in the shard of their name. The index `by_amount` orders each shard, so the
//! top of a board is the top of each shard, merged: as many short reads as there are shards,
//! however many people are on it. The index follows the table by a moment.

use super::keys::{self, Item};
use super::table::BY_AMOUNT;
use super::writes::{UpdateBuilder, update, update_of};
use super::{Firehose, FirehoseError};
use crate::events::{EventBody, HouseEvent};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::TransactWriteItem;
use shared::live::LotEvent;
use shared::view::{BoardLine, LadderLine, Outcome, Person};
use shared::{Currency, LotId, Money, PrincipalId};

/// What an event says for leaderboards.
#[derive(Debug, Default)]
pub(super) struct Scores<'e> {
    /// An amount on the lot's board that counts if it is the person's highest.
    pub highest: Option<(LotId, &'e LadderLine)>,
    /// Claims: added on the lot's board.
    claimed: Option<(LotId, &'e LadderLine)>,
    /// Money spent: added on the house's board.
    spent: Option<&'e LadderLine>,
}

impl<'e> Scores<'e> {
    pub fn of(event: &'e HouseEvent) -> Self {
        match &event.body {
            EventBody::Lot {
                lot, event, listed, ..
            } => match event {
                LotEvent::Bid { line, .. } => Self {
                    highest: Some((*lot, line)),
                    ..Self::default()
                },
                LotEvent::Closed {
                    outcome: Outcome::Sold { line },
                    ..
                } => Self {
                    highest: Some((*lot, line)),
                    spent: listed.then_some(line),
                    ..Self::default()
                },
                LotEvent::Closed { .. } => Self::default(),
            },
            EventBody::Stock {
                lot, line, listed, ..
            } => Self {
                claimed: Some((*lot, line)),
                spent: listed.then_some(line),
                ..Self::default()
            },
            EventBody::Opened { .. }
            | EventBody::Wallet { .. }
            | EventBody::Notice { .. }
            | EventBody::Checkout(_) => Self::default(),
        }
    }
}

/// What a line costs in all, in minor units.
fn total(line: &LadderLine) -> i64 {
    line.amount.minor().saturating_mul(line.units.into())
}

fn shard_of(who: PrincipalId) -> u32 {
    keys::shard_of(&who.to_string())
}

impl Firehose {
    /// The additions to boards that an event makes, for the transaction that logs it.
    pub(super) fn additions(
        &self,
        scores: &Scores<'_>,
    ) -> Result<Vec<TransactWriteItem>, FirehoseError> {
        let mut writes = Vec::new();
        if let Some((lot, line)) = scores.claimed {
            let pk = keys::lot_board_pk(lot, shard_of(line.who.id));
            // Its room shows it, so its stream hears of it.
            let add = self.add(pk, line, ", #kind = :kind, #lot = :lot")?;
            let add = add
                .expression_attribute_names("#kind", keys::KIND)
                .expression_attribute_names("#lot", keys::LOT)
                .expression_attribute_values(":kind", keys::text(keys::KIND_BOARD))
                .expression_attribute_values(":lot", keys::text(lot.to_string()));
            writes.push(update(add)?);
        }
        if let Some(line) = scores.spent {
            let pk = keys::house_board_pk(line.amount.currency(), shard_of(line.who.id));
            writes.push(update(self.add(pk, line, "")?)?);
        }
        Ok(writes)
    }

    fn add(
        &self,
        pk: String,
        line: &LadderLine,
        more: &str,
    ) -> Result<UpdateBuilder, FirehoseError> {
        let person = serde_json::to_string(&line.who).map_err(FirehoseError::Encode)?;
        Ok(
            update_of(self.table(), pk.clone(), &line.who.id.to_string())
                .update_expression(format!(
                    "ADD #amount :amount \
                     SET #board = :board, #person = :person, #currency = :currency{more}"
                ))
                .expression_attribute_names("#amount", keys::AMOUNT)
                .expression_attribute_names("#board", keys::BOARD)
                .expression_attribute_names("#person", keys::PERSON)
                .expression_attribute_names("#currency", keys::CURRENCY)
                .expression_attribute_values(":amount", keys::number(total(line)))
                .expression_attribute_values(":board", keys::text(pk))
                .expression_attribute_values(":person", keys::text(person))
                .expression_attribute_values(
                    ":currency",
                    keys::text(line.amount.currency().code()),
                ),
        )
    }

    /// Puts an amount on a lot's board, if it is the person's highest there.
    pub(super) async fn put_highest(
        &self,
        lot: LotId,
        line: &LadderLine,
    ) -> Result<(), FirehoseError> {
        let pk = keys::lot_board_pk(lot, shard_of(line.who.id));
        let person = serde_json::to_string(&line.who).map_err(FirehoseError::Encode)?;
        let sent = self
            .dynamo
            .update_item()
            .table_name(self.table())
            .key(keys::PK, keys::text(pk.clone()))
            .key(keys::SK, keys::text(line.who.id.to_string()))
            .update_expression(
                "SET #amount = :amount, #board = :board, #person = :person, \
                 #currency = :currency, #kind = :kind, #lot = :lot",
            )
            .condition_expression("attribute_not_exists(#amount) OR #amount < :amount")
            .expression_attribute_names("#amount", keys::AMOUNT)
            .expression_attribute_names("#board", keys::BOARD)
            .expression_attribute_names("#person", keys::PERSON)
            .expression_attribute_names("#currency", keys::CURRENCY)
            .expression_attribute_values(":amount", keys::number(total(line)))
            .expression_attribute_values(":board", keys::text(pk))
            .expression_attribute_values(":person", keys::text(person))
            .expression_attribute_values(":currency", keys::text(line.amount.currency().code()))
            .expression_attribute_names("#kind", keys::KIND)
            .expression_attribute_names("#lot", keys::LOT)
            .expression_attribute_values(":kind", keys::text(keys::KIND_BOARD))
            .expression_attribute_values(":lot", keys::text(lot.to_string()))
            .send()
            .await;
        match sent {
            Ok(_updated) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(FirehoseError::store("write a leaderboard")(error)),
        }
    }

    /// The people with the highest amounts on a lot, highest first. Among equals at the end of the
    /// list any may be on it.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn top_of_lot(&self, lot: LotId, n: usize) -> Result<Vec<BoardLine>, FirehoseError> {
        self.guarded(self.read_top_of_lot(lot, n)).await
    }

    pub(super) async fn read_top_of_lot(
        &self,
        lot: LotId,
        n: usize,
    ) -> Result<Vec<BoardLine>, FirehoseError> {
        self.top(n, |shard| keys::lot_board_pk(lot, shard)).await
    }

    /// The people who spent most in a currency, highest first.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn top_overall(
        &self,
        currency: Currency,
        n: usize,
    ) -> Result<Vec<BoardLine>, FirehoseError> {
        let top = self.top(n, |shard| keys::house_board_pk(currency, shard));
        self.guarded(top).await
    }

    async fn top(
        &self,
        n: usize,
        board: impl Fn(u32) -> String,
    ) -> Result<Vec<BoardLine>, FirehoseError> {
        let shards = (0..keys::SHARDS).map(|shard| self.top_of_shard(board(shard), n));
        let tops = futures::future::try_join_all(shards).await?;
        let mut lines: Vec<BoardLine> = tops.into_iter().flatten().collect();
        lines.sort_by(|a, b| {
            let amounts = b.amount.minor().cmp(&a.amount.minor());
            amounts.then_with(|| a.who.handle.cmp(&b.who.handle))
        });
        lines.truncate(n);
        Ok(lines)
    }

    async fn top_of_shard(&self, board: String, n: usize) -> Result<Vec<BoardLine>, FirehoseError> {
        let read = self
            .dynamo
            .query()
            .table_name(self.table())
            .index_name(BY_AMOUNT)
            .key_condition_expression("#board = :board")
            .expression_attribute_names("#board", keys::BOARD)
            .expression_attribute_values(":board", keys::text(board))
            .scan_index_forward(false)
            .limit(i32::try_from(n).unwrap_or(i32::MAX).max(1))
            .send()
            .await
            .map_err(FirehoseError::store("read a leaderboard"))?;
        read.items.unwrap_or_default().iter().map(line_of).collect()
    }
}

fn line_of(item: &Item) -> Result<BoardLine, FirehoseError> {
    let read = || {
        let who = serde_json::from_str::<Person>(keys::text_of(item, keys::PERSON)?).ok()?;
        let currency = keys::text_of(item, keys::CURRENCY)?.parse::<Currency>();
        let amount = keys::number_of(item, keys::AMOUNT)?;
        let amount = Money::new(amount, currency.ok()?).ok()?;
        Some(BoardLine { who, amount })
    };
    read().ok_or(FirehoseError::Unreadable {
        what: "a line of a leaderboard",
    })
}
