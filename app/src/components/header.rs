//! The strip on top of every page: who you are, where you act, what you have.

use super::icons::{MOON, SCREEN, SUN};
use super::{Amount, Mark, PERSON, PersonName, Sign};
use crate::actions::{Theme, ViewerPage};
use crate::browser;
use crate::erase::{Erase, drawn, kept, react};
use crate::house::House;
use crate::live::{Live, News, Shown};
use leptos::html;
use leptos::prelude::*;
use leptos_router::hooks::use_location;
use shared::Region;
use shared::live::{Channel, Push, Snapshot};
use shared::view::Person;

/// The strip. What depends on the viewer waits for them; the mark and the ways do not.
#[component]
pub fn Header() -> impl IntoView {
    let house = House::expect();
    view! {
        <header class="strip">
            <Suspense fallback=|| ()>
                {move || Suspend::new(async move {
                    match house.viewer().await {
                        Ok(viewer) => view! { <Strip viewer/> }.erase(),
                        Err(_unavailable) => view! { <Ways/> }.erase(),
                    }
                })}
            </Suspense>
        </header>
    }
    .erase()
}

/// The mark and the ways through the house.
#[component]
fn Ways() -> impl IntoView {
    let house = House::expect();
    let path = use_location().pathname;
    let way = move |to: &'static str, name: &'static str| {
        view! {
            <a href=house.link(to) aria-current=drawn(move || (path.get() == to).then_some("page"))>
                {name}
            </a>
        }
        .erase()
    };
    view! {
        <a class="mark" href=house.link("/") aria-label="LotZero">
            <Mark/>
            <span class="mark-name">"LotZero"</span>
        </a>
        <nav class="ways" aria-label="The house">
            {way("/", "Floor")}
            {way("/wallet", "Wallet")}
            {way("/about", "About")}
        </nav>
    }
    .erase()
}

#[component]
fn Strip(viewer: ViewerPage) -> impl IntoView {
    let live = Live::expect();
    let house = House::expect();
    let is_guest = viewer.person.is_none();
    // Effects run only where there is a browser: here the tab comes alive.
    react(move || {
        live.start(browser::socket_address(&house.link("/live")));
        if !is_guest {
            let listener = live.join(Channel::Me, || None, move |news| hear(live, news));
            on_cleanup(move || live.leave(listener));
        }
    });
    let wallet = viewer.wallet.clone();
    let newest = kept(move || live.newest_wallet(wallet.as_ref()));
    let money = move |name: &'static str, testid: &'static str, held: bool| {
        let amount = drawn(move || {
            let wallet = newest.get()?;
            let amount = if held { wallet.held } else { wallet.available };
            Some(view! { <Amount amount=amount/> }.erase())
        });
        view! {
            <div class=if held { "money-held" } else { "money-free" }>
                <dt>{name}</dt>
                <dd data-testid=testid>
                    {amount}
                </dd>
            </div>
        }
    };
    let has_wallet = viewer.wallet.is_some();
    view! {
        <Ways/>
        <div class="self">
            <Who person=viewer.person demo=viewer.demo/>
            <Where region=viewer.region/>
            {has_wallet
                .then(|| {
                    view! {
                        <dl class="money">
                            {money("Available", "available", false)}
                            {money("Held", "held", true)}
                        </dl>
                    }
                })}
            <Connection/>
            <ThemeSwitch theme=viewer.theme/>
        </div>
    }
    .erase()
}

/// News for the person: the wallet and notices.
fn hear(live: Live, news: News<'_>) -> u32 {
    match news {
        News::Snapshot(Snapshot::Me { wallet }) => {
            if let Some(wallet) = wallet {
                live.take_wallet(wallet);
            }
            0
        }
        News::Push(_, Push::Wallet(wallet)) => {
            live.take_wallet(wallet);
            0
        }
        News::Push(_, Push::Notice(notice)) => {
            live.notify(notice);
            1
        }
        News::Snapshot(_) | News::Push(..) => 0,
    }
}

