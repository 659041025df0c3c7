//! Races for lots with one winner: a falling price, a rising one, and the moment at which it closes.

use super::super::Stage;
use super::super::race::{Answered, Bid, Claim, Heard, Shot, Tally, race};
use super::super::report::Scenario;
use super::super::stage::{DURATION_MS, cents, fund, people, put_up, somebody};
use super::{Name, Said, counters};
use crate::ids;
use crate::ledger::lots::NewTerms;
use anyhow::{Context, ensure};
use app::ports::{Actor, Ledger as _};
use shared::auction::Increments;
use shared::auction::dutch::Dutch;
use shared::{Currency, LotId};
use std::time::Duration;
use tokio::time::Instant;

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

/// From one round of settling to the next.
const SETTLE_PACE: Duration = Duration::from_millis(5);

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
    let (kernels, settings) = (&stage.kernels, &stage.settings);
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
    let before = counters(kernels);
    let tally = race(kernels, shots, Claim::send).await?;
    let said = Said {
        name: Name::DutchFirstClaim,
        expected: Some(u64::from(settings.buyers).min(1)),
        tally: &tally,
        before: &before,
        after: &counters(kernels),
    };
    let mut result = said.scenario(stage);
    result.needs_conflicts();
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
    let kernels = &stage.kernels;
    let seller = somebody(kernels, "seller").await?;
    let bidders = people(kernels, "bidder", 2).await?;
    fund(kernels, &bidders, cents(FUNDS_MINOR)?).await?;
    let lot = put_up(kernels, &seller, english(OPENING_MINOR)?, DURATION_MS).await?;
    let before = counters(kernels);
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
        let round = race(kernels, shots, Bid::send).await?;
        tally.all.extend(round.all);
        tally.elapsed += round.elapsed;
        amount += RAISE_MINOR;
    }
    let said = Said {
        name: Name::EnglishAlternation,
        expected: Some(u64::from(ROUNDS)),
        tally: &tally,
        before: &before,
        after: &counters(kernels),
    };
    let mut result = said.scenario(stage);
    result.needs_conflicts();
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
    let kernels = &stage.kernels;
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
    let before = counters(kernels);
    let settling = settle_for(stage, &bidders, lot.id, open_for + AROUND * 4);
    let (tally, settled) = tokio::join!(race(kernels, shots, Bid::send), settling);
    let tally = tally?;
    settled?;
    let said = Said {
        name: Name::BidAgainstClose,
        expected: None,
        tally: &tally,
        before: &before,
        after: &counters(kernels),
    };
    let mut result = said.scenario(stage);
    let ended = result.refusals.get("ended").copied().unwrap_or(0);
    result.needs(
        result.committed > 0 && ended > 0,
        "all bids came before the close, or all after it",
    );
    result.only_refused_as(&["ended", "too_low"]);
    check_winner(stage, &bidders, lot.id, &mut result, &tally).await?;
    Ok(result)
}

/// Asks all kernels to settle a lot, over and over: whoever comes first does it, and to do it again
/// changes nothing.
async fn settle_for(
    stage: &Stage,
    askers: &[Actor],
    lot: LotId,
    time: Duration,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut is_settled = false;
    while begun.elapsed() < time {
        for (place, asker) in askers.iter().enumerate() {
            let done = stage.kernels.of(place).settle(asker, ids::key(), lot).await;
            is_settled |= done.is_ok_and(|done| done.outcome.is_ok());
        }
        tokio::time::sleep(SETTLE_PACE).await;
    }
    ensure!(is_settled, "the lot was never settled");
    Ok(())
}

/// The winner pays the highest accepted bid, and nobody else's money is held or spent.
async fn check_winner(
    stage: &Stage,
    bidders: &[Actor],
    lot: LotId,
    result: &mut Scenario,
    tally: &Tally,
) -> anyhow::Result<()> {
    let kernel = stage.kernels.of(1);
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
    let accepted = |one: &&Answered| matches!(&one.heard, Ok(Heard { answer: Ok(()), .. }));
    let last = tally.all.iter().filter(accepted).map(|one| one.sent).max();
    let last = last.map_or(0, |last| {
        i64::try_from(last.as_millis()).unwrap_or(i64::MAX)
    });
    result
        .figures
        .insert("last accepted bid was sent at, ms".into(), last);
    Ok(())
}
