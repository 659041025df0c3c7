//! An English lot as a state machine: the part of the auction's rules that answers depend on.
//!
//! Written for this check, not taken from `shared::auction`: rules that are wrong there must not
//! be wrong here as well. Only the increments are its type, since they are terms, not a rule.

use super::Rules;
use crate::proof::history::operation::{LotState, Operation, Reply};
use crate::proof::history::read::Op;
use crate::proof::history::verdict::Check;
use core::ops::Bound;
use shared::auction::Increments;
use std::collections::BTreeMap;

/// The terms of a lot, and its state before the first operation.
#[derive(Clone, Debug)]
pub struct EnglishTerms {
    /// The least first bid, in minor units.
    pub opening_minor: i64,
    /// The least raises.
    pub increments: Increments,
    /// The seller's least price, in minor units: below it the lot passes.
    pub reserve_minor: Option<i64>,
    /// The lot's version before the first operation.
    pub version: i64,
    /// The leading bid before the first operation, in minor units.
    pub high_minor: Option<i64>,
    /// Whether bidding ends by time within the run. If so, `ended` may be the answer before the
    /// lot is settled; if not, only afterwards. Time itself is not part of the model.
    pub ends_within_run: bool,
}

/// The rules, and what is known of the lot's history.
#[derive(Clone, Debug)]
pub(super) struct English {
    terms: EnglishTerms,
    /// What leads after each change that somebody saw, by number of changes.
    seen: BTreeMap<i64, Change>,
    /// How many answers that change nothing speak of each stretch.
    told: BTreeMap<Stretch, usize>,
    /// How many operations were answered.
    answered: usize,
}

/// A change of the lot's row; `acknowledged` if it is known whose it is.
#[derive(Clone, Copy, Debug)]
struct Change {
    high_minor: Option<i64>,
    closed: bool,
    acknowledged: bool,
}

/// A stretch of the lot's history in which nothing changes. While the lot is open the least next
/// bid tells stretches apart, since it rises with every bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stretch {
    Open(Option<i64>),
    Closed,
}

/// The lot's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Bids and closes so far.
    changes: i64,
    /// The leading bid, if there was one since the first operation.
    high_minor: Option<i64>,
    /// Whether the lot is settled.
    closed: bool,
    /// Answers about this stretch that have been given.
    told: usize,
    /// Answers that have been given at all.
    answered: usize,
}

/// An operation and its answer, `None` if it is unknown. `place` counts the answers about one
/// stretch in the order in which they were asked for.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Bid {
        amount_minor: i64,
        reply: Option<BidReply>,
    },
    Close {
        reply: Option<CloseReply>,
    },
    Read {
        state: LotState,
        place: usize,
    },
}

#[derive(Clone, Debug)]
pub(super) enum BidReply {
    Accepted { version: Option<i64> },
    TooLow { minimum_minor: i64, place: usize },
    TooLowUntold,
    Ended { place: usize },
}

#[derive(Clone, Debug)]
pub(super) enum CloseReply {
    Closed {
        amount_minor: Option<i64>,
        version: Option<i64>,
    },
    Ended {
        place: usize,
    },
}

impl English {
    pub(super) const fn new(terms: EnglishTerms) -> Self {
        Self {
            terms,
            seen: BTreeMap::new(),
            told: BTreeMap::new(),
            answered: 0,
        }
    }

    fn high(&self, state: &State) -> Option<i64> {
        state.high_minor.or(self.terms.high_minor)
    }

    /// The least amount that is accepted on top of `high`; `None` if none is high enough.
    fn minimum_over(&self, high: Option<i64>) -> Option<i64> {
        match high {
            None => Some(self.terms.opening_minor),
            Some(high) => high.checked_add(self.terms.increments.at(high)),
        }
    }

    fn minimum(&self, state: &State) -> Option<i64> {
        self.minimum_over(self.high(state))
    }

    fn stretch(&self, state: &State) -> Stretch {
        if state.closed {
            Stretch::Closed
        } else {
            Stretch::Open(self.minimum(state))
        }
    }

    fn changes_at(&self, version: i64) -> Option<i64> {
        version.checked_sub(self.terms.version)
    }

    fn is_at(&self, version: Option<i64>, state: &State) -> bool {
        version.is_none_or(|version| self.changes_at(version) == Some(state.changes))
    }

    /// The state once a stretch has been spoken of, if it is this one's turn to speak.
    fn told(&self, stretch: Stretch, place: usize, state: &State) -> Option<State> {
        let is_next = self.stretch(state) == stretch && state.told == place;
        is_next.then(|| State {
            told: place.saturating_add(1),
            ..state.clone()
        })
    }

