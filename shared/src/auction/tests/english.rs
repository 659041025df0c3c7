//! Rising bids: random auctions against a model that knows only who has how much.

use super::*;
use crate::ledger::Wallet;
use proptest::prelude::*;

/// An amount that finds the borders: near the minimum of the moment, or anything.
#[derive(Clone, Copy, Debug)]
enum Offer {
    Over(i64),
    Exactly(i64),
}

#[derive(Clone, Copy, Debug)]
struct Step {
    /// 0 is the seller.
    who: usize,
    offer: Offer,
    after_ms: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let offer = prop_oneof![
        4 => (-2_i64..=300).prop_map(Offer::Over),
        1 => (-50_i64..30_000).prop_map(Offer::Exactly),
    ];
    let after_ms = prop_oneof![3 => 0_i64..3_000, 1 => 0_i64..20_000];
    (0_usize..=5, offer, after_ms).prop_map(|(who, offer, after_ms)| Step {
        who,
        offer,
        after_ms,
    })
}

/// What one bidder brought, and how much of it other lots hold.
fn purse() -> impl Strategy<Value = (i64, i64)> {
    (0_i64..40_000).prop_flat_map(|funded| (Just(funded), 0..=funded / 2))
}

fn increments() -> impl Strategy<Value = Vec<Band>> {
    let band = (1_i64..3_000, 1_i64..700);
    (1_i64..700, proptest::collection::vec(band, 0..4)).prop_map(|(first, more)| {
        let mut from_minor = 0;
        let mut bands = vec![Band {
            from_minor,
            increment_minor: first,
        }];
        for (width, increment_minor) in more {
            from_minor += width;
            bands.push(Band {
                from_minor,
                increment_minor,
            });
        }
        bands
    })
}

/// The least raise, found forwards where the rule looks backwards.
fn least_raise(bands: &[Band], price: i64) -> i64 {
    let mut raise = bands[0].increment_minor;
    for band in bands {
        if price >= band.from_minor {
            raise = band.increment_minor;
        }
    }
    raise
}

/// The model: purses, one leader, an end.
struct Model {
    bands: Vec<Band>,
    opening: i64,
    window_ms: i64,
    purses: Vec<(i64, i64)>,
    leader: Option<(usize, i64)>,
    closes_at: i64,
}

impl Model {
    fn minimum(&self) -> i64 {
        self.leader.map_or(self.opening, |(_, price)| {
            price + least_raise(&self.bands, price)
        })
    }

    /// Whoever has brought enough can pay: nothing else of theirs is bound on this lot.
    fn affords(&self, who: usize, amount: i64) -> bool {
        let (funded, elsewhere) = self.purses[who];
        amount <= funded - elsewhere
    }

    fn code(&self, who: usize, amount: i64, now: i64) -> Option<&'static str> {
        let checks = [
            (who == 0, "own_lot"),
            (amount <= 0, "invalid_amount"),
            (now < OPENS.0, "not_live"),
            (now >= self.closes_at, "ended"),
            (amount < self.minimum(), "too_low"),
            (!self.affords(who, amount), "insufficient"),
        ];
        checks
            .iter()
            .find(|(fails, _)| *fails)
            .map(|(_, code)| *code)
    }
}

/// Applies an accepted bid to the wallets as the ledger does: void, then hold.
fn move_money(wallets: &mut [Wallet], who: usize, accepted: &BidAccepted) {
    if let Some(displaced) = accepted.displaced {
        let loser = usize::try_from(displaced.bidder().uuid().as_u128()).expect("small");
        let before = wallets[loser].available();
        wallets[loser] = wallets[loser].void(displaced.amount).expect("was held");
        let freed = wallets[loser].available().checked_sub(before);
        assert_eq!(
            freed,
            Ok(displaced.amount),
            "the displaced bid is free again"
        );
    }
    wallets[who] = wallets[who].hold(accepted.amount).expect("was available");
}

