//! The backstops: each CHECK refuses what no command would write, and each audit finds what a
//! CHECK cannot see. A check that never fails proves nothing, so every one is made to fail here.
#![cfg(feature = "local")]

mod common;

use app::ports::Ledger as _;
use common::{Database, drop_of, dutch, english, usd};
use server::ids;
use server::ledger::endpoint::Dialect;
use server::ledger::schema;
use server::webhooks::event::WebhookEvent;
use server::webhooks::guard::{Policy, WebhookUrl};
use shared::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

async fn refused_by(connection: &mut PgConnection, sql: &'static str) -> String {
    let error = sqlx::raw_sql(sql).execute(connection).await.expect_err(sql);
    let error = error.into_database_error().expect("the database refused");
    error.constraint().unwrap_or_default().to_owned()
}

/// A webhook endpoint, a delivery to it that waits, and an attempt.
async fn plant_webhooks(node: &common::Node, raw: &mut PgConnection) {
    let tenant = node.person("owner", 0).await.person.id;
    let url = WebhookUrl::parse("https://shop.example/", Policy::default()).expect("a URL");
    let ledger = &node.ledger;
    let created = ledger.create_webhook_endpoint(tenant, ids::webhook_endpoint(), &url);
    created.await.expect("answers").expect("ok");
    let event = WebhookEvent::new(ids::event(), "a.b", Timestamp(0), &1).expect("an event");
    ledger
        .queue_webhooks(tenant, &[event])
        .await
        .expect("answers");
    let attempt = "INSERT INTO webhook_attempts (delivery_id, attempt, at_ms, duration_ms)
                   SELECT delivery_id, 1, 0, 0 FROM webhook_deliveries";
    sqlx::raw_sql(attempt).execute(raw).await.expect("plants");
}

