//! What people see: the read side's types, equal on the page, in the socket and in the browser.

use crate::auction::{Dutch, Extension, Increments, Mechanism, Phase, Status};
use crate::{BidId, Currency, LotId, MessageId, Money, PrincipalId, Region, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A person as others see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Their id.
    pub id: PrincipalId,
    /// Their short name, unique, lower case: what `?as=` takes.
    pub handle: String,
    /// The name shown.
    pub name: String,
    /// Whether a program of the demo acts for them.
    pub simulated: bool,
}

/// One bid or claim in a lot's ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderLine {
    /// `bid_…` or `clm_…`: unique within the lot.
    pub id: String,
    /// Who.
    pub who: Person,
    /// Where they acted.
    pub region: Region,
    /// The bid, or the price per unit that was charged.
    pub amount: Money,
    /// Units: 1 for bids.
    pub units: u32,
    /// Database time of the commit's transaction.
    pub at: Timestamp,
}

/// Whether the seller's least price is reached; its amount is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reserve {
    /// The lot has none.
    None,
    /// The leading bid is below it.
    NotMet,
    /// The leading bid reaches it.
    Met,
}

/// The public terms of a lot, with the part of its state that belongs to the mechanism.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mechanism", rename_all = "snake_case")]
pub enum Terms {
    /// Rising bids.
    English {
        /// The least first bid.
        opening: Money,
        /// The least raises.
        increments: Increments,
        /// The soft close.
        extension: Extension,
        /// Reserve met or not.
        reserve: Reserve,
        /// The leading bid.
        leader: Option<LadderLine>,
        /// The least amount of the next bid; `None` when no higher amount exists.
        next_minimum: Option<Money>,
    },
    /// Falling price.
    Dutch {
        /// The schedule, anchored at the lot's opening.
        schedule: Dutch,
    },
    /// Units at one price.
    Drop {
        /// The price per unit.
        price: Money,
        /// Units offered.
        units: u32,
        /// Units left.
        units_left: u32,
        /// Units that one buyer may have.
        limit: Option<u32>,
    },
}

/// How a lot ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// One winner: English and Dutch.
    Sold {
        /// The winning bid or claim.
        line: LadderLine,
    },
    /// A drop ended with units sold.
    DropEnded {
        /// Units sold.
        units_sold: u32,
        /// Price × units sold.
        total: Money,
    },
    /// Nothing was sold.
    Passed {
        /// Whether there was a leading bid below the reserve.
        reserve_not_met: bool,
    },
    /// The seller withdrew the lot.
    Cancelled,
}

/// A lot as a card on the floor and as the head of its room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LotView {
    /// The lot's id.
    pub id: LotId,
    /// Its name.
    pub title: String,
    /// The illustration's name: `/art/{art}.svg`.
    pub art: String,
    /// Who sells it.
    pub seller: Person,
    /// The currency of every amount on it.
    pub currency: Currency,
    /// When bidding begins.
    pub opens_at: Timestamp,
    /// When bidding ends, as far as known; of a lot that is over, when it ended.
    pub closes_at: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// The mechanism's terms and state.
    pub terms: Terms,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// Identity of its event history; another epoch means history is lost.
    pub epoch: i64,
    /// The version of the row this view was read from: the offset of its last event.
    pub offset: i64,
}

