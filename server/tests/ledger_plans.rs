//! Every statement of the kernel and of the lots' queues finds its rows by an index, also among a million of them.
#![cfg(feature = "local")]

mod common;

use common::Database;
use server::ledger::{auction, checkout};
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// A million rows in every table that grows with purchases and offers and is looked into by them, and
/// a tenth of that in the others.
const FILL: &str = "
    INSERT INTO items (item_id, tenant_id, merchant_id, title, currency, price_minor, stock_epoch,
                       stocked, created_at_ms)
    SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'x', 'USD',
           1, 1, 1, n FROM generate_series(1, 100000) AS n;
    INSERT INTO stock_buckets (item_id, bucket, available, version)
    SELECT gen_random_uuid(), 0, 1, 1 FROM generate_series(1, 1000000);
    INSERT INTO mandates (mandate_id, tenant_id, currency, cap_minor, expires_at_ms, created_at_ms,
                          returned_minor)
    SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'USD', 1, n + 1, n, 0
    FROM generate_series(1, 100000) AS n;
    INSERT INTO mandate_buckets (mandate_id, bucket, remaining_minor, revoked, version)
    SELECT gen_random_uuid(), 0, 1, false, 1 FROM generate_series(1, 1000000);
    INSERT INTO mandate_scope (mandate_id, merchant_id)
    SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 100000);
    INSERT INTO purchases (purchase_id, tenant_id, item_id, mandate_id, agent_id, quantity,
                           price_minor, currency, refunded_minor, attempts, fingerprint, event_id,
                           created_at_ms)
    SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', gen_random_uuid(),
           gen_random_uuid(), 'x', 1, 1, 'USD', 0, 1, 'x', gen_random_uuid(), n
    FROM generate_series(1, 1000000) AS n;
    INSERT INTO purchase_intents (intent_id, purchase_id, at_ms)
    SELECT gen_random_uuid(), gen_random_uuid(), 1 FROM generate_series(1, 1000000);
    INSERT INTO lots (lot_id, seller_id, title, description, art, mechanism, currency, opens_at_ms,
                      closes_at_ms, status, version, epoch, listed, created_at_ms, price_minor, units)
    SELECT gen_random_uuid(), gen_random_uuid(), 'x', 'x', 'x', 'drop', 'USD', n, n + 1, 'open', 1, 1,
           true, n, 1, 1 FROM generate_series(1, 100000) AS n;
    INSERT INTO inventory_buckets (lot_id, bucket, available, open, version)
    SELECT gen_random_uuid(), 0, 1, true, 1 FROM generate_series(1, 1000000);
    INSERT INTO purchase_limits (lot_id, buyer_id, units)
    SELECT gen_random_uuid(), gen_random_uuid(), 1 FROM generate_series(1, 100000);
    INSERT INTO principals (principal_id, handle, name, simulated, demo, created_at_ms)
    SELECT gen_random_uuid(), n, 'x', false, false, n FROM generate_series(1, 100000) AS n;
    INSERT INTO wallets (principal_id, currency, funded_minor, held_minor, spent_minor, version)
    SELECT gen_random_uuid(), 'USD', 1, 0, 0, 1 FROM generate_series(1, 1000000);
    INSERT INTO bids (bid_id, lot_id, lot_version, bidder_id, hold_id, region, currency,
                      amount_minor, at_ms)
    SELECT gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), gen_random_uuid(), 'x', 'USD',
           1, n FROM generate_series(1, 100000) AS n;
    INSERT INTO holds (hold_id, lot_id, bid_id, owner_id, currency, amount_minor, state,
                       created_at_ms)
    SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'USD', 1,
           'live', n FROM generate_series(1, 1000000) AS n;
    INSERT INTO claims (claim_id, lot_id, buyer_id, transfer_id, region, currency, units,
                        price_minor, max_price_minor, at_ms)
    SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'x', 'USD', 1,
           1, 1, n FROM generate_series(1, 100000) AS n;
    INSERT INTO lot_increments (lot_id, from_minor, increment_minor)
    SELECT gen_random_uuid(), 0, 1 FROM generate_series(1, 100000);
    INSERT INTO idempotency_keys (principal_id, route, key, fingerprint, outcome, created_at_ms)
    SELECT gen_random_uuid(), 'bid', n, 'x', 'x', n FROM generate_series(1, 1000000) AS n;
    ANALYZE";

