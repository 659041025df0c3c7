use super::*;
use std::cell::RefCell;

/// Faults from a script: one entry for each time that it is asked.
#[derive(Default)]
struct Script {
    commits: RefCell<VecDeque<Option<CommitFault>>>,
    statements: RefCell<VecDeque<Option<Failure>>>,
    cut: RefCell<Vec<bool>>,
}

impl Faults for Script {
    fn at_commit(&self) -> Option<CommitFault> {
        self.commits.borrow_mut().pop_front().flatten()
    }
    fn cuts_statement(&self) -> bool {
        false
    }

    fn at_statement(&self) -> Option<Failure> {
        self.statements.borrow_mut().pop_front().flatten()
    }
    fn was_cut_after_commit(&self, applied: bool) {
        self.cut.borrow_mut().push(applied);
    }
}

fn at_commit(fault: CommitFault) -> Script {
    let script = Script::default();
    script.commits.borrow_mut().push_back(Some(fault));
    script
}

fn tagged(tag: u8, body: &[u8]) -> Message {
    let length = u32::try_from(body.len() + 4).expect("short");
    let bytes = [&[tag][..], &length.to_be_bytes(), body].concat();
    Message { tag, bytes }
}

fn query(sql: &str) -> Message {
    let bytes = wire::query(sql);
    Message { tag: b'Q', bytes }
}

/// A session that has been greeted.
fn greeted() -> Session {
    let mut session = Session::default();
    let faults = Script::default();
    let greeting = [tagged(b'R', &[0; 4]), tagged(b'Z', b"I")];
    for message in greeting {
        let bytes = message.bytes.clone();
        assert_eq!(session.server_says(message, &faults), Step::forward(bytes));
    }
    session
}

/// Parse, Bind and Execute of one statement under names.
fn batch(sql: &str) -> Vec<Message> {
    let parse = [b"s1\0", sql.as_bytes(), b"\0\0\0"].concat();
    vec![
        tagged(b'P', &parse),
        tagged(b'B', b"p1\0s1\0\0\0\0\0\0\0"),
        tagged(b'E', b"p1\0\0\0\0\0"),
        tagged(b'S', b""),
    ]
}

#[test]
fn only_a_whole_commit_is_a_commit() {
    for sql in [
        "COMMIT",
        "commit;",
        " Commit ; ",
        "COMMIT WORK",
        "end transaction",
        "END",
    ] {
        assert_eq!(Statement::of(sql), Statement::Commit, "{sql}");
    }
    for sql in ["ROLLBACK", "rollback;", "ABORT WORK"] {
        assert_eq!(Statement::of(sql), Statement::Rollback, "{sql}");
    }
    let others = [
        "",
        ";",
        "BEGIN",
        "COMMIT PREPARED 'x'",
        "COMMITTED",
        "SELECT 'COMMIT'",
        "ROLLBACK TO SAVEPOINT a",
        "INSERT INTO t VALUES (1); COMMIT",
    ];
    for sql in others {
        assert_eq!(Statement::of(sql), Statement::Other, "{sql}");
    }
}

#[test]
fn without_faults_every_byte_passes() {
    let mut session = greeted();
    let faults = Script::default();
    let mut messages = vec![query("BEGIN"), query("COMMIT"), query("ROLLBACK")];
    messages.extend(batch("COMMIT"));
    messages.extend([tagged(b'F', b"x"), tagged(b'd', b"copy"), tagged(b'X', b"")]);
    for message in messages {
        let bytes = message.bytes.clone();
        assert_eq!(session.client_says(message, &faults), Step::forward(bytes));
    }
    assert_eq!(
        session.answers.len(),
        5,
        "three queries, one batch, one call"
    );
}

#[test]
fn cut_before_commit_tells_the_server_nothing() {
    let faults = at_commit(CommitFault::CutBefore);
    assert_eq!(greeted().client_says(query("commit;"), &faults), Step::CUT);

    let faults = at_commit(CommitFault::CutBefore);
    let mut session = greeted();
    let steps: Vec<Step> = batch("COMMIT")
        .into_iter()
        .take(3)
        .map(|message| session.client_says(message, &faults))
        .collect();
    assert_eq!(steps[2], Step::CUT, "at Execute, not at Parse");
    assert!(!steps[0].cut && !steps[1].cut);
}

