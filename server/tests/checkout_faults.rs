//! The commit kernel while its database fails: lost COMMITs, conflicts at every place, twins on two
//! nodes, a database that hangs, a request that poisons its batch. Each key ends with one purchase
//! or none, and hears which.
#![cfg(feature = "local")]

mod common;

use app::ports::Failure;
use common::checkout::{Shop, code};
use common::halt::{COMMIT, Halts};
use common::{Database, Node};
use futures::future::join_all;
use server::ids;
use server::ledger::checkout::kernel::LANES;
use server::ledger::checkout::{Answer, Decision, Undecided};
use server::ledger::transaction::{Bounds, MAX_RACES};
use server::local::Gate;
use shared::purchase::CommitRequest;
use shared::{ItemId, MandateId, PurchaseId};
use sqlx::PgConnection;
use std::time::{Duration, Instant};

/// Faults of a kind that a test must have seen, or it proved nothing.
const ENOUGH: u64 = 100;

const PRICE_MINOR: i64 = 100;
const UNITS: u32 = 5_000;

/// What there is to buy, and two mandates in lanes of their own.
struct Stand {
    shop: Shop,
    item: ItemId,
    mandates: [MandateId; 2],
}

impl Stand {
    /// Builds it, and has the node know the item, so that later reads are those of batches.
    async fn build(node: &Node) -> Self {
        let shop = node.shop("acme", 100_000).await;
        let item = node.item(&shop, PRICE_MINOR, UNITS).await;
        let mut mandates = Vec::new();
        // A mandate's lane is its number's rest.
        for lane in 0..2 {
            mandates.push(loop {
                let mandate = node.mandate(&shop, 100_000).await;
                if mandate.uuid().as_u128() % u128::from(LANES) == lane {
                    break mandate;
                }
            });
        }
        let mandates = [mandates[0], mandates[1]];
        let stand = Self {
            shop,
            item,
            mandates,
        };
        let first = stand.request("first", 0);
        assert_eq!(node.buy(&stand.shop, first).await, "committed");
        stand
    }

    /// A request of an agent of its own, in a lane.
    fn request(&self, agent: &str, lane: usize) -> CommitRequest {
        self.shop.one(self.item, self.mandates[lane % 2], agent)
    }

    fn purchase(&self, key: &str) -> PurchaseId {
        ids::purchase(self.shop.tenant(), &key.parse().expect("a key"))
    }

    /// Commits for a key, which is the agent's name too.
    async fn commit(&self, node: &Node, key: &str, lane: usize) -> Result<Answer, Undecided> {
        node.commit(&self.shop, key, self.request(key, lane)).await
    }

    /// A request that is refused for its price; the refusal's code.
    async fn buy_too_dear(&self, node: &Node) -> &'static str {
        let mut request = self.request("miser", 0);
        request.max_price = common::usd(1);
        node.buy(&self.shop, request).await
    }

    /// That there is exactly this much, besides the first purchase.
    async fn assert_bought(&self, node: &Node, purchases: u32) {
        let left = i64::from(UNITS - 1 - purchases);
        assert_eq!(node.stock_left(&self.shop, self.item).await, left);
        node.assert_clean().await;
    }
}

/// A node whose every connection goes through a gate.
async fn gated(database: &Database) -> (Gate, Node) {
    let gate = Gate::before(&database.url).await.expect("the gate opens");
    let node = Node::at(&gate.url(&database.url), 4).await;
    (gate, node)
}

/// The tries of a purchase that was made by this very call.
fn fresh(answer: &Answer) -> u32 {
    assert!(!answer.replayed, "the caller's own commit is no replay");
    let tries = match &answer.decision {
        Decision::Committed { attempts, .. } => Some(*attempts),
        Decision::Refused(_) => None,
    };
    tries.expect("committed")
}

async fn rows_of(raw: &mut PgConnection, purchase: PurchaseId) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM purchases WHERE purchase_id = $1")
        .bind(purchase.uuid())
        .fetch_one(raw)
        .await
        .expect("counts")
}

