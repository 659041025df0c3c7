//! Bodies that are not as they must be, for every POST route.

use crate::caller::{Caller, Site, assert_none, wrong};
use crate::paths::{Post, Shop};
use serde_json::Value;
use server::ids;

/// What was sent must not come back: this stands in every value that could.
const MARK: &str = "ZQX7";

/// A body, and the status and code that it must be answered with.
type Case = (String, u16, &'static str);

const MALFORMED: (u16, &str) = (400, "malformed");
const INVALID: (u16, &str) = (422, "invalid");

fn case(body: impl Into<String>, (status, code): (u16, &'static str)) -> Case {
    (body.into(), status, code)
}

/// What no route takes.
fn unreadable(post: &Post) -> Vec<Case> {
    let body = post.body.to_string();
    let twice = |first: &str, second: &str| {
        let open = body.trim_end_matches('}');
        let comma = if open == "{" { "" } else { "," };
        format!("{open}{comma}\"{first}\":1,\"{second}\":1}}")
    };
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let mut cases = vec![
        case("{", MALFORMED),
        case("   ", MALFORMED),
        case(MARK, MALFORMED),
        case(format!("{{\"a\":\"{MARK}\""), MALFORMED),
        case(format!("{{\"a\":{MARK}}}"), MALFORMED),
        case(format!("{{'a':'{MARK}'}}"), MALFORMED),
        case(format!("\u{feff}{body}"), MALFORMED),
        case(format!("{body}{MARK}"), MALFORMED),
        case(format!("{body}{body}"), MALFORMED),
        case(format!("{body}\0"), MALFORMED),
        case(twice("a", "a"), MALFORMED),
        case(twice("a", "\\u0061"), MALFORMED),
        case(deep.clone(), MALFORMED),
        case(format!("{{\"a\":{deep}}}"), MALFORMED),
        case("[".repeat(10_000), MALFORMED),
        case("[]", INVALID),
        case(format!("[{body}]"), INVALID),
        case("null", INVALID),
        case(format!("\"{MARK}\""), INVALID),
        case("7", INVALID),
        case("\"a\":1", MALFORMED),
    ];
    if !post.body.as_object().expect("an object").is_empty() {
        cases.push(case("", MALFORMED));
        cases.push(case("{}", INVALID));
    }
    for (name, value) in [("extra", "1"), ("tenant_id", "\"ZQX7\""), ("<ZQX7>", "1")] {
        let open = body.trim_end_matches('}');
        let comma = if open == "{" { "" } else { "," };
        cases.push(case(format!("{open}{comma}\"{name}\":{value}}}"), INVALID));
    }
    for (name, value) in post.body.as_object().expect("an object") {
        let again = body.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        cases.push(case(again, MALFORMED));
    }
    cases
}

/// Fields that may be left out.
const OPTIONAL: [&str; 6] = [
    "allow_repeat",
    "region",
    "purchase_cap_minor",
    "merchant_ids",
    "amount_minor",
    "units",
];

/// Numbers that may be zero.
fn may_be_zero(post: &Post, name: &str) -> bool {
    name == "units" && !post.path.ends_with("/restock") && post.path != "/v1/claims"
}

fn is_optional(post: &Post, name: &str) -> bool {
    let amounts = ["amount_minor", "units"];
    OPTIONAL.contains(&name) && (!amounts.contains(&name) || post.path == "/v1/refunds")
}

/// Texts that are no id of any kind that the API takes.
const NO_IDS: [&str; 9] = [
    "\"\"",
    "\"a\\u0000ZQX7\"",
    "\"ZQX7\"",
    "\"mer_ZQX7\"",
    "\"'; DROP TABLE items; -- ZQX7\"",
    "\"usr_00000000000000000000000000000000\"",
    "\"MER_00000000000000000000000000000000\"",
    "\"00000000000000000000000000000000\"",
    "\"00000000-0000-0000-0000-000000000000\"",
];

fn is_id(name: &str) -> bool {
    name.ends_with("_id") && name != "agent_id"
}

/// What no field of its kind takes.
fn unfit(post: &Post) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, value) in post.body.as_object().expect("an object") {
        if !is_optional(post, name) {
            let mut less = post.body.clone();
            less.as_object_mut().expect("an object").remove(name);
            cases.push(case(less.to_string(), INVALID));
            cases.push(case(post.with(name, "null"), INVALID));
        }
        let mut raws = vec!["{}", "{\"ZQX7\":1}", "[[]]"];
        match value {
            Value::Number(_) => {
                raws.extend([
                    "-1",
                    "-0",
                    "1e400",
                    "-1e400",
                    "0.1",
                    "1.0",
                    "1e2",
                    "\"100\"",
                    "\"\"",
                    "true",
                    "[1]",
                    "9007199254740992",
                    "9007199254740993",
                    "99999999999999999999999",
                    "9223372036854775808",
                    "\"ZQX7\"",
                ]);
                if !may_be_zero(post, name) {
                    raws.push("0");
                }
                for raw in ["NaN", "Infinity", "+1", "01", "0x10", "1.", "1_000"] {
                    cases.push(case(post.with(name, raw), MALFORMED));
                }
            }
            Value::Bool(_) => raws.extend(["0", "1", "\"true\"", "\"ZQX7\"", "[true]"]),
            Value::Array(_) => {
                raws.extend(["\"ZQX7\"", "[null]", "[1]", "{\"0\":1}"]);
                cases.push(case(post.with(name, "[\"ZQX7\"]"), MALFORMED));
            }
            Value::String(_) if is_id(name) => {
                raws.extend(["1", "true", "[]"]);
                let none = NO_IDS
                    .iter()
                    .map(|raw| case(post.with(name, raw), MALFORMED));
                cases.extend(none);
            }
            Value::Null | Value::String(_) | Value::Object(_) => {
                raws.extend([
                    "1",
                    "true",
                    "[]",
                    "\"\"",
                    "\"a\\u0000ZQX7\"",
                    "\"a\\nZQX7\"",
                ]);
                match name.as_str() {
                    "currency" => raws.extend(["\"ZQX7\"", "\"usd\"", "\"USD \""]),
                    "agent_id" => raws.extend(["\"ZQX7é\"", "\"a\\tZQX7\""]),
                    _ => raws.extend([
                        "\" ZQX7\"",
                        "\"ZQX7\u{202e}\"",
                        "\"ZQX7\u{200b}\"",
                        "\"\u{3164}ZQX7\"",
                    ]),
                }
            }
        }
        cases.extend(raws.iter().map(|raw| case(post.with(name, raw), INVALID)));
        let long = format!("\"{MARK}{}\"", "x".repeat(120));
        if value.is_string() {
            let long_is = if is_id(name) { MALFORMED } else { INVALID };
            cases.push(case(post.with(name, &long), long_is));
            // Half of a pair that UTF-16 writes a letter with.
            cases.push(case(post.with(name, "\"\\ud800ZQX7\""), INVALID));
        }
    }
    cases
}

