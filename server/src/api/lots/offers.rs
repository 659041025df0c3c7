//! Bids and claims of agents.

use super::super::Api;
use super::super::call::{Id, json, key, listed, one, refused};
use super::super::credentials::Tenant;
use super::super::decisions;
use super::super::fields::Fields;
use super::super::page::{List, Query, one_more};
use super::super::problem::Problem;
use super::super::purchases::agent;
use super::super::schemas::{bodies, params, scalars};
use super::super::undecided;
use super::views::{BidAnswer, BidBody, ClaimAnswer, ClaimBody};
use crate::ledger::auction::{Offer, Reply, Wish, read};
use crate::ledger::page::Cursor;
use crate::ledger::queue::Twins;
use crate::sessions::DEFAULT_REGION;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use shared::auction::Refusal;
use shared::auction::drop::MAX_UNITS;
use shared::money::MAX_MINOR;
use shared::purchase::{self, AgentId, Named};
use shared::{BidId, LotId, MandateId, Money, Region};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Why a bid or a claim may be refused or not be decided, beside what any call with a key may meet.
const PROBLEMS: &[&str] = &[
    "not_found",
    "own_lot",
    "currency_mismatch",
    "wrong_mechanism",
    "total_out_of_range",
    "not_live",
    "ended",
    "mandate_revoked",
    "mandate_expired",
    "merchant_not_allowed",
    "over_purchase_cap",
    "mandate_exhausted",
    "in_progress",
    "overloaded",
];

/// Those of bids.
const BID_PROBLEMS: &[&str] = &["too_low"];

/// Those of claims.
const CLAIM_PROBLEMS: &[&str] = &["sold_out", "limit_reached", "price_moved"];

/// The routes, each with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(place_bid, bids))
        .routes(routes!(bid))
        .routes(routes!(claim, claims))
}

/// Bids on an English lot.
///
/// The amount is held of the mandate. It is free again in the commit that changes the leader, and paid
/// if the bid wins. A raise of a bid that leads needs the difference only. Who bids in the last moments
/// may move the lot's end. Hear of `bid.freed` and `bid.won` by webhook.
#[utoipa::path(
    post,
    path = "/v1/bids",
    tag = "Lots",
    operation_id = "place_bid",
    params(params::Key),
    request_body = bodies::NewBid,
    responses((status = 201, description = "It leads.", body = BidAnswer)),
    extensions(("x-problem-codes" = json!([PROBLEMS, BID_PROBLEMS].concat()))),
)]
pub async fn place_bid(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    offer(&api, tenant, &headers, &body, |fields| {
        let amount = fields.integer("amount_minor", 1..=MAX_MINOR);
        let currency = fields.currency("currency");
        let amount = Money::new(amount?, currency?).ok()?;
        Some(Wish::Bid { amount })
    })
    .await
}

/// Claims units of a drop, or a Dutch lot at the price of this moment.
///
/// The price is paid at once, out of the mandate, and is never above `max_price_minor`.
#[utoipa::path(
    post,
    path = "/v1/claims",
    tag = "Lots",
    operation_id = "claim_units",
    params(params::Key),
    request_body = bodies::NewClaim,
    responses((status = 201, description = "They are yours.", body = ClaimAnswer)),
    extensions(("x-problem-codes" = json!([PROBLEMS, CLAIM_PROBLEMS].concat()))),
)]
pub async fn claim(
    State(api): State<Api>,
    tenant: Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    offer(&api, tenant, &headers, &body, |fields| {
        let units = fields.units("units", 1..=MAX_UNITS);
        let most = fields.integer("max_price_minor", 1..=MAX_MINOR);
        let currency = fields.currency("currency");
        let (units, max_price) = (units?, Money::new(most?, currency?).ok()?);
        Some(Wish::Claim { units, max_price })
    })
    .await
}

struct Who {
    lot: LotId,
    mandate: MandateId,
    agent: AgentId,
    region: Region,
}

fn read_who(fields: &mut Fields<'_>) -> Option<Who> {
    let lot = fields.id::<LotId>("lot_id", LotId::PREFIX);
    let mandate = fields.id::<MandateId>("mandate_id", MandateId::PREFIX);
    let agent = agent(fields);
    let codes = Region::ALL.map(Region::code).join(", ");
    let wanted = format!("one of {codes}, or nothing");
    let region = fields.optional_text("region", &wanted, |text| text.parse().ok());
    Some(Who {
        lot: lot?,
        mandate: mandate?,
        agent: agent?,
        region: region?.unwrap_or(DEFAULT_REGION),
    })
}

