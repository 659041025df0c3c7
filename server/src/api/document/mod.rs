//! The OpenAPI document. Each route is declared together with its documentation
//! (`#[utoipa::path]`, `routes!`), so none can be missing; what all routes have in common, headers
//! and errors, is added here from where it is decided.

mod common;
mod serve;

pub use serve::routes;

use super::Api;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, ServerBuilder,
};
use utoipa_axum::router::OpenApiRouter;

/// The name of the security scheme.
const KEY: &str = "key";

/// Groups of routes, in the order in which one needs them.
const TAGS: [(&str, &str); 10] = [
    (
        "Sandbox",
        "Buy from the house's own stand: no API key, test money, the real kernel.",
    ),
    ("Purchases", "One idempotent call buys, or says why not."),
    ("Refunds", "Pay back all of a purchase or a part of it."),
    ("Merchants", "Who sells."),
    ("Items", "What is sold, and how much of it is left."),
    (
        "Mandates",
        "Budgets that agents spend: with an end, a cap for one purchase, and merchants they are for.",
    ),
    (
        "Lots",
        "Bid and claim in the house's auctions. A leading bid is held of its mandate; the commit that changes the leader frees it.",
    ),
    ("Wallet", "Where budgets come from."),
    ("Books", "Every leg of every transfer, and what is billed."),
    (
        "Webhooks",
        "Messages about what happens, signed as of Standard Webhooks, with a log and replay.",
    ),
];

const ABOUT: &str = "\
Shopping agents buy with one idempotent call that commits or says why not. Stock is never oversold, a \
budget never overspent, and a repeat never buys twice.

**Money** is an integer in minor units beside its currency: 1250 USD is $12.50. Numbers are written \
without a fraction or an exponent. **Time** is in milliseconds since 1970, UTC.

**Keys.** `Authorization: Bearer lz_test_…` acts for one tenant; what belongs to another is not found. \
The sandbox needs no key.

**Repeats.** Every call that moves money or makes something takes an `Idempotency-Key`. Send the same call with the \
same key until it is answered: it happens once, and the answer is the same bytes. A refusal is an answer \
too; to try again after something has changed, take another key.

**Errors** are problems as of RFC 9457. Programs test `code`. Each has [a page](/docs/errors).

**How often.** Replies say it in `RateLimit-Policy` and `RateLimit`. One call too many is answered 429 and \
uses up nothing: send it again after `Retry-After`.

**Lists** run from the newest to the oldest. Take `next_cursor` as `cursor` for the next page.";

/// The document before its routes.
pub fn frame() -> OpenApi {
    let tag = |(name, description): (&str, &str)| {
        TagBuilder::new()
            .name(name)
            .description(Some(description))
            .build()
    };
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API key: `lz_test_…` moves test money, `lz_live_…` real money.",
        ))
        .build();
    let info = InfoBuilder::new()
        .title("LotZero API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(License::new("MIT")))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .tags(Some(TAGS.map(tag)))
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme(KEY, SecurityScheme::Http(scheme))
                .schemas_from_iter(common::schemas())
                .build(),
        ))
        .build()
}

/// The whole document of routes.
pub fn of(routes: OpenApiRouter<Api>) -> (axum::Router<Api>, Value) {
    let (router, document) = routes.split_for_parts();
    // It is made of texts and numbers, which can always be written.
    let document = serde_json::to_value(document).unwrap_or_default();
    (router, common::added_to(document))
}

#[cfg(test)]
mod tests;
