//! The house's activity, page by page.

use crate::acting::Acting;
use crate::actions::PageForm;
use crate::erase::{Erase, Plain};
use crate::ports::Ports;
use crate::words;
use leptos::prelude::*;
use shared::feed::{FeedCursor, FeedPage};
use shared::view::Activity;

/// Lines of a page.
const MAX_LINES: usize = 50;

/// The activity before the place in the form, or the latest.
pub async fn activity(ports: &Ports, form: &PageForm, acting: &Acting) -> String {
    let before: Option<FeedCursor> = form.before.parse().ok();
    let shown = match ports.social.feed(before, MAX_LINES).await {
        Ok(page) => lines(page, before, acting),
        Err(_failure) => view! {
            <p class="notice" role="status">
                "The activity is slow to answer. Bids are not affected. Load the page again in a moment."
            </p>
        }
        .erase(),
    };
    view! {
        <h1 class="page-name">"Activity"</h1>
        <p class="hint">"What went on in the house, newest first. Times are UTC."</p>
        {shown}
    }
    .erase()
    .to_html()
}

fn lines(page: FeedPage, before: Option<FeedCursor>, acting: &Acting) -> Plain {
    if page.lines.is_empty() {
        return view! { <p class="empty">"Nothing older."</p> }.erase();
    }
    let lines: Vec<_> = page.lines.iter().map(|one| line(one, acting)).collect();
    let newest = before
        .map(|_| view! { <a class="more" href=acting.link("/activity")>"Newest"</a> }.erase());
    let older = page.next.map(|next| {
        let next = next.to_string();
        let href = acting.link_with("/activity", &[("before", &next)]);
        view! { <a class="more" data-testid="older" href=href>"Older"</a> }.erase()
    });
    view! {
        <ol class="activity-page" data-testid="activity-page">
            {lines}
        </ol>
        <p class="pages">{newest} {older}</p>
    }
    .erase()
}

fn line(line: &Activity, acting: &Acting) -> Plain {
    let simulated = line.who.as_ref().is_some_and(|who| who.simulated);
    let place = line.region.map(|region| format!(", {}", region.city()));
    view! {
        <li class="activity-line" data-testid="activity-line">
            <time datetime=words::iso(line.at)>{words::day_and_clock(line.at)}</time>
            <a href=acting.link(&format!("/lots/{}", line.lot))>
                <span class="activity-what">{words::activity(line)} {place}</span>
                <span class="activity-lot" dir="auto">
                    {line.title.clone()}
                </span>
            </a>
            {simulated.then(|| view! { <span class="tag">"simulated"</span> }.erase())}
        </li>
    }
    .erase()
}
