//! How often callers may call. A quota of a minute does not come back while a test runs; where one
//! must, it is awaited.

use crate::caller::{Caller, Site, json, wrong};
use crate::common::web::{Answer, request};
use crate::paths::Shop;
use serde_json::{Value, json};
use server::api::credentials::Secret;
use std::time::{Duration, Instant};

/// Calls until it is once too often.
async fn used_up(caller: &Caller) -> Answer {
    let mut answer = caller.get("/v1/wallet").await;
    for _ in 0..100 {
        if answer.status != 200 {
            break;
        }
        answer = caller.get("/v1/wallet").await;
    }
    assert_eq!(answer.status, 429, "{answer:?}");
    answer
}

/// Waits as long as a refusal says.
async fn wait(refused: &Answer) {
    let seconds: u64 = refused.headers["retry-after"].parse().expect("a number");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Calls under a key when it is once too often, and answers with the key. Another key is taken if
/// just then a call came free.
async fn refused_commit(shop: &Shop, body: &Value) -> (String, Answer) {
    let body = body.to_string();
    let mut tried = 0;
    loop {
        used_up(&shop.caller).await;
        let key = format!("late-{tried}");
        let answer = shop.caller.post("/v1/purchases/commit", &key, &body).await;
        if answer.status == 429 {
            return (key, answer);
        }
        tried += 1;
        assert!(tried < 5, "a call came free each time: {answer:?}");
    }
}

#[tokio::test]
async fn a_key_has_its_quota_and_one_call_too_many_uses_up_nothing() {
    let site = Site::start_with(&["--limit-key", "20/20"]);
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let acme = &shop.caller;
    let refused = used_up(acme).await;
    assert_eq!(wrong(&refused, 429, "rate_limited", "one too many"), None);
    assert_eq!(refused.headers["ratelimit-policy"], "\"key\";q=20;w=20");
    assert_eq!(refused.headers["ratelimit"], "\"key\";r=0;t=20");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(json(&refused)["retry_after"], 1);
    // Another key, also of the same tenant, has a quota of its own.
    for other in [site.tenant("acme"), site.tenant("bolt")] {
        let answer = other.get("/v1/wallet").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["ratelimit"], "\"key\";r=19;t=1");
    }
    let body = shop.order("late", &json!({}));
    let before = site.rows().await;
    let (key, refused) = refused_commit(&shop, &body).await;
    assert_eq!(site.rows().await[1], before[1], "nothing was bought");
    wait(&refused).await;
    let body = body.to_string();
    let commit = "/v1/purchases/commit";
    let bought = acme.post(commit, &key, &body).await;
    assert_eq!(bought.status, 201, "{bought:?}");
    assert!(!bought.headers.contains_key("idempotent-replayed"));
    // A repeat counts like any call.
    let mut limited = false;
    for _ in 0..40 {
        let again = acme.post(commit, &key, &body).await;
        if again.status == 429 {
            limited = true;
            wait(&again).await;
            break;
        }
        assert_eq!((again.status, &again.body), (201, &bought.body));
    }
    assert!(limited, "repeats are not counted");
    let again = acme.post(commit, &key, &body).await;
    assert_eq!((again.status, &again.body), (201, &bought.body));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    site.assert_clean().await;
}

/// Every answer says where its caller stands, also those that no route gave.
#[tokio::test]
async fn every_reply_says_how_many_calls_are_left() {
    let site = Site::start_with(&["--limit-key", "100/60", "--limit-stranger", "100/60"]);
    let acme = site.tenant("acme");
    let long = "x".repeat(9_000);
    let large = " ".repeat(70_000);
    let mut left = 100;
    for (method, path, body, status) in [
        ("GET", "/v1/wallet".to_owned(), "", 200),
        ("GET", "/v1/nowhere".to_owned(), "", 404),
        ("PUT", "/v1/wallet".to_owned(), "", 405),
        ("GET", format!("/v1/wallet?{long}"), "", 414),
        ("POST", "/v1/merchants".to_owned(), large.as_str(), 413),
        ("POST", "/v1/merchants".to_owned(), "{", 400),
    ] {
        let answer = acme.call(method, &path, Some("k"), body).await;
        left -= 1;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let said = &answer.headers["ratelimit"];
        assert!(said.starts_with(&format!("\"key\";r={left};")), "{said}");
    }
    let answer = request(&acme.address, "GET", "/v1/wallet", &[], "").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers["ratelimit"], "\"stranger\";r=99;t=1");
}

