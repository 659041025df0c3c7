//! What a proof run is played on: kernels, people with money, lots, shops. Everything here is new
//! for each race, so that a race meets nobody but itself.

use super::Kernels;
#[cfg(feature = "local")]
use crate::api::credentials::Secret;
use crate::ids;
#[cfg(feature = "local")]
use crate::ledger::checkout::api_keys::CreateKey;
use crate::ledger::checkout::items::NewItem;
use crate::ledger::checkout::lists::{self, MandateView};
use crate::ledger::checkout::mandates::{NewMandate, Revoke};
use crate::ledger::checkout::merchants::NewMerchant;
use crate::ledger::checkout::{Reply, Work};
use crate::ledger::lots::{NewLot, NewTerms};
use crate::ledger::{Keyed, Ledger, Route};
use anyhow::{Context, bail};
use app::ports::{Actor, Ledger as _};
use shared::purchase::{AgentId, CommitRequest, Label};
use shared::view::{LotView, Person};
use shared::{Currency, ItemId, LotId, MandateId, MerchantId, Money, PrincipalId, Region};
use std::sync::Arc;
use tokio::task::JoinSet;

/// The price of a unit in every race, in cents.
pub const PRICE_MINOR: i64 = 1_000;

/// How long a proof's lots stay open, in milliseconds: far beyond a race.
pub const DURATION_MS: i64 = 600_000;

/// Commands that set up a race, sent at the same time.
const SETUP_WIDTH: usize = 16;

/// People registered in one transaction: DSQL takes 3,000 rows, maintenance 1,000.
const REGISTER_WIDTH: usize = 1_000;

/// How long a mandate may be used, in milliseconds: a day.
const LIFETIME_MS: i64 = 24 * 3_600_000;

/// The Regions that people are tagged with.
pub const REGIONS: [Region; 5] = [
    Region::Tokyo,
    Region::Seoul,
    Region::Frankfurt,
    Region::Ireland,
    Region::Virginia,
];

