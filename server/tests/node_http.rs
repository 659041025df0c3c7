//! One node over HTTP, as browsers and others meet it: what each bad input is called, that it
//! writes nothing, who may ask at all, and how a node starts and stops.
#![cfg(feature = "local")]

mod common;

use common::Node;
use common::web::{Answer, Browser, Served, folder, request};
use server::ledger::lots::NewLot;
use server::local::attach_running;
use shared::auction::Mechanism;
use shared::{Currency, LotId};
use sqlx::{Connection, PgConnection};
use std::path::Path;
use std::time::{Duration, Instant};

/// Open lots of a mechanism, soonest end last, as the rows have them.
async fn lot_of(data: &Path, mechanism: Mechanism) -> String {
    let stores = attach_running(data).await.expect("runs");
    let mut raw = PgConnection::connect(&stores.database_url)
        .await
        .expect("connects");
    let id: uuid::Uuid = sqlx::query_scalar(
        "SELECT lot_id FROM lots WHERE mechanism = $1 AND status = 'open'
         ORDER BY closes_at_ms DESC LIMIT 1",
    )
    .bind(mechanism.word())
    .fetch_one(&mut raw)
    .await
    .expect("has one");
    LotId::from_uuid(id).to_string()
}

/// Rows that any money command would write.
async fn rows(data: &Path) -> Vec<i64> {
    let stores = attach_running(data).await.expect("runs");
    let mut raw = PgConnection::connect(&stores.database_url)
        .await
        .expect("connects");
    sqlx::query_scalar(
        "SELECT count(*) FROM bids UNION ALL SELECT count(*) FROM claims
         UNION ALL SELECT count(*) FROM legs UNION ALL SELECT count(*) FROM holds
         UNION ALL SELECT count(*) FROM purchase_limits
         UNION ALL SELECT sum(version)::bigint FROM wallets
         UNION ALL SELECT sum(version)::bigint FROM inventory_buckets",
    )
    .fetch_all(&mut raw)
    .await
    .expect("counts")
}

/// An English lot of this seller, which opens so much later and lasts a minute.
async fn put_up(data: &Path, seller: &str, opens_in_ms: i64) -> LotId {
    let stores = attach_running(data).await.expect("runs");
    let node = Node::at(&stores.database_url, 2).await;
    let people = node.ledger.people(&[seller]).await.expect("answers");
    let lot = NewLot {
        id: server::ids::lot(),
        seller: people[0].id,
        title: "A clock".into(),
        description: "It ticks.".into(),
        art: "clock".into(),
        currency: Currency::Usd,
        opens_in_ms,
        duration_ms: 60_000,
        listed: false,
        terms: common::english(),
    };
    let id = lot.id;
    node.ledger.put_up(lot).await.expect("puts up");
    node.ledger.close().await;
    id
}

/// What is wrong with an answer that should have this status and name this code.
fn wrong(answer: &Answer, status: u16, name: &str, what: &str) -> Option<String> {
    let right = answer.status == status && answer.body.contains(&format!("\"{name}\""));
    let (got, body) = (answer.status, &answer.body);
    (!right).then(|| format!("{what}: expected {status} {name}, got {got} {body}"))
}

const ACTING: &str = "acting_as=lena&acting_in=eu-west-1";

