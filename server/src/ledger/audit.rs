//! The audits: one query each, 0 rows when the invariant holds. All run in one snapshot.
//!
//! The ids are those of the reliability reference. A19 (projections) asks the other store as well:
//! see `crate::audits`.

use super::rows::now_ms;
use super::transaction::{Bounds, Command, Tx, TxError};
use async_trait::async_trait;
use serde::Serialize;

/// An invariant and the query that finds what breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Its id, such as `A1`.
    pub id: &'static str,
    /// What must hold.
    pub invariant: &'static str,
    /// Finds violations: each row's text column `what` names one.
    pub query: &'static str,
}

/// Rows of evidence kept per audit.
const MAX_EVIDENCE: usize = 10;

/// Every audit of the tables that exist.
pub const AUDITS: [Audit; 18] = [
    Audit {
        id: "A1",
        invariant: "the legs of every transfer sum to zero and are at least two",
        query: "SELECT transfer_id::text AS what FROM legs GROUP BY transfer_id, currency
                HAVING sum(amount_minor) <> 0 OR count(*) < 2",
    },
    Audit {
        id: "A2",
        invariant: "the whole ledger sums to zero in every currency",
        query: "SELECT currency AS what FROM legs GROUP BY currency HAVING sum(amount_minor) <> 0",
    },
    Audit {
        id: "A3",
        invariant: "no wallet has more out than came in",
        query: "SELECT principal_id::text AS what FROM wallets
                WHERE held_minor + spent_minor > funded_minor",
    },
    Audit {
        id: "A4",
        invariant: "every wallet equals its legs, and legs of a wallet have one",
        query: "SELECT coalesce(w.principal_id, g.owner_id)::text AS what
                FROM wallets w
                FULL JOIN (
                    SELECT owner_id, currency,
                           sum(CASE WHEN account = 'available' THEN amount_minor ELSE 0 END) AS a,
                           sum(CASE WHEN account = 'held' AND subaccount_id IS NULL
                                    THEN amount_minor ELSE 0 END) AS h,
                           sum(CASE WHEN account = 'funding' THEN -amount_minor
                                    WHEN account = 'available'
                                         AND kind IN ('fund', 'return', 'refund')
                                    THEN amount_minor ELSE 0 END) AS f
                    FROM legs WHERE account IN ('funding', 'available', 'held')
                    GROUP BY owner_id, currency) AS g
                  ON g.owner_id = w.principal_id AND g.currency = w.currency
                WHERE w.principal_id IS NULL
                   OR w.funded_minor <> coalesce(g.f, 0)
                   OR w.held_minor <> coalesce(g.h, 0)
                   OR w.funded_minor - w.held_minor - w.spent_minor <> coalesce(g.a, 0)",
    },
    Audit {
        id: "A5",
        invariant: "nothing is negative: held, spent, stock",
        query: "SELECT principal_id::text AS what FROM wallets
                WHERE held_minor < 0 OR spent_minor < 0 OR funded_minor < 0
                UNION ALL
                SELECT lot_id::text FROM inventory_buckets WHERE available < 0
                UNION ALL
                SELECT item_id::text FROM stock_buckets WHERE available < 0
                UNION ALL
                SELECT mandate_id::text FROM mandate_buckets WHERE remaining_minor < 0",
    },
    Audit {
        id: "A6",
        invariant: "units sold plus units left are the units that came in, and nobody has more than the limit",
        query: "SELECT l.lot_id::text AS what
                FROM lots l
                LEFT JOIN (SELECT lot_id, sum(available) AS available FROM inventory_buckets
                           GROUP BY lot_id) AS b ON b.lot_id = l.lot_id
                LEFT JOIN (SELECT lot_id, sum(units) AS sold FROM claims GROUP BY lot_id) AS c
                  ON c.lot_id = l.lot_id
                WHERE l.mechanism = 'drop'
                  AND coalesce(b.available, 0) + coalesce(c.sold, 0) <> l.units
                UNION ALL
                SELECT c.buyer_id::text
                FROM (SELECT lot_id, buyer_id, sum(units) AS bought FROM claims
                      GROUP BY lot_id, buyer_id) AS c
                JOIN lots l ON l.lot_id = c.lot_id
                LEFT JOIN purchase_limits p ON p.lot_id = c.lot_id AND p.buyer_id = c.buyer_id
                WHERE l.limit_units IS NOT NULL
                  AND (c.bought > l.limit_units OR c.bought IS DISTINCT FROM p.units)
                UNION ALL
                SELECT i.item_id::text FROM items i
                LEFT JOIN (SELECT item_id, sum(available) AS available FROM stock_buckets
                           GROUP BY item_id) AS b ON b.item_id = i.item_id
                LEFT JOIN (SELECT p.item_id, sum(p.quantity) AS sold FROM purchases p
                           WHERE p.refusal IS NULL GROUP BY p.item_id) AS p
                  ON p.item_id = i.item_id
                LEFT JOIN (SELECT p.item_id, sum(r.units) AS back
                           FROM refunds r JOIN purchases p ON p.purchase_id = r.purchase_id
                           GROUP BY p.item_id) AS r ON r.item_id = i.item_id
                WHERE coalesce(b.available, 0) + coalesce(p.sold, 0) - coalesce(r.back, 0)
                      <> i.stocked",
    },
    Audit {
        id: "A7",
        invariant: "a single lot has one winner, who made the highest bid or the only claim",
        query: "SELECT l.lot_id::text AS what FROM lots l
                LEFT JOIN (SELECT lot_id, max(amount_minor) AS top FROM bids GROUP BY lot_id) AS b
                  ON b.lot_id = l.lot_id
                LEFT JOIN bids h ON h.bid_id = l.high_bid_id
                LEFT JOIN (SELECT lot_id, count(*) AS n FROM claims GROUP BY lot_id) AS c
                  ON c.lot_id = l.lot_id
                WHERE (l.mechanism = 'english' AND (l.high_minor IS DISTINCT FROM b.top
                       OR h.amount_minor IS DISTINCT FROM l.high_minor
                       OR h.bidder_id IS DISTINCT FROM l.high_bidder_id
                       OR h.mandate_id IS DISTINCT FROM l.high_mandate_id
                       OR (h.bid_id IS NOT NULL AND h.lot_id <> l.lot_id)))
                   OR (l.mechanism = 'dutch' AND coalesce(c.n, 0) <>
                       CASE WHEN l.status = 'sold' THEN 1 ELSE 0 END)",
    },
    Audit {
        id: "A8",
        invariant: "bids rise with the lot's version, at least by the increment, and end at the close",
        query: "SELECT x.bid_id::text AS what FROM (
                    SELECT b.bid_id, b.lot_id, b.amount_minor, b.at_ms,
                           lag(b.amount_minor) OVER (PARTITION BY b.lot_id ORDER BY b.lot_version)
                             AS before
                    FROM bids b) AS x
                JOIN lots l ON l.lot_id = x.lot_id
                WHERE x.at_ms >= l.closes_at_ms OR x.at_ms < l.opens_at_ms
                   OR x.amount_minor < l.opening_minor
                   OR x.amount_minor < x.before + (
                        SELECT i.increment_minor FROM lot_increments i
                        WHERE i.lot_id = x.lot_id AND i.from_minor <= x.before
                        ORDER BY i.from_minor DESC LIMIT 1)",
    },
    Audit {
        id: "A9",
        invariant: "the leader of an open lot has its one live hold, and nobody else has any",
        query: "SELECT h.hold_id::text AS what FROM holds h JOIN lots l ON l.lot_id = h.lot_id
                WHERE h.state = 'live'
                  AND (l.status <> 'open' OR l.high_hold_id IS DISTINCT FROM h.hold_id
                       OR l.high_minor IS DISTINCT FROM h.amount_minor
                       OR l.high_bidder_id IS DISTINCT FROM h.owner_id
                       OR l.high_mandate_id IS DISTINCT FROM h.mandate_id)
                UNION ALL
                SELECT l.lot_id::text FROM lots l
                LEFT JOIN holds h ON h.hold_id = l.high_hold_id
                WHERE l.high_hold_id IS NOT NULL AND l.status = 'open'
                  AND h.state IS DISTINCT FROM 'live'
                UNION ALL
                SELECT w.principal_id::text FROM wallets w
                LEFT JOIN (SELECT owner_id, currency, sum(amount_minor) AS held FROM holds
                           WHERE state = 'live' AND mandate_id IS NULL
                           GROUP BY owner_id, currency) AS h
                  ON h.owner_id = w.principal_id AND h.currency = w.currency
                WHERE w.held_minor <> coalesce(h.held, 0)",
    },
    Audit {
        id: "A10",
        invariant: "a key that bid, bought or topped up has its one effect, every effect its one key, and every purchase and refund its one transfer",
        query: "SELECT k.key AS what FROM idempotency_keys k
                LEFT JOIN bids b ON b.bid_id = k.effect_id AND b.bidder_id = k.principal_id
                LEFT JOIN claims c ON c.claim_id = k.effect_id AND c.buyer_id = k.principal_id
                LEFT JOIN legs t ON t.transfer_id = k.effect_id AND t.owner_id = k.principal_id
                                AND t.kind = 'top_up' AND t.account = 'funding'
                WHERE k.effect_id IS NOT NULL
                  AND CASE WHEN k.route = 'top_up' THEN t.transfer_id
                           WHEN k.route = CASE WHEN b.mandate_id IS NULL THEN 'bid'
                                               ELSE 'agent_bid' END THEN b.bid_id
                           WHEN k.route = CASE WHEN c.mandate_id IS NULL THEN 'claim'
                                               ELSE 'agent_claim' END THEN c.claim_id
                      END IS NULL
                UNION ALL
                SELECT e.effect_id::text
                FROM (SELECT bid_id AS effect_id FROM bids
                      UNION ALL SELECT claim_id FROM claims
                      UNION ALL SELECT transfer_id FROM legs
                                WHERE kind = 'top_up' AND account = 'funding') AS e
                LEFT JOIN (SELECT effect_id, count(*) AS n FROM idempotency_keys
                           WHERE effect_id IS NOT NULL GROUP BY effect_id) AS k
                  ON k.effect_id = e.effect_id
                WHERE k.n IS DISTINCT FROM 1
                UNION ALL
                SELECT coalesce(p.purchase_id, g.transfer_id)::text
                FROM (SELECT purchase_id, price_minor * quantity AS amount FROM purchases
                      WHERE refusal IS NULL) AS p
                FULL JOIN (SELECT transfer_id, sum(abs(amount_minor)) AS moved, count(*) AS n
                           FROM legs WHERE kind = 'purchase' AND subaccount_id IS NOT NULL
                                       AND lot_id IS NULL
                           GROUP BY transfer_id) AS g ON g.transfer_id = p.purchase_id
                WHERE g.n IS DISTINCT FROM 2 OR g.moved IS DISTINCT FROM 2 * p.amount
                UNION ALL
                SELECT coalesce(r.transfer_id, g.transfer_id)::text FROM refunds r
                FULL JOIN (SELECT transfer_id, amount_minor FROM legs
                           WHERE kind = 'refund' AND leg = 1) AS g
                  ON g.transfer_id = r.transfer_id
                WHERE g.amount_minor IS DISTINCT FROM r.amount_minor
                UNION ALL
                SELECT p.purchase_id::text FROM purchases p
                LEFT JOIN (SELECT purchase_id, sum(amount_minor) AS back FROM refunds
                           GROUP BY purchase_id) AS r ON r.purchase_id = p.purchase_id
                WHERE p.refunded_minor <> coalesce(r.back, 0)",
    },
    Audit {
        id: "A11",
        invariant: "a mandate's rest, holds, spending and returns are its cap, its legs agree, and nothing was spent or bid after its end or past its rules",
        // A revoke's time is that of its BEGIN, and a purchase may be committed between that and
        // the snapshot: hence the 10 s. The sums have no such room.
        query: "SELECT m.mandate_id::text AS what FROM mandates m
                LEFT JOIN (SELECT mandate_id, sum(remaining_minor) AS remaining
                           FROM mandate_buckets GROUP BY mandate_id) AS b
                  ON b.mandate_id = m.mandate_id
                LEFT JOIN (SELECT mandate_id, sum(price_minor * quantity - refunded_minor) AS spent
                           FROM purchases WHERE refusal IS NULL GROUP BY mandate_id) AS p
                  ON p.mandate_id = m.mandate_id
                LEFT JOIN (SELECT mandate_id, sum(price_minor * units) AS spent FROM claims
                           WHERE mandate_id IS NOT NULL GROUP BY mandate_id) AS c
                  ON c.mandate_id = m.mandate_id
                LEFT JOIN (SELECT mandate_id,
                                  sum(CASE WHEN state = 'live' THEN amount_minor ELSE 0 END)
                                    AS held,
                                  sum(CASE WHEN state = 'captured' THEN amount_minor ELSE 0 END)
                                    AS captured
                           FROM holds WHERE mandate_id IS NOT NULL GROUP BY mandate_id) AS h
                  ON h.mandate_id = m.mandate_id
                LEFT JOIN (SELECT subaccount_id,
                                  sum(CASE WHEN account = 'budget' THEN amount_minor ELSE 0 END)
                                    AS rest,
                                  sum(CASE WHEN account = 'held' THEN amount_minor ELSE 0 END)
                                    AS held
                           FROM legs WHERE account IN ('budget', 'held')
                             AND subaccount_id IS NOT NULL GROUP BY subaccount_id) AS g
                  ON g.subaccount_id = m.mandate_id
                WHERE coalesce(b.remaining, 0) + coalesce(h.held, 0) + coalesce(h.captured, 0)
                      + coalesce(p.spent, 0) + coalesce(c.spent, 0) + m.returned_minor
                      <> m.cap_minor
                   OR coalesce(g.rest, 0) <> coalesce(b.remaining, 0)
                   OR coalesce(g.held, 0) <> coalesce(h.held, 0)
                UNION ALL
                SELECT m.mandate_id::text FROM mandates m
                JOIN mandate_buckets b ON b.mandate_id = m.mandate_id
                WHERE b.revoked <> (m.revoked_at_ms IS NOT NULL)
                UNION ALL
                SELECT p.purchase_id::text FROM purchases p
                JOIN mandates m ON m.mandate_id = p.mandate_id
                WHERE p.refusal IS NULL
                  AND (p.created_at_ms >= m.expires_at_ms
                       OR p.created_at_ms > m.revoked_at_ms + 10000
                       OR p.price_minor * p.quantity > m.purchase_cap_minor)
                UNION ALL
                SELECT o.id::text
                FROM (SELECT bid_id AS id, mandate_id, at_ms, amount_minor AS minor FROM bids
                      WHERE mandate_id IS NOT NULL
                      UNION ALL
                      SELECT claim_id, mandate_id, at_ms, price_minor * units FROM claims
                      WHERE mandate_id IS NOT NULL) AS o
                JOIN mandates m ON m.mandate_id = o.mandate_id
                WHERE o.at_ms >= m.expires_at_ms OR o.at_ms > m.revoked_at_ms + 10000
                   OR o.minor > m.purchase_cap_minor
                   OR EXISTS (SELECT 1 FROM mandate_scope s WHERE s.mandate_id = o.mandate_id)
                UNION ALL
                SELECT p.purchase_id::text FROM purchases p JOIN items i ON i.item_id = p.item_id
                WHERE p.refusal IS NULL
                  AND EXISTS (SELECT 1 FROM mandate_scope s WHERE s.mandate_id = p.mandate_id)
                  AND NOT EXISTS (SELECT 1 FROM mandate_scope s
                                  WHERE s.mandate_id = p.mandate_id
                                    AND s.merchant_id = i.merchant_id)",
    },
    Audit {
        id: "A12",
        invariant: "a Dutch claim paid the schedule's price at its time, within what was agreed",
        query: "SELECT c.claim_id::text AS what FROM claims c JOIN lots l ON l.lot_id = c.lot_id
                WHERE l.mechanism = 'dutch' AND (c.price_minor > c.max_price_minor
                   OR c.price_minor <> greatest(l.floor_minor, l.start_minor
                        - ((c.at_ms - l.opens_at_ms) / l.tick_ms) * l.tick_decrease_minor))",
    },
    Audit {
        id: "A13",
        invariant: "every bid, every claim and every version of a lot has its event, and every event its lot",
        query: "SELECT b.bid_id::text AS what FROM bids b
                WHERE NOT EXISTS (SELECT 1 FROM outbox o
                    WHERE o.aggregate = 'lot_' || replace(b.lot_id::text, '-', '')
                      AND o.version = b.lot_version)
                UNION ALL
                SELECT l.lot_id::text FROM lots l
                WHERE l.version > 1 AND NOT EXISTS (SELECT 1 FROM outbox o
                    WHERE o.aggregate = 'lot_' || replace(l.lot_id::text, '-', '')
                      AND o.version = l.version)
                UNION ALL
                SELECT l.lot_id::text FROM lots l
                JOIN (SELECT lot_id, count(*) AS n FROM claims GROUP BY lot_id) AS c
                  ON c.lot_id = l.lot_id
                LEFT JOIN (SELECT aggregate, count(*) AS n FROM outbox
                           WHERE payload LIKE '%\"body\":\"stock\"%' GROUP BY aggregate) AS o
                  ON o.aggregate = 'lot_' || replace(l.lot_id::text, '-', '')
                WHERE l.mechanism = 'drop' AND o.n IS DISTINCT FROM c.n
                UNION ALL
                SELECT o.event_id::text FROM outbox o
                LEFT JOIN lots l ON o.aggregate = 'lot_' || replace(l.lot_id::text, '-', '')
                WHERE o.aggregate LIKE 'lot\\_%' AND (l.lot_id IS NULL OR o.version > l.version)
                UNION ALL
                SELECT coalesce(p.event_id, o.event_id)::text
                FROM (SELECT event_id, count(*) AS n FROM purchases
                      WHERE event_id IS NOT NULL GROUP BY event_id) AS p
                FULL JOIN (SELECT event_id, (length(payload)
                                  - length(replace(payload, '\"purchase\":\"pur_', '')))
                                  / length('\"purchase\":\"pur_') AS n
                           FROM outbox WHERE payload LIKE '%\"news\":\"committed\"%') AS o
                  ON o.event_id = p.event_id
                WHERE o.n IS DISTINCT FROM p.n",
    },
    Audit {
        id: "A14",
        invariant: "every reference points at a row",
        query: "SELECT b.bid_id::text AS what FROM bids b LEFT JOIN lots l ON l.lot_id = b.lot_id
                WHERE l.lot_id IS NULL
                UNION ALL
                SELECT c.claim_id::text FROM claims c LEFT JOIN lots l ON l.lot_id = c.lot_id
                WHERE l.lot_id IS NULL
                UNION ALL
                SELECT c.claim_id::text FROM claims c
                WHERE NOT EXISTS (SELECT 1 FROM legs g WHERE g.transfer_id = c.transfer_id)
                UNION ALL
                SELECT h.hold_id::text FROM holds h LEFT JOIN bids b ON b.bid_id = h.bid_id
                WHERE b.bid_id IS NULL OR b.hold_id <> h.hold_id
                   OR b.amount_minor <> h.amount_minor OR b.bidder_id <> h.owner_id
                   OR b.mandate_id IS DISTINCT FROM h.mandate_id
                UNION ALL
                SELECT l.lot_id::text FROM lots l
                LEFT JOIN principals p ON p.principal_id = l.seller_id
                WHERE p.principal_id IS NULL
                UNION ALL
                SELECT p.purchase_id::text FROM purchases p
                LEFT JOIN items i ON i.item_id = p.item_id
                LEFT JOIN mandates m ON m.mandate_id = p.mandate_id
                WHERE i.item_id IS NULL OR m.mandate_id IS NULL
                UNION ALL
                SELECT r.transfer_id::text FROM refunds r
                LEFT JOIN purchases p ON p.purchase_id = r.purchase_id
                WHERE p.purchase_id IS NULL
                UNION ALL
                SELECT n.intent_id::text FROM purchase_intents n
                LEFT JOIN purchases p ON p.purchase_id = n.purchase_id AND p.refusal IS NULL
                WHERE p.purchase_id IS NULL",
    },
    Audit {
        id: "A15",
        invariant: "the journal only grows: no leg that an audit has counted is gone",
        query: "SELECT m.name AS what FROM journal_marks m
                WHERE m.legs > (SELECT count(*) FROM legs)",
    },
    Audit {
        id: "A16",
        invariant: "everything that belongs together has one tenant",
        query: "SELECT i.item_id::text AS what FROM items i
                LEFT JOIN merchants m ON m.merchant_id = i.merchant_id
                WHERE m.tenant_id IS DISTINCT FROM i.tenant_id
                UNION ALL
                SELECT s.mandate_id::text FROM mandate_scope s
                LEFT JOIN mandates d ON d.mandate_id = s.mandate_id
                LEFT JOIN merchants m ON m.merchant_id = s.merchant_id
                WHERE d.tenant_id IS NULL OR m.tenant_id IS DISTINCT FROM d.tenant_id
                UNION ALL
                SELECT p.purchase_id::text FROM purchases p
                LEFT JOIN items i ON i.item_id = p.item_id
                LEFT JOIN mandates d ON d.mandate_id = p.mandate_id
                WHERE i.tenant_id IS DISTINCT FROM p.tenant_id
                   OR d.tenant_id IS DISTINCT FROM p.tenant_id
                UNION ALL
                SELECT r.transfer_id::text FROM refunds r
                JOIN purchases p ON p.purchase_id = r.purchase_id
                WHERE p.tenant_id <> r.tenant_id
                UNION ALL
                SELECT b.bid_id::text FROM bids b
                LEFT JOIN mandates d ON d.mandate_id = b.mandate_id
                WHERE b.mandate_id IS NOT NULL AND d.tenant_id IS DISTINCT FROM b.bidder_id
                UNION ALL
                SELECT c.claim_id::text FROM claims c
                LEFT JOIN mandates d ON d.mandate_id = c.mandate_id
                WHERE c.mandate_id IS NOT NULL AND d.tenant_id IS DISTINCT FROM c.buyer_id
                UNION ALL
                SELECT g.transfer_id::text FROM legs g
                LEFT JOIN mandates d ON d.mandate_id = g.subaccount_id
                LEFT JOIN merchants m ON m.merchant_id = g.subaccount_id
                WHERE g.subaccount_id IS NOT NULL
                  AND g.owner_id IS DISTINCT FROM CASE WHEN g.account IN ('budget', 'held')
                                                            THEN d.tenant_id ELSE m.tenant_id END",
    },
    Audit {
        id: "A17",
        invariant: "while a node serves, no lot stays open 10 s past its end and no event is unpublished for 60 s",
        // A node serves as long as it renews the relay's lease. Where none does, nothing is late.
        query: "SELECT d.what
                FROM (SELECT lot_id::text AS what, closes_at_ms + 10000 AS due_ms FROM lots
                      WHERE status = 'open'
                      UNION ALL
                      SELECT event_id::text, created_at_ms + 60000 FROM outbox
                      WHERE published = false) AS d
                JOIN leases s ON s.name = 'outbox'
                WHERE d.due_ms < least(s.expires_at_ms,
                                       (extract(epoch FROM now()) * 1000)::bigint)",
    },
    Audit {
        id: "A18",
        invariant: "a seller or merchant is credited exactly what buyers paid, less what was paid back",
        query: "SELECT l.lot_id::text AS what FROM lots l
                LEFT JOIN (SELECT lot_id, sum(price_minor * units) AS due FROM claims
                           GROUP BY lot_id) AS c ON c.lot_id = l.lot_id
                LEFT JOIN (SELECT lot_id, owner_id, sum(amount_minor) AS credited FROM legs
                           WHERE account = 'payable' GROUP BY lot_id, owner_id) AS g
                  ON g.lot_id = l.lot_id AND g.owner_id = l.seller_id
                WHERE coalesce(g.credited, 0) <> coalesce(c.due, 0) +
                      CASE WHEN l.mechanism = 'english' AND l.status = 'sold'
                           THEN l.high_minor ELSE 0 END
                UNION ALL
                SELECT m.merchant_id::text FROM merchants m
                LEFT JOIN (SELECT i.merchant_id,
                                  sum(p.price_minor * p.quantity - p.refunded_minor) AS due
                           FROM purchases p JOIN items i ON i.item_id = p.item_id
                           WHERE p.refusal IS NULL GROUP BY i.merchant_id) AS p
                  ON p.merchant_id = m.merchant_id
                LEFT JOIN (SELECT subaccount_id, sum(amount_minor) AS credited FROM legs
                           WHERE account = 'payable' GROUP BY subaccount_id) AS g
                  ON g.subaccount_id = m.merchant_id
                WHERE coalesce(g.credited, 0) <> coalesce(p.due, 0)",
    },
];

