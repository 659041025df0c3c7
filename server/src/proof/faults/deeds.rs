//! Every kind of transaction that changes money or stock, once each: what faults are tried on.

use super::super::Kernels;
use super::super::stage::{
    DURATION_MS, PRICE_MINOR, Shop, cents, drop_of, fund, people, put_up, somebody,
};
use crate::ids;
use crate::ledger::checkout::items::{NewItem, Restock};
use crate::ledger::checkout::mandates::{NewMandate, Revoke};
use crate::ledger::checkout::merchants::NewMerchant;
use crate::ledger::checkout::refunds::Refund;
use crate::ledger::checkout::{Decision, Reply, Work};
use crate::ledger::lots::NewTerms;
use crate::ledger::queue::Undecided;
use crate::ledger::{Keyed, Ledger, Route};
use anyhow::{Context, ensure};
use app::ports::{Actor, Decided, Failure, Ledger as _};
use shared::auction::Increments;
use shared::auction::dutch::Dutch;
use shared::purchase::{CommitRequest, Label};
use shared::{IdempotencyKey, ItemId, LotId, MandateId, MerchantId, PrincipalId, PurchaseId};
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

/// What everybody of a yard has, in cents.
const FUNDS_MINOR: i64 = 8_000_000;

/// Units of the yard's item, and what its mandate pays for.
const UNITS: u32 = 4_000;

/// How long a lot that is to be settled is open, in milliseconds.
const OPEN_MS: i64 = 80;

/// The longest that such a lot is open.
const MAX_OPEN_MS: i64 = 10_000;

/// The opening of English lots and their least raise, in cents.
const OPENING_MINOR: i64 = 1_000;
const RAISE_MINOR: i64 = 100;

/// A kind of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    TopUp,
    Bid,
    Claim,
    DutchClaim,
    Settle,
    Purchase,
    Refund,
    Merchant,
    Item,
    Restock,
    Mandate,
    Revoke,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::TopUp,
        Self::Bid,
        Self::Claim,
        Self::DutchClaim,
        Self::Settle,
        Self::Purchase,
        Self::Refund,
        Self::Merchant,
        Self::Item,
        Self::Restock,
        Self::Mandate,
        Self::Revoke,
    ];
}

/// What a deed asks for.
#[derive(Clone, Debug)]
enum What {
    TopUp(i64),
    Bid(LotId, i64),
    Claim(LotId, i64),
    Settle(LotId),
    Purchase(CommitRequest),
    Refund(PurchaseId, i64),
    Merchant(MerchantId, Label),
    Item(MerchantId, ItemId, u32),
    Restock(ItemId, u32),
    Mandate(MandateId, i64),
    Revoke(MandateId),
}

/// One transaction that is asked for under a key.
#[derive(Clone, Debug)]
pub struct Deed {
    actor: Actor,
    key: IdempotencyKey,
    what: What,
}

/// What a deed heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The answer, or the refusal.
    pub answer: Result<String, String>,
    /// Whether the key had been answered before.
    pub replayed: bool,
}

impl Told {
    fn by_person<T: Debug>(decided: Decided<T>) -> Self {
        let Decided {
            outcome, replayed, ..
        } = decided;
        let answer = outcome
            .map(|receipt| format!("{receipt:?}"))
            .map_err(|refusal| refusal.code().to_owned());
        Self { answer, replayed }
    }
}

