//! What a room says, and the box to say something.

use super::super::PersonName;
use super::chat_log::{ChatLine, ChatLog, Sent};
use crate::browser;
use crate::erase::{Erase, Plain, Row, drawn, kept, only, react, rows};
use crate::house::House;
use crate::live::{Live, News, Reply, Tone};
use crate::words;
use leptos::ev::{MouseEvent, SubmitEvent};
use leptos::prelude::*;
use shared::chat::Moderation;
use shared::live::{Channel, ClientFrame, ErrorCode, Push, Snapshot};
use shared::view::{ChatView, MAX_CHAT_GRAPHEMES, Person};
use shared::{LotId, PrincipalId, Region, Timestamp};

/// The element that scrolls.
const LOG_ID: &str = "chat-log";
/// From this many characters on, what is left is shown.
const SHOW_LEFT_FROM: usize = 240;
/// How long a mute from the menu lasts, in seconds; the page of the room's moderation has others.
const MUTE_S: u32 = 600;

/// What who looks may do in the room.
#[derive(Clone, Copy)]
struct Rights {
    lot: LotId,
    own: Option<PrincipalId>,
    moderates: bool,
}

/// The chat of a room.
#[component]
pub fn Chat(
    /// The room's lot.
    lot: LotId,
    /// The page's messages and rules.
    chat: ChatView,
    /// Who looks.
    person: Option<Person>,
    /// Where they act.
    region: Region,
    /// Whether they moderate the room.
    moderates: bool,
) -> impl IntoView {
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
        let hear = move |news: News<'_>| hear(live, log, grew, news);
        let listener = live.join(Channel::Chat(lot), || None, hear);
        on_cleanup(move || live.leave(listener));
    });
    let rights = Rights {
        lot,
        own: person.as_ref().map(|person| person.id),
        moderates,
    };
    let is_empty = kept(move || log.read().lines().is_empty());
    let messages = move || {
        let row = |line: &ChatLine| {
            let line = line.clone();
            Row::new(line.drawn_key(), move || {
                view! { <Message line rights/> }.erase()
            })
        };
        log.read().lines().iter().map(row).collect()
    };
    let has_older = move || log.read().before().is_some();
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
                {only(has_older, move || view! { <Earlier lot log/> }.erase())}
                {only(move || is_empty.get(), move || view! { <p class="empty">"Nobody has said anything yet."</p> }.erase())}
                {rows(messages)}
            </div>
            {only(move || unread.get() > 0, move || view! { <Unread unread/> }.erase())}
            {only(move || live.chat_is_down.get(), down)}
            {match person {
                Some(person) => {
                    view! {
                        <Write rights log person region grew=Callback::new(move |()| grew(true))/>
                    }
                        .erase()
                }
                None => view! { <p class="hint">"Choose who you are to join in."</p> }.erase(),
            }}
            {moderates
                .then(|| {
                    let house = House::expect();
                    let href = house.link(&format!("/lots/{lot}/moderation"));
                    view! { <a class="more" href=href>"Moderate this room"</a> }.erase()
                })}
        </div>
    }
    .erase()
}

fn down() -> Plain {
    view! {
        <p class="chat-down" role="status" data-testid="chat-down">
            "Chat is slow to answer. Bids are not affected."
        </p>
    }
    .erase()
}

/// Takes in what the room hears; answers how many events were new.
fn hear(live: Live, log: RwSignal<ChatLog>, grew: impl Fn(bool), news: News<'_>) -> u32 {
    match news {
        News::Snapshot(Snapshot::Chat(view)) => {
            live.chat_is_down.set(false);
            log.try_update(|log| log.restart(view)).unwrap_or(0)
        }
        News::Push(_, Push::Chat(message)) => {
            let is_new = log.try_update(|log| log.take(message)).unwrap_or(false);
            if is_new {
                grew(false);
            }
            u32::from(is_new)
        }
        News::Push(_, Push::Removed { message }) => {
            log.try_update(|log| log.remove(*message));
            0
        }
        News::Push(_, Push::Slow { seconds }) => {
            log.try_update(|log| log.set_slow(*seconds));
            0
        }
        News::Snapshot(_) | News::Push(..) => 0,
    }
}

