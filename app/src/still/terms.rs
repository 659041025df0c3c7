//! The terms of a lot in words, before anybody bids.

use crate::erase::Erase;
use crate::words;
use leptos::prelude::*;
use shared::Money;
use shared::view::{LotView, Reserve, Terms};

/// The terms of a lot as a list, with their heading.
pub fn terms(lot: &LotView) -> String {
    let lines: Vec<_> = sentences(lot)
        .into_iter()
        .map(|sentence| view! { <li>{sentence}</li> }.erase())
        .collect();
    view! {
        <h2 id="terms-name">"Terms"</h2>
        <ul>{lines}</ul>
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
                    words::increments(lot).join("; ")
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

fn step(minor: i64, lot: &LotView) -> Money {
    Money::new(minor, lot.currency).unwrap_or(Money::zero(lot.currency))
}
