//! What a commit on a lot tells: each bid, claim or end in its order, then everybody whose money
//! moved. A wallet or a mandate is told as the commit leaves it.

use super::super::posting::wallet_of;
use super::super::rows::{LotRead, reserve};
use super::super::transaction::TxError;
use super::batch::{Taken, TakenAs};
use super::write::MoneyRows;
use crate::events::{CheckoutEvent, CheckoutNews, EventBody, HouseEvent};
use crate::ids;
use shared::auction::plan::{BidTaken, ClaimTaken, Freed};
use shared::auction::{Book, HighBid, Lot, Status};
use shared::ledger::FundSource;
use shared::live::{LotEvent, Position};
use shared::view::{Activity, ActivityKind, LadderLine, LotView, Notice, Outcome, Terms};
use shared::{ClaimId, Currency, EventId, LotId, MandateId, Money, PrincipalId, Timestamp};
use std::collections::BTreeSet;

/// The activity's line about something that happened on a lot.
#[must_use]
pub fn activity(
    id: EventId,
    lot: &LotView,
    what: ActivityKind,
    line: Option<&LadderLine>,
    at: Timestamp,
) -> Activity {
    Activity {
        id: id.to_string(),
        lot: lot.id,
        title: lot.title.clone(),
        what,
        who: line.map(|line| line.who.clone()),
        region: line.map(|line| line.region),
        amount: line.map(|line| line.amount),
        at,
    }
}

/// The events of one commit on a lot.
struct News<'m> {
    lot: LotId,
    title: String,
    currency: Currency,
    listed: bool,
    now: Timestamp,
    money: &'m MoneyRows,
    events: Vec<HouseEvent>,
    /// Whose wallet was told.
    told: BTreeSet<PrincipalId>,
}

