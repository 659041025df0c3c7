//! The tables, and the runner that creates them: one statement a transaction, indexes built
//! asynchronously where the database does so, and no traffic before every index is valid.
//!
//! Columns are final when created: Aurora DSQL cannot add NOT NULL or DEFAULT later. There are no
//! foreign keys, sequences or JSON columns; references are written in the transaction that tests
//! them, and audited.

use super::endpoint::{Dialect, Endpoints};
use super::error::{Class, Phase, classify, sqlstate};
use sqlx::AssertSqlSafe;
use std::time::Duration;

/// How long the indexes may take before start-up gives up.
const INDEX_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Tries of one statement; two nodes that start together collide on the catalogue.
const MAX_TRIES: u32 = 8;

/// What PostgreSQL says to the slower of two transactions that create the same object, although
/// both said IF NOT EXISTS: a duplicate key of the catalogue, a duplicate table, or a duplicate of
/// the table's row type, depending on how far the faster one had come.
const RACED: [&str; 3] = ["23505", "42P07", "42710"];

/// Every table.
pub const TABLES: [&str; 28] = [
    "CREATE TABLE IF NOT EXISTS principals (
        principal_id uuid PRIMARY KEY,
        handle text NOT NULL,
        name text NOT NULL,
        simulated boolean NOT NULL,
        demo boolean NOT NULL,
        created_at_ms bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS browser_sessions (
        secret_hash text NOT NULL,
        principal_id uuid NOT NULL,
        created_at_ms bigint NOT NULL,
        expires_at_ms bigint NOT NULL,
        PRIMARY KEY (secret_hash, principal_id))",
    "CREATE TABLE IF NOT EXISTS wallets (
        principal_id uuid NOT NULL,
        currency text NOT NULL,
        funded_minor bigint NOT NULL,
        held_minor bigint NOT NULL,
        spent_minor bigint NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (principal_id, currency),
        CONSTRAINT wallet_held CHECK (held_minor >= 0),
        CONSTRAINT wallet_spent CHECK (spent_minor >= 0),
        CONSTRAINT wallet_covered CHECK (held_minor + spent_minor <= funded_minor))",
    "CREATE TABLE IF NOT EXISTS lots (
        lot_id uuid PRIMARY KEY,
        seller_id uuid NOT NULL,
        title text NOT NULL,
        description text NOT NULL,
        art text NOT NULL,
        mechanism text NOT NULL,
        currency text NOT NULL,
        opens_at_ms bigint NOT NULL,
        closes_at_ms bigint NOT NULL,
        status text NOT NULL,
        version bigint NOT NULL,
        epoch bigint NOT NULL,
        listed boolean NOT NULL,
        created_at_ms bigint NOT NULL,
        settled_at_ms bigint,
        opening_minor bigint,
        reserve_minor bigint,
        extension_window_ms bigint,
        hard_end_ms bigint,
        high_bid_id uuid,
        high_bidder_id uuid,
        high_mandate_id uuid,
        high_hold_id uuid,
        high_minor bigint,
        start_minor bigint,
        floor_minor bigint,
        tick_decrease_minor bigint,
        tick_ms bigint,
        winning_claim_id uuid,
        price_minor bigint,
        units integer,
        limit_units integer,
        CONSTRAINT lot_mechanism CHECK (mechanism IN ('english', 'dutch', 'drop')),
        CONSTRAINT lot_status CHECK (status IN ('open', 'sold', 'passed', 'cancelled')),
        CONSTRAINT lot_span CHECK (opens_at_ms < closes_at_ms),
        CONSTRAINT lot_hard_end CHECK (hard_end_ms IS NULL OR closes_at_ms <= hard_end_ms),
        CONSTRAINT lot_leader CHECK ((high_bid_id IS NULL) = (high_minor IS NULL)
            AND (high_bid_id IS NOT NULL OR high_mandate_id IS NULL)),
        CONSTRAINT lot_english CHECK ((mechanism = 'english') =
            (opening_minor IS NOT NULL AND extension_window_ms IS NOT NULL
             AND hard_end_ms IS NOT NULL)),
        CONSTRAINT lot_prices CHECK (coalesce(opening_minor, 1) > 0
            AND coalesce(reserve_minor, 1) > 0 AND coalesce(floor_minor, 1) > 0
            AND coalesce(price_minor, 1) > 0),
        CONSTRAINT lot_window CHECK (coalesce(extension_window_ms, 0) >= 0),
        CONSTRAINT lot_dutch CHECK ((mechanism = 'dutch') = (start_minor IS NOT NULL
            AND floor_minor IS NOT NULL AND tick_decrease_minor IS NOT NULL
            AND tick_ms IS NOT NULL)),
        CONSTRAINT lot_schedule CHECK (start_minor IS NULL OR (floor_minor <= start_minor
            AND tick_decrease_minor > 0 AND tick_ms > 0)),
        CONSTRAINT lot_drop CHECK ((mechanism = 'drop') =
            (price_minor IS NOT NULL AND units IS NOT NULL)),
        CONSTRAINT lot_units CHECK (coalesce(units, 1) > 0 AND coalesce(limit_units, 1) > 0))",
    "CREATE TABLE IF NOT EXISTS lot_increments (
        lot_id uuid NOT NULL,
        from_minor bigint NOT NULL,
        increment_minor bigint NOT NULL,
        PRIMARY KEY (lot_id, from_minor),
        CONSTRAINT increment_positive CHECK (increment_minor > 0))",
    "CREATE TABLE IF NOT EXISTS inventory_buckets (
        lot_id uuid NOT NULL,
        bucket integer NOT NULL,
        available integer NOT NULL,
        open boolean NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (lot_id, bucket),
        CONSTRAINT bucket_available CHECK (available >= 0))",
    "CREATE TABLE IF NOT EXISTS purchase_limits (
        lot_id uuid NOT NULL,
        buyer_id uuid NOT NULL,
        units integer NOT NULL,
        PRIMARY KEY (lot_id, buyer_id),
        CONSTRAINT limit_units CHECK (units > 0))",
    "CREATE TABLE IF NOT EXISTS bids (
        bid_id uuid PRIMARY KEY,
        lot_id uuid NOT NULL,
        lot_version bigint NOT NULL,
        bidder_id uuid NOT NULL,
        mandate_id uuid,
        agent_id text,
        hold_id uuid NOT NULL,
        region text NOT NULL,
        currency text NOT NULL,
        amount_minor bigint NOT NULL,
        at_ms bigint NOT NULL,
        CONSTRAINT bid_amount CHECK (amount_minor > 0),
        CONSTRAINT bid_agent CHECK ((mandate_id IS NULL) = (agent_id IS NULL)))",
    "CREATE TABLE IF NOT EXISTS claims (
        claim_id uuid PRIMARY KEY,
        lot_id uuid NOT NULL,
        buyer_id uuid NOT NULL,
        mandate_id uuid,
        agent_id text,
        transfer_id uuid NOT NULL,
        region text NOT NULL,
        currency text NOT NULL,
        units integer NOT NULL,
        price_minor bigint NOT NULL,
        max_price_minor bigint NOT NULL,
        at_ms bigint NOT NULL,
        CONSTRAINT claim_agent CHECK ((mandate_id IS NULL) = (agent_id IS NULL)),
        CONSTRAINT claim_units CHECK (units > 0),
        CONSTRAINT claim_price CHECK (price_minor > 0 AND price_minor <= max_price_minor))",
    "CREATE TABLE IF NOT EXISTS holds (
        hold_id uuid PRIMARY KEY,
        lot_id uuid NOT NULL,
        bid_id uuid NOT NULL,
        owner_id uuid NOT NULL,
        mandate_id uuid,
        currency text NOT NULL,
        amount_minor bigint NOT NULL,
        state text NOT NULL,
        created_at_ms bigint NOT NULL,
        ended_at_ms bigint,
        CONSTRAINT hold_amount CHECK (amount_minor > 0),
        CONSTRAINT hold_state CHECK (state IN ('live', 'captured', 'voided')),
        CONSTRAINT hold_ended CHECK ((state = 'live') = (ended_at_ms IS NULL)))",
    "CREATE TABLE IF NOT EXISTS legs (
        transfer_id uuid NOT NULL,
        leg smallint NOT NULL,
        kind text NOT NULL,
        owner_id uuid NOT NULL,
        account text NOT NULL,
        currency text NOT NULL,
        amount_minor bigint NOT NULL,
        lot_id uuid,
        subaccount_id uuid,
        at_ms bigint NOT NULL,
        PRIMARY KEY (transfer_id, leg),
        CONSTRAINT leg_amount CHECK (amount_minor <> 0),
        CONSTRAINT leg_account CHECK (account IN
            ('funding', 'available', 'held', 'payable', 'budget')))",
    "CREATE TABLE IF NOT EXISTS idempotency_keys (
        principal_id uuid NOT NULL,
        route text NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        outcome text NOT NULL,
        effect_id uuid,
        created_at_ms bigint NOT NULL,
        PRIMARY KEY (principal_id, key, route))",
    "CREATE TABLE IF NOT EXISTS outbox (
        event_id uuid PRIMARY KEY,
        aggregate text NOT NULL,
        version bigint NOT NULL,
        payload text NOT NULL,
        created_at_ms bigint NOT NULL,
        listed boolean NOT NULL,
        tries smallint NOT NULL,
        published boolean NOT NULL)",
    "CREATE TABLE IF NOT EXISTS leases (
        name text PRIMARY KEY,
        owner uuid NOT NULL,
        fence bigint NOT NULL,
        expires_at_ms bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS api_keys (
        key_hash text PRIMARY KEY,
        key_id uuid NOT NULL,
        tenant_id uuid NOT NULL,
        live boolean NOT NULL,
        hint text NOT NULL,
        created_at_ms bigint NOT NULL,
        revoked_at_ms bigint)",
    "CREATE TABLE IF NOT EXISTS merchants (
        merchant_id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        name text NOT NULL,
        created_at_ms bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS items (
        item_id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        merchant_id uuid NOT NULL,
        title text NOT NULL,
        currency text NOT NULL,
        price_minor bigint NOT NULL,
        stock_epoch bigint NOT NULL,
        stocked bigint NOT NULL,
        created_at_ms bigint NOT NULL,
        CONSTRAINT item_price CHECK (price_minor > 0),
        CONSTRAINT item_stocked CHECK (stocked >= 0))",
    "CREATE TABLE IF NOT EXISTS stock_buckets (
        item_id uuid NOT NULL,
        bucket integer NOT NULL,
        available bigint NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (item_id, bucket),
        CONSTRAINT stock_available CHECK (available >= 0))",
    "CREATE TABLE IF NOT EXISTS mandates (
        mandate_id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        currency text NOT NULL,
        cap_minor bigint NOT NULL,
        purchase_cap_minor bigint,
        expires_at_ms bigint NOT NULL,
        created_at_ms bigint NOT NULL,
        revoked_at_ms bigint,
        returned_minor bigint NOT NULL,
        CONSTRAINT mandate_cap CHECK (cap_minor > 0),
        CONSTRAINT mandate_purchase_cap CHECK (coalesce(purchase_cap_minor, 1) > 0),
        CONSTRAINT mandate_span CHECK (created_at_ms < expires_at_ms),
        CONSTRAINT mandate_returned CHECK (returned_minor >= 0
            AND (returned_minor = 0 OR revoked_at_ms IS NOT NULL)))",
    "CREATE TABLE IF NOT EXISTS mandate_scope (
        mandate_id uuid NOT NULL,
        merchant_id uuid NOT NULL,
        PRIMARY KEY (mandate_id, merchant_id))",
    "CREATE TABLE IF NOT EXISTS mandate_buckets (
        mandate_id uuid NOT NULL,
        bucket integer NOT NULL,
        remaining_minor bigint NOT NULL,
        revoked boolean NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (mandate_id, bucket),
        CONSTRAINT budget_remaining CHECK (remaining_minor >= 0),
        CONSTRAINT budget_revoked CHECK (NOT revoked OR remaining_minor = 0))",
    "CREATE TABLE IF NOT EXISTS purchases (
        purchase_id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        item_id uuid NOT NULL,
        mandate_id uuid NOT NULL,
        agent_id text NOT NULL,
        quantity integer NOT NULL,
        price_minor bigint NOT NULL,
        currency text NOT NULL,
        refunded_minor bigint NOT NULL,
        attempts integer NOT NULL,
        fingerprint bytea NOT NULL,
        event_id uuid,
        refusal text,
        created_at_ms bigint NOT NULL,
        CONSTRAINT purchase_quantity CHECK (quantity > 0),
        CONSTRAINT purchase_outcome CHECK ((event_id IS NULL) = (refusal IS NOT NULL)),
        CONSTRAINT purchase_refunded CHECK (refunded_minor >= 0
            AND refunded_minor <= CASE WHEN refusal IS NULL THEN price_minor * quantity
                                       ELSE 0 END))",
    "CREATE TABLE IF NOT EXISTS purchase_intents (
        intent_id uuid PRIMARY KEY,
        purchase_id uuid NOT NULL,
        at_ms bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS refunds (
        transfer_id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        purchase_id uuid NOT NULL,
        currency text NOT NULL,
        amount_minor bigint NOT NULL,
        units integer NOT NULL,
        at_ms bigint NOT NULL,
        CONSTRAINT refund_amount CHECK (amount_minor > 0),
        CONSTRAINT refund_units CHECK (units >= 0))",
    "CREATE TABLE IF NOT EXISTS dead_letters (
        event_id uuid PRIMARY KEY,
        aggregate text NOT NULL,
        payload text NOT NULL,
        reason text NOT NULL,
        tries smallint NOT NULL,
        at_ms bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS webhook_endpoints (
        endpoint_id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        slot smallint,
        url text NOT NULL,
        secret text NOT NULL,
        previous_secret text,
        previous_expires_at_ms bigint,
        enabled boolean NOT NULL,
        disabled_reason text,
        created_at_ms bigint NOT NULL,
        CONSTRAINT webhook_slot CHECK (slot BETWEEN 1 AND 10),
        CONSTRAINT webhook_reason CHECK (disabled_reason IN ('gone', 'deleted')),
        CONSTRAINT webhook_enabled CHECK (enabled = (disabled_reason IS NULL)),
        CONSTRAINT webhook_deleted CHECK
            ((slot IS NULL) = (coalesce(disabled_reason, '') = 'deleted')),
        CONSTRAINT webhook_previous CHECK
            ((previous_secret IS NULL) = (previous_expires_at_ms IS NULL)))",
    "CREATE TABLE IF NOT EXISTS webhook_deliveries (
        delivery_id uuid PRIMARY KEY,
        endpoint_id uuid NOT NULL,
        tenant_id uuid NOT NULL,
        event_id uuid NOT NULL,
        event_type text NOT NULL,
        payload text NOT NULL,
        state text NOT NULL,
        tries smallint NOT NULL,
        tries_before smallint NOT NULL,
        next_at_ms bigint,
        created_at_ms bigint NOT NULL,
        last_status integer,
        last_error text,
        delivered_at_ms bigint,
        CONSTRAINT delivery_state CHECK (state IN ('pending', 'delivered', 'failed')),
        CONSTRAINT delivery_tries CHECK (tries_before BETWEEN 0 AND tries),
        CONSTRAINT delivery_due CHECK ((state = 'pending') = (next_at_ms IS NOT NULL)),
        CONSTRAINT delivery_done CHECK ((state = 'delivered') = (delivered_at_ms IS NOT NULL)))",
    "CREATE TABLE IF NOT EXISTS webhook_attempts (
        delivery_id uuid NOT NULL,
        attempt smallint NOT NULL,
        at_ms bigint NOT NULL,
        status integer,
        error text,
        duration_ms bigint NOT NULL,
        PRIMARY KEY (delivery_id, attempt),
        CONSTRAINT attempt_number CHECK (attempt > 0),
        CONSTRAINT attempt_duration CHECK (duration_ms >= 0))",
];

