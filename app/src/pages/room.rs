//! A lot's room.

use super::{Broken, NotFound, acted};
use crate::actions::{Page, PageForm, ReadError, RoomPage, ViewerPage};
use crate::components::{Clock, Command, Control, Crowd, Ladder, Price, PriceChart, TickBar};
use crate::erase::{Erase, drawn, kept, react};
use crate::head::head;
use crate::house::{House, asking, load};
use crate::live::{Live, News};
use crate::words;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use shared::auction::{Mechanism, Phase};
use shared::live::{Applied, Channel, Position, Push, Snapshot, apply, apply_units_left};
use shared::view::{LadderLine, LotView, Reserve, RoomView, Terms};
use shared::{Money, Timestamp};
use std::time::Duration;

/// The room of a lot.
#[component]
pub fn Room(
    /// The lot's id, as the address has it.
    lot: String,
) -> impl IntoView {
    let house = House::expect();
    let query = use_query_map();
    let page = load(Page::Room, move || PageForm {
        lot: lot.clone(),
        ..asking(&house.acting(), query)
    });
    view! {
        <Suspense fallback=|| view! { <div class="skeleton tall" aria-hidden="true"></div> }>
            {move || Suspend::new(async move {
                let viewer = house.viewer().await;
                match (viewer, page.await.page()) {
                    (Ok(viewer), Ok(page)) => view! { <LiveRoom page viewer/> }.erase(),
                    (_, Err(ReadError::NotFound)) => view! { <NotFound/> }.erase(),
                    (Err(_), _)
                    | (
                        _,
                        Err(ReadError::Guest | ReadError::Unavailable | ReadError::BadRequest),
                    ) => view! { <Broken/> }.erase(),
                }
            })}
        </Suspense>
    }
    .erase()
}

/// What a phone shows beside the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Bids,
    Chat,
    Lot,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Bids, Self::Chat, Self::Lot];

    const fn word(self) -> &'static str {
        match self {
            Self::Bids => "bids",
            Self::Chat => "chat",
            Self::Lot => "lot",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Bids => "Bids",
            Self::Chat => "Chat",
            Self::Lot => "The lot",
        }
    }
}

#[component]
fn LiveRoom(page: RoomPage, viewer: ViewerPage) -> impl IntoView {
    let live = Live::expect();
    let lot = page.room.lot.clone();
    let snapshot = page.room.server_time;
    let own = viewer.person.as_ref().map(|person| person.id);
    let room = RwSignal::new(page.room);
    // Not in an effect: the page says it without scripts too.
    live.chat_is_down.set(page.chat_is_down);
    react(move || {
        live.seen(snapshot);
        listen(live, room);
    });
    summaries(live, room);
    let wallet = page.wallet;
    let wallet = kept(move || live.newest_wallet(wallet.as_ref()));
    let said = page.said.and_then(|said| acted(said, own, lot.mechanism()));
    let command = Command::new(page.key, said);
    let settling = Command::new(page.settle_key, None);
    let price = kept(move || room.with(|room| room.lot.price_at(live.now(snapshot))));
    let tab = RwSignal::new(Tab::Bids);
    say(&lot, price);
    view! {
        <div
            class="room"
            data-tab=drawn(move || tab.get().word())
            data-mechanism=lot.mechanism().word()
        >
            // house-rule inner-html: the server drew it, and escaped what people wrote
            <section class="lot-head" inner_html=page.head></section>
            <div class="desk-column">
                <div class="desk-stays">
                    <section class="desk" aria-label="Price and bidding">
                        <PricePanel room price snapshot/>
                        <Control room price viewer=own wallet command settling/>
                    </section>
                    <PriceChart room price/>
                </div>
            </div>
            <Tabs tab/>
            <div class="room-below">
                <Ladder room viewer=own/>
            </div>
            // house-rule inner-html: the server drew it, and escaped what people wrote
            <div class="room-about" inner_html=page.about></div>
            <aside class="room-crowd">
                <Crowd
                    lot=lot.id
                    is_drop=lot.mechanism() == Mechanism::Drop
                    chat=page.chat
                    moderates=page.moderates
                    crowd=page.crowd
                    person=viewer.person
                    region=viewer.region
                />
            </aside>
        </div>
    }
    .erase()
}

