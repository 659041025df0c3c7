//! Every POST route with a body that is right, and every GET route.

use crate::caller::{Caller, Site, text};
use crate::common::{drop_of, english};
use serde_json::{Value, json};

/// A tenant's own things.
pub struct Shop {
    pub caller: Caller,
    pub merchant: String,
    pub item: String,
    pub mandate: String,
    pub purchase: String,
    /// A mandate that only bids and claims.
    pub bidder: String,
    /// An English lot of the house.
    pub rising: String,
    /// A drop of the house.
    pub units: String,
}

impl Shop {
    /// A merchant, an item, a mandate, and a purchase of one unit; two lots of the house and a
    /// mandate for them.
    pub async fn open(site: &Site, caller: Caller) -> Self {
        let money = json!({"amount_minor": 100_000, "currency": "USD"});
        caller.make("/v1/wallet/top-up", &money, 201).await;
        let name = json!({"name": "Socks & Co"});
        let made = caller.make("/v1/merchants", &name, 201).await;
        let merchant = text(&made, "merchant_id");
        let mut shop = Self {
            caller,
            merchant,
            item: String::new(),
            mandate: String::new(),
            purchase: String::new(),
            bidder: String::new(),
            rising: site.lot(english()).await,
            units: site.lot(drop_of(20, None)).await,
        };
        shop.item = shop.new_item(500, 10).await;
        shop.mandate = shop.new_mandate(&json!({"cap_minor": 10_000})).await;
        shop.bidder = shop.new_mandate(&json!({"cap_minor": 9_000})).await;
        shop.purchase = shop.bought("scout").await;
        shop
    }

    pub async fn new_item(&self, price_minor: i64, units: u32) -> String {
        let item = json!({"merchant_id": self.merchant, "title": "Socks", "currency": "USD",
                          "price_minor": price_minor, "units": units});
        let made = self.caller.make("/v1/items", &item, 201).await;
        text(&made, "item_id")
    }

    /// A mandate in dollars for an hour, with more or other fields.
    pub async fn new_mandate(&self, more: &Value) -> String {
        let mandate = json!({"cap_minor": 1_000, "currency": "USD", "expires_in_s": 3_600});
        let mandate = merged(mandate, more);
        let made = self.caller.make("/v1/mandates", &mandate, 201).await;
        text(&made, "mandate_id")
    }

    /// A commit of one unit, with more or other fields.
    pub fn order(&self, agent: &str, more: &Value) -> Value {
        let order = json!({"merchant_id": self.merchant, "mandate_id": self.mandate,
                           "item_id": self.item, "agent_id": agent, "quantity": 1,
                           "max_price_minor": 500, "currency": "USD"});
        merged(order, more)
    }

    /// The purchase that an agent makes of one unit.
    pub async fn bought(&self, agent: &str) -> String {
        let order = self.order(agent, &json!({}));
        let receipt = self.caller.make("/v1/purchases/commit", &order, 201).await;
        text(&receipt, "purchase_id")
    }

    /// A bid on a lot, with more or other fields.
    pub fn bid(&self, lot: &str, amount_minor: i64, more: &Value) -> Value {
        let bid = json!({"lot_id": lot, "mandate_id": self.bidder, "agent_id": "bidder",
                         "amount_minor": amount_minor, "currency": "USD"});
        merged(bid, more)
    }

    /// A claim of a lot's units, with more or other fields.
    pub fn claim(&self, lot: &str, units: u32, more: &Value) -> Value {
        let claim = json!({"lot_id": lot, "mandate_id": self.bidder, "agent_id": "bidder",
                           "units": units, "max_price_minor": 500, "currency": "USD"});
        merged(claim, more)
    }

