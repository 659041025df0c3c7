//! The read of offers: one statement, since each is a round trip that every bid waits for. Only a claim
//! of an English lot takes two.

use super::super::checkout::snapshot::{Row, mandate_part};
use super::super::rows::{OwnColumns, now_ms, own_columns};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};

/// The part that is the lot.
const LOT: i32 = 4;

/// Everything, in parts: the lot with the database's time (4), its stock (6), its winning claim (8),
/// and the people whom it names (3); for each that is asked for a key with the buyer's limit (0), a
/// wallet in the lot's currency (2), a person (3); and what more is asked for.
///
/// The parts are narrow, and only the last step has the lot's many columns: every step of a plan pays
/// for each of its columns before it reads a row. That step finds the lot by its key, which is why it
/// names the key: joined by a column of the parts, small tables would be read whole.
macro_rules! read {
    ($($more:tt)*) => {
        concat!(
            "SELECT q.*, ",
            now_ms!(),
            " AS now_ms, ",
            own_columns!(),
            " FROM (
             SELECT 4 AS part, $1::uuid AS id, NULL::uuid AS other_id, NULL::bigint AS first,
                    NULL::bigint AS second, NULL::bigint AS third, NULL::text AS word,
                    NULL::text AS text, NULL::bytea AS bytes, NULL::boolean AS flag,
                    NULL::integer[] AS numbers, NULL::bigint[] AS versions,
                    NULL::bigint[] AS amounts, NULL::uuid[] AS ids
             UNION ALL (
             SELECT 0, d.owner, NULL::uuid, d.place, pl.units::bigint, NULL::bigint, NULL::text,
                    k.outcome, k.fingerprint, NULL::boolean, NULL::integer[], NULL::bigint[],
                    NULL::bigint[], NULL::uuid[]
             FROM unnest($2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY
                AS d(owner, route, key, place)
             LEFT JOIN idempotency_keys k
                ON k.principal_id = d.owner AND k.key = d.key AND k.route = d.route
             LEFT JOIN purchase_limits pl ON pl.lot_id = $1 AND pl.buyer_id = d.owner
             UNION ALL
             SELECT 2, w.principal_id, NULL, w.funded_minor, w.held_minor, w.spent_minor, w.currency,
                    NULL, NULL, NULL, NULL, NULL, NULL, NULL
             FROM lots of JOIN wallets w ON w.principal_id = ANY($5) AND w.currency = of.currency
             WHERE of.lot_id = $1
             UNION ALL
             SELECT 3, p.principal_id, NULL, NULL, NULL, NULL, p.name,
                    p.handle, NULL, p.simulated, NULL, NULL, NULL, NULL
             FROM lots of JOIN principals p ON p.principal_id = ANY($6 || ARRAY[
                of.seller_id, of.high_bidder_id,
                (SELECT won.buyer_id FROM claims won WHERE won.claim_id = of.winning_claim_id)])
             WHERE of.lot_id = $1
             UNION ALL
             SELECT 6, b.lot_id, NULL, b.bucket::bigint, b.available::bigint, NULL, NULL,
                    NULL, NULL, b.open, NULL, NULL, NULL, NULL
             FROM inventory_buckets b WHERE b.lot_id = $1
             UNION ALL
             SELECT 8, wc.claim_id, wc.buyer_id, wc.at_ms, wc.price_minor, NULL, wc.region,
                    NULL, NULL, NULL, NULL, NULL, NULL, NULL
             FROM claims wc WHERE wc.claim_id = (
                SELECT sold.winning_claim_id FROM lots sold WHERE sold.lot_id = $1) ",
            $($more)*
            ")) AS q LEFT JOIN lots l ON l.lot_id = $1 AND q.part = 4"
        )
    };
}

/// Everything that any offer can rest on: mandates too (1), the leader's among them, the lot's
/// increments (5) and its leading bid (7).
pub const READ: &str = read!(
    "UNION ALL ",
    mandate_part!(
        "m.mandate_id = ANY($7::uuid[] || ARRAY(
            SELECT leader.high_mandate_id FROM lots leader WHERE leader.lot_id = $1))"
    ),
    " UNION ALL
     SELECT 5, i.lot_id, NULL, i.from_minor, i.increment_minor, NULL, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL
     FROM lot_increments i WHERE i.lot_id = $1
     UNION ALL
     SELECT 7, hb.bid_id, NULL, hb.at_ms, NULL, NULL, hb.region,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL
     FROM bids hb WHERE hb.bid_id = (
        SELECT led.high_bid_id FROM lots led WHERE led.lot_id = $1)",
);

/// What claims that wallets pay for rest on, if the lot is not an English one: a third of the tables
/// less, when everybody rushes a drop.
pub const READ_CLAIMS: &str = read!();

/// The part that is the lot, which may not exist.
#[derive(FromRow)]
pub struct LotPart {
    /// The database's time of the transaction, in milliseconds.
    pub now_ms: i64,
    /// The lot's columns.
    #[sqlx(flatten)]
    pub own: OwnColumns,
}

/// One row of a read.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every row is the large one"
)]
pub enum Found {
    /// The lot.
    Lot(Box<LotPart>),
    /// Any other part.
    Other(Row),
}

impl<'r> FromRow<'r, PgRow> for Found {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let part: i32 = row.try_get("part")?;
        if part == LOT {
            let lot = LotPart::from_row(row)?;
            return Ok(Self::Lot(Box::new(lot)));
        }
        Row::from_row(row).map(Self::Other)
    }
}
