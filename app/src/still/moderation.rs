//! A room's moderation: slow mode, who is muted, messages, and what was done. Plain forms that lead
//! back here.

use crate::acting::Acting;
use crate::actions::desk::Desk;
use crate::actions::read::server::unavailable;
use crate::actions::{PageForm, ReadError};
use crate::components::PersonName;
use crate::erase::{Erase, Plain};
use crate::ports::{ModerationView, Viewer};
use crate::words;
use leptos::prelude::*;
use shared::LotId;
use shared::chat::{AuditLine, Moderation, Muted};
use shared::view::{ChatMessage, ChatView};

/// The choices of slow mode, in seconds.
const SLOW: [(u32, &str); 6] = [
    (0, "Off"),
    (5, "5 seconds"),
    (15, "15 seconds"),
    (30, "30 seconds"),
    (60, "1 minute"),
    (300, "5 minutes"),
];

/// The choices of a mute, in seconds; empty has no end.
const MUTES: [(&str, &str); 4] = [
    ("600", "for 10 minutes"),
    ("3600", "for an hour"),
    ("86400", "for a day"),
    ("", "until the end"),
];

/// What the forms of a page have in common.
struct Forms<'a> {
    lot: LotId,
    acting: &'a Acting,
}

impl Forms<'_> {
    /// A form that does something, with its own fields and its button.
    fn form(&self, what: &'static str, fields: Plain, button: &'static str) -> Plain {
        view! {
            <form method="post" action="/api/moderate" class="moderate">
                <input type="hidden" name="lot" value=self.lot.to_string()/>
                <input type="hidden" name="acting_as" value=self.acting.as_field()/>
                <input type="hidden" name="acting_in" value=self.acting.in_field()/>
                <input type="hidden" name="do" value=what/>
                {fields}
                <button class="button">{button}</button>
            </form>
        }
        .erase()
    }
}

/// The page of a lot's room: its title and what it shows.
pub async fn moderation(
    desk: &Desk,
    form: &PageForm,
    (lot, viewer, acting): (LotId, &Viewer, &Acting),
) -> Result<(String, String), ReadError> {
    let room = desk.ports().ledger.room(lot).await.map_err(unavailable)?;
    let room = room.ok_or(ReadError::NotFound)?;
    let title = format!("Moderation: {}", room.lot.title);
    let back = acting.link(&format!("/lots/{lot}"));
    let shown = if viewer.moderates(room.lot.seller.id) {
        let social = &desk.ports().social;
        let before = form.before.parse().ok();
        let view = social.moderation(lot).await;
        let chat = social.chat(lot, before).await;
        match (view, chat) {
            (Ok(view), Ok(chat)) => tools(&Forms { lot, acting }, view, chat),
            (Err(_), _) | (_, Err(_)) => said("The room is slow to answer. Bids are not affected."),
        }
    } else {
        desk.set_status(403);
        said("The lot's seller and the house's operators moderate this room.")
    };
    let problem = sentence_of(&form.problem).map(said);
    let html = view! {
        <h1 class="page-name" dir="auto">{title.clone()}</h1>
        <p><a href=back>"Back to the room"</a></p>
        {problem}
        {shown}
    };
    Ok((title, html.erase().to_html()))
}

fn said(sentence: &'static str) -> Plain {
    view! { <p class="notice" role="status">{sentence}</p> }.erase()
}

/// Why a form of this page did nothing, in words.
fn sentence_of(code: &str) -> Option<&'static str> {
    Some(match code {
        "" => return None,
        "sign_in" => "Step in as somebody first.",
        "forbidden" => "The lot's seller and the operators may do this.",
        "not_found" => "That is not there any more.",
        "invalid_duration" => "The duration is too short or too long.",
        "malformed" => "The form could not be read. Load the page again.",
        _ => "The room did not answer in time. Try again.",
    })
}

fn tools(forms: &Forms<'_>, view: ModerationView, chat: ChatView) -> Plain {
    let slow: Vec<_> = SLOW
        .into_iter()
        .map(|(seconds, name)| {
            let chosen = seconds == view.slow_s;
            view! { <option value=seconds.to_string() selected=chosen>{name}</option> }.erase()
        })
        .collect();
    let slow = view! {
        <label class="field">
            <span>"Between two messages of one person"</span>
            <select name="seconds" data-testid="slow-mode">{slow}</select>
        </label>
    }
    .erase();
    view! {
        <div class="moderation">
            <section class="panel" aria-labelledby="slow-name">
                <h2 id="slow-name">"Slow mode"</h2>
                {forms.form("slow", slow, "Set")}
            </section>
            <section class="panel" aria-labelledby="muted-name">
                <h2 id="muted-name">"Muted"</h2>
                {muted(forms, view.muted)}
            </section>
            <section class="panel" aria-labelledby="messages-name">
                <h2 id="messages-name">"Latest messages"</h2>
                {messages(forms, chat)}
            </section>
            <section class="panel" aria-labelledby="audit-name">
                <h2 id="audit-name">"What was done"</h2>
                {audit(view.audit)}
            </section>
        </div>
    }
    .erase()
}

