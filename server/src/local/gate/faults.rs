//! What a gate is told to do wrong, and when it does it.

use super::counters::Counters;
use super::fault::{self, Conflict, Fault, FaultError, LoginRefusal, MAX_SLOW_MS};
use super::session::{CommitFault, Failure, Faults};
use governor::{DefaultDirectRateLimiter, Quota};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::VecDeque;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// One generator for each kind of decision, so that a draw of one shifts no other.
#[derive(Debug)]
struct Dice {
    commits: StdRng,
    statements: StdRng,
    delays: StdRng,
}

impl Dice {
    fn of(seed: u64) -> Self {
        let mut parent = StdRng::seed_from_u64(seed);
        Self {
            commits: StdRng::from_rng(&mut parent),
            statements: StdRng::from_rng(&mut parent),
            delays: StdRng::from_rng(&mut parent),
        }
    }
}

#[derive(Debug)]
struct Armed {
    /// In order, and one of a kind.
    faults: Vec<Fault>,
    /// Befalls the next COMMITs, before any percentage.
    commits: VecDeque<CommitFault>,
    /// How many statements there are up to the one that is cut off.
    cut_at: Option<u64>,
    seed: u64,
    dice: Dice,
    logins: Option<(DefaultDirectRateLimiter, LoginRefusal)>,
    /// When something was last set or taken back.
    since: Instant,
    open: u64,
    counters: Counters,
}

impl Armed {
    /// The faults that are set, without those like this one.
    fn others(&self, fault: Fault) -> Vec<Fault> {
        let others = self.faults.iter().filter(|set| !set.is_like(&fault));
        others.copied().collect()
    }

    /// The first fault that the function knows.
    fn find<T>(&self, known: impl Fn(Fault) -> Option<T>) -> Option<T> {
        self.faults.iter().copied().find_map(known)
    }

    /// What befalls a COMMIT by chance. Each draws once, so that the nth meets what the nth met
    /// before.
    fn chance_at_commit(&mut self) -> Option<CommitFault> {
        let mut roll: u8 = self.dice.commits.random_range(0..100);
        for fault in &self.faults {
            let (percent, befalls) = match *fault {
                Fault::LostBeforeCommit { percent } => (percent, CommitFault::CutBefore),
                Fault::LostCommit { percent } => (percent, CommitFault::CutAfter),
                Fault::CommitConflict { percent, conflict } => {
                    (percent, CommitFault::Fail(failure_of(conflict)))
                }
                Fault::Closed
                | Fault::Refusing
                | Fault::Hung
                | Fault::Mute
                | Fault::Slow { .. }
                | Fault::StatementConflict { .. }
                | Fault::NthStatementConflict { .. }
                | Fault::MaxAge { .. }
                | Fault::LoginRate { .. } => continue,
            };
            // The percentages share the hundred between them.
            match roll.checked_sub(percent) {
                Some(rest) => roll = rest,
                None => return Some(befalls),
            }
        }
        None
    }

    fn chance_at_statement(&mut self) -> Option<Conflict> {
        let roll: u8 = self.dice.statements.random_range(0..100);
        self.find(|fault| {
            if let Fault::StatementConflict { percent, conflict } = fault
                && roll < percent
            {
                Some(conflict)
            } else {
                None
            }
        })
    }

    /// Counts the statements up to the one that is to fail, and says why if this is it.
    fn at_nth_statement(&mut self) -> Option<Conflict> {
        let mut met = None;
        for fault in &mut self.faults {
            if let Fault::NthStatementConflict { nth, conflict } = fault {
                *nth = nth.saturating_sub(1);
                met = (*nth == 0).then_some(*conflict);
            }
        }
        if met.is_some() {
            let is_spent = |f: &Fault| matches!(f, Fault::NthStatementConflict { .. });
            self.faults.retain(|fault| !is_spent(fault));
        }
        met
    }
}

fn failure_of(conflict: Conflict) -> Failure {
    Failure {
        sqlstate: "40001".to_owned(),
        message: conflict.message(),
    }
}

/// What connections wait for or end at: they are told when it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    hung: bool,
    mute: bool,
    slow: Option<(Duration, Duration)>,
    max_age: Option<Duration>,
}

