//! Tells panels how the house is and how its runs go, on the live socket's channels `vitals` and
//! `runs`: once for everybody who looks, and not at all while nobody does.

use super::Operations;
use super::runs::RunState;
use super::vitals::{Sources, Vitals};
use crate::events::Audience;
use crate::ledger::transaction::Durations;
use crate::live::{Board, Told};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use shared::live::Channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
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
    /// The durations at the last look that was told, for the next one to compare with.
    told: Mutex<Durations>,
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
            told: Mutex::default(),
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
        self.sources.live.hub.is_heard(Audience::Channel(channel))
    }

    fn tell(&self, channel: Channel, told: Option<Told>) {
        if let Some(told) = told {
            self.sources.live.hub.tell(channel, told);
        }
    }

    async fn look(&self) -> (Vitals, Durations) {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.sources.look(&self.operations, told).await
    }

    async fn tell_vitals(&self) {
        loop {
            tokio::time::sleep(VITALS_PACE).await;
            if self.is_heard(Channel::Vitals) {
                let (vitals, took) = self.look().await;
                *self.told.lock().unwrap_or_else(PoisonError::into_inner) = took;
                self.tell(Channel::Vitals, vitals_of(&vitals));
            }
        }
    }

    async fn tell_runs(&self) {
        // Who comes after a run's end hears of it by the snapshot.
        let mut ended: Option<String> = None;
        loop {
            tokio::time::sleep(RUNS_PACE).await;
            let Some(run) = self.operations.runs.latest() else {
                continue;
            };
            if ended.as_ref() == Some(&run.id) {
                continue;
            }
            if run.state != RunState::Running {
                ended = Some(run.id.clone());
            }
            if self.is_heard(Channel::Runs) {
                self.tell(Channel::Runs, run_of(Some(&run)));
            }
        }
    }
}

impl Board for Teller {
    fn now(&self, channel: Channel) -> BoxFuture<'_, Option<Told>> {
        Box::pin(async move {
            match channel {
                Channel::Vitals => vitals_of(&self.look().await.0),
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
