//! Whose money pays, and from which purse of theirs.

use crate::{MandateId, PrincipalId};

/// Where the money of a bid or a claim comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FundSource {
    /// A person's wallet.
    Wallet(PrincipalId),
    /// A mandate, which an agent acts with. Its money left the owner's wallet when it was given.
    Mandate {
        /// Who gave the mandate, and in whose name the agent acts.
        owner: PrincipalId,
        /// The mandate.
        mandate: MandateId,
    },
}

impl FundSource {
    /// The owner's wallet, or their mandate if there is one.
    #[must_use]
    pub const fn new(owner: PrincipalId, mandate: Option<MandateId>) -> Self {
        match mandate {
            None => Self::Wallet(owner),
            Some(mandate) => Self::Mandate { owner, mandate },
        }
    }

    /// In whose name the money is spent.
    #[must_use]
    pub const fn owner(self) -> PrincipalId {
        match self {
            Self::Wallet(owner) | Self::Mandate { owner, .. } => owner,
        }
    }

    /// The mandate, if it is one.
    #[must_use]
    pub const fn mandate(self) -> Option<MandateId> {
        match self {
            Self::Wallet(_) => None,
            Self::Mandate { mandate, .. } => Some(mandate),
        }
    }
}
