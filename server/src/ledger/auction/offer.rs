//! What somebody asks of a lot.

use super::super::keys::{Keyed, Route};
use app::ports::{Actor, BidReceipt, ClaimReceipt};
use serde::{Deserialize, Serialize};
use shared::auction::{Declined, Refusal};
use shared::ledger::FundSource;
use shared::purchase::{self, AgentId};
use shared::view::Person;
use shared::{IdempotencyKey, LotId, MandateId, Money, PrincipalId, Region};
use std::fmt::Display;

/// A price, or units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A bid on an English lot.
    Bid {
        /// What is offered.
        amount: Money,
    },
    /// A claim of units of a Dutch lot or a drop.
    Claim {
        /// How many.
        units: u32,
        /// The highest price per unit that was agreed to.
        max_price: Money,
    },
}

/// A bid or a claim, by a person with their wallet or by an agent with a mandate.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its key.
    pub keyed: Keyed,
    /// Whose money, and from which purse.
    pub funds: FundSource,
    /// Who acts, as others see them; read with the rest if it is not known.
    pub person: Option<Person>,
    /// The agent, if it is one's.
    pub agent: Option<AgentId>,
    /// Where they act.
    pub region: Region,
    /// The lot.
    pub lot: LotId,
    /// What they want.
    pub wish: Wish,
}

impl Offer {
    /// An offer of a person, paid by their wallet.
    #[must_use]
    pub fn by_person(actor: Actor, key: IdempotencyKey, lot: LotId, wish: Wish) -> Self {
        let owner = actor.person.id;
        let route = match wish {
            Wish::Bid { .. } => Route::Bid,
            Wish::Claim { .. } => Route::Claim,
        };
        Self {
            keyed: keyed(owner, key, route, &[&lot], wish),
            funds: FundSource::Wallet(owner),
            person: Some(actor.person),
            agent: None,
            region: actor.region,
            lot,
            wish,
        }
    }

    /// Whether this is a claim that a wallet pays for: one that rests on no mandate.
    #[must_use]
    pub const fn is_claim_from_wallet(&self) -> bool {
        matches!(self.wish, Wish::Claim { .. }) && matches!(self.funds, FundSource::Wallet(_))
    }

    /// An offer of an agent, paid by a mandate of its owner.
    #[must_use]
    pub fn by_agent(
        (owner, mandate): (PrincipalId, MandateId),
        agent: AgentId,
        region: Region,
        key: IdempotencyKey,
        lot: LotId,
        wish: Wish,
    ) -> Self {
        let route = match wish {
            Wish::Bid { .. } => Route::AgentBid,
            Wish::Claim { .. } => Route::AgentClaim,
        };
        let agent_name = agent.as_str().to_owned();
        Self {
            keyed: keyed(
                owner,
                key,
                route,
                &[&lot, &mandate, &agent_name, &region],
                wish,
            ),
            funds: FundSource::Mandate { owner, mandate },
            person: None,
            agent: Some(agent),
            region,
            lot,
            wish,
        }
    }
}

fn keyed(
    owner: PrincipalId,
    key: IdempotencyKey,
    route: Route,
    who: &[&dyn Display],
    wish: Wish,
) -> Keyed {
    let mut meaning = who.to_vec();
    match &wish {
        Wish::Bid { amount } => {
            let (minor, currency) = (amount.minor(), amount.currency());
            meaning.extend([&minor as &dyn Display, &currency]);
            Keyed::new(owner, key, route, &meaning)
        }
        Wish::Claim { units, max_price } => {
            let (minor, currency) = (max_price.minor(), max_price.currency());
            meaning.extend([units as &dyn Display, &minor, &currency]);
            Keyed::new(owner, key, route, &meaning)
        }
    }
}

/// What was decided. It is kept under the key in this form; the first three are also what a page
/// reads back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Reply {
    /// The bid leads.
    Bid(BidReceipt),
    /// The claim was paid.
    Claim(ClaimReceipt),
    /// The lot's rules refused.
    Refused(Refusal),
    /// The mandate's rules refused.
    MandateRefused(purchase::Refusal),
}

impl Reply {
    /// Whether what was named does not exist: it may exist later, so an agent's key is not used up.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refusal::NotFound)
                | Self::MandateRefused(purchase::Refusal::NotFound { .. })
        )
    }
}

impl From<Declined> for Reply {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::Lot(refusal) => Self::Refused(refusal),
            Declined::Mandate(refusal) => Self::MandateRefused(refusal),
        }
    }
}
