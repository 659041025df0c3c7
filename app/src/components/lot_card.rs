//! A lot on the floor.

use super::{Amount, Clock, FALLING, FIXED, Price, RISING, Sign};
use crate::erase::{Erase, drawn, kept};
use crate::house::House;
use crate::live::Live;
use crate::words;
use leptos::prelude::*;
use shared::auction::{Mechanism, Phase};
use shared::view::{LotView, Terms};
use shared::{Money, PrincipalId, Timestamp};

/// A lot's card: picture, name, price with its direction, time, leader or units left.
#[component]
pub fn LotCard(
    /// The lot.
    #[prop(into)]
    lot: Signal<LotView>,
    /// The page's time until the scripts run.
    snapshot: Timestamp,
    /// Who looks.
    viewer: Option<PrincipalId>,
) -> impl IntoView {
    let house = House::expect();
    let live = Live::expect();
    let first = lot.get_untracked();
    let mechanism = first.mechanism();
    let phase = kept(move || lot.with(|lot| lot.phase(live.now(snapshot))));
    let price = kept(move || lot.with(|lot| lot.price_at(live.now(snapshot))));
    let lines = match mechanism {
        Mechanism::English => RISING,
        Mechanism::Dutch => FALLING,
        Mechanism::Drop => FIXED,
    };
    view! {
        <article
            class="card"
            data-testid="lot-card"
            data-lot=first.id.to_string()
            data-mechanism=mechanism.word()
            data-phase=drawn(move || phase_word(phase.get()))
        >
            <div class="card-art">
                <img
                    src=format!("/art/{}.svg", first.art)
                    alt=words::picture(&first)
                    width="320"
                    height="240"
                    loading="lazy"
                    decoding="async"
                />
            </div>
            <div class="card-text">
                <p class="card-kind">
                    <Sign lines=lines/>
                    {words::mechanism(mechanism)}
                </p>
                <h3 class="card-name">
                    <a class="card-link" href=house.link(&format!("/lots/{}", first.id)) dir="auto">
                        {first.title}
                    </a>
                </h3>
                <p class="card-price">
                    <Price amount=price/>
                    {drawn(move || lot.with(price_note).map(|note| view! { <span class="card-note">{note}</span> }.erase()))}
                </p>
                <p class="card-foot">
                    <span class="card-time">
                        <Time lot phase snapshot/>
                    </span>
                    <span class="card-who">{drawn(move || lot.with(|lot| standing(lot, viewer)))}</span>
                </p>
            </div>
        </article>
    }
    .erase()
}

/// The phase as the style sheet and tests know it.
const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Scheduled => "scheduled",
        Phase::Live => "live",
        Phase::Due => "due",
        Phase::Over => "over",
    }
}

fn price_note(lot: &LotView) -> Option<&'static str> {
    match &lot.terms {
        Terms::English { leader: None, .. } => Some("to open"),
        Terms::Drop { .. } => Some("each"),
        Terms::English { .. } | Terms::Dutch { .. } => None,
    }
}

/// Who leads, or what is left.
fn standing(lot: &LotView, viewer: Option<PrincipalId>) -> String {
    match &lot.terms {
        Terms::English { leader: None, .. } => "No bids yet".to_owned(),
        Terms::English {
            leader: Some(line), ..
        } if viewer == Some(line.who.id) => "You lead".to_owned(),
        Terms::English {
            leader: Some(line), ..
        } => format!("{} leads", line.who.name),
        Terms::Dutch { schedule } => format!("down to {}", schedule.floor),
        Terms::Drop { units_left: 0, .. } => "Sold out".to_owned(),
        Terms::Drop {
            units_left, units, ..
        } => format!("{units_left} of {units} left"),
    }
}

/// The time that matters: to the opening, to the next price, to the end.
#[component]
fn Time(lot: Signal<LotView>, phase: Memo<Phase>, snapshot: Timestamp) -> impl IntoView {
    let live = Live::expect();
    let next_tick = kept(move || {
        lot.with(|lot| match &lot.terms {
            Terms::Dutch { schedule } => {
                let next = schedule.next_tick_at(lot.opens_at, live.now(snapshot))?;
                (next < lot.closes_at).then_some(next)
            }
            Terms::English { .. } | Terms::Drop { .. } => None,
        })
    });
    let opens_at = Signal::derive(move || lot.with(|lot| lot.opens_at));
    let closes_at = Signal::derive(move || lot.with(|lot| lot.closes_at));
    drawn(move || match (phase.get(), next_tick.get()) {
        (Phase::Scheduled, _) => view! { "Opens in " <Clock until=opens_at snapshot/> }.erase(),
        (Phase::Live, Some(next)) => view! { "Falls in " <Clock until=next snapshot/> }.erase(),
        (Phase::Live, None) => view! { "Ends in " <Clock until=closes_at snapshot/> }.erase(),
        (Phase::Due, _) => view! { "Closing…" }.erase(),
        (Phase::Over, _) => view! { "Over" }.erase(),
    })
}

/// A settled lot: a quiet line.
#[component]
pub fn SettledCard(
    /// The lot.
    lot: LotView,
    /// Who looks.
    viewer: Option<PrincipalId>,
) -> impl IntoView {
    let house = House::expect();
    let outcome = lot.outcome.as_ref();
    let said = outcome.map(|outcome| words::outcome(outcome, viewer));
    view! {
        <li class="settled" data-testid="settled-lot" data-lot=lot.id.to_string()>
            <img
                src=format!("/art/{}.svg", lot.art)
                alt=""
                width="64"
                height="48"
                loading="lazy"
                decoding="async"
            />
            <div>
                <a href=house.link(&format!("/lots/{}", lot.id)) dir="auto">
                    {lot.title.clone()}
                </a>
                <p>{said}</p>
            </div>
        </li>
    }
    .erase()
}

/// What `amount` would leave of `available`, or what is missing.
#[must_use]
pub fn missing(needed: Money, available: Money) -> Option<Money> {
    let short = needed.checked_sub(available).ok()?;
    (short.minor() > 0).then_some(short)
}

/// An amount with a word before it.
#[component]
pub fn Labelled(
    /// The word.
    word: &'static str,
    /// The amount.
    #[prop(into)]
    amount: Signal<Money>,
) -> impl IntoView {
    view! {
        <div class="labelled">
            <dt>{word}</dt>
            <dd>
                <Amount amount/>
            </dd>
        </div>
    }
    .erase()
}
