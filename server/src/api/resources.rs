//! The other resources: merchants, items, mandates, refunds, the wallet, ledger entries, usage.

use super::Api;
use super::call::{Id, found, json, key, keyed, mark};
use super::credentials::Tenant;
use super::decisions;
use super::fields::Fields;
use super::page::{List, Query};
use super::problem::Problem;
use super::undecided;
use crate::ids;
use crate::ledger::Route;
use crate::ledger::checkout::items::{MAX_UNITS, NewItem, Restock};
use crate::ledger::checkout::lists::{self, Cursor, EntryFilter, Page};
use crate::ledger::checkout::mandates::{NewMandate, Revoke};
use crate::ledger::checkout::merchants::NewMerchant;
use crate::ledger::checkout::refunds::Refund;
use app::ports::{Actor, Ledger as _};
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use shared::money::MAX_MINOR;
use shared::purchase::{Label, MAX_SCOPE, Named, Refusal};
use shared::view::{Person, WalletView};
use shared::{Currency, ItemId, MandateId, MerchantId, Money, PurchaseId, Region, Timestamp};
use std::str::FromStr;

/// The longest life of a mandate: a year.
const MAX_LIFETIME_S: i64 = 366 * 24 * 3_600;

/// The longest time that usage is told of at once: 31 days.
const MAX_USAGE_MS: i64 = 31 * 24 * 3_600 * 1_000;

const A_NAME: &str = "1 to 120 visible characters";

fn label(fields: &mut Fields, name: &str) -> Option<Label> {
    fields.text(name, A_NAME, |text| Label::try_from(text).ok())
}

fn not_found(what: Named) -> Problem {
    decisions::refused(&Refusal::NotFound { what })
}

/// `POST /v1/merchants`
pub async fn new_merchant(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let made = (Route::Merchant, StatusCode::CREATED);
    keyed(&api, tenant, &headers, made, &body, |fields| {
        let name = label(fields, "name")?;
        let meaning = vec![name.to_string()];
        let work = NewMerchant {
            tenant: tenant.id,
            id: ids::merchant(),
            name,
        };
        Some((work, meaning))
    })
    .await
}

/// `POST /v1/items`
pub async fn new_item(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let made = (Route::Item, StatusCode::CREATED);
    keyed(&api, tenant, &headers, made, &body, |fields| {
        let merchant = fields.id::<MerchantId>("merchant_id", MerchantId::PREFIX);
        let title = label(fields, "title");
        let price = fields.integer("price_minor", 1..=MAX_MINOR);
        let currency = fields.currency("currency");
        let units = fields.units("units", 0..=MAX_UNITS);
        let work = NewItem {
            tenant: tenant.id,
            id: ids::item(),
            merchant: merchant?,
            title: title?,
            price: Money::new(price?, currency?).ok()?,
            units: units?,
        };
        let meaning = vec![
            work.merchant.to_string(),
            work.title.to_string(),
            work.price.minor().to_string(),
            work.price.currency().to_string(),
            work.units.to_string(),
        ];
        Some((work, meaning))
    })
    .await
}

/// `POST /v1/items/{id}/restock`
pub async fn restock(
    State(api): State<Api>,
    tenant: Tenant,
    Id(item): Id<ItemId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let done = (Route::Restock, StatusCode::OK);
    keyed(&api, tenant, &headers, done, &body, |fields| {
        let units = fields.units("units", 1..=MAX_UNITS)?;
        let work = Restock {
            tenant: tenant.id,
            item,
            units,
        };
        Some((work, vec![item.to_string(), units.to_string()]))
    })
    .await
}

/// `POST /v1/mandates`
pub async fn new_mandate(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let made = (Route::Mandate, StatusCode::CREATED);
    keyed(&api, tenant, &headers, made, &body, |fields| {
        let cap = fields.integer("cap_minor", 1..=MAX_MINOR);
        let currency = fields.currency("currency");
        let purchase_cap = fields.optional_integer("purchase_cap_minor", 1..=MAX_MINOR);
        let scope = fields.ids::<MerchantId>("merchant_ids", MerchantId::PREFIX, MAX_SCOPE);
        let lifetime = fields.integer("expires_in_s", 1..=MAX_LIFETIME_S);
        let (cap, currency, purchase_cap) = (cap?, currency?, purchase_cap?);
        let (scope, lifetime) = (scope?, lifetime?);
        let in_currency = |minor| Money::new(minor, currency).ok();
        let mut meaning = vec![
            cap.to_string(),
            currency.to_string(),
            purchase_cap.map_or_else(String::new, |cap| cap.to_string()),
            lifetime.to_string(),
        ];
        meaning.extend(scope.iter().map(ToString::to_string));
        let work = NewMandate {
            tenant: tenant.id,
            id: ids::mandate(),
            cap: in_currency(cap)?,
            purchase_cap: purchase_cap.and_then(in_currency),
            scope,
            lifetime_ms: lifetime.saturating_mul(1_000),
        };
        Some((work, meaning))
    })
    .await
}

