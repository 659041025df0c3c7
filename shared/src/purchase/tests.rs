//! A batch decided at once is the same requests decided one after another.

use super::{
    AgentId, Ask, CommitRequest, DUPLICATE_WINDOW_MS, First, ItemTerms, Lane, Mandate, Plan, Pool,
    Refusal, Slot,
};
use crate::{Currency, ItemId, MandateId, MerchantId, Money, PurchaseId, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_000_000_000);
const PRICE: i64 = 7;

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).expect("in range")
}

fn merchant() -> MerchantId {
    MerchantId::from_uuid(Uuid::from_u128(1))
}

fn mandate(number: u8) -> MandateId {
    MandateId::from_uuid(Uuid::from_u128(100 + u128::from(number)))
}

const TERMS: fn() -> ItemTerms = || ItemTerms {
    merchant: merchant(),
    price: usd(PRICE),
};

fn request(who: u8, agent: u8, quantity: u32) -> CommitRequest {
    CommitRequest {
        merchant: merchant(),
        mandate: mandate(who),
        item: ItemId::from_uuid(Uuid::from_u128(2)),
        agent: AgentId::try_from(format!("agent-{agent}")).expect("a name"),
        quantity,
        max_price: usd(PRICE),
        allow_repeat: false,
    }
}

fn pool(left: &[i64], lane: Lane) -> Pool {
    let slot = |(number, &left): (i32, &i64)| Slot {
        number,
        version: 5,
        left,
    };
    Pool::new((0..).zip(left).map(slot).collect(), lane)
}

fn budget(left: &[i64], lane: Lane) -> Mandate {
    Mandate {
        currency: Currency::Usd,
        purchase_cap: None,
        expires_at: Timestamp(NOW.0 + 1),
        revoked: false,
        scope: Vec::new(),
        budget: pool(left, lane),
    }
}

/// The intent's hash; any injective number will do here.
fn intent(request: &CommitRequest) -> Uuid {
    let agent = u128::from(request.agent.as_str().len() as u64) << 64;
    let number: u128 = request
        .agent
        .as_str()
        .bytes()
        .fold(0, |n, b| n * 131 + u128::from(b));
    Uuid::from_u128(
        request.mandate.uuid().as_u128()
            ^ agent
            ^ (number << 32)
            ^ (u128::from(request.quantity) << 100),
    )
}

fn plan(stock: &[i64], budgets: &[Vec<i64>], lane: Lane, intents: HashMap<Uuid, First>) -> Plan {
    let mandates: BTreeMap<_, _> = (0..)
        .zip(budgets)
        .map(|(number, left)| (mandate(number), budget(left, lane)))
        .collect();
    Plan::new(NOW, TERMS(), pool(stock, lane), mandates, intents)
}

fn only(mandate: Mandate) -> Plan {
    let mandates = BTreeMap::from([(self::mandate(0), mandate)]);
    Plan::new(
        NOW,
        TERMS(),
        pool(&[10], Lane::ONLY),
        mandates,
        HashMap::new(),
    )
}

fn decide(plan: &mut Plan, request: &CommitRequest) -> Result<Money, Refusal> {
    let ask = Ask {
        purchase: PurchaseId::from_uuid(Uuid::from_u128(9)),
        intent: intent(request),
        request,
    };
    plan.decide(&ask).map(|accepted| accepted.amount)
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    who: u8,
    agent: u8,
    quantity: u32,
    allow_repeat: bool,
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = (0_u8..3, 0_u8..4, 1_u32..5, any::<bool>()).prop_map(
        |(who, agent, quantity, allow_repeat)| Wish {
            who,
            agent,
            quantity,
            allow_repeat,
        },
    );
    proptest::collection::vec(wish, 1..60)
}

/// What must come out, told without buckets: one number for the stock, one for each budget.
struct Oracle {
    stock: i64,
    budgets: Vec<i64>,
    seen: HashMap<Uuid, u32>,
}

