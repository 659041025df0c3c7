//! `target/reports/live.json`, and the same for people.

use super::fanout::{COALESCED, Fanout, Run};
use super::faults::{CommitToSocket, Reconnect, Stuck};
use super::talk::Side;
use crate::bench::machine::Machine;
use serde::Serialize;

/// What was measured; a part that was not asked for is not there.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Deliveries on all sides.
    #[serde(flatten)]
    pub fanout: Option<Deliveries>,
    /// A tenth of the crowd reads no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
    /// All of it is dropped at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect: Option<Reconnect>,
    /// From a commit to a socket, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_to_socket_ms: Option<CommitToSocket>,
    /// Whether it was a quick run, whose figures are rough.
    pub quick: bool,
    /// Where. Servers and crowd share its processors.
    pub machine: Machine,
}

/// Deliveries on all sides, and what a socket takes.
#[derive(Clone, Debug, Serialize)]
pub struct Deliveries {
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
    /// A report of nothing yet.
    #[must_use]
    pub const fn new(machine: Machine, quick: bool) -> Self {
        Self {
            fanout: None,
            stuck: None,
            reconnect: None,
            commit_to_socket_ms: None,
            quick,
            machine,
        }
    }

    /// Takes in the deliveries of all sides.
    pub fn take_fanout(&mut self, fanout: Fanout) {
        self.fanout = Some(fanout.into());
    }
}

impl From<Fanout> for Deliveries {
    fn from(fanout: Fanout) -> Self {
        let ratios = ratios(&fanout.runs);
        let lowest = |of: fn(&Ratio) -> Option<f64>| {
            let all = ratios.iter().filter_map(of);
            all.fold(f64::INFINITY, f64::min)
        };
        let ratio_bare = lowest(|ratio| Some(ratio.bare));
        let ratio_socketio =
            lowest(|ratio| (ratio.frames_per_write == COALESCED).then_some(ratio.socketio));
        let ratio_socketio_by_frame =
            lowest(|ratio| (ratio.frames_per_write == 1).then_some(ratio.socketio));
        let (runs, others) = fanout
            .runs
            .into_iter()
            .partition(|run| run.side == Side::Ours);
        Self {
            runs,
            others,
            ratio_bare,
            ratio_socketio,
            ratio_socketio_by_frame,
            ratios,
            bytes_per_idle_socket: fanout.memory.idle,
            bytes_per_socket_after_burst: fanout.memory.after_burst,
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

fn goals(report: &Report) -> Vec<String> {
    use Bound::{AtLeast, AtMost};
    let mut lines = Vec::new();
    let mut line = |name, value, bound| lines.push(goal(name, value, &bound));
    if let Some(fanout) = &report.fanout {
        let idle = kib(fanout.bytes_per_idle_socket);
        let burst = kib(fanout.bytes_per_socket_after_burst);
        let by_frame = fanout.ratio_socketio_by_frame;
        line("by the bare loop, lowest", fanout.ratio_bare, AtLeast(0.7));
        line(
            "by Socket.IO, coalesced",
            fanout.ratio_socketio,
            AtLeast(5.0),
        );
        line("by Socket.IO, by frame", by_frame, AtLeast(3.0));
        line("idle socket, KiB", idle, AtMost(12.0));
        line("socket after a burst, KiB", burst, AtMost(14.0));
    }
    if let Some(stuck) = &report.stuck {
        let growth = "others' p99 beside stuck readers, growth";
        line(growth, stuck.p99_growth, AtMost(0.2));
        let memory = "memory beside stuck readers, MiB";
        line(memory, stuck.rss_growth_mib, AtMost(50.0));
    }
    if let Some(back) = &report.reconnect {
        line("all back and caught up, s", back.all_back_s, AtMost(30.0));
        let money = back.money_p99_ms / back.money_p99_before_ms;
        line("money p99 meanwhile, times", money, AtMost(2.0));
    }
    lines
}

/// The report as a table. A missed target is said and fails nothing: it may be the machine's.
#[must_use]
pub fn print(report: &Report) -> String {
    let machine = &report.machine;
    let mut lines = vec![format!(
        "{} cores of {}, {} GiB, {}, {}; servers and crowd share them",
        machine.cores, machine.cpu, machine.memory_gib, machine.os, machine.os_kernel
    )];
    if let Some(fanout) = &report.fanout {
        lines.push(String::new());
        lines.push(
            "side       sockets  frames a write  deliveries/s  p50 ms  p99 ms at half of it".into(),
        );
        lines.extend(fanout.runs.iter().chain(&fanout.others).map(run_line));
    }
    lines.push(String::new());
    lines.extend(report.stuck.iter().map(ToString::to_string));
    lines.extend(report.reconnect.iter().map(ToString::to_string));
    lines.extend(report.commit_to_socket_ms.iter().map(ToString::to_string));
    lines.push(String::new());
    lines.extend(goals(report));
    if report.quick || !machine.release_build {
        lines.push("a quick run or a development build: not to be compared".into());
    }
    lines.join("\n")
}

fn run_line(run: &Run) -> String {
    let paced = run.paced.map_or(String::new(), |paced| {
        format!("{:>8.1}{:>8.1}", paced.p50_ms, paced.p99_ms)
    });
    format!(
        "{:<11}{:>7}{:>10} ({:.1}){:>14.0}{paced}",
        format!("{:?}", run.side).to_lowercase(),
        run.sockets,
        run.frames_per_write,
        run.frames_per_write_seen,
        run.deliveries_per_s
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::live::fanout::{Paced, PerSocket};

    fn run(side: Side, sockets: u32, frames_per_write: u32, deliveries_per_s: f64) -> Run {
        Run {
            side,
            sockets,
            frames_per_write,
            frames_per_write_seen: f64::from(frames_per_write),
            deliveries_per_s,
            paced: Some(Paced {
                offered_per_s: deliveries_per_s / 2.0,
                p50_ms: 1.0,
                p99_ms: 2.0,
            }),
        }
    }

    #[test]
    fn the_lowest_ratio_of_each_kind_counts_and_every_run_has_its_latencies() {
        let mut runs = Vec::new();
        for (sockets, ours, bare, socketio) in
            [(1_000, 80.0, 100.0, 20.0), (5_000, 60.0, 50.0, 10.0)]
        {
            runs.push(run(Side::Ours, sockets, 1, ours));
            runs.push(run(Side::Bare, sockets, 1, bare));
            runs.push(run(Side::Socketio, sockets, 1, socketio));
            runs.push(run(Side::Ours, sockets, COALESCED, ours * 5.0));
            runs.push(run(Side::Bare, sockets, COALESCED, bare * 5.0));
            runs.push(run(Side::Socketio, sockets, COALESCED, socketio * 4.0));
        }
        let memory = PerSocket {
            idle: 6_000,
            after_burst: 7_000,
        };
        let deliveries = Deliveries::from(Fanout { runs, memory });
        let written = serde_json::to_value(&deliveries).expect("is JSON");
        assert_eq!(written["ratio_bare"], 0.8);
        assert_eq!(written["ratio_socketio"], 5.0, "coalesced");
        assert_eq!(written["ratio_socketio_by_frame"], 4.0);
        assert_eq!(written["bytes_per_idle_socket"], 6_000);
        let runs = written["runs"].as_array().expect("runs");
        assert_eq!(runs.len(), 4, "ours");
        for run in runs {
            for key in ["sockets", "deliveries_per_s", "p50_ms", "p99_ms"] {
                assert!(run[key].as_f64().is_some_and(|n| n > 0.0), "{key}");
            }
        }
    }
}
