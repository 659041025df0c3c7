//! Idempotency keys: the answer to a key is written in the transaction of its effect, before the
//! effect's own rows, and a repeat reads it back.
//!
//! The scope of a key is (person, key, route). Decided outcomes are kept, refusals too;
//! undecided ones never.

use super::transaction::{Tx, TxError};
use crate::ids;
use app::ports::KeptOutcome;
use sha2::{Digest, Sha256};
use shared::mutant::{self, Mutant};
use shared::{IdempotencyKey, PrincipalId, Timestamp};
use uuid::Uuid;

/// Which command a key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A bid.
    Bid,
    /// A claim.
    Claim,
    /// A bid of an agent.
    AgentBid,
    /// A claim of an agent.
    AgentClaim,
    /// A settlement that somebody asked for.
    Settle,
    /// A top-up.
    TopUp,
    /// A new merchant.
    Merchant,
    /// A new item.
    Item,
    /// More units of an item.
    Restock,
    /// A new mandate.
    Mandate,
    /// A mandate's end.
    Revoke,
    /// Money back.
    Refund,
}

impl Route {
    const fn word(self) -> &'static str {
        match self {
            Self::Bid => "bid",
            Self::Claim => "claim",
            Self::AgentBid => "agent_bid",
            Self::AgentClaim => "agent_claim",
            Self::Settle => "settle",
            Self::TopUp => "top_up",
            Self::Merchant => "merchant",
            Self::Item => "item",
            Self::Restock => "restock",
            Self::Mandate => "mandate",
            Self::Revoke => "revoke",
            Self::Refund => "refund",
        }
    }
}

/// A key with what it was used for.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// Whose key.
    pub owner: PrincipalId,
    /// The caller's key.
    pub key: IdempotencyKey,
    /// The command.
    pub route: Route,
    /// Hash of the command's meaning: the same key with another one is refused.
    pub fingerprint: Vec<u8>,
}

impl Keyed {
    /// A key for a command whose meaning is `parts`.
    #[must_use]
    pub fn new(
        owner: PrincipalId,
        key: IdempotencyKey,
        route: Route,
        parts: &[&dyn std::fmt::Display],
    ) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.to_string());
            // A separator that no part contains, so that parts cannot flow into each other.
            hash.update([0]);
        }
        Self {
            owner,
            key,
            route,
            fingerprint: hash.finalize().to_vec(),
        }
    }

    /// One number for owner, route and key: equal for requests that are the same one.
    #[must_use]
    pub fn number(&self) -> Uuid {
        ids::keyed(self.owner, self.route.word(), &self.key)
    }

    /// The route as stored.
    #[must_use]
    pub const fn route_word(&self) -> &'static str {
        self.route.word()
    }

    /// What was kept, given the key row's columns as read in the command's own snapshot.
    ///
    /// # Errors
    /// [`TxError::KeyReused`] if the key belongs to another command.
    pub fn kept(
        &self,
        fingerprint: Option<&[u8]>,
        outcome: Option<&str>,
    ) -> Result<Option<KeptOutcome>, TxError> {
        let text = self.kept_text(fingerprint, outcome)?;
        text.map(read_outcome).transpose()
    }

    /// What was kept, as it was written.
    ///
    /// # Errors
    /// [`TxError::KeyReused`] if the key belongs to another command.
    pub fn kept_text<'t>(
        &self,
        fingerprint: Option<&[u8]>,
        outcome: Option<&'t str>,
    ) -> Result<Option<&'t str>, TxError> {
        let (Some(fingerprint), Some(outcome)) = (fingerprint, outcome) else {
            return Ok(None);
        };
        if fingerprint != self.fingerprint && !mutant::is(Mutant::NoFingerprint) {
            return Err(TxError::KeyReused);
        }
        Ok(Some(outcome))
    }

    /// Writes the answer, with the id of the row that the command makes: a bid, a claim, or the
    /// transfer of a top-up. A twin that is under way makes this a conflict.
    ///
    /// # Errors
    /// What the database says.
    pub async fn keep(
        &self,
        tx: &mut Tx,
        outcome: &KeptOutcome,
        effect: Option<Uuid>,
        at: Timestamp,
    ) -> Result<(), TxError> {
        let text = serde_json::to_string(outcome)
            .map_err(|_unwritable| TxError::Corrupt("outcome of a key"))?;
        self.keep_text(tx, text, effect, at).await
    }

    /// Writes an answer in a form of the caller's.
    ///
    /// # Errors
    /// What the database says.
    pub async fn keep_text(
        &self,
        tx: &mut Tx,
        text: String,
        effect: Option<Uuid>,
        at: Timestamp,
    ) -> Result<(), TxError> {
        keep_all(tx, vec![(self.clone(), text, effect)], at).await
    }
}

/// Writes the answers of several keys, each with the id of the row that its command makes. A twin
/// of one of them that is under way makes this a conflict.
///
/// # Errors
/// What the database says.
pub async fn keep_all(
    tx: &mut Tx,
    answers: Vec<(Keyed, String, Option<Uuid>)>,
    at: Timestamp,
) -> Result<(), TxError> {
    let column = |get: fn(&Keyed) -> String| -> Vec<String> {
        answers.iter().map(|(keyed, ..)| get(keyed)).collect()
    };
    let owners: Vec<Uuid> = answers
        .iter()
        .map(|(keyed, ..)| keyed.owner.uuid())
        .collect();
    let fingerprints = answers.iter().map(|(keyed, ..)| keyed.fingerprint.clone());
    let query = sqlx::query(
        "INSERT INTO idempotency_keys
            (principal_id, route, key, fingerprint, outcome, effect_id, created_at_ms)
         SELECT p, r, k, f, o, e, $7
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::uuid[])
              AS d(p, r, k, f, o, e)",
    )
    .bind(owners)
    .bind(column(|keyed| keyed.route.word().to_owned()))
    .bind(column(|keyed| keyed.key.as_str().to_owned()))
    .bind(fingerprints.collect::<Vec<_>>())
    .bind(
        answers
            .iter()
            .map(|(_, text, _)| text.clone())
            .collect::<Vec<_>>(),
    )
    .bind(
        answers
            .iter()
            .map(|(.., effect)| *effect)
            .collect::<Vec<_>>(),
    )
    .bind(at.0);
    tx.must_write(answers.len(), "idempotency key", query).await
}

/// Reads an answer that was kept.
pub fn read_outcome(text: &str) -> Result<KeptOutcome, TxError> {
    serde_json::from_str(text).map_err(|_unreadable| TxError::Corrupt("outcome of a key"))
}
