use super::script::{Script, accepted, caught, key, passes, proves_nothing, refused};
use super::simulated::{Dice, System, run};
use crate::proof::history::bank::{self, Bank};
use crate::proof::history::{Account, History, Operation, Outcome, Reply, Verdict};
use proptest::prelude::*;

fn line(name: &str, free_minor: i64, held_minor: i64, version: i64) -> Account {
    Account {
        account: name.into(),
        free_minor,
        held_minor,
        spent_minor: 0,
        version: Some(version),
    }
}

fn wallets(lines: &[Account]) -> Reply {
    Reply::Wallets {
        accounts: lines.to_vec(),
    }
}

fn top_up(name: &str, amount_minor: i64) -> Operation {
    Operation::TopUp {
        key: key(name),
        account: "a".into(),
        amount_minor,
    }
}

fn check(script: &Script) -> Verdict {
    check_history(&script.history)
}

fn check_history(history: &History) -> Verdict {
    let bank = Bank {
        opening_minor: 100,
        least_reads: 2,
    };
    bank::check(history, &bank)
}

/// 100 in account a, of which 40 go to b between two reads.
fn moved() -> Script {
    let mut script = Script::default();
    script
        .done(
            1,
            Operation::ReadWallets,
            wallets(&[line("a", 90, 10, 1), line("b", 0, 0, 1)]),
        )
        .done(
            1,
            Operation::ReadWallets,
            wallets(&[line("a", 50, 10, 2), line("b", 40, 0, 2)]),
        );
    script
}

#[test]
fn a_right_bank_passes() {
    let mut script = moved();
    script
        .done(2, top_up("t", 5), accepted("tfr", None))
        .done(2, top_up("r", 900), refused("top_up_limit"))
        .done(
            1,
            Operation::ReadWallets,
            wallets(&[
                line("a", 55, 10, 3),
                line("b", 40, 0, 2),
                line("c", 0, 0, 1),
            ]),
        );
    let verdict = check(&script);
    passes(&verdict);
    let Verdict::Valid { coverage, .. } = verdict else {
        return;
    };
    assert_eq!((coverage["reads"], coverage["versions"]), (3, 6));
}

#[test]
fn money_that_appears_or_vanishes_is_caught() {
    for total in [45, 35] {
        let mut script = moved();
        let lines = [line("a", 50, 10, 2), line("b", total, 0, 3)];
        script.done(1, Operation::ReadWallets, wallets(&lines));
        caught(&check(&script), "in all accounts; 100 had come in");
    }
}

#[test]
fn a_negative_account_is_caught() {
    let mut script = moved();
    let lines = [line("a", -5, 10, 3), line("b", 95, 0, 3)];
    script.done(1, Operation::ReadWallets, wallets(&lines));
    caught(&check(&script), "a is negative: -5 free");
}

#[test]
fn a_torn_read_and_a_long_fork_are_caught() {
    let mut torn = moved();
    let lines = [line("a", 90, 10, 1), line("b", 40, 0, 2)];
    torn.done(1, Operation::ReadWallets, wallets(&lines));
    caught(&check(&torn), "140 minor units");
    // The sums are right: only versions tell that these two saw two moves in different orders.
    let mut fork = Script::default();
    let read = |free: [i64; 4], versions: [i64; 4]| {
        let names = ["a", "b", "c", "d"];
        let lines = names.iter().zip(free).zip(versions);
        let lines: Vec<_> = lines
            .map(|((it, free), version)| line(it, free, 0, version))
            .collect();
        wallets(&lines)
    };
    fork.invoke(1, Operation::ReadWallets)
        .invoke(2, Operation::ReadWallets)
        .ok(1, read([20, 30, 25, 25], [2, 2, 1, 1]))
        .ok(2, read([25, 25, 20, 30], [1, 1, 2, 2]));
    caught(&check(&fork), "no snapshots of one history");
}

#[test]
fn a_stale_read_and_two_contents_of_one_version_are_caught() {
    let mut stale = moved();
    let lines = [line("a", 90, 10, 1), line("b", 0, 0, 1)];
    stale.done(1, Operation::ReadWallets, wallets(&lines));
    caught(&check(&stale), "and is older now");
    let mut two = moved();
    let lines = [line("a", 49, 11, 2), line("b", 40, 0, 2)];
    two.done(1, Operation::ReadWallets, wallets(&lines));
    caught(&check(&two), "a has two contents at version 2");
    let mut gone = moved();
    gone.done(1, Operation::ReadWallets, wallets(&[line("a", 90, 10, 3)]));
    caught(&check(&gone), "b was read at version 2");
}

