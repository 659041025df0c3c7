//! Every audit: A1 to A18 of the ledger, and A19, which asks both stores; on a schedule, and when
//! somebody asks.

use crate::firehose::{Firehose, FirehoseError};
use crate::ledger::Ledger;
use crate::ledger::audit;
use crate::ledger::audit::{Audit, Finding};
use crate::ledger::read::projections::{Projected, Projections, projections};
use app::ports::Failure;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::{StreamExt, TryStreamExt};
use http::{StatusCode, header};
use rand::Rng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Newest items, mandates and merchants that are compared, of each.
const MAX_COMPARED: i64 = 100;

/// Reads of the table at the same time.
const MAX_PARALLEL: usize = 16;

/// Rows of evidence that a finding lists.
const MAX_EVIDENCE: usize = 10;

/// Comparisons until the two stores agree: what is committed meanwhile is on its way.
const MAX_ROUNDS: u32 = 5;

/// From one comparison to the next.
const PAUSE: Duration = Duration::from_millis(300);

/// From one audit of the schedule to the next (`reliability.md`, section 6).
const EVERY: Duration = Duration::from_secs(60);

/// Up to so much later, so that the nodes of a house do not all read whole tables at once.
const JITTER: Duration = Duration::from_secs(10);

/// The least time between two audits, whoever asks for them.
const LEAST_PAUSE: Duration = Duration::from_secs(2);

/// After so long a result is stale: two audits of the schedule were missed.
const STALE_AFTER: Duration = Duration::from_secs(150);

/// A19 as it is listed beside the others.
pub const PROJECTIONS: Audit = Audit {
    id: "A19",
    invariant: "once everything is published, what readers see of the newest stock, budgets and balances is what the ledger has",
    query: "the sums of stock_buckets by item, mandate_buckets by mandate and payable legs by merchant, beside STOCK#, BUDGET# and BALANCE# of the table",
};

/// Runs every audit.
///
/// # Errors
/// When the ledger cannot answer. A table that does not answer leaves A19 unknown.
pub async fn run(ledger: &Ledger, firehose: &Firehose) -> Result<Vec<Finding>, Failure> {
    let mut findings = ledger.audit().await?;
    findings.push(compare(ledger, firehose).await?);
    Ok(findings)
}

async fn compare(ledger: &Ledger, firehose: &Firehose) -> Result<Finding, Failure> {
    let mut finding = Finding {
        audit: PROJECTIONS,
        violations: 0,
        evidence: Vec::new(),
        unknown: None,
    };
    for round in 1..=MAX_ROUNDS {
        let before = read(ledger).await?;
        let seen = match seen(firehose, &before).await {
            Ok(seen) => seen,
            Err(error) => {
                finding.unknown = Some(error.to_string());
                return Ok(finding);
            }
        };
        let differ = differing(&before, &read(ledger).await?, &seen);
        finding.violations = differ.len();
        finding.evidence = differ.into_iter().take(MAX_EVIDENCE).collect();
        finding.unknown = (before.unpublished > 0)
            .then(|| format!("{} events are not published yet", before.unpublished));
        if finding.unknown.is_none() && finding.violations == 0 {
            return Ok(finding);
        }
        if round < MAX_ROUNDS {
            tokio::time::sleep(PAUSE).await;
        }
    }
    if finding.unknown.is_some() {
        finding.violations = 0;
        finding.evidence.clear();
    }
    Ok(finding)
}

async fn read(ledger: &Ledger) -> Result<Projections, Failure> {
    let read = ledger.runner();
    let read = read.read(|tx| Box::pin(projections(tx, MAX_COMPARED)));
    read.await
}

