//! Bodies, read strictly: one JSON object, no field twice, none unknown, every number an integer in
//! its range. Money must never depend on what a parser makes of a doubtful text.

use super::problem::Problem;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use shared::Currency;
use shared::purchase::Label;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::mem;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How deep brackets may be nested: our own bodies need two.
const MAX_DEPTH: usize = 32;

/// The fields of a body that have not been read yet. They are borrowed from it: a purchase has eight,
/// and a rush is a matter of microseconds.
#[derive(Debug)]
pub struct Fields<'b> {
    left: Vec<(Cow<'b, str>, &'b RawValue)>,
    wrong: Vec<(String, String)>,
    has_malformed_id: bool,
}

/// A text, borrowed unless it is written with escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

struct Object<'b>(Vec<(Cow<'b, str>, &'b RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fresh;
        impl<'de> Visitor<'de> for Fresh {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                let names: HashSet<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
                if names.len() < fields.len() {
                    return Err(A::Error::custom("a field occurs twice"));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fresh)
    }
}

/// How deep brackets are nested, those in texts left out.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn is_value(body: &str) -> bool {
    serde_json::from_str::<&RawValue>(body).is_ok()
}

impl<'b> Fields<'b> {
    /// Reads a body.
    ///
    /// # Errors
    /// `malformed` if it is no JSON, `invalid` if it is JSON but no object. What was sent is not
    /// repeated.
    pub fn read(body: &'b [u8]) -> Result<Self, Problem> {
        let malformed = || Problem::new("malformed", "The body is not one JSON object.");
        let body = std::str::from_utf8(body).map_err(|_no_text| malformed())?;
        if depth(body.as_bytes()) > MAX_DEPTH {
            return Err(malformed());
        }
        match serde_json::from_str::<Object<'_>>(body) {
            Ok(Object(left)) => Ok(Self {
                left,
                wrong: Vec::new(),
                has_malformed_id: false,
            }),
            Err(error) if error.is_data() && is_value(body) && !starts_object(body) => {
                Err(Problem::new("invalid", "The body must be an object.").field("", "an object"))
            }
            Err(_unreadable) => Err(malformed()),
        }
    }

    fn refuse(&mut self, name: &str, wanted: String) {
        self.wrong.push((name.to_owned(), wanted));
    }

    /// Reads a field; what it must be is put into words only if it is not so.
    fn take<T>(
        &mut self,
        name: &str,
        wanted: impl Fn() -> String,
        read: impl Fn(&'b str) -> Option<T>,
    ) -> Option<T> {
        let value = self.remove(name);
        let read = value.and_then(|raw| read(raw.get().trim()));
        if read.is_none() {
            self.refuse(name, wanted());
        }
        read
    }

    fn is_absent(&mut self, name: &str) -> bool {
        let absent = self
            .place(name)
            .is_none_or(|place| self.left[place].1.get() == "null");
        if absent {
            self.remove(name);
        }
        absent
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.left.iter().position(|(left, _)| left == name)
    }

    fn remove(&mut self, name: &str) -> Option<&'b RawValue> {
        let place = self.place(name)?;
        Some(self.left.remove(place).1)
    }

    /// An integer in a range.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let wanted = || format!("an integer from {} to {}", range.start(), range.end());
        self.take(name, wanted, |raw| {
            // `1e2` and `1.0` are numbers, but not ones that money is written with; nor is `-0`.
            let number = raw.parse::<i64>().ok().filter(|_| raw != "-0");
            number.filter(|number| range.contains(number))
        })
    }

    /// An integer in a range, or nothing.
    pub fn optional_integer(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Option<Option<i64>> {
        if self.is_absent(name) {
            return Some(None);
        }
        self.integer(name, range).map(Some)
    }

    /// A number of units in a range.
    pub fn units(&mut self, name: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let wide = i64::from(*range.start())..=i64::from(*range.end());
        let number = self.integer(name, wide)?;
        u32::try_from(number).ok()
    }

    /// Yes or no; no if it is absent.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        if self.is_absent(name) {
            return Some(false);
        }
        self.take(name, || "true or false".to_owned(), |raw| raw.parse().ok())
    }

    /// A text that can be read as a `T`.
    pub fn text<T>(
        &mut self,
        name: &str,
        wanted: &str,
        read: impl Fn(String) -> Option<T>,
    ) -> Option<T> {
        let read = |text: Cow<'b, str>| read(text.into_owned());
        self.borrowed(name, || wanted.to_owned(), read)
    }

    fn borrowed<T>(
        &mut self,
        name: &str,
        wanted: impl Fn() -> String,
        read: impl Fn(Cow<'b, str>) -> Option<T>,
    ) -> Option<T> {
        self.take(name, wanted, |raw| {
            let Text(text) = serde_json::from_str(raw).ok()?;
            read(text)
        })
    }

    /// A text that can be read as a `T`, or nothing.
    pub fn optional_text<T>(
        &mut self,
        name: &str,
        wanted: &str,
        read: impl Fn(String) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.is_absent(name) {
            return Some(None);
        }
        self.text(name, wanted, read).map(Some)
    }

    /// A name that people read.
    pub fn label(&mut self, name: &str) -> Option<Label> {
        self.text(name, "1 to 120 visible characters", |text| {
            Label::try_from(text).ok()
        })
    }

    /// An id. One that is not written as ids are makes the body malformed; what is no text at all
    /// is a wrong value as elsewhere.
    pub fn id<T: FromStr>(&mut self, name: &str, prefix: &str) -> Option<T> {
        let wanted = || an_id(prefix);
        let text = self.borrowed(name, wanted, Some)?;
        self.well_formed(name, wanted, text.parse().ok())
    }

    fn well_formed<T>(
        &mut self,
        name: &str,
        wanted: impl Fn() -> String,
        read: Option<T>,
    ) -> Option<T> {
        if read.is_none() {
            self.has_malformed_id = true;
            self.refuse(name, wanted());
        }
        read
    }

    /// Some ids, each once; none if the field is absent.
    pub fn ids<T: FromStr + Ord>(
        &mut self,
        name: &str,
        prefix: &str,
        most: usize,
    ) -> Option<Vec<T>> {
        if self.is_absent(name) {
            return Some(Vec::new());
        }
        let wanted = || format!("up to {most} different ids: {prefix} and 32 hexadecimal digits");
        let texts = self.take(name, wanted, |raw| {
            serde_json::from_str::<Vec<String>>(raw).ok()
        })?;
        let ids: Option<Vec<T>> = texts.iter().map(|text| text.parse().ok()).collect();
        let mut ids = self.well_formed(name, wanted, ids)?;
        ids.sort();
        ids.dedup();
        if ids.len() < texts.len() || ids.len() > most {
            self.refuse(name, wanted());
            return None;
        }
        Some(ids)
    }

    /// A currency.
    pub fn currency(&mut self, name: &str) -> Option<Currency> {
        let wanted = || format!("one of {}", Currency::ALL.map(Currency::code).join(", "));
        self.borrowed(name, wanted, |text| text.parse().ok())
    }

    /// Ends the reading: what was not asked for is unknown, and all that is wrong is named at once.
    ///
    /// # Errors
    /// `malformed` if an id is not written as ids are, else `invalid`; with every field.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in mem::take(&mut self.left) {
            // A name is ours to repeat only if it looks like one.
            let shown =
                name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let name = if shown { &name } else { "" };
            self.refuse(name, "unknown: leave it out".to_owned());
        }
        if self.wrong.is_empty() {
            return Ok(());
        }
        let problem = if self.has_malformed_id {
            Problem::malformed_ids()
        } else {
            Problem::invalid_fields()
        };
        let wrong = self.wrong.into_iter();
        Err(wrong.fold(problem, |problem, (name, wanted)| {
            problem.field(&name, wanted)
        }))
    }
}

