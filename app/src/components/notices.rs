//! What speaks up: the banner of a lost connection, messages at the edge, the two live regions.

use super::Sign;
use super::icons::CROSS;
use crate::browser;
use crate::erase::{Erase, Row, drawn, only, react, rows};
use crate::house::House;
use crate::live::{Live, Shown, Toast};
use leptos::prelude::*;
use std::sync::Arc;

/// The two regions that screen readers listen to; empty when the page loads.
#[component]
pub fn Announcer() -> impl IntoView {
    let live = Live::expect();
    view! {
        <div class="unseen" aria-live="polite" aria-atomic="true" data-testid="say-polite">
            {drawn(move || live.polite.get())}
        </div>
        <div class="unseen" aria-live="assertive" aria-atomic="true" data-testid="say-assertive">
            {drawn(move || live.assertive.get())}
        </div>
    }
    .erase()
}

/// The banner of a connection that has been down for a while.
#[component]
pub fn StaleBanner() -> impl IntoView {
    let live = Live::expect();
    let shown = live.shown();
    let mut was = true;
    react(move || {
        let is = shown.get().is_stale();
        let holds = live
            .wallets
            .with_untracked(|all| all.iter().any(|wallet| wallet.held.minor() > 0));
        if is && !was {
            let said = "Connection lost. Prices on this page may be old.".to_owned();
            if holds {
                live.assertive.set(said);
            } else {
                live.polite.set(said);
            }
        }
        was = is;
    });
    let sentence = drawn(move || match shown.get() {
        Shown::Stale {
            retry_in_s: Some(seconds),
        } => format!("Connection lost. Prices may be old. Next try in {seconds} s."),
        Shown::Stale { retry_in_s: None } => {
            "Connection lost. Prices may be old. Trying now…".to_owned()
        }
        Shown::Ended => "The house closed this connection.".to_owned(),
        Shown::SignedOut => "You are no longer signed in here.".to_owned(),
        Shown::Live | Shown::Connecting => String::new(),
    });
    // Where nothing is waited for there is nothing to bring forward.
    let can_retry = move || {
        matches!(
            shown.get(),
            Shown::Stale {
                retry_in_s: Some(_)
            }
        )
    };
    let retry = move || {
        view! {
            <button type="button" class="button quiet" on:click=move |_| live.retry_now()>
                "Retry now"
            </button>
        }
        .erase()
    };
    let is_over = move || matches!(shown.get(), Shown::Ended | Shown::SignedOut);
    // Marked as external, so that the browser follows it and not the router.
    let reload =
        || view! { <a class="button quiet" href="" rel="external">"Reload the page"</a> }.erase();
    let banner = move || {
        view! {
            <div class="stale-banner" data-testid="stale-banner">
                <p>{Arc::clone(&sentence)}</p>
                {only(can_retry, retry)}
                {only(is_over, reload)}
            </div>
        }
        .erase()
    };
    only(move || shown.get().is_stale(), banner)
}

/// Messages at the edge of the page.
#[component]
pub fn ToastList() -> impl IntoView {
    let live = Live::expect();
    let list = move || {
        let row = |toast: &Toast| {
            let toast = toast.clone();
            Row::new(toast.id, || view! { <OneToast toast/> }.erase())
        };
        live.toasts.read().list().iter().map(row).collect()
    };
    view! {
        <section aria-label="Messages">
            <ol class="toasts">{rows(list)}</ol>
        </section>
    }
    .erase()
}

#[component]
fn OneToast(toast: Toast) -> impl IntoView {
    let live = Live::expect();
    let house = House::expect();
    let hold = move |held: bool| {
        live.toasts
            .update(|toasts| toasts.hold(toast.id, held, browser::now_ms()));
    };
    let words = match toast.lot {
        Some(lot) => {
            let to = house.link(&format!("/lots/{lot}"));
            view! { <a href=to>{toast.text}</a> }.erase()
        }
        None => view! { <p>{toast.text}</p> }.erase(),
    };
    view! {
        <li
            class="toast"
            data-testid="notice"
            data-tone=toast.tone.word()
            on:mouseenter=move |_| hold(true)
            on:mouseleave=move |_| hold(false)
            on:focusin=move |_| hold(true)
            on:focusout=move |_| hold(false)
        >
            {words}
            <button
                type="button"
                class="toast-close"
                aria-label="Dismiss"
                on:click=move |_| {
                    live.toasts.update(|toasts| toasts.dismiss(toast.id));
                    live.unseen.set(0);
                }
            >
                <Sign lines=CROSS/>
            </button>
        </li>
    }
    .erase()
}
