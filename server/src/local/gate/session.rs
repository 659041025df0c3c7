//! One connection as the gate sees it: what the client's messages mean, and whose answer the
//! server's next messages are. Pure: faults are asked for through a trait, bytes come and go.

use super::wire::{self, Message};
use std::collections::{BTreeMap, VecDeque};

/// What a statement does to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Ends it for good.
    Commit,
    /// Ends it without effect.
    Rollback,
    /// Anything else, BEGIN included.
    Other,
}

impl Statement {
    /// Reads one statement's text.
    pub fn of(sql: &str) -> Self {
        let bare = sql.trim().trim_end_matches(';').trim_end();
        let mut words = bare.split_ascii_whitespace().map(str::to_ascii_uppercase);
        let words = (words.next(), words.next(), words.next());
        let (first, second) = match &words {
            (Some(first), second, None) => (first.as_str(), second.as_deref()),
            _ => return Self::Other,
        };
        match (first, second) {
            ("COMMIT" | "END", None | Some("WORK" | "TRANSACTION")) => Self::Commit,
            ("ROLLBACK" | "ABORT", None | Some("WORK" | "TRANSACTION")) => Self::Rollback,
            _ => Self::Other,
        }
    }
}

/// What befalls a COMMIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// The connection is cut; the server never hears of it.
    CutBefore,
    /// The server does it, and the connection is cut instead of an answer.
    CutAfter,
    /// The server rolls back, and the client hears this instead.
    Fail(Failure),
}

/// An error that a client hears in the place of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its code.
    pub sqlstate: String,
    /// Its text.
    pub message: &'static str,
}

impl Failure {
    /// One whose text does not matter.
    pub fn of(sqlstate: &str) -> Self {
        Self {
            sqlstate: sqlstate.to_owned(),
            message: "made to fail by the gate",
        }
    }
}

/// Decides what goes wrong; asked once for each COMMIT and each other statement.
pub trait Faults {
    /// A COMMIT is about to be passed on.
    fn at_commit(&self) -> Option<CommitFault>;
    /// Another statement is about to be passed on, no ROLLBACK; a failure makes it fail.
    fn at_statement(&self) -> Option<Failure>;
    /// The same statement, before [`Faults::at_statement`] is asked: whether the connection is cut.
    fn cuts_statement(&self) -> bool;
    /// A connection was cut after COMMIT; `applied` when the server had said that it committed.
    fn was_cut_after_commit(&self, applied: bool);
}

/// What follows from a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What goes on in the message's direction.
    pub forward: Vec<u8>,
    /// Whether the connection is cut afterwards.
    pub cut: bool,
}

impl Step {
    const CUT: Self = Self {
        forward: Vec::new(),
        cut: true,
    };

    const fn forward(forward: Vec<u8>) -> Self {
        Self {
            forward,
            cut: false,
        }
    }
}

/// What becomes of the server's messages up to its next `ReadyForQuery`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Pass,
    /// Nobody asked for it.
    Drop,
    /// An error goes out instead, then the `ReadyForQuery`.
    Replace(Vec<u8>),
    /// The answer to a COMMIT that the client does not live to hear.
    CutWhenDone {
        applied: bool,
    },
}

/// A batch of the extended protocol: from its first message to Sync.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Batch {
    None,
    Open,
    /// Everything up to Sync is left out; then this statement is sent and its answer replaced.
    Failing {
        instead: &'static str,
        error: Vec<u8>,
    },
}

/// What the server is told when a statement is to fail: it fails there, so that the transaction is
/// really aborted.
const RAISE: &str = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'gate'; END $$";

const ROLLBACK: &str = "ROLLBACK";

/// The state of one connection after its opening.
#[derive(Debug)]
pub struct Session {
    statements: BTreeMap<String, Statement>,
    portals: BTreeMap<String, Statement>,
    answers: VecDeque<Answer>,
    batch: Batch,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            // The server's greeting ends with a `ReadyForQuery` too.
            answers: VecDeque::from([Answer::Pass]),
            batch: Batch::None,
        }
    }
}

impl Session {
    /// Takes in a message of the client.
    pub fn client_says(&mut self, message: Message, faults: &impl Faults) -> Step {
        if matches!(self.batch, Batch::Failing { .. }) && message.tag != b'X' {
            return self.while_failing(&message);
        }
        match message.tag {
            b'Q' => self.query(message, faults),
            b'P' | b'B' | b'C' | b'D' | b'E' => self.extended(message, faults),
            b'S' => {
                if self.batch == Batch::None {
                    self.answers.push_back(Answer::Pass);
                }
                self.batch = Batch::None;
                Step::forward(message.bytes)
            }
            b'F' => {
                self.answers.push_back(Answer::Pass);
                Step::forward(message.bytes)
            }
            _ => Step::forward(message.bytes),
        }
    }

