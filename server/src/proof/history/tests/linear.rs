use super::script::{
    Script, accepted, bid, caught, claim, close, closed, english, lot, passes, proves_nothing,
    read, refused, sold_out, stock, too_low,
};
use super::simulated::{Dice, System, run};
use crate::proof::history::linear::{self, DropTerms, EnglishTerms, Limits};
use crate::proof::history::{History, LotState, Operation, Outcome, Reply, Verdict};
use proptest::prelude::*;
use shared::auction::Increments;
use std::time::Duration;

fn terms() -> EnglishTerms {
    EnglishTerms {
        opening_minor: 100,
        increments: Increments::flat(10),
        reserve_minor: None,
        version: 1,
        high_minor: None,
        ends_within_run: false,
    }
}

fn check(script: &Script) -> Verdict {
    linear::english(&script.history, lot(), &terms(), Limits::default())
}

/// Two bids at once, of which the second is accepted first.
fn two_bids() -> Script {
    let mut script = Script::default();
    script
        .invoke(1, bid("a", 120))
        .invoke(2, bid("b", 100))
        .ok(2, accepted("bid_b", Some(2)))
        .ok(1, accepted("bid_a", Some(3)));
    script
}

#[test]
fn a_right_history_passes() {
    let mut script = two_bids();
    script
        .done(3, bid("c", 125), too_low(130))
        .done(3, read(), english(3, Some(120), false))
        .invoke(4, bid("d", 130))
        .done(3, close("e"), closed(Some(120), Some(4)))
        .ok(4, refused("ended"))
        .done(3, close("f"), refused("ended"))
        .done(3, read(), english(4, Some(120), true));
    let verdict = check(&script);
    passes(&verdict);
    let Verdict::Valid { ops, coverage } = verdict else {
        return;
    };
    assert_eq!(ops, 8);
    assert_eq!((coverage["accepted"], coverage["refused"]), (2, 3));
}

#[test]
fn a_double_winner_is_caught() {
    let mut script = two_bids();
    script.done(3, bid("c", 120), accepted("bid_c", Some(4)));
    caught(&check(&script), "no order explains");
}

#[test]
fn a_bid_after_the_close_is_caught() {
    let mut script = two_bids();
    script.done(3, close("c"), closed(Some(120), Some(4))).done(
        3,
        bid("d", 200),
        accepted("bid_d", Some(5)),
    );
    let verdict = check(&script);
    caught(&verdict, "no order explains the first 4 answers");
    let Verdict::Violated { findings, .. } = verdict else {
        return;
    };
    assert!(findings[0].evidence[0].contains("bid 200"), "{findings:?}");
}

#[test]
fn a_stale_read_and_a_lost_bid_are_caught() {
    let mut stale = two_bids();
    stale.done(3, read(), english(2, Some(100), false));
    caught(&check(&stale), "no order explains");
    let mut lost = two_bids();
    lost.done(3, bid("c", 110), accepted("bid_c", Some(3)));
    caught(&check(&lost), "no order explains");
    let mut sold_low = two_bids();
    sold_low.done(3, close("c"), closed(Some(100), None));
    caught(&check(&sold_low), "no order explains");
    let mut declined = two_bids();
    declined.done(3, bid("c", 130), too_low(130));
    caught(&check(&declined), "no order explains");
}

#[test]
fn an_unknown_bid_may_take_effect_at_any_later_time_or_never() {
    let unknown = |seen: Reply| {
        let mut script = two_bids();
        script
            .invoke(4, bid("u", 150))
            .unknown(4)
            .done(3, read(), english(3, Some(120), false))
            .done(3, bid("c", 130), accepted("bid_c", Some(4)))
            .done(3, read(), seen);
        check(&script)
    };
    passes(&unknown(english(4, Some(130), false)));
    passes(&unknown(english(5, Some(150), false)));
    caught(&unknown(english(5, Some(140), false)), "no order");
    // Not before it was sent.
    let mut early = two_bids();
    early
        .done(3, read(), english(4, Some(150), false))
        .invoke(4, bid("u", 150))
        .unknown(4);
    caught(&check(&early), "no order");
    // What certainly did nothing did nothing.
    let mut failed = two_bids();
    failed
        .invoke(4, bid("u", 150))
        .fail(4)
        .done(3, read(), english(4, Some(150), false));
    caught(&check(&failed), "no order");
}

