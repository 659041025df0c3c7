//! Linearizability of one lot: is there one order of all operations, each somewhere between its
//! invocation and its answer, in which the rules give exactly these answers?
//!
//! The search is the library's (`todc-utils`: Wing and Gong's algorithm with Lowe's cache). What
//! is added here:
//!
//! - An unknown operation gets its answer after everything else, so it may take effect at any
//!   time after it was sent; taking effect last is the same as never, since nothing looks any more.
//! - The library has no bound of its own. The rules stop saying yes when the budget is spent; then
//!   nothing fits, the search unwinds, and the run is failed: never passed.
//! - Rules look ahead where that is sound. An unknown operation cannot have got the version or the
//!   units that an acknowledged one has. Answers that change nothing (reads, refusals) and speak of
//!   one state are taken in the order in which they were asked for, and all of them before that
//!   state is left: any order of them is as good, and trying all subsets would never end.
//! - A history that no order explains is cut at the first answer that cannot be explained:
//!   linearizability holds for every prefix of a history for which it holds.

mod english;
mod stock;

pub use english::EnglishTerms;
pub use stock::DropTerms;

use super::read::{History, Moment, Op};
use super::verdict::{Check, Verdict};
use core::fmt::{Debug, Formatter};
use core::hash::Hash;
use core::marker::PhantomData;
use shared::LotId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use todc_utils::{Action, Specification, WGLChecker};

/// The most operations of a lot that are searched (`reliability.md`, section 7). Each step of the
/// search looks through them, so 2,000 take some seconds.
pub const MAX_OPS: usize = 2_000;

/// Memory for the cache of partial orders, in bytes. The library keeps one byte for each
/// invocation and each answer in every one of them: 2,000 operations leave room for 64,000.
const MAX_CACHE_BYTES: u64 = 256 * 1024 * 1024;

/// Operations listed beside the one that cannot be explained.
const MAX_NEIGHBOURS: usize = 12;

/// How long a search may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most operations, at most [`MAX_OPS`].
    pub max_ops: usize,
    /// Time for the whole check. After it the run is failed, not passed.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_ops: MAX_OPS,
            time: Duration::from_mins(1),
        }
    }
}

/// Checks bids, reads and closes of an English lot.
#[must_use]
pub fn english(history: &History, lot: LotId, terms: &EnglishTerms, limits: Limits) -> Verdict {
    check(&english::English::new(terms.clone()), history, lot, limits)
}

/// Checks claims, reads and closes of a drop.
///
/// Claims carry no version, so to prove that a history is wrong the search tries who came first:
/// it ends for some two hundred operations, ten at a time. Beyond that it says so, and
/// [`super::drop::check`] is the checker.
#[must_use]
pub fn drop(history: &History, lot: LotId, terms: DropTerms, limits: Limits) -> Verdict {
    check(&stock::Stock::new(terms), history, lot, limits)
}

/// What a lot does, as a state machine.
trait Rules: Sized + 'static {
    /// The lot's state; the default is its state before the first operation.
    type State: Clone + Eq + Hash + Debug + Default;
    /// An operation and its answer.
    type Step: Clone + Debug;

    /// The operation as a step; `None` if it changed nothing and says nothing, `Err` if the model
    /// lacks it.
    fn step(&self, op: &Op) -> Result<Option<Self::Step>, String>;

    /// The same operation without its answer; `None` if it then changes nothing for certain.
    fn forget(step: &Self::Step) -> Option<Self::Step>;

    /// These rules, knowing everything that will have happened in the end. The steps are in the
    /// order in which they were asked for, and are told their places among their like.
    fn facing(&self, steps: &mut [Self::Step]) -> Self;

    /// The state after the step, `None` if it cannot happen in this state.
    fn apply(&self, step: &Self::Step, state: &Self::State) -> Option<Self::State>;

    /// Figures for the coverage.
    fn count(check: &mut Check, steps: &[&Self::Step]);
}

/// A step, and when it may have taken effect.
struct Timed<'a, S> {
    op: &'a Op,
    step: S,
    done: Option<Moment>,
}

