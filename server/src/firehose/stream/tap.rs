//! A follower's side: it taps the leader and takes in what comes.

use super::intake::{Intake, Unheard};
use super::route::PATH;
use super::wire::{Line, Lines};
use crate::config::NodeUrl;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Why following a leader ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum TapEnd {
    /// Nobody hears the items.
    #[error("nobody hears the items")]
    Unheard,
    /// Nobody answers at its address.
    #[error("no connection to the leader")]
    NoConnection,
    /// The node at its address does not lead, or not in this term.
    #[error("the node does not lead (status {0})")]
    NotLeader(StatusCode),
    /// It ended its term, or cut this follower off.
    #[error("the leader hung up")]
    HungUp,
    /// Nothing came for too long.
    #[error("the leader is silent")]
    Silent,
    /// What it says makes no sense to this version.
    #[error("the leader says what is not known")]
    Unreadable,
}

impl From<Unheard> for TapEnd {
    fn from(Unheard: Unheard) -> Self {
        Self::Unheard
    }
}

/// Follows a leader until something ends it. `silence` is how long it may say nothing.
pub(super) async fn follow(
    leader: &NodeUrl,
    token: &str,
    intake: &Intake,
    silence: Duration,
) -> TapEnd {
    match try_follow(leader, token, intake, silence).await {
        Err(end) => end,
    }
}

/// Never succeeds: it ends with the reason.
async fn try_follow(
    leader: &NodeUrl,
    token: &str,
    intake: &Intake,
    silence: Duration,
) -> Result<std::convert::Infallible, TapEnd> {
    let asked = timeout(silence, ask(leader, token, intake));
    let (mut body, _connection) = asked.await.map_err(|_elapsed| TapEnd::NoConnection)??;
    tracing::info!(%leader, "following the stream's leader");
    let mut lines = Lines::default();
    loop {
        let frame = timeout(silence, body.frame());
        let frame = frame.await.map_err(|_elapsed| TapEnd::Silent)?;
        let frame = frame.ok_or(TapEnd::HungUp)?;
        let frame = frame.map_err(|_broken| TapEnd::HungUp)?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        let complete = lines.feed(&bytes).map_err(|_long| TapEnd::Unreadable)?;
        for line in complete {
            take_in(line, intake).await?;
        }
    }
}

async fn ask(
    leader: &NodeUrl,
    token: &str,
    intake: &Intake,
) -> Result<(Incoming, AbortOnDropHandle<()>), TapEnd> {
    let connected = TcpStream::connect((leader.host(), leader.port())).await;
    let stream = connected.map_err(|_refused| TapEnd::NoConnection)?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|_broken| TapEnd::NoConnection)?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // Its end is noticed at the body.
        let _ended = connection.await;
    }));
    let places = serde_json::to_vec(&intake.places()).map_err(|_never| TapEnd::Unreadable)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header(header::HOST, leader.authority())
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(places)))
        .map_err(|_never| TapEnd::Unreadable)?;
    let sent = sender.send_request(request).await;
    let response = sent.map_err(|_broken| TapEnd::HungUp)?;
    if response.status() != StatusCode::OK {
        return Err(TapEnd::NotLeader(response.status()));
    }
    Ok((response.into_body(), connection))
}

async fn take_in(line: Bytes, intake: &Intake) -> Result<(), TapEnd> {
    let read = serde_json::from_slice(&line);
    match read.map_err(|_unknown| TapEnd::Unreadable)? {
        Line::Begin { places } => intake.begin(places).await?,
        Line::Resume => {}
        Line::Item {
            shard,
            sequence,
            item,
        } => intake.take(&shard, sequence, item, Some(line)).await?,
        Line::Moved { shard, place } => intake.advance(&shard, place),
        Line::Gone { shard } => intake.forget(&shard),
        Line::Beat { pulse } => intake.hear(pulse),
    }
    Ok(())
}
