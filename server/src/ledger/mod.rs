//! The money plane: all SQL is in this room.
//!
//! | file | what it holds |
//! |---|---|
//! | `endpoint` | where the database is, and the one dialect switch |
//! | `error`, `transaction` | failures sorted into four classes; the one way to run a transaction |
//! | `schema` | tables, indexes, readiness |
//! | `queue` | queues in front of rows that many want: what waits together is decided together |
//! | `auction` | bids and claims on lots, and how lots end |
//! | `top_up`, `lots`, `people` | the other commands of people |
//! | `checkout` | agents' purchases: the commit kernel, merchants, items, mandates, refunds |
//! | `keys`, `posting` | idempotency keys; wallets, legs and outbox |
//! | `read`, `page` | what pages read; parts of lists |
//! | `webhooks` | webhook endpoints, deliveries and their attempts |
//! | `outbox`, `sweeper`, `lease` | the relay, settlement at the due time, who does what |
//! | `audit` | the queries that prove it |
//! | `proof_lists` | what tells the store's isolation |
//! | `rehearsal` | what rehearsals of faults do to a database |
//! | `naive` | an engine that is wrong on purpose |

pub mod auction;
pub mod audit;
pub mod checkout;
pub mod endpoint;
pub mod error;
pub mod failover;
mod keys;
pub mod lease;
pub mod lots;
#[cfg(feature = "local")]
pub mod naive;
pub mod outbox;
pub mod page;
pub mod people;
mod posting;
pub mod proof_lists;
pub mod queue;
pub mod read;
#[cfg(feature = "local")]
pub mod rehearsal;
mod rows;
pub mod schema;
pub mod sweeper;
pub mod top_up;
pub mod transaction;
pub mod webhooks;

