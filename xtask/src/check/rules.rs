//! House rules that can be read from the text of a file: which room may hold what.
//!
//! A line that must break one says so in a comment on it or just above it:
//! `house-rule RULE: the reason`.

use super::source::Source;

/// Words that DSQL lacks, or that mean less on one of the two databases than they promise.
const FORBIDDEN_SQL: [&str; 13] = [
    "ADVISORY",
    "BIGSERIAL",
    "FOR SHARE",
    "FOR UPDATE",
    "JSONB",
    "LISTEN",
    "NOTIFY",
    "REFERENCES",
    "SAVEPOINT",
    "SERIAL",
    "SET TRANSACTION",
    "SKIP LOCKED",
    "SMALLSERIAL",
];

/// Beginnings by which a string literal is known as SQL.
const SQL_PHRASES: [&str; 8] = [
    "ALTER TABLE",
    "CREATE INDEX",
    "CREATE TABLE",
    "CREATE UNIQUE INDEX",
    "DELETE FROM",
    "DROP TABLE",
    "INSERT INTO",
    "TRUNCATE TABLE",
];

/// Code that only some rooms may hold: rule, text, where it is looked for, where it may be.
const ROOMS: [(&str, &str, &str, &[&str]); 6] = [
    (
        "sqlx",
        "sqlx::",
        "server/src/",
        &[
            "server/src/bench/",
            "server/src/ledger/",
            "server/src/local/",
        ],
    ),
    (
        "aws-sdk",
        "aws_sdk",
        "",
        &["server/src/firehose/", "server/tests/"],
    ),
    (
        "begin",
        ".begin()",
        "",
        &["server/src/ledger/transaction", "server/tests/"],
    ),
    (
        "begin",
        ".begin_with(",
        "",
        &["server/src/ledger/transaction", "server/tests/"],
    ),
    ("sockets", "extract::ws", "", &["server/src/live/"]),
    ("inner-html", "inner_html", "app/", &[]),
];

/// Where SQL may be. That of `bench` is the baseline's, whose tables are in a database of their own
/// and which only pgbench runs: a measure of LotZero that went through `ledger` would measure itself.
const SQL_ROOMS: [&str; 4] = [
    "server/src/bench/",
    "server/src/ledger/",
    "server/src/local/",
    "server/tests/",
];

/// Reads one file and returns what breaks a rule, as lines for a person.
pub fn findings(name: &str, text: &str) -> Vec<String> {
    let source = if name.ends_with(".sql") {
        Source::sql(text)
    } else {
        Source::rust(text)
    };
    let mut found = Vec::new();
    for (rule, needle, scope, rooms) in ROOMS {
        if name.starts_with(scope) && !rooms.iter().any(|room| name.starts_with(room)) {
            let lines = source
                .code
                .iter()
                .enumerate()
                .filter(|(_, code)| code.contains(needle));
            found.extend(lines.map(|(line, _)| (line, rule, needle)));
        }
    }
    for (line, literal) in &source.strings {
        if name.starts_with("server/src/ledger/") {
            let words = FORBIDDEN_SQL
                .into_iter()
                .filter(|word| has_word(literal, word));
            found.extend(words.map(|word| (*line, "sql-words", word)));
        }
        if !SQL_ROOMS.iter().any(|room| name.starts_with(room)) && is_sql(literal) {
            found.push((*line, "sql", "SQL"));
        }
    }
    found.sort_unstable();
    found
        .into_iter()
        .filter(|(line, rule, _)| !is_excused(&source, *line, rule))
        .map(|(line, rule, what)| format!("{name}:{}: {what} (house rule {rule})", line + 1))
        .collect()
}

/// Requires that a lock file of npm names no registry: it belongs to whoever installs.
pub fn lock_findings(name: &str, text: &str) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| line.contains("\"resolved\""))
        .map(|(line, _)| {
            format!(
                "{name}:{}: a registry's address (house rule lock)",
                line + 1
            )
        })
        .collect()
}

fn is_excused(source: &Source, line: usize, rule: &str) -> bool {
    let marker = format!("house-rule {rule}: ");
    [Some(line), line.checked_sub(1)]
        .into_iter()
        .flatten()
        .filter_map(|near| source.comments.get(near))
        .any(|comment| comment.contains(&marker))
}

fn is_sql(literal: &str) -> bool {
    SQL_PHRASES.iter().any(|phrase| has_word(literal, phrase))
        || (has_word(literal, "SELECT") && has_word(literal, "FROM"))
        || literal.starts_with("SELECT ")
        || (has_word(literal, "UPDATE") && has_word(literal, "SET"))
}

