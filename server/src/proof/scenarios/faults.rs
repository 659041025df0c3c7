//! Races in which the way to the database breaks.

use super::super::race::{Claim, Purchase, Shot, Tally};
use super::super::regions::Regions;
use super::super::report::Scenario;
use super::super::stage::{PRICE_MINOR, Shop, cents, drops, fund, people, somebody};
use super::super::trial::Trial;
use super::super::{Kernels, Stage};
use super::checkout::{check_history, money_of};
use super::{Name, warm_up};
use crate::ids;
use crate::local::gate::Fault;
use shared::{ItemId, LotId, MandateId};
use std::time::Duration;

/// Purchases of a swarm, and the time over which they come.
const SWARM: u32 = 1_600;
const SWARM_TIME: Duration = Duration::from_secs(8);

/// When the first Region is lost, and when it is back.
const LOST_AT: Duration = Duration::from_secs(3);
const BACK_AT: Duration = Duration::from_secs(6);

/// Purchases whose COMMITs are cut, and the time over which they come: so slowly that most have a
/// COMMIT of their own.
const CUT_SWARM: u32 = 800;
const CUT_TIME: Duration = Duration::from_secs(4);

/// People who claim a unit of a drop meanwhile.
const CLAIMS: u32 = 200;

/// COMMITs that are cut on the way at each gate, and as many whose answer is.
const CUTS: u32 = 50;

/// So many of each must have taken effect, at both gates together.
const LEAST_CUTS: u64 = 60;

/// What a swarm buys.
struct Goods {
    shop: Shop,
    item: ItemId,
    mandate: MandateId,
    cap_minor: i64,
}

impl Goods {
    /// An item with a unit for everybody, and a mandate that pays for all of them.
    async fn for_swarm(regions: &Regions, agents: u32) -> anyhow::Result<Self> {
        warm_up(&regions.kernels).await?;
        let cap_minor = i64::from(agents) * PRICE_MINOR;
        let shop = Shop::open(&regions.kernels, cap_minor).await?;
        let item = shop.item(&regions.kernels, agents).await?;
        let mandate = shop.mandate(&regions.kernels, cap_minor).await?;
        Ok(Self {
            shop,
            item,
            mandate,
            cap_minor,
        })
    }

    /// A purchase by each agent, one after another over some time, at both kernels in turn.
    fn shots(&self, agents: u32, over: Duration) -> anyhow::Result<Vec<Shot<Purchase>>> {
        let step = over / agents;
        let shot = |n| {
            let request = self
                .shop
                .one(self.item, self.mandate, &format!("agent-{n}"))?;
            Ok(Shot {
                place: usize::try_from(n)?,
                after: step * n,
                what: Purchase {
                    tenant: self.shop.tenant,
                    key: ids::key(),
                    request,
                },
            })
        };
        (0..agents).map(shot).collect()
    }

    /// Everybody has exactly what they asked for, by the committed rows and by the history.
    async fn check(
        &self,
        regions: &Regions,
        trial: &Trial<'_>,
        (tally, lots): (&Tally, Vec<LotId>),
        result: &mut Scenario,
    ) -> anyhow::Result<()> {
        check_history(trial, &self.shop, tally, self.cap_minor, lots, result).await?;
        let kernel = regions.kernels.of(1);
        let left = self.shop.units_left(kernel, self.item).await?;
        result.expect(left == 0, || format!("{left} units are left"));
        let view = self.shop.mandate_of(kernel, self.mandate).await?;
        result.expect(view.spent_minor == self.cap_minor, || {
            let (spent, cap) = (view.spent_minor, self.cap_minor);
            format!("the mandate has spent {spent} cents of {cap}")
        });
        Ok(())
    }
}

/// The longest time in which the node that is at home in a place answered nobody.
fn longest_gap(tally: &Tally, place: usize) -> Duration {
    let of_place = tally.all.iter().filter(|one| one.place % 2 == place);
    let mut answered: Vec<Duration> = of_place.map(|one| one.answered).collect();
    answered.sort_unstable();
    let gaps = answered.iter().zip(answered.iter().skip(1));
    gaps.map(|(one, next)| *next - *one)
        .max()
        .unwrap_or_default()
}

/// A Region is lost in the middle of a swarm: connections are cut, new ones refused. The node that
/// was at home there goes on at the other Region. Later the Region is back.
pub(super) async fn region_lost(stage: &Stage) -> anyhow::Result<Scenario> {
    region_away(stage, Fault::Closed).await
}