use crate::clock::Clock;
use crate::events::HouseEvent;
use app::ports::{
    Actor, BidReceipt, ClaimReceipt, Decided, Failure, KeptOutcome, SettleReceipt, TopUpReceipt,
};
use async_trait::async_trait;
use auction::settle::Settle;
use auction::{LotQueues, Offer, Reply, Wish};
use audit::{Finding, MarkJournal, RunAudits};
use checkout::Kernel;
use endpoint::Endpoints;
use failover::Standing;
pub use keys::{Keyed, Route};
use lots::{NewLot, PutUp};
use queue::{Twins, Undecided};
pub use read::witness::Tally;
use shared::live::{LotEvent, Position};
use shared::view::{FloorView, LotView, Person, RoomView, WalletPageView, WalletView};
use shared::{Currency, IdempotencyKey, LotId, Money, PrincipalId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;
use transaction::{Counters, Ran, Runner};
use uuid::Uuid;

/// How long an endpoint may take to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the database may take to tell its time.
const CLOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// One node's ledger.
pub struct Ledger {
    runner: Arc<Runner>,
    clock: Arc<Clock>,
    node: Uuid,
    committed: Arc<Notify>,
    kernel: Arc<Kernel>,
    lots: LotQueues,
    webhooks_queued: Notify,
}

impl Ledger {
    /// A node over endpoints. `hear` is told each commit's events, after COMMIT.
    #[must_use]
    pub fn new(
        endpoints: Endpoints,
        clock: Arc<Clock>,
        hear: impl Fn(&[HouseEvent]) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let runner = Arc::new(Runner::new(endpoints));
        let committed = Arc::new(Notify::new());
        let wake = Arc::clone(&committed);
        runner.listen(Box::new(move |events| {
            hear(events);
            wake.notify_one();
        }));
        let node = crate::ids::event().uuid();
        Arc::new(Self {
            kernel: Arc::new(Kernel::new(Arc::clone(&runner))),
            lots: LotQueues::new(Arc::clone(&runner)),
            runner,
            clock,
            node,
            committed,
            webhooks_queued: Notify::new(),
        })
    }

    /// Runs commands.
    #[must_use]
    pub const fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    /// The commit kernel.
    #[must_use]
    pub const fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The queues of lots.
    #[must_use]
    pub const fn lot_queues(&self) -> &LotQueues {
        &self.lots
    }

    /// Bids or claims in a person's name. The same request sent twice at once waits for the answer
    /// of the first.
    async fn offer(&self, offer: Offer) -> Result<auction::Answer, Failure> {
        let answer = self.lots.offer(offer, Twins::Wait).await;
        answer.map_err(|undecided| match undecided {
            // Nothing was begun: the same key may be sent again.
            Undecided::InProgress | Undecided::Overloaded => Failure::Unavailable,
            Undecided::KeyReused => Failure::KeyReused,
            Undecided::Failed(failure) => failure,
        })
    }

    /// Runs a command of the API under a key: the reply, and whether the key had it already.
    ///
    /// # Errors
    /// When the ledger cannot answer, or the key belongs to another command.
    pub async fn run_keyed<W: checkout::Work>(
        &self,
        keyed: Keyed,
        work: W,
    ) -> Result<(checkout::Reply, bool), Failure> {
        let ran = self
            .runner
            .run(checkout::KeyedWork::new(keyed, work))
            .await?;
        let (reply, kept) = ran.answer;
        Ok((reply, kept && !ran.was_unknown))
    }

    /// What transactions met so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.runner.counters()
    }

    /// Woken after every commit of this node that wrote events.
    #[must_use]
    pub fn committed(&self) -> &Notify {
        &self.committed
    }

    /// This node's name in leases.
    #[must_use]
    pub const fn node(&self) -> Uuid {
        self.node
    }

    /// This node's clock.
    #[must_use]
    pub const fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Sets the clock by the database's.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn measure_clock(&self) -> Result<Timestamp, Failure> {
        let measured = timeout(CLOCK_TIMEOUT, read::now(self.runner.endpoints().pool())).await;
        let (asked, now) = measured
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map_err(|error| {
                tracing::warn!(%error, "the database's clock could not be read");
                Failure::Unavailable
            })?;
        self.clock.set(asked, std::time::Instant::now(), now);
        Ok(now)
    }

    /// Which of the database's endpoints commands begin at.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.runner.endpoints().failover().standing()
    }

    /// Whether the database answers, at any of its endpoints, and every index is valid.
    ///
    /// # Errors
    /// What is not ready, in words for an operator.
    pub async fn ready(&self) -> Result<(), String> {
        let endpoints = self.runner.endpoints();
        let failover = endpoints.failover();
        let mut why = "the database does not answer in time".to_owned();
        for failures in 0..failover.standing().endpoints {
            let pool = endpoints.pool_of(failover.endpoint(failures));
            match timeout(READY_TIMEOUT, schema::invalid_indexes(pool)).await {
                Ok(Ok(missing)) if missing.is_empty() => return Ok(()),
                Ok(Ok(missing)) => {
                    return Err(format!("indexes are not valid: {}", missing.join(", ")));
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_elapsed) => {}
            }
        }
        Err(why)
    }

    /// Puts up a lot; repeating it with the same id changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn put_up(&self, lot: NewLot) -> Result<LotView, Failure> {
        Ok(self.runner.run(PutUp(lot)).await?.answer)
    }

    /// Registers people by handle and answers them as stored.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn register(&self, people: Vec<Person>, demo: bool) -> Result<Vec<Person>, Failure> {
        let handles: Vec<String> = people.iter().map(|person| person.handle.clone()).collect();
        self.runner.run(people::Register { people, demo }).await?;
        let handles: Vec<&str> = handles.iter().map(String::as_str).collect();
        self.people(&handles).await
    }

    /// People by handle.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn people(&self, handles: &[&str]) -> Result<Vec<Person>, Failure> {
        let handles: Vec<String> = handles.iter().map(|&handle| handle.to_owned()).collect();
        self.runner
            .read(move |tx| Box::pin(people::by_handles(tx, handles.clone())))
            .await
    }

    /// The people of the demo.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn demo_people(&self) -> Result<Vec<Person>, Failure> {
        self.runner.read(|tx| Box::pin(people::of_demo(tx))).await
    }

    /// The people whom each of some browsers may act as; browsers without any are left out.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn people_of_browsers(
        &self,
        secret_hashes: Vec<String>,
    ) -> Result<BTreeMap<String, Vec<Person>>, Failure> {
        self.runner
            .read(move |tx| Box::pin(people::of_browsers(tx, secret_hashes.clone())))
            .await
    }

    /// Lets a browser act as a person.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn step_in(&self, secret_hash: String, person: PrincipalId) -> Result<(), Failure> {
        self.runner
            .run(people::StepIn {
                secret_hash,
                person,
            })
            .await
            .map(|_done| ())
    }

    /// Ends a browser's session as a person, or as everybody.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn step_out(
        &self,
        secret_hash: String,
        person: Option<PrincipalId>,
    ) -> Result<(), Failure> {
        self.runner
            .run(people::StepOut {
                secret_hash,
                person,
            })
            .await
            .map(|_done| ())
    }

    /// Those of some browser sessions, by the secret's hash and the person, that still hold.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn sessions_holding(
        &self,
        sessions: Vec<(String, PrincipalId)>,
    ) -> Result<Vec<(String, PrincipalId)>, Failure> {
        self.runner
            .read(move |tx| Box::pin(people::holding(tx, sessions.clone())))
            .await
    }

    /// Runs every audit in one snapshot, and notes how long the journal was in it.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn audit(&self) -> Result<Vec<Finding>, Failure> {
        let (findings, legs) = self.runner.run(RunAudits).await?.answer;
        // Without the mark the next audit only knows an older one.
        if let Err(failure) = self.runner.run(MarkJournal { legs }).await {
            tracing::warn!(%failure, "the length of the journal was not noted");
        }
        Ok(findings)
    }

    /// A lot's events from the outbox, after one offset and through another.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn lot_events(
        &self,
        lot: LotId,
        after: i64,
        through: i64,
    ) -> Result<Vec<(Position, LotEvent)>, Failure> {
        self.runner
            .read(move |tx| Box::pin(read::lot_events(tx, lot, after, through)))
            .await
    }

    /// What the committed rows say about some lots together.
    ///
    /// # Errors
    /// When the ledger cannot answer.
    pub async fn tally(&self, lots: &[LotId]) -> Result<Tally, Failure> {
        let lots: Vec<Uuid> = lots.iter().map(|lot| lot.uuid()).collect();
        self.runner
            .read(move |tx| Box::pin(read::witness::tally(tx, lots.clone())))
            .await
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.runner.endpoints().close().await;
    }
}