async fn seen(
    firehose: &Firehose,
    wanted: &Projections,
) -> Result<BTreeMap<Projected, i64>, FirehoseError> {
    let reads = wanted.values.keys().map(async |projected| {
        let seen = match *projected {
            Projected::Stock(item) => firehose.stock(item).await?,
            Projected::Budget(mandate) => firehose.budget(mandate).await?,
            Projected::Balance(merchant, currency) => firehose.balance(merchant, currency).await?,
        };
        Ok((*projected, seen))
    });
    let reads = reads.collect::<Vec<_>>();
    futures::stream::iter(reads)
        .buffer_unordered(MAX_PARALLEL)
        .try_collect()
        .await
}

/// What readers see otherwise than the ledger, of what did not change meanwhile.
fn differing(
    before: &Projections,
    after: &Projections,
    seen: &BTreeMap<Projected, i64>,
) -> Vec<String> {
    let mut differ = Vec::new();
    for (projected, value) in &before.values {
        let changed = after.values.get(projected) != Some(value);
        let seen = seen.get(projected).copied().unwrap_or_default();
        if !changed && seen != *value {
            let what = match projected {
                Projected::Stock(item) => item.to_string(),
                Projected::Budget(mandate) => mandate.to_string(),
                Projected::Balance(merchant, _) => merchant.to_string(),
            };
            differ.push(format!("{what}: {value} in the ledger, {seen} for readers"));
        }
    }
    differ
}

/// The latest audits of this node.
pub struct Auditor {
    ledger: Arc<Ledger>,
    firehose: Firehose,
    latest: Mutex<Option<Audited>>,
    /// Held while audits run: one at a time.
    running: tokio::sync::Mutex<()>,
}

/// Audits that were run.
#[derive(Clone, Debug)]
struct Audited {
    ended: Instant,
    took: Duration,
    /// What they found, or why they could not be run.
    findings: Result<Vec<Finding>, Failure>,
}

/// How the house stands, by the latest audits. Never green when that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Every audit was run lately and found nothing.
    Ok,
    /// An invariant is broken.
    Broken,
    /// The audits were not run, or too long ago, or one of them could not tell.
    Unknown,
}

/// What is told of the latest audits.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    /// How the house stands.
    pub health: Health,
    /// How many milliseconds ago they ended; `None` if they never ran.
    pub age_ms: Option<u64>,
    /// How long they took, in milliseconds.
    pub took_ms: u64,
    /// Violations of all of them.
    pub violations: u64,
    /// Each audit with its query.
    pub audits: Vec<Finding>,
}

impl AuditReport {
    /// Whether the audits were run lately.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.age_ms.is_some_and(|age_ms| age_ms < ms(STALE_AFTER))
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Audited {
    fn report(&self) -> AuditReport {
        let audits = self.findings.clone().unwrap_or_default();
        let violations = audit::violations(&audits);
        let is_known = self.findings.is_ok() && audits.iter().all(|one| one.unknown.is_none());
        let health = match (violations, is_known && self.ended.elapsed() < STALE_AFTER) {
            (0, true) => Health::Ok,
            (0, false) => Health::Unknown,
            _ => Health::Broken,
        };
        AuditReport {
            health,
            age_ms: Some(ms(self.ended.elapsed())),
            took_ms: ms(self.took),
            violations: u64::try_from(violations).unwrap_or(u64::MAX),
            audits,
        }
    }
}

impl Auditor {
    /// An auditor that has not looked yet.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, firehose: Firehose) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            firehose,
            latest: Mutex::default(),
            running: tokio::sync::Mutex::default(),
        })
    }

    /// The latest result.
    #[must_use]
    pub fn report(&self) -> AuditReport {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().map_or_else(
            || AuditReport {
                health: Health::Unknown,
                age_ms: None,
                took_ms: 0,
                violations: 0,
                audits: Vec::new(),
            },
            Audited::report,
        )
    }

    fn is_fresh(&self) -> bool {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest
            .as_ref()
            .is_some_and(|it| it.ended.elapsed() < LEAST_PAUSE)
    }

    /// Runs every audit now, unless that has just been done. Whoever asks meanwhile hears the same.
    pub async fn run(&self) -> AuditReport {
        let running = self.running.lock().await;
        if !self.is_fresh() {
            let begun = Instant::now();
            let findings = run(&self.ledger, &self.firehose).await;
            alarm(&findings);
            let audited = Audited {
                ended: Instant::now(),
                took: begun.elapsed(),
                findings,
            };
            *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(audited);
        }
        drop(running);
        self.report()
    }

    /// Runs the audits on their schedule until cancelled.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let _told = self.run().await;
            let jitter = rand::rng().random_range(Duration::ZERO..=JITTER);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY + jitter) => {}
            }
        }
    }

    /// `GET /api/audits`: the latest. `POST`: run now.
    pub fn routes(self: &Arc<Self>) -> Router {
        let show = async |State(auditor): State<Arc<Self>>| answer(&auditor.report());
        let run = async |State(auditor): State<Arc<Self>>| {
            // In a task of its own: a browser that goes away does not stop it half-way.
            let run = tokio::spawn(async move { auditor.run().await });
            match run.await {
                Ok(report) => answer(&report),
                Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        };
        Router::new()
            .route("/api/audits", get(show).post(run))
            .with_state(Arc::clone(self))
    }
}

