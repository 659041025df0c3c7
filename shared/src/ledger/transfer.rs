//! Transfers and their legs.

use super::FundSource;
use crate::{MandateId, MerchantId, Money, PrincipalId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// The world outside: a top-up comes from here, so its balance is the negative of all funding.
    Funding,
    /// A wallet's free money.
    Available,
    /// Money of a wallet or a mandate that is set aside for leading bids.
    Held,
    /// What the house owes a seller.
    Payable,
    /// What is left of a mandate's money.
    Budget,
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
            Self::Budget => "budget",
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
    /// Which of the owner's mandates or merchants it belongs to; `None` for the owner's wallet and
    /// proceeds.
    pub subaccount: Option<Uuid>,
}

impl Account {
    const fn own(owner: PrincipalId, kind: AccountKind) -> Self {
        Self {
            owner,
            kind,
            subaccount: None,
        }
    }

    const fn budget(owner: PrincipalId, mandate: MandateId) -> Self {
        Self {
            owner,
            kind: AccountKind::Budget,
            subaccount: Some(mandate.uuid()),
        }
    }

    /// What a source has free.
    const fn free(source: FundSource) -> Self {
        match source {
            FundSource::Wallet(owner) => Self::own(owner, AccountKind::Available),
            FundSource::Mandate { owner, mandate } => Self::budget(owner, mandate),
        }
    }

    /// What a source has set aside for leading bids.
    const fn held(source: FundSource) -> Self {
        Self {
            owner: source.owner(),
            kind: AccountKind::Held,
            subaccount: match source {
                FundSource::Wallet(_) => None,
                FundSource::Mandate { mandate, .. } => Some(mandate.uuid()),
            },
        }
    }

    const fn merchant(owner: PrincipalId, merchant: MerchantId) -> Self {
        Self {
            owner,
            kind: AccountKind::Payable,
            subaccount: Some(merchant.uuid()),
        }
    }
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
    /// A claim or an agent's purchase was paid at once.
    Purchase,
    /// A wallet's money became a mandate's.
    Fund,
    /// What was left of a mandate came back to the wallet.
    Return,
    /// A merchant gave money back.
    Refund,
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
            Self::Fund => "fund",
            Self::Return => "return",
            Self::Refund => "refund",
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
    fn move_between(kind: TransferKind, from: Account, to: Account, amount: Money) -> Option<Self> {
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
        let (from, to) = (AccountKind::Funding, AccountKind::Available);
        let (from, to) = (Account::own(owner, from), Account::own(owner, to));
        Self::move_between(TransferKind::TopUp, from, to, amount)
    }

    /// Money is set aside for a leading bid. `None` unless the amount is positive.
    #[must_use]
    pub fn hold(source: FundSource, amount: Money) -> Option<Self> {
        let (from, to) = (Account::free(source), Account::held(source));
        Self::move_between(TransferKind::Hold, from, to, amount)
    }

    /// A hold ends and its money is free again, where it came from. `None` unless the amount is
    /// positive.
    #[must_use]
    pub fn void(source: FundSource, amount: Money) -> Option<Self> {
        let (from, to) = (Account::held(source), Account::free(source));
        Self::move_between(TransferKind::Void, from, to, amount)
    }

    /// The hold of a mandate that was revoked meanwhile ends: its money returns to the owner's
    /// wallet, as the rest of the mandate did. `None` unless the amount is positive.
    #[must_use]
    pub fn return_held(owner: PrincipalId, mandate: MandateId, amount: Money) -> Option<Self> {
        let from = Account::held(FundSource::Mandate { owner, mandate });
        let to = Account::own(owner, AccountKind::Available);
        Self::move_between(TransferKind::Return, from, to, amount)
    }

    /// A hold becomes the payment to the seller. `None` unless the amount is positive.
    #[must_use]
    pub fn capture(source: FundSource, seller: PrincipalId, amount: Money) -> Option<Self> {
        let from = Account::held(source);
        let to = Account::own(seller, AccountKind::Payable);
        Self::move_between(TransferKind::Capture, from, to, amount)
    }

