//! A drop as a state machine: units go out one claim at a time and never come back.

use super::Rules;
use crate::proof::history::operation::{Operation, Reply};
use crate::proof::history::read::Op;
use crate::proof::history::verdict::Check;
use core::cmp::Reverse;
use std::collections::BTreeMap;

/// The terms of a drop.
#[derive(Clone, Copy, Debug)]
pub struct DropTerms {
    /// Units before the first operation.
    pub units: u32,
    /// Whether the drop ends by time within the run: see `EnglishTerms::ends_within_run`.
    pub ends_within_run: bool,
}

/// Who speaks of the stock. Among their like, answers are true in one order only: from the most
/// units left to the fewest, and of equal numbers any order is as good as the one in which they
/// were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A read of an open drop.
    Open = 0,
    /// A read of a settled one.
    Closed = 1,
    /// A refusal, which says nothing of the drop's being open.
    Refusal = 2,
}

/// Kinds of those who speak of the stock.
const KINDS: usize = 3;

/// The rules, and what is known of the drop's history.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    terms: DropTerms,
    /// Units of all acknowledged claims: no unknown claim may have taken what they got.
    acknowledged: u64,
    /// The numbers of units left that somebody was told, by kind, from the most to the fewest.
    told: [Vec<u64>; KINDS],
    /// How many operations were answered.
    answered: usize,
}

/// The drop's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Units that acknowledged claims took.
    acknowledged: u64,
    /// Units that unknown claims took.
    unknown: u64,
    /// How many unknown claims took units, by the number of units they ask for.
    taken: BTreeMap<u64, usize>,
    /// How many have been told, by kind.
    told: [usize; KINDS],
    /// Answers that have been given at all.
    answered: usize,
    closed: bool,
}

/// An operation and its answer; a close without one is unknown.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Claim {
        units: u64,
        reply: ClaimReply,
    },
    /// A claim without an answer, and its place among those that ask for as much: the one that was
    /// sent first can take effect whenever a later one can, so it goes first.
    Unknown {
        units: u64,
        place: usize,
    },
    Close {
        reply: Option<CloseReply>,
    },
    Read {
        closed: bool,
        told: Told,
    },
}

/// A number of units left that somebody was told, and its place among its like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    units_left: u64,
    place: usize,
}

#[derive(Clone, Debug)]
pub(super) enum ClaimReply {
    Accepted,
    SoldOut { told: Told },
    SoldOutUntold,
    Ended,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum CloseReply {
    Closed,
    Ended,
}

impl Stock {
    pub(super) const fn new(terms: DropTerms) -> Self {
        Self {
            terms,
            acknowledged: 0,
            told: [const { Vec::new() }; KINDS],
            answered: 0,
        }
    }

    /// Units left; no state in the search has sold more than there were.
    fn left(&self, state: &State) -> u64 {
        let sold = state.acknowledged.saturating_add(state.unknown);
        u64::from(self.terms.units).saturating_sub(sold)
    }

    /// Whether a claim can be granted: it fits, and nobody is yet to be told of more.
    fn grants(&self, units: u64, state: &State) -> bool {
        let Some(left) = self.left(state).checked_sub(units) else {
            return false;
        };
        let mut next = self.told.iter().zip(state.told);
        !state.closed && next.all(|(told, at)| told.get(at).is_none_or(|told| left >= *told))
    }

    /// The state once somebody was told, if it is this one's turn and true.
    fn tell(&self, kind: Kind, it: Told, state: &State) -> Option<State> {
        let mut next = state.clone();
        let told = next.told.get_mut(kind as usize)?;
        if *told != it.place || self.left(state) != it.units_left {
            return None;
        }
        *told = told.saturating_add(1);
        Some(next)
    }

    /// The state after a close: nobody may be told of an open drop any more.
    fn after_close(&self, state: &State) -> Option<State> {
        let due = self.told.first().map(Vec::len);
        let may_leave = due == state.told.first().copied();
        (!state.closed && may_leave).then(|| State {
            closed: true,
            ..state.clone()
        })
    }

    fn claim(&self, units: u64, reply: &ClaimReply, state: &State) -> Option<State> {
        let is_short = self.left(state) < units;
        match reply {
            ClaimReply::Accepted => self.grants(units, state).then(|| State {
                acknowledged: state.acknowledged.saturating_add(units),
                ..state.clone()
            }),
            ClaimReply::SoldOut { told } => {
                self.tell(Kind::Refusal, *told, state).filter(|_| is_short)
            }
            ClaimReply::SoldOutUntold => is_short.then(|| state.clone()),
            ClaimReply::Ended => state.closed.then(|| state.clone()),
        }
    }

    /// An unknown claim that took its units.
    fn unknown(&self, units: u64, place: usize, state: &State) -> Option<State> {
        let unknown = state.unknown.saturating_add(units);
        let all = self.acknowledged.saturating_add(unknown);
        let fits = all <= u64::from(self.terms.units) && self.grants(units, state);
        let mut next = state.clone();
        let taken = next.taken.entry(units).or_default();
        if !fits || *taken != place {
            return None;
        }
        *taken = taken.saturating_add(1);
        next.unknown = unknown;
        Some(next)
    }
}

/// What a step tells of the stock, if it does.
const fn told_by(step: &mut Step) -> Option<(Kind, &mut Told)> {
    match step {
        Step::Read {
            closed: false,
            told,
        } => Some((Kind::Open, told)),
        Step::Read { closed: true, told } => Some((Kind::Closed, told)),
        Step::Claim {
            reply: ClaimReply::SoldOut { told },
            ..
        } => Some((Kind::Refusal, told)),
        Step::Claim { .. } | Step::Unknown { .. } | Step::Close { .. } => None,
    }
}

impl Rules for Stock {
    type State = State;
    type Step = Step;

