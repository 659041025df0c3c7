//! Rows as they are read, and how they become what the rules and the pages know.

use super::transaction::TxError;
use shared::auction::{
    Book, Drop, Dutch, English, Extension, HighBid, Increments, Lot, Status, english::Band,
};
use shared::ledger::{FundSource, Wallet};
use shared::view::{LadderLine, LotView, Outcome, Person, Reserve, Terms, WalletView};
use shared::{
    BidId, ClaimId, Currency, HoldId, LotId, MandateId, Money, PrincipalId, Region, Timestamp,
};
use uuid::Uuid;

/// The database's time of the transaction, in milliseconds.
macro_rules! now_ms {
    () => {
        "(extract(epoch FROM now()) * 1000)::bigint"
    };
}

/// A lot's own columns.
macro_rules! own_columns {
    () => {
        "l.lot_id, l.seller_id, l.title, l.description, l.art, l.mechanism, l.currency,
         l.opens_at_ms, l.closes_at_ms, l.settled_at_ms, l.status, l.version, l.epoch, l.listed,
         l.opening_minor, l.reserve_minor, l.extension_window_ms, l.hard_end_ms,
         l.high_bid_id, l.high_bidder_id, l.high_mandate_id, l.high_hold_id, l.high_minor,
         l.start_minor, l.floor_minor, l.tick_decrease_minor, l.tick_ms,
         l.price_minor, l.units, l.limit_units"
    };
}

/// Everything about a lot that decides or shows, one row per lot: the lot, its seller, its
/// increments, its stock, its leading bid or winning claim with their people.
macro_rules! lot_columns {
    () => {
        concat!(
            $crate::ledger::rows::own_columns!(),
            ", s.handle AS seller_handle, s.name AS seller_name, s.simulated AS seller_simulated,
             bands.band_from, bands.band_increment, stock.units_left,
             hb.region AS line_region_bid, hb.at_ms AS line_at_bid,
             wc.region AS line_region_claim, wc.at_ms AS line_at_claim,
             wc.claim_id, wc.buyer_id, wc.price_minor AS claim_price_minor,
             lp.handle AS line_handle, lp.name AS line_name, lp.simulated AS line_simulated"
        )
    };
}

/// The joins that [`lot_columns`] needs, after `lots l`.
macro_rules! lot_joins {
    () => {
        "LEFT JOIN principals s ON s.principal_id = l.seller_id
         LEFT JOIN bids hb ON hb.bid_id = l.high_bid_id
         LEFT JOIN claims wc ON wc.claim_id = l.winning_claim_id
         LEFT JOIN principals lp
            ON lp.principal_id = coalesce(l.high_bidder_id, wc.buyer_id)
         CROSS JOIN LATERAL (
            SELECT array_agg(i.from_minor ORDER BY i.from_minor) AS band_from,
                   array_agg(i.increment_minor ORDER BY i.from_minor) AS band_increment
            FROM lot_increments i WHERE i.lot_id = l.lot_id) AS bands
         CROSS JOIN LATERAL (
            SELECT sum(b.available) AS units_left
            FROM inventory_buckets b WHERE b.lot_id = l.lot_id) AS stock"
    };
}

pub(super) use {lot_columns, lot_joins, now_ms, own_columns};

/// What [`own_columns`] reads. Every column may be NULL, since the lot may not exist.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct OwnColumns {
    pub lot_id: Option<Uuid>,
    pub seller_id: Option<Uuid>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub art: Option<String>,
    pub mechanism: Option<String>,
    pub currency: Option<String>,
    pub opens_at_ms: Option<i64>,
    pub closes_at_ms: Option<i64>,
    pub settled_at_ms: Option<i64>,
    pub status: Option<String>,
    pub version: Option<i64>,
    pub epoch: Option<i64>,
    pub listed: Option<bool>,
    pub opening_minor: Option<i64>,
    pub reserve_minor: Option<i64>,
    pub extension_window_ms: Option<i64>,
    pub hard_end_ms: Option<i64>,
    pub high_bid_id: Option<Uuid>,
    pub high_bidder_id: Option<Uuid>,
    pub high_mandate_id: Option<Uuid>,
    pub high_hold_id: Option<Uuid>,
    pub high_minor: Option<i64>,
    pub start_minor: Option<i64>,
    pub floor_minor: Option<i64>,
    pub tick_decrease_minor: Option<i64>,
    pub tick_ms: Option<i64>,
    pub price_minor: Option<i64>,
    pub units: Option<i32>,
    pub limit_units: Option<i32>,
}