/// Turns what a key decided into the command's own answer.
fn decided<T>(
    ran: Ran<(KeptOutcome, bool)>,
    own: impl FnOnce(KeptOutcome) -> Option<T>,
) -> Result<Decided<T>, Failure> {
    let (outcome, kept) = ran.answer;
    let outcome = match outcome {
        KeptOutcome::Refused(refusal) => Err(refusal),
        other @ (KeptOutcome::Bid(_)
        | KeptOutcome::Claim(_)
        | KeptOutcome::Settle(_)
        | KeptOutcome::TopUp(_)) => Ok(own(other).ok_or(Failure::KeyReused)?),
    };
    // An answer that this very call committed, but had to look up, is not a replay.
    Ok(Decided {
        outcome,
        replayed: kept && !ran.was_unknown,
        attempts: ran.attempts,
    })
}

/// Turns what a person's offer was answered into the command's own answer.
fn offered<T>(
    answer: auction::Answer,
    own: impl FnOnce(Reply) -> Option<T>,
) -> Result<Decided<T>, Failure> {
    let outcome = match answer.reply {
        Reply::Refused(refusal) => Err(refusal),
        other @ (Reply::Bid(_) | Reply::Claim(_) | Reply::MandateRefused(_)) => {
            Ok(own(other).ok_or(Failure::KeyReused)?)
        }
    };
    Ok(Decided {
        outcome,
        replayed: answer.replayed,
        attempts: answer.attempts,
    })
}

