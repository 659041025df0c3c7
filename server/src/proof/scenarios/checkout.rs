//! Races of agents: for a budget, for a key, against a revocation.

use super::super::Stage;
use super::super::history::bank::{self, Bank};
use super::super::history::keys;
use super::super::race::{Purchase, Shot, Tally};
use super::super::report::Scenario;
use super::super::stage::{PRICE_MINOR, Shop};
use super::super::trial::{Effects, Observed, Trial};
use super::Name;
use crate::ids;
use app::ports::Failure;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use shared::{ItemId, LotId, MandateId};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Agents that want something of one mandate, and what it pays for.
const AGENTS: u32 = 200;
const AFFORDS: u32 = 30;

/// How often one request is sent at once: the agent's client is broken, or its network is.
const SAME: usize = 64;

/// Purchases beside the one whose key is sent 64 times, so that there is something to meet.
const BESIDE: u32 = 64;

/// How often an agent repeats a purchase under a fresh key.
const REPEATS: u32 = 40;

/// Which of the agents buy while their mandate is revoked; those before have bought by then, and those
/// after come once it is.
const BESIDE_REVOCATION: Range<usize> = 20..180;

/// Over this time they come; the revocation is asked for in the middle.
const SPREAD: Duration = Duration::from_millis(400);

/// A purchase of one unit by an agent of its own, under a fresh key.
fn purchase(
    shop: &Shop,
    (item, mandate): (ItemId, MandateId),
    agent: &str,
) -> anyhow::Result<Purchase> {
    Ok(Purchase {
        tenant: shop.tenant,
        key: ids::key(),
        request: shop.one(item, mandate, agent)?,
    })
}

fn at_once(what: Vec<Purchase>) -> Vec<Shot<Purchase>> {
    let shot = |(place, what)| Shot {
        place,
        after: Duration::ZERO,
        what,
    };
    what.into_iter().enumerate().map(shot).collect()
}

/// One after another, over [`SPREAD`].
fn over_time(what: Vec<Purchase>) -> anyhow::Result<Vec<Shot<Purchase>>> {
    let step = SPREAD / u32::try_from(what.len())?;
    let mut shots = at_once(what);
    for (shot, n) in shots.iter_mut().zip(0..) {
        shot.after = step * n;
    }
    Ok(shots)
}

/// The tenant's money, wherever it is: in the wallet or in the mandate.
pub(super) fn money_of(shop: &Shop, mandate: MandateId) -> Observed {
    Observed {
        people: vec![shop.tenant],
        mandates: vec![mandate],
        ..Observed::default()
    }
}

/// What the history says of a shop's purchases, all with its mandate, and of claims on some lots:
/// each key has one effect, and the tenant's money is all there in every look.
pub(super) async fn check_history(
    trial: &Trial<'_>,
    shop: &Shop,
    tally: &Tally,
    funds_minor: i64,
    lots: Vec<LotId>,
    result: &mut Scenario,
) -> anyhow::Result<()> {
    let sent = tally.all.iter().map(|one| one.key.clone()).collect();
    let effects = Effects {
        purchases: Some((shop.tenant, sent)),
        lots,
        ..Effects::default()
    };
    trial.read_effects(effects).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    result.check("bank", bank::check(&history, &Bank::of(funds_minor)));
    Ok(())
}

