//! Pages for what is not there and for what did not work.

use crate::erase::Erase;
use crate::head::head;
use crate::house::House;
use leptos::prelude::*;

/// There is no such page or lot.
#[component]
pub fn NotFound() -> impl IntoView {
    let house = House::expect();
    set_status(404);
    head(|| "Not here · LotZero".into(), Vec::new);
    view! {
        <section class="brief" data-testid="not-found">
            <h1>"There is nothing under this number."</h1>
            <p>"The lot may never have existed, or the address has a slip in it."</p>
            <p>
                <a class="button primary" href=house.link("/")>
                    "Back to the floor"
                </a>
            </p>
        </section>
    }
    .erase()
}

/// The page could not be read.
#[component]
pub fn Broken() -> impl IntoView {
    set_status(503);
    head(|| "A moment · LotZero".into(), Vec::new);
    view! {
        <section class="brief" data-testid="unavailable">
            <h1>"The house does not answer."</h1>
            <p>"Nothing of yours is lost: what was committed stays. Try again in a moment."</p>
            <p>
                <a class="button primary" href="" rel="external">
                    "Try again"
                </a>
            </p>
        </section>
    }
    .erase()
}

/// Gives the document its status; in the browser there is none to give.
#[cfg(feature = "ssr")]
fn set_status(status: u16) {
    let response = use_context::<leptos_axum::ResponseOptions>();
    let status = http::StatusCode::from_u16(status).ok();
    if let Some((response, status)) = response.zip(status) {
        response.set_status(status);
    }
}

#[cfg(not(feature = "ssr"))]
const fn set_status(_status: u16) {}
