//! Money: integer minor units with a currency, checked arithmetic, no floats.

use crate::mutant::{self, Mutant};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// The largest amount, in minor units, in either direction: 2^53 − 1, so that clients whose
/// numbers are doubles stay exact.
pub const MAX_MINOR: i64 = (1 << 53) - 1;

/// A currency of ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// United States dollar, two decimals.
    Usd,
    /// Euro, two decimals.
    Eur,
    /// Pound sterling, two decimals.
    Gbp,
    /// Japanese yen, no decimals.
    Jpy,
    /// South Korean won, no decimals.
    Krw,
    /// Kuwaiti dinar, three decimals.
    Kwd,
}

impl Currency {
    /// Every currency the house knows.
    pub const ALL: [Self; 6] = [
        Self::Usd,
        Self::Eur,
        Self::Gbp,
        Self::Jpy,
        Self::Krw,
        Self::Kwd,
    ];

    /// The three letters of ISO 4217.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
            Self::Jpy => "JPY",
            Self::Krw => "KRW",
            Self::Kwd => "KWD",
        }
    }

    /// Decimals between the minor and the major unit, by ISO 4217.
    #[must_use]
    pub const fn exponent(self) -> u32 {
        match self {
            Self::Usd | Self::Eur | Self::Gbp => 2,
            Self::Jpy | Self::Krw => 0,
            Self::Kwd => 3,
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Usd => "$",
            Self::Eur => "€",
            Self::Gbp => "£",
            Self::Jpy => "¥",
            Self::Krw => "₩",
            Self::Kwd => "KWD\u{a0}",
        }
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        Self::ALL
            .into_iter()
            .find(|c| c.code() == code)
            .ok_or(MoneyError::UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why an amount could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyError {
    /// The result lies outside ±[`MAX_MINOR`].
    #[error("the amount is out of range")]
    OutOfRange,
    /// Two amounts of different currencies were combined.
    #[error("the currencies differ")]
    CurrencyMismatch,
    /// The code is no currency of the house.
    #[error("the currency is unknown")]
    UnknownCurrency,
    /// The text is no amount, such as `abc`, `1e3` or an empty string.
    #[error("the text is not an amount")]
    NotAnAmount,
    /// The text has more decimals than the currency has.
    #[error("the amount has more decimals than its currency")]
    TooManyDecimals,
}

/// An amount: minor units (cents, yen, fils) of one currency, within ±[`MAX_MINOR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawMoney")]
pub struct Money {
    minor: i64,
    currency: Currency,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMoney {
    minor: i64,
    currency: Currency,
}

impl TryFrom<RawMoney> for Money {
    type Error = MoneyError;

    fn try_from(raw: RawMoney) -> Result<Self, MoneyError> {
        Self::new(raw.minor, raw.currency)
    }
}

impl Money {
    /// An amount of `minor` units.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] beyond ±[`MAX_MINOR`].
    pub const fn new(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        if minor > MAX_MINOR || minor < -MAX_MINOR {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self { minor, currency })
    }

    /// Nothing, in `currency`.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The amount's currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum.
    ///
    /// # Errors
    /// When the currencies differ or the sum is out of range.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        let minor = self
            .minor
            .checked_add(other.minor)
            .ok_or(MoneyError::OutOfRange)?;
        Self::new(minor, self.currency)
    }

    /// The difference.
    ///
    /// # Errors
    /// When the currencies differ or the difference is out of range.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        let minor = self
            .minor
            .checked_sub(other.minor)
            .ok_or(MoneyError::OutOfRange)?;
        Self::new(minor, self.currency)
    }

    /// `units` times the amount.
    ///
    /// # Errors
    /// When the product is out of range.
    pub fn checked_mul(self, units: u32) -> Result<Self, MoneyError> {
        let minor = self
            .minor
            .checked_mul(i64::from(units))
            .ok_or(MoneyError::OutOfRange)?;
        Self::new(minor, self.currency)
    }

    /// Reads what a person typed: `1234`, `1,234.5`, `12.34`. No sign, no exponent, no symbol.
    ///
    /// # Errors
    /// [`MoneyError::NotAnAmount`], [`MoneyError::TooManyDecimals`], [`MoneyError::OutOfRange`].
    pub fn parse_major(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let text = text.trim();
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let whole = ungroup(whole).ok_or(MoneyError::NotAnAmount)?;
        if !digits(decimals) || text.ends_with('.') {
            return Err(MoneyError::NotAnAmount);
        }
        let exponent = currency.exponent() as usize;
        if decimals.len() > exponent {
            return Err(MoneyError::TooManyDecimals);
        }
        if mutant::is(Mutant::FloatMoney) {
            return by_float(&format!("{whole}.{decimals}"), currency);
        }
        let joined = format!("{whole}{decimals:0<exponent$}");
        let minor = joined
            .parse::<i64>()
            .map_err(|_overflow| MoneyError::OutOfRange)?;
        Self::new(minor, currency)
    }

    /// The amount in major units without symbol or grouping, as an input field shows it: `1250.00`.
    #[must_use]
    pub fn major(self) -> String {
        let sign = if self.minor < 0 { "-" } else { "" };
        let exponent = self.currency.exponent();
        let scale = 10_u64.pow(exponent);
        let (whole, rest) = (
            self.minor.unsigned_abs() / scale,
            self.minor.unsigned_abs() % scale,
        );
        if exponent == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{rest:0width$}", width = exponent as usize)
        }
    }
}

