//! Clients that go away before they are answered: what they asked for is carried out all the same, and
//! once.

use super::super::history::{Operation, Reply, keys};
use super::super::report::{Latency, Scenario};
use super::super::stage::{PRICE_MINOR, cents, people};
use super::super::trial::{Effects, Sums, Trial};
use super::super::{Kernels, Stage};
use super::{Name, warm_up};
use crate::ids;
use crate::local::gate::Fault;
use anyhow::Context;
use app::ports::{Actor, Ledger as _};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shared::IdempotencyKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Clients, and how long the longest of them wait for an answer.
const CLIENTS: u32 = 300;
const LONGEST: Duration = Duration::from_millis(500);

/// How long each message to the database takes on its way, in milliseconds: most clients are gone
/// before their transaction is through.
const SLOW_MS: u64 = 5;

/// So many must be gone before they are answered.
const LEAST_GONE: u64 = 100;

/// How long what was begun may take to be done once everybody is gone.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// Clients top up their wallets and go away, as a browser does whose tab is closed.
pub(super) async fn client_vanishes(stage: &Stage) -> anyhow::Result<Scenario> {
    let regions = stage.regions().await?;
    let kernels = &regions.kernels;
    warm_up(kernels).await?;
    let clients = people(kernels, "client", CLIENTS).await?;
    let trial = Trial::begin(Name::ClientVanishes.text(), stage, kernels)?;
    let slow = Fault::Slow {
        from_ms: SLOW_MS,
        to_ms: SLOW_MS,
    };
    regions.set(&[slow])?;
    let keys: Vec<IdempotencyKey> = clients.iter().map(|_| ids::key()).collect();
    let begun = Instant::now();
    let seed = stage.settings.seed;
    let times = go_away(&trial, kernels, (&clients, &keys), seed).await?;
    let elapsed = begun.elapsed();
    let answered = times.iter().filter(|(answered, _)| *answered).count();
    let answered = u64::try_from(answered)?;
    let effects = Effects {
        funded: clients.iter().map(|client| client.person.id).collect(),
        ..Effects::default()
    };
    let settled = Instant::now();
    let mut done = 0;
    while done < u64::from(CLIENTS) && settled.elapsed() < SETTLES_WITHIN {
        tokio::time::sleep(Duration::from_millis(100)).await;
        done = count(stage, &effects).await?;
    }
    regions.gates.restore_all();
    let replayed = ask_again(&trial, kernels, &clients, &keys).await?;
    trial.read_effects(effects).await?;
    let sums = Sums {
        offered: 2 * u64::from(CLIENTS),
        committed: done,
        replayed,
        elapsed,
        latency_ms: Latency::of(times.iter().map(|(_, time)| *time)),
        ..Sums::default()
    };
    let mut result = trial.outcome_of(Some(u64::from(CLIENTS)), sums);
    let gone = u64::from(CLIENTS) - answered;
    result.needs(gone >= LEAST_GONE, "nearly everybody waited for the answer");
    let effect = ("clients gone before their answer".to_owned(), gone);
    result.took_effect = [effect].into();
    result.check("keys", keys::check(&trial.history()?));
    regions.close().await;
    Ok(result)
}

/// Everybody asks and goes away after a time of their own; whether each was answered before, and how
/// long they were there.
async fn go_away(
    trial: &Trial<'_>,
    kernels: &Kernels,
    (clients, keys): (&[Actor], &[IdempotencyKey]),
    seed: u64,
) -> anyhow::Result<Vec<(bool, Duration)>> {
    let amount = cents(PRICE_MINOR)?;
    let mut dice = StdRng::seed_from_u64(seed);
    let mut tasks = JoinSet::new();
    for (place, (actor, key)) in clients
        .iter()
        .cloned()
        .zip(keys.iter().cloned())
        .enumerate()
    {
        let kernel = Arc::clone(kernels.of(place));
        let patience = LONGEST.mul_f64(dice.random_range(0.0..1.0));
        let mut client = trial.recorder().client();
        tasks.spawn(async move {
            let begun = Instant::now();
            let call = client.invoke(Operation::TopUp {
                key: key.clone(),
                account: actor.person.id.to_string(),
                amount_minor: amount.minor(),
            })?;
            // A handler is dropped like this when its connection is gone.
            let Ok(answer) = timeout(patience, kernel.top_up(&actor, key, amount)).await else {
                call.unknown(1, "the client is gone")?;
                return anyhow::Ok((false, begun.elapsed()));
            };
            let done = answer?.outcome;
            done.map_err(|refusal| anyhow::anyhow!(refusal.sentence()))?;
            let effect = actor.person.id.to_string();
            let reply = Reply::Accepted {
                effect,
                version: None,
            };
            call.ok(1, reply)?;
            Ok((true, begun.elapsed()))
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.push(done.context("a client panicked")??);
    }
    Ok(times)
}

/// Everybody comes back and asks again under the same key; answers how many heard that it had been
/// done.
async fn ask_again(
    trial: &Trial<'_>,
    kernels: &Kernels,
    clients: &[Actor],
    keys: &[IdempotencyKey],
) -> anyhow::Result<u64> {
    let amount = cents(PRICE_MINOR)?;
    let mut replayed = 0;
    for (place, (actor, key)) in clients.iter().zip(keys).enumerate() {
        let mut client = trial.recorder().client();
        let call = client.invoke(Operation::TopUp {
            key: key.clone(),
            account: actor.person.id.to_string(),
            amount_minor: amount.minor(),
        })?;
        let answer = kernels.of(place).top_up(actor, key.clone(), amount).await?;
        let effect = actor.person.id.to_string();
        call.ok(
            1,
            Reply::Accepted {
                effect,
                version: None,
            },
        )?;
        replayed += u64::from(answer.replayed);
    }
    Ok(replayed)
}

/// Top-ups that are in the rows.
async fn count(stage: &Stage, effects: &Effects) -> anyhow::Result<u64> {
    let people = effects.funded.clone();
    let read = stage.kernels.of(0).runner().read(move |tx| {
        let people = people.clone();
        Box::pin(async move { crate::ledger::read::witness::top_ups(tx, &people).await })
    });
    Ok(u64::try_from(read.await?.len())?)
}
