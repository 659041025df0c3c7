//! `/v1`: the API that shopping agents and their developers use.
//!
//! | file | what it holds |
//! |---|---|
//! | `credentials` | API keys: their form, and whom they act for |
//! | `catalogue`, `problem` | every error with its page; errors as RFC 9457 problems |
//! | `fields`, `page` | bodies and queries, read strictly; lists with cursors |
//! | `decisions`, `undecided` | what the ledger decided or did not, as replies |
//! | `call` | what every call has in common: tenant, key, body |
//! | `sandbox`, `purchases`, `refunds`, `merchants`, `items`, `mandates`, `lots`, `wallet`, `books`, `webhooks` | the routes, each with its documentation |
//! | `document`, `schemas` | the OpenAPI document; what bodies and replies look like in it |
//! | `pages`, `reference` | the pages that errors point at; the reference that people read |
//! | `layers`, `limits` | what stands around all routes: sizes, request ids; how often callers may call |

mod books;
mod call;
pub mod catalogue;
pub mod credentials;
pub mod decisions;
mod document;
mod fields;
mod items;
mod layers;
pub mod limits;
mod lots;
mod mandates;
mod merchants;
mod page;
mod pages;
mod problem;
mod purchases;
mod reference;
mod refunds;
mod sandbox;
pub mod schemas;
mod undecided;
mod wallet;
mod webhooks;

pub use layers::API_TIMEOUT;
pub use problem::{FieldError, Problem};
pub use sandbox::Sandbox;

use crate::ledger::Ledger;
use crate::webhooks::guard::Policy;
use axum::Router;
use axum::routing::any;
use credentials::Credentials;
use limits::{Limits, Quotas};
use std::ops::Deref;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// What the API needs. The framework clones it for every layer of every request, so it is one
/// pointer.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// The parts of [`Api`].
pub struct Parts {
    ledger: Arc<Ledger>,
    credentials: Credentials,
    sandbox: Sandbox,
    policy: Policy,
    limits: Limits,
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Api {
    /// The API over a ledger, whose webhooks may go where the policy says and whose callers may
    /// call as often as the quotas say.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, policy: Policy, quotas: Quotas) -> Self {
        Self(Arc::new(Parts {
            credentials: Credentials::new(Arc::clone(&ledger)),
            sandbox: Sandbox::new(Arc::clone(&ledger)),
            ledger,
            policy,
            limits: Limits::new(quotas),
        }))
    }
}

/// Every route with its documentation.
fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(document::frame())
        .merge(sandbox::routes())
        .merge(purchases::routes())
        .merge(refunds::routes())
        .merge(merchants::routes())
        .merge(items::routes())
        .merge(mandates::routes())
        .merge(lots::routes())
        .merge(wallet::routes())
        .merge(books::routes())
        .merge(webhooks::routes())
}

/// The OpenAPI document, as `/openapi.json` serves it.
#[must_use]
pub fn openapi() -> serde_json::Value {
    document::of(documented()).1
}

/// Every route of the API.
pub fn routes(api: Api) -> Router {
    let (routes, document) = document::of(documented());
    let routes = routes
        .method_not_allowed_fallback(layers::method_not_allowed)
        .with_state(api.clone());
    let all = routes
        .route("/v1", any(layers::not_found))
        .route("/v1/", any(layers::not_found))
        .route("/v1/{*rest}", any(layers::not_found));
    layers::around(all, api)
        .merge(document::routes(&document))
        .merge(pages::routes())
        .merge(reference::routes())
}
