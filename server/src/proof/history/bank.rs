//! The bank: reads of all wallets while money moves between them.
//!
//! Every read is one snapshot, so in each of them the money is all there: what was there at the
//! start and the top-ups that were done by then, no more and no less. A top-up that overlaps the
//! read, or whose outcome is unknown, may be in it. Versions of the rows say more than sums: of
//! two snapshots one is the earlier in every row, or they are no snapshots of one history (a long
//! fork); and a read that began after another one ended sees no older row.

use super::operation::{Account, Operation, Reply};
use super::read::{History, Moment, Op};
use super::verdict::{Check, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// Sums that the top-ups in flight can make, at most, in one read. Beyond it the sum is only
/// checked against the least and the most that is possible, and the read counted as such.
const MAX_SUMS: usize = 4_096;

/// What a bank is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Bank {
    /// Everything in all accounts before the run, in minor units.
    pub opening_minor: i64,
    /// Reads that are needed for the check to mean something.
    pub least_reads: u64,
}

impl Bank {
    /// The usual reads of a race that begins with so much, in minor units.
    #[must_use]
    pub const fn of(opening_minor: i64) -> Self {
        Self {
            opening_minor,
            least_reads: 4,
        }
    }
}

/// A read of all accounts.
struct Read<'a> {
    op: &'a Op,
    done: Moment,
    accounts: &'a [Account],
    /// The versions of the rows that have one.
    versions: BTreeMap<&'a str, i64>,
}

/// A top-up that was done, or may have been.
struct TopUp<'a> {
    op: &'a Op,
    amount: i128,
    done: Option<Moment>,
}

/// Checks every read of all wallets.
#[must_use]
pub fn check(history: &History, bank: &Bank) -> Verdict {
    let mut check = Check::default();
    let mut reads = Vec::new();
    let mut top_ups = Vec::new();
    for op in history.ops.iter().filter(|op| !op.failed()) {
        match (&op.operation, op.reply()) {
            (Operation::TopUp { .. }, Some(Reply::Refused { .. })) => {}
            (Operation::TopUp { amount_minor, .. }, _) => top_ups.push(TopUp {
                op,
                amount: i128::from(*amount_minor),
                done: op.done(),
            }),
            (Operation::ReadWallets, Some(Reply::Wallets { accounts })) => {
                let Some(done) = op.done() else { continue };
                let versions = accounts
                    .iter()
                    .filter_map(|it| Some((it.account.as_str(), it.version?)));
                reads.push(Read {
                    op,
                    done,
                    accounts,
                    versions: versions.collect(),
                });
            }
            (_, _) => continue,
        }
        check.looked_at(1);
    }
    check.count("reads", reads.len());
    check.count("top-ups", top_ups.len());
    let states: BTreeSet<_> = reads.iter().map(|it| state(it)).collect();
    check.count("states", states.len());
    for read in &reads {
        amounts(read, &mut check);
    }
    sums(&reads, top_ups, bank, &mut check);
    snapshots(&mut reads, &mut check);
    recency(&mut reads, &mut check);
    check.require("reads", bank.least_reads.max(2));
    // Reads of money that never moves prove nothing.
    check.require("states", 2);
    check.finish()
}

/// All amounts of a read, in order of account.
fn state<'a>(read: &Read<'a>) -> BTreeSet<(&'a str, [i64; 3])> {
    let lines = read.accounts.iter();
    lines.map(|it| (it.account.as_str(), parts(it))).collect()
}

const fn parts(account: &Account) -> [i64; 3] {
    [account.free_minor, account.held_minor, account.spent_minor]
}

/// No account is negative in any part, or there twice.
fn amounts(read: &Read<'_>, check: &mut Check) {
    let mut names = BTreeSet::new();
    for it in read.accounts {
        if parts(it).iter().any(|part| *part < 0) {
            let [free, held, spent] = parts(it);
            let name = &it.account;
            check.violated(
                format!("{name} is negative: {free} free, {held} held, {spent} spent"),
                &[read.op],
            );
        }
        if !names.insert(&it.account) {
            check.violated(format!("{} is there twice", it.account), &[read.op]);
        }
    }
}

