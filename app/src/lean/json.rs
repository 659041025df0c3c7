//! JSON as a tree, for values that the house itself has written: whole numbers only.

/// The deepest nesting that is read.
const MAX_DEPTH: u32 = 32;

/// A value of unknown form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Json>),
    /// Values by name.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text; `None` if it is no JSON, has fractions, or nests too deep.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader {
            rest: text.as_bytes(),
        };
        let value = reader.value(MAX_DEPTH)?;
        reader.space();
        reader.rest.is_empty().then_some(value)
    }

    /// The value of a name; nothing if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &Self {
        let Self::Object(fields) = self else {
            return &Self::Null;
        };
        let field = fields.iter().find(|(known, _)| known == name);
        field.map_or(&Self::Null, |(_, value)| value)
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

/// What is left to read.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn space(&mut self) {
        while let Some((b' ' | b'\n' | b'\r' | b'\t', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next byte after space, left where it is.
    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.rest.first().copied()
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(word.as_bytes())?;
        Some(())
    }

    fn value(&mut self, depth: u32) -> Option<Json> {
        let depth = depth.checked_sub(1)?;
        match self.peek()? {
            b'n' => self.word("null").map(|()| Json::Null),
            b't' => self.word("true").map(|()| Json::Bool(true)),
            b'f' => self.word("false").map(|()| Json::Bool(false)),
            b'"' => self.text().map(Json::Text),
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Json> {
        let part = |b: &u8| b.is_ascii_digit() || b"-+.eE".contains(b);
        let length = self.rest.iter().take_while(|b| part(b)).count();
        let (number, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let number = core::str::from_utf8(number).ok()?;
        number.parse().ok().map(Json::Number)
    }

    fn list(&mut self, depth: u32) -> Option<Json> {
        self.next()?;
        let mut values = Vec::new();
        if self.peek()? == b']' {
            self.next()?;
            return Some(Json::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            self.space();
            match self.next()? {
                b',' => {}
                b']' => return Some(Json::List(values)),
                _ => return None,
            }
        }
    }

    fn object(&mut self, depth: u32) -> Option<Json> {
        self.next()?;
        let mut fields = Vec::new();
        if self.peek()? == b'}' {
            self.next()?;
            return Some(Json::Object(fields));
        }
        loop {
            self.space();
            let name = self.text()?;
            self.space();
            if self.next()? != b':' {
                return None;
            }
            fields.push((name, self.value(depth)?));
            self.space();
            match self.next()? {
                b',' => {}
                b'}' => return Some(Json::Object(fields)),
                _ => return None,
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        if self.next()? != b'"' {
            return None;
        }
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => return String::from_utf8(bytes).ok(),
                b'\\' => {
                    let read = self.escaped()?;
                    let mut buffer = [0; 4];
                    bytes.extend_from_slice(read.encode_utf8(&mut buffer).as_bytes());
                }
                0..=0x1f => return None,
                byte => bytes.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let first = self.unit()?;
                if !(0xD800..0xDC00).contains(&first) {
                    return char::from_u32(first);
                }
                // The first half of a character beyond 16 bits.
                self.word("\\u")?;
                let second = self.unit()?.checked_sub(0xDC00).filter(|s| *s < 0x400)?;
                char::from_u32(0x10000 + ((first - 0xD800) << 10) + second)?
            }
            sign @ (b'"' | b'\\' | b'/') => char::from(sign),
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        let digits = core::str::from_utf8(digits).ok()?;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn same(ours: &Json, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(a), Value::Bool(b)) => a == b,
            (Json::Number(a), Value::Number(b)) => Some(*a) == b.as_i64(),
            (Json::Text(a), Value::String(b)) => a == b,
            (Json::List(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Json::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| same(a, &b[name]))
            }
            (_, _) => false,
        }
    }

    #[test]
    fn it_reads_what_serde_reads() {
        for text in [
            "null",
            " [ true , false ,[] ,{ } ] ",
            r#"{"a":-9007199254740991,"b":{"c":[1,2,3]},"":0}"#,
            r#""a\n\t\r\b\f\"\\\/\u00e9\ud83d\ude00 ü😀""#,
            "9223372036854775807",
        ] {
            let theirs: Value = serde_json::from_str(text).expect("JSON");
            let ours = Json::parse(text).expect("reads");
            assert!(same(&ours, &theirs), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_of_the_house_is_refused() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        for text in [
            "",
            "nul",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1,}",
            "\"open",
            "\"\u{1}\"",
            r#""\x""#,
            r#""\ud83d""#,
            r#""\ud83d\u0041""#,
            "1.5",
            "1e3",
            "--1",
            "9223372036854775808",
            "1 2",
            "]",
            deep.as_str(),
        ] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
    }
}
