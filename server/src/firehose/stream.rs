//! The reader of the table's stream.
//!
//! One reader per node reads every shard: a stream allows two readers per shard, so this holds for
//! two nodes. More nodes need one leased reader that feeds the others; the seam is the channel of
//! [`StreamItem`]s, behind which nobody knows where they come from.

use super::records::items_of;
use super::shards::{Described, Shards, Start};
use super::{Firehose, FirehoseError};
use crate::events::HouseEvent;
use aws_sdk_dynamodbstreams::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use rand::Rng;
use shared::view::ChatMessage;
use shared::{LotId, MessageId};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Records of a full page: behind it there may be more that waited.
const FULL_PAGE: usize = 1_000;

/// Polls between two looks at the list of shards: with 200 ms, every 5 s.
const POLLS_PER_LOOK: u32 = 25;

/// The first wait after a failure; it doubles up to [`MAX_BACK_OFF`].
const BACK_OFF: Duration = Duration::from_millis(100);

/// The longest wait after failures.
const MAX_BACK_OFF: Duration = Duration::from_secs(5);

/// Pages of shards that are asked for: 100 shards each, 10,000 in all.
const MAX_SHARD_PAGES: usize = 100;

/// What the stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// An event of the money plane.
    Event(Box<HouseEvent>),
    /// A message in a room.
    Chat(LotId, Box<ChatMessage>),
    /// A message in a room was removed.
    Removed(LotId, MessageId),
    /// A room's slow mode is another one, in seconds.
    Slow(LotId, u32),
    /// Watchers of a room changed.
    CrowdChanged(LotId),
    /// Reactions of a room or its leaderboard changed.
    TotalsChanged(LotId),
    /// Records are gone that were not read: everybody has to start from a snapshot.
    Lost,
}

/// Follows the stream from now on.
#[derive(Debug)]
pub struct StreamReader {
    firehose: Firehose,
    arn: Option<String>,
    shards: Shards,
    polls_until_look: u32,
    lost: bool,
}

/// The receiver of the items is gone.
struct Unheard;

/// Why following stopped.
enum Stop {
    Unheard,
    Failed(FirehoseError),
}

impl From<Unheard> for Stop {
    fn from(_: Unheard) -> Self {
        Self::Unheard
    }
}

impl From<FirehoseError> for Stop {
    fn from(error: FirehoseError) -> Self {
        Self::Failed(error)
    }
}

impl Firehose {
    /// A reader of this table's stream. It reads what is written after [`StreamReader::open`]
    /// has answered, or, if that failed, begins by saying that something was lost.
    #[must_use]
    pub fn stream_reader(&self) -> StreamReader {
        StreamReader {
            firehose: self.clone(),
            arn: None,
            shards: Shards::default(),
            polls_until_look: 0,
            lost: true,
        }
    }
}

impl StreamReader {
    /// Takes a place at the end of every open shard.
    pub async fn open(&mut self) -> Result<(), FirehoseError> {
        self.look().await?;
        for id in self.shards.readable() {
            self.iterator(&id).await?;
        }
        self.lost = false;
        Ok(())
    }

