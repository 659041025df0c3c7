//! Races for lots with one winner: a falling price, a rising one, and the moment at which it closes.

use super::super::Stage;
use super::super::history::bank::{self, Bank};
use super::super::history::linear::{self, EnglishTerms, Limits};
use super::super::history::{History, Verdict, drop, keys};
use super::super::race::{Bid, Claim, Close, Shot, Tally};
use super::super::report::Scenario;
use super::super::stage::{DURATION_MS, cents, fund, people, put_up, somebody};
use super::super::trial::{Effects, Observed, Trial};
use super::Name;
use crate::ids;
use crate::ledger::lots::NewTerms;
use anyhow::Context;
use app::ports::{Actor, Ledger as _};
use shared::auction::Increments;
use shared::auction::dutch::Dutch;
use shared::view::LotView;
use shared::{Currency, LotId};
use std::time::Duration;

/// The price at which the Dutch lot opens and the English lots open, in cents.
const OPENING_MINOR: i64 = 10_000;

/// The least raise of an English lot, in cents.
const RAISE_MINOR: i64 = 500;

/// What everybody has, in cents.
const FUNDS_MINOR: i64 = 5_000_000;

/// How far a Dutch price falls, by how much and how often: fast enough that it falls in the race.
const FLOOR_MINOR: i64 = 1_000;
const STEP_MINOR: i64 = 50;
const TICK_MS: i64 = 10;

/// Rounds of the alternation: each is two bids at once.
const ROUNDS: u32 = 40;

/// How long the lot that is to close is open, in milliseconds.
const CLOSES_AFTER_MS: i64 = 1_500;

/// Bids around the close, from so long before to so long after it.
const CLOSING_BIDS: u32 = 120;
const AROUND: Duration = Duration::from_millis(600);

/// From when on it is asked that the lot is settled, and how often.
const SETTLE_FROM: Duration = Duration::from_millis(1_400);
const SETTLE_PACE: Duration = Duration::from_millis(10);

fn english(opening_minor: i64) -> anyhow::Result<NewTerms> {
    Ok(NewTerms::English {
        opening: cents(opening_minor)?,
        increments: Increments::flat(RAISE_MINOR),
        reserve: None,
        // No soft close: the end is where it was said.
        extension_window_ms: 0,
        max_extension_ms: 0,
    })
}

/// N buyers claim a Dutch lot's only unit at once: one has it, at the price of the moment of the
/// database's clock, and pays no more than was agreed.
pub(super) async fn dutch_first_claim(stage: &Stage) -> anyhow::Result<Scenario> {
    let (kernels, settings) = (stage.racers(), &stage.settings);
    let seller = somebody(kernels, "seller").await?;
    let buyers = people(kernels, "buyer", settings.buyers).await?;
    let most = cents(OPENING_MINOR)?;
    fund(kernels, &buyers, most).await?;
    let schedule = Dutch {
        start: most,
        floor: cents(FLOOR_MINOR)?,
        step_minor: STEP_MINOR,
        tick_ms: TICK_MS,
    };
    let lot = put_up(kernels, &seller, NewTerms::Dutch(schedule), DURATION_MS).await?;
    let claim = |(place, actor): (usize, &Actor)| Shot {
        place,
        after: Duration::ZERO,
        what: Claim::new(actor.clone(), lot.id, most),
    };
    let shots = buyers.iter().enumerate().map(claim).collect();
    let trial = Trial::begin(Name::DutchFirstClaim.text(), stage, kernels)?;
    let observed = observed(&buyers, lot.id);
    let tally = trial.race_observed(&observed, shots, Claim::send).await?;
    let expected = u64::from(settings.buyers).min(1);
    let mut result = trial.outcome(Some(expected), &tally);
    result.needs_conflicts();
    trial.read_effects(effects(lot.id, &[])).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    result.check("drop", drop::check(&history, lot.id, 1));
    let funds = i64::from(settings.buyers) * OPENING_MINOR;
    result.check("bank", bank::check(&history, &Bank::of(funds)));
    let rows = kernels.of(1).tally(&[lot.id]).await?;
    result.expect(rows.claims == 1, || {
        format!("{} claims are stored", rows.claims)
    });
    let paid = rows.credited_minor;
    // Audit A12 computes the price anew from the claim's own time; this is the schedule's range.
    let is_a_price =
        (FLOOR_MINOR..=OPENING_MINOR).contains(&paid) && (OPENING_MINOR - paid) % STEP_MINOR == 0;
    result.expect(is_a_price, || {
        format!("{paid} cents are no price of the schedule")
    });
    let mut spent = 0;
    for buyer in &buyers {
        let wallet = kernels.of(0).wallet(buyer.person.id, Currency::Usd).await?;
        spent += wallet.map_or(0, |wallet| wallet.spent.minor() + wallet.held.minor());
    }
    result.expect(spent == paid, || {
        format!("the buyers paid {spent} cents, the seller has {paid}")
    });
    result.only_refused_as(&["sold_out", "ended"]);
    Ok(result)
}

