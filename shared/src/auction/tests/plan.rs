//! A batch against its bids and claims one by one: each decided alone, on the rows as the ones
//! before it left them.

use super::*;
use crate::MandateId;
use crate::auction::plan::{Closed, Freed, LotChanges};
use crate::ledger::{Transfer, TransferKind, Wallet};
use crate::purchase::{self, Lane, Mandate, Pool, Slot};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

const AGENT: MandateId = MandateId::from_uuid(Uuid::from_u128(90));
const OTHER_AGENT: MandateId = MandateId::from_uuid(Uuid::from_u128(91));

/// Everything that a batch reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    lot: Lot,
    wallets: BTreeMap<PrincipalId, Wallet>,
    mandates: BTreeMap<(MandateId, PrincipalId), Mandate>,
    bought: HashMap<PrincipalId, u32>,
    buckets: Vec<Bucket>,
}

fn wallet(minor: i64) -> Wallet {
    Wallet {
        funded: usd(minor),
        ..Wallet::empty(Currency::Usd)
    }
}

fn mandate(parts: &[i64], purchase_cap: Option<i64>) -> Mandate {
    let slot = |(number, &left)| Slot {
        number,
        version: 1,
        left,
    };
    Mandate {
        currency: Currency::Usd,
        purchase_cap: purchase_cap.map(usd),
        expires_at: HARD_END,
        revoked: false,
        scope: Vec::new(),
        budget: Pool::new((0..).zip(parts).map(slot).collect(), Lane::ONLY),
    }
}

fn agent_of(owner: u128) -> FundSource {
    FundSource::new(person(owner), Some(AGENT))
}

impl World {
    fn new(book: Book) -> Self {
        Self {
            lot: lot(book),
            wallets: [(person(1), wallet(20_000)), (person(2), wallet(9_600))].into(),
            mandates: [
                ((AGENT, person(1)), mandate(&[4_000, 3_000, 3_000], None)),
                ((OTHER_AGENT, person(3)), mandate(&[30_000], Some(8_000))),
            ]
            .into(),
            bought: HashMap::new(),
            buckets: split_stock(10),
        }
    }

    fn plan(&self) -> LotPlan {
        let wallets = self.wallets.iter();
        let wallets = wallets.map(|(&id, &w)| (FundSource::Wallet(id), Purse::Wallet(w)));
        let mandates = self.mandates.iter().map(|(&(id, owner), mandate)| {
            let source = FundSource::new(owner, Some(id));
            (source, Purse::Mandate(mandate.clone()))
        });
        let purses = wallets.chain(mandates).collect();
        let (bought, buckets) = (self.bought.clone(), self.buckets.clone());
        LotPlan::new(DURING, self.lot.clone(), purses, bought, buckets, 3)
    }

    /// Writes a batch's changes, as the ledger does.
    fn write(&mut self, plan: &LotPlan) {
        let changes = plan.changes();
        self.lot = plan.lot().clone();
        for (owner, change) in &changes.wallets {
            let wallet = self.wallets.entry(*owner).or_insert(wallet(0));
            wallet.funded = usd(wallet.funded.minor() + change.funded);
            wallet.held = usd(wallet.held.minor() + change.held);
            wallet.spent = usd(wallet.spent.minor() + change.spent);
            assert!(wallet.held.minor() >= 0 && wallet.available().minor() >= 0);
        }
        for ((id, _), mandate) in &mut self.mandates {
            let mut slots: BTreeMap<i32, i64> = BTreeMap::new();
            let budget = &mut mandate.budget;
            // A pool tells its rows by giving all of them away.
            let mut all = budget.clone();
            if all.total() > 0 {
                assert!(all.take(all.total()));
            }
            slots.extend(all.changes().iter().map(|row| (row.number, row.taken)));
            for (of, change) in &changes.budgets {
                if of == id {
                    slots.insert(change.number, change.left);
                }
            }
            let slot = |(number, left)| Slot {
                number,
                version: 1,
                left,
            };
            *budget = Pool::new(slots.into_iter().map(slot).collect(), Lane::ONLY);
        }
        for bucket in &mut self.buckets {
            bucket.available -= changes.stock.get(&bucket.number).copied().unwrap_or(0);
        }
        for (buyer, units) in changes.bought {
            *self.bought.entry(buyer).or_default() += units;
        }
    }

    /// All money, and what sellers were paid with it.
    fn money(&self) -> (i64, i64) {
        let held = match &self.lot.book {
            Book::English(english) => english.high.filter(|high| high.funds.mandate().is_some()),
            Book::Dutch(_) | Book::Drop(_) => None,
        };
        let mandates = self.mandates.values().map(|m| m.budget.total());
        let free = mandates.chain(self.wallets.values().map(|w| w.available().minor()));
        let in_wallets = self.wallets.values().map(|w| w.held.minor());
        let held = held.map_or(0, |high| high.amount.minor());
        let spent = self.wallets.values().map(|w| w.spent.minor()).sum();
        (free.chain(in_wallets).sum::<i64>() + held, spent)
    }
}

