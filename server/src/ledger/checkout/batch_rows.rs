//! The one write of a batch. Every row is written once, net, in key order. PostgreSQL takes all
//! statements as one; on Aurora DSQL, where that has not been seen to work, each goes alone.

use super::super::endpoint::Dialect;
use super::super::posting::{aggregate_name, payload};
use super::super::transaction::{Tx, TxError};
use super::batch::{Asked, Decision, ItemCard};
use super::mandates::TAKE_BUDGETS;
use crate::events::{
    BucketState, CheckoutEvent, CheckoutNews, EventBody, HouseEvent, PurchaseLine,
};
use crate::ids;
use shared::ledger::Transfer;
use shared::purchase::{Change, Changes, First};
use shared::{Timestamp, TransferId};
use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use std::sync::LazyLock;
use uuid::Uuid;

/// A request that the batch decides.
pub struct Made<'r> {
    /// The request.
    pub asked: &'r Asked,
    /// What was decided.
    pub decision: Decision,
}

/// A statement of the write: what it writes, its text with parameters from `$1` on, and how many
/// there are.
struct Part {
    what: &'static str,
    sql: &'static str,
    parameters: usize,
}

const PARTS: [Part; 7] = [
    Part {
        what: "purchase",
        sql: "INSERT INTO purchases
                (purchase_id, tenant_id, item_id, mandate_id, agent_id, quantity, price_minor,
                 currency, refunded_minor, attempts, fingerprint, event_id, refusal, created_at_ms)
              SELECT p, $1::uuid, $2::uuid, m, a, q, $3::bigint, $4::text, 0, n, f,
                     CASE WHEN r IS NULL THEN $5::uuid END, r, $6::bigint
              FROM unnest($7::uuid[], $8::uuid[], $9::text[], $10::integer[], $11::integer[],
                          $12::bytea[], $13::text[]) AS d(p, m, a, q, n, f, r)",
        parameters: 13,
    },
    Part {
        what: "stock",
        sql: "UPDATE stock_buckets b
              SET available = b.available - d.taken, version = b.version + 1
              FROM unnest($2::integer[], $3::bigint[], $4::bigint[]) AS d(bucket, version, taken)
              WHERE b.item_id = $1 AND b.bucket = d.bucket AND b.version = d.version
                AND b.available >= d.taken",
        parameters: 4,
    },
    Part {
        what: "budget",
        sql: TAKE_BUDGETS,
        parameters: 4,
    },
    Part {
        what: "legs",
        sql: "INSERT INTO legs
                (transfer_id, leg, kind, owner_id, account, currency, amount_minor, subaccount_id,
                 at_ms)
              SELECT t, n, $1::text, $2::uuid, a, $3::text, m, s, $4::bigint
              FROM unnest($5::uuid[], $6::smallint[], $7::text[], $8::bigint[], $9::uuid[])
                   AS d(t, n, a, m, s)",
        parameters: 9,
    },
    Part {
        what: "intent",
        sql: "INSERT INTO purchase_intents (intent_id, purchase_id, at_ms)
              SELECT i, p, $1::bigint FROM unnest($2::uuid[], $3::uuid[]) AS d(i, p)",
        parameters: 3,
    },
    Part {
        what: "intent_again",
        sql: "UPDATE purchase_intents n SET purchase_id = d.p, at_ms = $1::bigint
              FROM unnest($2::uuid[], $3::uuid[]) AS d(i, p) WHERE n.intent_id = d.i",
        parameters: 3,
    },
    Part {
        what: "outbox",
        sql: "INSERT INTO outbox (event_id, aggregate, version, payload, created_at_ms, listed,
                                  tries, published)
              SELECT e, $1::text, 0, p, $2::bigint, false, 0, false
              FROM unnest($3::uuid[], $4::text[]) AS d(e, p)",
        parameters: 4,
    },
];

impl Part {
    /// Whether its rows are counted. An update may miss some. PostgreSQL carries out what is counted
    /// first, in the order of the counts: so the purchases, which are the key rows, come before
    /// everything else, and a twin's key is met before its legs are.
    fn is_counted(&self) -> bool {
        self.what == "purchase" || self.sql.starts_with("UPDATE")
    }
}

