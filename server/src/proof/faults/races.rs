//! Faults that are a race of their own, and a node that is asked to end: F5, F7, F8, F19, F20, F30, F38,
//! F39.

use super::super::scenarios::Name;
use super::super::settings::RaceFault;
use super::super::swarm::{self, Crowd, Plan};
use super::{Case, Ground};
use crate::ids;
use crate::local::{Signal, send_signal};
use anyhow::{Context, ensure};
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use shared::live::SUBPROTOCOL;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

/// Agents of the stampede, and units that there are.
const AGENTS: u64 = 100_000;
const STOCK: u32 = 100;

/// Callers of the node that is asked to end, the purchases that they have made by then, how long that
/// may take, and how soon it ends.
const CALLERS: u32 = 16;
const LEAST_MADE: u32 = 200;
const MADE_WITHIN: Duration = Duration::from_secs(20);
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What a node says once it answers; its address follows.
const LISTENING: &str = "LotZero listening on http://";

/// How long a node with stores of its own may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Runs scenarios again and again, with what goes wrong meanwhile.
async fn scenarios(
    ground: &Ground,
    names: &[Name],
    fault: Option<RaceFault>,
    times: u32,
) -> anyhow::Result<Case> {
    let mut case = Case::default();
    for _ in 0..times {
        let mut stage = ground.stage().await?;
        stage.settings.fault = fault;
        let report = super::super::prove(&mut stage, names, |_| {}).await;
        stage.kernels.close().await;
        case.take_in(&report?);
    }
    Ok(case)
}

/// F5: one key 64 times at once, on two nodes.
pub async fn same_key(ground: &Ground) -> anyhow::Result<Case> {
    let mut case = Case::default();
    for _ in 0..ground.times(10) {
        let mut stage = ground.stage().await?;
        let report = super::super::prove(&mut stage, &[Name::SameKey], |_| {}).await;
        stage.kernels.close().await;
        let report = report?;
        case.take_in(&report);
        // A twin is one that heard the first one's answer.
        let twins: u64 = report.scenarios.iter().map(|it| it.replayed).sum();
        case.happened(twins, twins);
    }
    Ok(case)
}

/// F7: clients go away before they are answered.
pub async fn client_vanishes(ground: &Ground) -> anyhow::Result<Case> {
    scenarios(ground, &[Name::ClientVanishes], None, ground.times(30)).await
}

/// F8: nodes are killed in the middle of a swarm.
pub async fn node_killed(ground: &Ground) -> anyhow::Result<Case> {
    scenarios(ground, &[Name::KillMidSwarm], None, ground.times(8)).await
}

/// F16: nodes whose own clocks are wrong decide prices, closes and expiries as any other.
pub async fn clock_skew(ground: &Ground) -> anyhow::Result<Case> {
    let names = [
        Name::DutchFirstClaim,
        Name::BidAgainstClose,
        Name::RevokeAgainstSpend,
    ];
    scenarios(ground, &names, Some(RaceFault::ClockSkew), ground.times(10)).await
}

/// F19: bids around the close of a lot.
pub async fn bid_against_close(ground: &Ground) -> anyhow::Result<Case> {
    let mut case = Case::default();
    for _ in 0..ground.times(20) {
        let mut stage = ground.stage().await?;
        let report = super::super::prove(&mut stage, &[Name::BidAgainstClose], |_| {}).await;
        stage.kernels.close().await;
        let report = report?;
        case.take_in(&report);
        // What the race is about happened where a bid was accepted and another came too late.
        for scenario in &report.scenarios {
            let late = scenario.refusals.get("ended").copied().unwrap_or(0);
            case.happened(scenario.offered, late.min(scenario.committed));
        }
    }
    Ok(case)
}

/// F20: two bidders outbid each other, while COMMITs are refused.
pub async fn outbid(ground: &Ground) -> anyhow::Result<Case> {
    let (names, fault) = ([Name::EnglishAlternation], Some(RaceFault::Conflicts));
    scenarios(ground, &names, fault, ground.times(20)).await
}

