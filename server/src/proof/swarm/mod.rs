//! A swarm: agents that buy over HTTP, by the API's own routes on real sockets, each one unit under a
//! key of its own. A request without an answer is sent again, at the next node if its own is gone,
//! until it is decided.

mod node;
mod progress;
mod proof;

pub use node::{ApiNode, ChildNode, address_of, run_api_node};
pub use progress::{Progress, Standing};
pub use proof::{MAX_RECORDED, Plan, prove};

use super::Kernels;
use super::history::{Operation, RecordError, Recorder, Reply, Request as Recorded};
use super::report::Latency;
use super::stage::{PRICE_MINOR, Shop};
use super::trial::{Observed, Sums};
use crate::load::{self, Insistent, Then};
use anyhow::Context;
use axum::body::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use shared::{IdempotencyKey, ItemId, MandateId};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Mandates that pay, in turn: each could pay for every unit, so that only the stock is scarce.
const MANDATES: u64 = 20;

/// Connections of a crowd.
pub const CONNECTIONS: u16 = 256;

/// The most agents of a run, and units that they buy: a demo wallet pays for no more.
pub const MAX_AGENTS: u64 = 5_000_000;
pub const MAX_STOCK: u32 = 400;

/// Refusals that decide nothing: the same request is sent again with the same key.
const UNDECIDED: [&str; 4] = [
    "in_progress",
    "overloaded",
    "unavailable",
    "outcome_unknown",
];

/// How large a swarm is, and how it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Agents, each with one request.
    pub agents: u64,
    /// Requests a second, each at its time; as fast as they are answered if not said.
    pub per_second: Option<u32>,
}

/// What a swarm buys, and with what.
pub struct Goods {
    /// The shop.
    pub shop: Shop,
    /// What is scarce.
    pub item: ItemId,
    /// Who pays.
    pub mandates: Vec<MandateId>,
    /// Units of it.
    pub stock: u32,
    /// A key of the API.
    key: String,
    /// A name for the run's keys.
    run: String,
}

impl Goods {
    /// A new shop with an item of so many units.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn new(kernels: &Kernels, stock: u32) -> anyhow::Result<Self> {
        let cap = i64::from(stock) * PRICE_MINOR;
        let shop = Shop::open(kernels, cap * i64::try_from(MANDATES)?).await?;
        let item = shop.item(kernels, stock).await?;
        let mut mandates = Vec::new();
        for _ in 0..MANDATES {
            mandates.push(shop.mandate(kernels, cap).await?);
        }
        let key = shop.key(kernels).await?;
        Ok(Self {
            shop,
            item,
            mandates,
            stock,
            key,
            run: format!("swarm-{:016x}", rand::random::<u64>()),
        })
    }

    /// All of the tenant's money, in minor units.
    #[must_use]
    pub fn funds_minor(&self) -> i64 {
        let mandates = i64::try_from(self.mandates.len()).unwrap_or(i64::MAX);
        i64::from(self.stock) * PRICE_MINOR * mandates
    }

    /// Where the tenant's money is.
    #[must_use]
    pub fn money(&self) -> Observed {
        Observed {
            people: vec![self.shop.tenant],
            mandates: self.mandates.clone(),
            ..Observed::default()
        }
    }

    fn mandate(&self, number: u64) -> MandateId {
        let place = usize::try_from(number).unwrap_or(0) % self.mandates.len();
        self.mandates[place]
    }

    /// The key of the nth agent's request.
    ///
    /// # Errors
    /// Never.
    pub fn key_of(&self, number: u64) -> anyhow::Result<IdempotencyKey> {
        let key = IdempotencyKey::try_from(format!("{}-{number}", self.run));
        key.context("a key that is none")
    }

    /// The nth agent's request as it is sent.
    fn request(&self, number: u64) -> Request<Bytes> {
        let (merchant, mandate, item) = (self.shop.merchant, self.mandate(number), self.item);
        let body = format!(
            "{{\"merchant_id\":\"{merchant}\",\"mandate_id\":\"{mandate}\",\"item_id\":\"{item}\",\
             \"agent_id\":\"agent-{number}\",\"quantity\":1,\"max_price_minor\":{PRICE_MINOR},\
             \"currency\":\"USD\"}}"
        );
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/v1/purchases/commit");
        let values = [
            (AUTHORIZATION, format!("Bearer {}", self.key)),
            (CONTENT_TYPE, "application/json".to_owned()),
            (
                HeaderName::from_static("idempotency-key"),
                format!("{}-{number}", self.run),
            ),
        ];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }

    /// The nth agent's request as the history has it.
    fn operation(&self, number: u64) -> anyhow::Result<Operation> {
        Ok(Operation::Purchase {
            key: self.key_of(number)?,
            item: self.item,
            mandate: self.mandate(number),
            units: 1,
            max_price_minor: PRICE_MINOR,
        })
    }
}

/// A swarm on its way: what its requests and answers have in common.
pub struct Swarm {
    goods: Goods,
    crowd: Crowd,
    progress: Arc<Progress>,
    recorder: Option<Recorder>,
    /// Requests on their way, by number.
    open: Mutex<HashMap<u64, (Recorded, u32)>>,
    /// Why the history cannot be trusted.
    unwritten: Mutex<Option<RecordError>>,
    stop: CancellationToken,
}

impl Swarm {
    /// A swarm that has not begun. Without a recorder it writes no history.
    #[must_use]
    pub fn new(goods: Goods, crowd: Crowd, recorder: Option<Recorder>) -> Arc<Self> {
        Arc::new(Self {
            goods,
            crowd,
            progress: Arc::new(Progress::of(crowd.agents)),
            recorder,
            open: Mutex::default(),
            unwritten: Mutex::default(),
            stop: CancellationToken::new(),
        })
    }

