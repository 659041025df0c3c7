//! What befalls a statement or a COMMIT: F1 to F4, F6 and F9.

use super::super::Stage;
use super::super::regions::Regions;
use super::super::scenarios::{Name, warm_up};
use super::deeds::{Deed, Kind, Told, Yard};
use super::{Case, Ground};
use crate::ledger::Ledger;
use crate::ledger::rehearsal;
use crate::local::gate::{Conflict, Fault, Gate};
use app::ports::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// No transaction has so many statements.
const MAX_STATEMENTS: u64 = 60;

/// So many of 100 statements fail where it is left to chance.
const CHANCE: u8 = 30;

/// So many of 100 COMMITs fail, from seldom to nearly always.
const COMMITS: [u8; 3] = [5, 30, 90];

/// Columns that are added while purchases are made, and the time between two.
const COLUMNS: u32 = 12;
const COLUMN_EVERY: Duration = Duration::from_millis(60);

/// SQLSTATEs at COMMIT after which a command is done all the same: lost races, and what says nothing
/// about the outcome, which is found by the key. (`dsql.md`, section 6)
const DONE_AFTER: [&str; 22] = [
    "40001", "40P01", "55P03", "23505", "XX000", "08006", "08003", "57P01", "57P02", "57P03",
    "57014", "53300", "53400", "53100", "28000", "28P01", "53200", "25P02", "0A000", "42601",
    "42P01", "99999",
];

/// SQLSTATEs that decide an abort for good: the command is given up, and has no effect.
const GIVEN_UP_AFTER: [&str; 3] = ["23503", "23514", "54000"];

/// What the faults of this file need: a kernel at home behind a gate, and one that nothing stands in
/// the way of.
struct Bench {
    stage: Stage,
    regions: Regions,
    seed: u64,
    deeds: AtomicU64,
}

impl Bench {
    async fn open(ground: &Ground) -> anyhow::Result<Self> {
        let stage = ground.stage().await?;
        let regions = stage.regions().await?;
        warm_up(&regions.kernels).await?;
        Ok(Self {
            stage,
            regions,
            seed: ground.seed,
            deeds: AtomicU64::default(),
        })
    }

    /// Sends a deed while a fault is at its gate. Setting a fault restarts the gate's dice, so each deed
    /// has a seed of its own: with one seed all of them would draw the same.
    async fn under(&self, fault: Fault, deed: &Deed) -> anyhow::Result<Result<Told, Failure>> {
        let gate = self.gate()?;
        let deeds = self.deeds.fetch_add(1, Ordering::Relaxed);
        gate.seed(self.seed.wrapping_add(deeds));
        gate.set(&[fault])?;
        let told = deed.send(self.kernel()).await;
        gate.disarm();
        Ok(told)
    }

    fn gate(&self) -> anyhow::Result<&Gate> {
        self.regions.gate()
    }

    fn kernel(&self) -> &Arc<Ledger> {
        self.regions.kernels.of(0)
    }

    async fn yard(&self) -> anyhow::Result<Yard<'_>> {
        Yard::new(&self.stage.kernels).await
    }

    async fn close(self, mut case: Case) -> anyhow::Result<Case> {
        case.audit(&self.stage).await?;
        self.regions.close().await;
        self.stage.kernels.close().await;
        Ok(case)
    }
}

/// Sends a deed under a fault: it must be done, once, and hear the same again.
async fn must_be_done(deed: &Deed, kernel: &Arc<Ledger>, case: &mut Case) {
    let told = match deed.send(kernel).await {
        Ok(told) => told,
        Err(failure) => return case.expect(false, || format!("{deed:?}: {failure}")),
    };
    case.expect(told.answer.is_ok() && !told.replayed, || {
        format!("{deed:?} was answered {told:?}")
    });
    must_be_repeated(deed, kernel, &told.answer, case).await;
}

/// Sends a deed again, without a fault: the same answer, from the key.
async fn must_be_repeated(
    deed: &Deed,
    kernel: &Arc<Ledger>,
    before: &Result<String, String>,
    case: &mut Case,
) {
    match deed.send(kernel).await {
        Ok(again) => case.expect(again.replayed && again.answer == *before, || {
            format!("{deed:?} was answered {before:?}, then {again:?}")
        }),
        Err(failure) => case.expect(false, || format!("{deed:?} again: {failure}")),
    }
}