/// A call from an address, as a proxy of ours says.
async fn from(site: &Site, address: &str, path: &str, key: Option<&str>) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let mut headers = vec![("X-Forwarded-For", address)];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    request(&site.node.address, "GET", path, &headers, "").await
}

#[tokio::test]
async fn the_sandbox_counts_addresses_and_of_ipv6_networks() {
    let site = Site::start_with(&["--limit-sandbox", "2/60", "--proxies", "1"]);
    let visit = |address: &'static str| from(&site, address, "/v1/sandbox", None);
    for first in ["2001:db8::1", "203.0.113.1"] {
        for left in [1, 0] {
            let answer = visit(first).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let said = &answer.headers["ratelimit"];
            assert!(
                said.starts_with(&format!("\"sandbox\";r={left};")),
                "{said}"
            );
        }
    }
    for same in [
        "2001:db8::1",
        "2001:db8::ffff:1",
        "203.0.113.1",
        "2001:db8:0:1::1, 203.0.113.1",
    ] {
        let answer = visit(same).await;
        assert_eq!(wrong(&answer, 429, "rate_limited", same), None);
        assert_eq!(answer.headers["ratelimit-policy"], "\"sandbox\";q=2;w=60");
    }
    for other in ["2001:db8:0:1::1", "203.0.113.2"] {
        assert_eq!(visit(other).await.status, 200, "{other}");
    }
    // Who has a key is not counted by address.
    let acme = site.tenant("acme");
    let answer = from(&site, "203.0.113.1", "/v1/wallet", Some(&acme.secret)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn who_shows_wrong_keys_waits_and_who_is_known_does_not() {
    let site = Site::start_with(&["--limit-stranger", "3/60", "--proxies", "1"]);
    let (known, fresh) = (site.tenant("acme"), site.tenant("bolt"));
    let (home, away) = ("203.0.113.1", "203.0.113.2");
    let wallet = |address: &'static str, key: &str| {
        let (site, key) = (&site, key.to_owned());
        async move { from(site, address, "/v1/wallet", Some(&key)).await }
    };
    for left in [2, 1, 0] {
        let unknown = Secret::fresh(false);
        let answer = wallet(home, unknown.reveal()).await;
        assert_eq!(wrong(&answer, 401, "unauthorized", "unknown"), None);
        let said = &answer.headers["ratelimit"];
        assert!(
            said.starts_with(&format!("\"stranger\";r={left};")),
            "{said}"
        );
    }
    for wrong_key in ["lz_test_nonsense", Secret::fresh(true).reveal()] {
        let answer = wallet(home, wrong_key).await;
        assert_eq!(wrong(&answer, 429, "rate_limited", wrong_key), None);
    }
    // A key that was used a moment ago opens from there as well. One that the ledger would have to
    // be asked about waits; from elsewhere it opens.
    assert_eq!(wallet(away, &known.secret).await.status, 200);
    assert_eq!(wallet(home, &known.secret).await.status, 200);
    assert_eq!(wallet(home, &fresh.secret).await.status, 429);
    assert_eq!(wallet(away, &fresh.secret).await.status, 200);
}

#[tokio::test]
async fn a_limit_can_be_taken_off() {
    let site = Site::start_with(&["--limit-key", "off"]);
    let acme = site.tenant("acme");
    let began = Instant::now();
    for _ in 0..50 {
        let answer = acme.get("/v1/wallet").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.headers.contains_key("ratelimit"), "{answer:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(30));
}
