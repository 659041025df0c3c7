//! The one bid control of a room: what may be done now, by this person.

use super::outcome::OutcomePanel;
use super::{ActionMessage, ActorFields, Amount, Clock, Command, length_word};
use crate::actions::{
    BidForm, BidReceipt, ClaimForm, ClaimReceipt, SettleForm, SettleReceipt, bid, claim, settle,
};
use crate::components::lot_card::missing;
use crate::erase::{Erase, Row, drawn, kept, react, rows};
use crate::house::House;
use crate::live::Live;
use crate::words;
use leptos::ev::SubmitEvent;
use leptos::html;
use leptos::prelude::*;
use shared::auction::{Mechanism, Phase};
use shared::view::{LotView, Outcome, RoomView, Terms, WalletView};
use shared::{LotId, Money, PrincipalId, Timestamp};

/// A bid of more than this many times the next valid one is asked about.
const FAR_ABOVE: u32 = 5;

/// What the control is, in this moment, for this person.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Scheduled,
    Guest,
    OwnLot,
    Bid,
    Claim,
    SoldOut,
    Due,
    Over(Outcome),
}

impl Kind {
    /// The word the style sheet knows.
    const fn word(&self) -> &'static str {
        match self {
            Self::Bid => "bid",
            Self::Claim => "claim",
            Self::Scheduled | Self::Guest | Self::OwnLot | Self::SoldOut | Self::Due => "note",
            Self::Over(_) => "over",
        }
    }
}

fn kind(lot: &LotView, now: Timestamp, viewer: Option<PrincipalId>) -> Kind {
    if let Some(outcome) = &lot.outcome {
        return Kind::Over(outcome.clone());
    }
    match (lot.phase(now), &lot.terms) {
        (Phase::Over | Phase::Due, _) => Kind::Due,
        (Phase::Live, Terms::Drop { units_left: 0, .. }) => Kind::SoldOut,
        (Phase::Scheduled, _) => Kind::Scheduled,
        (Phase::Live, _) if viewer.is_none() => Kind::Guest,
        (Phase::Live, _) if viewer == Some(lot.seller.id) => Kind::OwnLot,
        (Phase::Live, Terms::English { .. }) => Kind::Bid,
        (Phase::Live, Terms::Dutch { .. } | Terms::Drop { .. }) => Kind::Claim,
    }
}

/// The control of a room.
#[component]
pub fn Control(
    /// The room.
    room: RwSignal<RoomView>,
    /// The price now.
    price: Memo<Money>,
    /// Who looks.
    viewer: Option<PrincipalId>,
    /// Their wallet.
    wallet: Memo<Option<WalletView>>,
    /// The form's command.
    command: Command,
    /// The settlement's command.
    settling: Command,
) -> impl IntoView {
    let live = Live::expect();
    let snapshot = room.with_untracked(|room| room.server_time);
    let now_kind = kept(move || room.with(|room| kind(&room.lot, live.now(snapshot), viewer)));
    let opens_at = Signal::derive(move || room.with(|room| room.lot.opens_at));
    view! {
        <div class="control" data-kind=drawn(move || now_kind.with(Kind::word))>
            {drawn(move || match now_kind.get() {
                Kind::Scheduled => {
                    view! {
                        <p class="control-note">
                            "Bidding opens in " <Clock until=opens_at snapshot/>
                        </p>
                    }
                        .erase()
                }
                Kind::Guest => {
                    view! {
                        <p class="control-note" data-testid="guest-note">
                            "Choose who you are to take part: the menu is at the top of the page."
                        </p>
                    }
                        .erase()
                }
                Kind::OwnLot => {
                    view! { <p class="control-note">"This lot is yours, so you cannot buy it."</p> }
                        .erase()
                }
                Kind::Bid => view! { <BidControl room viewer wallet command/> }.erase(),
                Kind::Claim => view! { <ClaimControl room price wallet command/> }.erase(),
                Kind::SoldOut => {
                    view! {
                        <p class="control-note">"Sold out. The last unit is gone."</p>
                        <Settle room viewer command=settling/>
                    }
                        .erase()
                }
                Kind::Due => {
                    view! {
                        <p class="control-note">"Bidding is over. The house is settling this lot."</p>
                        <Settle room viewer command=settling/>
                    }
                        .erase()
                }
                Kind::Over(outcome) => view! { <OutcomePanel room viewer outcome/> }.erase(),
            })}
            <ActionMessage command/>
        </div>
    }
    .erase()
}

