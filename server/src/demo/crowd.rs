//! The simulated bidders. Each has its own idea of what a thing is worth, fixed by who and what,
//! so that prices end where somebody stops rather than anywhere.

use super::Cast;
use super::catalogue::{THINGS, Thing};
use crate::ids;
use crate::ledger::Ledger;
use app::ports::{Actor, Ledger as _};
use rand::seq::IndexedRandom;
use shared::view::{LotView, Terms};
use shared::{Currency, Money};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The pause between two acts of the crowd, in milliseconds: lively, and readable.
const PAUSE_MS: std::ops::Range<u64> = 900..2_600;

/// Below this many cents free, a simulated bidder tops up.
const POOR_BELOW_MINOR: i64 = 200_000;

/// What a top-up brings, in cents.
const TOP_UP_MINOR: i64 = 500_000;

/// Acts until cancelled.
pub async fn crowd(ledger: Arc<Ledger>, cast: Arc<Cast>, stop: CancellationToken) {
    loop {
        let pause = Duration::from_millis(rand::random_range(PAUSE_MS));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let Ok(floor) = ledger.floor().await else {
            continue;
        };
        let choice = {
            let mut random = rand::rng();
            (
                floor.live.choose(&mut random),
                cast.crowd.choose(&mut random),
            )
        };
        if let (Some(lot), Some(actor)) = choice {
            act(&ledger, actor, lot, floor.server_time).await;
        }
    }
}

/// What one bidder thinks a lot is worth, in cents: 70 to 119 per cent of the estimate.
fn worth(actor: &Actor, lot: &LotView, thing: &Thing) -> i64 {
    let mut hash = DefaultHasher::new();
    (actor.person.id, lot.id).hash(&mut hash);
    let percent = 70 + i64::try_from(hash.finish() % 50).unwrap_or(0);
    thing.estimate * percent
}

async fn act(ledger: &Arc<Ledger>, actor: &Actor, lot: &LotView, now: shared::Timestamp) {
    let Some(thing) = THINGS.iter().find(|thing| thing.title == lot.title) else {
        return;
    };
    let worth = worth(actor, lot, thing);
    let affordable = |price: &Money| price.minor() <= worth;
    // Refusals are part of the game: somebody else was first.
    let answered = match &lot.terms {
        Terms::English {
            leader,
            next_minimum,
            ..
        } => {
            let leads = leader
                .as_ref()
                .is_some_and(|line| line.who.id == actor.person.id);
            let Some(amount) = next_minimum.filter(affordable) else {
                return;
            };
            if leads {
                return;
            }
            ledger
                .bid(actor, ids::key(), lot.id, amount)
                .await
                .map(|_| ())
        }
        Terms::Dutch { schedule } => {
            let price = schedule.price_at(lot.opens_at, now);
            // Nobody is in a hurry above their own price, and few are below it.
            if !affordable(&price) || rand::random_range(0..4) > 0 {
                return;
            }
            ledger
                .claim(actor, ids::key(), lot.id, 1, price)
                .await
                .map(|_| ())
        }
        Terms::Drop { price, .. } => ledger
            .claim(actor, ids::key(), lot.id, 1, *price)
            .await
            .map(|_| ()),
    };
    if let Err(failure) = answered {
        tracing::debug!(%failure, "a simulated bidder got no answer");
    }
    top_up_if_poor(ledger, actor).await;
}

async fn top_up_if_poor(ledger: &Arc<Ledger>, actor: &Actor) {
    let Ok(Some(wallet)) = ledger.wallet(actor.person.id, Currency::Usd).await else {
        return;
    };
    if wallet.available.minor() >= POOR_BELOW_MINOR {
        return;
    }
    if let Ok(amount) = Money::new(TOP_UP_MINOR, Currency::Usd)
        && let Err(failure) = ledger.top_up(actor, ids::key(), amount).await
    {
        tracing::debug!(%failure, "a simulated bidder could not top up");
    }
}
