//! A demo that moves: seeded people and wallets, lots that follow one another, and a small crowd
//! of simulated bidders who act through the same ports as people do and are labelled as such.

mod catalogue;
mod crowd;
mod people;

pub use catalogue::{THINGS, Thing};
pub use crowd::crowd;

use crate::ids;
use crate::ledger::Ledger;
use crate::ledger::lease::{GiveBack, TakeLease};
use anyhow::Context;
use app::ports::{Actor, Failure, Ledger as _};
use rand::seq::IndexedRandom;
use shared::auction::Mechanism;
use shared::view::Person;
use shared::{Currency, Money, Region};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a seeded person's wallet holds at first, in dollars.
const FIRST_FUNDS: i64 = 5_000;

/// Live lots of each mechanism that the demo keeps up.
const LIVE: [(Mechanism, usize); 3] = [
    (Mechanism::English, 4),
    (Mechanism::Dutch, 3),
    (Mechanism::Drop, 2),
];

/// How often the demo looks whether a lot has to follow.
const INTERVAL: Duration = Duration::from_secs(2);

/// The name of the lease for all of it.
const LEASE: &str = "demo";

/// How long a node runs the demo without renewing its lease.
const LEASE_LIFE_MS: i64 = 8_000;

/// The people of the demo, as stored.
pub struct Cast {
    /// Who sells.
    pub sellers: Vec<Person>,
    /// The simulated bidders with their Regions.
    pub crowd: Vec<Actor>,
}

/// Seeds people and wallets; repeating it changes nothing. The first lots come up as well, so
/// that the first page has something to show.
///
/// # Errors
/// When the ledger cannot answer.
pub async fn seed(ledger: &Arc<Ledger>) -> anyhow::Result<Cast> {
    let bidders = people::BIDDERS.map(|(handle, name, _)| people::person(handle, name, false));
    let house = people::SELLERS.map(|(handle, name)| people::person(handle, name, false));
    let crowd = people::CROWD.map(|(handle, name, _)| people::person(handle, name, true));
    let bidders = ledger.register(bidders.to_vec(), true).await?;
    let sellers = ledger.register(house.to_vec(), true).await?;
    let crowd = ledger.register(crowd.to_vec(), false).await?;
    for person in bidders.iter().chain(&crowd).chain(&sellers) {
        fund(ledger, person)
            .await
            .context("funding the demo's wallets")?;
    }
    let region_of = |person: &Person| {
        let home = people::CROWD
            .iter()
            .find(|(handle, ..)| *handle == person.handle);
        home.map_or(Region::Virginia, |(_, _, region)| *region)
    };
    let crowd = crowd
        .into_iter()
        .map(|p| Actor {
            region: region_of(&p),
            person: p,
        })
        .collect();
    let cast = Cast { sellers, crowd };
    keep_up(ledger, &cast).await?;
    Ok(cast)
}

async fn fund(ledger: &Arc<Ledger>, person: &Person) -> Result<(), Failure> {
    let actor = Actor {
        person: person.clone(),
        region: Region::Virginia,
    };
    // One key for the first funds of a person, so that seeding twice funds once.
    let key = format!("seed-{}", person.handle);
    let key = key.parse().map_err(|_never| Failure::Unavailable)?;
    let amount = Money::new(FIRST_FUNDS * 100, Currency::Usd);
    let amount = amount.map_err(|_never| Failure::Unavailable)?;
    ledger.top_up(&actor, key, amount).await.map(|_decided| ())
}

/// Puts up what is missing of each mechanism.
async fn keep_up(ledger: &Arc<Ledger>, cast: &Cast) -> Result<(), Failure> {
    let floor = ledger.floor().await?;
    for (mechanism, wanted) in LIVE {
        let live: Vec<_> = floor
            .live
            .iter()
            .filter(|lot| lot.mechanism() == mechanism)
            .collect();
        let mut shown: Vec<&str> = live.iter().map(|lot| lot.title.as_str()).collect();
        for slot in live.len()..wanted {
            let of_kind =
                |thing: &&Thing| thing.mechanism == mechanism && !shown.contains(&thing.title);
            let free: Vec<&Thing> = THINGS.iter().filter(of_kind).collect();
            let (thing, seller) = {
                let mut random = rand::rng();
                (
                    free.choose(&mut random).copied(),
                    cast.sellers.choose(&mut random),
                )
            };
            let (Some(thing), Some(seller)) = (thing, seller) else {
                break;
            };
            shown.push(thing.title);
            // Lots put up together get lengths of their own, so that they do not end together.
            let spread = (slot * 100 + rand::random_range(0..100)) / wanted;
            let spread = i64::try_from(spread).unwrap_or(0);
            ledger
                .put_up(catalogue::lot(thing, seller.id, spread))
                .await?;
        }
    }
    Ok(())
}

/// Keeps the demo moving until cancelled. Several nodes may run it; a lease lets one act.
pub async fn run(ledger: Arc<Ledger>, cast: Arc<Cast>, simulate: bool, stop: CancellationToken) {
    let owner = ids::event().uuid();
    let mut act = Act::default();
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = interval.tick() => {}
        }
        let take = TakeLease {
            name: LEASE,
            owner,
            life_ms: LEASE_LIFE_MS,
        };
        let ours = ledger
            .runner()
            .run(take)
            .await
            .is_ok_and(|ran| ran.answer.is_some());
        if !ours {
            act.end().await;
            continue;
        }
        if let Err(failure) = keep_up(&ledger, &cast).await {
            tracing::warn!(%failure, "the demo could not put up a lot; it tries again");
        }
        if simulate {
            act.begin(&ledger, &cast);
        }
    }
    act.end().await;
    let back = GiveBack { name: LEASE, owner };
    if ledger.runner().run(back).await.is_err() {
        tracing::debug!("the demo's lease expires by itself");
    }
}

/// The simulated bidders of the node that has the lease.
#[derive(Default)]
struct Act(Option<(CancellationToken, JoinHandle<()>)>);

impl Act {
    fn begin(&mut self, ledger: &Arc<Ledger>, cast: &Arc<Cast>) {
        if self.0.is_none() {
            let stop = CancellationToken::new();
            let bidders = crowd(Arc::clone(ledger), Arc::clone(cast), stop.clone());
            self.0 = Some((stop, tokio::spawn(bidders)));
        }
    }

    async fn end(&mut self) {
        if let Some((stop, bidders)) = self.0.take() {
            stop.cancel();
            if bidders.await.is_err() {
                tracing::warn!("a simulated bidder panicked");
            }
        }
    }
}
