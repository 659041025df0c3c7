//! The four classes of failure, forced on a real PostgreSQL by a gate in front of it. Observed:
//! what the caller hears, what the rows say, and that each command has its effect at most once.
#![cfg(feature = "local")]

mod common;

use app::ports::{Failure, Ledger as _};
use common::{Database, Node, drop_of, english, eventually, usd};
use server::ids;
use server::ledger::endpoint::{EndpointError, Endpoints};
use server::ledger::schema;
use server::ledger::transaction::{Bounds, MAX_RACES, Reading, Tx};
use server::local::Gate;
use sqlx::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A node whose every connection goes through a gate.
async fn gated(database: &Database) -> (Gate, Node) {
    let gate = Gate::before(&database.url).await.expect("the gate opens");
    let node = Node::at(&gate.url(&database.url), 4).await;
    (gate, node)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_again_by_its_key() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, drop_of(100, None)).await;
    for round in 0..10 {
        gate.cut_after_commit(1);
        let done = node
            .ledger
            .claim(&ann, ids::key(), lot.id, 1, usd(500))
            .await;
        let done = done.expect("resolved");
        done.outcome.expect("accepted");
        assert!(!done.replayed, "the caller's own commit is no replay");
        assert_eq!(node.wallet(&ann).await.spent, usd(500 * (round + 1)));
    }
    let counters = gate.counters();
    assert_eq!(
        counters.applied_then_cut, 10,
        "the fault took effect each time"
    );
    assert_eq!(node.ledger.counters().unknown_commits, 10);
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_done_once() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, english()).await;
    for round in 0..10 {
        gate.cut_before_commit(1);
        let amount = usd(1_000 + 100 * round);
        let done = node
            .ledger
            .bid(&ann, ids::key(), lot.id, amount)
            .await
            .expect("retried");
        done.outcome.expect("accepted");
        assert_eq!(done.attempts, 2);
        assert_eq!(node.wallet(&ann).await.held, amount);
    }
    assert_eq!(node.ledger.counters().unknown_commits, 10);
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_conflict_at_commit_is_retried_and_at_the_end_given_up_without_effect() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, english()).await;
    gate.fail_commit_with(3, "40001");
    let done = node
        .ledger
        .bid(&ann, ids::key(), lot.id, usd(1_000))
        .await
        .expect("retried");
    assert_eq!(done.attempts, 4);
    assert_eq!(node.ledger.counters().conflicts(), 3);
    let heard = node.heard.lock().expect("not poisoned").len();
    gate.fail_commit_with(100, "40001");
    let key = ids::key();
    let no = node.ledger.bid(&ann, key.clone(), lot.id, usd(2_000)).await;
    assert_eq!(no.expect_err("given up"), Failure::Unavailable);
    gate.disarm();
    assert_eq!(node.wallet(&ann).await.held, usd(1_000), "nothing happened");
    assert_eq!(
        node.heard.lock().expect("not poisoned").len(),
        heard,
        "nobody was told"
    );
    // An undecided outcome is not kept: the same key may still do it.
    let done = node
        .ledger
        .bid(&ann, key, lot.id, usd(2_000))
        .await
        .expect("answers");
    assert!(!done.replayed);
    done.outcome.expect("accepted");
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_conflict_at_any_statement_starts_anew() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, english()).await;
    // BEGIN, the read, and each write of a raise: key, lot, wallet, bid, hold, the old hold's end,
    // legs, outbox.
    for nth in 1_u32..=10 {
        gate.fail_statement(nth.into());
        let amount = usd(1_000 + 100 * i64::from(nth));
        let done = node
            .ledger
            .bid(&ann, ids::key(), lot.id, amount)
            .await
            .expect("retried");
        done.outcome.expect("accepted");
        assert!(done.attempts >= 2, "statement {nth} did not fail");
        assert_eq!(node.wallet(&ann).await.held, amount);
    }
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_database_that_is_gone_is_said_and_nothing_happens() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, english()).await;
    gate.refuse_connections(true);
    gate.cut_connections();
    let key = ids::key();
    let no = node.ledger.bid(&ann, key.clone(), lot.id, usd(1_000)).await;
    assert_eq!(no.expect_err("given up"), Failure::Unavailable);
    gate.disarm();
    gate.refuse_connections(false);
    let done = node
        .ledger
        .bid(&ann, key, lot.id, usd(1_000))
        .await
        .expect("answers");
    done.outcome.expect("accepted");
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_commit_that_cannot_be_looked_up_is_unknown_and_its_key_decides_later() {
    let database = Database::create().await;
    let gate = Gate::before(&database.url).await.expect("the gate opens");
    // One connection: once it is cut there is none to look the key up with.
    let node = Node::at(&gate.url(&database.url), 1).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, english()).await;
    gate.cut_after_commit(1);
    gate.refuse_connections(true);
    let key = ids::key();
    let no = node.ledger.bid(&ann, key.clone(), lot.id, usd(1_000)).await;
    assert_eq!(no.expect_err("not known"), Failure::Unknown);
    assert_eq!(gate.counters().applied_then_cut, 1);
    gate.refuse_connections(false);
    let done = node.ledger.bid(&ann, key, lot.id, usd(1_000)).await;
    let done = done.expect("answers");
    assert!(done.replayed, "it had been done");
    done.outcome.expect("accepted");
    assert_eq!(node.wallet(&ann).await.held, usd(1_000));
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_database_that_hangs_is_given_up_in_time_and_serves_again() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, english()).await;
    gate.hang(true);
    let key = ids::key();
    let began = std::time::Instant::now();
    let no = node.ledger.bid(&ann, key.clone(), lot.id, usd(1_000)).await;
    assert_eq!(no.expect_err("given up"), Failure::Unavailable);
    let bound = Bounds::COMMAND.elapsed + Duration::from_secs(2);
    assert!(began.elapsed() < bound, "took {:?}", began.elapsed());
    gate.hang(false);
    let done = node.ledger.bid(&ann, key, lot.id, usd(1_000)).await;
    done.expect("answers").outcome.expect("accepted");
    assert_eq!(node.wallet(&ann).await.held, usd(1_000));
    node.assert_clean().await;
    database.drop().await;
}

