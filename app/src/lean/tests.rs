//! Whatever serde writes is read back equal: one value at least of every type and variant.

use super::*;
use crate::actions::Fault;
use core::fmt::Debug;

fn reads_back<T: Read + Serialize + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).expect("writes");
    let read = Json::parse(&json).and_then(|json| T::read(&json));
    assert_eq!(read.as_ref(), Some(value), "{json}");
    assert!(T::read(&Json::Number(-1)).is_none(), "a number is none");
}

fn all_read_back<T: Read + Serialize + PartialEq + Debug>(values: &[T]) {
    values.iter().for_each(reads_back);
}

fn id<T: core::str::FromStr<Err: Debug>>(prefix: &str, number: u32) -> T {
    format!("{prefix}{number:032x}").parse().expect("an id")
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).expect("in range")
}

fn person() -> Person {
    Person {
        id: id("usr_", 1),
        handle: "lena".into(),
        name: "Léna \"O'Hara\"".into(),
        simulated: true,
    }
}

fn line() -> LadderLine {
    LadderLine {
        id: "bid_1".into(),
        who: person(),
        region: Region::Seoul,
        amount: usd(shared::money::MAX_MINOR),
        units: u32::MAX,
        at: Timestamp(-5),
    }
}

fn english(leader: Option<LadderLine>) -> Terms {
    let band = |from_minor, increment_minor| Band {
        from_minor,
        increment_minor,
    };
    Terms::English {
        opening: usd(1),
        increments: Increments::new(vec![band(0, 1), band(100, 5)]).expect("bands"),
        extension: Extension {
            window_ms: 30_000,
            hard_end: Timestamp(9),
        },
        reserve: Reserve::NotMet,
        next_minimum: leader.as_ref().map(|_| usd(7)),
        leader,
    }
}

fn all_terms() -> Vec<Terms> {
    let drop = |limit| Terms::Drop {
        price: usd(5),
        units: 10,
        units_left: 3,
        limit,
    };
    let schedule = Dutch {
        start: usd(100),
        floor: usd(10),
        step_minor: 5,
        tick_ms: 1_000,
    };
    vec![
        english(None),
        english(Some(line())),
        Terms::Dutch { schedule },
        drop(None),
        drop(Some(2)),
    ]
}

fn all_outcomes() -> Vec<Outcome> {
    vec![
        Outcome::Sold { line: line() },
        Outcome::DropEnded {
            units_sold: 3,
            total: usd(15),
        },
        Outcome::Passed {
            reserve_not_met: true,
        },
        Outcome::Cancelled,
    ]
}

fn lot(terms: Terms, outcome: Option<Outcome>) -> LotView {
    LotView {
        id: id("lot_", 3),
        title: "Clock".into(),
        art: "clock".into(),
        seller: person(),
        currency: Currency::Usd,
        opens_at: Timestamp(1),
        closes_at: Timestamp(2),
        status: Status::Open,
        terms,
        outcome,
        epoch: 4,
        offset: 5,
    }
}

fn room() -> RoomView {
    RoomView {
        lot: lot(english(Some(line())), None),
        description: "Fine.".into(),
        ladder: vec![line()],
        server_time: Timestamp(6),
    }
}

fn wallet() -> WalletView {
    WalletView {
        available: usd(1),
        held: usd(2),
        spent: usd(3),
        funded: usd(6),
        version: 7,
    }
}

fn activity(what: ActivityKind) -> Activity {
    let is_bid = what == ActivityKind::Bid;
    Activity {
        id: "evt_1".into(),
        lot: id("lot_", 3),
        title: "Clock".into(),
        what,
        who: is_bid.then(person),
        region: is_bid.then_some(Region::Ireland),
        amount: is_bid.then(|| usd(5)),
        at: Timestamp(8),
    }
}

fn floor() -> FloorView {
    use ActivityKind::{Bid, Claimed, Opened, Passed, Sold};
    FloorView {
        live: all_terms().into_iter().map(|t| lot(t, None)).collect(),
        settled: all_outcomes()
            .into_iter()
            .map(|o| lot(english(None), Some(o)))
            .collect(),
        activity: [Opened, Bid, Claimed, Sold, Passed].map(activity).to_vec(),
        server_time: Timestamp(9),
    }
}

fn message() -> ChatMessage {
    ChatMessage {
        id: id("msg_", 1),
        client_id: "c".into(),
        who: person(),
        region: Region::Oregon,
        text: "hi".into(),
        at: Timestamp(1),
    }
}

