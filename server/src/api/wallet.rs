//! The tenant's wallet, where budgets come from.

use super::Api;
use super::call::{found, json, key, refused};
use super::credentials::Tenant;
use super::fields::Fields;
use super::page::Query;
use super::problem::Problem;
use super::schemas::{bodies, params, scalars};
use super::undecided;
use app::ports::{Actor, Ledger as _};
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use shared::auction::Refusal;
use shared::money::MAX_MINOR;
use shared::view::{Person, WalletView};
use shared::{Currency, Money, Region};
use std::str::FromStr;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(wallet))
        .routes(routes!(top_up))
}

/// A tenant's money in one currency.
#[derive(Serialize, ToSchema)]
#[schema(as = Wallet)]
struct WalletBody {
    /// The currency of its amounts.
    #[schema(value_type = scalars::Currency)]
    currency: Currency,
    /// What can be given to mandates, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    available_minor: i64,
    /// What leading bids hold, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    held_minor: i64,
    /// What was spent on lots, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    spent_minor: i64,
    /// What came in without what mandates took out, in minor units.
    #[schema(value_type = scalars::SignedMinor)]
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

/// Reads the wallet.
#[utoipa::path(
    get,
    path = "/v1/wallet",
    tag = "Wallet",
    operation_id = "get_wallet",
    params(params::Wallet),
    responses((status = 200, description = "The wallet; all zero if there was never anything in it.", body = WalletBody)),
)]
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

/// Tops up the wallet with test money.
///
/// For test keys only. The wallet has 100,000 units of a currency free at most.
#[utoipa::path(
    post,
    path = "/v1/wallet/top-up",
    tag = "Wallet",
    operation_id = "top_up_wallet",
    params(params::Key),
    request_body = bodies::TopUp,
    responses((status = 201, description = "It is in. The wallet as it is now.", body = WalletBody)),
    extensions(("x-problem-codes" = json!(["test_key_only", "top_up_limit"]))),
)]
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
        Err(refusal) => Ok(refused(too_much(&refusal), true, done.replayed)),
    }
}

/// Why test money did not come in: there is one reason, which says how much would.
fn too_much(refusal: &Refusal) -> Problem {
    let problem = Problem::new("top_up_limit", "The wallet may have 100,000 free at most.");
    match refusal {
        Refusal::TopUpLimit { most } => problem
            .with("most_minor", most.minor())
            .with("currency", most.currency().code()),
        Refusal::NotFound
        | Refusal::NotLive { .. }
        | Refusal::Ended
        | Refusal::TooLow { .. }
        | Refusal::Insufficient { .. }
        | Refusal::SoldOut { .. }
        | Refusal::PriceMoved { .. }
        | Refusal::OwnLot
        | Refusal::LimitReached { .. }
        | Refusal::WrongMechanism { .. }
        | Refusal::CurrencyMismatch { .. }
        | Refusal::InvalidAmount
        | Refusal::NotDue { .. } => problem,
    }
}
