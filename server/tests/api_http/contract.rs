//! Holds every reply that a test gets to the OpenAPI document: its status is one that the route may
//! have, its body is as described with nothing besides, its headers are named, and a problem's code
//! is one that the route may answer.

use crate::common::web::Answer;
use crate::schema;
use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(server::api::openapi);

/// The route of a path, as the document writes it.
fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let paths = DOCUMENT["paths"].as_object()?;
    let fits = |template: &&String| {
        let (theirs, ours) = (template.split('/'), path.split('/'));
        theirs.clone().count() == ours.clone().count()
            && theirs
                .zip(ours)
                .all(|(theirs, ours)| theirs == "{id}" || theirs == ours)
    };
    // What is written out goes before what stands for any id.
    let mut found: Vec<&String> = paths.keys().filter(fits).collect();
    found.sort_by_key(|template| template.contains("{id}"));
    found.first().map(|template| template.as_str())
}

/// The documented reply.
fn response(operation: &'static Value, status: u16) -> Option<&'static Value> {
    let response = operation["responses"].get(status.to_string())?;
    match response["$ref"].as_str() {
        Some(place) => DOCUMENT.pointer(place.trim_start_matches('#')),
        None => Some(response),
    }
}

/// Fails unless a reply is as the document says. Paths and methods that it does not have are not
/// looked at.
pub fn check(method: &str, path: &str, answer: &Answer) {
    let Some(template) = template(path) else {
        return;
    };
    let Some(operation) = DOCUMENT["paths"][template].get(method.to_lowercase()) else {
        return;
    };
    let status = answer.status;
    let what = format!("{method} {template} {status}");
    let response = response(operation, status);
    assert!(response.is_some(), "{what} is not documented: {answer:?}");
    let response = response.unwrap_or(&Value::Null);
    let kind = answer.headers["content-type"].as_str();
    let schema = &response["content"][kind]["schema"];
    assert!(!schema.is_null(), "{what}: {kind} is not documented");
    let body: Value = serde_json::from_str(&answer.body).expect(&what);
    let faults = schema::faults(&DOCUMENT, schema, &body);
    assert!(faults.is_empty(), "{what}: {faults:#?}\n{body:#}");
    let named: Vec<String> = response["headers"]
        .as_object()
        .expect("headers")
        .keys()
        .map(|name| name.to_lowercase())
        .collect();
    for name in [
        "idempotent-replayed",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
    ] {
        let there = answer.headers.contains_key(name);
        assert!(!there || named.iter().any(|n| n == name), "{what}: {name}");
    }
    assert!(answer.headers.contains_key("x-request-id"), "{what}");
}

/// Every route of the document: its method, its path, and what is written about it.
pub fn routes() -> Vec<(String, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let mut found = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("methods") {
            found.push((method.to_uppercase(), path.as_str(), operation));
        }
    }
    found
}

/// The schema of a route's body, if it is described by name.
pub fn body_schema(operation: &'static Value) -> Option<&'static Value> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    resolve(schema["$ref"].as_str()?)
}

/// What is wrong with a value that must fit a schema of the document.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    schema::faults(&DOCUMENT, schema, value)
}

/// What a reference names.
pub fn resolve(place: &str) -> Option<&'static Value> {
    DOCUMENT.pointer(place.trim_start_matches('#'))
}