#[derive(Clone, Copy, Debug)]
enum Offer {
    Bid(FundSource, i64),
    Claim(FundSource, u32, i64),
}

fn source() -> impl Strategy<Value = FundSource> {
    prop_oneof![
        (1_u128..4).prop_map(|who| FundSource::Wallet(person(who))),
        Just(agent_of(1)),
        Just(agent_of(1)),
        Just(FundSource::new(person(3), Some(OTHER_AGENT))),
        // A mandate that this person does not have.
        Just(agent_of(2)),
    ]
}

fn offers() -> impl Strategy<Value = Vec<Offer>> {
    let bid = (source(), 9_i64..120).prop_map(|(source, tens)| Offer::Bid(source, tens * 100));
    let claim = (source(), 0_u32..4, 1_900_i64..2_200)
        .prop_map(|(source, units, most)| Offer::Claim(source, units, most));
    proptest::collection::vec(prop_oneof![3 => bid, 2 => claim], 1..40)
}

/// What was answered, and the transfers that moved money.
fn offer(plan: &mut LotPlan, offer: Offer) -> (Result<(), Declined>, Vec<Transfer>) {
    let (bid, hold) = (Uuid::from_u128(50), Uuid::from_u128(51));
    let moved = match offer {
        Offer::Bid(funds, minor) => {
            let bid_of = Bid {
                funds,
                ..super::bid(BUYER, usd(minor))
            };
            let taken = plan.bid(&bid_of, BidId::from_uuid(bid), HoldId::from_uuid(hold));
            taken.map(|taken| taken.transfers)
        }
        Offer::Claim(funds, units, most) => {
            let claim = claim(funds.owner(), units, usd(most));
            plan.claim(funds, &claim).map(|taken| vec![taken.transfer])
        }
    };
    match moved {
        Ok(transfers) => (Ok(()), transfers),
        Err(declined) => (Err(declined), Vec::new()),
    }
}

