//! How the house is: what Mission Control draws.

use super::Operations;
use crate::firehose::Stream;
use crate::ledger::read::witness::{Outbox, outbox};
use crate::ledger::transaction::{Counters, Durations};
use crate::live::Hub;
use crate::local::regions::RegionsStatus;
use crate::proof::Line;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the database may take to say what waits: while it is away, everything else is told.
const OUTBOX_WITHIN: Duration = Duration::from_secs(1);

/// What the vitals are read from.
#[derive(Clone)]
pub struct Sources {
    /// The node's sockets.
    pub hub: Arc<Hub>,
    /// The table's stream, as this node takes part in it.
    pub stream: Stream,
    /// Since when the node runs.
    pub begun: Instant,
}

/// How the house is at one moment. Counters only grow; whoever draws them takes differences.
#[derive(Clone, Debug, Serialize)]
pub struct Vitals {
    /// Milliseconds since the node began.
    pub at_ms: u64,
    /// Transactions that this node and its run have committed.
    pub committed: u64,
    /// Tries that were repeated, by cause.
    pub retries: BTreeMap<String, u64>,
    /// COMMITs whose outcome was unknown at first.
    pub unknown_commits: u64,
    /// Sockets that are open.
    pub sockets: u64,
    /// Which of the database's endpoints commands begin at.
    pub database: String,
    /// How the stream goes.
    pub stream: String,
    /// What waits to be published; `None` if the database did not answer.
    pub outbox: Option<Outbox>,
    /// The Regions behind the gates, if there are any.
    pub regions: Option<RegionsStatus>,
    /// The run that goes on, if one does.
    pub run: Option<String>,
    /// How long half of the commands that were committed since the last look took, and all but one
    /// in a hundred, in milliseconds; `None` if there were none.
    pub latency: Option<(f64, f64)>,
    /// For each bucket of stock by its number: tries that took units from it and were committed, and
    /// tries that lost a race.
    pub buckets: Vec<(u64, u64)>,
    /// What was committed last, the newest first.
    pub tail: Vec<Line>,
}

impl Sources {
    /// A look, with the latency since `before`.
    pub(super) async fn look(&self, operations: &Operations, before: Durations) -> Vitals {
        // First, so that everything else is of one moment.
        let waits = operations.ledger.runner();
        let waits = waits.read(|tx| Box::pin(outbox(tx)));
        let waits = tokio::time::timeout(OUTBOX_WITHIN, waits).await;
        let counters = counters(operations);
        let took = counters.took.since(&before);
        Vitals {
            at_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            committed: counters.committed,
            unknown_commits: counters.unknown_commits,
            retries: counters.retries,
            sockets: self.hub.counters.sockets.get(),
            database: operations.ledger.standing().to_string(),
            stream: self.stream.status().to_string(),
            outbox: waits.ok().and_then(Result::ok),
            regions: operations.gates.as_ref().map(|gates| gates.status()),
            run: operations.runs.running(),
            latency: took.percentile(50).zip(took.percentile(99)),
            buckets: counters.buckets.map(|it| (it.committed, it.lost)).to_vec(),
            tail: operations.runs.watch().tail(),
        }
    }
}

/// What the node and the kernels of its run have counted together.
pub(super) fn counters(operations: &Operations) -> Counters {
    let mut counters = operations.ledger.counters();
    counters.add(&operations.runs.watch().counters());
    counters
}
