//! A drop of any size, by arithmetic: accepted ≤ units ≤ accepted + unknown, and every "sold out"
//! and every number of units left can have been true when it was said.
//!
//! Units never come back, so each answer that speaks of stock bounds what may happen before and
//! after it. That is weaker than linearizability (it does not place operations that overlap), but
//! takes n log n, so it is the checker for a hundred thousand claims.

use super::operation::{Operation, Reply};
use super::read::{History, Moment, Op};
use super::verdict::{Check, Verdict};
use shared::{ItemId, LotId};

/// A claim that took units, or may have.
struct Taken<'a> {
    op: &'a Op,
    units: u64,
}

/// An answer that speaks of stock: at some moment within the operation so many units were left.
struct Told<'a> {
    op: &'a Op,
    done: Moment,
    at_least: u64,
    at_most: u64,
}

/// What a history says of one drop.
#[derive(Default)]
struct Claims<'a> {
    accepted: Vec<Taken<'a>>,
    unknown: Vec<Taken<'a>>,
    told: Vec<Told<'a>>,
    closed: Option<&'a Op>,
    refused: usize,
    sold_out: usize,
}

/// Checks every claim, read and close of a drop that had `units` before the first of them.
#[must_use]
pub fn check(history: &History, lot: LotId, units: u32) -> Verdict {
    check_all(history, units, |op| op.operation.lot() == Some(lot))
}

/// Checks every purchase of an item that had `units` in stock before the first of them.
#[must_use]
pub fn check_item(history: &History, item: ItemId, units: u32) -> Verdict {
    check_all(
        history,
        units,
        |op| matches!(&op.operation, Operation::Purchase { item: bought, .. } if *bought == item),
    )
}

fn check_all(history: &History, units: u32, is_about_it: impl Fn(&Op) -> bool) -> Verdict {
    let mut claims = Claims::default();
    let mut check = Check::default();
    for op in &history.ops {
        if is_about_it(op) && !op.failed() {
            check.looked_at(1);
            claims.take_in(op, u64::from(units), &mut check);
        }
    }
    check.count("accepted", claims.accepted.len());
    check.count("unknown", claims.unknown.len());
    check.count("refused", claims.refused);
    check.count("sold out", claims.sold_out);
    check.count("told of stock", claims.told.len());
    let units = u64::from(units);
    sums(&claims, units, &mut check);
    stock(&claims, units, &mut check);
    order(&claims, &mut check);
    check.require("accepted", 1);
    check.require("told of stock", 1);
    check.finish()
}

impl<'a> Claims<'a> {
    fn take_in(&mut self, op: &'a Op, offered: u64, check: &mut Check) {
        match (&op.operation, op.reply()) {
            (Operation::Claim { units, .. } | Operation::Purchase { units, .. }, reply) => {
                let units = u64::from(*units);
                match reply {
                    None => self.unknown.push(Taken { op, units }),
                    Some(Reply::Accepted { .. }) => self.accepted.push(Taken { op, units }),
                    Some(Reply::Refused {
                        code, units_left, ..
                    }) => {
                        self.refused = self.refused.saturating_add(1);
                        if code == "sold_out" {
                            self.sold_out = self.sold_out.saturating_add(1);
                            let left = units_left.map(u64::from);
                            // Without a number: fewer than were asked for.
                            let at_most = left.unwrap_or(units.saturating_sub(1));
                            if at_most >= units {
                                check.violated("sold out, though enough units are left", &[op]);
                            }
                            self.tell(op, left.unwrap_or(0), at_most);
                        }
                    }
                    Some(_) => check.violated("no answer to a claim", &[op]),
                }
            }
            (Operation::Close { .. }, Some(Reply::Closed { .. })) => match self.closed {
                Some(first) => check.violated("settled twice", &[first, op]),
                None => self.closed = Some(op),
            },
            (_, Some(Reply::Lot { state, .. })) => {
                if let Some(left) = state.units_left.map(u64::from) {
                    if left > offered {
                        check.violated("more units are left than were offered", &[op]);
                    }
                    self.tell(op, left, left);
                }
            }
            (_, _) => {}
        }
    }

