//! From connected to live: everything that is listened to is asked for, and until all of it has been
//! answered and has come the page does not call itself live.

use super::probes::probe;
use super::{SIGNED_OUT, end, handlers, send, take, with};
use crate::browser;
use crate::live::{After, Backoff, Link, Live, Tone};
use leptos::prelude::*;
use shared::live::{Channel, ClientFrame, ErrorCode};
use std::time::Duration;

/// The server's first frame has come: everything that is listened to is asked for. Nothing is
/// called live before all of it has been answered.
pub(super) fn greet(live: Live) {
    with(|state| {
        state.clock.forget();
        state.caught_up = Some(0);
    });
    // Before the subscriptions, so that the first pong does not wait for what they read.
    probe();
    for channel in with(|state| state.registry.channels()) {
        subscribe(channel);
    }
    finish(live);
}

/// Asks for a channel from where the page is.
fn subscribe(channel: Channel) {
    if let Some(handler) = handlers(channel).first() {
        let since = (handler.since)();
        ask_for(with(|state| state.registry.subscribe(channel, since)));
    }
}

/// Sends a subscription and remembers it until it is answered.
pub(super) fn ask_for(frame: ClientFrame) {
    if let ClientFrame::Subscribe { id, channel, .. } = frame
        && send(&frame)
    {
        with(|state| state.asked.push((id, channel)));
    }
}

/// A subscription has been answered.
pub(super) fn answered(id: u32) {
    with(|state| {
        let channel = take(&mut state.asked, id);
        if channel.is_some_and(is_social) {
            state.social_again = Backoff::default();
        }
    });
}

/// Whether the page is live without it: bids do not wait for what people say.
const fn is_social(channel: Channel) -> bool {
    matches!(channel, Channel::Chat(_) | Channel::Crowd(_))
}

/// Once everything has been answered, a last ping asks whether all that was missed is here.
pub(super) fn finish(live: Live) {
    if live.link.get_untracked() != Link::Live && with(|state| state.asked.is_empty()) {
        let id = with(|state| state.registry.frame_id());
        with(|state| state.last_word = Some(id));
        send(&ClientFrame::Ping { id });
    }
}

/// Everything has been answered and has come.
pub(super) fn settle(live: Live) {
    let events = with(|state| {
        state.last_word = None;
        state.asks_again = Backoff::default();
        state.caught_up.take()
    });
    let now = browser::now_ms();
    let was_stale = live.link.get_untracked().shown(now).is_stale();
    live.link.set(Link::Live);
    if was_stale {
        let said = caught_up(events.unwrap_or_default());
        live.polite.set(said.clone());
        live.toast(said, None, Tone::Good);
    }
}

/// A subscription was refused. What may work later is asked for again, and meanwhile the page is
/// not live, since it would not hear of a change.
pub(super) fn refused(live: Live, id: u32, code: ErrorCode, temporary: bool) {
    let Some(channel) = with(|state| take(&mut state.asked, id)) else {
        return;
    };
    if code == ErrorCode::SignIn {
        return end(SIGNED_OUT);
    }
    if !temporary {
        return finish(live);
    }
    if is_social(channel) {
        wait_for_social(live, id, channel);
        return finish(live);
    }
    let pause = with(|state| {
        state.asked.push((id, channel));
        state.caught_up.get_or_insert(0);
        let random = browser::random_u32();
        state.asks_again.pause_ms(After::Reconnect, random)
    });
    let link = live.link.get_untracked();
    live.link.set(Link::Down {
        since_ms: link.down_since(browser::now_ms()),
        retry_at_ms: None,
    });
    let again = move || {
        // Another connection has asked for everything anew.
        if with(|state| take(&mut state.asked, id)).is_some() {
            subscribe(channel);
            finish(live);
        }
    };
    set_timeout(again, Duration::from_millis(u64::from(pause)));
}

/// Asks again for what a room says, after a pause.
fn wait_for_social(live: Live, id: u32, channel: Channel) {
    if let Channel::Chat(_) = channel {
        live.chat_is_down.set(true);
    }
    let pause = with(|state| {
        state.social.retain(|(_, waits)| *waits != channel);
        state.social.push((id, channel));
        let random = browser::random_u32();
        state.social_again.pause_ms(After::Reconnect, random)
    });
    let again = move || {
        if with(|state| take(&mut state.social, id)).is_some() {
            subscribe(channel);
        }
    };
    set_timeout(again, Duration::from_millis(u64::from(pause)));
}

fn caught_up(events: u32) -> String {
    match events {
        0 => "Connected again. You missed nothing.".to_owned(),
        1 => "Connected again and caught up, 1 event.".to_owned(),
        n => format!("Connected again and caught up, {n} events."),
    }
}