    /// A claim is paid at once. `None` unless the amount is positive.
    #[must_use]
    pub fn purchase(source: FundSource, seller: PrincipalId, amount: Money) -> Option<Self> {
        let from = Account::free(source);
        let to = Account::own(seller, AccountKind::Payable);
        Self::move_between(TransferKind::Purchase, from, to, amount)
    }

    /// A wallet's money becomes a mandate's. `None` unless the amount is positive.
    #[must_use]
    pub fn fund(owner: PrincipalId, mandate: MandateId, amount: Money) -> Option<Self> {
        let from = Account::own(owner, AccountKind::Available);
        let to = Account::budget(owner, mandate);
        Self::move_between(TransferKind::Fund, from, to, amount)
    }

    /// What is left of a mandate comes back. `None` unless the amount is positive.
    #[must_use]
    pub fn return_rest(owner: PrincipalId, mandate: MandateId, amount: Money) -> Option<Self> {
        let from = Account::budget(owner, mandate);
        let to = Account::own(owner, AccountKind::Available);
        Self::move_between(TransferKind::Return, from, to, amount)
    }

    /// An agent's purchase is paid out of a mandate. `None` unless the amount is positive.
    #[must_use]
    pub fn spend(
        owner: PrincipalId,
        mandate: MandateId,
        merchant: MerchantId,
        amount: Money,
    ) -> Option<Self> {
        let from = Account::budget(owner, mandate);
        let to = Account::merchant(owner, merchant);
        Self::move_between(TransferKind::Purchase, from, to, amount)
    }

    /// A merchant gives money back: to the mandate, or to the wallet if there is none to take it.
    /// `None` unless the amount is positive.
    #[must_use]
    pub fn refund(
        owner: PrincipalId,
        merchant: MerchantId,
        mandate: Option<MandateId>,
        amount: Money,
    ) -> Option<Self> {
        let from = Account::merchant(owner, merchant);
        let to = match mandate {
            Some(mandate) => Account::budget(owner, mandate),
            None => Account::own(owner, AccountKind::Available),
        };
        Self::move_between(TransferKind::Refund, from, to, amount)
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

    proptest! {
        #[test]
        fn legs_sum_to_zero_whatever_moves(minor in 1..=crate::money::MAX_MINOR, which in 0..10) {
            let (a, b) = (
                PrincipalId::from_uuid(Uuid::from_u128(1)),
                PrincipalId::from_uuid(Uuid::from_u128(2)),
            );
            let mandate = MandateId::from_uuid(Uuid::from_u128(3));
            let merchant = MerchantId::from_uuid(Uuid::from_u128(4));
            let amount = Money::new(minor, Currency::Usd).expect("in range");
            let source = FundSource::new(a, Some(mandate).filter(|_| minor % 2 == 0));
            let transfer = match which {
                0 => Transfer::top_up(a, amount),
                1 => Transfer::hold(source, amount),
                2 => Transfer::void(source, amount),
                3 => Transfer::capture(source, b, amount),
                4 => Transfer::purchase(source, b, amount),
                5 => Transfer::fund(a, mandate, amount),
                6 => Transfer::return_rest(a, mandate, amount),
                8 => Transfer::return_held(a, mandate, amount),
                7 => Transfer::spend(a, mandate, merchant, amount),
                _ => Transfer::refund(a, merchant, Some(mandate).filter(|_| minor % 2 == 0), amount),
            };
            let legs = transfer.expect("positive").legs();
            prop_assert_eq!(legs.iter().map(|leg| leg.amount.minor()).sum::<i64>(), 0);
            prop_assert!(legs.iter().all(|leg| leg.amount.minor() != 0));
        }
    }

    #[test]
    fn nothing_and_less_than_nothing_cannot_move() {
        let owner = FundSource::Wallet(PrincipalId::from_uuid(Uuid::from_u128(1)));
        for minor in [0, -1] {
            let amount = Money::new(minor, Currency::Usd).expect("in range");
            assert_eq!(Transfer::hold(owner, amount), None);
        }
    }
}
