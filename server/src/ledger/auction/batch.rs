//! One batch of bids and claims on one lot, one transaction: BEGIN; one read; the keys; the
//! decisive row; money; everything else; COMMIT. The number of round trips does not depend on the
//! number of offers.
//!
//! The lot's row is written once and its version grows by the number of bids; wallets and buckets
//! are written once, net. Every accepted bid, also one that is outbid within the batch, has its own
//! row, hold, legs and event. A drop's claims do not write the lot's row: closing a drop writes
//! every bucket, so the two cannot both succeed.

use super::super::checkout::MAX_ROWS;
use super::super::queue::{Earlier, max_races};
use super::super::rows::LotRead;
use super::super::transaction::{Command, Tx, TxError};
use super::offer::{Offer, Reply, Wish};
use super::snapshot::{Snapshot, Wanted};
use super::{apart, news, write};
use crate::ids;
use app::ports::{BidReceipt, ClaimReceipt};
use async_trait::async_trait;
use shared::auction::plan::{BidTaken, ClaimTaken, MAX_ROWS_PER_OFFER};
use shared::auction::{Bid, Claim, LotPlan, Refusal};
use shared::mutant::{self, Mutant};
use shared::view::{LadderLine, Person};
use shared::{ClaimId, LotId, Money, PrincipalId, Timestamp, TransferId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

/// Offers of a batch. An accepted one writes at most 14 rows of its own, so that
/// [`MAX_ROWS`] allows about 150 of them; refusals write one.
pub const MAX_OFFERS: usize = 200;

/// How far the clock of a broken node is ahead, in milliseconds.
const AHEAD_MS: i64 = 1_000;

/// What became of one offer.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was decided.
    Decided {
        /// How.
        reply: Reply,
        /// Whether the key had been answered before.
        replayed: bool,
        /// Tries of the transaction.
        attempts: u32,
    },
    /// Its key belongs to another offer.
    KeyReused,
}

/// A batch.
pub struct LotBatch {
    lot: LotId,
    offers: Arc<[Offer]>,
    range: Range<usize>,
    /// Where among a drop's buckets this node begins.
    start: usize,
    earlier: Earlier,
}

/// An offer that was accepted.
pub struct Taken<'o> {
    /// The offer.
    pub offer: &'o Offer,
    /// Its line in the ladder.
    pub line: LadderLine,
    /// What it changed.
    pub what: TakenAs,
}

/// What an accepted offer changed.
pub enum TakenAs {
    /// A bid.
    Bid(Box<BidTaken>),
    /// A claim, with its ids.
    Claim(ClaimId, TransferId, ClaimTaken),
}

/// A decision that is kept under its key, with the id of the row that it makes.
struct Made<'o> {
    offer: &'o Offer,
    reply: Reply,
    effect: Option<Uuid>,
}

impl LotBatch {
    /// A batch of some of the offers.
    #[must_use]
    pub const fn new(
        lot: LotId,
        offers: Arc<[Offer]>,
        range: Range<usize>,
        start: usize,
        earlier: Earlier,
    ) -> Self {
        Self {
            lot,
            offers,
            range,
            start,
            earlier,
        }
    }

    fn offers(&self) -> &[Offer] {
        self.offers.get(self.range.clone()).unwrap_or_default()
    }

    fn wanted(&self) -> Wanted<'_> {
        let offers = self.offers();
        let unknown = offers.iter().filter(|offer| offer.person.is_none());
        Wanted {
            keys: offers.iter().map(|offer| &offer.keyed).collect(),
            funds: offers.iter().map(|offer| offer.funds).collect(),
            people: unknown.map(|offer| offer.funds.owner()).collect(),
            is_for_claims: offers.iter().all(Offer::is_claim_from_wallet),
        }
    }
}

#[async_trait]
impl Command for LotBatch {
    type Answer = Vec<Outcome>;
    const NAME: &'static str = "offers";

