//! How far the store keeps transactions apart, while connections are cut at COMMIT and COMMITs are
//! refused: it must keep snapshot isolation, and be seen to allow what serializability forbids.

use super::super::history::{Operation, Reply, Step as Recorded, isolation};
use super::super::race::{Answered, Heard, Tally};
use super::super::report::Scenario;
use super::super::trial::Trial;
use super::super::{Stage, history};
use super::Name;
use crate::ids;
use crate::ledger::Ledger;
use crate::ledger::proof_lists::{MakeLists, Step, Transact};
use crate::local::gate::{Conflict, Fault};
use anyhow::Context;
use app::ports::Failure;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

/// Lists: few, so that transactions meet.
const LISTS: i64 = 5;

/// Clients at each kernel, and what each of them does.
const CLIENTS: usize = 6;
const TRANSACTIONS: usize = 60;

/// What goes wrong at both gates, each so many times in a hundred COMMITs.
const FAULTS: [Fault; 3] = [
    Fault::LostBeforeCommit { percent: 4 },
    Fault::LostCommit { percent: 4 },
    Fault::CommitConflict {
        percent: 4,
        conflict: Conflict::Rows,
    },
];

/// Reads of one or two lists and an append to another one: two of them that read each other's list
/// are the write skew that snapshot isolation allows.
fn steps(random: &mut StdRng, value: i64) -> Vec<Step> {
    let list = random.random_range(0..LISTS);
    let other = |by: i64| (list + by) % LISTS;
    let mut steps = vec![Step::Read {
        list: other(random.random_range(1..LISTS)),
    }];
    if random.random_bool(0.3) {
        steps.push(Step::Read { list });
    }
    steps.push(Step::Append { list, value });
    steps
}

fn recorded(steps: &[Step]) -> Vec<Recorded> {
    let one = |step: &Step| match *step {
        Step::Append { list, value } => Recorded::Append { key: list, value },
        Step::Read { list } => Recorded::Read { key: list },
    };
    steps.iter().map(one).collect()
}

/// One client: its transactions one after another, with its history.
struct Appender {
    kernel: Arc<Ledger>,
    client: history::Client,
    random: StdRng,
    place: usize,
    run: Uuid,
}

impl Appender {
    async fn go(mut self, begun: Instant) -> anyhow::Result<Vec<Answered>> {
        let mut all = Vec::new();
        for n in 0..TRANSACTIONS {
            let value = i64::try_from(self.place * TRANSACTIONS + n)?;
            let steps = steps(&mut self.random, value);
            all.push(self.transact(begun, steps).await?);
        }
        Ok(all)
    }

    async fn transact(&mut self, begun: Instant, steps: Vec<Step>) -> anyhow::Result<Answered> {
        let sent = begun.elapsed();
        let operation = Operation::Transact {
            steps: recorded(&steps),
        };
        let call = self.client.invoke(operation)?;
        let run = self.run;
        let done = self.kernel.runner().run(Transact { run, steps }).await;
        let heard = match done {
            Ok(ran) => {
                let reply = Reply::Lists {
                    lists: ran.answer.clone().unwrap_or_default(),
                };
                match ran.answer {
                    Some(_lists) => call.ok(1, reply.clone())?,
                    None => call.unknown(1, "done, but what it read was lost")?,
                }
                Ok(Heard {
                    answer: Ok(()),
                    reply,
                    replayed: false,
                    attempts: ran.attempts,
                })
            }
            Err(failure) => {
                match failure {
                    Failure::Unavailable => call.fail(1, failure.to_string())?,
                    Failure::Unknown | Failure::KeyReused => {
                        call.unknown(1, failure.to_string())?
                    }
                }
                Err(failure)
            }
        };
        Ok(Answered {
            key: ids::key(),
            place: self.place,
            sent,
            answered: begun.elapsed(),
            sends: 1,
            heard,
        })
    }
}

/// Transactions read and append at two Regions while COMMITs are lost, before and after they took
/// effect, and refused.
pub(super) async fn store_isolation(stage: &Stage) -> anyhow::Result<Scenario> {
    let regions = stage.regions().await?;
    let kernels = &regions.kernels;
    let run = ids::event().uuid();
    let lists = MakeLists { run, lists: LISTS };
    kernels.of(0).runner().run(lists).await?;
    let trial = Trial::begin(Name::StoreIsolation.text(), stage, kernels)?;
    regions.set(&FAULTS)?;
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for place in 0..CLIENTS * kernels.nodes.len() {
        let seed = stage.settings.seed.wrapping_add(u64::try_from(place)?);
        let appender = Appender {
            kernel: Arc::clone(kernels.of(place)),
            client: trial.recorder().client(),
            random: StdRng::seed_from_u64(seed),
            place,
            run,
        };
        tasks.spawn(appender.go(begun));
    }
    let mut tally = Tally::default();
    while let Some(done) = tasks.join_next().await {
        tally.all.extend(done.context("a client's task ended")??);
    }
    tally.elapsed = begun.elapsed();
    regions.gates.restore_all();
    let sent = u64::try_from(tally.all.len())?;
    let mut result = trial.outcome(Some(sent), &tally);
    result.needs_conflicts();
    for (name, fault) in ["COMMITs cut", "answers cut after COMMIT", "COMMITs refused"]
        .iter()
        .zip(&FAULTS)
    {
        let times = regions.seen(|counters| counters.effects_of(fault));
        result.needs(times > 0, "a fault never took effect");
        result.took_effect.insert((*name).to_owned(), times);
    }
    result.check("isolation", isolation::check(&trial.history()?));
    regions.close().await;
    Ok(result)
}
