//! A Region is taken away from a node that has a peer: at first each command finds out by itself,
//! then commands begin at the peer, and later they come home. Two gates in front of one PostgreSQL
//! are the Regions. Observed: what callers hear, how long they wait, where commands begin, and that
//! each has its effect once.
#![cfg(feature = "local")]

mod common;

use app::ports::{Actor, Ledger as _};
use common::{Database, Node, eventually, usd};
use server::ids;
use server::ledger::endpoint::Endpoints;
use server::ledger::schema;
use server::local::Gate;
use shared::Money;
use std::time::{Duration, Instant};

/// How long after an endpoint begins to refuse the node may still begin there.
const MOVES_AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// The same of an endpoint that hangs.
const MOVES_AFTER_HANG: Duration = Duration::from_secs(10);

/// How long after an endpoint is back the node may stay away: it stays at the peer for ten seconds
/// at least, and home must have answered for five.
const HOME_AGAIN: Duration = Duration::from_secs(20);

/// From one command to the next.
const PACE: Duration = Duration::from_millis(50);

/// What one command may take: a try that hangs, 1.5 s, and one at the peer.
const LONGEST: Duration = Duration::from_millis(2_500);

struct Regions {
    database: Database,
    near: Gate,
    far: Gate,
    node: Node,
    payer: Actor,
    paid: Money,
    longest: Duration,
}

impl Regions {
    async fn open() -> Self {
        Self::with(4).await
    }

    /// With so many connections to each Region.
    async fn with(pool: u32) -> Self {
        let database = Database::create().await;
        let near = Gate::before(&database.url).await.expect("the gate opens");
        let far = Gate::before(&database.url).await.expect("the gate opens");
        let urls = [&near, &far].map(|gate| gate.url(&database.url));
        let urls = urls.each_ref().map(String::as_str);
        let endpoints = Endpoints::postgres_at(&urls, pool).await.expect("connects");
        schema::apply(&endpoints).await.expect("the schema applies");
        let node = Node::over(endpoints);
        let payer = node.person("ann", 0).await;
        Self {
            database,
            near,
            far,
            node,
            payer,
            paid: usd(0),
            longest: Duration::ZERO,
        }
    }

    /// One command: a dollar is topped up. Answers how many tries it took.
    async fn pay(&mut self) -> u32 {
        let began = Instant::now();
        let done = self
            .node
            .ledger
            .top_up(&self.payer, ids::key(), usd(100))
            .await;
        let done = done.expect("the peer answers");
        done.outcome.expect("accepted");
        self.paid = self.paid.checked_add(usd(100)).expect("a small sum");
        self.longest = self.longest.max(began.elapsed());
        tokio::time::sleep(PACE).await;
        done.attempts
    }

    fn first(&self) -> usize {
        self.node.ledger.standing().first
    }

    /// Pays until commands begin at an endpoint; answers how long that took.
    async fn pay_until_at(&mut self, endpoint: usize, within: Duration) -> Duration {
        let since = Instant::now();
        while self.first() != endpoint {
            assert!(since.elapsed() < within, "still at {}", self.first());
            self.pay().await;
        }
        since.elapsed()
    }

    async fn close(self) {
        let wallet = self.node.wallet(&self.payer).await;
        assert_eq!(wallet.available, self.paid, "each payment counts once");
        self.node.assert_clean().await;
        self.database.drop().await;
    }
}

#[tokio::test]
async fn a_region_that_refuses_is_left_within_five_seconds_and_taken_up_again() {
    let mut regions = Regions::open().await;
    assert_eq!(regions.pay().await, 1);
    regions.near.refuse_connections(true);
    regions.near.cut_connections();
    let took = regions.pay_until_at(1, MOVES_AFTER_REFUSAL).await;
    eprintln!(
        "refusals: at the peer after {took:?}, one command took {:?}",
        regions.longest
    );
    assert!(regions.longest < LONGEST, "{:?}", regions.longest);
    let refused = regions.near.counters().refused;
    for _ in 0..20 {
        assert_eq!(regions.pay().await, 1, "nobody has to find out again");
    }
    // Only the probe, once a second, still asks.
    let asked = regions.near.counters().refused - refused;
    assert!(
        (1..=4).contains(&asked),
        "{asked} connections were refused in a second"
    );
    assert!(regions.node.ledger.ready().await.is_ok());
    regions.near.refuse_connections(false);
    let took = regions.pay_until_at(0, HOME_AGAIN).await;
    eprintln!("home again {took:?} after it was opened");
    assert_eq!(regions.node.ledger.standing().switches, 2);
    regions.close().await;
}

#[tokio::test]
async fn a_region_that_hangs_is_left_within_ten_seconds() {
    let mut regions = Regions::open().await;
    regions.near.hang(true);
    let took = regions.pay_until_at(1, MOVES_AFTER_HANG).await;
    eprintln!(
        "a hang: at the peer after {took:?}, one command took {:?}",
        regions.longest
    );
    assert!(regions.longest < LONGEST, "{:?}", regions.longest);
    assert_eq!(regions.pay().await, 1);
    regions.near.hang(false);
    regions.pay_until_at(0, HOME_AGAIN).await;
    regions.close().await;
}

#[tokio::test]
async fn a_region_that_comes_and_goes_is_not_followed() {
    let mut regions = Regions::open().await;
    let since = Instant::now();
    let mut refuse = false;
    while since.elapsed() < Duration::from_secs(9) {
        refuse = !refuse;
        regions.near.refuse_connections(refuse);
        if refuse {
            regions.near.cut_connections();
        }
        let turn = Instant::now();
        while turn.elapsed() < Duration::from_millis(1_500) {
            regions.pay().await;
        }
    }
    let switches = regions.node.ledger.standing().switches;
    assert_eq!(switches, 1, "it moved once, and stayed");
    regions.near.refuse_connections(false);
    regions.close().await;
}

#[tokio::test]
async fn both_regions_lost_is_said_and_what_was_under_way_is_found_by_its_key() {
    // The only connection of the first Region loses its COMMIT's answer: then there is none to look
    // the key up with.
    let mut regions = Regions::with(1).await;
    for gate in [&regions.near, &regions.far] {
        gate.refuse_connections(true);
    }
    regions.far.cut_connections();
    regions.near.cut_after_commit(1);
    let key = ids::key();
    let ledger = &regions.node.ledger;
    let lost = ledger.top_up(&regions.payer, key.clone(), usd(100)).await;
    assert!(lost.is_err(), "nobody knows: {lost:?}");
    assert_eq!(regions.near.counters().applied_then_cut, 1);
    assert!(ledger.ready().await.is_err());
    for gate in [&regions.near, &regions.far] {
        gate.refuse_connections(false);
    }
    let payer = regions.payer.clone();
    eventually("a Region answers", async || ledger.ready().await.is_ok()).await;
    let found = ledger.top_up(&payer, key, usd(100)).await.expect("answers");
    assert!(found.replayed, "it had been done");
    regions.paid = usd(100);
    regions.close().await;
}