fn chat() -> ChatView {
    ChatView {
        messages: vec![message()],
        before: Some(message().id),
        slow_s: 30,
    }
}

fn crowd() -> CrowdView {
    CrowdView {
        watchers: 3,
        people: vec![person()],
        reactions: Reaction::ALL.into_iter().zip(1_u64..).collect(),
        top: vec![BoardLine {
            who: person(),
            amount: usd(5),
        }],
    }
}

fn notices() -> Vec<Notice> {
    let (lot, title) = (id("lot_", 3), || "Clock".to_owned());
    vec![
        Notice::Outbid {
            lot,
            title: title(),
            freed: usd(1),
            price: usd(2),
        },
        Notice::Won {
            lot,
            title: title(),
            paid: usd(1),
        },
        Notice::Freed {
            lot,
            title: title(),
            freed: usd(1),
        },
        Notice::SoldYours {
            lot,
            title: title(),
            proceeds: usd(1),
        },
    ]
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::NotFound,
        Refusal::NotLive {
            opens_at: Timestamp(1),
        },
        Refusal::Ended,
        Refusal::TooLow { minimum: usd(1) },
        Refusal::Insufficient {
            needed: usd(2),
            available: usd(1),
        },
        Refusal::SoldOut { units_left: 1 },
        Refusal::PriceMoved { price: usd(1) },
        Refusal::OwnLot,
        Refusal::LimitReached {
            limit: 2,
            bought: 1,
        },
        Refusal::WrongMechanism {
            mechanism: Mechanism::Dutch,
        },
        Refusal::CurrencyMismatch {
            expected: Currency::Kwd,
        },
        Refusal::InvalidAmount,
        Refusal::NotDue {
            closes_at: Timestamp(1),
        },
        Refusal::TopUpLimit { most: usd(1) },
    ]
}

fn kept() -> Vec<KeptOutcome> {
    let mut all = vec![
        KeptOutcome::Bid(BidReceipt {
            line: line(),
            version: 1,
            closes_at: Timestamp(2),
            next_minimum: usd(3),
        }),
        KeptOutcome::Claim(ClaimReceipt {
            line: line(),
            total: usd(4),
            transfer: id("tfr_", 1),
        }),
        KeptOutcome::TopUp(TopUpReceipt {
            amount: usd(5),
            wallet: wallet(),
        }),
    ];
    all.extend(all_outcomes().into_iter().map(|outcome| {
        KeptOutcome::Settle(SettleReceipt {
            lot: id("lot_", 3),
            outcome,
        })
    }));
    all.extend(refusals().into_iter().map(KeptOutcome::Refused));
    all
}

#[test]
fn what_pages_read() {
    let key = || "k-1".parse::<IdempotencyKey>().expect("a key");
    let said: Vec<Option<Said>> = kept()
        .into_iter()
        .map(|answer| {
            Some(Said::Decided {
                answer: Box::new(answer),
            })
        })
        .chain([
            None,
            Some(Said::Problem {
                code: "unknown".into(),
            }),
        ])
        .collect();
    for said in said {
        reads_back(&RoomPage {
            room: room(),
            chat: chat(),
            chat_is_down: true,
            moderates: false,
            crowd: crowd(),
            head: "<h1>A clock</h1>".into(),
            about: "<p>It ticks.</p>".into(),
            wallet: said.as_ref().map(|_| wallet()),
            key: key(),
            settle_key: key(),
            said: said.clone(),
        });
        reads_back(&WalletPage {
            wallet: wallet(),
            proceeds: usd(1),
            server_time: Timestamp(2),
            holds: "<h2>Held</h2>".into(),
            statement: "<h2>Statement</h2>".into(),
            key: key(),
            said,
        });
    }
    reads_back(&FloorPage {
        floor: floor(),
        leaders: "<h2>Top buyers</h2>".into(),
    });
    reads_back(&StillPage {
        title: "Activity".into(),
        html: "<h1>Activity</h1>".into(),
    });
    for theme in Theme::ALL {
        reads_back(&ViewerPage {
            person: Some(person()).filter(|_| theme == Theme::Dark),
            region: Region::Frankfurt,
            demo: vec![person()],
            wallet: Some(wallet()),
            theme,
        });
    }
    all_read_back(&[
        ReadError::NotFound,
        ReadError::Guest,
        ReadError::Unavailable,
        ReadError::BadRequest,
    ]);
}