#[test]
fn time_ends_a_lot_only_where_the_terms_say_so() {
    let mut script = two_bids();
    script.done(3, bid("c", 200), refused("ended"));
    caught(&check(&script), "no order");
    let terms = EnglishTerms {
        ends_within_run: true,
        ..terms()
    };
    let verdict = linear::english(&script.history, lot(), &terms, Limits::default());
    passes(&verdict);
}

#[test]
fn a_search_that_may_not_end_is_not_passed() {
    let limits = Limits {
        time: Duration::ZERO,
        ..Limits::default()
    };
    let verdict = linear::english(&two_bids().history, lot(), &terms(), limits);
    proves_nothing(&verdict, "budget");
    let limits = Limits {
        max_ops: 1,
        ..Limits::default()
    };
    let verdict = linear::english(&two_bids().history, lot(), &terms(), limits);
    proves_nothing(&verdict, "2 operations, 1 can be searched");
}

#[test]
fn too_little_is_invalid() {
    proves_nothing(&check(&Script::default()), "accepted: 0");
    let mut alone = Script::default();
    alone
        .done(1, bid("a", 100), accepted("bid_a", Some(2)))
        .done(1, read(), english(2, Some(100), false));
    proves_nothing(&check(&alone), "overlaps: 0");
    let mut twice = two_bids();
    twice.done(3, bid("a", 120), accepted("bid_a", Some(3)));
    proves_nothing(&check(&twice), "key a was used by two operations");
}

fn check_drop(script: &Script, units: u32) -> Verdict {
    let terms = DropTerms {
        units,
        ends_within_run: false,
    };
    linear::drop(&script.history, lot(), terms, Limits::default())
}

/// Two units, three claims at once.
fn rush() -> Script {
    let mut script = Script::default();
    script
        .invoke(1, claim("a", 1))
        .invoke(2, claim("b", 1))
        .invoke(3, claim("c", 1))
        .ok(3, accepted("clm_c", None))
        .ok(1, sold_out(Some(0)))
        .ok(2, accepted("clm_b", None));
    script
}

#[test]
fn a_right_drop_passes_and_wrong_ones_are_caught() {
    let mut right = rush();
    right
        .done(4, read(), stock(0))
        .done(4, claim("d", 2), sold_out(Some(0)))
        .done(4, close("e"), closed(None, None))
        .done(4, claim("f", 1), sold_out(None));
    passes(&check_drop(&right, 2));
    let mut oversold = rush();
    oversold.done(4, claim("d", 1), accepted("clm_d", None));
    caught(&check_drop(&oversold, 2), "no order explains");
    let mut early = Script::default();
    early
        .invoke(1, claim("a", 1))
        .done(2, claim("b", 1), sold_out(Some(0)))
        .ok(1, accepted("clm_a", None))
        .done(2, claim("c", 1), accepted("clm_c", None));
    caught(&check_drop(&early, 2), "no order explains");
    let mut back = rush();
    back.done(4, read(), stock(1));
    caught(&check_drop(&back, 2), "no order explains");
}

#[test]
fn an_unknown_claim_may_have_taken_the_last_unit_but_not_an_acknowledged_one() {
    let unknown = |units, more: &[(&str, Reply)]| {
        let mut script = rush();
        script.invoke(5, claim("u", 1)).unknown(5);
        for (name, reply) in more {
            script.done(6, claim(name, 1), reply.clone());
        }
        check_drop(&script, units)
    };
    passes(&unknown(2, &[("d", sold_out(Some(0)))]));
    // The claim before it was refused for want of a unit, so nobody can take a third.
    caught(&unknown(3, &[]), "no order");
    let mut script = Script::default();
    script.invoke(5, claim("u", 1)).unknown(5);
    script.done(6, claim("a", 1), accepted("clm_a", None)).done(
        6,
        claim("b", 1),
        sold_out(Some(0)),
    );
    passes(&check_drop(&script, 2));
    passes(&check_drop(&script, 1));
    caught(&check_drop(&script, 3), "no order");
}

/// An English lot, or a drop, as a sequence of operations knows it.
struct Simulated {
    high: Option<i64>,
    version: i64,
    left: Option<u32>,
}

impl System for Simulated {
    fn next(&mut self, dice: &mut Dice, name: &str) -> Operation {
        let high = self.high.unwrap_or(100);
        match (self.left, dice.below(4)) {
            (_, 0) => read(),
            (Some(_), _) => claim(name, 1 + dice.small(3)),
            (None, _) => bid(name, high + i64::from(dice.small(5)) * 10),
        }
    }

