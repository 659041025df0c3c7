//! The bodies of requests. Each example is one that the API takes, once its ids are one's own.

use super::scalars;
use utoipa::ToSchema;

/// What is bought, by whom and at which price.
#[derive(ToSchema)]
#[schema(example = json!({
    "merchant_id": "mer_1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a",
    "mandate_id": "mnd_3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c",
    "item_id": "itm_2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b",
    "agent_id": "scout", "quantity": 1, "max_price_minor": 1_300, "currency": "USD",
}))]
pub struct Commit {
    /// Who sells.
    #[schema(value_type = scalars::MerchantId)]
    pub merchant_id: String,
    /// Whose budget pays.
    #[schema(value_type = scalars::MandateId)]
    pub mandate_id: String,
    /// What is bought.
    #[schema(value_type = scalars::ItemId)]
    pub item_id: String,
    /// Who buys.
    #[schema(value_type = scalars::AgentId)]
    pub agent_id: String,
    /// How many units.
    #[schema(value_type = scalars::Quantity)]
    pub quantity: u32,
    /// The most that one unit may cost, in minor units. The item's price is paid, not this.
    #[schema(value_type = scalars::AmountMinor)]
    pub max_price_minor: i64,
    /// The currency of item and mandate.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// Whether the same purchase within ten minutes is meant.
    #[schema(default = false)]
    pub allow_repeat: Option<bool>,
}

/// What is bought from the sandbox's stand, and at which price.
#[derive(ToSchema)]
#[schema(example = json!({
    "agent_id": "me", "quantity": 1, "max_price_minor": 100, "currency": "USD",
}))]
pub struct SandboxCommit {
    /// Who buys.
    #[schema(value_type = scalars::AgentId)]
    pub agent_id: String,
    /// How many units.
    #[schema(value_type = scalars::Quantity)]
    pub quantity: u32,
    /// The most that one unit may cost, in minor units. A unit costs 100.
    #[schema(value_type = scalars::AmountMinor)]
    pub max_price_minor: i64,
    /// The stand's currency, which is USD.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// Whether the same purchase within ten minutes is meant.
    #[schema(default = false)]
    pub allow_repeat: Option<bool>,
}

/// What is paid back.
#[derive(ToSchema)]
#[schema(example = json!({
    "purchase_id": "pur_4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d", "amount_minor": 100, "units": 0,
}))]
pub struct NewRefund {
    /// The purchase.
    #[schema(value_type = scalars::PurchaseId)]
    pub purchase_id: String,
    /// How much, in minor units; all that is left if it is not said.
    #[schema(value_type = Option<scalars::AmountMinor>)]
    pub amount_minor: Option<i64>,
    /// Units that go back into stock; none if it is not said.
    #[schema(value_type = Option<scalars::Units>)]
    pub units: Option<u32>,
}

/// A merchant to be.
#[derive(ToSchema)]
#[schema(example = json!({"name": "Socks & Co"}))]
pub struct NewMerchant {
    /// Its name.
    #[schema(value_type = scalars::Label)]
    pub name: String,
}

/// An item to be.
#[derive(ToSchema)]
#[schema(example = json!({
    "merchant_id": "mer_1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a", "title": "Socks",
    "price_minor": 1_250, "currency": "USD", "units": 100,
}))]
pub struct NewItem {
    /// Who sells it.
    #[schema(value_type = scalars::MerchantId)]
    pub merchant_id: String,
    /// Its name.
    #[schema(value_type = scalars::Label)]
    pub title: String,
    /// The price of a unit, in minor units.
    #[schema(value_type = scalars::AmountMinor)]
    pub price_minor: i64,
    /// The currency of the price.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// Units to begin with.
    #[schema(value_type = scalars::Units)]
    pub units: u32,
}

/// Units that come in.
#[derive(ToSchema)]
#[schema(example = json!({"units": 25}))]
pub struct Restock {
    /// How many.
    #[schema(value_type = scalars::MoreUnits)]
    pub units: u32,
}