    fn tell(&mut self, op: &'a Op, at_least: u64, at_most: u64) {
        if let Some(done) = op.done() {
            self.told.push(Told {
                op,
                done,
                at_least,
                at_most,
            });
        }
    }
}

fn sum<'a>(taken: impl IntoIterator<Item = &'a Taken<'a>>) -> u64 {
    let units = taken.into_iter().map(|it| it.units);
    units.fold(0, u64::saturating_add)
}

/// Accepted ≤ units.
fn sums(claims: &Claims<'_>, units: u64, check: &mut Check) {
    let accepted = sum(&claims.accepted);
    if accepted > units {
        let last = claims.accepted.iter().max_by_key(|it| it.op.done());
        let last: Vec<&Op> = last.iter().map(|it| it.op).collect();
        check.violated(
            format!("{accepted} units were accepted, {units} were offered; the last claim:"),
            &last,
        );
    }
}

/// Claims by a moment, with the sum of their units up to each.
struct Running(Vec<(Moment, u64)>);

impl Running {
    fn new(moments: impl Iterator<Item = (Moment, u64)>) -> Self {
        let mut moments: Vec<_> = moments.collect();
        moments.sort_unstable();
        let mut sum = 0_u64;
        for (_, units) in &mut moments {
            sum = sum.saturating_add(*units);
            *units = sum;
        }
        Self(moments)
    }

    /// Units before a moment.
    fn before(&self, moment: Moment) -> u64 {
        let count = self.0.partition_point(|(at, _)| *at < moment);
        let last = count.checked_sub(1).and_then(|place| self.0.get(place));
        last.map_or(0, |(_, sum)| *sum)
    }
}

/// What is said to be left lies between what must have gone and what may have gone.
fn stock(claims: &Claims<'_>, units: u64, check: &mut Check) {
    let gone =
        Running::new((claims.accepted.iter()).filter_map(|it| Some((it.op.done()?, it.units))));
    let begun = Running::new(
        (claims.accepted.iter().chain(&claims.unknown)).map(|it| (it.op.invoked, it.units)),
    );
    for told in &claims.told {
        let must = gone.before(told.op.invoked);
        if told.at_least > units.saturating_sub(must) {
            let left = told.at_least;
            check.violated(
                format!("{left} of {units} are left, though {must} had been accepted before"),
                &[told.op],
            );
        }
        let may = begun.before(told.done);
        if told.at_most < units.saturating_sub(may) {
            let left = told.at_most;
            check.violated(
                format!(
                    "no more than {left} of {units} are left, though all claims begun by then \
                     that were not refused ask for {may}: a false decline, or lost units"
                ),
                &[told.op],
            );
        }
    }
}

/// Stock never rises, and nothing is sold that was said to be gone, or after the close.
fn order(claims: &Claims<'_>, check: &mut Check) {
    // The least that was said to be left, by the time it had been said.
    let mut told: Vec<&Told<'_>> = claims.told.iter().collect();
    told.sort_by_key(|it| it.done);
    let mut least: Vec<&Told<'_>> = Vec::with_capacity(told.len());
    for it in told {
        let fewest = least.last().filter(|last| last.at_most <= it.at_most);
        least.push(fewest.copied().unwrap_or(it));
    }
    let dones: Vec<Moment> = {
        let mut dones: Vec<_> = claims.told.iter().map(|it| it.done).collect();
        dones.sort_unstable();
        dones
    };
    let fewest_before = |moment: Moment| {
        let count = dones.partition_point(|done| *done < moment);
        count.checked_sub(1).and_then(|place| least.get(place))
    };
    for it in &claims.told {
        if let Some(before) = fewest_before(it.op.invoked)
            && it.at_least > before.at_most
        {
            check.violated("units came back", &[before.op, it.op]);
        }
    }
    for it in &claims.accepted {
        if let Some(before) = fewest_before(it.op.invoked)
            && it.units > before.at_most
        {
            check.violated(
                "sold, though it was said before to be gone",
                &[before.op, it.op],
            );
        }
        if let Some(closed) = claims.closed
            && closed.precedes(it.op)
        {
            check.violated("sold after the close", &[closed, it.op]);
        }
    }
}
