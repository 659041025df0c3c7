//! The Regions in which people act.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// An AWS Region that offers the ledger's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Region {
    /// Asia Pacific (Tokyo).
    #[serde(rename = "ap-northeast-1")]
    Tokyo,
    /// Asia Pacific (Seoul).
    #[serde(rename = "ap-northeast-2")]
    Seoul,
    /// Europe (Frankfurt).
    #[serde(rename = "eu-central-1")]
    Frankfurt,
    /// Europe (Ireland).
    #[serde(rename = "eu-west-1")]
    Ireland,
    /// US East (N. Virginia).
    #[serde(rename = "us-east-1")]
    Virginia,
    /// US West (Oregon).
    #[serde(rename = "us-west-2")]
    Oregon,
}

/// The text names no Region of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown Region")]
pub struct UnknownRegion;

impl Region {
    /// Every Region, east to west.
    pub const ALL: [Self; 6] = [
        Self::Tokyo,
        Self::Seoul,
        Self::Frankfurt,
        Self::Ireland,
        Self::Virginia,
        Self::Oregon,
    ];

    /// The code AWS uses.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Tokyo => "ap-northeast-1",
            Self::Seoul => "ap-northeast-2",
            Self::Frankfurt => "eu-central-1",
            Self::Ireland => "eu-west-1",
            Self::Virginia => "us-east-1",
            Self::Oregon => "us-west-2",
        }
    }

    /// The place, as people say it.
    #[must_use]
    pub const fn city(self) -> &'static str {
        match self {
            Self::Tokyo => "Tokyo",
            Self::Seoul => "Seoul",
            Self::Frankfurt => "Frankfurt",
            Self::Ireland => "Ireland",
            Self::Virginia => "Virginia",
            Self::Oregon => "Oregon",
        }
    }
}

impl FromStr for Region {
    type Err = UnknownRegion;

    fn from_str(code: &str) -> Result<Self, UnknownRegion> {
        Self::ALL
            .into_iter()
            .find(|r| r.code() == code)
            .ok_or(UnknownRegion)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_others_are_refused() {
        for region in Region::ALL {
            assert_eq!(region.code().parse(), Ok(region));
            let json = serde_json::to_string(&region).expect("serialises");
            assert_eq!(json, format!("\"{}\"", region.code()));
        }
        assert_eq!("mars-north-1".parse::<Region>(), Err(UnknownRegion));
    }
}