fn lead(lot: &mut Lot, who: usize, accepted: &BidAccepted) {
    lot.closes_at = accepted.closes_at;
    lot.version = accepted.version;
    if let Book::English(english) = &mut lot.book {
        english.high = Some(HighBid {
            funds: FundSource::Wallet(person(u128::try_from(who).expect("small"))),
            ..led_by(BUYER, accepted.amount.minor())
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_auction_goes_as_the_model_says(
        bands in increments(),
        opening in 1_i64..3_000,
        window_ms in 0_i64..15_000,
        purses in proptest::collection::vec(purse(), 6),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut lot = lot(Book::English(English {
            opening: usd(opening),
            increments: Increments::new(bands.clone()).expect("rising"),
            extension: Extension { window_ms, hard_end: HARD_END },
            ..english()
        }));
        let mut wallets: Vec<Wallet> = purses.iter().map(|(funded, elsewhere)| {
            let wallet = Wallet::empty(Currency::Usd).top_up(usd(*funded)).expect("in range");
            wallet.hold(usd(*elsewhere)).expect("is there")
        }).collect();
        let elsewhere: i64 = purses.iter().map(|(_, elsewhere)| elsewhere).sum();
        let mut model = Model {
            bands, opening, window_ms, purses, leader: None, closes_at: CLOSES.0,
        };
        let mut now = OPENS.0 - 2_000;

        for step in steps {
            now += step.after_ms;
            let who = step.who;
            let amount = match step.offer {
                Offer::Over(over) => model.minimum() + over,
                Offer::Exactly(amount) => amount,
            };
            let offer = |minor| {
                let bid = bid(person(u128::try_from(who).expect("small")), usd(minor));
                lot.bid(&bid, wallets[who].available(), Timestamp(now))
            };
            let decision = offer(amount);
            prop_assert_eq!(
                decision.as_ref().err().map(Refusal::code),
                model.code(who, amount, now),
                "{:?} offers {} at {}", who, amount, now
            );
            if let Err(Refusal::TooLow { minimum }) = decision {
                prop_assert_eq!(minimum, usd(model.minimum()));
                let at_minimum = offer(minimum.minor());
                prop_assert_eq!(at_minimum.is_ok(), model.affords(who, minimum.minor()));
                let below = offer(minimum.minor() - 1);
                let code = below.expect_err("below the minimum").code();
                let zero = minimum.minor() == 1;
                prop_assert_eq!(code, if zero { "invalid_amount" } else { "too_low" });
            }
            let Ok(accepted) = decision else { continue };

            let price = model.leader.map_or(0, |(_, price)| price);
            prop_assert!(accepted.amount.minor() > price, "the price only rises");
            prop_assert_eq!(accepted.version, lot.version + 1);
            prop_assert_eq!(accepted.displaced.map(|high| high.amount.minor()), model.leader.map(|l| l.1));
            let available = wallets[who].available().minor();
            move_money(&mut wallets, who, &accepted);
            if let Some((leader, price)) = model.leader && leader == who {
                let paid = available - wallets[who].available().minor();
                prop_assert_eq!(paid, amount - price, "a raise costs the difference");
            }

            let extended = model.closes_at < (now + model.window_ms).min(HARD_END.0);
            prop_assert_eq!(accepted.extended, extended);
            model.closes_at = model.closes_at.max((now + model.window_ms).min(HARD_END.0));
            model.leader = Some((who, amount));
            prop_assert_eq!(accepted.closes_at.0, model.closes_at);
            prop_assert!(accepted.closes_at >= lot.closes_at && accepted.closes_at <= HARD_END);
            prop_assert_eq!(accepted.next_minimum, usd(model.minimum()));

            lead(&mut lot, who, &accepted);
            let held: i64 = wallets.iter().map(|wallet| wallet.held.minor()).sum();
            prop_assert_eq!(held - elsewhere, amount, "exactly the leading bid is held");
        }
    }

    #[test]
    fn no_amount_or_moment_makes_the_rules_panic(
        amount in MAX_MINOR - 3_000..=MAX_MINOR,
        high in proptest::option::of(MAX_MINOR - 3_000..=MAX_MINOR),
        available in prop_oneof![Just(MAX_MINOR), Just(-MAX_MINOR), 0..MAX_MINOR],
        own in any::<bool>(),
        now in prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(DURING.0)],
    ) {
        let leader = if own { BUYER } else { person(2) };
        let lot = lot(Book::English(English {
            high: high.map(|minor| led_by(leader, minor)),
            ..english()
        }));
        let decision = lot.bid(&bid(BUYER, usd(amount)), usd(available), Timestamp(now));
        if let Ok(accepted) = decision {
            prop_assert!(accepted.next_minimum.minor() <= MAX_MINOR);
        }
    }
}

#[test]
fn the_band_of_the_present_price_sets_the_raise() {
    for (price, next) in [
        (1_000, 1_100),
        (1_999, 2_099),
        (2_000, 2_500),
        (2_001, 2_501),
        (9_999, 10_499),
        (10_000, 11_000),
    ] {
        let english = English {
            high: Some(led_by(person(2), price)),
            ..english()
        };
        assert_eq!(english.minimum(), Some(usd(next)), "over {price}");
    }
    assert_eq!(english().minimum(), Some(usd(1_000)), "the opening itself");
    assert_eq!(Increments::flat(0).at(5), 1, "a raise is never nothing");
}

#[test]
fn bands_that_make_no_sense_cannot_be_built() {
    let band = |from_minor, increment_minor| Band {
        from_minor,
        increment_minor,
    };
    let too_many = (0..17).map(|n| band(n, 1)).collect();
    for bad in [
        vec![],
        vec![band(1, 1)],
        vec![band(0, 0)],
        vec![band(0, 1), band(0, 2)],
        vec![band(0, 1), band(9, 1), band(5, 1)],
        too_many,
    ] {
        assert_eq!(Increments::new(bad.clone()), None, "{bad:?}");
    }
    let most: Vec<Band> = (0..16).map(|n| band(n, 1)).collect();
    assert_eq!(Increments::new(most.clone()).expect("valid").bands(), most);
}

#[test]
fn raising_ones_own_bid_needs_only_the_difference() {
    let lot = lot(Book::English(English {
        high: Some(led_by(BUYER, 3_000)),
        ..english()
    }));
    let raise = |available| lot.bid(&bid(BUYER, usd(3_500)), usd(available), DURING);
    assert_eq!(
        raise(500).expect("covered").displaced,
        Some(led_by(BUYER, 3_000))
    );
    assert_eq!(
        raise(499),
        Err(Refusal::Insufficient {
            needed: usd(3_500),
            available: usd(3_499)
        })
    );
    let stranger = lot.bid(&bid(person(2), usd(3_500)), usd(500), DURING);
    assert_eq!(
        stranger,
        Err(Refusal::Insufficient {
            needed: usd(3_500),
            available: usd(500)
        })
    );
}

#[test]
fn the_end_moves_only_for_late_bids_and_stops_at_the_hard_end() {
    let accepted = |closes_at, now| {
        let mut lot = lot(Book::English(english()));
        lot.closes_at = Timestamp(closes_at);
        let accepted = lot.bid(&bid(BUYER, usd(1_000)), usd(1_000), Timestamp(now));
        let accepted = accepted.expect("valid");
        (accepted.closes_at.0, accepted.extended)
    };
    assert_eq!(accepted(70_000, 60_000), (70_000, false), "just before");
    assert_eq!(accepted(70_000, 60_001), (70_001, true), "just within");
    assert_eq!(accepted(70_000, 69_999), (79_999, true), "the last moment");
    assert_eq!(accepted(95_000, 94_999), (100_000, true), "capped");
    assert_eq!(accepted(100_000, 99_999), (100_000, false), "no further");
    assert_eq!(accepted(120_000, 119_999), (120_000, false), "never back");
}

#[test]
fn the_end_of_the_number_range_refuses_and_does_not_confuse() {
    let lot = |high: Option<i64>, opening| {
        lot(Book::English(English {
            opening: usd(opening),
            high: high.map(|minor| led_by(BUYER, minor)),
            ..english()
        }))
    };
    let offer =
        |lot: &Lot, minor, available| lot.bid(&bid(BUYER, usd(minor)), usd(available), DURING);
    // A price that nobody could raise.
    let opened_at_most = lot(None, MAX_MINOR);
    let most = offer(&opened_at_most, MAX_MINOR, MAX_MINOR);
    assert_eq!(most, Err(Refusal::InvalidAmount));
    let led = lot(Some(MAX_MINOR), 1);
    let beyond = offer(&led, MAX_MINOR, MAX_MINOR);
    assert_eq!(beyond, Err(Refusal::InvalidAmount));
    // Own hold and available together lie beyond the range: that is more than enough.
    let led = lot(Some(MAX_MINOR - 9_000), 1);
    let raised = offer(&led, MAX_MINOR - 8_000, MAX_MINOR).expect("covered many times");
    assert_eq!(raised.next_minimum, usd(MAX_MINOR - 7_000));
}
