//! The reader of the table's stream: the leader's side of AWS. It reads every shard in the order of
//! their lineage and hands what it reads to the intake.

use super::intake::{Intake, Unheard};
use super::places::{Place, Places, Sequence};
use super::shards::{Changes, Described, Shards};
use crate::firehose::records::{Told, told_by};
use crate::firehose::{Firehose, FirehoseError};
use aws_sdk_dynamodbstreams::error::SdkError;
use aws_sdk_dynamodbstreams::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use rand::Rng;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

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

/// How old a record may be when it is read, in milliseconds. What is older is no news: it is left
/// out, and once reading has caught up everybody takes a snapshot.
const MAX_AGE_MS: i64 = 60_000;

/// How the stream is polled.
#[derive(Clone, Copy, Debug)]
pub(in crate::firehose) struct Pace {
    /// From one poll of a shard to the next.
    pub poll: Duration,
    /// The same behind a full page.
    pub behind: Duration,
}

/// Reads the stream for one term.
pub(super) struct Reader<'a> {
    firehose: &'a Firehose,
    intake: &'a Intake,
    /// Until when this node may read.
    until: watch::Receiver<Instant>,
    arn: Option<String>,
    shards: Shards,
    polls_until_look: u32,
    /// Records are gone that nobody read: everybody has to start from a snapshot.
    lost: bool,
    late: Late,
}

/// Whether records were too old to be news since everybody last took a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Never,
    /// In the present round.
    Now,
    /// In a round before.
    Before,
}

/// Why reading stopped.
pub(super) enum Stop {
    /// Nobody hears the items.
    Unheard,
    /// The lease is over.
    Over,
    Failed(FirehoseError),
}

impl From<Unheard> for Stop {
    fn from(Unheard: Unheard) -> Self {
        Self::Unheard
    }
}

impl From<FirehoseError> for Stop {
    fn from(error: FirehoseError) -> Self {
        Self::Failed(error)
    }
}

impl<'a> Reader<'a> {
    /// A reader that goes on at the intake's places, or begins a course at the end of every open
    /// shard if the intake has none.
    pub fn new(
        firehose: &'a Firehose,
        intake: &'a Intake,
        until: watch::Receiver<Instant>,
    ) -> Self {
        let places = intake.places();
        Self {
            firehose,
            intake,
            until,
            lost: places.is_none(),
            arn: places.as_ref().map(|places| places.stream.clone()),
            shards: places.as_ref().map(Shards::at).unwrap_or_default(),
            polls_until_look: 0,
            late: Late::Never,
        }
    }