/// An amount in cents.
pub fn cents(minor: i64) -> anyhow::Result<Money> {
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

/// New people, in all Regions in turn.
pub async fn people(kernels: &Kernels, role: &str, count: u32) -> anyhow::Result<Vec<Actor>> {
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

/// One new person.
pub async fn somebody(kernels: &Kernels, role: &str) -> anyhow::Result<Actor> {
    let mut people = people(kernels, role, 1).await?;
    people.pop().context("nobody was registered")
}

/// Tops up everybody's wallet.
pub async fn fund(kernels: &Kernels, actors: &[Actor], amount: Money) -> anyhow::Result<()> {
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

/// A lot that nobody else hears of.
fn unlisted(seller: &Actor, terms: NewTerms, duration_ms: i64) -> NewLot {
    NewLot {
        id: ids::lot(),
        seller: seller.person.id,
        title: "Proof".into(),
        description: "A lot of a proof run.".into(),
        art: "clock".into(),
        currency: Currency::Usd,
        opens_in_ms: 0,
        duration_ms,
        listed: false,
        terms,
    }
}

/// Puts up one lot.
pub async fn put_up(
    kernels: &Kernels,
    seller: &Actor,
    terms: NewTerms,
    duration_ms: i64,
) -> anyhow::Result<LotView> {
    let lot = unlisted(seller, terms, duration_ms);
    Ok(kernels.of(0).put_up(lot).await?)
}

/// The terms of a drop of so many units, of which a buyer may have so many.
pub fn drop_of(units: u32, limit: Option<u32>) -> anyhow::Result<NewTerms> {
    Ok(NewTerms::Drop {
        price: cents(PRICE_MINOR)?,
        units,
        limit,
    })
}

/// Puts up drops of so many units.
pub async fn drops(
    kernels: &Kernels,
    seller: &Actor,
    count: u32,
    units: u32,
) -> anyhow::Result<Vec<LotId>> {
    let terms = drop_of(units, None)?;
    let mut lots = Vec::new();
    while lots.len() < usize::try_from(count)? {
        let mut tasks = JoinSet::new();
        for place in 0..SETUP_WIDTH.min(usize::try_from(count)? - lots.len()) {
            let lot = unlisted(seller, terms.clone(), DURATION_MS);
            let kernel = Arc::clone(kernels.of(place));
            tasks.spawn(async move { kernel.put_up(lot).await });
        }
        for lot in tasks.join_all().await {
            lots.push(lot?.id);
        }
    }
    Ok(lots)
}

/// A tenant who sells to agents of their own.
pub struct Shop {
    /// Whose money and goods they are.
    pub tenant: PrincipalId,
    /// Who sells.
    pub merchant: MerchantId,
}

fn label(text: &str) -> anyhow::Result<Label> {
    Label::try_from(text.to_owned()).context("a name that is none")
}

async fn make<W: Work>(
    kernel: &Arc<Ledger>,
    tenant: PrincipalId,
    route: Route,
    work: W,
) -> anyhow::Result<()> {
    let keyed = Keyed::new(tenant, ids::key(), route, &[]);
    match kernel.run_keyed(keyed, work).await?.0 {
        Reply::Made(_) => Ok(()),
        Reply::Refused(refusal) => bail!("{refusal}"),
    }
}

impl Shop {
    /// A shop whose tenant has so many cents.
    pub async fn open(kernels: &Kernels, funds_minor: i64) -> anyhow::Result<Self> {
        let (shop, _owner) = Self::open_by(kernels, funds_minor).await?;
        Ok(shop)
    }

    /// [`Shop::open`], with whose it is.
    pub async fn open_by(kernels: &Kernels, funds_minor: i64) -> anyhow::Result<(Self, Actor)> {
        let owner = somebody(kernels, "tenant").await?;
        fund(kernels, std::slice::from_ref(&owner), cents(funds_minor)?).await?;
        let tenant = owner.person.id;
        let merchant = ids::merchant();
        let work = NewMerchant {
            tenant,
            id: merchant,
            name: label("Proof")?,
        };
        make(kernels.of(0), tenant, Route::Merchant, work).await?;
        Ok((Self { tenant, merchant }, owner))
    }

    /// A key of the API that acts for the tenant.
    #[cfg(feature = "local")]
    pub async fn key(&self, kernels: &Kernels) -> anyhow::Result<String> {
        let secret = Secret::fresh(false);
        let key = CreateKey {
            id: ids::api_key(),
            hash: secret.hash(),
            tenant: self.tenant,
            live: false,
            hint: secret.hint(),
        };
        kernels.of(0).runner().run(key).await?;
        Ok(secret.reveal().to_owned())
    }

    /// An item of so many units at [`PRICE_MINOR`].
    pub async fn item(&self, kernels: &Kernels, units: u32) -> anyhow::Result<ItemId> {
        let id = ids::item();
        let work = NewItem {
            tenant: self.tenant,
            id,
            merchant: self.merchant,
            title: label("Proof")?,
            price: cents(PRICE_MINOR)?,
            units,
        };
        make(kernels.of(0), self.tenant, Route::Item, work).await?;
        Ok(id)
    }

    /// A mandate with a budget.
    pub async fn mandate(&self, kernels: &Kernels, cap_minor: i64) -> anyhow::Result<MandateId> {
        let id = ids::mandate();
        let work = NewMandate {
            tenant: self.tenant,
            id,
            cap: cents(cap_minor)?,
            purchase_cap: None,
            scope: Vec::new(),
            lifetime_ms: LIFETIME_MS,
        };
        make(kernels.of(0), self.tenant, Route::Mandate, work).await?;
        Ok(id)
    }

    /// Ends a mandate; what is left of it goes back to the tenant's wallet.
    pub async fn revoke(&self, kernel: &Arc<Ledger>, mandate: MandateId) -> anyhow::Result<()> {
        let work = Revoke {
            tenant: self.tenant,
            mandate,
        };
        make(kernel, self.tenant, Route::Revoke, work).await
    }

    /// A request for one unit.
    pub fn one(
        &self,
        item: ItemId,
        mandate: MandateId,
        agent: &str,
    ) -> anyhow::Result<CommitRequest> {
        Ok(CommitRequest {
            merchant: self.merchant,
            mandate,
            item,
            agent: AgentId::try_from(agent.to_owned()).context("an agent's name that is none")?,
            quantity: 1,
            max_price: cents(PRICE_MINOR)?,
            allow_repeat: false,
        })
    }

    /// Units of an item that are left, by the committed rows.
    pub async fn units_left(&self, kernel: &Arc<Ledger>, item: ItemId) -> anyhow::Result<i64> {
        let tenant = self.tenant;
        let read = kernel
            .runner()
            .read(move |tx| Box::pin(lists::item(tx, tenant, item)));
        Ok(read.await?.context("the item is gone")?.available)
    }

    /// A mandate, by the committed rows.
    pub async fn mandate_of(
        &self,
        kernel: &Arc<Ledger>,
        mandate: MandateId,
    ) -> anyhow::Result<MandateView> {
        let tenant = self.tenant;
        let read = kernel
            .runner()
            .read(move |tx| Box::pin(lists::mandate(tx, tenant, mandate)));
        read.await?.context("the mandate is gone")
    }
}
