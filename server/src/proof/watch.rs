//! Who looks on while kernels race: what they count, and what was committed last.

use crate::clock::Clock;
use crate::events::{CheckoutEvent, CheckoutNews, EventBody, HouseEvent};
use crate::ledger::Ledger;
use crate::ledger::endpoint::Endpoints;
use crate::ledger::transaction::Counters;
use serde::Serialize;
use shared::view::{Activity, ActivityKind};
use shared::{EventId, Money, Timestamp};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Commits that are remembered.
const MAX_LINES: usize = 24;

/// A commit, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its place among those that were heard; the first is 1.
    pub number: u64,
    /// Database time of the transaction.
    pub at: Timestamp,
    /// What it did.
    pub text: String,
}

#[derive(Debug, Default)]
struct Tail {
    heard: u64,
    lines: VecDeque<Line>,
}

/// Counts what kernels do, and remembers what they committed last.
#[derive(Default)]
pub struct Watch {
    kernels: Mutex<Vec<Arc<Ledger>>>,
    tail: Mutex<Tail>,
    /// Every event that was heard since somebody began to note them.
    noted: Mutex<Vec<EventId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// A kernel over endpoints that is watched from its first command on.
    #[must_use]
    pub fn kernel(self: &Arc<Self>, endpoints: Endpoints) -> Arc<Ledger> {
        let watch = Arc::clone(self);
        let hear = move |events: &[HouseEvent]| {
            watch.hear(events);
            let ids = events.iter().map(|event| event.id);
            lock(&watch.noted).extend(ids);
        };
        let kernel = Ledger::new(endpoints, Arc::new(Clock::new()), hear);
        lock(&self.kernels).push(Arc::clone(&kernel));
        kernel
    }

    /// Lets go of the kernels of a run that has ended.
    pub fn forget_kernels(&self) {
        lock(&self.kernels).clear();
    }

    /// What all kernels have counted together.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for kernel in lock(&self.kernels).iter() {
            sum.add(&kernel.counters());
        }
        sum
    }

    /// The events that kernels told since this was last asked.
    #[must_use]
    pub fn noted(&self) -> Vec<EventId> {
        std::mem::take(&mut *lock(&self.noted))
    }

    /// Takes in the events of one commit.
    pub fn hear(&self, events: &[HouseEvent]) {
        let Some(first) = events.first() else { return };
        let words: Vec<String> = events.iter().filter_map(words).collect();
        if words.is_empty() {
            return;
        }
        let mut tail = lock(&self.tail);
        tail.heard += 1;
        let line = Line {
            number: tail.heard,
            at: first.at,
            text: words.join("; "),
        };
        tail.lines.push_front(line);
        tail.lines.truncate(MAX_LINES);
    }

    /// What was committed last, the newest first.
    #[must_use]
    pub fn tail(&self) -> Vec<Line> {
        lock(&self.tail).lines.iter().cloned().collect()
    }
}

/// What an event tells; wallets change with nearly everything, and say nothing of their own.
fn words(event: &HouseEvent) -> Option<String> {
    match &event.body {
        EventBody::Opened { activity, .. }
        | EventBody::Lot { activity, .. }
        | EventBody::Stock { activity, .. } => Some(of_lot(activity)),
        EventBody::Checkout(event) => Some(of_checkout(event)),
        EventBody::Wallet { .. } | EventBody::Notice { .. } => None,
    }
}

fn of_lot(activity: &Activity) -> String {
    let what = match activity.what {
        ActivityKind::Opened => "lot put up",
        ActivityKind::Bid => "bid",
        ActivityKind::Claimed => "claim",
        ActivityKind::Sold => "sold",
        ActivityKind::Passed => "passed",
    };
    let amount = activity.amount.map(|amount| format!(" {amount}"));
    let who = activity.who.as_ref().map(|who| format!(" {}", who.handle));
    let region = activity.region.map(|region| format!(" {}", region.city()));
    let rest = [amount, who, region].into_iter().flatten();
    let rest: String = rest.collect();
    format!("{what}{rest}, {}", activity.title)
}

fn of_checkout(event: &CheckoutEvent) -> String {
    let money = |minor: i64| {
        let money = Money::new(minor, event.currency);
        money.map_or_else(|_range| minor.to_string(), |money| money.to_string())
    };
    match &event.what {
        CheckoutNews::Committed { purchases, .. } => {
            let sum = purchases.iter().map(|line| line.amount_minor).sum();
            match purchases.as_slice() {
                [] => "purchases refused".to_owned(),
                [one] => format!("purchase {} {}", money(sum), one.agent),
                many => format!("{} purchases, {}", many.len(), money(sum)),
            }
        }
        CheckoutNews::Stocked { units, .. } => format!("{units} units came in"),
        CheckoutNews::Granted { .. } => "mandate given".to_owned(),
        CheckoutNews::Revoked { returned_minor, .. } => {
            format!("mandate revoked, {} returned", money(*returned_minor))
        }
        CheckoutNews::BidPlaced {
            agent,
            amount_minor,
            ..
        } => format!("agent's bid {} {agent}", money(*amount_minor)),
        CheckoutNews::BidFreed { freed_minor, .. } => {
            format!("agent's bid freed, {}", money(*freed_minor))
        }
        CheckoutNews::BidWon { paid_minor, .. } => {
            format!("agent's bid won, {}", money(*paid_minor))
        }
        CheckoutNews::Claimed {
            agent,
            amount_minor,
            ..
        } => format!("agent's claim {} {agent}", money(*amount_minor)),
        CheckoutNews::Refunded { amount_minor, .. } => {
            format!("refund {}", money(*amount_minor))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids;
    use shared::{Currency, ItemId, PrincipalId};
    use uuid::Uuid;

    fn event(what: CheckoutNews) -> HouseEvent {
        let event = CheckoutEvent {
            tenant: PrincipalId::from_uuid(Uuid::nil()),
            what,
            currency: Currency::Usd,
            stock: Vec::new(),
            budgets: Vec::new(),
            credits: Vec::new(),
        };
        HouseEvent {
            id: ids::event(),
            at: Timestamp(7),
            body: EventBody::Checkout(Box::new(event)),
        }
    }

    #[test]
    fn the_tail_is_short_and_begins_with_the_newest() {
        let watch = Watch::default();
        watch.hear(&[]);
        assert!(watch.tail().is_empty());
        for units in 0..100 {
            let item = ItemId::from_uuid(Uuid::nil());
            watch.hear(&[event(CheckoutNews::Stocked { item, units })]);
        }
        let tail = watch.tail();
        assert_eq!(tail.len(), MAX_LINES);
        let newest = tail.first().expect("one");
        assert_eq!((newest.number, newest.at), (100, Timestamp(7)));
        assert_eq!(newest.text, "99 units came in");
    }
}