#[expect(clippy::too_many_lines, reason = "the table is the test")]
#[tokio::test]
async fn every_check_refuses() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann) = (node.person("s", 0).await, node.person("ann", 100).await);
    let rising = node.put_up(&seller, english()).await;
    node.put_up(&seller, dutch()).await;
    let units = node.put_up(&seller, drop_of(5, Some(2))).await;
    let ledger = &node.ledger;
    ledger
        .bid(&ann, ids::key(), rising.id, usd(1_000))
        .await
        .expect("answers")
        .outcome
        .expect("ok");
    let claim = ledger.claim(&ann, ids::key(), units.id, 1, usd(500)).await;
    claim.expect("answers").outcome.expect("ok");
    let mut raw = database.connect().await;
    plant_webhooks(&node, &mut raw).await;
    let table = [
        ("UPDATE wallets SET held_minor = -1", "wallet_held"),
        ("UPDATE wallets SET spent_minor = -1", "wallet_spent"),
        (
            "UPDATE wallets SET held_minor = funded_minor + 1",
            "wallet_covered",
        ),
        (
            "UPDATE lots SET mechanism = 'raffle', opening_minor = NULL, start_minor = NULL,
                             price_minor = NULL",
            "lot_mechanism",
        ),
        ("UPDATE lots SET status = 'gone'", "lot_status"),
        ("UPDATE lots SET opens_at_ms = closes_at_ms", "lot_span"),
        (
            "UPDATE lots SET closes_at_ms = hard_end_ms + 1 WHERE hard_end_ms > 0",
            "lot_hard_end",
        ),
        (
            "UPDATE lots SET high_minor = 5 WHERE high_bid_id IS NULL",
            "lot_leader",
        ),
        (
            "UPDATE lots SET hard_end_ms = NULL WHERE mechanism = 'english'",
            "lot_english",
        ),
        (
            "UPDATE lots SET price_minor = 0 WHERE units > 0",
            "lot_prices",
        ),
        (
            "UPDATE lots SET extension_window_ms = -1 WHERE opening_minor > 0",
            "lot_window",
        ),
        (
            "UPDATE lots SET tick_ms = NULL WHERE tick_ms > 0",
            "lot_dutch",
        ),
        (
            "UPDATE lots SET floor_minor = start_minor + 1",
            "lot_schedule",
        ),
        (
            "UPDATE lots SET tick_ms = 0 WHERE tick_ms > 0",
            "lot_schedule",
        ),
        ("UPDATE lots SET units = NULL WHERE units > 0", "lot_drop"),
        ("UPDATE lots SET units = 0 WHERE units > 0", "lot_units"),
        (
            "UPDATE lot_increments SET increment_minor = 0",
            "increment_positive",
        ),
        (
            "UPDATE inventory_buckets SET available = -1",
            "bucket_available",
        ),
        ("UPDATE purchase_limits SET units = 0", "limit_units"),
        ("UPDATE bids SET amount_minor = 0", "bid_amount"),
        ("UPDATE claims SET units = 0", "claim_units"),
        (
            "UPDATE claims SET price_minor = max_price_minor + 1",
            "claim_price",
        ),
        ("UPDATE holds SET amount_minor = 0", "hold_amount"),
        (
            "UPDATE holds SET state = 'lost', ended_at_ms = 1",
            "hold_state",
        ),
        ("UPDATE holds SET ended_at_ms = 1", "hold_ended"),
        ("UPDATE legs SET amount_minor = 0", "leg_amount"),
        ("UPDATE legs SET account = 'pocket'", "leg_account"),
        ("UPDATE webhook_endpoints SET slot = 11", "webhook_slot"),
        (
            "UPDATE webhook_endpoints SET enabled = false, disabled_reason = 'bored'",
            "webhook_reason",
        ),
        (
            "UPDATE webhook_endpoints SET enabled = false",
            "webhook_enabled",
        ),
        (
            "UPDATE webhook_endpoints SET slot = NULL",
            "webhook_deleted",
        ),
        (
            "UPDATE webhook_endpoints SET enabled = false, disabled_reason = 'deleted'",
            "webhook_deleted",
        ),
        (
            "UPDATE webhook_endpoints SET previous_secret = secret",
            "webhook_previous",
        ),
        (
            "UPDATE webhook_deliveries SET state = 'lost', next_at_ms = NULL",
            "delivery_state",
        ),
        (
            "UPDATE webhook_deliveries SET tries_before = tries + 1",
            "delivery_tries",
        ),
        (
            "UPDATE webhook_deliveries SET next_at_ms = NULL",
            "delivery_due",
        ),
        (
            "UPDATE webhook_deliveries SET state = 'delivered', next_at_ms = NULL",
            "delivery_done",
        ),
        ("UPDATE webhook_attempts SET attempt = 0", "attempt_number"),
        (
            "UPDATE webhook_attempts SET duration_ms = -1",
            "attempt_duration",
        ),
    ];
    let mut shown = BTreeSet::new();
    for (sql, constraint) in table {
        assert_eq!(refused_by(&mut raw, sql).await, constraint, "{sql}");
        shown.insert(constraint);
    }
    let all: Vec<String> = sqlx::query_scalar(
        "SELECT conname::text FROM pg_constraint WHERE contype = 'c'
         AND connamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut raw)
    .await
    .expect("reads");
    let missing: Vec<_> = all
        .iter()
        .filter(|name| !shown.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "no test shows that these refuse: {missing:?}"
    );
    drop(raw);
    database.drop().await;
}