impl Deed {
    /// Sends it.
    ///
    /// # Errors
    /// When nobody knows the answer yet, or the key belongs to another deed.
    pub async fn send(&self, kernel: &Arc<Ledger>) -> Result<Told, Failure> {
        let (actor, key) = (&self.actor, self.key.clone());
        let amount = |minor| cents(minor).map_err(|_never| Failure::Unavailable);
        match &self.what {
            What::TopUp(minor) => {
                let done = kernel.top_up(actor, key, amount(*minor)?).await?;
                // The wallet in a receipt is as of the answer.
                Ok(Told {
                    answer: done
                        .outcome
                        .map(|receipt| receipt.amount.to_string())
                        .map_err(|refusal| refusal.code().to_owned()),
                    replayed: done.replayed,
                })
            }
            What::Bid(lot, minor) => kernel
                .bid(actor, key, *lot, amount(*minor)?)
                .await
                .map(Told::by_person),
            What::Claim(lot, most) => kernel
                .claim(actor, key, *lot, 1, amount(*most)?)
                .await
                .map(Told::by_person),
            What::Settle(lot) => kernel.settle(actor, key, *lot).await.map(Told::by_person),
            What::Purchase(request) => self.purchase(kernel, request.clone()).await,
            What::Refund(purchase, minor) => {
                let work = Refund {
                    tenant: self.tenant(),
                    purchase: *purchase,
                    amount_minor: Some(*minor),
                    units: 0,
                };
                self.keyed(kernel, Route::Refund, work, &[purchase, minor])
                    .await
            }
            What::Merchant(id, name) => {
                let work = NewMerchant {
                    tenant: self.tenant(),
                    id: *id,
                    name: name.clone(),
                };
                self.keyed(kernel, Route::Merchant, work, &[&name.as_str()])
                    .await
            }
            What::Item(merchant, id, units) => {
                let title = Label::try_from("Rehearsal".to_owned());
                let work = NewItem {
                    tenant: self.tenant(),
                    id: *id,
                    merchant: *merchant,
                    title: title.map_err(|_never| Failure::Unavailable)?,
                    price: amount(PRICE_MINOR)?,
                    units: *units,
                };
                self.keyed(kernel, Route::Item, work, &[units]).await
            }
            What::Restock(item, units) => {
                let work = Restock {
                    tenant: self.tenant(),
                    item: *item,
                    units: *units,
                };
                self.keyed(kernel, Route::Restock, work, &[item, units])
                    .await
            }
            What::Mandate(id, cap) => {
                let work = NewMandate {
                    tenant: self.tenant(),
                    id: *id,
                    cap: amount(*cap)?,
                    purchase_cap: None,
                    scope: Vec::new(),
                    lifetime_ms: DURATION_MS,
                };
                self.keyed(kernel, Route::Mandate, work, &[cap]).await
            }
            What::Revoke(mandate) => {
                let work = Revoke {
                    tenant: self.tenant(),
                    mandate: *mandate,
                };
                self.keyed(kernel, Route::Revoke, work, &[mandate]).await
            }
        }
    }

    /// The same key with another meaning; `None` where a deed has none but what it is about.
    pub fn twisted(&self) -> Option<Self> {
        let what = match self.what.clone() {
            What::TopUp(minor) => What::TopUp(minor + 1),
            What::Bid(lot, minor) => What::Bid(lot, minor + 1),
            What::Claim(lot, most) => What::Claim(lot, most + 1),
            What::Purchase(request) => What::Purchase(CommitRequest {
                quantity: request.quantity + 1,
                ..request
            }),
            What::Refund(purchase, minor) => What::Refund(purchase, minor - 1),
            What::Item(merchant, id, units) => What::Item(merchant, id, units + 1),
            What::Restock(item, units) => What::Restock(item, units + 1),
            What::Mandate(id, cap) => What::Mandate(id, cap + 1),
            What::Merchant(id, _) => {
                let name = Label::try_from("Another".to_owned());
                What::Merchant(id, name.ok()?)
            }
            What::Settle(_) | What::Revoke(_) => return None,
        };
        Some(Self {
            what,
            ..self.clone()
        })
    }

    /// The same request by somebody else under the same key. What it would make has an id of its own,
    /// as the API gives one to every request.
    pub fn by(&self, actor: &Actor) -> Self {
        let what = match self.what.clone() {
            What::Merchant(_, name) => What::Merchant(ids::merchant(), name),
            What::Item(merchant, _, units) => What::Item(merchant, ids::item(), units),
            What::Mandate(_, cap) => What::Mandate(ids::mandate(), cap),
            other @ (What::TopUp(_)
            | What::Bid(..)
            | What::Claim(..)
            | What::Settle(_)
            | What::Purchase(_)
            | What::Refund(..)
            | What::Restock(..)
            | What::Revoke(_)) => other,
        };
        Self {
            actor: actor.clone(),
            key: self.key.clone(),
            what,
        }
    }

