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
use super::writes::{update, update_of};
use super::{Firehose, FirehoseError};
use crate::events::{EventBody, HouseEvent};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use shared::live::LotEvent;
use shared::view::{BoardLine, LadderLine, Outcome, Person};
use shared::{Currency, LotId, Money, PrincipalId};
use std::collections::HashMap;

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

/// What an item of a board has beside its keys: names and values, and how all but the amount are
/// set.
struct Fields {
    set: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Fields {
    /// A lot's board has a kind, so that its room hears of a change by the stream.
    fn of(board: &str, line: &LadderLine, lot: Option<LotId>) -> Result<Self, FirehoseError> {
        let person = serde_json::to_string(&line.who).map_err(FirehoseError::Encode)?;
        let mut set = vec![
            (keys::BOARD, keys::text(board)),
            (keys::PERSON, keys::text(person)),
            (keys::CURRENCY, keys::text(line.amount.currency().code())),
        ];
        if let Some(lot) = lot {
            set.push((keys::KIND, keys::text(keys::KIND_BOARD)));
            set.push((keys::LOT, keys::text(lot.to_string())));
        }
        let written = set.iter().map(|(name, _)| format!("#{name} = :{name}"));
        let written = written.collect::<Vec<_>>().join(", ");
        set.push((keys::AMOUNT, keys::number(total(line))));
        let names = set.iter().map(|(n, _)| (format!("#{n}"), (*n).to_owned()));
        Ok(Self {
            set: written,
            names: names.collect(),
            values: set
                .into_iter()
                .map(|(name, value)| (format!(":{name}"), value))
                .collect(),
        })
    }
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
            writes.push(self.addition(&pk, line, Fields::of(&pk, line, Some(lot))?)?);
        }
        if let Some(line) = scores.spent {
            let pk = keys::house_board_pk(line.amount.currency(), shard_of(line.who.id));
            writes.push(self.addition(&pk, line, Fields::of(&pk, line, None)?)?);
        }
        Ok(writes)
    }

    fn addition(
        &self,
        pk: &str,
        line: &LadderLine,
        fields: Fields,
    ) -> Result<TransactWriteItem, FirehoseError> {
        let add = update_of(self.table(), pk.to_owned(), &line.who.id.to_string())
            .update_expression(format!("ADD #amount :amount SET {}", fields.set))
            .set_expression_attribute_names(Some(fields.names))
            .set_expression_attribute_values(Some(fields.values));
        update(add)
    }

    /// Puts an amount on a lot's board, if it is the person's highest there.
    pub(super) async fn put_highest(
        &self,
        lot: LotId,
        line: &LadderLine,
    ) -> Result<(), FirehoseError> {
        let pk = keys::lot_board_pk(lot, shard_of(line.who.id));
        let fields = Fields::of(&pk, line, Some(lot))?;
        let sent = self
            .dynamo
            .update_item()
            .table_name(self.table())
            .key(keys::PK, keys::text(pk))
            .key(keys::SK, keys::text(line.who.id.to_string()))
            .update_expression(format!("SET #amount = :amount, {}", fields.set))
            .condition_expression("attribute_not_exists(#amount) OR #amount < :amount")
            .set_expression_attribute_names(Some(fields.names))
            .set_expression_attribute_values(Some(fields.values))
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
