//! Engines that are broken on purpose, one rule each, so that it can be seen that the checks see it.
//!
//! A build with the feature `mutants` can be told, once and before anything else, which of them it
//! is; every other build is none of them, and what asks [`is`] is compiled away. The numbers are those
//! of `reliability.md`, section 9.

/// A broken engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// M1: a drop sells whether or not a unit is left.
    UncheckedStock,
    /// M2: a key is written in a transaction of its own, after that of its effect.
    KeyApart,
    /// M3: events are told before COMMIT.
    EarlyNews,
    /// M4: wallets are read, added up by the program and written back, under READ COMMITTED.
    StaleWallet,
    /// M5: a bid does not write the lot's row.
    UnwrittenLot,
    /// M6: the node's own clock decides a price.
    OwnClock,
    /// M7: an event is marked as published before it is.
    MarkedFirst,
    /// M9: a key answers whatever is asked under it.
    NoFingerprint,
    /// M10: a command ends with whoever asked for it.
    CallersFuture,
    /// M12: a claim is refused once its first bucket is empty.
    FirstBucketOnly,
    /// M13: a try that is repeated has a new key.
    FreshKeyOnRetry,
    /// M14: what a buyer has is counted, and no row says so.
    CountedLimit,
    /// M15: the leader's hold outlives the lot.
    LastingHold,
    /// M16: amounts are read by way of floating point.
    FloatMoney,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::UncheckedStock,
        Self::KeyApart,
        Self::EarlyNews,
        Self::StaleWallet,
        Self::UnwrittenLot,
        Self::OwnClock,
        Self::MarkedFirst,
        Self::NoFingerprint,
        Self::CallersFuture,
        Self::FirstBucketOnly,
        Self::FreshKeyOnRetry,
        Self::CountedLimit,
        Self::LastingHold,
        Self::FloatMoney,
    ];

    /// Its number.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::UncheckedStock => "M1",
            Self::KeyApart => "M2",
            Self::EarlyNews => "M3",
            Self::StaleWallet => "M4",
            Self::UnwrittenLot => "M5",
            Self::OwnClock => "M6",
            Self::MarkedFirst => "M7",
            Self::NoFingerprint => "M9",
            Self::CallersFuture => "M10",
            Self::FirstBucketOnly => "M12",
            Self::FreshKeyOnRetry => "M13",
            Self::CountedLimit => "M14",
            Self::LastingHold => "M15",
            Self::FloatMoney => "M16",
        }
    }
}

#[cfg(feature = "mutants")]
mod chosen {
    use super::Mutant;
    use std::sync::OnceLock;

    static CHOSEN: OnceLock<Mutant> = OnceLock::new();

    /// Makes this process that engine, for good; the first call counts.
    pub fn choose(mutant: Mutant) {
        // A process is one engine from its start to its end.
        let _already_another = CHOSEN.set(mutant);
    }

    /// Whether this process is that engine.
    #[must_use]
    pub fn is(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(&mutant)
    }

    /// Whether this process is any of them.
    #[must_use]
    pub fn is_any() -> bool {
        CHOSEN.get().is_some()
    }
}

#[cfg(feature = "mutants")]
pub use chosen::{choose, is, is_any};

/// Whether this process is that engine: never, in this build.
#[cfg(not(feature = "mutants"))]
#[inline]
#[must_use]
pub const fn is(_mutant: Mutant) -> bool {
    false
}

/// Whether this process is any of them: never, in this build.
#[cfg(not(feature = "mutants"))]
#[inline]
#[must_use]
pub const fn is_any() -> bool {
    false
}
