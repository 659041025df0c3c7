//! What all routes have in common: the headers of replies, the errors that follow from how a route
//! is called, and for every error its words in the catalogue.

use super::super::catalogue::{self, ENTRIES};
use super::super::problem::Problem;
use super::super::schemas;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

/// Where a route lists its own errors.
const OWN: &str = "x-problem-codes";

/// Errors that any route may answer.
const ANY: [&str; 7] = [
    "uri_too_long",
    "header_too_large",
    "too_large",
    "too_slow",
    "rate_limited",
    "internal",
    "unavailable",
];

/// Statuses of refusals that are kept under their key and said again.
const KEPT: [u16; 6] = [402, 403, 404, 409, 410, 422];

/// Errors of calls with an Idempotency-Key.
const KEYED: [&str; 4] = [
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "outcome_unknown",
];

/// The lists above.
#[cfg(test)]
pub const COMMON: [&[&str]; 2] = [&ANY, &KEYED];

/// The schemas that are in the document whatever the routes are.
pub fn schemas() -> Vec<(String, RefOr<Schema>)> {
    type Named = schemas::problem::Problem;
    let mut found = vec![(Named::name().into_owned(), Named::schema())];
    Named::schemas(&mut found);
    found
}

/// A document with everything that its routes have in common.
pub fn added_to(mut document: Value) -> Value {
    let (mut bodies, mut replies) = (BTreeSet::new(), Map::new());
    if let Some(paths) = document["paths"].as_object_mut() {
        for item in paths.values_mut() {
            let operations = item.as_object_mut().into_iter().flat_map(Map::values_mut);
            for operation in operations.filter(|operation| operation.is_object()) {
                bodies.extend(body_schema(operation));
                complete(operation, &mut replies);
            }
        }
    }
    let schemas = &mut document["components"]["schemas"];
    for name in bodies {
        // Money must not depend on a field that somebody misspelt.
        schemas[name]["additionalProperties"] = json!(false);
    }
    without_null(&mut schemas["Problem"]);
    document["components"]["headers"] = headers();
    document["components"]["responses"] = Value::Object(replies);
    document
}

fn body_schema(operation: &Value) -> Option<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let name = schema["$ref"].as_str()?.rsplit('/').next()?;
    Some(name.to_owned())
}

/// A problem's members are left out, never null.
fn without_null(schema: &mut Value) {
    let properties = schema["properties"].as_object_mut();
    for property in properties.into_iter().flat_map(Map::values_mut) {
        let types = property["type"].as_array().cloned();
        if let Some([kind, _null]) = types.as_deref() {
            property["type"] = kind.clone();
        }
        let kinds = property["oneOf"].as_array().cloned();
        let mut kinds = kinds.into_iter().flatten();
        if let Some(kind) = kinds.find(|kind| kind["type"] != "null") {
            *property = kind;
        } else if let Some(property) = property.as_object_mut() {
            property.retain(|_, value| !value.is_null());
        }
    }
}

fn headers() -> Value {
    let text = |description: &str, example: &str| json!({"description": description, "schema": {"type": "string"}, "example": example});
    json!({
        "X-Request-Id": text(
            "The request's id: the caller's own if it sent one, else a fresh one.",
            "019ab5c1-3f1e-7c3a-9a50-6d1f4d1f2a10",
        ),
        "Idempotent-Replayed": text(
            "There, and true, if the key had been answered before: this is the same answer.",
            "true",
        ),
        "RateLimit-Policy": text(
            "How often one may call: q requests at once, all of which are back after w seconds. The \
             name says what is counted: a key, an address at the sandbox, or an address without a \
             valid key.",
            "\"key\";q=2000;w=2",
        ),
        "RateLimit": text(
            "How many requests are left (r), and after how many seconds all of them are back (t).",
            "\"key\";r=1999;t=1",
        ),
        "Retry-After": {
            "description": "Seconds after which the same request may be sent again.",
            "schema": {"type": "integer", "minimum": 1},
            "example": 1,
        },
    })
}