async fn run_sql(database: &Database, sql: &'static str) {
    let mut raw = database.connect().await;
    sqlx::raw_sql(sql).execute(&mut raw).await.expect("runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_lost_was_made_once_and_says_so() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let stand = Stand::build(&node).await;
    let mut answers = Vec::new();
    for round in 0..110 {
        gate.cut_after_commit(1);
        let answer = stand.commit(&node, &format!("k-{round}"), round).await;
        let answer = answer.expect("resolved");
        assert_eq!(fresh(&answer), 1, "the first try was the one");
        answers.push(answer);
    }
    let counters = gate.counters();
    assert!(counters.applied_then_cut >= ENOUGH, "invalid: {counters:?}");
    assert_eq!(counters.applied_then_cut, 110);
    assert_eq!(node.ledger.counters().unknown_commits, 110);
    for (round, first) in answers.iter().enumerate() {
        let again = stand.commit(&node, &format!("k-{round}"), round).await;
        let again = again.expect("answers");
        assert_eq!((&again.decision, again.replayed), (&first.decision, true));
    }
    stand.assert_bought(&node, 110).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_is_made_once() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let stand = Stand::build(&node).await;
    for round in 0..110 {
        gate.cut_before_commit(1);
        let answer = stand.commit(&node, &format!("k-{round}"), round).await;
        assert_eq!(fresh(&answer.expect("resolved")), 2);
    }
    let counters = gate.counters();
    assert!(
        counters.cut_before_commit >= ENOUGH,
        "invalid: {counters:?}"
    );
    assert_eq!(node.ledger.counters().unknown_commits, 110);
    stand.assert_bought(&node, 110).await;
    database.drop().await;
}

/// Both at once, on batches of several requests, two nodes side by side.
#[tokio::test(flavor = "multi_thread")]
async fn lost_commits_of_whole_batches_on_two_nodes_lose_nothing() {
    const ROUND: usize = 24;
    let database = Database::create().await;
    let nodes = [gated(&database).await, gated(&database).await];
    let stand = Stand::build(&nodes[0].1).await;
    stand
        .commit(&nodes[1].1, "second", 0)
        .await
        .expect("answers");
    let both = || {
        let counters = nodes.each_ref().map(|(gate, _)| gate.counters());
        let after: u64 = counters.iter().map(|c| c.applied_then_cut).sum();
        let before: u64 = counters.iter().map(|c| c.cut_before_commit).sum();
        (after, before)
    };
    let mut keys = Vec::new();
    let mut undecided = Vec::new();
    let began = Instant::now();
    while both().0 < ENOUGH || both().1 < ENOUGH {
        assert!(
            began.elapsed() < Duration::from_secs(25),
            "invalid: {:?}",
            both()
        );
        for (gate, _) in &nodes {
            gate.cut_after_commit(1);
            gate.cut_before_commit(1);
        }
        let names: Vec<String> = (0..ROUND)
            .map(|n| format!("k-{}-{n}", keys.len()))
            .collect();
        let sending = names
            .iter()
            .enumerate()
            .map(|(place, key)| stand.commit(&nodes[place % 2].1, key, place / 2));
        for (key, answer) in names.iter().zip(join_all(sending).await) {
            match answer {
                Ok(answer) => assert!(fresh(&answer) >= 1),
                // Lost races on top of a lost COMMIT: the key still decides.
                Err(why) => {
                    undecided.push(why);
                    assert!(matches!(why, Undecided::Failed(_)), "{key}: {why:?}");
                }
            }
        }
        keys.extend(names);
    }
    let counters = nodes
        .each_ref()
        .map(|(_, node)| node.ledger.kernel().counters());
    println!(
        "{} keys, undecided at first: {undecided:?}, (after, before) = {:?}, {counters:?}",
        keys.len(),
        both(),
    );
    for ((gate, _), counters) in nodes.iter().zip(counters) {
        gate.disarm();
        assert!(
            counters.asked > 2 * counters.batches,
            "invalid, batches of one: {counters:?}"
        );
    }
    // A lost COMMIT alone leaves nobody without an answer.
    assert!(undecided.len() * 10 < keys.len(), "{undecided:?}");
    // Every key has its one purchase, whichever node is asked.
    for (place, key) in keys.iter().enumerate() {
        let lane = place % ROUND / 2;
        let answer = stand.commit(&nodes[(place + 1) % 2].1, key, lane).await;
        assert_eq!(code(&answer.expect("answers").decision), "committed");
    }
    let purchases = u32::try_from(keys.len()).expect("few") + 1;
    stand.assert_bought(&nodes[0].1, purchases).await;
    database.drop().await;
}

/// A rush on scarce stock while every third COMMIT is lost or loses.
#[tokio::test(flavor = "multi_thread")]
async fn a_rush_under_lost_commits_sells_what_there_is() {
    const SCARCE: u32 = 60;
    const AGENTS: usize = 600;
    let database = Database::create().await;
    let nodes = [gated(&database).await, gated(&database).await];
    let mut stand = Stand::build(&nodes[0].1).await;
    let plenty = stand.item;
    stand.item = nodes[0].1.item(&stand.shop, PRICE_MINOR, SCARCE).await;
    for (gate, node) in &nodes {
        // The item is known before the faults begin.
        assert_eq!(stand.buy_too_dear(node).await, "price_moved");
        for _ in 0..4 {
            gate.cut_after_commit(1);
            gate.cut_before_commit(1);
            gate.fail_commit_with(1, "40001");
        }
    }
    let keys: Vec<String> = (0..AGENTS).map(|number| format!("k-{number}")).collect();
    let sending = keys
        .iter()
        .enumerate()
        .map(|(place, key)| stand.commit(&nodes[place % 2].1, key, place / 2));
    let answers = join_all(sending).await;
    let seen = nodes.each_ref().map(|(gate, _)| gate.counters());
    assert!(
        seen.iter()
            .all(|c| c.applied_then_cut > 0 && c.cut_before_commit > 0 && c.failed_commits > 0),
        "invalid: {seen:?}"
    );
    for (gate, _) in &nodes {
        gate.disarm();
    }
    let mut committed = 0;
    for (place, (key, answer)) in keys.iter().zip(answers).enumerate() {
        let node = &nodes[place % 2].1;
        let answer = match answer {
            Ok(answer) => answer,
            Err(Undecided::Failed(_)) => {
                let again = stand.commit(node, key, place / 2).await;
                again.expect("answers")
            }
            Err(other) => panic!("{key}: {other:?}"),
        };
        let code = code(&answer.decision);
        assert!(["committed", "sold_out"].contains(&code), "{key}: {code}");
        committed += u32::from(code == "committed");
    }
    assert_eq!(committed, SCARCE);
    assert_eq!(nodes[0].1.stock_left(&stand.shop, stand.item).await, 0);
    stand.item = plenty;
    stand.assert_bought(&nodes[0].1, 0).await;
    database.drop().await;
}

/// A batch of several whose COMMIT is lost, and which then loses races: each request is decided
/// nevertheless, and nobody's own purchase is called a replay.
// One thread: what is sent at once is one batch.
#[tokio::test]
async fn a_batch_that_loses_races_after_a_lost_commit_is_decided() {
    const SIZE: u32 = 8;
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let stand = Stand::build(&node).await;
    for (name, tries) in [("after", 1), ("before", 4)] {
        // One key is old; it must be called so.
        let old = stand.commit(&node, &format!("{name}-0"), 0).await;
        fresh(&old.expect("answers"));
        match name {
            "after" => gate.cut_after_commit(1),
            _ => gate.cut_before_commit(1),
        }
        gate.fail_commit_with(2, "40001");
        let halved = node.ledger.kernel().counters().halved;
        let keys: Vec<String> = (0..SIZE).map(|number| format!("{name}-{number}")).collect();
        let sending = keys.iter().map(|key| stand.commit(&node, key, 0));
        for (number, answer) in join_all(sending).await.into_iter().enumerate() {
            let answer = answer.expect("decided");
            if number == 0 {
                assert!(answer.replayed && code(&answer.decision) == "committed");
            } else {
                assert_eq!(fresh(&answer), tries, "{name}-{number}");
            }
        }
        let halved = node.ledger.kernel().counters().halved - halved;
        assert_eq!(halved, 1, "invalid: no batch of several was given up");
    }
    stand.assert_bought(&node, 2 * SIZE).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_at_any_place_is_retried_and_the_receipt_counts_it() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let stand = Stand::build(&node).await;
    let answer = stand.commit(&node, "warm", 1).await;
    assert_eq!(fresh(&answer.expect("answers")), 1);
    for (nth, what) in [(1, "BEGIN"), (2, "the read"), (3, "the write")] {
        let failed = gate.counters().failed_statements;
        gate.fail_statement(nth);
        let answer = stand.commit(&node, what.rsplit(' ').next().expect("a word"), 0);
        assert_eq!(fresh(&answer.await.expect("retried")), 2, "{what}");
        assert_eq!(gate.counters().failed_statements, failed + 1, "{what}");
    }
    for times in [1, 3, MAX_RACES - 1] {
        gate.fail_commit_with(times as usize, "40001");
        let answer = stand.commit(&node, &format!("commit-{times}"), 1).await;
        assert_eq!(fresh(&answer.expect("retried")), times + 1);
    }
    // One more, and it is given up without effect; the key is not used up.
    let mut raw = database.connect().await;
    gate.fail_commit_with(MAX_RACES as usize, "40001");
    let answer = stand.commit(&node, "given-up", 0).await;
    assert_eq!(answer, Err(Undecided::Failed(Failure::Unavailable)));
    assert_eq!(rows_of(&mut raw, stand.purchase("given-up")).await, 0);
    let answer = stand.commit(&node, "given-up", 0).await;
    assert_eq!(fresh(&answer.expect("answers")), 1);
    stand.assert_bought(&node, 8).await;
    drop(raw);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_on_two_nodes_is_one_purchase() {
    const ROUNDS: usize = 100;
    let database = Database::create().await;
    let nodes = [database.node().await, database.node().await];
    let stand = Stand::build(&nodes[0]).await;
    stand.commit(&nodes[1], "second", 0).await.expect("answers");
    for round in 0..ROUNDS {
        let key = format!("k-{round}");
        let sending = nodes.each_ref().map(|node| stand.commit(node, &key, round));
        let answers = join_all(sending).await;
        let mut made = 0;
        for answer in &answers {
            match answer {
                Ok(answer) => {
                    assert_eq!(code(&answer.decision), "committed");
                    made += i32::from(!answer.replayed);
                }
                Err(Undecided::InProgress | Undecided::Failed(Failure::Unavailable)) => {}
                Err(other) => panic!("{key}: {other:?}"),
            }
        }
        assert_eq!(made, 1, "{key}: {answers:?}");
        for node in &nodes {
            let again = stand.commit(node, &key, round).await.expect("answers");
            assert!(again.replayed && code(&again.decision) == "committed");
        }
    }
    let counters = nodes.each_ref().map(|node| node.ledger.counters());
    let duplicates = counters
        .iter()
        .filter_map(|counters| counters.retries.get("conflict 23505"))
        .sum::<u64>();
    println!("retries: {:?}", counters.each_ref().map(|c| &c.retries));
    assert!(duplicates > 0, "invalid: the key rows never met");
    stand.assert_bought(&nodes[0], 101).await;
    database.drop().await;
}

/// One node, one key, two mandates: the two requests are in two lanes and meet in the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_used_in_two_lanes_at_once_belongs_to_one_of_them() {
    let database = Database::create().await;
    let node = database.node().await;
    let stand = Stand::build(&node).await;
    for round in 0..50 {
        let key = format!("k-{round}");
        let sending = [0, 1].map(|lane| stand.commit(&node, &key, lane));
        let answers = join_all(sending).await;
        let made = answers.iter().filter(|answer| answer.is_ok()).count();
        let reused = answers
            .iter()
            .filter(|answer| **answer == Err(Undecided::KeyReused))
            .count();
        assert_eq!((made, reused), (1, 1), "{answers:?}");
    }
    assert!(node.ledger.counters().conflicts() > 0, "invalid: never met");
    stand.assert_bought(&node, 50).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_nine_of_ten_commits_is_answered_in_time() {
    const AT_ONCE: usize = 40;
    let database = Database::create().await;
    let node = database.node().await;
    let stand = Stand::build(&node).await;
    run_sql(
        &database,
        "CREATE FUNCTION flaky() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF random() < 0.9 THEN
                 RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'flaky';
             END IF;
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER flaky AFTER INSERT ON purchases DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION flaky()",
    )
    .await;
    let began = Instant::now();
    let keys: Vec<String> = (0..AT_ONCE).map(|number| format!("k-{number}")).collect();
    let sending = keys.iter().enumerate();
    let sending = sending.map(|(lane, key)| stand.commit(&node, key, lane));
    let answers = join_all(sending).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "took {took:?}");
    let mut raw = database.connect().await;
    let mut failed = Vec::new();
    for (lane, (key, answer)) in keys.iter().zip(&answers).enumerate() {
        let rows = rows_of(&mut raw, stand.purchase(key)).await;
        match answer {
            Ok(answer) => {
                assert!(fresh(answer) >= 1);
                assert_eq!(rows, 1, "{key}");
            }
            Err(why) => {
                assert_eq!(*why, Undecided::Failed(Failure::Unavailable), "{key}");
                assert_eq!(rows, 0, "{key}");
                failed.push((lane, key));
            }
        }
    }
    let counters = node.ledger.counters();
    println!(
        "{} of {AT_ONCE} failed at first in {took:?}; {:?}, {:?}",
        failed.len(),
        counters.retries,
        node.ledger.kernel().counters()
    );
    assert!(counters.conflicts() > 0, "invalid: nothing was refused");
    run_sql(&database, "DROP TRIGGER flaky ON purchases").await;
    for (lane, key) in failed {
        let answer = stand.commit(&node, key, lane).await;
        assert_eq!(fresh(&answer.expect("answers")), 1);
    }
    stand.assert_bought(&node, 40).await;
    drop(raw);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_hangs_a_key_is_in_progress() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let stand = Stand::build(&node).await;
    let answers = {
        gate.hang(true);
        let first = stand.commit(&node, "K", 0);
        let second = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let asked = Instant::now();
            let second = stand.commit(&node, "K", 0).await;
            let took = asked.elapsed();
            assert!(took < Duration::from_millis(100), "at once: {took:?}");
            gate.hang(false);
            second
        };
        tokio::join!(first, second)
    };
    assert_eq!(answers.1, Err(Undecided::InProgress));
    let first = answers.0.expect("answers");
    fresh(&first);
    let third = stand.commit(&node, "K", 0).await.expect("answers");
    assert_eq!((&third.decision, third.replayed), (&first.decision, true));

    // Longer than anybody waits: nothing happened, and the key may still buy.
    gate.hang(true);
    let began = Instant::now();
    let answer = stand.commit(&node, "L", 0).await;
    assert_eq!(answer, Err(Undecided::Failed(Failure::Unavailable)));
    let bound = Bounds::COMMAND.elapsed + Duration::from_secs(2);
    assert!(began.elapsed() < bound, "took {:?}", began.elapsed());
    gate.hang(false);
    let answer = stand.commit(&node, "L", 0).await;
    fresh(&answer.expect("answers"));
    stand.assert_bought(&node, 2).await;
    database.drop().await;
}

