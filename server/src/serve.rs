//! A node: opens the stores, brings the schema up, starts everything and serves until told to stop.

use crate::api::Api;
use crate::audits::Auditor;
use crate::clock::Clock;
use crate::config::{NodeUrl, PublicUrl, ServeArgs};
use crate::events::HouseEvent;
use crate::firehose::Firehose;
#[cfg(feature = "local")]
use crate::ledger::endpoint::Endpoints;
use crate::ledger::outbox::{self, Appended, EventLog};
use crate::ledger::{Ledger, schema, sweeper};
use crate::live::{History, Hub, LiveConfig, LiveParts, LiveState};
#[cfg(feature = "local")]
use crate::local::RegionalGates;
#[cfg(feature = "local")]
use crate::operations::{Operations, Runs, RunsConfig, Sources, Teller};
use crate::panels::HousePanels;
use crate::router::{self, House};
use crate::sessions::{BrowserSessions, FormKeys};
use crate::stores::{self, Missing, Stores};
use crate::webhooks::dispatcher;
use crate::webhooks::guard::Policy;
use crate::webhooks::sender::Sender;
use anyhow::Context;
use app::ports::{Failure, Ports};
use async_trait::async_trait;
use axum::serve::ListenerExt as _;
use shared::live::{LotEvent, Position};
use shared::{EventId, LotId};
use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a node measures its offset to the database's clock.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);

/// How long background tasks may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

#[async_trait]
impl EventLog for Firehose {
    async fn append(&self, events: &[HouseEvent]) -> Vec<Appended> {
        let appended = self.append_events(events).await;
        for (event, failure) in &appended.failed {
            tracing::warn!(%event, %failure, "an event could not be logged yet");
        }
        let published: HashSet<EventId> = appended.published.into_iter().collect();
        let refused: HashMap<EventId, String> = appended
            .failed
            .into_iter()
            .filter(|(_, failure)| failure.is_permanent())
            .map(|(event, failure)| (event, failure.to_string()))
            .collect();
        let became = |event: &HouseEvent| {
            if published.contains(&event.id) {
                return Appended::Done;
            }
            let why = refused.get(&event.id).cloned();
            why.map_or(Appended::Later, Appended::Refused)
        };
        events.iter().map(became).collect()
    }
}

#[async_trait]
impl History for Ledger {
    async fn lot_events(
        &self,
        lot: LotId,
        epoch: i64,
        after: i64,
        through: i64,
    ) -> Result<Vec<(Position, LotEvent)>, Failure> {
        let events = Self::lot_events(self, lot, after, through).await?;
        Ok(events
            .into_iter()
            .filter(|(position, _)| position.epoch == epoch)
            .collect())
    }
}

/// Serves until SIGINT or SIGTERM, or until the local stores are gone.
///
/// # Errors
/// One line that says what is missing or in the way.
pub async fn serve(args: ServeArgs, say: fn(&str)) -> anyhow::Result<ExitCode> {
    // A wrong or taken address is known at once, before anything is started for nothing.
    let listener = TcpListener::bind(args.addr)
        .await
        .with_context(|| format!("cannot listen on {}", args.addr))?;
    router::check_site(&args.site_root)?;
    let mut stores = stores::open(&args.stores, Missing::Start).await?;
    for line in &stores.banner {
        say(line);
    }
    schema::apply(&stores.endpoints)
        .await
        .context("the schema is not ready")?;
    #[cfg(feature = "local")]
    let means = means(&args, &stores).await?;
    #[cfg(feature = "local")]
    let endpoints = match means.as_ref().and_then(|it| it.gates.as_ref()) {
        Some(gates) => Endpoints::postgres_at(&gates.urls(), args.stores.pool()).await?,
        None => stores.endpoints.clone(),
    };
    #[cfg(not(feature = "local"))]
    let endpoints = stores.endpoints.clone();
    let clock = Arc::new(Clock::new());
    let hub = Hub::new(Arc::clone(&clock));
    let (ear, stream_only) = (Arc::clone(&hub), args.stream_only);
    #[cfg(feature = "local")]
    let watch = means.as_ref().map(|it| Arc::clone(it.runs.watch()));
    let ledger = Ledger::new(endpoints, Arc::clone(&clock), move |events| {
        #[cfg(feature = "local")]
        if let Some(watch) = &watch {
            watch.hear(events);
        }
        if !stream_only {
            events.iter().for_each(|event| ear.deliver(event));
        }
    });
    ledger.measure_clock().await?;
    let firehose = Firehose::connect(stores.firehose.clone(), Arc::clone(&clock)).await;
    firehose
        .ensure_table()
        .await
        .context("the DynamoDB table is not ready")?;
    #[cfg(feature = "local")]
    let operations =
        means.map(|Means { gates, runs }| Operations::new(gates, runs, Arc::clone(&ledger)));
    let node = Node {
        args,
        clock,
        hub,
        ledger,
        firehose,
        #[cfg(feature = "local")]
        operations,
    };
    node.run(listener, &mut stores, say).await
}

