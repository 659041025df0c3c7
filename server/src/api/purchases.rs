//! Purchases: commit, read, list.

use super::Api;
use super::call::{Id, json, key, listed, mark, one};
use super::credentials::Tenant;
use super::decisions::{Receipt, receipt};
use super::fields::Fields;
use super::page::{List, Query, one_more};
use super::problem::Problem;
use super::schemas::{bodies, params, scalars};
use super::undecided;
use crate::ledger::checkout::lists::{self, PurchaseView};
use crate::ledger::page::Cursor;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use shared::money::MAX_MINOR;
use shared::purchase::{AgentId, CommitRequest, MAX_QUANTITY, Named, Refusal};
use shared::{
    Currency, IdempotencyKey, ItemId, MandateId, MerchantId, Money, PrincipalId, PurchaseId,
    TransferId,
};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Why a commit may be refused or not be decided, beside what any call with a key may meet.
pub const COMMIT_PROBLEMS: &[&str] = &[
    "not_found",
    "currency_mismatch",
    "mandate_revoked",
    "mandate_expired",
    "merchant_not_allowed",
    "price_moved",
    "over_purchase_cap",
    "duplicate_suspected",
    "sold_out",
    "mandate_exhausted",
    "total_out_of_range",
    "in_progress",
    "overloaded",
];

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(commit))
        .routes(routes!(list))
        .routes(routes!(read))
}

/// Buys.
///
/// Takes units out of stock and their price out of the mandate, in one transaction, or says why not.
/// The item's price is paid, which is never more than `max_price_minor`.
///
/// A refusal is kept under its key like a receipt. If the reply is lost, or is `in_progress`,
/// `overloaded`, `unavailable` or `outcome_unknown`, send the same request with the same key.
#[utoipa::path(
    post,
    path = "/v1/purchases/commit",
    tag = "Purchases",
    operation_id = "commit_purchase",
    params(params::Key),
    request_body = bodies::Commit,
    responses((status = 201, description = "It is bought.", body = Receipt)),
    extensions(("x-problem-codes" = json!(COMMIT_PROBLEMS))),
)]
pub async fn commit(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let key = key(&headers)?;
    let request = read_request(&body)?;
    run(&api, tenant.id, &key, request).await
}

/// Commits, and answers with the receipt or the refusal.
///
/// # Errors
/// Why nothing was decided.
pub async fn run(
    api: &Api,
    tenant: PrincipalId,
    key: &IdempotencyKey,
    request: CommitRequest,
) -> Result<Response, Problem> {
    let kernel = Arc::clone(api.ledger.kernel());
    let answer = kernel.commit(tenant, key, request).await;
    let answer = answer.map_err(undecided::problem)?;
    Ok(match receipt(answer.purchase, &answer.decision) {
        Ok(receipt) => {
            let body = serde_json::to_string(&receipt).unwrap_or_default();
            json(StatusCode::CREATED, body, answer.replayed)
        }
        Err(problem) => {
            let mut response = problem.into_response();
            mark(response.headers_mut(), answer.replayed);
            response
        }
    })
}

/// Reads the body of a commit.
///
/// # Errors
/// `malformed`, `invalid`.
pub fn read_request(body: &[u8]) -> Result<CommitRequest, Problem> {
    let mut fields = Fields::read(body)?;
    let merchant = fields.id::<MerchantId>("merchant_id", MerchantId::PREFIX);
    let mandate = fields.id::<MandateId>("mandate_id", MandateId::PREFIX);
    let item = fields.id::<ItemId>("item_id", ItemId::PREFIX);
    let terms = read_terms(&mut fields);
    fields.finish()?;
    let request = merchant.zip(mandate).zip(item).zip(terms);
    let request = request.map(|(((merchant, mandate), item), terms)| CommitRequest {
        merchant,
        mandate,
        item,
        agent: terms.agent,
        quantity: terms.quantity,
        max_price: terms.max_price,
        allow_repeat: terms.allow_repeat,
    });
    request.ok_or_else(Problem::invalid_fields)
}

/// Reads the agent's name.
pub fn agent(fields: &mut Fields<'_>) -> Option<AgentId> {
    fields.text("agent_id", "1 to 64 printable ASCII characters", |text| {
        AgentId::try_from(text).ok()
    })
}

/// What a commit says besides what it names.
pub struct TermsRead {
    /// The agent.
    pub agent: AgentId,
    /// Units.
    pub quantity: u32,
    /// The most that a unit may cost.
    pub max_price: Money,
    /// Whether the same purchase may be made again.
    pub allow_repeat: bool,
}

