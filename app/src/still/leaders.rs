//! The house's leaderboard.

use crate::components::{Amount, PersonName};
use crate::erase::Erase;
use crate::ports::Ports;
use leptos::prelude::*;
use shared::Currency;
use shared::view::BoardLine;

/// Lines of the board on the floor.
const MAX_LEADERS: usize = 8;

/// Who spent most, with the part's heading.
pub async fn leaders(ports: &Ports) -> String {
    let top = ports.social.top_overall(Currency::Usd, MAX_LEADERS).await;
    let shown = match top {
        Ok(lines) if lines.is_empty() => {
            view! { <p class="empty">"Nothing is sold yet."</p> }.erase()
        }
        Ok(lines) => board(lines),
        // The floor is a floor without it.
        Err(_failure) => {
            view! { <p class="empty">"The leaderboard is slow to answer. Bids are not affected."</p> }
                .erase()
        }
    };
    view! {
        <h2 id="leaders-name">"Top buyers"</h2>
        <p class="fine">"By what they spent here, as this page was loaded."</p>
        {shown}
    }
    .erase()
    .to_html()
}

fn board(lines: Vec<BoardLine>) -> crate::erase::Plain {
    let lines: Vec<_> = lines
        .into_iter()
        .map(|BoardLine { who, amount }| {
            view! {
                <li data-testid="leader">
                    <PersonName person=who/>
                    <Amount amount/>
                </li>
            }
            .erase()
        })
        .collect();
    view! { <ol class="board">{lines}</ol> }.erase()
}