fn answer(report: &AuditReport) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

/// Drift must not wait until somebody looks.
fn alarm(findings: &Result<Vec<Finding>, Failure>) {
    match findings {
        Ok(findings) => {
            for finding in findings.iter().filter(|finding| finding.violations > 0) {
                let Finding {
                    audit,
                    violations,
                    evidence,
                    ..
                } = finding;
                let (id, invariant) = (audit.id, audit.invariant);
                tracing::error!(
                    id,
                    invariant,
                    violations,
                    ?evidence,
                    "AN INVARIANT IS BROKEN"
                );
            }
        }
        Err(failure) => tracing::warn!(%failure, "the audits could not be run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(violations: usize, unknown: Option<&str>) -> Finding {
        Finding {
            audit: PROJECTIONS,
            violations,
            evidence: Vec::new(),
            unknown: unknown.map(str::to_owned),
        }
    }

    #[test]
    fn unknown_or_stale_is_never_green() {
        let audited = |findings, age| Audited {
            ended: Instant::now().checked_sub(age).expect("a running machine"),
            took: Duration::from_millis(7),
            findings,
        };
        let lately = Duration::from_secs(1);
        let long_ago = STALE_AFTER + Duration::from_secs(1);
        let table = [
            (Ok(vec![finding(0, None)]), lately, Health::Ok),
            (Ok(vec![finding(0, None)]), long_ago, Health::Unknown),
            (Ok(vec![finding(0, Some("why"))]), lately, Health::Unknown),
            (Err(Failure::Unavailable), lately, Health::Unknown),
            (Ok(vec![finding(2, None)]), lately, Health::Broken),
            (Ok(vec![finding(2, Some("why"))]), long_ago, Health::Broken),
        ];
        for (findings, age, health) in table {
            let report = audited(findings.clone(), age).report();
            assert_eq!(report.health, health, "{findings:?} {age:?} ago");
        }
    }

    #[test]
    fn only_what_stayed_the_same_can_differ() {
        let stock = |n| {
            let item = shared::ItemId::from_uuid(uuid::Uuid::from_u128(n));
            Projected::Stock(item)
        };
        let ledger = |values: &[(u128, i64)]| Projections {
            unpublished: 0,
            values: values.iter().map(|(n, left)| (stock(*n), *left)).collect(),
        };
        let seen = ledger(&[(1, 5), (2, 7), (3, 1)]).values;
        let before = ledger(&[(1, 5), (2, 6), (3, 2), (4, 0)]);
        let after = ledger(&[(1, 5), (2, 7), (3, 2), (4, 0)]);
        let differ = differing(&before, &after, &seen);
        assert_eq!(differ.len(), 1, "{differ:?}");
        assert!(
            differ[0].ends_with("2 in the ledger, 1 for readers"),
            "{differ:?}"
        );
    }
}
