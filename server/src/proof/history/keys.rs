//! Idempotency keys: one effect at most, exactly one if anybody was told so, and no outcome that
//! stays unknown.
//!
//! The final read of all effects, after the drain, is the judge; look-ups by key are what a client
//! has. Refusals are stored under their key as well, but for `sold_out`: the mark that gives it
//! stores nothing, so that such a key may buy later (`reliability.md`, section 8).

use super::operation::{Decision, Operation, Reply};
use super::read::{History, Op};
use super::verdict::{Check, Verdict};
use shared::IdempotencyKey;
use std::collections::BTreeMap;

/// The refusal that is not stored under its key.
const NOT_STORED: &str = "sold_out";

/// What happened under one key.
#[derive(Default)]
struct Story<'a> {
    /// Commands.
    sent: Vec<&'a Op>,
    /// Look-ups, in order.
    looked_up: Vec<(&'a Op, Option<&'a Decision>)>,
    /// Effects in the final read.
    effects: Vec<&'a str>,
}

impl<'a> Story<'a> {
    /// Answers that say that it was done, and as what.
    fn done(&self) -> impl Iterator<Item = (&'a Op, &'a str)> {
        self.sent.iter().filter_map(|op| match op.reply() {
            Some(Reply::Accepted { effect, .. } | Reply::Closed { effect, .. }) => {
                Some((*op, effect.as_str()))
            }
            Some(
                Reply::Refused { .. }
                | Reply::Lot { .. }
                | Reply::Resumed
                | Reply::Wallets { .. }
                | Reply::Found { .. }
                | Reply::Effects { .. }
                | Reply::Lists { .. },
            )
            | None => None,
        })
    }

    /// Answers that say that it was refused, with their code.
    fn refused(&self) -> impl Iterator<Item = (&'a Op, &'a str)> {
        self.sent.iter().filter_map(|op| match op.reply() {
            Some(Reply::Refused { code, .. }) => Some((*op, code.as_str())),
            Some(_) | None => None,
        })
    }
}

/// Checks every key of a history that ends with a read of all effects.
#[must_use]
pub fn check(history: &History) -> Verdict {
    let mut check = Check::default();
    let mut finals = history.ops.iter().filter_map(|op| match op.reply() {
        Some(Reply::Effects { effects }) => Some((op, effects)),
        Some(_) | None => None,
    });
    let Some((last, effects)) = finals.next_back() else {
        return Verdict::invalid("no read of all effects: nothing tells what the keys did");
    };
    let mut stories: BTreeMap<&IdempotencyKey, Story<'_>> = BTreeMap::new();
    for op in &history.ops {
        if let Some(key) = op.operation.key() {
            if !op.failed() && !op.is_unknown() && !op.precedes(last) {
                return Verdict::invalid(format!("the last read of all effects overlaps {op}"));
            }
            stories.entry(key).or_default().sent.push(op);
            check.looked_at(1);
        } else if let (Operation::LookUp { key }, Some(Reply::Found { decision })) =
            (&op.operation, op.reply())
        {
            let looked_up = &mut stories.entry(key).or_default().looked_up;
            looked_up.push((op, decision.as_ref()));
        }
    }
    for it in effects {
        stories.entry(&it.key).or_default().effects.push(&it.effect);
    }
    for name in ["keys", "done", "refused", "unknown", "sent again"] {
        check.count(name, 0);
    }
    for (key, story) in &stories {
        count(story, &mut check);
        effects_of(key, story, last, &mut check);
        answers_of(key, story, last, &mut check);
        resolved(key, story, &mut check);
    }
    check.require("keys", 1);
    check.require("done", 1);
    check.finish()
}

fn count(story: &Story<'_>, check: &mut Check) {
    check.count("keys", 1);
    check.count("done", usize::from(story.done().next().is_some()));
    check.count("refused", usize::from(story.refused().next().is_some()));
    let unknown = story.sent.iter().filter(|op| op.is_unknown());
    check.count("unknown", unknown.count());
    let again = |op: &&&Op| op.ended.as_ref().is_some_and(|ended| ended.sends > 1);
    let is_again = story.sent.len() > 1 || story.sent.iter().any(|op| again(&op));
    check.count("sent again", usize::from(is_again));
}

/// One effect at most; one if anybody was told so; none if nobody can have caused it.
fn effects_of(key: &IdempotencyKey, story: &Story<'_>, last: &Op, check: &mut Check) {
    let effects = story.effects.len();
    let mut proof = story.sent.clone();
    proof.push(last);
    if effects > 1 {
        let names = story.effects.join(", ");
        check.violated(format!("key {key} has {effects} effects: {names}"), &proof);
    }
    if story.sent.iter().all(|op| op.failed()) && effects > 0 {
        check.violated(
            format!("key {key} has an effect, but nothing was done under it"),
            &proof,
        );
    }
    if story.done().next().is_some() && effects == 0 {
        check.violated(
            format!("key {key} was told done, but has no effect: lost"),
            &proof,
        );
    }
}

/// All answers agree, with each other and with the effect.
fn answers_of(key: &IdempotencyKey, story: &Story<'_>, last: &Op, check: &mut Check) {
    for (op, effect) in story.done() {
        if story.effects.first().is_some_and(|it| *it != effect) {
            check.violated(
                format!("key {key} was told of another effect than it has"),
                &[op, last],
            );
        }
    }
    let stored = story.refused().filter(|(_, code)| *code != NOT_STORED);
    for (op, _) in stored {
        if !story.effects.is_empty() {
            check.violated(
                format!("key {key} was told refused, but has an effect"),
                &[op, last],
            );
        }
    }
    for (refused, _) in story.refused() {
        if let Some((done, _)) = story.done().find(|(done, _)| done.precedes(refused)) {
            check.violated(
                format!("key {key} was done, then refused"),
                &[done, refused],
            );
        }
    }
    for (op, decision) in &story.looked_up {
        let agrees = match decision {
            Some(Decision::Done { effect }) => story.effects == [effect.as_str()],
            Some(Decision::Refused { .. }) => story.effects.is_empty(),
            // What is done must be found from then on. What is on its way may not be there yet.
            None => !story.done().any(|(done, _)| done.precedes(op)),
        };
        if !agrees {
            check.violated(
                format!("key {key} was looked up, and the answer is wrong"),
                &[*op, last],
            );
        }
    }
}

/// Whoever was left without an answer got one later: by the same key, or by looking it up.
fn resolved(key: &IdempotencyKey, story: &Story<'_>, check: &mut Check) {
    for unknown in story.sent.iter().filter(|op| op.is_unknown()) {
        // Without a last line the client was gone before it knew that it did not know.
        let since = unknown.ended.as_ref().map_or(unknown.invoked, |it| it.at);
        let by_sending = (story.sent.iter())
            .find(|op| op.reply().is_some() && op.done().is_some_and(|done| done > since));
        let looks = story.looked_up.iter().rev();
        let by_looking = looks
            .filter(|(op, _)| op.invoked > since)
            .map(|it| it.1)
            .next();
        match (by_sending, by_looking) {
            (Some(_), _) | (None, Some(Some(_))) => {}
            // Nothing was found, and nothing is there: it never happened.
            (None, Some(None)) if story.effects.is_empty() => {}
            (None, Some(None)) => check.violated(
                format!("key {key} was looked up last when it was still on its way"),
                &[unknown],
            ),
            (None, None) => {
                check.violated(format!("key {key} stayed unknown"), &[unknown]);
            }
        }
    }
}
