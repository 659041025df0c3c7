//! The floor: what is live, what goes on, what was sold.

use super::Broken;
use super::floor_state::FloorState;
use crate::actions::{FloorPage, Page, PageForm, sentence_of};
use crate::components::{LotCard, SettledCard};
use crate::erase::{Erase, Row, drawn, kept, only, react, rows};
use crate::head::head;
use crate::house::{House, load};
use crate::live::{Live, News};
use crate::words;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use shared::live::{Channel, Push, Snapshot};
use shared::view::{Activity, LotView};
use shared::{LotId, PrincipalId, Timestamp};

/// The floor.
#[component]
pub fn Floor() -> impl IntoView {
    let house = House::expect();
    let page = load(Page::Floor, PageForm::default);
    head(
        || "LotZero".into(),
        || {
            vec![
                ("og:title", "LotZero: bid live, from anywhere".into()),
                ("og:type", "website".into()),
            ]
        },
    );
    view! {
        <Problem/>
        <section class="hero">
            <h1>"The price is the loudest thing in the room."</h1>
            <p class="lead">
                "Bid against people in other places, in the same second. One of you gets it, and everybody sees why."
            </p>
        </section>
        <Suspense fallback=|| view! { <div class="skeleton tall" aria-hidden="true"></div> }>
            {move || Suspend::new(async move {
                let viewer = house.viewer().await;
                let person = viewer.ok().and_then(|viewer| viewer.person);
                match page.await.page() {
                    Ok(page) => {
                        view! { <LiveFloor page viewer=person.map(|p| p.id)/> }.erase()
                    }
                    Err(_unavailable) => view! { <Broken/> }.erase(),
                }
            })}
        </Suspense>
    }
    .erase()
}

/// What a plain form that led here could not do.
#[component]
fn Problem() -> impl IntoView {
    let query = use_query_map();
    let code = query.with_untracked(|query| query.get("problem").unwrap_or_default());
    sentence_of(&code).map(|sentence| {
        view! {
            <p class="action-message" data-testid="action-message" data-tone="bad">
                {sentence}
            </p>
        }
    })
}

#[component]
fn LiveFloor(page: FloorPage, viewer: Option<PrincipalId>) -> impl IntoView {
    let live = Live::expect();
    let snapshot = page.floor.server_time;
    let loaded_at = page.floor.activity.first().map(|line| line.at);
    let floor = RwSignal::new(FloorState::of(page.floor));
    react(move || {
        live.seen(snapshot);
        let listener = live.join(Channel::Floor, || None, move |news| hear(floor, news));
        on_cleanup(move || live.leave(listener));
    });
    let is_empty = kept(move || floor.with(|floor| floor.live().is_empty()));
    let live_lots = move || {
        let row = |id: LotId| {
            Row::new(id, move || {
                view! { <Card floor id snapshot viewer/> }.erase()
            })
        };
        floor.read().live().into_iter().map(row).collect()
    };
    let settled = move || {
        let row = |lot: &LotView| {
            let (key, lot) = (format!("{}{}", lot.id, lot.offset), lot.clone());
            Row::new(key, move || view! { <SettledCard lot viewer/> }.erase())
        };
        floor.read().settled().iter().map(row).collect()
    };
    let has_settled = move || !floor.read().settled().is_empty();
    let no_lots = || {
        view! {
            <p class="empty" data-testid="no-lots">
                "No lot is live at the moment. New ones come up by themselves: stay here."
            </p>
        }
        .erase()
    };
    let settled_name = || view! { <h2 id="settled-name">"Lately sold"</h2> }.erase();
    view! {
        <div class="floor">
            <section class="floor-lots" aria-labelledby="live-name">
                <h2 id="live-name" class="unseen">
                    "Live lots"
                </h2>
                {only(move || is_empty.get(), no_lots)}
                <div class="lots">
                    {rows(live_lots)}
                </div>
            </section>
            <div class="floor-side">
                <ActivityList floor loaded_at/>
                <section
                    class="panel leaders"
                    aria-labelledby="leaders-name"
                    // house-rule inner-html: the server drew it, and escaped what people wrote
                    inner_html=page.leaders
                ></section>
            </div>
            <section class="floor-settled" aria-labelledby="settled-name">
                {only(has_settled, settled_name)}
                <ul class="settled-row">
                    {rows(settled)}
                </ul>
            </section>
        </div>
    }
    .erase()
}

