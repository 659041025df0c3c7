//! Tells panels how the house is and how its runs go, on the live socket's channels `vitals` and
//! `runs`: once for everybody who looks, and not at all while nobody does.

use super::Operations;
use super::runs::RunState;
use super::vitals::{Sources, Vitals, counters};
use crate::events::Audience;
use crate::ledger::transaction::Durations;
use crate::live::{Board, Told};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use shared::live::Channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// From one look at the house to the next.
const VITALS_PACE: Duration = Duration::from_secs(1);

/// From one look at a run to the next.
const RUNS_PACE: Duration = Duration::from_millis(200);

/// Whoever tells.
pub struct Teller {
    operations: Operations,
    sources: Sources,
    /// The durations at the last pace, for the next look to compare with.
    before: Mutex<Durations>,
    /// What was told last, for those who come before the next pace.
    last: Mutex<Option<(Instant, Told)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Teller {
    /// Tells until `stop`.
    #[must_use]
    pub fn begin(
        operations: Operations,
        sources: Sources,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let teller = Arc::new(Self {
            operations,
            sources,
            before: Mutex::default(),
            last: Mutex::default(),
        });
        // Apart, since a database that hangs holds up a look at the house, and no run.
        let (vitals, runs) = (Arc::clone(&teller), Arc::clone(&teller));
        let until = stop.clone();
        tasks.spawn(async move { until.run_until_cancelled(vitals.tell_vitals()).await });
        let until = stop.clone();
        tasks.spawn(async move { until.run_until_cancelled(runs.tell_runs()).await });
        teller
    }

    fn is_heard(&self, channel: Channel) -> bool {
        self.sources.hub.is_heard(Audience::Channel(channel))
    }

    async fn look(&self) -> Option<Told> {
        let before = *lock(&self.before);
        let vitals = self.sources.look(&self.operations, before).await;
        let told = vitals_of(&vitals)?;
        *lock(&self.last) = Some((Instant::now(), told.clone()));
        Some(told)
    }

    async fn tell_vitals(&self) {
        loop {
            tokio::time::sleep(VITALS_PACE).await;
            let told = match self.is_heard(Channel::Vitals) {
                true => self.look().await,
                false => None,
            };
            // Whether anybody heard or not: the next look is about what came after.
            *lock(&self.before) = counters(&self.operations).took;
            if let Some(told) = told {
                self.sources.hub.tell(Channel::Vitals, told);
            }
        }
    }

    /// How the house is, as of the last pace at the earliest.
    async fn vitals(&self) -> Option<Told> {
        let last = lock(&self.last).clone();
        match last.filter(|(at, _)| at.elapsed() < VITALS_PACE) {
            Some((_, told)) => Some(told),
            None => self.look().await,
        }
    }

    async fn tell_runs(&self) {
        // Who comes after a run's end hears of it by the snapshot.
        let mut ended: Option<String> = None;
        loop {
            tokio::time::sleep(RUNS_PACE).await;
            if !self.is_heard(Channel::Runs) {
                continue;
            }
            let latest = self.operations.runs.latest();
            let Some(run) = latest.filter(|run| ended.as_ref() != Some(&run.id)) else {
                continue;
            };
            if run.state != RunState::Running {
                ended = Some(run.id.clone());
            }
            if let Some(told) = run_of(Some(&run)) {
                self.sources.hub.tell(Channel::Runs, told);
            }
        }
    }
}

impl Board for Teller {
    fn now(&self, channel: Channel) -> BoxFuture<'_, Option<Told>> {
        Box::pin(async move {
            match channel {
                Channel::Vitals => self.vitals().await,
                Channel::Runs => run_of(self.operations.runs.latest().as_ref()),
                Channel::Lot(_)
                | Channel::Chat(_)
                | Channel::Crowd(_)
                | Channel::Floor
                | Channel::Me => None,
            }
        })
    }
}

fn vitals_of(vitals: &Vitals) -> Option<Told> {
    let vitals = json(vitals)?;
    Some(Told::Vitals { vitals })
}

fn run_of(run: Option<&super::RunView>) -> Option<Told> {
    let run = match run {
        Some(run) => Some(json(run)?),
        None => None,
    };
    Some(Told::Run { run })
}

fn json<T: Serialize>(value: &T) -> Option<Value> {
    let told = serde_json::to_value(value);
    told.inspect_err(|error| tracing::error!(%error, "a panel cannot be told"))
        .ok()
}
