//! The router: which address shows which page, and what stands around every page.

use crate::components::{Announcer, Header, StaleBanner, ToastList};
use crate::erase::{Erase, drawn};
use crate::house::House;
use crate::live::Live;
use crate::pages::{Floor, NotFound, Rest};
use leptos::prelude::*;
use leptos_router::components::{Route, Router, Routes};
use leptos_router::{SsrMode, path};

/// The whole app.
#[component]
pub fn App() -> impl IntoView {
    provide_context(Live::default());
    view! {
        <Router>
            <Frame/>
        </Router>
    }
    .erase()
}

/// Header, page, footer, and the regions that speak.
#[component]
fn Frame() -> impl IntoView {
    let house = House::from_address();
    provide_context(house);
    let live = Live::expect();
    let shown = live.shown();
    view! {
        <div
            class="page"
            data-link=drawn(move || shown.get().word())
            data-started=drawn(move || live.has_started().to_string())
        >
            <a class="skip" href="#main" rel="external">"Skip to the page"</a>
            <Header/>
            <StaleBanner/>
            <main id="main" tabindex="-1">
                <Routes fallback=|| view! { <NotFound/> }>
                    <Route path=path!("/") view=Floor ssr=SsrMode::Async/>
                    <Route path=path!("/*rest") view=Rest ssr=SsrMode::Async/>
                </Routes>
            </main>
            <Footer/>
            <ToastList/>
            <Announcer/>
        </div>
    }
    .erase()
}

#[component]
fn Footer() -> impl IntoView {
    view! {
        <footer class="foot">
            <p class="foot-word">"LotZero is a demonstration. The money is not real, the rules are."</p>
        </footer>
    }
    .erase()
}
