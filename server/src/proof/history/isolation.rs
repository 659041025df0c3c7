//! The store's isolation, by list-append transactions and the crate `adya`.
//!
//! Each transaction appends values that are unique to their list and reads whole lists, so that
//! reads tell in which order appends happened, and who saw what. `adya` builds the graph of
//! dependencies and looks for cycles that a level of isolation forbids. A run must be valid under
//! snapshot isolation, and a check for serializability must find write skew (`G2-item`) in it:
//! the store allows that, and a history without any could not have told the two apart.
//!
//! `adya` 0.1.0 ignores three things, so they are looked at here: an append that is not unique (it
//! then reports nothing at all), a value that nobody appended, and an acknowledged append that a
//! later transaction does not see. The last one is more than snapshot isolation asks for, but both
//! stores promise it: a transaction begins with what was committed before.

use super::operation::{Operation, Reply, Step};
use super::read::{Ended, History, Moment, Op, Outcome};
use super::verdict::{Check, Verdict};
use adya::history::{Id, Interner, Mop, OpType, ReadValue, Scalar};
use adya::{Opts, Report, Valid, Workload};
use std::collections::BTreeMap;
use std::time::Duration;

/// Time to look for cycles in each tangle of transactions. A search that takes longer is unknown,
/// which is not green.
const SEARCH_TIME: Duration = Duration::from_secs(30);

/// The anomaly that snapshot isolation allows and serializability forbids.
const WRITE_SKEW: &str = "G2-item";

/// The longest explanation that is passed on, in characters.
const MAX_EXPLANATION: usize = 2_000;

/// Anomalies of one kind that are passed on, so that the other kinds find room.
const MAX_OF_A_KIND: usize = 3;

/// Checks the list-append transactions of a history.
#[must_use]
pub fn check(history: &History) -> Verdict {
    let ops: Vec<&Op> = (history.ops.iter())
        .filter(|op| matches!(op.operation, Operation::Transact { .. }))
        .collect();
    let mut check = Check::default();
    check.looked_at(ops.len());
    for name in ["committed", "aborted", "unknown", "write skew"] {
        check.count(name, 0);
    }
    for op in &ops {
        let name = match (op.failed(), op.is_unknown()) {
            (true, _) => "aborted",
            (false, true) => "unknown",
            (false, false) => "committed",
        };
        check.count(name, 1);
    }
    check.require("committed", 2);
    let lists = match Lists::of(&ops) {
        Ok(lists) => lists,
        Err(op) => return Verdict::invalid(format!("a value is not unique to its list: {op}")),
    };
    let input = input(&ops);
    let snapshot = levels(&input, "snapshot-isolation");
    match snapshot.valid {
        Valid::True => {}
        Valid::False => report(&snapshot, &mut check),
        Valid::Unknown => {
            let what = snapshot.anomaly_types.join(", ");
            check.undecided(format!("snapshot isolation could not be decided: {what}"));
        }
    }
    for op in &ops {
        lists.seen_by(op, &mut check);
    }
    let serializable = levels(&input, "serializable");
    let skewed = serializable.anomalies.get(WRITE_SKEW);
    check.count("write skew", skewed.map_or(0, Vec::len));
    check.require("write skew", 1);
    check.finish()
}

fn levels(input: &adya::History, model: &str) -> Report {
    let options = Opts {
        models: vec![model.to_owned()],
        timeout: SEARCH_TIME,
        ..Opts::default()
    };
    adya::check(input, Workload::ListAppend, &options)
}

fn report(snapshot: &Report, check: &mut Check) {
    for (kind, anomalies) in &snapshot.anomalies {
        for it in anomalies.iter().take(MAX_OF_A_KIND) {
            let words: String = it.explanation.chars().take(MAX_EXPLANATION).collect();
            check.proven(format!("not snapshot isolation: {kind}"), [words]);
        }
    }
}

/// What was appended to each list, and by when it was acknowledged.
struct Lists {
    lists: BTreeMap<i64, Appended>,
}

#[derive(Default)]
struct Appended {
    /// When each value was acknowledged; `None` if it never was.
    values: BTreeMap<i64, Option<Moment>>,
    /// The acknowledgements, in order.
    acknowledged: Vec<Moment>,
}

