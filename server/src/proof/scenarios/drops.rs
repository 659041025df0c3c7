//! The two races of the seeds: a drop that many rush, and one purchase's money spent many times.

use super::report::Scenario;
use super::{Kernels, Settings};
use crate::ids;
use crate::ledger::lots::{NewLot, NewTerms};
use crate::ledger::transaction::Counters;
use anyhow::Context;
use app::ports::{Actor, Failure, Ledger as _};
use shared::auction::Refusal;
use shared::view::Person;
use shared::{Currency, IdempotencyKey, LotId, Money, PrincipalId, Region};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// The price of a unit in every race, in cents.
const PRICE_MINOR: i64 = 1_000;

/// Tries of one command by its sender, all under the same key, before it counts as undecided.
const MAX_SENDS: u32 = 10;

/// How long a proof's lots stay open: far beyond the race.
const DURATION_MS: i64 = 600_000;

/// Commands that set up a race, sent at the same time.
const SETUP_WIDTH: usize = 16;

/// People registered in one transaction: DSQL takes 3,000 rows, maintenance 1,000.
const REGISTER_WIDTH: usize = 1_000;

/// The Regions that buyers are tagged with.
const REGIONS: [Region; 5] = [
    Region::Tokyo,
    Region::Seoul,
    Region::Frankfurt,
    Region::Ireland,
    Region::Virginia,
];

fn cents(minor: i64) -> anyhow::Result<Money> {
    Ok(Money::new(minor, Currency::Usd)?)
}

fn stranger(role: &str) -> Person {
    let id = ids::lot().uuid();
    Person {
        id: PrincipalId::from_uuid(id),
        handle: format!("proof-{role}-{}", id.simple()),
        name: format!("Proof {role}"),
        simulated: true,
    }
}

async fn people(kernels: &Kernels, role: &str, count: u32) -> anyhow::Result<Vec<Actor>> {
    let strangers: Vec<Person> = (0..count).map(|_| stranger(role)).collect();
    for group in strangers.chunks(REGISTER_WIDTH) {
        kernels.of(0).register(group.to_vec(), false).await?;
    }
    let regions = REGIONS.iter().copied().cycle();
    Ok(strangers
        .into_iter()
        .zip(regions)
        .map(|(person, region)| Actor { person, region })
        .collect())
}

async fn fund(kernels: &Kernels, actors: &[Actor], amount: Money) -> anyhow::Result<()> {
    for group in actors.chunks(SETUP_WIDTH) {
        let mut tasks = JoinSet::new();
        for (place, actor) in group.iter().cloned().enumerate() {
            let kernel = Arc::clone(kernels.of(place));
            tasks.spawn(async move { kernel.top_up(&actor, ids::key(), amount).await });
        }
        for done in tasks.join_all().await {
            done?
                .outcome
                .map_err(|refusal| anyhow::anyhow!(refusal.sentence()))?;
        }
    }
    Ok(())
}

async fn drops(
    kernels: &Kernels,
    seller: &Actor,
    count: u32,
    units: u32,
) -> anyhow::Result<Vec<LotId>> {
    let price = cents(PRICE_MINOR)?;
    let mut lots = Vec::new();
    while lots.len() < usize::try_from(count)? {
        let mut tasks = JoinSet::new();
        for place in 0..SETUP_WIDTH.min(usize::try_from(count)? - lots.len()) {
            let lot = NewLot {
                id: ids::lot(),
                seller: seller.person.id,
                title: "Proof".into(),
                description: "A lot of a proof run.".into(),
                art: "clock".into(),
                currency: Currency::Usd,
                opens_in_ms: 0,
                duration_ms: DURATION_MS,
                listed: false,
                terms: NewTerms::Drop {
                    price,
                    units,
                    limit: None,
                },
            };
            let kernel = Arc::clone(kernels.of(place));
            tasks.spawn(async move { kernel.put_up(lot).await });
        }
        for lot in tasks.join_all().await {
            lots.push(lot?.id);
        }
    }
    Ok(lots)
}

/// One command of a race.
struct Shot {
    actor: Actor,
    lot: LotId,
    key: IdempotencyKey,
}

/// The answers of a race.
#[derive(Default)]
struct Tally {
    committed: u64,
    refusals: BTreeMap<String, u64>,
    undecided: u64,
    elapsed_ms: u64,
}