    /// What it buys.
    #[must_use]
    pub const fn goods(&self) -> &Goods {
        &self.goods
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Ends it when cancelled; what was not decided by then is unknown.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Sends every request, to the nodes in turn, and waits for every answer.
    ///
    /// # Errors
    /// When no node listens, or the history cannot be written.
    pub async fn go(self: &Arc<Self>, addresses: Vec<SocketAddr>) -> anyhow::Result<Sums> {
        let plan = Insistent {
            addresses,
            connections: CONNECTIONS,
            requests: self.crowd.agents,
            per_second: self.crowd.per_second,
            stop: self.stop.clone(),
        };
        let (make, judge) = (Arc::clone(self), Arc::clone(self));
        let measured = load::insist(
            plan,
            move |number| make.send(number),
            move |number, status, body| judge.hear(number, status, body),
        );
        let measured = measured.await.context("making the swarm's load")?;
        let unwritten = self
            .unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = unwritten.as_ref() {
            anyhow::bail!("the history could not be written: {error}");
        }
        drop(unwritten);
        // Whatever has no answer yet stays unknown: dropping it says so.
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let standing = self.progress.standing();
        let refused: u64 = standing.refusals.values().sum();
        Ok(Sums {
            offered: measured.requests,
            committed: standing.committed,
            undecided: measured
                .requests
                .saturating_sub(standing.committed + refused),
            refusals: standing.refusals,
            resent: measured.resent,
            elapsed: measured.elapsed,
            latency_ms: Latency::of_histogram(measured.latencies()),
            tries: self.progress.tries(),
            ..Sums::default()
        })
    }

    fn send(&self, number: u64) -> Request<Bytes> {
        self.progress.sent();
        if let Some(recorder) = &self.recorder {
            match self.goods.operation(number).map(|it| recorder.request(it)) {
                Ok(Ok(recorded)) => {
                    let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                    open.insert(number, (recorded, 1));
                }
                Ok(Err(error)) => self.give_up(error),
                Err(_never) => {}
            }
        }
        self.goods.request(number)
    }

    /// A run without its history proves nothing.
    fn give_up(&self, error: RecordError) {
        let mut unwritten = self
            .unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unwritten.get_or_insert(error);
        self.stop.cancel();
    }

    fn hear(&self, number: u64, status: StatusCode, body: &[u8]) -> Then {
        let reply = match answer(status, body) {
            Some(answer) => answer,
            None => {
                self.progress.undecided();
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, sends)) = open.get_mut(&number) {
                    *sends += 1;
                }
                return Then::Again;
            }
        };
        match &reply {
            Answer::Committed(_) => self.progress.committed(tries(body)),
            Answer::Refused(code) => self.progress.refused(code),
        }
        let open = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
        if let Some((recorded, sends)) = open
            && let Err(error) = recorded.ok(sends, reply.into_reply())
        {
            self.give_up(error);
        }
        Then::Next
    }
}

/// An answer that decides a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// The purchase with this id was made.
    Committed(String),
    /// It was refused with this code.
    Refused(String),
}

impl Answer {
    fn into_reply(self) -> Reply {
        match self {
            Self::Committed(effect) => Reply::Accepted {
                effect,
                version: None,
            },
            Self::Refused(code) => Reply::Refused {
                code,
                minimum_minor: None,
                units_left: None,
            },
        }
    }
}

/// What an answer decides; `None` if it decides nothing.
fn answer(status: StatusCode, body: &[u8]) -> Option<Answer> {
    if status == StatusCode::CREATED {
        return field(body, "purchase_id").map(Answer::Committed);
    }
    let code = field(body, "code")?;
    let is_decided = status.is_client_error() && !UNDECIDED.contains(&code.as_str());
    is_decided.then_some(Answer::Refused(code))
}

/// The tries of the transaction that made a purchase; 1 if the answer does not say so.
fn tries(body: &[u8]) -> u32 {
    let name = b"\"attempts\":";
    let digits = memchr::memmem::find(body, name).and_then(|at| body.get(at + name.len()..));
    let digits = digits.unwrap_or_default().iter();
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0_u32, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    number.max(1)
}

/// The text of a field of a JSON object on the top level, whose name no other text holds. A million
/// answers are read: parsing each costs as much as sending it.
fn field(body: &[u8], name: &str) -> Option<String> {
    let name = format!("\"{name}\":\"");
    let begin = memchr::memmem::find(body, name.as_bytes())? + name.len();
    let rest = body.get(begin..)?;
    let end = memchr::memchr(b'"', rest)?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_read_of_what_was_made() {
        assert_eq!(tries(br#"{"currency":"USD","attempts":12}"#), 12);
        assert_eq!(tries(br#"{"currency":"USD"}"#), 1);
    }

    #[test]
    fn an_answer_decides_or_is_asked_for_again() {
        let made = br#"{"purchase_id":"pur_1","status":"committed"}"#;
        let table: [(u16, &[u8], Option<Answer>); 6] = [
            (201, made, Some(Answer::Committed("pur_1".into()))),
            (201, b"{}", None),
            (
                409,
                br#"{"code":"sold_out"}"#,
                Some(Answer::Refused("sold_out".into())),
            ),
            (409, br#"{"code":"in_progress"}"#, None),
            (503, br#"{"code":"unavailable"}"#, None),
            (500, br#"{"code":"internal"}"#, None),
        ];
        for (status, body, expected) in table {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(answer(status, body), expected, "{status}");
        }
    }
}
