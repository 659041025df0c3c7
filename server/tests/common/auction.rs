//! Bids and claims of people and of agents.

use super::checkout::{Shop, agent};
use super::{Node, usd};
use app::ports::{Decided, Failure};
use server::ids;
use server::ledger::auction::{Answer, Offer, Reply, Wish};
use server::ledger::queue::{Twins, Undecided};
use shared::{LotId, MandateId, Region};

/// `ok`, or the refusal's code.
pub fn outcome<T>(decided: Result<Decided<T>, Failure>) -> &'static str {
    match decided.expect("answers").outcome {
        Ok(_) => "ok",
        Err(refusal) => refusal.code(),
    }
}

/// What an agent's offer was answered.
pub async fn offered(
    node: &Node,
    shop: &Shop,
    mandate: MandateId,
    lot: LotId,
    wish: Wish,
) -> Result<Answer, Undecided> {
    let funds = (shop.tenant(), mandate);
    let (agent, key) = (agent("scout"), ids::key());
    let offer = Offer::by_agent(funds, agent, Region::Seoul, key, lot, wish);
    node.ledger.lot_queues().offer(offer, Twins::Refuse).await
}

/// `ok`, or the refusal's code.
pub fn code(reply: &Reply) -> &'static str {
    match reply {
        Reply::Bid(_) | Reply::Claim(_) => "ok",
        Reply::Refused(refusal) => refusal.code(),
        Reply::MandateRefused(refusal) => refusal.code(),
    }
}

/// A bid of an agent; the code of what was decided.
pub async fn agent_bid(
    node: &Node,
    shop: &Shop,
    mandate: MandateId,
    lot: LotId,
    minor: i64,
) -> &'static str {
    let wish = Wish::Bid { amount: usd(minor) };
    let answer = offered(node, shop, mandate, lot, wish).await;
    code(&answer.expect("answers").reply)
}

/// A claim of an agent at $5 a unit or more; the code of what was decided.
pub async fn agent_claim(
    node: &Node,
    shop: &Shop,
    mandate: MandateId,
    lot: LotId,
    units: u32,
) -> &'static str {
    let max_price = usd(10_000);
    let wish = Wish::Claim { units, max_price };
    let answer = offered(node, shop, mandate, lot, wish).await;
    code(&answer.expect("answers").reply)
}