/// Follows the lot's channel; a gap asks for the whole state.
fn listen(live: Live, room: RwSignal<RoomView>) {
    let lot = room.with_untracked(|room| room.lot.id);
    let channel = Channel::Lot(lot);
    let since = move || room.try_with_untracked(place).flatten();
    let hear = move |news: News<'_>| match news {
        News::Snapshot(Snapshot::Room(now)) => room
            .try_update(|room| take_snapshot(room, now))
            .unwrap_or(0),
        News::Push(Some(position), Push::Event(event)) => {
            match room.try_update(|room| apply(room, position, event)) {
                Some(Applied::Changed) => 1,
                Some(Applied::Gap) => {
                    live.resync(channel);
                    0
                }
                Some(Applied::Repeat) | None => 0,
            }
        }
        News::Push(_, Push::Stock { units_left, line }) => {
            room.try_update(|room| apply_units_left(room, *units_left, line.as_ref()));
            1
        }
        // The schedule and the clock say the same as a tick does.
        News::Snapshot(_) | News::Push(..) => 0,
    };
    let listener = live.join(channel, since, hear);
    on_cleanup(move || live.leave(listener));
}

/// From where the room can be continued. Claims of a drop have no offset, so its place does not
/// tell whether one was missed: there only the whole state does.
fn place(room: &RoomView) -> Option<Position> {
    (room.lot.mechanism() != Mechanism::Drop).then_some(Position {
        epoch: room.lot.epoch,
        offset: room.lot.offset,
    })
}

/// Says what others bid in one sentence every few seconds, however many bids there were.
fn summaries(live: Live, room: RwSignal<RoomView>) {
    const PAUSE: Duration = Duration::from_secs(6);
    let newest = kept(move || room.with(|room| room.ladder.first().map(|l| l.id.clone())));
    let waiting = StoredValue::new(false);
    let mut is_first = true;
    react(move || {
        // Reading makes the memo work; tracking alone would leave it asleep.
        let _newest = newest.get();
        if !std::mem::take(&mut is_first) && !waiting.get_value() {
            waiting.set_value(true);
            set_timeout(
                move || {
                    // The room may have been left meanwhile.
                    let _left = waiting.try_set_value(false);
                    let said = room.try_with_untracked(summary).flatten();
                    if let Some(said) = said {
                        live.polite.set(said);
                    }
                },
                PAUSE,
            );
        }
    });
}

fn summary(room: &RoomView) -> Option<String> {
    let line = room.ladder.first()?;
    let who = &line.who.name;
    Some(match &room.lot.terms {
        Terms::English { .. } => format!("{who} leads at {}.", line.amount),
        Terms::Dutch { .. } => format!("{who} claimed at {}.", line.amount),
        Terms::Drop { units_left, .. } => format!("{units_left} units are left."),
    })
}

/// Takes the whole state; answers how many events it brought.
fn take_snapshot(room: &mut RoomView, now: &RoomView) -> u32 {
    let missed = if room.lot.epoch == now.lot.epoch {
        now.lot.offset.saturating_sub(room.lot.offset).max(0)
    } else {
        1
    };
    // Claims of a drop have no offset; their lines tell how many there were.
    let known = |line: &&LadderLine| room.ladder.iter().all(|known| known.id != line.id);
    let lines = now.ladder.iter().filter(known).count();
    *room = now.clone();
    let missed = missed.max(i64::try_from(lines).unwrap_or(i64::MAX));
    u32::try_from(missed).unwrap_or(u32::MAX)
}

/// What the tab's title and links to the lot say.
fn say(lot: &LotView, price: Memo<Money>) {
    let title = lot.title.clone();
    let at_load = price.get_untracked();
    let lot = lot.clone();
    head(
        move || format!("{} · {title}", price.get()),
        move || {
            let kind = words::mechanism(lot.mechanism());
            let said = format!("{kind}: {at_load}. Bid live on LotZero.");
            vec![
                ("og:title", lot.title),
                ("og:description", said),
                ("og:type", "product".into()),
                ("og:image", format!("/art/{}.svg", lot.art)),
                ("og:url", format!("/lots/{}", lot.id)),
                ("twitter:card", "summary_large_image".into()),
            ]
        },
    );
}

#[component]
fn Tabs(tab: RwSignal<Tab>) -> impl IntoView {
    let choices: Vec<_> = Tab::ALL
        .into_iter()
        .map(|one| {
            view! {
                <button
                    type="button"
                    data-testid=format!("tab-{}", one.word())
                    aria-pressed=drawn(move || (tab.get() == one).to_string())
                    on:click=move |_| tab.set(one)
                >
                    {one.name()}
                </button>
            }
        })
        .collect();
    view! {
        <div class="tabs" role="group" aria-label="Show">
            {choices}
        </div>
    }
    .erase()
}