fn check<R: Rules>(rules: &R, history: &History, lot: LotId, limits: Limits) -> Verdict {
    let mut timed = Vec::new();
    let mut keys = BTreeSet::new();
    for op in &history.ops {
        if op.operation.lot() != Some(lot) || op.failed() {
            continue;
        }
        if let Some(key) = op.operation.key()
            && !keys.insert(key)
        {
            return Verdict::invalid(format!("key {key} was used by two operations"));
        }
        match rules.step(op) {
            Ok(Some(step)) => timed.push(Timed {
                op,
                step,
                done: op.done(),
            }),
            Ok(None) => {}
            Err(why) => return Verdict::invalid(format!("{why}: {op}")),
        }
    }
    let most = limits.max_ops.min(MAX_OPS);
    if timed.len() > most {
        let count = timed.len();
        return Verdict::invalid(format!("{count} operations, {most} can be searched"));
    }
    let mut check = Check::default();
    check.looked_at(timed.len());
    let steps: Vec<&R::Step> = timed.iter().map(|it| &it.step).collect();
    R::count(&mut check, &steps);
    check.count("overlaps", overlaps(&timed));
    check.require("overlaps", 1);
    let deadline = Instant::now().checked_add(limits.time);
    match search(rules, &timed, deadline) {
        Found::Order => check.finish(),
        Found::Nothing => {
            explain(rules, &timed, deadline, &mut check);
            check.finish()
        }
        Found::OutOfBudget => Verdict::invalid("the search did not end within its budget"),
    }
}

/// Operations that began before the one before them was done.
fn overlaps<S>(timed: &[Timed<'_, S>]) -> usize {
    let pairs = timed.iter().zip(timed.iter().skip(1));
    pairs.filter(|(a, b)| !a.op.precedes(b.op)).count()
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Order,
    Nothing,
    OutOfBudget,
}

/// What a search may still use, shared by every step it tries.
#[derive(Debug)]
struct Budget {
    deadline: Option<Instant>,
    states: AtomicU64,
    spent: AtomicBool,
}

impl Budget {
    fn new(deadline: Option<Instant>, ops: usize) -> Self {
        let bytes = u64::try_from(ops).unwrap_or(u64::MAX).saturating_mul(2);
        Self {
            deadline,
            states: AtomicU64::new(MAX_CACHE_BYTES / bytes.max(1)),
            spent: AtomicBool::new(false),
        }
    }

    fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    fn is_left(&self) -> bool {
        let late = self.deadline.is_none_or(|at| Instant::now() >= at);
        if late || self.states.load(Ordering::Relaxed) == 0 {
            self.spent.store(true, Ordering::Relaxed);
        }
        !self.is_spent()
    }

    fn take_state(&self) {
        let left = self.states.load(Ordering::Relaxed);
        self.states.store(left.saturating_sub(1), Ordering::Relaxed);
    }
}

/// One step as the library tries it.
struct Attempt<R: Rules> {
    step: R::Step,
    rules: Arc<R>,
    budget: Arc<Budget>,
}

impl<R: Rules> Clone for Attempt<R> {
    fn clone(&self) -> Self {
        Self {
            step: self.step.clone(),
            rules: Arc::clone(&self.rules),
            budget: Arc::clone(&self.budget),
        }
    }
}

impl<R: Rules> Debug for Attempt<R> {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        self.step.fmt(f)
    }
}

/// The rules as the library wants them.
struct Sequential<R>(PhantomData<R>);

impl<R: Rules> Specification for Sequential<R> {
    type State = R::State;
    type Operation = Attempt<R>;

    fn init() -> Self::State {
        R::State::default()
    }

    fn apply(attempt: &Self::Operation, state: &Self::State) -> (bool, Self::State) {
        let budget = &attempt.budget;
        if !budget.is_left() {
            return (false, state.clone());
        }
        match attempt.rules.apply(&attempt.step, state) {
            Some(next) => {
                budget.take_state();
                (true, next)
            }
            None => (false, state.clone()),
        }
    }
}

