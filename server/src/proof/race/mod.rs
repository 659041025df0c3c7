//! Many requests at once, each in a task of its own, and what became of them.
//!
//! | file | what it holds |
//! |---|---|
//! | `asks` | what is asked |
//! | `tally` | what became of it |

mod asks;
mod tally;

pub use asks::{Bid, Claim, Close, Purchase};
pub use tally::Tally;

use super::Kernels;
use super::history::{Operation, Recorder, Reply};
use crate::ledger::Ledger;
use anyhow::Context;
use app::ports::Failure;
use rand::Rng;
use shared::IdempotencyKey;
use shared::mutant;
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
    /// What a repeat under the same key must hear too. How much was left is told as it is at the
    /// time, where the refusal is not kept.
    fn decision(&self) -> Result<&Reply, &'static str> {
        self.answer.map(|()| &self.reply)
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

impl Answered {
    /// Whether it heard that it was done.
    pub fn is_done(&self) -> bool {
        self.heard.as_ref().is_ok_and(|heard| heard.answer.is_ok())
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