/// One planted violation per audit. A constraint that would refuse the damage is dropped first: the
/// audit must find it also where a check was forgotten.
const PLANTED: [(&str, &str); 24] = [
    (
        "A1",
        "UPDATE legs SET amount_minor = amount_minor + 1 WHERE leg = 0 AND kind = 'hold'",
    ),
    ("A2", "DELETE FROM legs WHERE leg = 1 AND kind = 'top_up'"),
    (
        "A3",
        "ALTER TABLE wallets DROP CONSTRAINT wallet_covered;
                UPDATE wallets SET spent_minor = funded_minor + 1",
    ),
    ("A4", "UPDATE wallets SET funded_minor = funded_minor + 1"),
    (
        "A5",
        "ALTER TABLE inventory_buckets DROP CONSTRAINT bucket_available;
                UPDATE inventory_buckets SET available = -1",
    ),
    (
        "A6",
        "UPDATE inventory_buckets SET available = available + 1",
    ),
    (
        "A6",
        "INSERT INTO purchase_limits SELECT lot_id, buyer_id, units + 1 FROM claims;
                UPDATE lots SET limit_units = 2 WHERE mechanism = 'drop'",
    ),
    (
        "A6",
        "UPDATE lots SET limit_units = 1 WHERE mechanism = 'drop';
                INSERT INTO purchase_limits SELECT lot_id, buyer_id, units FROM claims",
    ),
    (
        "A7",
        "UPDATE bids SET amount_minor = amount_minor + 5000 WHERE lot_version = 2",
    ),
    (
        "A7",
        "UPDATE lots SET high_bidder_id = gen_random_uuid() WHERE high_bidder_id IS NOT NULL",
    ),
    (
        "A8",
        "UPDATE bids SET amount_minor = 1501 WHERE lot_version = 2",
    ),
    (
        "A9",
        "UPDATE holds SET state = 'live', ended_at_ms = NULL WHERE state = 'voided'",
    ),
    (
        "A9",
        "UPDATE lots SET high_bid_id = NULL, high_minor = NULL, high_hold_id = NULL,
                high_bidder_id = NULL WHERE high_bid_id IS NOT NULL",
    ),
    ("A10", "DELETE FROM claims"),
    (
        "A10",
        "UPDATE idempotency_keys SET effect_id = gen_random_uuid() WHERE route = 'top_up'",
    ),
    ("A10", "DELETE FROM idempotency_keys WHERE route = 'bid'"),
    (
        "A12",
        "UPDATE claims SET price_minor = price_minor - 1 WHERE max_price_minor = 10000",
    ),
    ("A13", "DELETE FROM outbox WHERE version = 2"),
    (
        "A13",
        "DELETE FROM outbox WHERE payload LIKE '%\"body\":\"stock\"%'",
    ),
    ("A13", "UPDATE outbox SET version = 9 WHERE version = 3"),
    (
        "A14",
        "UPDATE bids SET lot_id = gen_random_uuid() WHERE lot_version = 2",
    ),
    (
        "A17",
        "UPDATE lots SET opens_at_ms = 1, closes_at_ms = 2 WHERE status = 'open';
                INSERT INTO leases VALUES ('outbox', gen_random_uuid(), 1, 9e15::bigint)",
    ),
    (
        "A17",
        "UPDATE outbox SET created_at_ms = 1;
                INSERT INTO leases VALUES ('outbox', gen_random_uuid(), 1, 9e15::bigint)",
    ),
    (
        "A18",
        "UPDATE legs SET amount_minor = amount_minor - 1 WHERE account = 'payable'",
    ),
];

#[tokio::test]
async fn every_audit_finds_what_it_is_for() {
    let database = Database::create().await;
    let node = database.node().await;
    let (seller, ann, bob) = (
        node.person("s", 0).await,
        node.person("ann", 500).await,
        node.person("bob", 500).await,
    );
    let ledger = &node.ledger;
    let rising = node.put_up(&seller, english()).await;
    ledger
        .bid(&ann, ids::key(), rising.id, usd(1_000))
        .await
        .expect("answers")
        .outcome
        .expect("ok");
    ledger
        .bid(&bob, ids::key(), rising.id, usd(1_500))
        .await
        .expect("answers")
        .outcome
        .expect("ok");
    let units = node.put_up(&seller, drop_of(5, None)).await;
    let claim = ledger.claim(&ann, ids::key(), units.id, 2, usd(500)).await;
    claim.expect("answers").outcome.expect("ok");
    let falling = node.put_up(&seller, dutch()).await;
    let claim = ledger
        .claim(&ann, ids::key(), falling.id, 1, usd(10_000))
        .await;
    claim.expect("answers").outcome.expect("ok");
    node.assert_clean().await;
    let mut raw = database.connect().await;
    let name = database.url.rsplit('/').next().expect("a name").to_owned();
    drop(node);
    for (number, (audit, damage)) in PLANTED.into_iter().enumerate() {
        // A copy of the database for each, so that no damage hides another.
        let copy = format!("{name}_{number}");
        clone_database(&database, &mut raw, &name, &copy).await;
        let url = database.url.replace(&name, &copy);
        let hurt = common::Node::at(&url, 2).await;
        let mut connection = <PgConnection as sqlx::Connection>::connect(&url)
            .await
            .expect("connects");
        sqlx::raw_sql(damage)
            .execute(&mut connection)
            .await
            .expect(damage);
        let findings = hurt.audit().await;
        let found = findings
            .iter()
            .find(|finding| finding.audit.id == audit)
            .expect("exists");
        assert!(found.violations > 0, "{audit} did not find: {damage}");
        hurt.ledger.close().await;
        drop(connection);
        let gone = format!("DROP DATABASE {copy} WITH (FORCE)");
        let mut admin = admin(&database).await;
        sqlx::raw_sql(AssertSqlSafe(gone))
            .execute(&mut admin)
            .await
            .expect("drops");
    }
    let known: Vec<_> = server::ledger::audit::AUDITS
        .iter()
        .map(|audit| audit.id)
        .collect();
    let mut shown: Vec<_> = PLANTED.iter().map(|(audit, _)| *audit).collect();
    shown.dedup();
    assert_eq!(known, shown, "every audit has its planted violation");
    database.drop().await;
}

