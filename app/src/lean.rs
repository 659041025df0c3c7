//! Reading JSON with one reader instead of four.
//!
//! Every type that the browser reads would be compiled once for each way it arrives: as a page's
//! data, as a call's answer, inside a socket frame, and inside a tagged enum. A [`Lean`] value is
//! first read without its type, which the tagged enums need anyway, so that one copy of the code
//! reads them all. The JSON is that of the value itself.

use serde::{Deserialize, Serialize};

/// A value that is an object in JSON, read by the shared reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lean<T> {
    /// The value.
    #[serde(flatten)]
    pub value: T,
}

impl<T> From<T> for Lean<T> {
    fn from(value: T) -> Self {
        Self { value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{Currency, Money};

    #[test]
    fn the_json_is_that_of_the_value() {
        let amount = Money::new(5, Currency::Usd).expect("in range");
        let json = serde_json::to_string(&Lean::from(amount)).expect("writes");
        assert_eq!(json, r#"{"minor":5,"currency":"USD"}"#);
        let read: Lean<Money> = serde_json::from_str(&json).expect("reads");
        assert_eq!(read.value, amount);
    }
}