/// Does something at each statement of each kind of transaction in turn, until a transaction has
/// fewer; answers how many there were.
async fn at_each_statement(
    bench: &Bench,
    case: &mut Case,
    arm: impl Fn(&Gate, u64),
    effects: impl Fn(&Gate) -> u64,
) -> anyhow::Result<u64> {
    let (yard, gate) = (bench.yard().await?, bench.gate()?);
    let mut places = 0;
    for kind in Kind::ALL {
        for nth in 1..=MAX_STATEMENTS {
            let deed = yard.deed(kind).await?;
            let before = effects(gate);
            arm(gate, nth);
            let told = deed.send(bench.kernel()).await;
            let happened = effects(gate) - before;
            gate.disarm();
            let is_done = matches!(&told, Ok(told) if told.answer.is_ok() && !told.replayed);
            case.expect(is_done, || format!("{kind:?}, statement {nth}: {told:?}"));
            if let Ok(told) = told {
                must_be_repeated(&deed, bench.kernel(), &told.answer, case).await;
            }
            if happened == 0 {
                break;
            }
            case.happened(1, happened);
            places += 1;
        }
    }
    Ok(places)
}

/// F1: 40001 at any statement, of any kind of transaction; then by chance.
pub async fn conflict_anywhere(ground: &Ground) -> anyhow::Result<Case> {
    let (bench, mut case) = (Bench::open(ground).await?, Case::default());
    let failed = |gate: &Gate| gate.counters().failed_statements;
    let before = bench.kernel().counters().all_retries();
    let arm = |gate: &Gate, nth| gate.fail_statement(nth);
    let places = at_each_statement(&bench, &mut case, arm, failed).await?;
    let retries = bench.kernel().counters().all_retries() - before;
    case.expect(retries == places, || {
        format!("{places} statements failed, {retries} tries were repeated")
    });
    case.checked(format!(
        "{places} places, each retried once, done once, and repeated by its key"
    ));
    let (yard, gate) = (bench.yard().await?, bench.gate()?);
    let chance = Fault::StatementConflict {
        percent: CHANCE,
        conflict: Conflict::Rows,
    };
    let before = failed(gate);
    for _ in 0..ground.times(10) {
        for kind in Kind::ALL {
            let deed = yard.deed(kind).await?;
            let told = bench.under(chance, &deed).await?;
            decided_or_without_effect(&deed, told, bench.kernel(), &mut case).await;
        }
    }
    let happened = failed(gate) - before;
    case.happened(happened, happened);
    bench.close(case).await
}

/// A deed under a fault that may be too much for it: done, or not at all, which its key tells.
async fn decided_or_without_effect(
    deed: &Deed,
    told: Result<Told, Failure>,
    kernel: &Arc<Ledger>,
    case: &mut Case,
) {
    match told {
        Ok(told) => {
            case.expect(told.answer.is_ok(), || format!("{deed:?}: {told:?}"));
            must_be_repeated(deed, kernel, &told.answer, case).await;
        }
        Err(Failure::Unavailable) => match deed.send(kernel).await {
            Ok(later) => case.expect(later.answer.is_ok() && !later.replayed, || {
                format!("{deed:?} was unavailable, then {later:?}")
            }),
            Err(failure) => case.expect(false, || format!("{deed:?} later: {failure}")),
        },
        Err(failure) => case.expect(false, || format!("{deed:?}: {failure}")),
    }
}

/// F2: 40001 at COMMIT, from seldom to nearly always: done, or given up without any effect.
pub async fn conflict_at_commit(ground: &Ground) -> anyhow::Result<Case> {
    let (bench, mut case) = (Bench::open(ground).await?, Case::default());
    let (yard, gate) = (bench.yard().await?, bench.gate()?);
    for percent in COMMITS {
        let fault = Fault::CommitConflict {
            percent,
            conflict: Conflict::Rows,
        };
        for _ in 0..ground.times(20) {
            for kind in Kind::ALL {
                let deed = yard.deed(kind).await?;
                let told = bench.under(fault, &deed).await?;
                decided_or_without_effect(&deed, told, bench.kernel(), &mut case).await;
            }
        }
        case.checked(format!(
            "{percent} of 100 COMMITs refused: done, or not at all"
        ));
    }
    let failed = gate.counters().failed_commits;
    case.happened(failed, failed);
    bench.close(case).await
}

