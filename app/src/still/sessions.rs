//! Whom this browser may act as, and the way to stop.

use crate::acting::Acting;
use crate::components::PersonName;
use crate::erase::{Erase, Plain};
use crate::ports::Viewer;
use leptos::prelude::*;
use shared::view::Person;

/// The page of a browser's sessions.
pub fn sessions(viewer: &Viewer, acting: &Acting) -> String {
    let shown = if viewer.sessions.is_empty() {
        view! {
            <p class="empty" data-testid="no-sessions">
                "This browser acts as nobody. It can watch everything."
            </p>
        }
        .erase()
    } else {
        list(viewer, acting)
    };
    view! {
        <section class="brief">
        <h1>"Who this browser acts as"</h1>
        <p class="hint">
            "Stepping out ends it in every tab within seconds. Bids that were placed stay placed."
        </p>
        {shown}
        <p><a href=acting.link("/")>"To the floor"</a></p>
        </section>
    }
    .erase()
    .to_html()
}

fn list(viewer: &Viewer, acting: &Acting) -> Plain {
    let own = viewer.person.as_ref().map(|person| person.id);
    let lines = viewer.sessions.iter().map(|person| {
        let is_self = own == Some(person.id);
        view! {
            <li class="session" data-testid=format!("session-{}", person.handle)>
                <span>
                    <PersonName person=person.clone()/>
                    {is_self.then(|| view! { <span class="tag">"this tab"</span> }.erase())}
                </span>
                {form(Some(person), acting)}
            </li>
        }
        .erase()
    });
    let lines: Vec<_> = lines.collect();
    let everybody = (viewer.sessions.len() > 1).then(|| form(None, acting));
    view! {
        <ul class="moderated panel">{lines}</ul>
        {everybody}
    }
    .erase()
}

/// The button that ends the session as somebody, or all of them.
fn form(person: Option<&Person>, acting: &Acting) -> Plain {
    let handle = person.map(|person| person.handle.clone());
    let (name, label) = match person {
        Some(person) => ("Step out", format!("Step out as {}", person.name)),
        None => ("Step out as everybody", "Step out as everybody".to_owned()),
    };
    view! {
        <form method="post" action="/api/step-out">
            <input type="hidden" name="handle" value=handle.clone().unwrap_or_default()/>
            <input type="hidden" name="acting_as" value=acting.as_field()/>
            <input type="hidden" name="acting_in" value=acting.in_field()/>
            <button
                class="button quiet"
                data-testid=format!("step-out-{}", handle.as_deref().unwrap_or("all"))
                aria-label=label
            >
                {name}
            </button>
        </form>
    }
    .erase()
}
