//! Reading JSON into the house's types with little code.
//!
//! The browser reads some fifty types, and derived readers made up a fifth of the bundle. Here
//! JSON is first read as a tree; [`Read`] then picks the fields of a type. The server writes with
//! serde as ever, and the tests hold both sides together: whatever serde writes is read back equal.

mod json;

pub use json::Json;

use crate::actions::{
    FloorPage, NotDone, Problem, ReadError, RoomPage, Said, StillPage, Theme, ViewerPage,
    WalletPage,
};
use crate::receipts::{BidReceipt, ClaimReceipt, KeptOutcome, SettleReceipt, TopUpReceipt};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use shared::auction::{Dutch, Extension, Increments, Mechanism, Refusal, Status, english::Band};
use shared::live::{
    Channel, ErrorCode, LotEvent, Position, Push, ServerFrame, ServerMessage, Snapshot,
};
use shared::view::{
    Activity, ActivityKind, BoardLine, ChatMessage, ChatView, CrowdView, FloorView, LadderLine,
    LotView, Notice, Outcome, Person, Reaction, Reserve, RoomView, Terms, WalletView,
};
use shared::{
    BidId, Currency, IdempotencyKey, LotId, MessageId, Money, PrincipalId, Region, Timestamp,
    TransferId,
};

/// A value that is read by [`Read`], for callers that know only serde. Its JSON is that of the
/// value itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Lean<T> {
    /// The value.
    pub value: T,
}

impl<T> From<T> for Lean<T> {
    fn from(value: T) -> Self {
        Self { value }
    }
}

impl<'de, T: Read> Deserialize<'de> for Lean<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = serde_json::Value::deserialize(deserializer)?.to_string();
        let value = Json::parse(&json).and_then(|json| T::read(&json));
        let value = value.ok_or_else(|| D::Error::custom("not of the expected form"))?;
        Ok(Self { value })
    }
}

/// Lets serde's callers read a type in the same way.
macro_rules! reads_with_lean {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::lean::Lean::deserialize(deserializer).map(|lean| lean.value)
            }
        }
    };
}
pub(crate) use reads_with_lean;

/// Reads a value; `None` if the JSON is not of its form.
pub trait Read: Sized {
    /// The value that the JSON says.
    fn read(json: &Json) -> Option<Self>;
}

fn field<T: Read>(json: &Json, name: &str) -> Option<T> {
    T::read(json.get(name))
}

impl Read for i64 {
    fn read(json: &Json) -> Option<Self> {
        json.number()
    }
}

impl Read for u64 {
    fn read(json: &Json) -> Option<Self> {
        json.number()?.try_into().ok()
    }
}

impl Read for u32 {
    fn read(json: &Json) -> Option<Self> {
        json.number()?.try_into().ok()
    }
}

impl Read for bool {
    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(is) => Some(*is),
            Json::Null | Json::Number(_) | Json::Text(_) | Json::List(_) | Json::Object(_) => None,
        }
    }
}

impl Read for String {
    fn read(json: &Json) -> Option<Self> {
        json.text().map(str::to_owned)
    }
}

impl<T: Read> Read for Option<T> {
    fn read(json: &Json) -> Option<Self> {
        if *json == Json::Null {
            Some(None)
        } else {
            T::read(json).map(Some)
        }
    }
}

impl<T: Read> Read for Box<T> {
    fn read(json: &Json) -> Option<Self> {
        T::read(json).map(Self::new)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::List(values) => values.iter().map(T::read).collect(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => None,
        }
    }
}

impl Read for Timestamp {
    fn read(json: &Json) -> Option<Self> {
        json.number().map(Self)
    }
}

impl Read for Money {
    fn read(json: &Json) -> Option<Self> {
        Self::new(field(json, "minor")?, field(json, "currency")?).ok()
    }
}

impl Read for Increments {
    fn read(json: &Json) -> Option<Self> {
        Self::new(Vec::read(json)?)
    }
}

