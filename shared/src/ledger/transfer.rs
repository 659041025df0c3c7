//! Transfers and their legs.

use crate::{Money, PrincipalId};
use serde::{Deserialize, Serialize};

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// The world outside: a top-up comes from here, so its balance is the negative of all funding.
    Funding,
    /// A wallet's free money.
    Available,
    /// A wallet's money that is set aside for leading bids.
    Held,
    /// What the house owes a seller.
    Payable,
}

impl AccountKind {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Funding => "funding",
            Self::Available => "available",
            Self::Held => "held",
            Self::Payable => "payable",
        }
    }
}

/// Where a balance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Whose it is.
    pub owner: PrincipalId,
    /// What it is for.
    pub kind: AccountKind,
}

/// One signed amount on one account: positive comes in, negative goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The account.
    pub account: Account,
    /// The signed amount.
    pub amount: Money,
}

/// Why a transfer was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// Money came in.
    TopUp,
    /// Money was set aside for a leading bid.
    Hold,
    /// A hold ended and its money is free again.
    Void,
    /// A hold became the payment to the seller.
    Capture,
    /// A claim was paid at once.
    Purchase,
}

impl TransferKind {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Hold => "hold",
            Self::Void => "void",
            Self::Capture => "capture",
            Self::Purchase => "purchase",
        }
    }
}

/// A balanced set of legs, committed together. There is no way to build an unbalanced one: each
/// constructor moves one positive amount from one account to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    kind: TransferKind,
    from: Account,
    to: Account,
    amount: Money,
}

impl Transfer {
    fn move_between(
        kind: TransferKind,
        (from_owner, from): (PrincipalId, AccountKind),
        (to_owner, to): (PrincipalId, AccountKind),
        amount: Money,
    ) -> Option<Self> {
        let from = Account {
            owner: from_owner,
            kind: from,
        };
        let to = Account {
            owner: to_owner,
            kind: to,
        };
        (amount.minor() > 0 && from != to).then_some(Self {
            kind,
            from,
            to,
            amount,
        })
    }

    /// Money comes in to a wallet. `None` unless the amount is positive.
    #[must_use]
    pub fn top_up(owner: PrincipalId, amount: Money) -> Option<Self> {
        use AccountKind::{Available, Funding};
        Self::move_between(
            TransferKind::TopUp,
            (owner, Funding),
            (owner, Available),
            amount,
        )
    }

    /// Money is set aside for a leading bid. `None` unless the amount is positive.
    #[must_use]
    pub fn hold(owner: PrincipalId, amount: Money) -> Option<Self> {
        use AccountKind::{Available, Held};
        Self::move_between(
            TransferKind::Hold,
            (owner, Available),
            (owner, Held),
            amount,
        )
    }

    /// A hold ends and its money is free again. `None` unless the amount is positive.
    #[must_use]
    pub fn void(owner: PrincipalId, amount: Money) -> Option<Self> {
        use AccountKind::{Available, Held};
        Self::move_between(
            TransferKind::Void,
            (owner, Held),
            (owner, Available),
            amount,
        )
    }

    /// A hold becomes the payment to the seller. `None` unless the amount is positive.
    #[must_use]
    pub fn capture(buyer: PrincipalId, seller: PrincipalId, amount: Money) -> Option<Self> {
        use AccountKind::{Held, Payable};
        Self::move_between(
            TransferKind::Capture,
            (buyer, Held),
            (seller, Payable),
            amount,
        )
    }

    /// A claim is paid at once. `None` unless the amount is positive.
    #[must_use]
    pub fn purchase(buyer: PrincipalId, seller: PrincipalId, amount: Money) -> Option<Self> {
        use AccountKind::{Available, Payable};
        Self::move_between(
            TransferKind::Purchase,
            (buyer, Available),
            (seller, Payable),
            amount,
        )
    }

    /// Why the transfer was made.
    #[must_use]
    pub const fn kind(&self) -> TransferKind {
        self.kind
    }

    /// The amount that moves.
    #[must_use]
    pub const fn amount(&self) -> Money {
        self.amount
    }

    /// The legs; they sum to zero.
    #[must_use]
    pub fn legs(&self) -> [Leg; 2] {
        let out = Money::zero(self.amount.currency()).checked_sub(self.amount);
        // The negative of an amount in range is in range.
        let out = out.unwrap_or(Money::zero(self.amount.currency()));
        [
            Leg {
                account: self.from,
                amount: out,
            },
            Leg {
                account: self.to,
                amount: self.amount,
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;
    use proptest::prelude::*;
    use uuid::Uuid;

    proptest! {
        #[test]
        fn legs_sum_to_zero_whatever_moves(minor in 1..=crate::money::MAX_MINOR, which in 0..5) {
            let (a, b) = (
                PrincipalId::from_uuid(Uuid::from_u128(1)),
                PrincipalId::from_uuid(Uuid::from_u128(2)),
            );
            let amount = Money::new(minor, Currency::Usd).expect("in range");
            let transfer = match which {
                0 => Transfer::top_up(a, amount),
                1 => Transfer::hold(a, amount),
                2 => Transfer::void(a, amount),
                3 => Transfer::capture(a, b, amount),
                _ => Transfer::purchase(a, b, amount),
            };
            let legs = transfer.expect("positive").legs();
            prop_assert_eq!(legs.iter().map(|leg| leg.amount.minor()).sum::<i64>(), 0);
            prop_assert!(legs.iter().all(|leg| leg.amount.minor() != 0));
        }
    }

    #[test]
    fn nothing_and_less_than_nothing_cannot_move() {
        let owner = PrincipalId::from_uuid(Uuid::from_u128(1));
        for minor in [0, -1] {
            let amount = Money::new(minor, Currency::Usd).expect("in range");
            assert_eq!(Transfer::hold(owner, amount), None);
        }
    }
}