/// A node with two endpoints of one database, each behind a gate.
async fn peered(database: &Database) -> ([Gate; 2], Node) {
    let near = Gate::before(&database.url).await.expect("the gate opens");
    let far = Gate::before(&database.url).await.expect("the gate opens");
    let urls = [&near, &far].map(|gate| gate.url(&database.url));
    let urls = urls.each_ref().map(String::as_str);
    let endpoints = Endpoints::postgres_at(&urls, 4).await.expect("connects");
    schema::apply(&endpoints).await.expect("the schema applies");
    ([near, far], Node::over(endpoints))
}

#[tokio::test]
async fn a_command_goes_on_at_the_peer_when_its_endpoint_is_lost_or_hangs() {
    let database = Database::create().await;
    let ([near, _far], node) = peered(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, english()).await;
    near.refuse_connections(true);
    near.cut_connections();
    let done = node.ledger.bid(&ann, ids::key(), lot.id, usd(1_000)).await;
    let done = done.expect("answers");
    assert!(done.attempts > 1, "the first try was at the lost endpoint");
    done.outcome.expect("accepted");
    near.refuse_connections(false);
    let done = node.ledger.bid(&ann, ids::key(), lot.id, usd(1_100)).await;
    done.expect("answers").outcome.expect("accepted");
    near.hang(true);
    let done = node.ledger.bid(&ann, ids::key(), lot.id, usd(1_200)).await;
    let done = done.expect("answers");
    assert!(done.attempts > 1, "the first try hung");
    done.outcome.expect("accepted");
    assert_eq!(node.wallet(&ann).await.held, usd(1_200));
    near.hang(false);
    node.assert_clean().await;
    database.drop().await;
}

/// Waits until every connection is idle, and answers how many there are. One that is given back is
/// tested first: cut in the midst of that it would be closed, and nothing would find it dead.
async fn all_idle(node: &Node) -> usize {
    let pool = node.ledger.runner().endpoints().pool();
    eventually("every connection is idle", async || {
        pool.num_idle() > 0 && usize::try_from(pool.size()) == Ok(pool.num_idle())
    })
    .await;
    pool.num_idle()
}

/// Connections of the large pool.
const MANY: u32 = 24;