/// What [`lot_columns`] has beside them, from rows of other tables.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub struct JoinedColumns {
    pub seller_handle: Option<String>,
    pub seller_name: Option<String>,
    pub seller_simulated: Option<bool>,
    pub band_from: Option<Vec<i64>>,
    pub band_increment: Option<Vec<i64>>,
    pub units_left: Option<i64>,
    pub line_region_bid: Option<String>,
    pub line_at_bid: Option<i64>,
    pub line_region_claim: Option<String>,
    pub line_at_claim: Option<i64>,
    pub claim_id: Option<Uuid>,
    pub buyer_id: Option<Uuid>,
    pub claim_price_minor: Option<i64>,
    pub line_handle: Option<String>,
    pub line_name: Option<String>,
    pub line_simulated: Option<bool>,
}

/// What [`lot_columns`] reads.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct LotRow {
    /// From the lot's row.
    #[sqlx(flatten)]
    pub own: OwnColumns,
    /// From others.
    #[sqlx(flatten)]
    pub joined: JoinedColumns,
}

/// A lot as one snapshot has it: for the rules, and for people.
#[derive(Clone, Debug)]
pub struct LotRead {
    /// For the rules.
    pub lot: Lot,
    /// For people.
    pub view: LotView,
    /// What it is, in a few sentences.
    pub description: String,
    /// Whether the floor shows it.
    pub listed: bool,
}

/// A value that must be there.
pub fn need<T>(value: Option<T>, what: &'static str) -> Result<T, TxError> {
    value.ok_or(TxError::Corrupt(what))
}

/// Reads a currency that the program wrote.
pub fn currency(code: &str) -> Result<Currency, TxError> {
    code.parse()
        .map_err(|_unknown| TxError::Corrupt("currency"))
}

/// Reads an amount that the program wrote.
pub fn money(minor: i64, currency: Currency) -> Result<Money, TxError> {
    Money::new(minor, currency).map_err(|_range| TxError::Corrupt("amount"))
}

/// Reads a count that the program wrote.
pub fn count(units: i64) -> Result<u32, TxError> {
    u32::try_from(units).map_err(|_range| TxError::Corrupt("units"))
}

fn region(code: Option<&str>) -> Result<Region, TxError> {
    code.and_then(|code| code.parse().ok())
        .ok_or(TxError::Corrupt("Region"))
}

fn status(word: &str) -> Result<Status, TxError> {
    Ok(match word {
        "open" => Status::Open,
        "sold" => Status::Sold,
        "passed" => Status::Passed,
        "cancelled" => Status::Cancelled,
        _ => return Err(TxError::Corrupt("status")),
    })
}

/// The word stored for a status.
pub const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Open => "open",
        Status::Sold => "sold",
        Status::Passed => "passed",
        Status::Cancelled => "cancelled",
    }
}

