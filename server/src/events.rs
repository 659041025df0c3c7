//! What a commit tells the world: the outbox row, the event log's item and what the hub hears are
//! the same value.

use serde::{Deserialize, Serialize};
use shared::live::{Channel, LotEvent, Position, Push};
use shared::view::{Activity, LadderLine, LotView, Notice, WalletView};
use shared::{
    BidId, ClaimId, Currency, EventId, ItemId, LotId, MandateId, MerchantId, PrincipalId,
    PurchaseId, Timestamp, TransferId,
};

/// One event of the money plane, written to the outbox in the commit that it tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HouseEvent {
    /// Unique; a repeat carries the same id.
    pub id: EventId,
    /// Database time of the transaction.
    pub at: Timestamp,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "body", rename_all = "snake_case")]
pub enum EventBody {
    /// A lot was put up.
    Opened {
        /// The lot as its card shows it.
        card: Box<LotView>,
        /// The line for the activity.
        activity: Activity,
    },
    /// A lot's row changed: has a place in the lot's history.
    Lot {
        /// The lot.
        lot: LotId,
        /// Epoch and the version that was written.
        position: Position,
        /// The change.
        event: LotEvent,
        /// The lot after the change, as its card shows it.
        card: Box<LotView>,
        /// The line for the activity.
        activity: Activity,
        /// Whether the floor shows the lot: only then it hears of it.
        listed: bool,
    },
    /// Units of a drop were claimed: no place in the history, the fewest units left win.
    Stock {
        /// The lot.
        lot: LotId,
        /// Units left, as far as the commit knew.
        units_left: u32,
        /// The claim.
        line: LadderLine,
        /// The lot after the claim, as its card shows it.
        card: Box<LotView>,
        /// The line for the activity.
        activity: Activity,
        /// Whether the floor shows the lot: only then it hears of it.
        listed: bool,
    },
    /// A wallet's row changed.
    Wallet {
        /// Whose.
        owner: PrincipalId,
        /// The wallet after the change; the highest version wins.
        wallet: WalletView,
        /// What its owner should hear.
        notice: Option<Notice>,
    },
    /// News for somebody whose wallet did not change, such as a seller.
    Notice {
        /// For whom.
        owner: PrincipalId,
        /// What they should hear.
        notice: Notice,
    },
    /// The agents' checkout changed something.
    Checkout(Box<CheckoutEvent>),
}

/// A commit of the agents' checkout: what happened, and every row of it that others read, as the
/// commit left it. A row's newest version wins; a merchant's balance is the sum of its changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutEvent {
    /// Whose.
    pub tenant: PrincipalId,
    /// What happened.
    pub what: CheckoutNews,
    /// The currency of all amounts.
    pub currency: Currency,
    /// Buckets of stock.
    pub stock: Vec<(ItemId, BucketState)>,
    /// Buckets of budgets, in minor units.
    pub budgets: Vec<(MandateId, BucketState)>,
    /// What merchants were credited (negative: debited), in minor units.
    pub credits: Vec<(MerchantId, i64)>,
}

/// One bucket after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketState {
    /// Its number.
    pub bucket: i32,
    /// The row's version.
    pub version: i64,
    /// What is left in it.
    pub left: i64,
}

/// What happened at the agents' checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum CheckoutNews {
    /// Purchases of one item were committed together.
    Committed {
        /// The item.
        item: ItemId,
        /// Each purchase.
        purchases: Vec<PurchaseLine>,
    },
    /// An item came in, or more units of it.
    Stocked {
        /// The item.
        item: ItemId,
        /// Units that came in.
        units: i64,
    },
    /// A mandate was given.
    Granted {
        /// The mandate.
        mandate: MandateId,
    },
    /// A mandate was taken back.
    Revoked {
        /// The mandate.
        mandate: MandateId,
        /// What came back to the wallet, in minor units.
        returned_minor: i64,
    },
    /// An agent's bid leads; its amount is held of the mandate.
    BidPlaced {
        /// The mandate.
        mandate: MandateId,
        /// The lot.
        lot: LotId,
        /// The bid.
        bid: BidId,
        /// The agent.
        agent: String,
        /// What is held, in minor units.
        amount_minor: i64,
    },
    /// An agent's bid leads no longer; what was held is free again.
    BidFreed {
        /// The mandate.
        mandate: MandateId,
        /// The lot.
        lot: LotId,
        /// The bid.
        bid: BidId,
        /// What is free again, in minor units.
        freed_minor: i64,
        /// The bid that leads now, in minor units; `None` if the lot passed.
        price_minor: Option<i64>,
        /// Whether it went to the owner's wallet, since the mandate had been revoked.
        to_wallet: bool,
    },
    /// An agent's bid won, and was paid with what was held.
    BidWon {
        /// The mandate.
        mandate: MandateId,
        /// The lot.
        lot: LotId,
        /// The bid.
        bid: BidId,
        /// What was paid, in minor units.
        paid_minor: i64,
    },
    /// An agent claimed units of a lot, and they were paid by the mandate.
    Claimed {
        /// The mandate.
        mandate: MandateId,
        /// The lot.
        lot: LotId,
        /// The claim.
        claim: ClaimId,
        /// The agent.
        agent: String,
        /// Units.
        units: u32,
        /// What they cost, in minor units.
        amount_minor: i64,
    },
    /// A purchase, or a part of it, was paid back.
    Refunded {
        /// The purchase.
        purchase: PurchaseId,
        /// The item.
        item: ItemId,
        /// The transfer.
        transfer: TransferId,
        /// What was paid back, in minor units.
        amount_minor: i64,
        /// Units that went back into stock.
        units: i64,
    },
}

