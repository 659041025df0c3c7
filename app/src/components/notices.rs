//! What speaks up: the banner of a lost connection, messages at the edge, the two live regions.

use super::Sign;
use super::icons::CROSS;
use crate::browser;
use crate::erase::Erase;
use crate::house::House;
use crate::live::{Live, Shown};
use leptos::prelude::*;

/// The two regions that screen readers listen to; empty when the page loads.
#[component]
pub fn Announcer() -> impl IntoView {
    let live = Live::expect();
    view! {
        <div class="unseen" aria-live="polite" aria-atomic="true" data-testid="say-polite">
            {move || live.polite.get()}
        </div>
        <div class="unseen" aria-live="assertive" aria-atomic="true" data-testid="say-assertive">
            {move || live.assertive.get()}
        </div>
    }
    .erase()
}

/// The banner of a connection that has been down for a while.
#[component]
pub fn StaleBanner() -> impl IntoView {
    let live = Live::expect();
    let shown = live.shown();
    Effect::new(move |was: Option<bool>| {
        let is = shown.get().is_stale();
        let holds = live
            .wallets
            .with_untracked(|all| all.values().any(|wallet| wallet.held.minor() > 0));
        if is && was == Some(false) {
            let said = "Connection lost. Prices on this page may be old.".to_owned();
            if holds {
                live.assertive.set(said);
            } else {
                live.polite.set(said);
            }
        }
        is
    });
    let sentence = move || match shown.get() {
        Shown::Stale {
            retry_in_s: Some(seconds),
        } => format!("Connection lost. Prices may be old. Next try in {seconds} s."),
        Shown::Stale { retry_in_s: None } => {
            "Connection lost. Prices may be old. Trying now…".to_owned()
        }
        Shown::Ended => "The house closed this connection. Reload the page to go on.".to_owned(),
        Shown::Live | Shown::Connecting => String::new(),
    };
    let is_stale = live.is_stale();
    view! {
        <Show when=move || is_stale.get()>
            <div class="stale-banner" data-testid="stale-banner">
                <p>{sentence}</p>
                <Show when=move || matches!(shown.get(), Shown::Stale { .. })>
                    <button type="button" class="button quiet" on:click=move |_| live.retry_now()>
                        "Retry now"
                    </button>
                </Show>
            </div>
        </Show>
    }
    .erase()
}

/// Messages at the edge of the page.
#[component]
pub fn ToastList() -> impl IntoView {
    let live = Live::expect();
    let house = House::expect();
    let list = move || live.toasts.with(|toasts| toasts.list().to_vec());
    let hold = move |id: u32, held: bool| {
        live.toasts
            .update(|toasts| toasts.hold(id, held, browser::now_ms()));
    };
    view! {
        <ol class="toasts" aria-label="Messages">
            <For each=list key=|toast| toast.id let:toast>
                <li
                    class="toast"
                    data-testid="notice"
                    data-tone=toast.tone.word()
                    on:mouseenter=move |_| hold(toast.id, true)
                    on:mouseleave=move |_| hold(toast.id, false)
                    on:focusin=move |_| hold(toast.id, true)
                    on:focusout=move |_| hold(toast.id, false)
                >
                    {match toast.lot {
                        Some(lot) => {
                            view! { <a href=house.link(&format!("/lots/{lot}"))>{toast.text.clone()}</a> }
                                .erase()
                        }
                        None => view! { <p>{toast.text.clone()}</p> }.erase(),
                    }}
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
            </For>
        </ol>
    }
    .erase()
}
