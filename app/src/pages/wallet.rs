//! The wallet: what is available, held and spent, and every line behind it.

use super::{Broken, acted};
use crate::actions::{
    Page, PageForm, ReadError, TopUpForm, TopUpReceipt, WalletPage, read_page, top_up,
};
use crate::components::{ActionMessage, ActorFields, Amount, Command, Labelled};
use crate::erase::{Erase, Row, drawn, kept, only, react, rows};
use crate::head::head;
use crate::house::{House, asking, load};
use crate::live::Live;
use crate::words;
use leptos::ev::SubmitEvent;
use leptos::html;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use shared::auction::Mechanism;
use shared::ledger::{AccountKind, TransferKind};
use shared::view::{HoldView, StatementLine, WalletPageView};
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
    let currency = page.page.wallet.available.currency();
    let snapshot = page.page.server_time;
    let said = page
        .said
        .and_then(|said| acted(said, None, Mechanism::English));
    let command = Command::new(page.key, said);
    let view_of = RwSignal::new(page.page);
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
                <Holds page=view_of/>
            </div>
            <Statement page=view_of/>
        </div>
    }
    .erase()
}

/// Reads the page again after a push of a newer wallet.
fn refresh(live: Live, house: House, page: RwSignal<WalletPageView>, currency: Currency) {
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
                        page.try_set(read.page);
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

#[component]
fn Holds(page: RwSignal<WalletPageView>) -> impl IntoView {
    let holds = move || {
        let row = |hold: &HoldView| {
            let hold = hold.clone();
            Row::new(hold.bid, move || view! { <Hold hold/> }.erase())
        };
        page.read().holds.iter().map(row).collect()
    };
    let is_empty = kept(move || page.with(|page| page.holds.is_empty()));
    view! {
        <section class="panel" aria-labelledby="holds-name">
            <h2 id="holds-name">"Held for your leading bids"</h2>
            {only(move || is_empty.get(), move || view! { <p class="empty">"Nothing is held."</p> }.erase())}
            <ul class="holds">
                {rows(holds)}
            </ul>
        </section>
    }
    .erase()
}

#[component]
fn Hold(hold: HoldView) -> impl IntoView {
    let house = House::expect();
    view! {
        <li data-testid="hold-row">
            <a href=house.link(&format!("/lots/{}", hold.lot)) dir="auto">
                {hold.title}
            </a>
            <Amount amount=hold.amount/>
        </li>
    }
    .erase()
}

#[component]
fn Statement(page: RwSignal<WalletPageView>) -> impl IntoView {
    let lines = move || {
        let row = |line: &StatementLine| {
            let (key, line) = (
                format!("{}{}", line.transfer, line.account.word()),
                line.clone(),
            );
            Row::new(key, move || view! { <StatementRow line/> }.erase())
        };
        page.read().statement.iter().map(row).collect()
    };
    let is_empty = kept(move || page.with(|page| page.statement.is_empty()));
    view! {
        <section class="panel statement" aria-labelledby="statement-name">
            <h2 id="statement-name">"Statement"</h2>
            {only(move || is_empty.get(), move || view! { <p class="empty">"No lines yet. Top up to begin."</p> }.erase())}
            <div class="scrolls" tabindex="0" role="group" aria-label="Statement lines">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"When (UTC)"</th>
                            <th scope="col">"What"</th>
                            <th scope="col">"Lot"</th>
                            <th scope="col">"Account"</th>
                            <th scope="col" class="number">
                                "Amount"
                            </th>
                        </tr>
                    </thead>
                    <tbody>
                        {rows(lines)}
                    </tbody>
                </table>
            </div>
        </section>
    }
    .erase()
}

const fn what(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::TopUp => "Top-up",
        TransferKind::Hold => "Held for a bid",
        TransferKind::Void => "Freed",
        TransferKind::Capture => "Paid from hold",
        TransferKind::Purchase => "Bought",
        TransferKind::Fund => "To an agent",
        TransferKind::Return => "From an agent",
        TransferKind::Refund => "Refund",
    }
}

const fn account(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Funding => "Outside",
        AccountKind::Available => "Available",
        AccountKind::Held => "Held",
        AccountKind::Payable => "Proceeds",
        AccountKind::Budget => "Mandate",
    }
}

#[component]
fn StatementRow(line: StatementLine) -> impl IntoView {
    let house = House::expect();
    let lot = line.lot.map(|lot| {
        let title = line.title.unwrap_or_else(|| lot.to_string());
        view! {
            <a href=house.link(&format!("/lots/{lot}")) dir="auto">
                {title}
            </a>
        }
        .erase()
    });
    let (at, iso) = (words::day_and_clock(line.at), words::iso(line.at));
    let sign = if line.amount.minor() < 0 { "out" } else { "in" };
    view! {
        <tr data-testid="statement-row" data-kind=line.kind.word()>
            <td>
                <time datetime=iso>{at}</time>
            </td>
            <td>{what(line.kind)}</td>
            <td>{lot}</td>
            <td>{account(line.account)}</td>
            <td class="number" data-sign=sign>
                <Amount amount=line.amount/>
            </td>
        </tr>
    }
    .erase()
}
