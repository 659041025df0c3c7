use super::*;

/// Longer than anything here takes, unless it waits for good.
const LONG: Duration = Duration::from_secs(10);

/// Long enough to see that something waits.
const A_MOMENT: Duration = Duration::from_millis(60);

fn board_with(faults: &[Fault]) -> Switchboard {
    let board = Switchboard::new(7);
    board.set(faults).expect("valid faults");
    board
}

fn conflict_at_commit(percent: u8) -> Fault {
    let conflict = Conflict::Catalogue;
    Fault::CommitConflict { percent, conflict }
}

fn conflict_at_statement(percent: u8) -> Fault {
    let conflict = Conflict::Rows;
    Fault::StatementConflict { percent, conflict }
}

fn nth(nth: u64) -> Fault {
    let conflict = Conflict::Catalogue;
    Fault::NthStatementConflict { nth, conflict }
}

fn logins(per_second: u32, burst: Option<u32>) -> Fault {
    Fault::LoginRate {
        per_second,
        burst,
        refusal: LoginRefusal::LimitExceeded,
    }
}

/// What befalls so many COMMITs and statements: a letter each.
fn history(board: &Switchboard, rounds: usize) -> String {
    let mut letters = String::new();
    for _ in 0..rounds {
        letters.push(match board.at_commit() {
            None => '.',
            Some(CommitFault::CutBefore) => 'b',
            Some(CommitFault::CutAfter) => 'a',
            Some(CommitFault::Fail(_)) => 'f',
        });
        letters.push(if board.at_statement().is_some() {
            's'
        } else {
            '-'
        });
    }
    letters
}

fn count(letters: &str, letter: char) -> u64 {
    letters.chars().filter(|l| *l == letter).count() as u64
}

async fn waits<T>(work: impl Future<Output = T>) -> bool {
    tokio::time::timeout(A_MOMENT, work).await.is_err()
}

#[test]
fn faults_come_in_the_order_they_were_armed_and_are_counted() {
    let board = Switchboard::new(0);
    board.arm_commits(2, &CommitFault::CutBefore);
    board.arm_commits(1, &CommitFault::Fail(Failure::of("54000")));
    assert_eq!(board.at_commit(), Some(CommitFault::CutBefore));
    assert_eq!(board.at_commit(), Some(CommitFault::CutBefore));
    let failed = Some(CommitFault::Fail(Failure::of("54000")));
    assert_eq!(board.at_commit(), failed);
    assert_eq!(board.at_commit(), None);
    let counters = board.counters();
    assert_eq!(counters.commits, 4);
    assert_eq!(counters.cut_before_commit, 2);
    assert_eq!(counters.failed_commits, 1);
}

#[test]
fn exactly_the_nth_statement_fails_and_is_then_not_set_any_more() {
    let board = board_with(&[nth(3)]);
    let first = board.at_statement();
    assert_eq!(board.faults(), [nth(2)], "what remains");
    let rest: Vec<Option<Failure>> = (0..4).map(|_| board.at_statement()).collect();
    let failure = Some(failure_of(Conflict::Catalogue));
    assert_eq!((first, rest), (None, vec![None, failure, None, None]));
    assert_eq!(board.faults(), []);
    assert_eq!(board.counters().failed_statements, 1);
}

#[test]
fn conflicts_say_what_dsql_says() {
    let board = board_with(&[conflict_at_commit(100), conflict_at_statement(100)]);
    let Some(CommitFault::Fail(commit)) = board.at_commit() else {
        panic!("every COMMIT fails");
    };
    let statement = board.at_statement().expect("every statement fails");
    assert_eq!(
        (&*commit.sqlstate, &*statement.sqlstate),
        ("40001", "40001")
    );
    assert!(commit.message.ends_with("(OC001)"), "{commit:?}");
    assert!(statement.message.ends_with("(OC000)"), "{statement:?}");
}