async fn admin(database: &Database) -> PgConnection {
    <PgConnection as sqlx::Connection>::connect(&database.stores.database_url)
        .await
        .expect("connects")
}

async fn clone_database(database: &Database, raw: &mut PgConnection, name: &str, copy: &str) {
    // A template may have no other connections.
    let own = sqlx::query("SELECT 1").execute(&mut *raw).await;
    drop(own);
    let mut admin = admin(database).await;
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    sqlx::raw_sql(AssertSqlSafe(end))
        .execute(&mut admin)
        .await
        .expect("ends");
    let create = format!("CREATE DATABASE {copy} TEMPLATE {name}");
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .expect("copies");
}

#[test]
fn the_schema_holds_nothing_that_dsql_refuses() {
    let refused = [
        "references ",
        "serial",
        "json",
        "[]",
        "generated",
        "sequence",
        "collate",
        "temp ",
        "unlogged",
        "trigger",
        "partition by",
        "create type",
        "desc",
    ];
    let indexes = schema::INDEXES.map(|index| schema::index_statement(Dialect::Dsql, index));
    for sql in schema::TABLES
        .iter()
        .map(|sql| (*sql).to_owned())
        .chain(indexes)
    {
        let lower = sql.to_lowercase().replace("description", "");
        assert!(!lower.contains(';'), "one statement a transaction: {sql}");
        for word in refused {
            assert!(!lower.contains(word), "{word:?} in {sql}");
        }
    }
    // Keys and indexes take these types only; bytes are none of them.
    let keyable = ["uuid", "text", "bigint", "integer", "smallint", "boolean"];
    let mut types = BTreeMap::new();
    for table in schema::TABLES {
        types.extend(
            schema::columns(table)
                .into_iter()
                .map(|(t, name, kind)| ((t, name), kind)),
        );
    }
    let mut keyed = 0;
    for table in schema::TABLES {
        let (_, _, kind) = schema::columns(table)[0];
        let own = schema::columns(table)[0].0;
        assert!(keyable.contains(&kind), "the key of {own}");
        if let Some((_, key)) = table.split_once("PRIMARY KEY (") {
            for name in key.split(')').next().expect("a key").split(", ") {
                assert!(keyable.contains(&types[&(own, name)]), "{own}.{name}");
                keyed += 1;
            }
        }
    }
    for (_, _, on) in schema::INDEXES {
        let (table, names) = on.split_once(" (").expect("a table and its columns");
        for name in names.split(')').next().expect("columns").split(", ") {
            assert!(keyable.contains(&types[&(table, name)]), "{on}");
            keyed += 1;
        }
    }
    assert!(keyed > 25, "{keyed} columns were looked at");
    let index = schema::index_statement(Dialect::Dsql, schema::INDEXES[0]);
    assert!(
        index.starts_with("CREATE UNIQUE INDEX ASYNC IF NOT EXISTS "),
        "{index}"
    );
}