/// `POST /v1/mandates/{id}/revoke`
pub async fn revoke(
    State(api): State<Api>,
    tenant: Tenant,
    Id(mandate): Id<MandateId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    // A body says nothing here; it may be left out.
    let body = if body.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        body
    };
    let done = (Route::Revoke, StatusCode::OK);
    keyed(&api, tenant, &headers, done, &body, |_no_fields| {
        let work = Revoke {
            tenant: tenant.id,
            mandate,
        };
        Some((work, vec![mandate.to_string()]))
    })
    .await
}

/// `POST /v1/refunds`
pub async fn refund(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let made = (Route::Refund, StatusCode::CREATED);
    keyed(&api, tenant, &headers, made, &body, |fields| {
        let purchase = fields.id::<PurchaseId>("purchase_id", PurchaseId::PREFIX);
        let amount = fields.optional_integer("amount_minor", 1..=MAX_MINOR);
        let units = fields.optional_integer("units", 0..=i64::from(MAX_UNITS));
        let work = Refund {
            tenant: tenant.id,
            purchase: purchase?,
            amount_minor: amount?,
            units: u32::try_from(units?.unwrap_or(0)).ok()?,
        };
        let amount = work.amount_minor.map(|amount| amount.to_string());
        let meaning = vec![
            work.purchase.to_string(),
            amount.unwrap_or_default(),
            work.units.to_string(),
        ];
        Some((work, meaning))
    })
    .await
}

