//! All of `DynamoDB`: one table and its stream.
//!
//! | item | pk | sk | attributes |
//! |---|---|---|---|
//! | event with a place | `EVENT#lot_…` | epoch and offset, 19 digits each | kind `event`, body |
//! | any other event | `EVENT#evt_…` | `event` | kind `event`, body |
//! | message | `CHAT#lot_…` | `msg_…` (ordered by time) | kind `chat`, lot, body |
//! | first use of a client id | `SAID#lot_…#usr_…` | the client id | body (the message) |
//! | reactions | `REACTIONS#lot_…` | two-digit shard | kind `reactions`, lot, a number per reaction |
//! | watcher | `PRESENCE#lot_…#` two-digit shard | the watcher's key | kind `presence`, lot, `seen_at`, `joined`, person |
//! | lease on the stream | `STREAM` | `lease` | term, counter, address, token, body (the checkpoint: how far each shard was read) |
//! | stock, budget | `STOCK#itm_…`, `BUDGET#mnd_…` | five-digit bucket | `left`, `version` |
//! | balance | `BALANCE#mer_…` | currency | `minor` |
//!
//! Every item but these last three has `expires_at` (seconds since 1970) for `DynamoDB`'s time to live, which is for
//! tidiness only: it may be days late, so whatever depends on age compares timestamps.
//!
//! | access | operation |
//! |---|---|
//! | log an event, once | conditional Put on the keys |
//! | log an event of the checkout, once | conditional Put of each bucket by version, then a transaction: conditional Put, Update of balances with ADD |
//! | events after an offset | Query `EVENT#lot`, sk between |
//! | write a message, once per sender and client id | conditional Put of `SAID#`, then of `CHAT#` |
//! | latest messages | Query `CHAT#lot` backwards, limited |
//! | react | Update with ADD |
//! | who is there and what they feel | Query each shard of `PRESENCE#` and `REACTIONS#` |
//! | follow everything | the table's stream, by kind; one node reads it, the others follow that node ([`stream`]) |
//! | see who reads it | Get of the lease |
//! | take over the reading | Update by the counter that was seen |
//! | renew, write the checkpoint, give back | Update by the term |
//!
//! Events without a place have a partition of their own, so that a drop with thousands of claims
//! a second never meets the ceiling of one partition (1,000 writes a second).

mod chat;
pub mod chat_text;
mod crowd;
mod error;
mod events;
mod keys;
mod projections;
mod records;
mod stream;
mod table;

pub use error::FirehoseError;
pub use events::Appended;
pub use stream::{Counts, Pulse, Role, Stream, StreamConfig, StreamItem, StreamStatus};

use crate::clock::Clock;
use app::ports::{Failure, Social};
use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use shared::LotId;
use shared::view::{ChatMessage, CrowdView};
use std::sync::Arc;
use std::time::Duration;
use stream::{Pace, StoreClock};

/// How long one try of a call may take before the SDK gives it up.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a call may take with its tries; three tries and their waits fit.
const CALL_TIMEOUT: Duration = Duration::from_secs(7);

/// How the stream of the embedded store is polled: a read costs about 4 ms there.
const LOCAL_PACE: Pace = Pace {
    poll: Duration::from_millis(50),
    behind: Duration::ZERO,
};

/// How a real stream is polled: AWS wants at most 5 reads a second of a shard, and five full pages
/// are as much as a partition can be written.
const AWS_PACE: Pace = Pace {
    poll: Duration::from_millis(200),
    behind: Duration::from_millis(200),
};

/// Messages that a room shows when one comes in.
pub const MAX_RECENT_MESSAGES: usize = 50;

/// Where the second plane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirehoseConfig {
    /// The table's name.
    pub table: String,
    /// Another address than the one of AWS. A plain-text address of this machine is spoken to
    /// without TLS and with made-up credentials.
    pub endpoint: Option<String>,
}

/// The social plane: event log, chat, reactions, presence and the stream of all of it.
#[derive(Clone, Debug)]
pub struct Firehose {
    dynamo: aws_sdk_dynamodb::Client,
    streams: aws_sdk_dynamodbstreams::Client,
    table: Arc<str>,
    clock: Arc<Clock>,
    store_clock: StoreClock,
    local: bool,
    pace: Pace,
}

impl Firehose {
    /// Prepares the clients; nothing is sent yet.
    pub async fn connect(config: FirehoseConfig, clock: Arc<Clock>) -> Self {
        let local = config.endpoint.as_deref().is_some_and(is_plain_loopback);
        let sdk = sdk_config(config.endpoint.as_deref(), local).await;
        let store_clock = StoreClock::default();
        let streams = aws_sdk_dynamodbstreams::config::Builder::from(&sdk)
            .interceptor(store_clock.clone())
            .build();
        Self {
            dynamo: aws_sdk_dynamodb::Client::new(&sdk),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams),
            table: config.table.into(),
            clock,
            store_clock,
            local,
            pace: if local { LOCAL_PACE } else { AWS_PACE },
        }
    }

    /// Whether the table is one of this machine.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.local
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }
}

async fn sdk_config(endpoint: Option<&str>, local: bool) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
    if let Some(url) = endpoint {
        loader = loader.endpoint_url(url);
    }
    if local {
        let credentials = Credentials::new("local", "local", None, None, "local");
        loader = loader
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(aws_smithy_http_client::Builder::new().build_http());
    }
    loader.load().await
}

fn is_plain_loopback(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    uri.scheme_str() == Some("http") && matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

#[async_trait]
impl Social for Firehose {
    async fn chat(&self, lot: LotId) -> Result<Vec<ChatMessage>, Failure> {
        let read = self.recent_messages(lot, MAX_RECENT_MESSAGES).await;
        read.map_err(|error| error.into_failure())
    }

    async fn crowd(&self, lot: LotId) -> Result<CrowdView, Failure> {
        let read = Self::crowd(self, lot, self.clock.now()).await;
        read.map_err(|error| error.into_failure())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_without_tls_is_local() {
        for local in [
            "http://127.0.0.1:8000",
            "http://localhost:1",
            "http://[::1]:9/",
        ] {
            assert!(is_plain_loopback(local), "{local}");
        }
        for other in [
            "https://127.0.0.1:8000",
            "http://dynamodb.internal",
            "http://127.0.0.1.example.org",
            "nonsense",
            "",
        ] {
            assert!(!is_plain_loopback(other), "{other}");
        }
    }
}
