//! The rules of the three mechanisms: tables for what the documentation promises, and random
//! sequences against reference models that are written in another way than the rules.

mod close;
mod drop;
mod dutch;
mod english;
mod order;
mod plan;

use super::english::Band;
use super::*;
use crate::money::MAX_MINOR;
use crate::{BidId, HoldId};
use uuid::Uuid;

const OPENS: Timestamp = Timestamp(10_000);
const CLOSES: Timestamp = Timestamp(70_000);
const HARD_END: Timestamp = Timestamp(100_000);
const DURING: Timestamp = Timestamp(20_000);
const SELLER: PrincipalId = person(0);
const BUYER: PrincipalId = person(1);

const fn person(number: u128) -> PrincipalId {
    PrincipalId::from_uuid(Uuid::from_u128(number))
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).expect("in range")
}

fn yen(minor: i64) -> Money {
    Money::new(minor, Currency::Jpy).expect("in range")
}

fn lot(book: Book) -> Lot {
    Lot {
        id: LotId::from_uuid(Uuid::from_u128(7)),
        seller: SELLER,
        currency: Currency::Usd,
        opens_at: OPENS,
        closes_at: CLOSES,
        status: Status::Open,
        version: 1,
        book,
    }
}

/// Opening $10, raises of $1 below $20, $5 below $100 and $10 from there on.
fn english() -> English {
    let bands =
        [(0, 100), (2_000, 500), (10_000, 1_000)].map(|(from_minor, increment_minor)| Band {
            from_minor,
            increment_minor,
        });
    English {
        opening: usd(1_000),
        increments: Increments::new(bands.to_vec()).expect("rising bands"),
        reserve: None,
        extension: Extension {
            window_ms: 10_000,
            hard_end: HARD_END,
        },
        high: None,
    }
}

fn led_by(bidder: PrincipalId, minor: i64) -> HighBid {
    HighBid {
        bid: BidId::from_uuid(Uuid::from_u128(50)),
        funds: FundSource::Wallet(bidder),
        hold: HoldId::from_uuid(Uuid::from_u128(51)),
        amount: usd(minor),
    }
}

/// From $50 by $7 a second down to $11.
fn dutch() -> Dutch {
    Dutch {
        start: usd(5_000),
        floor: usd(1_100),
        step_minor: 700,
        tick_ms: 1_000,
    }
}

/// Ten units at $20, at most four a buyer.
fn ten_units() -> Drop {
    Drop {
        price: usd(2_000),
        units: 10,
        units_left: 10,
        limit: Some(4),
    }
}

fn bid(bidder: PrincipalId, amount: Money) -> Bid {
    Bid {
        funds: FundSource::Wallet(bidder),
        region: Region::Tokyo,
        amount,
    }
}

fn claim(buyer: PrincipalId, units: u32, max_price: Money) -> Claim {
    Claim {
        buyer,
        region: Region::Seoul,
        units,
        max_price,
    }
}
