//! Many requests at once, each in a task of its own, and what became of them.

use super::Kernels;
use super::history::{Operation, Recorder, Reply};
use crate::ids;
use crate::ledger::Ledger;
use crate::ledger::checkout::Decision;
use crate::ledger::queue::Undecided;
use anyhow::Context;
use app::ports::{Actor, BidReceipt, ClaimReceipt, Decided, Failure, Ledger as _, SettleReceipt};
use rand::Rng;
use shared::auction::Refusal;
use shared::mutant;
use shared::purchase::{self, CommitRequest};
use shared::view::Outcome;
use shared::{IdempotencyKey, LotId, Money, PrincipalId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a sender goes on under the same key before its request counts as undecided: the bound
/// of the plan for "decided after everything is well again".
const PATIENCE: Duration = Duration::from_secs(30);

/// The same for an engine that is broken on purpose, which may never answer.
const PATIENCE_WITH_A_MUTANT: Duration = Duration::from_secs(4);

/// The longest pause between two sends of a request, in milliseconds.
const PAUSE_MS: u64 = 50;

/// A request, and where and when it is sent.
#[derive(Clone, Debug)]
pub struct Shot<S> {
    /// The kernel that it is sent to.
    pub place: usize,
    /// When, from the race's begin on.
    pub after: Duration,
    /// What is asked.
    pub what: S,
}

/// What a request heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whether it was done; else the refusal's code.
    pub answer: Result<(), &'static str>,
    /// The same as the history has it.
    pub reply: Reply,
    /// Whether its key had been answered before.
    pub replayed: bool,
    /// Tries of the transaction that decided it; 1 if that is not known.
    pub attempts: u32,
}

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

    /// What a repeat under the same key must hear too. How much was left is told as it is at the
    /// time, where the refusal is not kept.
    fn decision(&self) -> Result<&Reply, &'static str> {
        self.answer.map(|()| &self.reply)
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

/// A request that has a key.
pub trait Ask: Clone + Send + Sync + 'static {
    /// The key: whoever asks under the same one asks for the same.
    fn key(&self) -> &IdempotencyKey;

    /// The request as the history has it.
    fn operation(&self) -> Operation;
}

/// A request that has been answered, or was given up.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its key.
    pub key: IdempotencyKey,
    /// The kernel that it was sent to.
    #[cfg_attr(
        not(feature = "local"),
        expect(dead_code, reason = "who lost a Region")
    )]
    pub place: usize,
    /// When it was first sent, from the race's begin on.
    pub sent: Duration,
    /// When it was answered.
    pub answered: Duration,
    /// How often it was sent under its key.
    pub sends: u32,
    /// What it heard last.
    pub heard: Result<Heard, Failure>,
}

/// The answers of a race, in no order.
#[derive(Debug, Default)]
pub struct Tally {
    /// One for each request.
    pub all: Vec<Answered>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Tally {
    /// Takes in the answers of a race that came after this one.
    pub fn add(&mut self, next: Self) {
        self.all.extend(next.all);
        self.elapsed += next.elapsed;
    }

    /// What each key heard, and how often. A request whose answer was lost is sent again and then
    /// hears a replay of its own, so who heard what first is not asked.
    fn by_key(&self) -> BTreeMap<&str, Vec<Result<&Reply, &'static str>>> {
        let mut by_key: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for one in &self.all {
            if let Ok(heard) = &one.heard {
                by_key
                    .entry(one.key.as_str())
                    .or_default()
                    .push(heard.decision());
            }
        }
        by_key
    }

    /// Keys whose request was done.
    pub fn committed(&self) -> u64 {
        let by_key = self.by_key();
        let done = by_key
            .values()
            .filter(|heard| heard.iter().any(Result::is_ok));
        u64::try_from(done.count()).unwrap_or(u64::MAX)
    }

