//! Every refusal over HTTP: its status, and what it tells to decide again.

use crate::caller::{Site, assert_none, json, wrong};
use crate::paths::Shop;
use serde_json::{Value, json};
use server::ids;
use shared::money::MAX_MINOR;
use std::time::Duration;

const COMMIT: &str = "/v1/purchases/commit";

#[expect(clippy::too_many_lines, reason = "the table is the test")]
#[tokio::test]
async fn every_rule_of_a_mandate_has_its_status() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let other = acme
        .make("/v1/merchants", &json!({"name": "Elsewhere"}), 201)
        .await;
    let yen = json!({"amount_minor": 5_000, "currency": "JPY"});
    acme.make("/v1/wallet/top-up", &yen, 201).await;
    let short = shop.new_mandate(&json!({"expires_in_s": 1})).await;
    let scoped = json!({"merchant_ids": [other["merchant_id"]]});
    let scoped = shop.new_mandate(&scoped).await;
    let capped = shop.new_mandate(&json!({"purchase_cap_minor": 499})).await;
    let small = shop.new_mandate(&json!({"cap_minor": 499})).await;
    let in_yen = json!({"currency": "JPY", "cap_minor": 600});
    let in_yen = shop.new_mandate(&in_yen).await;
    let ended = shop.new_mandate(&json!({})).await;
    acme.make(&format!("/v1/mandates/{ended}/revoke"), &json!({}), 200)
        .await;
    let few = shop.new_item(500, 1).await;
    let dear = shop.new_item(MAX_MINOR, 10).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let usd = |name: &str, minor: i64| json!({name: minor, "currency": "USD"});
    let by = |mandate: &str| json!({"mandate_id": mandate});
    let table: Vec<(Value, u16, &str, Value)> = vec![
        (by(&short), 403, "mandate_expired", json!({})),
        (by(&ended), 403, "mandate_revoked", json!({})),
        (by(&scoped), 403, "merchant_not_allowed", json!({})),
        (by(&small), 402, "mandate_exhausted", usd("left_minor", 499)),
        (by(&capped), 402, "over_purchase_cap", usd("cap_minor", 499)),
        (
            by(&in_yen),
            422,
            "currency_mismatch",
            json!({"expected": "JPY"}),
        ),
        (
            json!({"currency": "JPY"}),
            422,
            "currency_mismatch",
            json!({"expected": "USD"}),
        ),
        (
            json!({"max_price_minor": 499}),
            409,
            "price_moved",
            usd("price_minor", 500),
        ),
        (
            json!({"item_id": few, "quantity": 2}),
            409,
            "sold_out",
            json!({"units_left": 1}),
        ),
        (
            json!({"item_id": dear, "max_price_minor": MAX_MINOR, "quantity": 2}),
            422,
            "total_out_of_range",
            json!({}),
        ),
        (
            json!({"agent_id": "scout"}),
            409,
            "duplicate_suspected",
            json!({}),
        ),
        (
            by(&ids::mandate().to_string()),
            404,
            "not_found",
            json!({"what": "mandate"}),
        ),
    ];
    let wallet = acme.read("/v1/wallet").await;
    let mut mistakes = Vec::new();
    for (more, status, code, told) in &table {
        let answer = acme.send(COMMIT, &shop.order("walker", more)).await;
        let problem = wrong(&answer, *status, code, &more.to_string());
        mistakes.extend(problem);
        for (name, value) in told.as_object().expect("an object") {
            if json(&answer)[name] != *value {
                mistakes.push(format!("{more}: {name} is not {value}: {answer:?}"));
            }
        }
        // A refusal that is kept can be read.
        let place = json(&answer)["instance"]
            .as_str()
            .expect("a place")
            .to_owned();
        let kept = acme.get(&place).await;
        if *code != "not_found" && json(&kept)["refusal"] != *code {
            mistakes.push(format!("{more}: not kept: {kept:?}"));
        }
    }
    assert_none(&mistakes);
    let answer = acme.send(COMMIT, &shop.order("scout", &json!({}))).await;
    let first = &json(&answer)["first"];
    assert_eq!(first["purchase_id"], shop.purchase);
    assert_eq!(
        (&first["amount_minor"], &first["currency"]),
        (&json!(500), &json!("USD"))
    );
    let meant = shop.order("scout", &json!({"allow_repeat": true}));
    acme.make(COMMIT, &meant, 201).await;
    assert_eq!(
        acme.read("/v1/wallet").await,
        wallet,
        "refusals move nothing"
    );
    let usage = acme.read("/v1/usage").await;
    assert_eq!(
        (
            &usage["data"][0]["committed"],
            usage["data"][0]["refused"].as_i64()
        ),
        (&json!(2), Some(12))
    );
    site.assert_clean().await;
}