/// A batch that is being halved when the database hangs: its parts do not wait one after another.
// One thread: what is sent at once is one batch.
#[tokio::test]
async fn the_parts_of_a_batch_share_its_time() {
    const SIZE: u32 = 32;
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let stand = Stand::build(&node).await;
    gate.fail_commit_with(1_000, "40001");
    let hangs = async {
        common::eventually("a part of a part is tried", async || {
            gate.counters().failed_commits >= 7
        })
        .await;
        gate.hang(true);
    };
    let keys: Vec<String> = (0..SIZE).map(|number| format!("k-{number}")).collect();
    let sending = keys.iter().map(|key| stand.commit(&node, key, 0));
    let began = Instant::now();
    let (answers, ()) = tokio::join!(join_all(sending), hangs);
    let took = began.elapsed();
    gate.disarm();
    assert!(node.ledger.kernel().counters().halved >= 3, "invalid");
    let unavailable = Err(Undecided::Failed(Failure::Unavailable));
    assert!(answers.iter().all(|answer| *answer == unavailable));
    // The last part that was tried may have begun just before the time was over.
    let bound = 2 * Bounds::COMMAND.elapsed + Duration::from_secs(1);
    assert!(took < bound, "took {took:?}");
    let sending = keys.iter().map(|key| stand.commit(&node, key, 0));
    for answer in join_all(sending).await {
        fresh(&answer.expect("answers"));
    }
    stand.assert_bought(&node, SIZE).await;
    database.drop().await;
}