/// Finds a word or phrase that is not part of a longer word. `pg_advisory_lock` is found by
/// `ADVISORY`, since the functions are written in small letters.
fn has_word(text: &str, word: &str) -> bool {
    if word == "ADVISORY" {
        return text.contains("pg_advisory") || text.contains("pg_try_advisory");
    }
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text.get(..start).and_then(|head| head.chars().next_back());
        let after = text
            .get(start + word.len()..)
            .and_then(|tail| tail.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_of(name: &str, text: &str) -> Vec<String> {
        findings(name, text)
            .iter()
            .filter_map(|line| {
                Some(
                    line.split_once("house rule ")?
                        .1
                        .trim_end_matches(')')
                        .to_owned(),
                )
            })
            .collect()
    }

    #[test]
    fn each_room_keeps_to_its_own() {
        let cases = [
            ("server/src/api/mod.rs", "q(\"SELECT 1\");", "sql"),
            (
                "server/src/api/mod.rs",
                "q(\"UPDATE lots SET x = 1\");",
                "sql",
            ),
            ("app/src/lib.rs", "q(\"INSERT INTO bids\");", "sql"),
            ("server/src/router.rs", "sqlx::query(x);", "sqlx"),
            (
                "server/src/live/hub.rs",
                "use aws_sdk_dynamodb::Client;",
                "aws-sdk",
            ),
            (
                "server/src/ledger/auctions/repo.rs",
                "pool.begin().await",
                "begin",
            ),
            (
                "server/src/router.rs",
                "use axum::extract::ws::WebSocketUpgrade;",
                "sockets",
            ),
            ("app/src/pages/lot.rs", "<p inner_html=x/>", "inner-html"),
            (
                "server/src/ledger/lots.rs",
                "q(\"SELECT 1 FOR\n  UPDATE\")",
                "sql-words",
            ),
            (
                "server/src/ledger/lots.rs",
                "q(\"SELECT pg_advisory_lock(1)\")",
                "sql-words",
            ),
            (
                "server/src/ledger/schema/a.sql",
                "id BIGSERIAL PRIMARY KEY",
                "sql-words",
            ),
        ];
        for (name, text, rule) in cases {
            assert_eq!(rules_of(name, text), [rule], "{name}: {text}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        let cases = [
            (
                "server/src/ledger/lots.rs",
                "sqlx::query(\"SELECT id FROM lots\")",
            ),
            (
                "server/src/ledger/lots.rs",
                "let e = \"SERIALIZABLE\"; // never FOR UPDATE",
            ),
            ("server/src/ledger/transaction.rs", "pool.begin().await"),
            ("server/src/ledger/transaction/run.rs", "pool.begin().await"),
            (
                "server/src/firehose/table.rs",
                "use aws_sdk_dynamodb::Client;",
            ),
            (
                "server/src/bench/pgbench.rs",
                "sqlx::raw_sql(\"CREATE TABLE ledger_entries\")",
            ),
            ("server/src/local/gate.rs", "starts_with(\"SELECT \")"),
            ("server/tests/bids.rs", "q(\"SELECT count(*) FROM bids\")"),
            (
                "server/tests/bids.rs",
                "pool.begin().await; aws_sdk_dynamodb::Client",
            ),
            ("server/src/live/log.rs", "self.begin(at.epoch, at.offset)"),
            (
                "app/src/pages/lot.rs",
                "\"Select a lot from the floor, update and set\"",
            ),
        ];
        for (name, text) in cases {
            assert_eq!(rules_of(name, text), Vec::<String>::new(), "{name}: {text}");
        }
    }

    #[test]
    fn a_stated_reason_excuses_its_own_rule_and_line_only() {
        let name = "server/src/router.rs";
        let excused = "// house-rule sqlx: the pool is only passed on\nsqlx::f();";
        assert!(findings(name, excused).is_empty());
        assert_eq!(
            rules_of(name, &format!("{excused}\n\nsqlx::g();")),
            ["sqlx"]
        );
        assert_eq!(
            rules_of(name, "// house-rule begin: no\nsqlx::f();"),
            ["sqlx"]
        );
    }

    #[test]
    fn a_finding_names_file_line_and_rule() {
        let found = findings("app/src/a.rs", "\n\nlet x = inner_html;");
        assert_eq!(
            found,
            ["app/src/a.rs:3: inner_html (house rule inner-html)"]
        );
    }

    #[test]
    fn a_lock_file_names_no_registry() {
        let lock = "{\n \"resolved\": \"somewhere\",\n \"version\": \"1\"\n}";
        assert_eq!(lock_findings("a.json", lock).len(), 1);
    }
}