    fn apply(&mut self, operation: &Operation) -> Reply {
        match operation {
            Operation::Bid { amount_minor, .. } => {
                let least = self.high.map_or(100, |high| high + 10);
                if *amount_minor < least {
                    return too_low(least);
                }
                self.high = Some(*amount_minor);
                self.version += 1;
                accepted("bid", Some(self.version))
            }
            Operation::Claim { units, .. } => {
                let left = self.left.expect("a drop");
                if left < *units {
                    return sold_out(Some(left));
                }
                self.left = Some(left - units);
                accepted("clm", None)
            }
            Operation::Close { .. }
            | Operation::ReadLot { .. }
            | Operation::Watch { .. }
            | Operation::Purchase { .. }
            | Operation::TopUp { .. }
            | Operation::ReadWallets
            | Operation::LookUp { .. }
            | Operation::ReadEffects
            | Operation::Transact { .. } => Reply::Lot {
                epoch: 7,
                state: LotState {
                    version: self.version,
                    high_minor: self.high,
                    units_left: self.left,
                    closed: false,
                },
            },
        }
    }
}

fn simulated(dice: &mut Dice, left: Option<u32>, ops: u32, width: u32) -> History {
    let mut system = Simulated {
        high: None,
        version: 1,
        left,
    };
    let mut history = run(&mut system, dice, ops, width, 5);
    // What a client reads when everybody is done.
    let mut end = Script::default();
    end.done(99_999, read(), system.apply(&read()));
    let mut last = end.history.ops.remove(0);
    last.invoked.line = u64::from(ops) * 10;
    if let Some(ended) = &mut last.ended {
        ended.at.line = u64::from(ops) * 10 + 1;
    }
    last.number = u64::from(ops) * 10;
    history.ops.push(last);
    history
}

/// The answers of a history, to be falsified.
fn replies(history: &mut History) -> impl Iterator<Item = &mut Reply> {
    history.ops.iter_mut().filter_map(|op| match &mut op.ended {
        Some(ended) => match &mut ended.outcome {
            Outcome::Ok(reply) => Some(reply),
            Outcome::Fail(_) | Outcome::Unknown(_) => None,
        },
        None => None,
    })
}

#[test]
fn a_long_lot_is_searched_in_time_whether_right_or_wrong() {
    let mut dice = Dice(11);
    let history = simulated(&mut dice, None, 1_900, 30);
    let check = |history: &History| linear::english(history, lot(), &terms(), Limits::default());
    passes(&check(&history));
    let mut history = simulated(&mut dice, None, 600, 30);
    passes(&check(&history));
    let middle = replies(&mut history)
        .filter(|it| matches!(it, Reply::Accepted { .. }))
        .nth(80);
    *middle.expect("many bids were accepted") = accepted("bid", Some(2));
    caught(&check(&history), "no order explains");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lot_that_is_right_passes_and_a_falsified_version_is_caught(seed: u64) {
        let mut dice = Dice(seed);
        let mut history = simulated(&mut dice, None, 120, 8);
        let check = |history: &History| {
            linear::english(history, lot(), &terms(), Limits::default())
        };
        passes(&check(&history));
        let mut versions = Vec::new();
        for reply in replies(&mut history) {
            if let Reply::Accepted { version: Some(version), .. } = reply {
                versions.push(version);
            }
        }
        // Two bids that both believe that they came at the same place.
        prop_assume!(versions.len() > 1);
        let first = *versions[0];
        *versions[1] = first;
        caught(&check(&history), "no order explains");
    }

    #[test]
    fn a_drop_that_is_right_passes_and_a_falsified_number_is_caught(seed: u64) {
        let mut dice = Dice(seed);
        let mut history = simulated(&mut dice, Some(40), 60, 4);
        let terms = DropTerms { units: 40, ends_within_run: false };
        let check = |history: &History| {
            linear::drop(history, lot(), terms, Limits::default())
        };
        passes(&check(&history));
        let last = replies(&mut history).last();
        let Some(Reply::Lot { state, .. }) = last else {
            return Err(TestCaseError::fail("no last read"));
        };
        state.units_left = Some(41);
        caught(&check(&history), "no order explains");
    }
}
