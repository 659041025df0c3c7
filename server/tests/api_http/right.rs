//! Every route does what it says, and a repeat is the same bytes.

use crate::caller::{Site, json, text, wrong};
use crate::common::web::request;
use crate::paths::{LISTS, Shop};
use serde_json::{Value, json};

#[tokio::test]
async fn every_route_does_what_it_says() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let wallet = acme.read("/v1/wallet").await;
    assert_eq!(
        wallet,
        json!({"currency": "USD", "available_minor": 81_000, "held_minor": 0, "spent_minor": 0,
               "funded_minor": 81_000})
    );
    let empty = acme.read("/v1/wallet?currency=JPY").await;
    assert_eq!(
        (&empty["currency"], &empty["available_minor"]),
        (&json!("JPY"), &json!(0))
    );
    let item = acme.read(&format!("/v1/items/{}", shop.item)).await;
    assert_eq!(item["merchant_id"], shop.merchant);
    assert_eq!(
        (&item["available"], &item["stocked"]),
        (&json!(9), &json!(10))
    );
    let restock = format!("/v1/items/{}/restock", shop.item);
    let more = acme.make(&restock, &json!({"units": 5}), 200).await;
    assert_eq!(
        (&more["available"], &more["stocked"]),
        (&json!(14), &json!(15))
    );
    assert_eq!(acme.read(&format!("/v1/items/{}", shop.item)).await, more);
    let bought = acme.read(&format!("/v1/purchases/{}", shop.purchase)).await;
    assert_eq!(
        (&bought["outcome"], &bought["refusal"]),
        (&json!("committed"), &Value::Null)
    );
    assert_eq!(
        (&bought["amount_minor"], &bought["agent_id"]),
        (&json!(500), &json!("scout"))
    );
    let back = json!({"purchase_id": shop.purchase, "amount_minor": 200, "units": 1});
    let refund = acme.make("/v1/refunds", &back, 201).await;
    assert_eq!(
        (&refund["to"], &refund["units"]),
        (&json!("mandate"), &json!(1))
    );
    let path = format!("/v1/mandates/{}", shop.mandate);
    let mandate = acme.read(&path).await;
    let sums = [
        "cap_minor",
        "remaining_minor",
        "held_minor",
        "spent_minor",
        "returned_minor",
    ];
    assert_eq!(
        sums.map(|name| mandate[name].as_i64()),
        [10_000, 9_700, 0, 300, 0].map(Some)
    );
    // A body may be left out.
    let ended = acme.post(&format!("{path}/revoke"), "end", "").await;
    assert_eq!(
        (ended.status, &json(&ended)["status"]),
        (200, &json!("revoked"))
    );
    assert_eq!(acme.read(&path).await, json(&ended));
    let rest = json!({"purchase_id": shop.purchase});
    let refund = acme.make("/v1/refunds", &rest, 201).await;
    assert_eq!(
        (&refund["to"], &refund["amount_minor"]),
        (&json!("wallet"), &json!(300))
    );
    assert_eq!(acme.read("/v1/wallet").await["available_minor"], 91_000);
    // Lists hold what was made, as it is read one by one; lots are the house's.
    for (list, count) in LISTS.into_iter().zip([1, 1, 2, 1, 2, 14, 0, 0]) {
        let page = acme.read(list).await;
        assert_eq!(page["data"].as_array().map(Vec::len), Some(count), "{list}");
        assert_eq!(page["next_cursor"], Value::Null, "{list}");
    }
    assert_eq!(
        acme.read("/v1/items").await["data"][0]["item_id"],
        shop.item
    );
    let after = acme.read("/v1/mandates").await["data"][1].clone();
    assert_eq!(
        sums.map(|name| after[name].as_i64()),
        [10_000, 0, 0, 0, 10_000].map(Some)
    );
    for (filter, count) in [
        (format!("mandate_id={}", shop.mandate), 4),
        (format!("merchant_id={}", shop.merchant), 3),
        ("currency=JPY".to_owned(), 0),
    ] {
        let entries = acme.read(&format!("/v1/ledger/entries?{filter}")).await;
        let entries = entries["data"].as_array().expect("a list").clone();
        assert_eq!(entries.len(), count, "{filter}: {entries:?}");
    }
    let usage = acme.read("/v1/usage").await;
    let line = json!({"currency": "USD", "committed": 1, "amount_minor": 500, "refused": 0});
    assert_eq!(usage["data"], json!([line]));
    site.assert_clean().await;
}