/// One committed purchase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseLine {
    /// The purchase.
    pub purchase: PurchaseId,
    /// The mandate that paid.
    pub mandate: MandateId,
    /// The agent that bought.
    pub agent: String,
    /// Units.
    pub quantity: u32,
    /// What it cost, in minor units.
    pub amount_minor: i64,
}

impl EventBody {
    /// The line that the floor's activity shows of it, if any.
    #[must_use]
    pub fn into_activity(self) -> Option<Activity> {
        match self {
            Self::Opened { activity, .. }
            | Self::Lot {
                activity,
                listed: true,
                ..
            }
            | Self::Stock {
                activity,
                listed: true,
                ..
            } => Some(activity),
            Self::Lot { .. }
            | Self::Stock { .. }
            | Self::Wallet { .. }
            | Self::Notice { .. }
            | Self::Checkout(_) => None,
        }
    }
}

/// Where the event log keeps an event together with others of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// A lot.
    Lot(LotId),
    /// A person's wallet and news.
    Wallet(PrincipalId),
    /// An item that agents buy.
    Item(ItemId),
    /// A mandate.
    Mandate(MandateId),
}

/// Who hears a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// Everybody on a channel.
    Channel(Channel),
    /// One person's `me` channel.
    Person(PrincipalId),
}

/// One push that follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who hears it.
    pub audience: Audience,
    /// Its place, if it must arrive in order.
    pub position: Option<Position>,
    /// What they hear.
    pub push: Push,
}

impl HouseEvent {
    /// What the event is about.
    #[must_use]
    pub fn aggregate(&self) -> Aggregate {
        match &self.body {
            EventBody::Opened { card, .. } => Aggregate::Lot(card.id),
            EventBody::Lot { lot, .. } | EventBody::Stock { lot, .. } => Aggregate::Lot(*lot),
            EventBody::Wallet { owner, .. } | EventBody::Notice { owner, .. } => {
                Aggregate::Wallet(*owner)
            }
            EventBody::Checkout(event) => event.aggregate(),
        }
    }

    /// Whether the floor's activity shows it.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        match &self.body {
            EventBody::Opened { .. } => true,
            EventBody::Lot { listed, .. } | EventBody::Stock { listed, .. } => *listed,
            EventBody::Wallet { .. } | EventBody::Notice { .. } | EventBody::Checkout(_) => false,
        }
    }

    /// Its place in the lot's history, if it has one.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        match &self.body {
            EventBody::Lot { position, .. } => Some(*position),
            EventBody::Opened { .. }
            | EventBody::Stock { .. }
            | EventBody::Wallet { .. }
            | EventBody::Notice { .. }
            | EventBody::Checkout(_) => None,
        }
    }

    /// Everything that sockets hear of it.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        let free = |audience, push| Delivery {
            audience,
            position: None,
            push,
        };
        let floor = |card: &LotView, activity: &Activity| {
            let news = [Push::Card(card.clone()), Push::Activity(activity.clone())];
            news.map(|push| free(Audience::Channel(Channel::Floor), push))
        };
        match &self.body {
            EventBody::Opened { card, activity } => floor(card, activity).to_vec(),
            EventBody::Lot {
                lot,
                position,
                event,
                card,
                activity,
                listed,
            } => {
                let mut all = vec![Delivery {
                    audience: Audience::Channel(Channel::Lot(*lot)),
                    position: Some(*position),
                    push: Push::Event(event.clone()),
                }];
                if *listed {
                    all.extend(floor(card, activity));
                }
                all
            }
            EventBody::Stock {
                lot,
                units_left,
                line,
                card,
                activity,
                listed,
            } => {
                let mut all = vec![free(
                    Audience::Channel(Channel::Lot(*lot)),
                    Push::Stock {
                        units_left: *units_left,
                        line: Some(line.clone()),
                    },
                )];
                if *listed {
                    all.extend(floor(card, activity));
                }
                all
            }
            EventBody::Wallet {
                owner,
                wallet,
                notice,
            } => {
                let person = Audience::Person(*owner);
                let mut all = vec![free(person, Push::Wallet(wallet.clone()))];
                all.extend(
                    notice
                        .clone()
                        .map(|notice| free(person, Push::Notice(notice))),
                );
                all
            }
            EventBody::Notice { owner, notice } => {
                vec![free(Audience::Person(*owner), Push::Notice(notice.clone()))]
            }
            // Agents hear by webhook; no page shows the checkout yet.
            EventBody::Checkout(_) => Vec::new(),
        }
    }
}

impl CheckoutEvent {
    const fn aggregate(&self) -> Aggregate {
        match &self.what {
            CheckoutNews::Committed { item, .. }
            | CheckoutNews::Stocked { item, .. }
            | CheckoutNews::Refunded { item, .. } => Aggregate::Item(*item),
            CheckoutNews::Granted { mandate }
            | CheckoutNews::Revoked { mandate, .. }
            | CheckoutNews::BidPlaced { mandate, .. }
            | CheckoutNews::BidFreed { mandate, .. }
            | CheckoutNews::BidWon { mandate, .. }
            | CheckoutNews::Claimed { mandate, .. } => Aggregate::Mandate(*mandate),
        }
    }
}