#[test]
fn a_top_up_counts_from_its_answer_on_and_may_count_from_its_invocation() {
    let with = |amount: i64, when: &str| {
        let mut script = moved();
        script.invoke(2, top_up("t", 5));
        match when {
            "before" => script.ok(2, accepted("tfr", None)),
            "unknown" => script.unknown(2),
            "failed" => script.fail(2),
            _ => &mut script,
        };
        let lines = [line("a", 50 + amount, 10, 3), line("b", 40, 0, 2)];
        script.done(1, Operation::ReadWallets, wallets(&lines));
        check(&script)
    };
    passes(&with(5, "before"));
    caught(&with(0, "before"), "105 had come in for certain");
    for open in ["beside", "unknown"] {
        passes(&with(5, open));
        passes(&with(0, open));
        caught(&with(3, open), "1 top-ups may have");
    }
    passes(&with(0, "failed"));
    caught(&with(5, "failed"), "100 had come in");
}

#[test]
fn too_little_is_invalid() {
    proves_nothing(&check(&Script::default()), "reads: 0");
    let mut still = Script::default();
    let lines = [line("a", 90, 10, 1)];
    for _ in 0..3 {
        still.done(1, Operation::ReadWallets, wallets(&lines));
    }
    proves_nothing(&check(&still), "states: 1");
}

/// Eight accounts; each read is preceded by a move between two of them.
struct Moving {
    accounts: Vec<Account>,
    dice: Dice,
}

impl System for Moving {
    fn next(&mut self, dice: &mut Dice, name: &str) -> Operation {
        if dice.chance(20) {
            top_up(name, 1 + i64::from(dice.small(50)))
        } else {
            Operation::ReadWallets
        }
    }

    fn apply(&mut self, operation: &Operation) -> Reply {
        if let Operation::TopUp { amount_minor, .. } = operation {
            self.accounts[0].free_minor += amount_minor;
            self.accounts[0].version = self.accounts[0].version.map(|it| it + 1);
            return accepted("tfr", None);
        }
        let from = usize::try_from(self.dice.below(8)).expect("an index");
        let to = (from + 1) % 8;
        let amount = self.accounts[from].free_minor / 2;
        for (place, by) in [(from, -amount), (to, amount)] {
            let account = &mut self.accounts[place];
            account.free_minor += by;
            account.version = account.version.map(|it| it + 1);
        }
        wallets(&self.accounts)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_bank_that_is_right_passes_and_a_penny_is_missed(seed: u64) {
        let mut accounts: Vec<_> = (0..8).map(|it| line(&format!("{it}"), 0, 0, 1)).collect();
        accounts[0].free_minor = 100;
        let mut system = Moving { accounts, dice: Dice(seed ^ 1) };
        let mut history = run(&mut system, &mut Dice(seed), 80, 5, 0);
        passes(&check_history(&history));
        let reads = history.ops.iter_mut().filter_map(|op| match &mut op.ended {
            Some(ended) => match &mut ended.outcome {
                Outcome::Ok(Reply::Wallets { accounts }) => Some(accounts),
                Outcome::Ok(_) | Outcome::Fail(_) | Outcome::Unknown(_) => None,
            },
            None => None,
        });
        let mut reads: Vec<_> = reads.collect();
        let middle = reads.len() / 2;
        // More than all top-ups in flight together can explain.
        reads[middle][3].free_minor += 1_000;
        caught(&check_history(&history), "minor units in all accounts");
    }

    #[test]
    fn lost_top_ups_are_tolerated(seed: u64) {
        let mut accounts: Vec<_> = (0..8).map(|it| line(&format!("{it}"), 0, 0, 1)).collect();
        accounts[0].free_minor = 100;
        let mut system = Moving { accounts, dice: Dice(seed ^ 1) };
        let history = run(&mut system, &mut Dice(seed), 80, 5, 10);
        passes(&check_history(&history));
    }
}