/// The next valid bid and the quick steps above it.
fn steps(lot: &LotView) -> Vec<Money> {
    let Terms::English {
        increments,
        next_minimum: Some(next),
        ..
    } = &lot.terms
    else {
        return Vec::new();
    };
    let raise = |times: u32| {
        let raise = Money::new(increments.at(next.minor()), next.currency()).ok()?;
        next.checked_add(raise.checked_mul(times).ok()?).ok()
    };
    [1, 5, 10].into_iter().filter_map(raise).collect()
}

/// The own bid, if it leads.
fn own_lead(lot: &LotView, viewer: Option<PrincipalId>) -> Option<Money> {
    match &lot.terms {
        Terms::English {
            leader: Some(line), ..
        } if viewer == Some(line.who.id) => Some(line.amount),
        Terms::English { .. } | Terms::Dutch { .. } | Terms::Drop { .. } => None,
    }
}

fn next_minimum(lot: &LotView) -> Option<Money> {
    match &lot.terms {
        Terms::English { next_minimum, .. } => *next_minimum,
        Terms::Dutch { .. } | Terms::Drop { .. } => None,
    }
}

/// Whether a bid is so far above the next valid one that it may be a slip.
fn is_far_above(amount: Money, next: Money) -> bool {
    let bound = next.checked_mul(FAR_ABOVE);
    bound.is_ok_and(|bound| amount.minor() > bound.minor())
}

#[component]
fn BidControl(
    room: RwSignal<RoomView>,
    viewer: Option<PrincipalId>,
    wallet: Memo<Option<WalletView>>,
    command: Command,
) -> impl IntoView {
    let lot = room.with_untracked(|room| room.lot.clone());
    let (id, currency) = (lot.id, lot.currency);
    let next = kept(move || room.with(|room| next_minimum(&room.lot)));
    let lead = kept(move || room.with(|room| own_lead(&room.lot, viewer)));
    let first_amount = next.get_untracked().map(Money::major).unwrap_or_default();
    let field = NodeRef::<html::Input>::new();
    let edited = RwSignal::new(false);
    follow_next(field, next, edited, first_amount.clone());
    let to_confirm = RwSignal::new(None::<String>);
    let mut led = false;
    react(move || {
        let leads = lead.get().is_some();
        if led && !leads {
            command.forget_done();
        }
        led = leads;
    });
    let house = House::expect();
    let place = move |amount: String| {
        let acting = house.acting();
        let form = BidForm {
            lot: id.to_string(),
            amount,
            currency: currency.code().to_owned(),
            key: String::new(),
            acting_as: acting.as_field(),
            acting_in: acting.in_field(),
        };
        command.press(
            move |key| {
                bid(BidForm {
                    key: key.into(),
                    ..form
                })
            },
            move |receipt: &BidReceipt| {
                edited.set(false);
                format!("Your bid of {} is in.", receipt.line.amount)
            },
        );
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(typed) = field.get_untracked().map(|field| field.value()) else {
            return;
        };
        let amount = Money::parse_major(&typed, currency).ok();
        let far = amount
            .zip(next.get_untracked())
            .filter(|(amount, next)| is_far_above(*amount, *next));
        if let Some((amount, _next)) = far
            && to_confirm.get_untracked().as_deref() != Some(typed.as_str())
        {
            to_confirm.set(Some(typed));
            command.say(format!(
                "{amount} is more than {FAR_ABOVE} times the next valid bid. Press again if you mean it."
            ));
            return;
        }
        to_confirm.set(None);
        place(typed);
    };
    let label = drawn(move || {
        if command.is_pending() {
            "Placing…".to_owned()
        } else if lead.get().is_some() {
            "Raise your bid".to_owned()
        } else {
            "Place bid".to_owned()
        }
    });
    let quick = move || {
        let row = |amount: Money| {
            let place = Callback::new(move |()| place(amount.major()));
            Row::new(amount.minor(), move || {
                view! { <QuickBid lot=id amount command place/> }.erase()
            })
        };
        steps(&room.read().lot).into_iter().map(row).collect()
    };
    view! {
        <Standing room viewer/>
        <form class="bid" method="post" action="/api/bid" data-testid="bid-form" on:submit=submit>
            <input type="hidden" name="lot" value=id.to_string()/>
            <input type="hidden" name="currency" value=currency.code()/>
            <ActorFields command/>
            <label class="field">
                <span>"Your bid, " {currency.code()}</span>
                <input
                    node_ref=field
                    type="text"
                    inputmode="decimal"
                    name="amount"
                    autocomplete="off"
                    data-testid="bid-amount"
                    aria-label=format!("Your bid, {}", currency.code())
                    value=first_amount
                    on:input=move |_| edited.set(true)
                />
            </label>
            <button class="button primary" data-testid="bid-submit" disabled=drawn(move || command.is_stale()) aria-disabled=drawn(move || command.is_pending().to_string())>
                {label}
            </button>
        </form>
        <p class="hint">
            "Next valid bid: " {drawn(move || next.get().map(|next| view! { <Amount amount=next/> }.erase()))}
        </p>
        <div class="quick" role="group" aria-label="Quick bids">
            {rows(quick)}
        </div>
        <BidMeans next lead wallet/>
    }
    .erase()
}

