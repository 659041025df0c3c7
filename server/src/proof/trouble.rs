//! A fault beside a race: set when its first request goes out, taken back when its last is answered.

use super::regions::Regions;
use super::report::Scenario;
use super::settings::RaceFault;
use super::{Kernels, Stage};
use crate::local::gate::Fault;
use shared::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// So many of 100 COMMITs: a race has few of them, and some must be met.
const PERCENT: u8 = 20;

/// How long a slow way to the database takes, in milliseconds.
const SLOW_FROM_MS: u64 = 5;
const SLOW_TO_MS: u64 = 25;

/// How wrong the nodes' clocks are, in milliseconds.
const SKEW_MS: i64 = 10 * 60 * 1_000;

/// The Regions of a race, and what goes wrong there.
pub struct Trouble {
    fault: RaceFault,
    regions: Regions,
    /// How often it was begun: whatever is left to chance is drawn anew each time.
    begun: AtomicU64,
    seed: u64,
    /// Clocks that were set wrong.
    skewed: AtomicU64,
}

/// A fault that goes on until this is dropped.
pub struct Ongoing<'t>(&'t Trouble);

impl Drop for Ongoing<'_> {
    fn drop(&mut self) {
        self.0.regions.gates.restore_all();
    }
}

impl Trouble {
    /// Opens the Regions that the race is sent to.
    ///
    /// # Errors
    /// When the stage is not on a PostgreSQL, or it does not answer.
    pub async fn open(stage: &Stage, fault: RaceFault) -> anyhow::Result<Self> {
        let regions = stage.regions().await?;
        Ok(Self {
            fault,
            regions,
            begun: AtomicU64::new(0),
            seed: stage.settings.seed,
            skewed: AtomicU64::new(0),
        })
    }

    /// The kernels behind the gates.
    pub const fn kernels(&self) -> &Kernels {
        &self.regions.kernels
    }

    /// Begins it.
    ///
    /// # Errors
    /// Never: the measures are within their bounds.
    pub fn begin(&self) -> anyhow::Result<Ongoing<'_>> {
        let regions = &self.regions;
        let times = self.begun.fetch_add(1, Ordering::Relaxed);
        regions.gates.seed(self.seed.wrapping_add(times));
        match self.fault {
            RaceFault::RegionLost => regions.lose()?,
            RaceFault::Conflicts => regions.set(&[Fault::CommitConflict {
                percent: PERCENT,
                conflict: crate::local::gate::Conflict::Rows,
            }])?,
            RaceFault::LostCommits => regions.set(&[
                Fault::LostBeforeCommit { percent: PERCENT },
                Fault::LostCommit { percent: PERCENT },
            ])?,
            RaceFault::Slow => regions.set(&[Fault::Slow {
                from_ms: SLOW_FROM_MS,
                to_ms: SLOW_TO_MS,
            }])?,
            RaceFault::Cut => regions.cut()?,
            RaceFault::ClockSkew => self.skew(),
        }
        Ok(Ongoing(self))
    }

    /// Sets the kernels' clocks wrong, in turn ahead and behind.
    fn skew(&self) {
        let sides = [SKEW_MS, -SKEW_MS].into_iter().cycle();
        for (kernel, by) in self.regions.kernels.nodes.iter().zip(sides) {
            let (now, before) = (Instant::now(), kernel.clock().now());
            kernel.clock().set(now, now, Timestamp(before.0 + by));
            let is_wrong = (kernel.clock().now().0 - before.0).abs() >= SKEW_MS / 2;
            self.skewed
                .fetch_add(u64::from(is_wrong), Ordering::Relaxed);
        }
    }

    /// Notes how often it took effect; a race that it never touched proves nothing about it.
    pub fn must_have_taken_effect(&self, result: &mut Scenario) {
        let regions = &self.regions;
        let effects = match self.fault {
            RaceFault::RegionLost => vec![
                ("connections refused", regions.seen(|seen| seen.refused)),
                ("connections cut", regions.seen(|seen| seen.cut)),
            ],
            RaceFault::Conflicts => vec![(
                "COMMITs refused as conflicts",
                regions.seen(|seen| seen.failed_commits),
            )],
            RaceFault::LostCommits => vec![
                ("COMMITs cut", regions.seen(|seen| seen.cut_before_commit)),
                (
                    "answers cut after COMMIT",
                    regions.seen(|seen| seen.cut_after_commit),
                ),
            ],
            RaceFault::Slow => vec![("messages delayed", regions.seen(|seen| seen.slowed))],
            RaceFault::Cut => vec![("connections cut", regions.seen(|seen| seen.cut))],
            RaceFault::ClockSkew => {
                vec![("clocks set wrong", self.skewed.load(Ordering::Relaxed))]
            }
        };
        let all: u64 = effects.iter().map(|(_, count)| count).sum();
        result.needs(all > 0, "the fault never took effect");
        let effects = effects.into_iter();
        let effects = effects.map(|(name, count)| (name.to_owned(), count));
        result.took_effect.extend(effects);
    }

    /// Closes the kernels' connections.
    pub async fn close(self) {
        self.regions.close().await;
    }
}
