//! `lotzero bench live`: frames to thousands of sockets, beside a bare loop over tungstenite's
//! sockets and beside Socket.IO, which deliver the same frames to the same crowd.
//!
//! Every side is a process of its own, and so is the crowd; all of them share this machine's
//! processors. A side publishes when it is told to. The crowd counts what each socket received: a
//! frame too few or too many makes the run void. A measurement of all sides is made twice, in turn,
//! and the better counts: what disturbs the machine for a moment must not count for or against
//! anybody.

pub mod bare;
pub mod crowd;
mod fanout;
mod faults;
pub mod report;
pub mod side;
pub mod stamp;
pub mod talk;
pub mod wire;

pub use report::{Report, print};

use super::database::Database;
use super::machine::Machine;
use super::{Stage, on_stage};
use anyhow::{Context, ensure};
use clap::ValueEnum;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use talk::{Connect, Order, Ready, Side, Talk};
use tokio::process::Command;
use tokio::time::Instant;

/// How long a side may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// What the bench is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder in whose `node_modules` Socket.IO is; deliveries are not measured without it.
    pub socketio: Option<PathBuf>,
    /// Where the folder of the stores is made.
    pub within: PathBuf,
    /// Short runs, to see that everything works.
    pub quick: bool,
    /// What is measured.
    pub parts: BTreeSet<Part>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// From a commit to the sockets of two nodes.
    Commit,
    /// Deliveries on all sides, and memory.
    Fanout,
    /// Readers that are stuck.
    Stuck,
    /// Everybody is dropped at once.
    Reconnect,
}

impl Part {
    const fn database(self) -> &'static str {
        match self {
            Self::Fanout => "bench_live_fanout",
            Self::Stuck => "bench_live_stuck",
            Self::Reconnect => "bench_live_reconnect",
            Self::Commit => "bench_live_commit",
        }
    }
}

/// Where a measurement takes place.
struct Place<'a> {
    stage: &'a Stage,
    options: &'a Options,
    database: &'a Database,
    part: Part,
    /// Tables so far: each scene has its own, so that no node waits for the lease of one before it.
    tables: Cell<u32>,
}

/// A side that is ready, and the crowd in front of it.
struct Scene {
    side: Talk,
    crowd: Talk,
    ready: Ready,
    kind: Side,
}

/// Measures everything.
///
/// # Errors
/// When a process fails or a frame is lost; never because a figure is low.
pub async fn run(options: &Options, say: fn(&str)) -> anyhow::Result<Report> {
    let measure = async |stage: &Stage| measure(options, stage).await;
    on_stage(&options.within, options.quick, say, measure).await
}

async fn measure(options: &Options, stage: &Stage) -> anyhow::Result<Report> {
    ensure!(
        options.socketio.is_some() || !options.parts.contains(&Part::Fanout),
        "deliveries are measured beside Socket.IO: say with --socketio where it is"
    );
    let mut report = None;
    for part in &options.parts {
        // A database each: what one part left in the outbox is nothing that another waits for.
        let database = stage.database(part.database()).await?;
        let report = match &mut report {
            Some(report) => report,
            None => report.insert(Report::new(
                Machine::describe(&database).await?,
                stage.quick,
            )),
        };
        let place = Place {
            stage,
            options,
            database: &database,
            part: *part,
            tables: Cell::new(0),
        };
        match part {
            Part::Fanout => report.take_fanout(fanout::measure(&place).await?),
            Part::Stuck => {
                let stuck = faults::stuck(&place).await.context("stuck readers")?;
                (stage.say)(&stuck.to_string());
                report.stuck = Some(stuck);
            }
            Part::Reconnect => {
                let back = faults::reconnect(&place).await.context("reconnecting")?;
                (stage.say)(&back.to_string());
                report.reconnect = Some(back);
            }
            Part::Commit => {
                let commit = faults::commit_to_socket(&place).await;
                let commit = commit.context("commit to socket")?;
                (stage.say)(&commit.to_string());
                report.commit_to_socket_ms = Some(commit);
            }
        }
        database.drop().await?;
    }
    report.context("nothing to measure")
}