    /// Whose key it is.
    pub fn tenant(&self) -> PrincipalId {
        self.actor.person.id
    }

    async fn purchase(
        &self,
        kernel: &Arc<Ledger>,
        request: CommitRequest,
    ) -> Result<Told, Failure> {
        let answer = kernel.kernel().commit(self.tenant(), &self.key, request);
        let answer = answer.await.map_err(|undecided| match undecided {
            Undecided::InProgress | Undecided::Overloaded => Failure::Unavailable,
            Undecided::KeyReused => Failure::KeyReused,
            Undecided::Failed(failure) => failure,
        })?;
        Ok(Told {
            replayed: answer.replayed,
            answer: match answer.decision {
                Decision::Committed { amount, .. } => Ok(format!("{} {amount}", answer.purchase)),
                Decision::Refused(refusal) => Err(refusal.code().to_owned()),
            },
        })
    }

    async fn keyed<W: Work>(
        &self,
        kernel: &Arc<Ledger>,
        route: Route,
        work: W,
        meaning: &[&(dyn Display + Sync)],
    ) -> Result<Told, Failure> {
        let meaning: Vec<String> = meaning.iter().map(ToString::to_string).collect();
        let meaning = meaning.join(" ");
        let keyed = Keyed::new(self.tenant(), self.key.clone(), route, &[&meaning]);
        let (reply, replayed) = kernel.run_keyed(keyed, work).await?;
        let answer = match reply {
            Reply::Made(text) => Ok(text),
            Reply::Refused(refusal) => Err(refusal.code().to_owned()),
        };
        Ok(Told { answer, replayed })
    }
}

/// Who and what deeds are about. Everything in it is new.
pub struct Yard<'k> {
    kernels: &'k Kernels,
    seller: Actor,
    bidder: Actor,
    rival: Actor,
    /// Somebody with a shop.
    pub owner: Actor,
    shop: Shop,
    item: ItemId,
    mandate: MandateId,
}

impl<'k> Yard<'k> {
    /// A yard, by kernels that nothing stands in the way of.
    ///
    /// # Errors
    /// When it could not be set up.
    pub async fn new(kernels: &'k Kernels) -> anyhow::Result<Self> {
        let seller = somebody(kernels, "seller").await?;
        let mut bidders = people(kernels, "bidder", 2).await?;
        fund(kernels, &bidders, cents(FUNDS_MINOR)?).await?;
        let bidder = bidders.pop().context("nobody bids")?;
        let rival = bidders.pop().context("nobody bids against them")?;
        let (shop, owner) = Shop::open_by(kernels, FUNDS_MINOR).await?;
        let item = shop.item(kernels, UNITS).await?;
        let cap = i64::from(UNITS) * PRICE_MINOR;
        let mandate = shop.mandate(kernels, cap).await?;
        Ok(Self {
            kernels,
            seller,
            bidder,
            rival,
            owner,
            shop,
            item,
            mandate,
        })
    }