    /// Answers beyond the first of each key.
    pub fn replayed(&self) -> u64 {
        let by_key = self.by_key();
        let more = by_key.values().map(|heard| heard.len().saturating_sub(1));
        u64::try_from(more.sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// Keys that heard different answers.
    pub fn contradicted(&self) -> u64 {
        let by_key = self.by_key();
        let differ = by_key.values().filter(|heard| {
            let mut pairs = heard.iter().zip(heard.iter().skip(1));
            pairs.any(|(one, next)| one != next)
        });
        u64::try_from(differ.count()).unwrap_or(u64::MAX)
    }

    /// Requests that were never decided.
    pub fn undecided(&self) -> u64 {
        let count = self.all.iter().filter(|one| one.heard.is_err()).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Sends beyond the first of each request.
    pub fn resent(&self) -> u64 {
        self.all
            .iter()
            .map(|one| u64::from(one.sends.saturating_sub(1)))
            .sum()
    }

    /// Keys whose request was refused, by code.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        let mut refusals = BTreeMap::new();
        for heard in self.by_key().values() {
            if let Some(Err(code)) = heard.first() {
                *refusals.entry((*code).to_owned()).or_default() += 1;
            }
        }
        refusals
    }

    /// Decided requests by the tries that it took.
    pub fn depths(&self) -> BTreeMap<u32, u64> {
        let mut depths = BTreeMap::new();
        for heard in self.all.iter().filter_map(|one| one.heard.as_ref().ok()) {
            *depths.entry(heard.attempts).or_default() += 1;
        }
        depths
    }
}

/// Sends every request at its time, each in a task of its own, and waits for every answer. A request
/// without an answer is sent again under its key, which is one operation of the history, if one is
/// written.
///
/// # Errors
/// When the history cannot be written, or a task panicked.
pub async fn race<S, F, Sent>(
    kernels: &Kernels,
    recorder: Option<&Recorder>,
    shots: Vec<Shot<S>>,
    send: F,
) -> anyhow::Result<Tally>
where
    S: Ask,
    F: Fn(Arc<Ledger>, S) -> Sent + Clone + Send + Sync + 'static,
    Sent: Future<Output = Result<Heard, Failure>> + Send,
{
    let start = Arc::new(Barrier::new(shots.len() + 1));
    let begun = Arc::new(tokio::sync::OnceCell::new());
    let mut tasks = JoinSet::new();
    for shot in shots {
        let (kernel, start) = (Arc::clone(kernels.of(shot.place)), Arc::clone(&start));
        let (begun, send) = (Arc::clone(&begun), send.clone());
        let mut client = recorder.map(Recorder::client);
        tasks.spawn(async move {
            start.wait().await;
            let begun = *begun.get_or_init(async || Instant::now()).await;
            tokio::time::sleep_until(begun + shot.after).await;
            let sent = Instant::now();
            let call = client.as_mut().map(|it| it.invoke(shot.what.operation()));
            let call = call.transpose()?;
            let (sends, heard) =
                insist(sent, || send(Arc::clone(&kernel), shot.what.clone())).await;
            match (call, &heard) {
                (Some(call), Ok(heard)) => call.ok(sends, heard.reply.clone())?,
                (Some(call), Err(failure)) => call.unknown(sends, failure.to_string())?,
                (None, _) => {}
            }
            anyhow::Ok(Answered {
                key: shot.what.key().clone(),
                place: shot.place,
                sent: sent - begun,
                answered: begun.elapsed(),
                sends,
                heard,
            })
        });
    }
    start.wait().await;
    let mut tally = Tally::default();
    while let Some(answered) = tasks.join_next().await {
        let answered = answered.context("a request's task ended")??;
        tally.elapsed = tally.elapsed.max(answered.answered);
        tally.all.push(answered);
    }
    Ok(tally)
}

fn patience() -> Duration {
    if mutant::is_any() {
        PATIENCE_WITH_A_MUTANT
    } else {
        PATIENCE
    }
}

/// Sends until there is an answer or patience ends; answers how often.
async fn insist<Sent>(since: Instant, send: impl Fn() -> Sent) -> (u32, Result<Heard, Failure>)
where
    Sent: Future<Output = Result<Heard, Failure>>,
{
    let mut sends = 0;
    loop {
        sends += 1;
        let heard = send().await;
        let is_final = matches!(heard, Ok(_) | Err(Failure::KeyReused));
        if is_final || since.elapsed() >= patience() {
            return (sends, heard);
        }
        let pause = rand::rng().random_range(1..=PAUSE_MS);
        tokio::time::sleep(Duration::from_millis(pause)).await;
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