impl LotView {
    /// How it is sold.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        match self.terms {
            Terms::English { .. } => Mechanism::English,
            Terms::Dutch { .. } => Mechanism::Dutch,
            Terms::Drop { .. } => Mechanism::Drop,
        }
    }

    /// What may be done with it at `now`.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        match self.status {
            Status::Sold | Status::Passed | Status::Cancelled => Phase::Over,
            Status::Open if now < self.opens_at => Phase::Scheduled,
            Status::Open if now >= self.closes_at => Phase::Due,
            Status::Open => Phase::Live,
        }
    }

    /// The price to show at `now`: the leading bid or the opening, the schedule's price, the
    /// drop's price; for a sold lot what was paid.
    #[must_use]
    pub fn price_at(&self, now: Timestamp) -> Money {
        if let Some(Outcome::Sold { line }) = &self.outcome {
            return line.amount;
        }
        match &self.terms {
            Terms::English {
                opening, leader, ..
            } => leader.as_ref().map_or(*opening, |l| l.amount),
            Terms::Dutch { schedule } => schedule.price_at(self.opens_at, now.min(self.closes_at)),
            Terms::Drop { price, .. } => *price,
        }
    }
}

/// A lot's room: the head, the words and the ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomView {
    /// The lot.
    pub lot: LotView,
    /// What it is, in a few sentences.
    pub description: String,
    /// Bids or claims, newest first, at most [`MAX_LADDER_LINES`].
    pub ladder: Vec<LadderLine>,
    /// Database time of the snapshot.
    pub server_time: Timestamp,
}

/// Lines of a ladder that a room shows.
pub const MAX_LADDER_LINES: usize = 50;

/// The floor: live lots, what was settled lately, and what is going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloorView {
    /// Scheduled and live lots, what ends or falls next first.
    pub live: Vec<LotView>,
    /// Settled lots, newest first.
    pub settled: Vec<LotView>,
    /// What happened lately, newest first.
    pub activity: Vec<Activity>,
    /// Database time of the snapshot.
    pub server_time: Timestamp,
}

/// One line of the house's activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Unique: the id of the event behind it.
    pub id: String,
    /// The lot it is about.
    pub lot: LotId,
    /// The lot's name.
    pub title: String,
    /// What happened.
    pub what: ActivityKind,
    /// Who did it, if somebody did.
    pub who: Option<Person>,
    /// Where they acted.
    pub region: Option<Region>,
    /// The amount, if there is one.
    pub amount: Option<Money>,
    /// When.
    pub at: Timestamp,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    /// A lot was put up.
    Opened,
    /// A bid was accepted.
    Bid,
    /// A claim was accepted.
    Claimed,
    /// A lot was sold.
    Sold,
    /// A lot ended without a sale.
    Passed,
}

/// A line of a leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardLine {
    /// Who.
    pub who: Person,
    /// Their amount.
    pub amount: Money,
}

/// A wallet as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletView {
    /// What may be used.
    pub available: Money,
    /// Set aside for leading bids.
    pub held: Money,
    /// Paid to sellers.
    pub spent: Money,
    /// Everything that came in.
    pub funded: Money,
    /// The row's version: the newest view wins.
    pub version: i64,
}

/// A hold that is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// The lot it is for.
    pub lot: LotId,
    /// The lot's name.
    pub title: String,
    /// The bid it secures.
    pub bid: BidId,
    /// The amount set aside.
    pub amount: Money,
    /// Since when.
    pub at: Timestamp,
}

/// One line of a statement: a leg on the owner's accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// The transfer's id, as text.
    pub transfer: String,
    /// Why: `top_up`, `hold`, `void`, `capture`, `purchase`.
    pub kind: crate::ledger::TransferKind,
    /// The account: `available`, `held`, `payable`.
    pub account: crate::ledger::AccountKind,
    /// The signed amount.
    pub amount: Money,
    /// The lot behind it, if any.
    pub lot: Option<LotId>,
    /// The lot's name.
    pub title: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// The wallet page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletPageView {
    /// The numbers.
    pub wallet: WalletView,
    /// Live holds, newest first.
    pub holds: Vec<HoldView>,
    /// The statement, newest first, at most [`MAX_STATEMENT_LINES`].
    pub statement: Vec<StatementLine>,
    /// What sellers are owed: the owner's proceeds so far.
    pub proceeds: Money,
    /// Database time of the snapshot.
    pub server_time: Timestamp,
}