/// Two bidders bid the same amount at once, again and again: one of the two leads each time, what the
/// other had held is free again, and at the end exactly the leader's bid is held.
pub(super) async fn english_alternation(stage: &Stage) -> anyhow::Result<Scenario> {
    let kernels = stage.racers();
    let seller = somebody(kernels, "seller").await?;
    let bidders = people(kernels, "bidder", 2).await?;
    fund(kernels, &bidders, cents(FUNDS_MINOR)?).await?;
    let lot = put_up(kernels, &seller, english(OPENING_MINOR)?, DURATION_MS).await?;
    let trial = Trial::begin(Name::EnglishAlternation.text(), stage, kernels)?;
    let observed = observed(&bidders, lot.id);
    let mut tally = Tally::default();
    let mut amount = OPENING_MINOR;
    for _ in 0..ROUNDS {
        let bid =
            |(place, actor): (usize, &Actor)| bid_at(Duration::ZERO, place, actor, lot.id, amount);
        let shots = bidders
            .iter()
            .enumerate()
            .map(bid)
            .collect::<anyhow::Result<Vec<_>>>()?;
        tally.add(trial.race_observed(&observed, shots, Bid::send).await?);
        amount += RAISE_MINOR;
    }
    let mut result = trial.outcome(Some(u64::from(ROUNDS)), &tally);
    result.needs_conflicts();
    trial.read_effects(effects(lot.id, &[])).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    result.check("linear", one_order(&history, &lot, false));
    result.check("bank", bank::check(&history, &Bank::of(2 * FUNDS_MINOR)));
    result.only_refused_as(&["too_low"]);
    let room = kernels
        .of(1)
        .room(lot.id)
        .await?
        .context("the lot is gone")?;
    let last = amount - RAISE_MINOR;
    let mut held = Vec::new();
    for bidder in &bidders {
        let wallet = kernels
            .of(1)
            .wallet(bidder.person.id, Currency::Usd)
            .await?;
        let wallet = wallet.context("a bidder's wallet")?;
        held.push(wallet.held.minor());
        result.expect(wallet.spent.minor() == 0, || {
            "money was spent although nobody has won".into()
        });
    }
    held.sort_unstable();
    result.expect(held == [0, last], || {
        format!("{held:?} cents are held, the leading bid is {last}")
    });
    let top = room.ladder.first().map(|line| line.amount.minor());
    result.expect(top == Some(last), || {
        format!("the ladder begins with {top:?} cents")
    });
    Ok(result)
}

fn bid_at(
    after: Duration,
    place: usize,
    actor: &Actor,
    lot: LotId,
    minor: i64,
) -> anyhow::Result<Shot<Bid>> {
    Ok(Shot {
        place,
        after,
        what: Bid {
            actor: actor.clone(),
            lot,
            key: ids::key(),
            amount: cents(minor)?,
        },
    })
}

