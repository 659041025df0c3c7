//! A node of the stream in this process: it listens for followers, and notes what it hears.
#![allow(dead_code, reason = "each test file uses what it needs")]

use server::clock::Clock;
use server::config::NodeUrl;
use server::firehose::{Firehose, FirehoseConfig, Role, Stream, StreamConfig, StreamItem};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A lease so short that a test need not wait long for its end.
pub const LEASE: Duration = Duration::from_millis(1_000);

/// How long something that happens by itself may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const TABLE: &str = "lotzero-test";

/// A firehose that goes through an endpoint.
pub async fn firehose(endpoint: &str) -> Firehose {
    let config = FirehoseConfig {
        table: TABLE.to_owned(),
        endpoint: Some(endpoint.to_owned()),
    };
    Firehose::connect(config, Arc::new(Clock::new())).await
}

/// A node.
pub struct StreamNode {
    pub name: &'static str,
    pub stream: Stream,
    /// Where the others reach it.
    pub url: Option<NodeUrl>,
    heard: Arc<Mutex<Vec<StreamItem>>>,
    cancel: CancellationToken,
    /// A runtime of its own: when it goes, everything of the node stops at once.
    runtime: Option<Runtime>,
}

impl StreamNode {
    /// Starts a node that speaks to the table through `endpoint`, and waits for its places.
    pub async fn start(name: &'static str, endpoint: &str) -> Self {
        let node = Self::start_unopened(name, endpoint).await;
        assert!(node.stream.open(PATIENCE).await, "{name} opens");
        node
    }

    pub async fn start_unopened(name: &'static str, endpoint: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let endpoint = endpoint.to_owned();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (ear, cancel) = (Arc::clone(&heard), CancellationToken::new());
        let stop = cancel.clone();
        let started = runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let url = NodeUrl::of_listener(address, true);
            let config = StreamConfig {
                node_url: url.clone(),
                lease_time: LEASE,
            };
            let (sender, mut items) = mpsc::channel(64);
            let stream = firehose(&endpoint).await.stream(config, sender);
            let routes = stream.routes();
            tokio::spawn(async move { axum::serve(listener, routes).await });
            tokio::spawn(stream.clone().run(stop));
            tokio::spawn(async move {
                while let Some(item) = items.recv().await {
                    ear.lock().expect("not poisoned").push(item);
                }
            });
            (stream, url)
        });
        let (stream, url) = started.await.expect("starts");
        Self {
            name,
            stream,
            url,
            heard,
            cancel,
            runtime: Some(runtime),
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.cancel.cancel();
    }

    pub fn leads(&self) -> bool {
        self.stream.status().role == Role::Leader
    }

    pub fn heard(&self) -> Vec<StreamItem> {
        self.heard.lock().expect("not poisoned").clone()
    }

    /// The texts of the messages heard so far, in order.
    pub fn texts(&self) -> Vec<String> {
        let heard = self.heard.lock().expect("not poisoned");
        let text = |item: &StreamItem| match item {
            StreamItem::Chat(_, message) => Some(message.text.clone()),
            StreamItem::Event(_)
            | StreamItem::Removed(..)
            | StreamItem::Slow(..)
            | StreamItem::CrowdChanged(_)
            | StreamItem::TotalsChanged(_)
            | StreamItem::Lost => None,
        };
        heard.iter().filter_map(text).collect()
    }

    /// How often it heard that something is lost.
    pub fn losses(&self) -> usize {
        let heard = self.heard.lock().expect("not poisoned");
        let lost = heard.iter().filter(|item| **item == StreamItem::Lost);
        lost.count()
    }
}

impl Drop for StreamNode {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until the answer is yes; says what it waited for if it never is.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}