struct Node {
    args: ServeArgs,
    clock: Arc<Clock>,
    hub: Arc<Hub>,
    ledger: Arc<Ledger>,
    firehose: Firehose,
    #[cfg(feature = "local")]
    operations: Option<Operations>,
}

/// What operators need beside the ledger.
#[cfg(feature = "local")]
struct Means {
    gates: Option<Arc<RegionalGates>>,
    runs: Arc<Runs>,
}

/// What operators may do to this node: on the local stores only.
#[cfg(feature = "local")]
async fn means(args: &ServeArgs, stores: &Stores) -> anyhow::Result<Option<Means>> {
    let local = stores.local.as_ref().filter(|_| args.stores.local_ledger());
    let Some(local) = local else {
        anyhow::ensure!(
            args.regional_gates.is_none(),
            "gates break what goes through them, and stand before the local PostgreSQL only"
        );
        return Ok(None);
    };
    let gates = match &args.regional_gates {
        Some(regions) => {
            let gates = RegionalGates::start(&local.database_url, regions).await;
            Some(Arc::new(gates.context("opening the gates of the Regions")?))
        }
        None => None,
    };
    let runs = Runs::new(RunsConfig {
        database_url: local.database_url.clone(),
        folder: args.stores.data_dir.join("proof"),
        pool: args.stores.kernel_pool(),
        gates: gates.clone(),
    });
    Ok(Some(Means { gates, runs }))
}