fn muted(forms: &Forms<'_>, muted: Vec<Muted>) -> Plain {
    if muted.is_empty() {
        return view! { <p class="empty">"Nobody is muted."</p> }.erase();
    }
    let lines: Vec<_> = muted
        .into_iter()
        .map(|Muted { who, until }| {
            let until = until.map_or_else(
                || "until the end".to_owned(),
                |until| format!("until {}", words::day_and_clock(until)),
            );
            let id = who.id.to_string();
            let whom = view! { <input type="hidden" name="who" value=id/> }.erase();
            view! {
                <li data-testid="muted">
                    <PersonName person=who/> " " {until}
                    {forms.form("unmute", whom, "Unmute")}
                </li>
            }
            .erase()
        })
        .collect();
    view! { <ul class="moderated">{lines}</ul> }.erase()
}

fn messages(forms: &Forms<'_>, chat: ChatView) -> Plain {
    let lines: Vec<_> = chat
        .messages
        .into_iter()
        .rev()
        .map(|line| message(forms, line))
        .collect();
    let older = chat.before.map(|before| {
        let before = before.to_string();
        let path = format!("/lots/{}/moderation", forms.lot);
        let href = forms.acting.link_with(&path, &[("before", &before)]);
        view! { <a class="more" href=href>"Older"</a> }.erase()
    });
    let nothing = lines
        .is_empty()
        .then(|| view! { <p class="empty">"No messages."</p> }.erase());
    view! {
        {nothing}
        <ol class="moderated">{lines}</ol>
        {older}
    }
    .erase()
}

fn message(forms: &Forms<'_>, line: ChatMessage) -> Plain {
    let id = line.id.to_string();
    let named = |id: String| view! { <input type="hidden" name="message" value=id/> }.erase();
    let lengths: Vec<_> = MUTES
        .into_iter()
        .map(|(seconds, name)| view! { <option value=seconds>{name}</option> }.erase())
        .collect();
    let mute = view! {
        {named(id.clone())}
        <label>
            <span class="unseen">"For how long"</span>
            <select name="seconds">{lengths}</select>
        </label>
    }
    .erase();
    view! {
        <li data-testid="moderated-message">
            <p class="chat-who">
                <PersonName person=line.who/>
                <time datetime=words::iso(line.at)>{words::day_and_clock(line.at)}</time>
            </p>
            <p class="chat-text" dir="auto">{line.text}</p>
            <div class="acts">
                {forms.form("remove", named(id), "Remove")} {forms.form("mute", mute, "Mute")}
            </div>
        </li>
    }
    .erase()
}

fn audit(lines: Vec<AuditLine>) -> Plain {
    if lines.is_empty() {
        return view! { <p class="empty">"Nothing yet."</p> }.erase();
    }
    let lines: Vec<_> = lines
        .into_iter()
        .map(|line| {
            let done = done(&line);
            view! {
                <li data-testid="audit-line">
                    <time datetime=words::iso(line.at)>{words::day_and_clock(line.at)}</time>
                    " " <bdi>{line.by.name}</bdi> " " {done}
                </li>
            }
            .erase()
        })
        .collect();
    view! { <ol class="moderated">{lines}</ol> }.erase()
}

/// What a line of the audit says after the name of who did it.
fn done(line: &AuditLine) -> String {
    let whom = line.whom.as_ref().map_or("somebody", |who| &who.name);
    match &line.what {
        Moderation::Remove { .. } => format!("removed a message of {whom}."),
        Moderation::Mute { seconds: None, .. } => format!("muted {whom} until the end."),
        Moderation::Mute {
            seconds: Some(seconds),
            ..
        } => format!(
            "muted {whom} for {}.",
            words::span(i64::from(*seconds) * 1_000)
        ),
        Moderation::Unmute { .. } => format!("let {whom} speak again."),
        Moderation::Slow { seconds: 0 } => "switched slow mode off.".to_owned(),
        Moderation::Slow { seconds } => format!(
            "set slow mode to {}.",
            words::span(i64::from(*seconds) * 1_000)
        ),
    }
}
