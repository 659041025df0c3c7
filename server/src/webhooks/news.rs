//! What receivers are told of a commit of the agents' checkout.

use super::event::{EventError, WebhookEvent};
use crate::events::{CheckoutEvent, CheckoutNews, EventBody, HouseEvent, PurchaseLine};
use serde::Serialize;
use shared::{
    BidId, ClaimId, Currency, EventId, ItemId, LotId, MandateId, MerchantId, PurchaseId, Timestamp,
    TransferId,
};

/// Every type of event, with what it tells.
pub const KINDS: [(&str, &str); 9] = [
    ("purchase.committed", "A purchase was made."),
    (
        "purchase.refunded",
        "A purchase, or a part of it, was paid back.",
    ),
    ("item.stocked", "Units of an item came in."),
    ("mandate.created", "A mandate was given."),
    ("mandate.revoked", "A mandate was taken back."),
    ("bid.placed", "A bid of an agent leads a lot."),
    (
        "bid.freed",
        "A bid of an agent was outbid, or its lot passed; what was held is free again.",
    ),
    ("bid.won", "A bid of an agent won its lot and was paid."),
    ("claim.paid", "An agent claimed units of a lot."),
];

#[derive(Serialize)]
struct Committed<'e> {
    purchase_id: PurchaseId,
    transfer_id: TransferId,
    merchant_id: Option<MerchantId>,
    mandate_id: MandateId,
    item_id: ItemId,
    agent_id: &'e str,
    quantity: u32,
    amount_minor: i64,
    currency: Currency,
}

#[derive(Serialize)]
struct Refunded {
    refund_id: TransferId,
    purchase_id: PurchaseId,
    item_id: ItemId,
    amount_minor: i64,
    currency: Currency,
    units: i64,
}

#[derive(Serialize)]
struct Stocked {
    item_id: ItemId,
    units: i64,
}

#[derive(Serialize)]
struct OfMandate {
    mandate_id: MandateId,
    currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned_minor: Option<i64>,
}

#[derive(Serialize)]
struct Placed<'e> {
    bid_id: BidId,
    lot_id: LotId,
    mandate_id: MandateId,
    agent_id: &'e str,
    amount_minor: i64,
    currency: Currency,
}

#[derive(Serialize)]
struct BidFreed {
    bid_id: BidId,
    lot_id: LotId,
    mandate_id: MandateId,
    freed_minor: i64,
    /// The bid that leads now; missing if the lot passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    price_minor: Option<i64>,
    currency: Currency,
    /// `mandate`, or `wallet` if the mandate had been revoked.
    to: &'static str,
}

#[derive(Serialize)]
struct BidWon {
    bid_id: BidId,
    lot_id: LotId,
    mandate_id: MandateId,
    amount_minor: i64,
    currency: Currency,
}

#[derive(Serialize)]
struct ClaimPaid<'e> {
    claim_id: ClaimId,
    lot_id: LotId,
    mandate_id: MandateId,
    agent_id: &'e str,
    units: u32,
    amount_minor: i64,
    currency: Currency,
}

/// What receivers are told of an event: of a batch each purchase by itself.
#[must_use]
pub fn of_event(event: &HouseEvent) -> Vec<WebhookEvent> {
    let EventBody::Checkout(checkout) = &event.body else {
        return Vec::new();
    };
    let told = tell(event.id, event.at, checkout);
    told.into_iter()
        .filter_map(|told| {
            told.inspect_err(|error| tracing::error!(event = %event.id, %error, "cannot be told"))
                .ok()
        })
        .collect()
}