    /// Reads until cancelled or until nobody listens; waits and goes on after failures.
    pub async fn run(mut self, items: mpsc::Sender<StreamItem>, cancel: CancellationToken) {
        let mut failures = 0_u32;
        loop {
            let stop = tokio::select! {
                () = cancel.cancelled() => return,
                stop = self.follow(&items, &mut failures) => stop,
            };
            let Stop::Failed(error) = stop else { return };
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, failures, "the stream is interrupted");
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(back_off(failures)) => {}
            }
            failures = failures.saturating_add(1);
            self.polls_until_look = 0;
        }
    }

    /// Reads page after page; comes back only to say why not.
    async fn follow(&mut self, items: &mpsc::Sender<StreamItem>, failures: &mut u32) -> Stop {
        loop {
            let begun = Instant::now();
            match self.round(items).await {
                Ok(more) => {
                    *failures = 0;
                    if !more {
                        tokio::time::sleep_until(begun + self.firehose.poll).await;
                    }
                }
                Err(stop) => return stop,
            }
        }
    }

    /// One look at every readable shard; answers whether there may be more that waited. Behind a
    /// page that is not full the next read waits, however much comes: else a busy stream would be
    /// read as fast as it answers, a few records at a time.
    async fn round(&mut self, items: &mpsc::Sender<StreamItem>) -> Result<bool, Stop> {
        if self.polls_until_look == 0 {
            self.look().await?;
        }
        self.polls_until_look = self.polls_until_look.saturating_sub(1);
        let mut places = Vec::new();
        for id in self.shards.readable() {
            if let Some(iterator) = self.iterator(&id).await? {
                places.push((id, iterator));
            }
        }
        // Only now is it known where reading goes on, so what comes after the snapshots that
        // follow on this is not missed.
        if std::mem::take(&mut self.lost) {
            send(items, StreamItem::Lost).await?;
        }
        let firehose = &self.firehose;
        let reads = places.into_iter().map(async |(id, iterator)| {
            let read = firehose.streams.get_records().shard_iterator(iterator);
            (id, read.send().await.map_err(Box::new))
        });
        let mut more = false;
        for (id, page) in futures::future::join_all(reads).await {
            match page {
                Ok(page) => more |= self.take_in(&id, page, items).await?,
                Err(error) => self.recover(&id, *error)?,
            }
        }
        Ok(more)
    }

    async fn take_in(
        &mut self,
        id: &str,
        page: GetRecordsOutput,
        items: &mpsc::Sender<StreamItem>,
    ) -> Result<bool, Unheard> {
        for item in items_of(page.records()) {
            send(items, item).await?;
        }
        let last = page.records().last().and_then(|record| record.dynamodb());
        let last = last.and_then(|change| change.sequence_number().map(str::to_owned));
        let more = page.records().len() >= FULL_PAGE;
        if page.next_shard_iterator.is_none() {
            // Its children are to be read at once.
            self.polls_until_look = 0;
        }
        self.shards.advance(id, last, page.next_shard_iterator);
        Ok(more)
    }

    fn recover(
        &mut self,
        id: &str,
        error: aws_sdk_dynamodbstreams::error::SdkError<GetRecordsError>,
    ) -> Result<(), FirehoseError> {
        match error.as_service_error() {
            Some(GetRecordsError::ExpiredIteratorException(_)) => {
                self.lost |= self.shards.expire(id);
                Ok(())
            }
            Some(GetRecordsError::TrimmedDataAccessException(_)) => {
                self.lost = true;
                self.shards.trim(id);
                Ok(())
            }
            Some(GetRecordsError::ResourceNotFoundException(_)) => {
                self.start_over();
                Ok(())
            }
            _ => Err(FirehoseError::stream("read records")(error)),
        }
    }

    /// The stream is another one: the table was made anew.
    fn start_over(&mut self) {
        self.arn = None;
        self.shards = Shards::default();
        self.polls_until_look = 0;
        self.lost = true;
    }

    async fn iterator(&mut self, id: &str) -> Result<Option<String>, FirehoseError> {
        let Some((at_hand, start)) = self.shards.place(id) else {
            return Ok(None);
        };
        if at_hand.is_some() {
            return Ok(at_hand);
        }
        let ask = self.firehose.streams.get_shard_iterator();
        let ask = ask.set_stream_arn(self.arn.clone()).shard_id(id);
        let ask = match start {
            Start::Latest => ask.shard_iterator_type(ShardIteratorType::Latest),
            Start::Oldest => ask.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Start::After(last) => ask
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(last),
        };
        match ask.send().await {
            Ok(answer) => {
                self.shards.set_iterator(id, answer.shard_iterator.clone());
                Ok(answer.shard_iterator)
            }
            Err(error) => match error.as_service_error() {
                Some(GetShardIteratorError::TrimmedDataAccessException(_)) => {
                    self.lost = true;
                    self.shards.trim(id);
                    Ok(None)
                }
                Some(GetShardIteratorError::ResourceNotFoundException(_)) => {
                    self.start_over();
                    Ok(None)
                }
                _ => Err(FirehoseError::stream("find a place in a shard")(error)),
            },
        }
    }

    /// Looks at the list of shards.
    async fn look(&mut self) -> Result<(), FirehoseError> {
        let arn = match &self.arn {
            Some(arn) => arn.clone(),
            None => self.firehose.stream_arn().await?,
        };
        self.arn = Some(arn.clone());
        let mut described = Vec::new();
        let mut after: Option<String> = None;
        for _page in 0..MAX_SHARD_PAGES {
            let ask = self.firehose.streams.describe_stream();
            let ask = ask.stream_arn(&arn);
            let ask = ask.set_exclusive_start_shard_id(after.take());
            let answer = match ask.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let gone = error
                        .as_service_error()
                        .is_some_and(|e| e.is_resource_not_found_exception());
                    if gone {
                        self.start_over();
                    }
                    return Err(FirehoseError::stream("list the shards")(error));
                }
            };
            let Some(stream) = answer.stream_description else {
                break;
            };
            described.extend(stream.shards().iter().filter_map(|shard| {
                Some(Described {
                    id: shard.shard_id()?.to_owned(),
                    parent: shard.parent_shard_id().map(str::to_owned),
                })
            }));
            after = stream.last_evaluated_shard_id;
            if after.is_none() {
                break;
            }
        }
        self.shards.update(&described);
        self.polls_until_look = POLLS_PER_LOOK;
        Ok(())
    }
}

impl Firehose {
    async fn stream_arn(&self) -> Result<String, FirehoseError> {
        let described = self.dynamo.describe_table().table_name(self.table());
        let described = described
            .send()
            .await
            .map_err(FirehoseError::store("find the stream"))?;
        let arn = described.table.and_then(|table| table.latest_stream_arn);
        arn.ok_or(FirehoseError::Table {
            why: "it has no stream",
        })
    }
}

async fn send(items: &mpsc::Sender<StreamItem>, item: StreamItem) -> Result<(), Unheard> {
    items.send(item).await.map_err(|_closed| Unheard)
}

/// Full jitter: somewhere up to a bound that doubles.
fn back_off(failures: u32) -> Duration {
    let bound = BACK_OFF
        .saturating_mul(1_u32 << failures.min(10))
        .min(MAX_BACK_OFF);
    rand::rng().random_range(Duration::ZERO..=bound)
}
