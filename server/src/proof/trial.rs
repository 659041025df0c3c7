//! One race from before its first request to what is said of it: its history, the counters around
//! it, and observers that read money and lots meanwhile.

use super::history::{
    Account, Client, History, KeyEffect, LotState, Operation, Recorder, Reply, Verdict,
};
use super::race::{self, Ask, Heard, Shot, Tally};
use super::report::{Latency, Scenario};
#[cfg(feature = "local")]
use super::trouble::Trouble;
use super::{Kernels, Stage};
use crate::ids;
use crate::ledger::Ledger;
use crate::ledger::read::witness::{self, AccountRow, EffectRow};
use crate::ledger::transaction::Counters;
use anyhow::Context;
use app::ports::Failure;
use shared::{IdempotencyKey, LotId, MandateId, PrincipalId};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// From one look of an observer to its next.
const LOOK_PACE: Duration = Duration::from_millis(5);

/// What observers look at while a race goes on, each look in one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Whose wallets.
    pub people: Vec<PrincipalId>,
    /// Which budgets.
    pub mandates: Vec<MandateId>,
    /// Which lot's row.
    pub lot: Option<LotId>,
    /// From one look to the next, if not the usual time.
    pub pace: Option<Duration>,
}

/// What the final read of all effects looks at.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Whose bids and claims, by lot.
    pub lots: Vec<LotId>,
    /// Who asked for settlements.
    pub settlers: Vec<PrincipalId>,
    /// Whose top-ups.
    pub funded: Vec<PrincipalId>,
    /// Whose agents' purchases, and the keys they were sent under.
    pub purchases: Option<(PrincipalId, Vec<IdempotencyKey>)>,
}

/// What requests came to, by their answers.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Requests.
    pub offered: u64,
    /// Keys whose request was done.
    pub committed: u64,
    /// Keys whose request was refused, by code.
    pub refusals: BTreeMap<String, u64>,
    /// Answers beyond the first of each key.
    pub replayed: u64,
    /// Requests that were never decided.
    pub undecided: u64,
    /// Keys that heard different answers.
    pub contradicted: u64,
    /// Sends beyond the first of each request.
    pub resent: u64,
    /// Decided requests by the tries that it took, as far as that is known.
    pub tries: BTreeMap<u32, u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// How long a request took.
    pub latency_ms: Latency,
}

impl Sums {
    fn of(tally: &Tally) -> Self {
        Self {
            offered: u64::try_from(tally.all.len()).unwrap_or(u64::MAX),
            committed: tally.committed(),
            refusals: tally.refusals(),
            replayed: tally.replayed(),
            undecided: tally.undecided(),
            contradicted: tally.contradicted(),
            resent: tally.resent(),
            tries: tally.depths(),
            elapsed: tally.elapsed,
            latency_ms: Latency::of(tally.all.iter().map(|one| one.answered - one.sent)),
        }
    }
}

/// A race that is being watched.
pub struct Trial<'a> {
    name: &'static str,
    stage: &'a Stage,
    kernels: &'a Kernels,
    recorder: Recorder,
    file: PathBuf,
    before: Counters,
}

