//! A swarm as a proof: what it came to, by its answers, its history and the committed rows.

use super::super::history::{bank, drop, keys};
use super::super::report::Scenario;
use super::super::stage::PRICE_MINOR;
use super::super::trial::{Effects, Observed, Sums, Trial};
use super::super::{Kernels, Stage};
use super::{ApiNode, Crowd, Goods, Swarm};
use std::sync::Arc;
use std::time::Duration;

/// The most agents whose requests are written down one by one: a larger history is checked by the
/// committed rows, the counted answers and the observers' looks.
pub const MAX_RECORDED: u64 = 200_000;

/// From one look at the money to the next.
const LOOK_PACE: Duration = Duration::from_millis(250);

/// From one look at how far the swarm is to the next.
const PROGRESS_PACE: Duration = Duration::from_millis(5);

/// What a swarm is to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who comes.
    pub crowd: Crowd,
    /// Units that they want.
    pub stock: u32,
    /// Whether a Region is lost once half of them are answered, and restored at three quarters.
    pub lose_region: bool,
}

/// The name of the scenario in reports.
const NAME: &str = "swarm";

/// Runs a swarm and checks it. `watch` is handed the swarm before it begins.
///
/// # Errors
/// When it could not be set up or read back.
pub async fn prove(
    stage: &Stage,
    plan: Plan,
    watch: impl FnOnce(&Arc<Swarm>),
) -> anyhow::Result<Scenario> {
    if plan.lose_region {
        return lose_region(stage, plan, watch).await;
    }
    let behind_gates = stage.behind_gates().await?;
    let kernels = behind_gates.as_ref().unwrap_or(&stage.kernels);
    let run = Run::set_up(stage, kernels, plan, watch).await?;
    let nothing_else = async |_: &Swarm| anyhow::Ok(());
    let (result, ()) = run.go(nothing_else).await?;
    if let Some(kernels) = behind_gates {
        kernels.close().await;
    }
    Ok(result)
}

/// A swarm that is set up.
struct Run<'a> {
    trial: Trial<'a>,
    kernels: &'a Kernels,
    plan: Plan,
    swarm: Arc<Swarm>,
    nodes: Vec<ApiNode>,
}

impl<'a> Run<'a> {
    async fn set_up(
        stage: &'a Stage,
        kernels: &'a Kernels,
        plan: Plan,
        watch: impl FnOnce(&Arc<Swarm>),
    ) -> anyhow::Result<Self> {
        let goods = Goods::new(kernels, plan.stock).await?;
        let mut nodes = Vec::new();
        for kernel in &kernels.nodes {
            nodes.push(ApiNode::start(kernel).await?);
        }
        let trial = Trial::begin(NAME, stage, kernels)?;
        let recorder = (plan.crowd.agents <= MAX_RECORDED).then(|| trial.recorder().clone());
        let swarm = Swarm::new(goods, plan.crowd, recorder);
        watch(&swarm);
        Ok(Self {
            trial,
            kernels,
            plan,
            swarm,
            nodes,
        })
    }

    /// Sends the swarm while something else goes on.
    async fn go<T>(
        self,
        beside: impl AsyncFnOnce(&Swarm) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Scenario, T)> {
        let addresses = self.nodes.iter().map(|node| node.address).collect();
        let both = async {
            let swarm = Arc::clone(&self.swarm);
            let (sums, beside) = tokio::join!(swarm.go(addresses), beside(&self.swarm));
            anyhow::Ok((sums?, beside?))
        };
        let money = Observed {
            pace: Some(LOOK_PACE),
            ..self.swarm.goods().money()
        };
        let (sums, beside) = self.trial.observe(&money, both).await?;
        Ok((self.judge(sums).await?, beside))
    }