impl Lists {
    /// All appends, or the operation that repeats one.
    fn of<'a>(ops: &[&'a Op]) -> Result<Self, &'a Op> {
        let mut lists: BTreeMap<i64, Appended> = BTreeMap::new();
        for op in ops {
            let acknowledged = op.reply().and_then(|_| op.done());
            for step in steps(op) {
                let Step::Append { key, value } = step else {
                    continue;
                };
                let list = lists.entry(*key).or_default();
                if list.values.insert(*value, acknowledged).is_some() {
                    return Err(op);
                }
                list.acknowledged.extend(acknowledged);
            }
        }
        for list in lists.values_mut() {
            list.acknowledged.sort_unstable();
        }
        Ok(Self { lists })
    }

    /// What a transaction read was appended by somebody, and nothing is missing that had been
    /// acknowledged before it began.
    fn seen_by(&self, op: &Op, check: &mut Check) {
        let Some(Reply::Lists { lists }) = op.reply() else {
            return;
        };
        let none = Appended::default();
        for (key, values) in reads(op).zip(lists) {
            let list = self.lists.get(&key).unwrap_or(&none);
            let mut seen = 0;
            for value in values {
                match list.values.get(value) {
                    None => check.violated(
                        format!("list {key} has {value}, which nobody appended"),
                        &[op],
                    ),
                    Some(done) => {
                        seen += usize::from(done.is_some_and(|done| done < op.invoked));
                    }
                }
            }
            let due = list.acknowledged.partition_point(|done| *done < op.invoked);
            if seen < due {
                let missing = due.saturating_sub(seen);
                check.violated(
                    format!("list {key} lacks {missing} values that had been acknowledged before"),
                    &[op],
                );
            }
        }
    }
}

fn steps(op: &Op) -> &[Step] {
    if let Operation::Transact { steps } = &op.operation {
        steps
    } else {
        &[]
    }
}

/// The lists that a transaction reads, in order.
fn reads(op: &Op) -> impl Iterator<Item = i64> {
    steps(op).iter().filter_map(|step| match step {
        Step::Read { key } => Some(*key),
        Step::Append { .. } => None,
    })
}

/// The transactions as `adya` takes them: invocations and ends, in order of time.
fn input(ops: &[&Op]) -> adya::History {
    let mut events: Vec<(Moment, &Op, OpType)> = Vec::with_capacity(ops.len().saturating_mul(2));
    for op in ops {
        events.push((op.invoked, op, OpType::Invoke));
        let (at, kind) = match &op.ended {
            // An end that was never written down is unknown from the end of the history on.
            None => (
                Moment {
                    line: u64::MAX,
                    at_ns: u64::MAX,
                },
                OpType::Info,
            ),
            Some(Ended { at, outcome, .. }) => (
                *at,
                match outcome {
                    Outcome::Ok(_) => OpType::Ok,
                    Outcome::Fail(_) => OpType::Fail,
                    Outcome::Unknown(_) => OpType::Info,
                },
            ),
        };
        events.push((at, op, kind));
    }
    events.sort_by_key(|(at, ..)| *at);
    let mut names = Interner::default();
    let ops = events.into_iter().zip(0..).map(|((at, op, kind), index)| {
        let value = mops(op, kind, &mut names);
        adya::history::Op {
            index,
            kind,
            process: Some(i64::from(op.process)),
            value,
            time: i64::try_from(at.at_ns).ok(),
        }
    });
    let ops = ops.collect();
    adya::History::from_ops(ops, names)
}

fn mops(op: &Op, kind: OpType, names: &mut Interner) -> Vec<Mop> {
    let mut name = |number: i64| -> Id { names.intern(Scalar::Int(number)) };
    // On an invocation a read says nothing yet.
    let mut lists = [].iter();
    if let (OpType::Ok, Some(Reply::Lists { lists: seen })) = (kind, op.reply()) {
        lists = seen.iter();
    }
    let mut mops = Vec::new();
    for step in steps(op) {
        mops.push(match step {
            Step::Append { key, value } => Mop::Append {
                key: name(*key),
                value: name(*value),
            },
            Step::Read { key } => {
                let key = name(*key);
                let list = lists.next();
                let value = list.map_or(ReadValue::Nil, |list| {
                    ReadValue::List(list.iter().map(|it| name(*it)).collect())
                });
                Mop::Read { key, value }
            }
        });
    }
    mops
}