    fn max_races(&self) -> u32 {
        max_races(self.range.len())
    }

    /// One outcome for each offer, in order; fewer than there were offers if the batch was full
    /// before.
    async fn attempt(&self, tx: &mut Tx) -> Result<Vec<Outcome>, TxError> {
        let snapshot = Snapshot::read(tx, self.lot, self.wanted()).await?;
        let Snapshot {
            now,
            lot,
            buckets,
            kept,
            purses,
            bought,
            people,
        } = snapshot;
        // What is found later may be this batch's own, from a try whose outcome was unknown.
        let old_keys = self.earlier.old_keys.get_or_init(|| {
            let old = self.offers().iter().enumerate();
            old.filter(|(place, _)| kept.contains_key(place))
                .map(|(_, offer)| offer.keyed.number())
                .collect()
        });
        let after_unknown = self.earlier.unknown || tx.after_unknown();
        let attempts = self.earlier.attempts.saturating_add(tx.attempt());
        let by = if mutant::is(Mutant::OwnClock) {
            Timestamp(now.0 + AHEAD_MS)
        } else {
            now
        };
        let plan = lot.as_ref().map(|read| {
            let lot = read.lot.clone();
            LotPlan::new(by, lot, purses, bought, buckets, self.start)
        });
        let mut desk = Desk { now, plan, people };
        let mut outcomes = Vec::with_capacity(self.range.len());
        let mut made: Vec<Made<'_>> = Vec::new();
        let mut taken: Vec<Taken<'_>> = Vec::new();
        let mut own: HashMap<Uuid, usize> = HashMap::new();
        for (place, offer) in self.offers().iter().enumerate() {
            if desk.rows() + made.len() + MAX_ROWS_PER_OFFER >= MAX_ROWS {
                break;
            }
            let number = offer.keyed.number();
            let before = kept.get(&place);
            let twin = own.get(&number).and_then(|&place| made.get(place));
            let answered = match (before, twin) {
                (Some(kept), _) => Some((&kept.fingerprint, read_reply(&kept.outcome)?)),
                (None, Some(made)) => Some((&made.offer.keyed.fingerprint, made.reply.clone())),
                (None, None) => None,
            };
            if let Some((fingerprint, reply)) = answered {
                outcomes.push(if *fingerprint == offer.keyed.fingerprint {
                    Outcome::Decided {
                        reply,
                        replayed: twin.is_some() || !after_unknown || old_keys.contains(&number),
                        attempts,
                    }
                } else {
                    Outcome::KeyReused
                });
                continue;
            }
            let (reply, accepted) = desk.decide(offer)?;
            outcomes.push(Outcome::Decided {
                reply: reply.clone(),
                replayed: false,
                attempts,
            });
            if offer.agent.is_none() || !reply.is_not_found() {
                own.insert(number, made.len());
                made.push(Made {
                    offer,
                    reply,
                    effect: accepted.as_ref().map(effect),
                });
            }
            taken.extend(accepted);
        }
        keep(tx, made, now).await?;
        if let (Some(read), Some(plan), false) = (&lot, &desk.plan, taken.is_empty()) {
            write_all(tx, read, plan, &taken, now).await?;
        }
        Ok(outcomes)
    }
}

/// Decides offers one after another.
struct Desk {
    now: Timestamp,
    plan: Option<LotPlan>,
    people: HashMap<PrincipalId, Person>,
}

impl Desk {
    fn rows(&self) -> usize {
        self.plan.as_ref().map_or(0, LotPlan::rows)
    }

