//! A database or a Region that is gone, hangs or cuts: F10 to F13 and F35.

use super::super::race::{Ask, Purchase, Shot};
use super::super::scenarios::{region_away, warm_up};
use super::super::stage::PRICE_MINOR;
use super::super::trial::Trial;
use super::deeds::{Kind, Yard};
use super::{Case, Ground, shop_for};
use crate::ids;
use crate::ledger::rehearsal;
use crate::local::gate::{Fault, LoginRefusal};
use crate::local::{Signal, send_signal};
use crate::proof::history::bank::{self, Bank};
use crate::proof::history::keys;
use crate::proof::trial::{Effects, Observed};
use crate::proof::{Kernels, Stage, report};
use anyhow::Context;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Purchases that meet a fault, and the time over which they come.
const AGENTS: u32 = 1_200;
const OVER: Duration = Duration::from_secs(6);

/// How often the database is killed.
const CRASHES: u32 = 10;

/// How long the database runs until it is killed again. One that never runs for a second counts as
/// broken, and is not started any more.
const BETWEEN_CRASHES: Duration = Duration::from_millis(1_100);

/// How long it may be gone each time.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// The age at which connections end, in milliseconds: a command is often in the middle of it.
const AGE_MS: u64 = 400;

/// Logins a second, as of DSQL, and how many may come at once here.
const LOGINS: u32 = 100;

/// How long a database that hangs is asked, and how soon it must be used again afterwards.
const HANGS_FOR: Duration = Duration::from_secs(10);
const USED_WITHIN: Duration = Duration::from_secs(5);

/// How long a command may take to say that it cannot be answered.
const SAID_WITHIN: Duration = Duration::from_secs(6);

/// A purchase by each of some agents, one after another, while something happens: all are made, each
/// once, whatever it is.
async fn buy_through(
    stage: &Stage,
    kernels: &Kernels,
    name: &'static str,
    (agents, over): (u32, Duration),
    beside: impl Future<Output = anyhow::Result<()>>,
    case: &mut Case,
) -> anyhow::Result<()> {
    let cap = i64::from(agents) * PRICE_MINOR;
    let shop = shop_for(stage, agents).await?;
    let item = shop.item(&stage.kernels, agents).await?;
    let mandate = shop.mandate(&stage.kernels, cap).await?;
    let step = over / agents;
    let mut shots = Vec::new();
    for n in 0..agents {
        let request = shop.one(item, mandate, &format!("agent-{n}"))?;
        let (tenant, key) = (shop.tenant, ids::key());
        shots.push(Shot {
            place: usize::try_from(n)?,
            after: step * n,
            what: Purchase {
                tenant,
                key,
                request,
            },
        });
    }
    let sent = shots.iter().map(|shot| shot.what.key().clone()).collect();
    let trial = Trial::begin(name, stage, kernels)?;
    let money = Observed {
        people: vec![shop.tenant],
        mandates: vec![mandate],
        ..Observed::default()
    };
    let race = trial.race_observed(&money, shots, Purchase::send);
    let (tally, done) = tokio::join!(race, beside);
    done?;
    let tally = tally?;
    let mut result = trial.outcome(Some(u64::from(agents)), &tally);
    result.only_refused_as(&[]);
    let purchases = Some((shop.tenant, sent));
    let effects = Effects {
        purchases,
        ..Effects::default()
    };
    trial.read_effects(effects).await?;
    let history = trial.history()?;
    result.check("keys", keys::check(&history));
    result.check("bank", bank::check(&history, &Bank::of(cap)));
    let view = shop.mandate_of(stage.kernels.of(1), mandate).await?;
    result.expect(view.spent_minor == cap, || {
        format!("the mandate has spent {} cents of {cap}", view.spent_minor)
    });
    case.take_in(&report(stage, vec![result]).await?);
    Ok(())
}

/// F10: the database's process is killed, again and again, while agents buy: it comes back, and
/// nothing that was acknowledged is missing.
pub async fn database_crashes(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let crashes = ground.times(CRASHES).max(2);
    let endpoints = stage.kernels.of(0).runner().endpoints();
    let mut longest = Duration::ZERO;
    let mut killed = 0;
    let kill = async {
        for _ in 0..crashes {
            tokio::time::sleep(BETWEEN_CRASHES).await;
            let process = rehearsal::postmaster(endpoints).await?;
            send_signal(process, Signal::Kill).context("killing the database")?;
            let gone = Instant::now();
            killed += 1;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let answer = rehearsal::postmaster(endpoints).await;
                if answer.is_ok_and(|again| again != process) {
                    break;
                }
                anyhow::ensure!(gone.elapsed() < BACK_WITHIN, "the database stays away");
            }
            longest = longest.max(gone.elapsed());
        }
        anyhow::Ok(())
    };
    // They come for longer than it is killed, which includes the times when it is away.
    let crowd = (ground.times(AGENTS), BETWEEN_CRASHES * crashes * 2);
    buy_through(&stage, &stage.kernels, "crashes", crowd, kill, &mut case).await?;
    case.happened(u64::from(crashes), killed);
    case.checked(format!(
        "back after {} ms at the latest",
        longest.as_millis()
    ));
    stage.kernels.close().await;
    Ok(case)
}

