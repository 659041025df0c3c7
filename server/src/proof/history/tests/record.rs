use super::script::{accepted, bid, english, key, leads, lot, read};
use crate::proof::history::{
    History, HistoryError, Op, Operation, Outcome, Place, Recorder, Reply, Sight,
};
use std::fmt::Write as _;

fn sight(offset: i64) -> Sight {
    Sight {
        lot: lot(),
        place: Place { epoch: 7, offset },
        event: leads(100),
    }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create(&path).unwrap();
    let mut one = recorder.client();
    let mut two = recorder.client();
    let call = one.invoke(bid("a", 100)).unwrap();
    // The invocation is in the file before the request is sent.
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written.ends_with('\n') && written.contains("invoke"),
        "{written}"
    );
    call.saw(sight(2)).unwrap();
    call.ok(3, accepted("bid_a", Some(2))).unwrap();
    two.invoke(read())
        .unwrap()
        .fail(0, "no connection")
        .unwrap();
    let lost = one.invoke(bid("b", 110)).unwrap();
    lost.unknown(1, "reset").unwrap();
    drop(one.invoke(bid("c", 120)).unwrap());
    let call = one.invoke(read()).unwrap();
    call.ok(1, english(2, Some(100), false)).unwrap();
    two.saw(sight(3)).unwrap();
    recorder.flush().unwrap();

    let history = History::read(&path).unwrap();
    let processes: Vec<_> = history
        .ops
        .iter()
        .map(|op| (op.session, op.process))
        .collect();
    // An unknown outcome retires the process, not the session.
    assert_eq!(processes, [(1, 1), (2, 2), (1, 1), (1, 3), (1, 4)]);
    let unknown: Vec<_> = history.ops.iter().map(Op::is_unknown).collect();
    assert_eq!(unknown, [false, false, true, true, false]);
    let first = history.ops[0].ended.as_ref().unwrap();
    assert_eq!(first.sends, 3);
    assert_eq!(first.outcome, Outcome::Ok(accepted("bid_a", Some(2))));
    assert!(history.ops[1].failed());
    assert!(history.ops[0].precedes(&history.ops[2]));
    assert!(!history.ops[2].precedes(&history.ops[4]));
    let offsets: Vec<_> = history
        .sightings
        .iter()
        .map(|it| it.sight.place.offset)
        .collect();
    assert_eq!(offsets, [2, 3]);
}

#[test]
fn clients_write_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create(&path).unwrap();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let mut writer = recorder.client();
            scope.spawn(move || {
                for number in 0..250 {
                    let call = writer.invoke(bid(&format!("{client}-{number}"), number));
                    call.unwrap().ok(1, accepted("bid", None)).unwrap();
                }
            });
        }
    });
    recorder.flush().unwrap();
    let history = History::read(&path).unwrap();
    assert_eq!(history.ops.len(), 2_000);
    assert!(history.ops.iter().all(|op| op.reply().is_some()));
}

/// A line of the file, with these fields of an event.
fn line(at_ns: u64, event: &str) -> String {
    format!("{{\"at_ns\":{at_ns},\"event\":{{{event}}}}}\n")
}

fn invoke(at_ns: u64, op: u64, process: u32) -> String {
    let event = format!(
        r#""type":"invoke","op":{op},"process":{process},"session":1,"operation":{{"do":"bid","key":"k","lot":"{}","amount_minor":5}}"#,
        lot()
    );
    line(at_ns, &event)
}

fn end(at_ns: u64, op: u64, process: u32, how: &str) -> String {
    line(at_ns, &format!(r#""op":{op},"process":{process},{how}"#))
}

const ACCEPTED: &str =
    r#""type":"ok","sends":1,"reply":{"reply":"accepted","effect":"x","version":2}"#;

fn refusal(text: &str) -> (u64, String) {
    match History::parse(text.as_bytes()) {
        Err(HistoryError::Malformed { line, what }) => (line, what),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_malformed_history_is_refused_by_line() {
    let good = invoke(1, 1, 1) + &end(2, 1, 1, ACCEPTED);
    let read = History::parse(good.as_bytes()).unwrap();
    assert_eq!(read.ops.len(), 1);
    let lists = r#""type":"ok","sends":1,"reply":{"reply":"lists","lists":[]}"#;
    let unknown = r#""type":"unknown","sends":1,"why":"reset""#;
    let unsent = ACCEPTED.replace("\"sends\":1", "\"sends\":0");
    let cases = [
        ("{}\n".to_owned(), "missing field"),
        ("\n".to_owned(), "EOF"),
        ("no json\n".to_owned(), "expected"),
        (good.trim_end().to_owned(), "cut off"),
        (
            good.clone() + &invoke(1, 2, 1),
            "time went back from 2 to 1",
        ),
        (invoke(1, 1, 1) + &invoke(2, 2, 1), "still waits for op 1"),
        (good.clone() + &invoke(3, 1, 2), "op 1 was invoked before"),
        (end(1, 1, 1, ACCEPTED), "does not wait for op 1"),
        (invoke(1, 1, 1) + &end(2, 1, 2, ACCEPTED), "does not wait"),
        (good.clone() + &end(3, 1, 1, ACCEPTED), "does not wait"),
        (invoke(1, 1, 1) + &end(2, 1, 1, lists), "is no answer to"),
        (invoke(1, 1, 1) + &end(2, 1, 1, &unsent), "but never sent"),
        (
            invoke(1, 1, 1) + &end(2, 1, 1, unknown) + &invoke(3, 2, 1),
            "ended with an unknown outcome",
        ),
        (
            good.replace("\"amount_minor\":5", "\"amount_minor\":0.1"),
            "invalid type",
        ),
        (
            good.replace("\"amount_minor\":5", "\"amount_minor\":5,\"x\":1"),
            "unknown field",
        ),
        (
            good.replace("\"do\":\"bid\"", "\"do\":\"guess\""),
            "unknown variant",
        ),
        (
            good.replace("\"key\":\"k\"", "\"key\":\"a b\""),
            "idempotency key",
        ),
    ];
    for (text, reason) in cases {
        let (line, what) = refusal(&text);
        let mut all = String::new();
        let _ = write!(all, "{line}: {what}");
        assert!(what.contains(reason), "{all} for {text}");
        assert!((1..=3).contains(&line), "{all}");
    }
    let (line, _) = refusal(&(good + "{\"at_ns\":9}\n"));
    assert_eq!(line, 3);
}

#[test]
fn operations_take_only_their_own_answers() {
    let top_up = Operation::TopUp {
        key: key("t"),
        account: "usr".into(),
        amount_minor: 5,
    };
    assert!(top_up.takes(&accepted("tfr", None)));
    assert!(!top_up.takes(&Reply::Resumed));
    assert!(!Operation::ReadWallets.takes(&accepted("x", None)));
    assert!(!read().takes(&Reply::Resumed));
}
