//! Time left, and people's names.

use crate::erase::{Erase, drawn, kept};
use crate::live::Live;
use leptos::prelude::*;
use shared::Timestamp;
use shared::auction::Dutch;
use shared::time::countdown;
use shared::view::{Person, RoomView, Terms};

/// Time left until a moment of the server's clock.
#[component]
pub fn Clock(
    /// The moment.
    #[prop(into)]
    until: Signal<Timestamp>,
    /// The page's time until the scripts run.
    snapshot: Timestamp,
) -> impl IntoView {
    let live = Live::expect();
    view! {
        <span class="clock" role="timer" data-testid="countdown">
            {drawn(move || countdown(until.get().since_ms(live.now(snapshot))))}
        </span>
    }
    .erase()
}

/// A person's name; simulated people are labelled.
#[component]
pub fn PersonName(
    /// Who.
    person: Person,
) -> impl IntoView {
    view! {
        <span class="person">
            <bdi>{person.name}</bdi>
            {person
                .simulated
                .then(|| view! { <span class="tag" title="A program of the demo acts for them">"simulated"</span> }.erase())}
        </span>
    }
    .erase()
}

/// How much of the tick has passed, in thousandths, and the milliseconds to the next price.
fn tick_part(schedule: &Dutch, opens_at: Timestamp, now: Timestamp) -> Option<(i64, i64)> {
    let next = schedule.next_tick_at(opens_at, now)?;
    let left = next.since_ms(now);
    let tick = schedule.tick_ms.max(1);
    Some(((tick - left).clamp(0, tick) * 1_000 / tick, left))
}

/// The bar that fills to the next tick of a Dutch price; nothing for other lots.
#[component]
pub fn TickBar(
    /// The room.
    room: RwSignal<RoomView>,
    /// The page's time until the scripts run.
    snapshot: Timestamp,
) -> impl IntoView {
    let live = Live::expect();
    let is_dutch = room.with_untracked(|room| matches!(room.lot.terms, Terms::Dutch { .. }));
    let part = kept(move || {
        let now = live.now(snapshot);
        room.with(|room| match &room.lot.terms {
            Terms::Dutch { schedule } => tick_part(schedule, room.lot.opens_at, now),
            Terms::English { .. } | Terms::Drop { .. } => None,
        })
    });
    let width = drawn(move || part.get().map_or(1_000, |(part, _)| part).to_string());
    let said = drawn(move || match part.get() {
        Some((_, left)) => format!("Next price in {}", countdown(left)),
        None => "This is the lowest price.".to_owned(),
    });
    is_dutch.then(|| {
        view! {
            <div class="tick">
                <svg class="tick-bar" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">
                    <rect class="tick-rest" width="1000" height="8" rx="4"/>
                    <rect class="tick-part" width=width height="8" rx="4"/>
                </svg>
                <p class="tick-word">{said}</p>
            </div>
        }
        .erase()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{Currency, Money};

    #[test]
    fn the_bar_fills_to_the_tick_and_ends_at_the_floor() {
        let usd = |minor| Money::new(minor, Currency::Usd).expect("in range");
        let schedule = Dutch {
            start: usd(1_000),
            floor: usd(900),
            step_minor: 50,
            tick_ms: 4_000,
        };
        let at = |ms: i64| tick_part(&schedule, Timestamp(100), Timestamp(100 + ms));
        assert_eq!(at(0), Some((0, 4_000)));
        assert_eq!(at(1_000), Some((250, 3_000)));
        assert_eq!(at(4_000), Some((0, 4_000)));
        assert_eq!(at(8_000), None);
    }
}