/// An index: its name, whether it is unique, and what it is on.
pub const INDEXES: [(&str, bool, &str); 24] = [
    ("principals_by_handle", true, "principals (handle)"),
    ("lots_by_status", false, "lots (status, closes_at_ms)"),
    ("lots_by_settlement", false, "lots (listed, settled_at_ms)"),
    ("bids_by_lot", true, "bids (lot_id, lot_version)"),
    ("claims_by_lot", false, "claims (lot_id, at_ms)"),
    ("holds_by_owner", false, "holds (owner_id, state)"),
    (
        "holds_by_mandate",
        false,
        "holds (mandate_id) WHERE mandate_id IS NOT NULL",
    ),
    (
        "bids_by_mandate",
        false,
        "bids (bidder_id, at_ms, bid_id) WHERE mandate_id IS NOT NULL",
    ),
    (
        "claims_by_mandate",
        false,
        "claims (buyer_id, at_ms, claim_id) WHERE mandate_id IS NOT NULL",
    ),
    ("legs_by_owner", false, "legs (owner_id, currency, at_ms)"),
    (
        "outbox_listed",
        false,
        "outbox (created_at_ms) WHERE listed = true",
    ),
    (
        "outbox_by_aggregate",
        false,
        "outbox (aggregate, version) WHERE version > 0",
    ),
    (
        "outbox_unpublished",
        false,
        "outbox (created_at_ms) WHERE published = false",
    ),
    (
        "api_keys_by_tenant",
        false,
        "api_keys (tenant_id, created_at_ms)",
    ),
    (
        "merchants_by_tenant",
        false,
        "merchants (tenant_id, created_at_ms)",
    ),
    ("items_by_tenant", false, "items (tenant_id, created_at_ms)"),
    (
        "mandates_by_tenant",
        false,
        "mandates (tenant_id, created_at_ms)",
    ),
    (
        "purchases_by_tenant",
        false,
        "purchases (tenant_id, created_at_ms)",
    ),
    ("refunds_by_purchase", false, "refunds (purchase_id, at_ms)"),
    ("refunds_by_tenant", false, "refunds (tenant_id, at_ms)"),
    (
        "webhook_endpoints_by_slot",
        true,
        "webhook_endpoints (tenant_id, slot)",
    ),
    (
        "webhook_deliveries_due",
        false,
        "webhook_deliveries (next_at_ms) WHERE state = 'pending'",
    ),
    (
        "webhook_deliveries_by_tenant",
        false,
        "webhook_deliveries (tenant_id, created_at_ms, delivery_id)",
    ),
    (
        "webhook_deliveries_by_endpoint",
        false,
        "webhook_deliveries (endpoint_id, created_at_ms, delivery_id)",
    ),
];

