//! Units at one price: exactly as many as there are, from as few buckets as can be.

use super::*;
use crate::auction::drop::{MAX_BUCKETS, MAX_UNITS};
use proptest::prelude::*;

fn buckets(most: usize, fill: u32) -> impl Strategy<Value = Vec<Bucket>> {
    proptest::collection::vec(0..=fill, 0..=most).prop_map(|stock| {
        stock
            .into_iter()
            .zip(0_i32..)
            .map(|(available, number)| Bucket { number, available })
            .collect()
    })
}

/// The fewest buckets that hold `units`, by trying every set of them.
fn fewest(buckets: &[Bucket], units: u32) -> Option<usize> {
    (0_u32..1 << buckets.len())
        .filter_map(|set| {
            let chosen = buckets
                .iter()
                .enumerate()
                .filter(|(place, _)| set >> place & 1 == 1);
            let sum: u32 = chosen.map(|(_, bucket)| bucket.available).sum();
            (sum >= units).then(|| usize::try_from(set.count_ones()).expect("small"))
        })
        .min()
}

proptest! {
    #[test]
    fn stock_is_taken_from_the_fewest_buckets_and_never_beyond_them(
        buckets in buckets(9, 6),
        units in 0_u32..40,
        start in any::<usize>(),
    ) {
        let takes = allocate(&buckets, units, start);
        let expected = fewest(&buckets, units).filter(|_| units > 0);
        prop_assert_eq!(takes.as_ref().map(Vec::len), expected);
        let takes = takes.unwrap_or_default();
        let mut seen = std::collections::BTreeSet::new();
        for take in &takes {
            prop_assert!(seen.insert(take.number), "a bucket is taken from once");
            let bucket = buckets.iter().find(|b| b.number == take.number).expect("exists");
            prop_assert!(take.units >= 1 && take.units <= bucket.available);
        }
        let sum: u32 = takes.iter().map(|take| take.units).sum();
        prop_assert_eq!(sum, if expected.is_some() { units } else { 0 });
    }

    #[test]
    fn a_single_bucket_is_looked_for_from_the_start_given(
        buckets in buckets(9, 6),
        units in 1_u32..6,
        start in 0_usize..30,
    ) {
        let Some(length) = std::num::NonZeroUsize::new(buckets.len()) else { return Ok(()) };
        let turned = (0..length.get()).map(|n| &buckets[(start + n) % length]);
        let first = turned.into_iter().find(|bucket| bucket.available >= units);
        if let Some(bucket) = first {
            let take = Take { number: bucket.number, units };
            prop_assert_eq!(allocate(&buckets, units, start), Some(vec![take]));
        }
    }

    #[test]
    fn a_split_is_even_and_loses_nothing(units in 0..=MAX_UNITS) {
        let split = split_stock(units);
        prop_assert_eq!(split.iter().map(|bucket| bucket.available).sum::<u32>(), units);
        let most = split.iter().map(|bucket| bucket.available).max().expect("never empty");
        let least = split.iter().map(|bucket| bucket.available).min().expect("never empty");
        prop_assert!(most - least <= 1);
        prop_assert!(split.len() <= usize::try_from(MAX_BUCKETS).expect("small"));
        let numbers: Vec<i32> = split.iter().map(|bucket| bucket.number).collect();
        prop_assert_eq!(numbers, (0..).take(split.len()).collect::<Vec<i32>>());
    }

    #[test]
    fn claims_sell_every_unit_once_and_none_twice(
        units in 1_u32..60,
        limit in proptest::option::of(1_u32..12),
        claims in proptest::collection::vec((0_usize..12, 1_u32..6, any::<usize>()), 1..120),
    ) {
        let mut drop = Drop { units, units_left: units, limit, ..ten_units() };
        let mut stock = split_stock(units);
        let mut bought = [0_u32; 12];
        // One unit each for a crowd that comes last: what is left then goes to the last unit.
        let crowd = (0..).map(|n| (n % 12, 1, n)).take(12 * 60);
        for (who, wanted, start) in claims.into_iter().chain(crowd) {
            let buyer = person(u128::try_from(who + 1).expect("small"));
            let claim = claim(buyer, wanted, usd(2_000));
            let decision = lot(Book::Drop(drop)).claim(&claim, usd(1_000_000), bought[who], DURING);
            let over = limit.is_some_and(|limit| bought[who] + wanted > limit);
            match decision {
                Err(refusal) if drop.units_left < wanted => {
                    prop_assert_eq!(refusal, Refusal::SoldOut { units_left: drop.units_left });
                }
                Err(refusal) => {
                    prop_assert!(over, "refused with {:?} while units are left", refusal);
                    let limit = limit.expect("over it");
                    prop_assert_eq!(refusal, Refusal::LimitReached { limit, bought: bought[who] });
                }
                Ok(accepted) => {
                    prop_assert!(!over && accepted.units == wanted);
                    prop_assert_eq!(accepted.total, usd(2_000 * i64::from(wanted)));
                    for take in allocate(&stock, wanted, start).expect("the sum suffices") {
                        let bucket = stock.iter_mut().find(|b| b.number == take.number);
                        bucket.expect("exists").available -= take.units;
                    }
                    drop.units_left -= wanted;
                    bought[who] += wanted;
                }
            }
            let in_stock: u32 = stock.iter().map(|bucket| bucket.available).sum();
            prop_assert_eq!(in_stock, drop.units_left);
            prop_assert_eq!(bought.iter().sum::<u32>(), drop.units_sold());
        }
        let reach = limit.map_or(units, |limit| limit.saturating_mul(12)).min(units);
        prop_assert_eq!(drop.units_sold(), reach, "sold out, unless the limit forbids it");
    }

    #[test]
    fn no_number_of_units_makes_the_rules_panic(
        price in prop_oneof![Just(0), Just(1), Just(MAX_MINOR)],
        units in prop_oneof![Just(0), Just(1), Just(MAX_UNITS), Just(u32::MAX)],
        units_left in prop_oneof![Just(0), Just(1), Just(u32::MAX)],
        limit in prop_oneof![Just(None), Just(Some(0)), Just(Some(u32::MAX))],
        wanted in prop_oneof![Just(0), Just(1), Just(MAX_UNITS), Just(u32::MAX)],
        bought in prop_oneof![Just(0), Just(u32::MAX)],
    ) {
        let lot = lot(Book::Drop(Drop { price: usd(price), units, units_left, limit }));
        let decision = lot.claim(&claim(BUYER, wanted, usd(MAX_MINOR)), usd(MAX_MINOR), bought, DURING);
        if let Ok(accepted) = decision {
            prop_assert_eq!(accepted.total.minor(), price * i64::from(wanted));
        }
        prop_assert!(lot.close(CLOSES).is_ok());
    }
}

#[test]
fn small_stock_is_not_split_thin() {
    for (units, count) in [
        (0, 1),
        (1, 1),
        (3, 1),
        (4, 2),
        (127, 63),
        (128, 64),
        (MAX_UNITS, 64),
    ] {
        assert_eq!(bucket_count(units), count, "{units} units");
    }
}

#[test]
fn a_total_beyond_the_range_is_no_valid_claim() {
    let lot = lot(Book::Drop(Drop {
        price: usd(MAX_MINOR),
        limit: None,
        ..ten_units()
    }));
    let two = lot.claim(&claim(BUYER, 2, usd(MAX_MINOR)), usd(MAX_MINOR), 0, DURING);
    assert_eq!(two, Err(Refusal::InvalidAmount));
    let one = lot.claim(&claim(BUYER, 1, usd(MAX_MINOR)), usd(MAX_MINOR), 0, DURING);
    assert_eq!(one.expect("in range").total, usd(MAX_MINOR));
}