/// Sends every command at once, each in a task of its own, and waits for every answer.
async fn race(kernels: &Kernels, shots: Vec<Shot>) -> anyhow::Result<Tally> {
    let most = cents(PRICE_MINOR)?;
    let start = Arc::new(Barrier::new(shots.len() + 1));
    let mut tasks = JoinSet::new();
    for shot in shots {
        let place = REGIONS
            .iter()
            .position(|region| *region == shot.actor.region)
            .unwrap_or(0);
        let (kernel, start) = (Arc::clone(kernels.of(place)), Arc::clone(&start));
        tasks.spawn(async move {
            start.wait().await;
            let mut last = Err(Failure::Unavailable);
            for _ in 0..MAX_SENDS {
                last = kernel
                    .claim(&shot.actor, shot.key.clone(), shot.lot, 1, most)
                    .await;
                if last.is_ok() {
                    break;
                }
            }
            last
        });
    }
    start.wait().await;
    let began = Instant::now();
    let mut tally = Tally::default();
    while let Some(answer) = tasks.join_next().await {
        match answer?.map(|decided| decided.outcome) {
            Ok(Ok(_receipt)) => tally.committed += 1,
            Ok(Err(refusal)) => *tally.refusals.entry(refusal.code().into()).or_default() += 1,
            Err(_undecided) => tally.undecided += 1,
        }
    }
    tally.elapsed_ms = u64::try_from(began.elapsed().as_millis())?;
    Ok(tally)
}

/// The counters of all kernels together.
fn counters(kernels: &Kernels) -> Counters {
    let mut sum = Counters::default();
    for node in &kernels.nodes {
        let one = node.counters();
        for (cause, count) in one.retries {
            *sum.retries.entry(cause).or_default() += count;
        }
        sum.committed += one.committed;
        sum.unknown_commits += one.unknown_commits;
        sum.given_up += one.given_up;
    }
    sum
}

fn scenario(
    name: &'static str,
    offered: u64,
    expected: u64,
    tally: Tally,
    (before, after): (&Counters, &Counters),
) -> Scenario {
    let since = |cause: &String, count: &u64| count - before.retries.get(cause).unwrap_or(&0);
    let retries_by_cause: BTreeMap<String, u64> = after
        .retries
        .iter()
        .map(|(cause, count)| (cause.clone(), since(cause, count)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let conflicts = after.conflicts() - before.conflicts();
    let mut findings = Vec::new();
    if tally.undecided > 0 {
        findings.push(format!("{} commands were never decided", tally.undecided));
    }
    if conflicts == 0 {
        findings.push("no conflict: the race did not take place".into());
    }
    Scenario {
        name,
        offered,
        committed: tally.committed,
        expected,
        refused: tally.refusals.values().sum(),
        false_declines: expected.saturating_sub(tally.committed),
        violations: tally.undecided,
        conflicts,
        retries: after.all_retries() - before.all_retries(),
        elapsed_ms: tally.elapsed_ms,
        rounds: 1,
        valid: conflicts > 0,
        refusals: tally.refusals,
        retries_by_cause,
        findings,
    }
}

impl Scenario {
    /// Counts a violation unless `holds`.
    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations += 1;
            self.findings.push(otherwise());
        }
    }
}

/// Buyers of the warm-up: as many as two kernels have connections by default, twice over.
const WARM_UP: u32 = 64;

/// Opens the kernels' connections and has them prepare their statements, so that a race measures
/// the race and not the first contact. Its lot and people are not part of any scenario.
///
/// # Errors
/// When it could not be set up.
pub async fn warm_up(kernels: &Kernels) -> anyhow::Result<()> {
    let seller = people(kernels, "seller", 1).await?.remove(0);
    let buyers = people(kernels, "buyer", WARM_UP).await?;
    fund(kernels, &buyers, cents(PRICE_MINOR)?).await?;
    let lot = drops(kernels, &seller, 1, WARM_UP).await?.remove(0);
    let shots = buyers
        .into_iter()
        .map(|actor| Shot {
            actor,
            lot,
            key: ids::key(),
        })
        .collect();
    race(kernels, shots).await.map(|_tally| ())
}