#[expect(clippy::too_many_lines, reason = "the table is the test")]
#[tokio::test]
async fn every_bad_input_has_its_name_and_writes_nothing() {
    let folder = folder();
    let data = folder.path();
    let node = Served::start(data, &[]);
    let lena = Browser::step_in(&node.address, "lena").await;
    let (english, dutch, drop) = (
        lot_of(data, Mechanism::English).await,
        lot_of(data, Mechanism::Dutch).await,
        lot_of(data, Mechanism::Drop).await,
    );
    let unknown = server::ids::lot().to_string();
    let early = put_up(data, "kenji", 600_000).await.to_string();
    let late = put_up(data, "kenji", -120_000).await.to_string();
    let own = put_up(data, "lena", 0).await.to_string();
    let before = rows(data).await;
    let bid = |lot: &str, amount: &str, currency: &str| {
        let key = server::ids::key();
        let form = format!("lot={lot}&amount={amount}&currency={currency}&key={key}&{ACTING}");
        ("/api/bid", form)
    };
    let claim = |lot: &str, units: &str, max_price: &str| {
        let key = server::ids::key();
        let form = format!(
            "lot={lot}&units={units}&max_price={max_price}&currency=USD&key={key}&{ACTING}"
        );
        ("/api/claim", form)
    };
    let keyed = |key: &str| {
        (
            "/api/bid",
            format!("lot={english}&amount=9000&currency=USD&key={key}&{ACTING}"),
        )
    };
    let (path, form) = claim(&drop, "1", "100000");
    let foreign = (path, form.replace("USD", "JPY"));
    let table = [
        (bid(&english, "-5", "USD"), 422, "invalid_amount"),
        (bid(&english, "0.005", "USD"), 422, "invalid_amount"),
        (bid(&english, "1e9", "USD"), 422, "invalid_amount"),
        (bid(&english, "NaN", "USD"), 422, "invalid_amount"),
        (bid(&english, "", "USD"), 422, "invalid_amount"),
        (
            bid(&english, "99999999999999999999", "USD"),
            422,
            "invalid_amount",
        ),
        (bid(&english, "0", "USD"), 422, "invalid_amount"),
        (bid(&english, "1", "USD"), 409, "too_low"),
        (bid(&english, "900000", "USD"), 409, "insufficient"),
        (bid(&english, "9000", "JPY"), 409, "currency_mismatch"),
        (bid(&english, "9000", "XXX"), 422, "invalid_currency"),
        (bid("lot_1", "9000", "USD"), 422, "invalid_id"),
        (bid("'; DROP TABLE lots", "9000", "USD"), 422, "invalid_id"),
        (bid(&unknown, "9000", "USD"), 409, "not_found"),
        (bid(&dutch, "9000", "USD"), 409, "wrong_mechanism"),
        (bid(&early, "9000", "USD"), 409, "not_live"),
        (bid(&late, "9000", "USD"), 409, "ended"),
        (bid(&own, "9000", "USD"), 409, "own_lot"),
        (bid(&english, "12,50", "USD"), 422, "invalid_amount"),
        (claim(&english, "1", "100000"), 409, "wrong_mechanism"),
        (claim(&drop, "0", "100000"), 422, "invalid_units"),
        (claim(&drop, "1.5", "100000"), 422, "invalid_units"),
        (claim(&drop, "-1", "100000"), 422, "invalid_units"),
        (claim(&drop, "99999999999", "100000"), 422, "invalid_units"),
        (claim(&drop, "51", "100000"), 409, "sold_out"),
        (claim(&drop, "3", "100000"), 409, "limit_reached"),
        (claim(&drop, "1", "1"), 409, "price_moved"),
        (claim(&dutch, "1", "1"), 409, "price_moved"),
        (claim(&dutch, "1", "12.5"), 422, "invalid_amount"),
        (claim(&drop, "1", "9007199254740992"), 422, "invalid_amount"),
        (
            claim(&drop, "1", "99999999999999999999"),
            422,
            "invalid_amount",
        ),
        (foreign, 409, "currency_mismatch"),
        (keyed(""), 422, "invalid_key"),
        (keyed(&"x".repeat(256)), 422, "invalid_key"),
        (keyed("a%20b"), 422, "invalid_key"),
        (
            (
                "/api/top-up",
                format!("amount=0&currency=USD&key=k&{ACTING}"),
            ),
            422,
            "invalid_amount",
        ),
        (
            (
                "/api/top-up",
                format!("amount=200000&currency=USD&key=k2&{ACTING}"),
            ),
            409,
            "top_up_limit",
        ),
        (
            ("/api/settle", format!("lot={english}&key=k&{ACTING}")),
            409,
            "not_due",
        ),
        (
            ("/api/settle", format!("lot=lot_1&key=k3&{ACTING}")),
            422,
            "invalid_id",
        ),
        (
            ("/api/settle", format!("lot={unknown}&key=k4&{ACTING}")),
            409,
            "not_found",
        ),
    ];
    let mut mistakes = Vec::new();
    for ((path, form), status, name) in &table {
        mistakes.extend(wrong(&lena.post(path, form).await, *status, name, form));
    }
    assert!(
        mistakes.is_empty(),
        "{}",
        mistakes.join(
            "
"
        )
    );
    let (path, form) = bid(&english, "9000", "USD");
    let more = lena.post(path, &format!("{form}&role=admin")).await;
    assert_eq!(more.status, 422, "an unknown field: {more:?}");
    let twice = lena.post(path, &format!("{form}&amount=1")).await;
    assert_eq!(twice.status, 422, "a field twice: {twice:?}");
    let big = lena
        .post(path, &format!("{form}&x={}", "y".repeat(70_000)))
        .await;
    assert_eq!(big.status, 413, "a body of 70 kB");
    assert_eq!(rows(data).await, before, "nothing was written");
}