    /// Whether one state may follow the other: everything that speaks of the stretch between them
    /// has been said, and nothing speaks of a stretch that would be passed over.
    fn may_follow(&self, state: &State, next: &State) -> bool {
        let (from, to) = (self.stretch(state), self.stretch(next));
        let due = self.told.get(&from).copied().unwrap_or(0);
        let passed = (Bound::Excluded(from), Bound::Excluded(to));
        due == state.told && from < to && self.told.range(passed).next().is_none()
    }

    fn is_refused(&self, amount_minor: i64, state: &State) -> bool {
        state.closed || self.minimum(state).is_none_or(|least| amount_minor < least)
    }

    fn after_bid(&self, amount_minor: i64, state: &State) -> Option<State> {
        let next = State {
            changes: state.changes.saturating_add(1),
            high_minor: Some(amount_minor),
            closed: false,
            told: 0,
            answered: state.answered,
        };
        let accepted = !self.is_refused(amount_minor, state) && self.may_follow(state, &next);
        accepted.then_some(next)
    }

    fn after_close(&self, state: &State) -> Option<State> {
        let next = State {
            changes: state.changes.saturating_add(1),
            high_minor: state.high_minor,
            closed: true,
            told: 0,
            answered: state.answered,
        };
        (!state.closed && self.may_follow(state, &next)).then_some(next)
    }

    /// What the winner pays if the lot closes now.
    fn price(&self, state: &State) -> Option<i64> {
        let reserve = self.terms.reserve_minor;
        self.high(state)
            .filter(|high| reserve.is_none_or(|least| *high >= least))
    }

    /// Whether an operation that nobody heard from can be the one that led to this state.
    fn may_be(&self, next: &State) -> bool {
        self.seen.get(&next.changes).is_none_or(|seen| {
            !seen.acknowledged && seen.closed == next.closed && seen.high_minor == self.high(next)
        })
    }

    fn bid(&self, amount_minor: i64, reply: Option<&BidReply>, state: &State) -> Option<State> {
        match reply {
            Some(BidReply::Accepted { version }) => self
                .after_bid(amount_minor, state)
                .filter(|next| self.is_at(*version, next)),
            Some(BidReply::TooLow {
                minimum_minor,
                place,
            }) => {
                let stretch = Stretch::Open(Some(*minimum_minor));
                let next = self.told(stretch, *place, state)?;
                self.is_refused(amount_minor, state).then_some(next)
            }
            Some(BidReply::TooLowUntold) => {
                let is_low = !state.closed && self.is_refused(amount_minor, state);
                is_low.then(|| state.clone())
            }
            Some(BidReply::Ended { place }) => self.told(Stretch::Closed, *place, state),
            None => self
                .after_bid(amount_minor, state)
                .filter(|next| self.may_be(next)),
        }
    }

    fn close(&self, reply: Option<&CloseReply>, state: &State) -> Option<State> {
        match reply {
            Some(CloseReply::Closed {
                amount_minor,
                version,
            }) => self
                .after_close(state)
                .filter(|next| self.price(next) == *amount_minor && self.is_at(*version, next)),
            Some(CloseReply::Ended { place }) => self.told(Stretch::Closed, *place, state),
            None => self.after_close(state).filter(|next| self.may_be(next)),
        }
    }

    /// The stretch that a step which changes nothing speaks of, and its place among its like.
    fn speaks_of<'a>(&self, step: &'a mut Step) -> Option<(Stretch, &'a mut usize)> {
        match step {
            Step::Read { state, place } => {
                let minimum = self.minimum_over(state.high_minor);
                let open = Stretch::Open(minimum);
                let stretch = if state.closed { Stretch::Closed } else { open };
                Some((stretch, place))
            }
            Step::Bid {
                reply:
                    Some(BidReply::TooLow {
                        minimum_minor,
                        place,
                    }),
                ..
            } => Some((Stretch::Open(Some(*minimum_minor)), place)),
            Step::Bid {
                reply: Some(BidReply::Ended { place }),
                ..
            }
            | Step::Close {
                reply: Some(CloseReply::Ended { place }),
            } => Some((Stretch::Closed, place)),
            Step::Bid { .. } | Step::Close { .. } => None,
        }
    }

    /// The version that a step tells of, and the change that led to it.
    fn tells_of(step: &Step) -> Option<(i64, Change)> {
        match step {
            Step::Read { state, .. } => Some((
                state.version,
                Change {
                    high_minor: state.high_minor,
                    closed: state.closed,
                    acknowledged: false,
                },
            )),
            Step::Bid {
                amount_minor,
                reply: Some(BidReply::Accepted { version }),
            } => Some((
                (*version)?,
                Change {
                    high_minor: Some(*amount_minor),
                    closed: false,
                    acknowledged: true,
                },
            )),
            Step::Bid { .. } | Step::Close { .. } => None,
        }
    }
}

