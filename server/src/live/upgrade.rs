//! The handshake: everything is checked before the upgrade.
//!
//! In this order: origin (403), a WebSocket handshake at all (axum's own answers), the subprotocol
//! (400), the sessions (503 if they cannot be read), the limits (503).

use super::connection;
use super::state::{Holder, LiveState};
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Query, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use shared::live::{MAX_FRAME_BYTES, SUBPROTOCOL};
use std::net::{IpAddr, SocketAddr};

/// Read buffer of a socket: most client frames are under 1 KiB.
const READ_BUFFER: usize = 4 * 1024;

/// Bytes gathered before they are written to the connection.
const WRITE_BUFFER: usize = 4 * 1024;

/// Bytes that may wait inside the socket: the must lane twice. A single frame above it is refused
/// and ends the socket; the largest that the house can make, a snapshot of the floor or of a room,
/// has about 220 KB.
const MAX_WRITE_BUFFER: usize = 512 * 1024;

/// Who the page acts for, and where.
#[derive(Debug, Default, Deserialize)]
pub struct Acting {
    #[serde(rename = "as")]
    acting_as: Option<String>,
    #[serde(rename = "in")]
    acting_in: Option<String>,
}

/// Opens a live socket, or says why not.
pub async fn upgrade(
    State(live): State<LiveState>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    acting: Result<Query<Acting>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let peer = peer.map(|Extension(ConnectInfo(address))| address.ip());
    match admit(live.clone(), peer, headers, acting, upgrade).await {
        Ok(response) => response,
        Err(refusal) => {
            live.hub.counters.upgrades_refused.add(1);
            refusal
        }
    }
}

async fn admit(
    live: LiveState,
    peer: Option<IpAddr>,
    headers: HeaderMap,
    acting: Result<Query<Acting>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Response> {
    if !live.origins.allow(&headers) {
        return Err(refuse(
            StatusCode::FORBIDDEN,
            "This origin may not connect.",
        ));
    }
    let upgrade = upgrade.map_err(IntoResponse::into_response)?;
    let Query(acting) = acting.map_err(IntoResponse::into_response)?;
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let text = format!("Offer the subprotocol {SUBPROTOCOL}.");
        return Err(refuse(StatusCode::BAD_REQUEST, text));
    }
    let (who, place) = (acting.acting_as.as_deref(), acting.acting_in.as_deref());
    let viewer = live.sessions.viewer(&headers, who, place).await;
    let viewer = viewer.map_err(|failure| {
        tracing::warn!(%failure, "a socket's sessions could not be read");
        refuse(StatusCode::SERVICE_UNAVAILABLE, failure.sentence())
    })?;
    let person = viewer.person.as_ref();
    let holder = person.map(|person| Holder::Person(person.id));
    let holder = holder.or_else(|| peer.map(Holder::Guest));
    let Some(seat) = live.seats.take(holder) else {
        let text = "Too many connections. Try again later.";
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES);
    let task = live.tasks.token();
    Ok(upgrade.on_upgrade(async move |socket| {
        connection::serve(socket, live, viewer, seat).await;
        drop(task);
    }))
}

fn refuse(status: StatusCode, text: impl Into<String>) -> Response {
    (status, text.into()).into_response()
}