/// A mandate to be.
#[derive(ToSchema)]
#[schema(example = json!({
    "cap_minor": 50_000, "currency": "USD", "purchase_cap_minor": 5_000,
    "merchant_ids": ["mer_1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a"], "expires_in_s": 86_400,
}))]
pub struct NewMandate {
    /// The budget, in minor units. It leaves the wallet now.
    #[schema(value_type = scalars::AmountMinor)]
    pub cap_minor: i64,
    /// The currency of its amounts.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// The most that one purchase may cost, in minor units; only the budget limits it if it is not
    /// said.
    #[schema(value_type = Option<scalars::AmountMinor>)]
    pub purchase_cap_minor: Option<i64>,
    /// The merchants it is for, each once; all if it is not said or empty.
    #[schema(value_type = Option<Vec<scalars::MerchantId>>, max_items = 20)]
    pub merchant_ids: Option<Vec<String>>,
    /// How long it can be used.
    #[schema(value_type = scalars::LifetimeS)]
    pub expires_in_s: i64,
}

/// Nothing: the path says it all.
#[derive(ToSchema)]
#[schema(example = json!({}))]
pub struct Nothing {}

/// Test money.
#[derive(ToSchema)]
#[schema(example = json!({"amount_minor": 50_000, "currency": "USD"}))]
pub struct TopUp {
    /// How much, in minor units. The wallet has 100,000 units of the currency free at most.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// Its currency.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
}

/// Where messages go.
#[derive(ToSchema)]
#[schema(example = json!({"url": "https://shop.example/webhooks"}))]
pub struct NewWebhookEndpoint {
    /// The URL.
    #[schema(value_type = scalars::WebhookUrl)]
    pub url: String,
}

/// A bid to be.
#[derive(ToSchema)]
#[schema(example = json!({
    "lot_id": "lot_92929292929292929292929292929292",
    "mandate_id": "mnd_3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c",
    "agent_id": "scout", "amount_minor": 1_000, "currency": "USD",
}))]
pub struct NewBid {
    /// The lot, an English one.
    #[schema(value_type = scalars::LotId)]
    pub lot_id: String,
    /// Whose budget the amount is held of.
    #[schema(value_type = scalars::MandateId)]
    pub mandate_id: String,
    /// Who bids.
    #[schema(value_type = scalars::AgentId)]
    pub agent_id: String,
    /// What is offered, in minor units: at least the lot's `next_minimum_minor`.
    #[schema(value_type = scalars::AmountMinor)]
    pub amount_minor: i64,
    /// The currency of lot and mandate.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// Where the agent acts, which the lot's page shows; Frankfurt if it is not said.
    #[schema(value_type = Option<scalars::Region>)]
    pub region: Option<String>,
}

/// A claim to be.
#[derive(ToSchema)]
#[schema(example = json!({
    "lot_id": "lot_92929292929292929292929292929292",
    "mandate_id": "mnd_3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c",
    "agent_id": "scout", "units": 1, "max_price_minor": 500, "currency": "USD",
}))]
pub struct NewClaim {
    /// The lot, a Dutch one or a drop.
    #[schema(value_type = scalars::LotId)]
    pub lot_id: String,
    /// Whose budget pays.
    #[schema(value_type = scalars::MandateId)]
    pub mandate_id: String,
    /// Who claims.
    #[schema(value_type = scalars::AgentId)]
    pub agent_id: String,
    /// How many units.
    #[schema(value_type = scalars::LotUnits)]
    pub units: u32,
    /// The most that one unit may cost, in minor units. The price of the moment is paid, not this.
    #[schema(value_type = scalars::AmountMinor)]
    pub max_price_minor: i64,
    /// The currency of lot and mandate.
    #[schema(value_type = scalars::Currency)]
    pub currency: String,
    /// Where the agent acts, which the lot's page shows; Frankfurt if it is not said.
    #[schema(value_type = Option<scalars::Region>)]
    pub region: Option<String>,
}