#[tokio::test]
async fn dead_connections_of_a_large_pool_do_not_use_up_a_commands_tries() {
    let database = Database::create().await;
    let gate = Gate::before(&database.url).await.expect("the gate opens");
    let node = Node::at(&gate.url(&database.url), MANY).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, drop_of(100, None)).await;
    // Every connection there may be, opened and given back.
    let pool = node.ledger.runner().endpoints().pool();
    let mut taken = Vec::new();
    for _ in 0..MANY {
        taken.push(pool.acquire().await.expect("connects"));
    }
    drop(taken);
    let idle = all_idle(&node).await;
    assert_eq!(u32::try_from(idle), Ok(MANY));
    gate.cut_connections();
    let claimed = node.ledger.claim(&ann, ids::key(), lot.id, 1, usd(500));
    let done = claimed.await.expect("the database is there");
    assert!(
        done.attempts > MAX_RACES,
        "{} tries: the pool was not full of dead connections",
        done.attempts
    );
    done.outcome.expect("accepted");
    node.assert_clean().await;
    database.drop().await;
}

/// The snapshot that a statement sees, so many times.
fn snapshots(tx: &mut Tx, count: usize) -> Reading<'_, Vec<String>> {
    Box::pin(async move {
        let mut seen = Vec::new();
        for _ in 0..count {
            let query = sqlx::query_as("SELECT now()::text || pg_backend_pid()");
            let (text,): (String,) = tx.fetch_one(query).await?;
            seen.push(text);
        }
        Ok(seen)
    })
}

#[tokio::test]
async fn one_statement_reads_without_a_transaction_and_a_second_one_is_refused() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let runner = node.ledger.runner();
    let one = runner.read_once(|tx| snapshots(tx, 1)).await;
    assert_eq!(one.expect("answers").len(), 1);
    // The first statement fails, not a BEGIN before it: the read is made again.
    let lost = node.ledger.counters().all_retries();
    gate.fail_statement(1);
    let again = runner.read_once(|tx| snapshots(tx, 1)).await;
    assert_eq!(again.expect("answers").len(), 1);
    assert_eq!(node.ledger.counters().all_retries(), lost + 1);
    let two = runner.read_once(|tx| snapshots(tx, 2)).await;
    assert_eq!(two, Err(Failure::Unavailable));
    let two = runner.read(|tx| snapshots(tx, 2)).await;
    let two = two.expect("answers");
    assert_eq!(two[0], two[1], "one transaction");
    database.drop().await;
}

#[tokio::test]
async fn a_page_is_read_again_when_its_connection_is_lost() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let seller = node.person("s", 0).await;
    let lot = node.put_up(&seller, english()).await;
    all_idle(&node).await;
    // Idle connections are dead, and the pool does not know.
    gate.cut_connections();
    let room = node.ledger.room(lot.id).await.expect("read again");
    assert_eq!(room.expect("exists").lot, lot);
    let lost = node.ledger.counters().all_retries();
    assert!(lost > 0, "no connection was lost");
    // BEGIN, the lot, its ladder.
    for nth in 1..=3 {
        gate.fail_statement(nth);
        let room = node.ledger.room(lot.id).await.expect("read again");
        assert_eq!(room.expect("exists").lot, lot);
    }
    assert_eq!(node.ledger.counters().all_retries(), lost + 3);
    database.drop().await;
}

#[tokio::test]
async fn a_final_failure_is_not_repeated() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, english()).await;
    gate.fail_commit_with(100, "54000");
    let no = node.ledger.bid(&ann, ids::key(), lot.id, usd(1_000)).await;
    assert_eq!(no.expect_err("final"), Failure::Unavailable);
    assert_eq!(node.ledger.counters().all_retries(), 0);
    gate.disarm();
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_transaction_behind() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let lot = node.put_up(&seller, drop_of(100, None)).await;
    gate.delay(Duration::from_millis(3));
    let mut keys = Vec::new();
    for wait_ms in 0..40 {
        let key = ids::key();
        let claim = node.ledger.claim(&ann, key.clone(), lot.id, 1, usd(500));
        // The browser closes its tab: the request's future is dropped at some await point.
        let _gone = tokio::time::timeout(Duration::from_millis(wait_ms), claim).await;
        keys.push(key);
    }
    gate.disarm();
    // Each command went on without its caller; asking again finds its answer.
    let mut bought = 0;
    for key in keys {
        let done = node
            .ledger
            .claim(&ann, key, lot.id, 1, usd(500))
            .await
            .expect("answers");
        bought += i64::from(done.outcome.is_ok());
    }
    assert_eq!(
        bought, 20,
        "$100 buys twenty units at $5, in whatever order"
    );
    assert_eq!(node.wallet(&ann).await.available, usd(0));
    let mut watcher = database.connect().await;
    eventually("no transaction is left open", async || {
        let idle: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        )
        .fetch_one(&mut watcher)
        .await
        .expect("reads");
        idle == 0
    })
    .await;
    watcher.close().await.expect("closes");
    node.assert_clean().await;
    database.drop().await;
}

