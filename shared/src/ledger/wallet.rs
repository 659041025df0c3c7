//! A wallet: funded, held, spent, and never more out than in.

use crate::{Currency, Money, money::MoneyError};
use serde::{Deserialize, Serialize};

/// A buyer's account. `held + spent ≤ funded` holds at all times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    /// Everything that ever came in.
    pub funded: Money,
    /// Set aside for leading bids.
    pub held: Money,
    /// Paid to sellers.
    pub spent: Money,
}

/// Why a wallet cannot change so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// More would go out than came in.
    #[error("the wallet does not cover the amount")]
    NotCovered,
    /// More would be freed or captured than is held.
    #[error("the amount is more than what is held")]
    NotHeld,
    /// Amounts that cannot be combined.
    #[error("the amounts cannot be combined")]
    Money(#[from] MoneyError),
}

impl Wallet {
    /// A wallet with nothing in it.
    #[must_use]
    pub const fn empty(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self {
            funded: zero,
            held: zero,
            spent: zero,
        }
    }

    /// What may be used: funded − held − spent.
    #[must_use]
    pub fn available(&self) -> Money {
        let out = self
            .held
            .checked_add(self.spent)
            .and_then(|out| self.funded.checked_sub(out));
        out.unwrap_or(Money::zero(self.funded.currency()))
    }

    /// The wallet after `amount` came in.
    ///
    /// # Errors
    /// When the amounts cannot be combined.
    pub fn top_up(mut self, amount: Money) -> Result<Self, WalletError> {
        self.funded = self.funded.checked_add(amount)?;
        Ok(self)
    }

    /// The wallet after `amount` was set aside.
    ///
    /// # Errors
    /// [`WalletError::NotCovered`] if less is available.
    pub fn hold(mut self, amount: Money) -> Result<Self, WalletError> {
        if self.available().checked_sub(amount)?.minor() < 0 {
            return Err(WalletError::NotCovered);
        }
        self.held = self.held.checked_add(amount)?;
        Ok(self)
    }

    /// The wallet after a hold of `amount` was voided.
    ///
    /// # Errors
    /// [`WalletError::NotHeld`] if less is held.
    pub fn void(mut self, amount: Money) -> Result<Self, WalletError> {
        self.held = self.held.checked_sub(amount)?;
        if self.held.minor() < 0 {
            return Err(WalletError::NotHeld);
        }
        Ok(self)
    }

    /// The wallet after a hold of `amount` was captured.
    ///
    /// # Errors
    /// [`WalletError::NotHeld`] if less is held.
    pub fn capture(self, amount: Money) -> Result<Self, WalletError> {
        let mut wallet = self.void(amount)?;
        wallet.spent = wallet.spent.checked_add(amount)?;
        Ok(wallet)
    }

    /// The wallet after `amount` was paid at once.
    ///
    /// # Errors
    /// [`WalletError::NotCovered`] if less is available.
    pub fn spend(self, amount: Money) -> Result<Self, WalletError> {
        self.hold(amount)?.capture(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        TopUp(i64),
        Hold(i64),
        Void(i64),
        Capture(i64),
        Spend(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let amount = 1_i64..500;
        let step = prop_oneof![
            amount.clone().prop_map(Step::TopUp),
            amount.clone().prop_map(Step::Hold),
            amount.clone().prop_map(Step::Void),
            amount.clone().prop_map(Step::Capture),
            amount.prop_map(Step::Spend),
        ];
        proptest::collection::vec(step, 1..80)
    }

    proptest! {
        #[test]
        fn no_order_of_steps_spends_what_never_came_in(steps in steps()) {
            let usd = |minor| Money::new(minor, Currency::Usd).expect("in range");
            let mut wallet = Wallet::empty(Currency::Usd);
            for step in steps {
                let next = match step {
                    Step::TopUp(m) => wallet.top_up(usd(m)),
                    Step::Hold(m) => wallet.hold(usd(m)),
                    Step::Void(m) => wallet.void(usd(m)),
                    Step::Capture(m) => wallet.capture(usd(m)),
                    Step::Spend(m) => wallet.spend(usd(m)),
                };
                wallet = next.unwrap_or(wallet);
                prop_assert!(wallet.held.minor() >= 0 && wallet.spent.minor() >= 0);
                let out = wallet.held.minor() + wallet.spent.minor();
                prop_assert!(out <= wallet.funded.minor());
                prop_assert_eq!(wallet.available().minor(), wallet.funded.minor() - out);
            }
        }
    }
}