/// Why the schema is not ready.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A statement failed for good.
    #[error("applying the schema failed at: {statement}")]
    Statement {
        /// The statement's first words.
        statement: String,
        /// What the database says.
        source: sqlx::Error,
    },
    /// Tables stay as they were created: Aurora DSQL cannot change their columns.
    #[error(
        "these columns are not as this version needs them: {0}. If it is the demo's data, start afresh (local stores: remove the data folder)"
    )]
    Outdated(String),
    /// Reading the catalogue failed.
    #[error("reading the catalogue failed")]
    Catalogue(#[source] sqlx::Error),
    /// Some indexes never became valid.
    #[error("these indexes are not valid: {0}")]
    Indexes(String),
}

/// What applying did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Tables that must exist.
    pub tables: usize,
    /// Indexes that are valid.
    pub indexes: usize,
}

/// The statement that creates an index.
#[must_use]
pub fn index_statement(dialect: Dialect, index: (&str, bool, &str)) -> String {
    let (name, unique, on) = index;
    let unique = if unique { "UNIQUE " } else { "" };
    let words = dialect.index();
    format!("CREATE {unique}{words} IF NOT EXISTS {name} ON {on}")
}

async fn statement(endpoints: &Endpoints, sql: String) -> Result<(), SchemaError> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Autocommit: one DDL statement is one transaction, as DSQL demands.
        let result = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(endpoints.pool(0))
            .await;
        let Err(error) = result else { return Ok(()) };
        let raced = sqlstate(&error).is_some_and(|code| RACED.contains(&code.as_str()));
        let again = raced || classify(&error, Phase::BeforeCommit) != Class::Final;
        if !again || tries == MAX_TRIES {
            let statement = sql.lines().next().unwrap_or_default().to_owned();
            return Err(SchemaError::Statement {
                statement,
                source: error,
            });
        }
        tokio::time::sleep(Duration::from_millis(20 << tries)).await;
    }
}