/// The money is all there, in every read.
fn sums(reads: &[Read<'_>], mut top_ups: Vec<TopUp<'_>>, bank: &Bank, check: &mut Check) {
    check.count("reads by range only", 0);
    // Unknown ones last, as they are never certain.
    top_ups.sort_by_key(|it| (it.done.is_none(), it.done));
    let mut running = i128::from(bank.opening_minor);
    let mut certain = vec![running];
    for it in top_ups.iter().filter(|it| it.done.is_some()) {
        running = running.saturating_add(it.amount);
        certain.push(running);
    }
    for read in reads {
        let count = top_ups.partition_point(|it| it.op.precedes(read.op));
        let least = certain.get(count).copied().unwrap_or(running);
        let in_flight = top_ups.iter().skip(count);
        let in_flight: Vec<&TopUp<'_>> = in_flight.filter(|it| it.op.invoked < read.done).collect();
        let total = read.accounts.iter().flat_map(parts).map(i128::from);
        let total = total.fold(0, i128::saturating_add);
        let possible = reachable(least, &in_flight);
        let is_possible = possible.as_ref().map_or_else(
            || {
                let most = in_flight.iter().map(|it| it.amount).sum::<i128>();
                (least..=least.saturating_add(most)).contains(&total)
            },
            |sums| sums.contains(&total),
        );
        if possible.is_none() {
            check.count("reads by range only", 1);
        }
        if !is_possible {
            let mut proof = vec![read.op];
            proof.extend(in_flight.iter().take(3).map(|it| it.op));
            let uncertain = in_flight.len();
            check.violated(
                format!(
                    "{total} minor units in all accounts; {least} had come in for certain, and \
                     {uncertain} top-ups may have"
                ),
                &proof,
            );
        }
    }
}

/// Every total that is possible; `None` if there are too many.
fn reachable(least: i128, in_flight: &[&TopUp<'_>]) -> Option<BTreeSet<i128>> {
    let mut sums = BTreeSet::from([least]);
    for it in in_flight {
        let with: Vec<i128> = sums
            .iter()
            .map(|sum| sum.saturating_add(it.amount))
            .collect();
        sums.extend(with);
        if sums.len() > MAX_SUMS {
            return None;
        }
    }
    Some(sums)
}

/// Reads are snapshots of one history: sorted by age, each row only ever gets newer.
fn snapshots(reads: &mut [Read<'_>], check: &mut Check) {
    reads.sort_by_cached_key(|it| {
        let age: i128 = it
            .versions
            .values()
            .map(|version| i128::from(*version))
            .sum();
        (age, it.versions.len(), it.op.invoked)
    });
    let mut rows: BTreeMap<(&str, i64), ([i64; 3], &Op)> = BTreeMap::new();
    check.count("versions", 0);
    for read in reads.iter() {
        for it in read.accounts {
            let Some(version) = it.version else { continue };
            let row = rows.entry((it.account.as_str(), version));
            let (first, by) = row.or_insert_with(|| (parts(it), read.op));
            if *first != parts(it) {
                let name = &it.account;
                check.violated(
                    format!("{name} has two contents at version {version}"),
                    &[*by, read.op],
                );
            }
        }
    }
    check.count("versions", rows.len());
    for (earlier, later) in reads.iter().zip(reads.iter().skip(1)) {
        if let Some(row) = newer_in(&earlier.versions, &later.versions) {
            check.violated(
                format!("no snapshots of one history: of these two reads neither is the earlier in every row ({row})"),
                &[earlier.op, later.op],
            );
        }
    }
}

/// The first row that is newer in `earlier`, or is missing in `later`.
fn newer_in<'a>(earlier: &BTreeMap<&'a str, i64>, later: &BTreeMap<&str, i64>) -> Option<&'a str> {
    let older = |(row, version): (&&'a str, &i64)| {
        let is_older = later.get(*row).is_none_or(|it| it < version);
        is_older.then_some(*row)
    };
    earlier.iter().find_map(older)
}

/// A read sees every row at least as new as any read that ended before it began.
fn recency(reads: &mut [Read<'_>], check: &mut Check) {
    let mut by_end: Vec<&Read<'_>> = reads.iter().collect();
    by_end.sort_by_key(|it| it.done);
    let mut by_start: Vec<&Read<'_>> = reads.iter().collect();
    by_start.sort_by_key(|it| it.op.invoked);
    let mut ended = by_end.into_iter().peekable();
    let mut newest: BTreeMap<&str, (i64, &Op)> = BTreeMap::new();
    for read in by_start {
        while let Some(before) = ended.next_if(|it| it.done < read.op.invoked) {
            for (row, version) in &before.versions {
                let known = newest.entry(row).or_insert((*version, before.op));
                if known.0 < *version {
                    *known = (*version, before.op);
                }
            }
        }
        let stale = newest
            .iter()
            .find(|(row, (version, _))| read.versions.get(*row).is_none_or(|it| it < version));
        if let Some((row, (version, by))) = stale {
            check.violated(
                format!("{row} was read at version {version} before and is older now"),
                &[*by, read.op],
            );
        }
    }
}