impl LotRow {
    /// The lot, `None` if there is no such row.
    pub fn read(&self) -> Result<Option<LotRead>, TxError> {
        let Some(id) = self.own.lot_id else {
            return Ok(None);
        };
        let currency = currency(self.own.currency.as_deref().unwrap_or_default())?;
        let seller = PrincipalId::from_uuid(need(self.own.seller_id, "seller")?);
        let (book, terms) = self.book(currency)?;
        let lot = Lot {
            id: LotId::from_uuid(id),
            seller,
            currency,
            opens_at: Timestamp(need(self.own.opens_at_ms, "opens_at")?),
            closes_at: Timestamp(need(self.own.closes_at_ms, "closes_at")?),
            status: status(self.own.status.as_deref().unwrap_or_default())?,
            version: need(self.own.version, "version")?,
            book,
        };
        let view = LotView {
            id: lot.id,
            title: self.own.title.clone().unwrap_or_default(),
            art: self.own.art.clone().unwrap_or_default(),
            seller: Person {
                id: seller,
                handle: self.joined.seller_handle.clone().unwrap_or_default(),
                name: self.joined.seller_name.clone().unwrap_or_default(),
                simulated: self.joined.seller_simulated.unwrap_or_default(),
            },
            currency,
            opens_at: lot.opens_at,
            // Sold out or claimed before it was due: that is when it ended.
            closes_at: self
                .own
                .settled_at_ms
                .map_or(lot.closes_at, |at| lot.closes_at.min(Timestamp(at))),
            status: lot.status,
            terms,
            outcome: self.outcome(&lot)?,
            epoch: need(self.own.epoch, "epoch")?,
            offset: lot.version,
        };
        let description = self.own.description.clone().unwrap_or_default();
        Ok(Some(LotRead {
            lot,
            view,
            description,
            listed: need(self.own.listed, "listed")?,
        }))
    }

    fn book(&self, currency: Currency) -> Result<(Book, Terms), TxError> {
        let amount = |minor: Option<i64>, what| money(need(minor, what)?, currency);
        match self.own.mechanism.as_deref() {
            Some("english") => self.english(currency),
            Some("dutch") => {
                let schedule = Dutch {
                    start: amount(self.own.start_minor, "start")?,
                    floor: amount(self.own.floor_minor, "floor")?,
                    step_minor: need(self.own.tick_decrease_minor, "tick_decrease")?,
                    tick_ms: need(self.own.tick_ms, "tick_ms")?,
                };
                Ok((Book::Dutch(schedule), Terms::Dutch { schedule }))
            }
            Some("drop") => {
                let drop = Drop {
                    price: amount(self.own.price_minor, "price")?,
                    units: count(need(self.own.units, "units")?.into())?,
                    units_left: count(self.joined.units_left.unwrap_or(0))?,
                    limit: self
                        .own
                        .limit_units
                        .map(|limit| count(limit.into()))
                        .transpose()?,
                };
                let Drop {
                    price,
                    units,
                    units_left,
                    limit,
                } = drop;
                Ok((
                    Book::Drop(drop),
                    Terms::Drop {
                        price,
                        units,
                        units_left,
                        limit,
                    },
                ))
            }
            Some(_) | None => Err(TxError::Corrupt("mechanism")),
        }
    }

    fn english(&self, currency: Currency) -> Result<(Book, Terms), TxError> {
        let from = self.joined.band_from.clone().unwrap_or_default();
        let raise = self.joined.band_increment.clone().unwrap_or_default();
        let band = |(from_minor, increment_minor)| Band {
            from_minor,
            increment_minor,
        };
        let bands = from.into_iter().zip(raise).map(band).collect();
        let high = match (
            self.own.high_bid_id,
            self.own.high_bidder_id,
            self.own.high_hold_id,
        ) {
            (Some(bid), Some(bidder), Some(hold)) => Some(HighBid {
                bid: BidId::from_uuid(bid),
                funds: FundSource::new(
                    PrincipalId::from_uuid(bidder),
                    self.own.high_mandate_id.map(MandateId::from_uuid),
                ),
                hold: HoldId::from_uuid(hold),
                amount: money(need(self.own.high_minor, "high")?, currency)?,
            }),
            _ => None,
        };
        let english = English {
            opening: money(need(self.own.opening_minor, "opening")?, currency)?,
            increments: need(Increments::new(bands), "increments")?,
            reserve: self
                .own
                .reserve_minor
                .map(|minor| money(minor, currency))
                .transpose()?,
            extension: Extension {
                window_ms: need(self.own.extension_window_ms, "extension_window")?,
                hard_end: Timestamp(need(self.own.hard_end_ms, "hard_end")?),
            },
            high,
        };
        let leader = high.map(|high| self.bid_line(high)).transpose()?;
        let terms = Terms::English {
            opening: english.opening,
            increments: english.increments.clone(),
            extension: english.extension,
            reserve: reserve(&english),
            leader,
            next_minimum: english.minimum(),
        };
        Ok((Book::English(english), terms))
    }