impl Standing {
    fn of(armed: &Armed) -> Self {
        let ms = Duration::from_millis;
        let slow = |fault| {
            if let Fault::Slow { from_ms, to_ms } = fault {
                Some((ms(from_ms), ms(to_ms)))
            } else {
                None
            }
        };
        let age = |fault| {
            if let Fault::MaxAge { ms: age } = fault {
                Some(ms(age))
            } else {
                None
            }
        };
        Self {
            hung: armed.faults.contains(&Fault::Hung),
            mute: armed.faults.contains(&Fault::Mute),
            slow: armed.find(slow),
            max_age: armed.find(age),
        }
    }
}

/// The state shared by the handle and all connections of a gate.
#[derive(Debug)]
pub struct Switchboard {
    armed: Mutex<Armed>,
    standing: watch::Sender<Standing>,
}

impl Switchboard {
    pub fn new(seed: u64) -> Self {
        let armed = Armed {
            faults: Vec::new(),
            commits: VecDeque::new(),
            cut_at: None,
            seed,
            dice: Dice::of(seed),
            logins: None,
            since: Instant::now(),
            open: 0,
            counters: Counters::default(),
        };
        Self {
            armed: Mutex::new(armed),
            standing: watch::Sender::default(),
        }
    }

    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts these faults in the place of everything that is armed; the generators start anew.
    pub fn set(&self, faults: &[Fault]) -> Result<(), FaultError> {
        fault::check_all(faults)?;
        self.replace(faults.to_vec());
        Ok(())
    }

    pub fn disarm(&self) {
        self.replace(Vec::new());
    }

    fn replace(&self, faults: Vec<Fault>) {
        let mut armed = self.armed();
        armed.commits.clear();
        armed.cut_at = None;
        armed.dice = Dice::of(armed.seed);
        self.apply(&mut armed, faults);
    }

    /// Adds a fault, in the place of one like it; the generators go on.
    pub fn add(&self, fault: Fault) -> Result<(), FaultError> {
        let mut armed = self.armed();
        let faults = [armed.others(fault), vec![fault]].concat();
        fault::check_all(&faults)?;
        self.apply(&mut armed, faults);
        Ok(())
    }

    /// Adds a fault that needs no check, or takes it back in whatever measure it is set.
    pub fn switch(&self, fault: Fault, on: bool) {
        let mut armed = self.armed();
        let mut faults = armed.others(fault);
        faults.extend(on.then_some(fault));
        self.apply(&mut armed, faults);
    }

    fn apply(&self, armed: &mut Armed, mut faults: Vec<Fault>) {
        // The order of percentages decides what a draw means: it is not that of asking.
        faults.sort_unstable();
        let limited = |faults: &[Fault]| faults.iter().copied().find(limits_logins);
        let limit = limited(&faults);
        // A limit that stays goes on where it is.
        if limited(&armed.faults) != limit {
            armed.logins = limit.and_then(limiter_of);
        }
        armed.faults = faults;
        armed.since = Instant::now();
        self.standing.send_replace(Standing::of(armed));
    }

    pub fn faults(&self) -> Vec<Fault> {
        self.armed().faults.clone()
    }

    /// Starts the generators from another seed, now and with every [`Self::set`].
    pub fn seed(&self, seed: u64) {
        let mut armed = self.armed();
        armed.seed = seed;
        armed.dice = Dice::of(seed);
    }

    pub fn arm_commits(&self, times: usize, fault: &CommitFault) {
        let faults = std::iter::repeat_n(fault, times).cloned();
        self.armed().commits.extend(faults);
    }

    pub fn arm_cut(&self, nth: u64) {
        self.armed().cut_at = Some(nth);
    }

    pub fn since(&self) -> Instant {
        self.armed().since
    }

    pub fn open(&self) -> u64 {
        self.armed().open
    }

    pub fn counters(&self) -> Counters {
        self.armed().counters
    }

