use super::super::{catalogue, documented, openapi};
use serde_json::Value;
use std::collections::BTreeSet;

/// Every method of every path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let mut found = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("methods") {
            found.push((format!("{method} {path}"), operation));
        }
    }
    assert!(found.len() >= 30, "{}", found.len());
    found
}

fn references<'d>(value: &'d Value, found: &mut BTreeSet<&'d str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_document_is_openapi_and_leads_nowhere() {
    let document = openapi();
    assert_eq!(document["openapi"], "3.1.0");
    let read = oas3::from_json(document.to_string()).expect("is OpenAPI");
    assert_eq!(read.operations().count(), operations(&document).len());
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for place in found {
        let pointer = place.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{place} leads nowhere");
    }
}

#[test]
fn every_route_says_what_it_does() {
    let document = openapi();
    let mut names = BTreeSet::new();
    let tags = super::TAGS.map(|(name, _)| name);
    for (route, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect(&route);
        assert!(names.insert(name), "{route}: {name} is taken");
        let summary = operation["summary"].as_str().expect(&route);
        assert!(!summary.is_empty() && !summary.ends_with('.'), "{route}");
        let tag = operation["tags"][0].as_str().expect(&route);
        assert!(tags.contains(&tag), "{route}: {tag} is not described");
        let parameters = operation["parameters"].as_array().expect(&route).iter();
        for parameter in parameters {
            assert!(parameter["description"].is_string(), "{route}: {parameter}");
        }
    }
}

#[test]
fn every_code_is_in_the_catalogue() {
    let raw = serde_json::to_value(documented().into_openapi()).expect("writes");
    for (route, operation) in operations(&raw) {
        let codes = operation["x-problem-codes"].as_array();
        for code in codes.into_iter().flatten() {
            let code = code.as_str().expect("a text");
            assert!(catalogue::find(code).is_some(), "{route}: {code}");
        }
    }
    let common = super::common::COMMON.concat();
    assert!(
        common
            .into_iter()
            .all(|code| catalogue::find(code).is_some())
    );
}

#[test]
fn every_field_of_a_body_has_its_words_and_every_body_an_example() {
    let document = openapi();
    for (route, operation) in operations(&document) {
        let Some(body) = operation.get("requestBody") else {
            continue;
        };
        let schema = &body["content"]["application/json"]["schema"];
        let Some(place) = schema["$ref"].as_str() else {
            continue;
        };
        let resolved = document
            .pointer(place.trim_start_matches('#'))
            .expect(place);
        let fields = resolved["properties"].as_object().expect(place);
        for (name, field) in fields {
            let text = field.to_string();
            assert!(text.contains("\"description\""), "{route} {name}: {text}");
        }
        assert!(resolved["example"].is_object(), "{route} has no example");
    }
}