/// Creates what is missing and waits until every index is valid. Harmless to repeat.
///
/// # Errors
/// [`SchemaError`] when a statement fails for good or an index does not become valid in time.
pub async fn apply(endpoints: &Endpoints) -> Result<Applied, SchemaError> {
    for table in TABLES {
        statement(endpoints, table.to_owned()).await?;
    }
    let outdated = outdated_columns(endpoints).await?;
    if !outdated.is_empty() {
        return Err(SchemaError::Outdated(outdated.join(", ")));
    }
    for index in INDEXES {
        statement(endpoints, index_statement(endpoints.dialect(), index)).await?;
    }
    let deadline = tokio::time::Instant::now() + INDEX_DEADLINE;
    loop {
        let missing = invalid_indexes(endpoints).await?;
        if missing.is_empty() {
            return Ok(Applied {
                tables: TABLES.len(),
                indexes: INDEXES.len(),
            });
        }
        if tokio::time::Instant::now() > deadline {
            return Err(SchemaError::Indexes(missing.join(", ")));
        }
        tracing::info!(waiting_for = missing.join(", "), "indexes are being built");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The columns that a statement creates: table, column, type. Each stands on a line of its own
/// and in small letters, which the words of SQL do not.
#[must_use]
pub fn columns(statement: &'static str) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut lines = statement.lines();
    let first = lines.next().unwrap_or_default();
    let table = first.trim_end_matches(" (").rsplit(' ').next();
    let column = |line: &'static str| {
        let mut words = line.trim().split([' ', ',', ')']);
        let (name, kind) = (words.next()?, words.next()?);
        let small = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase());
        (small(name) && small(kind)).then_some((table?, name, kind))
    };
    lines.filter_map(column).collect()
}

