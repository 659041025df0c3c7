//! Nobody sees or moves what is another tenant's: with A's key and B's ids, every route answers
//! what it answers for ids that name nothing.

use crate::caller::{Site, assert_none, json};
use crate::common::web::Answer;
use crate::paths::{LISTS, Shop};
use serde_json::{Value, json};
use server::ids;

/// What is wrong with an answer about another's thing, next to one about nothing.
fn differs(foreign: &Answer, absent: &Answer, what: &str) -> Option<String> {
    let kinds = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.retain(|name, _| name != "x-request-id" && name != "date");
        headers
    };
    // A purchase's place follows from tenant and key, so it is the same; else it is the request.
    let bodies = [foreign, absent].map(|answer| {
        let id = &answer.headers["x-request-id"];
        answer.body.replace(id.as_str(), "")
    });
    let same = foreign.status == 404
        && json(foreign)["code"] == "not_found"
        && foreign.status == absent.status
        && bodies[0] == bodies[1]
        && kinds(foreign) == kinds(absent);
    (!same).then(|| format!("{what}: {foreign:?} but {absent:?}"))
}

#[tokio::test]
async fn every_route_answers_for_another_tenants_id_as_for_none() {
    let site = Site::start();
    let a = Shop::open(&site, site.tenant("acme")).await;
    let b = Shop::open(&site, site.tenant("bolt")).await;
    let back = json!({"purchase_id": b.purchase, "amount_minor": 100});
    b.caller.make("/v1/refunds", &back, 201).await;
    let before = site.rows().await;
    let no_merchant = ids::merchant().to_string();
    let (no_item, no_mandate) = (ids::item().to_string(), ids::mandate().to_string());
    let no_purchase = shared::PurchaseId::from_uuid(ids::event().uuid()).to_string();
    let mut mistakes = Vec::new();
    for (path, foreign, absent) in [
        ("/v1/merchants/", &b.merchant, &no_merchant),
        ("/v1/items/", &b.item, &no_item),
        ("/v1/mandates/", &b.mandate, &no_mandate),
        ("/v1/purchases/", &b.purchase, &no_purchase),
    ] {
        let foreign = a.caller.get(&format!("{path}{foreign}")).await;
        let absent = a.caller.get(&format!("{path}{absent}")).await;
        mistakes.extend(differs(&foreign, &absent, path));
    }
    let item = |merchant: &str| {
        json!({"merchant_id": merchant, "title": "Socks", "price_minor": 500, "currency": "USD",
               "units": 1})
    };
    let mandate = |merchant: &str| {
        json!({"cap_minor": 500, "currency": "USD", "expires_in_s": 60,
               "merchant_ids": [a.merchant, merchant]})
    };
    let order = |more: Value| a.order("thief", &more);
    let of_b = json!({"merchant_id": b.merchant, "item_id": b.item, "mandate_id": b.mandate});
    let of_none = json!({"merchant_id": no_merchant, "item_id": no_item,
                         "mandate_id": no_mandate});
    let commit = "/v1/purchases/commit";
    let (restock, revoke) = ("/v1/items/{}/restock", "/v1/mandates/{}/revoke");
    let units = json!({"units": 1});
    // A key is not used up by an answer about nothing, so both may have the same.
    for (path, foreign, absent) in [
        ("/v1/items", item(&b.merchant), item(&no_merchant)),
        ("/v1/mandates", mandate(&b.merchant), mandate(&no_merchant)),
        (
            "/v1/refunds",
            json!({"purchase_id": b.purchase}),
            json!({"purchase_id": no_purchase}),
        ),
        (commit, order(of_b), order(of_none)),
        (
            commit,
            order(json!({"item_id": b.item})),
            order(json!({"item_id": no_item})),
        ),
        (
            commit,
            order(json!({"item_id": b.item, "merchant_id": b.merchant})),
            order(json!({"item_id": no_item, "merchant_id": no_merchant})),
        ),
        (
            commit,
            order(json!({"merchant_id": b.merchant})),
            order(json!({"merchant_id": no_merchant})),
        ),
        (
            commit,
            order(json!({"mandate_id": b.mandate})),
            order(json!({"mandate_id": no_mandate})),
        ),
    ] {
        let what = format!("{path} {foreign}");
        let foreign = a.caller.post(path, "thief", &foreign.to_string()).await;
        let absent = a.caller.post(path, "thief", &absent.to_string()).await;
        mistakes.extend(differs(&foreign, &absent, &what));
    }
    for (path, foreign, absent, body) in [
        (restock, &b.item, &no_item, &units),
        (revoke, &b.mandate, &no_mandate, &json!({})),
    ] {
        let body = body.to_string();
        let of = |id: &str| path.replace("{}", id);
        let foreign = a.caller.post(&of(foreign), "thief", &body).await;
        let absent = a.caller.post(&of(absent), "thief", &body).await;
        mistakes.extend(differs(&foreign, &absent, path));
    }
    assert_none(&mistakes);
    assert_eq!(site.rows().await, before, "nothing was written");
    site.assert_clean().await;
}

#[tokio::test]
async fn lists_and_sums_are_each_tenants_own() {
    let site = Site::start();
    let a = Shop::open(&site, site.tenant("acme")).await;
    let b = Shop::open(&site, site.tenant("bolt")).await;
    let back = json!({"purchase_id": b.purchase, "amount_minor": 100});
    b.caller.make("/v1/refunds", &back, 201).await;
    let theirs = [&b.merchant, &b.item, &b.mandate, &b.purchase];
    let mut paths: Vec<String> = LISTS
        .iter()
        .map(|path| format!("{path}?limit=100"))
        .collect();
    paths.extend(["/v1/usage".to_owned(), "/v1/wallet".to_owned()]);
    for path in &paths {
        let seen = a.caller.get(path).await;
        assert!(
            theirs.iter().all(|id| !seen.body.contains(id.as_str())),
            "{path}: {seen:?}"
        );
    }
    assert_eq!(a.caller.read("/v1/refunds").await["data"], json!([]));
    assert_eq!(a.caller.read("/v1/usage").await["data"][0]["committed"], 1);
    for (name, id) in [("mandate_id", &b.mandate), ("merchant_id", &b.merchant)] {
        let entries = a
            .caller
            .read(&format!("/v1/ledger/entries?{name}={id}"))
            .await;
        assert_eq!(entries, json!({"data": [], "next_cursor": null}), "{name}");
    }
    // A cursor of another's list leads nowhere but into one's own.
    for agent in ["one", "two"] {
        b.bought(agent).await;
    }
    let page = b.caller.read("/v1/purchases?limit=1").await;
    let cursor = page["next_cursor"]
        .as_str()
        .expect("more follows")
        .to_owned();
    let seen = a
        .caller
        .read(&format!("/v1/purchases?cursor={cursor}"))
        .await;
    let seen = seen["data"].as_array().expect("a list").clone();
    assert!(
        seen.iter()
            .all(|purchase| purchase["purchase_id"] == a.purchase),
        "{seen:?}"
    );
    site.assert_clean().await;
}
