//! A commit without a key of an account.

use crate::caller::{Site, json};
use crate::common::web::{Answer, request};
use futures::future::join_all;
use serde_json::{Value, json};

async fn commit(address: &str, key: &str, body: &Value) -> Answer {
    let headers = [("Idempotency-Key", key)];
    let path = "/v1/sandbox/commit";
    request(address, "POST", path, &headers, &body.to_string()).await
}

async fn stand(address: &str) -> Value {
    let answer = request(address, "GET", "/v1/sandbox", &[], "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
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
