//! The Regions behind the gates: seen, taken away in two steps, given back.

use super::{Operations, Refused, fresh};
use crate::local::RegionalGates;
use crate::local::gate::Fault;
use crate::local::regions::{ARM_VALID, ArmToken, RegionsError};
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::Region;
use std::sync::Arc;

pub fn routes() -> Router<Operations> {
    Router::new()
        .route("/api/regions", get(show))
        .route("/api/regions/arm", post(arm))
        .route("/api/regions/confirm", post(confirm))
        .route("/api/regions/set", post(set))
        .route("/api/regions/restore", post(restore))
        .route("/api/regions/probe", post(probe))
}

impl Operations {
    fn gates(&self) -> Result<&Arc<RegionalGates>, Refused> {
        self.gates.as_ref().ok_or_else(|| {
            Refused::new(
                StatusCode::CONFLICT,
                "no_gates",
                "This node has no gates: start it with --regional-gates.",
            )
        })
    }
}

impl From<RegionsError> for Refused {
    fn from(error: RegionsError) -> Self {
        let (status, code) = match &error {
            RegionsError::TooFew | RegionsError::Twice(_) | RegionsError::NotLocal => {
                (StatusCode::CONFLICT, "no_gates")
            }
            RegionsError::Open(..) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            RegionsError::UnknownRegion(_) => (StatusCode::NOT_FOUND, "unknown_region"),
            RegionsError::Fault(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_fault"),
            RegionsError::Arm(_) => (StatusCode::CONFLICT, "not_armed"),
            RegionsError::NotArmed(_) => (StatusCode::CONFLICT, "not_armed"),
            RegionsError::LastRegion(_) => (StatusCode::CONFLICT, "last_region"),
        };
        Self::new(status, code, &error)
    }
}

async fn show(State(operations): State<Operations>) -> Result<Response, Refused> {
    Ok(fresh(&operations.gates()?.status()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    region: Region,
    fault: Fault,
    /// Also if it is the last Region that is open.
    #[serde(default)]
    forced: bool,
}

#[derive(Serialize)]
struct Armed {
    token: ArmToken,
    valid_ms: u64,
}

async fn arm(
    State(operations): State<Operations>,
    Json(ask): Json<Arm>,
) -> Result<Response, Refused> {
    let gates = operations.gates()?;
    let token = if ask.forced {
        gates.arm_forced(ask.region, ask.fault)?
    } else {
        gates.arm(ask.region, ask.fault)?
    };
    let valid_ms = u64::try_from(ARM_VALID.as_millis()).unwrap_or(u64::MAX);
    Ok(fresh(&Armed { token, valid_ms }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirm {
    token: ArmToken,
}

async fn confirm(
    State(operations): State<Operations>,
    Json(ask): Json<Confirm>,
) -> Result<Response, Refused> {
    let gates = operations.gates()?;
    let (region, fault) = gates.confirm(ask.token)?;
    tracing::warn!(%region, ?fault, "by order of an operator");
    Ok(fresh(&gates.status()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    region: Region,
    faults: Vec<Fault>,
}

async fn set(
    State(operations): State<Operations>,
    Json(ask): Json<Set>,
) -> Result<Response, Refused> {
    let gates = operations.gates()?;
    gates.set(ask.region, &ask.faults)?;
    Ok(fresh(&gates.status()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    region: Region,
}

async fn restore(
    State(operations): State<Operations>,
    Json(ask): Json<Restore>,
) -> Result<Response, Refused> {
    let gates = operations.gates()?;
    gates.restore(ask.region)?;
    tracing::info!(region = %ask.region, "restored by an operator");
    Ok(fresh(&gates.status()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Between {
    write: Region,
    read: Region,
}

async fn probe(
    State(operations): State<Operations>,
    Json(ask): Json<Between>,
) -> Result<Response, Refused> {
    let gates = Arc::clone(operations.gates()?);
    let probe = Arc::clone(&operations.probe);
    // In a task of its own: a browser that goes away leaves no transaction half done.
    let probed = tokio::spawn(async move { probe.between(&gates, ask.write, ask.read).await });
    match probed.await {
        Ok(Ok(probed)) => Ok(fresh(&probed)),
        Ok(Err(refused)) => Err(refused),
        Err(panicked) => Err(Refused::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            panicked,
        )),
    }
}
