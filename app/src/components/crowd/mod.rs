//! The crowd of a room: who is here, what they feel, what they say.

mod chat_log;

use super::icons::ReactionSign;
use super::{PersonName, Sign};
use crate::browser;
use crate::components::icons::PERSON;
use crate::erase::{Erase, Row, drawn, kept, only, react, rows};
use crate::live::{Live, News, Reply};
use crate::words;
use chat_log::{ChatLine, ChatLog, Sent};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use shared::live::{Channel, Push, Snapshot};
use shared::view::{ChatView, CrowdView, MAX_CHAT_GRAPHEMES, Person, Reaction};
use shared::{LotId, Region};

/// The element that scrolls.
const LOG_ID: &str = "chat-log";
/// From this many characters on, what is left is shown.
const SHOW_LEFT_FROM: usize = 240;

/// The crowd column.
#[component]
pub fn Crowd(
    /// The room's lot.
    lot: LotId,
    /// The page's messages and rules.
    chat: ChatView,
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
            <Chat lot chat person region/>
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
                live.react(lot, reaction, move |reply| {
                    if let Reply::Refused(_, why) = reply {
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

#[component]
fn Chat(lot: LotId, chat: ChatView, person: Option<Person>, region: Region) -> impl IntoView {
    let live = Live::expect();
    let log = RwSignal::new(ChatLog::of(&chat));
    let unread = RwSignal::new(0_u32);
    let grew = move |own: bool| {
        if own || browser::is_at_end(LOG_ID) {
            // After the new line has been drawn.
            request_animation_frame(|| browser::scroll_to_end(LOG_ID));
            unread.set(0);
        } else {
            unread.update(|unread| *unread += 1);
        }
    };
    react(move || {
        browser::scroll_to_end(LOG_ID);
        let hear = move |news: News<'_>| match news {
            News::Snapshot(Snapshot::Chat(view)) => {
                log.try_update(|log| log.restart(view)).unwrap_or(0)
            }
            News::Push(_, Push::Removed { message }) => {
                log.try_update(|log| log.remove(*message));
                0
            }
            News::Push(_, Push::Chat(message)) => {
                let is_new = log.try_update(|log| log.take(message)).unwrap_or(false);
                if is_new {
                    grew(false);
                }
                u32::from(is_new)
            }
            News::Snapshot(_) | News::Push(..) => 0,
        };
        let listener = live.join(Channel::Chat(lot), || None, hear);
        on_cleanup(move || live.leave(listener));
    });
    let is_empty = kept(move || log.read().lines().is_empty());
    let messages = move || {
        let row = |line: &ChatLine| {
            let line = line.clone();
            Row::new(line.drawn_key(), || view! { <Message line/> }.erase())
        };
        log.read().lines().iter().map(row).collect()
    };
    view! {
        <div class="chat">
            <div
                id=LOG_ID
                class="chat-log"
                role="log"
                aria-label="Chat"
                tabindex="0"
                on:scroll=move |_| {
                    if browser::is_at_end(LOG_ID) {
                        unread.set(0);
                    }
                }
            >
                {only(move || is_empty.get(), move || view! { <p class="empty">"Nobody has said anything yet."</p> }.erase())}
                {rows(messages)}
            </div>
            {only(move || unread.get() > 0, move || view! { <Unread unread/> }.erase())}
            {match person {
                Some(person) => {
                    view! { <Write lot log person region grew=Callback::new(move |()| grew(true))/> }
                        .erase()
                }
                None => view! { <p class="hint">"Choose who you are to join in."</p> }.erase(),
            }}
        </div>
    }
    .erase()
}

#[component]
fn Unread(unread: RwSignal<u32>) -> impl IntoView {
    view! {
        <button
            type="button"
            class="chat-new"
            on:click=move |_| {
                browser::scroll_to_end(LOG_ID);
                unread.set(0);
            }
        >
            {drawn(move || format!("{} new", unread.get()))}
        </button>
    }
    .erase()
}

#[component]
fn Message(line: ChatLine) -> impl IntoView {
    let (state, note) = match &line.sent {
        Sent::Kept => ("kept", None),
        Sent::Pending => ("pending", Some("sending…".to_owned())),
        Sent::Failed(why) => ("failed", Some(why.clone())),
    };
    let kept = line.sent == Sent::Kept;
    let at = kept.then(|| (words::iso(line.at), words::clock(line.at)));
    view! {
        <div class="chat-message" data-testid="chat-message" data-sent=state>
            <p class="chat-who">
                <PersonName person=line.who/>
                <span class="chat-where">{line.region.city()}</span>
                {at.map(|(iso, at)| view! { <time datetime=iso>{at}</time> }.erase())}
            </p>
            <p class="chat-text" dir="auto">
                {line.text}
            </p>
            {note.map(|note| view! { <p class="chat-note">{note}</p> }.erase())}
        </div>
    }
    .erase()
}

#[component]
fn Write(
    lot: LotId,
    log: RwSignal<ChatLog>,
    person: Person,
    region: Region,
    grew: Callback<()>,
) -> impl IntoView {
    let live = Live::expect();
    let text = RwSignal::new(String::new());
    let is_stale = live.is_stale();
    let send = move |event: SubmitEvent| {
        event.prevent_default();
        let said = text.get_untracked().trim().to_owned();
        if said.is_empty() || is_stale.get_untracked() {
            return;
        }
        let client_id = browser::fresh_id();
        log.update(|log| log.send(client_id.clone(), person.clone(), region, said.clone()));
        text.set(String::new());
        grew.run(());
        let own = client_id.clone();
        live.chat(lot, client_id, said, move |reply| {
            let why = match reply {
                // The message itself comes over the channel, like everybody's.
                Reply::Done => return,
                Reply::Refused(_, why) => why,
                Reply::Lost => "Not sent: the connection broke.".to_owned(),
            };
            log.try_update(|log| log.fail(&own, why));
        });
    };
    let left = drawn(move || {
        let (length, most) = (text.read().chars().count(), MAX_CHAT_GRAPHEMES);
        if length > most {
            format!("{} too many", length - most)
        } else if length >= SHOW_LEFT_FROM {
            format!("{} left", most - length)
        } else {
            String::new()
        }
    });
    view! {
        <form class="chat-write" on:submit=send>
            <label>
                <span class="unseen">"Say something to the room"</span>
                <input
                    type="text"
                    autocomplete="off"
                    placeholder="Say something"
                    dir="auto"
                    data-testid="chat-input"
                    disabled=drawn(move || !live.has_started())
                    prop:value=drawn(move || text.get())
                    on:input=move |event| text.set(event_target_value(&event))
                />
            </label>
            <button
                class="button"
                data-testid="chat-send"
                disabled=drawn(move || !live.has_started() || is_stale.get())
            >
                "Send"
            </button>
            <span class="chat-left">{left}</span>
        </form>
    }
    .erase()
}