/// Bids go on, ever higher, while their lot closes and two nodes settle it again and again: the
/// winner is who bid most before the end by the database's clock, and nobody after.
pub(super) async fn bid_against_close(stage: &Stage) -> anyhow::Result<Scenario> {
    let kernels = stage.racers();
    let seller = somebody(kernels, "seller").await?;
    let bidders = people(kernels, "bidder", 4).await?;
    fund(kernels, &bidders, cents(FUNDS_MINOR)?).await?;
    let lot = put_up(kernels, &seller, english(OPENING_MINOR)?, CLOSES_AFTER_MS).await?;
    let open_for = Duration::from_millis(u64::try_from(CLOSES_AFTER_MS)?);
    let begin = open_for.saturating_sub(AROUND);
    let step = AROUND * 2 / CLOSING_BIDS;
    let mut shots = Vec::new();
    let mut amount = OPENING_MINOR;
    for number in 0..CLOSING_BIDS {
        let place = usize::try_from(number)?;
        let bidder = &bidders[place % bidders.len()];
        shots.push(bid_at(
            begin + step * number,
            place,
            bidder,
            lot.id,
            amount,
        )?);
        amount += RAISE_MINOR;
    }
    let trial = Trial::begin(Name::BidAgainstClose.text(), stage, kernels)?;
    let closes = closes(&bidders, lot.id, open_for + AROUND);
    let both = async {
        let bids = trial.race(shots, Bid::send);
        let (bids, closes) = tokio::join!(bids, trial.race(closes, Close::send));
        anyhow::Ok((bids?, closes?))
    };
    let observed = observed(&bidders, lot.id);
    let (tally, settled) = trial.observe(&observed, both).await?;
    let mut result = trial.outcome(None, &tally);
    result.needs(settled.committed() > 0, "the lot was never settled");
    result.expect(settled.committed() <= 1, || {
        format!("the lot was settled {} times", settled.committed())
    });
    trial.read_effects(effects(lot.id, &bidders)).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    result.check("linear", one_order(&history, &lot, true));
    result.check("bank", bank::check(&history, &Bank::of(4 * FUNDS_MINOR)));
    let ended = result.refusals.get("ended").copied().unwrap_or(0);
    result.needs(
        result.committed > 0 && ended > 0,
        "all bids came before the close, or all after it",
    );
    result.only_refused_as(&["ended", "too_low"]);
    check_winner(stage, &bidders, lot.id, &mut result, &tally).await?;
    Ok(result)
}

/// Everybody asks again and again that the lot is settled, at all kernels, from a little before its
/// end on: whoever comes first after it does it.
fn closes(askers: &[Actor], lot: LotId, until: Duration) -> Vec<Shot<Close>> {
    let times = (0..).map(|n| SETTLE_FROM + SETTLE_PACE * n);
    let times = times.take_while(|after| *after < until);
    let shot = |((place, after), actor): ((usize, Duration), &Actor)| Shot {
        place,
        after,
        what: Close {
            actor: actor.clone(),
            lot,
            key: ids::key(),
        },
    };
    times
        .enumerate()
        .zip(askers.iter().cycle())
        .map(shot)
        .collect()
}

/// What observers of a lot's race look at.
fn observed(people: &[Actor], lot: LotId) -> Observed {
    Observed {
        people: people.iter().map(|actor| actor.person.id).collect(),
        lot: Some(lot),
        ..Observed::default()
    }
}

/// Everything that keys did to a lot, settlements by these people included.
fn effects(lot: LotId, settlers: &[Actor]) -> Effects {
    Effects {
        lots: vec![lot],
        settlers: settlers.iter().map(|actor| actor.person.id).collect(),
        ..Effects::default()
    }
}

/// Whether one order of all bids, closes and reads explains every answer.
fn one_order(history: &History, lot: &LotView, ends_within_run: bool) -> Verdict {
    let terms = EnglishTerms {
        opening_minor: OPENING_MINOR,
        increments: Increments::flat(RAISE_MINOR),
        reserve_minor: None,
        version: lot.offset,
        high_minor: None,
        ends_within_run,
    };
    linear::english(history, lot.id, &terms, Limits::default())
}

/// The winner pays the highest accepted bid, and nobody else's money is held or spent.
async fn check_winner(
    stage: &Stage,
    bidders: &[Actor],
    lot: LotId,
    result: &mut Scenario,
    tally: &Tally,
) -> anyhow::Result<()> {
    let kernel = stage.racers().of(1);
    let room = kernel.room(lot).await?.context("the lot is gone")?;
    let high = room.ladder.first().map(|line| line.amount.minor());
    let (mut spent, mut held) = (Vec::new(), 0);
    for bidder in bidders {
        let wallet = kernel.wallet(bidder.person.id, Currency::Usd).await?;
        let wallet = wallet.context("a bidder's wallet")?;
        held += wallet.held.minor();
        spent.extend(Some(wallet.spent.minor()).filter(|minor| *minor > 0));
    }
    result.expect(held == 0, || format!("{held} cents are still held"));
    result.expect(spent == Vec::from_iter(high), || {
        format!("{spent:?} cents were paid, the highest bid is {high:?}")
    });
    let accepted = tally.all.iter().filter(|one| one.is_done());
    let last = accepted.map(|one| one.sent).max();
    let last = last.map_or(0, |last| {
        i64::try_from(last.as_millis()).unwrap_or(i64::MAX)
    });
    result
        .figures
        .insert("last accepted bid was sent at, ms".into(), last);
    Ok(())
}
