//! A stream of many shards made of one: what the embedded `DynamoDB` writes into its only shard is
//! spread over shards of our own, which split, merge, repeat, hold back, expire and are trimmed as
//! those of AWS are. Pure but for its seeded randomness.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Records of a page.
const PAGE: usize = 1_000;

/// The most records that come again before a page.
const MAX_REPEATED: usize = 40;

/// The first sequence number: AWS's have 21 to 40 digits.
const FIRST_SEQUENCE: u128 = 700_000_000_000_000_000_000;

/// What a call on the stream fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The iterator is more than 15 minutes old.
    Expired,
    /// The records are more than 24 hours old.
    Trimmed,
    /// There is no such shard.
    NotFound,
}

/// How records misbehave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Habits {
    /// The part of the pages that begin with records of the page before.
    pub repeat: f64,
    /// The part of the records that are held back, for a random time up to `hold_time`.
    pub hold: f64,
    /// The longest time that a record is held back.
    pub hold_time: Duration,
    /// How much older than they are records say that they are.
    pub aged: Duration,
}

#[derive(Debug)]
struct Shard {
    id: String,
    parent: Option<String>,
    /// The hashes of partition keys that it takes, both ends included.
    from: u64,
    to: u64,
    closed: bool,
    records: Vec<(u128, Value)>,
    /// Records before this one are gone.
    trimmed: usize,
}

/// The stream.
#[derive(Debug)]
pub struct Topology {
    random: StdRng,
    shards: Vec<Shard>,
    next_sequence: u128,
    /// Iterators of an earlier generation have expired.
    generation: u64,
    held: Vec<(Instant, Value)>,
    /// How records misbehave.
    pub habits: Habits,
    /// Shards of one page of the description.
    pub shards_per_page: usize,
}

impl Topology {
    /// A stream of `shards` open shards.
    pub fn new(seed: u64, shards: usize) -> Self {
        let mut topology = Self {
            random: StdRng::seed_from_u64(seed),
            shards: Vec::new(),
            next_sequence: FIRST_SEQUENCE,
            generation: 0,
            held: Vec::new(),
            habits: Habits::default(),
            shards_per_page: 3,
        };
        topology.open(None, 0, u64::MAX);
        while topology.open_shards().len() < shards.max(1) {
            let Some(widest) = topology.open_shards().into_iter().max_by_key(|n| {
                let shard = topology.shards.get(*n);
                shard.map_or(0, |shard| shard.to - shard.from)
            }) else {
                break;
            };
            topology.split(widest);
        }
        topology
    }

    fn open(&mut self, parent: Option<String>, from: u64, to: u64) {
        let (number, tail) = (self.shards.len(), self.random.random::<u32>());
        self.shards.push(Shard {
            id: format!("shardId-{number:020}-{tail:08x}"),
            parent,
            from,
            to,
            closed: false,
            records: Vec::new(),
            trimmed: 0,
        });
    }

    fn open_shards(&self) -> Vec<usize> {
        let shards = self.shards.iter().enumerate();
        let open = shards.filter(|(_, shard)| !shard.closed);
        open.map(|(number, _)| number).collect()
    }

    /// Splits an open shard, chosen at random.
    pub fn split_one(&mut self) {
        let open = self.open_shards();
        let chosen = self.random.random_range(0..open.len().max(1));
        if let Some(number) = open.get(chosen) {
            self.split(*number);
        }
    }

    fn split(&mut self, number: usize) {
        let Some(shard) = self.shards.get_mut(number) else {
            return;
        };
        let (id, from, to) = (shard.id.clone(), shard.from, shard.to);
        if from == to {
            return;
        }
        shard.closed = true;
        let middle = from + (to - from) / 2;
        self.open(Some(id.clone()), from, middle);
        self.open(Some(id), middle + 1, to);
    }

    /// Closes an open shard, chosen at random, and opens one in its place, as AWS does every few
    /// hours.
    pub fn roll_one(&mut self) {
        let open = self.open_shards();
        let chosen = self.random.random_range(0..open.len().max(1));
        let number = open.get(chosen).copied();
        if let Some(shard) = number.and_then(|number| self.shards.get_mut(number)) {
            shard.closed = true;
            let (id, from, to) = (shard.id.clone(), shard.from, shard.to);
            self.open(Some(id), from, to);
        }
    }

    /// Lets every iterator expire.
    pub fn expire_iterators(&mut self) {
        self.generation += 1;
    }

    /// Trims everything that is there.
    pub fn trim(&mut self) {
        for shard in &mut self.shards {
            shard.trimmed = shard.records.len();
        }
    }

    /// Closed shards leave the description, as they do after a day.
    pub fn forget_closed(&mut self) {
        for shard in &mut self.shards {
            if shard.closed {
                shard.id.clear();
            }
        }
    }

    /// Takes in a record of the one real shard, or one as it would be there.
    pub fn take_in(&mut self, record: Value, now: Instant) {
        let Habits {
            hold, hold_time, ..
        } = self.habits;
        if hold > 0.0 && self.random.random_bool(hold) {
            let time = hold_time.mul_f64(self.random.random::<f64>());
            self.held.push((now + time, record));
        } else {
            self.place(record);
        }
    }

    /// Lets go of what was held back long enough.
    pub fn release(&mut self, now: Instant) {
        self.held.sort_by_key(|(due, _)| *due);
        let due = self.held.partition_point(|(due, _)| *due <= now);
        let records: Vec<_> = self.held.drain(..due).collect();
        for (_, record) in records {
            self.place(record);
        }
    }

