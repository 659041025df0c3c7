//! All of `DynamoDB`: one table, one index and its stream.
//!
//! | item | pk | sk | attributes |
//! |---|---|---|---|
//! | event with a place | `EVENT#lot_…` | epoch and offset, 19 digits each | kind `event`, body |
//! | any other event | `EVENT#evt_…` | `event` | kind `event`, body |
//! | message | `CHAT#lot_…` | `msg_…` (ordered by time) | kind `chat`, lot, person, body |
//! | removed message | the same | the same | kind `removed`, lot, person; the text is gone |
//! | first use of a client id | `SAID#lot_…#usr_…` | the client id | message |
//! | voice: who spoke when, who is muted | `VOICE#lot_…#usr_…` | `voice` | `said_at`, `muted_until` |
//! | rules of a room | `ROOM#lot_…` | `rules` | kind `rules`, lot, `slow_s` |
//! | muted person, to be listed | `MUTED#lot_…` | `usr_…` | `muted_until`, person |
//! | line of the audit | `AUDIT#lot_…` | 19 digits of time, `evt_…` | body |
//! | reactions | `REACTIONS#lot_…#` shard | `totals` | kind `reactions`, lot, a number per reaction |
//! | watcher | `PRESENCE#lot_…#` shard | the watcher's key | kind `presence`, lot, `seen_at`, `joined`, person |
//! | line of a lot's board | `BOARD#lot_…#` shard | `usr_…` | kind `board`, lot, board, amount, currency, person |
//! | line of the house's board | `BOARD#USD#` shard | `usr_…` | board, amount, currency, person |
//! | hour with activity | `FEED` | `2026-11-26T21` | |
//! | line of activity | `FEED#2026-11-26T21#` shard | 19 digits of time, `evt_…` | body |
//! | lease on the stream | `STREAM` | `lease` | term, counter, address, token, body (the checkpoint: how far each shard was read) |
//! | stock, budget | `STOCK#itm_…`, `BUDGET#mnd_…` | five-digit bucket | `left`, `version` |
//! | balance | `BALANCE#mer_…` | currency | `minor` |
//!
//! A shard is two digits, 00 to 07. The index `by_amount` (board, amount) holds the lines of boards
//! and nothing else. Every item but boards, stock, budgets, balances and the lease has `expires_at` (seconds
//! since 1970) for `DynamoDB`'s time to live, which is for tidiness only: it may be days late, so
//! whatever depends on age compares timestamps.
//!
//! | access | operation |
//! |---|---|
//! | log an event, once | conditional Put on the keys |
//! | log an event with sums (balances, boards), once | a transaction: conditional Put, Updates with ADD |
//! | project buckets of the checkout | conditional Put of each by version |
//! | what readers see of stock and budgets; of a balance | Query of one partition, added up; Get |
//! | somebody's highest offer on a lot | conditional Update, if the amount is higher |
//! | a line of activity, once | conditional Put of its hour, if this node has not seen it; then of the line |
//! | events after an offset | Query `EVENT#lot`, sk between |
//! | write a message | a transaction: conditional Puts of `SAID#` and `CHAT#`, conditional Update of `VOICE#` |
//! | a room's slow mode | Get, remembered for less than a second |
//! | latest messages, older messages | Query `CHAT#lot` backwards, limited, before a message id |
//! | remove, mute, unmute, slow mode | Get of what it is about, then a transaction with the line of the audit |
//! | who is muted, the audit | Query of one partition |
//! | react | a transaction of one Update with ADD, for all reactions of a room and node in 250 ms |
//! | who is there, what they feel, who is on top | Query each shard of `PRESENCE#`; one `BatchGet` of `REACTIONS#`; Query each shard of the board in the index, limited |
//! | top of the house | Query each shard of the board in the index, limited |
//! | activity, newest first | Query `FEED` backwards for hours, then each shard of an hour backwards, limited |
//! | follow everything | the table's stream, by kind, what has none is passed over; one node reads it, the others follow that node ([`stream`]) |
//! | see who reads it | Get of the lease |
//! | take over the reading | Update by the counter that was seen |
//! | renew, write the checkpoint, give back | Update by the term |
//!
//! # Hot keys
//!
//! A partition takes about 1,000 writes of 1 KB a second; a write in a transaction counts twice.
//!
//! - Events without a place have a partition of their own, so that a drop with thousands of claims
//!   a second never meets that ceiling.
//! - A lot's events have one partition, since their order is what they are for: 1,000 bids a second.
//!   What is beyond stays in the outbox for a while; sockets of the bid's own node have it already.
//! - Reactions: a node writes a room at most four times a second, however many people react, each
//!   time into any of 8 shards: 8 × 500 writes a second are a thousand nodes in one room.
//! - Presence: one write a watcher in ten seconds; 8 shards take 80,000 watchers of one room.
//! - Boards: a claim is an addition in a transaction, so a lot's board takes 4,000 claims a second
//!   and the house's as many sales; a bid is one plain write: 8,000 a second.
//! - Activity: 8,000 lines a second. The list of hours is written once an hour and node.
//! - Chat: a message costs its room's partition two, so 500 a second, more than anybody reads. A
//!   voice is a partition of its own.
//!
//! Reading asks all shards at the same time, so it takes as long as one read, and costs eight.

