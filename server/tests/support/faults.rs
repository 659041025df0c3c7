//! A proxy before a store: it counts the requests, and fails them when told to.
#![allow(dead_code, reason = "each test file uses what it needs")]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the proxy does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Passes it on.
    None = 0,
    /// Answers that the store has an error of its own.
    Broken = 1,
    /// Answers that the table takes no more at the moment.
    Throttled = 2,
    /// Never answers.
    Hangs = 3,
    /// Passes it on and loses the answer.
    AnswerLost = 4,
}

struct Inner {
    store: SocketAddr,
    fault: AtomicU8,
    requests: AtomicUsize,
}

pub struct Proxy {
    inner: Arc<Inner>,
    address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    pub async fn before(store: &str) -> Self {
        let store = store.trim_start_matches("http://").parse();
        let inner = Arc::new(Inner {
            store: store.expect("an address"),
            fault: AtomicU8::new(0),
            requests: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("serves");
        });
        Self {
            inner,
            address,
            serving,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, fault: Fault) {
        self.inner.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// Requests since this was last asked.
    pub fn requests(&self) -> usize {
        self.inner.requests.swap(0, Ordering::SeqCst)
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    inner.requests.fetch_add(1, Ordering::SeqCst);
    let fails = |kind: &str, status| {
        let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{kind}"}}"#);
        let kind = [("content-type", "application/x-amz-json-1.0")];
        (status, kind, body).into_response()
    };
    let broken = || fails("InternalServerError", StatusCode::INTERNAL_SERVER_ERROR);
    match inner.fault.load(Ordering::SeqCst) {
        1 => broken(),
        2 => fails(
            "ProvisionedThroughputExceededException",
            StatusCode::BAD_REQUEST,
        ),
        3 => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            broken()
        }
        4 => {
            pass(&inner, request).await;
            broken()
        }
        _ => pass(&inner, request).await,
    }
}

/// Sends the request on over a connection of its own.
async fn pass(inner: &Inner, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let mut text = format!("POST {} HTTP/1.1\r\nconnection: close\r\n", head.uri.path());
    for (name, value) in &head.headers {
        if name != "connection" && name != "content-length" {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
        }
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut stream = TcpStream::connect(inner.store).await.expect("connects");
    stream.write_all(text.as_bytes()).await.expect("sends");
    stream.write_all(&body).await.expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("reads");
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head");
    let status = String::from_utf8_lossy(&answer[9..12]).parse::<u16>();
    let mut response = Response::new(Body::from(answer.split_off(end + 4)));
    *response.status_mut() = StatusCode::from_u16(status.expect("a status")).expect("valid");
    let kind = http::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert("content-type", kind);
    response
}
