//! Headers and parameters.

use super::scalars;
use crate::ledger::page::MAX_PAGE;
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// The header of every call that changes something.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Key {
    /// A value of your own for each intended effect, such as a UUID, so that the call can be
    /// repeated safely. The same key with the same body is answered as the first time, with
    /// Idempotent-Replayed; with another body it is refused.
    #[param(rename = "Idempotency-Key", value_type = scalars::IdempotencyKey, inline)]
    pub key: String,
}

/// The part of a list that is asked for.
pub struct Page;

impl IntoParams for Page {
    fn into_params(_where: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_PAGE))
            .default(Some(super::super::page::DEFAULT_PAGE.into()));
        vec![
            query("limit", "How many at most.", limit),
            query(
                "cursor",
                "Where the page begins: the next_cursor of the page before. Without it: with the newest.",
                ObjectBuilder::new().schema_type(Type::String),
            ),
        ]
    }
}

fn query(name: &str, description: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// Which ledger entries are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Entries {
    /// Those in this currency; in USD if it is not said.
    #[param(value_type = scalars::Currency, inline)]
    pub currency: Option<String>,
    /// Those of this mandate's budget. Not together with `merchant_id`.
    #[param(value_type = scalars::MandateId, inline)]
    pub mandate_id: Option<String>,
    /// Those of what is owed to this merchant. Not together with `mandate_id`.
    #[param(value_type = scalars::MerchantId, inline)]
    pub merchant_id: Option<String>,
}

/// Which time usage is told of.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Usage {
    /// From this instant on, at most 31 days before `to_ms`; 31 days before it if it is not said.
    #[param(value_type = scalars::InstantMs, inline)]
    pub from_ms: Option<i64>,
    /// Up to this instant, itself left out; now if it is not said.
    #[param(value_type = scalars::InstantMs, inline)]
    pub to_ms: Option<i64>,
}

/// Whose wallet.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wallet {
    /// The currency; USD if it is not said.
    #[param(value_type = scalars::Currency, inline)]
    pub currency: Option<String>,
}

/// Which deliveries are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Deliveries {
    /// Those to this webhook endpoint.
    #[param(value_type = scalars::WebhookEndpointId, inline)]
    pub endpoint_id: Option<String>,
}
