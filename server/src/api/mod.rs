//! `/v1`: the API that shopping agents and their developers use.
//!
//! | file | what it holds |
//! |---|---|
//! | `credentials` | API keys: their form, and whom they act for |
//! | `catalogue`, `problem` | every error with its page; errors as RFC 9457 problems |
//! | `fields`, `page` | bodies and queries, read strictly; lists with cursors |
//! | `decisions`, `undecided` | what the ledger decided or did not, as replies |
//! | `call` | what every call has in common: tenant, key, body |
//! | `lots` | lots, and bids and claims that a mandate pays |
//! | `purchases`, `resources`, `webhooks`, `sandbox` | the routes |
//! | `pages` | the pages that errors point at |
//! | `layers` | what stands around all routes: limits, request ids |

mod call;
pub mod catalogue;
pub mod credentials;
pub mod decisions;
mod fields;
mod layers;
mod lots;
mod page;
mod pages;
mod problem;
mod purchases;
mod resources;
mod sandbox;
mod undecided;
mod webhooks;

pub use layers::API_TIMEOUT;
pub use problem::{FieldError, Problem};
pub use sandbox::Sandbox;

use crate::ledger::Ledger;
use crate::webhooks::guard::Policy;
use axum::Router;
use axum::routing::{any, get, post};
use credentials::Credentials;
use std::sync::Arc;

/// What the API needs.
#[derive(Clone)]
pub struct Api {
    ledger: Arc<Ledger>,
    credentials: Arc<Credentials>,
    sandbox: Arc<Sandbox>,
    policy: Policy,
}

impl Api {
    /// The API over a ledger, whose webhooks may go where the policy says.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, policy: Policy) -> Self {
        Self {
            credentials: Arc::new(Credentials::new(Arc::clone(&ledger))),
            sandbox: Arc::new(Sandbox::new(Arc::clone(&ledger))),
            ledger,
            policy,
        }
    }
}

/// Every route of the API.
pub fn routes(api: Api) -> Router {
    let routes = Router::new()
        .route("/v1/purchases/commit", post(purchases::commit))
        .route("/v1/purchases", get(purchases::list))
        .route("/v1/purchases/{id}", get(purchases::read))
        .route(
            "/v1/refunds",
            post(resources::refund).get(resources::refunds),
        )
        .route(
            "/v1/merchants",
            post(resources::new_merchant).get(resources::merchants),
        )
        .route("/v1/merchants/{id}", get(resources::merchant))
        .route("/v1/items", post(resources::new_item).get(resources::items))
        .route("/v1/items/{id}", get(resources::item))
        .route("/v1/items/{id}/restock", post(resources::restock))
        .route(
            "/v1/mandates",
            post(resources::new_mandate).get(resources::mandates),
        )
        .route("/v1/mandates/{id}", get(resources::mandate))
        .route("/v1/mandates/{id}/revoke", post(resources::revoke))
        .route("/v1/lots", get(lots::lots))
        .route("/v1/lots/{id}", get(lots::lot))
        .route("/v1/bids", post(lots::place_bid).get(lots::bids))
        .route("/v1/bids/{id}", get(lots::bid))
        .route("/v1/claims", post(lots::claim).get(lots::claims))
        .route("/v1/wallet", get(resources::wallet))
        .route("/v1/wallet/top-up", post(resources::top_up))
        .route("/v1/ledger/entries", get(resources::entries))
        .route("/v1/usage", get(resources::usage))
        .route(
            "/v1/webhooks/endpoints",
            post(webhooks::create).get(webhooks::endpoints),
        )
        .route(
            "/v1/webhooks/endpoints/{id}",
            get(webhooks::endpoint).delete(webhooks::delete),
        )
        .route("/v1/webhooks/endpoints/{id}/rotate", post(webhooks::rotate))
        .route("/v1/webhooks/deliveries", get(webhooks::deliveries))
        .route("/v1/webhooks/deliveries/{id}", get(webhooks::delivery))
        .route(
            "/v1/webhooks/deliveries/{id}/replay",
            post(webhooks::replay),
        )
        .route("/v1/sandbox", get(sandbox::read))
        .route("/v1/sandbox/commit", post(sandbox::commit))
        .method_not_allowed_fallback(layers::method_not_allowed)
        .with_state(api);
    let api = routes
        .route("/v1", any(layers::not_found))
        .route("/v1/", any(layers::not_found))
        .route("/v1/{*rest}", any(layers::not_found));
    layers::around(api).merge(pages::routes())
}