/// How a broken engine reads an amount.
#[expect(
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "that is what is broken about it"
)]
fn by_float(text: &str, currency: Currency) -> Result<Money, MoneyError> {
    let major: f64 = text.parse().map_err(|_never| MoneyError::NotAnAmount)?;
    let scale = f64::from(10_u32.pow(currency.exponent()));
    Money::new((major * scale) as i64, currency)
}

/// The digits of a whole number, whose commas must stand between groups of three: where a comma
/// divides decimals, `12,50` is twelve and a half and must never be read as 1250.
fn ungroup(whole: &str) -> Option<String> {
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let digits = |group: &str| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit());
    let mut joined = first.to_owned();
    let grouped = whole.len() > first.len();
    if !digits(first) || (grouped && first.len() > 3) {
        return None;
    }
    for group in groups {
        if group.len() != 3 || !digits(group) {
            return None;
        }
        joined.push_str(group);
    }
    Some(joined)
}

impl fmt::Display for Money {
    /// `$1,234,567.89`, `¥120`, `−$0.50`; whole amounts of two decimals drop them: `$420`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_u64.pow(self.currency.exponent());
        let (whole, rest) = (
            self.minor.unsigned_abs() / scale,
            self.minor.unsigned_abs() % scale,
        );
        if self.minor < 0 {
            f.write_str("−")?;
        }
        f.write_str(self.currency.prefix())?;
        let digits = whole.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        if rest > 0 {
            write!(
                f,
                ".{rest:0width$}",
                width = self.currency.exponent() as usize
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::Usd).expect("in range")
    }

    #[test]
    fn people_read_amounts_with_grouping_and_their_currency() {
        assert_eq!(usd(123_456_789).to_string(), "$1,234,567.89");
        assert_eq!(usd(42_000).to_string(), "$420");
        assert_eq!(usd(-50).to_string(), "−$0.50");
        assert_eq!(
            Money::new(120, Currency::Jpy)
                .expect("in range")
                .to_string(),
            "¥120"
        );
        assert_eq!(
            Money::new(1_005, Currency::Kwd)
                .expect("in range")
                .to_string(),
            "KWD\u{a0}1.005"
        );
    }

    #[test]
    fn what_people_type_is_read_exactly_or_refused() {
        let read = |text| Money::parse_major(text, Currency::Usd);
        assert_eq!(read("1,234.5"), Ok(usd(123_450)));
        assert_eq!(read(" 12 "), Ok(usd(1_200)));
        assert_eq!(read("1,234,567.89"), Ok(usd(123_456_789)));
        assert_eq!(read("0.01"), Ok(usd(1)));
        for bad in [
            "", ".", "1.", ".5", "-1", "+1", "1e3", "NaN", "$5", "1 2", "٣", "12,50", "1,2", ",5",
            "1,234,", "1234,567", "1,23.0", ",", "0,1234",
        ] {
            assert_eq!(read(bad), Err(MoneyError::NotAnAmount), "{bad:?}");
        }
        assert_eq!(read("1.234"), Err(MoneyError::TooManyDecimals));
        assert_eq!(read("99999999999999999999"), Err(MoneyError::OutOfRange));
        assert_eq!(read("90071992547409.92"), Err(MoneyError::OutOfRange));
        assert_eq!(
            Money::parse_major("1.5", Currency::Jpy),
            Err(MoneyError::TooManyDecimals)
        );
    }

    #[test]
    fn arithmetic_is_checked() {
        assert_eq!(
            usd(MAX_MINOR).checked_add(usd(1)),
            Err(MoneyError::OutOfRange)
        );
        assert_eq!(usd(MAX_MINOR).checked_mul(2), Err(MoneyError::OutOfRange));
        let yen = Money::zero(Currency::Jpy);
        assert_eq!(usd(1).checked_add(yen), Err(MoneyError::CurrencyMismatch));
        assert_eq!(usd(5).checked_sub(usd(7)), Ok(usd(-2)));
    }

    #[test]
    fn the_wire_refuses_what_the_constructor_refuses() {
        let read = |text| serde_json::from_str::<Money>(text);
        assert_eq!(
            read(r#"{"minor":5,"currency":"USD"}"#).expect("valid"),
            usd(5)
        );
        assert!(read(r#"{"minor":9007199254740992,"currency":"USD"}"#).is_err());
        assert!(read(r#"{"minor":0.1,"currency":"USD"}"#).is_err());
        assert!(read(r#"{"minor":5,"currency":"XXX"}"#).is_err());
        assert!(read(r#"{"minor":5,"currency":"USD","x":1}"#).is_err());
    }

    #[test]
    fn an_input_field_shows_every_decimal() {
        assert_eq!(usd(125_000).major(), "1250.00");
        assert_eq!(
            Money::new(120, Currency::Jpy).expect("in range").major(),
            "120"
        );
    }
}
