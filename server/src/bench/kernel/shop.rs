//! What the bench buys: a tenant with mandates, and items as they are needed.

use crate::api::credentials::Secret;
use crate::clock::Clock;
use crate::ids;
use crate::ledger::checkout::api_keys::CreateKey;
use crate::ledger::checkout::items::NewItem;
use crate::ledger::checkout::lists;
use crate::ledger::checkout::mandates::NewMandate;
use crate::ledger::checkout::merchants::NewMerchant;
use crate::ledger::checkout::{Reply, Work};
use crate::ledger::endpoint::{DEFAULT_POOL_SIZE, Endpoints};
use crate::ledger::{Keyed, Ledger, Route, audit, schema};
use anyhow::{Context, bail, ensure};
use app::ports::{Actor, Ledger as _};
use shared::purchase::{AgentId, CommitRequest, Label};
use shared::view::Person;
use shared::{Currency, ItemId, MandateId, MerchantId, Money, PrincipalId, Region};
use std::sync::Arc;

/// Budgets that the purchases are spread over, as the baseline's are over its 20 rows.
const MANDATES: usize = 20;

/// What each mandate may spend, in minor units.
const CAP_MINOR: i64 = 400_000;

/// The price of everything: the smallest there is, so that test money suffices.
const PRICE_MINOR: i64 = 1;

/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// A tenant, its merchant and its mandates.
pub struct Shop {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// A key of the API.
    pub key: String,
    /// The tenant.
    pub tenant: PrincipalId,
    merchant: MerchantId,
    mandates: Vec<MandateId>,
}

fn usd(minor: i64) -> anyhow::Result<Money> {
    Ok(Money::new(minor, Currency::Usd)?)
}

impl Shop {
    /// A shop in a database that is empty.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let endpoints = Endpoints::postgres(url, DEFAULT_POOL_SIZE).await?;
        schema::apply(&endpoints).await?;
        let ledger = Ledger::new(endpoints, Arc::new(Clock::new()), |_events| {});
        let person = Person {
            id: PrincipalId::from_uuid(ids::event().uuid()),
            handle: "bench".to_owned(),
            name: "Bench".to_owned(),
            simulated: true,
        };
        let people = ledger.register(vec![person], false).await?;
        let person = people.into_iter().next().context("nobody was registered")?;
        let tenant = person.id;
        let secret = Secret::fresh(false);
        let key = CreateKey {
            id: ids::api_key(),
            hash: secret.hash(),
            tenant,
            live: false,
            hint: secret.hint(),
        };
        ledger.runner().run(key).await?;
        let mut shop = Self {
            ledger,
            key: secret.reveal().to_owned(),
            tenant,
            merchant: ids::merchant(),
            mandates: Vec::new(),
        };
        let actor = Actor {
            person,
            region: Region::Tokyo,
        };
        let all = usd(CAP_MINOR * i64::try_from(MANDATES)?)?;
        let topped_up = shop.ledger.top_up(&actor, ids::key(), all).await?;
        if let Err(refusal) = topped_up.outcome {
            bail!("topping up: {refusal:?}");
        }
        let merchant = NewMerchant {
            tenant,
            id: shop.merchant,
            name: label("Bench")?,
        };
        shop.make(Route::Merchant, merchant).await?;
        for _ in 0..MANDATES {
            let mandate = NewMandate {
                tenant,
                id: ids::mandate(),
                cap: usd(CAP_MINOR)?,
                purchase_cap: None,
                scope: Vec::new(),
                lifetime_ms: DAY_MS,
            };
            shop.mandates.push(mandate.id);
            shop.make(Route::Mandate, mandate).await?;
        }
        Ok(shop)
    }

    async fn make<W: Work>(&self, route: Route, work: W) -> anyhow::Result<()> {
        let keyed = Keyed::new(self.tenant, ids::key(), route, &[]);
        match self.ledger.run_keyed(keyed, work).await?.0 {
            Reply::Made(_) => Ok(()),
            Reply::Refused(refusal) => bail!("{refusal}"),
        }
    }

    /// A new item of so many units.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn item(&self, units: u32) -> anyhow::Result<ItemId> {
        let item = NewItem {
            tenant: self.tenant,
            id: ids::item(),
            merchant: self.merchant,
            title: label("Socks")?,
            price: usd(PRICE_MINOR)?,
            units,
        };
        let id = item.id;
        self.make(Route::Item, item).await?;
        Ok(id)
    }

    /// Units of an item that are left.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn units_left(&self, item: ItemId) -> anyhow::Result<i64> {
        let tenant = self.tenant;
        let read = self
            .ledger
            .runner()
            .read(move |tx| Box::pin(lists::item(tx, tenant, item)));
        Ok(read.await?.context("the item is gone")?.available)
    }

    fn mandate(&self, number: u64) -> MandateId {
        let place = usize::try_from(number).unwrap_or(0) % self.mandates.len();
        self.mandates[place]
    }

    /// The request with a number: one unit, by an agent of its own.
    ///
    /// # Errors
    /// Never.
    pub fn request(&self, item: ItemId, number: u64) -> anyhow::Result<CommitRequest> {
        Ok(CommitRequest {
            merchant: self.merchant,
            mandate: self.mandate(number),
            item,
            agent: AgentId::try_from(format!("agent-{number}"))?,
            quantity: 1,
            max_price: usd(PRICE_MINOR)?,
            allow_repeat: false,
        })
    }

    /// The body of the request with a number.
    #[must_use]
    pub fn body(&self, item: ItemId, number: u64) -> String {
        let (merchant, mandate) = (self.merchant, self.mandate(number));
        format!(
            "{{\"merchant_id\":\"{merchant}\",\"mandate_id\":\"{mandate}\",\"item_id\":\"{item}\",\
             \"agent_id\":\"agent-{number}\",\"quantity\":1,\"max_price_minor\":{PRICE_MINOR},\
             \"currency\":\"USD\"}}"
        )
    }

    /// Runs every audit: a figure of a kernel that breaks a rule is worth nothing.
    ///
    /// # Errors
    /// When an audit finds something.
    pub async fn check(&self) -> anyhow::Result<()> {
        let findings = self.ledger.audit().await?;
        let broken = audit::violations(&findings);
        ensure!(broken == 0, "the audits found {broken} violations");
        Ok(())
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.ledger.close().await;
    }
}

fn label(text: &str) -> anyhow::Result<Label> {
    Ok(Label::try_from(text.to_owned())?)
}
