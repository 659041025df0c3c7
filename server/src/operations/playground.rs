//! A stand of one's own for whoever tries the API: so many units, so much money, and a key.

use super::{Operations, Refused, fresh};
use crate::proof::{Kernels, PRICE_MINOR, Shop};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Units that there may be.
const STOCK: RangeInclusive<u32> = 1..=400;

/// Money that there may be, in cents.
const BUDGET_MINOR: RangeInclusive<i64> = 100..=500_000;

/// What there is to be.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Units, from 1 to 400.
    stock: u32,
    /// The mandate's budget in cents, from 100 to 500,000.
    budget_minor: i64,
}

/// What there is.
#[derive(Debug, Serialize)]
struct Made {
    /// Acts for the stand's tenant.
    api_key: String,
    /// A commit of one unit.
    request: Value,
}

pub fn routes() -> Router<Operations> {
    Router::new().route("/api/playground", post(make))
}

async fn make(
    State(operations): State<Operations>,
    Json(wish): Json<Wish>,
) -> Result<Response, Refused> {
    let refuse = |detail: &str| {
        Refused::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_size",
            detail.to_owned(),
        )
    };
    if !STOCK.contains(&wish.stock) {
        return Err(refuse("1 to 400 units are possible"));
    }
    if !BUDGET_MINOR.contains(&wish.budget_minor) {
        return Err(refuse("a budget of $1 to $5,000 is possible"));
    }
    let unavailable = |error: anyhow::Error| {
        tracing::warn!(%error, "a stand could not be made");
        let detail = "The ledger does not answer. Try again in a moment.";
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    };
    let kernels = Kernels {
        nodes: vec![operations.ledger],
    };
    Ok(fresh(&build(&kernels, wish).await.map_err(unavailable)?))
}

async fn build(kernels: &Kernels, wish: Wish) -> anyhow::Result<Made> {
    let shop = Shop::open(kernels, wish.budget_minor).await?;
    let item = shop.item(kernels, wish.stock).await?;
    let mandate = shop.mandate(kernels, wish.budget_minor).await?;
    Ok(Made {
        api_key: shop.key(kernels).await?,
        request: json!({
            "merchant_id": shop.merchant,
            "mandate_id": mandate,
            "item_id": item,
            "agent_id": "scout",
            "quantity": 1,
            "max_price_minor": PRICE_MINOR,
            "currency": "USD",
        }),
    })
}