/// A COMMIT that hangs and is done at last, long after its caller was told that nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_takes_effect_after_it_was_given_up_is_the_keys_one_answer() {
    let database = Database::create().await;
    let (mut halts, node) = Halts::with_node(&database).await;
    let other = database.node().await;
    let stand = Stand::build(&node).await;
    halts.close(COMMIT).await;
    let watching = async {
        halts.stopped().await;
        stand.commit(&node, "K", 0).await
    };
    let (first, second) = tokio::join!(stand.commit(&node, "K", 0), watching);
    assert_eq!(second, Err(Undecided::InProgress));
    assert_eq!(first, Err(Undecided::Failed(Failure::Unknown)));
    // The old transaction holds its rows still: another node cannot decide the key either.
    let elsewhere = stand.commit(&other, "K", 0).await;
    assert_eq!(elsewhere, Err(Undecided::Failed(Failure::Unavailable)));
    halts.open(COMMIT).await;
    let mut raw = database.connect().await;
    let purchase = stand.purchase("K");
    common::eventually("the old COMMIT is done", async || {
        rows_of(&mut raw, purchase).await == 1
    })
    .await;
    for node in [&node, &other] {
        let answer = stand.commit(node, "K", 0).await.expect("answers");
        assert!(answer.replayed && code(&answer.decision) == "committed");
    }
    stand.assert_bought(&node, 1).await;
    drop((raw, halts));
    database.drop().await;
}