#[tokio::test]
async fn only_a_page_of_ours_acts_and_only_for_whom_its_cookie_holds() {
    let folder = folder();
    let data = folder.path();
    let node = Served::start(data, &[]);
    let lena = Browser::step_in(&node.address, "lena").await;
    let drop = lot_of(data, Mechanism::Drop).await;
    let form = |acting_as: &str| {
        format!(
            "lot={drop}&units=1&max_price=1000000&currency=USD&key={}&acting_as={acting_as}&acting_in=eu-west-1",
            server::ids::key()
        )
    };
    let before = rows(data).await;
    // Somebody else by name (D9), nobody, and a cookie that we never gave out.
    assert_eq!(lena.post("/api/claim", &form("kenji")).await.status, 401);
    let guest = Browser {
        cookie: "a=b".into(),
        ..lena.clone()
    };
    assert_eq!(guest.post("/api/claim", &form("lena")).await.status, 401);
    let forged = Browser {
        cookie: format!("lotzero_browser={}", "a".repeat(64)),
        ..lena.clone()
    };
    assert_eq!(forged.post("/api/claim", &form("lena")).await.status, 401);
    let urlencoded = ("Content-Type", "application/x-www-form-urlencoded");
    for origin in [
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        &format!("http://{}.evil.example", node.address),
        "http://127.0.0.1:1",
    ] {
        let headers = [
            ("Origin", origin),
            ("Cookie", lena.cookie.as_str()),
            urlencoded,
        ];
        let answer = request(&node.address, "POST", "/api/claim", &headers, &form("lena")).await;
        assert_eq!(answer.status, 403, "origin {origin}");
    }
    let headers = [("Cookie", lena.cookie.as_str()), urlencoded];
    let bare = request(&node.address, "POST", "/api/claim", &headers, &form("lena")).await;
    assert_eq!(bare.status, 403, "without an origin");
    let get = lena.get("/api/claim").await;
    assert!(get.status >= 400, "a GET must not act: {get:?}");
    assert_eq!(rows(data).await, before, "nothing was written");
    // And the real one may, once per key (D2).
    let form = form("lena");
    let first = lena.post("/api/claim", &form).await;
    assert_eq!(first.status, 200, "{first:?}");
    let again = lena.post("/api/claim", &form).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let other = lena
        .post("/api/claim", &form.replace("units=1", "units=2"))
        .await;
    assert_eq!(
        other.status, 422,
        "another meaning under the same key: {other:?}"
    );
    let after = rows(data).await;
    assert_eq!(after[..3], [before[0], before[1] + 1, before[2] + 2]);
}

#[tokio::test]
async fn pages_have_their_status_and_their_headers() {
    let folder = folder();
    let node = Served::start(folder.path(), &[]);
    let lena = Browser::step_in(&node.address, "lena").await;
    let unknown = format!("/lots/{}", server::ids::lot());
    for (path, status) in [
        ("/", 200),
        ("/wallet?as=lena&in=eu-west-1", 200),
        ("/about", 200),
        ("/docs/socket", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        (unknown.as_str(), 404),
        ("/lots/lot_1", 404),
        ("/lots/..%2f..%2fetc%2fpasswd", 404),
        ("/nowhere", 404),
        ("/pkg/../../../etc/passwd", 404),
    ] {
        let answer = lena.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
    }
    for path in ["/", "/wallet", "/api/page/room?form[lot]=x", "/nowhere"] {
        let answer = lena.get(path).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    for question in ["", "?nonsense=1", "?lot=lot_1&role=admin", "?lot=%FF"] {
        let path = format!("/api/page/room{question}");
        let answer = lena.get(&path).await;
        let mistake = wrong(&answer, 422, "bad_request", &path);
        assert_eq!(mistake, None);
    }
    let (one, two) = (lena.get("/").await, lena.get("/").await);
    let policy = |answer: &Answer| answer.headers["content-security-policy"].clone();
    assert!(policy(&one).contains("'strict-dynamic'") && !policy(&one).contains("unsafe-inline"));
    assert_ne!(
        policy(&one),
        policy(&two),
        "every page has a nonce of its own"
    );
}

/// A node ends at SIGTERM, and the stores end with it; the next start is quicker than the first.
#[tokio::test]
async fn a_node_starts_stops_and_starts_again() {
    let folder = folder();
    let mut times = Vec::new();
    for _ in 0..2 {
        let began = Instant::now();
        let mut node = Served::start(folder.path(), &[]);
        let page = request(&node.address, "GET", "/", &[], "").await;
        assert_eq!(page.status, 200);
        times.push(began.elapsed());
        assert!(node.terminate(), "ends well");
        let deadline = Instant::now() + Duration::from_secs(10);
        while attach_running(folder.path()).await.is_some() {
            assert!(
                Instant::now() < deadline,
                "the stores outlive their last user"
            );
            // Asking counts as using them: their grace begins anew each time.
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
    }
    println!(
        "first start to first page: {:?}, next start: {:?}",
        times[0], times[1]
    );
    assert!(times[0] < Duration::from_secs(30) && times[1] < Duration::from_secs(15));
}
