//! Webhooks: where a tenant hears of what happens, and what became of each message.

use super::Api;
use super::call::{Id, found, json, key};
use super::credentials::Tenant;
use super::fields::Fields;
use super::page::{List, Query};
use super::problem::Problem;
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

/// Deliveries of a page if nobody says how many.
const DEFAULT_PAGE: u32 = 20;

#[derive(Serialize)]
struct EndpointBody {
    endpoint_id: WebhookEndpointId,
    url: String,
    enabled: bool,
    disabled_reason: Option<&'static str>,
    previous_secret_until_ms: Option<i64>,
    created_at_ms: i64,
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

#[derive(Serialize)]
struct DeliveryBody {
    delivery_id: DeliveryId,
    endpoint_id: WebhookEndpointId,
    event_id: EventId,
    r#type: String,
    state: &'static str,
    tries: u16,
    next_at_ms: Option<i64>,
    created_at_ms: i64,
    delivered_at_ms: Option<i64>,
    last_status: Option<u16>,
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

#[derive(Serialize)]
struct AttemptBody {
    attempt: u16,
    at_ms: i64,
    status: Option<u16>,
    error: Option<String>,
    took_ms: i64,
}

#[derive(Serialize)]
struct DetailBody {
    #[serde(flatten)]
    delivery: DeliveryBody,
    /// What was sent, as it was sent.
    body: Box<RawValue>,
    attempts: Vec<AttemptBody>,
}

fn no_endpoint() -> Problem {
    Problem::new("not_found", "There is no such webhook endpoint.")
}

fn no_delivery() -> Problem {
    Problem::new("not_found", "There is no such delivery.")
}

/// `POST /v1/webhooks/endpoints`
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

/// `GET /v1/webhooks/endpoints`
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

/// `GET /v1/webhooks/endpoints/{id}`, with its secret.
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

/// `DELETE /v1/webhooks/endpoints/{id}`
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

#[derive(Serialize)]
struct RotatedBody {
    secret: String,
    previous_secret_until_ms: i64,
}

/// `POST /v1/webhooks/endpoints/{id}/rotate`
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

/// `GET /v1/webhooks/deliveries`
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
    let endpoint = query.get("endpoint_id", "an id", |text| {
        WebhookEndpointId::from_str(text).ok()
    })?;
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

/// `GET /v1/webhooks/deliveries/{id}`
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

/// `POST /v1/webhooks/deliveries/{id}/replay`
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
