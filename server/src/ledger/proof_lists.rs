//! Lists that only the proof appends to: whoever reads a whole list learns in which order
//! transactions took effect, which tells levels of isolation apart.
//!
//! These are no money: no rule of the house rests on them, and a read that nothing is written for
//! is what the check is about.

use super::transaction::{Command, Tx, TxError};
use async_trait::async_trait;
use uuid::Uuid;

/// One step of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Appends a value that nothing else appends to this list.
    Append {
        /// The list.
        list: i64,
        /// The value.
        value: i64,
    },
    /// Reads the whole list.
    Read {
        /// The list.
        list: i64,
    },
}

/// Makes empty lists, from 0 on.
pub struct MakeLists {
    /// The run they belong to.
    pub run: Uuid,
    /// How many.
    pub lists: i64,
}

#[async_trait]
impl Command for MakeLists {
    type Answer = ();
    const NAME: &'static str = "make_lists";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        let query = sqlx::query(
            "INSERT INTO proof_lists (run_id, list, items)
             SELECT $1, n, '' FROM generate_series(0, $2 - 1) AS n
             ON CONFLICT (run_id, list) DO NOTHING",
        )
        .bind(self.run)
        .bind(self.lists);
        tx.execute(query).await.map(|_made| ())
    }
}

/// One transaction of several steps.
pub struct Transact {
    /// The run.
    pub run: Uuid,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

impl Transact {
    async fn read(&self, tx: &mut Tx, list: i64) -> Result<Vec<i64>, TxError> {
        let query = sqlx::query_as("SELECT items FROM proof_lists WHERE run_id = $1 AND list = $2")
            .bind(self.run)
            .bind(list);
        let (items,): (String,) = tx.fetch_one(query).await?;
        let items = items.split_terminator(',').map(str::parse);
        let items = items.collect::<Result<_, _>>();
        items.map_err(|_unreadable| TxError::Corrupt("a list of the proof"))
    }

    /// Whether an earlier try was committed, though its answer was lost. A transaction that only
    /// reads may simply be repeated.
    async fn is_done(&self, tx: &mut Tx) -> Result<bool, TxError> {
        for step in &self.steps {
            if let Step::Append { list, value } = step {
                return Ok(self.read(tx, *list).await?.contains(value));
            }
        }
        Ok(false)
    }
}

#[async_trait]
impl Command for Transact {
    /// What each read saw; `None` if an earlier try did it, whose reads nobody knows.
    type Answer = Option<Vec<Vec<i64>>>;
    const NAME: &'static str = "append_and_read";

    async fn attempt(&self, tx: &mut Tx) -> Result<Self::Answer, TxError> {
        if self.is_done(tx).await? {
            return Ok(None);
        }
        let mut seen = Vec::new();
        for step in &self.steps {
            match step {
                Step::Append { list, value } => {
                    let query = sqlx::query(
                        "UPDATE proof_lists SET items = items || $3
                         WHERE run_id = $1 AND list = $2",
                    )
                    .bind(self.run)
                    .bind(*list)
                    .bind(format!("{value},"));
                    tx.must_write(1, "list", query).await?;
                }
                Step::Read { list } => seen.push(self.read(tx, *list).await?),
            }
        }
        Ok(Some(seen))
    }
}