/// How an id is written.
pub fn an_id(prefix: &str) -> String {
    format!("an id: {prefix} and 32 hexadecimal digits")
}

fn starts_object(body: &str) -> bool {
    body.trim_ascii_start().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ItemId;

    fn code(body: &str) -> &'static str {
        let read = Fields::read(body.as_bytes()).and_then(|mut fields| {
            fields.integer("n", 1..=10);
            fields.finish()
        });
        read.map_or_else(|problem| problem.code(), |()| "ok")
    }

    #[test]
    fn only_one_object_with_the_right_fields_is_read() {
        assert_eq!(code(r#" {"n": 7} "#), "ok");
        for (body, expected) in [
            ("", "malformed"),
            ("{", "malformed"),
            ("{\"n\":1}x", "malformed"),
            ("{\"n\":1,}", "malformed"),
            ("\u{feff}{\"n\":1}", "malformed"),
            (r#"{"n":1,"n":1}"#, "malformed"),
            (r#"{"n":NaN}"#, "malformed"),
            ("[1]", "invalid"),
            ("null", "invalid"),
            ("7", "invalid"),
            ("{}", "invalid"),
            (r#"{"n":null}"#, "invalid"),
            (r#"{"n":1,"m":2}"#, "invalid"),
            (r#"{"n":"1"}"#, "invalid"),
            (r#"{"n":0}"#, "invalid"),
            (r#"{"n":-0}"#, "invalid"),
            (r#"{"n":-1}"#, "invalid"),
            (r#"{"n":11}"#, "invalid"),
            (r#"{"n":1.0}"#, "invalid"),
            (r#"{"n":0.1}"#, "invalid"),
            (r#"{"n":1e0}"#, "invalid"),
            (r#"{"n":1e400}"#, "invalid"),
            (r#"{"n":9007199254740993}"#, "invalid"),
            (r#"{"n":99999999999999999999999}"#, "invalid"),
            (r#"{"n":[1]}"#, "invalid"),
            (r#"{"n":true}"#, "invalid"),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(code(&deep), "malformed");
        assert_eq!(code(&format!("{{\"n\":{deep}}}")), "malformed");
    }

    #[test]
    fn an_id_that_is_none_is_malformed_and_one_of_another_type_is_invalid() {
        let code = |body: &str| {
            let mut fields = Fields::read(body.as_bytes()).expect("an object");
            fields.id::<ItemId>("i", ItemId::PREFIX);
            fields.ids::<ItemId>("l", ItemId::PREFIX, 2);
            fields.flag("b");
            fields
                .finish()
                .map_or_else(|problem| problem.code(), |()| "ok")
        };
        let (one, two) = ("0".repeat(32), "1".repeat(32));
        let one = format!("\"itm_{one}\"");
        let good = format!("{{\"i\":{one},\"l\":[{one},\"itm_{two}\"]}}");
        assert_eq!(code(&good), "ok");
        for (body, expected) in [
            ("{\"i\":\"itm_1\"}".to_owned(), "malformed"),
            ("{\"i\":\"itm_1\",\"b\":1}".to_owned(), "malformed"),
            (format!("{{\"i\":{one},\"l\":[\"x\"]}}"), "malformed"),
            (format!("{{\"i\":{one},\"l\":[{one},{one}]}}"), "invalid"),
            (format!("{{\"i\":{one},\"l\":[1]}}"), "invalid"),
            ("{\"i\":1}".to_owned(), "invalid"),
            ("{}".to_owned(), "invalid"),
        ] {
            assert_eq!(code(&body), expected, "{body}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let mut fields = Fields::read(br#"{"a":0,"b":"x","extra":1}"#).expect("an object");
        fields.integer("a", 1..=2);
        fields.flag("b");
        fields.currency("c");
        let problem = fields.finish().expect_err("refused");
        let body = problem.body();
        for name in ["/a", "/b", "/c", "/extra"] {
            assert!(
                body.contains(&format!("\"pointer\":\"{name}\"")),
                "{name}: {body}"
            );
        }
    }
}