    fn decide<'o>(&mut self, offer: &'o Offer) -> Result<(Reply, Option<Taken<'o>>), TxError> {
        let owner = offer.funds.owner();
        let Some(plan) = &mut self.plan else {
            return Ok((Reply::Refused(Refusal::NotFound), None));
        };
        let person = match &offer.person {
            Some(person) => person.clone(),
            None => self.people.get(&owner).cloned().ok_or(NOBODY)?,
        };
        let line = |id: String, amount: Money, units: u32| LadderLine {
            id,
            who: person,
            region: offer.region,
            amount,
            units,
            at: self.now,
        };
        let decided = match offer.wish {
            Wish::Bid { amount } => {
                let bid = Bid {
                    funds: offer.funds,
                    region: offer.region,
                    amount,
                };
                plan.bid(&bid, ids::bid(), ids::hold()).map(|taken| {
                    let line = line(taken.high.bid.to_string(), amount, 1);
                    let receipt = BidReceipt {
                        line: line.clone(),
                        version: taken.accepted.version,
                        closes_at: taken.accepted.closes_at,
                        next_minimum: taken.accepted.next_minimum,
                    };
                    (Reply::Bid(receipt), line, TakenAs::Bid(Box::new(taken)))
                })
            }
            Wish::Claim { units, max_price } => {
                let claim = Claim {
                    buyer: owner,
                    region: offer.region,
                    units,
                    max_price,
                };
                plan.claim(offer.funds, &claim).map(|taken| {
                    let (claim, transfer) = (ids::claim(), ids::transfer());
                    let line = line(claim.to_string(), taken.accepted.price, units);
                    let receipt = ClaimReceipt {
                        line: line.clone(),
                        total: taken.accepted.total,
                        transfer,
                    };
                    let what = TakenAs::Claim(claim, transfer, taken);
                    (Reply::Claim(receipt), line, what)
                })
            }
        };
        Ok(match decided {
            Err(declined) => (declined.into(), None),
            Ok((reply, line, what)) => (reply, Some(Taken { offer, line, what })),
        })
    }
}

const NOBODY: TxError = TxError::Corrupt("the owner of a key is nobody");

/// The row that an accepted offer makes.
fn effect(taken: &Taken<'_>) -> Uuid {
    match &taken.what {
        TakenAs::Bid(bid) => bid.high.bid.uuid(),
        TakenAs::Claim(claim, ..) => claim.uuid(),
    }
}

fn read_reply(text: &str) -> Result<Reply, TxError> {
    serde_json::from_str(text).map_err(|_unreadable| TxError::Corrupt("outcome of a key"))
}

async fn keep(tx: &mut Tx, made: Vec<Made<'_>>, now: Timestamp) -> Result<(), TxError> {
    if made.is_empty() {
        return Ok(());
    }
    let row = |made: Made<'_>| {
        let Made {
            offer,
            reply,
            effect,
        } = made;
        let text = serde_json::to_string(&reply);
        let text = text.map_err(|_unwritable| TxError::Corrupt("outcome of a key"))?;
        let keyed = offer.keyed.clone();
        Ok((keyed, text, effect))
    };
    let rows = made
        .into_iter()
        .map(row)
        .collect::<Result<Vec<_>, TxError>>()?;
    if mutant::is(Mutant::KeyApart) {
        apart::later(rows);
        return Ok(());
    }
    super::super::keys::keep_all(tx, rows, now).await
}

/// Writes what the offers changed. What others contend for comes first, so that a lost race costs
/// the fewest statements.
async fn write_all(
    tx: &mut Tx,
    read: &LotRead,
    plan: &LotPlan,
    taken: &[Taken<'_>],
    now: Timestamp,
) -> Result<(), TxError> {
    let changes = plan.changes();
    write::lot(tx, read, plan.lot(), taken, now).await?;
    write::stock(tx, read, &changes).await?;
    let money = write::money(tx, read.lot.currency, changes).await?;
    write::bids(tx, read.lot.id, taken, now).await?;
    write::claims(tx, read.lot.id, taken, now).await?;
    write::transfers(tx, read.lot.id, taken, now).await?;
    let events = news::of_offers(read, plan.lot(), taken, &money, now)?;
    super::super::posting::publish(tx, events).await
}