/// A step above the next valid bid: a form of its own, so that it also works without scripts.
#[component]
fn QuickBid(lot: LotId, amount: Money, command: Command, place: Callback<()>) -> impl IntoView {
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        place.run(());
    };
    view! {
        <form method="post" action="/api/bid" on:submit=submit>
            <input type="hidden" name="lot" value=lot.to_string()/>
            <input type="hidden" name="currency" value=amount.currency().code()/>
            <input type="hidden" name="amount" value=amount.major()/>
            <ActorFields command/>
            <button
                class="button"
                data-testid="quick-bid"
                data-length=length_word(amount)
                disabled=drawn(move || command.is_stale()) aria-disabled=drawn(move || command.is_pending().to_string())
            >
                {amount.to_string()}
            </button>
        </form>
    }
    .erase()
}

/// Keeps the field at the next valid bid until somebody types.
fn follow_next(
    field: NodeRef<html::Input>,
    next: Memo<Option<Money>>,
    edited: RwSignal<bool>,
    first_amount: String,
) {
    let mut is_first = true;
    react(move || {
        let next = next.get();
        let edited_now = edited.get();
        let Some(input) = field.get() else {
            return;
        };
        if std::mem::take(&mut is_first) && input.value() != first_amount {
            // Somebody typed before the scripts ran.
            edited.set(true);
            return;
        }
        if !edited_now && let Some(next) = next {
            input.set_value(&next.major());
        }
    });
}

/// Whether the viewer leads, or was outbid.
#[component]
fn Standing(room: RwSignal<RoomView>, viewer: Option<PrincipalId>) -> impl IntoView {
    let standing = kept(move || room.with(|room| standing(room, viewer)));
    drawn(move || {
        standing.get().map(|(leads, sentence)| {
            let tone = if leads { "good" } else { "bad" };
            view! {
                <p class="standing" data-testid="standing" data-tone=tone>
                    {sentence}
                </p>
            }
            .erase()
        })
    })
}

fn standing(room: &RoomView, viewer: Option<PrincipalId>) -> Option<(bool, String)> {
    if let Some(lead) = own_lead(&room.lot, viewer) {
        return Some((true, format!("You lead at {lead}. That much is held.")));
    }
    let viewer = viewer?;
    let own = room.ladder.iter().find(|line| line.who.id == viewer)?;
    Some((
        false,
        format!("You were outbid. {} is yours again.", own.amount),
    ))
}

/// What the viewer has, and what the next bid would hold.
#[component]
fn BidMeans(
    next: Memo<Option<Money>>,
    lead: Memo<Option<Money>>,
    wallet: Memo<Option<WalletView>>,
) -> impl IntoView {
    let means = move || {
        let (wallet, next) = (wallet.get()?, next.get()?);
        let more = lead
            .get()
            .and_then(|lead| next.checked_sub(lead).ok())
            .unwrap_or(next);
        Some((wallet.available, more))
    };
    view! { <Means means=Signal::derive(means) verb="would be held for the next valid bid"/> }
}

#[component]
fn Means(means: Signal<Option<(Money, Money)>>, verb: &'static str) -> impl IntoView {
    let house = House::expect();
    drawn(move || {
        means.get().map(|(available, needed)| {
            let short = missing(needed, available).map(|short| {
                let acting = house.acting();
                let currency = short.currency().code();
                let to = acting.link_with("/wallet", &[("currency", currency)]);
                view! {
                    <p class="short" data-testid="short">
                        {format!("You are {short} short. ")} <a href=to>"Top up"</a>
                    </p>
                }
                .erase()
            });
            view! {
                <div class="means">
                    <p>
                        "You have " <Amount amount=available/> " available; " <Amount amount=needed/> " "
                        {verb} "."
                    </p>
                    {short}
                </div>
            }
            .erase()
        })
    })
}

/// How many units the field asks for, as far as it can be read.
fn units_typed(text: &str) -> u32 {
    text.trim().parse().unwrap_or(1).max(1)
}

