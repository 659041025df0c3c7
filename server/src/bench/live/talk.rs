//! How the processes of the bench talk: a command a line on the standard input, an answer a line on
//! the standard output, each with the command's number.

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::LotId;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

/// How long a child may take to end after its input has.
const END: Duration = Duration::from_secs(15);

/// What a child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// A side: publishes groups of frames as fast as its sockets take them.
    Publish {
        /// How many.
        groups: u32,
        /// Frames a group, and at most in one write.
        per_group: u32,
    },
    /// A side: publishes groups of frames, each at its time.
    Pace {
        /// Groups a second.
        per_second: f64,
        /// How many.
        groups: u32,
        /// Frames a group, and at most in one write.
        per_group: u32,
    },
    /// A side that copies: the frame to publish, whose stamp is renewed each time.
    Copy {
        /// Its text.
        frame: String,
    },
    /// Our side: bids, one after another, at a pace.
    Bid {
        /// How many.
        count: u32,
        /// Milliseconds from one to the next.
        every_ms: u64,
    },
    /// Our side: purchases at a steady rate.
    Purchase {
        /// A second.
        per_second: u32,
        /// For so long.
        seconds: u64,
    },
    /// Our side: what was counted so far.
    Counters,
    /// The crowd: opens sockets.
    Connect(Connect),
    /// The crowd: waits until each socket has received so many stamped frames since the last time.
    Await {
        /// How many each.
        frames: u64,
        /// Only of sockets that read.
        timeout_s: u64,
    },
    /// The crowd: the text of the last stamped frame.
    Sample,
    /// The crowd: a part of it stops reading.
    Stop {
        /// How many.
        sockets: usize,
    },
    /// The crowd: drops all connections at once and comes back as the protocol says.
    Drop {
        /// How long that may take.
        timeout_s: u64,
    },
    /// The crowd: when its first socket received which offset.
    Receipts,
    /// The crowd: closes all connections for good.
    Leave,
}

/// Which server the crowd is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// This house.
    Ours,
    /// A loop over tungstenite's sockets.
    Bare,
    /// Socket.IO.
    Socketio,
}

/// Where the crowd goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connect {
    /// The server.
    pub address: SocketAddr,
    /// What it speaks.
    pub side: Side,
    /// The lot to watch, at our side.
    pub lot: Option<LotId>,
    /// The epoch of its history.
    pub epoch: i64,
    /// How many sockets.
    pub sockets: usize,
}

/// What a side says first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// The lot to watch, at our side.
    pub lot: Option<LotId>,
    /// The epoch of its history.
    pub epoch: i64,
}

#[derive(Serialize, Deserialize)]
struct Numbered<T> {
    id: u64,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(Value),
    Failed(String),
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>;

/// A child process of the bench.
pub struct Talk {
    child: Child,
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    /// Its process id.
    pub pid: u32,
}

impl Talk {
    /// Starts a child. It ends with its input.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(mut command: Command) -> anyhow::Result<(Self, oneshot::Receiver<Value>)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let input = child.stdin.take().context("a child without input")?;
        let output = child.stdout.take().context("a child without output")?;
        let pid = child.id().context("a child that ended at once")?;
        let waiting = Waiting::default();
        let (first, ready) = oneshot::channel();
        let answers = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut first = Some(first);
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(first) = first.take() {
                    let value = serde_json::from_str(&line).unwrap_or(Value::Null);
                    let _nobody = first.send(value);
                } else if let Ok(answer) = serde_json::from_str::<Numbered<Answer>>(&line) {
                    let waits = lock(&answers).remove(&answer.id);
                    if let Some(waits) = waits {
                        let _nobody = waits.send(answer.what);
                    }
                }
            }
            lock(&answers).clear();
        });
        let talk = Self {
            child,
            input: tokio::sync::Mutex::new(input),
            waiting,
            next: AtomicU64::new(1),
            pid,
        };
        Ok((talk, ready))
    }

    /// Tells the child something and waits for the answer.
    ///
    /// # Errors
    /// When it failed or ended.
    pub async fn order<T: DeserializeOwned>(&self, order: Order) -> anyhow::Result<T> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, waits) = oneshot::channel();
        lock(&self.waiting).insert(id, answer);
        let mut line = serde_json::to_vec(&Numbered { id, what: &order })?;
        line.push(b'\n');
        self.input.lock().await.write_all(&line).await?;
        match waits.await {
            Ok(Answer::Done(value)) => Ok(serde_json::from_value(value)?),
            Ok(Answer::Failed(why)) => bail!("{order:?}: {why}"),
            Err(_gone) => bail!("{order:?}: the child has ended"),
        }
    }

    /// Ends the child.
    pub async fn end(self) {
        let Self {
            mut child, input, ..
        } = self;
        drop(input);
        if tokio::time::timeout(END, child.wait()).await.is_err() {
            let _gone = child.kill().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says something to whoever started this process.
#[expect(clippy::print_stdout, reason = "the standard output is the answer")]
pub fn say(what: &impl Serialize) {
    match serde_json::to_string(what) {
        Ok(line) => println!("{line}"),
        Err(error) => tracing::error!(%error, "an answer cannot be written"),
    }
}

/// Obeys orders, several at the same time, until the input ends.
///
/// # Errors
/// When the input cannot be read.
pub async fn obey<S, F>(shared: Arc<S>, act: fn(Arc<S>, Order) -> F) -> anyhow::Result<()>
where
    S: Send + Sync + 'static,
    F: Future<Output = anyhow::Result<Value>> + Send + 'static,
{
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Numbered { id, what } = serde_json::from_str::<Numbered<Order>>(&line)?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let what = match act(shared, what).await {
                Ok(value) => Answer::Done(value),
                Err(error) => Answer::Failed(format!("{error:#}")),
            };
            say(&Numbered { id, what });
        });
    }
    Ok(())
}
