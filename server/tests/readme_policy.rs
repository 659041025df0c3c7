//! The rights that the README gives to the program's role on AWS: those of every operation that the
//! firehose calls, and no others. Nothing on one machine asks for rights, so nothing else would
//! notice that one is missing.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Operations of `DynamoDB` and its Streams that act on a table, as the SDK names them.
const OPERATIONS: &[&str] = &[
    "batch_get_item",
    "batch_write_item",
    "create_table",
    "delete_item",
    "delete_table",
    "describe_stream",
    "describe_table",
    "describe_time_to_live",
    "get_item",
    "get_records",
    "get_shard_iterator",
    "list_streams",
    "put_item",
    "query",
    "scan",
    "transact_get_items",
    "update_item",
    "update_table",
    "update_time_to_live",
];

/// What a transaction needs the right to, by the part of it.
const IN_TRANSACTIONS: &[(&str, &str)] = &[
    ("Put::builder", "PutItem"),
    ("Update::builder", "UpdateItem"),
    ("Delete::builder", "DeleteItem"),
    ("ConditionCheck::builder", "ConditionCheckItem"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("reads a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// `get_item` as `GetItem`.
fn right_to(operation: &str) -> String {
    let words = operation.split('_');
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    words.map(capital).collect()
}

fn called() -> BTreeSet<String> {
    let mut files = Vec::new();
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/firehose");
    sources(&room, &mut files);
    assert!(files.len() > 10, "the whole room is looked at");
    let mut called = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).expect("reads a file");
        let calls = |operation: &&&str| text.contains(&format!(".{operation}()"));
        let operations = OPERATIONS.iter().filter(calls);
        called.extend(operations.map(|operation| right_to(operation)));
        let parts = IN_TRANSACTIONS.iter();
        let parts = parts.filter(|(part, _)| text.contains(part));
        called.extend(parts.map(|(_, right)| (*right).to_owned()));
    }
    called
}

/// The policy's statements.
fn policy() -> Vec<Value> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).expect("reads the README");
    let block = readme
        .split("```json")
        .map(|rest| rest.split("```").next().expect("a part"))
        .find(|block| block.contains("dynamodb:"))
        .expect("a policy");
    let policy: Value = serde_json::from_str(block).expect("JSON");
    policy["Statement"].as_array().expect("statements").clone()
}

/// The rights to resources whose name ends so.
fn given(ending: &str) -> BTreeSet<String> {
    let statements = policy();
    let about = |statement: &&Value| {
        let resource = statement["Resource"].as_str().expect("a resource");
        resource.starts_with("arn:aws:dynamodb:") && resource.ends_with(ending)
    };
    let actions = statements.iter().filter(about).flat_map(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        let action = &statement["Action"];
        let several = action.as_array().cloned();
        several.unwrap_or_else(|| vec![action.clone()])
    });
    let right = |action: Value| {
        let action = action.as_str().expect("a right").to_owned();
        let right = action.strip_prefix("dynamodb:");
        right.expect("of DynamoDB").to_owned()
    };
    actions.map(right).collect()
}

fn set(rights: &[&str]) -> BTreeSet<String> {
    rights.iter().map(|right| (*right).to_owned()).collect()
}

#[test]
fn the_role_may_do_what_the_firehose_does_and_nothing_else() {
    let streams = set(&["DescribeStream", "GetRecords", "GetShardIterator"]);
    assert_eq!(given("table/TABLE/stream/*"), streams);
    assert_eq!(given("table/TABLE/index/by_amount"), set(&["Query"]));
    let table = given("table/TABLE");
    assert!(table.is_disjoint(&streams));
    let all: BTreeSet<_> = table.union(&streams).cloned().collect();
    assert_eq!(all, called());
}