#[test]
fn percentages_are_met_and_counted() {
    let faults = [
        Fault::LostBeforeCommit { percent: 10 },
        Fault::LostCommit { percent: 20 },
        conflict_at_commit(30),
        conflict_at_statement(40),
    ];
    let board = board_with(&faults);
    let letters = history(&board, 2_000);
    // 2,000 draws: 150 off is more than six times their standard deviation.
    for (letter, expected) in [('b', 200), ('a', 400), ('f', 600), ('.', 800), ('s', 800)] {
        let met = count(&letters, letter);
        assert!(met.abs_diff(expected) < 150, "{letter}: {met}");
    }
    let counters = board.counters();
    assert_eq!(counters.cut_before_commit, count(&letters, 'b'));
    assert_eq!(counters.failed_commits, count(&letters, 'f'));
    assert_eq!(counters.failed_statements, count(&letters, 's'));
    assert_eq!(counters.cut_after_commit, 0, "the session tells of them");
    board.was_cut_after_commit(true);
    board.was_cut_after_commit(false);
    let counters = board.counters();
    assert_eq!(
        (counters.cut_after_commit, counters.applied_then_cut),
        (2, 1)
    );
}

#[test]
fn one_percent_is_one() {
    let board = board_with(&[conflict_at_commit(1), conflict_at_statement(1)]);
    let letters = history(&board, 5_000);
    // 50 are expected, and 100 if it were two percent.
    for letter in ['f', 's'] {
        let met = count(&letters, letter);
        assert!((20..=80).contains(&met), "{letter}: {met}");
    }
}

#[test]
fn a_hundred_is_always_and_nothing_set_is_never() {
    let letters = history(&board_with(&[Fault::LostCommit { percent: 100 }]), 200);
    assert_eq!(count(&letters, 'a'), 200);
    let letters = history(&board_with(&[]), 200);
    assert_eq!((count(&letters, '.'), count(&letters, '-')), (200, 200));
}

#[test]
fn a_seed_repeats_whatever_came_before_and_another_seed_does_not() {
    let faults = [
        Fault::LostCommit { percent: 25 },
        conflict_at_commit(25),
        conflict_at_statement(50),
    ];
    let board = board_with(&faults);
    let first = history(&board, 100);
    assert_ne!(history(&board, 100), first, "the generators go on");
    let reversed: Vec<Fault> = faults.iter().rev().copied().collect();
    board.set(&reversed).expect("valid");
    assert_eq!(history(&board, 100), first, "set again");
    assert_eq!(history(&board_with(&faults), 100), first, "the same seed");
    board.seed(8);
    board.set(&faults).expect("valid");
    assert_ne!(history(&board, 100), first, "another seed");
}

#[test]
fn every_generator_starts_from_the_seed() {
    let slow = Fault::Slow {
        from_ms: 0,
        to_ms: 1_000,
    };
    let drawn = |seed| {
        let board = board_with(&[
            Fault::LostCommit { percent: 50 },
            conflict_at_statement(50),
            slow,
        ]);
        board.seed(seed);
        let commits: Vec<bool> = (0..64).map(|_| board.at_commit().is_some()).collect();
        let statements: Vec<bool> = (0..64).map(|_| board.at_statement().is_some()).collect();
        let delays: Vec<Option<Duration>> = (0..64).map(|_| board.delay()).collect();
        (commits, statements, delays)
    };
    let (one, again, other) = (drawn(1), drawn(1), drawn(2));
    assert_eq!(one, again);
    assert!(one.0 != other.0 && one.1 != other.1 && one.2 != other.2);
    assert_ne!(one.0, one.1, "nor are they the same one");
}

#[test]
fn one_kind_of_draw_shifts_no_other() {
    let commits = [Fault::LostCommit { percent: 50 }];
    let alone = board_with(&commits);
    let mixed = board_with(&commits);
    mixed.add(conflict_at_statement(50)).expect("valid");
    mixed.at_statement();
    for _ in 0..100 {
        assert_eq!(alone.at_commit(), mixed.at_commit());
        mixed.at_statement();
    }
}

#[test]
fn what_is_armed_one_by_one_comes_before_chance_and_shifts_none() {
    let faults = [Fault::LostCommit { percent: 50 }];
    let (plain, armed) = (board_with(&faults), board_with(&faults));
    armed.arm_commits(1, &CommitFault::CutBefore);
    let (plain, armed) = (history(&plain, 50), history(&armed, 50));
    assert!(armed.starts_with('b'));
    assert_eq!(armed.get(1..), plain.get(1..));
}

