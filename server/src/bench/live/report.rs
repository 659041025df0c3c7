//! `target/reports/live.json`, and the same for people.

use super::fanout::{COALESCED, Fanout, Run};
use super::faults::{CommitToSocket, Reconnect, Stuck};
use super::talk::Side;
use crate::bench::machine::Machine;
use serde::Serialize;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Our side's runs, frame by frame and coalesced.
    pub runs: Vec<Run>,
    /// The same on the bare loop and on Socket.IO.
    pub others: Vec<Run>,
    /// Our deliveries by the bare loop's: the lowest of all sizes and ways.
    pub ratio_bare: f64,
    /// Our deliveries by Socket.IO's, coalesced: the lowest of all sizes.
    pub ratio_socketio: f64,
    /// The same frame by frame.
    pub ratio_socketio_by_frame: f64,
    /// Each ratio.
    pub ratios: Vec<Ratio>,
    /// Memory of the server for a socket that listens and hears nothing.
    pub bytes_per_idle_socket: u64,
    /// The same after a burst.
    pub bytes_per_socket_after_burst: u64,
    /// A tenth of the crowd reads no more.
    pub stuck: Stuck,
    /// All of it is dropped at once.
    pub reconnect: Reconnect,
    /// From a commit to a socket, in milliseconds.
    pub commit_to_socket_ms: CommitToSocket,
    /// Whether it was a quick run, whose figures are rough.
    pub quick: bool,
    /// Where. Servers and crowd share its processors.
    pub machine: Machine,
}

/// Our deliveries by those of the others.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratio {
    /// Sockets.
    pub sockets: u32,
    /// Frames a write.
    pub frames_per_write: u32,
    /// By the bare loop's.
    pub bare: f64,
    /// By Socket.IO's.
    pub socketio: f64,
}

impl Report {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        machine: Machine,
        quick: bool,
        fanout: Fanout,
        stuck: Stuck,
        reconnect: Reconnect,
        commit_to_socket_ms: CommitToSocket,
    ) -> Self {
        let ratios = ratios(&fanout.runs);
        let lowest = |of: fn(&Ratio) -> Option<f64>| {
            let all = ratios.iter().filter_map(of);
            all.fold(f64::INFINITY, f64::min)
        };
        let (runs, others) = fanout
            .runs
            .into_iter()
            .partition(|run| run.side == Side::Ours);
        Self {
            runs,
            others,
            ratio_bare: lowest(|ratio| Some(ratio.bare)),
            ratio_socketio: lowest(|ratio| {
                (ratio.frames_per_write == COALESCED).then_some(ratio.socketio)
            }),
            ratio_socketio_by_frame: lowest(|ratio| {
                (ratio.frames_per_write == 1).then_some(ratio.socketio)
            }),
            ratios,
            bytes_per_idle_socket: fanout.memory.idle,
            bytes_per_socket_after_burst: fanout.memory.after_burst,
            stuck,
            reconnect,
            commit_to_socket_ms,
            quick,
            machine,
        }
    }
}

fn ratios(runs: &[Run]) -> Vec<Ratio> {
    let of = |side, ours: &Run| {
        let other = runs.iter().find(|run| {
            run.side == side
                && run.sockets == ours.sockets
                && run.frames_per_write == ours.frames_per_write
        });
        other.map(|other| (ours.deliveries_per_s / other.deliveries_per_s * 100.0).round() / 100.0)
    };
    let ours = runs.iter().filter(|run| run.side == Side::Ours);
    ours.filter_map(|run| {
        Some(Ratio {
            sockets: run.sockets,
            frames_per_write: run.frames_per_write,
            bare: of(Side::Bare, run)?,
            socketio: of(Side::Socketio, run)?,
        })
    })
    .collect()
}

/// What is wanted of a figure.
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

