//! What is wrong around a body: sizes, keys, methods, paths, and who asks.

use crate::caller::{Caller, Site, assert_none, json, wrong};
use crate::common::web::{Answer, request};
use crate::paths::{Post, Shop};
use server::api::credentials::Secret;
use server::ids;
use std::time::{Duration, Instant};

const SANDBOX: &str = "/v1/sandbox/commit";

/// Posts with these headers and no others.
async fn bare(caller: &Caller, post: &Post, headers: &[(&str, &str)]) -> Answer {
    let body = post.body.to_string();
    request(&caller.address, "POST", &post.path, headers, &body).await
}

#[tokio::test]
async fn every_wrong_size_and_key_has_its_code_and_writes_nothing() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    acme.read("/v1/sandbox").await;
    let before = site.rows().await;
    let bearer = format!("Bearer {}", acme.secret);
    let auth = ("Authorization", bearer.as_str());
    let mut mistakes = Vec::new();
    let (long_key, long_header) = ("ZQX7".repeat(64), "ZQX7".repeat(4_200));
    for post in &shop.posts() {
        let path = post.path.as_str();
        let padded = format!("{}{}", post.body, " ".repeat(65 * 1_024));
        let large = acme.post(path, ids::key().as_str(), &padded).await;
        mistakes.extend(wrong(&large, 413, "too_large", path));
        let key = ids::key();
        let headers = [
            auth,
            ("Idempotency-Key", key.as_str()),
            ("X-More", &long_header),
        ];
        let long = bare(acme, post, &headers).await;
        mistakes.extend(wrong(&long, 431, "header_too_large", path));
        let long = format!("{path}?{}", "ZQX7".repeat(2_100));
        let long = acme
            .post(&long, ids::key().as_str(), &post.body.to_string())
            .await;
        mistakes.extend(wrong(&long, 414, "uri_too_long", path));
        let missing = bare(acme, post, &[auth]).await;
        mistakes.extend(wrong(&missing, 400, "idempotency_key_missing", path));
        let key = |key| ("Idempotency-Key", key);
        for headers in [
            vec![auth, key("")],
            vec![auth, key(&long_key)],
            vec![auth, key("ZQX7 ZQX7")],
            vec![auth, key("ZQX7é")],
            vec![auth, key("ZQX7"), key("ZQX7")],
            vec![auth, key("ZQX7"), key("ZQX8")],
        ] {
            let answer = bare(acme, post, &headers).await;
            let what = format!("{path} {headers:?}");
            mistakes.extend(wrong(&answer, 400, "idempotency_key_invalid", &what));
            if answer.body.contains("ZQX7") {
                mistakes.push(format!("{what}: repeats what was sent: {answer:?}"));
            }
        }
    }
    assert_none(&mistakes);
    assert_eq!(site.rows().await, before, "nothing was written");
    // The longest key is a key.
    let post = &shop.posts()[1];
    let made = acme
        .post(&post.path, &"k".repeat(255), &post.body.to_string())
        .await;
    assert_eq!(made.status, 201, "{made:?}");
}

#[tokio::test]
async fn every_wrong_path_and_method_has_its_code() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let before = site.rows().await;
    let mut mistakes = Vec::new();
    let digits = "0".repeat(32);
    for id in [
        "ZQX7",
        "1",
        &digits,
        "%00",
        "..%2f..%2fetc",
        "%FF",
        "%27%20OR%201=1",
    ] {
        for path in ["merchants", "items", "mandates", "purchases"] {
            let path = format!("/v1/{path}/{id}");
            mistakes.extend(wrong(&acme.get(&path).await, 400, "malformed", &path));
        }
        for path in [
            format!("items/{id}/restock"),
            format!("mandates/{id}/revoke"),
        ] {
            let path = format!("/v1/{path}");
            let answer = acme.post(&path, "k", "{\"units\":1}").await;
            mistakes.extend(wrong(&answer, 400, "malformed", &path));
        }
    }
    for path in [
        format!("/v1/items/{}", shop.merchant),
        format!("/v1/merchants/{}", shop.merchant.to_uppercase()),
        format!("/v1/mandates/{}0", shop.mandate),
    ] {
        mistakes.extend(wrong(&acme.get(&path).await, 400, "malformed", &path));
    }
    let bearer = format!("Bearer {}", acme.secret);
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "k")];
    let mut methods: Vec<(&str, String)> = Vec::new();
    let lists = [
        "/v1/merchants",
        "/v1/items",
        "/v1/mandates",
        "/v1/refunds",
        "/v1/bids",
        "/v1/claims",
    ];
    for post in shop.posts() {
        if !lists.contains(&post.path.as_str()) {
            methods.push(("GET", post.path.clone()));
        }
        methods.extend(["PUT", "PATCH", "DELETE", "TRACE"].map(|m| (m, post.path.clone())));
    }
    for path in shop.gets() {
        if !lists.contains(&path.as_str()) {
            methods.push(("POST", path.clone()));
        }
        methods.push(("DELETE", path));
    }
    // `commit` is no purchase's id, and a read of it no commit.
    for (method, path) in &methods {
        let answer = request(&acme.address, method, path, &headers, "").await;
        let what = format!("{method} {path}");
        mistakes.extend(wrong(&answer, 405, "method_not_allowed", &what));
    }
    for path in [
        "/v1/nowhere",
        "/v1/items/a/b/c",
        "/v1/wallet/",
        "/v1//items",
        "/v1/%00",
    ] {
        mistakes.extend(wrong(&acme.get(path).await, 404, "not_found", path));
        let answer = acme.post(path, "k", "{}").await;
        mistakes.extend(wrong(&answer, 404, "not_found", path));
    }
    assert_none(&mistakes);
    assert_eq!(site.rows().await, before, "nothing was written");
}

