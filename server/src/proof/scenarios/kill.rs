//! Nodes are killed in the middle of a swarm, each once, and started again. Whoever had no answer asks
//! the other node under the same key.

use super::super::Stage;
use super::super::report::Scenario;
use super::super::stage::PRICE_MINOR;
use super::super::swarm::{ChildNode, Crowd, Goods, Swarm};
use super::super::trial::{Effects, Trial};
use super::Name;
use crate::proof::history::{bank, keys};
use anyhow::Context;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Agents, the units that they want, and how many of them come in a second.
const AGENTS: u64 = 2_000;
const STOCK: u32 = 400;
const PER_SECOND: u32 = 400;

/// When the first node is killed, how long it is gone, and how long the second one has then.
const KILL_AFTER: Duration = Duration::from_millis(300);
const GONE: Duration = Duration::from_millis(700);

/// Kills in all: they alternate between the two nodes.
const KILLS: usize = 4;

/// Two nodes; kills one after the other and starts each again where it was.
async fn kill_in_turn(
    mut nodes: [ChildNode; 2],
    database_url: &str,
    pool: u32,
) -> anyhow::Result<[ChildNode; 2]> {
    for _ in 0..KILLS {
        tokio::time::sleep(KILL_AFTER).await;
        let [first, second] = nodes;
        let address = first.kill().await?;
        tokio::time::sleep(GONE).await;
        let again = ChildNode::start(database_url, address, pool).await?;
        nodes = [second, again];
    }
    Ok(nodes)
}

/// The stock is sold exactly, every key has one effect, and the money is all there, however often a
/// node is killed.
pub(super) async fn kill_mid_swarm(stage: &Stage) -> anyhow::Result<Scenario> {
    let url = stage.database_url.as_deref();
    let url = url.context("nodes of their own need a PostgreSQL")?;
    let kernels = &stage.kernels;
    let goods = Goods::new(kernels, STOCK).await?;
    let (money, funds) = (goods.money(), goods.funds_minor());
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let nodes = [
        ChildNode::start(url, free_port, stage.pool).await?,
        ChildNode::start(url, free_port, stage.pool).await?,
    ];
    let addresses = nodes.each_ref().map(|node| node.address).to_vec();
    let trial = Trial::begin(Name::KillMidSwarm.text(), stage, kernels)?;
    let crowd = Crowd {
        agents: AGENTS,
        per_second: Some(PER_SECOND),
    };
    let swarm = Swarm::new(goods, crowd, Some(trial.recorder().clone()));
    let both = async {
        let killing = kill_in_turn(nodes, url, stage.pool);
        let (sums, nodes) = tokio::join!(swarm.go(addresses), killing);
        anyhow::Ok((sums?, nodes?))
    };
    let (sums, _nodes) = trial.observe(&money, both).await?;
    let mut result = trial.outcome_of(Some(u64::from(STOCK)), sums);
    result.only_refused_as(&["sold_out"]);
    result.needs(result.resent > 0, "nobody was left without an answer");
    result
        .took_effect
        .insert("nodes killed".to_owned(), u64::try_from(KILLS)?);
    let goods = swarm.goods();
    let sent = (0..AGENTS).map(|number| goods.key_of(number));
    let effects = Effects {
        purchases: Some((goods.shop.tenant, sent.collect::<anyhow::Result<_>>()?)),
        ..Effects::default()
    };
    trial.read_effects(effects).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    result.check("bank", bank::check(&history, &bank::Bank::of(funds)));
    let left = goods.shop.units_left(kernels.of(1), goods.item).await?;
    result.expect(left == 0, || format!("{left} units are left"));
    let mut spent = 0;
    for mandate in &goods.mandates {
        spent += goods
            .shop
            .mandate_of(kernels.of(0), *mandate)
            .await?
            .spent_minor;
    }
    result.expect(spent == i64::from(STOCK) * PRICE_MINOR, || {
        format!("the mandates have spent {spent} cents")
    });
    Ok(result)
}
