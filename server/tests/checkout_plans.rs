//! Every statement of the kernel finds its rows by an index, also among a million of them.
#![cfg(feature = "local")]

mod common;

use common::Database;
use server::ledger::checkout::statements;
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// A million rows in every table that grows with purchases, and a tenth of that in those that grow
/// with items and mandates.
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
    ANALYZE";

async fn plan(raw: &mut PgConnection, statement: &str) -> String {
    let explain = format!("EXPLAIN (GENERIC_PLAN) {statement}");
    // Over the simple protocol, which has no parameters to bind: the plan is for any.
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(raw).await;
    let rows = rows.expect(statement);
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

#[tokio::test]
async fn every_statement_of_the_kernel_goes_by_an_index_at_a_million_rows() {
    let database = Database::create().await;
    database.node().await;
    let mut raw = database.connect().await;
    sqlx::raw_sql(FILL).execute(&mut raw).await.expect("fills");
    // As PostgreSQL is out of the box, which may read whole tables if it finds that cheaper.
    let mut by_index = 0;
    for (name, statement) in statements() {
        let plan = plan(&mut raw, statement).await;
        assert!(!plan.contains("Seq Scan"), "{name}:\n{plan}");
        by_index += plan.matches("Index").count();
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
