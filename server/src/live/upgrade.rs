//! The handshake: everything is checked before the upgrade.
//!
//! In this order: origin (403), a WebSocket handshake at all (400; 426 for another version of it),
//! the subprotocol (400), the door (503 if the wait is too long), the sessions (503 if they cannot
//! be read), the limits (503). Whatever waits or costs comes after what can be refused at once.

use super::connection;
use super::state::{Holder, LiveState};
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use serde::Deserialize;
use shared::live::SUBPROTOCOL;
use socket2::SockRef;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

/// Bytes that the operating system keeps for a socket that does not read: then the lanes fill, and
/// the reader is known to be slow. The kernel takes twice of it.
const SEND_BUFFER: usize = 64 * 1024;

/// What somebody hears for whom there is no place now.
const CROWDED: &str = "Too many connections. Try again later.";

/// Who the page acts for, and where.
#[derive(Debug, Default, Deserialize)]
pub struct Acting {
    #[serde(rename = "as")]
    acting_as: Option<String>,
    #[serde(rename = "in")]
    acting_in: Option<String>,
}

/// Opens a live socket, or says why not.
pub async fn upgrade(State(live): State<LiveState>, request: Request) -> Response {
    match admit(live.clone(), request).await {
        Ok(response) => response,
        Err(refusal) => {
            live.hub.counters.upgrades_refused.add(1);
            refusal
        }
    }
}

async fn admit(live: LiveState, mut request: Request) -> Result<Response, Response> {
    if !live.origins.allow(request.headers()) {
        return Err(refuse(
            StatusCode::FORBIDDEN,
            "This origin may not connect.",
        ));
    }
    let mut response =
        create_response_with_body(&request, Body::empty).map_err(|error| no_handshake(&error))?;
    let acting = Query::<Acting>::try_from_uri(request.uri());
    let Query(acting) = acting.map_err(IntoResponse::into_response)?;
    if !offers(request.headers(), SUBPROTOCOL) {
        let text = format!("Offer the subprotocol {SUBPROTOCOL}.");
        return Err(refuse(StatusCode::BAD_REQUEST, text));
    }
    response.headers_mut().insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    if !live.doors.enter().await {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, CROWDED));
    }
    let (who, place) = (acting.acting_as.as_deref(), acting.acting_in.as_deref());
    let viewer = live.sessions.viewer(request.headers(), who, place).await;
    let viewer = viewer.map_err(|failure| {
        tracing::warn!(%failure, "a socket's sessions could not be read");
        refuse(StatusCode::SERVICE_UNAVAILABLE, failure.sentence())
    })?;
    let person = viewer.person.as_ref();
    let holder = person.map(|person| Holder::Person(person.id));
    let holder = holder.or_else(|| peer(&request).map(Holder::Guest));
    let Some(seat) = live.seats.take(holder) else {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, CROWDED));
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let task = live.sockets.token();
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        // Frames are written by the house's own loops, so it has to be the bare connection.
        match downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => {
                let stream = parts.io.into_inner();
                prepare(&stream);
                // Its own task, without the room that the handshake needed.
                tokio::spawn(async move {
                    connection::serve(stream, parts.read_buf, live, viewer, seat).await;
                    drop(task);
                });
            }
            Err(_other) => tracing::error!("a socket does not come by a bare TCP connection"),
        }
    });
    Ok(response)
}

/// The address that a request came from, if the server was told to note it.
fn peer(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(address)| address.ip())
}

fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let offered = offered.filter_map(|value| value.to_str().ok());
    let mut each = offered.flat_map(|list| list.split(','));
    each.any(|offer| offer.trim() == protocol)
}

/// Sends small frames at once, and lets little wait in the operating system.
fn prepare(stream: &TcpStream) {
    let set = stream.set_nodelay(true);
    let set = set.and_then(|()| SockRef::from(stream).set_send_buffer_size(SEND_BUFFER));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket keeps the system's settings");
    }
}

/// Why this is no handshake.
fn no_handshake(error: &Error) -> Response {
    let mut response = refuse(StatusCode::BAD_REQUEST, format!("No WebSocket: {error}."));
    let Error::Protocol(error) = error else {
        return response;
    };
    let headers = response.headers_mut();
    if *error == ProtocolError::MissingSecWebSocketVersionHeader {
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    } else if *error == ProtocolError::WrongHttpMethod {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    response
}

fn refuse(status: StatusCode, text: impl Into<String>) -> Response {
    (status, text.into()).into_response()
}
