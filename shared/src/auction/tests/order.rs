//! Where several refusals apply, the first of the documented order is given. Each table goes
//! down that order: a row adds a fault to the ones below it.

use super::*;

const EARLY: Timestamp = Timestamp(OPENS.0 - 1);

fn over(book: Book) -> Lot {
    Lot {
        status: Status::Sold,
        ..lot(book)
    }
}

#[test]
fn a_bid_is_refused_for_its_first_fault() {
    let open = lot(Book::English(english()));
    let ended = over(Book::English(english()));
    let rows = [
        (
            lot(Book::Dutch(dutch())),
            SELLER,
            yen(-1),
            CLOSES,
            "wrong_mechanism",
        ),
        (
            over(Book::Drop(ten_units())),
            SELLER,
            yen(0),
            EARLY,
            "wrong_mechanism",
        ),
        (ended.clone(), SELLER, yen(0), EARLY, "own_lot"),
        (ended.clone(), BUYER, yen(0), EARLY, "currency_mismatch"),
        (ended.clone(), BUYER, usd(0), EARLY, "invalid_amount"),
        (ended.clone(), BUYER, usd(-5), EARLY, "invalid_amount"),
        (
            ended.clone(),
            BUYER,
            usd(MAX_MINOR),
            EARLY,
            "invalid_amount",
        ),
        (ended, BUYER, usd(1), EARLY, "ended"),
        (open.clone(), BUYER, usd(1), EARLY, "not_live"),
        (open.clone(), BUYER, usd(1), CLOSES, "ended"),
        (open.clone(), BUYER, usd(999), DURING, "too_low"),
        (open, BUYER, usd(1_000), DURING, "insufficient"),
    ];
    for (lot, who, amount, now, code) in rows {
        let refusal = lot.bid(&bid(who, amount), usd(0), now);
        let refusal = refusal.expect_err(code);
        assert_eq!(refusal.code(), code, "{who} {amount} {now:?} on {lot:?}");
    }
}

#[test]
fn a_claim_on_a_drop_is_refused_for_its_first_fault() {
    let short = Drop {
        units_left: 2,
        ..ten_units()
    };
    let dear = Book::Drop(Drop {
        price: usd(MAX_MINOR),
        ..short
    });
    let gone = Book::Drop(Drop {
        units_left: 0,
        ..short
    });
    let (open, ended) = (lot(Book::Drop(short)), over(Book::Drop(short)));
    let rows = [
        (
            over(Book::English(english())),
            SELLER,
            0,
            yen(0),
            EARLY,
            "wrong_mechanism",
        ),
        (ended.clone(), SELLER, 0, yen(0), EARLY, "own_lot"),
        (ended.clone(), BUYER, 0, yen(0), EARLY, "currency_mismatch"),
        (ended.clone(), BUYER, 3, usd(0), EARLY, "invalid_amount"),
        (ended.clone(), BUYER, 0, usd(1), EARLY, "invalid_amount"),
        (
            ended.clone(),
            BUYER,
            1_000_001,
            usd(1),
            EARLY,
            "invalid_amount",
        ),
        (over(dear), BUYER, 3, usd(1), EARLY, "invalid_amount"),
        (ended, BUYER, 3, usd(1), EARLY, "ended"),
        (over(gone.clone()), BUYER, 1, usd(1), DURING, "sold_out"),
        (lot(gone), BUYER, 1, usd(1), CLOSES, "sold_out"),
        (open.clone(), BUYER, 3, usd(1), EARLY, "not_live"),
        (open.clone(), BUYER, 3, usd(1), CLOSES, "ended"),
        (open.clone(), BUYER, 3, usd(1), DURING, "sold_out"),
        (open.clone(), BUYER, 2, usd(1), DURING, "limit_reached"),
        (open.clone(), BUYER, 1, usd(1_999), DURING, "price_moved"),
        (open, BUYER, 1, usd(2_000), DURING, "insufficient"),
    ];
    for (lot, who, units, max_price, now, code) in rows {
        let refusal = lot.claim(&claim(who, units, max_price), usd(0), 3, now);
        let refusal = refusal.expect_err(code);
        assert_eq!(
            refusal.code(),
            code,
            "{who} {units} × {max_price} {now:?} on {lot:?}"
        );
    }
}