    /// Counts a connection that arrives; it is let through while the answer lives.
    pub fn admit(&self) -> Option<Open<'_>> {
        let mut armed = self.armed();
        if armed.faults.contains(&Fault::Closed) || armed.faults.contains(&Fault::Refusing) {
            armed.counters.refused += 1;
            return None;
        }
        armed.counters.connections += 1;
        armed.open += 1;
        Some(Open(self))
    }

    /// Counts a login; a code refuses it.
    pub fn refuses_login(&self) -> Option<LoginRefusal> {
        let mut armed = self.armed();
        let (limiter, refusal) = armed.logins.as_ref()?;
        let refusal = *refusal;
        limiter.check().err()?;
        armed.counters.refused_logins += 1;
        Some(refusal)
    }

    pub fn was_cut(&self) {
        self.armed().counters.cut += 1;
    }

    /// Holds a client's message back for as long as the gate says; a delay is only for one that
    /// waits for an answer, as a batch travels at once.
    pub async fn hold(&self, awaits_answer: bool) {
        let delay = awaits_answer.then(|| self.delay()).flatten();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let counted = |counters: &mut Counters| counters.held += 1;
        self.wait_while(|standing| standing.hung, counted).await;
    }

    /// Holds the server's messages back while the gate is mute.
    pub async fn hold_answer(&self) {
        let counted = |counters: &mut Counters| counters.muted += 1;
        self.wait_while(|standing| standing.mute, counted).await;
    }

    async fn wait_while(&self, holds: fn(&Standing) -> bool, count: impl FnOnce(&mut Counters)) {
        // Nearly every message comes while nothing holds it.
        if !holds(&self.standing.borrow()) {
            return;
        }
        count(&mut self.armed().counters);
        let mut standing = self.standing.subscribe();
        // The sender lives as long as this very value.
        let _ = standing.wait_for(|standing| !holds(standing)).await;
    }

    fn delay(&self) -> Option<Duration> {
        let (from, to) = self.standing.borrow().slow?;
        let mut armed = self.armed();
        armed.counters.slowed += 1;
        Some(armed.dice.delays.random_range(from..=to))
    }

    /// Resolves when a connection of that birth has the age at which connections end.
    pub async fn aged(&self, born: Instant) {
        let mut standing = self.standing.subscribe();
        loop {
            let age = standing.borrow_and_update().max_age;
            let ends = async {
                match age {
                    Some(age) => tokio::time::sleep_until((born + age).into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = ends => break,
                // The sender lives as long as this very value: something has changed.
                _ = standing.changed() => {}
            }
        }
        self.armed().counters.cut_by_age += 1;
    }
}

fn limits_logins(fault: &Fault) -> bool {
    matches!(fault, Fault::LoginRate { .. })
}

/// The limiter that a fault asks for.
fn limiter_of(fault: Fault) -> Option<(DefaultDirectRateLimiter, LoginRefusal)> {
    let Fault::LoginRate {
        per_second,
        burst,
        refusal,
    } = fault
    else {
        return None;
    };
    let per_second = NonZeroU32::new(per_second)?;
    let burst = burst.map_or(Some(per_second), NonZeroU32::new)?;
    let quota = Quota::per_second(per_second).allow_burst(burst);
    Some((DefaultDirectRateLimiter::direct(quota), refusal))
}

/// A connection that is open.
#[derive(Debug)]
pub struct Open<'a>(&'a Switchboard);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut armed = self.0.armed();
        armed.open = armed.open.saturating_sub(1);
    }
}

impl Faults for Switchboard {
    fn at_commit(&self) -> Option<CommitFault> {
        let mut armed = self.armed();
        armed.counters.commits += 1;
        let chance = armed.chance_at_commit();
        let fault = armed.commits.pop_front().or(chance);
        match &fault {
            Some(CommitFault::CutBefore) => armed.counters.cut_before_commit += 1,
            Some(CommitFault::Fail(_)) => armed.counters.failed_commits += 1,
            // Counted when the answer has come.
            Some(CommitFault::CutAfter) | None => {}
        }
        fault
    }

    fn at_statement(&self) -> Option<Failure> {
        let mut armed = self.armed();
        armed.counters.statements += 1;
        let chance = armed.chance_at_statement();
        let conflict = armed.at_nth_statement().or(chance)?;
        armed.counters.failed_statements += 1;
        Some(failure_of(conflict))
    }

    fn cuts_statement(&self) -> bool {
        let mut armed = self.armed();
        let left = armed.cut_at.map(|nth| nth.saturating_sub(1));
        let is_it = left == Some(0);
        armed.cut_at = left.filter(|_| !is_it);
        armed.counters.cut_statements += u64::from(is_it);
        is_it
    }

    fn was_cut_after_commit(&self, applied: bool) {
        let mut armed = self.armed();
        armed.counters.cut_after_commit += 1;
        armed.counters.applied_then_cut += u64::from(applied);
    }
}

/// A delay as a fault: in whole milliseconds, and none that is [`Fault::Hung`] in truth.
pub fn always_slow(delay: Duration) -> Fault {
    let ms = u64::try_from(delay.as_millis()).map_or(MAX_SLOW_MS, |ms| ms.min(MAX_SLOW_MS));
    Fault::Slow {
        from_ms: ms,
        to_ms: ms,
    }
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