    async fn judge(&self, sums: Sums) -> anyhow::Result<Scenario> {
        let goods = self.swarm.goods();
        let stopped = self.swarm.stop().is_cancelled();
        let expected = u64::from(self.plan.stock).min(self.plan.crowd.agents);
        let undecided = sums.undecided;
        let mut result = if stopped {
            // What was on its way may have been done: only the rows are asked.
            let decided = Sums {
                offered: sums.offered - undecided,
                undecided: 0,
                ..sums
            };
            self.trial.outcome_of(None, decided)
        } else {
            self.trial.outcome_of(Some(expected), sums)
        };
        result.needs(!stopped, "the run was stopped");
        result.only_refused_as(&["sold_out"]);
        let longest = result.latency_ms.max;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::as_conversions,
            reason = "a latency is below a minute"
        )]
        let longest = longest as i64;
        result
            .figures
            .insert("longest wait of an agent, ms".to_owned(), longest);
        let left = goods
            .shop
            .units_left(self.kernels.of(1), goods.item)
            .await?;
        let sold = i64::from(goods.stock) - left;
        let answered = i64::try_from(result.committed)?;
        let on_its_way = if stopped {
            i64::try_from(undecided)?
        } else {
            0
        };
        result.expect((answered..=answered + on_its_way).contains(&sold), || {
            format!("{sold} units are gone, {answered} were answered")
        });
        let mut spent = 0;
        for mandate in &goods.mandates {
            let view = goods.shop.mandate_of(self.kernels.of(0), *mandate).await?;
            spent += view.spent_minor;
        }
        result.expect(spent == sold * PRICE_MINOR, || {
            format!("{spent} cents were spent on {sold} units")
        });
        self.check(&mut result, stopped).await?;
        Ok(result)
    }

    async fn check(&self, result: &mut Scenario, stopped: bool) -> anyhow::Result<()> {
        let goods = self.swarm.goods();
        let recorded = self.plan.crowd.agents <= MAX_RECORDED;
        if recorded && !stopped {
            let sent = (0..self.plan.crowd.agents).map(|number| goods.key_of(number));
            let effects = Effects {
                purchases: Some((goods.shop.tenant, sent.collect::<anyhow::Result<_>>()?)),
                ..Effects::default()
            };
            self.trial.read_effects(effects).await?;
        }
        let history = self.trial.history()?;
        if recorded && !stopped {
            result.check("keys", keys::check(&history));
            result.check("stock", drop::check_item(&history, goods.item, goods.stock));
        }
        let bank = bank::Bank::of(goods.funds_minor());
        result.check("bank", bank::check(&history, &bank));
        Ok(())
    }
}

/// A Region is lost when half of the agents are answered, and restored at three quarters, once its
/// node has gone elsewhere.
async fn lose_region(
    stage: &Stage,
    plan: Plan,
    watch: impl FnOnce(&Arc<Swarm>),
) -> anyhow::Result<Scenario> {
    let regions = stage.regions().await?;
    let run = Run::set_up(stage, &regions.kernels, plan, watch).await?;
    let agents = plan.crowd.agents;
    let lose = async |swarm: &Swarm| {
        reach(swarm, agents / 2).await;
        regions.lose()?;
        reach(swarm, agents / 4 * 3).await;
        if !swarm.stop().is_cancelled() {
            regions.missed().await;
        }
        regions.give_back()
    };
    let (mut result, ()) = run.go(lose).await?;
    regions.must_have_been_missed(&mut result)?;
    regions.close().await;
    Ok(result)
}

/// Waits until so many are decided, or the swarm is stopped.
async fn reach(swarm: &Swarm, decided: u64) {
    while swarm.progress().standing().decided() < decided && !swarm.stop().is_cancelled() {
        tokio::time::sleep(PROGRESS_PACE).await;
    }
}

impl Plan {
    /// Refuses a size that makes no sense on one machine.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> anyhow::Result<()> {
        let Self { crowd, stock, .. } = self;
        anyhow::ensure!(
            (1..=super::MAX_AGENTS).contains(&crowd.agents),
            "{} agents asked for, 1 to {} are possible",
            crowd.agents,
            super::MAX_AGENTS
        );
        anyhow::ensure!(
            (1..=super::MAX_STOCK).contains(stock),
            "{stock} units asked for, 1 to {} are possible",
            super::MAX_STOCK
        );
        crowd.per_second.map_or(Ok(()), |rate| {
            anyhow::ensure!(rate > 0, "a rate of zero was asked for");
            Ok(())
        })
    }
}
