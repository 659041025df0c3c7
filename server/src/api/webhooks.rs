//! Webhooks: where a tenant hears of what happens, and what became of each message.

use super::Api;
use super::call::{Id, found, json, key};
use super::credentials::Tenant;
use super::fields::Fields;
use super::page::{DEFAULT_PAGE, List, Query};
use super::problem::Problem;
use super::schemas::{bodies, params, scalars};
use super::undecided;
use crate::ids;
use crate::ledger::webhooks::{Cursor, Delivery, Disabled, Replay, WebhookEndpoint};
use crate::webhooks::guard::WebhookUrl;
use app::ports::Failure;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::{DeliveryId, EventId, Timestamp, WebhookEndpointId};
use std::str::FromStr;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where a tenant hears of what happens.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
struct EndpointBody {
    /// Its id.
    #[schema(value_type = scalars::WebhookEndpointId)]
    endpoint_id: WebhookEndpointId,
    /// Where messages go.
    #[schema(value_type = scalars::WebhookUrl)]
    url: String,
    /// Whether it hears of anything.
    enabled: bool,
    /// Why it does not.
    #[schema(required)]
    disabled_reason: Option<&'static str>,
    /// Until when messages are signed with the secret before as well.
    #[schema(value_type = Option<scalars::InstantMs>, required)]
    previous_secret_until_ms: Option<i64>,
    /// When it was made.
    #[schema(value_type = scalars::InstantMs)]
    created_at_ms: i64,
    /// What messages are signed with. Not in lists.
    #[schema(value_type = scalars::WebhookSecret, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl EndpointBody {
    fn of(endpoint: WebhookEndpoint, secret: Option<String>) -> Self {
        Self {
            endpoint_id: endpoint.id,
            url: endpoint.url,
            enabled: endpoint.disabled.is_none(),
            disabled_reason: endpoint.disabled.map(Disabled::word),
            previous_secret_until_ms: endpoint.previous_secret_until.map(|at| at.0),
            created_at_ms: endpoint.created_at.0,
            secret,
        }
    }
}

/// A message to a webhook endpoint, and what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
struct DeliveryBody {
    /// Its id.
    #[schema(value_type = scalars::DeliveryId)]
    delivery_id: DeliveryId,
    /// Where it goes.
    #[schema(value_type = scalars::WebhookEndpointId)]
    endpoint_id: WebhookEndpointId,
    /// What happened.
    #[schema(value_type = scalars::EventId)]
    event_id: EventId,
    /// What kind of thing happened.
    #[schema(example = "purchase.committed")]
    r#type: String,
    /// Whether it waits, was delivered, or was given up.
    #[schema(example = "delivered")]
    state: &'static str,
    /// How often it was tried.
    tries: u16,
    /// When it is tried next.
    #[schema(value_type = Option<scalars::InstantMs>, required)]
    next_at_ms: Option<i64>,
    /// Since when it waits.
    #[schema(value_type = scalars::InstantMs)]
    created_at_ms: i64,
    /// When the receiver took it.
    #[schema(value_type = Option<scalars::InstantMs>, required)]
    delivered_at_ms: Option<i64>,
    /// The status that the receiver answered last.
    #[schema(required)]
    last_status: Option<u16>,
    /// Why the last try failed.
    #[schema(required)]
    last_error: Option<String>,
}

impl From<Delivery> for DeliveryBody {
    fn from(delivery: Delivery) -> Self {
        let ms = |at: Option<Timestamp>| at.map(|at| at.0);
        Self {
            delivery_id: delivery.id,
            endpoint_id: delivery.endpoint,
            event_id: delivery.event,
            r#type: delivery.kind,
            state: delivery.state.word(),
            tries: delivery.tries,
            next_at_ms: ms(delivery.next_at),
            created_at_ms: delivery.created_at.0,
            delivered_at_ms: ms(delivery.delivered_at),
            last_status: delivery.last_status,
            last_error: delivery.last_error,
        }
    }
}

/// One try of a delivery.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
struct AttemptBody {
    /// Its number; the first is 1.
    attempt: u16,
    /// When.
    #[schema(value_type = scalars::InstantMs)]
    at_ms: i64,
    /// What the receiver answered.
    #[schema(required)]
    status: Option<u16>,
    /// Why it failed.
    #[schema(required)]
    error: Option<String>,
    /// How long it took, in milliseconds.
    took_ms: i64,
}

/// A delivery with what was sent and every try.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeliveryDetail)]
struct DetailBody {
    #[serde(flatten)]
    delivery: DeliveryBody,
    /// What was sent, as it was sent.
    #[schema(value_type = Object)]
    body: Box<RawValue>,
    /// The tries, the first one first.
    attempts: Vec<AttemptBody>,
}

