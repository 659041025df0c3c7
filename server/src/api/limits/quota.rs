//! So many requests in so many seconds.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// So many requests at once, all of which are there again after so many seconds. Written `60/3`, or
/// `off` for no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota(Option<(NonZeroU32, NonZeroU32)>);

/// The text is no quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quota is requests/seconds, such as 60/3, or off")]
pub struct QuotaError;

impl Quota {
    /// No bound.
    pub const OFF: Self = Self(None);

    /// Requests and seconds; none if there is no bound.
    #[must_use]
    pub const fn bound(self) -> Option<(NonZeroU32, NonZeroU32)> {
        self.0
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((requests, seconds)) => write!(f, "{requests}/{seconds}"),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let (requests, seconds) = text.split_once('/').ok_or(QuotaError)?;
        let number = |text: &str| text.parse().map_err(|_no_number| QuotaError);
        Ok(Self(Some((number(requests)?, number(seconds)?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_as_it_is_written() {
        for text in ["60/3", "2000/2", "1/1", "off"] {
            let quota: Quota = text.parse().expect("a quota");
            assert_eq!(quota.to_string(), text);
        }
        for text in [
            "", "60", "60/", "/3", "0/1", "1/0", "-1/1", "1.5/1", "1/1/1", "OFF",
        ] {
            assert_eq!(text.parse::<Quota>(), Err(QuotaError), "{text}");
        }
    }
}
