//! The idempotency key: the caller's name for one intended effect.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// The longest key, in bytes (IETF draft idempotency-key-header-07 leaves it to the server).
pub const MAX_KEY_BYTES: usize = 255;

/// A caller's key: 1 to [`MAX_KEY_BYTES`] printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

/// The key is missing, too long, or has characters outside printable ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 printable ASCII characters")]
pub struct KeyError;

impl IdempotencyKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_KEY_BYTES || !printable {
            return Err(KeyError);
        }
        Ok(Self(text))
    }
}

impl FromStr for IdempotencyKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        text.to_owned().try_into()
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_printable_ascii() {
        assert!("k-1".parse::<IdempotencyKey>().is_ok());
        assert!("x".repeat(255).parse::<IdempotencyKey>().is_ok());
        for bad in ["", "a b", "ü", "a\n", &"x".repeat(256)] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(KeyError), "{bad:?}");
        }
    }
}