/// Who you are, and who else you may be.
#[component]
fn Who(person: Option<Person>, demo: Vec<Person>) -> impl IntoView {
    let house = House::expect();
    let path = use_location().pathname;
    let region = house.acting().in_field();
    let own = person.as_ref().map(|person| person.id);
    let others: Vec<_> = demo
        .into_iter()
        .map(|one| {
            let is_self = own == Some(one.id);
            view! {
                <li>
                    <form method="post" action="/api/step-in">
                        <input type="hidden" name="handle" value=one.handle.clone()/>
                        <input type="hidden" name="region" value=region.clone()/>
                        <input type="hidden" name="next" value=drawn(move || path.get())/>
                        <button
                            class="menu-choice"
                            data-testid=format!("step-in-{}", one.handle)
                            aria-current=is_self.then_some("true")
                        >
                            <PersonName person=one.clone()/>
                        </button>
                    </form>
                </li>
            }
            .erase()
        })
        .collect();
    let name = person.map_or_else(|| "Choose who you are".to_owned(), |person| person.name);
    let menu = NodeRef::<html::Details>::new();
    let close = move || {
        if let Some(menu) = menu.get_untracked() {
            menu.set_open(false);
        }
    };
    view! {
        <details
            class="menu"
            node_ref=menu
            on:keydown=move |event| {
                if event.key() == "Escape" {
                    close();
                }
            }
            on:focusout=move |event| {
                if browser::leaves(&event) {
                    close();
                }
            }
        >
            <summary class="menu-open" data-testid="who">
                <Sign lines=PERSON/>
                <span class="menu-word" dir="auto">{name}</span>
            </summary>
            <div class="menu-panel">
                <p class="menu-hint">"This is a demonstration: step in as anybody."</p>
                <ul>{others}</ul>
                <a class="menu-hint more" rel="external" href=house.link("/sessions")>"Step out"</a>
            </div>
        </details>
    }
    .erase()
}

/// Where you act: a form that also works without scripts.
#[component]
fn Where(region: Region) -> impl IntoView {
    /// Without scripts a choice needs a button. As text, since a browser with scripts reads the
    /// inside of `noscript` as text too.
    const GO: &str = r#"<button class="button quiet">Go</button>"#;
    let house = House::expect();
    let path = use_location().pathname;
    let handle = house.acting().handle;
    let choices: Vec<_> = Region::ALL
        .into_iter()
        .map(|one| {
            view! {
                <option value=one.code() selected=one == region>
                    {one.city()}
                </option>
            }
            .erase()
        })
        .collect();
    view! {
        <form class="where" method="get" action=drawn(move || path.get())>
            {handle.map(|handle| view! { <input type="hidden" name="as" value=handle/> }.erase())}
            <label>
                <span class="unseen">"Region you act in"</span>
                <select name="in" data-testid="region" on:change=move |event| browser::submit_form_of(&event)>
                    {choices}
                </select>
            </label>
            // house-rule inner-html: a constant of ours; what noscript holds is no view to hydrate
            <noscript inner_html=GO></noscript>
        </form>
    }
    .erase()
}

/// How the connection stands, always visible.
#[component]
fn Connection() -> impl IntoView {
    let shown = Live::expect().shown();
    let word = drawn(move || match shown.get() {
        Shown::Live => "Live",
        Shown::Connecting => "Connecting",
        Shown::Stale { .. } => "Offline",
        Shown::Ended | Shown::SignedOut => "Closed",
    });
    view! {
        <span class="connection" data-testid="connection" data-state=drawn(move || shown.get().word())>
            <span class="connection-mark" aria-hidden="true"></span>
            <span class="connection-word">{word}</span>
        </span>
    }
    .erase()
}

/// Paper, ink, or as the system has it: one button that goes round. Needs scripts, so it is shown
/// once they run.
#[component]
fn ThemeSwitch(theme: Theme) -> impl IntoView {
    let chosen = RwSignal::new(theme);
    let sign = drawn(move || {
        let lines = match chosen.get() {
            Theme::System => SCREEN,
            Theme::Light => SUN,
            Theme::Dark => MOON,
        };
        view! { <Sign lines=lines/> }.erase()
    });
    let name = drawn(move || match chosen.get() {
        Theme::System => "Colours: as the system. Change",
        Theme::Light => "Colours: light. Change",
        Theme::Dark => "Colours: dark. Change",
    });
    let go_round = move |_| {
        let next = chosen.get_untracked().next();
        chosen.set(next);
        browser::keep_theme(next.word());
    };
    view! {
        <button
            type="button"
            class="theme"
            data-testid="theme"
            data-choice=drawn(move || chosen.get().word())
            aria-label=name
            on:click=go_round
        >
            {sign}
        </button>
    }
    .erase()
}
