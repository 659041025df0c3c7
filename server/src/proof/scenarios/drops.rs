//! The two races of the seeds: a drop that many rush, and one purchase's money spent many times.

use super::super::history::Verdict;
use super::super::history::bank::{self, Bank};
use super::super::history::linear::{self, DropTerms, Limits};
use super::super::history::{drop, keys};
use super::super::race::{Claim, Shot, Tally, race};
use super::super::report::Scenario;
use super::super::stage::{
    DURATION_MS, PRICE_MINOR, REGIONS, cents, drop_of, drops, fund, people, put_up, somebody,
};
use super::super::trial::{Effects, Observed, Trial};
use super::super::{Kernels, Stage};
use super::Name;
use anyhow::Context;
use app::ports::{Actor, Ledger as _};
use shared::auction::Refusal;
use shared::{Currency, LotId};
use std::time::Duration;

/// Buyers of the warm-up: as many as two kernels have connections by default, twice over.
const WARM_UP: u32 = 64;

/// Drops whose every history is searched, the buyers of each, and its units.
const SMALL_DROPS: u32 = 20;
const SMALL_BUYERS: u32 = 12;
const SMALL_UNITS: u32 = 5;

/// From one look at the spender's wallet to the next: more often would be a load of its own.
const SPENDER_PACE: Duration = Duration::from_millis(20);

/// Buyers of a drop with a limit, what each may have, and what each wants.
const GREEDY: u32 = 8;
const LIMIT: u32 = 2;
const WANTED: u32 = 12;

/// A claim by each, all at once, spread over the kernels.
fn shots(claims: impl IntoIterator<Item = (Actor, LotId)>) -> anyhow::Result<Vec<Shot<Claim>>> {
    let most = cents(PRICE_MINOR)?;
    let shot = |(place, (actor, lot))| Shot {
        place,
        after: Duration::ZERO,
        what: Claim::new(actor, lot, most),
    };
    Ok(claims.into_iter().enumerate().map(shot).collect())
}

/// Opens the kernels' connections and has them prepare their statements, so that a race measures
/// the race and not the first contact. Its lots and people are not part of any scenario.
///
/// # Errors
/// When it could not be set up.
pub async fn warm_up(kernels: &Kernels) -> anyhow::Result<()> {
    let seller = somebody(kernels, "seller").await?;
    let buyers = people(kernels, "buyer", WARM_UP).await?;
    fund(kernels, &buyers, cents(PRICE_MINOR)?).await?;
    // A lot each: claims of one lot would share a transaction, and with it a connection.
    let lots = drops(kernels, &seller, WARM_UP, 1).await?;
    let shots = shots(buyers.into_iter().zip(lots))?;
    race(kernels, None, shots, Claim::send)
        .await
        .map(|_tally| ())
}

/// N buyers from five Regions rush a drop of K units: K win, the rest are refused as sold out,
/// and the seller is credited K times the price.
pub(super) async fn oversell(stage: &Stage) -> anyhow::Result<Scenario> {
    let (kernels, settings) = (stage.racers(), &stage.settings);
    let seller = somebody(kernels, "seller").await?;
    let buyers = people(kernels, "buyer", settings.buyers).await?;
    fund(kernels, &buyers, cents(PRICE_MINOR)?)
        .await
        .context("funding the buyers")?;
    let lot = drops(kernels, &seller, 1, settings.units).await?.remove(0);
    let observed = Observed {
        people: buyers.iter().map(|buyer| buyer.person.id).collect(),
        lot: Some(lot),
        ..Observed::default()
    };
    let shots = shots(buyers.into_iter().map(|actor| (actor, lot)))?;
    let trial = Trial::begin(Name::Oversell.text(), stage, kernels)?;
    let tally = trial.race_observed(&observed, shots, Claim::send).await?;
    let expected = u64::from(settings.units.min(settings.buyers));
    let mut result = trial.outcome(Some(expected), &tally);
    result.needs_conflicts();
    let lots = vec![lot];
    let effects = Effects {
        lots,
        ..Effects::default()
    };
    trial.read_effects(effects).await?;
    let history = trial.history()?;
    result.check("drop", drop::check(&history, lot, settings.units));
    result.check("keys", keys::check(&history));
    let funds = i64::from(settings.buyers) * PRICE_MINOR;
    result.check("bank", bank::check(&history, &Bank::of(funds)));
    let rows = kernels.of(1).tally(&[lot]).await?;
    result.expect(rows.units_claimed == expected, || {
        let claimed = rows.units_claimed;
        format!("{claimed} units were claimed, {expected} expected")
    });
    let answered = result.committed;
    result.expect(rows.claims == answered, || {
        let stored = rows.claims;
        format!("{stored} claims are stored, {answered} were answered")
    });
    let left = u64::from(settings.units).saturating_sub(expected);
    result.expect(rows.units_left == left, || {
        format!("{} units are left", rows.units_left)
    });
    let due = i64::try_from(expected)? * PRICE_MINOR;
    result.expect(rows.credited_minor == due, || {
        let credited = rows.credited_minor;
        format!("the seller is credited {credited} cents, {due} are due")
    });
    result.only_refused_as(&[Refusal::SoldOut { units_left: 0 }.code()]);
    Ok(result)
}

