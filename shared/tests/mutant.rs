//! M16, an engine that reads amounts by way of floating point: the numbers tell.
#![cfg(feature = "mutants")]

use shared::mutant::{self, Mutant};
use shared::{Currency, Money};

/// Amounts that are not what they were after being written and read again.
fn changed_amounts() -> usize {
    let amounts = (0..10_000).chain((0..2_000).map(|n| n * 4_503_599_627_370 + 29));
    let changed = |minor: &i64| {
        let amount = Money::new(*minor, Currency::Usd).expect("in range");
        Money::parse_major(&amount.major(), Currency::Usd) != Ok(amount)
    };
    amounts.filter(changed).count()
}

/// One test, since a process stays the engine that it once is.
#[test]
fn m16_amounts_by_way_of_floating_point() {
    assert_eq!(changed_amounts(), 0, "our own are exact");
    mutant::choose(Mutant::FloatMoney);
    assert!(changed_amounts() > 100, "0.29 becomes 28 cents");
}