    fn place(&mut self, mut record: Value) {
        let key = record.pointer("/dynamodb/Keys/pk/S");
        let mut hasher = DefaultHasher::new();
        key.and_then(Value::as_str)
            .unwrap_or_default()
            .hash(&mut hasher);
        let hash = hasher.finish();
        let sequence = self.next_sequence;
        // Numbers have gaps, and those of different shards are mixed.
        self.next_sequence += self.random.random_range(1..1_000);
        if let Some(number) = record.pointer_mut("/dynamodb/SequenceNumber") {
            *number = Value::String(sequence.to_string());
        }
        let written = record.pointer_mut("/dynamodb/ApproximateCreationDateTime");
        if let Some((written, seconds)) = written.and_then(|w| w.as_f64().map(|s| (w, s))) {
            *written = json!(seconds - self.habits.aged.as_secs_f64());
        }
        let mut shards = self.shards.iter_mut();
        let takes = |s: &&mut Shard| !s.closed && (s.from..=s.to).contains(&hash);
        if let Some(shard) = shards.find(takes) {
            shard.records.push((sequence, record));
        }
    }

    /// A page of the description, as AWS writes it.
    pub fn describe(&self, arn: &str, after: Option<&str>) -> Value {
        let shards = || self.shards.iter().filter(|shard| !shard.id.is_empty());
        let begin = after.map_or(0, |after| {
            shards()
                .position(|shard| shard.id == after)
                .map_or(0, |at| at + 1)
        });
        let page: Vec<&Shard> = shards().skip(begin).take(self.shards_per_page).collect();
        let more = begin + page.len() < shards().count();
        let last = page.last().filter(|_| more).map(|shard| shard.id.clone());
        let described = page.iter().map(|shard| {
            let first = shard.records.first().map_or(FIRST_SEQUENCE, |(n, _)| *n);
            let last = shard.records.last().map_or(first, |(n, _)| *n);
            let mut range = json!({ "StartingSequenceNumber": first.to_string() });
            if shard.closed {
                range["EndingSequenceNumber"] = json!(last.to_string());
            }
            let mut described = json!({ "ShardId": shard.id, "SequenceNumberRange": range });
            if let Some(parent) = &shard.parent {
                described["ParentShardId"] = json!(parent);
            }
            described
        });
        let described: Vec<Value> = described.collect();
        let mut stream = json!({
            "StreamArn": arn, "StreamStatus": "ENABLED", "StreamViewType": "NEW_IMAGE",
            "Shards": described,
        });
        if let Some(last) = last {
            stream["LastEvaluatedShardId"] = json!(last);
        }
        json!({ "StreamDescription": stream })
    }

    /// An iterator, by its type.
    pub fn iterator(
        &self,
        shard: &str,
        kind: &str,
        sequence: Option<&str>,
    ) -> Result<String, StreamError> {
        let number = self.shards.iter().position(|known| known.id == shard);
        let number = number.ok_or(StreamError::NotFound)?;
        let known = self.shards.get(number).ok_or(StreamError::NotFound)?;
        let index = match kind {
            "TRIM_HORIZON" => known.trimmed,
            "LATEST" => known.records.len(),
            _ => {
                let sequence = sequence.and_then(|text| text.parse::<u128>().ok());
                let sequence = sequence.ok_or(StreamError::NotFound)?;
                let skip = u128::from(kind == "AFTER_SEQUENCE_NUMBER");
                known.records.partition_point(|(n, _)| *n < sequence + skip)
            }
        };
        if index < known.trimmed {
            return Err(StreamError::Trimmed);
        }
        Ok(self.iterator_at(number, index))
    }

    fn iterator_at(&self, number: usize, index: usize) -> String {
        format!("{}/{number}/{index}", self.generation)
    }

    /// A page of records, and the iterator behind it; none once a closed shard was read to its end.
    pub fn records(&mut self, iterator: &str) -> Result<(Vec<Value>, Option<String>), StreamError> {
        let (generation, number, index) = parse(iterator).ok_or(StreamError::NotFound)?;
        if generation < self.generation {
            return Err(StreamError::Expired);
        }
        let repeats = self.habits.repeat > 0.0 && self.random.random_bool(self.habits.repeat);
        let back = self.random.random_range(1..=MAX_REPEATED);
        let shard = self.shards.get(number).ok_or(StreamError::NotFound)?;
        if shard.id.is_empty() {
            return Err(StreamError::NotFound);
        }
        if index < shard.trimmed {
            return Err(StreamError::Trimmed);
        }
        let begin = index.saturating_sub(if repeats { back } else { 0 });
        let begin = begin.max(shard.trimmed);
        let page = shard.records.iter().skip(begin).take(PAGE);
        let page: Vec<Value> = page.map(|(_, record)| record.clone()).collect();
        let end = index.max(begin + page.len());
        let ended = shard.closed && end >= shard.records.len();
        let next = (!ended).then(|| self.iterator_at(number, end));
        Ok((page, next))
    }

    /// The shard of an iterator.
    pub fn shard_of(&self, iterator: &str) -> Option<String> {
        let (_, number, _) = parse(iterator)?;
        self.shards.get(number).map(|shard| shard.id.clone())
    }

    /// How many shards there were so far.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }
}

fn parse(iterator: &str) -> Option<(u64, usize, usize)> {
    let mut parts = iterator.split('/');
    let generation = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    Some((generation, number, parts.next()?.parse().ok()?))
}
