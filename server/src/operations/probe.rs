//! The cross-Region probe: what is written at one Region's endpoint is read at another's, and is the
//! same, after so many milliseconds.

use super::Refused;
use crate::clock::Clock;
use crate::ids;
use crate::ledger::Ledger;
use crate::ledger::endpoint::Endpoints;
use crate::ledger::proof_lists::{MakeLists, Step, Transact};
use crate::local::RegionalGates;
use crate::local::regions::RegionsError;
use app::ports::Failure;
use http::StatusCode;
use serde::Serialize;
use shared::Region;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Connections of a probe to each Region.
const POOL: u32 = 2;

/// Kernels that know one Region only, made when they are first needed: no failover hides what the
/// probe is to see.
#[derive(Default)]
pub struct Probe(Mutex<BTreeMap<Region, Arc<Ledger>>>);

/// What a probe saw.
#[derive(Clone, Debug, Serialize)]
pub struct Probed {
    /// Where it was written.
    pub write_region: Region,
    /// Where it was read.
    pub read_region: Region,
    /// What was written.
    pub wrote: i64,
    /// What was read.
    pub read: Option<i64>,
    /// Whether they are the same.
    pub equal: bool,
    /// How long the write took, in milliseconds.
    pub write_ms: f64,
    /// How long the read took, in milliseconds.
    pub read_ms: f64,
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn unavailable(region: Region) -> impl Fn(Failure) -> Refused {
    move |failure| {
        let detail = format!("{region} did not answer: {failure}");
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }
}

impl Probe {
    async fn kernel(&self, gates: &RegionalGates, region: Region) -> Result<Arc<Ledger>, Refused> {
        let mut kernels = self.0.lock().await;
        if let Some(kernel) = kernels.get(&region) {
            return Ok(Arc::clone(kernel));
        }
        let urls = gates.regions().zip(gates.urls());
        let url = urls.into_iter().find(|(known, _)| *known == region);
        let (_, url) = url.ok_or(RegionsError::UnknownRegion(region))?;
        let endpoints = Endpoints::postgres_at(&[url], POOL)
            .await
            .map_err(|error| {
                let detail = format!("{region} did not answer: {error}");
                Refused::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            })?;
        let kernel = Ledger::new(endpoints, Arc::new(Clock::new()), |_events| {});
        kernels.insert(region, Arc::clone(&kernel));
        Ok(kernel)
    }

    /// Writes at one Region and reads at the other.
    pub async fn between(
        &self,
        gates: &RegionalGates,
        write: Region,
        read: Region,
    ) -> Result<Probed, Refused> {
        let (writer, reader) = (
            self.kernel(gates, write).await?,
            self.kernel(gates, read).await?,
        );
        let run = ids::event().uuid();
        let lists = MakeLists { run, lists: 1 };
        let made = writer.runner().run(lists).await;
        made.map_err(unavailable(write))?;
        let value = i64::from(rand::random::<u32>());
        let begun = Instant::now();
        let append = Transact {
            run,
            steps: vec![Step::Append { list: 0, value }],
        };
        let wrote = writer.runner().run(append).await;
        wrote.map_err(unavailable(write))?;
        let write_ms = ms(begun.elapsed());
        let begun = Instant::now();
        let look = Transact {
            run,
            steps: vec![Step::Read { list: 0 }],
        };
        let seen = reader.runner().run(look).await;
        let seen = seen.map_err(unavailable(read))?.answer;
        let read_ms = ms(begun.elapsed());
        let lists = seen.into_iter().flatten().flatten();
        let seen: Vec<i64> = lists.collect();
        Ok(Probed {
            write_region: write,
            read_region: read,
            wrote: value,
            read: seen.first().copied(),
            equal: seen == [value],
            write_ms,
            read_ms,
        })
    }
}