fn goal(name: &str, value: f64, bound: &Bound) -> String {
    let (sign, target, met) = match bound {
        Bound::AtLeast(target) => ('≥', target, value >= *target),
        Bound::AtMost(target) => ('≤', target, value <= *target),
    };
    let verdict = if met { "met" } else { "missed" };
    format!("{name:<44}{value:>10.2}  target {sign} {target:<8}{verdict}")
}

fn kib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1_024.0
}

fn goals(report: &Report) -> [String; 9] {
    use Bound::{AtLeast, AtMost};
    let Report {
        stuck, reconnect, ..
    } = report;
    let money = reconnect.money_p99_ms / reconnect.money_p99_before_ms;
    [
        goal("by the bare loop, lowest", report.ratio_bare, &AtLeast(0.7)),
        goal(
            "by Socket.IO, coalesced",
            report.ratio_socketio,
            &AtLeast(5.0),
        ),
        goal(
            "by Socket.IO, by frame",
            report.ratio_socketio_by_frame,
            &AtLeast(3.0),
        ),
        goal(
            "idle socket, KiB",
            kib(report.bytes_per_idle_socket),
            &AtMost(12.0),
        ),
        goal(
            "socket after a burst, KiB",
            kib(report.bytes_per_socket_after_burst),
            &AtMost(14.0),
        ),
        goal(
            "others' p99 beside stuck readers, growth",
            stuck.p99_growth,
            &AtMost(0.2),
        ),
        goal(
            "memory beside stuck readers, MiB",
            stuck.rss_growth_mib,
            &AtMost(50.0),
        ),
        goal(
            "all back and caught up, s",
            reconnect.all_back_s,
            &AtMost(30.0),
        ),
        goal("money p99 meanwhile, times", money, &AtMost(2.0)),
    ]
}

/// The report as a table. A missed target is said and fails nothing: it may be the machine's.
#[must_use]
pub fn print(report: &Report) -> String {
    let machine = &report.machine;
    let mut lines = vec![
        format!(
            "{} cores of {}, {} GiB, {}, {}; servers and crowd share them",
            machine.cores, machine.cpu, machine.memory_gib, machine.os, machine.os_kernel
        ),
        String::new(),
        "side       sockets  frames a write  deliveries/s  p50 ms  p99 ms at half of it".into(),
    ];
    for run in report.runs.iter().chain(&report.others) {
        let paced = run.paced.map_or(String::new(), |paced| {
            format!("{:>8.1}{:>8.1}", paced.p50_ms, paced.p99_ms)
        });
        lines.push(format!(
            "{:<11}{:>7}{:>10} ({:.1}){:>14.0}{paced}",
            format!("{:?}", run.side).to_lowercase(),
            run.sockets,
            run.frames_per_write,
            run.frames_per_write_seen,
            run.deliveries_per_s
        ));
    }
    let (stuck, back) = (&report.stuck, &report.reconnect);
    let commit = &report.commit_to_socket_ms;
    lines.extend([
        String::new(),
        format!(
            "{} of {} readers stuck: others' p99 {:.1} ms, before {:.1}; {} of the stuck closed",
            stuck.stuck, stuck.sockets, stuck.p99_ms, stuck.p99_before_ms, stuck.closed
        ),
        format!(
            "{} sockets dropped: half back in {:.1} s, all in {:.1} s; {} snapshots read; \
             purchases' p99 {:.1} ms, before {:.1}",
            back.sockets,
            back.half_back_s,
            back.all_back_s,
            back.snapshots_read,
            back.money_p99_ms,
            back.money_p99_before_ms
        ),
        format!(
            "commit to socket: own node p50 {:.1} ms, p99 {:.1}; by the stream p50 {:.1}, p99 {:.1}",
            commit.own.p50, commit.own.p99, commit.stream.p50, commit.stream.p99
        ),
        String::new(),
    ]);
    lines.extend(goals(report));
    if report.quick || !machine.release_build {
        lines.push("a quick run or a development build: not to be compared".into());
    }
    lines.join("\n")
}