    /// Every POST route.
    pub fn posts(&self) -> Vec<Post> {
        let commit = self.order("walker", &json!({"allow_repeat": false}));
        let mut without_names = commit.clone();
        let fields = without_names.as_object_mut().expect("an object");
        fields.retain(|name, _| !matches!(name.as_str(), "merchant_id" | "mandate_id" | "item_id"));
        let post = |path: &str, status, other: &'static str, body: Value| Post {
            path: path.to_owned(),
            status,
            other,
            body,
        };
        vec![
            post(
                "/v1/wallet/top-up",
                201,
                "amount_minor",
                json!({"amount_minor": 700,
                "currency": "USD"}),
            ),
            post("/v1/merchants", 201, "name", json!({"name": "Shoes"})),
            post(
                "/v1/items",
                201,
                "price_minor",
                json!({"merchant_id": self.merchant,
                "title": "Shoes", "price_minor": 900, "currency": "USD", "units": 3}),
            ),
            post(
                &format!("/v1/items/{}/restock", self.item),
                200,
                "units",
                json!({"units": 2}),
            ),
            post(
                "/v1/mandates",
                201,
                "cap_minor",
                json!({"cap_minor": 600, "currency": "USD",
                "expires_in_s": 60, "purchase_cap_minor": 300,
                "merchant_ids": [self.merchant]}),
            ),
            post("/v1/purchases/commit", 201, "quantity", commit),
            post(
                "/v1/refunds",
                201,
                "amount_minor",
                json!({"purchase_id": self.purchase,
                "amount_minor": 100, "units": 0}),
            ),
            post(
                &format!("/v1/mandates/{}/revoke", self.mandate),
                200,
                "",
                json!({}),
            ),
            post(
                "/v1/sandbox/commit",
                201,
                "quantity",
                merged(without_names, &json!({"agent_id": self.merchant})),
            ),
            post(
                "/v1/bids",
                201,
                "amount_minor",
                self.bid(&self.rising, 1_000, &json!({"region": "eu-west-1"})),
            ),
            post(
                "/v1/claims",
                201,
                "units",
                self.claim(&self.units, 2, &json!({})),
            ),
        ]
    }

    /// Every GET route with a key.
    pub fn gets(&self) -> Vec<String> {
        let mut paths: Vec<String> = LISTS.iter().map(|path| (*path).to_owned()).collect();
        paths.extend([
            "/v1/wallet".to_owned(),
            "/v1/usage".to_owned(),
            format!("/v1/merchants/{}", self.merchant),
            format!("/v1/items/{}", self.item),
            format!("/v1/mandates/{}", self.mandate),
            format!("/v1/purchases/{}", self.purchase),
            format!("/v1/lots/{}", self.rising),
        ]);
        paths
    }
}

/// The lists.
pub const LISTS: [&str; 9] = [
    "/v1/merchants",
    "/v1/items",
    "/v1/mandates",
    "/v1/purchases",
    "/v1/refunds",
    "/v1/ledger/entries",
    "/v1/bids",
    "/v1/claims",
    "/v1/lots",
];

/// A POST route.
pub struct Post {
    pub path: String,
    /// The status of success.
    pub status: u16,
    /// A number or text whose change makes another request; none if there is no field.
    pub other: &'static str,
    pub body: Value,
}

impl Post {
    /// The same fields, the last one first.
    pub fn reversed(&self) -> String {
        let fields = self.body.as_object().expect("an object").iter().rev();
        let fields: Vec<String> = fields
            .map(|(name, value)| format!(" \"{name}\" :\t{value}"))
            .collect();
        format!("{{{}\n}}", fields.join(","))
    }

    /// A body that says something else.
    pub fn changed(&self) -> String {
        let mut body = self.body.clone();
        let value = &mut body[self.other];
        *value = value
            .as_i64()
            .map_or_else(|| json!("Boots"), |number| json!(number + 1));
        body.to_string()
    }

    /// The body with one field's value replaced by raw text.
    pub fn with(&self, name: &str, raw: &str) -> String {
        let fields = self.body.as_object().expect("an object").iter();
        let fields: Vec<String> = fields
            .map(|(field, value)| {
                let value = value.to_string();
                format!("\"{field}\":{}", if field == name { raw } else { &value })
            })
            .collect();
        format!("{{{}}}", fields.join(","))
    }
}

/// An object with more or other fields.
pub fn merged(mut object: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        object[name] = value.clone();
    }
    object
}