/// Lines of a statement on one page.
pub const MAX_STATEMENT_LINES: usize = 100;

/// A chat message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Sorts by time: the channel's cursor.
    pub id: MessageId,
    /// The client's own id for it, so that its sender recognises it.
    pub client_id: String,
    /// Who wrote it.
    pub who: Person,
    /// Where they were.
    pub region: Region,
    /// The text: at most [`MAX_CHAT_GRAPHEMES`] graphemes, control and bidi characters removed.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// The chat of a room as one sees it who comes in, or some of what was said before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatView {
    /// Messages, oldest first; those that were removed are left out.
    pub messages: Vec<ChatMessage>,
    /// Older ones are read before this message; `None` if there are none.
    pub before: Option<MessageId>,
    /// Seconds between two messages of one person; 0 if slow mode is off.
    pub slow_s: u32,
}

/// The longest chat message, in graphemes.
pub const MAX_CHAT_GRAPHEMES: usize = 280;

/// A reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Heart.
    Heart,
    /// Clap.
    Clap,
    /// Fire.
    Fire,
    /// Gasp.
    Gasp,
    /// Laugh.
    Laugh,
}

impl Reaction {
    /// Every reaction, in the order shown.
    pub const ALL: [Self; 5] = [Self::Heart, Self::Clap, Self::Fire, Self::Gasp, Self::Laugh];

    /// The word stored and sent.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Heart => "heart",
            Self::Clap => "clap",
            Self::Fire => "fire",
            Self::Gasp => "gasp",
            Self::Laugh => "laugh",
        }
    }
}

/// Who is in a room and what they feel: the latest state wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdView {
    /// Watchers in all, guests included.
    pub watchers: u32,
    /// Some of them by name, at most [`MAX_WATCHERS_NAMED`].
    pub people: Vec<Person>,
    /// Totals by reaction.
    pub reactions: BTreeMap<Reaction, u64>,
    /// Who offered or bought most of the lot, highest first, at most [`MAX_TOP_LINES`].
    pub top: Vec<BoardLine>,
}

/// Lines of a lot's leaderboard that a room shows.
pub const MAX_TOP_LINES: usize = 5;

/// Watchers that are named.
pub const MAX_WATCHERS_NAMED: usize = 12;

/// News for one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// Somebody bid more; the hold is void and its money free again.
    Outbid {
        /// The lot.
        lot: LotId,
        /// Its name.
        title: String,
        /// What is free again.
        freed: Money,
        /// The new price.
        price: Money,
    },
    /// The lot is theirs.
    Won {
        /// The lot.
        lot: LotId,
        /// Its name.
        title: String,
        /// What was paid.
        paid: Money,
    },
    /// The lot passed or went to somebody else, and what was held is free.
    Freed {
        /// The lot.
        lot: LotId,
        /// Its name.
        title: String,
        /// What is free again.
        freed: Money,
    },
    /// Units of their lot were sold.
    SoldYours {
        /// The lot.
        lot: LotId,
        /// Its name.
        title: String,
        /// What they are owed for it.
        proceeds: Money,
    },
}

impl Notice {
    /// The lot it is about.
    #[must_use]
    pub const fn lot(&self) -> LotId {
        match self {
            Self::Outbid { lot, .. }
            | Self::Won { lot, .. }
            | Self::Freed { lot, .. }
            | Self::SoldYours { lot, .. } => *lot,
        }
    }

    /// The notice as one would say it.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Outbid {
                title,
                freed,
                price,
                ..
            } => {
                format!("You were outbid on {title} at {price}. {freed} is yours again.")
            }
            Self::Won { title, paid, .. } => format!("{title} is yours for {paid}."),
            Self::Freed { title, freed, .. } => {
                format!("{title} was not sold. {freed} is yours again.")
            }
            Self::SoldYours {
                title, proceeds, ..
            } => format!("{title} sold: {proceeds} for you."),
        }
    }
}
