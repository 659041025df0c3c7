//! The routes of runs.

use super::super::{Operations, Refused, fresh};
use super::{Wish, is_id, no_such_run};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};

pub fn routes() -> Router<Operations> {
    Router::new()
        .route("/api/proof/runs", get(list).post(begin))
        .route("/api/proof/runs/{id}", get(show).delete(stop))
        .route("/api/proof/runs/{id}/histories/{scenario}", get(history))
}

async fn list(State(operations): State<Operations>) -> Response {
    fresh(&operations.runs.list())
}

async fn begin(
    State(operations): State<Operations>,
    Json(wish): Json<Wish>,
) -> Result<Response, Refused> {
    wish.check()
        .map_err(|why| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_size", why))?;
    match operations.runs.begin(wish) {
        Ok(run) => {
            let place = [(header::LOCATION, format!("/proof/runs/{}", run.id))];
            Ok((StatusCode::ACCEPTED, place, fresh(&run.view())).into_response())
        }
        Err(other) => Err(Refused::new(
            StatusCode::CONFLICT,
            "busy",
            format!(
                "Run {} goes on. One at a time, or they would measure each other.",
                other.id
            ),
        )),
    }
}

async fn show(
    State(operations): State<Operations>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let run = operations.runs.find(&id).ok_or_else(no_such_run)?;
    Ok(fresh(&run))
}

async fn stop(
    State(operations): State<Operations>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    Ok(fresh(&operations.runs.stop(&id)?))
}

async fn history(
    State(operations): State<Operations>,
    Path((id, scenario)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if !is_id(&id) || scenario.is_empty() || !scenario.bytes().all(plain) {
        return Err(no_such_run());
    }
    let folder = operations.runs.folder(&id).join("histories");
    let text = tokio::fs::read(folder.join(format!("{scenario}.jsonl"))).await;
    let text = text.map_err(|_missing| no_such_run())?;
    let kind = [(header::CONTENT_TYPE, "application/jsonl; charset=utf-8")];
    Ok((kind, text).into_response())
}