#[tokio::test]
async fn every_other_refusal_has_its_status() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let refused = acme
        .send(COMMIT, &shop.order("poor", &json!({"quantity": 10})))
        .await;
    let refused = json(&refused)["instance"]
        .as_str()
        .expect("a place")
        .to_owned();
    let refused = refused.replace("/v1/purchases/", "");
    let full = shop.new_item(500, 1).await;
    let fill = "WITH i AS (UPDATE items SET stocked = stocked + 999999990 WHERE item_id = $1
                           RETURNING item_id)
                UPDATE stock_buckets b SET available = available + 999999990 FROM i
                WHERE b.item_id = i.item_id AND b.bucket = 0";
    let id: shared::ItemId = full.parse().expect("an id");
    let filled = sqlx::query(fill)
        .bind(id.uuid())
        .execute(&mut site.connect().await)
        .await;
    assert_eq!(filled.expect("fills").rows_affected(), 1);
    let mandate = |cap: i64| json!({"cap_minor": cap, "currency": "USD", "expires_in_s": 60});
    let refund = |more: Value| crate::paths::merged(json!({"purchase_id": shop.purchase}), &more);
    let restock = format!("/v1/items/{full}/restock");
    let ended = shop.new_mandate(&json!({})).await;
    let revoke = format!("/v1/mandates/{ended}/revoke");
    acme.make(&revoke, &json!({}), 200).await;
    let nothing = json!({"purchase_id": refused});
    let before = site.rows().await;
    let mut mistakes = Vec::new();
    for (path, body, status, code, name, value) in [
        (
            "/v1/mandates",
            mandate(81_001),
            402,
            "insufficient",
            "available_minor",
            81_000,
        ),
        (
            "/v1/refunds",
            refund(json!({"amount_minor": 501})),
            409,
            "refund_too_large",
            "left_minor",
            500,
        ),
        (
            "/v1/refunds",
            refund(json!({"units": 2})),
            409,
            "too_many_units",
            "units_left",
            1,
        ),
        ("/v1/refunds", nothing, 409, "not_committed", "status", 409),
        (
            restock.as_str(),
            json!({"units": 10}),
            409,
            "stock_limit",
            "units_left",
            9,
        ),
        (
            revoke.as_str(),
            json!({}),
            403,
            "mandate_revoked",
            "status",
            403,
        ),
    ] {
        let answer = acme.send(path, &body).await;
        mistakes.extend(wrong(&answer, status, code, &format!("{path} {body}")));
        if json(&answer)[name] != value {
            mistakes.push(format!("{path} {body}: {name} is not {value}: {answer:?}"));
        }
    }
    assert_none(&mistakes);
    let mut after = site.rows().await;
    assert_eq!(
        after[8],
        before[8] + 6,
        "each refusal is kept under its key"
    );
    after[8] = before[8];
    assert_eq!(after, before, "and nothing else is written");
    // Play money is for test keys; the live tenant is another one.
    let live = site.live_tenant("acme");
    let money = json!({"amount_minor": 100, "currency": "USD"});
    let answer = live.send("/v1/wallet/top-up", &money).await;
    assert_eq!(wrong(&answer, 403, "test_key_only", "a live key"), None);
    assert_eq!(live.read("/v1/wallet").await["available_minor"], 0);
    assert_eq!(live.read("/v1/merchants").await["data"], json!([]));
    site.assert_clean().await;
}