/// 200 agents share a mandate that pays for 30 purchases; there is stock for all of them.
pub(super) async fn mandate_breach(stage: &Stage) -> anyhow::Result<Scenario> {
    let kernels = stage.racers();
    let cap = i64::from(AFFORDS) * PRICE_MINOR;
    let shop = Shop::open(kernels, cap).await?;
    let item = shop.item(kernels, AGENTS).await?;
    let mandate = shop.mandate(kernels, cap).await?;
    let purchases = (0..AGENTS).map(|n| purchase(&shop, (item, mandate), &format!("agent-{n}")));
    let shots = at_once(purchases.collect::<anyhow::Result<_>>()?);
    let trial = Trial::begin(Name::MandateBreach.text(), stage, kernels)?;
    let observed = money_of(&shop, mandate);
    let race = trial.race_observed(&observed, shots, Purchase::send);
    let tally = race.await?;
    let mut result = trial.outcome(Some(u64::from(AFFORDS)), &tally);
    check_history(&trial, &shop, &tally, cap, Vec::new(), &mut result).await?;
    result.needs_conflicts();
    result.only_refused_as(&["mandate_exhausted"]);
    let view = shop.mandate_of(kernels.of(1), mandate).await?;
    result.expect(view.spent_minor == cap && view.remaining_minor == 0, || {
        let (spent, left) = (view.spent_minor, view.remaining_minor);
        format!("the mandate has spent {spent} cents of {cap}, and {left} are left")
    });
    let left = shop.units_left(kernels.of(1), item).await?;
    result.expect(left == i64::from(AGENTS - AFFORDS), || {
        format!("{left} units are left")
    });
    Ok(result)
}

/// One request is sent 64 times at once, to two nodes, beside other purchases: it buys one unit, and
/// everybody hears the same. With another body the key is refused.
pub(super) async fn same_key(stage: &Stage) -> anyhow::Result<Scenario> {
    let kernels = stage.racers();
    let units = BESIDE + 1;
    let cap = i64::from(units) * PRICE_MINOR;
    let shop = Shop::open(kernels, cap).await?;
    let item = shop.item(kernels, units).await?;
    let mandate = shop.mandate(kernels, cap).await?;
    let one = purchase(&shop, (item, mandate), "insistent")?;
    let mut twisted = one.clone();
    twisted.request.quantity += 1;
    let mut purchases = vec![one; SAME];
    for n in 0..BESIDE {
        purchases.push(purchase(&shop, (item, mandate), &format!("agent-{n}"))?);
    }
    purchases.shuffle(&mut StdRng::seed_from_u64(stage.settings.seed));
    let trial = Trial::begin(Name::SameKey.text(), stage, kernels)?;
    let observed = money_of(&shop, mandate);
    let race = trial.race_observed(&observed, at_once(purchases), Purchase::send);
    let tally = race.await?;
    let mut result = trial.outcome(Some(u64::from(units)), &tally);
    check_history(&trial, &shop, &tally, cap, Vec::new(), &mut result).await?;
    result.needs_conflicts();
    result.only_refused_as(&[]);
    let heard = Purchase::send(Arc::clone(kernels.of(0)), twisted).await;
    result.expect(heard == Err(Failure::KeyReused), || {
        "the same key with another body was not refused".to_owned()
    });
    let replays = u64::try_from(SAME - 1)?;
    result.expect(result.replayed == replays, || {
        format!(
            "{} answers were replays, {replays} expected",
            tally.replayed()
        )
    });
    let left = shop.units_left(kernels.of(1), item).await?;
    result.expect(left == 0, || format!("{left} units are left"));
    let view = shop.mandate_of(kernels.of(1), mandate).await?;
    result.expect(view.spent_minor == cap, || {
        format!("the mandate has spent {} cents of {cap}", view.spent_minor)
    });
    Ok(result)
}

/// An agent that thinks its purchase was lost asks again, each time under a fresh key: one of them
/// buys, the others are suspected as duplicates.
pub(super) async fn fresh_key(stage: &Stage) -> anyhow::Result<Scenario> {
    let kernels = stage.racers();
    let cap = i64::from(REPEATS) * PRICE_MINOR;
    let shop = Shop::open(kernels, cap).await?;
    let item = shop.item(kernels, REPEATS).await?;
    let mandate = shop.mandate(kernels, cap).await?;
    let purchases = (0..REPEATS).map(|_| purchase(&shop, (item, mandate), "forgetful"));
    let shots = at_once(purchases.collect::<anyhow::Result<_>>()?);
    let trial = Trial::begin(Name::FreshKey.text(), stage, kernels)?;
    let observed = money_of(&shop, mandate);
    let race = trial.race_observed(&observed, shots, Purchase::send);
    let tally = race.await?;
    let mut result = trial.outcome(Some(1), &tally);
    check_history(&trial, &shop, &tally, cap, Vec::new(), &mut result).await?;
    result.needs_conflicts();
    result.only_refused_as(&["duplicate_suspected"]);
    let left = shop.units_left(kernels.of(1), item).await?;
    result.expect(left == i64::from(REPEATS - 1), || {
        format!("{left} units are left")
    });
    Ok(result)
}