impl Read for CrowdView {
    fn read(json: &Json) -> Option<Self> {
        let totals = json.get("reactions");
        let total = |reaction: Reaction| Some((reaction, u64::read(totals.get(reaction.word()))?));
        Some(Self {
            watchers: field(json, "watchers")?,
            people: field(json, "people")?,
            reactions: Reaction::ALL.into_iter().filter_map(total).collect(),
            top: field(json, "top")?,
        })
    }
}

/// Types that are written as text and know how to read it.
macro_rules! texts {
    ($($type:ty,)*) => {$(
        impl Read for $type {
            fn read(json: &Json) -> Option<Self> {
                json.text()?.parse().ok()
            }
        }
    )*};
}

texts! {
    BidId, Currency, IdempotencyKey, LotId, MessageId, PrincipalId, Region, TransferId, Channel,
}

/// Enums without fields, written as a word.
macro_rules! words {
    ($($type:ident { $($variant:ident = $word:literal,)* })*) => {$(
        impl Read for $type {
            fn read(json: &Json) -> Option<Self> {
                match json.text()? {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}

words! {
    Mechanism { English = "english", Dutch = "dutch", Drop = "drop", }
    Status { Open = "open", Sold = "sold", Passed = "passed", Cancelled = "cancelled", }
    Reserve { None = "none", NotMet = "not_met", Met = "met", }
    ActivityKind {
        Opened = "opened", Bid = "bid", Claimed = "claimed", Sold = "sold", Passed = "passed",
    }
    ErrorCode {
        Malformed = "malformed", NotFound = "not_found", SignIn = "sign_in",
        InvalidText = "invalid_text", RateLimited = "rate_limited",
        TooManyChannels = "too_many_channels", Unavailable = "unavailable",
        Forbidden = "forbidden", InvalidDuration = "invalid_duration", Muted = "muted",
        SlowMode = "slow_mode",
    }
    Theme { System = "system", Light = "light", Dark = "dark", }
    ReadError {
        NotFound = "not_found", Guest = "guest", Unavailable = "unavailable",
        BadRequest = "bad_request",
    }
}

/// Structs, written as objects.
macro_rules! objects {
    ($($type:ident { $($field:ident,)* })*) => {$(
        impl Read for $type {
            fn read(json: &Json) -> Option<Self> {
                Some(Self { $($field: field(json, stringify!($field))?,)* })
            }
        }
    )*};
}

objects! {
    Band { from_minor, increment_minor, }
    Extension { window_ms, hard_end, }
    Dutch { start, floor, step_minor, tick_ms, }
    Person { id, handle, name, simulated, }
    LadderLine { id, who, region, amount, units, at, }
    LotView {
        id, title, art, seller, currency, opens_at, closes_at, status, terms, outcome, epoch,
        offset,
    }
    RoomView { lot, description, ladder, server_time, }
    FloorView { live, settled, activity, server_time, }
    Activity { id, lot, title, what, who, region, amount, at, }
    WalletView { available, held, spent, funded, version, }
    ChatMessage { id, client_id, who, region, text, at, }
    ChatView { messages, before, slow_s, }
    BoardLine { who, amount, }
    Position { epoch, offset, }
    BidReceipt { line, version, closes_at, next_minimum, }
    ClaimReceipt { line, total, transfer, }
    SettleReceipt { lot, outcome, }
    TopUpReceipt { amount, wallet, }
    ViewerPage { person, region, demo, wallet, theme, }
    FloorPage { floor, leaders, }
    RoomPage {
        room, chat, chat_is_down, moderates, crowd, wallet, head, about, key, settle_key,
        said,
    }
    StillPage { title, html, }
    WalletPage { wallet, proceeds, server_time, holds, statement, key, said, }
}

/// Enums whose variants are told apart by a word in the same object. A variant holds fields, or
/// one value that shares the object, or nothing.
macro_rules! tagged {
    ($($type:ident by $tag:literal { $($word:literal => $variant:ident $body:tt,)* })*) => {$(
        impl Read for $type {
            fn read(json: &Json) -> Option<Self> {
                Some(match json.get($tag).text()? {
                    $($word => tagged!(@ $type $variant json $body),)*
                    _ => return None,
                })
            }
        }
    )*};
    (@ $type:ident $variant:ident $json:ident { $($field:ident),* }) => {
        $type::$variant { $($field: field($json, stringify!($field))?,)* }
    };
    (@ $type:ident $variant:ident $json:ident (same)) => { $type::$variant(Read::read($json)?) };
    (@ $type:ident $variant:ident $json:ident ()) => { $type::$variant };
}

tagged! {
    Terms by "mechanism" {
        "english" => English { opening, increments, extension, reserve, leader, next_minimum },
        "dutch" => Dutch { schedule },
        "drop" => Drop { price, units, units_left, limit },
    }
    Outcome by "outcome" {
        "sold" => Sold { line },
        "drop_ended" => DropEnded { units_sold, total },
        "passed" => Passed { reserve_not_met },
        "cancelled" => Cancelled (),
    }
    Notice by "notice" {
        "outbid" => Outbid { lot, title, freed, price },
        "won" => Won { lot, title, paid },
        "freed" => Freed { lot, title, freed },
        "sold_yours" => SoldYours { lot, title, proceeds },
    }
    Refusal by "code" {
        "not_found" => NotFound (),
        "not_live" => NotLive { opens_at },
        "ended" => Ended (),
        "too_low" => TooLow { minimum },
        "insufficient" => Insufficient { needed, available },
        "sold_out" => SoldOut { units_left },
        "price_moved" => PriceMoved { price },
        "own_lot" => OwnLot (),
        "limit_reached" => LimitReached { limit, bought },
        "wrong_mechanism" => WrongMechanism { mechanism },
        "currency_mismatch" => CurrencyMismatch { expected },
        "invalid_amount" => InvalidAmount (),
        "not_due" => NotDue { closes_at },
        "top_up_limit" => TopUpLimit { most },
    }
    KeptOutcome by "command" {
        "bid" => Bid (same),
        "claim" => Claim (same),
        "settle" => Settle (same),
        "top_up" => TopUp (same),
        "refused" => Refused (same),
    }
    Said by "said" {
        "decided" => Decided { answer },
        "problem" => Problem { code },
    }
    NotDone by "not_done" {
        "refused" => Refused (same),
        "invalid" => Invalid { code, field },
        "failed" => Failed { code },
    }
    ServerMessage by "type" {
        "hello" => Hello { acting },
        "done" => Done { id },
        "subscribed" => Subscribed { id, channel, recovered },
        "error" => Error { id, code, message, temporary, until },
        "history" => History { id, messages, before },
        "pong" => Pong { id },
        "ping" => Ping (),
        "snapshot" => Snapshot { channel, snapshot },
        "push" => Push { channel, position, push },
        "resync" => Resync { channel },
    }
    Snapshot by "kind" {
        "room" => Room (same),
        "chat" => Chat (same),
        "crowd" => Crowd (same),
        "me" => Me { wallet },
        "floor" => Floor (same),
    }
    Push by "kind" {
        "event" => Event (same),
        "tick" => Tick { price },
        "stock" => Stock { units_left, line },
        "chat" => Chat (same),
        "removed" => Removed { message },
        "slow" => Slow { seconds },
        "crowd" => Crowd (same),
        "card" => Card (same),
        "activity" => Activity (same),
        "wallet" => Wallet (same),
        "notice" => Notice (same),
    }
    LotEvent by "event" {
        "bid" => Bid { line, closes_at, extended, reserve, next_minimum },
        "closed" => Closed { status, outcome, closes_at },
    }
}

impl Read for Problem {
    fn read(json: &Json) -> Option<Self> {
        Self::of_code(json.text()?)
    }
}

impl Read for crate::actions::Fault {
    fn read(json: &Json) -> Option<Self> {
        Self::of_code(json.text()?)
    }
}

impl<T: Read> Read for Lean<T> {
    fn read(json: &Json) -> Option<Self> {
        T::read(json).map(Self::from)
    }
}

impl Read for ServerFrame {
    fn read(json: &Json) -> Option<Self> {
        Some(Self {
            server_time: field(json, "server_time")?,
            message: Read::read(json)?,
        })
    }
}

#[cfg(test)]
mod tests;
