//! A commit without an API key, on the production kernel: a tenant of the house's own with test
//! money and a stocked item, renewed when either runs low.

use super::Api;
use super::call::{found, key};
use super::decisions::Receipt;
use super::fields::Fields;
use super::limits::Peer;
use super::problem::Problem;
use super::purchases::{COMMIT_PROBLEMS, read_terms, run};
use super::schemas::{bodies, params, resources};
use super::undecided;
use crate::hexadecimal::hexadecimal;
use crate::ids;
use crate::ledger::checkout::items::NewItem;
use crate::ledger::checkout::lists::{self, ItemView, MandateStatus, MandateView};
use crate::ledger::checkout::mandates::NewMandate;
use crate::ledger::checkout::merchants::NewMerchant;
use crate::ledger::checkout::{Reply, Work};
use crate::ledger::page::{Cursor, Page};
use crate::ledger::{Keyed, Ledger, Route, top_up};
use app::ports::{Actor, Failure, Ledger as _};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared::purchase::{AgentId, CommitRequest, Label};
use shared::view::Person;
use shared::{Currency, IdempotencyKey, ItemId, MandateId, MerchantId, Money, PrincipalId, Region};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The tenant's handle.
const HANDLE: &str = "sandbox";

/// The price of a unit: one dollar.
const PRICE_MINOR: i64 = 100;

/// Units of an item; a new item is made when fewer than [`LOW_UNITS`] are left.
const UNITS: u32 = 1_000_000;
const LOW_UNITS: i64 = 10_000;

/// A new mandate is given when less than this is left, in minor units.
const LOW_MINOR: i64 = 100_000;

/// How long a mandate lasts: thirty days.
const LIFETIME_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// How long what was found is trusted. Enough is left for ten thousand purchases when it is found.
const FRESH: Duration = Duration::from_secs(5);

/// What there is to buy, and with what.
#[derive(Clone, Copy, Debug)]
struct Stand {
    tenant: PrincipalId,
    merchant: MerchantId,
    item: ItemId,
    mandate: MandateId,
}

/// The house's own tenant.
pub struct Sandbox {
    ledger: Arc<Ledger>,
    stand: Mutex<Option<(Instant, Stand)>>,
}

