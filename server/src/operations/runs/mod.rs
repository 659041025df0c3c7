//! Proof runs that a node carries out for whoever asks: one at a time, each with a page that stays.

mod routes;
mod view;
mod wish;

pub use routes::routes;
pub use view::{RunState, RunView};
pub use wish::Wish;

use super::Refused;
use crate::clock::Clock;
use crate::ledger::endpoint::Endpoints;
use crate::local::RegionalGates;
use crate::proof::swarm::{Crowd, Plan, Swarm};
use crate::proof::{self, Engine, Kernels, Name, Report, Stage, Watch};
use anyhow::Context;
use http::StatusCode;
use shared::Timestamp;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Kernels of a run.
const KERNELS: usize = 2;

/// Runs that are listed.
const MAX_LISTED: usize = 50;

/// Where and over what a node runs proofs.
#[derive(Clone)]
pub struct RunsConfig {
    /// The private PostgreSQL.
    pub database_url: String,
    /// Where runs are kept.
    pub folder: PathBuf,
    /// Connections of each kernel of a run.
    pub pool: u32,
    /// This node's gates: a swarm goes through them, so that an operator can take a Region away.
    pub gates: Option<Arc<RegionalGates>>,
}

/// A run of this node.
struct Run {
    id: String,
    wish: Wish,
    begun: Instant,
    begun_at: Timestamp,
    swarm: Mutex<Option<Arc<Swarm>>>,
    ended: Mutex<Option<RunView>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    fn view(&self) -> RunView {
        match &*lock(&self.ended) {
            Some(ended) => ended.clone(),
            None => self.under_way(),
        }
    }

    /// The same for those who look again and again: a report can be long.
    fn view_without_report(&self) -> RunView {
        match &*lock(&self.ended) {
            Some(ended) => ended.without_report(),
            None => self.under_way(),
        }
    }

    fn under_way(&self) -> RunView {
        let swarm = lock(&self.swarm);
        RunView {
            id: self.id.clone(),
            wish: self.wish.clone(),
            state: RunState::Running,
            begun: self.begun_at,
            elapsed_ms: ms(self.begun.elapsed()),
            standing: swarm.as_ref().map(|swarm| swarm.progress().standing()),
            problem: None,
            report: None,
        }
    }

    fn end(&self, outcome: anyhow::Result<Report>) -> RunView {
        let mut view = self.view();
        view.elapsed_ms = ms(self.begun.elapsed());
        match outcome.and_then(|report| Ok((serde_json::to_value(&report)?, report))) {
            Ok((value, report)) => {
                view.report = Some(value);
                view.state = match (report.violations, report.valid) {
                    (0, true) => RunState::Held,
                    (0, false) => RunState::Invalid,
                    _ => RunState::Broken,
                };
            }
            Err(error) => {
                view.state = RunState::Failed;
                view.problem = Some(format!("{error:#}"));
            }
        }
        *lock(&self.ended) = Some(view.clone());
        view
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The runs of a node.
pub struct Runs {
    config: RunsConfig,
    current: Mutex<Option<Arc<Run>>>,
    watch: Arc<Watch>,
}

impl Runs {
    /// No run yet.
    #[must_use]
    pub fn new(config: RunsConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            current: Mutex::default(),
            watch: Arc::default(),
        })
    }

    /// Begins a run; the one that goes on if there is one.
    fn begin(self: &Arc<Self>, wish: Wish) -> Result<Arc<Run>, Arc<Run>> {
        let mut current = lock(&self.current);
        if let Some(run) = current.as_ref()
            && lock(&run.ended).is_none()
        {
            return Err(Arc::clone(run));
        }
        let run = Arc::new(Run {
            id: format!("{:016x}", rand::random::<u64>()),
            wish,
            begun: Instant::now(),
            begun_at: Clock::new().now(),
            swarm: Mutex::default(),
            ended: Mutex::default(),
        });
        *current = Some(Arc::clone(&run));
        let (runs, started) = (Arc::clone(self), Arc::clone(&run));
        tokio::spawn(async move { runs.carry_out(started).await });
        Ok(run)
    }

    /// Who looks on: what kernels of runs count, and what they and the house committed last.
    #[must_use]
    pub const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// The present run or the last one, since the node began, without its report.
    #[must_use]
    pub fn latest(&self) -> Option<RunView> {
        let run = lock(&self.current).clone()?;
        Some(run.view_without_report())
    }

    /// The run that goes on.
    #[must_use]
    pub fn running(&self) -> Option<String> {
        let current = lock(&self.current);
        let run = current.as_ref().filter(|run| lock(&run.ended).is_none());
        run.map(|run| run.id.clone())
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.config.folder.join(id)
    }

