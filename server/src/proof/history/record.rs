//! Writing a run down.
//!
//! Each line is `{"at_ns": …, "event": {…}}`: nanoseconds on one monotonic clock since the run
//! began, and an `invoke`, then `ok`, `fail` or `unknown`, or a frame that a session saw.
//!
//! The clock is read under the lock of the file, so lines are in order of time. That makes an
//! operation look longer than it was, never shorter, and a longer one only allows a checker more
//! orders: it may miss something, it never accuses wrongly.
//!
//! An `invoke` is handed to the operating system before the request is sent: it outlives a killed
//! program, though not a machine that loses power, which no proof run simulates. Answers wait in
//! the buffer for the next invoke; an answer that is lost leaves its operation unknown, which is
//! always allowed. So one `write` a request is the price (some microseconds), and a lock is
//! enough: a task that writes would have to answer each invoke, which costs more than the write.

use super::operation::{Operation, Reply, Sight};
use super::read::{Event, Line};
use serde_json::value::to_raw_value;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The file's buffer, in bytes: some hundred answers, should no request come for a while.
const BUFFER_BYTES: usize = 64 * 1024;

/// The history could not be written. A run without its history proves nothing, so it must end.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file did not take it.
    #[error("writing the history")]
    Write(#[from] std::io::Error),
    /// It is no JSON.
    #[error("encoding a line of the history")]
    Encode(#[from] serde_json::Error),
}

/// Writes the history of one run. Clones write into the same file.
#[derive(Clone, Debug)]
pub struct Recorder {
    run: Arc<Run>,
}

#[derive(Debug)]
struct Run {
    began: Instant,
    file: Mutex<BufWriter<File>>,
    next_op: AtomicU64,
    next_process: AtomicU32,
    next_session: AtomicU32,
}

impl Recorder {
    /// Begins a run: creates or empties the file, and starts the clock.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, RecordError> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
        Ok(Self {
            run: Arc::new(Run {
                began: Instant::now(),
                file: Mutex::new(file),
                next_op: AtomicU64::new(1),
                next_process: AtomicU32::new(1),
                next_session: AtomicU32::new(1),
            }),
        })
    }

    /// A client with a session of its own.
    #[must_use]
    pub fn client(&self) -> Client {
        Client {
            session: self.run.next_session.fetch_add(1, Ordering::Relaxed),
            process: self.run.process(),
            run: Arc::clone(&self.run),
        }
    }

    /// Writes down that a request of a client of its own is about to be sent. Sending it again
    /// under the same key is part of the same request.
    ///
    /// # Errors
    /// When the history cannot be written: do not send the request then.
    pub fn request(&self, operation: Operation) -> Result<Request, RecordError> {
        let client = self.client();
        let op = client.begin(operation)?;
        Ok(Request { client, op })
    }

    /// Hands over what is still in the buffer. Call it when every client is done.
    ///
    /// # Errors
    /// When the file does not take it.
    pub fn flush(&self) -> Result<(), RecordError> {
        let mut file = self.run.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.flush()?)
    }
}

impl Run {
    fn process(&self) -> u32 {
        self.next_process.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes one line. All but the time is encoded outside the lock.
    fn write(&self, event: &Event, now: bool) -> Result<(), RecordError> {
        let event = to_raw_value(event)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let at_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        serde_json::to_writer(&mut *file, &Line { at_ns, event })?;
        file.write_all(b"\n")?;
        if now {
            file.flush()?;
        }
        Ok(())
    }
}

/// One client: it asks one thing at a time, as a sequence of processes of which each ends with
/// the first operation whose outcome it never learns.
#[derive(Debug)]
pub struct Client {
    run: Arc<Run>,
    session: u32,
    process: u32,
}

impl Client {
    /// The session, which outlives the client's processes.
    #[must_use]
    pub const fn session(&self) -> u32 {
        self.session
    }

    /// Writes down that a request is about to be sent. Sending it again under the same key is
    /// part of the same call.
    ///
    /// # Errors
    /// When the history cannot be written: do not send the request then.
    pub fn invoke(&mut self, operation: Operation) -> Result<Call<'_>, RecordError> {
        let op = self.begin(operation)?;
        Ok(self.resume(op))
    }

    fn begin(&self, operation: Operation) -> Result<u64, RecordError> {
        let op = self.run.next_op.fetch_add(1, Ordering::Relaxed);
        let invoke = Event::Invoke {
            op,
            process: self.process,
            session: self.session,
            operation,
        };
        self.run.write(&invoke, true)?;
        Ok(op)
    }

    const fn resume(&mut self, op: u64) -> Call<'_> {
        Call {
            client: self,
            op,
            ended: false,
        }
    }

    /// Writes down a frame that came over the session's socket.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn saw(&self, sight: Sight) -> Result<(), RecordError> {
        let session = self.session;
        self.run.write(&Event::Saw { session, sight }, false)
    }
}

/// The only request of a client of its own, for whoever cannot wait where it was sent.
#[derive(Debug)]
#[must_use = "a request ends as ok or unknown"]
pub struct Request {
    client: Client,
    op: u64,
}

impl Request {
    /// [`Call::ok`].
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn ok(mut self, sends: u32, reply: Reply) -> Result<(), RecordError> {
        let op = self.op;
        self.client.resume(op).ok(sends, reply)
    }

    /// [`Call::unknown`].
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn unknown(mut self, sends: u32, why: impl Into<String>) -> Result<(), RecordError> {
        let op = self.op;
        self.client.resume(op).unknown(sends, why)
    }
}

/// A request on its way. A call that is dropped is unknown: its task was given up.
#[derive(Debug)]
#[must_use = "a call ends as ok, fail or unknown"]
pub struct Call<'a> {
    client: &'a mut Client,
    op: u64,
    ended: bool,
}

impl Call<'_> {
    /// A decided answer came, after `sends` requests under the same key. Refusals are answers.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn ok(mut self, sends: u32, reply: Reply) -> Result<(), RecordError> {
        self.ended = true;
        let (op, process) = (self.op, self.client.process);
        self.client.run.write(
            &Event::Ok {
                op,
                process,
                sends,
                reply,
            },
            false,
        )
    }

    /// Nothing happened, and that is certain: the request never left, or the server said that it
    /// did nothing and will do nothing. When in doubt it is unknown.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn fail(mut self, sends: u32, why: impl Into<String>) -> Result<(), RecordError> {
        self.ended = true;
        let (op, process, why) = (self.op, self.client.process, why.into());
        self.client.run.write(
            &Event::Fail {
                op,
                process,
                sends,
                why,
            },
            false,
        )
    }

    /// Whether it happened is not known: a timeout, a reset, an undecided 5xx, a socket that
    /// closed after the request was sent. The client goes on as a fresh process.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn unknown(mut self, sends: u32, why: impl Into<String>) -> Result<(), RecordError> {
        self.give_up(sends, why.into())
    }

    /// Writes down a frame that came over the session's socket meanwhile.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn saw(&self, sight: Sight) -> Result<(), RecordError> {
        self.client.saw(sight)
    }

    fn give_up(&mut self, sends: u32, why: String) -> Result<(), RecordError> {
        self.ended = true;
        let (op, process) = (self.op, self.client.process);
        self.client.process = self.client.run.process();
        self.client.run.write(
            &Event::Unknown {
                op,
                process,
                sends,
                why,
            },
            false,
        )
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // An unwritten answer leaves the operation unknown as well.
            let _unwritten = self.give_up(1, "the call was given up".into());
        }
    }
}