#[component]
fn ClaimControl(
    room: RwSignal<RoomView>,
    price: Memo<Money>,
    wallet: Memo<Option<WalletView>>,
    command: Command,
) -> impl IntoView {
    let lot = room.with_untracked(|room| room.lot.clone());
    let (id, currency, mechanism) = (lot.id, lot.currency, lot.mechanism());
    let is_drop = mechanism == Mechanism::Drop;
    let most = match &lot.terms {
        Terms::Drop { limit, units, .. } => limit.unwrap_or(*units),
        Terms::Dutch { .. } | Terms::English { .. } => 1,
    };
    let typed = RwSignal::new("1".to_owned());
    let house = House::expect();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let acting = house.acting();
        let form = ClaimForm {
            lot: id.to_string(),
            units: typed.get_untracked(),
            max_price: price.get_untracked().minor().to_string(),
            currency: currency.code().to_owned(),
            key: String::new(),
            acting_as: acting.as_field(),
            acting_in: acting.in_field(),
        };
        command.press(
            move |key| {
                claim(ClaimForm {
                    key: key.into(),
                    ..form
                })
            },
            move |receipt: &ClaimReceipt| claimed(receipt, mechanism),
        );
    };
    let total = kept(move || words::times(price.get(), units_typed(&typed.get())));
    let label = drawn(move || {
        if command.is_pending() {
            "Claiming…".to_owned()
        } else if is_drop {
            format!("Buy for {}", total.get())
        } else {
            format!("Claim at {}", price.get())
        }
    });
    let means = move || Some((wallet.get()?.available, total.get()));
    view! {
        <form class="claim" method="post" action="/api/claim" data-testid="claim-form" on:submit=submit>
            <input type="hidden" name="lot" value=id.to_string()/>
            <input type="hidden" name="currency" value=currency.code()/>
            <input type="hidden" name="max_price" value=drawn(move || price.get().minor().to_string())/>
            <ActorFields command/>
            {if is_drop {
                view! {
                    <label class="field units">
                        <span>"Units, up to " {most}</span>
                        <input
                            type="text"
                            inputmode="numeric"
                            name="units"
                            autocomplete="off"
                            data-testid="claim-units"
                            value="1"
                            on:input=move |event| typed.set(event_target_value(&event))
                        />
                    </label>
                }
                    .erase()
            } else {
                view! { <input type="hidden" name="units" value="1"/> }.erase()
            }}
            <button
                class="button primary"
                data-testid="claim-submit"
                disabled=drawn(move || command.is_stale()) aria-disabled=drawn(move || command.is_pending().to_string())
            >
                {label}
            </button>
        </form>
        <p class="hint">
            {if is_drop {
                "You pay at once."
            } else {
                "You pay at once, and never more than the price on the button."
            }}
        </p>
        <Means means=Signal::derive(means) verb="would be paid"/>
    }
    .erase()
}

/// What a claim did, in words.
#[must_use]
pub fn claimed(receipt: &ClaimReceipt, mechanism: Mechanism) -> String {
    let units = receipt.line.units;
    if mechanism == Mechanism::Dutch {
        format!("It is yours for {}.", receipt.total)
    } else if units == 1 {
        format!("One unit is yours for {}.", receipt.total)
    } else {
        format!("{units} units are yours for {}.", receipt.total)
    }
}

/// Settles a lot that is due; it also happens by itself.
#[component]
fn Settle(
    room: RwSignal<RoomView>,
    viewer: Option<PrincipalId>,
    command: Command,
) -> impl IntoView {
    let id = room.with_untracked(|room| room.lot.id);
    let house = House::expect();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let acting = house.acting();
        let form = SettleForm {
            lot: id.to_string(),
            key: String::new(),
            acting_as: acting.as_field(),
            acting_in: acting.in_field(),
        };
        command.press(
            move |key| {
                settle(SettleForm {
                    key: key.into(),
                    ..form
                })
            },
            move |receipt: &SettleReceipt| words::outcome(&receipt.outcome, viewer),
        );
    };
    viewer.map(|_person| {
        view! {
            <form class="settle" method="post" action="/api/settle" on:submit=submit>
                <input type="hidden" name="lot" value=id.to_string()/>
                <ActorFields command/>
                <button
                    class="button"
                    data-testid="settle-submit"
                    disabled=drawn(move || command.is_stale()) aria-disabled=drawn(move || command.is_pending().to_string())
                >
                    {drawn(move || if command.is_pending() { "Settling…" } else { "Settle now" })}
                </button>
            </form>
            <ActionMessage command/>
        }
    })
}