mod boards;
mod breaker;
mod chat;
pub mod chat_text;
mod crowd;
mod error;
mod events;
mod feed;
mod keys;
mod moderation;
mod projections;
mod records;
mod stream;
mod table;
mod tally;
mod writes;

pub use chat::Posted;
pub use error::FirehoseError;
pub use events::Appended;
pub use moderation::{Moderated, Moderator, RULES_AGE};
pub use stream::{Counts, Pulse, Role, Stream, StreamConfig, StreamItem, StreamStatus};
pub use tally::ROUND as REACTION_ROUND;

use crate::clock::Clock;
use app::ports::{Failure, ModerationView, Social};
use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use shared::feed::{FeedCursor, FeedPage};
use shared::view::{BoardLine, ChatView, CrowdView};
use shared::{Currency, LotId, MessageId};
use std::sync::Arc;
use std::time::Duration;
use stream::{Pace, StoreClock};

/// How long one try of a call may take before the SDK gives it up.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a call may take with its tries; three tries and their waits fit.
const CALL_TIMEOUT: Duration = Duration::from_secs(7);

/// Retries that may be saved up at most.
const SAVED_RETRIES: usize = 10;

/// How long a page waits for what is social about it: without it, it is a page too.
const PAGE_PATIENCE: Duration = Duration::from_secs(1);

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

/// Messages that a room shows when one comes in, and of each page of older ones.
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
    breaker: Arc<breaker::Breaker>,
    tally: Arc<tally::Tally>,
    rules: Arc<moderation::Rules>,
    feed_hour: Arc<feed::KnownHour>,
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
            dynamo: aws_sdk_dynamodb::Client::from_conf(with_retry_budget(&sdk)),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams),
            table: config.table.into(),
            clock,
            store_clock,
            local,
            pace: if local { LOCAL_PACE } else { AWS_PACE },
            breaker: Arc::default(),
            tally: Arc::default(),
            rules: Arc::default(),
            feed_hour: Arc::default(),
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

/// A call is tried again only out of what successful calls have saved, a tenth of a retry each: so
/// a table that fails is asked at most a tenth more than a healthy one, and [`SAVED_RETRIES`].
fn with_retry_budget(sdk: &SdkConfig) -> aws_sdk_dynamodb::Config {
    let budget = TokenBucket::builder()
        .capacity(SAVED_RETRIES * 10)
        .retry_cost(10)
        .timeout_retry_cost(10)
        .throttling_retry_cost(10)
        .success_reward(1.0)
        .build();
    let partition = RetryPartition::custom("firehose").token_bucket(budget);
    aws_sdk_dynamodb::config::Builder::from(sdk)
        .retry_partition(partition.build())
        .build()
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

/// Reads for a page or a socket, in time or not at all.
async fn in_time<T>(read: impl Future<Output = Result<T, FirehoseError>>) -> Result<T, Failure> {
    match tokio::time::timeout(PAGE_PATIENCE, read).await {
        Ok(read) => read.map_err(FirehoseError::into_failure),
        Err(_elapsed) => Err(Failure::Unavailable),
    }
}

#[async_trait]
impl Social for Firehose {
    async fn chat(&self, lot: LotId, before: Option<MessageId>) -> Result<ChatView, Failure> {
        let read = async {
            let messages = self.messages(lot, before, MAX_RECENT_MESSAGES);
            let (view, slow_s) = futures::try_join!(messages, self.slow_mode(lot))?;
            Ok(ChatView { slow_s, ..view })
        };
        in_time(self.guarded(read)).await
    }

    async fn crowd(&self, lot: LotId) -> Result<CrowdView, Failure> {
        in_time(Self::crowd(self, lot, self.clock.now())).await
    }

    async fn top_of_lot(&self, lot: LotId, n: usize) -> Result<Vec<BoardLine>, Failure> {
        in_time(Self::top_of_lot(self, lot, n)).await
    }

    async fn top_overall(&self, currency: Currency, n: usize) -> Result<Vec<BoardLine>, Failure> {
        in_time(Self::top_overall(self, currency, n)).await
    }

    async fn feed(&self, before: Option<FeedCursor>, limit: usize) -> Result<FeedPage, Failure> {
        in_time(Self::feed(self, before, limit)).await
    }

    async fn moderation(&self, lot: LotId) -> Result<ModerationView, Failure> {
        let read = async {
            let (slow_s, muted, audit) =
                futures::try_join!(self.slow_mode(lot), self.muted(lot), self.audit(lot))?;
            Ok(ModerationView {
                slow_s,
                muted,
                audit,
            })
        };
        in_time(self.guarded(read)).await
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
