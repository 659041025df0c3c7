//! Reading a history back, strictly: a file that does not say exactly what happened is refused.

use super::operation::{Operation, Reply, Sight};
use core::fmt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

/// The longest line, in bytes: a read of 100,000 accounts at 160 bytes each.
pub const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Nanoseconds since the run began.
    pub(super) at_ns: u64,
    /// What happened.
    pub(super) event: Box<RawValue>,
}

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Event {
    /// A request is about to be sent.
    Invoke {
        op: u64,
        process: u32,
        session: u32,
        operation: Operation,
    },
    /// It was decided.
    Ok {
        op: u64,
        process: u32,
        sends: u32,
        reply: Reply,
    },
    /// It certainly did nothing.
    Fail {
        op: u64,
        process: u32,
        sends: u32,
        why: String,
    },
    /// It may have happened, or may happen yet.
    Unknown {
        op: u64,
        process: u32,
        sends: u32,
        why: String,
    },
    /// A frame came.
    Saw { session: u32, sight: Sight },
}

/// The file is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read.
    #[error("reading the history")]
    Read(#[from] std::io::Error),
    /// A line is malformed, or contradicts the lines before it.
    #[error("line {line} of the history: {what}")]
    Malformed {
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// When something happened. Lines are in order of time, so the line decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The line in the file, from 1.
    pub line: u64,
    /// Nanoseconds since the run began.
    pub at_ns: u64,
}

/// How an operation ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was decided.
    Ok(Reply),
    /// It certainly did nothing.
    Fail(String),
    /// It may have happened, or may happen yet.
    Unknown(String),
}

/// The end of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When the client knew.
    pub at: Moment,
    /// Requests sent under its key.
    pub sends: u32,
    /// How.
    pub outcome: Outcome,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Its number in the run.
    pub number: u64,
    /// The process that asked.
    pub process: u32,
    /// The session it belongs to.
    pub session: u32,
    /// What was asked for.
    pub operation: Operation,
    /// When.
    pub invoked: Moment,
    /// Its end; `None` if the file has none, which is as good as unknown.
    pub ended: Option<Ended>,
}

impl Op {
    /// The decided answer.
    #[must_use]
    pub const fn reply(&self) -> Option<&Reply> {
        match &self.ended {
            Some(Ended {
                outcome: Outcome::Ok(reply),
                ..
            }) => Some(reply),
            Some(_) | None => None,
        }
    }

    /// Whether it certainly did nothing.
    #[must_use]
    pub const fn failed(&self) -> bool {
        match &self.ended {
            Some(ended) => matches!(ended.outcome, Outcome::Fail(_)),
            None => false,
        }
    }

    /// Whether it may have happened, or may happen yet.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.reply().is_none() && !self.failed()
    }

    /// From when on it can have no further effect; `None` if it is unknown.
    #[must_use]
    pub fn done(&self) -> Option<Moment> {
        let ended = self.ended.as_ref()?;
        (!self.is_unknown()).then_some(ended.at)
    }

    /// Whether it was over before the other one began.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.done().is_some_and(|done| done < other.invoked)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, process, from) = (self.number, self.process, self.invoked.at_ns);
        write!(f, "op {number} of process {process} ({from} ns")?;
        match &self.ended {
            None => write!(f, " on): {}: no answer", self.operation),
            Some(ended) => {
                write!(f, " to {} ns): {}: ", ended.at.at_ns, self.operation)?;
                match &ended.outcome {
                    Outcome::Ok(reply) => write!(f, "{reply}"),
                    Outcome::Fail(why) => write!(f, "did nothing ({why})"),
                    Outcome::Unknown(why) => write!(f, "unknown ({why})"),
                }
            }
        }
    }
}

/// A frame that a session received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The session.
    pub session: u32,
    /// When.
    pub at: Moment,
    /// The frame.
    pub sight: Sight,
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (session, at) = (self.session, self.at.at_ns);
        write!(f, "session {session} at {at} ns: {}", self.sight)
    }
}

/// What the clients of a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Operations, in the order in which they were invoked.
    pub ops: Vec<Op>,
    /// Frames, in the order in which they came.
    pub sightings: Vec<Sighting>,
}