    /// Takes in a message of the server.
    pub fn server_says(&mut self, message: Message, faults: &impl Faults) -> Step {
        // Notices, notifications and settings belong to no statement.
        if matches!(message.tag, b'N' | b'A' | b'S') {
            return Step::forward(message.bytes);
        }
        let ready = message.tag == b'Z';
        match self.answers.front_mut() {
            None | Some(Answer::Pass) => {
                self.answers.pop_front_if(|_| ready);
                Step::forward(message.bytes)
            }
            Some(Answer::Drop) => {
                self.answers.pop_front_if(|_| ready);
                Step::default()
            }
            Some(Answer::Replace(error)) if ready => {
                let forward = [std::mem::take(error), message.bytes].concat();
                self.answers.pop_front();
                Step::forward(forward)
            }
            Some(Answer::Replace(_)) => Step::default(),
            Some(Answer::CutWhenDone { applied }) => {
                *applied |= message.tag == b'C' && message.body() == b"COMMIT\0";
                if ready {
                    faults.was_cut_after_commit(*applied);
                    return Step::CUT;
                }
                Step::default()
            }
        }
    }

    fn query(&mut self, message: Message, faults: &impl Faults) -> Step {
        let sql = wire::text(message.body()).map_or("", |(sql, _)| sql);
        let (answer, forward) = match decide(Statement::of(sql), faults) {
            Verdict::Pass => (Answer::Pass, message.bytes),
            Verdict::CutBefore => return Step::CUT,
            Verdict::CutAfter => (Answer::CutWhenDone { applied: false }, message.bytes),
            Verdict::Fail { instead, error } => (Answer::Replace(error), wire::query(instead)),
        };
        self.answers.push_back(answer);
        Step::forward(forward)
    }

    fn extended(&mut self, message: Message, faults: &impl Faults) -> Step {
        if self.batch == Batch::None {
            self.batch = Batch::Open;
            self.answers.push_back(Answer::Pass);
        }
        let statement = self.note(&message);
        let verdict = match message.tag {
            b'E' => decide(statement, faults),
            _ => Verdict::Pass,
        };
        match verdict {
            Verdict::Pass => {}
            Verdict::CutBefore => return Step::CUT,
            Verdict::CutAfter => self.answer_to_batch(Answer::CutWhenDone { applied: false }),
            Verdict::Fail { instead, error } => {
                self.answer_to_batch(Answer::Drop);
                self.batch = Batch::Failing { instead, error };
                return Step::default();
            }
        }
        Step::forward(message.bytes)
    }

    fn answer_to_batch(&mut self, answer: Answer) {
        if let Some(last) = self.answers.back_mut() {
            *last = answer;
        }
    }

    /// Remembers which names stand for which statement; tells what an Execute runs.
    fn note(&mut self, message: &Message) -> Statement {
        let body = message.body();
        let known = |names: &BTreeMap<String, Statement>, name: &str| {
            names.get(name).copied().unwrap_or(Statement::Other)
        };
        match (message.tag, wire::text(body)) {
            (b'P', Some((name, rest))) => {
                let sql = wire::text(rest).map_or("", |(sql, _)| sql);
                self.statements.insert(name.to_owned(), Statement::of(sql));
            }
            (b'B', Some((portal, rest))) => {
                let name = wire::text(rest).map_or("", |(name, _)| name);
                let statement = known(&self.statements, name);
                self.portals.insert(portal.to_owned(), statement);
            }
            (b'C', Some((kind_and_name, _))) => {
                if let Some(name) = kind_and_name.strip_prefix('S') {
                    self.statements.remove(name);
                } else if let Some(name) = kind_and_name.strip_prefix('P') {
                    self.portals.remove(name);
                }
            }
            (b'E', Some((portal, _))) => return known(&self.portals, portal),
            _ => {}
        }
        Statement::Other
    }

    /// Leaves everything out up to Sync, and sends the other statement then.
    fn while_failing(&mut self, message: &Message) -> Step {
        if message.tag != b'S' {
            return Step::default();
        }
        let Batch::Failing { instead, error } = std::mem::replace(&mut self.batch, Batch::None)
        else {
            return Step::default();
        };
        self.answers.push_back(Answer::Replace(error));
        // The batch so far ends with a Sync of its own: after an error in it the server would
        // read nothing else.
        Step::forward([wire::sync(), wire::query(instead)].concat())
    }
}

enum Verdict {
    Pass,
    CutBefore,
    CutAfter,
    Fail {
        instead: &'static str,
        error: Vec<u8>,
    },
}

fn decide(statement: Statement, faults: &impl Faults) -> Verdict {
    let fail = |instead, failure: &Failure| {
        let error = wire::error(&failure.sqlstate, failure.message);
        Verdict::Fail { instead, error }
    };
    match statement {
        Statement::Rollback => Verdict::Pass,
        Statement::Other if faults.cuts_statement() => Verdict::CutBefore,
        Statement::Other => match faults.at_statement() {
            None => Verdict::Pass,
            Some(failure) => fail(RAISE, &failure),
        },
        Statement::Commit => match faults.at_commit() {
            None => Verdict::Pass,
            Some(CommitFault::CutBefore) => Verdict::CutBefore,
            Some(CommitFault::CutAfter) => Verdict::CutAfter,
            Some(CommitFault::Fail(failure)) => fail(ROLLBACK, &failure),
        },
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
