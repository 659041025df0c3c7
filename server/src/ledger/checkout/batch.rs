//! One batch, one transaction, four round trips: BEGIN; one read; one write; COMMIT.
//!
//! The key row comes first in meaning, if not in time: it is the purchase's own row, whose primary
//! key is the hash of tenant and key, written in the same statement as everything that it rests
//! on. A twin under way on another node makes the batch lose a race; it then finds the twin's row.

use super::super::queue::{Earlier, max_races};
use super::super::transaction::{Command, Tx, TxError};
use super::batch_rows::{self, Made};
use super::snapshot::Snapshot;
use crate::ids;
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use shared::mutant::{self, Mutant};
use shared::purchase::{Ask, CommitRequest, ItemTerms, Lane, MAX_ROWS_PER_PURCHASE, Plan, Refusal};
use shared::{ItemId, Money, PrincipalId, PurchaseId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// Rows that a batch may change: DSQL allows 3,000 a transaction, and what runs beside the batch's
/// own rows (none today) must never come near that.
pub const MAX_ROWS: usize = 2_400;

/// Requests of a batch. With four rows of its own each, and a shared row of stock and budget now
/// and then, 500 stay below [`MAX_ROWS`]; their event has 100 KB, where DynamoDB takes 400.
pub const MAX_ASKS: usize = 500;

/// What never changes about an item, as the kernel remembers it.
#[derive(Clone, Copy, Debug)]
pub struct ItemCard {
    /// The item.
    pub item: ItemId,
    /// Whose it is.
    pub tenant: PrincipalId,
    /// Who sells it, and for how much.
    pub terms: ItemTerms,
}

/// One request that waits.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The id that the purchase has if it is made: the key's hash.
    pub purchase: PurchaseId,
    /// The request.
    pub request: CommitRequest,
    price: Money,
    intent: OnceLock<Uuid>,
    fingerprint: OnceLock<[u8; 32]>,
}

impl Asked {
    /// A request for an item at a price.
    #[must_use]
    pub const fn new(purchase: PurchaseId, request: CommitRequest, price: Money) -> Self {
        Self {
            purchase,
            request,
            price,
            intent: OnceLock::new(),
            fingerprint: OnceLock::new(),
        }
    }

    /// Hashes now, in the caller's task, what a batch will need of every request. The rush on an
    /// item that is sold out needs neither hash.
    #[must_use]
    pub fn hashed(self) -> Self {
        self.intent();
        self.fingerprint();
        self
    }

    /// The intent's hash.
    pub fn intent(&self) -> Uuid {
        let hash = || ids::intent(&self.request.intent(self.price));
        *self.intent.get_or_init(hash)
    }

    /// Hash of the request's meaning.
    pub fn fingerprint(&self) -> &[u8; 32] {
        let hash = || Sha256::digest(self.request.meaning()).into();
        self.fingerprint.get_or_init(hash)
    }
}

/// What was decided about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The purchase was made.
    Committed {
        /// What it cost.
        amount: Money,
        /// Tries of the transaction that committed it.
        attempts: u32,
    },
    /// It was not.
    Refused(Refusal),
}

/// What became of one request of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was decided.
    Decided {
        /// How.
        decision: Decision,
        /// Whether the key had been answered before.
        replayed: bool,
    },
    /// Its key belongs to another request.
    KeyReused,
}

/// What a batch answers.
#[derive(Debug)]
pub struct Answers {
    /// One outcome for each request, in order; fewer than there were requests if the batch was full
    /// before.
    pub outcomes: Vec<Outcome>,
    /// The stock epoch in which nothing is left, if so.
    pub sold_out: Option<i64>,
}

/// A batch.
pub struct CommitBatch {
    card: ItemCard,
    asked: Arc<[Asked]>,
    range: Range<usize>,
    lane: Lane,
    earlier: Earlier,
}