#[tokio::test]
async fn a_repeat_is_the_same_bytes() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let mut kept = Vec::new();
    for (number, post) in shop.posts().into_iter().enumerate() {
        let key = format!("key-{number}");
        let first = acme.post(&post.path, &key, &post.body.to_string()).await;
        assert_eq!(first.status, post.status, "{}: {first:?}", post.path);
        assert!(
            !first.headers.contains_key("idempotent-replayed"),
            "{first:?}"
        );
        kept.push((key, post, first));
    }
    // Everything has changed since, and still: the same answers.
    let rows = site.rows().await;
    let mut mistakes = Vec::new();
    for (key, post, first) in &kept {
        for body in [post.body.to_string(), post.reversed()] {
            let again = acme.post(&post.path, key, &body).await;
            assert_eq!(
                (again.status, &again.body),
                (first.status, &first.body),
                "{}",
                post.path
            );
            assert_eq!(again.headers["content-type"], first.headers["content-type"]);
            assert_eq!(
                again.headers["idempotent-replayed"], "true",
                "{}",
                post.path
            );
        }
        if !post.other.is_empty() {
            let other = acme.post(&post.path, key, &post.changed()).await;
            mistakes.extend(wrong(&other, 422, "idempotency_key_reused", &post.path));
        }
    }
    // The item or mandate of the path is part of what a key means.
    let (restock, revoke) = (&kept[3], &kept[7]);
    let item = shop.new_item(500, 1).await;
    let mandate = shop.new_mandate(&json!({})).await;
    for (path, (key, post, _)) in [
        (format!("/v1/items/{item}/restock"), restock),
        (format!("/v1/mandates/{mandate}/revoke"), revoke),
    ] {
        let other = acme.post(&path, key, &post.body.to_string()).await;
        mistakes.extend(wrong(&other, 422, "idempotency_key_reused", &path));
    }
    crate::caller::assert_none(&mistakes);
    // The same key is another one for another tenant.
    let bolt = Shop::open(&site, site.tenant("bolt")).await;
    let order = bolt.order("walker", &json!({}));
    let own = bolt
        .caller
        .post("/v1/purchases/commit", "key-5", &order.to_string())
        .await;
    assert_eq!(own.status, 201, "{own:?}");
    assert_ne!(
        text(&json(&own), "purchase_id"),
        text(&json(&kept[5].2), "purchase_id")
    );
    let spent = |rows: &[i64]| (rows[1], rows[7]);
    let after = spent(&site.rows().await);
    assert_eq!(
        after,
        (spent(&rows).0 + 2, spent(&rows).1),
        "only bolt bought"
    );
    site.assert_clean().await;
}

#[tokio::test]
async fn a_refusal_is_kept_and_said_again() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let rows = site.rows().await;
    let too_much = json!({"amount_minor": 9_999_999, "currency": "USD"});
    let mandate = json!({"cap_minor": 9_999_999, "currency": "USD", "expires_in_s": 60});
    let refund = json!({"purchase_id": shop.purchase, "amount_minor": 501});
    for (path, body, status, code) in [
        ("/v1/wallet/top-up", too_much, 409, "top_up_limit"),
        ("/v1/mandates", mandate, 402, "insufficient"),
        ("/v1/refunds", refund, 409, "refund_too_large"),
        (
            "/v1/purchases/commit",
            shop.order("greedy", &json!({"quantity": 11})),
            409,
            "sold_out",
        ),
    ] {
        let first = acme.post(path, "refused", &body.to_string()).await;
        assert_eq!(wrong(&first, status, code, path), None);
        assert!(
            !first.headers.contains_key("idempotent-replayed"),
            "{first:?}"
        );
        let again = acme.post(path, "refused", &body.to_string()).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        let header = again.headers.get("idempotent-replayed");
        assert_eq!(
            header.map(String::as_str),
            Some("true"),
            "{path}: {again:?}"
        );
    }
    let after = site.rows().await;
    assert_eq!(
        (after[1], after[8]),
        (rows[1] + 1, rows[8] + 3),
        "only the refusals were kept"
    );
    assert_eq!((after[0], &after[2..8]), (rows[0], &rows[2..8]));
    assert_eq!(after[9..], rows[9..], "no money and no stock moved");
    // And what was not decided is not kept: the key is free.
    let bare = request(&acme.address, "POST", "/v1/sandbox/commit", &[], "{}").await;
    assert_eq!(wrong(&bare, 400, "idempotency_key_missing", "no key"), None);
    site.assert_clean().await;
}