#[test]
fn what_commands_answer() {
    for refusal in refusals() {
        reads_back(&NotDone::Refused(refusal));
    }
    for code in Problem::ALL {
        reads_back(&NotDone::Invalid {
            code,
            field: "amount".into(),
        });
    }
    for code in Fault::ALL {
        reads_back(&NotDone::Failed { code });
    }
    all_read_back(&kept());
}

fn pushes() -> Vec<Push> {
    let closed = |outcome| {
        Push::Event(LotEvent::Closed {
            status: Status::Passed,
            outcome,
            closes_at: Timestamp(2),
        })
    };
    let mut all = vec![
        Push::Event(LotEvent::Bid {
            line: line(),
            closes_at: Timestamp(1),
            extended: true,
            reserve: Reserve::Met,
            next_minimum: usd(1),
        }),
        Push::Tick { price: usd(1) },
        Push::Stock {
            units_left: 1,
            line: None,
        },
        Push::Stock {
            units_left: 1,
            line: Some(line()),
        },
        Push::Chat(message()),
        Push::Removed {
            message: message().id,
        },
        Push::Slow { seconds: 30 },
        Push::Crowd(crowd()),
        Push::Card(lot(english(None), None)),
        Push::Activity(activity(ActivityKind::Bid)),
        Push::Wallet(wallet()),
    ];
    all.extend(all_outcomes().into_iter().map(closed));
    all.extend(notices().into_iter().map(Push::Notice));
    all
}

#[test]
fn what_the_socket_says() {
    let channel = Channel::Lot(id("lot_", 3));
    let position = Position {
        epoch: 1,
        offset: 2,
    };
    let mut all = vec![
        ServerMessage::Hello { acting: None },
        ServerMessage::Hello {
            acting: Some("lena".into()),
        },
        ServerMessage::Done { id: 1 },
        ServerMessage::Subscribed {
            id: 1,
            channel: Channel::Chat(id("lot_", 3)),
            recovered: true,
        },
        ServerMessage::Pong { id: 1 },
        ServerMessage::Ping,
        ServerMessage::Resync {
            channel: Channel::Me,
        },
    ];
    all.extend(pushes().into_iter().map(|push| ServerMessage::Push {
        channel,
        position: matches!(push, Push::Event(_)).then_some(position),
        push: Box::new(push),
    }));
    let snapshots = [
        Snapshot::Room(room()),
        Snapshot::Chat(chat()),
        Snapshot::Crowd(crowd()),
        Snapshot::Me { wallet: None },
        Snapshot::Me {
            wallet: Some(wallet()),
        },
        Snapshot::Floor(floor()),
    ];
    all.extend(snapshots.map(|snapshot| ServerMessage::Snapshot {
        channel: Channel::Floor,
        snapshot: Box::new(snapshot),
    }));
    use ErrorCode as E;
    let codes = [
        E::Malformed,
        E::NotFound,
        E::SignIn,
        E::InvalidText,
        E::RateLimited,
        E::TooManyChannels,
        E::Forbidden,
        E::InvalidDuration,
        E::Muted,
        E::SlowMode,
        E::Unavailable,
    ];
    all.extend(codes.map(|code| ServerMessage::Error {
        id: None,
        code,
        message: "no".into(),
        temporary: false,
        until: (code == E::SlowMode).then_some(Timestamp(9)),
    }));
    all.extend(
        [None, Some(message().id)].map(|before| ServerMessage::History {
            id: 1,
            messages: chat().messages,
            before,
        }),
    );
    for message in all {
        reads_back(&ServerFrame {
            server_time: Timestamp(1),
            message,
        });
    }
}

#[test]
fn what_is_not_of_the_form_is_none() {
    let json = |text: &str| Json::parse(text).expect("JSON");
    assert_eq!(Money::read(&json(r#"{"minor":1}"#)), None);
    let beyond = r#"{"minor":9007199254740992,"currency":"USD"}"#;
    assert_eq!(Money::read(&json(beyond)), None);
    assert_eq!(Increments::read(&json("[]")), None);
    assert_eq!(ServerMessage::read(&json(r#"{"type":"later"}"#)), None);
    assert_eq!(u32::read(&json("4294967296")), None);
    assert_eq!(Option::<u32>::read(&Json::Null), Some(None));
}