    /// Reads until the lease is over or nobody listens; waits and goes on after failures.
    pub async fn run(mut self) -> Stop {
        let mut failures = 0_u32;
        loop {
            let error = match self.follow(&mut failures).await {
                Stop::Failed(error) => error,
                stop @ (Stop::Unheard | Stop::Over) => return stop,
            };
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, failures, "the stream is interrupted");
            tokio::time::sleep(back_off(failures)).await;
            failures = failures.saturating_add(1);
            self.polls_until_look = 0;
        }
    }

    /// Reads page after page; comes back only to say why not.
    async fn follow(&mut self, failures: &mut u32) -> Stop {
        loop {
            let begun = Instant::now();
            match self.round().await {
                Ok(more) => {
                    *failures = 0;
                    let pace = self.firehose.pace;
                    let pause = if more { pace.behind } else { pace.poll };
                    tokio::time::sleep_until(begun + pause).await;
                }
                Err(stop) => return stop,
            }
        }
    }

    /// A node that was paused for longer than its lease must not read once more before it notices.
    fn may_read(&self) -> Result<(), Stop> {
        if Instant::now() < *self.until.borrow() {
            Ok(())
        } else {
            Err(Stop::Over)
        }
    }

    /// One look at every readable shard; answers whether there may be more that waited. Behind a
    /// page that is not full the next read waits, however much comes: else a busy stream would be
    /// read as fast as it answers, a few records at a time.
    async fn round(&mut self) -> Result<bool, Stop> {
        self.may_read()?;
        if self.polls_until_look == 0 {
            self.look().await?;
        }
        self.polls_until_look = self.polls_until_look.saturating_sub(1);
        let places = self.iterators().await?;
        self.may_read()?;
        let firehose = self.firehose;
        let reads = places.into_iter().map(async |(id, iterator)| {
            let read = firehose.streams.get_records().shard_iterator(iterator);
            (id, read.send().await.map_err(Box::new))
        });
        let (mut more, mut newest) = (false, None);
        for (id, page) in futures::future::join_all(reads).await {
            match page {
                Ok(page) => {
                    more |= page.records().len() >= FULL_PAGE;
                    newest = newest.max(self.take_in(&id, page).await?);
                }
                Err(error) => self.recover(&id, *error)?,
            }
        }
        self.catch_up(more).await?;
        let now = self.firehose.store_clock.now();
        self.intake
            .was_read(now.zip(newest).map(|(now, newest)| now.0 - newest));
        Ok(more)
    }

    /// An iterator for every shard that can be read. Only when all of them are there is it known
    /// where reading goes on, so only then does a course begin: what comes after the snapshots
    /// that follow on this is not missed.
    async fn iterators(&mut self) -> Result<Vec<(String, String)>, Stop> {
        let mut places = Vec::new();
        for id in self.shards.readable() {
            if let Some(iterator) = self.iterator(&id).await? {
                places.push((id, iterator));
            }
        }
        if self.arn.is_none() {
            // One of them said that everything begins again, which takes another look.
            return Ok(Vec::new());
        }
        if std::mem::take(&mut self.lost) {
            self.late = Late::Never;
            self.begin_course().await?;
        }
        Ok(places)
    }

    /// Once no shard brings old records any more, everybody takes a snapshot in their place.
    async fn catch_up(&mut self, more: bool) -> Result<(), Unheard> {
        match self.late {
            Late::Never => {}
            Late::Now => self.late = Late::Before,
            // A course that is about to begin does the same.
            Late::Before if more || self.lost => {}
            Late::Before => {
                self.late = Late::Never;
                self.begin_course().await?;
            }
        }
        Ok(())
    }

    async fn begin_course(&mut self) -> Result<(), Unheard> {
        let stream = self.arn.clone().unwrap_or_default();
        let places = Places::of_new_course(stream, self.shards.places());
        tracing::info!(course = places.course, "a course of the stream begins");
        self.intake.begin(places).await
    }

    /// Hands a page on; answers when its newest record was written.
    async fn take_in(&mut self, id: &str, page: GetRecordsOutput) -> Result<Option<i64>, Unheard> {
        let now = self.firehose.store_clock.now();
        let mut newest = None;
        for told in told_by(page.records()) {
            let Told {
                sequence,
                written_at,
                item,
            } = told;
            newest = newest.max(Some(written_at.0));
            if now.is_some_and(|now| now.since_ms(written_at) > MAX_AGE_MS) {
                self.late = Late::Now;
                self.intake.was_late();
                self.intake.advance(id, Place::After(sequence));
                continue;
            }
            self.intake.take(id, sequence, item, None).await?;
        }
        let last = page.records().last().and_then(|record| record.dynamodb());
        let last = last.and_then(|change| change.sequence_number());
        let last = last.map(Sequence::new);
        if let Some(last) = last.clone() {
            self.intake.advance(id, Place::After(last));
        }
        if page.next_shard_iterator.is_none() {
            self.intake.advance(id, Place::Drained);
            // Its children are to be read at once.
            self.polls_until_look = 0;
        }
        self.shards.advance(id, last, page.next_shard_iterator);
        Ok(newest)
    }

    fn recover(&mut self, id: &str, error: SdkError<GetRecordsError>) -> Result<(), FirehoseError> {
        match error.as_service_error() {
            Some(GetRecordsError::ExpiredIteratorException(_)) => {
                if self.shards.expire(id) {
                    tracing::warn!(shard = id, "an end of the stream was forgotten");
                    self.lost = true;
                }
                Ok(())
            }
            Some(GetRecordsError::TrimmedDataAccessException(_)) => {
                self.start_over("records were trimmed before they were read");
                Ok(())
            }
            Some(GetRecordsError::ResourceNotFoundException(_)) => {
                self.start_over("a shard is gone");
                Ok(())
            }
            _ => Err(FirehoseError::stream("read records")(error)),
        }
    }

    /// Nobody will ever read what is missing, so reading begins again at the end of everything, and
    /// everybody at a snapshot.
    fn start_over(&mut self, why: &'static str) {
        tracing::error!(
            why,
            "events of the stream are lost; everybody is sent to a snapshot"
        );
        self.arn = None;
        self.shards = Shards::default();
        self.polls_until_look = 0;
        self.lost = true;
    }

    async fn iterator(&mut self, id: &str) -> Result<Option<String>, FirehoseError> {
        let Some((at_hand, place)) = self.shards.place(id) else {
            return Ok(None);
        };
        if at_hand.is_some() {
            return Ok(at_hand);
        }
        let ask = self.firehose.streams.get_shard_iterator();
        let ask = ask.set_stream_arn(self.arn.clone()).shard_id(id);
        let ask = match place {
            Place::Drained => return Ok(None),
            Place::End => ask.shard_iterator_type(ShardIteratorType::Latest),
            Place::Beginning => ask.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Place::After(last) => ask
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(last.as_str()),
        };
        match ask.send().await {
            Ok(answer) => {
                self.shards.set_iterator(id, answer.shard_iterator.clone());
                Ok(answer.shard_iterator)
            }
            Err(error) => match error.as_service_error() {
                Some(GetShardIteratorError::TrimmedDataAccessException(_)) => {
                    self.start_over("records were trimmed before they were read");
                    Ok(None)
                }
                Some(GetShardIteratorError::ResourceNotFoundException(_)) => {
                    self.start_over("a shard is gone");
                    Ok(None)
                }
                _ => Err(FirehoseError::stream("find a place in a shard")(error)),
            },
        }
    }

    /// Looks at the list of shards.
    async fn look(&mut self) -> Result<(), FirehoseError> {
        let arn = self.firehose.stream_arn().await?;
        if self.arn.as_ref().is_some_and(|before| *before != arn) {
            self.start_over("the stream is another one");
        }
        self.arn = Some(arn.clone());
        let described = self.described(&arn).await?;
        let mut changes = self.shards.update(&described);
        if changes.lost {
            self.start_over("a shard went with records that were not read");
            self.arn = Some(arn);
            changes = self.shards.update(&described);
        }
        if !self.lost && self.shards.has_unknown_end() {
            tracing::warn!("an end of the stream was known to an earlier leader only");
            self.lost = true;
        }
        // A course that is about to begin says all of it.
        if !self.lost {
            let Changes { new, gone, .. } = changes;
            new.iter()
                .for_each(|id| self.intake.advance(id, Place::Beginning));
            gone.iter().for_each(|id| self.intake.forget(id));
        }
        self.polls_until_look = POLLS_PER_LOOK;
        Ok(())
    }

    async fn described(&mut self, arn: &str) -> Result<Vec<Described>, FirehoseError> {
        let mut described = Vec::new();
        let mut after: Option<String> = None;
        for _page in 0..MAX_SHARD_PAGES {
            let ask = self.firehose.streams.describe_stream().stream_arn(arn);
            let ask = ask.set_exclusive_start_shard_id(after.take());
            let answer = ask.send().await;
            let answer = answer.map_err(FirehoseError::stream("list the shards"))?;
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
        Ok(described)
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

/// Full jitter: somewhere up to a bound that doubles.
fn back_off(failures: u32) -> Duration {
    let bound = BACK_OFF
        .saturating_mul(1_u32 << failures.min(10))
        .min(MAX_BACK_OFF);
    rand::rng().random_range(Duration::ZERO..=bound)
}