/// F3: the catalogue changes: as DSQL says it, and really, by columns that are added in the middle of
/// a rush.
pub async fn catalogue(ground: &Ground) -> anyhow::Result<Case> {
    let (bench, mut case) = (Bench::open(ground).await?, Case::default());
    let (yard, gate) = (bench.yard().await?, bench.gate()?);
    let stale = Fault::StatementConflict {
        percent: CHANCE,
        conflict: Conflict::Catalogue,
    };
    for kind in Kind::ALL {
        let deed = yard.deed(kind).await?;
        let told = bench.under(stale, &deed).await?;
        decided_or_without_effect(&deed, told, bench.kernel(), &mut case).await;
    }
    let failed = gate.counters().failed_statements;
    case.happened(failed, failed);
    let mut stage = ground.stage().await?;
    let direct = ground.stage().await?;
    let endpoints = direct.kernels.of(0).runner().endpoints();
    let change = async {
        for number in 0..COLUMNS {
            tokio::time::sleep(COLUMN_EVERY).await;
            rehearsal::add_column(endpoints, number).await?;
        }
        anyhow::Ok(())
    };
    let names = [Name::RevokeAgainstSpend, Name::SameKey, Name::MandateBreach];
    let (report, changed) = tokio::join!(super::super::prove(&mut stage, &names, |_| {}), change);
    changed?;
    rehearsal::drop_columns(endpoints, COLUMNS).await?;
    case.take_in(&report?);
    case.happened(u64::from(COLUMNS), u64::from(COLUMNS));
    case.checked(format!("{COLUMNS} columns added while agents bought"));
    stage.kernels.close().await;
    direct.kernels.close().await;
    bench.close(case).await
}

/// F4: every SQLSTATE of the table at COMMIT has its consequence; what nobody knows fails closed.
pub async fn other_codes(ground: &Ground) -> anyhow::Result<Case> {
    let (bench, mut case) = (Bench::open(ground).await?, Case::default());
    let (yard, gate) = (bench.yard().await?, bench.gate()?);
    for code in DONE_AFTER {
        for kind in [Kind::TopUp, Kind::Bid, Kind::Purchase] {
            let deed = yard.deed(kind).await?;
            gate.fail_commit_with(1, code);
            must_be_done(&deed, bench.kernel(), &mut case).await;
            case.happened(1, 0);
        }
    }
    for code in GIVEN_UP_AFTER {
        for kind in [Kind::TopUp, Kind::Bid, Kind::Restock] {
            let deed = yard.deed(kind).await?;
            gate.fail_commit_with(1, code);
            let told = deed.send(bench.kernel()).await;
            let is_given_up = told == Err(Failure::Unavailable);
            case.expect(is_given_up, || format!("{code}, {kind:?}: {told:?}"));
            case.happened(1, 0);
            decided_or_without_effect(&deed, told, bench.kernel(), &mut case).await;
        }
    }
    case.happened(0, gate.counters().failed_commits);
    let (done, not) = (DONE_AFTER.len(), GIVEN_UP_AFTER.len());
    case.checked(format!(
        "{done} codes after which it is done, {not} after which it is not"
    ));
    bench.close(case).await
}

/// F6: COMMITs are cut on their way, and answers to COMMITs, which look alike: each deed is found by
/// its key, or made, once.
pub async fn lost_commits(ground: &Ground) -> anyhow::Result<Case> {
    let (bench, mut case) = (Bench::open(ground).await?, Case::default());
    let (yard, gate) = (bench.yard().await?, bench.gate()?);
    let each = ground.times(100);
    for kind in Kind::ALL {
        for number in 0..2 * each {
            let deed = yard.deed(kind).await?;
            if number % 2 == 0 {
                gate.cut_after_commit(1);
            } else {
                gate.cut_before_commit(1);
            }
            must_be_done(&deed, bench.kernel(), &mut case).await;
            case.happened(1, 0);
        }
    }
    let seen = gate.counters();
    case.happened(0, seen.applied_then_cut + seen.cut_before_commit);
    let kinds = u64::try_from(Kind::ALL.len())?;
    let least = u64::from(each) * kinds;
    case.needs(
        seen.applied_then_cut >= least && seen.cut_before_commit >= least,
        "too few COMMITs were cut",
    );
    case.checked(format!(
        "{each} COMMITs applied and {each} not, of each of {kinds} kinds: one effect, found by its key"
    ));
    let mut stage = ground.stage().await?;
    let report = super::super::prove(&mut stage, &[Name::LostCommit], |_| {}).await?;
    case.take_in(&report);
    stage.kernels.close().await;
    bench.close(case).await
}

/// F9: the connection is gone at any statement, of any kind of transaction: all of it or nothing.
pub async fn cut_anywhere(ground: &Ground) -> anyhow::Result<Case> {
    let (bench, mut case) = (Bench::open(ground).await?, Case::default());
    let arm = |gate: &Gate, nth| gate.cut_statement(nth);
    let cut = |gate: &Gate| gate.counters().cut_statements;
    let places = at_each_statement(&bench, &mut case, arm, cut).await?;
    case.checked(format!(
        "{places} places: all or nothing, done once, and repeated by its key"
    ));
    bench.close(case).await
}