    fn step(&self, op: &Op) -> Result<Option<Step>, String> {
        Ok(match (&op.operation, op.reply()) {
            (Operation::Claim { units, .. }, None) => Some(Step::Unknown {
                units: u64::from(*units),
                place: 0,
            }),
            (Operation::Claim { units, .. }, Some(reply)) => {
                let units = u64::from(*units);
                self.claim_reply(reply)
                    .map(|reply| Step::Claim { units, reply })
            }
            (Operation::Close { .. }, None) => Some(Step::Close { reply: None }),
            (Operation::Close { .. }, Some(reply)) => close_reply(reply).map(|reply| {
                let reply = Some(reply);
                Step::Close { reply }
            }),
            (_, Some(Reply::Lot { state, .. })) => Some(Step::Read {
                closed: state.closed,
                told: Told {
                    units_left: u64::from(state.units_left.ok_or("a read without units")?),
                    place: 0,
                },
            }),
            (Operation::Bid { .. }, _) => return Err("a bid on a drop".into()),
            (
                Operation::ReadLot { .. }
                | Operation::Watch { .. }
                | Operation::Purchase { .. }
                | Operation::TopUp { .. }
                | Operation::ReadWallets
                | Operation::LookUp { .. }
                | Operation::ReadEffects
                | Operation::Transact { .. },
                _,
            ) => None,
        })
    }

    fn forget(step: &Step) -> Option<Step> {
        match step {
            Step::Claim { units, .. } | Step::Unknown { units, .. } => Some(Step::Unknown {
                units: *units,
                place: 0,
            }),
            Step::Close { .. } => Some(Step::Close { reply: None }),
            Step::Read { .. } => None,
        }
    }

    fn facing(&self, steps: &mut [Step]) -> Self {
        let mut next = Self::new(self.terms);
        let mut told: Vec<(Kind, &mut Told)> = Vec::new();
        let mut unknown: BTreeMap<u64, usize> = BTreeMap::new();
        for step in steps {
            next.answered = next.answered.saturating_add(usize::from(is_answered(step)));
            if let Step::Unknown { units, place } = step {
                let count = unknown.entry(*units).or_default();
                *place = *count;
                *count = count.saturating_add(1);
            }
            if let Step::Claim {
                units,
                reply: ClaimReply::Accepted,
            } = step
            {
                next.acknowledged = next.acknowledged.saturating_add(*units);
            }
            told.extend(told_by(step));
        }
        // A stable sort: of equal numbers the one asked for first comes first.
        told.sort_by_key(|(_, it)| Reverse(it.units_left));
        for (kind, it) in told {
            if let Some(known) = next.told.get_mut(kind as usize) {
                it.place = known.len();
                known.push(it.units_left);
            }
        }
        next
    }

    fn apply(&self, step: &Step, state: &State) -> Option<State> {
        let is_answered = is_answered(step);
        if !is_answered && state.answered == self.answered {
            // Nobody looks any more. One that had no effect waits until now: trying every place
            // for it would never end.
            return Some(state.clone());
        }
        let mut next = match step {
            Step::Claim { units, reply } => self.claim(*units, reply, state),
            Step::Unknown { units, place } => self.unknown(*units, *place, state),
            Step::Close { reply } => match reply {
                Some(CloseReply::Ended) => state.closed.then(|| state.clone()),
                Some(CloseReply::Closed) | None => self.after_close(state),
            },
            Step::Read { closed, told } => {
                let kind = if *closed { Kind::Closed } else { Kind::Open };
                self.tell(kind, *told, state)
                    .filter(|it| it.closed == *closed)
            }
        }?;
        next.answered = next.answered.saturating_add(usize::from(is_answered));
        Some(next)
    }

    fn count(check: &mut Check, steps: &[&Step]) {
        for name in ["accepted", "refused", "reads", "closes", "unknown"] {
            check.count(name, 0);
        }
        for step in steps {
            let name = match step {
                Step::Read { .. } => "reads",
                Step::Unknown { .. } | Step::Close { reply: None } => "unknown",
                Step::Claim {
                    reply: ClaimReply::Accepted,
                    ..
                } => "accepted",
                Step::Close {
                    reply: Some(CloseReply::Closed),
                } => "closes",
                Step::Claim { .. } | Step::Close { reply: Some(_) } => "refused",
            };
            check.count(name, 1);
        }
        check.require("accepted", 1);
    }
}

const fn is_answered(step: &Step) -> bool {
    !matches!(step, Step::Unknown { .. } | Step::Close { reply: None })
}

impl Stock {
    /// What an answer says; `None` if nothing of what the model knows: money, limits, and the end
    /// of a drop that ends by time.
    fn claim_reply(&self, reply: &Reply) -> Option<ClaimReply> {
        if matches!(reply, Reply::Accepted { .. }) {
            return Some(ClaimReply::Accepted);
        }
        let Reply::Refused {
            code, units_left, ..
        } = reply
        else {
            return None;
        };
        match code.as_str() {
            "sold_out" => Some(units_left.map_or(ClaimReply::SoldOutUntold, |left| {
                let told = Told {
                    units_left: u64::from(left),
                    place: 0,
                };
                ClaimReply::SoldOut { told }
            })),
            "ended" if !self.terms.ends_within_run => Some(ClaimReply::Ended),
            _other => None,
        }
    }
}

/// What an answer says; `None` if nothing of what the model knows: that the time has not come.
fn close_reply(reply: &Reply) -> Option<CloseReply> {
    if matches!(reply, Reply::Closed { .. }) {
        return Some(CloseReply::Closed);
    }
    let is_ended = matches!(reply, Reply::Refused { code, .. } if code == "ended");
    is_ended.then_some(CloseReply::Ended)
}