impl<'m> News<'m> {
    fn new(read: &LotRead, money: &'m MoneyRows, now: Timestamp) -> Self {
        Self {
            lot: read.lot.id,
            title: read.view.title.clone(),
            currency: read.lot.currency,
            listed: read.listed,
            now,
            money,
            events: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    fn push(&mut self, id: EventId, body: EventBody) {
        let at = self.now;
        self.events.push(HouseEvent { id, at, body });
    }

    /// A change of the lot's row, which `card` shows already.
    fn on_lot(
        &mut self,
        card: &LotView,
        event: LotEvent,
        what: ActivityKind,
        line: Option<&LadderLine>,
    ) {
        let id = ids::event();
        let activity = activity(id, card, what, line, self.now);
        let body = EventBody::Lot {
            lot: self.lot,
            position: Position {
                epoch: card.epoch,
                offset: card.offset,
            },
            event,
            card: Box::new(card.clone()),
            activity,
            listed: self.listed,
        };
        self.push(id, body);
    }

    fn wallet(&mut self, owner: PrincipalId, notice: Option<Notice>) -> Result<(), TxError> {
        let wallet = wallet_of(&self.money.wallets, owner)?.view(self.currency)?;
        self.told.insert(owner);
        let body = EventBody::Wallet {
            owner,
            wallet,
            notice,
        };
        self.push(ids::event(), body);
        Ok(())
    }

    fn notice(&mut self, owner: PrincipalId, notice: Notice) {
        self.push(ids::event(), EventBody::Notice { owner, notice });
    }

    /// What happened to a mandate, with its buckets that were written.
    fn mandate(&mut self, tenant: PrincipalId, mandate: MandateId, what: CheckoutNews) {
        let budgets = self.money.budgets.iter();
        let checkout = CheckoutEvent {
            tenant,
            what,
            currency: self.currency,
            stock: Vec::new(),
            budgets: budgets.filter(|(of, _)| *of == mandate).copied().collect(),
            credits: Vec::new(),
        };
        self.push(ids::event(), EventBody::Checkout(Box::new(checkout)));
    }

    /// Tells the owner of money that moved: by their wallet if that has it, else by itself.
    fn owner(&mut self, purse: FundSource, notice: Notice) -> Result<(), TxError> {
        match purse {
            FundSource::Wallet(owner) => self.wallet(owner, Some(notice)),
            FundSource::Mandate { owner, .. } => {
                self.notice(owner, notice);
                Ok(())
            }
        }
    }

    /// Tells a leader that their money is free again, and why.
    fn freed(&mut self, freed: Freed, price: Option<Money>) -> Result<(), TxError> {
        let HighBid {
            bid, funds, amount, ..
        } = freed.high;
        let (lot, title, freed_money) = (self.lot, self.title.clone(), amount);
        let notice = match price {
            Some(price) => Notice::Outbid {
                lot,
                title,
                freed: freed_money,
                price,
            },
            None => Notice::Freed {
                lot,
                title,
                freed: freed_money,
            },
        };
        self.owner(freed.to, notice)?;
        if let FundSource::Mandate { owner, mandate } = funds {
            let what = CheckoutNews::BidFreed {
                mandate,
                lot,
                bid,
                freed_minor: amount.minor(),
                price_minor: price.map(Money::minor),
                to_wallet: freed.to.mandate().is_none(),
            };
            self.mandate(owner, mandate, what);
        }
        Ok(())
    }

    /// Everything, with every wallet that was written and is not told yet.
    fn finish(mut self) -> Result<Vec<HouseEvent>, TxError> {
        let owners = self
            .money
            .wallets
            .iter()
            .map(|row| PrincipalId::from_uuid(row.principal_id));
        let untold: Vec<_> = owners.filter(|owner| !self.told.contains(owner)).collect();
        for owner in untold {
            self.wallet(owner, None)?;
        }
        Ok(self.events)
    }
}

/// What accepted offers tell.
///
/// # Errors
/// A row that cannot be read.
pub fn of_offers(
    read: &LotRead,
    after: &Lot,
    taken: &[Taken<'_>],
    money: &MoneyRows,
    now: Timestamp,
) -> Result<Vec<HouseEvent>, TxError> {
    let mut news = News::new(read, money, now);
    let mut card = read.view.clone();
    for one in taken {
        match &one.what {
            TakenAs::Bid(bid) => of_bid(&mut news, &mut card, read, one, bid)?,
            TakenAs::Claim(claim, _, what) => {
                of_claim(&mut news, &mut card, (read, after), one, (*claim, what))?;
            }
        }
    }
    news.finish()
}

fn of_bid(
    news: &mut News<'_>,
    card: &mut LotView,
    read: &LotRead,
    one: &Taken<'_>,
    bid: &BidTaken,
) -> Result<(), TxError> {
    let accepted = &bid.accepted;
    let met = match &read.lot.book {
        Book::English(english) => {
            let mut english = english.clone();
            english.high = Some(bid.high);
            reserve(&english)
        }
        Book::Dutch(_) | Book::Drop(_) => return Err(TxError::Corrupt("a bid on such a lot")),
    };
    card.offset = accepted.version;
    card.closes_at = accepted.closes_at;
    if let Terms::English {
        leader,
        next_minimum,
        reserve,
        ..
    } = &mut card.terms
    {
        *leader = Some(one.line.clone());
        *next_minimum = Some(accepted.next_minimum);
        *reserve = met;
    }
    let event = LotEvent::Bid {
        line: one.line.clone(),
        closes_at: accepted.closes_at,
        extended: accepted.extended,
        reserve: met,
        next_minimum: accepted.next_minimum,
    };
    news.on_lot(card, event, ActivityKind::Bid, Some(&one.line));
    if let (FundSource::Mandate { owner, mandate }, Some(agent)) =
        (bid.high.funds, &one.offer.agent)
    {
        let what = CheckoutNews::BidPlaced {
            mandate,
            lot: news.lot,
            bid: bid.high.bid,
            agent: agent.as_str().to_owned(),
            amount_minor: bid.high.amount.minor(),
        };
        news.mandate(owner, mandate, what);
    }
    // Who raises their own bid is not told that they were outbid.
    match bid.freed.filter(|freed| freed.high.funds != bid.high.funds) {
        Some(freed) => news.freed(freed, Some(accepted.amount)),
        None => Ok(()),
    }
}

fn of_claim(
    news: &mut News<'_>,
    card: &mut LotView,
    (read, after): (&LotRead, &Lot),
    one: &Taken<'_>,
    (claim, what): (ClaimId, &ClaimTaken),
) -> Result<(), TxError> {
    let line = &one.line;
    if let Terms::Drop { units_left, .. } = &mut card.terms {
        *units_left = what.units_left;
        let id = ids::event();
        let activity = activity(id, card, ActivityKind::Claimed, Some(line), news.now);
        let body = EventBody::Stock {
            lot: news.lot,
            units_left: what.units_left,
            line: line.clone(),
            card: Box::new(card.clone()),
            activity,
            listed: news.listed,
        };
        news.push(id, body);
    } else {
        card.offset = after.version;
        card.status = Status::Sold;
        card.closes_at = card.closes_at.min(news.now);
        let outcome = Outcome::Sold { line: line.clone() };
        card.outcome = Some(outcome.clone());
        let event = LotEvent::Closed {
            status: Status::Sold,
            outcome,
            closes_at: card.closes_at,
        };
        news.on_lot(card, event, ActivityKind::Sold, Some(line));
    }
    let (lot, title, paid) = (news.lot, news.title.clone(), what.accepted.total);
    let won = Notice::Won {
        lot,
        title: title.clone(),
        paid,
    };
    news.owner(one.offer.funds, won)?;
    if let (FundSource::Mandate { owner, mandate }, Some(agent)) =
        (one.offer.funds, &one.offer.agent)
    {
        let told = CheckoutNews::Claimed {
            mandate,
            lot,
            claim,
            agent: agent.as_str().to_owned(),
            units: what.accepted.units,
            amount_minor: paid.minor(),
        };
        news.mandate(owner, mandate, told);
    }
    let sold = Notice::SoldYours {
        lot,
        title,
        proceeds: paid,
    };
    news.notice(read.lot.seller, sold);
    Ok(())
}

/// What a lot's end tells.
///
/// # Errors
/// A row that cannot be read.
pub fn of_end(
    read: &LotRead,
    (status, outcome): (Status, &Outcome),
    captured: Option<HighBid>,
    freed: Option<Freed>,
    money: &MoneyRows,
    now: Timestamp,
) -> Result<Vec<HouseEvent>, TxError> {
    let mut news = News::new(read, money, now);
    let mut card = read.view.clone();
    card.offset += 1;
    card.status = status;
    card.closes_at = card.closes_at.min(now);
    card.outcome = Some(outcome.clone());
    let (kind, line) = match outcome {
        Outcome::Sold { line } => (ActivityKind::Sold, Some(line)),
        Outcome::DropEnded { .. } => (ActivityKind::Sold, None),
        Outcome::Passed { .. } | Outcome::Cancelled => (ActivityKind::Passed, None),
    };
    let event = LotEvent::Closed {
        status,
        outcome: outcome.clone(),
        closes_at: card.closes_at,
    };
    news.on_lot(&card, event, kind, line);
    if let Some(high) = captured {
        let (lot, title, paid) = (news.lot, news.title.clone(), high.amount);
        let sold = Notice::SoldYours {
            lot,
            title: title.clone(),
            proceeds: paid,
        };
        news.notice(read.lot.seller, sold);
        news.owner(high.funds, Notice::Won { lot, title, paid })?;
        if let FundSource::Mandate { owner, mandate } = high.funds {
            let what = CheckoutNews::BidWon {
                mandate,
                lot,
                bid: high.bid,
                paid_minor: paid.minor(),
            };
            news.mandate(owner, mandate, what);
        }
    }
    if let Some(freed) = freed {
        news.freed(freed, None)?;
    }
    news.finish()
}