/// All parts as one statement that answers how many rows were written of those parts that are
/// counted. A row that is counted costs the database a tenth more.
static TOGETHER: LazyLock<String> = LazyLock::new(|| {
    let mut shift = 0;
    let mut with = Vec::new();
    for part in &PARTS {
        let sql = shifted(part.sql, shift);
        let counted = if part.is_counted() {
            " RETURNING 1"
        } else {
            ""
        };
        with.push(format!("w_{} AS ({sql}{counted})", part.what));
        shift += part.parameters;
    }
    let count = |part: &Part| format!("(SELECT count(*) FROM w_{})", part.what);
    let counted = PARTS.iter().filter(|part| part.is_counted());
    let counts: Vec<String> = counted.map(count).collect();
    format!(
        "WITH {} SELECT array[{}]",
        with.join(", "),
        counts.join(", ")
    )
});

/// A statement with `by` added to the number of each parameter.
fn shifted(sql: &str, by: usize) -> String {
    let mut pieces = sql.split('$');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits: String = piece.chars().take_while(char::is_ascii_digit).collect();
        let number = digits.parse::<usize>().unwrap_or_default();
        let rest = piece.get(digits.len()..).unwrap_or_default();
        text.push_str(&format!("${}{rest}", number + by));
    }
    text
}

/// The statements of a write, by what they write, and all together.
pub fn statements() -> Vec<(&'static str, &'static str)> {
    let parts = PARTS.iter().map(|part| (part.what, part.sql));
    parts.chain([("all together", TOGETHER.as_str())]).collect()
}

/// Collects the arguments of the parts, in their order.
struct Values {
    /// One for all, or one for each part.
    arguments: Vec<PgArguments>,
    together: bool,
    expected: Vec<usize>,
}

impl Values {
    fn new(dialect: Dialect) -> Self {
        Self {
            arguments: Vec::new(),
            together: dialect.writes_together(),
            expected: Vec::new(),
        }
    }

    /// Begins the next part, which must write `rows` rows.
    fn part(&mut self, rows: usize) {
        if self.arguments.is_empty() || !self.together {
            self.arguments.push(PgArguments::default());
        }
        self.expected.push(rows);
    }

    fn add<'q, T>(&mut self, value: T) -> Result<(), TxError>
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let arguments = self.arguments.last_mut();
        let added = arguments.map(|arguments| arguments.add(value));
        added
            .and_then(Result::ok)
            .ok_or(TxError::Corrupt("an argument of a batch"))
    }
}

/// Writes a batch.
///
/// # Errors
/// [`TxError::Lost`] if a row is not as the batch read it, or what the database says.
pub async fn write(
    tx: &mut Tx,
    card: &ItemCard,
    mut made: Vec<Made<'_>>,
    changes: &Changes,
    now: Timestamp,
) -> Result<(), TxError> {
    made.sort_by_key(|made| made.asked.purchase);
    let event = event(card, &made, changes, now);
    tx.takes_from(changes.stock.iter().map(|change| change.number));
    let mut values = Values::new(tx.dialect());
    purchases(&mut values, card, &made, &event, now)?;
    stock(&mut values, card, &changes.stock)?;
    budgets(&mut values, changes)?;
    legs(&mut values, card, &made, now)?;
    intents(&mut values, &changes.first_intents, now)?;
    intents(&mut values, &changes.intents_again, now)?;
    // Every purchase has an intent.
    let told = !(changes.first_intents.is_empty() && changes.intents_again.is_empty());
    outbox(&mut values, &event, told, now)?;
    send(tx, values).await?;
    if told {
        tx.tell(event);
    }
    Ok(())
}

async fn send(tx: &mut Tx, values: Values) -> Result<(), TxError> {
    let parts = PARTS.iter().zip(values.expected);
    if !values.together {
        for ((part, rows), arguments) in parts.zip(values.arguments) {
            if rows > 0 {
                let query = sqlx::query_with(part.sql, arguments);
                tx.must_write(rows, part.what, query).await?;
            }
        }
        return Ok(());
    }
    let arguments = values.arguments.into_iter().next().unwrap_or_default();
    let query = sqlx::query_as_with(TOGETHER.as_str(), arguments);
    let (counts,): (Vec<i64>,) = tx.fetch_one(query).await?;
    let counted = parts.filter(|(part, _)| part.is_counted());
    for ((part, expected), written) in counted.zip(counts) {
        if usize::try_from(written) != Ok(expected) {
            return Err(TxError::Lost(part.what));
        }
    }
    Ok(())
}