    /// A deed that can be done, under a fresh key.
    ///
    /// # Errors
    /// When it could not be prepared.
    pub async fn deed(&self, kind: Kind) -> anyhow::Result<Deed> {
        let (actor, what) = match kind {
            Kind::TopUp => (&self.seller, What::TopUp(PRICE_MINOR)),
            Kind::Bid => (&self.bidder, self.a_bid().await?),
            Kind::Claim => {
                let lot = self.lot(drop_of(4, Some(2))?, DURATION_MS).await?;
                (&self.bidder, What::Claim(lot, PRICE_MINOR))
            }
            Kind::DutchClaim => {
                let terms = NewTerms::Dutch(Dutch {
                    start: cents(OPENING_MINOR)?,
                    floor: cents(RAISE_MINOR)?,
                    step_minor: RAISE_MINOR,
                    tick_ms: 1_000,
                });
                let lot = self.lot(terms, DURATION_MS).await?;
                (&self.bidder, What::Claim(lot, OPENING_MINOR))
            }
            Kind::Settle => (&self.seller, self.a_settlement().await?),
            Kind::Purchase => (&self.owner, What::Purchase(self.request()?)),
            Kind::Refund => (&self.owner, self.a_refund().await?),
            Kind::Merchant => {
                let name = Label::try_from("Rehearsal".to_owned());
                let name = name.context("a name that is none")?;
                (&self.owner, What::Merchant(ids::merchant(), name))
            }
            Kind::Item => (&self.owner, What::Item(self.shop.merchant, ids::item(), 20)),
            Kind::Restock => {
                let item = self.shop.item(self.kernels, 10).await?;
                (&self.owner, What::Restock(item, 5))
            }
            Kind::Mandate => (&self.owner, What::Mandate(ids::mandate(), PRICE_MINOR)),
            Kind::Revoke => {
                let mandate = self.shop.mandate(self.kernels, PRICE_MINOR).await?;
                (&self.owner, What::Revoke(mandate))
            }
        };
        Ok(Deed {
            actor: actor.clone(),
            key: ids::key(),
            what,
        })
    }

    async fn lot(&self, terms: NewTerms, duration_ms: i64) -> anyhow::Result<LotId> {
        let lot = put_up(self.kernels, &self.seller, terms, duration_ms).await?;
        Ok(lot.id)
    }

    async fn english(&self, duration_ms: i64) -> anyhow::Result<LotId> {
        let terms = NewTerms::English {
            opening: cents(OPENING_MINOR)?,
            increments: Increments::flat(RAISE_MINOR),
            reserve: None,
            extension_window_ms: 0,
            max_extension_ms: 0,
        };
        self.lot(terms, duration_ms).await
    }

    async fn bid_of_rival(&self, lot: LotId) -> anyhow::Result<bool> {
        let amount = cents(OPENING_MINOR)?;
        let bid = self.kernels.of(0).bid(&self.rival, ids::key(), lot, amount);
        Ok(bid.await?.outcome.is_ok())
    }

    /// A bid that tops another.
    async fn a_bid(&self) -> anyhow::Result<What> {
        let lot = self.english(DURATION_MS).await?;
        ensure!(self.bid_of_rival(lot).await?, "the rival may not bid");
        Ok(What::Bid(lot, OPENING_MINOR + RAISE_MINOR))
    }

    async fn a_settlement(&self) -> anyhow::Result<What> {
        // Where much else goes on, a lot may be over before anybody has bid: the next is open longer.
        let mut open_ms = OPEN_MS;
        loop {
            let lot = self.english(open_ms).await?;
            let has_bid = self.bid_of_rival(lot).await?;
            tokio::time::sleep(Duration::from_millis(u64::try_from(open_ms)?)).await;
            if has_bid {
                return Ok(What::Settle(lot));
            }
            ensure!(open_ms < MAX_OPEN_MS, "the rival may not bid");
            open_ms *= 2;
        }
    }

    fn request(&self) -> anyhow::Result<CommitRequest> {
        let agent = format!("agent-{}", ids::event().uuid().simple());
        self.shop.one(self.item, self.mandate, &agent)
    }

    async fn a_refund(&self) -> anyhow::Result<What> {
        let bought = Deed {
            actor: self.owner.clone(),
            key: ids::key(),
            what: What::Purchase(self.request()?),
        };
        let told = bought.send(self.kernels.of(0)).await?;
        ensure!(told.answer.is_ok(), "nothing was bought");
        let purchase = ids::purchase(bought.tenant(), &bought.key);
        Ok(What::Refund(purchase, PRICE_MINOR / 2))
    }
}
