//! A tenant with a merchant, items and mandates.

use super::{Node, usd};
use app::ports::Actor;
use server::ids;
use server::ledger::checkout::items::{NewItem, Restock};
use server::ledger::checkout::mandates::{NewMandate, Revoke};
use server::ledger::checkout::merchants::NewMerchant;
use server::ledger::checkout::refunds::Refund;
use server::ledger::checkout::{Answer, Decision, Reply, Undecided, Work, lists};
use server::ledger::{Keyed, Route};
use shared::purchase::{AgentId, CommitRequest, Label};
use shared::{ItemId, MandateId, MerchantId, PrincipalId, PurchaseId};
use std::sync::Arc;

/// A day, in milliseconds.
pub const DAY_MS: i64 = 24 * 3_600_000;

pub fn label(text: &str) -> Label {
    Label::try_from(text.to_owned()).expect("a name")
}

pub fn agent(name: &str) -> AgentId {
    AgentId::try_from(name.to_owned()).expect("a name")
}

/// A tenant who sells to their own agents.
pub struct Shop {
    pub owner: Actor,
    pub merchant: MerchantId,
}

impl Node {
    /// Work under a fresh key; the resource, or the refusal's code.
    pub async fn keyed<W: Work>(
        &self,
        tenant: PrincipalId,
        route: Route,
        work: W,
    ) -> Result<String, &'static str> {
        let keyed = Keyed::new(tenant, ids::key(), route, &[]);
        let (reply, _) = self.ledger.run_keyed(keyed, work).await.expect("answers");
        match reply {
            Reply::Made(body) => Ok(body),
            Reply::Refused(refusal) => Err(refusal.code()),
        }
    }

    pub async fn shop(&self, handle: &str, dollars: i64) -> Shop {
        let owner = self.person(handle, dollars).await;
        let tenant = owner.person.id;
        let id = ids::merchant();
        let work = NewMerchant {
            tenant,
            id,
            name: label("Socks & Co"),
        };
        self.keyed(tenant, Route::Merchant, work)
            .await
            .expect("made");
        Shop {
            owner,
            merchant: id,
        }
    }

    pub async fn item(&self, shop: &Shop, price_minor: i64, units: u32) -> ItemId {
        let id = ids::item();
        let work = NewItem {
            tenant: shop.tenant(),
            id,
            merchant: shop.merchant,
            title: label("Socks"),
            price: usd(price_minor),
            units,
        };
        self.keyed(shop.tenant(), Route::Item, work)
            .await
            .expect("made");
        id
    }

    pub async fn mandate(&self, shop: &Shop, cap_minor: i64) -> MandateId {
        let id = ids::mandate();
        let work = NewMandate {
            tenant: shop.tenant(),
            id,
            cap: usd(cap_minor),
            purchase_cap: None,
            scope: Vec::new(),
            lifetime_ms: DAY_MS,
        };
        self.keyed(shop.tenant(), Route::Mandate, work)
            .await
            .expect("made");
        id
    }

    pub async fn restock(&self, shop: &Shop, item: ItemId, units: u32) {
        let work = Restock {
            tenant: shop.tenant(),
            item,
            units,
        };
        self.keyed(shop.tenant(), Route::Restock, work)
            .await
            .expect("made");
    }

    pub async fn revoke(&self, shop: &Shop, mandate: MandateId) -> Result<String, &'static str> {
        let work = Revoke {
            tenant: shop.tenant(),
            mandate,
        };
        self.keyed(shop.tenant(), Route::Revoke, work).await
    }

    pub async fn refund(
        &self,
        shop: &Shop,
        purchase: PurchaseId,
        amount_minor: Option<i64>,
        units: u32,
    ) -> Result<String, &'static str> {
        let work = Refund {
            tenant: shop.tenant(),
            purchase,
            amount_minor,
            units,
        };
        self.keyed(shop.tenant(), Route::Refund, work).await
    }

    /// Commits under a key.
    pub async fn commit(
        &self,
        shop: &Shop,
        key: &str,
        request: CommitRequest,
    ) -> Result<Answer, Undecided> {
        let kernel = Arc::clone(self.ledger.kernel());
        let key = key.parse().expect("a key");
        kernel.commit(shop.tenant(), &key, request).await
    }

    /// Commits under a fresh key; the code of what was decided.
    pub async fn buy(&self, shop: &Shop, request: CommitRequest) -> &'static str {
        let key = ids::key();
        let answer = self.commit(shop, key.as_str(), request).await;
        code(&answer.expect("answers").decision)
    }

    pub async fn stock_left(&self, shop: &Shop, item: ItemId) -> i64 {
        let tenant = shop.tenant();
        let read = self
            .ledger
            .runner()
            .read(move |tx| Box::pin(lists::item(tx, tenant, item)));
        read.await.expect("answers").expect("an item").available
    }

    pub async fn mandate_of(&self, shop: &Shop, mandate: MandateId) -> lists::MandateView {
        let tenant = shop.tenant();
        let read = self
            .ledger
            .runner()
            .read(move |tx| Box::pin(lists::mandate(tx, tenant, mandate)));
        read.await.expect("answers").expect("a mandate")
    }
}

impl Shop {
    pub fn tenant(&self) -> PrincipalId {
        self.owner.person.id
    }

    /// A request for one unit by an agent of its own.
    pub fn one(&self, item: ItemId, mandate: MandateId, name: &str) -> CommitRequest {
        CommitRequest {
            merchant: self.merchant,
            mandate,
            item,
            agent: agent(name),
            quantity: 1,
            max_price: usd(1_000_000),
            allow_repeat: false,
        }
    }
}

pub fn code(decision: &Decision) -> &'static str {
    match decision {
        Decision::Committed { .. } => "committed",
        Decision::Refused(refusal) => refusal.code(),
    }
}