/// The codes that a route may answer with.
fn codes(operation: &mut Value) -> BTreeSet<String> {
    let takes = |place: &str| {
        let parameters = operation["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|one| one["in"] == place))
    };
    let (path, query, key) = (takes("path"), takes("query"), takes("header"));
    let body = operation.get("requestBody").is_some();
    let keyless = operation.get("security").is_some();
    let own = operation.as_object_mut().and_then(|all| all.remove(OWN));
    let own = own.as_ref().and_then(Value::as_array).into_iter().flatten();
    let mut codes: BTreeSet<&str> = own.filter_map(Value::as_str).collect();
    codes.extend(ANY);
    let ids = operation["parameters"].as_array().into_iter().flatten();
    let ids = ids.filter(|one| {
        one["name"]
            .as_str()
            .is_some_and(|name| name.ends_with("_id"))
    });
    codes.extend((path || body || ids.count() > 0).then_some("malformed"));
    codes.extend((query || body).then_some("invalid"));
    codes.extend((!keyless).then_some("unauthorized"));
    if key {
        codes.extend(KEYED);
    }
    codes.into_iter().map(str::to_owned).collect()
}

/// Adds to a route what follows from how it is called. Replies with problems that many routes share
/// are put among `replies`.
fn complete(operation: &mut Value, replies: &mut Map<String, Value>) {
    let codes = codes(operation);
    let key = codes.contains(KEYED[0]);
    // A summary is a title.
    let summary = operation["summary"].as_str().unwrap_or_default();
    operation["summary"] = json!(summary.trim_end_matches('.'));
    if operation.get("security").is_some() {
        // No key at all, rather than one that may be left out.
        operation["security"] = json!([]);
    }
    add_request_id(operation);
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    // In the catalogue's order. A code that it does not have is left out, which a test rules out.
    for entry in ENTRIES.iter().filter(|entry| codes.contains(entry.code)) {
        let codes = by_status.entry(entry.status.as_u16()).or_default();
        codes.push(entry.code);
    }
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for response in responses.values_mut() {
        response["headers"] = reply_headers(key, false);
    }
    for (status, codes) in by_status {
        let kept = key && KEPT.contains(&status);
        let mut name = codes.join("-");
        name.push_str(if kept { ".kept" } else { "" });
        let place = format!("#/components/responses/{name}");
        responses.insert(status.to_string(), json!({ "$ref": place }));
        replies
            .entry(name)
            .or_insert_with(|| problems(&codes, kept));
    }
}

fn add_request_id(operation: &mut Value) {
    let id = json!({
        "name": "X-Request-Id",
        "in": "header",
        "required": false,
        "description": "An id of your own for this request, 1 to 64 letters, digits, - and _. It comes \
                        back and stands in our logs.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    });
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(id),
        None => operation["parameters"] = json!([id]),
    }
}

fn reply_headers(replays: bool, retries: bool) -> Value {
    let mut names = vec!["X-Request-Id", "RateLimit-Policy", "RateLimit"];
    names.extend(replays.then_some("Idempotent-Replayed"));
    names.extend(retries.then_some("Retry-After"));
    let headers = names.into_iter().map(|name| {
        let place = format!("#/components/headers/{name}");
        (name.to_owned(), json!({ "$ref": place }))
    });
    Value::Object(headers.collect())
}

/// The reply with one status: which codes it may have, each with an example.
fn problems(codes: &[&str], replays: bool) -> Value {
    let mut lines = Vec::new();
    let mut examples = Map::new();
    let mut passing = false;
    for code in codes {
        let entry = catalogue::entry(code);
        passing |= entry.may_be_repeated;
        let line = format!("[`{code}`](/docs/errors/{code}): {}.", entry.title);
        lines.push(line);
        let mut example = Problem::new(entry.code, entry.meaning);
        if entry.may_be_repeated {
            example = example.retry_after(1);
        }
        let value: Value = serde_json::from_str(&example.body()).unwrap_or_default();
        examples.insert(
            entry.code.to_owned(),
            json!({"summary": entry.title, "value": value}),
        );
    }
    json!({
        "description": lines.join("\n\n"),
        "headers": reply_headers(replays, passing),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        {"$ref": "#/components/schemas/Problem"},
                        {"properties": {"code": {"enum": codes}}},
                    ],
                },
                "examples": examples,
            },
        },
    })
}