fn hear(floor: RwSignal<FloorState>, news: News<'_>) -> u32 {
    match news {
        News::Snapshot(Snapshot::Floor(view)) => {
            floor.try_update(|floor| floor.replace(view)).unwrap_or(0)
        }
        News::Push(_, Push::Card(card)) => {
            floor.try_update(|floor| floor.take_card(card));
            0
        }
        News::Push(_, Push::Activity(line)) => {
            let is_new = floor.try_update(|floor| floor.take_activity(line));
            u32::from(is_new.unwrap_or(false))
        }
        News::Snapshot(_) | News::Push(..) => 0,
    }
}

/// One card, following its lot.
#[component]
fn Card(
    floor: RwSignal<FloorState>,
    id: LotId,
    snapshot: Timestamp,
    viewer: Option<PrincipalId>,
) -> impl IntoView {
    let first = floor.with_untracked(|floor| floor.lot(id).cloned());
    first.map(|first| {
        // While the card leaves, its lot is gone from the floor: it keeps the last it knew.
        let lot = Memo::new(move |before: Option<&LotView>| {
            let now = floor.with(|floor| floor.lot(id).cloned());
            now.or_else(|| before.cloned())
                .unwrap_or_else(|| first.clone())
        });
        view! { <LotCard lot snapshot viewer/> }.erase()
    })
}

#[component]
fn ActivityList(floor: RwSignal<FloorState>, loaded_at: Option<Timestamp>) -> impl IntoView {
    let lines = move || {
        let row = |line: &Activity| {
            let (id, line) = (line.id.clone(), line.clone());
            Row::new(id, move || view! { <ActivityLine line loaded_at/> }.erase())
        };
        floor.read().activity().iter().map(row).collect()
    };
    let is_empty = kept(move || floor.with(|floor| floor.activity().is_empty()));
    view! {
        <aside class="panel activity" aria-labelledby="activity-name">
            <h2 id="activity-name">"Now"</h2>
            <p class="activity-sum" data-testid="floor-sum">
                {drawn(move || floor.with(FloorState::sum))}
            </p>
            {only(move || is_empty.get(), move || view! { <p class="empty">"Quiet so far."</p> }.erase())}
            <ol data-testid="activity">
                {rows(lines)}
            </ol>
            <a class="more" href=House::expect().link("/activity")>
                "Older activity"
            </a>
        </aside>
    }
    .erase()
}

#[component]
fn ActivityLine(line: Activity, loaded_at: Option<Timestamp>) -> impl IntoView {
    let house = House::expect();
    let (at, iso) = (words::clock(line.at), words::iso(line.at));
    let is_new = loaded_at.is_none_or(|loaded_at| line.at > loaded_at);
    let simulated = line.who.clone().filter(|who| who.simulated);
    let place = line.region.map(|region| format!(", {}", region.city()));
    view! {
        <li class="activity-line" class:slides=is_new data-testid="activity-line">
            <a href=house.link(&format!("/lots/{}", line.lot))>
                <span class="activity-what">
                    {words::activity(&line)} {place}
                </span>
                <span class="activity-lot" dir="auto">
                    {line.title.clone()}
                </span>
            </a>
            <span class="activity-meta">
                {simulated.map(|_| view! { <span class="tag">"simulated"</span> }.erase())}
                <time datetime=iso>{at}</time>
            </span>
        </li>
    }
    .erase()
}