fn tell(
    id: EventId,
    at: Timestamp,
    checkout: &CheckoutEvent,
) -> Vec<Result<WebhookEvent, EventError>> {
    let currency = checkout.currency;
    match &checkout.what {
        CheckoutNews::Committed { item, purchases } => {
            let merchant_id = checkout.credits.first().map(|(merchant, _)| *merchant);
            let one = |line: &PurchaseLine| {
                let data = Committed {
                    purchase_id: line.purchase,
                    transfer_id: TransferId::from_uuid(line.purchase.uuid()),
                    merchant_id,
                    mandate_id: line.mandate,
                    item_id: *item,
                    agent_id: &line.agent,
                    quantity: line.quantity,
                    amount_minor: line.amount_minor,
                    currency,
                };
                // Purchases of a batch share their event; each is told once by its own number.
                let id = EventId::from_uuid(line.purchase.uuid());
                WebhookEvent::new(id, "purchase.committed", at, &data)
            };
            purchases.iter().map(one).collect()
        }
        CheckoutNews::Stocked { item, units } => {
            let data = Stocked {
                item_id: *item,
                units: *units,
            };
            vec![WebhookEvent::new(id, "item.stocked", at, &data)]
        }
        CheckoutNews::Granted { mandate } => {
            let data = OfMandate {
                mandate_id: *mandate,
                currency,
                returned_minor: None,
            };
            vec![WebhookEvent::new(id, "mandate.created", at, &data)]
        }
        CheckoutNews::Revoked {
            mandate,
            returned_minor,
        } => {
            let data = OfMandate {
                mandate_id: *mandate,
                currency,
                returned_minor: Some(*returned_minor),
            };
            vec![WebhookEvent::new(id, "mandate.revoked", at, &data)]
        }
        CheckoutNews::BidPlaced { .. }
        | CheckoutNews::BidFreed { .. }
        | CheckoutNews::BidWon { .. }
        | CheckoutNews::Claimed { .. } => on_lot(id, at, checkout).into_iter().collect(),
        CheckoutNews::Refunded {
            purchase,
            item,
            transfer,
            amount_minor,
            units,
        } => {
            let data = Refunded {
                refund_id: *transfer,
                purchase_id: *purchase,
                item_id: *item,
                amount_minor: *amount_minor,
                currency,
                units: *units,
            };
            vec![WebhookEvent::new(id, "purchase.refunded", at, &data)]
        }
    }
}

/// What happened to the bids and claims of agents.
fn on_lot(
    id: EventId,
    at: Timestamp,
    checkout: &CheckoutEvent,
) -> Option<Result<WebhookEvent, EventError>> {
    let currency = checkout.currency;
    match &checkout.what {
        CheckoutNews::BidPlaced {
            mandate,
            lot,
            bid,
            agent,
            amount_minor,
        } => {
            let data = Placed {
                bid_id: *bid,
                lot_id: *lot,
                mandate_id: *mandate,
                agent_id: agent,
                amount_minor: *amount_minor,
                currency,
            };
            Some(WebhookEvent::new(id, "bid.placed", at, &data))
        }
        CheckoutNews::BidFreed {
            mandate,
            lot,
            bid,
            freed_minor,
            price_minor,
            to_wallet,
        } => {
            let data = BidFreed {
                bid_id: *bid,
                lot_id: *lot,
                mandate_id: *mandate,
                freed_minor: *freed_minor,
                price_minor: *price_minor,
                currency,
                to: if *to_wallet { "wallet" } else { "mandate" },
            };
            Some(WebhookEvent::new(id, "bid.freed", at, &data))
        }
        CheckoutNews::BidWon {
            mandate,
            lot,
            bid,
            paid_minor,
        } => {
            let data = BidWon {
                bid_id: *bid,
                lot_id: *lot,
                mandate_id: *mandate,
                amount_minor: *paid_minor,
                currency,
            };
            Some(WebhookEvent::new(id, "bid.won", at, &data))
        }
        CheckoutNews::Claimed {
            mandate,
            lot,
            claim,
            agent,
            units,
            amount_minor,
        } => {
            let data = ClaimPaid {
                claim_id: *claim,
                lot_id: *lot,
                mandate_id: *mandate,
                agent_id: agent,
                units: *units,
                amount_minor: *amount_minor,
                currency,
            };
            Some(WebhookEvent::new(id, "claim.paid", at, &data))
        }
        CheckoutNews::Committed { .. }
        | CheckoutNews::Stocked { .. }
        | CheckoutNews::Granted { .. }
        | CheckoutNews::Revoked { .. }
        | CheckoutNews::Refunded { .. } => None,
    }
}
