//! Values beside the schemas of the OpenAPI document: the part of JSON Schema that it uses, read
//! strictly. Callers must put up with fields that come later; the tests must not.

use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is wrong with a value, one a line.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut look = Look {
        document,
        faults: Vec::new(),
    };
    look.at("", schema, value, true);
    look.faults
}

struct Look<'d> {
    document: &'d Value,
    faults: Vec<String>,
}

impl<'d> Look<'d> {
    fn resolved(&self, schema: &'d Value) -> &'d Value {
        let Some(place) = schema["$ref"].as_str() else {
            return schema;
        };
        let found = self.document.pointer(place.trim_start_matches('#'));
        self.resolved(found.expect(place))
    }

    /// The names that an object may have, over all parts of its schema.
    fn names(&self, schema: &'d Value) -> BTreeSet<&'d str> {
        let schema = self.resolved(schema);
        let own = schema["properties"].as_object().into_iter().flatten();
        let mut names: BTreeSet<&str> = own.map(|(name, _)| name.as_str()).collect();
        for part in list(schema, "allOf") {
            names.extend(self.names(part));
        }
        names
    }

    /// `whole` for a schema that is not a part of another: it must name every field.
    fn at(&mut self, at: &str, schema: &'d Value, value: &Value, whole: bool) {
        let schema = self.resolved(schema);
        if !is_of_type(schema, value) {
            self.faults
                .push(format!("{at}: {value} is no {}", schema["type"]));
            return;
        }
        for part in list(schema, "allOf") {
            self.at(at, part, value, false);
        }
        let choices = list(schema, "oneOf");
        let fitting = choices
            .iter()
            .filter(|choice| faults(self.document, choice, value).is_empty());
        if !choices.is_empty() && fitting.count() != 1 {
            self.faults
                .push(format!("{at}: {value} is not one of {choices:?}"));
        }
        if !schema["enum"].is_null() && !list(schema, "enum").contains(value) {
            self.faults
                .push(format!("{at}: {value} is not in {}", schema["enum"]));
        }
        self.bounds(at, schema, value);
        if let Some(fields) = value.as_object() {
            let names = self.names(schema);
            let unknown = fields.keys().filter(|name| !names.contains(name.as_str()));
            if whole && !names.is_empty() {
                let unknown = unknown.map(|name| format!("{at}/{name}: is not described"));
                self.faults.extend(unknown);
            }
            let required = list(schema, "required").iter().filter_map(Value::as_str);
            let missing = required.filter(|name| !fields.contains_key(*name));
            let missing = missing.map(|name| format!("{at}/{name}: is missing"));
            self.faults.extend(missing);
            for (name, field) in fields {
                if let Some(described) = schema["properties"].get(name) {
                    self.at(&format!("{at}/{name}"), described, field, true);
                }
            }
        }
        let items = value.as_array().into_iter().flatten().enumerate();
        for (number, item) in items.filter(|_| !schema["items"].is_null()) {
            self.at(&format!("{at}/{number}"), &schema["items"], item, true);
        }
    }

    fn bounds(&mut self, at: &str, schema: &Value, value: &Value) {
        let size = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => i64::try_from(text.chars().count()).ok(),
            Value::Array(items) => i64::try_from(items.len()).ok(),
            Value::Null | Value::Bool(_) | Value::Object(_) => None,
        };
        let names = match value {
            Value::Number(_) => ["minimum", "maximum"],
            Value::String(_) => ["minLength", "maxLength"],
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                ["minItems", "maxItems"]
            }
        };
        let [least, most] = names.map(|name| schema[name].as_i64());
        let within = size.is_none_or(|size| {
            least.is_none_or(|least| least <= size) && most.is_none_or(|most| size <= most)
        });
        let pattern = schema["pattern"].as_str().zip(value.as_str());
        let fits = pattern.is_none_or(|(pattern, text)| {
            let pattern = Regex::new(pattern).expect("is a pattern");
            pattern.is_match(text)
        });
        if !within || !fits {
            self.faults
                .push(format!("{at}: {value} is out of bounds: {schema}"));
        }
    }
}

fn list<'d>(schema: &'d Value, name: &str) -> &'d [Value] {
    schema[name].as_array().map_or(&[], Vec::as_slice)
}

fn is_of_type(schema: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    let kind = &schema["type"];
    kind.is_null() || is(kind) || list(schema, "type").iter().any(is)
}

#[test]
fn what_does_not_fit_is_found() {
    let document = serde_json::json!({"n": {"type": "integer", "minimum": 1, "maximum": 9}});
    let schema = serde_json::json!({
        "type": "object", "required": ["a"],
        "allOf": [{"properties": {"k": {"enum": ["x"]}}}],
        "properties": {
            "a": {"oneOf": [{"$ref": "#/n"}, {"type": "null"}]},
            "t": {"type": "string", "pattern": "^b", "maxLength": 2},
            "l": {"type": "array", "items": {"$ref": "#/n"}, "maxItems": 1},
        },
    });
    for (value, count) in [
        (
            serde_json::json!({"a": 9, "t": "bb", "l": [1], "k": "x"}),
            0,
        ),
        (serde_json::json!({"a": null}), 0),
        (serde_json::json!({}), 1),
        (serde_json::json!([]), 1),
        (serde_json::json!({"a": 0}), 1),
        (serde_json::json!({"a": "1", "more": 1}), 2),
        (serde_json::json!({"a": 1, "t": "cb", "k": "y"}), 2),
        (serde_json::json!({"a": 1, "t": "bbb"}), 1),
        (serde_json::json!({"a": 1, "l": [10, 1.5]}), 3),
    ] {
        let found = faults(&document, &schema, &value);
        assert_eq!(found.len(), count, "{value}: {found:?}");
    }
}