/// What one audit found. One that could not be run has found nothing, and is not green either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The audit.
    #[serde(flatten)]
    pub audit: Audit,
    /// Violations in all.
    pub violations: usize,
    /// Some of them, by id.
    pub evidence: Vec<String>,
    /// Why it is not known whether the invariant holds.
    pub unknown: Option<String>,
}

/// Runs audits in one snapshot.
pub struct RunAudits;

#[async_trait]
impl Command for RunAudits {
    /// What each audit found, and how many legs the journal has.
    type Answer = (Vec<Finding>, i64);
    const NAME: &'static str = "audit";
    const BOUNDS: Bounds = Bounds::LONG;

    async fn attempt(&self, tx: &mut Tx) -> Result<Self::Answer, TxError> {
        let mut findings = Vec::new();
        for audit in AUDITS {
            let rows: Vec<(Option<String>,)> = tx.fetch_all(sqlx::query_as(audit.query)).await?;
            let violations = rows.len();
            let evidence = rows
                .into_iter()
                .take(MAX_EVIDENCE)
                .filter_map(|(what,)| what)
                .collect();
            findings.push(Finding {
                audit,
                violations,
                evidence,
                unknown: None,
            });
        }
        let legs = sqlx::query_as("SELECT count(*) FROM legs");
        let (legs,): (i64,) = tx.fetch_one(legs).await?;
        Ok((findings, legs))
    }
}

/// Notes how long the journal is: what A15 compares the next time. A transaction of its own, since
/// audits read whole tables and must not lose a race over it.
pub struct MarkJournal {
    /// Legs that an audit has counted.
    pub legs: i64,
}

#[async_trait]
impl Command for MarkJournal {
    type Answer = ();
    const NAME: &'static str = "mark_journal";

    async fn attempt(&self, tx: &mut Tx) -> Result<(), TxError> {
        // An audit that began earlier may end later: the longest journal stays.
        let query = sqlx::query(concat!(
            "INSERT INTO journal_marks (name, legs, at_ms) VALUES ('legs', $1, ",
            now_ms!(),
            ") ON CONFLICT (name) DO UPDATE
               SET legs = greatest(journal_marks.legs, excluded.legs), at_ms = excluded.at_ms"
        ))
        .bind(self.legs);
        tx.must_write(1, "journal mark", query).await
    }
}

/// Violations of all audits together.
#[must_use]
pub fn violations(findings: &[Finding]) -> usize {
    findings.iter().map(|finding| finding.violations).sum()
}