/// Reads what a commit says besides what it names; `None` if something is wrong, which the fields
/// remember.
pub fn read_terms(fields: &mut Fields<'_>) -> Option<TermsRead> {
    let agent = agent(fields);
    let quantity = fields.units("quantity", 1..=MAX_QUANTITY);
    let price = fields.integer("max_price_minor", 1..=MAX_MINOR);
    let currency = fields.currency("currency");
    let allow_repeat = fields.flag("allow_repeat");
    Some(TermsRead {
        agent: agent?,
        quantity: quantity?,
        max_price: Money::new(price?, currency?).ok()?,
        allow_repeat: allow_repeat?,
    })
}

/// A purchase, committed or refused.
#[derive(Serialize, ToSchema)]
#[schema(as = Purchase)]
struct PurchaseBody {
    /// Its id.
    #[schema(value_type = scalars::PurchaseId)]
    purchase_id: PurchaseId,
    /// `committed` or `refused`.
    #[schema(example = "committed")]
    outcome: &'static str,
    /// Why it was refused, if so: a code.
    #[schema(required, example = json!(null))]
    refusal: Option<&'static str>,
    /// Its transfer in the ledger; none if it was refused.
    #[schema(value_type = Option<scalars::TransferId>, required)]
    transfer_id: Option<TransferId>,
    /// Who sold.
    #[schema(value_type = scalars::MerchantId)]
    merchant_id: MerchantId,
    /// Whose budget paid.
    #[schema(value_type = scalars::MandateId)]
    mandate_id: MandateId,
    /// What was bought.
    #[schema(value_type = scalars::ItemId)]
    item_id: ItemId,
    /// Who bought.
    #[schema(value_type = scalars::AgentId)]
    agent_id: String,
    /// How many units.
    #[schema(value_type = scalars::Quantity)]
    quantity: u32,
    /// What a unit cost, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    price_minor: i64,
    /// What all of it cost, in minor units; 0 if that is no amount that can be paid.
    #[schema(value_type = scalars::SumMinor)]
    amount_minor: i64,
    /// What was paid back, in minor units.
    #[schema(value_type = scalars::SumMinor)]
    refunded_minor: i64,
    /// The currency of the amounts.
    #[schema(value_type = scalars::Currency)]
    currency: Currency,
    /// When it was decided.
    #[schema(value_type = scalars::InstantMs)]
    created_at_ms: i64,
}

impl From<PurchaseView> for PurchaseBody {
    fn from(view: PurchaseView) -> Self {
        let committed = view.refusal.is_none();
        Self {
            purchase_id: view.purchase_id,
            outcome: if committed { "committed" } else { "refused" },
            refusal: view.refusal.as_ref().map(Refusal::code),
            transfer_id: committed.then(|| TransferId::from_uuid(view.purchase_id.uuid())),
            merchant_id: view.merchant_id,
            mandate_id: view.mandate_id,
            item_id: view.item_id,
            agent_id: view.agent_id,
            quantity: view.quantity,
            price_minor: view.price_minor,
            amount_minor: view.amount_minor,
            refunded_minor: view.refunded_minor,
            currency: view.currency,
            created_at_ms: view.created_at_ms,
        }
    }
}

/// Reads a purchase, committed or refused.
#[utoipa::path(
    get,
    path = "/v1/purchases/{id}",
    tag = "Purchases",
    operation_id = "get_purchase",
    params(("id" = inline(scalars::PurchaseId), Path, description = "Which.")),
    responses((status = 200, description = "It is there.", body = PurchaseBody)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn read(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<PurchaseId>,
) -> Result<Response, Problem> {
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(lists::purchase(tx, tenant.id, id)));
    one(
        read.await.map(|view| view.map(PurchaseBody::from)),
        Named::Purchase,
    )
}

/// Lists purchases, committed and refused, newest first.
#[utoipa::path(
    get,
    path = "/v1/purchases",
    tag = "Purchases",
    operation_id = "list_purchases",
    params(params::Page),
    responses((status = 200, description = "A page.", body = List<PurchaseBody>)),
)]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let runner = api.ledger.runner();
    let read =
        runner.read_once(move |tx| Box::pin(lists::purchases(tx, tenant.id, one_more(page))));
    let bodies = read
        .await
        .map(|rows| rows.into_iter().map(PurchaseBody::from).collect());
    listed(bodies, page, |body: &PurchaseBody| Cursor {
        at_ms: body.created_at_ms,
        id: body.purchase_id.uuid(),
        leg: 0,
    })
}
