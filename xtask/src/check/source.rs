//! A light reading of Rust source: code, string literals and comments, each apart.

/// A source file taken apart.
#[derive(Debug, Default)]
pub struct Source {
    /// The code of each line, with comments removed and strings emptied.
    pub code: Vec<String>,
    /// String literals with the (zero-based) line they start on; runs of white space are one space.
    pub strings: Vec<(usize, String)>,
    /// The comments of each line.
    pub comments: Vec<String>,
}

impl Source {
    /// Takes Rust source apart.
    pub fn rust(text: &str) -> Self {
        Reader::new(text).read()
    }

    /// Takes SQL apart: each line is text, except for what follows `--`.
    pub fn sql(text: &str) -> Self {
        let mut source = Self::default();
        for (line, whole) in text.lines().enumerate() {
            let (statement, comment) = whole.split_once("--").unwrap_or((whole, ""));
            source.strings.push((line, statement.to_owned()));
            source.comments.push(comment.to_owned());
            source.code.push(String::new());
        }
        source
    }
}

struct Reader {
    characters: Vec<char>,
    at: usize,
    source: Source,
}

impl Reader {
    fn new(text: &str) -> Self {
        let source = Source {
            code: vec![String::new()],
            comments: vec![String::new()],
            ..Source::default()
        };
        Self {
            characters: text.chars().collect(),
            at: 0,
            source,
        }
    }

    fn read(mut self) -> Source {
        while let Some(character) = self.peek(0) {
            match (character, self.peek(1)) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('r', Some('"' | '#')) if self.starts_raw_string() => self.raw_string(),
                ('\'', Some('\\')) => self.escaped_character(),
                ('\'', _) if self.peek(2) == Some('\'') => self.skip(3),
                _ => {
                    self.push_code(character);
                    self.at += 1;
                }
            }
        }
        self.source
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            if self.peek(0) == Some('\n') {
                self.new_line();
            }
            self.at += 1;
        }
    }

    fn new_line(&mut self) {
        self.source.code.push(String::new());
        self.source.comments.push(String::new());
    }

    fn line(&self) -> usize {
        self.source.code.len() - 1
    }

    fn push_code(&mut self, character: char) {
        if character == '\n' {
            self.new_line();
        } else if let Some(line) = self.source.code.last_mut() {
            line.push(character);
        }
    }

    fn push_comment(&mut self, character: char) {
        if character == '\n' {
            self.new_line();
        } else if let Some(line) = self.source.comments.last_mut() {
            line.push(character);
        }
    }

    fn line_comment(&mut self) {
        while let Some(character) = self.peek(0).filter(|character| *character != '\n') {
            self.push_comment(character);
            self.at += 1;
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(character) = self.peek(0) {
            match (character, self.peek(1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.push_comment(character);
                    self.at += 1;
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        let line = self.line();
        let mut text = String::new();
        self.at += 1;
        while let Some(character) = self.peek(0) {
            match character {
                '"' => break,
                // A continued line counts as white space, an escaped character as itself.
                '\\' => {
                    text.extend(
                        self.peek(1)
                            .map(|next| if next == '\n' { ' ' } else { next }),
                    );
                    self.skip(2);
                }
                _ => {
                    text.push(character);
                    self.skip(1);
                }
            }
        }
        self.at += 1;
        self.keep_string(line, &text);
    }

    /// Tells a raw string from an identifier that ends in `r` and from a raw identifier.
    fn starts_raw_string(&self) -> bool {
        let before = self
            .at
            .checked_sub(1)
            .and_then(|index| self.characters.get(index));
        let ends_a_word =
            before.is_some_and(|c| (c.is_alphanumeric() || *c == '_') && !matches!(c, 'b' | 'c'));
        let after_hashes = (1..)
            .map(|ahead| self.peek(ahead))
            .find(|character| *character != Some('#'));
        !ends_a_word && after_hashes == Some(Some('"'))
    }

    fn raw_string(&mut self) {
        let line = self.line();
        let mut text = String::new();
        let hashes = (1..)
            .take_while(|ahead| self.peek(*ahead) == Some('#'))
            .count();
        self.at += hashes + 2;
        while let Some(character) = self.peek(0) {
            let closes =
                character == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            if closes {
                break;
            }
            text.push(character);
            self.skip(1);
        }
        self.at += hashes + 1;
        self.keep_string(line, &text);
    }

    fn escaped_character(&mut self) {
        self.skip(3);
        while self.peek(0).is_some_and(|character| character != '\'') {
            self.skip(1);
        }
        self.at += 1;
    }

    fn keep_string(&mut self, line: usize, text: &str) {
        self.push_code('"');
        self.push_code('"');
        let words: Vec<&str> = text.split_whitespace().collect();
        self.source.strings.push((line, words.join(" ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_strings_and_comments_are_kept_apart() {
        let source = Source::rust("let a = \"one\"; // two \"three\"\n/* four\nfive */ b();\n");
        assert_eq!(source.code, ["let a = \"\"; ", "", " b();", ""]);
        assert_eq!(source.strings, [(0, "one".to_owned())]);
        assert_eq!(source.comments, ["// two \"three\"", " four", "five ", ""]);
    }

    #[test]
    fn lines_and_strings_that_span_them_are_counted() {
        let source = Source::rust("\n\"a \\\n   b\"\nr#\"c\n\"d\"\"#\n\"e\"");
        let expected = [(1, "a b"), (3, "c \"d\""), (5, "e")];
        assert_eq!(
            source.strings,
            expected.map(|(line, text)| (line, text.to_owned()))
        );
    }

    #[test]
    fn characters_lifetimes_and_raw_identifiers_open_no_string() {
        let source =
            Source::rust("fn f<'a>(r#type: &'a str) { g('\"', '\\'', '\\u{22}', \"x\", b\"y\") }");
        assert_eq!(source.strings, [(0, "x".to_owned()), (0, "y".to_owned())]);
        assert!(source.code[0].contains("r#type: &'a str"));
    }

    #[test]
    fn nested_comments_end_with_their_outermost() {
        let source = Source::rust("/* a /* b */ \"no\" */ \"yes\"");
        assert_eq!(source.strings, [(0, "yes".to_owned())]);
    }

    #[test]
    fn sql_is_text_up_to_its_comment() {
        let source = Source::sql("SELECT 1 -- FOR UPDATE\n");
        assert_eq!(source.strings, [(0, "SELECT 1 ".to_owned())]);
    }
}
