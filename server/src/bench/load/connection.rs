//! One connection of the load generator: a request, its answer, the next request.

use super::run::{Job, Run};
use futures::future::{Either, select};
use http::header::HOST;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Connections that break in a row, without an answer between them, before no more are made.
const MAX_BROKEN_IN_A_ROW: u32 = 20;

/// Before the next connection: a server that starts again needs a moment.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);

/// Why a connection cannot be used, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It was refused.
    #[error("connecting to the server")]
    Connect(#[from] std::io::Error),
    /// HTTP broke off.
    #[error("speaking HTTP to the server")]
    Http(#[from] hyper::Error),
}

pub async fn connect(run: &Run) -> Result<TcpStream, Broken> {
    let stream = TcpStream::connect(run.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends requests until there are no more, on this connection and, when it breaks, on the next.
pub async fn serve(run: Arc<Run>, first: TcpStream) {
    let mut stream = Some(first);
    let mut job = None;
    let mut answered = 0;
    let mut broken = 0;
    while broken < MAX_BROKEN_IN_A_ROW && !run.is_over() {
        match on_one_connection(&run, stream.take(), &mut job, &mut answered).await {
            Ok(End::NoMoreRequests) => return,
            // A server may end an idle connection: nothing is lost by that.
            Ok(End::ClosedIdle) if answered > 0 => broken = 0,
            Ok(End::ClosedIdle) => {
                broken += 1;
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
            Err(error) => {
                tracing::debug!(%error, "a connection broke");
                run.with_tally(|tally| tally.connection_errors += 1);
                broken = if answered > 0 { 1 } else { broken + 1 };
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
        }
        answered = 0;
    }
}

enum End {
    NoMoreRequests,
    ClosedIdle,
}

async fn on_one_connection(
    run: &Run,
    stream: Option<TcpStream>,
    job: &mut Option<Job>,
    answered: &mut u64,
) -> Result<End, Broken> {
    let stream = match stream {
        Some(stream) => stream,
        None => connect(run).await?,
    };
    let (sender, connection): (_, Connection<_, Full<Bytes>>) =
        http1::handshake(TokioIo::new(stream)).await?;
    // Both in this task: a task of the connection's own would be woken twice a request.
    let requests = pin!(exchange(run, sender, job, answered));
    match select(requests, pin!(connection)).await {
        Either::Left((ended, _connection)) => ended,
        // The requests learn of the end by their next step.
        Either::Right((_ended, requests)) => requests.await,
    }
}

async fn exchange(
    run: &Run,
    mut sender: SendRequest<Full<Bytes>>,
    job: &mut Option<Job>,
    answered: &mut u64,
) -> Result<End, Broken> {
    loop {
        if sender.ready().await.is_err() {
            return Ok(End::ClosedIdle);
        }
        let Job {
            sequence,
            due,
            mut request,
        } = match job.take() {
            Some(waiting) => waiting,
            None => match run.next().await {
                Some(next) => next,
                None => return Ok(End::NoMoreRequests),
            },
        };
        let headers = request.headers_mut();
        headers.entry(HOST).or_insert_with(|| run.host.clone());
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    // Not a byte of it was sent.
                    *job = Some(Job {
                        sequence,
                        due,
                        request,
                    });
                    return Ok(End::ClosedIdle);
                }
                None => return Err(error.into_error().into()),
            },
        };
        let status = response.status();
        let body = body(response).await?;
        let latency = due.elapsed();
        run.with_tally(|tally| tally.answer(status, latency));
        *answered += 1;
        run.hand_over(sequence, status, &body);
    }
}

/// Reads a body; one that comes in a piece, as short ones do, is not copied.
async fn body(response: Response<Incoming>) -> Result<Bytes, hyper::Error> {
    let mut incoming = response.into_body();
    let mut whole = Bytes::new();
    while let Some(frame) = incoming.frame().await {
        if let Ok(piece) = frame?.into_data() {
            whole = if whole.is_empty() {
                piece
            } else {
                [whole, piece].concat().into()
            };
        }
    }
    Ok(whole)
}
