//! Proof runs that a node carries out for whoever asks: one at a time, each with a page that stays.

use super::{Operations, Refused, fresh};
use crate::ledger::endpoint::Endpoints;
use crate::local::RegionalGates;
use crate::proof::swarm::{Crowd, MAX_AGENTS, MAX_STOCK, Plan, Standing, Swarm};
use crate::proof::{self, Engine, Kernels, Name, RaceFault, Report, Settings, Stage, Watch};
use anyhow::{Context, ensure};
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bounds of a race that is run from a page: a shared machine has other guests.
const BUYERS: std::ops::RangeInclusive<u32> = 10..=200;
const UNITS: std::ops::RangeInclusive<u32> = 1..=20;
const ATTEMPTS: std::ops::RangeInclusive<u32> = 2..=200;

/// From one event of a run to the next.
const EVENT_PACE: Duration = Duration::from_millis(200);

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

/// A seed as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Seed(u64);

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.0.to_string()
    }
}

impl TryFrom<String> for Seed {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "run", rename_all = "snake_case", deny_unknown_fields)]
pub enum Wish {
    /// A scenario.
    Scenario {
        /// Which.
        name: Name,
        /// Buyers that rush a drop, from 10 to 200.
        #[serde(default = "buyers")]
        buyers: u32,
        /// Units of it, from 1 to 20.
        #[serde(default = "units")]
        units: u32,
        /// Lots that one purchase's money is spent on, from 2 to 200.
        #[serde(default = "attempts")]
        attempts: u32,
        /// Which engine sells.
        #[serde(default)]
        engine: Engine,
        /// What goes wrong beside the race.
        #[serde(default)]
        fault: Option<RaceFault>,
        /// Repeats a run: digits, since not every client has whole numbers as large.
        #[serde(default)]
        seed: Option<Seed>,
    },
    /// A swarm.
    Swarm {
        /// Agents, from 1 to 5,000,000.
        agents: u64,
        /// Units, from 1 to 400.
        stock: u32,
        /// Requests a second; as fast as they are answered if not said.
        per_second: Option<u32>,
        /// Whether a Region is lost at half of them, by gates of the run's own.
        #[serde(default)]
        lose_region: bool,
        /// Repeats a run: digits, since not every client has whole numbers as large.
        #[serde(default)]
        seed: Option<Seed>,
    },
}

fn buyers() -> u32 {
    Settings::default().buyers
}

fn units() -> u32 {
    Settings::default().units
}

fn attempts() -> u32 {
    Settings::default().attempts
}

impl Wish {
    /// What it is, in a few words.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Scenario {
                name,
                engine,
                fault,
                ..
            } => {
                let name = name.text().replace('_', " ");
                let engine = match engine {
                    Engine::House => "",
                    Engine::Naive => ", naive engine",
                };
                let fault = fault.map_or("", RaceFault::words);
                format!("{name}{engine}{fault}")
            }
            Self::Swarm {
                agents,
                stock,
                lose_region,
                ..
            } => {
                let lost = if *lose_region { ", a Region lost" } else { "" };
                let agents = crate::panels::grouped(*agents);
                format!("{agents} agents for {stock} units{lost}")
            }
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Scenario {
                name,
                buyers,
                units,
                attempts,
                ..
            } => {
                ensure!(BUYERS.contains(buyers), "10 to 200 buyers are possible");
                ensure!(UNITS.contains(units), "1 to 20 units are possible");
                ensure!(
                    ATTEMPTS.contains(attempts),
                    "2 to 200 attempts are possible"
                );
                self.settings().check(&[*name])
            }
            Self::Swarm { agents, stock, .. } => {
                ensure!(
                    (1..=MAX_AGENTS).contains(agents),
                    "1 to {MAX_AGENTS} agents are possible"
                );
                ensure!(
                    (1..=MAX_STOCK).contains(stock),
                    "1 to {MAX_STOCK} units are possible"
                );
                Ok(())
            }
        }
    }

    fn settings(&self) -> Settings {
        let default = Settings::default();
        match self {
            Self::Scenario {
                buyers,
                units,
                attempts,
                engine,
                fault,
                seed,
                ..
            } => Settings {
                buyers: *buyers,
                units: *units,
                attempts: *attempts,
                engine: *engine,
                fault: *fault,
                seed: seed.map_or_else(rand::random, |seed| seed.0),
            },
            Self::Swarm { seed, .. } => Settings {
                seed: seed.map_or_else(rand::random, |seed| seed.0),
                ..default
            },
        }
    }
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on.
    Running,
    /// Everything held.
    Held,
    /// An invariant was broken.
    Broken,
    /// What should have been tried was not.
    Invalid,
    /// It could not be carried out.
    Failed,
}