fn search<R: Rules>(rules: &R, timed: &[Timed<'_, R::Step>], deadline: Option<Instant>) -> Found {
    if timed.is_empty() {
        return Found::Order;
    }
    let mut steps: Vec<R::Step> = timed.iter().map(|it| it.step.clone()).collect();
    let rules = Arc::new(rules.facing(&mut steps));
    let budget = Arc::new(Budget::new(deadline, timed.len()));
    let end = Moment {
        line: u64::MAX,
        at_ns: u64::MAX,
    };
    // Each operation is a process of its own, which is all that the library asks of processes.
    let mut actions = Vec::with_capacity(timed.len().saturating_mul(2));
    for (process, (it, step)) in timed.iter().zip(steps).enumerate() {
        let attempt = Attempt {
            step,
            rules: Arc::clone(&rules),
            budget: Arc::clone(&budget),
        };
        let call = Action::Call(attempt.clone());
        actions.push((it.op.invoked, process, call));
        actions.push((it.done.unwrap_or(end), process, Action::Response(attempt)));
    }
    actions.sort_by_key(|(at, _, _)| *at);
    let actions = actions.into_iter().map(|(_, process, it)| (process, it));
    let history = todc_utils::History::from_actions(actions.collect());
    let linearizable = WGLChecker::<Sequential<R>>::is_linearizable(history);
    match (linearizable, budget.is_spent()) {
        (true, _) => Found::Order,
        (false, false) => Found::Nothing,
        (false, true) => Found::OutOfBudget,
    }
}

/// The history up to a moment: what was not answered by then is unknown.
fn until<'a, R: Rules>(timed: &[Timed<'a, R::Step>], cut: Moment) -> Vec<Timed<'a, R::Step>> {
    let begun = timed.iter().filter(|it| it.op.invoked < cut);
    let known = |it: &Timed<'a, R::Step>| it.done.is_some_and(|done| done <= cut);
    begun
        .filter_map(|it| {
            let known = known(it);
            Some(Timed {
                op: it.op,
                step: if known {
                    it.step.clone()
                } else {
                    R::forget(&it.step)?
                },
                done: it.done.filter(|_| known),
            })
        })
        .collect()
}

/// Finds the first answer that no order explains, and names it with its neighbours.
fn explain<R: Rules>(
    rules: &R,
    timed: &[Timed<'_, R::Step>],
    deadline: Option<Instant>,
    check: &mut Check,
) {
    let mut cuts: Vec<(Moment, &Op)> = timed
        .iter()
        .filter_map(|it| Some((it.done?, it.op)))
        .collect();
    cuts.sort_by_key(|(at, _)| *at);
    // Up to `low` answers can be explained, up to `high` cannot. A search that does not end
    // counts as explained, so that what is named is proven.
    let (mut low, mut high) = (0, cuts.len());
    while low + 1 < high {
        let middle = low.midpoint(high);
        let Some((cut, _)) = middle.checked_sub(1).and_then(|at| cuts.get(at)) else {
            break;
        };
        match search(rules, &until::<R>(timed, *cut), deadline) {
            Found::Nothing => high = middle,
            Found::Order | Found::OutOfBudget => low = middle,
        }
    }
    let Some((cut, culprit)) = high.checked_sub(1).and_then(|at| cuts.get(at)) else {
        check.violated("no order explains the answers", &[]);
        return;
    };
    let before = timed.iter().filter(|it| it.op.precedes(culprit));
    let last_before = before.max_by_key(|it| it.done).map(|it| it.op);
    let beside = timed.iter().map(|it| it.op).filter(|op| {
        op.number != culprit.number
            && op.invoked < *cut
            && !op.precedes(culprit)
            && op.done().is_none_or(|done| done > culprit.invoked)
    });
    let mut proof = vec![*culprit];
    proof.extend(last_before);
    proof.extend(beside.take(MAX_NEIGHBOURS));
    check.violated(
        format!(
            "no order explains the first {high} answers, and the last of them is the first that \
             has none; the answer before it and those beside it follow"
        ),
        &proof,
    );
}
