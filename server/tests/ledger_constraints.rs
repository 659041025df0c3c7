//! The backstops: each CHECK refuses what no command would write, and each audit finds what a
//! CHECK cannot see. A check that never fails proves nothing, so every one is made to fail here.
#![cfg(feature = "local")]

mod common;
#[path = "support/planted.rs"]
mod planted;

use app::ports::{Actor, Ledger as _};
use common::auction::{agent_bid, agent_claim};
use common::{Database, Node, drop_of, dutch, english, usd};
use planted::PLANTED;
use server::ids;
use server::ledger::Route;
use server::ledger::audit::AUDITS;
use server::ledger::checkout::merchants::NewMerchant;
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
async fn plant_webhooks(node: &Node, raw: &mut PgConnection) {
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

/// Rows of every kind that the agents' checkout writes: a purchase and a refused one, refunds to a
/// mandate and to a wallet, a revoked mandate, a second merchant, and another tenant.
async fn agents_buy(node: &Node) {
    let shop = node.shop("acme", 100).await;
    let second = NewMerchant {
        tenant: shop.tenant(),
        id: ids::merchant(),
        name: common::checkout::label("Shoes & Co"),
    };
    node.keyed(shop.tenant(), Route::Merchant, second)
        .await
        .expect("made");
    let item = node.item(&shop, 500, 3).await;
    let (kept, ended) = (
        node.mandate(&shop, 2_000).await,
        node.mandate(&shop, 1_500).await,
    );
    // The audit of events counts what their texts say: an agent's name must not mislead it.
    for (key, mandate, name) in [
        ("one", kept, "\"purchase\":\"pur_\""),
        ("two", kept, "\"news\":\"committed\""),
        ("three", ended, "scout"),
    ] {
        let bought = node.commit(&shop, key, shop.one(item, mandate, name)).await;
        let bought = bought.expect("answers").purchase;
        if key == "three" {
            node.revoke(&shop, mandate).await.expect("revokes");
        }
        if key != "two" {
            let refund = node.refund(&shop, bought, Some(200), 1).await;
            refund.expect("pays back");
        }
    }
    let mut many = shop.one(item, kept, "greedy");
    many.quantity = 3;
    assert_eq!(node.buy(&shop, many).await, "sold_out");
    let other = node.shop("other", 100).await;
    node.item(&other, 700, 1).await;
    node.mandate(&other, 1_000).await;
}

/// A bid of an agent that leads, one that was outbid, and a claim.
async fn agents_bid(node: &Node, seller: &Actor) {
    let shop = node.shop("bidders", 500).await;
    let mandate = node.mandate(&shop, 20_000).await;
    let rising = node.put_up(seller, english()).await.id;
    for minor in [1_000, 1_200] {
        let bid = agent_bid(node, &shop, mandate, rising, minor).await;
        assert_eq!(bid, "ok");
    }
    let units = node.put_up(seller, drop_of(5, None)).await.id;
    let claim = agent_claim(node, &shop, mandate, units, 1).await;
    assert_eq!(claim, "ok");
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
    agents_buy(&node).await;
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
        (
            "UPDATE lots SET high_mandate_id = lot_id WHERE high_bid_id IS NULL",
            "lot_leader",
        ),
        ("UPDATE bids SET amount_minor = 0", "bid_amount"),
        ("UPDATE bids SET agent_id = 'scout'", "bid_agent"),
        ("UPDATE claims SET mandate_id = claim_id", "claim_agent"),
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
        (
            "INSERT INTO journal_marks VALUES ('legs', -1, 0)",
            "mark_legs",
        ),
        ("UPDATE items SET price_minor = 0", "item_price"),
        ("UPDATE items SET stocked = -1", "item_stocked"),
        ("UPDATE stock_buckets SET available = -1", "stock_available"),
        ("UPDATE mandates SET cap_minor = 0", "mandate_cap"),
        (
            "UPDATE mandates SET purchase_cap_minor = 0",
            "mandate_purchase_cap",
        ),
        (
            "UPDATE mandates SET expires_at_ms = created_at_ms",
            "mandate_span",
        ),
        (
            "UPDATE mandates SET returned_minor = -1 WHERE revoked_at_ms > 0",
            "mandate_returned",
        ),
        (
            "UPDATE mandates SET returned_minor = 1 WHERE revoked_at_ms IS NULL",
            "mandate_returned",
        ),
        (
            "UPDATE mandate_buckets SET remaining_minor = -1",
            "budget_remaining",
        ),
        (
            "UPDATE mandate_buckets SET revoked = true WHERE remaining_minor > 0",
            "budget_revoked",
        ),
        ("UPDATE purchases SET quantity = 0", "purchase_quantity"),
        (
            "UPDATE purchases SET event_id = NULL WHERE refusal IS NULL",
            "purchase_outcome",
        ),
        (
            "UPDATE purchases SET event_id = gen_random_uuid() WHERE refusal IS NOT NULL",
            "purchase_outcome",
        ),
        (
            "UPDATE purchases SET refunded_minor = -1",
            "purchase_refunded",
        ),
        (
            "UPDATE purchases SET refunded_minor = price_minor * quantity + 1",
            "purchase_refunded",
        ),
        (
            "UPDATE purchases SET refunded_minor = 1 WHERE refusal IS NOT NULL",
            "purchase_refunded",
        ),
        ("UPDATE refunds SET amount_minor = 0", "refund_amount"),
        ("UPDATE refunds SET units = -1", "refund_units"),
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
    agents_buy(&node).await;
    agents_bid(&node, &seller).await;
    node.assert_clean().await;
    let mut raw = database.connect().await;
    let mut unseen: BTreeSet<(&str, usize)> = AUDITS
        .iter()
        .flat_map(|audit| (0..clauses(audit.query).len()).map(|clause| (audit.id, clause)))
        .collect();
    for (id, damage) in PLANTED {
        // Taken back each time, so that no damage hides another.
        run(&mut raw, "BEGIN").await;
        run(&mut raw, damage).await;
        let audit = AUDITS.iter().find(|audit| audit.id == id).expect("exists");
        let mut found = false;
        for (number, clause) in clauses(audit.query).into_iter().enumerate() {
            let violations = sqlx::raw_sql(AssertSqlSafe(clause))
                .fetch_all(&mut raw)
                .await
                .expect(damage);
            if !violations.is_empty() {
                found = true;
                unseen.remove(&(id, number));
            }
        }
        assert!(found, "{id} did not find: {damage}");
        run(&mut raw, "ROLLBACK").await;
    }
    assert!(
        unseen.is_empty(),
        "these clauses found nothing of all that was planted: {unseen:?}"
    );
    node.assert_clean().await;
    // And so it is told.
    let (audit, damage) = PLANTED[0];
    run(&mut raw, damage).await;
    let broken = node.audit().await;
    let mut broken = broken.iter().filter(|finding| finding.violations > 0);
    let first = broken.next().expect("found");
    assert_eq!(
        (first.audit.id, first.evidence.len()),
        (audit, first.violations)
    );
    drop(raw);
    database.drop().await;
}

/// The queries that an audit puts together.
fn clauses(query: &str) -> Vec<String> {
    let mut clauses = vec![String::new()];
    let mut depth = 0;
    for piece in query.split_inclusive("UNION ALL") {
        let text = piece.strip_suffix("UNION ALL");
        let last = clauses.last_mut().expect("never empty");
        last.push_str(text.unwrap_or(piece));
        depth += piece.matches('(').count();
        depth -= piece.matches(')').count();
        match text {
            Some(_) if depth == 0 => clauses.push(String::new()),
            Some(_) => last.push_str("UNION ALL"),
            None => {}
        }
    }
    clauses
}

async fn run(connection: &mut PgConnection, sql: &'static str) {
    let done = sqlx::raw_sql(sql).execute(connection).await;
    done.expect(sql);
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
