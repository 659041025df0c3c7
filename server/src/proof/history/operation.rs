//! What clients ask for, what they are told, and what they see of a room, as the file has it.

use core::fmt;
use serde::{Deserialize, Serialize};
use shared::{IdempotencyKey, ItemId, LotId, MandateId};

/// What a client asks for. Commands carry the key under which they are sent and sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// A bid on an English lot.
    Bid {
        /// The command's key.
        key: IdempotencyKey,
        /// The lot.
        lot: LotId,
        /// The offer, in minor units.
        amount_minor: i64,
    },
    /// A claim on a drop.
    Claim {
        /// The command's key.
        key: IdempotencyKey,
        /// The lot.
        lot: LotId,
        /// Units asked for.
        units: u32,
    },
    /// Settling a lot.
    Close {
        /// The command's key.
        key: IdempotencyKey,
        /// The lot.
        lot: LotId,
    },
    /// A read of a lot's row.
    ReadLot {
        /// The lot.
        lot: LotId,
    },
    /// Joining a lot's channel; the answer is the snapshot, or that frames follow from `since` on.
    Watch {
        /// The lot.
        lot: LotId,
        /// The last place seen.
        since: Option<Place>,
    },
    /// An agent's purchase.
    Purchase {
        /// The command's key.
        key: IdempotencyKey,
        /// What is bought.
        item: ItemId,
        /// Which budget pays.
        mandate: MandateId,
        /// Units asked for.
        units: u32,
        /// The highest price per unit, in minor units.
        max_price_minor: i64,
    },
    /// Money comes in.
    TopUp {
        /// The command's key.
        key: IdempotencyKey,
        /// The account, as [`Account::account`] names it.
        account: String,
        /// How much, in minor units.
        amount_minor: i64,
    },
    /// A read of all wallets and budgets in one snapshot.
    ReadWallets,
    /// What a key decided.
    LookUp {
        /// The key.
        key: IdempotencyKey,
    },
    /// A read of every effect that the run's keys have, after the drain.
    ReadEffects,
    /// A list-append transaction of the isolation test.
    Transact {
        /// What it does, in order.
        steps: Vec<Step>,
    },
}

/// One step of a list-append transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Appends a value that nothing else appends to this list.
    Append {
        /// The list.
        key: i64,
        /// The value.
        value: i64,
    },
    /// Reads the whole list.
    Read {
        /// The list.
        key: i64,
    },
}

/// A place in a lot's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Identity of the channel's history.
    pub epoch: i64,
    /// The version of the lot's row that the frame is about.
    pub offset: i64,
}

/// What a client was told. A refusal is a decided answer, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// The command was done.
    Accepted {
        /// Names what it made: a bid, a claim, a purchase, a transfer.
        effect: String,
        /// The lot's version after it, where the command writes the lot's row.
        version: Option<i64>,
    },
    /// The lot was settled.
    Closed {
        /// Names the settlement.
        effect: String,
        /// The winning amount, in minor units; `None` if the lot passed, and of a drop.
        amount_minor: Option<i64>,
        /// The lot's version after it, where the answer has it.
        version: Option<i64>,
    },
    /// The rules' no.
    Refused {
        /// Its code.
        code: String,
        /// The least amount that would be accepted, in minor units (`too_low`).
        minimum_minor: Option<i64>,
        /// Units that are left (`sold_out`).
        units_left: Option<u32>,
    },
    /// A lot's state.
    Lot {
        /// Identity of the channel's history.
        epoch: i64,
        /// The state.
        state: LotState,
    },
    /// Frames follow the place that the client named.
    Resumed,
    /// All wallets and budgets, in any order.
    Wallets {
        /// One line each.
        accounts: Vec<Account>,
    },
    /// What the key decided; `None` if it decided nothing yet.
    Found {
        /// The decision.
        decision: Option<Decision>,
    },
    /// All effects, one line each, in any order: a key with two effects has two lines.
    Effects {
        /// The lines.
        effects: Vec<KeyEffect>,
    },
    /// What a transaction's reads saw, one list for each read.
    Lists {
        /// The lists.
        lists: Vec<Vec<i64>>,
    },
}

/// A lot's state as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LotState {
    /// The row's version.
    pub version: i64,
    /// The leading bid, in minor units.
    pub high_minor: Option<i64>,
    /// Units that are left of a drop.
    pub units_left: Option<u32>,
    /// Whether the lot is settled, passed or cancelled.
    pub closed: bool,
}

/// A wallet, or a budget that is funded out of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its id as text.
    pub account: String,
    /// What may be used, in minor units.
    pub free_minor: i64,
    /// What is set aside, in minor units.
    pub held_minor: i64,
    /// What was paid, in minor units.
    pub spent_minor: i64,
    /// The row's version, where one row has it all.
    pub version: Option<i64>,
}

/// What a key decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    /// It was done.
    Done {
        /// Names what it made.
        effect: String,
    },
    /// It was refused.
    Refused {
        /// The refusal's code.
        code: String,
    },
}

/// One effect and the key that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEffect {
    /// The key.
    pub key: IdempotencyKey,
    /// Names what it made.
    pub effect: String,
}

/// A frame of a lot's channel that a session received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// The lot.
    pub lot: LotId,
    /// Its place in the channel.
    pub place: Place,
    /// What it says.
    pub event: SightEvent,
}

/// What a frame of a lot's channel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum SightEvent {
    /// A bid leads.
    Bid {
        /// Its amount, in minor units.
        amount_minor: i64,
    },
    /// The lot is over.
    Closed {
        /// The winning amount, in minor units, if it is sold to one.
        amount_minor: Option<i64>,
    },
}

