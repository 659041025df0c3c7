//! The values that fields have, with their bounds from where the rules are.

use crate::ledger::checkout::items;
use shared::key::MAX_KEY_BYTES;
use shared::money::MAX_MINOR;
use shared::purchase::{MAX_AGENT_BYTES, MAX_LABEL_CHARS};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
}

fn integer(description: &str, least: i64, most: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least))
        .maximum(Some(most))
        .description(Some(description))
}

/// Kinds of values; each is what its builder says.
macro_rules! scalars {
    ($($(#[doc = $doc:literal])+ $name:ident = $build:expr;)+) => {
        $(
            $(#[doc = $doc])+
            pub enum $name {}

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let description = concat!($($doc),+).trim();
                    let build: fn(&str) -> ObjectBuilder = $build;
                    build(description).into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

/// Ids; each is a prefix and the digits of one example.
macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident, $digit:literal;)+) => {
        scalars! {
            $(
                $(#[doc = $doc])+
                $name = |description| {
                    let prefix = shared::$name::PREFIX;
                    text(description)
                        .pattern(Some(format!("^{prefix}[0-9a-f]{{32}}$")))
                        .examples([format!("{prefix}{}", $digit.repeat(16))])
                };
            )+
        }
    };
}

ids! {
    /// A merchant's id.
    MerchantId, "1a";
    /// An item's id.
    ItemId, "2b";
    /// A mandate's id.
    MandateId, "3c";
    /// A purchase's id. It follows from tenant and Idempotency-Key, so a repeat has the same.
    PurchaseId, "4d";
    /// The id of a transfer in the ledger.
    TransferId, "5e";
    /// A webhook endpoint's id.
    WebhookEndpointId, "6f";
    /// A delivery's id. It is the webhook-id header of the message.
    DeliveryId, "70";
    /// The id of what happened.
    EventId, "81";
    /// A lot's id.
    LotId, "92";
    /// A bid's id.
    BidId, "a3";
    /// A claim's id.
    ClaimId, "b4";
}

scalars! {
    /// A currency as of ISO 4217. It says what a minor unit is: a cent of USD, a yen of JPY.
    Currency = |description| text(description)
        .enum_values(Some(shared::Currency::ALL.map(shared::Currency::code)))
        .examples(["USD"]);
    /// Minor units of the currency, such as cents: an integer from 1 to 2^53 − 1.
    AmountMinor = |description| integer(description, 1, MAX_MINOR).examples([1_250]);
    /// Minor units of the currency, such as cents: an integer, 0 or more.
    SumMinor = |description| integer(description, 0, MAX_MINOR).examples([1_250]);
    /// Minor units of the currency with a sign: what is positive comes in.
    SignedMinor = |description| integer(description, -MAX_MINOR, MAX_MINOR).examples([-1_250]);
    /// An instant: milliseconds since 1970, UTC.
    InstantMs = |description| integer(description, 0, MAX_MINOR).examples([1_764_000_000_000_i64]);
    /// Units that are asked for.
    Quantity = |description| {
        integer(description, 1, i64::from(shared::purchase::MAX_QUANTITY)).examples([1])
    };
    /// Units, none or more.
    Units = |description| {
        integer(description, 0, i64::from(items::MAX_UNITS)).examples([100])
    };
    /// Units, one or more.
    MoreUnits = |description| {
        integer(description, 1, i64::from(items::MAX_UNITS)).examples([100])
    };
    /// Units of a lot, one or more; a Dutch lot has one.
    LotUnits = |description| {
        integer(description, 1, i64::from(shared::auction::drop::MAX_UNITS)).examples([1])
    };
    /// Units of a lot that are left.
    LotUnitsLeft = |description| {
        integer(description, 0, i64::from(shared::auction::drop::MAX_UNITS)).examples([19])
    };
    /// Counts the changes of a lot: each bid is one, and its end.
    LotVersion = |description| integer(description, 1, MAX_MINOR).examples([2]);
    /// Where the agent acts, by the code of an AWS Region.
    Region = |description| text(description)
        .enum_values(Some(shared::Region::ALL.map(shared::Region::code)))
        .examples(["eu-central-1"]);
    /// Seconds from now, up to a year of 366 days.
    LifetimeS = |description| {
        integer(description, 1, super::super::mandates::MAX_LIFETIME_S).examples([86_400])
    };
    /// A name of 1 to 120 visible characters, without a space at its ends and without characters
    /// that hide or turn others.
    Label = |description| text(description)
        .min_length(Some(1))
        .max_length(Some(MAX_LABEL_CHARS))
        .examples(["Socks & Co"]);
    /// The agent's name of your choice: 1 to 64 printable ASCII characters. Repeats of the same
    /// purchase are suspected by agent.
    AgentId = |description| text(description)
        .min_length(Some(1))
        .max_length(Some(MAX_AGENT_BYTES))
        .pattern(Some("^[!-~]+$"))
        .examples(["scout"]);
    /// An https URL on a public address, port 443 or 8443.
    WebhookUrl = |description| text(description)
        .max_length(Some(crate::webhooks::guard::MAX_URL_BYTES))
        .format(Some(SchemaFormat::Custom("uri".to_owned())))
        .examples(["https://shop.example/webhooks"]);
    /// A secret that messages are signed with, as of Standard Webhooks.
    WebhookSecret = |description| text(description)
        .pattern(Some("^whsec_"))
        .examples(["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]);
    /// 1 to 255 printable ASCII characters.
    IdempotencyKey = |description| text(description)
        .min_length(Some(1))
        .max_length(Some(MAX_KEY_BYTES))
        .pattern(Some("^[!-~]+$"))
        .examples(["5f0c6a52-6f0e-4b86-9f0e-3a1c7f1f2d11"]);
    /// Where the next page begins: a page's `next_cursor`. It has no meaning beyond that.
    Cursor = text;
}