#[async_trait]
impl app::ports::Ledger for Ledger {
    async fn bid(
        &self,
        actor: &Actor,
        key: IdempotencyKey,
        lot: LotId,
        amount: Money,
    ) -> Result<Decided<BidReceipt>, Failure> {
        let wish = Wish::Bid { amount };
        let offer = Offer::by_person(actor.clone(), key, lot, wish);
        offered(self.offer(offer).await?, |reply| match reply {
            Reply::Bid(receipt) => Some(receipt),
            Reply::Claim(_) | Reply::Refused(_) | Reply::MandateRefused(_) => None,
        })
    }

    async fn claim(
        &self,
        actor: &Actor,
        key: IdempotencyKey,
        lot: LotId,
        units: u32,
        max_price: Money,
    ) -> Result<Decided<ClaimReceipt>, Failure> {
        let wish = Wish::Claim { units, max_price };
        let offer = Offer::by_person(actor.clone(), key, lot, wish);
        offered(self.offer(offer).await?, |reply| match reply {
            Reply::Claim(receipt) => Some(receipt),
            Reply::Bid(_) | Reply::Refused(_) | Reply::MandateRefused(_) => None,
        })
    }

    async fn settle(
        &self,
        actor: &Actor,
        key: IdempotencyKey,
        lot: LotId,
    ) -> Result<Decided<SettleReceipt>, Failure> {
        let command = Settle::asked(actor.person.id, key, lot);
        decided(self.runner.run(command).await?, |outcome| match outcome {
            KeptOutcome::Settle(receipt) => Some(receipt),
            KeptOutcome::Bid(_)
            | KeptOutcome::Claim(_)
            | KeptOutcome::TopUp(_)
            | KeptOutcome::Refused(_) => None,
        })
    }

    async fn top_up(
        &self,
        actor: &Actor,
        key: IdempotencyKey,
        amount: Money,
    ) -> Result<Decided<TopUpReceipt>, Failure> {
        let command = top_up::TopUp::new(actor, key, amount);
        decided(self.runner.run(command).await?, |outcome| match outcome {
            KeptOutcome::TopUp(receipt) => Some(receipt),
            KeptOutcome::Bid(_)
            | KeptOutcome::Claim(_)
            | KeptOutcome::Settle(_)
            | KeptOutcome::Refused(_) => None,
        })
    }

    async fn kept_outcome(
        &self,
        who: PrincipalId,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptOutcome>, Failure> {
        let key = key.clone();
        self.runner
            .read(move |tx| Box::pin(read::kept_outcome(tx, who, key.clone())))
            .await
    }

    async fn floor(&self) -> Result<FloorView, Failure> {
        self.runner.read(|tx| Box::pin(read::floor(tx))).await
    }

    async fn room(&self, lot: LotId) -> Result<Option<RoomView>, Failure> {
        self.runner
            .read(move |tx| Box::pin(read::room(tx, lot)))
            .await
    }

    async fn wallets(
        &self,
        of: Vec<PrincipalId>,
        currency: Currency,
    ) -> Result<BTreeMap<PrincipalId, WalletView>, Failure> {
        self.runner
            .read(move |tx| Box::pin(read::wallets(tx, of.clone(), currency)))
            .await
    }

    async fn wallet_page(
        &self,
        who: PrincipalId,
        currency: Currency,
    ) -> Result<Option<WalletPageView>, Failure> {
        self.runner
            .read(move |tx| Box::pin(read::wallet_page(tx, who, currency)))
            .await
    }
}