fn no_endpoint() -> Problem {
    Problem::new("not_found", "There is no such webhook endpoint.")
}

fn no_delivery() -> Problem {
    Problem::new("not_found", "There is no such delivery.")
}

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create, endpoints))
        .routes(routes!(endpoint, delete))
        .routes(routes!(rotate))
        .routes(routes!(deliveries))
        .routes(routes!(delivery))
        .routes(routes!(replay))
}

/// Makes a webhook endpoint.
///
/// Its secret is in the reply. A tenant has ten at most.
#[utoipa::path(
    post,
    path = "/v1/webhooks/endpoints",
    tag = "Webhooks",
    operation_id = "create_webhook_endpoint",
    params(params::Key),
    request_body = bodies::NewWebhookEndpoint,
    responses((status = 201, description = "It is made.", body = EndpointBody)),
    extensions(("x-problem-codes" = json!(["endpoint_limit"]))),
)]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let key = key(&headers)?;
    let mut fields = Fields::read(&body)?;
    let policy = api.policy;
    let url = fields.text(
        "url",
        "an https URL on a public address, such as https://shop.example/webhooks",
        |text| WebhookUrl::parse(&text, policy).ok(),
    );
    fields.finish()?;
    let url = url.ok_or_else(|| Problem::new("invalid", "The URL cannot be used."))?;
    let id = ids::webhook_endpoint_of(tenant.id, &key);
    let made = api
        .ledger
        .create_webhook_endpoint(tenant.id, id, &url)
        .await;
    let made = made.map_err(undecided::failed)?;
    let made = made.map_err(|_limit| {
        Problem::new("endpoint_limit", "There are ten webhook endpoints already.")
    })?;
    if made.endpoint.url != url.uri().to_string() {
        return Err(undecided::failed(Failure::KeyReused));
    }
    let secret = made.secret.reveal().to_owned();
    let body = EndpointBody::of(made.endpoint, Some(secret));
    Ok(json(
        StatusCode::CREATED,
        serde_json::to_string(&body).unwrap_or_default(),
        false,
    ))
}

/// Lists all webhook endpoints.
#[utoipa::path(
    get,
    path = "/v1/webhooks/endpoints",
    tag = "Webhooks",
    operation_id = "list_webhook_endpoints",
    responses((status = 200, description = "All of them.", body = List<EndpointBody>)),
)]
pub async fn endpoints(State(api): State<Api>, tenant: Tenant) -> Result<Response, Problem> {
    let read = api.ledger.webhook_endpoints(tenant.id).await;
    let read = read.map_err(undecided::failed)?.into_iter();
    Ok(found(&List {
        data: read
            .map(|endpoint| EndpointBody::of(endpoint, None))
            .collect(),
        next_cursor: None,
    }))
}