/// F30: COMMITs are lost and refused: nodes tell of nothing that was not committed, and the rows have
/// an event for everything that was.
pub async fn phantom_events(ground: &Ground) -> anyhow::Result<Case> {
    let names = [Name::EnglishAlternation, Name::SmallDrops, Name::FreshKey];
    let mut case = scenarios(
        ground,
        &names,
        Some(RaceFault::LostCommits),
        ground.times(10),
    )
    .await?;
    let refused = scenarios(ground, &names[..1], Some(RaceFault::Conflicts), 1).await?;
    case.happened(refused.injected, refused.took_effect);
    case.checked.extend(refused.checked);
    case.findings.extend(refused.findings);
    case.invalid.extend(refused.invalid);
    Ok(case)
}

/// F38: a stampede on what is sold out: everybody is refused, by no transaction of their own.
pub async fn stampede(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let agents = if ground.quick { AGENTS / 10 } else { AGENTS };
    let crowd = Crowd {
        agents,
        per_second: None,
    };
    let plan = Plan {
        crowd,
        stock: STOCK,
        lose_region: false,
    };
    let before = stage.watch.counters();
    let scenario = swarm::prove(&stage, plan, |_swarm| {}).await?;
    let after = stage.watch.counters();
    let writes = after.committed - before.committed;
    let refused = scenario.refused;
    case.happened(agents, refused);
    case.expect(scenario.committed == u64::from(STOCK), || {
        format!("{} of {STOCK} units were sold", scenario.committed)
    });
    case.expect(writes < refused / 10, || {
        format!("{writes} transactions wrote for {refused} refusals")
    });
    case.checked(format!(
        "{refused} refused, {writes} transactions that wrote"
    ));
    case.findings.extend(scenario.findings);
    case.audit(&stage).await?;
    stage.kernels.close().await;
    Ok(case)
}

/// A node with stores of its own.
struct Node {
    child: Child,
    address: String,
}

impl Node {
    async fn start(data: &Path, site: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(program)
            .args(["serve", "--addr", "127.0.0.1:0", "--no-crowd", "--data-dir"])
            .arg(data)
            .arg("--site-root")
            .arg(site)
            .env("LOTZERO_LIMIT_SANDBOX", "off")
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting a node")?;
        let address = swarm::address_of(&mut child, LISTENING, READY_WITHIN).await?;
        Ok(Self { child, address })
    }

    /// Asks it to end; answers how long it took.
    async fn end(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        send_signal(
            self.child.id().context("it has ended already")?,
            Signal::Terminate,
        )?;
        let ended = tokio::time::timeout(2 * ENDS_WITHIN, self.child.wait()).await;
        let status = ended.context("it does not end")??;
        ensure!(status.success(), "it ended with {status}");
        Ok(begun.elapsed())
    }
}

/// Who calls the stand that needs no key of the API.
#[derive(Clone)]
struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    address: String,
}

impl Caller {
    fn of(node: &Node) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            address: node.address.clone(),
        }
    }

    /// Buys under a key; the status, and whether the key had been answered before.
    async fn buy(&self, key: &str) -> anyhow::Result<(StatusCode, bool)> {
        let agent = format!("agent-{key}");
        let body = format!(
            "{{\"agent_id\":\"{agent}\",\"quantity\":1,\"max_price_minor\":100,\"currency\":\"USD\"}}"
        );
        let request = Request::post(format!("http://{}/v1/sandbox/commit", self.address))
            .header(header::CONTENT_TYPE, "application/json")
            .header(HeaderName::from_static("idempotency-key"), key)
            .body(Full::new(Bytes::from(body)))?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let replayed = answer.headers().get("idempotent-replayed").is_some();
        // An answer that breaks off is none.
        answer.into_body().collect().await?;
        Ok((status, replayed))
    }
}