/// The same with few buyers, again and again, each drop's history small enough to be searched for an
/// order that explains every answer.
pub(super) async fn small_drops(stage: &Stage) -> anyhow::Result<Scenario> {
    let kernels = stage.racers();
    let seller = somebody(kernels, "seller").await?;
    let buyers = people(kernels, "buyer", SMALL_BUYERS).await?;
    let funds = i64::from(SMALL_DROPS) * PRICE_MINOR;
    fund(kernels, &buyers, cents(funds)?).await?;
    let lots = drops(kernels, &seller, SMALL_DROPS, SMALL_UNITS).await?;
    let trial = Trial::begin(Name::SmallDrops.text(), stage, kernels)?;
    let mut tally = Tally::default();
    for lot in &lots {
        let observed = Observed {
            lot: Some(*lot),
            ..Observed::default()
        };
        let shots = shots(buyers.iter().map(|actor| (actor.clone(), *lot)))?;
        tally.add(trial.race_observed(&observed, shots, Claim::send).await?);
    }
    let sold = u64::from(SMALL_UNITS) * u64::from(SMALL_DROPS);
    let mut result = trial.outcome(Some(sold), &tally);
    result.needs_conflicts();
    result.only_refused_as(&[Refusal::SoldOut { units_left: 0 }.code()]);
    let effects = Effects {
        lots: lots.clone(),
        ..Effects::default()
    };
    trial.read_effects(effects).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    let terms = DropTerms {
        units: SMALL_UNITS,
        ends_within_run: false,
    };
    let orders = lots
        .iter()
        .map(|lot| linear::drop(&history, *lot, terms, Limits::default()));
    result.check("linear", Verdict::of_all(orders));
    Ok(result)
}

/// Few buyers want more of a drop than each of them may have, all at once and at both kernels: each
/// has exactly that many, though there is plenty.
pub(super) async fn limit_per_buyer(stage: &Stage) -> anyhow::Result<Scenario> {
    let kernels = stage.racers();
    let seller = somebody(kernels, "seller").await?;
    let buyers = people(kernels, "buyer", GREEDY).await?;
    let funds = i64::from(WANTED) * PRICE_MINOR;
    fund(kernels, &buyers, cents(funds)?).await?;
    let terms = drop_of(GREEDY * WANTED, Some(LIMIT))?;
    let lot = put_up(kernels, &seller, terms, DURATION_MS).await?.id;
    let observed = Observed {
        people: buyers.iter().map(|buyer| buyer.person.id).collect(),
        lot: Some(lot),
        ..Observed::default()
    };
    // Neighbours in time are at different kernels and of the same buyer.
    let each = buyers
        .iter()
        .flat_map(|buyer| vec![buyer; usize::try_from(WANTED).unwrap_or(0)]);
    let shots = shots(each.map(|actor| (actor.clone(), lot)))?;
    let trial = Trial::begin(Name::LimitPerBuyer.text(), stage, kernels)?;
    let tally = trial.race_observed(&observed, shots, Claim::send).await?;
    let expected = u64::from(GREEDY * LIMIT);
    let mut result = trial.outcome(Some(expected), &tally);
    result.needs_conflicts();
    result.only_refused_as(&["limit_reached"]);
    let effects = Effects {
        lots: vec![lot],
        ..Effects::default()
    };
    trial.read_effects(effects).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    let all = i64::from(GREEDY) * funds;
    result.check("bank", bank::check(&history, &Bank::of(all)));
    let rows = kernels.of(1).tally(&[lot]).await?;
    result.expect(rows.units_claimed == expected, || {
        let claimed = rows.units_claimed;
        format!("{claimed} units were claimed, the limits come to {expected}")
    });
    Ok(result)
}

/// One buyer, funded for one purchase, claims N lots at once: one is theirs, the wallet is never
/// overdrawn.
pub(super) async fn double_spend(stage: &Stage) -> anyhow::Result<Scenario> {
    let (kernels, settings) = (stage.racers(), &stage.settings);
    warm_up(kernels).await?;
    let seller = somebody(kernels, "seller").await?;
    let buyer = somebody(kernels, "spender").await?;
    fund(kernels, std::slice::from_ref(&buyer), cents(PRICE_MINOR)?).await?;
    let lots = drops(kernels, &seller, settings.attempts, 1).await?;
    let everywhere = REGIONS.iter().copied().cycle();
    let shots = shots(lots.iter().zip(everywhere).map(|(lot, region)| {
        let person = buyer.person.clone();
        (Actor { person, region }, *lot)
    }))?;
    let observed = Observed {
        people: vec![buyer.person.id],
        pace: Some(SPENDER_PACE),
        ..Observed::default()
    };
    let trial = Trial::begin(Name::DoubleSpend.text(), stage, kernels)?;
    let tally = trial.race_observed(&observed, shots, Claim::send).await?;
    let expected = u64::from(settings.attempts).min(1);
    let mut result = trial.outcome(Some(expected), &tally);
    result.needs_conflicts();
    let effects = Effects {
        lots: lots.clone(),
        ..Effects::default()
    };
    trial.read_effects(effects).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    result.check("bank", bank::check(&history, &Bank::of(PRICE_MINOR)));
    let rows = kernels.of(1).tally(&lots).await?;
    result.expect(rows.claims == expected, || {
        format!("{} lots were won", rows.claims)
    });
    let due = i64::try_from(expected)? * PRICE_MINOR;
    result.expect(rows.credited_minor == due, || {
        let credited = rows.credited_minor;
        format!("the seller is credited {credited} cents, {due} are due")
    });
    let wallet = kernels.of(0).wallet(buyer.person.id, Currency::Usd).await?;
    let wallet = wallet.context("the buyer's wallet")?;
    let is_spent = wallet.available.minor() == 0 && wallet.spent.minor() == due;
    result.expect(is_spent, || {
        let (free, spent) = (wallet.available, wallet.spent);
        format!("the wallet has {free} free and {spent} spent")
    });
    result.only_refused_as(&["insufficient"]);
    Ok(result)
}
