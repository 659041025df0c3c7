//! The OpenAPI document beside the API: every route of the one is in the other, every example is
//! taken, every bound is kept. That replies are as described is looked at wherever a test calls.

use crate::caller::{Caller, Site, json};
use crate::common::web::request;
use crate::contract;
use crate::paths::Shop;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Methods that a path could have.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A path with ids that are there; those of webhooks are made up.
fn filled(path: &str, shop: &Shop) -> String {
    let id = match path.split('/').nth(2) {
        Some("merchants") => shop.merchant.clone(),
        Some("items") => shop.item.clone(),
        Some("mandates") => shop.mandate.clone(),
        Some("purchases") => shop.purchase.clone(),
        Some("lots") => shop.rising.clone(),
        Some("bids") => format!("bid_{}", "0".repeat(32)),
        _ if path.contains("deliveries") => format!("dlv_{}", "0".repeat(32)),
        _ => format!("whe_{}", "0".repeat(32)),
    };
    path.replace("{id}", &id)
}

/// An example with ids that are there.
fn usable(path: &str, example: &Value, shop: &Shop) -> Value {
    let lot = match path {
        "/v1/claims" => &shop.units,
        _ => &shop.rising,
    };
    let mut body = example.clone();
    let ids = [
        ("merchant_id", json!(shop.merchant)),
        ("merchant_ids", json!([shop.merchant])),
        ("mandate_id", json!(shop.mandate)),
        ("lot_id", json!(lot)),
        ("item_id", json!(shop.item)),
        ("purchase_id", json!(shop.purchase)),
        ("url", json!("http://127.0.0.1:9/webhooks")),
        // The scout has bought already.
        ("agent_id", json!("reader")),
    ];
    for (name, value) in ids {
        if body.get(name).is_some() {
            body[name] = value;
        }
    }
    body
}

#[tokio::test]
async fn every_documented_route_is_there_and_no_other() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let routes = contract::routes();
    for (method, path, _) in &routes {
        let answer = acme.call(method, &filled(path, &shop), None, "").await;
        let no_path = answer.body.contains("The API has no such path.");
        assert!(
            answer.status != 405 && !no_path,
            "{method} {path}: {answer:?}"
        );
    }
    for (_, path, _) in &routes {
        for method in METHODS {
            let known = routes.iter().any(|(m, p, _)| m == method && p == path);
            let answer = acme.call(method, &filled(path, &shop), None, "").await;
            assert_eq!(answer.status == 405, !known, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn every_example_is_taken_and_every_bound_is_kept() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let mut taken = 0;
    // What revokes the mandate comes last.
    let mut routes = contract::routes();
    routes.sort_by_key(|(_, path, _)| path.contains("revoke"));
    for (method, path, operation) in &routes {
        let Some(schema) = contract::body_schema(operation) else {
            continue;
        };
        let faults = contract::faults(schema, &schema["example"]);
        assert!(faults.is_empty(), "{path}: {faults:?}");
        let body = usable(path, &schema["example"], &shop);
        let path = filled(path, &shop);
        let fields = schema["properties"].as_object().expect("fields");
        for (name, field) in fields {
            for beyond in beyond_bounds(field) {
                let mut wrong = body.clone();
                wrong[name] = json!(beyond);
                let answer = acme.send(&path, &wrong).await;
                assert_eq!(answer.status, 422, "{path} {wrong}: {answer:?}");
            }
        }
        let mut more = body.clone();
        more["unheard_of"] = json!(1);
        assert_eq!(acme.send(&path, &more).await.status, 422, "{path} {more}");
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            let mut less = body.clone();
            less.as_object_mut().expect("an object").remove(name);
            assert_eq!(acme.send(&path, &less).await.status, 422, "{path} {less}");
        }
        let answer = acme.send(&path, &body).await;
        assert!(answer.status < 300, "{method} {path} {body}: {answer:?}");
        taken += 1;
    }
    assert!(taken >= 9, "{taken} examples were tried");
}

/// One less than the least and one more than the most that a number may be.
fn beyond_bounds(field: &Value) -> Vec<i64> {
    let mut places = vec![field];
    places.extend(field["oneOf"].as_array().into_iter().flatten());
    let named = places.iter().filter_map(|place| place["$ref"].as_str());
    let mut found: Vec<&Value> = named.filter_map(contract::resolve).collect();
    found.extend(places);
    let bound = |name: &str, by: i64| {
        let bounds = found.iter().filter_map(|schema| schema[name].as_i64());
        bounds.map(|bound| bound + by).collect::<Vec<i64>>()
    };
    [bound("minimum", -1), bound("maximum", 1)].concat()
}

/// Waits for the first delivery to be queued.
async fn first_delivery(caller: &Caller) -> Value {
    let began = Instant::now();
    loop {
        let page = caller.read("/v1/webhooks/deliveries").await;
        if let Some(first) = page["data"].as_array().expect("a list").first() {
            return first.clone();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn replies_about_webhooks_are_as_described() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let url = json!({"url": "http://127.0.0.1:9/webhooks"});
    let made = acme.make("/v1/webhooks/endpoints", &url, 201).await;
    let endpoint = crate::caller::text(&made, "endpoint_id");
    let path = format!("/v1/webhooks/endpoints/{endpoint}");
    acme.read("/v1/webhooks/endpoints").await;
    assert_eq!(acme.read(&path).await["secret"], made["secret"]);
    shop.bought("messenger").await;
    let delivery = first_delivery(acme).await;
    let delivery = format!(
        "/v1/webhooks/deliveries/{}",
        crate::caller::text(&delivery, "delivery_id")
    );
    acme.read(&delivery).await;
    for (method, path, status) in [
        ("POST", format!("{path}/rotate"), 200),
        ("POST", format!("{delivery}/replay"), 200),
        ("DELETE", path.clone(), 200),
        ("POST", format!("{delivery}/replay"), 409),
    ] {
        let answer = acme.call(method, &path, None, "").await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    assert_eq!(acme.read(&path).await["enabled"], false);
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let site = Site::start();
    let address = site.node.address.as_str();
    let get = |path: &'static str, headers: Vec<(&'static str, String)>| async move {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        request(address, "GET", path, &headers, "").await
    };
    let answer = get("/openapi.json", vec![]).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(json(&answer), server::api::openapi());
    let tag = answer.headers["etag"].clone();
    let again = get("/openapi.json", vec![("If-None-Match", tag)]).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let page = get("/docs/api", vec![]).await;
    assert_eq!(page.status, 200);
    let policy = &page.headers["content-security-policy"];
    assert!(policy.contains("script-src 'self';"), "{policy}");
    for part in [
        "/pkg/scalar.js",
        "/openapi.json",
        "/docs/errors",
        "href=\"/\"",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(!page.body.contains("https://"), "nothing is from elsewhere");
    assert!(page.body.contains("data-theme=\"system\""));
    let dark = vec![("Cookie", "lotzero_theme=dark".to_owned())];
    let dark = get("/docs/api", dark).await;
    assert!(dark.body.contains("\"forceDarkModeState\":\"dark\""));
    assert!(get("/docs/errors", vec![]).await.body.contains("/docs/api"));
}