impl Place<'_> {
    fn program(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bench");
        Ok(command)
    }

    /// Our side: a node that hands over so many frames in a write. With a lot it is another node on
    /// the stores of the last one.
    fn ours(&self, frames_per_write: usize, lot: Option<shared::LotId>) -> anyhow::Result<Command> {
        let mut command = self.program()?;
        if lot.is_none() {
            self.tables.set(self.tables.get() + 1);
        }
        let table = format!("{}-{}", self.part.database(), self.tables.get());
        command.arg("live-side");
        command.args(["--database-url", &self.database.url]);
        command.args(["--dynamodb", &self.stage.stores.dynamodb_endpoint]);
        command.args(["--table", &table]);
        command.args(["--frames-per-write", &frames_per_write.to_string()]);
        if let Some(lot) = lot {
            command.args(["--lot", &lot.to_string()]);
        }
        Ok(command)
    }

    fn command(&self, kind: Side, frames_per_write: usize) -> anyhow::Result<Command> {
        Ok(match kind {
            Side::Ours => self.ours(frames_per_write, None)?,
            Side::Bare => {
                let mut command = self.program()?;
                command.arg("live-bare");
                command
            }
            Side::Socketio => {
                // Node reads a program from its command line as a module only if told so.
                let mut command = Command::new("node");
                command.args(["--input-type=module", "--eval", SOCKETIO, "--"]);
                let folder = self.options.socketio.as_ref();
                let folder = folder.context("nobody said where Socket.IO is")?;
                command.arg(folder.join("package.json"));
                command
            }
        })
    }

    async fn crowd(&self) -> anyhow::Result<Talk> {
        let mut command = self.program()?;
        command.arg("live-crowd");
        // One thread, as any load generator of this bench.
        command.env("TOKIO_WORKER_THREADS", "1");
        let (crowd, ready) = Talk::start(command)?;
        tokio::time::timeout(READY, ready)
            .await
            .context("the crowd does not start")??;
        Ok(crowd)
    }

    /// Starts a side and a crowd for it.
    async fn scene(&self, kind: Side, frames_per_write: usize) -> anyhow::Result<Scene> {
        let (side, ready) = start(self.command(kind, frames_per_write)?).await?;
        Ok(Scene {
            side,
            crowd: self.crowd().await?,
            ready,
            kind,
        })
    }
}

/// The program of the side that is Socket.IO.
const SOCKETIO: &str = include_str!("socketio.mjs");

async fn start(command: Command) -> anyhow::Result<(Talk, Ready)> {
    let (side, ready) = Talk::start(command)?;
    let ready = tokio::time::timeout(READY, ready)
        .await
        .context("a side does not start")??;
    Ok((side, serde_json::from_value(ready)?))
}

impl Scene {
    async fn connect(&self, sockets: usize) -> anyhow::Result<()> {
        let connect = Connect {
            address: self.ready.address,
            side: self.kind,
            lot: self.ready.lot,
            epoch: self.ready.epoch,
            sockets,
        };
        let _elapsed: serde_json::Value = self.crowd.order(Order::Connect(connect)).await?;
        Ok(())
    }

    async fn end(self) {
        self.crowd.end().await;
        self.side.end().await;
    }
}

/// The times of an open loop.
struct Beat {
    begun: Instant,
    interval: Duration,
    number: u32,
}

impl Beat {
    fn new(per_second: f64) -> anyhow::Result<Self> {
        ensure!(
            per_second.is_finite() && per_second > 0.001,
            "a rate of {per_second} a second"
        );
        Ok(Self {
            begun: Instant::now(),
            interval: Duration::from_secs_f64(1.0 / per_second),
            number: 0,
        })
    }

    /// Waits for the next; one that is late is not waited for.
    async fn next(&mut self) {
        tokio::time::sleep_until(self.begun + self.interval * self.number).await;
        self.number += 1;
    }
}