/// A mandate is revoked while its agents buy: nothing is bought after the answer to the revocation,
/// and what was not spent is in the wallet again. Some buy before it, and some come after it, however
/// slow the machine is; the others meet it.
pub(super) async fn revoke_against_spend(stage: &Stage) -> anyhow::Result<Scenario> {
    let kernels = stage.racers();
    let cap = i64::from(AGENTS) * PRICE_MINOR;
    let shop = Shop::open(kernels, cap).await?;
    let item = shop.item(kernels, AGENTS).await?;
    let mandate = shop.mandate(kernels, cap).await?;
    let agents = (0..AGENTS).map(|n| purchase(&shop, (item, mandate), &format!("agent-{n}")));
    let mut early = agents.collect::<anyhow::Result<Vec<_>>>()?;
    let mut meanwhile = early.split_off(BESIDE_REVOCATION.start);
    let late = meanwhile.split_off(BESIDE_REVOCATION.len());
    let trial = Trial::begin(Name::RevokeAgainstSpend.text(), stage, kernels)?;
    let in_turn = async {
        let early = trial.volley(at_once(early), Purchase::send).await?;
        let begun = Instant::now();
        let revoke = async {
            tokio::time::sleep(SPREAD / 2).await;
            let asked = begun.elapsed();
            shop.revoke(kernels.of(1), mandate).await?;
            anyhow::Ok(asked..begun.elapsed())
        };
        let volley = trial.volley(over_time(meanwhile)?, Purchase::send);
        let (meanwhile, revoked) = tokio::join!(volley, revoke);
        let late = trial.volley(at_once(late), Purchase::send).await?;
        anyhow::Ok((early, meanwhile?, late, revoked?))
    };
    let observed = money_of(&shop, mandate);
    let race = trial.observe(&observed, trial.in_trouble(in_turn));
    let (early, meanwhile, late, revoked) = race.await?;
    // The volley's clock begins a little after the revocation's, so that the doubt is on the safe side.
    let all = meanwhile.all.iter();
    let met = all.filter(|one| one.sent < revoked.end && one.answered > revoked.start);
    let met = met.count();
    let bought_before = early.committed();
    let all = meanwhile.all.iter();
    let since = all.filter(|one| one.sent >= revoked.end && one.is_done());
    let too_late = u64::try_from(since.count())? + late.committed();
    let mut tally = early;
    tally.add(meanwhile);
    tally.add(late);
    let mut result = trial.outcome(None, &tally);
    check_history(&trial, &shop, &tally, cap, Vec::new(), &mut result).await?;
    result.needs(met > 0, "no purchase met the revocation");
    result.only_refused_as(&["mandate_revoked"]);
    let before = u64::try_from(BESIDE_REVOCATION.start)?;
    result.expect(bought_before == before, || {
        format!("{bought_before} of {before} purchases before the revocation were made")
    });
    result.expect(too_late == 0, || {
        format!("{too_late} purchases were begun after the mandate was revoked, and made")
    });
    let view = shop.mandate_of(kernels.of(0), mandate).await?;
    let spent = i64::try_from(result.committed)? * PRICE_MINOR;
    let adds_up = view.spent_minor == spent && view.remaining_minor == 0;
    result.expect(adds_up && view.returned_minor == cap - spent, || {
        let (spent, back) = (view.spent_minor, view.returned_minor);
        format!("the mandate has spent {spent} cents of {cap} and given {back} back")
    });
    Ok(result)
}