/// N buyers from five Regions rush a drop of K units: K win, the rest are refused as sold out,
/// and the seller is credited K times the price.
///
/// # Errors
/// When the race could not be set up or read back.
pub async fn oversell(kernels: &Kernels, settings: &Settings) -> anyhow::Result<Scenario> {
    let seller = people(kernels, "seller", 1).await?.remove(0);
    let buyers = people(kernels, "buyer", settings.buyers).await?;
    fund(kernels, &buyers, cents(PRICE_MINOR)?)
        .await
        .context("funding the buyers")?;
    let lot = drops(kernels, &seller, 1, settings.units).await?.remove(0);
    let shots = buyers
        .into_iter()
        .map(|actor| Shot {
            actor,
            lot,
            key: ids::key(),
        })
        .collect();
    let before = counters(kernels);
    let tally = race(kernels, shots).await?;
    let (offered, expected) = (
        u64::from(settings.buyers),
        u64::from(settings.units.min(settings.buyers)),
    );
    let mut result = scenario(
        "oversell",
        offered,
        expected,
        tally,
        (&before, &counters(kernels)),
    );
    let rows = kernels.of(1).tally(&[lot]).await?;
    result.expect(rows.units_claimed == expected, || {
        format!(
            "{} units were claimed, {expected} expected",
            rows.units_claimed
        )
    });
    let answered = result.committed;
    result.expect(rows.claims == answered, || {
        format!(
            "{} claims are stored, {answered} were answered",
            rows.claims
        )
    });
    let left = u64::from(settings.units).saturating_sub(expected);
    result.expect(rows.units_left == left, || {
        format!("{} units are left", rows.units_left)
    });
    let due = i64::try_from(expected)? * PRICE_MINOR;
    result.expect(rows.credited_minor == due, || {
        format!(
            "the seller is credited {} cents, {due} are due",
            rows.credited_minor
        )
    });
    let sold_out = Refusal::SoldOut { units_left: 0 }.code();
    let others = result.refused - result.refusals.get(sold_out).unwrap_or(&0);
    result.expect(others == 0, || {
        format!("{others} refusals are not {sold_out}")
    });
    balance(&mut result);
    Ok(result)
}

/// One buyer, funded for one purchase, claims N lots at once: one is theirs, the wallet is never
/// overdrawn.
///
/// # Errors
/// When the race could not be set up or read back.
pub async fn double_spend(kernels: &Kernels, settings: &Settings) -> anyhow::Result<Scenario> {
    let seller = people(kernels, "seller", 1).await?.remove(0);
    let buyer = people(kernels, "spender", 1).await?.remove(0);
    fund(kernels, std::slice::from_ref(&buyer), cents(PRICE_MINOR)?).await?;
    let lots = drops(kernels, &seller, settings.attempts, 1).await?;
    let everywhere = REGIONS.iter().copied().cycle();
    let shots = lots
        .iter()
        .zip(everywhere)
        .map(|(lot, region)| {
            let actor = Actor {
                person: buyer.person.clone(),
                region,
            };
            Shot {
                actor,
                lot: *lot,
                key: ids::key(),
            }
        })
        .collect();
    let before = counters(kernels);
    let tally = race(kernels, shots).await?;
    let offered = u64::from(settings.attempts);
    let expected = offered.min(1);
    let mut result = scenario(
        "double_spend",
        offered,
        expected,
        tally,
        (&before, &counters(kernels)),
    );
    let rows = kernels.of(1).tally(&lots).await?;
    result.expect(rows.claims == expected, || {
        format!("{} lots were won", rows.claims)
    });
    let due = i64::try_from(expected)? * PRICE_MINOR;
    result.expect(rows.credited_minor == due, || {
        format!(
            "the seller is credited {} cents, {due} are due",
            rows.credited_minor
        )
    });
    let wallet = kernels.of(0).wallet(buyer.person.id, Currency::Usd).await?;
    let wallet = wallet.context("the buyer's wallet")?;
    result.expect(
        wallet.available.minor() == 0 && wallet.spent.minor() == due,
        || {
            format!(
                "the wallet has {} free and {} spent",
                wallet.available, wallet.spent
            )
        },
    );
    let insufficient = result.refusals.get("insufficient").copied().unwrap_or(0);
    let others = result.refused - insufficient;
    result.expect(others == 0, || {
        format!("{others} refusals are not insufficient")
    });
    balance(&mut result);
    Ok(result)
}

fn balance(result: &mut Scenario) {
    let (offered, committed, refused) = (result.offered, result.committed, result.refused);
    result.expect(offered == committed + refused, || {
        format!("{offered} offered, but {committed} committed and {refused} refused")
    });
    let declined = result.false_declines;
    result.expect(declined == 0, || {
        format!("{declined} were declined although they could be met")
    });
}