/// How a socket ends that watches the floor.
async fn close_code(address: String) -> anyhow::Result<Option<CloseFrame>> {
    let mut request = format!("ws://{address}/live").into_client_request()?;
    let origin = format!("http://{address}").parse()?;
    request.headers_mut().insert(header::ORIGIN, origin);
    let offered = HeaderValue::from_static(SUBPROTOCOL);
    request
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    let (mut socket, _answer) = tokio_tungstenite::connect_async(request).await?;
    while let Some(message) = socket.next().await {
        if let Message::Close(frame) = message? {
            return Ok(frame);
        }
    }
    Ok(None)
}

/// F39: a node is asked to end under load: what was acknowledged is there when it is back, sockets
/// hear that it restarts, and it ends in time.
pub async fn graceful_end(ground: &Ground) -> anyhow::Result<Case> {
    let mut case = Case::default();
    let data = ground.folder.join("graceful");
    let site = ground.folder.join("site");
    std::fs::create_dir_all(site.join("pkg"))?;
    // The API needs no pages; the node only looks whether they were built.
    std::fs::write(site.join("pkg/lotzero.wasm"), b"")?;
    let node = Node::start(&data, &site).await?;
    let caller = Caller::of(&node);
    caller
        .buy(ids::key().as_str())
        .await
        .context("trying the stand")?;
    let socket = tokio::spawn(close_code(node.address.clone()));
    let mut callers = JoinSet::new();
    let (made, mut seen) = watch::channel(0);
    let lost = Arc::new(AtomicU32::new(0));
    for _ in 0..CALLERS {
        let (caller, lost, made) = (caller.clone(), Arc::clone(&lost), made.clone());
        callers.spawn(async move {
            let (mut acknowledged, mut unanswered) = (Vec::new(), Vec::new());
            loop {
                let key = ids::key().as_str().to_owned();
                match caller.buy(&key).await {
                    Ok((StatusCode::CREATED, _)) => {
                        acknowledged.push(key);
                        made.send_modify(|made| *made += 1);
                    }
                    Ok(_) => unanswered.push(key),
                    Err(_gone) => {
                        lost.fetch_add(1, Ordering::SeqCst);
                        unanswered.push(key);
                        return (acknowledged, unanswered);
                    }
                }
            }
        });
    }
    let enough = seen.wait_for(|made| *made >= LEAST_MADE);
    let is_loaded = tokio::time::timeout(MADE_WITHIN, enough).await.is_ok();
    let took = node.end().await?;
    case.expect(took <= ENDS_WITHIN, || {
        format!("it took {} ms", took.as_millis())
    });
    let frame = socket.await.context("the socket panicked")??;
    let code = frame.map(|frame| frame.code);
    let is_restart = matches!(code, Some(CloseCode::Restart | CloseCode::Away));
    case.expect(is_restart, || {
        format!("the socket was closed with {code:?}")
    });
    let (mut acknowledged, mut unanswered) = (Vec::new(), Vec::new());
    while let Some(caller) = callers.join_next().await {
        let (done, not) = caller.context("a caller panicked")?;
        acknowledged.extend(done);
        unanswered.extend(not);
    }
    case.happened(1, u64::from(lost.load(Ordering::SeqCst)).min(1));
    case.needs(is_loaded, "there was hardly any load");
    let node = Node::start(&data, &site).await?;
    let caller = Caller::of(&node);
    let mut missing = 0;
    for key in &acknowledged {
        let (status, replayed) = caller.buy(key).await?;
        missing += usize::from(status != StatusCode::CREATED || !replayed);
    }
    case.expect(missing == 0, || {
        format!(
            "{missing} of {} acknowledged purchases are gone",
            acknowledged.len()
        )
    });
    for key in &unanswered {
        let (status, _) = caller.buy(key).await?;
        case.expect(status == StatusCode::CREATED, || format!("{key}: {status}"));
    }
    node.end().await?;
    case.checked(format!(
        "ended after {} ms; {} acknowledged purchases are there, {} without an answer were decided by their key; sockets closed with {code:?}",
        took.as_millis(),
        acknowledged.len(),
        unanswered.len(),
    ));
    Ok(case)
}
