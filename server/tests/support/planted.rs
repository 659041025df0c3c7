//! Damage for the audits to find: at least one violation for every clause of every audit, in the
//! audits' order. A constraint that would refuse the damage is dropped first: the audit must find
//! it also where a check was forgotten.

/// What breaks an invariant: the audit that must find it, and the statements.
pub const PLANTED: [(&str, &str); 105] = [
    (
        "A1",
        "UPDATE legs SET amount_minor = amount_minor + 1 WHERE leg = 0 AND kind = 'hold'",
    ),
    (
        "A1",
        "UPDATE legs SET amount_minor = amount_minor + 1 WHERE leg = 0 AND kind = 'purchase'",
    ),
    ("A2", "DELETE FROM legs WHERE leg = 1 AND kind = 'top_up'"),
    (
        "A3",
        "ALTER TABLE wallets DROP CONSTRAINT wallet_covered;
                UPDATE wallets SET spent_minor = funded_minor + 1",
    ),
    ("A4", "UPDATE wallets SET funded_minor = funded_minor + 1"),
    (
        "A4",
        "UPDATE legs SET amount_minor = amount_minor - 1
                WHERE kind = 'fund' AND account = 'available'",
    ),
    (
        "A4",
        "UPDATE legs SET amount_minor = amount_minor + 1
                WHERE kind = 'return' AND account = 'available'",
    ),
    (
        "A4",
        "UPDATE legs SET amount_minor = amount_minor + 1
                WHERE kind = 'refund' AND account = 'available'",
    ),
    (
        "A4",
        "UPDATE legs SET subaccount_id = NULL WHERE account = 'held' AND subaccount_id IS NOT NULL",
    ),
    (
        "A5",
        "ALTER TABLE wallets DROP CONSTRAINT wallet_held;
                UPDATE wallets SET held_minor = -1",
    ),
    (
        "A5",
        "ALTER TABLE inventory_buckets DROP CONSTRAINT bucket_available;
                UPDATE inventory_buckets SET available = -1",
    ),
    (
        "A5",
        "ALTER TABLE stock_buckets DROP CONSTRAINT stock_available;
                UPDATE stock_buckets SET available = -1 WHERE bucket = 0",
    ),
    (
        "A5",
        "ALTER TABLE mandate_buckets DROP CONSTRAINT budget_remaining;
                UPDATE mandate_buckets SET remaining_minor = -1 WHERE NOT revoked",
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
        "A6",
        "UPDATE stock_buckets SET available = available + 1 WHERE bucket = 0",
    ),
    ("A6", "UPDATE items SET stocked = stocked + 1"),
    (
        "A6",
        "UPDATE purchases SET quantity = quantity + 1 WHERE refusal IS NULL",
    ),
    ("A6", "UPDATE refunds SET units = units + 1"),
    ("A6", "DELETE FROM stock_buckets"),
    (
        "A7",
        "UPDATE bids SET amount_minor = amount_minor + 5000 WHERE lot_version = 2",
    ),
    (
        "A7",
        "UPDATE lots SET high_bidder_id = gen_random_uuid() WHERE high_bidder_id IS NOT NULL",
    ),
    (
        "A7",
        "UPDATE lots SET high_mandate_id = NULL WHERE high_mandate_id IS NOT NULL",
    ),
    (
        "A8",
        "UPDATE bids SET amount_minor = 1501 WHERE lot_version = 2",
    ),
    (
        "A9",
        "UPDATE holds SET state = 'captured', ended_at_ms = 1 WHERE state = 'live'",
    ),
    (
        "A9",
        "UPDATE holds SET state = 'live', ended_at_ms = NULL WHERE state = 'voided'",
    ),
    (
        "A9",
        "UPDATE lots SET high_bid_id = NULL, high_minor = NULL, high_hold_id = NULL,
                high_bidder_id = NULL, high_mandate_id = NULL WHERE high_bid_id IS NOT NULL",
    ),
    (
        "A9",
        "UPDATE holds SET mandate_id = NULL WHERE mandate_id IS NOT NULL AND state = 'live'",
    ),
    (
        "A9",
        "UPDATE holds SET mandate_id = gen_random_uuid()
                WHERE mandate_id IS NULL AND state = 'live'",
    ),
    ("A10", "DELETE FROM claims"),
    (
        "A10",
        "UPDATE idempotency_keys SET effect_id = gen_random_uuid() WHERE route = 'top_up'",
    ),
    ("A10", "DELETE FROM idempotency_keys WHERE route = 'bid'"),
    (
        "A10",
        "UPDATE idempotency_keys SET route = 'bid' WHERE route = 'agent_bid'",
    ),
    (
        "A10",
        "UPDATE idempotency_keys SET route = 'agent_claim' WHERE route = 'claim'",
    ),
    (
        "A10",
        "DELETE FROM idempotency_keys WHERE route = 'agent_claim'",
    ),
    (
        "A10",
        "DELETE FROM legs WHERE kind = 'purchase' AND subaccount_id IS NOT NULL",
    ),
    ("A10", "DELETE FROM purchases WHERE refusal IS NULL"),
    (
        "A10",
        "DELETE FROM legs WHERE kind = 'purchase' AND account = 'budget'",
    ),
    (
        "A10",
        "UPDATE legs SET amount_minor = 2 * amount_minor
                WHERE kind = 'purchase' AND subaccount_id IS NOT NULL",
    ),
    (
        "A10",
        "UPDATE purchases SET refusal = '\"mandate_revoked\"', event_id = NULL
                WHERE refusal IS NULL AND refunded_minor = 0",
    ),
    ("A10", "DELETE FROM legs WHERE kind = 'refund'"),
    ("A10", "DELETE FROM refunds"),
    ("A10", "UPDATE refunds SET amount_minor = amount_minor + 1"),
    (
        "A10",
        "UPDATE legs SET amount_minor = 2 * amount_minor WHERE kind = 'refund'",
    ),
    (
        "A10",
        "UPDATE purchases SET refunded_minor = refunded_minor + 1 WHERE refunded_minor > 0",
    ),
    (
        "A10",
        "UPDATE purchases SET refunded_minor = 1 WHERE refusal IS NULL AND refunded_minor = 0",
    ),
    (
        "A11",
        "UPDATE mandate_buckets SET remaining_minor = remaining_minor + 1 WHERE NOT revoked",
    ),
    ("A11", "DELETE FROM mandate_buckets"),
    ("A11", "UPDATE mandates SET cap_minor = cap_minor + 1"),
    (
        "A11",
        "UPDATE mandates SET returned_minor = returned_minor + 1 WHERE revoked_at_ms > 0",
    ),
    (
        "A11",
        "UPDATE legs SET amount_minor = amount_minor + 1
                WHERE account = 'budget' AND kind = 'fund'",
    ),
    (
        "A11",
        "DELETE FROM legs WHERE account = 'budget' AND kind = 'return'",
    ),
    (
        "A11",
        "UPDATE mandates m SET created_at_ms = 1, expires_at_ms = p.created_at_ms
                FROM purchases p WHERE p.mandate_id = m.mandate_id AND p.refusal IS NULL",
    ),
    (
        "A11",
        "UPDATE mandates m SET revoked_at_ms = p.created_at_ms - 10001
                FROM purchases p WHERE p.mandate_id = m.mandate_id AND p.refusal IS NULL",
    ),
    (
        "A11",
        "UPDATE mandate_buckets SET revoked = false WHERE revoked",
    ),
    (
        "A11",
        "UPDATE holds SET amount_minor = amount_minor + 1
                WHERE mandate_id IS NOT NULL AND state = 'live'",
    ),
    (
        "A11",
        "UPDATE holds SET state = 'captured', ended_at_ms = 1
                WHERE mandate_id IS NOT NULL AND state = 'voided'",
    ),
    (
        "A11",
        "UPDATE claims SET price_minor = price_minor - 1 WHERE mandate_id IS NOT NULL",
    ),
    (
        "A11",
        "UPDATE legs SET amount_minor = amount_minor + 1
                WHERE account = 'held' AND subaccount_id IS NOT NULL AND amount_minor > 0",
    ),
    (
        "A11",
        "UPDATE mandates m SET created_at_ms = 1, expires_at_ms = b.at_ms
                FROM bids b WHERE b.mandate_id = m.mandate_id",
    ),
    (
        "A11",
        "UPDATE mandates m SET revoked_at_ms = c.at_ms - 10001
                FROM claims c WHERE c.mandate_id = m.mandate_id",
    ),
    (
        "A11",
        "UPDATE mandates m SET purchase_cap_minor = 1199
                FROM bids b WHERE b.mandate_id = m.mandate_id",
    ),
    (
        "A11",
        "INSERT INTO mandate_scope SELECT DISTINCT mandate_id, gen_random_uuid() FROM bids
                WHERE mandate_id IS NOT NULL",
    ),
    ("A11", "UPDATE mandates SET purchase_cap_minor = 499"),
    (
        "A11",
        "INSERT INTO mandate_scope
                SELECT d.mandate_id, m.merchant_id FROM mandates d
                JOIN merchants m ON m.tenant_id = d.tenant_id
                WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.merchant_id = m.merchant_id)",
    ),
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
        "A13",
        "DELETE FROM outbox WHERE payload LIKE '%\"news\":\"committed\"%'",
    ),
    (
        "A13",
        "UPDATE purchases SET event_id = gen_random_uuid() WHERE refusal IS NULL",
    ),
    (
        "A13",
        "UPDATE outbox SET payload = replace(payload, '\"purchase\":\"pur_', '\"thing\":\"pur_')
                WHERE payload LIKE '%\"news\":\"committed\"%'",
    ),
    (
        "A13",
        "UPDATE outbox SET payload = payload || '\"purchase\":\"pur_'
                WHERE payload LIKE '%\"news\":\"committed\"%'",
    ),
    (
        "A14",
        "UPDATE bids SET lot_id = gen_random_uuid() WHERE lot_version = 2",
    ),
    ("A14", "UPDATE claims SET lot_id = gen_random_uuid()"),
    ("A14", "UPDATE claims SET transfer_id = gen_random_uuid()"),
    ("A14", "UPDATE holds SET bid_id = gen_random_uuid()"),
    (
        "A14",
        "UPDATE holds SET mandate_id = gen_random_uuid() WHERE mandate_id IS NOT NULL",
    ),
    ("A14", "UPDATE lots SET seller_id = gen_random_uuid()"),
    ("A14", "UPDATE purchases SET item_id = gen_random_uuid()"),
    ("A14", "UPDATE purchases SET mandate_id = gen_random_uuid()"),
    ("A14", "UPDATE refunds SET purchase_id = gen_random_uuid()"),
    ("A14", "DELETE FROM purchases"),
    (
        "A14",
        "UPDATE purchase_intents SET purchase_id =
                (SELECT purchase_id FROM purchases WHERE refusal IS NOT NULL LIMIT 1)",
    ),
    ("A16", "UPDATE items SET tenant_id = gen_random_uuid()"),
    (
        "A15",
        "DELETE FROM legs WHERE transfer_id = (SELECT transfer_id FROM legs LIMIT 1)",
    ),
    (
        "A16",
        "INSERT INTO mandate_scope SELECT d.mandate_id, m.merchant_id FROM mandates d
                JOIN merchants m ON m.tenant_id <> d.tenant_id",
    ),
    (
        "A16",
        "INSERT INTO mandate_scope SELECT gen_random_uuid(), merchant_id FROM merchants",
    ),
    (
        "A16",
        "INSERT INTO mandate_scope SELECT mandate_id, gen_random_uuid() FROM mandates",
    ),
    (
        "A16",
        "UPDATE purchases p SET item_id = (SELECT i.item_id FROM items i
                WHERE i.tenant_id <> p.tenant_id LIMIT 1) WHERE refusal IS NOT NULL",
    ),
    (
        "A16",
        "UPDATE purchases p SET mandate_id = (SELECT d.mandate_id FROM mandates d
                WHERE d.tenant_id <> p.tenant_id LIMIT 1) WHERE refusal IS NOT NULL",
    ),
    (
        "A16",
        "UPDATE bids SET mandate_id = gen_random_uuid() WHERE mandate_id IS NOT NULL",
    ),
    (
        "A16",
        "UPDATE claims SET buyer_id = gen_random_uuid() WHERE mandate_id IS NOT NULL",
    ),
    (
        "A16",
        "UPDATE legs SET owner_id = gen_random_uuid()
                WHERE account = 'held' AND subaccount_id IS NOT NULL",
    ),
    ("A16", "UPDATE refunds SET tenant_id = gen_random_uuid()"),
    (
        "A16",
        "UPDATE legs SET owner_id = gen_random_uuid() WHERE account = 'budget'",
    ),
    (
        "A16",
        "UPDATE legs SET owner_id = gen_random_uuid()
                WHERE account = 'payable' AND subaccount_id IS NOT NULL",
    ),
    (
        "A16",
        "UPDATE legs SET subaccount_id = gen_random_uuid() WHERE subaccount_id IS NOT NULL",
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
        "UPDATE legs SET amount_minor = amount_minor - 1
                WHERE account = 'payable' AND subaccount_id IS NULL",
    ),
    (
        "A18",
        "UPDATE legs SET amount_minor = amount_minor - 1
                WHERE account = 'payable' AND kind = 'purchase' AND subaccount_id IS NOT NULL",
    ),
    (
        "A18",
        "UPDATE legs SET amount_minor = amount_minor - 1
                WHERE account = 'payable' AND kind = 'refund'",
    ),
    (
        "A18",
        "UPDATE legs g SET subaccount_id = (SELECT m.merchant_id FROM merchants m
                WHERE m.tenant_id = g.owner_id AND m.merchant_id <> g.subaccount_id LIMIT 1)
                WHERE account = 'payable' AND kind = 'refund'",
    ),
];
