//! The gate before `DynamoDB`: a proxy that understands its JSON protocol, counts calls, fails them
//! on demand, and shows the embedded store's one well-behaved shard as a stream like those of AWS.
//! For tests and proofs; nothing configures it into `serve`.
//!
//! Each node comes through a door of its own, so that readers of a shard can be counted.

mod faults;
mod topology;

pub use faults::{Fault, Rule};
pub use topology::{Habits, Topology};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use faults::{Struck, Switchboard};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use topology::StreamError;

/// The header that names the operation.
const TARGET: &str = "x-amz-target";

/// Beginning of the names of the stream's operations.
const STREAMS: &str = "DynamoDBStreams_20120810.";

/// The largest request: a batch of 25 items may have 16 MB.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Readers of a shard within this time read it at the same time.
const READING: Duration = Duration::from_secs(1);

/// Pages of the real stream that one call may wait for.
const MAX_PUMPED_PAGES: usize = 64;

/// The least time between two looks at the real stream: each of many shards asks for one.
const PUMP_PAUSE: Duration = Duration::from_millis(20);

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A running gate; closes with its doors when dropped.
#[derive(Debug)]
pub struct DynamoGate {
    shared: Arc<Shared>,
    closed: CancellationToken,
    _closes: DropGuard,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    topology: Mutex<Topology>,
    board: Switchboard,
    /// Calls by operation, since somebody last asked.
    calls: Mutex<BTreeMap<String, u64>>,
    readers: Mutex<Readers>,
    /// Where the real stream has been read to.
    pump: tokio::sync::Mutex<Pump>,
}

#[derive(Debug, Default)]
struct Pump {
    arn: Option<String>,
    iterator: Option<String>,
    at: Option<Instant>,
}

/// Who read which shard.
#[derive(Debug, Default)]
struct Readers {
    lately: BTreeMap<String, VecDeque<(Instant, String)>>,
    most: usize,
}

#[derive(Clone)]
struct Door {
    name: String,
    shared: Arc<Shared>,
}

