//! Histories written line by line, and short names for what is in them.

use crate::proof::history::{
    Decision, Ended, History, KeyEffect, LotState, Moment, Op, Operation, Outcome, Place, Reply,
    Sight, SightEvent, Sighting, Verdict,
};
use shared::{IdempotencyKey, LotId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A history as the recorder would have written it; every line is a microsecond later.
#[derive(Default)]
pub struct Script {
    pub history: History,
    line: u64,
    open: BTreeMap<u32, usize>,
}

impl Script {
    fn now(&mut self) -> Moment {
        self.line += 1;
        Moment {
            line: self.line,
            at_ns: self.line * 1_000,
        }
    }

    /// A process asks; its session has its number.
    pub fn invoke(&mut self, process: u32, operation: Operation) -> &mut Self {
        let invoked = self.now();
        let place = self.history.ops.len();
        assert!(self.open.insert(process, place).is_none(), "one at a time");
        self.history.ops.push(Op {
            number: invoked.line,
            process,
            session: process,
            operation,
            invoked,
            ended: None,
        });
        self
    }

    fn end(&mut self, process: u32, outcome: Outcome) -> &mut Self {
        let at = self.now();
        let place = self.open.remove(&process).expect("the process asked");
        let op = &mut self.history.ops[place];
        if let Outcome::Ok(reply) = &outcome {
            assert!(op.operation.takes(reply), "{reply} to {op}");
        }
        op.ended = Some(Ended {
            at,
            sends: 1,
            outcome,
        });
        self
    }

    pub fn ok(&mut self, process: u32, reply: Reply) -> &mut Self {
        self.end(process, Outcome::Ok(reply))
    }

    pub fn fail(&mut self, process: u32) -> &mut Self {
        self.end(process, Outcome::Fail("refused by the socket".into()))
    }

    pub fn unknown(&mut self, process: u32) -> &mut Self {
        self.end(process, Outcome::Unknown("reset".into()))
    }

    /// A whole operation that nothing overlaps.
    pub fn done(&mut self, process: u32, operation: Operation, reply: Reply) -> &mut Self {
        self.invoke(process, operation).ok(process, reply)
    }

    pub fn saw(&mut self, session: u32, offset: i64, event: SightEvent) -> &mut Self {
        let at = self.now();
        let place = Place { epoch: 7, offset };
        let sight = Sight {
            lot: lot(),
            place,
            event,
        };
        let sighting = Sighting { session, at, sight };
        self.history.sightings.push(sighting);
        self
    }
}

pub fn lot() -> LotId {
    LotId::from_uuid(Uuid::from_u128(1))
}

pub fn key(name: &str) -> IdempotencyKey {
    name.parse().expect("a key")
}

pub fn bid(name: &str, amount_minor: i64) -> Operation {
    Operation::Bid {
        key: key(name),
        lot: lot(),
        amount_minor,
    }
}

pub fn claim(name: &str, units: u32) -> Operation {
    Operation::Claim {
        key: key(name),
        lot: lot(),
        units,
    }
}

pub fn close(name: &str) -> Operation {
    Operation::Close {
        key: key(name),
        lot: lot(),
    }
}

pub fn read() -> Operation {
    Operation::ReadLot { lot: lot() }
}

pub fn watch(since: Option<i64>) -> Operation {
    let since = since.map(|offset| Place { epoch: 7, offset });
    Operation::Watch { lot: lot(), since }
}

pub fn accepted(effect: &str, version: Option<i64>) -> Reply {
    Reply::Accepted {
        effect: effect.into(),
        version,
    }
}

pub fn closed(amount_minor: Option<i64>, version: Option<i64>) -> Reply {
    Reply::Closed {
        effect: "settled".into(),
        amount_minor,
        version,
    }
}

pub fn refused(code: &str) -> Reply {
    Reply::Refused {
        code: code.into(),
        minimum_minor: None,
        units_left: None,
    }
}

pub fn too_low(minimum_minor: i64) -> Reply {
    Reply::Refused {
        code: "too_low".into(),
        minimum_minor: Some(minimum_minor),
        units_left: None,
    }
}

pub fn sold_out(units_left: Option<u32>) -> Reply {
    Reply::Refused {
        code: "sold_out".into(),
        minimum_minor: None,
        units_left,
    }
}

/// An English lot's state.
pub fn english(version: i64, high_minor: Option<i64>, closed: bool) -> Reply {
    Reply::Lot {
        epoch: 7,
        state: LotState {
            version,
            high_minor,
            units_left: None,
            closed,
        },
    }
}

/// A drop's state.
pub fn stock(units_left: u32) -> Reply {
    Reply::Lot {
        epoch: 7,
        state: LotState {
            version: 1,
            high_minor: None,
            units_left: Some(units_left),
            closed: false,
        },
    }
}

pub fn leads(amount_minor: i64) -> SightEvent {
    SightEvent::Bid { amount_minor }
}

pub fn look_up(name: &str) -> Operation {
    Operation::LookUp { key: key(name) }
}

pub fn found(effect: Option<&str>) -> Reply {
    let decision = effect.map(|effect| Decision::Done {
        effect: effect.into(),
    });
    Reply::Found { decision }
}

pub fn effects(lines: &[(&str, &str)]) -> Reply {
    let effects = lines.iter().map(|(name, effect)| KeyEffect {
        key: key(name),
        effect: (*effect).into(),
    });
    Reply::Effects {
        effects: effects.collect(),
    }
}

/// The history must pass.
#[track_caller]
pub fn passes(verdict: &Verdict) {
    assert!(verdict.is_valid(), "{verdict:#?}");
}

/// The history must be caught, for this reason, with evidence.
#[track_caller]
pub fn caught(verdict: &Verdict, reason: &str) {
    let Verdict::Violated { findings, .. } = verdict else {
        panic!("not caught: {verdict:#?}");
    };
    let found = findings.iter().find(|it| it.what.contains(reason));
    let found = found.unwrap_or_else(|| panic!("not for {reason}: {findings:#?}"));
    assert!(!found.evidence.is_empty(), "without evidence: {found:#?}");
}

/// The history proves nothing, for this reason.
#[track_caller]
pub fn proves_nothing(verdict: &Verdict, reason: &str) {
    let Verdict::Invalid { why } = verdict else {
        panic!("not invalid: {verdict:#?}");
    };
    assert!(why.contains(reason), "{why}");
}
