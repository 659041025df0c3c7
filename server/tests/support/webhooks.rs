//! A house whose dispatcher sends webhooks, and a receiver that listens on this machine, remembers
//! what it is sent and answers as it is told.
#![allow(dead_code, reason = "each test file uses what it needs")]

use crate::common::{Database, Node, eventually};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::json;
use server::ids;
use server::ledger::webhooks::{CreatedEndpoint, Delivery, DeliveryDetail};
use server::webhooks::dispatcher::dispatch;
use server::webhooks::event::WebhookEvent;
use server::webhooks::guard::{Policy, WebhookUrl};
use server::webhooks::sender::Sender;
use server::webhooks::signature::{Secret, Signed, VerifyError, verify};
use shared::{DeliveryId, PrincipalId, Timestamp};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const AT_HOME: Policy = Policy {
    allow_loopback: true,
};

/// A request that a receiver had.
#[derive(Clone, Debug)]
pub struct Seen {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).expect(name);
        value.to_str().expect("text")
    }

    pub fn verify(&self, secrets: &[Secret], now: Timestamp) -> Result<(), VerifyError> {
        let signed = Signed {
            id: self.header("webhook-id"),
            timestamp: self.header("webhook-timestamp"),
            signature: self.header("webhook-signature"),
        };
        verify(secrets, signed, &self.body, now.0 / 1_000)
    }
}

type Answer = (u16, Vec<(&'static str, String)>);

#[derive(Clone, Default)]
struct Script {
    seen: Arc<Mutex<Vec<Seen>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

async fn answer(State(script): State<Script>, headers: HeaderMap, body: Bytes) -> Response {
    let seen = Seen { headers, body };
    script.seen.lock().expect("not poisoned").push(seen);
    let next = script.answers.lock().expect("not poisoned").pop_front();
    let (status, headers) = next.unwrap_or((200, Vec::new()));
    let status = StatusCode::from_u16(status).expect("a status");
    let mut response = status.into_response();
    for (name, value) in headers {
        let value = value.parse().expect("a header");
        response.headers_mut().insert(name, value);
    }
    response
}

/// Accepts everything unless told otherwise.
pub struct Receiver {
    pub url: String,
    script: Script,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let script = Script::default();
        let app = Router::new()
            .fallback(any(answer))
            .with_state(script.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url, script }
    }

    pub fn will_answer(&self, status: u16, headers: &[(&'static str, &str)]) {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let mut answers = self.script.answers.lock().expect("not poisoned");
        answers.push_back((status, headers));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().expect("not poisoned").clone()
    }

    pub async fn has_seen(&self, count: usize) -> Vec<Seen> {
        eventually("a receiver hears", async || self.seen().len() >= count).await;
        let seen = self.seen();
        assert_eq!(seen.len(), count, "{seen:?}");
        seen
    }
}

/// A house with one tenant, whose dispatcher runs.
pub struct House {
    pub database: Database,
    pub node: Node,
    pub tenant: PrincipalId,
    pub stop: CancellationToken,
    pub dispatcher: Option<JoinHandle<()>>,
}

impl House {
    pub async fn quiet() -> Self {
        let database = Database::create().await;
        let node = database.node().await;
        node.ledger.measure_clock().await.expect("answers");
        let tenant = someone();
        Self {
            database,
            node,
            tenant,
            stop: CancellationToken::new(),
            dispatcher: None,
        }
    }

    pub async fn open(policy: Policy) -> Self {
        let mut house = Self::quiet().await;
        house.start(policy);
        house
    }

    pub fn start(&mut self, policy: Policy) {
        let sender = Arc::new(Sender::new(policy).expect("TLS is set up"));
        let ledger = Arc::clone(&self.node.ledger);
        self.dispatcher = Some(tokio::spawn(dispatch(ledger, sender, self.stop.clone())));
    }

    pub async fn close(self) {
        self.stop.cancel();
        if let Some(dispatcher) = self.dispatcher {
            dispatcher.await.expect("ends");
        }
        self.node.ledger.close().await;
        self.database.drop().await;
    }

    pub async fn endpoint(&self, url: &str) -> CreatedEndpoint {
        let url = WebhookUrl::parse(url, AT_HOME).expect("a URL");
        let id = ids::webhook_endpoint();
        let created = self
            .node
            .ledger
            .create_webhook_endpoint(self.tenant, id, &url);
        created.await.expect("answers").expect("has a free place")
    }

    pub async fn queue(&self, event: &WebhookEvent) {
        let events = std::slice::from_ref(event);
        let queued = self.node.ledger.queue_webhooks(self.tenant, events);
        queued.await.expect("answers");
    }

    pub async fn detail(&self, id: DeliveryId) -> DeliveryDetail {
        let found = self.node.ledger.webhook_delivery(self.tenant, id);
        found.await.expect("answers").expect("exists")
    }

    pub async fn all(&self) -> Vec<Delivery> {
        let page = self
            .node
            .ledger
            .webhook_deliveries(self.tenant, None, None, 100);
        page.await.expect("answers").deliveries
    }

    /// Waits until a delivery has had some tries, and answers it.
    pub async fn tried(&self, id: DeliveryId, tries: u16) -> DeliveryDetail {
        let has = async || self.detail(id).await.delivery.tries >= tries;
        eventually("a delivery is tried", has).await;
        self.detail(id).await
    }

    /// Has every pending delivery's time come now, so that a test need not wait for it.
    pub async fn make_due(&self) {
        let mut raw = self.database.connect().await;
        let sql = "UPDATE webhook_deliveries SET next_at_ms = 0 WHERE state = 'pending'";
        let due = sqlx::query(sql).execute(&mut raw).await;
        due.expect("makes due");
        self.node.ledger.webhooks_queued().notify_one();
    }
}

pub fn someone() -> PrincipalId {
    PrincipalId::from_uuid(ids::event().uuid())
}

pub fn event(text: &str) -> WebhookEvent {
    let at = Timestamp(1_763_813_789_042);
    WebhookEvent::new(ids::event(), "test.happened", at, &json!({ "text": text })).expect("fits")
}

pub fn statuses(detail: &DeliveryDetail) -> Vec<Option<u16>> {
    detail.attempts.iter().map(|line| line.status).collect()
}