impl DynamoGate {
    /// A gate in front of `http://host:port`, with a stream of `shards` shards.
    #[must_use]
    pub fn before(endpoint: &str, seed: u64, shards: usize) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let closed = CancellationToken::new();
        Self {
            shared: Arc::new(Shared {
                upstream: endpoint.trim_end_matches('/').to_owned(),
                client,
                topology: Mutex::new(Topology::new(seed, shards)),
                board: Switchboard::new(seed),
                calls: Mutex::default(),
                readers: Mutex::default(),
                pump: tokio::sync::Mutex::default(),
            }),
            _closes: closed.clone().drop_guard(),
            closed,
        }
    }

    /// Opens a door; answers its endpoint.
    pub async fn door(&self, name: &str) -> io::Result<String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let door = Door {
            name: name.to_owned(),
            shared: Arc::clone(&self.shared),
        };
        let app = Router::new().fallback(through).with_state(door);
        let closed = self.closed.clone();
        tokio::spawn(async move {
            let served = axum::serve(listener, app).into_future();
            closed.run_until_cancelled(served).await
        });
        Ok(format!("http://{address}"))
    }

    /// The stream that is shown, to change it.
    pub fn topology(&self) -> MutexGuard<'_, Topology> {
        lock(&self.shared.topology)
    }

    /// Has calls fail from now on, in addition to what fails already.
    pub fn add_fault(&self, rule: Rule) {
        self.shared.board.add(rule);
    }

    /// Nothing fails any more; a call that hangs already goes on hanging.
    pub fn heal(&self) {
        self.shared.board.clear();
    }

    /// How many calls of each operation came since this was last asked, those that failed
    /// included.
    pub fn take_calls(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *lock(&self.shared.calls))
    }

    /// The most doors through which one shard was read within a second.
    #[must_use]
    pub fn most_readers(&self) -> usize {
        lock(&self.shared.readers).most
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn through(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.headers.get(TARGET).and_then(|t| t.to_str().ok());
    let target = target.unwrap_or_default().to_owned();
    let operation = target.split('.').next_back().unwrap_or_default();
    door.shared.count(operation);
    let in_its_place = match door.shared.board.strike(&door.name, operation).await {
        Struck::Answered(answer) => return answer,
        Struck::AnswerLost(answer) => Some(answer),
        Struck::Spared => None,
    };
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let answered = match (target.starts_with(STREAMS), operation) {
        (true, "DescribeStream" | "GetShardIterator" | "GetRecords") => {
            door.stream(operation, &parts.headers, &body).await
        }
        (_, _) => door.shared.pass(parts.method, &parts.headers, body).await,
    };
    let answered = answered.unwrap_or_else(|error| {
        tracing::debug!(error, "the store behind the gate does not answer");
        StatusCode::BAD_GATEWAY.into_response()
    });
    in_its_place.unwrap_or(answered)
}

impl Door {
    async fn stream(
        &self,
        operation: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Failed> {
        let asked: Value = serde_json::from_slice(body)?;
        let text = |name: &str| asked.get(name).and_then(Value::as_str);
        let shared = &self.shared;
        shared.pump(headers, text("StreamArn")).await?;
        Ok(match operation {
            "DescribeStream" => {
                let arn = text("StreamArn").unwrap_or_default();
                let after = text("ExclusiveStartShardId");
                answer(&lock(&shared.topology).describe(arn, after))
            }
            "GetShardIterator" => {
                let (shard, kind) = (text("ShardId"), text("ShardIteratorType"));
                let (shard, kind) = (shard.unwrap_or_default(), kind.unwrap_or_default());
                let iterator = lock(&shared.topology).iterator(shard, kind, text("SequenceNumber"));
                iterator.map_or_else(refusal, |it| answer(&json!({ "ShardIterator": it })))
            }
            _ => {
                let iterator = text("ShardIterator").unwrap_or_default();
                self.count_reader(iterator);
                let page = lock(&shared.topology).records(iterator);
                page.map_or_else(refusal, |(records, next)| {
                    let mut page = json!({ "Records": records });
                    if let Some(next) = next {
                        page["NextShardIterator"] = json!(next);
                    }
                    answer(&page)
                })
            }
        })
    }

    fn count_reader(&self, iterator: &str) {
        let Some(shard) = lock(&self.shared.topology).shard_of(iterator) else {
            return;
        };
        let now = Instant::now();
        let mut readers = lock(&self.shared.readers);
        let lately = readers.lately.entry(shard).or_default();
        lately.push_back((now, self.name.clone()));
        while (lately.front()).is_some_and(|(at, _)| now.duration_since(*at) > READING) {
            lately.pop_front();
        }
        let doors: BTreeSet<&String> = lately.iter().map(|(_, door)| door).collect();
        let most = doors.len();
        readers.most = readers.most.max(most);
    }
}

impl Shared {
    fn count(&self, operation: &str) {
        *lock(&self.calls).entry(operation.to_owned()).or_default() += 1;
    }

    /// Hands a request on as it came.
    async fn pass(
        &self,
        method: Method,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, Failed> {
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}/", self.upstream).parse()?;
        let kept = headers.iter().filter(|(name, _)| {
            let own = [header::HOST, header::CONTENT_LENGTH, header::CONNECTION];
            !own.contains(name)
        });
        for (name, value) in kept {
            request.headers_mut().append(name, value.clone());
        }
        let response = self.client.request(request).await?;
        Ok(response.map(Body::new))
    }

    async fn call(
        &self,
        operation: &str,
        headers: &HeaderMap,
        body: &Value,
    ) -> Result<Value, Failed> {
        let mut headers = headers.clone();
        let target = HeaderValue::from_str(&format!("{STREAMS}{operation}"))?;
        headers.insert(TARGET, target);
        let body = Bytes::from(serde_json::to_vec(body)?);
        let response = self.pass(Method::POST, &headers, body).await?;
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Reads what is new of the real stream into the one that is shown.
    async fn pump(&self, headers: &HeaderMap, arn: Option<&str>) -> Result<(), Failed> {
        let mut pump = self.pump.lock().await;
        if let Some(arn) = arn
            && pump.arn.as_deref() != Some(arn)
        {
            let ask = json!({ "StreamArn": arn });
            let described = self.call("DescribeStream", headers, &ask).await?;
            let shard = described.pointer("/StreamDescription/Shards/0/ShardId");
            let ask = json!({
                "StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
            });
            let found = self.call("GetShardIterator", headers, &ask).await?;
            let iterator = found.get("ShardIterator").and_then(Value::as_str);
            pump.iterator = iterator.map(str::to_owned);
            pump.arn = Some(arn.to_owned());
        }
        if pump.at.is_some_and(|at| at.elapsed() < PUMP_PAUSE) {
            return Ok(());
        }
        for _page in 0..MAX_PUMPED_PAGES {
            let Some(iterator) = pump.iterator.clone() else {
                break;
            };
            let ask = json!({ "ShardIterator": iterator });
            let mut page = self.call("GetRecords", headers, &ask).await?;
            let records = page.get_mut("Records").map(Value::take);
            let Some(Value::Array(records)) = records else {
                break;
            };
            if let Some(next) = page.get("NextShardIterator").and_then(Value::as_str) {
                pump.iterator = Some(next.to_owned());
            }
            if records.is_empty() {
                break;
            }
            let now = Instant::now();
            let mut topology = lock(&self.topology);
            records
                .into_iter()
                .for_each(|record| topology.take_in(record, now));
        }
        lock(&self.topology).release(Instant::now());
        pump.at = Some(Instant::now());
        Ok(())
    }
}

fn answer(body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
    (kind, body.to_string()).into_response()
}

fn refusal(error: StreamError) -> Response {
    let name = match error {
        StreamError::Expired => "ExpiredIteratorException",
        StreamError::Trimmed => "TrimmedDataAccessException",
        StreamError::NotFound => "ResourceNotFoundException",
    };
    faults::error(StatusCode::BAD_REQUEST, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// How many calls a store has heard.
    type Heard = Arc<AtomicUsize>;

    async fn hear(State(heard): State<Heard>) -> &'static str {
        heard.fetch_add(1, Ordering::SeqCst);
        "{}"
    }

    /// A gate before a store that takes everything, and its door.
    async fn gate() -> (Heard, DynamoGate, String) {
        let heard = Heard::default();
        let app = Router::new().fallback(hear).with_state(Arc::clone(&heard));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let gate = DynamoGate::before(&format!("http://{address}"), 1, 1);
        let door = gate.door("node").await.expect("a door");
        (heard, gate, door)
    }

    async fn call(door: &str, operation: &str) -> StatusCode {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let request = http::Request::post(format!("{door}/"))
            .header(TARGET, format!("DynamoDB_20120810.{operation}"))
            .body(Full::new(Bytes::new()))
            .expect("a request");
        client.request(request).await.expect("an answer").status()
    }

    #[tokio::test]
    async fn the_store_does_what_a_lost_answer_was_about() {
        let (heard, gate, door) = gate().await;
        gate.add_fault(Rule::all(Fault::AnswerLost));
        let answered = call(&door, "PutItem").await;
        assert_eq!(answered, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        gate.heal();
        gate.add_fault(Rule::all(Fault::Broken));
        let answered = call(&door, "PutItem").await;
        assert_eq!(answered, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(heard.load(Ordering::SeqCst), 1, "this one it never heard");
        gate.heal();
        assert_eq!(call(&door, "PutItem").await, StatusCode::OK);
        assert_eq!(heard.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn calls_are_counted_until_somebody_asks() {
        let (_heard, gate, door) = gate().await;
        call(&door, "PutItem").await;
        gate.add_fault(Rule::all(Fault::Throttled).on("PutItem"));
        call(&door, "PutItem").await;
        call(&door, "GetItem").await;
        let calls = gate.take_calls();
        let expected = [("GetItem".to_owned(), 1), ("PutItem".to_owned(), 2)];
        assert_eq!(calls, BTreeMap::from(expected));
        assert!(gate.take_calls().is_empty(), "counted anew");
    }
}