    fn line_person(&self, id: PrincipalId) -> Person {
        Person {
            id,
            handle: self.joined.line_handle.clone().unwrap_or_default(),
            name: self.joined.line_name.clone().unwrap_or_default(),
            simulated: self.joined.line_simulated.unwrap_or_default(),
        }
    }

    fn bid_line(&self, high: HighBid) -> Result<LadderLine, TxError> {
        Ok(LadderLine {
            id: high.bid.to_string(),
            who: self.line_person(high.bidder()),
            region: region(self.joined.line_region_bid.as_deref())?,
            amount: high.amount,
            units: 1,
            at: Timestamp(need(self.joined.line_at_bid, "bid time")?),
        })
    }

    fn claim_line(&self, currency: Currency) -> Result<LadderLine, TxError> {
        Ok(LadderLine {
            id: ClaimId::from_uuid(need(self.joined.claim_id, "winning claim")?).to_string(),
            who: self.line_person(PrincipalId::from_uuid(need(self.joined.buyer_id, "buyer")?)),
            region: region(self.joined.line_region_claim.as_deref())?,
            amount: money(
                need(self.joined.claim_price_minor, "claim price")?,
                currency,
            )?,
            units: 1,
            at: Timestamp(need(self.joined.line_at_claim, "claim time")?),
        })
    }

    fn outcome(&self, lot: &Lot) -> Result<Option<Outcome>, TxError> {
        Ok(match (lot.status, &lot.book) {
            (Status::Open, _) => None,
            (Status::Cancelled, _) => Some(Outcome::Cancelled),
            (Status::Passed, Book::English(english)) => Some(Outcome::Passed {
                reserve_not_met: english.reserve_met() == Some(false) && english.high.is_some(),
            }),
            (Status::Passed, _) => Some(Outcome::Passed {
                reserve_not_met: false,
            }),
            (Status::Sold, Book::English(english)) => {
                let high = need(english.high, "leader of a sold lot")?;
                Some(Outcome::Sold {
                    line: self.bid_line(high)?,
                })
            }
            (Status::Sold, Book::Dutch(_)) => Some(Outcome::Sold {
                line: self.claim_line(lot.currency)?,
            }),
            (Status::Sold, Book::Drop(drop)) => Some(drop_outcome(drop)?),
        })
    }
}

/// How a drop ended that sold at least one unit.
pub fn drop_outcome(drop: &Drop) -> Result<Outcome, TxError> {
    let units_sold = drop.units_sold();
    let total = drop.price.checked_mul(units_sold);
    let total = total.map_err(|_range| TxError::Corrupt("total of a drop"))?;
    Ok(Outcome::DropEnded { units_sold, total })
}

/// Reserve met or not, as people may know it.
pub fn reserve(english: &English) -> Reserve {
    match english.reserve_met() {
        None => Reserve::None,
        Some(true) => Reserve::Met,
        Some(false) => Reserve::NotMet,
    }
}

/// A wallet's row.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct WalletRow {
    /// Whose.
    pub principal_id: Uuid,
    /// Everything that came in.
    pub funded_minor: i64,
    /// Set aside.
    pub held_minor: i64,
    /// Paid.
    pub spent_minor: i64,
    /// Counts changes.
    pub version: i64,
}

impl WalletRow {
    /// Whose it is.
    pub const fn owner(&self) -> PrincipalId {
        PrincipalId::from_uuid(self.principal_id)
    }

    /// The wallet for the rules.
    pub fn wallet(&self, currency: Currency) -> Result<Wallet, TxError> {
        Ok(Wallet {
            funded: money(self.funded_minor, currency)?,
            held: money(self.held_minor, currency)?,
            spent: money(self.spent_minor, currency)?,
        })
    }

    /// The wallet for its owner.
    pub fn view(&self, currency: Currency) -> Result<WalletView, TxError> {
        let wallet = self.wallet(currency)?;
        Ok(WalletView {
            available: wallet.available(),
            held: wallet.held,
            spent: wallet.spent,
            funded: wallet.funded,
            version: self.version,
        })
    }
}
