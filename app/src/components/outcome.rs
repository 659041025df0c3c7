//! What the control becomes after the close.

use super::{HAMMER, Sign};
use crate::erase::{Erase, drawn, kept};
use crate::words;
use leptos::prelude::*;
use shared::PrincipalId;
use shared::view::{Outcome, RoomView};

/// How a lot ended, and what happened to the viewer's money.
#[component]
pub fn OutcomePanel(
    /// The room.
    room: RwSignal<RoomView>,
    /// Who looks.
    viewer: Option<PrincipalId>,
    /// How it ended.
    outcome: Outcome,
) -> impl IntoView {
    let is_winner = matches!(&outcome, Outcome::Sold { line } if viewer == Some(line.who.id));
    let word = match &outcome {
        Outcome::Sold { .. } if is_winner => "You won",
        Outcome::Sold { .. } | Outcome::DropEnded { .. } => "Sold",
        Outcome::Passed { .. } => "Not sold",
        Outcome::Cancelled => "Withdrawn",
    };
    let kind = match &outcome {
        Outcome::Sold { .. } if is_winner => "won",
        Outcome::Sold { .. } | Outcome::DropEnded { .. } => "sold",
        Outcome::Passed { .. } => "passed",
        Outcome::Cancelled => "cancelled",
    };
    let all = words::outcome(&outcome, viewer);
    let own = kept(move || {
        room.with(|room| {
            let outcome = room.lot.outcome.as_ref()?;
            words::own_end(outcome, &room.ladder, viewer)
        })
    });
    view! {
        <div class="outcome" data-testid="outcome" data-outcome=kind>
            <p class="outcome-word">
                <Sign lines=HAMMER/>
                {word}
            </p>
            <p>{all}</p>
            {drawn(move || own.get().map(|own| view! { <p class="outcome-own">{own}</p> }.erase()))}
        </div>
    }
    .erase()
}