impl Operation {
    /// The lot it is about.
    #[must_use]
    pub const fn lot(&self) -> Option<LotId> {
        match self {
            Self::Bid { lot, .. }
            | Self::Claim { lot, .. }
            | Self::Close { lot, .. }
            | Self::ReadLot { lot }
            | Self::Watch { lot, .. } => Some(*lot),
            Self::Purchase { .. }
            | Self::TopUp { .. }
            | Self::ReadWallets
            | Self::LookUp { .. }
            | Self::ReadEffects
            | Self::Transact { .. } => None,
        }
    }

    /// The key of a command. A look-up only asks about one.
    #[must_use]
    pub const fn key(&self) -> Option<&IdempotencyKey> {
        match self {
            Self::Bid { key, .. }
            | Self::Claim { key, .. }
            | Self::Close { key, .. }
            | Self::Purchase { key, .. }
            | Self::TopUp { key, .. } => Some(key),
            Self::ReadLot { .. }
            | Self::Watch { .. }
            | Self::ReadWallets
            | Self::LookUp { .. }
            | Self::ReadEffects
            | Self::Transact { .. } => None,
        }
    }

    /// Whether a reply of this kind can answer it.
    #[must_use]
    pub fn takes(&self, reply: &Reply) -> bool {
        match self {
            Self::Bid { .. } | Self::Claim { .. } | Self::Purchase { .. } | Self::TopUp { .. } => {
                matches!(reply, Reply::Accepted { .. } | Reply::Refused { .. })
            }
            Self::Close { .. } => matches!(reply, Reply::Closed { .. } | Reply::Refused { .. }),
            Self::ReadLot { .. } | Self::Watch { since: None, .. } => {
                matches!(reply, Reply::Lot { .. })
            }
            Self::Watch { since: Some(_), .. } => {
                matches!(reply, Reply::Lot { .. } | Reply::Resumed)
            }
            Self::ReadWallets => matches!(reply, Reply::Wallets { .. }),
            Self::LookUp { .. } => matches!(reply, Reply::Found { .. }),
            Self::ReadEffects => matches!(reply, Reply::Effects { .. }),
            Self::Transact { steps } => {
                let reads = steps.iter().filter(|it| matches!(it, Step::Read { .. }));
                matches!(reply, Reply::Lists { lists } if lists.len() == reads.count())
            }
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bid {
                key,
                lot,
                amount_minor,
            } => write!(f, "bid {amount_minor} on {lot} (key {key})"),
            Self::Claim { key, lot, units } => write!(f, "claim {units} of {lot} (key {key})"),
            Self::Close { key, lot } => write!(f, "close {lot} (key {key})"),
            Self::ReadLot { lot } => write!(f, "read {lot}"),
            Self::Watch { lot, since: None } => write!(f, "watch {lot}"),
            Self::Watch {
                lot,
                since: Some(place),
            } => write!(f, "watch {lot} from {}:{}", place.epoch, place.offset),
            Self::Purchase {
                key,
                item,
                mandate,
                units,
                max_price_minor,
            } => write!(
                f,
                "buy {units} of {item} by {mandate} at {max_price_minor} at most (key {key})"
            ),
            Self::TopUp {
                key,
                account,
                amount_minor,
            } => write!(f, "top up {account} by {amount_minor} (key {key})"),
            Self::ReadWallets => f.write_str("read all wallets"),
            Self::LookUp { key } => write!(f, "look up key {key}"),
            Self::ReadEffects => f.write_str("read all effects"),
            Self::Transact { steps } => {
                f.write_str("transaction")?;
                for step in steps {
                    match step {
                        Step::Append { key, value } => write!(f, " append({key}, {value})")?,
                        Step::Read { key } => write!(f, " read({key})")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted {
                effect,
                version: None,
            } => write!(f, "accepted as {effect}"),
            Self::Accepted {
                effect,
                version: Some(version),
            } => write!(f, "accepted as {effect} at version {version}"),
            Self::Closed {
                amount_minor: Some(amount),
                ..
            } => write!(f, "sold for {amount}"),
            Self::Closed {
                amount_minor: None, ..
            } => f.write_str("closed"),
            Self::Refused {
                code,
                minimum_minor,
                units_left,
            } => {
                write!(f, "refused: {code}")?;
                if let Some(minimum) = minimum_minor {
                    write!(f, ", {minimum} at least")?;
                }
                units_left.map_or(Ok(()), |left| write!(f, ", {left} left"))
            }
            Self::Lot { epoch, state } => {
                let LotState { version, .. } = state;
                write!(f, "version {version} of epoch {epoch}")?;
                if let Some(high) = state.high_minor {
                    write!(f, ", {high} leads")?;
                }
                if let Some(left) = state.units_left {
                    write!(f, ", {left} left")?;
                }
                f.write_str(if state.closed { ", closed" } else { ", open" })
            }
            Self::Resumed => f.write_str("resumed"),
            Self::Wallets { accounts } => write!(f, "{} accounts", accounts.len()),
            Self::Found { decision: None } => f.write_str("nothing decided"),
            Self::Found {
                decision: Some(Decision::Done { effect }),
            } => write!(f, "done as {effect}"),
            Self::Found {
                decision: Some(Decision::Refused { code }),
            } => write!(f, "refused: {code}"),
            Self::Effects { effects } => write!(f, "{} effects", effects.len()),
            Self::Lists { lists } => write!(f, "{lists:?}"),
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { epoch, offset } = self.place;
        write!(f, "frame {epoch}:{offset} of {}: ", self.lot)?;
        match self.event {
            SightEvent::Bid { amount_minor } => write!(f, "{amount_minor} leads"),
            SightEvent::Closed {
                amount_minor: Some(amount),
            } => write!(f, "sold for {amount}"),
            SightEvent::Closed { amount_minor: None } => f.write_str("closed"),
        }
    }
}
