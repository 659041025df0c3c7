//! Sends one message to one receiver. No redirect is followed and no proxy is used: both would
//! lead past the guard. Little is read of the answer, and nothing of it is kept but the status.

use super::guard::{NotPublic, Policy, Resolver, SystemNames, UrlError, WebhookUrl};
use super::signature::{Secret, sign};
use super::{guard, schedule};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use shared::{DeliveryId, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::PrimitiveDateTime;
use time::macros::format_description;
use tokio::time::timeout_at;

/// How long a receiver has, from the look-up of its name to the end of its answer.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The most that is read of an answer: of its head, and then of its body.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

const AGENT: &str = "LotZero-Webhooks/1";

/// A message ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// The same in every try: a receiver knows a repeat by it.
    pub id: DeliveryId,
    /// Where it goes, as stored.
    pub url: String,
    /// With what it is signed: one secret, or two while they rotate.
    pub secrets: Vec<Secret>,
    /// What it says.
    pub body: String,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered {
        /// The receiver's status.
        status: StatusCode,
    },
    /// The receiver does not have it.
    Failed(Fault),
    /// The receiver wants no more messages, ever (410).
    Gone,
    /// The receiver is overloaded or away (429, 502, 504): leave it alone for a while.
    SlowDown {
        /// The receiver's status.
        status: StatusCode,
        /// For how long it asked to be left alone.
        retry_after: Option<Duration>,
    },
}

/// Why a receiver does not have a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It answered with a status that is no success. A redirect is none.
    #[error("the receiver did not accept it")]
    Status(StatusCode),
    /// Its URL or its address is not allowed.
    #[error("the URL does not lead to a public address")]
    NotAllowed,
    /// It did not answer in time.
    #[error("the receiver did not answer in time")]
    TimedOut,
    /// No connection came about: no such name, nobody listens, no valid certificate.
    #[error("no connection could be made")]
    NoConnection,
    /// What it answered is no HTTP, or it hung up.
    #[error("the connection was lost or the answer is not HTTP")]
    NoAnswer,
}

impl Outcome {
    /// The receiver's status, if it answered.
    #[must_use]
    pub const fn status(self) -> Option<StatusCode> {
        match self {
            Self::Delivered { status }
            | Self::SlowDown { status, .. }
            | Self::Failed(Fault::Status(status)) => Some(status),
            Self::Gone => Some(StatusCode::GONE),
            Self::Failed(
                Fault::NotAllowed | Fault::TimedOut | Fault::NoConnection | Fault::NoAnswer,
            ) => None,
        }
    }

    /// What went wrong, in words for the receiver's owner.
    #[must_use]
    pub fn error(self) -> Option<String> {
        match self {
            Self::Delivered { .. } => None,
            Self::Failed(fault) => Some(fault.to_string()),
            Self::Gone => Some("the receiver wants no more messages".to_owned()),
            Self::SlowDown { .. } => Some("the receiver asked for fewer messages".to_owned()),
        }
    }

    /// How long the receiver should be left alone, if it should: as long as it asked for, or as
    /// long as `usual`.
    #[must_use]
    pub fn rest(self, usual: Duration) -> Option<Duration> {
        match self {
            Self::SlowDown { retry_after, .. } => Some(retry_after.unwrap_or(usual)),
            // A receiver that hangs holds a place of others until the time is up.
            Self::Failed(Fault::TimedOut) => Some(usual),
            Self::Delivered { .. } | Self::Failed(_) | Self::Gone => None,
        }
    }
}

/// The client.
pub struct Sender {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    policy: Policy,
    patience: Duration,
}

impl Sender {
    /// A client that asks the machine's resolver.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(policy: Policy) -> Result<Self, rustls::Error> {
        Self::with_names(policy, Arc::new(SystemNames))
    }

    /// A client that asks `names`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn with_names(policy: Policy, names: Arc<dyn guard::Names>) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(names));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(TIMEOUT / 2));
        // The tree has two providers, so none is the default. The roots come with the program: a
        // slim machine without any must not lose its webhooks.
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        // Each message has a connection of its own, so each is resolved and tested anew.
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .http1_max_buf_size(MAX_ANSWER_BYTES)
            .build(tls);
        Ok(Self {
            client,
            policy,
            patience: TIMEOUT,
        })
    }

    /// The same client with another bound on how long a receiver has.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What URLs may lead to.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Tries once, and answers what became of it and how long it took. `now` is signed.
    pub async fn send(&self, message: &Message, now: Timestamp) -> (Outcome, Duration) {
        let started = Instant::now();
        let outcome = match self.request(message, now) {
            Ok(request) => self.exchange(request, now).await,
            Err(_refused) => Outcome::Failed(Fault::NotAllowed),
        };
        (outcome, started.elapsed())
    }

    fn request(&self, message: &Message, now: Timestamp) -> Result<Request<Full<Bytes>>, UrlError> {
        // The client connects to an address in a URL without asking its resolver, so the text is
        // tested here too, by today's policy.
        let url = WebhookUrl::parse(&message.url, self.policy)?;
        let (id, seconds) = (message.id.to_string(), now.0.div_euclid(1_000));
        let signature = sign(&message.secrets, &id, seconds, message.body.as_bytes());
        Request::post(url.uri().clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT)
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature)
            .body(Full::new(Bytes::from(message.body.clone())))
            .map_err(|_malformed| UrlError::Malformed)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, now: Timestamp) -> Outcome {
        let deadline = tokio::time::Instant::now() + self.patience;
        match timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(response)) => {
                let outcome = judge(response.status(), response.headers(), now);
                // A polite amount is read, so that a receiver that is still writing is not cut
                // off. What it says, and whether it comes to an end, decides nothing.
                let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
                let _whatever_it_says = timeout_at(deadline, body.collect()).await;
                outcome
            }
            Ok(Err(error)) => Outcome::Failed(fault(&error)),
            Err(_elapsed) => Outcome::Failed(Fault::TimedOut),
        }
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Outcome {
    match status {
        _ if status.is_success() => Outcome::Delivered { status },
        StatusCode::GONE => Outcome::Gone,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            let text = headers.get(RETRY_AFTER).and_then(|text| text.to_str().ok());
            Outcome::SlowDown {
                status,
                retry_after: text.and_then(|text| retry_after(text, now)),
            }
        }
        _ => Outcome::Failed(Fault::Status(status)),
    }
}