impl Sandbox {
    /// A sandbox in a ledger.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            stand: Mutex::default(),
        }
    }

    /// The stand, built or renewed if need be.
    async fn stand(&self) -> Result<Stand, Failure> {
        let mut remembered = self.stand.lock().await;
        if let Some((built, stand)) = *remembered
            && built.elapsed() < FRESH
        {
            return Ok(stand);
        }
        let stand = self.build().await?;
        *remembered = Some((Instant::now(), stand));
        Ok(stand)
    }

    async fn build(&self) -> Result<Stand, Failure> {
        let person = Person {
            id: PrincipalId::from_uuid(ids::event().uuid()),
            handle: HANDLE.to_owned(),
            name: "The sandbox".to_owned(),
            simulated: true,
        };
        let people = self.ledger.register(vec![person], false).await?;
        let person = people.into_iter().next().ok_or(Failure::Unavailable)?;
        let tenant = person.id;
        let merchant = self.merchant(tenant).await?;
        let item = self.item(tenant, merchant).await?;
        let mandate = self.mandate(person).await?;
        Ok(Stand {
            tenant,
            merchant,
            item,
            mandate,
        })
    }

    /// Makes something whose key follows from what it replaces, so that nodes that do so at the same
    /// time make one.
    async fn make<W: Work>(
        &self,
        tenant: PrincipalId,
        route: Route,
        replaces: &str,
        work: W,
    ) -> Result<(), Failure> {
        let keyed = Keyed::new(tenant, key_after(route, replaces), route, &[]);
        match self.ledger.run_keyed(keyed, work).await?.0 {
            Reply::Made(_) => Ok(()),
            Reply::Refused(refusal) => {
                tracing::error!(%refusal, "the sandbox could not be stocked");
                Err(Failure::Unavailable)
            }
        }
    }

    async fn merchant(&self, tenant: PrincipalId) -> Result<MerchantId, Failure> {
        let read = || {
            let runner = self.ledger.runner();
            runner.read_once(move |tx| Box::pin(lists::merchants(tx, tenant, NEWEST)))
        };
        if let Some(merchant) = read().await?.first() {
            return Ok(merchant.merchant_id);
        }
        let work = NewMerchant {
            tenant,
            id: ids::merchant(),
            name: label("The sandbox shop")?,
        };
        self.make(tenant, Route::Merchant, "nothing", work).await?;
        let merchants = read().await?;
        merchants
            .first()
            .map(|m| m.merchant_id)
            .ok_or(Failure::Unavailable)
    }

    async fn newest_item(&self, tenant: PrincipalId) -> Result<Option<ItemView>, Failure> {
        let runner = self.ledger.runner();
        let read = runner.read_once(move |tx| Box::pin(lists::items(tx, tenant, NEWEST)));
        Ok(read.await?.into_iter().next())
    }

    async fn item(&self, tenant: PrincipalId, merchant: MerchantId) -> Result<ItemId, Failure> {
        let before = self.newest_item(tenant).await?;
        let replaces = match before {
            Some(item) if item.available >= LOW_UNITS => return Ok(item.item_id),
            Some(item) => item.item_id.to_string(),
            None => "nothing".to_owned(),
        };
        let work = NewItem {
            tenant,
            id: ids::item(),
            merchant,
            title: label("A pair of sandbox socks")?,
            price: price()?,
            units: UNITS,
        };
        self.make(tenant, Route::Item, &replaces, work).await?;
        let item = self.newest_item(tenant).await?;
        item.map(|item| item.item_id).ok_or(Failure::Unavailable)
    }

    async fn newest_mandate(&self, tenant: PrincipalId) -> Result<Option<MandateView>, Failure> {
        let runner = self.ledger.runner();
        let read = runner.read_once(move |tx| Box::pin(lists::mandates(tx, tenant, NEWEST)));
        Ok(read.await?.into_iter().next())
    }

    async fn mandate(&self, person: Person) -> Result<MandateId, Failure> {
        let tenant = person.id;
        let before = self.newest_mandate(tenant).await?;
        let is_good = |mandate: &MandateView| {
            mandate.status == MandateStatus::Active && mandate.remaining_minor >= LOW_MINOR
        };
        let replaces = match before {
            Some(mandate) if is_good(&mandate) => return Ok(mandate.mandate_id),
            Some(mandate) => mandate.mandate_id.to_string(),
            None => "nothing".to_owned(),
        };
        let cap = top_up::most_available(Currency::Usd).map_err(|_never| Failure::Unavailable)?;
        let wallet = self.ledger.wallet(tenant, Currency::Usd).await?;
        let free = wallet.map_or(0, |wallet| wallet.available.minor());
        let missing = Money::new(cap.minor() - free, Currency::Usd);
        if let Some(missing) = missing.ok().filter(|missing| missing.minor() > 0) {
            let actor = Actor {
                person,
                region: Region::Tokyo,
            };
            let key = key_after(Route::TopUp, &replaces);
            // A refusal means that the wallet is full: the mandate says whether it suffices.
            let _done = self.ledger.top_up(&actor, key, missing).await?;
        }
        let work = NewMandate {
            tenant,
            id: ids::mandate(),
            cap,
            purchase_cap: None,
            scope: Vec::new(),
            lifetime_ms: LIFETIME_MS,
        };
        self.make(tenant, Route::Mandate, &replaces, work).await?;
        let mandate = self.newest_mandate(tenant).await?;
        mandate
            .map(|mandate| mandate.mandate_id)
            .ok_or(Failure::Unavailable)
    }
}

/// The newest of a list.
const NEWEST: Page = Page {
    after: Cursor::NEWEST,
    limit: 1,
};

fn label(text: &str) -> Result<Label, Failure> {
    Label::try_from(text.to_owned()).map_err(|_never| Failure::Unavailable)
}

fn price() -> Result<Money, Failure> {
    Money::new(PRICE_MINOR, Currency::Usd).map_err(|_never| Failure::Unavailable)
}

fn key_after(route: Route, replaces: &str) -> IdempotencyKey {
    let text = format!("sandbox-{route:?}-after-{replaces}");
    text.parse().unwrap_or_else(|_never| ids::key())
}

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(read))
        .routes(routes!(commit))
}