    async fn carry_out(self: Arc<Self>, run: Arc<Run>) {
        let (runs, going) = (Arc::clone(&self), Arc::clone(&run));
        // In a task of its own, so that a panic ends the run and not the list of runs.
        let outcome = tokio::spawn(async move { runs.prove(&going).await }).await;
        let outcome = outcome.unwrap_or_else(|panicked| Err(anyhow::Error::new(panicked)));
        let view = run.end(outcome);
        if let Err(error) = self.keep(&view) {
            tracing::warn!(run = view.id, %error, "a run's report was not kept");
        }
    }

    fn keep(&self, view: &RunView) -> anyhow::Result<()> {
        let folder = self.folder(&view.id);
        std::fs::create_dir_all(&folder)?;
        let text = serde_json::to_string_pretty(view)?;
        Ok(std::fs::write(folder.join("run.json"), text)?)
    }

    async fn prove(&self, run: &Run) -> anyhow::Result<Report> {
        let config = &self.config;
        self.watch.forget_kernels();
        let mut nodes = Vec::new();
        for _kernel in 0..KERNELS {
            let endpoints = Endpoints::postgres(&config.database_url, config.pool).await;
            nodes.push(self.watch.kernel(endpoints.context("opening the kernels")?));
        }
        let mut stage = Stage {
            kernels: Kernels { nodes },
            settings: run.wish.settings(),
            database_url: Some(config.database_url.clone()),
            pool: config.pool,
            histories: self.folder(&run.id).join("histories"),
            gates: config.gates.clone(),
            trouble: None,
            watch: Arc::clone(&self.watch),
        };
        let report = match &run.wish {
            Wish::Scenario { name, .. } => proof::prove(&mut stage, &[*name], |_step| {}).await,
            Wish::Swarm {
                agents,
                stock,
                per_second,
                lose_region,
                ..
            } => {
                let plan = Plan {
                    crowd: Crowd {
                        agents: *agents,
                        per_second: *per_second,
                    },
                    stock: *stock,
                    lose_region: *lose_region,
                };
                let watch = |swarm: &Arc<Swarm>| *lock(&run.swarm) = Some(Arc::clone(swarm));
                proof::prove_swarm(&stage, plan, watch).await
            }
        };
        stage.kernels.close().await;
        report
    }

    /// A run by its id: the present one, or one that was kept.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<RunView> {
        if let Some(run) = lock(&self.current).as_ref()
            && run.id == id
        {
            return Some(run.view());
        }
        is_id(id).then_some(())?;
        let text = std::fs::read_to_string(self.folder(id).join("run.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Every run, the newest first, without their reports.
    #[must_use]
    pub fn list(&self) -> Vec<RunView> {
        let current = lock(&self.current).as_ref().map(|run| run.view());
        let files = std::fs::read_dir(&self.config.folder).into_iter().flatten();
        let mut kept: Vec<_> = files
            .filter_map(|file| {
                let path = file.ok()?.path().join("run.json");
                Some((path.metadata().ok()?.modified().ok()?, path))
            })
            .collect();
        kept.sort_by(|a, b| b.cmp(a));
        let kept = kept.into_iter().filter_map(|(_, path)| {
            let text = std::fs::read_to_string(path).ok()?;
            serde_json::from_str::<RunView>(&text).ok()
        });
        let current_id = current.as_ref().map(|run| run.id.clone());
        let others = kept.filter(|run| Some(&run.id) != current_id.as_ref());
        let mut all: Vec<RunView> = current.clone().into_iter().chain(others).collect();
        all.truncate(MAX_LISTED);
        for run in &mut all {
            run.report = None;
        }
        all
    }

    /// The newest `oversell` without a fault by each engine, with its report.
    #[must_use]
    pub fn versus(&self) -> [(Engine, Option<RunView>); 2] {
        let all = self.list();
        [Engine::House, Engine::Naive].map(|wanted| {
            let is_one = |run: &&RunView| match &run.wish {
                Wish::Scenario {
                    name: Name::Oversell,
                    engine,
                    fault: None,
                    ..
                } => *engine == wanted && run.state != RunState::Running,
                Wish::Scenario { .. } | Wish::Swarm { .. } => false,
            };
            let newest = all.iter().find(is_one);
            (wanted, newest.and_then(|run| self.find(&run.id)))
        })
    }

    /// Stops the present run, if it is this one and can be stopped.
    fn stop(&self, id: &str) -> Result<RunView, Refused> {
        let run = lock(&self.current).clone();
        let run = run.filter(|run| run.id == id).ok_or_else(no_such_run)?;
        let swarm = lock(&run.swarm).clone();
        match swarm {
            Some(swarm) => {
                swarm.stop().cancel();
                Ok(run.view())
            }
            None => Err(Refused::new(
                StatusCode::CONFLICT,
                "not_stoppable",
                "A scenario takes seconds and is not stopped; a swarm is, once it has begun.",
            )),
        }
    }
}

/// Whether a text can be an id: nothing else is looked for in the file system.
fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn no_such_run() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not_found", "There is no such run.")
}