/// The requests of one batch, one of which the database never takes.
async fn poisoned(node: &Node, stand: &Stand, name: &str, size: usize) -> Vec<u32> {
    let halved = node.ledger.kernel().counters().halved;
    let keys: Vec<String> = (0..size).map(|number| format!("{name}-{number}")).collect();
    let place = size / 3;
    let sending = keys.iter().enumerate().map(|(number, key)| {
        let agent = if number == place { "poison" } else { key };
        node.commit(&stand.shop, key, stand.request(agent, 0))
    });
    let mut tries = Vec::new();
    for (number, answer) in join_all(sending).await.into_iter().enumerate() {
        if number == place {
            assert_eq!(answer, Err(Undecided::Failed(Failure::Unavailable)));
        } else {
            tries.push(fresh(&answer.expect("the others are bought")));
        }
    }
    let halved = node.ledger.kernel().counters().halved - halved;
    assert!(halved > 0, "invalid: the poison was alone from the start");
    tries
}

// One thread: what is sent at once is one batch.
#[tokio::test]
async fn a_poisoned_request_fails_alone() {
    let database = Database::create().await;
    let node = database.node().await;
    let stand = Stand::build(&node).await;
    run_sql(
        &database,
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.agent_id = 'poison' THEN
                 RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'poison';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER poison BEFORE INSERT ON purchases
             FOR EACH ROW EXECUTE FUNCTION poison('P0001')",
    )
    .await;
    poisoned(&node, &stand, "many", 32).await;
    // Of two, the good one's second try is alone.
    assert_eq!(poisoned(&node, &stand, "two", 2).await, [2]);
    // The same at COMMIT, where a constraint is checked last.
    run_sql(
        &database,
        "DROP TRIGGER poison ON purchases;
         CREATE CONSTRAINT TRIGGER poison AFTER INSERT ON purchases DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION poison('23514')",
    )
    .await;
    poisoned(&node, &stand, "late", 32).await;
    // A conflict that only one of them meets, again and again.
    run_sql(
        &database,
        "DROP TRIGGER poison ON purchases;
         CREATE TRIGGER poison BEFORE INSERT ON purchases
             FOR EACH ROW EXECUTE FUNCTION poison('40001')",
    )
    .await;
    poisoned(&node, &stand, "raced", 16).await;
    run_sql(&database, "DROP TRIGGER poison ON purchases").await;
    let answer = node
        .commit(&stand.shop, "many-10", stand.request("poison", 0))
        .await;
    assert_eq!(fresh(&answer.expect("answers")), 1);
    stand.assert_bought(&node, 31 + 1 + 31 + 15 + 1).await;
    database.drop().await;
}