#[test]
fn setting_replaces_all_and_adding_replaces_the_like() {
    let slow = |to_ms| Fault::Slow { from_ms: 0, to_ms };
    let board = board_with(&[conflict_at_commit(1), slow(1)]);
    board.arm_commits(1, &CommitFault::CutAfter);
    board.add(slow(2)).expect("valid");
    assert_eq!(board.faults(), [slow(2), conflict_at_commit(1)]);
    board.switch(slow(9), false);
    assert_eq!(board.faults(), [conflict_at_commit(1)]);
    board.set(&[Fault::Hung]).expect("valid");
    assert_eq!(board.faults(), [Fault::Hung]);
    assert_eq!(board.at_commit(), None, "not armed any more");
    board.disarm();
    assert_eq!(board.faults(), []);
}

#[test]
fn what_is_refused_changes_nothing() {
    let board = board_with(&[Fault::LostCommit { percent: 60 }]);
    let since = board.since();
    let no = board.set(&[Fault::Hung, Fault::Hung]);
    assert_eq!(no, Err(FaultError::Twice));
    let no = board.add(Fault::LostBeforeCommit { percent: 41 });
    assert_eq!(no, Err(FaultError::CommitPercents));
    assert_eq!(board.faults(), [Fault::LostCommit { percent: 60 }]);
    assert_eq!(board.since(), since);
}

#[test]
fn a_change_has_its_time() {
    let board = Switchboard::new(0);
    let opened = board.since();
    std::thread::sleep(Duration::from_millis(2));
    board.set(&[Fault::Hung]).expect("valid");
    let hung = board.since();
    assert!(hung > opened);
    std::thread::sleep(Duration::from_millis(2));
    board.disarm();
    assert!(board.since() > hung);
}

#[test]
fn closed_and_refusing_admit_nobody_and_what_is_open_is_counted() {
    let board = Switchboard::new(0);
    let (first, second) = (board.admit(), board.admit());
    assert!(first.is_some() && second.is_some());
    for fault in [Fault::Closed, Fault::Refusing] {
        board.set(&[fault]).expect("valid");
        assert!(board.admit().is_none(), "{fault:?}");
    }
    assert_eq!(board.open(), 2);
    drop(first);
    assert_eq!(board.open(), 1);
    board.disarm();
    assert!(board.admit().is_some(), "and gone again at once");
    assert_eq!(board.open(), 1);
    let counters = board.counters();
    assert_eq!((counters.connections, counters.refused), (3, 2));
}

#[test]
fn logins_over_the_rate_are_refused_and_counted() {
    let board = board_with(&[logins(1, Some(3))]);
    let refused: Vec<bool> = (0..5).map(|_| board.refuses_login().is_some()).collect();
    assert_eq!(refused, [false, false, false, true, true]);
    assert_eq!(board.refuses_login(), Some(LoginRefusal::LimitExceeded));
    assert_eq!(board.counters().refused_logins, 3);
    // Another fault beside it fills no bucket; the same limit set anew does neither.
    board.add(Fault::MaxAge { ms: 1_000 }).expect("valid");
    board.set(&[logins(1, Some(3))]).expect("valid");
    assert!(board.refuses_login().is_some());
    board.disarm();
    assert_eq!(board.refuses_login(), None);
}

#[test]
fn logins_come_back_with_time() {
    // 5 ms for each: at once there is one, and after 50 ms there is one again.
    let board = board_with(&[logins(200, Some(1))]);
    assert_eq!(board.refuses_login(), None);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(board.refuses_login(), None);
    // Without a burst, a second's worth.
    let board = board_with(&[logins(2, None)]);
    let refused: Vec<bool> = (0..3).map(|_| board.refuses_login().is_some()).collect();
    assert_eq!(refused, [false, false, true]);
}

#[test]
fn delays_are_spread_over_the_range_and_repeat() {
    let (from_ms, to_ms) = (20, 60);
    let faults = [Fault::Slow { from_ms, to_ms }];
    let delays = |board: &Switchboard| -> Vec<u128> {
        let ms = |delay: Duration| delay.as_millis();
        (0..500).filter_map(|_| board.delay().map(ms)).collect()
    };
    let board = board_with(&faults);
    let first = delays(&board);
    assert_eq!(first.len(), 500);
    assert!(first.iter().all(|ms| (20..=60).contains(ms)));
    let in_lowest_quarter = first.iter().filter(|ms| **ms < 30).count();
    let in_highest_quarter = first.iter().filter(|ms| **ms >= 50).count();
    assert!(
        (75..=175).contains(&in_lowest_quarter),
        "{in_lowest_quarter}"
    );
    assert!(
        (75..=175).contains(&in_highest_quarter),
        "{in_highest_quarter}"
    );
    assert_eq!(delays(&board_with(&faults)), first);
    assert_eq!(board.counters().slowed, 500);
    assert_eq!(board_with(&[]).delay(), None);
}

