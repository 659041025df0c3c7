//! Frames to 1,000, 5,000 and 10,000 sockets, on all sides.

use super::crowd::Figures;
use super::talk::{Order, Side};
use super::{Place, Scene};
use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// Sockets of the runs.
const SOCKETS: [u32; 3] = [1_000, 5_000, 10_000];
const QUICK_SOCKETS: [u32; 1] = [200];

/// Frames a write: one by one, and coalesced.
pub const COALESCED: u32 = 8;

/// Deliveries that a run is made of, so that it lasts seconds.
const DELIVERIES: u32 = 300_000;
const DELIVERIES_COALESCED: u32 = 1_600_000;
const QUICK_DELIVERIES: u32 = 8_000;

/// Seconds of a paced run, at half of what was possible.
const PACED_SECONDS: u32 = 4;

/// How long any run may take.
const LONGEST_S: u64 = 120;

/// How long after the last socket opened memory is measured: what a handshake needed is given back.
const SETTLE: Duration = Duration::from_secs(2);

/// A run of one side.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Who.
    pub side: Side,
    /// Sockets.
    pub sockets: u32,
    /// Frames that one write was to carry.
    pub frames_per_write: u32,
    /// Frames that one write did carry, on average.
    pub frames_per_write_seen: f64,
    /// Frames received a second, by all sockets together.
    pub deliveries_per_s: f64,
    /// Of a paced run, from publish to receipt.
    #[serde(flatten)]
    pub paced: Option<Paced>,
}

/// Latencies at half of what was possible.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Paced {
    /// Deliveries a second that were asked for.
    pub offered_per_s: f64,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// One in a hundred takes longer.
    pub p99_ms: f64,
}

/// Memory of our side's process for each socket, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PerSocket {
    /// After the handshake and the first snapshot.
    pub idle: u64,
    /// After a burst.
    pub after_burst: u64,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Fanout {
    /// The better of two runs each.
    pub runs: Vec<Run>,
    /// At the largest number of sockets.
    pub memory: PerSocket,
}

pub(super) async fn measure(place: &Place<'_>) -> anyhow::Result<Fanout> {
    let quick = place.stage.quick;
    let sizes: &[u32] = if quick { &QUICK_SOCKETS } else { &SOCKETS };
    let mut fanout = Fanout {
        runs: Vec::new(),
        memory: PerSocket::default(),
    };
    let mut frame = None;
    for sockets in sizes {
        for frames_per_write in [1, COALESCED] {
            for round in 0..2 {
                for side in [Side::Ours, Side::Bare, Side::Socketio] {
                    let paced = round == 1;
                    let name = format!("{side:?}, {sockets} sockets, {frames_per_write} a write");
                    let scene = place
                        .scene(side, usize::try_from(frames_per_write)?)
                        .await
                        .with_context(|| name.clone())?;
                    let run = run(&scene, *sockets, frames_per_write, &mut frame, quick, paced);
                    let run = run.await.with_context(|| name.clone())?;
                    let speed = run.0.deliveries_per_s;
                    (place.stage.say)(&format!("{name}: {speed:.0} deliveries/s"));
                    if side == Side::Ours && frames_per_write == COALESCED {
                        fanout.memory = run.1;
                    }
                    scene.end().await;
                    keep_better(&mut fanout.runs, run.0);
                }
            }
        }
    }
    Ok(fanout)
}

fn keep_better(runs: &mut Vec<Run>, run: Run) {
    let same = |other: &&mut Run| {
        (other.side, other.sockets, other.frames_per_write)
            == (run.side, run.sockets, run.frames_per_write)
    };
    match runs.iter_mut().find(same) {
        None => runs.push(run),
        Some(before) => {
            before.paced = before.paced.or(run.paced);
            if run.deliveries_per_s > before.deliveries_per_s {
                let paced = before.paced;
                *before = Run { paced, ..run };
            }
        }
    }
}

async fn run(
    scene: &Scene,
    sockets: u32,
    frames_per_write: u32,
    frame: &mut Option<String>,
    quick: bool,
    paced: bool,
) -> anyhow::Result<(Run, PerSocket)> {
    let before = resident(scene.side.pid)?;
    scene.connect(usize::try_from(sockets)?).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = resident(scene.side.pid)?;
    if let Some(frame) = frame.clone().filter(|_| scene.kind != Side::Ours) {
        let _set: Value = scene.side.order(Order::Copy { frame }).await?;
    }
    // Everybody has had a frame before it counts.
    let _first = publish(scene, 2, 1).await?;
    let deliveries = match (quick, frames_per_write) {
        (true, _) => QUICK_DELIVERIES,
        (false, 1) => DELIVERIES,
        (false, _) => DELIVERIES_COALESCED,
    };
    let groups = (deliveries / sockets / frames_per_write).max(1);
    let (figures, seen) = publish(scene, groups, frames_per_write).await?;
    if scene.kind == Side::Ours {
        let sample: Option<String> = scene.crowd.order(Order::Sample).await?;
        *frame = sample;
    }
    tokio::time::sleep(SETTLE).await;
    let after = resident(scene.side.pid)?;
    let per_socket = |bytes: u64| bytes.saturating_sub(before) / u64::from(sockets);
    let mut run = Run {
        side: scene.kind,
        sockets,
        frames_per_write,
        frames_per_write_seen: seen,
        deliveries_per_s: figures.per_second(),
        paced: None,
    };
    if paced {
        run.paced = Some(at_half(scene, &run).await?);
    }
    Ok((
        run,
        PerSocket {
            idle: per_socket(idle),
            after_burst: per_socket(after),
        },
    ))
}

async fn publish(scene: &Scene, groups: u32, per_group: u32) -> anyhow::Result<(Figures, f64)> {
    let published = scene
        .side
        .order::<Value>(Order::Publish { groups, per_group });
    let frames = u64::from(groups) * u64::from(per_group);
    let received = scene.crowd.order::<Figures>(Order::Await {
        frames,
        timeout_s: LONGEST_S,
    });
    let (published, received) = tokio::try_join!(published, received)?;
    let seen = published["frames_per_write"].as_f64();
    Ok((received, seen.context("a side does not say how it wrote")?))
}

/// Latencies of the same groups at half the speed.
async fn at_half(scene: &Scene, run: &Run) -> anyhow::Result<Paced> {
    let (sockets, per_group) = (f64::from(run.sockets), run.frames_per_write);
    let per_second = run.deliveries_per_s / 2.0 / sockets / f64::from(per_group);
    let received = paced(scene, per_second, per_group, PACED_SECONDS).await?;
    Ok(Paced {
        offered_per_s: run.deliveries_per_s / 2.0,
        p50_ms: received.p50_ms,
        p99_ms: received.p99_ms,
    })
}

/// Publishes groups of frames at a rate, for so many seconds.
pub(super) async fn paced(
    scene: &Scene,
    per_second: f64,
    per_group: u32,
    seconds: u32,
) -> anyhow::Result<Figures> {
    let mut groups = 1_u32;
    while f64::from(groups) < per_second * f64::from(seconds) {
        groups += 1;
    }
    let published = scene.side.order::<Value>(Order::Pace {
        per_second,
        groups,
        per_group,
    });
    let received = scene.crowd.order::<Figures>(Order::Await {
        frames: u64::from(groups) * u64::from(per_group),
        timeout_s: LONGEST_S,
    });
    let (_published, received) = tokio::try_join!(published, received)?;
    Ok(received)
}

/// Bytes of memory that a process holds.
pub(super) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("a process does not say its memory")?.parse()?;
    Ok(kib * 1_024)
}