async fn offer(
    api: &Api,
    tenant: Tenant,
    headers: &HeaderMap,
    body: &[u8],
    read_wish: impl FnOnce(&mut Fields<'_>) -> Option<Wish>,
) -> Result<Response, Problem> {
    let key = key(headers)?;
    let mut fields = Fields::read(body)?;
    let who = read_who(&mut fields);
    let wish = read_wish(&mut fields);
    fields.finish()?;
    let Some((who, wish)) = who.zip(wish) else {
        return Err(Problem::invalid_fields());
    };
    let Who {
        lot,
        mandate,
        agent,
        region,
    } = who;
    let funds = (tenant.id, mandate);
    let offer = Offer::by_agent(funds, agent, region, key, lot, wish);
    let answer = api.ledger.lot_queues().offer(offer, Twins::Refuse).await;
    let answer = answer.map_err(undecided::problem)?;
    let made = |body: String| json(StatusCode::CREATED, body, answer.replayed);
    // An answer about nothing uses up no key.
    let is_kept = !answer.reply.is_not_found();
    let no = |problem: Problem| refused(problem, is_kept, answer.replayed);
    // Receipts are texts and numbers, which can always be written.
    Ok(match answer.reply {
        Reply::Bid(receipt) => {
            let body = BidAnswer::new(lot, mandate, receipt);
            made(serde_json::to_string(&body).unwrap_or_default())
        }
        Reply::Claim(receipt) => {
            let body = ClaimAnswer::new(lot, mandate, receipt);
            made(serde_json::to_string(&body).unwrap_or_default())
        }
        Reply::Refused(refusal) => no(by_lot(&refusal)),
        Reply::MandateRefused(refusal) => no(decisions::refused(&refusal)),
    })
}

/// A refusal by the rules of the auction as a problem, with what the caller needs to decide again.
fn by_lot(refusal: &Refusal) -> Problem {
    let new = Problem::new;
    match *refusal {
        Refusal::NotFound => decisions::refused(&purchase::Refusal::NotFound { what: Named::Lot }),
        Refusal::NotLive { opens_at } => {
            new("not_live", "Bidding begins later.").with("opens_at_ms", opens_at.0)
        }
        Refusal::Ended => new("ended", "Bidding on this lot is over."),
        Refusal::TooLow { minimum } => new("too_low", "The bid is below the least one.")
            .with("next_minimum_minor", minimum.minor())
            .with("currency", minimum.currency().code()),
        Refusal::Insufficient { needed, available } => {
            new("insufficient", "The money does not cover the offer.")
                .with("needed_minor", needed.minor())
                .with("available_minor", available.minor())
                .with("currency", needed.currency().code())
        }
        Refusal::SoldOut { units_left } => {
            new("sold_out", "Fewer units are left than were asked for.")
                .with("units_left", units_left)
        }
        Refusal::PriceMoved { price } => {
            new("price_moved", "A unit costs more than was agreed to.")
                .with("price_minor", price.minor())
                .with("currency", price.currency().code())
        }
        Refusal::OwnLot => new("own_lot", "Sellers cannot buy their own lots."),
        Refusal::LimitReached { limit, bought } => new(
            "limit_reached",
            "One buyer may have only so many units of this lot.",
        )
        .with("limit_units", limit)
        .with("bought_units", bought),
        Refusal::WrongMechanism { mechanism } => new(
            "wrong_mechanism",
            "English lots take bids, the others claims.",
        )
        .with("mechanism", mechanism.word()),
        Refusal::CurrencyMismatch { expected } => new(
            "currency_mismatch",
            "Lot, mandate and offer must have one currency.",
        )
        .with("expected", expected.code()),
        Refusal::InvalidAmount => new(
            "total_out_of_range",
            "No amount or number of units can be that.",
        ),
        // Nobody settles or tops up here.
        Refusal::NotDue { .. } | Refusal::TopUpLimit { .. } => {
            new("internal", "Something broke on our side.")
        }
    }
}

/// Reads a bid of an agent of yours.
#[utoipa::path(
    get,
    path = "/v1/bids/{id}",
    tag = "Lots",
    operation_id = "get_bid",
    params(("id" = inline(scalars::BidId), Path, description = "Which.")),
    responses((status = 200, description = "It is there.", body = BidBody)),
    extensions(("x-problem-codes" = json!(["not_found"]))),
)]
pub async fn bid(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<BidId>,
) -> Result<Response, Problem> {
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(read::bid(tx, tenant.id, id)));
    one(read.await.map(|row| row.map(BidBody::from)), Named::Bid)
}

/// Lists the bids of your agents, newest first.
#[utoipa::path(
    get,
    path = "/v1/bids",
    tag = "Lots",
    operation_id = "list_bids",
    params(params::Page),
    responses((status = 200, description = "A page.", body = List<BidBody>)),
)]
pub async fn bids(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(read::bids(tx, tenant.id, one_more(page))));
    let bodies = read
        .await
        .map(|rows| rows.into_iter().map(BidBody::from).collect());
    listed(bodies, page, |body: &BidBody| Cursor {
        at_ms: body.created_at_ms,
        id: body.bid_id.uuid(),
        leg: 0,
    })
}

/// Lists the claims of your agents, newest first.
#[utoipa::path(
    get,
    path = "/v1/claims",
    tag = "Lots",
    operation_id = "list_claims",
    params(params::Page),
    responses((status = 200, description = "A page.", body = List<ClaimBody>)),
)]
pub async fn claims(
    State(api): State<Api>,
    tenant: Tenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Query::read(query.as_deref(), &["limit", "cursor"])?.page()?;
    let runner = api.ledger.runner();
    let read = runner.read_once(move |tx| Box::pin(read::claims(tx, tenant.id, one_more(page))));
    let bodies = read
        .await
        .map(|rows| rows.into_iter().map(ClaimBody::from).collect());
    listed(bodies, page, |body: &ClaimBody| Cursor {
        at_ms: body.created_at_ms,
        id: body.claim_id.uuid(),
        leg: 0,
    })
}