impl<'a> Trial<'a> {
    /// Begins the history of a scenario. The kernels are those that the race is sent to: a scenario
    /// with faults has its own.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn begin(
        name: &'static str,
        stage: &'a Stage,
        kernels: &'a Kernels,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&stage.histories).context("making the folder of the histories")?;
        let file = stage.histories.join(format!("{name}.jsonl"));
        Ok(Self {
            name,
            stage,
            kernels,
            recorder: Recorder::create(&file)?,
            file,
            before: counters(kernels),
        })
    }

    /// The history's writer.
    #[cfg(feature = "local")]
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Sends the requests, each by a client of its own, with what goes wrong beside them.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub async fn race<S, F, Sent>(&self, shots: Vec<Shot<S>>, send: F) -> anyhow::Result<Tally>
    where
        S: Ask,
        F: Fn(Arc<Ledger>, S) -> Sent + Clone + Send + Sync + 'static,
        Sent: Future<Output = Result<Heard, Failure>> + Send,
    {
        self.in_trouble(self.volley(shots, send)).await
    }

    /// Goes through something while what the run asked for goes wrong beside it.
    ///
    /// # Errors
    /// What it says.
    pub async fn in_trouble<T>(
        &self,
        race: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        #[cfg(feature = "local")]
        let trouble = self.stage.trouble.as_ref();
        #[cfg(feature = "local")]
        let _ongoing = trouble.map(Trouble::begin).transpose()?;
        race.await
    }

    /// Sends a part of a race's requests, each by a client of its own; who calls this sees to
    /// [`Trial::in_trouble`].
    ///
    /// # Errors
    /// When the history cannot be written.
    pub async fn volley<S, F, Sent>(&self, shots: Vec<Shot<S>>, send: F) -> anyhow::Result<Tally>
    where
        S: Ask,
        F: Fn(Arc<Ledger>, S) -> Sent + Clone + Send + Sync + 'static,
        Sent: Future<Output = Result<Heard, Failure>> + Send,
    {
        race::race(self.kernels, Some(&self.recorder), shots, send).await
    }

    /// [`Trial::race`] with an observer at each kernel, which also looks before and afterwards.
    ///
    /// # Errors
    /// When the history cannot be written, or the last look fails.
    pub async fn race_observed<S, F, Sent>(
        &self,
        observed: &Observed,
        shots: Vec<Shot<S>>,
        send: F,
    ) -> anyhow::Result<Tally>
    where
        S: Ask,
        F: Fn(Arc<Ledger>, S) -> Sent + Clone + Send + Sync + 'static,
        Sent: Future<Output = Result<Heard, Failure>> + Send,
    {
        self.observe(observed, self.race(shots, send)).await
    }

    /// Looks again and again until something is over, by kernels that no fault stands in the way of;
    /// and at the end once more, there and by the kernels of the race.
    ///
    /// # Errors
    /// What it says, or when the history cannot be written.
    pub async fn observe<T>(
        &self,
        observed: &Observed,
        until: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let nodes = &self.stage.kernels.nodes;
        let mut clients: Vec<Client> = nodes.iter().map(|_| self.recorder.client()).collect();
        for (kernel, client) in nodes.iter().zip(&mut clients) {
            look(kernel, client, observed).await?;
        }
        let looks = async {
            // Ends by a failure only.
            loop {
                for (kernel, client) in nodes.iter().zip(&mut clients) {
                    look(kernel, client, observed).await?;
                }
                tokio::time::sleep(observed.pace.unwrap_or(LOOK_PACE)).await;
            }
        };
        let looks = async {
            let failed: anyhow::Result<Infallible> = looks.await;
            failed.map(|never| match never {})
        };
        let done = tokio::select! {
            failed = looks => return failed,
            done = until => done?,
        };
        for kernel in nodes.iter().chain(&self.kernels.nodes) {
            // Their clients may have been in the middle of a look.
            look(kernel, &mut self.recorder.client(), observed).await?;
        }
        Ok(done)
    }

    /// Reads every effect that the keys have, from the rows; answers how many there are.
    ///
    /// # Errors
    /// When the ledger cannot answer, or the history cannot be written.
    pub async fn read_effects(&self, of: Effects) -> anyhow::Result<u64> {
        let mut client = self.recorder.client();
        let call = client.invoke(Operation::ReadEffects)?;
        let by_key = of.purchases.clone().map(|(tenant, keys)| {
            let ids = keys
                .into_iter()
                .map(|key| (ids::purchase(tenant, &key), key));
            (tenant, ids.collect::<BTreeMap<_, _>>())
        });
        let tenant = by_key.as_ref().map(|(tenant, _)| *tenant);
        let runner = self.kernels.of(1).runner();
        let rows = runner.read(move |tx| {
            let of = of.clone();
            Box::pin(async move {
                let mut rows = witness::effects(tx, &of.lots).await?;
                rows.extend(witness::settlements(tx, &of.settlers).await?);
                rows.extend(witness::top_ups(tx, &of.funded).await?);
                let bought = match tenant {
                    Some(tenant) => witness::purchases(tx, tenant).await?,
                    None => Vec::new(),
                };
                Ok((rows, bought))
            })
        });
        let (rows, bought) = rows.await?;
        let mut effects = Vec::new();
        for EffectRow { key, effect } in rows {
            let key = key.map_or_else(|| nobodys(&effect), IdempotencyKey::try_from);
            let key = key.context("a key in the ledger that is none")?;
            effects.push(KeyEffect { key, effect });
        }
        for purchase in bought {
            let effect = purchase.to_string();
            let known = by_key.as_ref().and_then(|(_, keys)| keys.get(&purchase));
            let key = known.cloned().map_or_else(|| nobodys(&effect), Ok);
            let key = key.context("a key in the ledger that is none")?;
            effects.push(KeyEffect { key, effect });
        }
        let found = u64::try_from(effects.len())?;
        call.ok(1, Reply::Effects { effects })?;
        Ok(found)
    }

    /// The history so far.
    ///
    /// # Errors
    /// When it cannot be written or read back.
    pub fn history(&self) -> anyhow::Result<History> {
        self.recorder.flush()?;
        History::read(&self.file).context("reading the history back")
    }

    /// What the race came to, before its rows are looked at: how many were to be accepted, if that
    /// follows from the set-up.
    #[must_use]
    pub fn outcome(&self, expected: Option<u64>, tally: &Tally) -> Scenario {
        self.outcome_of(expected, Sums::of(tally))
    }

    /// [`Trial::outcome`] of requests that were counted as they were answered.
    #[must_use]
    pub fn outcome_of(&self, expected: Option<u64>, sums: Sums) -> Scenario {
        let (before, after) = (&self.before, counters(self.kernels));
        let since = |cause: &String, count: &u64| count - before.retries.get(cause).unwrap_or(&0);
        let retries_by_cause: BTreeMap<String, u64> = after
            .retries
            .iter()
            .map(|(cause, count)| (cause.clone(), since(cause, count)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let Sums {
            offered,
            committed,
            undecided,
            contradicted,
            ..
        } = sums;
        let expected = expected.unwrap_or(committed);
        let mut scenario = Scenario {
            name: self.name,
            offered,
            committed,
            expected,
            refused: sums.refusals.values().sum(),
            replayed: sums.replayed,
            false_declines: expected.saturating_sub(committed),
            violations: 0,
            conflicts: after.conflicts() - before.conflicts(),
            retries: after.all_retries() - before.all_retries(),
            resent: sums.resent,
            unknown_commits: after.unknown_commits - before.unknown_commits,
            elapsed_ms: u64::try_from(sums.elapsed.as_millis()).unwrap_or(u64::MAX),
            latency_ms: sums.latency_ms,
            rounds: 1,
            valid: true,
            seed: self.stage.settings.seed,
            refusals: sums.refusals,
            retries_by_cause,
            tries: sums.tries,
            took_effect: BTreeMap::new(),
            figures: BTreeMap::new(),
            history: self.file.clone(),
            checks: BTreeMap::new(),
            findings: Vec::new(),
        };
        scenario.expect(undecided == 0, || {
            format!("{undecided} requests were never decided")
        });
        scenario.expect(contradicted == 0, || {
            format!("{contradicted} keys heard two different answers")
        });
        let sum = scenario.committed + scenario.refused + scenario.replayed + undecided;
        scenario.expect(offered == sum, || {
            format!("{offered} offered, but {sum} were answered")
        });
        let declined = scenario.false_declines;
        scenario.expect(declined == 0, || {
            format!("{declined} were declined although they could be met")
        });
        scenario
    }
}

/// An effect that no key of the run says it made: the checker of keys accuses it.
fn nobodys(effect: &str) -> Result<IdempotencyKey, <IdempotencyKey as TryFrom<String>>::Error> {
    IdempotencyKey::try_from(format!("nobodys-{effect}"))
}

/// One look at everything.
async fn look(
    ledger: &Arc<Ledger>,
    client: &mut Client,
    observed: &Observed,
) -> anyhow::Result<()> {
    if !(observed.people.is_empty() && observed.mandates.is_empty()) {
        look_at_accounts(ledger, client, observed).await?;
    }
    if let Some(lot) = observed.lot {
        look_at_lot(ledger, client, lot).await?;
    }
    Ok(())
}

async fn look_at_accounts(
    ledger: &Arc<Ledger>,
    client: &mut Client,
    observed: &Observed,
) -> anyhow::Result<()> {
    let call = client.invoke(Operation::ReadWallets)?;
    let (people, mandates) = (observed.people.clone(), observed.mandates.clone());
    let read = ledger.runner().read(move |tx| {
        let (people, mandates) = (people.clone(), mandates.clone());
        Box::pin(async move { witness::accounts(tx, &people, &mandates).await })
    });
    let (wallets, budgets) = match read.await {
        Ok(rows) => rows,
        // A read has no effect, so one without an answer did nothing.
        Err(failure) => return Ok(call.fail(1, failure.to_string())?),
    };
    let wallets = wallets
        .into_iter()
        .map(|row| account(PrincipalId::from_uuid(row.id).to_string(), &row));
    let budgets = budgets
        .into_iter()
        .map(|row| account(MandateId::from_uuid(row.id).to_string(), &row));
    let accounts = wallets.chain(budgets).collect();
    Ok(call.ok(1, Reply::Wallets { accounts })?)
}

fn account(account: String, row: &AccountRow) -> Account {
    Account {
        account,
        free_minor: row.free_minor,
        held_minor: row.held_minor,
        spent_minor: row.spent_minor,
        version: row.version,
    }
}

async fn look_at_lot(ledger: &Arc<Ledger>, client: &mut Client, lot: LotId) -> anyhow::Result<()> {
    let call = client.invoke(Operation::ReadLot { lot })?;
    let read = ledger
        .runner()
        .read(move |tx| Box::pin(witness::lot(tx, lot)));
    let row = match read.await {
        Ok(row) => row.context("the lot is gone")?,
        Err(failure) => return Ok(call.fail(1, failure.to_string())?),
    };
    let state = LotState {
        version: row.version,
        high_minor: row.high_minor,
        units_left: row.units_left.map(u32::try_from).transpose()?,
        closed: row.closed,
    };
    let epoch = row.epoch;
    Ok(call.ok(1, Reply::Lot { epoch, state })?)
}

/// The counters of all kernels together.
pub fn counters(kernels: &Kernels) -> Counters {
    let mut sum = Counters::default();
    for node in &kernels.nodes {
        sum.add(&node.counters());
    }
    sum
}

impl Scenario {
    /// Notes what a checker says of the history. A history that breaks a rule is a violation for
    /// each finding; one that proves nothing makes the run prove nothing.
    pub fn check(&mut self, checker: &'static str, verdict: Verdict) {
        match &verdict {
            Verdict::Valid { .. } => {}
            Verdict::Violated { findings, more } => {
                let found = u64::try_from(findings.len()).unwrap_or(u64::MAX);
                self.violations = self.violations.saturating_add(found).saturating_add(*more);
                for finding in findings {
                    let what = &finding.what;
                    self.findings
                        .push(format!("the history, by {checker}: {what}"));
                }
            }
            Verdict::Invalid { why } => self.needs(false, &format!("{checker}: {why}")),
        }
        self.checks.insert(checker, verdict);
    }

    /// Counts a violation unless `holds`.
    pub fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations += 1;
            self.findings.push(otherwise());
        }
    }

    /// Makes the run prove nothing unless `holds`: what should have been tried was not.
    pub fn needs(&mut self, holds: bool, otherwise: &str) {
        if !holds {
            self.valid = false;
            self.findings.push(otherwise.to_owned());
        }
    }

    /// A race in which no two transactions met proves nothing.
    pub fn needs_conflicts(&mut self) {
        self.needs(
            self.conflicts > 0,
            "no conflict: the race did not take place",
        );
    }

    /// Whatever was refused must have been refused for one of these reasons.
    pub fn only_refused_as(&mut self, codes: &[&str]) {
        let others: u64 = self
            .refusals
            .iter()
            .filter(|(code, _)| !codes.contains(&code.as_str()))
            .map(|(_, count)| count)
            .sum();
        self.expect(others == 0, || {
            format!("{others} refusals are not {}", codes.join(" or "))
        });
    }
}