/// The way to older messages: a link without scripts, with them they come in above the others.
#[component]
fn Earlier(lot: LotId, log: RwSignal<ChatLog>) -> impl IntoView {
    let live = Live::expect();
    let before = log.with_untracked(ChatLog::before);
    let text = before.map(|before| before.to_string()).unwrap_or_default();
    let acting = House::expect().acting();
    let href = acting.link_with(&format!("/lots/{lot}"), &[("before", &text)]);
    let read = move |event: MouseEvent| {
        let Some(before) = log.with_untracked(ChatLog::before) else {
            return;
        };
        event.prevent_default();
        let frame = move |id| ClientFrame::History { id, lot, before };
        live.ask(frame, move |reply| match reply {
            Reply::History(messages, next) => {
                browser::keep_place(LOG_ID);
                log.try_update(|log| log.take_older(&messages, next));
            }
            Reply::Refused(_, why, _) => live.polite.set(why),
            Reply::Done | Reply::Lost => {}
        });
    };
    view! {
        <a class="chat-earlier" href=href rel="external" data-testid="chat-earlier" on:click=read>
            "Earlier messages"
        </a>
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
fn Message(line: ChatLine, rights: Rights) -> impl IntoView {
    let (state, note) = match &line.sent {
        Sent::Kept => ("kept", None),
        Sent::Pending => ("pending", Some("sending…".to_owned())),
        Sent::Failed(why) => ("failed", Some(why.clone())),
    };
    let kept = line.sent == Sent::Kept;
    let at = kept.then(|| (words::iso(line.at), words::clock(line.at)));
    let menu = menu(&line, rights);
    view! {
        <div class="chat-message" data-testid="chat-message" data-sent=state>
            <p class="chat-who">
                <PersonName person=line.who/>
                <span class="chat-where">{line.region.city()}</span>
                {at.map(|(iso, at)| view! { <time datetime=iso>{at}</time> }.erase())}
            </p>
            {menu}
            <p class="chat-text" dir="auto">
                {line.text}
            </p>
            {note.map(|note| view! { <p class="chat-note">{note}</p> }.erase())}
        </div>
    }
    .erase()
}

/// What who looks may do with a message, if anything.
fn menu(line: &ChatLine, rights: Rights) -> Option<Plain> {
    let message = line.id?;
    let is_own = rights.own == Some(line.who.id);
    if !rights.moderates && !is_own {
        return None;
    }
    let name = format!("Actions on the message of {}", line.who.name);
    let lot = rights.lot;
    let mute = (!is_own).then(|| {
        let seconds = Some(MUTE_S);
        act(
            lot,
            "Mute for 10 minutes",
            Moderation::Mute { message, seconds },
        )
    });
    Some(
        view! {
            <details class="chat-menu" data-testid="chat-menu">
                <summary aria-label=name>"⋯"</summary>
                {act(lot, "Remove", Moderation::Remove { message })}
                {mute}
            </details>
        }
        .erase(),
    )
}

/// A button that moderates.
fn act(lot: LotId, name: &'static str, action: Moderation) -> Plain {
    let live = Live::expect();
    let press = move |_| {
        let action = action.clone();
        let frame = move |id| ClientFrame::Moderate { id, lot, action };
        live.ask(frame, move |reply| match reply {
            Reply::Done => live.toast(format!("{name}: done."), None, Tone::Good),
            Reply::Refused(_, why, _) => live.toast(why, None, Tone::Bad),
            Reply::History(..) | Reply::Lost => {}
        });
    };
    view! {
        <button type="button" on:click=press>
            {name}
        </button>
    }
    .erase()
}

/// What is in the box and was not taken: the text and its client id. The same text is sent again
/// under the same id, so it cannot be there twice.
type Unsent = Option<(String, String)>;

/// The box to say something.
#[derive(Clone, Copy)]
struct Draft {
    lot: LotId,
    moderates: bool,
    log: RwSignal<ChatLog>,
    text: RwSignal<String>,
    unsent: RwSignal<Unsent>,
    why_not: RwSignal<String>,
    slow_until: RwSignal<Option<Timestamp>>,
}

impl Draft {
    /// Seconds until slow mode allows the next message.
    fn left_s(self, live: Live) -> Memo<Option<i64>> {
        kept(move || {
            let (until, now) = self.slow_until.get().zip(live.clock.get())?;
            let left_ms = until.since_ms(now);
            (left_ms > 0).then_some((left_ms + 999) / 1_000)
        })
    }

    /// Empties the box once what was not taken is in the room after all.
    fn watch(self) {
        react(move || {
            let arrived = self.unsent.with(|unsent| {
                let id = unsent.as_ref().map(|(_, id)| id);
                id.is_some_and(|id| self.log.read().has(id))
            });
            if arrived {
                self.clear();
            }
        });
    }

    fn clear(self) {
        self.unsent.set(None);
        self.text.set(String::new());
        self.why_not.set(String::new());
    }

    /// The client id for a text: the one that it had, or a fresh one.
    fn client_id(self, said: &str) -> String {
        let again = self.unsent.try_update(Option::take).flatten();
        let again = again.filter(|(text, _)| text == said);
        again.map_or_else(browser::fresh_id, |(_, id)| id)
    }

    /// Takes the answer to a message.
    fn answered(self, live: Live, said: String, own: String, reply: Reply) {
        let (why, until) = match reply {
            // The message itself comes over the channel, like everybody's.
            Reply::Done | Reply::History(..) => {
                let slow_ms = i64::from(self.log.with_untracked(ChatLog::slow_s)) * 1_000;
                let now = live.clock.get_untracked().filter(|_| !self.moderates);
                self.slow_until.set(now.map(|now| now.plus_ms(slow_ms)));
                return;
            }
            Reply::Refused(code, why, until) => {
                if code == ErrorCode::Unavailable {
                    live.chat_is_down.set(true);
                    live.resync(Channel::Chat(self.lot));
                }
                (why, until.filter(|_| code == ErrorCode::SlowMode))
            }
            Reply::Lost => ("Not sent: the connection broke.".to_owned(), None),
        };
        self.slow_until.set(until);
        if self.text.with_untracked(String::is_empty) {
            self.log.try_update(|log| log.take_back(&own));
            self.text.set(said.clone());
            self.unsent.set(Some((said, own)));
            self.why_not.set(why);
        } else {
            self.log.try_update(|log| log.fail(&own, why));
        }
    }

    /// What stands under the box.
    fn note(self, left_s: Option<i64>) -> String {
        let (length, most) = (self.text.read().chars().count(), MAX_CHAT_GRAPHEMES);
        let slow_s = self.log.with(ChatLog::slow_s);
        if let Some(left_s) = left_s {
            format!("Slow mode: {left_s} s")
        } else if !self.why_not.read().is_empty() {
            self.why_not.get()
        } else if length > most {
            format!("{} too many", length - most)
        } else if length >= SHOW_LEFT_FROM {
            format!("{} left", most - length)
        } else if slow_s > 0 {
            format!("Slow mode: a message every {slow_s} s")
        } else {
            String::new()
        }
    }
}

#[component]
fn Write(
    rights: Rights,
    log: RwSignal<ChatLog>,
    person: Person,
    region: Region,
    grew: Callback<()>,
) -> impl IntoView {
    let live = Live::expect();
    let Rights { lot, moderates, .. } = rights;
    let draft = Draft {
        lot,
        moderates,
        log,
        text: RwSignal::default(),
        unsent: RwSignal::default(),
        why_not: RwSignal::default(),
        slow_until: RwSignal::default(),
    };
    draft.watch();
    let left_s = draft.left_s(live);
    let is_stale = live.is_stale();
    let waits = kept(move || is_stale.get() || left_s.get().is_some());
    let send = move |event: SubmitEvent| {
        event.prevent_default();
        let said = draft.text.get_untracked().trim().to_owned();
        if said.is_empty() || waits.get_untracked() {
            return;
        }
        let client_id = draft.client_id(&said);
        let own = client_id.clone();
        log.update(|log| log.send(own.clone(), person.clone(), region, said.clone()));
        draft.clear();
        grew.run(());
        let text = said.clone();
        let frame = move |id| ClientFrame::Chat {
            id,
            lot,
            client_id,
            text,
        };
        live.ask(frame, move |reply| draft.answered(live, said, own, reply));
    };
    let name = move || {
        if draft.unsent.read().is_some() {
            "Send again"
        } else {
            "Send"
        }
    };
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
                    prop:value=drawn(move || draft.text.get())
                    on:input=move |event| draft.text.set(event_target_value(&event))
                />
            </label>
            <button
                class="button"
                data-testid="chat-send"
                disabled=drawn(move || !live.has_started() || waits.get())
            >
                {drawn(name)}
            </button>
            <span class="chat-left" role="status" data-testid="chat-left">
                {drawn(move || draft.note(left_s.get()))}
            </span>
        </form>
    }
    .erase()
}