impl Rules for English {
    type State = State;
    type Step = Step;

    fn step(&self, op: &Op) -> Result<Option<Step>, String> {
        Ok(match (&op.operation, op.reply()) {
            (Operation::Bid { amount_minor, .. }, reply) => {
                let amount_minor = *amount_minor;
                let Some(reply) = reply else {
                    let reply = None;
                    return Ok(Some(Step::Bid {
                        amount_minor,
                        reply,
                    }));
                };
                self.bid_reply(reply).map(|reply| Step::Bid {
                    amount_minor,
                    reply: Some(reply),
                })
            }
            (Operation::Close { .. }, None) => Some(Step::Close { reply: None }),
            (Operation::Close { .. }, Some(reply)) => close_reply(reply).map(|reply| {
                let reply = Some(reply);
                Step::Close { reply }
            }),
            (_, Some(Reply::Lot { state, .. })) => Some(Step::Read {
                state: *state,
                place: 0,
            }),
            (Operation::Claim { .. }, _) => return Err("a claim on an English lot".into()),
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
            Step::Bid { amount_minor, .. } => Some(Step::Bid {
                amount_minor: *amount_minor,
                reply: None,
            }),
            Step::Close { .. } => Some(Step::Close { reply: None }),
            Step::Read { .. } => None,
        }
    }

    fn facing(&self, steps: &mut [Step]) -> Self {
        let mut next = Self::new(self.terms.clone());
        for step in steps {
            next.answered = next.answered.saturating_add(usize::from(is_answered(step)));
            if let Some((version, change)) = Self::tells_of(step)
                && let Some(changes) = self.changes_at(version)
            {
                // The command's own answer says more than a read of what it did.
                let known = next.seen.entry(changes).or_insert(change);
                if change.acknowledged {
                    *known = change;
                }
            }
            if let Some((stretch, place)) = self.speaks_of(step) {
                let told = next.told.entry(stretch).or_default();
                *place = *told;
                *told = told.saturating_add(1);
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
            Step::Bid {
                amount_minor,
                reply,
            } => self.bid(*amount_minor, reply.as_ref(), state),
            Step::Close { reply } => self.close(reply.as_ref(), state),
            Step::Read { state: seen, place } => {
                let same = self.is_at(Some(seen.version), state)
                    && seen.high_minor == self.high(state)
                    && seen.closed == state.closed;
                let stretch = self.stretch(state);
                self.told(stretch, *place, state).filter(|_| same)
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
                Step::Bid { reply: None, .. } | Step::Close { reply: None } => "unknown",
                Step::Bid {
                    reply: Some(BidReply::Accepted { .. }),
                    ..
                } => "accepted",
                Step::Close {
                    reply: Some(CloseReply::Closed { .. }),
                } => "closes",
                Step::Bid { reply: Some(_), .. } | Step::Close { reply: Some(_) } => "refused",
            };
            check.count(name, 1);
        }
        check.require("accepted", 1);
    }
}

impl English {
    /// What an answer says; `None` if nothing of what the model knows: money, limits, and the end
    /// of a lot that ends by time.
    fn bid_reply(&self, reply: &Reply) -> Option<BidReply> {
        if let Reply::Accepted { version, .. } = reply {
            return Some(BidReply::Accepted { version: *version });
        }
        let Reply::Refused {
            code,
            minimum_minor,
            ..
        } = reply
        else {
            return None;
        };
        match code.as_str() {
            "too_low" => Some(
                minimum_minor.map_or(BidReply::TooLowUntold, |minimum_minor| BidReply::TooLow {
                    minimum_minor,
                    place: 0,
                }),
            ),
            "ended" if !self.terms.ends_within_run => Some(BidReply::Ended { place: 0 }),
            _other => None,
        }
    }
}

const fn is_answered(step: &Step) -> bool {
    !matches!(
        step,
        Step::Bid { reply: None, .. } | Step::Close { reply: None }
    )
}

/// What an answer says; `None` if nothing of what the model knows: that the time has not come.
fn close_reply(reply: &Reply) -> Option<CloseReply> {
    if let Reply::Closed {
        amount_minor,
        version,
        ..
    } = reply
    {
        return Some(CloseReply::Closed {
            amount_minor: *amount_minor,
            version: *version,
        });
    }
    let is_ended = matches!(reply, Reply::Refused { code, .. } if code == "ended");
    is_ended.then_some(CloseReply::Ended { place: 0 })
}
