use super::script::{Script, caught, passes, proves_nothing};
use crate::proof::history::{
    Ended, History, Moment, Op, Operation, Outcome, Reply, Step, Verdict, isolation,
};
use adya::history::{Mop, OpType, ReadValue, Scalar};
use adya::sim::{Isolation, SimOpts};

fn transact(steps: &[Step]) -> Operation {
    Operation::Transact {
        steps: steps.to_vec(),
    }
}

const fn append(key: i64, value: i64) -> Step {
    Step::Append { key, value }
}

const fn read(key: i64) -> Step {
    Step::Read { key }
}

fn lists(lists: &[&[i64]]) -> Reply {
    let lists = lists.iter().map(|it| it.to_vec()).collect();
    Reply::Lists { lists }
}

fn check(script: &Script) -> Verdict {
    isolation::check(&script.history)
}

/// Two transactions at once, each of which reads the list that the other one appends to.
fn skew() -> Script {
    let mut script = Script::default();
    script
        .invoke(1, transact(&[read(1), read(2), append(1, 10)]))
        .invoke(2, transact(&[read(1), read(2), append(2, 20)]))
        .ok(1, lists(&[&[], &[]]))
        .ok(2, lists(&[&[], &[]]))
        .done(3, transact(&[read(1), read(2)]), lists(&[&[10], &[20]]));
    script
}

#[test]
fn write_skew_is_allowed_and_found() {
    let verdict = check(&skew());
    passes(&verdict);
    let Verdict::Valid { coverage, .. } = verdict else {
        return;
    };
    assert_eq!((coverage["committed"], coverage["write skew"]), (3, 1));
}

#[test]
fn a_history_without_write_skew_has_no_teeth() {
    let mut serial = Script::default();
    serial.done(1, transact(&[append(1, 10)]), lists(&[])).done(
        2,
        transact(&[read(1)]),
        lists(&[&[10]]),
    );
    proves_nothing(&check(&serial), "write skew: 0");
}

#[test]
fn a_lost_update_is_caught() {
    let mut script = skew();
    script
        .invoke(1, transact(&[read(3), append(3, 30)]))
        .invoke(2, transact(&[read(3), append(3, 31)]))
        .ok(1, lists(&[&[]]))
        .ok(2, lists(&[&[]]))
        .done(3, transact(&[read(3)]), lists(&[&[30, 31]]));
    caught(&check(&script), "not snapshot isolation: G-single");
}

#[test]
fn an_aborted_read_and_a_long_fork_are_caught() {
    let mut aborted = skew();
    aborted.invoke(1, transact(&[append(3, 30)])).fail(1).done(
        2,
        transact(&[read(3)]),
        lists(&[&[30]]),
    );
    caught(&check(&aborted), "not snapshot isolation: G1a");
    let mut fork = skew();
    fork.invoke(1, transact(&[append(3, 30)]))
        .invoke(2, transact(&[append(4, 40)]))
        .invoke(3, transact(&[read(3), read(4)]))
        .invoke(4, transact(&[read(3), read(4)]))
        .ok(3, lists(&[&[30], &[]]))
        .ok(4, lists(&[&[], &[40]]))
        .ok(1, lists(&[]))
        .ok(2, lists(&[]));
    caught(&check(&fork), "not snapshot isolation: G-nonadjacent");
}

#[test]
fn phantoms_and_lost_appends_are_caught() {
    let mut phantom = skew();
    phantom.done(1, transact(&[read(1)]), lists(&[&[10, 77]]));
    caught(&check(&phantom), "list 1 has 77, which nobody appended");
    let mut lost = skew();
    lost.done(1, transact(&[append(3, 30)]), lists(&[])).done(
        2,
        transact(&[read(3)]),
        lists(&[&[]]),
    );
    caught(&check(&lost), "list 3 lacks 1 values");
}

#[test]
fn an_unknown_transaction_may_be_seen_or_not() {
    for seen in [&[][..], &[30]] {
        let mut script = skew();
        script
            .invoke(1, transact(&[append(3, 30)]))
            .unknown(1)
            .done(2, transact(&[read(3)]), lists(&[seen]));
        passes(&check(&script));
        // The same without any end.
        let mut script = skew();
        script
            .invoke(1, transact(&[append(3, 30)]))
            .done(2, transact(&[read(3)]), lists(&[seen]));
        passes(&check(&script));
    }
}

#[test]
fn what_says_nothing_is_invalid() {
    proves_nothing(&check(&Script::default()), "committed: 0");
    let mut apart = Script::default();
    for list in 1..4 {
        apart.done(1, transact(&[read(list)]), lists(&[&[]]));
    }
    proves_nothing(&check(&apart), "empty-transaction-graph");
    let mut twice = skew();
    twice.done(1, transact(&[append(3, 30)]), lists(&[])).done(
        1,
        transact(&[append(3, 30)]),
        lists(&[]),
    );
    proves_nothing(&check(&twice), "not unique");
}

/// A run of the library's own simulated database.
fn simulated(isolation: Isolation, seed: u64) -> History {
    let text = adya::sim::run(&SimOpts {
        isolation,
        seed,
        processes: 6,
        txns: 600,
        ..SimOpts::default()
    });
    let parsed = adya::History::parse(&text).expect("the simulation writes histories");
    let number = |id| match parsed.show(id) {
        Scalar::Int(number) => *number,
        Scalar::Str(text) => panic!("{text} is no number"),
    };
    let at = |place: usize| {
        let line = u64::try_from(place).expect("a place");
        Moment { line, at_ns: line }
    };
    let mut history = History::default();
    for (place, invoke) in parsed.ops.iter().enumerate() {
        if invoke.kind != OpType::Invoke {
            continue;
        }
        let steps = invoke.value.iter().map(|mop| match mop {
            Mop::Append { key, value } => append(number(*key), number(*value)),
            Mop::Read { key, .. } => read(number(*key)),
            Mop::Write { .. } => panic!("no lists"),
        });
        let ended = parsed.pair[place].map(|end| {
            let lists = parsed.ops[end].value.iter().filter_map(|mop| match mop {
                Mop::Read {
                    value: ReadValue::List(list),
                    ..
                } => Some(list.iter().map(|id| number(*id)).collect()),
                Mop::Append { .. } | Mop::Write { .. } | Mop::Read { .. } => None,
            });
            let outcome = match parsed.ops[end].kind {
                OpType::Ok => Outcome::Ok(Reply::Lists {
                    lists: lists.collect(),
                }),
                OpType::Fail => Outcome::Fail("aborted".into()),
                OpType::Info | OpType::Invoke => Outcome::Unknown("unknown".into()),
            };
            Ended {
                at: at(end),
                sends: 1,
                outcome,
            }
        });
        let process = invoke.process.and_then(|it| u32::try_from(it).ok());
        history.ops.push(Op {
            number: at(place).line,
            process: process.expect("a process"),
            session: 0,
            operation: transact(&steps.collect::<Vec<_>>()),
            invoked: at(place),
            ended,
        });
    }
    history
}

#[test]
fn simulated_databases_are_told_apart() {
    for seed in 1..6 {
        passes(&isolation::check(&simulated(
            Isolation::SnapshotIsolation,
            seed,
        )));
        for broken in [
            Isolation::ReadCommitted,
            Isolation::ReadUncommitted,
            Isolation::LostUpdate,
        ] {
            let verdict = isolation::check(&simulated(broken, seed));
            caught(&verdict, "not snapshot isolation");
        }
        let verdict = isolation::check(&simulated(Isolation::Serializable, seed));
        proves_nothing(&verdict, "write skew: 0");
    }
}
