//! The tab's one socket: connecting, listening, and handing out what comes in.

mod catch_up;
mod probes;

use super::{
    After, Backoff, Link, Listener, Live, News, Registry, Reply, ServerClock, after_close,
};
use crate::browser;
use crate::lean::{Json, Read};
use catch_up::{answered, ask_for, finish, greet, refused};
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::{SinkExt, StreamExt};
use gloo_net::websocket::futures::WebSocket;
use gloo_net::websocket::{Message, WebSocketError};
use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use probes::{pong, probe};
use shared::Timestamp;
use shared::live::{
    Channel, ClientFrame, Position, SUBPROTOCOL, ServerFrame, ServerMessage, close_code,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The pace of everything that shows time: four times a second.
const TICK: Duration = Duration::from_millis(250);
/// A ping that is not answered for this long, while nothing else comes, means that the connection
/// is dead. A server that reads slowly answers something every three seconds.
const DEAF_MS: i64 = 4_000;
/// The first frame must come within this time.
const FIRST_FRAME_MS: i64 = 10_000;
/// A socket that closed without saying why.
const NO_CLOSE_CODE: u16 = 1006;
/// This tab's own reason, among those after which nobody comes back: the page was made for a
/// person whom the server no longer knows here.
const SIGNED_OUT: u16 = 4_999;

#[derive(Clone)]
struct Handler {
    since: Rc<dyn Fn() -> Option<Position>>,
    news: Rc<dyn Fn(News<'_>) -> u32>,
}

type OnReply = Box<dyn FnOnce(Reply)>;

#[derive(Default)]
struct State {
    started: bool,
    registry: Registry,
    handlers: Vec<(Listener, Handler)>,
    /// Who waits for which frame's answer.
    replies: Vec<(u32, OnReply)>,
    /// Where frames go while connected and greeted.
    outbox: Option<mpsc::UnboundedSender<String>>,
    /// Ends the pause before the next try.
    wake: Option<oneshot::Sender<()>>,
    clock: ServerClock,
    /// Ends the connection.
    cut: Option<oneshot::Sender<()>>,
    /// The code for which this tab ended it.
    cut_for: u16,
    /// When the connection was begun, or its last frame came.
    heard_ms: i64,
    /// Pings on their way, and when each left.
    pings: Vec<(u32, i64)>,
    /// Subscriptions not answered yet, or refused for a while: until there are none, the page may
    /// lack something.
    asked: Vec<(u32, Channel)>,
    /// The pauses before asking again.
    asks_again: Backoff,
    /// What is social and was refused for a while. It is asked for again, but the page is live
    /// without it.
    social: Vec<(u32, Channel)>,
    /// The pauses before asking for it again.
    social_again: Backoff,
    /// The ping that left when everything had been answered. Its pong comes behind all that was
    /// missed.
    last_word: Option<u32>,
    /// Counts probe rounds, so that an old one ends when a new one begins.
    probe_round: u32,
    /// Events since the return, while they are counted.
    caught_up: Option<u32>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

impl State {
    /// Whether the server should have said something by now and has not. Any frame counts: pongs
    /// wait behind what the server reads for a subscription.
    fn is_deaf(&self, now: i64) -> bool {
        let patience = if self.outbox.is_none() {
            FIRST_FRAME_MS
        } else if self.pings.iter().any(|(_, left)| now - left >= DEAF_MS) {
            DEAF_MS
        } else {
            return false;
        };
        now - self.heard_ms >= patience
    }

    fn handler(&self, listener: Listener) -> Option<Handler> {
        let known = self.handlers.iter().find(|(l, _)| *l == listener);
        known.map(|(_, handler)| handler.clone())
    }
}

/// Takes the value of a key out of a short list.
fn take<K: PartialEq, V>(list: &mut Vec<(K, V)>, key: K) -> Option<V> {
    let place = list.iter().position(|(known, _)| *known == key)?;
    Some(list.remove(place).1)
}

fn with<T>(act: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(act)
}

pub(super) fn start(live: Live, address: String) {
    if with(|state| std::mem::replace(&mut state.started, true)) {
        return;
    }
    let tick = move || {
        let now = browser::now_ms();
        live.local_ms.set(now);
        if with(|state| state.is_deaf(now)) {
            end(close_code::SILENT);
        }
        let server = with(|state| state.clock.now(now));
        if server.is_some() {
            live.clock.set(server);
        }
        if live.toasts.with_untracked(|toasts| toasts.is_due(now)) {
            live.toasts.update(|toasts| toasts.sweep(now));
            if browser::is_visible() {
                live.unseen.set(0);
            }
        }
    };
    tick();
    set_interval(tick, TICK);
    browser::on_wake(move || {
        retry_now();
        with(|state| state.clock.forget());
        if with(|state| state.outbox.is_some()) {
            probe();
        }
        if browser::is_visible() {
            live.unseen.set(0);
        }
    });
    browser::on_offline(|| end(close_code::SILENT));
    live.link.set(Link::Down {
        since_ms: browser::now_ms(),
        retry_at_ms: None,
    });
    spawn_local(run(live, address));
}

pub(super) fn seen(live: Live, snapshot: Timestamp) {
    let now = browser::now_ms();
    let server = with(|state| {
        state.clock.start(snapshot, now);
        state.clock.now(now)
    });
    live.local_ms.set(now);
    live.clock.set(server);
}

/// Connects for as long as the tab lives.
async fn run(live: Live, address: String) {
    let mut backoff = Backoff::default();
    loop {
        let code = connection(live, &address).await;
        let lost = with(|state| {
            state.outbox = None;
            state.probe_round = state.probe_round.wrapping_add(1);
            state.pings.clear();
            state.asked.clear();
            state.social.clear();
            state.last_word = None;
            std::mem::take(&mut state.replies)
        });
        for (_, reply) in lost {
            reply(Reply::Lost);
        }
        let now = browser::now_ms();
        let since_ms = live.link.get_untracked().down_since(now);
        let after = after_close(code.code);
        if after == After::Stay {
            live.link.set(if code.code == SIGNED_OUT {
                Link::SignedOut
            } else {
                Link::Ended
            });
            return;
        }
        backoff.stood(code.stood_ms);
        let pause = backoff.pause_ms(after, browser::random_u32());
        live.link.set(Link::Down {
            since_ms,
            retry_at_ms: Some(now + i64::from(pause)),
        });
        let (wake, woken) = oneshot::channel();
        with(|state| state.wake = Some(wake));
        select(TimeoutFuture::new(pause), woken).await;
        live.link.set(Link::Down {
            since_ms,
            retry_at_ms: None,
        });
    }
}

/// How a connection ended.
struct Ended {
    code: u16,
    /// How long it had been live, in milliseconds.
    stood_ms: i64,
}

async fn connection(live: Live, address: &str) -> Ended {
    let mut greeted_ms = None;
    let code = match WebSocket::open_with_protocol(address, SUBPROTOCOL) {
        Ok(socket) => talk(live, socket, &mut greeted_ms).await,
        Err(_refused) => NO_CLOSE_CODE,
    };
    Ended {
        code,
        stood_ms: greeted_ms.map_or(0, |at| browser::now_ms() - at),
    }
}

async fn talk(live: Live, socket: WebSocket, greeted_ms: &mut Option<i64>) -> u16 {
    let (mut sink, mut stream) = socket.split();
    let (outbox, mut frames) = mpsc::unbounded::<String>();
    spawn_local(async move {
        while let Some(frame) = frames.next().await {
            if sink.send(Message::Text(frame)).await.is_err() {
                break;
            }
        }
    });
    let mut outbox = Some(outbox);
    let (cut, mut is_cut) = oneshot::channel();
    with(|state| {
        state.cut = Some(cut);
        state.heard_ms = browser::now_ms();
    });
    loop {
        let next = match select(stream.next(), &mut is_cut).await {
            Either::Left((next, _)) => next,
            Either::Right(_) => return with(|state| state.cut_for),
        };
        match next {
            Some(Ok(Message::Text(text))) => {
                let now = browser::now_ms();
                with(|state| state.heard_ms = now);
                if let Some(outbox) = outbox.take() {
                    with(|state| state.outbox = Some(outbox));
                    *greeted_ms = Some(now);
                    greet(live);
                }
                receive(live, &text);
            }
            Some(Ok(Message::Bytes(_))) | Some(Err(WebSocketError::ConnectionError)) => {}
            Some(Err(WebSocketError::ConnectionClose(event))) => return event.code,
            Some(Err(_send_error)) => {}
            None => return NO_CLOSE_CODE,
        }
    }
}

/// Ends the connection, if there is one.
fn end(code: u16) {
    let cut = with(|state| {
        state.cut_for = code;
        state.cut.take()
    });
    if let Some(cut) = cut {
        // It may have ended by itself.
        let _gone = cut.send(());
    }
}

fn send(frame: &ClientFrame) -> bool {
    let Ok(text) = serde_json::to_string(frame) else {
        return false;
    };
    let outbox = with(|state| state.outbox.clone());
    outbox.is_some_and(|outbox| outbox.unbounded_send(text).is_ok())
}

fn receive(live: Live, text: &str) {
    // A frame of a newer server that this page does not know is no reason to stop listening.
    let Some(frame) = Json::parse(text).and_then(|json| ServerFrame::read(&json)) else {
        return;
    };
    match frame.message {
        ServerMessage::Hello { .. } => {}
        ServerMessage::Subscribed { id, .. } => {
            answered(id);
            finish(live);
        }
        ServerMessage::Done { id } => answer(id, Reply::Done),
        ServerMessage::Error {
            id,
            code,
            message,
            temporary,
            until,
        } => {
            if let Some(id) = id {
                with(|state| take(&mut state.pings, id));
                refused(live, id, code, temporary);
                answer(id, Reply::Refused(code, message, until));
            }
        }
        ServerMessage::History {
            id,
            messages,
            before,
        } => answer(id, Reply::History(messages, before)),
        ServerMessage::Pong { id } => pong(live, id, frame.server_time),
        ServerMessage::Ping => {
            let id = with(|state| state.registry.frame_id());
            send(&ClientFrame::Ping { id });
        }
        ServerMessage::Snapshot { channel, snapshot } => {
            hand_out(channel, News::Snapshot(&snapshot));
        }
        ServerMessage::Push {
            channel,
            position,
            push,
        } => hand_out(channel, News::Push(position, &push)),
        ServerMessage::Resync { channel } => resync(channel),
    }
}

fn answer(id: u32, reply: Reply) {
    if let Some(waiting) = with(|state| take(&mut state.replies, id)) {
        waiting(reply);
    }
}

fn handlers(channel: Channel) -> Vec<Handler> {
    with(|state| {
        let listeners = state.registry.listeners(channel);
        listeners
            .into_iter()
            .filter_map(|l| state.handler(l))
            .collect()
    })
}

fn hand_out(channel: Channel, news: News<'_>) {
    let handlers = handlers(channel);
    // Handlers run without the state borrowed: they may join, leave and send.
    let new = handlers.iter().map(|h| (h.news)(news)).max().unwrap_or(0);
    with(|state| {
        if let Some(events) = &mut state.caught_up {
            *events = events.saturating_add(new);
        }
    });
}

pub(super) fn join(
    channel: Channel,
    since: impl Fn() -> Option<Position> + 'static,
    news: impl Fn(News<'_>) -> u32 + 'static,
) -> Option<Listener> {
    let from = since();
    let (listener, frame) = with(|state| state.registry.join(channel, from));
    let handler = Handler {
        since: Rc::new(since),
        news: Rc::new(news),
    };
    with(|state| state.handlers.push((listener, handler)));
    ask_for(frame);
    Some(listener)
}

pub(super) fn leave(listener: Listener) {
    let frame = with(|state| {
        take(&mut state.handlers, listener);
        state.registry.leave(listener)
    });
    if let Some(frame) = frame {
        send(&frame);
    }
}

pub(super) fn resync(channel: Channel) {
    let frame = with(|state| {
        let heard = state.registry.is_heard(channel);
        heard.then(|| state.registry.subscribe(channel, None))
    });
    if let Some(frame) = frame {
        ask_for(frame);
    }
}

pub(super) fn ask(frame: Box<dyn FnOnce(u32) -> ClientFrame>, reply: OnReply) {
    let id = with(|state| state.registry.frame_id());
    if send(&frame(id)) {
        with(|state| state.replies.push((id, reply)));
    } else {
        reply(Reply::Lost);
    }
}

pub(super) fn retry_now() {
    if let Some(wake) = with(|state| state.wake.take()) {
        // The one who waits may have gone on by itself.
        let _gone = wake.send(());
    }
}
