//! The rules of a room's chat: who may speak when, and who may take what back. Pure.
//!
//! A lot's seller and the house's operators moderate its room. They are bound neither by slow mode
//! nor by a mute. Everybody may remove their own messages.

use crate::view::Person;
use crate::{MessageId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

/// The longest slow mode, in seconds.
pub const MAX_SLOW_S: u32 = 300;

/// The longest mute that ends, in seconds: a week, as long as messages are kept.
pub const MAX_MUTE_S: u32 = 7 * 24 * 3_600;

/// Something that a moderator does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Moderation {
    /// Takes a message back, for everybody and for good. Its writer may do it too.
    Remove {
        /// The message.
        message: MessageId,
    },
    /// Keeps the writer of a message, which may be removed, from writing in this room.
    Mute {
        /// The message.
        message: MessageId,
        /// For how many seconds, at most [`MAX_MUTE_S`]; `None` for as long as the room is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u32>,
    },
    /// Lets a person write again.
    Unmute {
        /// Whom.
        who: PrincipalId,
    },
    /// Sets how many seconds lie between two messages of one person; 0 switches slow mode off.
    Slow {
        /// Seconds, at most [`MAX_SLOW_S`].
        seconds: u32,
    },
}

impl Moderation {
    /// Whether its duration is one that a room knows.
    #[must_use]
    pub const fn is_in_range(&self) -> bool {
        match self {
            Self::Remove { .. } | Self::Unmute { .. } | Self::Mute { seconds: None, .. } => true,
            Self::Mute {
                seconds: Some(seconds),
                ..
            } => *seconds > 0 && *seconds <= MAX_MUTE_S,
            Self::Slow { seconds } => *seconds <= MAX_SLOW_S,
        }
    }

    /// Whether somebody may do it. `own` says that the message it names is theirs.
    #[must_use]
    pub const fn is_allowed(&self, moderates: bool, own: bool) -> bool {
        match self {
            Self::Remove { .. } => moderates || own,
            Self::Mute { .. } | Self::Unmute { .. } | Self::Slow { .. } => moderates,
        }
    }
}

/// What a room knows of somebody who speaks in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voice {
    /// When their last message was accepted.
    pub said_at: Option<Timestamp>,
    /// Until when they are muted; [`FOR_GOOD`] has no end.
    pub muted_until: Option<Timestamp>,
}

/// The end of a mute that does not end.
pub const FOR_GOOD: Timestamp = Timestamp(i64::MAX);

/// Why somebody may not speak now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// A moderator muted them.
    Muted {
        /// Until when, `None` for as long as the room is there.
        until: Option<Timestamp>,
    },
    /// Slow mode.
    Slow {
        /// From when on they may.
        until: Timestamp,
    },
}

impl Voice {
    /// Whether they may speak at `now` in a room with so many seconds of slow mode. A mute goes
    /// before slow mode.
    ///
    /// # Errors
    /// Why not, and until when.
    pub fn may_speak(&self, slow_s: u32, now: Timestamp) -> Result<(), Silence> {
        if let Some(until) = self.muted_until.filter(|until| *until > now) {
            let until = Some(until).filter(|until| *until != FOR_GOOD);
            return Err(Silence::Muted { until });
        }
        let pause_ms = i64::from(slow_s) * 1_000;
        match self.said_at.map(|said| said.plus_ms(pause_ms)) {
            Some(until) if slow_s > 0 && until > now => Err(Silence::Slow { until }),
            Some(_) | None => Ok(()),
        }
    }
}

/// What a moderator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub by: Person,
    /// What.
    pub what: Moderation,
    /// To whom, if it was done to somebody.
    pub whom: Option<Person>,
}

/// Somebody who is muted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Muted {
    /// Who.
    pub who: Person,
    /// Until when, `None` for as long as the room is there.
    pub until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn voice(said_at: Option<i64>, muted_until: Option<i64>) -> Voice {
        Voice {
            said_at: said_at.map(Timestamp),
            muted_until: muted_until.map(Timestamp),
        }
    }

    #[test]
    fn slow_mode_ends_to_the_millisecond() {
        let spoke = voice(Some(1_000), None);
        let until = Timestamp(31_000);
        assert_eq!(
            spoke.may_speak(30, Timestamp(30_999)),
            Err(Silence::Slow { until })
        );
        assert_eq!(spoke.may_speak(30, until), Ok(()));
        assert_eq!(spoke.may_speak(0, Timestamp(0)), Ok(()), "off");
        assert_eq!(Voice::default().may_speak(300, Timestamp(0)), Ok(()));
    }

    #[test]
    fn a_mute_ends_to_the_millisecond_and_goes_before_slow_mode() {
        let muted = voice(Some(1_000), Some(5_000));
        let until = Some(Timestamp(5_000));
        assert_eq!(
            muted.may_speak(300, Timestamp(4_999)),
            Err(Silence::Muted { until })
        );
        assert_eq!(muted.may_speak(0, Timestamp(5_000)), Ok(()));
        let for_good = voice(None, Some(FOR_GOOD.0));
        assert_eq!(
            for_good.may_speak(0, Timestamp(i64::MAX - 1)),
            Err(Silence::Muted { until: None })
        );
    }

    #[test]
    fn durations_have_bounds() {
        let message = MessageId::from_uuid(uuid::Uuid::nil());
        let mute = |seconds| Moderation::Mute { message, seconds }.is_in_range();
        assert!(mute(None) && mute(Some(1)) && mute(Some(MAX_MUTE_S)));
        assert!(!mute(Some(0)) && !mute(Some(MAX_MUTE_S + 1)));
        let slow = |seconds| Moderation::Slow { seconds }.is_in_range();
        assert!(slow(0) && slow(MAX_SLOW_S) && !slow(MAX_SLOW_S + 1));
    }

    #[test]
    fn only_a_message_of_ones_own_is_taken_back_without_moderating() {
        let message = MessageId::from_uuid(uuid::Uuid::nil());
        let who = PrincipalId::from_uuid(uuid::Uuid::nil());
        let remove = Moderation::Remove { message };
        assert!(remove.is_allowed(false, true) && remove.is_allowed(true, false));
        assert!(!remove.is_allowed(false, false));
        let seconds = None;
        for other in [
            Moderation::Mute { message, seconds },
            Moderation::Unmute { who },
            Moderation::Slow { seconds: 1 },
        ] {
            assert!(other.is_allowed(true, false));
            assert!(!other.is_allowed(false, true), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn whoever_is_refused_may_speak_when_it_says_and_not_before(
            said_at in proptest::option::of(0_i64..2_000_000),
            muted_until in proptest::option::of(0_i64..2_000_000),
            slow_s in 0..=MAX_SLOW_S,
            now in 0_i64..2_000_000,
        ) {
            let voice = voice(said_at, muted_until);
            match voice.may_speak(slow_s, Timestamp(now)) {
                Ok(()) => {}
                Err(Silence::Muted { until: Some(until) } | Silence::Slow { until }) => {
                    prop_assert!(until.0 > now);
                    prop_assert!(voice.may_speak(slow_s, until.plus_ms(-1)).is_err());
                }
                Err(Silence::Muted { until: None }) => prop_assert!(false, "a mute ends"),
            }
        }
    }
}
