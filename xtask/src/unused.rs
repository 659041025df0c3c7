//! What wasm-bindgen exports although nobody calls it.
//!
//! A crate below Leptos (`wasm-streams`) has three classes for streams that JavaScript reads or
//! writes. Our browser code makes none of them, but an exported class cannot be dropped by any
//! optimiser, nor what it alone uses. So the classes leave the glue and their functions the exports.

use crate::stamp::read_file;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// How the names of the classes begin, in the glue; their functions are named alike in small
/// letters.
pub const CLASSES: &str = "IntoUnderlying";

/// Drops the classes from a glue and a module that wasm-bindgen has just written.
pub fn drop_stream_classes(glue: &Path, wasm: &Path) -> Result<()> {
    let text = String::from_utf8(read_file(glue)?)?;
    let smaller = without_classes(&text)?;
    std::fs::write(glue, smaller).with_context(|| format!("writing {}", glue.display()))?;
    let module = without_functions(&read_file(wasm)?)?;
    std::fs::write(wasm, module).with_context(|| format!("writing {}", wasm.display()))
}

/// The glue without the definitions, each of which begins in the first column.
fn without_classes(glue: &str) -> Result<String> {
    let class = format!("export class {CLASSES}");
    let dispose = format!("if (Symbol.dispose) {CLASSES}");
    let registry = format!("const {CLASSES}");
    let mut kept = String::with_capacity(glue.len());
    let mut lines = glue.lines();
    while let Some(line) = lines.next() {
        let last = if line.starts_with(&class) {
            "}"
        } else if line.starts_with(&registry) {
            // The registry is a statement of several lines.
            ";"
        } else if line.starts_with(&dispose) {
            continue;
        } else {
            kept.push_str(line);
            kept.push('\n');
            continue;
        };
        let ends = |line: &str| {
            let indented = line.starts_with(' ');
            line.ends_with(last) && (last == ";" || !indented)
        };
        if !ends(line) && !lines.by_ref().any(ends) {
            bail!("the glue's definition `{line}` has no end");
        }
    }
    ensure!(
        !kept.contains(CLASSES),
        "the glue uses one of the {CLASSES}… classes: they cannot be dropped any more"
    );
    Ok(kept)
}

/// The module without the exports of the classes.
fn without_functions(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = walrus::Module::from_buffer(wasm).context("reading the module")?;
    let name = CLASSES.to_lowercase();
    let unused: Vec<_> = module
        .exports
        .iter()
        .filter(|export| export.name.contains(&name))
        .map(walrus::Export::id)
        .collect();
    for export in unused {
        module.exports.delete(export);
    }
    Ok(module.emit_wasm())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLUE: &str = "\
export class IntoUnderlyingSink {
    free() {
        wasm.__wbg_intounderlyingsink_free(1, 0);
    }
}
if (Symbol.dispose) IntoUnderlyingSink.prototype[Symbol.dispose] = IntoUnderlyingSink.prototype.free;

export function hydrate() {
    wasm.hydrate();
}
const IntoUnderlyingSinkFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_intounderlyingsink_free(ptr, 1));
const heap = [];
";

    #[test]
    fn only_the_classes_leave_the_glue() {
        let kept = "\nexport function hydrate() {\n    wasm.hydrate();\n}\nconst heap = [];\n";
        assert_eq!(without_classes(GLUE).unwrap(), kept);
    }

    #[test]
    fn a_glue_that_uses_one_or_does_not_end_is_refused() {
        let used = format!("{GLUE}new IntoUnderlyingSink();\n");
        assert!(without_classes(&used).is_err());
        assert!(without_classes("export class IntoUnderlyingSink {\n").is_err());
    }
}