fn purchases(
    values: &mut Values,
    card: &ItemCard,
    made: &[Made<'_>],
    event: &HouseEvent,
    now: Timestamp,
) -> Result<(), TxError> {
    values.part(made.len());
    values.add(card.tenant.uuid())?;
    values.add(card.item.uuid())?;
    values.add(card.terms.price.minor())?;
    values.add(card.terms.price.currency().code())?;
    values.add(event.id.uuid())?;
    values.add(now.0)?;
    let column = |get: fn(&Made<'_>) -> Uuid| made.iter().map(get).collect::<Vec<_>>();
    values.add(column(|made| made.asked.purchase.uuid()))?;
    values.add(column(|made| made.asked.request.mandate.uuid()))?;
    let agents = made.iter().map(|made| made.asked.request.agent.as_str());
    values.add(agents.collect::<Vec<_>>())?;
    let quantities = made.iter().map(|made| signed(made.asked.request.quantity));
    values.add(quantities.collect::<Vec<_>>())?;
    let attempts = made.iter().map(|made| match made.decision {
        Decision::Committed { attempts, .. } => signed(attempts),
        Decision::Refused(_) => 0,
    });
    values.add(attempts.collect::<Vec<_>>())?;
    let fingerprints = made.iter().map(|made| made.asked.fingerprint().as_slice());
    values.add(fingerprints.collect::<Vec<_>>())?;
    let refusal = |made: &Made<'_>| match &made.decision {
        Decision::Committed { .. } => Ok(None),
        Decision::Refused(refusal) => serde_json::to_string(refusal).map(Some),
    };
    let refusals: Result<Vec<_>, _> = made.iter().map(refusal).collect();
    values.add(refusals.map_err(|_unwritable| TxError::Corrupt("refusal"))?)
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn stock(values: &mut Values, card: &ItemCard, changes: &[Change]) -> Result<(), TxError> {
    values.part(changes.len());
    values.add(card.item.uuid())?;
    values.add(changes.iter().map(|c| c.number).collect::<Vec<_>>())?;
    values.add(changes.iter().map(|c| c.version).collect::<Vec<_>>())?;
    values.add(changes.iter().map(|c| c.taken).collect::<Vec<_>>())
}

fn budgets(values: &mut Values, changes: &Changes) -> Result<(), TxError> {
    let budgets = &changes.budgets;
    values.part(budgets.len());
    values.add(budgets.iter().map(|(m, _)| m.uuid()).collect::<Vec<_>>())?;
    values.add(budgets.iter().map(|(_, c)| c.number).collect::<Vec<_>>())?;
    values.add(budgets.iter().map(|(_, c)| c.version).collect::<Vec<_>>())?;
    values.add(budgets.iter().map(|(_, c)| c.taken).collect::<Vec<_>>())
}

fn legs(
    values: &mut Values,
    card: &ItemCard,
    made: &[Made<'_>],
    now: Timestamp,
) -> Result<(), TxError> {
    let (mut ids, mut numbers) = (Vec::new(), Vec::new());
    let (mut accounts, mut amounts, mut subaccounts) = (Vec::new(), Vec::new(), Vec::new());
    let mut kind = None;
    for made in made {
        let Decision::Committed { amount, .. } = made.decision else {
            continue;
        };
        let transfer = Transfer::spend(
            card.tenant,
            made.asked.request.mandate,
            card.terms.merchant,
            amount,
        );
        let transfer = transfer.ok_or(TxError::Corrupt("amount of a purchase"))?;
        kind = Some(transfer.kind().word());
        for (number, leg) in (0_i16..).zip(transfer.legs()) {
            ids.push(transfer_of(made.asked).uuid());
            numbers.push(number);
            accounts.push(leg.account.kind.word());
            amounts.push(leg.amount.minor());
            subaccounts.push(leg.account.subaccount);
        }
    }
    // Release builds test it too: an unbalanced transfer must never be written (audit A1).
    if amounts.iter().sum::<i64>() != 0 {
        return Err(TxError::Corrupt("legs that do not sum to zero"));
    }
    values.part(ids.len());
    values.add(kind.unwrap_or_default())?;
    values.add(card.tenant.uuid())?;
    values.add(card.terms.price.currency().code())?;
    values.add(now.0)?;
    values.add(ids)?;
    values.add(numbers)?;
    values.add(accounts)?;
    values.add(amounts)?;
    values.add(subaccounts)
}

/// A purchase has one transfer, which has the same number.
const fn transfer_of(asked: &Asked) -> TransferId {
    TransferId::from_uuid(asked.purchase.uuid())
}

/// An intent that is carried out for the first time is inserted, which is cheaper than an upsert; if
/// a twin on another node was first, the key of the row makes that a lost race.
fn intents(values: &mut Values, intents: &[(Uuid, First)], now: Timestamp) -> Result<(), TxError> {
    values.part(intents.len());
    values.add(now.0)?;
    values.add(intents.iter().map(|(id, _)| *id).collect::<Vec<_>>())?;
    let purchases = intents.iter().map(|(_, first)| first.purchase.uuid());
    values.add(purchases.collect::<Vec<_>>())
}

fn outbox(
    values: &mut Values,
    event: &HouseEvent,
    told: bool,
    now: Timestamp,
) -> Result<(), TxError> {
    let events = if told { vec![event] } else { Vec::new() };
    values.part(events.len());
    values.add(aggregate_name(event.aggregate()))?;
    values.add(now.0)?;
    values.add(
        events
            .iter()
            .map(|event| event.id.uuid())
            .collect::<Vec<_>>(),
    )?;
    let payloads: Result<Vec<String>, TxError> =
        events.iter().map(|event| payload(event)).collect();
    values.add(payloads?)
}

/// One event for the whole commit: each purchase of it, and each bucket as the commit leaves it.
fn event(card: &ItemCard, made: &[Made<'_>], changes: &Changes, now: Timestamp) -> HouseEvent {
    let state = |change: &Change| BucketState {
        bucket: change.number,
        version: change.version + 1,
        left: change.left,
    };
    let line = |made: &Made<'_>| {
        let Decision::Committed { amount, .. } = made.decision else {
            return None;
        };
        let request = &made.asked.request;
        Some(PurchaseLine {
            purchase: made.asked.purchase,
            mandate: request.mandate,
            agent: request.agent.as_str().to_owned(),
            quantity: request.quantity,
            amount_minor: amount.minor(),
        })
    };
    let purchases: Vec<PurchaseLine> = made.iter().filter_map(line).collect();
    let credited = purchases.iter().map(|line| line.amount_minor).sum();
    let body = EventBody::Checkout(Box::new(CheckoutEvent {
        tenant: card.tenant,
        what: CheckoutNews::Committed {
            item: card.item,
            purchases,
        },
        currency: card.terms.price.currency(),
        stock: changes
            .stock
            .iter()
            .map(|c| (card.item, state(c)))
            .collect(),
        budgets: changes
            .budgets
            .iter()
            .map(|(m, c)| (*m, state(c)))
            .collect(),
        credits: vec![(card.terms.merchant, credited)],
    }));
    HouseEvent {
        id: ids::event(),
        at: now,
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_all_parts_are_numbered_through() {
        assert_eq!(shifted("a = $1 AND b = $12::x", 3), "a = $4 AND b = $15::x");
        let mut next = 0;
        for part in &PARTS {
            for number in 1..=part.parameters {
                let name = format!("${number}");
                let is_last_digit = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
                assert!(
                    part.sql.split(&name).skip(1).any(is_last_digit),
                    "{} lacks {name}",
                    part.what
                );
                next += 1;
            }
        }
        assert!(TOGETHER.contains(&format!("${next}::")));
        assert!(!TOGETHER.contains(&format!("${}", next + 1)));
    }
}