/// F11: a Region's endpoint refuses, then another time hangs: commands go on at the other one within
/// five and ten seconds, and come back.
pub async fn region_lost(ground: &Ground) -> anyhow::Result<Case> {
    let mut case = Case::default();
    for (fault, within_ms) in [(Fault::Closed, 5_000), (Fault::Hung, 10_000)] {
        let stage = ground.stage().await?;
        let scenario = region_away(&stage, fault).await?;
        let outage = scenario.figures.get("outage of the lost Region, ms");
        let outage = outage.copied().unwrap_or(i64::MAX);
        case.expect(outage <= within_ms, || {
            format!("{fault:?}: nobody was answered for {outage} ms")
        });
        case.checked(format!(
            "{fault:?}: an outage of {outage} ms, at most {within_ms}"
        ));
        case.take_in(&report(&stage, vec![scenario]).await?);
        stage.kernels.close().await;
    }
    Ok(case)
}

/// F12: a Region does what it is told and tells nobody; its commands are repeated at the other one,
/// and then it wakes up.
pub async fn zombie(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let scenario = region_away(&stage, Fault::Mute).await?;
    case.take_in(&report(&stage, vec![scenario]).await?);
    stage.kernels.close().await;
    Ok(case)
}

/// F13: connections end at an age whatever they are doing, and only so many may log in a second.
pub async fn old_connections(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let regions = stage.regions().await?;
    warm_up(&regions.kernels).await?;
    regions.set(&[
        Fault::MaxAge { ms: AGE_MS },
        Fault::LoginRate {
            per_second: LOGINS,
            burst: Some(LOGINS),
            refusal: LoginRefusal::LimitExceeded,
        },
    ])?;
    let before = regions.seen(|seen| seen.connections);
    let crowd = (ground.times(AGENTS), OVER);
    let begun = Instant::now();
    let nothing = async { Ok(()) };
    buy_through(
        &stage,
        &regions.kernels,
        "old_connections",
        crowd,
        nothing,
        &mut case,
    )
    .await?;
    let seconds = begun.elapsed().as_secs_f64();
    let cut = regions.seen(|seen| seen.cut_by_age);
    case.happened(cut, cut);
    let opened = regions.seen(|seen| seen.connections) - before;
    let refused = regions.seen(|seen| seen.refused_logins);
    // A whole second's worth may come at once, at each of two Regions.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "far below 2^52"
    )]
    let per_second = (opened as f64 - f64::from(2 * LOGINS)).max(0.0) / seconds;
    case.expect(per_second <= f64::from(2 * LOGINS), || {
        format!("{per_second:.0} logins a second")
    });
    case.checked(format!(
        "{opened} logins in {seconds:.1} s, {refused} refused, no user heard of it"
    ));
    regions.close().await;
    stage.kernels.close().await;
    Ok(case)
}

/// F35: the database hangs: that is said in time, the node is not ready, and it is used again soon
/// after it answers.
pub async fn database_hangs(ground: &Ground) -> anyhow::Result<Case> {
    let (stage, mut case) = (ground.stage().await?, Case::default());
    let yard = Yard::new(&stage.kernels).await?;
    let regions = stage.regions().await?;
    warm_up(&regions.kernels).await?;
    let kernel = regions.kernels.of(0);
    let gates: Vec<_> = regions
        .gates
        .regions()
        .map(|region| regions.gates.gate(region))
        .collect::<Result<_, _>>()?;
    let mut deeds = Vec::new();
    for _ in 0..ground.times(20) {
        for kind in [Kind::TopUp, Kind::Bid, Kind::Purchase] {
            deeds.push(yard.deed(kind).await?);
        }
    }
    gates.iter().for_each(|gate| gate.hang(true));
    let hung = Instant::now();
    let is_ready = kernel.ready().await;
    case.expect(is_ready.is_err(), || {
        "the node says that it is ready".to_owned()
    });
    let mut asked = tokio::task::JoinSet::new();
    for deed in deeds.clone() {
        let kernel = Arc::clone(kernel);
        asked.spawn(async move {
            let begun = Instant::now();
            let told = deed.send(&kernel).await;
            (told, begun.elapsed())
        });
    }
    let mut longest = Duration::ZERO;
    while let Some(answered) = asked.join_next().await {
        let (told, took) = answered.context("a caller panicked")?;
        longest = longest.max(took);
        case.happened(1, u64::from(told.is_err()));
        case.expect(told.is_err(), || {
            format!("answered while nothing answers: {told:?}")
        });
    }
    case.expect(longest < SAID_WITHIN, || {
        format!("a caller waited for {} ms", longest.as_millis())
    });
    tokio::time::sleep(HANGS_FOR.saturating_sub(hung.elapsed())).await;
    gates.iter().for_each(|gate| gate.hang(false));
    let answers = Instant::now();
    let probe = yard.deed(Kind::TopUp).await?;
    while probe.send(kernel).await.is_err() {
        if answers.elapsed() > USED_WITHIN {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = answers.elapsed();
    case.expect(again <= USED_WITHIN, || {
        format!("not used again after {} ms", again.as_millis())
    });
    for deed in &deeds {
        // Whatever came of it while it hung: now its key is decided, once.
        let told = deed.send(kernel).await?;
        case.expect(told.answer.is_ok(), || format!("{deed:?}: {told:?}"));
    }
    case.checked(format!(
        "said within {} ms, used again after {} ms",
        longest.as_millis(),
        again.as_millis()
    ));
    let held = regions.seen(|seen| seen.held);
    case.needs(held > 0, "nothing was held back");
    case.audit(&stage).await?;
    regions.close().await;
    stage.kernels.close().await;
    Ok(case)
}