#[test]
fn cut_after_commit_waits_for_the_answer_and_keeps_it() {
    let both = [vec![query("COMMIT")], batch("COMMIT")];
    for messages in both {
        let faults = at_commit(CommitFault::CutAfter);
        let mut session = greeted();
        // An earlier statement's answer is still on its way.
        session.client_says(query("SELECT 1"), &faults);
        for message in messages {
            let bytes = message.bytes.clone();
            assert_eq!(session.client_says(message, &faults), Step::forward(bytes));
        }
        let earlier = tagged(b'Z', b"T");
        let bytes = earlier.bytes.clone();
        assert_eq!(session.server_says(earlier, &faults), Step::forward(bytes));
        let done = session.server_says(tagged(b'C', b"COMMIT\0"), &faults);
        assert_eq!(done, Step::default());
        assert_eq!(session.server_says(tagged(b'Z', b"I"), &faults), Step::CUT);
        assert_eq!(*faults.cut.borrow(), [true]);
    }
}

#[test]
fn a_commit_that_rolled_back_is_not_counted_as_applied() {
    let faults = at_commit(CommitFault::CutAfter);
    let mut session = greeted();
    session.client_says(query("COMMIT"), &faults);
    session.server_says(tagged(b'C', b"ROLLBACK\0"), &faults);
    assert_eq!(session.server_says(tagged(b'Z', b"I"), &faults), Step::CUT);
    assert_eq!(*faults.cut.borrow(), [false]);
}

#[test]
fn a_failing_commit_rolls_back_and_answers_the_code() {
    let faults = at_commit(CommitFault::Fail(Failure::of("40001")));
    let mut session = greeted();
    let step = session.client_says(query("COMMIT"), &faults);
    assert_eq!(step, Step::forward(wire::query("ROLLBACK")));
    let done = session.server_says(tagged(b'C', b"ROLLBACK\0"), &faults);
    assert_eq!(done, Step::default());
    let ready = tagged(b'Z', b"I");
    let expected = [
        wire::error("40001", "made to fail by the gate"),
        ready.bytes.clone(),
    ]
    .concat();
    assert_eq!(session.server_says(ready, &faults), Step::forward(expected));
    assert_eq!(session.answers, []);
}

#[test]
fn a_failing_execute_leaves_the_batch_out_up_to_sync() {
    let faults = Script::default();
    let message = "please retry: (OC001)";
    let failure = Failure {
        message,
        ..Failure::of("40001")
    };
    faults.statements.borrow_mut().extend([Some(failure), None]);
    let mut session = greeted();
    let steps: Vec<Step> = batch("UPDATE t SET a = 1")
        .into_iter()
        .map(|message| session.client_says(message, &faults))
        .collect();
    assert_eq!(steps[2], Step::default(), "Execute stays here");
    let instead = [wire::sync(), wire::query(RAISE)].concat();
    assert_eq!(steps[3], Step::forward(instead));

    // The answers to Parse, Bind and the extra Sync, then to the statement that was sent instead.
    for message in [
        tagged(b'1', b""),
        tagged(b'2', b""),
        tagged(b'Z', b"T"),
        tagged(b'E', b"\0"),
    ] {
        assert_eq!(session.server_says(message, &faults), Step::default());
    }
    let ready = tagged(b'Z', b"E");
    let expected = [wire::error("40001", message), ready.bytes.clone()].concat();
    assert_eq!(session.server_says(ready, &faults), Step::forward(expected));

    let next = query("SELECT 1");
    let bytes = next.bytes.clone();
    assert_eq!(session.client_says(next, &faults), Step::forward(bytes));
}

#[test]
fn notices_pass_whatever_is_going_on() {
    let faults = at_commit(CommitFault::CutAfter);
    let mut session = greeted();
    session.client_says(query("COMMIT"), &faults);
    let notice = tagged(b'N', b"\0");
    let bytes = notice.bytes.clone();
    assert_eq!(session.server_says(notice, &faults), Step::forward(bytes));
}

#[test]
fn a_closed_statement_is_forgotten() {
    let faults = at_commit(CommitFault::CutBefore);
    let mut session = greeted();
    let mut messages = batch("COMMIT");
    messages.insert(1, tagged(b'C', b"Ss1\0"));
    for message in messages {
        assert!(!session.client_says(message, &faults).cut);
    }
}