/// Reads a webhook endpoint, with its secret.
#[utoipa::path(
    get,
    path = "/v1/webhooks/endpoints/{id}",
    tag = "Webhooks",
    operation_id = "get_webhook_endpoint",
    params(("id" = inline(scalars::WebhookEndpointId), Path, description = "Which webhook endpoint.")),
    responses((status = 200, description = "It is there.", body = EndpointBody)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn endpoint(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<WebhookEndpointId>,
) -> Result<Response, Problem> {
    let read = api.ledger.webhook_endpoint(tenant.id, id).await;
    let endpoint = read.map_err(undecided::failed)?.ok_or_else(no_endpoint)?;
    let secret = api.ledger.webhook_secret(tenant.id, id).await;
    let secret = secret.map_err(undecided::failed)?;
    let secret = secret.map(|secret| secret.reveal().to_owned());
    Ok(found(&EndpointBody::of(endpoint, secret)))
}

/// Deletes a webhook endpoint.
///
/// It hears of nothing more, and what waits for it is given up. It can still be read.
#[utoipa::path(
    delete,
    path = "/v1/webhooks/endpoints/{id}",
    tag = "Webhooks",
    operation_id = "delete_webhook_endpoint",
    params(("id" = inline(scalars::WebhookEndpointId), Path, description = "Which webhook endpoint.")),
    responses((status = 200, description = "It is disabled.", body = EndpointBody)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<WebhookEndpointId>,
) -> Result<Response, Problem> {
    let deleted = api.ledger.delete_webhook_endpoint(tenant.id, id).await;
    if !deleted.map_err(undecided::failed)? {
        return Err(no_endpoint());
    }
    endpoint(State(api), tenant, Id(id)).await
}

/// A new secret.
#[derive(Serialize, ToSchema)]
#[schema(as = RotatedSecret)]
struct RotatedBody {
    /// The new secret.
    #[schema(value_type = scalars::WebhookSecret)]
    secret: String,
    /// Until when messages are signed with the one before as well.
    #[schema(value_type = scalars::InstantMs)]
    previous_secret_until_ms: i64,
}

/// Gives a webhook endpoint a new secret.
///
/// For a day messages are signed with the old one as well.
#[utoipa::path(
    post,
    path = "/v1/webhooks/endpoints/{id}/rotate",
    tag = "Webhooks",
    operation_id = "rotate_webhook_secret",
    params(("id" = inline(scalars::WebhookEndpointId), Path, description = "Which webhook endpoint.")),
    responses((status = 200, description = "It has a new secret.", body = RotatedBody)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn rotate(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<WebhookEndpointId>,
) -> Result<Response, Problem> {
    let rotated = api.ledger.rotate_webhook_secret(tenant.id, id).await;
    let rotated = rotated
        .map_err(undecided::failed)?
        .ok_or_else(no_endpoint)?;
    Ok(found(&RotatedBody {
        secret: rotated.secret.reveal().to_owned(),
        previous_secret_until_ms: rotated.previous_secret_until.0,
    }))
}

/// Lists deliveries, newest first.
#[utoipa::path(
    get,
    path = "/v1/webhooks/deliveries",
    tag = "Webhooks",
    operation_id = "list_webhook_deliveries",
    params(params::Page, params::Deliveries),
    responses((status = 200, description = "A page.", body = List<DeliveryBody>)),
)]
pub async fn deliveries(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor", "endpoint_id"])?;
    let limit = query.get("limit", "an integer from 1 to 100", |text| {
        text.parse().ok().filter(|limit| (1..=100).contains(limit))
    })?;
    let after = query.get("cursor", "the next_cursor of a page before", |text| {
        Cursor::from_str(text).ok()
    })?;
    let endpoint = query.id("endpoint_id", WebhookEndpointId::PREFIX)?;
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    let page = api
        .ledger
        .webhook_deliveries(tenant.id, endpoint, after, limit)
        .await
        .map_err(undecided::failed)?;
    let data = page.deliveries.into_iter().map(DeliveryBody::from);
    Ok(found(&List {
        data: data.collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

/// Reads a delivery, with what was sent and every try.
#[utoipa::path(
    get,
    path = "/v1/webhooks/deliveries/{id}",
    tag = "Webhooks",
    operation_id = "get_webhook_delivery",
    params(("id" = inline(scalars::DeliveryId), Path, description = "Which delivery.")),
    responses((status = 200, description = "It is there.", body = DetailBody)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn delivery(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<DeliveryId>,
) -> Result<Response, Problem> {
    let read = api.ledger.webhook_delivery(tenant.id, id).await;
    let detail = read.map_err(undecided::failed)?.ok_or_else(no_delivery)?;
    let attempts = detail.attempts.into_iter().map(|line| AttemptBody {
        attempt: line.attempt,
        at_ms: line.at.0,
        status: line.status,
        error: line.error,
        took_ms: line.took_ms,
    });
    Ok(found(&DetailBody {
        delivery: detail.delivery.into(),
        body: RawValue::from_string(detail.body)
            .map_err(|_never| Problem::new("internal", "The message cannot be shown."))?,
        attempts: attempts.collect(),
    }))
}

/// Sends a delivery again.
///
/// Under the same webhook-id, so that a receiver that has had it knows.
#[utoipa::path(
    post,
    path = "/v1/webhooks/deliveries/{id}/replay",
    tag = "Webhooks",
    operation_id = "replay_webhook_delivery",
    params(("id" = inline(scalars::DeliveryId), Path, description = "Which delivery.")),
    responses((status = 200, description = "It waits to be sent.", body = DetailBody)),
    extensions(("x-problem-codes" = json!(["not_found", "endpoint_disabled", "tried_too_often"]))),
)]
pub async fn replay(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<DeliveryId>,
) -> Result<Response, Problem> {
    let replayed = api.ledger.replay_webhook(tenant.id, id).await;
    match replayed.map_err(undecided::failed)? {
        Replay::Queued => delivery(State(api), tenant, Id(id)).await,
        Replay::NotFound => Err(no_delivery()),
        Replay::Disabled => Err(Problem::new(
            "endpoint_disabled",
            "The webhook endpoint hears of nothing more.",
        )),
        Replay::TooOften => Err(Problem::new(
            "tried_too_often",
            "The delivery was tried too often.",
        )),
    }
}
