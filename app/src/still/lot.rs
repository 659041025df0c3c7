//! What does not change about a lot: its head, what it is, its terms in words.

use crate::components::PersonName;
use crate::erase::Erase;
use crate::words;
use leptos::prelude::*;
use shared::Money;
use shared::view::{LotView, Reserve, RoomView, Terms};

/// The picture and the name of a lot, and who sells it.
pub fn head(lot: &LotView) -> String {
    view! {
        <img
            class="lot-picture"
            src=format!("/art/{}.svg", lot.art)
            alt=words::picture(lot)
            width="640"
            height="480"
            fetchpriority="high"
        />
        <div class="lot-words">
            <p class="kind">{words::mechanism(lot.mechanism())}</p>
            <h1 dir="auto">{lot.title.clone()}</h1>
            <p class="seller">
                "Sold by " <PersonName person=lot.seller.clone()/>
            </p>
        </div>
    }
    .erase()
    .to_html()
}

/// What a lot is, and its terms as a list.
pub fn about_lot(room: &RoomView) -> String {
    let lines: Vec<_> = sentences(&room.lot)
        .into_iter()
        .map(|sentence| view! { <li>{sentence}</li> }.erase())
        .collect();
    view! {
        <p class="description" dir="auto">
            {room.description.clone()}
        </p>
        <section class="terms" aria-labelledby="terms-name">
            <h2 id="terms-name">"Terms"</h2>
            <ul>{lines}</ul>
        </section>
    }
    .erase()
    .to_html()
}

/// The sentences of a lot's terms.
#[must_use]
fn sentences(lot: &LotView) -> Vec<String> {
    match &lot.terms {
        Terms::English {
            opening,
            extension,
            reserve,
            ..
        } => {
            let mut all = vec![
                format!("Bidding opens at {opening}."),
                format!(
                    "Each bid tops the last one by: {}.",
                    increments(lot).join("; ")
                ),
                "The leader's money is held, and free again in the moment of being outbid.".into(),
            ];
            if extension.window_ms > 0 {
                all.push(format!(
                    "A bid in the last {window} moves the end to {window} after it, but never past {} UTC.",
                    words::clock(extension.hard_end),
                    window = words::span(extension.window_ms),
                ));
            } else {
                all.push("The end does not move.".into());
            }
            if *reserve != Reserve::None {
                all.push("The seller has set a reserve; below it the lot is not sold.".into());
            }
            all.push("If two bids meet, the first commit wins.".into());
            all.push("Nothing is taken after the end: there is no grace.".into());
            all.push("No fees: you pay your bid.".into());
            all
        }
        Terms::Dutch { schedule } => vec![
            format!(
                "The price starts at {} and falls by {} every {}, down to {}.",
                schedule.start,
                step(schedule.step_minor, lot),
                words::span(schedule.tick_ms),
                schedule.floor
            ),
            "The first claim takes the lot and pays at once. The first commit wins.".into(),
            "A claim names the price you saw: you never pay more than that.".into(),
            "Nothing is taken after the end. No fees.".into(),
        ],
        Terms::Drop {
            price,
            units,
            limit,
            ..
        } => {
            let limit = limit.map_or_else(
                || "There is no limit per buyer.".to_owned(),
                |limit| format!("One buyer may have {limit}."),
            );
            vec![
                format!("{units} units at {price} each, first come, first served."),
                limit,
                "You pay at once. The first commit wins, and not one unit more is sold.".into(),
                "Nothing is taken after the end. No fees.".into(),
            ]
        }
    }
}

/// The bands of least raises in words.
fn increments(lot: &LotView) -> Vec<String> {
    let Terms::English { increments, .. } = &lot.terms else {
        return Vec::new();
    };
    let money = |minor| {
        Money::new(minor, lot.currency)
            .unwrap_or(Money::zero(lot.currency))
            .to_string()
    };
    let bands = increments.bands();
    bands
        .iter()
        .map(|band| {
            let raise = money(band.increment_minor);
            if band.from_minor == 0 {
                format!("at least {raise}")
            } else {
                format!("from {} at least {raise}", money(band.from_minor))
            }
        })
        .collect()
}

fn step(minor: i64, lot: &LotView) -> Money {
    Money::new(minor, lot.currency).unwrap_or(Money::zero(lot.currency))
}
