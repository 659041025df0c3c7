//! A commit without a key of an account.

use crate::caller::{Site, json};
use crate::common::web::{Answer, request};
use crate::contract;
use futures::future::join_all;
use serde_json::{Value, json};

async fn commit(address: &str, key: &str, body: &Value) -> Answer {
    let headers = [("Idempotency-Key", key)];
    let path = "/v1/sandbox/commit";
    let answer = request(address, "POST", path, &headers, &body.to_string()).await;
    contract::check("POST", path, &answer);
    answer
}

async fn stand(address: &str) -> Value {
    let answer = request(address, "GET", "/v1/sandbox", &[], "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    contract::check("GET", "/v1/sandbox", &answer);
    json(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_may_try_it_and_64_at_once_buy_once() {
    let site = Site::start();
    let address = site.node.address.as_str();
    let before = stand(address).await;
    assert_eq!(before["mandate"]["status"], "active");
    let body = json!({"agent_id": "me", "quantity": 1, "max_price_minor": 100, "currency": "USD"});
    let answers = join_all((0..64).map(|_| commit(address, "once", &body))).await;
    let (sold, busy): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == 201);
    let fresh = sold
        .iter()
        .filter(|a| !a.headers.contains_key("idempotent-replayed"));
    assert_eq!(fresh.count(), 1, "one of them bought");
    assert!(sold.iter().all(|answer| answer.body == sold[0].body));
    for answer in busy {
        assert_eq!(
            (answer.status, &json(answer)["code"]),
            (409, &json!("in_progress"))
        );
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(json(answer)["retry_after"], 1);
    }
    let again = commit(address, "once", &body).await;
    assert_eq!((again.status, &again.body), (201, &sold[0].body));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let after = stand(address).await;
    let left = |stand: &Value| stand["item"]["available"].as_i64().expect("a number");
    assert_eq!(left(&after), left(&before) - 1);
    // The first one is named to who asks the same under another key.
    let twin = commit(address, "twice", &body).await;
    assert_eq!(
        (twin.status, &json(&twin)["code"]),
        (409, &json!("duplicate_suspected"))
    );
    assert_eq!(
        json(&twin)["first"]["purchase_id"],
        json(sold[0])["purchase_id"]
    );
    site.assert_clean().await;
}

/// Visitors have one tenant between them, but not their keys and agents.
#[tokio::test]
async fn strangers_do_not_meet() {
    let site = Site::start_with(&["--proxies", "1"]);
    let address = site.node.address.as_str();
    let body = json!({"agent_id": "me", "quantity": 1, "max_price_minor": 100, "currency": "USD"});
    let commit = |from: &'static str, key: &'static str| {
        let body = body.to_string();
        async move {
            let headers = [("Idempotency-Key", key), ("X-Forwarded-For", from)];
            request(address, "POST", "/v1/sandbox/commit", &headers, &body).await
        }
    };
    let one = commit("203.0.113.1", "k").await;
    let other = commit("203.0.113.2", "k").await;
    let ids = [&one, &other].map(|answer| {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(!answer.headers.contains_key("idempotent-replayed"));
        json(answer)["purchase_id"].clone()
    });
    assert_ne!(ids[0], ids[1]);
    let again = commit("203.0.113.1", "k").await;
    assert_eq!((again.status, &again.body), (201, &one.body));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let twice = commit("203.0.113.1", "l").await;
    assert_eq!(json(&twice)["code"], "duplicate_suspected");
    assert_eq!(json(&twice)["first"]["purchase_id"], ids[0]);
    let scope = stand(address).await["scope"].clone();
    assert!(
        scope
            .as_str()
            .is_some_and(|text| text.contains("by address")),
        "{scope}"
    );
    // No address is in the ledger.
    let agents: Vec<String> = sqlx::query_scalar("SELECT agent_id FROM purchases")
        .fetch_all(&mut site.connect().await)
        .await
        .expect("reads");
    assert!(agents.iter().all(|agent| agent.len() == 64), "{agents:?}");
    site.assert_clean().await;
}