/// A database to plan in. Only since version 16 does PostgreSQL plan a statement whose parameters have
/// no values.
async fn planner() -> (Database, PgConnection) {
    let database = Database::create().await;
    database.node().await;
    let mut raw = database.connect().await;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut raw)
        .await
        .expect("answers");
    assert!(
        version >= 160_000,
        "plans of any parameters take PostgreSQL 16, this is {version}: `cargo xtask tools` installs \
         it, and a new cluster has it once target/tmp/stores is gone"
    );
    (database, raw)
}

async fn plan(raw: &mut PgConnection, statement: &str) -> String {
    let explain = format!("EXPLAIN (GENERIC_PLAN) {statement}");
    // Over the simple protocol, which has no parameters to bind: the plan is for any.
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(raw).await;
    let rows = rows.expect(statement);
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

/// The plan of a statement, which must look every row up by key.
async fn plan_by_key(raw: &mut PgConnection, name: &str, statement: &str) -> usize {
    let plan = plan(raw, statement).await;
    assert!(!plan.contains("Seq Scan"), "{name}:\n{plan}");
    // An index that is read from end to end is a whole table too.
    let scans = ["Index Scan", "Index Only Scan"].map(|kind| plan.matches(kind).count());
    let keys = plan.matches("Index Cond").count();
    assert_eq!(scans.iter().sum::<usize>(), keys, "{name}:\n{plan}");
    keys
}

#[tokio::test]
async fn every_statement_of_the_kernel_goes_by_an_index_at_a_million_rows() {
    let (database, mut raw) = planner().await;
    sqlx::raw_sql(FILL).execute(&mut raw).await.expect("fills");
    // As PostgreSQL is out of the box, which may read whole tables if it finds that cheaper.
    let mut by_index = 0;
    let statements = [checkout::statements(), auction::statements()].concat();
    for (name, statement) in statements {
        by_index += plan_by_key(&mut raw, name, statement).await;
    }
    assert!(by_index >= 10, "the plans name the indexes they use");
    // The test has teeth: a statement without a key is found out.
    let whole = plan(
        &mut raw,
        "SELECT count(*) FROM purchases WHERE quantity = $1",
    )
    .await;
    assert!(whole.contains("Seq Scan"), "{whole}");
    drop(raw);
    database.drop().await;
}

/// Where a table is small PostgreSQL rather reads all of it than look up a few rows; a house of fifty
/// lots would then pay for all of them at every bid, and for more as it grows, since plans are kept.
#[tokio::test]
async fn the_read_of_offers_goes_by_an_index_in_a_small_house_too() {
    for lots in ["10", "150", "1000"] {
        let (database, mut raw) = planner().await;
        let fill = FILL.replace("1000000", "100000").replace("100000", lots);
        // Ten bids later there are ten keys more.
        let keys = format!("n FROM generate_series(1, {lots}) AS n;\n    ANALYZE");
        assert!(fill.contains(&keys), "keys are filled last");
        let fill = fill.replace(&keys, "n FROM generate_series(1, 10000) AS n;\n    ANALYZE");
        for setup in [fill.as_str(), "SET enable_seqscan = off"] {
            let done = sqlx::raw_sql(AssertSqlSafe(setup)).execute(&mut raw).await;
            done.expect("fills");
        }
        let reads = auction::statements().into_iter();
        let reads: Vec<_> = reads
            .filter(|(name, _)| name.starts_with("the read of"))
            .collect();
        assert_eq!(reads.len(), 2);
        for (name, statement) in reads {
            plan_by_key(&mut raw, &format!("{name}, {lots} lots"), statement).await;
        }
        drop(raw);
        database.drop().await;
    }
}
