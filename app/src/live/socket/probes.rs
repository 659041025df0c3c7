//! Pings: they measure the server's clock and tell that the connection lives.

use super::catch_up::settle;
use super::{send, take, with};
use crate::browser;
use crate::live::Live;
use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use shared::Timestamp;
use shared::live::ClientFrame;

/// Quick probes at the start of a connection, and the pause between them.
const PROBES: u32 = 5;
const PROBE_PAUSE_MS: u32 = 150;
/// The pause between probes after that.
const PING_PAUSE_MS: u32 = 5_000;

/// A round of quick probes, then a slow one for as long as the connection lives.
pub(super) fn probe() {
    let round = with(|state| {
        state.probe_round = state.probe_round.wrapping_add(1);
        state.probe_round
    });
    ping();
    spawn_local(async move {
        let mut sent = 1_u32;
        loop {
            let pause = if sent < PROBES {
                PROBE_PAUSE_MS
            } else {
                PING_PAUSE_MS
            };
            TimeoutFuture::new(pause).await;
            if with(|state| state.probe_round) != round {
                return;
            }
            ping();
            sent = sent.saturating_add(1);
        }
    });
}

fn ping() {
    let id = with(|state| state.registry.frame_id());
    if send(&ClientFrame::Ping { id }) {
        with(|state| state.pings.push((id, browser::now_ms())));
    }
}

/// Takes in the server's time.
pub(super) fn pong(live: Live, id: u32, server: Timestamp) {
    let received = browser::now_ms();
    let known = with(|state| {
        let sent = take(&mut state.pings, id);
        if let Some(sent) = sent {
            state.clock.pong(sent, received, server);
        }
        state.clock.now(received)
    });
    // A later pong does as well: the very one may have been refused.
    if with(|state| state.asked.is_empty() && state.last_word.is_some_and(|last| last <= id)) {
        settle(live);
    }
    // The first pong makes the clock right at once; later ones wait for the next tick.
    if live.clock.with_untracked(Option::is_none) {
        live.clock.set(known);
    }
}