impl History {
    /// Reads the file of a run.
    ///
    /// # Errors
    /// When the file cannot be read, or a line is not as [`super::Recorder`] writes it.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        Self::parse(BufReader::new(File::open(path)?))
    }

    /// Reads the lines of a run.
    ///
    /// # Errors
    /// As [`History::read`].
    pub fn parse(mut lines: impl BufRead) -> Result<Self, HistoryError> {
        let mut reader = Reader::default();
        let mut text = Vec::new();
        let mut number = 0;
        loop {
            text.clear();
            // One byte more than allowed tells a long line from one that just fits.
            let mut line = (&mut lines).take(MAX_LINE_BYTES.saturating_add(1));
            if line.read_until(b'\n', &mut text)? == 0 {
                return Ok(reader.history);
            }
            number += 1;
            let read = reader.line(number, &text);
            read.map_err(|what| HistoryError::Malformed { line: number, what })?;
        }
    }
}

/// What is known after some lines.
#[derive(Default)]
struct Reader {
    history: History,
    at_ns: u64,
    /// The place of each operation in the history.
    places: BTreeMap<u64, usize>,
    /// The operation that each process waits for.
    open: BTreeMap<u32, u64>,
    /// Processes that ended with an unknown outcome.
    retired: BTreeSet<u32>,
}

impl Reader {
    fn line(&mut self, line: u64, text: &[u8]) -> Result<(), String> {
        let Some(text) = text.strip_suffix(b"\n") else {
            return Err("longer than a line may be, or cut off".into());
        };
        let told = |error: serde_json::Error| error.to_string();
        let Line { at_ns, event } = serde_json::from_slice(text).map_err(told)?;
        if at_ns < self.at_ns {
            return Err(format!("time went back from {} to {at_ns}", self.at_ns));
        }
        self.at_ns = at_ns;
        let at = Moment { line, at_ns };
        match serde_json::from_str(event.get()).map_err(told)? {
            Event::Invoke {
                op,
                process,
                session,
                operation,
            } => self.invoke(Op {
                number: op,
                process,
                session,
                operation,
                invoked: at,
                ended: None,
            }),
            Event::Ok {
                op,
                process,
                sends,
                reply,
            } => self.end(op, process, at, sends, Outcome::Ok(reply)),
            Event::Fail {
                op,
                process,
                sends,
                why,
            } => self.end(op, process, at, sends, Outcome::Fail(why)),
            Event::Unknown {
                op,
                process,
                sends,
                why,
            } => self.end(op, process, at, sends, Outcome::Unknown(why)),
            Event::Saw { session, sight } => {
                let sighting = Sighting { session, at, sight };
                self.history.sightings.push(sighting);
                Ok(())
            }
        }
    }

    fn invoke(&mut self, op: Op) -> Result<(), String> {
        let (number, process) = (op.number, op.process);
        if self.retired.contains(&process) {
            return Err(format!("process {process} ended with an unknown outcome"));
        }
        if let Some(open) = self.open.insert(process, number) {
            return Err(format!("process {process} still waits for op {open}"));
        }
        let place = self.history.ops.len();
        if self.places.insert(number, place).is_some() {
            return Err(format!("op {number} was invoked before"));
        }
        self.history.ops.push(op);
        Ok(())
    }

    fn end(
        &mut self,
        number: u64,
        process: u32,
        at: Moment,
        sends: u32,
        outcome: Outcome,
    ) -> Result<(), String> {
        if self.open.remove(&process) != Some(number) {
            return Err(format!("process {process} does not wait for op {number}"));
        }
        let place = self.places.get(&number);
        let op = place.and_then(|place| self.history.ops.get_mut(*place));
        let Some(op) = op else {
            return Err(format!("op {number} was never invoked"));
        };
        match &outcome {
            Outcome::Ok(reply) if !op.operation.takes(reply) => {
                return Err(format!("{reply} is no answer to: {}", op.operation));
            }
            Outcome::Ok(_) if sends == 0 => {
                return Err(format!("op {number} was answered but never sent"));
            }
            Outcome::Unknown(_) => {
                self.retired.insert(process);
            }
            Outcome::Ok(_) | Outcome::Fail(_) => {}
        }
        op.ended = Some(Ended { at, sends, outcome });
        Ok(())
    }
}
