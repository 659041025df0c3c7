//! Short names for what the wasm module and its JavaScript glue call each other by. wasm-bindgen's
//! carry hashes, which no compression shortens.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What wasm-opt says after `--minify-imports-and-exports-and-modules`.
#[derive(Debug, Deserialize)]
pub struct Renamed {
    /// Module, old name, new name. The module itself is always renamed to [`MODULE`].
    imports: Vec<(String, String, String)>,
    /// Old name, new name.
    exports: Vec<(String, String)>,
}

/// What wasm-opt calls the only module.
const MODULE: &str = "a";

impl Renamed {
    /// Reads wasm-opt's answer.
    pub fn read(answer: &str) -> Result<Self> {
        serde_json::from_str(answer).context("wasm-opt named no names")
    }

    /// Writes the new names into the glue. Fails if it does not use each import exactly as
    /// expected, since the module could then not be started.
    pub fn rewrite(&self, glue: &str) -> Result<String> {
        let exports: BTreeMap<&str, &str> = pairs(&self.exports);
        let mut imports: BTreeMap<&str, &str> = BTreeMap::new();
        let mut modules: Vec<&str> = Vec::new();
        for (module, old, new) in &self.imports {
            imports.insert(old, new);
            if !modules.contains(&module.as_str()) {
                modules.push(module);
            }
        }
        let &[module] = modules.as_slice() else {
            bail!("the wasm module imports from {modules:?}, expected one module");
        };
        let mut lines = Vec::new();
        let mut named = 0;
        for line in glue.lines() {
            let indent = line.len() - line.trim_start().len();
            let (margin, words) = line.split_at(indent);
            let line = match words.split_once(':') {
                Some((name, rest)) if imports.contains_key(name) => {
                    named += 1;
                    format!("{margin}{}:{rest}", imports[name])
                }
                _ => line.to_owned(),
            };
            lines.push(renamed_exports(&line, &exports));
        }
        if named != imports.len() {
            bail!("the glue provides {named} of {} imports", imports.len());
        }
        let glue = lines.join("\n") + "\n";
        let (quoted, short) = (format!("\"{module}\":"), format!("\"{MODULE}\":"));
        if glue.matches(&quoted).count() != 1 {
            bail!("the glue does not name the module {module} once");
        }
        Ok(glue.replace(&quoted, &short))
    }
}

fn pairs(list: &[(String, String)]) -> BTreeMap<&str, &str> {
    list.iter()
        .map(|(old, new)| (old.as_str(), new.as_str()))
        .collect()
}

/// Renames every `wasm.NAME`.
fn renamed_exports(line: &str, exports: &BTreeMap<&str, &str>) -> String {
    const OBJECT: &str = "wasm.";
    let mut parts = line.split(OBJECT);
    let mut renamed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$')
            .unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        renamed.push_str(OBJECT);
        renamed.push_str(exports.get(name).copied().unwrap_or(name));
        renamed.push_str(rest);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"imports":[["./x.js","__wbg_then_3a4f","$"]],"exports":[["memory","a"],["__wbindgen_free","b"]]}"#;
    const GLUE: &str = "const import0 = {\n    __wbg_then_3a4f: function(arg0) {\n        wasm.__wbindgen_free(wasm.memory.buffer, wasm.__wbindgen_free_all);\n    },\n};\nreturn { \"./x.js\": import0 };\n";

    #[test]
    fn the_glue_takes_the_names_of_the_module() {
        let glue = Renamed::read(ANSWER).unwrap().rewrite(GLUE).unwrap();
        assert_eq!(
            glue,
            "const import0 = {\n    $: function(arg0) {\n        wasm.b(wasm.a.buffer, wasm.__wbindgen_free_all);\n    },\n};\nreturn { \"a\": import0 };\n"
        );
    }

    #[test]
    fn a_glue_that_lacks_an_import_is_refused() {
        let renamed = Renamed::read(ANSWER).unwrap();
        let lacking = GLUE.replace("__wbg_then_3a4f", "__wbg_then_ffff");
        assert!(renamed.rewrite(&lacking).is_err());
        assert!(renamed.rewrite(&GLUE.replace("./x.js", "./y.js")).is_err());
    }

    #[test]
    fn an_answer_that_is_no_list_of_names_is_refused() {
        assert!(Renamed::read("done").is_err());
    }
}
