//! What the kernel decided, as the reply that its caller reads. A reply is made of the decision
//! alone, which is stored, so that a repeat is the same bytes; a test pins them.

use super::problem::Problem;
use super::schemas::scalars;
use crate::ledger::checkout::Decision;
use serde::Serialize;
use shared::purchase::Refusal;
use shared::{Currency, PurchaseId, TransferId};
use utoipa::ToSchema;

/// The body of a committed purchase. Its fields stand in this order, for ever.
#[derive(Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// Always `committed`.
    #[schema(example = "committed")]
    pub outcome: &'static str,
    /// The purchase.
    #[schema(value_type = scalars::PurchaseId)]
    pub purchase_id: PurchaseId,
    /// Its transfer in the ledger.
    #[schema(value_type = scalars::TransferId)]
    pub transfer_id: TransferId,
    /// What it cost, in minor units: price × quantity.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// The currency of the amount.
    #[schema(value_type = scalars::Currency)]
    pub currency: Currency,
    /// Tries of the transaction that committed it; the first is 1.
    #[schema(minimum = 1)]
    pub attempts: u32,
}

/// The receipt of a purchase, or why there is none.
///
/// # Errors
/// The refusal, as a problem.
pub fn receipt(purchase: PurchaseId, decision: &Decision) -> Result<Receipt, Problem> {
    match decision {
        Decision::Committed { amount, attempts } => Ok(Receipt {
            outcome: "committed",
            purchase_id: purchase,
            // A purchase's transfer has the same number.
            transfer_id: TransferId::from_uuid(purchase.uuid()),
            amount_minor: amount.minor(),
            currency: amount.currency(),
            attempts: *attempts,
        }),
        Decision::Refused(refusal) => Err(refused(refusal).at(format!("/v1/purchases/{purchase}"))),
    }
}

/// A refusal as a problem, with what the caller needs to decide again.
#[must_use]
pub fn refused(refusal: &Refusal) -> Problem {
    let problem = Problem::new(refusal.code(), sentence(refusal));
    match *refusal {
        Refusal::NotFound { what } => problem.with("what", what.to_string()),
        Refusal::CurrencyMismatch { expected } => problem.with("expected", expected.code()),
        Refusal::MandateExpired { at } => problem.with("expired_at_ms", at.0),
        Refusal::PriceMoved { price } => problem
            .with("price_minor", price.minor())
            .with("currency", price.currency().code()),
        Refusal::OverPurchaseCap { cap } => problem
            .with("cap_minor", cap.minor())
            .with("currency", cap.currency().code()),
        Refusal::DuplicateSuspected { first, amount } => {
            let receipt = serde_json::json!({
                "purchase_id": first.purchase.to_string(),
                "transfer_id": TransferId::from_uuid(first.purchase.uuid()).to_string(),
                "amount_minor": amount.minor(),
                "currency": amount.currency().code(),
                "committed_at_ms": first.at.0,
            });
            problem.with("first", receipt)
        }
        Refusal::SoldOut { left } | Refusal::StockLimit { most: left } => {
            problem.with("units_left", left)
        }
        Refusal::TooManyUnits { left } => problem.with("units_left", left),
        Refusal::MandateExhausted { left } | Refusal::RefundTooLarge { left } => problem
            .with("left_minor", left.minor())
            .with("currency", left.currency().code()),
        Refusal::Insufficient { available } => problem
            .with("available_minor", available.minor())
            .with("currency", available.currency().code()),
        Refusal::MandateRevoked
        | Refusal::MerchantNotAllowed
        | Refusal::NotCommitted
        | Refusal::TotalOutOfRange => problem,
    }
}

fn sentence(refusal: &Refusal) -> String {
    let mut text = refusal.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::purchase::First;
    use shared::{Money, Timestamp};
    use uuid::Uuid;

    fn purchase() -> PurchaseId {
        PurchaseId::from_uuid(Uuid::from_u128(1))
    }

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::Usd).expect("in range")
    }

    /// A repeat within a day may be answered by a later version of the program: these bytes are a
    /// promise, not a matter of taste.
    #[test]
    fn replies_are_the_same_bytes_for_ever() {
        let committed = Decision::Committed {
            amount: usd(1_250),
            attempts: 2,
        };
        let receipt = receipt(purchase(), &committed).expect("a receipt");
        assert_eq!(
            serde_json::to_string(&receipt).expect("writes"),
            "{\"outcome\":\"committed\",\"purchase_id\":\"pur_00000000000000000000000000000001\",\
             \"transfer_id\":\"tfr_00000000000000000000000000000001\",\"amount_minor\":1250,\
             \"currency\":\"USD\",\"attempts\":2}"
        );
        let first = First {
            purchase: purchase(),
            at: Timestamp(5),
        };
        let suspected = Refusal::DuplicateSuspected {
            first,
            amount: usd(1_250),
        };
        assert_eq!(
            refused(&suspected).at("/v1/purchases/x".into()).body(),
            "{\"type\":\"/docs/errors/duplicate_suspected\",\"title\":\"The same purchase was made \
             moments ago\",\"status\":409,\"detail\":\"The same purchase was made moments ago.\",\
             \"instance\":\"/v1/purchases/x\",\"code\":\"duplicate_suspected\",\"first\":{\
             \"amount_minor\":1250,\"committed_at_ms\":5,\"currency\":\"USD\",\"purchase_id\":\
             \"pur_00000000000000000000000000000001\",\"transfer_id\":\
             \"tfr_00000000000000000000000000000001\"}}"
        );
        let sold_out = refused(&Refusal::SoldOut { left: 0 }).body();
        assert_eq!(
            sold_out,
            "{\"type\":\"/docs/errors/sold_out\",\"title\":\"Too few units are left\",\"status\":409,\
             \"detail\":\"0 units are left.\",\"code\":\"sold_out\",\"units_left\":0}"
        );
    }

    #[test]
    fn every_refusal_has_its_entry_and_status() {
        use shared::purchase::Named;
        let money = usd(1);
        let table = [
            (Refusal::NotFound { what: Named::Item }, 404),
            (
                Refusal::CurrencyMismatch {
                    expected: Currency::Usd,
                },
                422,
            ),
            (Refusal::MandateRevoked, 403),
            (Refusal::MandateExpired { at: Timestamp(1) }, 403),
            (Refusal::MerchantNotAllowed, 403),
            (Refusal::PriceMoved { price: money }, 409),
            (Refusal::OverPurchaseCap { cap: money }, 402),
            (Refusal::SoldOut { left: 1 }, 409),
            (Refusal::MandateExhausted { left: money }, 402),
            (Refusal::Insufficient { available: money }, 402),
            (Refusal::RefundTooLarge { left: money }, 409),
            (Refusal::TooManyUnits { left: 1 }, 409),
            (Refusal::NotCommitted, 409),
            (Refusal::StockLimit { most: 1 }, 409),
            (Refusal::TotalOutOfRange, 422),
        ];
        for (refusal, status) in table {
            let problem = refused(&refusal);
            assert_eq!(problem.code(), refusal.code());
            assert_eq!(problem.status().as_u16(), status, "{refusal:?}");
        }
    }
}
