//! The same rush against an engine that reads and then writes. It oversells, and is caught: by the
//! rows, and by the history.

use super::super::Stage;
use super::super::history::{Operation, Reply, drop};
use super::super::race::{Ask, Heard, Shot};
use super::super::report::Scenario;
use super::super::trial::Trial;
use crate::ids;
use crate::ledger::{Ledger, naive};
use anyhow::Context;
use app::ports::Failure;
use shared::{IdempotencyKey, LotId};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what was read is believed: a replica that is behind, or a cache.
const LAG: Duration = Duration::from_millis(20);

/// What somebody read lately.
#[derive(Debug, Default)]
struct Replica(Mutex<Option<(Instant, i32)>>);

impl Replica {
    async fn available(&self, kernel: &Arc<Ledger>, lot: LotId) -> Result<i32, Failure> {
        let lately = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, seen)) = lately
            && at.elapsed() < LAG
        {
            return Ok(seen);
        }
        let read = kernel.runner();
        let read = read.read(move |tx| Box::pin(naive::available(tx, lot)));
        let seen = read.await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), seen));
        Ok(seen)
    }
}

/// A claim of one unit.
#[derive(Clone, Debug)]
struct Claim {
    lot: LotId,
    key: IdempotencyKey,
    replica: Arc<Replica>,
}

impl Ask for Claim {
    fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    fn operation(&self) -> Operation {
        Operation::Claim {
            key: self.key.clone(),
            lot: self.lot,
            units: 1,
        }
    }
}

impl Claim {
    async fn send(kernel: Arc<Ledger>, claim: Self) -> Result<Heard, Failure> {
        let Self { lot, replica, .. } = claim;
        let seen = replica.available(&kernel, lot).await?;
        if seen <= 0 {
            let reply = Reply::Refused {
                code: "sold_out".to_owned(),
                minimum_minor: None,
                units_left: Some(0),
            };
            return Ok(Heard {
                answer: Err("sold_out"),
                reply,
                replayed: false,
                attempts: 1,
            });
        }
        let claim = ids::claim();
        let ran = kernel
            .runner()
            .run(naive::Sell { lot, claim, seen })
            .await?;
        Ok(Heard {
            answer: Ok(()),
            reply: Reply::Accepted {
                effect: claim.to_string(),
                version: None,
            },
            replayed: false,
            attempts: ran.attempts,
        })
    }
}

/// N buyers rush K units of the naive engine.
pub(super) async fn oversell(stage: &Stage) -> anyhow::Result<Scenario> {
    let (kernels, settings) = (&stage.kernels, &stage.settings);
    let kernel = kernels.of(0);
    let prepared = naive::prepare(kernel.runner().endpoints()).await;
    prepared.context("making the naive engine's tables")?;
    let lot = ids::lot();
    let units = i32::try_from(settings.units)?;
    kernel.runner().run(naive::PutUp { lot, units }).await?;
    let replicas = [Arc::new(Replica::default()), Arc::new(Replica::default())];
    let mut shots = Vec::new();
    for place in 0..usize::try_from(settings.buyers)? {
        let what = Claim {
            lot,
            key: ids::key(),
            replica: Arc::clone(&replicas[place % replicas.len()]),
        };
        let after = Duration::ZERO;
        shots.push(Shot { place, after, what });
    }
    let trial = Trial::begin("oversell_naive", stage, kernels)?;
    let tally = trial.race(shots, Claim::send).await?;
    let expected = u64::from(settings.units.min(settings.buyers));
    let mut result = trial.outcome(Some(expected), &tally);
    result.check("drop", drop::check(&trial.history()?, lot, settings.units));
    let read = kernel.runner();
    let read = read.read(move |tx| Box::pin(naive::tally(tx, lot)));
    let (claims, left) = read.await?;
    let sold = u64::try_from(claims)?;
    result.expect(sold <= expected, || {
        format!(
            "{sold} units were sold, {expected} were there: oversold by {}",
            sold - expected
        )
    });
    result.expect(claims + i64::from(left) == i64::from(units), || {
        format!("{claims} were sold and {left} are left, of {units}")
    });
    let lost = i64::try_from(sold.saturating_sub(expected))?;
    result.figures.insert("units sold twice".to_owned(), lost);
    Ok(result)
}