async fn tried(caller: &Caller, post: &Post, cases: &[Case]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (body, status, code) in cases {
        let answer = caller.post(&post.path, ids::key().as_str(), body).await;
        let what = format!("{} {body}", post.path);
        mistakes.extend(wrong(&answer, *status, code, &what));
        if answer.body.contains(MARK) {
            mistakes.push(format!("{what}: repeats what was sent: {answer:?}"));
        }
    }
    mistakes
}

#[tokio::test]
async fn every_wrong_body_has_its_code_and_writes_nothing() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let posts = shop.posts();
    // The sandbox is set up by the first who asks.
    shop.caller.read("/v1/sandbox").await;
    let before = site.rows().await;
    let (mut mistakes, mut count) = (Vec::new(), 0);
    for post in &posts {
        let mut cases = unreadable(post);
        cases.extend(unfit(post));
        count += cases.len();
        mistakes.extend(tried(&shop.caller, post, &cases).await);
    }
    assert_none(&mistakes);
    assert!(count > 600, "{count} bodies were tried");
    assert_eq!(site.rows().await, before, "nothing was written");
    // What is wrong is named, all of it at once.
    let body = "{\"title\":1,\"price_minor\":0,\"currency\":\"USD\",\"units\":1,\"more\":1}";
    let answer = shop.caller.post("/v1/items", "k", body).await;
    for pointer in ["/merchant_id", "/title", "/price_minor", "/more"] {
        let named = format!("\"pointer\":\"{pointer}\"");
        assert!(answer.body.contains(&named), "{pointer}: {answer:?}");
    }
    // The bodies that the cases were made of are right.
    for post in &posts {
        let answer = shop.caller.send(&post.path, &post.body).await;
        assert_eq!(answer.status, post.status, "{}: {answer:?}", post.path);
    }
    site.assert_clean().await;
}

#[tokio::test]
async fn scopes_have_up_to_twenty_merchants_each_once() {
    let site = Site::start();
    let shop = Shop::open(&site, site.tenant("acme")).await;
    let posts = shop.posts();
    let mandates = posts.iter().find(|post| post.path == "/v1/mandates");
    let mandates = mandates.expect("is there");
    let many: Vec<String> = (0..21)
        .map(|_| format!("\"{}\"", ids::merchant()))
        .collect();
    let twice = format!("[\"{0}\",\"{0}\"]", shop.merchant);
    let cases = [
        case(mandates.with("merchant_ids", &twice), INVALID),
        case(
            mandates.with("merchant_ids", &format!("[{}]", many.join(","))),
            INVALID,
        ),
        case(mandates.with("expires_in_s", "31622401"), INVALID),
    ];
    assert_none(&tried(&shop.caller, mandates, &cases).await);
    for (name, raw) in [
        ("merchant_ids", "[]"),
        ("merchant_ids", "null"),
        ("purchase_cap_minor", "null"),
    ] {
        let body = mandates.with(name, raw);
        let answer = shop
            .caller
            .post(&mandates.path, ids::key().as_str(), &body)
            .await;
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
    }
}
