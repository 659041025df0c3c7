//! The price: the loudest thing on the page, and which way it went.

use crate::erase::{Erase, drawn};
use leptos::prelude::*;
use shared::Money;

/// Which way a price went last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Still,
    Up,
    Down,
}

impl Direction {
    const fn class(self) -> &'static str {
        match self {
            Self::Still => "price-figure",
            Self::Up => "price-figure rose",
            Self::Down => "price-figure fell",
        }
    }

    fn from_to(before: (Money, Self), now: Money) -> Self {
        match now.minor().cmp(&before.0.minor()) {
            core::cmp::Ordering::Greater => Self::Up,
            core::cmp::Ordering::Less => Self::Down,
            core::cmp::Ordering::Equal => before.1,
        }
    }
}

/// A price that is drawn anew when it changes, so that the change is seen.
#[component]
pub fn Price(
    /// The price.
    #[prop(into)]
    amount: Signal<Money>,
) -> impl IntoView {
    let shown = Memo::new(move |before: Option<&(Money, Direction)>| {
        let now = amount.get();
        let direction = before.map_or(Direction::Still, |b| Direction::from_to(*b, now));
        (now, direction)
    });
    view! {
        <span class="price" data-length=drawn(move || length_word(shown.get().0))>
            {drawn(move || {
                let (amount, direction) = shown.get();
                view! {
                    <data class=direction.class() data-testid="price" value=amount.minor().to_string()>
                        {amount.to_string()}
                    </data>
                }
                .erase()
            })}
        </span>
    }
    .erase()
}

/// From this many characters on a price is set smaller, so that it stays on one line.
const LONG: usize = 8;
/// And from this many on smaller still.
const LONGEST: usize = 11;

/// How long a price is, in words that the style sheet knows.
#[must_use]
pub fn length_word(amount: Money) -> &'static str {
    match amount.to_string().chars().count() {
        LONGEST.. => "longest",
        LONG.. => "long",
        _ => "short",
    }
}

/// An amount of money in running text or a table.
#[component]
pub fn Amount(
    /// The amount.
    #[prop(into)]
    amount: Signal<Money>,
) -> impl IntoView {
    view! {
        <data class="amount" value=drawn(move || amount.get().minor().to_string())>
            {drawn(move || amount.get().to_string())}
        </data>
    }
    .erase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::Currency;

    #[test]
    fn the_direction_is_that_of_the_last_change() {
        let usd = |minor| Money::new(minor, Currency::Usd).expect("in range");
        let up = Direction::from_to((usd(5), Direction::Still), usd(6));
        assert_eq!(up, Direction::Up);
        assert_eq!(Direction::from_to((usd(6), up), usd(6)), Direction::Up);
        assert_eq!(Direction::from_to((usd(6), up), usd(2)), Direction::Down);
    }

    #[test]
    fn a_long_price_says_so() {
        let usd = |minor| Money::new(minor, Currency::Usd).expect("in range");
        assert_eq!(length_word(usd(125_000)), "short");
        assert_eq!(length_word(usd(1_250_050)), "long");
        assert_eq!(length_word(usd(123_456_789)), "longest");
    }
}