impl Oracle {
    fn answer(&mut self, request: &CommitRequest, who: u8) -> &'static str {
        let cost = PRICE * i64::from(request.quantity);
        let left = &mut self.budgets[usize::from(who)];
        if self.seen.contains_key(&intent(request)) && !request.allow_repeat {
            return "duplicate_suspected";
        }
        if self.stock < i64::from(request.quantity) {
            return "sold_out";
        }
        if *left < cost {
            return "mandate_exhausted";
        }
        self.stock -= i64::from(request.quantity);
        *left -= cost;
        *self.seen.entry(intent(request)).or_default() += 1;
        "committed"
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_batch_decides_as_one_by_one(
        wishes in wishes(),
        stock in proptest::collection::vec(0_i64..6, 1..9),
        budgets in proptest::collection::vec(proptest::collection::vec(0_i64..60, 1..6), 3),
        (index, start) in (0_u32..2, 0_u32..70),
        splits in proptest::collection::vec(1_usize..20, 1..6),
    ) {
        let lane = Lane { index, count: 2, start };
        let mut oracle = Oracle {
            stock: stock.iter().sum(),
            budgets: budgets.iter().map(|left| left.iter().sum()).collect(),
            seen: HashMap::new(),
        };
        // The rows as the database has them between batches.
        let (mut stock_rows, mut budget_rows) = (stock, budgets);
        let mut intent_rows: HashMap<Uuid, First> = HashMap::new();
        let (mut rest, mut splits) = (wishes.as_slice(), splits.into_iter().cycle());
        while !rest.is_empty() {
            let size = splits.next().unwrap_or(1).min(rest.len());
            let (batch, later) = rest.split_at(size);
            rest = later;
            let mut plan = plan(&stock_rows, &budget_rows, lane, intent_rows.clone());
            for wish in batch {
                let mut request = request(wish.who, wish.agent, wish.quantity);
                request.allow_repeat = wish.allow_repeat;
                let code = decide(&mut plan, &request).map_or_else(|no| no.code(), |_| "committed");
                prop_assert_eq!(code, oracle.answer(&request, wish.who));
            }
            let changes = plan.changes();
            // Each row once, in key order, by what the rows say and never below nothing.
            prop_assert!(changes.stock.is_sorted_by(|a, b| a.number < b.number));
            prop_assert!(changes.budgets.is_sorted_by(|a, b| (a.0, a.1.number) < (b.0, b.1.number)));
            for change in &changes.stock {
                let row = &mut stock_rows[usize::try_from(change.number).expect("a place")];
                *row -= change.taken;
                prop_assert!(change.taken > 0 && *row >= 0 && *row == change.left);
            }
            for (id, change) in &changes.budgets {
                let who = usize::try_from(id.uuid().as_u128() - 100).expect("a place");
                let row = &mut budget_rows[who][usize::try_from(change.number).expect("a place")];
                *row -= change.taken;
                prop_assert!(change.taken > 0 && *row >= 0 && *row == change.left);
            }
            intent_rows.extend(changes.first_intents);
            intent_rows.extend(changes.intents_again);
            prop_assert_eq!(stock_rows.iter().sum::<i64>(), oracle.stock);
            let left: Vec<i64> = budget_rows.iter().map(|left| left.iter().sum()).collect();
            prop_assert_eq!(&left, &oracle.budgets);
        }
    }
}

#[test]
fn each_rule_refuses_with_its_own_code() {
    let good = || budget(&[100], Lane::ONLY);
    let code = |mandate: Mandate, change: fn(&mut CommitRequest)| {
        let mut request = request(0, 0, 2);
        change(&mut request);
        decide(&mut only(mandate), &request).map_or_else(|no| no.code(), |_| "committed")
    };
    assert_eq!(code(good(), |_| {}), "committed");
    let other = |r: &mut CommitRequest| r.merchant = MerchantId::from_uuid(Uuid::from_u128(77));
    assert_eq!(code(good(), other), "not_found");
    assert_eq!(code(good(), |r| r.mandate = mandate(9)), "not_found");
    let yen = |r: &mut CommitRequest| r.max_price = Money::new(7, Currency::Jpy).expect("in range");
    assert_eq!(code(good(), yen), "currency_mismatch");
    let euros = Mandate {
        currency: Currency::Eur,
        ..good()
    };
    assert_eq!(code(euros, |_| {}), "currency_mismatch");
    let revoked = Mandate {
        revoked: true,
        ..good()
    };
    assert_eq!(code(revoked, |_| {}), "mandate_revoked");
    let expired = Mandate {
        expires_at: NOW,
        ..good()
    };
    assert_eq!(code(expired, |_| {}), "mandate_expired");
    let elsewhere = Mandate {
        scope: vec![MerchantId::from_uuid(Uuid::from_u128(78))],
        ..good()
    };
    assert_eq!(code(elsewhere, |_| {}), "merchant_not_allowed");
    assert_eq!(
        code(good(), |r| r.max_price = usd(PRICE - 1)),
        "price_moved"
    );
    let capped = Mandate {
        purchase_cap: Some(usd(2 * PRICE - 1)),
        ..good()
    };
    assert_eq!(code(capped, |_| {}), "over_purchase_cap");
    assert_eq!(code(good(), |r| r.quantity = 11), "sold_out");
    assert_eq!(code(budget(&[13], Lane::ONLY), |_| {}), "mandate_exhausted");
}

#[test]
fn a_repeat_is_suspected_within_the_window_and_names_the_first_purchase() {
    let again = request(0, 0, 1);
    let at = |ms: i64| First {
        purchase: PurchaseId::from_uuid(Uuid::from_u128(5)),
        at: Timestamp(NOW.0 - ms),
    };
    let with = |first: First, request: &CommitRequest| {
        let intents = HashMap::from([(intent(&again), first)]);
        decide(&mut plan(&[5], &[vec![100]], Lane::ONLY, intents), request)
    };
    let first = at(DUPLICATE_WINDOW_MS - 1);
    let suspected = Refusal::DuplicateSuspected {
        first,
        amount: usd(PRICE),
    };
    assert_eq!(with(first, &again), Err(suspected));
    assert_eq!(with(at(DUPLICATE_WINDOW_MS), &again), Ok(usd(PRICE)));
    let mut meant = again.clone();
    meant.allow_repeat = true;
    assert_eq!(with(first, &meant), Ok(usd(PRICE)));
    assert_eq!(
        with(first, &request(0, 1, 1)),
        Ok(usd(PRICE)),
        "another agent"
    );
}