#[tokio::test]
async fn only_a_key_that_is_in_use_opens_a_route() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let before = site.rows().await;
    let mut mistakes = Vec::new();
    let unknown = format!("Bearer {}", Secret::fresh(false).reveal());
    let bearer = format!("Bearer {}", acme.secret);
    let basic = format!("Basic {}", acme.secret);
    let other_kind = bearer.replace("lz_test_", "lz_live_");
    let auth = |value| ("Authorization", value);
    let ways = [
        vec![],
        vec![auth("")],
        vec![auth("Bearer")],
        vec![auth("Bearer ZQX7")],
        vec![auth("Bearer lz_test_ZQX7")],
        vec![auth(&acme.secret)],
        vec![auth(&basic)],
        vec![auth(&unknown)],
        vec![auth(&other_kind)],
        vec![auth(&bearer), auth(&bearer)],
        vec![("X-Api-Key", acme.secret.as_str())],
        vec![("Cookie", acme.secret.as_str())],
    ];
    let posts = shop.posts();
    let mut calls: Vec<(&str, String, String)> = Vec::new();
    for post in posts.iter().filter(|post| post.path != SANDBOX) {
        calls.push(("POST", post.path.clone(), post.body.to_string()));
    }
    for path in shop.gets() {
        calls.push(("GET", path, String::new()));
    }
    for (method, path, body) in &calls {
        for way in &ways {
            let mut headers = way.clone();
            headers.push(("Idempotency-Key", "k"));
            let answer = request(&acme.address, method, path, &headers, body).await;
            let what = format!("{method} {path} {way:?}");
            mistakes.extend(wrong(&answer, 401, "unauthorized", &what));
            let challenge = answer.headers.get("www-authenticate").map(String::as_str);
            if challenge != Some("Bearer") || answer.body.contains("ZQX7") {
                mistakes.push(format!("{what}: {answer:?}"));
            }
        }
        let query = format!("{path}?api_key={}", acme.secret);
        let answer = request(&acme.address, method, &query, &[], body).await;
        mistakes.extend(wrong(&answer, 401, "unauthorized", &query));
    }
    // A key that was used a moment ago ends within seconds, everywhere.
    acme.read("/v1/wallet").await;
    site.key_command(&["revoke", "--tenant", "acme", &acme.key_id]);
    let revoked = Instant::now();
    while acme.get("/v1/wallet").await.status != 401 {
        assert!(revoked.elapsed() < Duration::from_secs(5), "still opens");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (method, path, body) in &calls {
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "k")];
        let answer = request(&acme.address, method, path, &headers, body).await;
        mistakes.extend(wrong(&answer, 401, "unauthorized", path));
    }
    assert_none(&mistakes);
    assert_eq!(site.rows().await, before, "nothing was written");
}

#[tokio::test]
async fn a_request_keeps_its_own_id() {
    let site = Site::start();
    let id = |given: &'static str| {
        let address = site.node.address.clone();
        async move {
            let headers = [("X-Request-Id", given)];
            let answer = request(&address, "GET", "/v1/nowhere", &headers, "").await;
            assert_eq!(json(&answer)["code"], "not_found");
            answer.headers["x-request-id"].clone()
        }
    };
    assert_eq!(id("trace-1_A").await, "trace-1_A");
    for bad in ["", "a b", "<script>", "x".repeat(65).leak()] {
        assert_ne!(id(bad).await, bad);
    }
}