fn book(which: usize) -> Book {
    match which {
        0 => Book::English(english()),
        1 => Book::Dutch(dutch()),
        _ => Book::Drop(ten_units()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_batch_on_a_lot_decides_as_one_by_one(
        which in 0_usize..3, offers in offers(), revoked in any::<bool>(), led in any::<bool>(),
    ) {
        let mut world = World::new(book(which));
        if led && which == 0 {
            // An agent leads already, and its mandate may have been revoked since.
            let mut plan = world.plan();
            let (answer, _) = offer(&mut plan, Offer::Bid(agent_of(1), 1_000));
            prop_assert_eq!(answer, Ok(()));
            world.write(&plan);
        }
        if revoked {
            let mandate = world.mandates.get_mut(&(AGENT, person(1))).expect("there");
            let rest = mandate.budget.total();
            mandate.budget = mandate_drained();
            mandate.revoked = true;
            let wallet = world.wallets.get_mut(&person(1)).expect("there");
            *wallet = wallet.top_up(usd(rest)).expect("in range");
        }
        let before = world.money();
        let mut one_by_one = world.clone();
        let mut batch = world.plan();
        let mut paid = 0;
        for (place, &next) in offers.iter().enumerate() {
            let mut alone = one_by_one.plan();
            let expected = offer(&mut alone, next);
            one_by_one.write(&alone);
            let answered = offer(&mut batch, next);
            prop_assert_eq!(&answered, &expected, "offer {} of {:?}", place, next);
            let payments = answered.1.iter().filter(|t| t.kind() == TransferKind::Purchase);
            paid += payments.map(|t| t.amount().minor()).sum::<i64>();
        }
        world.write(&batch);
        prop_assert_eq!(&world.lot, &one_by_one.lot);
        prop_assert_eq!(&world.wallets, &one_by_one.wallets);
        prop_assert_eq!(&world.bought, &one_by_one.bought);
        let left = |world: &World| -> Vec<i64> {
            world.mandates.values().map(|m| m.budget.total()).collect()
        };
        prop_assert_eq!(left(&world), left(&one_by_one));
        let units = |world: &World| world.buckets.iter().map(|b| b.available).sum::<u32>();
        prop_assert_eq!(units(&world), units(&one_by_one));
        prop_assert_eq!(world.money().0 + paid, before.0, "money neither comes nor goes");
    }
}

fn mandate_drained() -> Pool {
    Pool::new(
        vec![Slot {
            number: 0,
            version: 2,
            left: 0,
        }],
        Lane::ONLY,
    )
}

fn bid_by(plan: &mut LotPlan, funds: FundSource, minor: i64) -> Result<Option<Freed>, Declined> {
    let bid = Bid {
        funds,
        ..bid(BUYER, usd(minor))
    };
    let taken = plan.bid(
        &bid,
        BidId::from_uuid(Uuid::nil()),
        HoldId::from_uuid(Uuid::nil()),
    );
    taken.map(|taken| taken.freed)
}

fn remaining(plan: &LotPlan) -> i64 {
    let changes = plan.changes().budgets.into_iter();
    10_000 - changes.map(|(_, change)| change.taken).sum::<i64>()
}

/// F1: an agent's bid holds mandate headroom; whoever leads next frees it in the same commit.
#[test]
fn an_agents_bid_holds_its_mandate_and_an_outbid_frees_it() {
    let world = World::new(Book::English(english()));
    let mut plan = world.plan();
    assert_eq!(bid_by(&mut plan, agent_of(1), 9_000), Ok(None));
    assert_eq!(remaining(&plan), 1_000);
    // Its own raise needs the difference only.
    let raised = bid_by(&mut plan, agent_of(1), 10_000).expect("covered by its own hold");
    assert_eq!(raised.map(|freed| freed.to), Some(agent_of(1)));
    assert_eq!(remaining(&plan), 0);
    // The owner's wallet is another purse: the agent's hold brings it nothing.
    let outbid = bid_by(&mut plan, FundSource::Wallet(person(1)), 11_000).expect("covered");
    assert_eq!(outbid.map(|freed| freed.to), Some(agent_of(1)));
    assert_eq!(remaining(&plan), 10_000);
    let exhausted = purchase::Refusal::MandateExhausted { left: usd(10_000) };
    let too_much = bid_by(&mut plan, agent_of(1), 12_000);
    assert_eq!(too_much, Err(Declined::Mandate(exhausted)));
}

/// A leading bid placed before the revoke binds; what it held goes to the wallet if it is outbid.
#[test]
fn a_hold_outlives_its_mandate_and_returns_to_the_wallet() {
    let mut world = World::new(Book::English(english()));
    let mut plan = world.plan();
    assert_eq!(bid_by(&mut plan, agent_of(1), 9_000), Ok(None));
    world.write(&plan);
    let mandate = world
        .mandates
        .get_mut(&(AGENT, person(1)))
        .expect("is there");
    (mandate.revoked, mandate.budget) = (true, mandate_drained());
    let mut plan = world.plan();
    let revoked = Err(Declined::Mandate(purchase::Refusal::MandateRevoked));
    assert_eq!(bid_by(&mut plan, agent_of(1), 10_000), revoked);
    // If it wins, it pays.
    let mut due = LotPlan::new(
        CLOSES,
        plan.lot().clone(),
        BTreeMap::new(),
        HashMap::new(),
        Vec::new(),
        0,
    );
    let Closed {
        freed, transfer, ..
    } = due.close().expect("is due");
    assert_eq!(freed, None);
    assert_eq!(transfer.map(|t| t.kind()), Some(TransferKind::Capture));
    assert_eq!(
        due.changes(),
        LotChanges::default(),
        "its budget was charged before"
    );
    // If it loses, the wallet has it.
    let freed = bid_by(&mut plan, FundSource::Wallet(person(2)), 9_500).expect("is covered");
    let owner = FundSource::Wallet(person(1));
    assert_eq!(freed.map(|freed| freed.to), Some(owner));
    let changes = plan.changes();
    assert_eq!(
        changes.wallets.get(&person(1)).map(|w| w.funded),
        Some(9_000)
    );
    assert_eq!(changes.returned, [(AGENT, 9_000)].into());
    assert_eq!(changes.budgets, []);
}

/// The mandate's rules stand after the lot's and before its money.
#[test]
fn a_mandate_refuses_by_its_own_rules() {
    use purchase::Refusal as R;
    let refusal = |change: fn(&mut Mandate), minor: i64| {
        let mut world = World::new(Book::English(english()));
        let mandate = world.mandates.get_mut(&(AGENT, person(1)));
        change(mandate.expect("is there"));
        bid_by(&mut world.plan(), agent_of(1), minor)
    };
    const MERCHANT: crate::MerchantId = crate::MerchantId::from_uuid(Uuid::from_u128(4));
    let low = Declined::Lot(Refusal::TooLow {
        minimum: usd(1_000),
    });
    assert_eq!(refusal(|m| m.revoked = true, 500), Err(low));
    for (change, expected) in [
        (
            (|m| m.expires_at = DURING) as fn(&mut Mandate),
            R::MandateExpired { at: DURING },
        ),
        (|m| m.scope = vec![MERCHANT], R::MerchantNotAllowed),
        (
            |m| m.purchase_cap = Some(usd(10_999)),
            R::OverPurchaseCap { cap: usd(10_999) },
        ),
        (|_| {}, R::MandateExhausted { left: usd(10_000) }),
    ] {
        assert_eq!(refusal(change, 11_000), Err(Declined::Mandate(expected)));
    }
    let foreign = bid_by(
        &mut World::new(Book::English(english())).plan(),
        agent_of(2),
        1_000,
    );
    let what = purchase::Named::Mandate;
    assert_eq!(foreign, Err(Declined::Mandate(R::NotFound { what })));
}
