//! The ladder: every bid or claim, newest first, with where and when.

use super::{Amount, PersonName};
use crate::erase::{Erase, Row, kept, only, rows};
use crate::words;
use leptos::prelude::*;
use shared::auction::Mechanism;
use shared::view::{LadderLine, RoomView};
use shared::{PrincipalId, Timestamp};

/// The ladder of a room.
#[component]
pub fn Ladder(
    /// The room.
    room: RwSignal<RoomView>,
    /// Who looks.
    viewer: Option<PrincipalId>,
) -> impl IntoView {
    let mechanism = room.with_untracked(|room| room.lot.mechanism());
    let newest_at_load = room.with_untracked(|room| newest(&room.ladder));
    let lines = move || {
        let row = |line: &LadderLine| {
            let (id, line) = (line.id.clone(), line.clone());
            Row::new(id, move || {
                view! { <Line line mechanism viewer newest_at_load/> }.erase()
            })
        };
        room.read().ladder.iter().map(row).collect()
    };
    let is_empty = kept(move || room.read().ladder.is_empty());
    let name = match mechanism {
        Mechanism::English => "Bids",
        Mechanism::Dutch | Mechanism::Drop => "Claims",
    };
    let nothing = match mechanism {
        Mechanism::English => "No bids yet. The first one sets the price.",
        Mechanism::Dutch => "No claim yet. The first one takes the lot.",
        Mechanism::Drop => "No claims yet.",
    };
    view! {
        <section class="panel ladder-panel" aria-labelledby="ladder-name">
            <h2 id="ladder-name">{name}</h2>
            {only(move || is_empty.get(), move || view! { <p class="empty">{nothing}</p> }.erase())}
            <ol class="ladder">
                {rows(lines)}
            </ol>
            <p class="fine">"Times are UTC. Each line is a committed row."</p>
        </section>
    }
    .erase()
}

fn newest(ladder: &[LadderLine]) -> Timestamp {
    ladder.first().map_or(Timestamp(i64::MIN), |line| line.at)
}

#[component]
fn Line(
    line: LadderLine,
    mechanism: Mechanism,
    viewer: Option<PrincipalId>,
    newest_at_load: Timestamp,
) -> impl IntoView {
    let is_mine = viewer == Some(line.who.id);
    // Lines that were there when the page was drawn do not slide in.
    let is_new = line.at > newest_at_load;
    let units = (mechanism == Mechanism::Drop).then(|| format!("{} × ", line.units));
    let (at, iso) = (words::clock(line.at), words::iso(line.at));
    view! {
        <li class="ladder-row" class:slides=is_new class:mine=is_mine data-testid="ladder-row">
            <span class="ladder-who">
                <PersonName person=line.who/>
                {is_mine.then(|| view! { <span class="tag own">"you"</span> }.erase())}
            </span>
            <span class="ladder-where">{line.region.city()}</span>
            <time class="ladder-when" datetime=iso title=words::day_and_clock(line.at)>
                {at}
            </time>
            <span class="ladder-amount">{units} <Amount amount=line.amount/></span>
        </li>
    }
    .erase()
}
