//! Nodes for a swarm: the API's routes on a socket of the loopback, in this process, or in one of its
//! own that can be killed.

use crate::api::limits::Quotas;
use crate::api::{self, Api};
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::ledger::endpoint::Endpoints;
use crate::webhooks::guard::Policy;
use anyhow::Context;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// What a child says once it answers; its address follows.
const READY: &str = "api on ";

/// How long a child may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The API on a socket of its own. It ends when this is dropped.
pub struct ApiNode {
    /// Where it answers.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl ApiNode {
    /// Serves over a kernel, without quotas.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub async fn start(ledger: &Arc<Ledger>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = api::routes(Api::new(Arc::clone(ledger), Policy::default(), Quotas::OFF));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the API of a swarm ended");
            }
        });
        Ok(Self { address, serving })
    }
}

impl Drop for ApiNode {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The API in a process of its own, which ends at the latest when this is dropped.
pub struct ChildNode {
    /// Where it answers.
    pub address: SocketAddr,
    child: Child,
}

impl ChildNode {
    /// Starts this very program as a node over a PostgreSQL; port 0 takes a free one.
    ///
    /// # Errors
    /// When it cannot be started, or does not answer in time.
    pub async fn start(database_url: &str, address: SocketAddr, pool: u32) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(program)
            .args(["api-node", "--addr", &address.to_string()])
            .args(["--pool", &pool.to_string()])
            // Not among the arguments, which everybody on the machine can read.
            .env("DATABASE_URL", database_url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting a node")?;
        let address = address_of(&mut child, READY, READY_WITHIN).await?.parse()?;
        Ok(Self { address, child })
    }

    /// Kills it at once, as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub async fn kill(mut self) -> anyhow::Result<SocketAddr> {
        use std::os::unix::process::ExitStatusExt as _;
        self.child.start_kill().context("killing a node")?;
        let status = self.child.wait().await?;
        let signal = status.signal();
        anyhow::ensure!(signal == Some(9), "a node ended by itself: {status}");
        Ok(self.address)
    }
}

/// Waits until a node says that it answers, and reads on for as long as it lives, so that it never
/// waits for somebody to hear what else it says. The address is what follows `ready` on its line.
///
/// # Errors
/// When it ends, or does not answer in time.
pub async fn address_of(
    child: &mut Child,
    ready: &str,
    within: Duration,
) -> anyhow::Result<String> {
    let stdout = child.stdout.take().context("a node's output")?;
    let mut lines = BufReader::new(stdout).lines();
    let answers = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(address) = line.strip_prefix(ready) {
                return Ok(address.to_owned());
            }
        }
        anyhow::bail!("a node ended before it answered")
    };
    let address = tokio::time::timeout(within, answers).await;
    let address = address.context("a node did not answer in time")??;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(address)
}

/// The child's side: serves until it is killed.
///
/// # Errors
/// When the database or the port cannot be used.
pub async fn run_api_node(
    database_url: &str,
    address: SocketAddr,
    pool: u32,
    say: fn(&str),
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    let endpoints = Endpoints::postgres(database_url, pool).await?;
    let ledger = Ledger::new(endpoints, Arc::new(Clock::new()), |_events| {});
    let api = Api::new(ledger, Policy::default(), Quotas::OFF);
    say(&format!("{READY}{}", listener.local_addr()?));
    Ok(axum::serve(listener, api::routes(api)).await?)
}
