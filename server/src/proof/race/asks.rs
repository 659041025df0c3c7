//! What is asked in races: claims, bids and closes by people, purchases by agents.

use super::{Ask, Heard};
use crate::ids;
use crate::ledger::Ledger;
use crate::ledger::checkout::Decision;
use crate::ledger::queue::Undecided;
use crate::proof::history::{Operation, Reply};
use app::ports::{Actor, BidReceipt, ClaimReceipt, Decided, Failure, Ledger as _, SettleReceipt};
use shared::auction::Refusal;
use shared::purchase::{self, CommitRequest};
use shared::view::Outcome;
use shared::{IdempotencyKey, LotId, Money, PrincipalId};
use std::sync::Arc;

impl Heard {
    /// The answer to a person's command.
    fn of_person<T>(decided: Decided<T>, accepted: impl FnOnce(T) -> Reply) -> Self {
        let (answer, reply) = match decided.outcome {
            Ok(receipt) => (Ok(()), accepted(receipt)),
            Err(refusal) => (Err(refusal.code()), refused(&refusal)),
        };
        Self {
            answer,
            reply,
            replayed: decided.replayed,
            attempts: decided.attempts,
        }
    }
}

fn refused(refusal: &Refusal) -> Reply {
    let mut minimum_minor = None;
    if let Refusal::TooLow { minimum } = refusal {
        minimum_minor = Some(minimum.minor());
    }
    let mut units = None;
    if let Refusal::SoldOut { units_left } = refusal {
        units = Some(*units_left);
    }
    Reply::Refused {
        code: refusal.code().to_owned(),
        minimum_minor,
        units_left: units,
    }
}

/// A claim of one unit by a person.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who.
    pub actor: Actor,
    /// Of what.
    pub lot: LotId,
    /// Under which key.
    pub key: IdempotencyKey,
    /// The most that it may cost.
    pub most: Money,
}

impl Ask for Claim {
    fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    fn operation(&self) -> Operation {
        Operation::Claim {
            key: self.key.clone(),
            lot: self.lot,
            units: 1,
        }
    }
}

impl Claim {
    /// A claim under a fresh key.
    pub fn new(actor: Actor, lot: LotId, most: Money) -> Self {
        Self {
            actor,
            lot,
            key: ids::key(),
            most,
        }
    }

    /// Sends it.
    ///
    /// # Errors
    /// When nobody knows the answer yet.
    pub async fn send(kernel: Arc<Ledger>, claim: Self) -> Result<Heard, Failure> {
        let done = kernel.claim(&claim.actor, claim.key, claim.lot, 1, claim.most);
        let accepted = |receipt: ClaimReceipt| Reply::Accepted {
            effect: receipt.line.id,
            version: None,
        };
        Ok(Heard::of_person(done.await?, accepted))
    }
}

/// A bid by a person.
#[derive(Clone, Debug)]
pub struct Bid {
    /// Who.
    pub actor: Actor,
    /// On what.
    pub lot: LotId,
    /// Under which key.
    pub key: IdempotencyKey,
    /// How much.
    pub amount: Money,
}

impl Ask for Bid {
    fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    fn operation(&self) -> Operation {
        Operation::Bid {
            key: self.key.clone(),
            lot: self.lot,
            amount_minor: self.amount.minor(),
        }
    }
}

impl Bid {
    /// Sends it.
    ///
    /// # Errors
    /// When nobody knows the answer yet.
    pub async fn send(kernel: Arc<Ledger>, bid: Self) -> Result<Heard, Failure> {
        let done = kernel.bid(&bid.actor, bid.key, bid.lot, bid.amount);
        let accepted = |receipt: BidReceipt| Reply::Accepted {
            effect: receipt.line.id,
            version: Some(receipt.version),
        };
        Ok(Heard::of_person(done.await?, accepted))
    }
}

/// A person who asks that a lot is settled.
#[derive(Clone, Debug)]
pub struct Close {
    /// Who.
    pub actor: Actor,
    /// Which lot.
    pub lot: LotId,
    /// Under which key.
    pub key: IdempotencyKey,
}

impl Ask for Close {
    fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    fn operation(&self) -> Operation {
        Operation::Close {
            key: self.key.clone(),
            lot: self.lot,
        }
    }
}

impl Close {
    /// Sends it.
    ///
    /// # Errors
    /// When nobody knows the answer yet.
    pub async fn send(kernel: Arc<Ledger>, close: Self) -> Result<Heard, Failure> {
        let done = kernel.settle(&close.actor, close.key, close.lot);
        let accepted = |receipt: SettleReceipt| Reply::Closed {
            effect: receipt.lot.to_string(),
            amount_minor: match receipt.outcome {
                Outcome::Sold { line } => Some(line.amount.minor()),
                Outcome::DropEnded { .. } | Outcome::Passed { .. } | Outcome::Cancelled => None,
            },
            version: None,
        };
        Ok(Heard::of_person(done.await?, accepted))
    }
}

/// A purchase by an agent.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// Whose agent.
    pub tenant: PrincipalId,
    /// Under which key.
    pub key: IdempotencyKey,
    /// What.
    pub request: CommitRequest,
}

impl Ask for Purchase {
    fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    fn operation(&self) -> Operation {
        Operation::Purchase {
            key: self.key.clone(),
            item: self.request.item,
            mandate: self.request.mandate,
            units: self.request.quantity,
            max_price_minor: self.request.max_price.minor(),
        }
    }
}

impl Purchase {
    /// Sends it.
    ///
    /// # Errors
    /// When nobody knows the answer yet.
    pub async fn send(kernel: Arc<Ledger>, purchase: Self) -> Result<Heard, Failure> {
        let Self {
            tenant,
            key,
            request,
        } = purchase;
        let id = ids::purchase(tenant, &key);
        let answer = kernel.kernel().commit(tenant, &key, request).await;
        let answer = answer.map_err(|undecided| match undecided {
            Undecided::InProgress | Undecided::Overloaded => Failure::Unavailable,
            Undecided::KeyReused => Failure::KeyReused,
            Undecided::Failed(failure) => failure,
        })?;
        let replayed = answer.replayed;
        let (answer, attempts) = match answer.decision {
            Decision::Committed { attempts, .. } => (Ok(()), attempts),
            Decision::Refused(refusal) => (Err(refusal), 1),
        };
        let reply = match &answer {
            Ok(()) => Reply::Accepted {
                effect: id.to_string(),
                version: None,
            },
            Err(refusal) => refused_purchase(*refusal),
        };
        Ok(Heard {
            answer: answer.map_err(|refusal| refusal.code()),
            reply,
            replayed,
            attempts,
        })
    }
}

fn refused_purchase(refusal: purchase::Refusal) -> Reply {
    let mut units = None;
    if let purchase::Refusal::SoldOut { left } = refusal {
        units = u32::try_from(left).ok();
    }
    Reply::Refused {
        code: refusal.code().to_owned(),
        minimum_minor: None,
        units_left: units,
    }
}