/// The price, the time, and the rule beside it.
#[component]
fn PricePanel(room: RwSignal<RoomView>, price: Memo<Money>, snapshot: Timestamp) -> impl IntoView {
    let live = Live::expect();
    let phase = kept(move || room.with(|room| room.lot.phase(live.now(snapshot))));
    let caption = kept(move || {
        let phase = phase.get();
        room.with(|room| caption(&room.lot, phase))
    });
    milestones(live, room, snapshot);
    view! {
        <div class="price-panel">
            <p class="price-caption">{drawn(move || caption.get())}</p>
            <p class="price-now">
                <Price amount=price/>
            </p>
            <p class="last-known">"Last known: the connection is down."</p>
            <Timing room phase snapshot/>
            <ReserveLine room/>
        </div>
    }
    .erase()
}

fn caption(lot: &LotView, phase: Phase) -> String {
    if lot.outcome.is_some() || phase == Phase::Over {
        return "Final price".to_owned();
    }
    match &lot.terms {
        Terms::English { leader: None, .. } => "Opening price".to_owned(),
        Terms::English {
            leader: Some(line), ..
        } => format!("Leading bid, {} in {}", line.who.name, line.region.city()),
        Terms::Dutch { .. } => "Price now".to_owned(),
        Terms::Drop {
            units_left, units, ..
        } => format!("Each; {units_left} of {units} left"),
    }
}

#[component]
fn Timing(room: RwSignal<RoomView>, phase: Memo<Phase>, snapshot: Timestamp) -> impl IntoView {
    let opens_at = Signal::derive(move || room.with(|room| room.lot.opens_at));
    let closes_at = Signal::derive(move || room.with(|room| room.lot.closes_at));
    let rule = kept(move || room.with(|room| rule(&room.lot)));
    let ends = kept(move || words::clock(closes_at.get()));
    drawn(move || match phase.get() {
        Phase::Scheduled => view! {
            <p class="timing">
                "Opens in " <Clock until=opens_at snapshot/>
            </p>
        }
        .erase(),
        Phase::Live => view! {
            <p class="timing">
                "Ends in " <Clock until=closes_at snapshot/>
                <span class="timing-at">", at " {drawn(move || ends.get())} " UTC"</span>
            </p>
            <TickBar room snapshot/>
            <p class="rule">{drawn(move || rule.get())}</p>
        }
        .erase(),
        Phase::Due => view! { <p class="timing">"The time is over."</p> }.erase(),
        Phase::Over => view! {
            <p class="timing">"Ended " {drawn(move || ends.get())} " UTC"</p>
        }
        .erase(),
    })
}

/// The rule that the clock follows, in one sentence.
fn rule(lot: &LotView) -> String {
    match &lot.terms {
        Terms::English { extension, .. } if extension.window_ms > 0 => format!(
            "A bid in the last {} extends the end, never past {} UTC.",
            words::span(extension.window_ms),
            words::clock(extension.hard_end)
        ),
        Terms::English { .. } => "The end does not move.".to_owned(),
        Terms::Dutch { schedule } => format!(
            "The price falls every {} until somebody claims, down to {}.",
            words::span(schedule.tick_ms),
            schedule.floor
        ),
        Terms::Drop { limit, .. } => limit.map_or_else(
            || "First come, first served.".to_owned(),
            |limit| format!("First come, first served, {limit} per buyer."),
        ),
    }
}

#[component]
fn ReserveLine(room: RwSignal<RoomView>) -> impl IntoView {
    let said = kept(move || {
        room.with(|room| match room.lot.terms {
            _ if room.lot.outcome.is_some() => None,
            Terms::English {
                reserve: Reserve::Met,
                ..
            } => Some("Reserve met: this lot will be sold."),
            Terms::English {
                reserve: Reserve::NotMet,
                ..
            } => Some("Reserve not met yet."),
            Terms::English { .. } | Terms::Dutch { .. } | Terms::Drop { .. } => None,
        })
    });
    drawn(move || {
        said.get()
            .map(|said| view! { <p class="reserve">{said}</p> }.erase())
    })
}

/// Says how much time is left at the moments that matter, once each.
fn milestones(live: Live, room: RwSignal<RoomView>, snapshot: Timestamp) {
    const MARKS_S: [i64; 4] = [300, 60, 30, 10];
    let mut before = None;
    react(move || {
        let (closes_at, is_open) =
            room.with(|room| (room.lot.closes_at, room.lot.outcome.is_none()));
        let left_s = closes_at.since_ms(live.now(snapshot)).div_euclid(1_000);
        let before = before.replace(left_s).unwrap_or(left_s);
        let passed = |mark: &&i64| before > **mark && left_s <= **mark;
        if is_open && let Some(mark) = MARKS_S.iter().find(passed) {
            live.polite
                .set(format!("{} left.", words::span(mark * 1_000)));
        } else if is_open && before > 0 && left_s <= 0 {
            live.polite.set("Bidding is over.".to_owned());
        }
    });
}