/// [`region_lost`], by some fault that takes a Region away.
pub async fn region_away(stage: &Stage, fault: Fault) -> anyhow::Result<Scenario> {
    let regions = stage.regions().await?;
    let goods = Goods::for_swarm(&regions, SWARM).await?;
    let shots = goods.shots(SWARM, SWARM_TIME)?;
    let trial = Trial::begin(Name::RegionLost.text(), stage, &regions.kernels)?;
    let take_away = async {
        tokio::time::sleep(LOST_AT).await;
        regions.lose_by(fault)?;
        tokio::time::sleep(BACK_AT - LOST_AT).await;
        regions.give_back()
    };
    let observed = money_of(&goods.shop, goods.mandate);
    let race = trial.race_observed(&observed, shots, Purchase::send);
    let (tally, taken) = tokio::join!(race, take_away);
    taken?;
    let tally = tally?;
    let mut result = trial.outcome(Some(u64::from(SWARM)), &tally);
    result.only_refused_as(&[]);
    let told = (&tally, Vec::new());
    goods.check(&regions, &trial, told, &mut result).await?;
    let effects = regions.gate()?.counters().effects_of(&fault);
    result.needs(effects > 0, "the fault never took effect");
    if fault == Fault::Closed {
        regions.must_have_been_missed(&mut result)?;
    } else {
        let effects = ("messages held back".to_owned(), effects);
        result.took_effect = [effects].into();
    }
    for (name, place) in [
        ("outage of the lost Region, ms", 0),
        ("of the other, ms", 1),
    ] {
        let gap = i64::try_from(longest_gap(&tally, place).as_millis())?;
        result.figures.insert(name.to_owned(), gap);
    }
    regions.close().await;
    Ok(result)
}

/// A claim by each of some buyers, who could pay for two, one after another over the time in which
/// COMMITs are cut.
async fn claims(kernels: &Kernels) -> anyhow::Result<(LotId, Vec<Shot<Claim>>)> {
    let seller = somebody(kernels, "seller").await?;
    let buyers = people(kernels, "buyer", CLAIMS).await?;
    fund(kernels, &buyers, cents(2 * PRICE_MINOR)?).await?;
    let lot = drops(kernels, &seller, 1, 2 * CLAIMS).await?.remove(0);
    let most = cents(PRICE_MINOR)?;
    let step = CUT_TIME / CLAIMS;
    let shot = |(n, (place, actor))| Shot {
        place,
        after: step * n,
        what: Claim::new(actor, lot, most),
    };
    let shots = (0..).zip(buyers.into_iter().enumerate()).map(shot);
    Ok((lot, shots.collect()))
}

/// COMMITs are cut on their way, and answers to COMMITs, which look alike to the node: each purchase
/// is found again by its key, or made, once.
pub(super) async fn lost_commit(stage: &Stage) -> anyhow::Result<Scenario> {
    let regions = stage.regions().await?;
    let goods = Goods::for_swarm(&regions, CUT_SWARM).await?;
    let shots = goods.shots(CUT_SWARM, CUT_TIME)?;
    let (lot, claims) = claims(&regions.kernels).await?;
    let trial = Trial::begin(Name::LostCommit.text(), stage, &regions.kernels)?;
    // One after another: many at once would only hold up the same few purchases.
    let cut = async {
        for _ in 0..CUTS {
            for region in regions.gates.regions() {
                let gate = regions.gates.gate(region)?;
                gate.cut_after_commit(1);
                gate.cut_before_commit(1);
            }
            tokio::time::sleep(CUT_TIME / CUTS).await;
        }
        anyhow::Ok(())
    };
    let observed = money_of(&goods.shop, goods.mandate);
    let race = trial.race_observed(&observed, shots, Purchase::send);
    let (tally, claimed, cut) = tokio::join!(race, trial.race(claims, Claim::send), cut);
    cut?;
    let mut tally = tally?;
    tally.all.extend(claimed?.all);
    regions.gates.restore_all();
    let expected = u64::from(CUT_SWARM + CLAIMS);
    let mut result = trial.outcome(Some(expected), &tally);
    result.only_refused_as(&[]);
    let told = (&tally, vec![lot]);
    goods.check(&regions, &trial, told, &mut result).await?;
    let rows = regions.kernels.of(1).tally(&[lot]).await?;
    result.expect(rows.claims == u64::from(CLAIMS), || {
        format!("{} claims are stored, {CLAIMS} were made", rows.claims)
    });
    let applied = regions.seen(|counters| counters.applied_then_cut);
    let cut = regions.seen(|counters| counters.cut_before_commit);
    result.needs(
        applied >= LEAST_CUTS && cut >= LEAST_CUTS,
        "too few COMMITs were cut",
    );
    let took_effect = [("answers cut after COMMIT", applied), ("COMMITs cut", cut)];
    result.took_effect = took_effect.map(|(name, n)| (name.to_owned(), n)).into();
    regions.close().await;
    Ok(result)
}