#[test]
fn a_claim_on_a_dutch_lot_is_refused_for_its_first_fault() {
    let (open, ended) = (lot(Book::Dutch(dutch())), over(Book::Dutch(dutch())));
    let rows = [
        (ended.clone(), SELLER, 2, yen(0), EARLY, "own_lot"),
        (ended.clone(), BUYER, 2, yen(0), EARLY, "currency_mismatch"),
        (ended.clone(), BUYER, 1, usd(0), EARLY, "invalid_amount"),
        (ended.clone(), BUYER, 2, usd(1), EARLY, "invalid_amount"),
        (ended, BUYER, 1, usd(1), EARLY, "ended"),
        (open.clone(), BUYER, 1, usd(1), EARLY, "not_live"),
        (open.clone(), BUYER, 1, usd(1), CLOSES, "ended"),
        (open.clone(), BUYER, 1, usd(1_099), DURING, "price_moved"),
        (open, BUYER, 1, usd(1_100), DURING, "insufficient"),
    ];
    for (lot, who, units, max_price, now, code) in rows {
        let refusal = lot.claim(&claim(who, units, max_price), usd(0), 0, now);
        let refusal = refusal.expect_err(code);
        assert_eq!(
            refusal.code(),
            code,
            "{who} {units} × {max_price} {now:?} on {lot:?}"
        );
    }
}

#[test]
fn money_of_another_currency_covers_nothing() {
    let wrong = Refusal::CurrencyMismatch {
        expected: Currency::Usd,
    };
    let rich = yen(1_000_000);
    let bid = bid(BUYER, usd(1_000));
    for high in [None, Some(led_by(BUYER, 900))] {
        let lot = lot(Book::English(English { high, ..english() }));
        assert_eq!(lot.bid(&bid, rich, DURING), Err(wrong.clone()));
    }
    let claim = claim(BUYER, 1, usd(9_000));
    for book in [Book::Dutch(dutch()), Book::Drop(ten_units())] {
        assert_eq!(lot(book).claim(&claim, rich, 0, DURING), Err(wrong.clone()));
    }
}

/// One of each.
fn every_refusal() -> Vec<Refusal> {
    vec![
        Refusal::NotFound,
        Refusal::NotLive { opens_at: OPENS },
        Refusal::Ended,
        Refusal::TooLow { minimum: usd(1) },
        Refusal::Insufficient {
            needed: usd(2),
            available: usd(1),
        },
        Refusal::SoldOut { units_left: 0 },
        Refusal::SoldOut { units_left: 2 },
        Refusal::PriceMoved { price: usd(1) },
        Refusal::OwnLot,
        Refusal::LimitReached {
            limit: 4,
            bought: 3,
        },
        Refusal::WrongMechanism {
            mechanism: Mechanism::English,
        },
        Refusal::WrongMechanism {
            mechanism: Mechanism::Dutch,
        },
        Refusal::CurrencyMismatch {
            expected: Currency::Kwd,
        },
        Refusal::InvalidAmount,
        Refusal::NotDue { closes_at: CLOSES },
        Refusal::TopUpLimit { most: usd(1) },
    ]
}

#[test]
fn every_refusal_keeps_its_code_on_the_wire_and_says_something() {
    for refusal in every_refusal() {
        let wire = serde_json::to_value(&refusal).expect("writes");
        assert_eq!(wire["code"], refusal.code());
        let read: Refusal = serde_json::from_value(wire).expect("reads");
        assert_eq!(read, refusal);
        let sentence = refusal.sentence();
        assert!(sentence.ends_with('.') && sentence.len() > 10, "{sentence}");
        assert!(
            !sentence.contains(refusal.code()),
            "words, not codes: {sentence}"
        );
    }
}