/// A resource of the tenant's by its id.
macro_rules! read_one {
    ($(#[$doc:meta])* $route:ident, $id:ty, $what:expr) => {
        $(#[$doc])*
        pub async fn $route(
            State(api): State<Api>,
            tenant: Tenant,
            Id(id): Id<$id>,
        ) -> Result<Response, Problem> {
            let read = api
                .ledger
                .runner()
                .read(move |tx| Box::pin(lists::$route(tx, tenant.id, id)))
                .await
                .map_err(undecided::failed)?;
            let view = read.ok_or_else(|| not_found($what))?;
            Ok(found(&view))
        }
    };
}

read_one!(
    /// `GET /v1/merchants/{id}`
    merchant,
    MerchantId,
    Named::Merchant
);
read_one!(
    /// `GET /v1/items/{id}`
    item,
    ItemId,
    Named::Item
);
read_one!(
    /// `GET /v1/mandates/{id}`
    mandate,
    MandateId,
    Named::Mandate
);

/// A page of the tenant's resources.
macro_rules! read_list {
    ($(#[$doc:meta])* $route:ident, $id:ident) => {
        $(#[$doc])*
        pub async fn $route(
            State(api): State<Api>,
            tenant: Tenant,
            RawQuery(query): RawQuery,
        ) -> Result<Response, Problem> {
            let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
            let wanted = one_more(page);
            let read = api
                .ledger
                .runner()
                .read(move |tx| Box::pin(lists::$route(tx, tenant.id, wanted)))
                .await
                .map_err(undecided::failed)?;
            let list = List::of(read, page.limit, |view| Cursor {
                at_ms: view.created_at_ms,
                id: view.$id.uuid(),
                leg: 0,
            });
            Ok(found(&list))
        }
    };
}

read_list!(
    /// `GET /v1/merchants`
    merchants,
    merchant_id
);
read_list!(
    /// `GET /v1/items`
    items,
    item_id
);
read_list!(
    /// `GET /v1/mandates`
    mandates,
    mandate_id
);
read_list!(
    /// `GET /v1/refunds`
    refunds,
    refund_id
);

/// A page with one more resource, by which it is known whether more follow.
const fn one_more(page: Page) -> Page {
    Page {
        limit: page.limit + 1,
        ..page
    }
}

/// `GET /v1/ledger/entries`
pub async fn entries(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let known = ["limit", "cursor", "currency", "mandate_id", "merchant_id"];
    let query = Query::read(query.as_deref(), &known)?;
    let page = query.page()?;
    let currency = query.get("currency", "a currency", |text| {
        Currency::from_str(text).ok()
    })?;
    let mandate = query.get("mandate_id", "an id", |text| MandateId::from_str(text).ok())?;
    let merchant = query.get("merchant_id", "an id", |text| {
        MerchantId::from_str(text).ok()
    })?;
    if mandate.is_some() && merchant.is_some() {
        let problem = Problem::invalid_query();
        return Err(problem.field("merchant_id", "not together with mandate_id"));
    }
    let filter = EntryFilter {
        currency: currency.unwrap_or(Currency::Usd),
        subaccount: mandate
            .map(MandateId::uuid)
            .or(merchant.map(MerchantId::uuid)),
    };
    let wanted = one_more(page);
    let read = api
        .ledger
        .runner()
        .read(move |tx| Box::pin(lists::entries(tx, tenant.id, filter, wanted)))
        .await
        .map_err(undecided::failed)?;
    let list = List::of(read, page.limit, |entry| Cursor {
        at_ms: entry.at_ms,
        id: entry.transfer_id.uuid(),
        leg: entry.leg,
    });
    Ok(found(&list))
}

#[derive(Serialize)]
struct Usage {
    from_ms: i64,
    to_ms: i64,
    data: Vec<lists::UsageLine>,
}

/// `GET /v1/usage`
pub async fn usage(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref(), &["from_ms", "to_ms"])?;
    let instant = |text: &str| {
        text.parse::<i64>()
            .ok()
            .filter(|ms| (0..=MAX_MINOR).contains(ms))
    };
    let a_time = "milliseconds since 1970";
    let to = query.get("to_ms", a_time, instant)?;
    let to = to.unwrap_or_else(|| api.ledger.clock().now().0);
    let from = query.get("from_ms", a_time, instant)?;
    let from = from.unwrap_or(to.saturating_sub(MAX_USAGE_MS));
    if from > to || to - from > MAX_USAGE_MS {
        let problem = Problem::invalid_query();
        return Err(problem.field("from_ms", "at most 31 days before to_ms"));
    }
    let (start, end) = (Timestamp(from), Timestamp(to));
    let data = api
        .ledger
        .runner()
        .read(move |tx| Box::pin(lists::usage(tx, tenant.id, start, end)))
        .await
        .map_err(undecided::failed)?;
    Ok(found(&Usage {
        from_ms: from,
        to_ms: to,
        data,
    }))
}

#[derive(Serialize)]
struct WalletBody {
    currency: Currency,
    available_minor: i64,
    held_minor: i64,
    spent_minor: i64,
    funded_minor: i64,
}

impl WalletBody {
    fn of(wallet: &WalletView) -> Self {
        Self {
            currency: wallet.funded.currency(),
            available_minor: wallet.available.minor(),
            held_minor: wallet.held.minor(),
            spent_minor: wallet.spent.minor(),
            funded_minor: wallet.funded.minor(),
        }
    }
}

/// `GET /v1/wallet`
pub async fn wallet(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref(), &["currency"])?;
    let currency = query.get("currency", "a currency", |text| {
        Currency::from_str(text).ok()
    })?;
    let currency = currency.unwrap_or(Currency::Usd);
    let read = api.ledger.wallet(tenant.id, currency).await;
    let wallet = read.map_err(undecided::failed)?;
    Ok(found(&wallet.map_or(
        WalletBody {
            currency,
            available_minor: 0,
            held_minor: 0,
            spent_minor: 0,
            funded_minor: 0,
        },
        |wallet| WalletBody::of(&wallet),
    )))
}

/// `POST /v1/wallet/top-up`: test money, for test keys.
pub async fn top_up(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    if tenant.live {
        return Err(Problem::new(
            "test_key_only",
            "Test money is for test keys.",
        ));
    }
    let key = key(&headers)?;
    let mut fields = Fields::read(&body)?;
    let amount = fields.integer("amount_minor", 1..=MAX_MINOR);
    let currency = fields.currency("currency");
    fields.finish()?;
    let amount = amount
        .zip(currency)
        .and_then(|(minor, currency)| Money::new(minor, currency).ok());
    let amount = amount.ok_or_else(|| Problem::new("invalid", "The amount is out of range."))?;
    let actor = Actor {
        person: Person {
            id: tenant.id,
            handle: String::new(),
            name: String::new(),
            simulated: false,
        },
        region: Region::Tokyo,
    };
    let done = api.ledger.top_up(&actor, key, amount).await;
    let done = done.map_err(undecided::failed)?;
    match done.outcome {
        Ok(receipt) => {
            let body = serde_json::to_string(&WalletBody::of(&receipt.wallet)).unwrap_or_default();
            Ok(json(StatusCode::CREATED, body, done.replayed))
        }
        Err(_limit) => {
            let problem = Problem::new("invalid", "The wallet may have 100,000 free at most.")
                .field(
                    "amount_minor",
                    "less, so that the wallet stays within its bound",
                );
            let mut response = problem.into_response();
            mark(response.headers_mut(), done.replayed);
            Ok(response)
        }
    }
}
