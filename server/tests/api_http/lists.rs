//! Pages of lists.

use crate::caller::{Caller, Site, assert_none, text, wrong};
use crate::paths::{LISTS, Shop};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Walks a list to its end: the resources of each page.
async fn pages(caller: &Caller, list: &str, limit: u32) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = caller.read(&format!("{list}?limit={limit}{cursor}")).await;
        pages.push(page["data"].as_array().expect("a list").clone());
        let Some(next) = page["next_cursor"].as_str() else {
            return pages;
        };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let site = Site::start();
    let acme = site.tenant("acme");
    for name in ["one", "two", "three", "four", "five"] {
        acme.make("/v1/merchants", &json!({"name": name}), 201)
            .await;
    }
    let merchants = pages(&acme, "/v1/merchants", 2).await;
    let sizes: Vec<usize> = merchants.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let names: Vec<String> = merchants.concat().iter().map(|m| text(m, "name")).collect();
    assert_eq!(
        names,
        ["five", "four", "three", "two", "one"],
        "newest first"
    );
    // A page that is just full is the last one.
    assert_eq!(pages(&acme, "/v1/merchants", 5).await.len(), 1);
    // The legs of one transfer have one time: their number tells them apart.
    let shop = Shop::open(&site, site.tenant("bolt")).await;
    for agent in ["one", "two", "three"] {
        shop.bought(agent).await;
    }
    for list in ["/v1/ledger/entries", "/v1/purchases"] {
        let all = pages(&shop.caller, list, 100).await.concat();
        let one_by_one = pages(&shop.caller, list, 1).await.concat();
        assert_eq!(one_by_one, all, "{list}");
        let different: BTreeSet<String> = all.iter().map(Value::to_string).collect();
        assert_eq!(different.len(), all.len(), "{list}");
    }
    assert_eq!(
        pages(&shop.caller, "/v1/ledger/entries", 3)
            .await
            .concat()
            .len(),
        14
    );
}

#[tokio::test]
async fn a_list_is_asked_for_strictly() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let mut mistakes = Vec::new();
    let mut table: Vec<String> = Vec::new();
    for list in LISTS {
        for query in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=1.5",
            "limit=ZQX7",
            "limit=",
            "limit=1&limit=2",
            "cursor=",
            "cursor=ZQX7",
            "cursor=1-2-3",
            "cursor=' OR 1=1 --",
            "ZQX7=1",
            "offset=1",
        ] {
            table.push(format!("{list}?{}", query.replace(' ', "+")));
        }
    }
    let (mandate, merchant) = (&shop.mandate, &shop.merchant);
    table.extend([
        "/v1/ledger/entries?currency=ZQX7".to_owned(),
        format!("/v1/ledger/entries?mandate_id={mandate}&merchant_id={merchant}"),
        "/v1/wallet?currency=usd".to_owned(),
        "/v1/wallet?currency=USD&currency=USD".to_owned(),
        "/v1/usage?from_ms=-1".to_owned(),
        "/v1/usage?from_ms=2&to_ms=1".to_owned(),
        "/v1/usage?from_ms=0&to_ms=2678400001".to_owned(),
        "/v1/usage?to_ms=9007199254740992".to_owned(),
    ]);
    let invalid = table.into_iter().map(|path| (path, 422, "invalid"));
    let malformed = [
        "/v1/ledger/entries?mandate_id=ZQX7".to_owned(),
        format!("/v1/ledger/entries?mandate_id={merchant}"),
        "/v1/ledger/entries?merchant_id=".to_owned(),
        "/v1/webhooks/deliveries?endpoint_id=ZQX7".to_owned(),
    ];
    let malformed = malformed.map(|path| (path, 400, "malformed"));
    for (path, status, code) in invalid.chain(malformed) {
        let answer = shop.caller.get(&path).await;
        mistakes.extend(wrong(&answer, status, code, &path));
        if answer.body.contains("ZQX7") {
            mistakes.push(format!("{path}: repeats what was sent: {answer:?}"));
        }
    }
    assert_none(&mistakes);
}