/// Reads `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let asked = if let Ok(seconds) = text.trim().parse() {
        Duration::from_secs(seconds)
    } else {
        let date = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        let until = PrimitiveDateTime::parse(text.trim(), date).ok()?;
        let seconds = until.assume_utc().unix_timestamp() - now.0.div_euclid(1_000);
        Duration::from_secs(u64::try_from(seconds).ok()?)
    };
    Some(asked.min(schedule::MAX_RETRY_AFTER))
}

fn fault(error: &Error) -> Fault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        // An io::Error does not name what it wraps as its source.
        let wrapped = this
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if wrapped.is_some_and(|inner| inner.is::<NotPublic>()) {
            return Fault::NotAllowed;
        }
        cause = this.source();
    }
    if error.is_connect() {
        Fault::NoConnection
    } else {
        Fault::NoAnswer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    #[test]
    fn each_status_means_what_standard_webhooks_says() {
        let now = Timestamp(0);
        let of = |code: u16| {
            let status = StatusCode::from_u16(code).expect("a status");
            (judge(status, &HeaderMap::new(), now), status)
        };
        for code in [200, 201, 202, 204] {
            let (outcome, status) = of(code);
            assert_eq!(outcome, Outcome::Delivered { status });
        }
        for code in [301, 302, 304, 307, 308, 400, 401, 404, 409, 500, 503] {
            let (outcome, status) = of(code);
            assert_eq!(outcome, Outcome::Failed(Fault::Status(status)));
        }
        assert_eq!(of(410).0, Outcome::Gone);
        for code in [429, 502, 504] {
            let (outcome, status) = of(code);
            let retry_after = None;
            assert_eq!(
                outcome,
                Outcome::SlowDown {
                    status,
                    retry_after
                }
            );
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let now = Timestamp(1_763_813_789_042);
        let read = |text| retry_after(text, now).map(|asked| asked.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("99999999"), Some(3_600));
        assert_eq!(read("Sat, 22 Nov 2025 12:17:29 GMT"), Some(60));
        assert_eq!(read("Sat, 22 Nov 2025 12:16:00 GMT"), None);
        assert_eq!(read("-1"), None);
        assert_eq!(read("soon"), None);
    }

    fn message(url: String) -> Message {
        Message {
            id: DeliveryId::from_uuid(crate::ids::event().uuid()),
            url,
            secrets: vec![Secret::generate()],
            body: "{}".to_owned(),
        }
    }

    fn at_home() -> Sender {
        let policy = Policy {
            allow_loopback: true,
        };
        Sender::new(policy).expect("TLS is set up")
    }

    #[tokio::test]
    async fn a_receiver_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let sender = at_home().with_patience(Duration::from_millis(50));
        let (outcome, took) = sender.send(&message(url.clone()), Timestamp(0)).await;
        assert_eq!(outcome, Outcome::Failed(Fault::TimedOut));
        assert!(took >= Duration::from_millis(50));
        drop(listener);
        let (outcome, _) = at_home().send(&message(url), Timestamp(0)).await;
        assert_eq!(outcome, Outcome::Failed(Fault::NoConnection));
    }

    #[tokio::test]
    async fn over_https_nothing_is_said_in_the_clear() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("https://{}/", listener.local_addr().expect("an address"));
        let receiver = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("accepts");
            let mut start = [0; 3];
            socket.read_exact(&mut start).await.expect("reads");
            start
        });
        let (outcome, _) = at_home().send(&message(url), Timestamp(0)).await;
        assert_eq!(outcome, Outcome::Failed(Fault::NoConnection));
        // A TLS record of a handshake, in the version that all of them name.
        assert_eq!(receiver.await.expect("ran"), [0x16, 3, 1]);
    }
}
