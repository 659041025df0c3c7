//! The two steps to a fault that is not set by a slip of the hand: armed, then confirmed in time.
//! Pure: the time and the token are given.

use crate::local::gate::Fault;
use serde::{Deserialize, Serialize};
use shared::Region;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long an armed fault can be confirmed: long enough to read what it will do, too short to be
/// forgotten.
pub const ARM_VALID: Duration = Duration::from_secs(10);

/// Names an armed fault; 16 hexadecimal digits as text. It guards against mistakes, not against
/// strangers: who may arm is asked elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ArmToken(u64);

impl ArmToken {
    /// A token that was drawn at random.
    pub(super) const fn of(drawn: u64) -> Self {
        Self(drawn)
    }
}

impl fmt::Display for ArmToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<ArmToken> for String {
    fn from(token: ArmToken) -> Self {
        token.to_string()
    }
}

impl FromStr for ArmToken {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        let drawn = u64::from_str_radix(text, 16).map_err(|_other| ArmError::Unknown)?;
        // One way to write it: no sign, no capitals, nothing left out.
        let token = Self(drawn);
        if token.to_string() == text {
            Ok(token)
        } else {
            Err(ArmError::Unknown)
        }
    }
}

impl TryFrom<String> for ArmToken {
    type Error = ArmError;

    fn try_from(text: String) -> Result<Self, ArmError> {
        text.parse()
    }
}

/// Why a token confirms nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// Never given out, already confirmed, replaced by another of its Region, or restored.
    #[error("nothing is armed under this token")]
    Unknown,
    /// Given out too long ago.
    #[error("the token was valid for {} s; arm it again", ARM_VALID.as_secs())]
    Expired,
}

/// A fault that waits for its confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Armed {
    pub token: ArmToken,
    pub region: Region,
    pub fault: Fault,
    /// Whether it may take the last Region away.
    pub forced: bool,
    pub at: Instant,
}

impl Armed {
    /// How long it can still be confirmed.
    pub fn valid_for(&self, now: Instant) -> Option<Duration> {
        let left = ARM_VALID.checked_sub(now.saturating_duration_since(self.at))?;
        (!left.is_zero()).then_some(left)
    }
}

/// What is armed: one fault a Region, the latest.
#[derive(Debug, Default)]
pub(super) struct Arming {
    armed: BTreeMap<Region, Armed>,
}

impl Arming {
    pub fn arm(&mut self, armed: Armed) {
        self.armed.insert(armed.region, armed);
    }

    /// Takes out what a token stands for; it confirms once.
    pub fn take(&mut self, token: ArmToken, now: Instant) -> Result<Armed, ArmError> {
        let mut all = self.armed.values();
        let armed = *all
            .find(|armed| armed.token == token)
            .ok_or(ArmError::Unknown)?;
        // An expired one stays, so that asking again hears the same.
        armed.valid_for(now).ok_or(ArmError::Expired)?;
        self.armed.remove(&armed.region);
        Ok(armed)
    }

    pub fn disarm(&mut self, region: Region) {
        self.armed.remove(&region);
    }

    /// What can be confirmed for a Region now.
    pub fn armed(&self, region: Region, now: Instant) -> Option<(Fault, Duration)> {
        let armed = self.armed.get(&region)?;
        Some((armed.fault, armed.valid_for(now)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed(token: u64, region: Region, at: Instant) -> Armed {
        Armed {
            token: ArmToken::of(token),
            region,
            fault: Fault::Closed,
            forced: false,
            at,
        }
    }

    #[test]
    fn a_token_confirms_once() {
        let (mut arming, now) = (Arming::default(), Instant::now());
        let tokyo = armed(1, Region::Tokyo, now);
        arming.arm(tokyo);
        arming.arm(armed(2, Region::Seoul, now));
        assert_eq!(arming.take(ArmToken::of(3), now), Err(ArmError::Unknown));
        assert_eq!(arming.take(ArmToken::of(1), now), Ok(tokyo));
        assert_eq!(arming.take(ArmToken::of(1), now), Err(ArmError::Unknown));
        assert!(arming.take(ArmToken::of(2), now).is_ok());
    }

    #[test]
    fn a_token_is_valid_for_ten_seconds() {
        let (mut arming, now) = (Arming::default(), Instant::now());
        arming.arm(armed(1, Region::Tokyo, now));
        let late = now + Duration::from_secs(10);
        assert_eq!(arming.armed(Region::Tokyo, late), None);
        for _ in 0..2 {
            assert_eq!(arming.take(ArmToken::of(1), late), Err(ArmError::Expired));
        }
        let in_time = now + Duration::from_millis(9_999);
        let left = Some((Fault::Closed, Duration::from_millis(1)));
        assert_eq!(arming.armed(Region::Tokyo, in_time), left);
        assert!(arming.take(ArmToken::of(1), in_time).is_ok());
    }

    #[test]
    fn the_latest_of_a_region_counts_until_it_is_restored() {
        let (mut arming, now) = (Arming::default(), Instant::now());
        arming.arm(armed(1, Region::Tokyo, now));
        arming.arm(armed(2, Region::Tokyo, now));
        assert_eq!(arming.take(ArmToken::of(1), now), Err(ArmError::Unknown));
        arming.disarm(Region::Tokyo);
        assert_eq!(arming.take(ArmToken::of(2), now), Err(ArmError::Unknown));
    }

    #[test]
    fn tokens_read_back_and_nothing_else_does() {
        for drawn in [0, 1, u64::MAX] {
            let token = ArmToken::of(drawn);
            assert_eq!(token.to_string().parse(), Ok(token));
            let json = serde_json::to_string(&token).expect("serialises");
            assert_eq!(json, format!("\"{token}\""));
            let read: ArmToken = serde_json::from_str(&json).expect("reads back");
            assert_eq!(read, token);
        }
        for text in ["", "1", "+000000000000001", "000000000000000A", "x"] {
            assert_eq!(text.parse::<ArmToken>(), Err(ArmError::Unknown), "{text}");
        }
        assert!(serde_json::from_str::<ArmToken>("1").is_err());
    }
}