/// The columns that are missing or of another type, as `table.column`.
async fn outdated_columns(endpoints: &Endpoints) -> Result<Vec<String>, SchemaError> {
    let found: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text, t.typname::text
         FROM pg_attribute a
         JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_type t ON t.oid = a.atttypid
         WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
    )
    .fetch_all(endpoints.pool(0))
    .await
    .map_err(SchemaError::Catalogue)?;
    let is_there = |&(table, name, kind): &(&str, &str, &str)| {
        let kind = catalogue_name(kind);
        found
            .iter()
            .any(|(t, n, k)| t == table && n == name && k == kind)
    };
    let wanted = TABLES.iter().flat_map(|table| columns(table));
    Ok(wanted
        .filter(|column| !is_there(column))
        .map(|(table, name, _)| format!("{table}.{name}"))
        .collect())
}

/// What the catalogue calls a type.
fn catalogue_name(kind: &str) -> &str {
    match kind {
        "bigint" => "int8",
        "integer" => "int4",
        "smallint" => "int2",
        "boolean" => "bool",
        other => other,
    }
}

/// The names of the indexes that are missing or not yet valid. Only `indisvalid` counts: a job
/// that says "completed" may have failed.
///
/// # Errors
/// When the catalogue cannot be read.
pub async fn invalid_indexes(endpoints: &Endpoints) -> Result<Vec<&'static str>, SchemaError> {
    let valid: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indisvalid",
    )
    .fetch_all(endpoints.pool(0))
    .await
    .map_err(SchemaError::Catalogue)?;
    let missing = |name: &&str| !valid.iter().any(|known| known == name);
    Ok(INDEXES
        .iter()
        .map(|(name, ..)| *name)
        .filter(missing)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_statement_is_found_and_nothing_else() {
        let wallets = columns(TABLES[2]);
        let names: Vec<_> = wallets.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "principal_id",
                "currency",
                "funded_minor",
                "held_minor",
                "spent_minor",
                "version"
            ]
        );
        assert_eq!(wallets[2], ("wallets", "funded_minor", "bigint"));
        let types = [
            "uuid", "text", "boolean", "bigint", "integer", "smallint", "bytea",
        ];
        for (table, name, kind) in TABLES.iter().flat_map(|table| columns(table)) {
            assert!(types.contains(&kind), "{table}.{name} {kind}");
        }
    }
}
