//! The dependencies: their licences, where they come from, and that some have one copy only.

use super::licence;
use crate::stamp::read_file;
use crate::{step, workspace::Workspace};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What would take I/O, clocks or randomness into the rules.
const NEVER_IN_SHARED: [&str; 8] = [
    "chrono", "leptos", "rand", "regex", "reqwest", "sqlx", "time", "tokio",
];

/// Checks what cargo resolved against `deny.toml`.
pub fn findings(workspace: &Workspace) -> Result<Vec<String>> {
    let mut cargo = workspace.cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: Value = serde_json::from_str(&step::capture(&mut cargo)?)
        .context("reading the answer of cargo metadata")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo metadata: packages")?;
    let settings = String::from_utf8(read_file(&workspace.root.join("deny.toml"))?)?;
    let allowed = quoted_list(&settings, "[licenses]", "allow")?;
    let single = single_copies(&settings)?;

    let mut found: Vec<String> = packages
        .iter()
        .filter_map(|package| unwelcome(package, &allowed))
        .collect();
    found.extend(repeated(packages, &single));
    found.extend(impure(packages));
    Ok(found)
}

/// Names what is wrong with one package's origin or licence.
fn unwelcome(package: &Value, allowed: &[String]) -> Option<String> {
    let origin = text(package, "source")?;
    let name = text(package, "name")?;
    if !origin.starts_with("registry+") {
        return Some(format!(
            "{name} does not come from the registry but from {origin}"
        ));
    }
    match text(package, "license") {
        Some(expression) if licence::is_allowed(expression, allowed) => None,
        Some(expression) => Some(format!(
            "{name} is under {expression}, which deny.toml lacks"
        )),
        None => Some(format!("{name} names no licence")),
    }
}

fn repeated(packages: &[Value], single: &[String]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        if let (Some(name), Some(version)) = (text(package, "name"), text(package, "version")) {
            versions.entry(name).or_default().insert(version);
        }
    }
    single
        .iter()
        .filter_map(|name| {
            let copies = versions
                .get(name.as_str())
                .filter(|copies| copies.len() > 1)?;
            let copies: Vec<&str> = copies.iter().copied().collect();
            Some(format!(
                "{name} is there more than once: {}",
                copies.join(", ")
            ))
        })
        .collect()
}

/// `shared` is rules: only its tests may depend on more than data types.
fn impure(packages: &[Value]) -> Vec<String> {
    let is_shared = |package: &&Value| {
        text(package, "name") == Some("shared") && text(package, "source").is_none()
    };
    let dependencies = packages
        .iter()
        .find(is_shared)
        .and_then(|package| package.get("dependencies")?.as_array().cloned())
        .unwrap_or_default();
    dependencies
        .iter()
        .filter(|dependency| text(dependency, "kind").is_none())
        .filter_map(|dependency| text(dependency, "name"))
        .filter(|name| NEVER_IN_SHARED.contains(name))
        .map(|name| format!("shared depends on {name}, but holds rules only"))
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// Reads the strings of `KEY = [ … ]` in a section of deny.toml, whose shape is known.
fn quoted_list(settings: &str, section: &str, key: &str) -> Result<Vec<String>> {
    let list = list_text(settings, section, key)?;
    Ok(list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect())
}

/// Reads the crates of `[bans] deny` of which there may be one version.
fn single_copies(settings: &str) -> Result<Vec<String>> {
    let names: Vec<String> = list_text(settings, "[bans]", "deny")?
        .lines()
        .filter(|line| line.contains("deny-multiple-versions = true"))
        .filter_map(|line| line.split('"').nth(1).map(str::to_owned))
        .collect();
    if names.is_empty() {
        bail!("deny.toml names no crate of which there may be one version");
    }
    Ok(names)
}

fn list_text<'a>(settings: &'a str, section: &str, key: &str) -> Result<&'a str> {
    settings
        .split_once(section)
        .and_then(|(_, rest)| rest.split_once(&format!("\n{key} = [")))
        .and_then(|(_, rest)| rest.split_once("\n]"))
        .map(|(list, _)| list)
        .with_context(|| format!("deny.toml has no list {key} in {section}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SETTINGS: &str = "[licenses]\nallow = [\n  \"MIT\",\n  \"ISC\",\n]\n\n[bans]\ndeny = [\n  \
        { crate = \"leptos\", deny-multiple-versions = true },\n  { crate = \"openssl\" },\n]\n";

    #[test]
    fn the_lists_are_read_from_the_settings() {
        assert_eq!(
            quoted_list(SETTINGS, "[licenses]", "allow").unwrap(),
            ["MIT", "ISC"]
        );
        assert_eq!(single_copies(SETTINGS).unwrap(), ["leptos"]);
        assert!(quoted_list(SETTINGS, "[sources]", "allow").is_err());
    }

    #[test]
    fn foreign_licences_and_origins_are_named() {
        let allowed = ["MIT".to_owned()];
        let package = |source: &str, license: Value| json!({ "name": "x", "version": "1.0.0", "source": source, "license": license });
        assert_eq!(
            unwelcome(&package("registry+a", json!("MIT")), &allowed),
            None
        );
        assert!(unwelcome(&package("registry+a", json!("GPL-3.0")), &allowed).is_some());
        assert!(unwelcome(&package("registry+a", Value::Null), &allowed).is_some());
        assert!(unwelcome(&package("git+a", json!("MIT")), &allowed).is_some());
    }

    #[test]
    fn a_second_copy_is_named_with_both_versions() {
        let packages = ["1.0.0", "2.0.0"].map(|v| json!({ "name": "leptos", "version": v }));
        let found = repeated(&packages, &["leptos".to_owned(), "sqlx".to_owned()]);
        assert_eq!(found, ["leptos is there more than once: 1.0.0, 2.0.0"]);
    }

    #[test]
    fn only_test_dependencies_of_the_rules_are_free() {
        let shared = |kind: Value| {
            let dependency = json!({ "name": "tokio", "kind": kind });
            json!({ "name": "shared", "source": null, "dependencies": [dependency] })
        };
        assert_eq!(impure(&[shared(Value::Null)]).len(), 1);
        assert!(impure(&[shared(json!("dev"))]).is_empty());
    }
}
