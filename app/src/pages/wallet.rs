//! The wallet: what is available, held and spent, and every line behind it.

use super::{Broken, acted};
use crate::actions::{
    Page, PageForm, ReadError, TopUpForm, TopUpReceipt, WalletPage, read_page, top_up,
};
use crate::components::{ActionMessage, ActorFields, Command, Labelled};
use crate::erase::{Erase, drawn, kept, react};
use crate::head::head;
use crate::house::{House, asking, load};
use crate::live::Live;
use leptos::ev::SubmitEvent;
use leptos::html;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use shared::auction::Mechanism;
use shared::{Currency, Money};
use std::time::Duration;

/// Pushes that come close together lead to one reading of the statement.
const SETTLE: Duration = Duration::from_millis(250);

/// The wallet of who looks.
#[component]
pub fn Wallet() -> impl IntoView {
    let house = House::expect();
    let query = use_query_map();
    let page = load(Page::Wallet, move || PageForm {
        currency: query.with(|query| query.get("currency").unwrap_or_default()),
        ..asking(&house.acting(), query)
    });
    head(|| "Wallet · LotZero".into(), Vec::new);
    view! {
        <h1 class="page-name">"Wallet"</h1>
        <Suspense fallback=|| view! { <div class="skeleton tall" aria-hidden="true"></div> }>
            {move || Suspend::new(async move {
                // The header waits for the same; links name the person from here on.
                let viewer = house.viewer().await;
                match (viewer, page.await.page()) {
                    (Ok(_), Ok(page)) => view! { <LiveWallet page/> }.erase(),
                    (Ok(_), Err(ReadError::Guest)) => view! { <Guest/> }.erase(),
                    (Err(_), _)
                    | (
                        _,
                        Err(ReadError::NotFound | ReadError::Unavailable | ReadError::BadRequest),
                    ) => view! { <Broken/> }.erase(),
                }
            })}
        </Suspense>
    }
    .erase()
}

#[component]
fn Guest() -> impl IntoView {
    view! {
        <p class="empty" data-testid="guest-note">
            "A guest has no wallet. Choose who you are: the menu is at the top of the page."
        </p>
    }
    .erase()
}

#[component]
fn LiveWallet(page: WalletPage) -> impl IntoView {
    let live = Live::expect();
    let house = House::expect();
    let currency = page.wallet.available.currency();
    let snapshot = page.server_time;
    let said = page
        .said
        .clone()
        .and_then(|said| acted(said, None, Mechanism::English));
    let command = Command::new(page.key.clone(), said);
    let view_of = RwSignal::new(WalletPage { said: None, ..page });
    Effect::new(move |_| live.seen(snapshot));
    refresh(live, house, view_of, currency);
    let newest = kept(move || {
        let of_page = view_of.with(|page| page.wallet.clone());
        live.newest_wallet(Some(&of_page)).unwrap_or(of_page)
    });
    let part =
        move |of: fn(&shared::view::WalletView) -> Money| Signal::derive(move || newest.with(of));
    let proceeds = Signal::derive(move || view_of.with(|page| page.proceeds));
    view! {
        <dl class="balances">
            <Labelled word="Available" amount=part(|wallet| wallet.available)/>
            <Labelled word="Held" amount=part(|wallet| wallet.held)/>
            <Labelled word="Spent" amount=part(|wallet| wallet.spent)/>
            <Labelled word="Proceeds" amount=proceeds/>
        </dl>
        <div class="wallet">
            <div class="wallet-side">
                <TopUp currency command/>
                <section
                    class="panel"
                    aria-labelledby="holds-name"
                    // house-rule inner-html: the server drew it, and escaped what people wrote
                    inner_html=drawn(move || view_of.with(|page| page.holds.clone()))
                ></section>
            </div>
            <section
                class="panel statement"
                aria-labelledby="statement-name"
                // house-rule inner-html: the server drew it, and escaped what people wrote
                inner_html=drawn(move || view_of.with(|page| page.statement.clone()))
            ></section>
        </div>
    }
    .erase()
}

/// Reads the page again after a push of a newer wallet.
fn refresh(live: Live, house: House, page: RwSignal<WalletPage>, currency: Currency) {
    let version = kept(move || live.wallet_in(currency).map(|wallet| wallet.version));
    react(move || {
        let pushed = version.get();
        let known = page.with_untracked(|page| page.wallet.version);
        if pushed.is_none_or(|pushed| pushed <= known) {
            return;
        }
        let wait = set_timeout_with_handle(
            move || {
                leptos::task::spawn_local(async move {
                    let acting = house.acting();
                    let form = PageForm {
                        currency: currency.code().to_owned(),
                        acting_as: acting.as_field(),
                        acting_in: acting.in_field(),
                        ..PageForm::default()
                    };
                    let read = read_page(Page::Wallet, form).await.page::<WalletPage>();
                    if let Ok(read) = read {
                        page.try_set(read);
                    }
                });
            },
            SETTLE,
        );
        on_cleanup(move || {
            if let Ok(wait) = wait {
                wait.clear();
            }
        });
    });
}

#[component]
fn TopUp(currency: Currency, command: Command) -> impl IntoView {
    let house = House::expect();
    let field = NodeRef::<html::Input>::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(amount) = field.get_untracked().map(|field| field.value()) else {
            return;
        };
        let acting = house.acting();
        let form = TopUpForm {
            amount,
            currency: currency.code().to_owned(),
            key: String::new(),
            acting_as: acting.as_field(),
            acting_in: acting.in_field(),
        };
        command.press(
            move |key| {
                top_up(TopUpForm {
                    key: key.into(),
                    ..form
                })
            },
            |receipt: &TopUpReceipt| format!("{} came in.", receipt.amount),
        );
    };
    view! {
        <section class="panel" aria-labelledby="topup-name">
            <h2 id="topup-name">"Top up"</h2>
            <p class="hint">"Demo money, as much as you need to try things."</p>
            <form
                class="topup"
                method="post"
                action="/api/top-up"
                data-testid="topup-form"
                on:submit=submit
            >
                <input type="hidden" name="currency" value=currency.code()/>
                <ActorFields command/>
                <label class="field">
                    <span>"Amount, " {currency.code()}</span>
                    <input
                        node_ref=field
                        type="text"
                        inputmode="decimal"
                        name="amount"
                        autocomplete="off"
                        data-testid="topup-amount"
                        value="500"
                    />
                </label>
                <button
                    class="button primary"
                    data-testid="topup-submit"
                    disabled=drawn(move || command.is_stale())
                >
                    {drawn(move || if command.is_pending() { "Adding…" } else { "Top up" })}
                </button>
            </form>
            <ActionMessage command/>
        </section>
    }
    .erase()
}