/// The stand that the house keeps stocked.
#[derive(Serialize, ToSchema)]
#[schema(as = Sandbox)]
struct SandboxBody {
    /// What it sells.
    #[schema(value_type = resources::Item)]
    item: ItemView,
    /// What pays for it.
    #[schema(value_type = resources::Mandate)]
    mandate: MandateView,
    /// What is one's own here and what is everybody's.
    #[schema(example = "Keys and agent names are kept apart by address.")]
    scope: &'static str,
    /// How to buy.
    #[schema(example = "POST /v1/sandbox/commit")]
    try_it: &'static str,
}

/// Shows the stand.
///
/// What there is to buy, and what is left of the budget that all visitors share.
#[utoipa::path(
    get,
    path = "/v1/sandbox",
    tag = "Sandbox",
    operation_id = "get_sandbox",
    security(()),
    responses((status = 200, description = "The stand.", body = SandboxBody)),
)]
pub async fn read(State(api): State<Api>) -> Result<Response, Problem> {
    let stand = api.sandbox.stand().await.map_err(undecided::failed)?;
    let read = api.ledger.runner().read(move |tx| {
        Box::pin(async move {
            let item = lists::item(tx, stand.tenant, stand.item).await?;
            let mandate = lists::mandate(tx, stand.tenant, stand.mandate).await?;
            Ok(item.zip(mandate))
        })
    });
    let both = read.await.map_err(undecided::failed)?;
    let (item, mandate) = both.ok_or_else(|| undecided::failed(Failure::Unavailable))?;
    Ok(found(&SandboxBody {
        item,
        mandate,
        scope: "Stock and budget are everybody's. Idempotency keys and agent names are kept apart by \
                address, of IPv6 by /64 network: only who shares yours meets yours, and from another \
                address your keys are new. Of the address only a hash is kept.",
        try_it: "POST /v1/sandbox/commit with an Idempotency-Key header and \
                 {\"agent_id\":\"me\",\"quantity\":1,\"max_price_minor\":100,\"currency\":\"USD\"}",
    }))
}

/// Buys from the stand.
///
/// As a commit, without API key, merchant, mandate and item: the same kernel, the same repeats, the same
/// refusals.
#[utoipa::path(
    post,
    path = "/v1/sandbox/commit",
    tag = "Sandbox",
    operation_id = "commit_sandbox",
    security(()),
    params(params::Key),
    request_body = bodies::SandboxCommit,
    responses((status = 201, description = "It is bought.", body = Receipt)),
    extensions(("x-problem-codes" = json!(COMMIT_PROBLEMS))),
)]
pub async fn commit(
    State(api): State<Api>,
    visitor: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let key = key(&headers)?;
    let mut fields = Fields::read(&body)?;
    let terms = read_terms(&mut fields);
    fields.finish()?;
    let invalid = || Problem::invalid_fields();
    let terms = terms.ok_or_else(invalid)?;
    let stand = api.sandbox.stand().await.map_err(undecided::failed)?;
    let request = CommitRequest {
        merchant: stand.merchant,
        mandate: stand.mandate,
        item: stand.item,
        agent: visitor_agent(&stand, visitor, &terms.agent)?,
        quantity: terms.quantity,
        max_price: terms.max_price,
        allow_repeat: terms.allow_repeat,
    };
    let key = visitor_key(&stand, visitor, &key)?;
    run(&api, stand.tenant, &key, request).await
}

/// What a visitor calls something, as a name that no other visitor has. All visitors are one tenant,
/// so without this a stranger's key would answer another's purchase, and a stranger's agent would be
/// suspected of it.
fn apart(stand: &Stand, Peer(visitor): Peer, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(stand.tenant.uuid().as_bytes());
    hash.update(visitor.to_be_bytes());
    hash.update(text);
    hexadecimal(&hash.finalize())
}

fn visitor_key(
    stand: &Stand,
    visitor: Peer,
    key: &IdempotencyKey,
) -> Result<IdempotencyKey, Problem> {
    let parsed = apart(stand, visitor, key.as_str()).parse();
    parsed.map_err(|_never| undecided::failed(Failure::Unavailable))
}

fn visitor_agent(stand: &Stand, visitor: Peer, agent: &AgentId) -> Result<AgentId, Problem> {
    let parsed = AgentId::try_from(apart(stand, visitor, agent.as_str()));
    parsed.map_err(|_never| undecided::failed(Failure::Unavailable))
}
