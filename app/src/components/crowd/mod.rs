//! The crowd of a room: who is here, what they feel, what they say.

mod chat;
mod chat_log;

use super::icons::ReactionSign;
use super::{Amount, PersonName, Sign};
use crate::components::icons::PERSON;
use crate::erase::{Erase, Row, drawn, react, rows};
use crate::live::{Live, News, Reply};
use chat::Chat;
use leptos::prelude::*;
use shared::live::{Channel, ClientFrame, Push, Snapshot};
use shared::view::{BoardLine, ChatView, CrowdView, Person, Reaction};
use shared::{LotId, Region};

/// The crowd column.
#[component]
pub fn Crowd(
    /// The room's lot.
    lot: LotId,
    /// Whether the lot is a drop.
    is_drop: bool,
    /// The page's messages and rules.
    chat: ChatView,
    /// Whether who looks moderates the room.
    moderates: bool,
    /// The page's crowd.
    crowd: CrowdView,
    /// Who looks.
    person: Option<Person>,
    /// Where they act.
    region: Region,
) -> impl IntoView {
    let live = Live::expect();
    let crowd = RwSignal::new(crowd);
    react(move || {
        let hear = move |news: News<'_>| {
            if let News::Snapshot(Snapshot::Crowd(now)) | News::Push(_, Push::Crowd(now)) = news {
                crowd.set(now.clone());
            }
            0
        };
        let listener = live.join(Channel::Crowd(lot), || None, hear);
        on_cleanup(move || live.leave(listener));
    });
    let folded = RwSignal::new(false);
    let fold = drawn(move || if folded.get() { "Show" } else { "Hide" });
    view! {
        <section
            class="panel crowd"
            aria-labelledby="crowd-name"
            data-folded=drawn(move || folded.get().to_string())
        >
            <div class="crowd-head">
                <h2 id="crowd-name">"The room"</h2>
                <button
                    type="button"
                    class="fold"
                    aria-expanded=drawn(move || (!folded.get()).to_string())
                    on:click=move |_| folded.update(|folded| *folded = !*folded)
                >
                    {fold}
                    <span class="unseen">" the room"</span>
                </button>
            </div>
            <Watchers crowd/>
            <Reactions lot crowd is_guest=person.is_none()/>
            <Top crowd is_drop/>
            <Chat lot chat person region moderates/>
        </section>
    }
    .erase()
}

#[component]
fn Watchers(crowd: RwSignal<CrowdView>) -> impl IntoView {
    let count = drawn(move || match crowd.read().watchers {
        0 => "Nobody is watching".to_owned(),
        1 => "1 is watching".to_owned(),
        n => format!("{n} are watching"),
    });
    let people = move || {
        let row = |person: &Person| {
            let person = person.clone();
            Row::new(person.id, || {
                view! { <li><PersonName person/></li> }.erase()
            })
        };
        crowd.read().people.iter().map(row).collect()
    };
    view! {
        <details class="watchers">
            <summary data-testid="watchers">
                <Sign lines=PERSON/>
                <span>{count}</span>
            </summary>
            <ul>
                {rows(people)}
            </ul>
        </details>
    }
    .erase()
}

#[component]
fn Reactions(lot: LotId, crowd: RwSignal<CrowdView>, is_guest: bool) -> impl IntoView {
    let live = Live::expect();
    let choices: Vec<_> = Reaction::ALL
        .into_iter()
        .map(|reaction| {
            let total = drawn(move || {
                let total = crowd.read().reactions.get(&reaction).copied();
                total.unwrap_or_default().to_string()
            });
            let react = move |_| {
                let frame = move |id| ClientFrame::React { id, lot, reaction };
                live.ask(frame, move |reply| {
                    if let Reply::Refused(_, why, _) = reply {
                        live.polite.set(why);
                    }
                });
            };
            view! {
                <button
                    type="button"
                    class="reaction"
                    data-testid=format!("reaction-{}", reaction.word())
                    disabled=drawn(move || is_guest || !live.has_started())
                    on:click=react
                >
                    <ReactionSign reaction/>
                    <span class="unseen">{reaction.word()}</span>
                    <span class="reaction-total">{total}</span>
                </button>
            }
            .erase()
        })
        .collect();
    view! {
        <div class="reactions" role="group" aria-label="Reactions">
            {choices}
        </div>
    }
    .erase()
}

/// Who offered or bought most; nothing is shown while nobody did.
#[component]
fn Top(crowd: RwSignal<CrowdView>, is_drop: bool) -> impl IntoView {
    let lines = move || {
        let row = |line: &BoardLine| {
            let BoardLine { who, amount } = line.clone();
            Row::new(format!("{}{}", who.id, amount.minor()), move || {
                view! {
                    <li data-testid="top-line">
                        <PersonName person=who/>
                        <Amount amount/>
                    </li>
                }
                .erase()
            })
        };
        crowd.read().top.iter().map(row).collect()
    };
    view! {
        <div class="top">
            <h3>{if is_drop { "Top buyers" } else { "Top bidders" }}</h3>
            <ol class="board">
                {rows(lines)}
            </ol>
        </div>
    }
    .erase()
}
