//! Agents bid and claim over HTTP.

use crate::caller::{Site, assert_none, json, text, wrong};
use crate::common::{drop_of, dutch, english};
use crate::paths::Shop;
use serde_json::{Value, json};
use server::ids;

#[tokio::test]
async fn an_agent_bids_is_outbid_and_claims() {
    let site = Site::start();
    let (acme, bolt) = (
        Shop::open(&site, site.tenant("acme")).await,
        Shop::open(&site, site.tenant("bolt")).await,
    );
    let lot = site.lot(english()).await;
    let path = format!("/v1/lots/{lot}");
    let before = acme.caller.read(&path).await;
    assert_eq!(
        (
            &before["mechanism"],
            &before["status"],
            &before["price_minor"]
        ),
        (&json!("english"), &json!("live"), &Value::Null)
    );
    assert_eq!(before["next_minimum_minor"], 1_000);
    let bid = acme.bid(&lot, 1_000, &json!({}));
    let first = acme.caller.make("/v1/bids", &bid, 201).await;
    assert_eq!(
        (
            &first["outcome"],
            &first["amount_minor"],
            &first["next_minimum_minor"]
        ),
        (&json!("leading"), &json!(1_000), &json!(1_100))
    );
    let mandate = format!("/v1/mandates/{}", acme.bidder);
    let held = acme.caller.read(&mandate).await;
    assert_eq!(
        (&held["remaining_minor"], &held["held_minor"]),
        (&json!(8_000), &json!(1_000))
    );
    let own = format!("/v1/bids/{}", text(&first, "bid_id"));
    assert_eq!(acme.caller.read(&own).await["status"], "leading");
    let higher = bolt.bid(&lot, 1_100, &json!({}));
    let second = bolt.caller.make("/v1/bids", &higher, 201).await;
    assert_eq!(acme.caller.read(&own).await["status"], "freed");
    let free = acme.caller.read(&mandate).await;
    assert_eq!(
        (&free["remaining_minor"], &free["held_minor"]),
        (&json!(9_000), &json!(0))
    );
    let after = acme.caller.read(&path).await;
    assert_eq!(after["leading_bid_id"], second["bid_id"]);
    assert_eq!(
        (&after["price_minor"], &after["version"]),
        (&json!(1_100), &json!(3))
    );
    // Another tenant's bid is as one that does not exist.
    let foreign = bolt.caller.get(&own).await;
    assert_eq!(wrong(&foreign, 404, "not_found", "a foreign bid"), None);

    let units = site.lot(drop_of(5, None)).await;
    let claim = acme.claim(&units, 2, &json!({}));
    let claimed = acme.caller.make("/v1/claims", &claim, 201).await;
    assert_eq!(
        (
            &claimed["outcome"],
            &claimed["amount_minor"],
            &claimed["units"]
        ),
        (&json!("claimed"), &json!(1_000), &json!(2))
    );
    let left = acme.caller.read(&format!("/v1/lots/{units}")).await;
    assert_eq!(left["units_left"], 3);
    let bids = acme.caller.read("/v1/bids").await;
    assert_eq!(bids["data"][0]["bid_id"], first["bid_id"]);
    let claims = acme.caller.read("/v1/claims").await;
    assert_eq!(claims["data"][0]["claim_id"], claimed["claim_id"]);
    let entries = format!("/v1/ledger/entries?mandate_id={}", acme.bidder);
    let entries = acme.caller.read(&entries).await;
    let kinds: Vec<String> = entries["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| text(entry, "kind"))
        .collect();
    let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
    assert_eq!(
        (
            count("hold"),
            count("void"),
            count("purchase"),
            count("fund")
        ),
        (2, 2, 1, 1),
        "{kinds:?}"
    );
    site.assert_clean().await;
}

/// Each refusal of a lot or of a mandate, its status, and what it tells to decide again.
#[expect(clippy::too_many_lines, reason = "the table is the test")]
#[tokio::test]
async fn every_refusal_of_an_offer_has_its_status() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let lot = site.lot(english()).await;
    let (few, falling) = (site.lot(drop_of(3, Some(2))).await, site.lot(dutch()).await);
    acme.make("/v1/bids", &shop.bid(&lot, 1_000, &json!({})), 201)
        .await;
    acme.make("/v1/claims", &shop.claim(&few, 1, &json!({})), 201)
        .await;
    let capped = shop
        .new_mandate(&json!({"purchase_cap_minor": 1_099, "cap_minor": 2_000}))
        .await;
    let small = shop.new_mandate(&json!({"cap_minor": 1_099})).await;
    let scoped = json!({"merchant_ids": [shop.merchant], "cap_minor": 5_000});
    let scoped = shop.new_mandate(&scoped).await;
    let ended = shop.new_mandate(&json!({"cap_minor": 5_000})).await;
    acme.make(&format!("/v1/mandates/{ended}/revoke"), &json!({}), 200)
        .await;
    let by = |mandate: &str| json!({"mandate_id": mandate});
    let bid = |minor, more: Value| ("/v1/bids", shop.bid(&lot, minor, &more));
    let claim = |lot: &str, units, more: Value| ("/v1/claims", shop.claim(lot, units, &more));
    let usd = |name: &str, minor: i64| json!({name: minor, "currency": "USD"});
    let dear = json!({"max_price_minor": 1_000_000});
    let table = [
        (
            bid(1_050, json!({})),
            409,
            "too_low",
            usd("next_minimum_minor", 1_100),
        ),
        (
            bid(1_100, by(&capped)),
            402,
            "over_purchase_cap",
            usd("cap_minor", 1_099),
        ),
        (
            bid(1_100, by(&small)),
            402,
            "mandate_exhausted",
            usd("left_minor", 1_099),
        ),
        (
            bid(1_100, by(&scoped)),
            403,
            "merchant_not_allowed",
            json!({}),
        ),
        (bid(1_100, by(&ended)), 403, "mandate_revoked", json!({})),
        (
            bid(1_100, json!({"currency": "JPY"})),
            422,
            "currency_mismatch",
            json!({"expected": "USD"}),
        ),
        (
            bid(1_100, json!({"lot_id": falling})),
            422,
            "wrong_mechanism",
            json!({"mechanism": "dutch"}),
        ),
        (
            bid(1_100, json!({"lot_id": ids::lot()})),
            404,
            "not_found",
            json!({"what": "lot"}),
        ),
        (
            bid(1_100, json!({"mandate_id": ids::mandate()})),
            404,
            "not_found",
            json!({"what": "mandate"}),
        ),
        (
            claim(&few, 3, json!({})),
            409,
            "sold_out",
            json!({"units_left": 2}),
        ),
        (
            claim(&few, 2, json!({})),
            409,
            "limit_reached",
            json!({"limit_units": 2, "bought_units": 1}),
        ),
        (
            claim(&few, 1, json!({"max_price_minor": 499})),
            409,
            "price_moved",
            usd("price_minor", 500),
        ),
        (
            claim(&falling, 2, dear.clone()),
            422,
            "total_out_of_range",
            json!({}),
        ),
        (
            claim(&falling, 1, dear),
            402,
            "mandate_exhausted",
            json!({"currency": "USD"}),
        ),
    ];
    let mandates = acme.read("/v1/mandates").await;
    let mut mistakes = Vec::new();
    for ((path, body), status, code, told) in table {
        let key = ids::key();
        let answer = acme.post(path, key.as_str(), &body.to_string()).await;
        let what = format!("{path} {body}");
        mistakes.extend(wrong(&answer, status, code, &what));
        for (name, value) in told.as_object().expect("an object") {
            if json(&answer)[name] != *value {
                mistakes.push(format!("{what}: {name} is not {value}: {answer:?}"));
            }
        }
        let again = acme.post(path, key.as_str(), &body.to_string()).await;
        let kept = again.headers.contains_key("idempotent-replayed");
        // What names nothing is looked for anew, in another request.
        if (kept && again.body != answer.body) || kept != (status != 404) {
            mistakes.push(format!("{what}: said otherwise again: {again:?}"));
        }
    }
    assert_none(&mistakes);
    assert_eq!(acme.read("/v1/mandates").await, mandates, "no money moved");
    site.assert_clean().await;
}

/// A lot that has ended takes nothing more, and its page says so.
#[tokio::test]
async fn a_sold_lot_is_gone() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let lot = site.lot(dutch()).await;
    let rich = shop.new_mandate(&json!({"cap_minor": 30_000})).await;
    let claim = json!({"mandate_id": rich, "max_price_minor": 10_000});
    let claim = shop.claim(&lot, 1, &claim);
    let bought = shop.caller.make("/v1/claims", &claim, 201).await;
    let late = shop.caller.send("/v1/claims", &claim).await;
    assert_eq!(wrong(&late, 410, "ended", "a second claim"), None);
    let page = shop.caller.read(&format!("/v1/lots/{lot}")).await;
    assert_eq!(page["status"], "sold");
    assert_eq!(
        page["price_minor"], bought["price_minor"],
        "it stands still"
    );
    let open = shop.caller.read("/v1/lots?limit=100").await;
    let listed = open["data"].as_array().expect("a list").iter();
    assert_eq!(listed.filter(|one| one["lot_id"] == json!(lot)).count(), 0);
    site.assert_clean().await;
}
