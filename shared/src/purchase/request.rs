//! What an agent asks for.

use crate::{ItemId, MandateId, MerchantId, Money};
use core::fmt;

/// The longest name of an agent, in bytes.
pub const MAX_AGENT_BYTES: usize = 64;

/// The most units of one purchase; a larger order is several purchases.
pub const MAX_QUANTITY: u32 = 1_000_000;

/// The caller's name for the agent that buys: 1 to [`MAX_AGENT_BYTES`] printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(String);

/// The text is no name of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an agent's name has 1 to 64 printable ASCII characters")]
pub struct AgentIdError;

impl AgentId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AgentId {
    type Error = AgentIdError;

    fn try_from(text: String) -> Result<Self, AgentIdError> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_AGENT_BYTES || !printable {
            return Err(AgentIdError);
        }
        Ok(Self(text))
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One purchase that an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    /// Who sells.
    pub merchant: MerchantId,
    /// The budget that pays.
    pub mandate: MandateId,
    /// What is bought.
    pub item: ItemId,
    /// Which agent buys.
    pub agent: AgentId,
    /// Units, from 1 to [`MAX_QUANTITY`].
    pub quantity: u32,
    /// The most that a unit may cost; its currency is the one the agent expects.
    pub max_price: Money,
    /// Whether the same purchase may be made again within the window that guards against repeats.
    pub allow_repeat: bool,
}

impl CommitRequest {
    /// The request's meaning as one text. Two bodies with the same meaning, such as one with its
    /// fields in another order, are the same request; the separator occurs in no part.
    #[must_use]
    pub fn meaning(&self) -> String {
        format!(
            "{}\0{}\0{}\0{}\0{}\0{}\0{}\0{}",
            self.merchant,
            self.mandate,
            self.item,
            self.agent,
            self.quantity,
            self.max_price.minor(),
            self.max_price.currency(),
            self.allow_repeat
        )
    }

    /// What makes a request with another key look like a repeat of this one: the same agent buys
    /// the same number of the same item at the same price with the same mandate.
    #[must_use]
    pub fn intent(&self, price: Money) -> String {
        format!(
            "{}\0{}\0{}\0{}\0{}\0{}",
            self.mandate,
            self.agent,
            self.item,
            self.quantity,
            price.minor(),
            price.currency()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_have_short_printable_names() {
        for good in ["a", "shopper-1", &"x".repeat(64)] {
            assert!(AgentId::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ü", "a\0b", "a\n", &"x".repeat(65)] {
            assert_eq!(
                AgentId::try_from(bad.to_owned()),
                Err(AgentIdError),
                "{bad:?}"
            );
        }
    }
}