#[test]
fn a_delay_becomes_a_fault_in_its_bounds() {
    let slow = |ms| Fault::Slow {
        from_ms: ms,
        to_ms: ms,
    };
    assert_eq!(always_slow(Duration::from_millis(3)), slow(3));
    assert_eq!(always_slow(Duration::MAX), slow(MAX_SLOW_MS));
}

#[tokio::test]
async fn only_what_awaits_an_answer_is_slow() {
    let board = board_with(&[Fault::Slow {
        from_ms: 30,
        to_ms: 30,
    }]);
    let since = Instant::now();
    board.hold(false).await;
    assert_eq!(board.counters().slowed, 0);
    board.hold(true).await;
    assert!(since.elapsed() >= Duration::from_millis(30));
    assert_eq!(board.counters().slowed, 1);
}

#[tokio::test]
async fn hung_holds_clients_and_mute_holds_the_server() {
    let board = board_with(&[Fault::Hung]);
    assert!(waits(board.hold(false)).await && waits(board.hold(true)).await);
    assert!(!waits(board.hold_answer()).await);
    board.set(&[Fault::Mute]).expect("valid");
    assert!(waits(board.hold_answer()).await);
    assert!(!waits(board.hold(true)).await);
    let counters = board.counters();
    assert_eq!((counters.held, counters.muted), (2, 1));
}

#[tokio::test]
async fn what_is_held_goes_on_when_the_fault_is_taken_back() {
    let board = board_with(&[Fault::Hung]);
    let both = async {
        tokio::join!(board.hold(true), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            board.disarm();
        })
    };
    tokio::time::timeout(LONG, both).await.expect("goes on");
}

#[tokio::test]
async fn connections_end_at_their_age_which_can_be_set_later() {
    let board = board_with(&[Fault::MaxAge { ms: 40 }]);
    let born = Instant::now();
    tokio::time::timeout(LONG, board.aged(born))
        .await
        .expect("ends");
    assert!(born.elapsed() >= Duration::from_millis(40));
    assert_eq!(board.counters().cut_by_age, 1);

    board.set(&[]).expect("valid");
    let both = async {
        tokio::join!(board.aged(born), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            board.set(&[Fault::MaxAge { ms: 1 }]).expect("valid");
        })
    };
    tokio::time::timeout(LONG, both)
        .await
        .expect("is too old by now");
    board.set(&[]).expect("valid");
    assert!(waits(board.aged(born)).await, "no age is set");
    board.set(&[Fault::MaxAge { ms: 60_000 }]).expect("valid");
    assert!(waits(board.aged(born)).await, "not that old");
    assert_eq!(board.counters().cut_by_age, 2);
}

#[test]
fn every_fault_has_a_counter() {
    let counters = Counters {
        refused: 1,
        cut: 2,
        held: 3,
        muted: 4,
        slowed: 5,
        cut_before_commit: 6,
        cut_after_commit: 7,
        failed_commits: 8,
        failed_statements: 9,
        cut_by_age: 10,
        refused_logins: 11,
        ..Counters::default()
    };
    let (from_ms, to_ms) = (0, 0);
    let table = [
        (Fault::Closed, 3),
        (Fault::Refusing, 1),
        (Fault::Hung, 3),
        (Fault::Mute, 4),
        (Fault::Slow { from_ms, to_ms }, 5),
        (Fault::LostBeforeCommit { percent: 1 }, 6),
        (Fault::LostCommit { percent: 1 }, 7),
        (conflict_at_commit(1), 8),
        (conflict_at_statement(1), 9),
        (nth(1), 9),
        (Fault::MaxAge { ms: 1 }, 10),
        (logins(1, None), 11),
    ];
    for (fault, effects) in table {
        assert_eq!(counters.effects_of(&fault), effects, "{fault:?}");
    }
}
