//! What a money command did: the answers that the server gives and the browser reads.

use serde::{Deserialize, Serialize};
use shared::auction::Refusal;
use shared::view::{LadderLine, Outcome, WalletView};
use shared::{LotId, Money, Timestamp, TransferId};

/// An accepted bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BidReceipt {
    /// The line in the ladder.
    pub line: LadderLine,
    /// The lot's version after the bid.
    pub version: i64,
    /// When bidding ends now.
    pub closes_at: Timestamp,
    /// The least amount of the next bid.
    pub next_minimum: Money,
}

/// An accepted claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimReceipt {
    /// The line in the ladder; its amount is the price per unit that was charged.
    pub line: LadderLine,
    /// Price × units.
    pub total: Money,
    /// The transfer that paid for it.
    pub transfer: TransferId,
}

/// A settled lot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleReceipt {
    /// The lot.
    pub lot: LotId,
    /// How it ended.
    pub outcome: Outcome,
}

/// A top-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUpReceipt {
    /// What came in.
    pub amount: Money,
    /// The wallet after it.
    pub wallet: WalletView,
}

/// What a key decided, to be shown after a form that was sent without scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum KeptOutcome {
    /// A bid.
    Bid(BidReceipt),
    /// A claim.
    Claim(ClaimReceipt),
    /// A settlement.
    Settle(SettleReceipt),
    /// A top-up.
    TopUp(TopUpReceipt),
    /// A refusal.
    Refused(Refusal),
}
