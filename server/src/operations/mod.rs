//! What operators do to a house on one machine: take Regions away and give them back, and run proofs.
//! Behind the feature `local`, so no build for production has it.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /api/regions` | the Regions behind this node's gates, and what is wrong with each |
//! | `POST /api/regions/arm`, `confirm` | a fault in two steps |
//! | `POST /api/regions/set`, `restore` | faults that leave a Region open; the end of all |
//! | `POST /api/regions/probe` | writes at one Region, reads at the other |
//! | `GET`, `POST /api/proof/runs` | the runs; begins one |
//! | `GET`, `DELETE /api/proof/runs/{id}` | one run; stops it |
//! | `POST /api/playground` | a stand of one's own, to try the API |
//! | `GET /api/proof/runs/{id}/histories/{scenario}` | what its clients asked for and were told |
//!
//! How the house is and how its runs go is pushed: on the live socket's channels `vitals` and `runs`.

mod playground;
mod probe;
mod regions;
mod runs;
mod teller;
mod vitals;

pub use runs::{RunState, RunView, Runs, RunsConfig, Wish};
pub use teller::Teller;
pub use vitals::Sources;

use crate::ledger::Ledger;
use crate::local::RegionalGates;
use axum::Json;
use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use probe::Probe;
use serde::Serialize;
use std::sync::Arc;

/// What the routes need.
#[derive(Clone)]
pub struct Operations {
    /// The gates between this node and the database, if it was started with any.
    pub gates: Option<Arc<RegionalGates>>,
    /// The proof runs of this node.
    pub runs: Arc<Runs>,
    ledger: Arc<Ledger>,
    probe: Arc<Probe>,
}

impl Operations {
    /// Operations of a node.
    #[must_use]
    pub fn new(gates: Option<Arc<RegionalGates>>, runs: Arc<Runs>, ledger: Arc<Ledger>) -> Self {
        Self {
            gates,
            runs,
            ledger,
            probe: Arc::default(),
        }
    }

    /// The routes. Whoever stands around them checks the request's origin.
    pub fn routes(self) -> Router {
        Router::new()
            .merge(playground::routes())
            .merge(regions::routes())
            .merge(runs::routes())
            .with_state(self)
    }
}

/// Why something was not done, for programs and for people.
#[derive(Debug, Serialize)]
struct Refused {
    #[serde(skip)]
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, detail: impl ToString) -> Self {
        Self {
            status,
            code,
            detail: detail.to_string(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, fresh(&self)).into_response()
    }
}

/// An answer that nobody keeps.
fn fresh<T: Serialize>(value: &T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}
