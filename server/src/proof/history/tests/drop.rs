use super::script::{
    Script, accepted, caught, claim, close, closed, lot, passes, proves_nothing, read, sold_out,
    stock,
};
use crate::proof::history::{Verdict, drop};
use proptest::prelude::*;

fn check(script: &Script, units: u32) -> Verdict {
    drop::check(&script.history, lot(), units)
}

/// Two units, of which one goes before "sold out" is said and one while it is.
fn rush() -> Script {
    let mut script = Script::default();
    script
        .done(1, claim("a", 1), accepted("clm_a", None))
        .invoke(2, claim("b", 1))
        .invoke(3, claim("c", 1))
        .ok(3, sold_out(Some(0)))
        .ok(2, accepted("clm_b", None))
        .done(4, read(), stock(0));
    script
}

#[test]
fn a_right_drop_passes() {
    let mut script = rush();
    script
        .done(1, close("d"), closed(None, None))
        .done(1, claim("e", 1), sold_out(None));
    let verdict = check(&script, 2);
    passes(&verdict);
    let Verdict::Valid { coverage, .. } = verdict else {
        return;
    };
    assert_eq!((coverage["accepted"], coverage["sold out"]), (2, 2));
}

#[test]
fn oversold_is_caught() {
    let mut script = rush();
    script.done(5, claim("d", 1), accepted("clm_d", None));
    let verdict = check(&script, 2);
    caught(&verdict, "3 units were accepted, 2 were offered");
    caught(&verdict, "sold, though it was said before to be gone");
}

#[test]
fn a_false_decline_is_caught() {
    let mut script = Script::default();
    script
        .done(1, claim("a", 1), accepted("clm_a", None))
        .done(3, claim("c", 1), sold_out(Some(0)))
        .done(2, claim("b", 1), accepted("clm_b", None));
    caught(&check(&script, 2), "a false decline");
    // Refused for good, though the second unit is never sold.
    let mut script = Script::default();
    script
        .done(1, claim("a", 1), accepted("clm_a", None))
        .done(3, claim("c", 1), sold_out(None));
    caught(&check(&script, 2), "a false decline");
    let mut absurd = rush();
    absurd.done(5, claim("d", 1), sold_out(Some(1)));
    caught(&check(&absurd, 2), "though enough units are left");
}

#[test]
fn lost_units_and_units_that_come_back_are_caught() {
    let mut lost = rush();
    lost.history.ops.remove(1);
    caught(&check(&lost, 2), "or lost units");
    let mut back = rush();
    back.done(4, read(), stock(1));
    let verdict = check(&back, 2);
    caught(&verdict, "units came back");
    caught(&verdict, "though 2 had been accepted before");
}

#[test]
fn a_claim_after_the_close_and_a_second_settlement_are_caught() {
    let mut script = Script::default();
    script
        .done(1, read(), stock(2))
        .done(1, close("a"), closed(None, None))
        .done(1, claim("b", 1), accepted("clm_b", None))
        .done(1, close("c"), closed(None, None));
    let verdict = check(&script, 2);
    caught(&verdict, "sold after the close");
    caught(&verdict, "settled twice");
}

#[test]
fn an_unknown_claim_may_have_taken_its_unit() {
    let mut script = Script::default();
    script
        .done(1, claim("a", 1), accepted("clm_a", None))
        .invoke(2, claim("b", 1))
        .unknown(2)
        .done(3, claim("c", 1), sold_out(Some(0)));
    passes(&check(&script, 2));
    caught(&check(&script, 3), "a false decline");
}

#[test]
fn too_little_is_invalid() {
    proves_nothing(&check(&Script::default(), 2), "accepted: 0");
    let mut untold = Script::default();
    untold.done(1, claim("a", 1), accepted("clm_a", None));
    proves_nothing(&check(&untold, 2), "told of stock: 0");
}

proptest! {
    #[test]
    fn sequential_drops_pass_unless_one_claim_is_forgotten(
        asked in proptest::collection::vec(1..4_u32, 1..60),
        units in 1..30_u32,
    ) {
        let mut script = Script::default();
        let mut left = units;
        for (place, wanted) in asked.iter().enumerate() {
            let reply = match left.checked_sub(*wanted) {
                Some(rest) => {
                    left = rest;
                    accepted("clm", None)
                }
                None => sold_out(Some(left)),
            };
            script.done(1, claim(&format!("k{place}"), *wanted), reply);
        }
        script.done(1, read(), stock(left));
        prop_assume!(left < units);
        passes(&check(&script, units));
        // The first claim to succeed is struck from the history.
        let first = script.history.ops.iter().position(|op| {
            op.reply().is_some_and(|reply| *reply == accepted("clm", None))
        });
        script.history.ops.remove(first.expect("something was sold"));
        let verdict = check(&script, units);
        prop_assert!(!verdict.is_valid(), "{verdict:?}");
    }
}