impl CommitBatch {
    /// A batch of some of the requests.
    #[must_use]
    pub const fn new(
        card: ItemCard,
        asked: Arc<[Asked]>,
        range: Range<usize>,
        lane: Lane,
        earlier: Earlier,
    ) -> Self {
        Self {
            card,
            asked,
            range,
            lane,
            earlier,
        }
    }

    /// The requests as a broken engine repeats them: under new keys.
    fn renamed(&self, attempt: u32) -> Option<Vec<Asked>> {
        let is_broken = mutant::is(Mutant::FreshKeyOnRetry) && attempt > 1;
        is_broken.then(|| {
            let rename = |asked: &Asked| Asked {
                purchase: PurchaseId::from_uuid(ids::event().uuid()),
                ..asked.clone()
            };
            self.asked().iter().map(rename).collect()
        })
    }

    fn asked(&self) -> &[Asked] {
        self.asked.get(self.range.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl Command for CommitBatch {
    type Answer = Answers;
    const NAME: &'static str = "commit";

    fn max_races(&self) -> u32 {
        max_races(self.range.len())
    }

    async fn attempt(&self, tx: &mut Tx) -> Result<Answers, TxError> {
        let renamed = self.renamed(tx.attempt());
        let asked = renamed.as_deref().unwrap_or_else(|| self.asked());
        let snapshot = Snapshot::read(tx, &self.card, asked, self.lane).await?;
        let Snapshot {
            now,
            stock_epoch,
            stock,
            mandates,
            kept,
            intents,
        } = snapshot;
        // What is found later may be this batch's own, from a try whose outcome was unknown.
        let old_keys = &self.earlier.old_keys;
        let old_keys = old_keys.get_or_init(|| kept.keys().map(|key| key.uuid()).collect());
        let after_unknown = self.earlier.unknown || tx.after_unknown();
        let attempts = self.earlier.attempts.saturating_add(tx.attempt());
        let mut plan = Plan::new(now, self.card.terms, stock, mandates, intents);
        let mut outcomes = Vec::with_capacity(self.range.len());
        let mut made: Vec<Made<'_>> = Vec::with_capacity(self.range.len());
        let mut own: HashMap<PurchaseId, usize> = HashMap::new();
        for asked in asked {
            if plan.rows() + made.len() + MAX_ROWS_PER_PURCHASE >= MAX_ROWS {
                break;
            }
            let key = asked.purchase;
            let answered = kept
                .get(&key)
                .map(|kept| (kept.fingerprint.as_slice(), &kept.decision));
            let twin = own.get(&key).and_then(|&place| made.get(place));
            let answered = answered
                .or_else(|| twin.map(|made| (made.asked.fingerprint().as_slice(), &made.decision)));
            if let Some((fingerprint, decision)) = answered {
                let is_same = fingerprint == asked.fingerprint();
                outcomes.push(if is_same || mutant::is(Mutant::NoFingerprint) {
                    Outcome::Decided {
                        decision: decision.clone(),
                        replayed: twin.is_some()
                            || !after_unknown
                            || old_keys.contains(&key.uuid()),
                    }
                } else {
                    Outcome::KeyReused
                });
                continue;
            }
            let ask = Ask {
                purchase: key,
                intent: asked.intent(),
                request: &asked.request,
            };
            let decision = match plan.decide(&ask) {
                Ok(accepted) => Decision::Committed {
                    amount: accepted.amount,
                    attempts,
                },
                Err(refusal) => Decision::Refused(refusal),
            };
            let outcome = Outcome::Decided {
                decision: decision.clone(),
                replayed: false,
            };
            outcomes.push(outcome);
            // What does not exist now may exist later: the key is not used up.
            if !matches!(decision, Decision::Refused(Refusal::NotFound { .. })) {
                own.insert(key, made.len());
                made.push(Made { asked, decision });
            }
        }
        if !made.is_empty() {
            batch_rows::write(tx, &self.card, made, &plan.changes(), now).await?;
        }
        Ok(Answers {
            outcomes,
            sold_out: (plan.stock_left() == 0).then_some(stock_epoch),
        })
    }
}