impl Node {
    async fn run(
        self,
        listener: TcpListener,
        stores: &mut Stores,
        say: fn(&str),
    ) -> anyhow::Result<ExitCode> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let public_url = self.args.public_url.as_ref();
        let secure = public_url.is_some_and(PublicUrl::is_secure);
        let demo = self.args.has_demo();
        let sessions = Arc::new(BrowserSessions::new(
            Arc::clone(&self.ledger),
            secure,
            demo,
            self.args.operators.clone(),
        ));
        let auditor = Auditor::new(Arc::clone(&self.ledger), self.firehose.clone());
        tasks.spawn(Arc::clone(&auditor).keep(stop.clone()));
        let panels = HousePanels {
            auditor: Arc::clone(&auditor),
            #[cfg(feature = "local")]
            operations: self.operations.clone(),
        };
        let ports = Ports {
            ledger: Arc::<Ledger>::clone(&self.ledger),
            social: Arc::new(self.firehose.clone()),
            sessions: Arc::<BrowserSessions>::clone(&sessions),
            keys: Arc::new(FormKeys),
            panels: Arc::new(panels),
        };
        let address = listener.local_addr()?;
        let config = LiveConfig {
            public_url: self.args.public_url.clone(),
            node_url: self.node_url(address, say),
            ..LiveConfig::default()
        };
        let parts = LiveParts {
            clock: Arc::clone(&self.clock),
            hub: Arc::clone(&self.hub),
            ledger: Arc::<Ledger>::clone(&self.ledger),
            firehose: self.firehose.clone(),
            sessions,
            histories: vec![Arc::<Ledger>::clone(&self.ledger)],
        };
        let live = LiveState::start(config, parts).await;
        self.start_tasks(demo, &tasks, &stop).await?;
        #[cfg(feature = "local")]
        self.tell_panels(&live, &tasks, &stop);
        let draining = Arc::new(AtomicBool::new(false));
        let house = House {
            ports,
            ledger: Arc::clone(&self.ledger),
            live: live.clone(),
            api: Api::new(
                Arc::clone(&self.ledger),
                self.policy(),
                self.args.limits.quotas(),
            ),
            auditor: Arc::clone(&auditor),
            #[cfg(feature = "local")]
            operations: self.operations.clone(),
            site_root: self.args.site_root.clone(),
            draining: Arc::clone(&draining),
        };
        let app = router::router(house, address);
        say(&format!("LotZero listening on http://{address}"));
        if address.ip().is_loopback() {
            say(&format!("open http://localhost:{}", address.port()));
        }
        let serving = {
            let stop = stop.clone();
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            // Frames are small and should not wait for the other side's acknowledgement.
            let listener = listener.tap_io(|stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection waits for acknowledgements");
                }
            });
            let server = axum::serve(listener, app);
            tokio::spawn(
                server
                    .with_graceful_shutdown(stop.cancelled_owned())
                    .into_future(),
            )
        };
        let code = wait_for_end(stores).await?;
        draining.store(true, Ordering::Relaxed);
        say("stopping");
        stop.cancel();
        live.shutdown().await;
        tasks.close();
        let ended = async {
            tasks.wait().await;
            serving.await
        };
        if tokio::time::timeout(END_TIMEOUT, ended).await.is_err() {
            tracing::warn!("some requests or tasks did not end in time");
        }
        self.ledger.close().await;
        Ok(code)
    }

    /// Tells panels how the house is and how its runs go.
    #[cfg(feature = "local")]
    fn tell_panels(&self, live: &LiveState, tasks: &TaskTracker, stop: &CancellationToken) {
        let Some(operations) = self.operations.clone() else {
            return;
        };
        let sources = Sources {
            hub: Arc::clone(&live.hub),
            stream: live.stream.clone(),
            begun: std::time::Instant::now(),
        };
        live.set_board(Teller::begin(operations, sources, tasks, stop));
    }

    /// Where the other nodes reach this one.
    fn node_url(&self, address: SocketAddr, say: fn(&str)) -> Option<NodeUrl> {
        let said = self.args.node_url.clone();
        let one_machine = self.firehose.is_local();
        let url = said.or_else(|| NodeUrl::of_listener(address, one_machine));
        if url.is_none() {
            say(
                "this node has no address that others can reach: with more than one node set \
                 LOTZERO_NODE_URL, or the others hear nothing while this one reads the stream",
            );
        }
        url
    }

    /// Where webhooks may go: on one machine also to a receiver that is tried out there.
    const fn policy(&self) -> Policy {
        Policy {
            allow_loopback: self.args.stores.local_ledger(),
        }
    }

    async fn start_tasks(
        &self,
        demo: bool,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let log: Arc<dyn EventLog> = Arc::new(self.firehose.clone());
        tasks.spawn(outbox::relay(Arc::clone(&self.ledger), log, stop.clone()));
        tasks.spawn(sweeper::sweep(Arc::clone(&self.ledger), stop.clone()));
        tasks.spawn(keep_time(Arc::clone(&self.ledger), stop.clone()));
        let sender = Arc::new(Sender::new(self.policy()).context("webhooks cannot use TLS")?);
        tasks.spawn(dispatcher::dispatch(
            Arc::clone(&self.ledger),
            sender,
            stop.clone(),
        ));
        if demo {
            let cast = crate::demo::seed(&self.ledger)
                .await
                .context("seeding the demo")?;
            let simulate = !self.args.no_crowd;
            let ledger = Arc::clone(&self.ledger);
            tasks.spawn(crate::demo::run(
                ledger,
                Arc::new(cast),
                simulate,
                stop.clone(),
            ));
        }
        Ok(())
    }
}

/// Keeps the shown clock on the database's.
async fn keep_time(ledger: Arc<Ledger>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CLOCK_INTERVAL) => {}
        }
        if let Err(failure) = ledger.measure_clock().await {
            tracing::warn!(%failure, "the clock could not be measured; the last offset stays");
        }
    }
}

/// Waits for a signal, or for the end of the local stores.
async fn wait_for_end(stores: &mut Stores) -> anyhow::Result<ExitCode> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    #[cfg(feature = "local")]
    let lost = async {
        match &mut stores.local {
            Some(local) => local.lost().await,
            None => pending().await,
        }
    };
    #[cfg(not(feature = "local"))]
    let lost = async {
        let _only_for_local_stores = &stores;
        pending::<()>().await;
    };
    tokio::select! {
        _ = term.recv() => Ok(ExitCode::SUCCESS),
        _ = int.recv() => Ok(ExitCode::SUCCESS),
        () = lost => {
            tracing::error!("the local stores are gone; start again, nothing that was confirmed is lost");
            Ok(ExitCode::FAILURE)
        }
    }
}