#[tokio::test]
async fn another_isolation_level_is_refused() {
    let database = Database::create().await;
    let mut admin = database.connect().await;
    let name: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&mut admin)
        .await
        .expect("reads");
    let alter =
        format!("ALTER DATABASE {name} SET default_transaction_isolation = 'read committed'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(alter))
        .execute(&mut admin)
        .await
        .expect("alters");
    let refused = Endpoints::postgres(&database.url, 2)
        .await
        .expect_err("refused");
    assert!(matches!(refused, EndpointError::Isolation(level) if level == "read committed"));
    admin.close().await.expect("closes");
    database.drop().await;
}

#[tokio::test]
async fn tables_of_an_older_version_are_named_and_left_alone() {
    let database = Database::create().await;
    let endpoints = Endpoints::postgres(&database.url, 2)
        .await
        .expect("connects");
    schema::apply(&endpoints).await.expect("applies");
    let mut raw = database.connect().await;
    let older = "ALTER TABLE bids DROP COLUMN region;
                 ALTER TABLE lots ALTER COLUMN units TYPE bigint";
    sqlx::raw_sql(older)
        .execute(&mut raw)
        .await
        .expect("alters");
    let no = schema::apply(&endpoints).await.expect_err("refused");
    let text = no.to_string();
    assert!(text.contains("lots.units, bids.region"), "{text}");
    endpoints.close().await;
    raw.close().await.expect("closes");
    database.drop().await;
}

/// Fresh databases that nodes start on together. A race on the catalogue is over in milliseconds
/// and shows itself in another way each time.
const RACES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_schema_may_be_applied_by_several_nodes_at_once() {
    for _ in 0..RACES {
        let database = Database::create().await;
        let mut nodes = JoinSet::new();
        for _ in 0..4 {
            let url = database.url.clone();
            nodes.spawn(async move {
                let endpoints = Endpoints::postgres(&url, 2).await.expect("connects");
                let applied = schema::apply(&endpoints).await.expect("applies");
                endpoints.close().await;
                applied
            });
        }
        for applied in nodes.join_all().await {
            assert_eq!(applied.indexes, schema::INDEXES.len());
        }
        database.drop().await;
    }
}

/// A batch of bids whose COMMIT is lost, both ways: each bidder hears their own answer, and nobody
/// is told that it is an old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_commit_of_many_bids_is_each_bidders_own_answer() {
    let database = Database::create().await;
    let (gate, node) = gated(&database).await;
    let seller = node.person("s", 0).await;
    let lot = node.put_up(&seller, english()).await.id;
    let mut bidders = Vec::new();
    for number in 0..12 {
        bidders.push(node.person(&format!("p{number}"), 1_000).await);
    }
    let node = Arc::new(node);
    let mut price = 1_000;
    for round in 0..10 {
        if round % 2 == 0 {
            gate.cut_after_commit(1);
        } else {
            gate.cut_before_commit(1);
        }
        let bids = bidders.iter().map(|who| {
            let (node, amount) = (Arc::clone(&node), usd(price));
            price += 100;
            async move { node.ledger.bid(who, ids::key(), lot, amount).await }
        });
        let decided = futures::future::join_all(bids.collect::<Vec<_>>()).await;
        for (number, bid) in decided.into_iter().enumerate() {
            let bid = bid.expect("resolved");
            assert!(!bid.replayed, "round {round}, bidder {number}");
            bid.outcome.expect("each is above the one before");
        }
    }
    assert_eq!(node.ledger.counters().unknown_commits, 10);
    let mut raw = database.connect().await;
    let bids: i64 = sqlx::query_scalar("SELECT count(*) FROM bids")
        .fetch_one(&mut raw)
        .await
        .expect("counts");
    assert_eq!(bids, 120, "each once");
    node.assert_clean().await;
    drop(raw);
    database.drop().await;
}
