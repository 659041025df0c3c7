//! The stylesheet: `style/main.css` lists its parts, and they are joined in that order.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// Joins the stylesheets that `main` imports into one.
pub fn bundle(main: &Path) -> Result<String> {
    let folder = main.parent().context("the stylesheet has no folder")?;
    let listing = read(main)?;
    let mut joined = String::new();
    for part in imports(&listing).with_context(|| format!("in {}", main.display()))? {
        let path = folder.join(&part);
        let text = read(&path)?;
        if without_comments(&text).contains("@import") {
            bail!(
                "{} imports another stylesheet: only main.css may",
                path.display()
            );
        }
        joined.push_str(&minified(&text));
    }
    Ok(joined)
}

/// Returns the relative paths a list of `@import` lines names, in their order.
pub fn imports(listing: &str) -> Result<Vec<String>> {
    without_comments(listing)
        .split(';')
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
        .map(imported)
        .collect()
}

fn imported(statement: &str) -> Result<String> {
    statement
        .strip_prefix("@import")
        .map(str::trim)
        .and_then(|rest| rest.strip_prefix('"')?.strip_suffix('"'))
        .and_then(|path| path.strip_prefix("./"))
        .map(str::to_owned)
        .with_context(|| format!("expected @import \"./file.css\", found `{statement}`"))
}

/// Drops comments, indentation and empty lines: all of it that is safe without a parser.
pub fn minified(text: &str) -> String {
    let mut lines = String::new();
    for line in without_comments(text)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        lines.push_str(line);
        lines.push('\n');
    }
    lines
}

/// Removes comments, but not what looks like one inside a quoted string.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut quote: Option<char> = None;
    while let Some(character) = characters.next() {
        match quote {
            Some(_) if character == '\\' => {
                kept.push(character);
                kept.extend(characters.next());
                continue;
            }
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if character == '/' && characters.peek() == Some(&'*') => {
                characters.next();
                skip_comment(&mut characters);
                continue;
            }
            None => {}
        }
        kept.push(character);
    }
    kept
}

fn skip_comment(characters: &mut impl Iterator<Item = char>) {
    let mut last = ' ';
    for character in characters {
        if last == '*' && character == '/' {
            return;
        }
        last = character;
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_keep_their_order() {
        let listing = "/* @import \"./no.css\"; */\n@import \"./tokens.css\";\n@import \"./base.css\";\n@import \"./a/b.css\";";
        assert_eq!(
            imports(listing).unwrap(),
            ["tokens.css", "base.css", "a/b.css"]
        );
    }

    #[test]
    fn anything_but_a_relative_import_is_refused() {
        for listing in [
            "@import url(x.css);",
            "@import \"x.css\";",
            "a { color: red; }",
        ] {
            assert!(imports(listing).is_err(), "{listing}");
        }
    }

    #[test]
    fn parts_are_joined_in_the_order_of_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("main.css", "@import \"./z.css\";\n@import \"./a.css\";\n");
        write("z.css", "z {\n  top: 0;\n}\n");
        write("a.css", "/* why */ a { left: calc(1px + 2px); }\n");

        let joined = bundle(&folder.path().join("main.css")).unwrap();
        assert_eq!(joined, "z {\ntop: 0;\n}\na { left: calc(1px + 2px); }\n");
    }

    #[test]
    fn a_missing_or_importing_part_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.css");
        std::fs::write(&main, "@import \"./part.css\";").unwrap();
        assert!(bundle(&main).unwrap_err().to_string().contains("part.css"));
        std::fs::write(folder.path().join("part.css"), "@import \"./more.css\";").unwrap();
        assert!(bundle(&main).unwrap_err().to_string().contains("part.css"));
    }

    #[test]
    fn strings_survive() {
        let text = "a::after { content: \"/* kept */ \\\" /* too */\"; } /* gone */";
        assert_eq!(
            minified(text),
            "a::after { content: \"/* kept */ \\\" /* too */\"; }\n"
        );
    }
}