impl RunState {
    /// One word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Held => "held",
            Self::Broken => "broken",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }

    /// What it means.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Running => "It goes on.",
            Self::Held => "Every rule held.",
            Self::Broken => "A rule was broken, and that was seen.",
            Self::Invalid => "What should have been tried was not, so nothing is proven.",
            Self::Failed => "It could not be carried out.",
        }
    }
}

/// A run as it is told. Once it has ended it never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub wish: Wish,
    /// How it stands.
    pub state: RunState,
    /// How long it has taken, in milliseconds.
    pub elapsed_ms: u64,
    /// How far a swarm is.
    pub standing: Option<Standing>,
    /// Why it failed.
    pub problem: Option<String>,
    /// What it found.
    pub report: Option<Value>,
}

/// A run of this node.
struct Run {
    id: String,
    wish: Wish,
    begun: Instant,
    swarm: Mutex<Option<Arc<Swarm>>>,
    ended: Mutex<Option<RunView>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    fn view(&self) -> RunView {
        if let Some(ended) = lock(&self.ended).clone() {
            return ended;
        }
        let swarm = lock(&self.swarm);
        RunView {
            id: self.id.clone(),
            wish: self.wish.clone(),
            state: RunState::Running,
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

pub fn routes() -> Router<Operations> {
    Router::new()
        .route("/api/proof/runs", get(list).post(begin))
        .route("/api/proof/runs/{id}", get(show).delete(stop))
        .route("/api/proof/runs/{id}/events", get(events))
        .route("/api/proof/runs/{id}/histories/{scenario}", get(history))
}

async fn list(State(operations): State<Operations>) -> Response {
    fresh(&operations.runs.list())
}

async fn begin(
    State(operations): State<Operations>,
    Json(wish): Json<Wish>,
) -> Result<Response, Refused> {
    wish.check()
        .map_err(|why| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_size", why))?;
    match operations.runs.begin(wish) {
        Ok(run) => {
            let place = [(header::LOCATION, format!("/proof/runs/{}", run.id))];
            Ok((StatusCode::ACCEPTED, place, fresh(&run.view())).into_response())
        }
        Err(other) => Err(Refused::new(
            StatusCode::CONFLICT,
            "busy",
            format!(
                "Run {} goes on. One at a time, or they would measure each other.",
                other.id
            ),
        )),
    }
}

async fn show(
    State(operations): State<Operations>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let run = operations.runs.find(&id).ok_or_else(no_such_run)?;
    Ok(fresh(&run))
}

/// How a run goes on, as server-sent events: `run` with what [`show`] tells but for its report, five
/// times a second, and the last one when it has ended. They go one way, reconnect by themselves,
/// and cost those who bid nothing, which a channel of the live socket would.
async fn events(
    State(operations): State<Operations>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    operations.runs.find(&id).ok_or_else(no_such_run)?;
    let begin = Some((operations, Duration::ZERO));
    let views = futures::stream::unfold(begin, move |next| {
        let id = id.clone();
        async move {
            let (operations, pause) = next?;
            tokio::time::sleep(pause).await;
            let run = operations.runs.find(&id)?;
            let goes_on = run.state == RunState::Running;
            let view = RunView {
                report: None,
                ..run
            };
            let event = Event::default().event("run").json_data(&view).ok()?;
            let next = goes_on.then_some((operations, EVENT_PACE));
            Some((Ok::<_, Infallible>(event), next))
        }
    });
    Ok(Sse::new(views)
        .keep_alive(KeepAlive::default())
        .into_response())
}

async fn stop(
    State(operations): State<Operations>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    Ok(fresh(&operations.runs.stop(&id)?))
}

async fn history(
    State(operations): State<Operations>,
    Path((id, scenario)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if !is_id(&id) || scenario.is_empty() || !scenario.bytes().all(plain) {
        return Err(no_such_run());
    }
    let folder = operations.runs.folder(&id).join("histories");
    let text = tokio::fs::read(folder.join(format!("{scenario}.jsonl"))).await;
    let text = text.map_err(|_missing| no_such_run())?;
    let kind = [(header::CONTENT_TYPE, "application/jsonl; charset=utf-8")];
    Ok((kind, text).into_response())
}
