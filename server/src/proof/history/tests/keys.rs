use super::script::{
    Script, accepted, bid, caught, effects, found, key, look_up, passes, proves_nothing, refused,
    sold_out,
};
use crate::proof::history::{Decision, Operation, Reply, Verdict, keys};

fn check(script: &Script) -> Verdict {
    keys::check(&script.history)
}

fn finally(script: &mut Script, lines: &[(&str, &str)]) -> Verdict {
    script.done(99, Operation::ReadEffects, effects(lines));
    check(script)
}

/// Key a is done, b refused, c unknown and looked up, d sent by two clients at once.
fn sent() -> Script {
    let mut script = Script::default();
    script
        .done(1, bid("a", 100), accepted("bid_a", Some(2)))
        .done(1, bid("b", 50), refused("too_low"))
        .invoke(2, bid("c", 120))
        .unknown(2)
        .done(3, look_up("c"), found(Some("bid_c")))
        .invoke(4, bid("d", 130))
        .invoke(5, bid("d", 130))
        .ok(5, accepted("bid_d", Some(4)))
        .ok(4, accepted("bid_d", Some(4)));
    script
}

const RIGHT: &[(&str, &str)] = &[("a", "bid_a"), ("c", "bid_c"), ("d", "bid_d")];

#[test]
fn right_keys_pass() {
    let verdict = finally(&mut sent(), RIGHT);
    passes(&verdict);
    let Verdict::Valid { coverage, .. } = verdict else {
        return;
    };
    let figures = ["keys", "done", "refused", "unknown", "sent again"].map(|it| coverage[it]);
    assert_eq!(figures, [4, 2, 1, 1, 1]);
}

#[test]
fn a_duplicate_effect_is_caught() {
    let lines = [RIGHT, &[("d", "bid_e")]].concat();
    caught(
        &finally(&mut sent(), &lines),
        "key d has 2 effects: bid_d, bid_e",
    );
}

#[test]
fn a_lost_acknowledgement_is_caught() {
    caught(
        &finally(&mut sent(), &RIGHT[1..]),
        "key a was told done, but has no effect",
    );
    let other = [("a", "bid_x"), RIGHT[1], RIGHT[2]];
    caught(
        &finally(&mut sent(), &other),
        "key a was told of another effect",
    );
}

#[test]
fn a_refusal_with_an_effect_and_a_phantom_are_caught() {
    let lines = [RIGHT, &[("b", "bid_b")]].concat();
    caught(
        &finally(&mut sent(), &lines),
        "key b was told refused, but has an effect",
    );
    let lines = [RIGHT, &[("z", "bid_z")]].concat();
    caught(
        &finally(&mut sent(), &lines),
        "key z has an effect, but nothing",
    );
    let mut failed = sent();
    failed.invoke(6, bid("f", 140)).fail(6);
    let lines = [RIGHT, &[("f", "bid_f")]].concat();
    caught(
        &finally(&mut failed, &lines),
        "key f has an effect, but nothing",
    );
}

#[test]
fn sold_out_is_not_stored_but_a_success_is() {
    let mut script = sent();
    script.done(6, bid("s", 140), sold_out(Some(0))).done(
        6,
        bid("s", 140),
        accepted("bid_s", None),
    );
    let lines = [RIGHT, &[("s", "bid_s")]].concat();
    passes(&finally(&mut script, &lines));
    let mut script = sent();
    script.done(6, bid("s", 140), accepted("bid_s", None)).done(
        6,
        bid("s", 140),
        sold_out(Some(0)),
    );
    caught(
        &finally(&mut script, &lines),
        "key s was done, then refused",
    );
}

#[test]
fn every_unknown_must_be_resolved() {
    let open = |more: &dyn Fn(&mut Script), lines: &[(&str, &str)]| {
        let mut script = sent();
        script.invoke(6, bid("u", 140)).unknown(6);
        more(&mut script);
        finally(&mut script, &[RIGHT, lines].concat())
    };
    caught(&open(&|_| {}, &[]), "key u stayed unknown");
    caught(&open(&|_| {}, &[("u", "bid_u")]), "key u stayed unknown");
    let sent_again = |script: &mut Script| {
        script.done(7, bid("u", 140), accepted("bid_u", None));
    };
    passes(&open(&sent_again, &[("u", "bid_u")]));
    let nothing = |script: &mut Script| {
        script.done(7, look_up("u"), found(None));
    };
    passes(&open(&nothing, &[]));
    caught(
        &open(&nothing, &[("u", "bid_u")]),
        "when it was still on its way",
    );
    let refused = |script: &mut Script| {
        let code = "too_low".into();
        let decision = Some(Decision::Refused { code });
        script.done(7, look_up("u"), Reply::Found { decision });
    };
    passes(&open(&refused, &[]));
    caught(&open(&refused, &[("u", "bid_u")]), "the answer is wrong");
    let mut early = sent();
    early
        .done(7, look_up("u"), found(None))
        .invoke(6, bid("u", 140))
        .unknown(6);
    caught(&finally(&mut early, RIGHT), "key u stayed unknown");
}

#[test]
fn a_look_up_that_denies_what_was_done_is_caught() {
    let mut script = sent();
    script.done(7, look_up("a"), found(None));
    caught(
        &finally(&mut script, RIGHT),
        "key a was looked up, and the answer is wrong",
    );
    let mut script = sent();
    script.done(7, look_up("a"), found(Some("bid_z")));
    caught(
        &finally(&mut script, RIGHT),
        "key a was looked up, and the answer is wrong",
    );
}

#[test]
fn too_little_is_invalid() {
    proves_nothing(&check(&sent()), "no read of all effects");
    let mut nothing = Script::default();
    proves_nothing(&finally(&mut nothing, &[]), "keys: 0");
    let mut early = Script::default();
    early
        .invoke(1, bid("a", 100))
        .done(99, Operation::ReadEffects, effects(&[]))
        .ok(1, accepted("bid_a", None));
    proves_nothing(&check(&early), "overlaps");
    assert_eq!(key("a").as_str(), "a");
}
