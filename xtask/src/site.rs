//! The site folder: bundle, stylesheet, assets and fonts, each with its compressed copies.

use crate::compress::Compressor;
use crate::stamp::{read_file, write_file};
use crate::{css, step, wasm, wasm::Profile, workspace::Workspace};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The npm packages of the fonts; each has `files/NAME-latin-wght-normal.woff2` and a LICENSE.
const FONTS: [&str; 3] = ["fraunces", "inter", "jetbrains-mono"];

/// The file that draws the API reference. It holds all that it needs, which is why the lock file of
/// npm names none of the 270 packages that its own is made of: remove them after `npm install`.
const REFERENCE: &str = "@scalar/api-reference/dist/browser/standalone.js";

/// Fills the site folder with what the server serves, and removes what it no longer has.
pub fn build(workspace: &Workspace, bundle: &Path, profile: Profile) -> Result<()> {
    step::timed("filling the site folder", || {
        let files = collect(workspace, bundle)?;
        let site = workspace.site();
        for (name, bytes) in &files {
            write_if_changed(&site.join(name), bytes)?;
        }
        let memory = workspace.state().join("compressed.json");
        let mut compressor = Compressor::open(memory, profile.effort());
        let mut expected: BTreeSet<PathBuf> = BTreeSet::new();
        for name in files.keys() {
            let path = site.join(name);
            if Compressor::wants(&path) {
                compressor.compress(&path, name)?;
                expected.insert(site.join(format!("{name}.br")));
                expected.insert(site.join(format!("{name}.gz")));
            }
            expected.insert(path);
        }
        compressor.save()?;
        remove_strays(&site, &expected)
    })
}

/// Gathers the site's files: path inside the site (with `/`) to content.
fn collect(workspace: &Workspace, bundle: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for path in files_below(bundle)? {
        files.insert(
            format!("pkg/{}", name_below(bundle, &path)?),
            read_file(&path)?,
        );
    }
    let sheet = css::bundle(&workspace.root.join("style/main.css"))?;
    files.insert(format!("pkg/{}.css", wasm::NAME), sheet.into_bytes());

    for sheet in ["reference", "panel"] {
        let own = read_file(&workspace.root.join(format!("style/{sheet}.css")))?;
        let own = css::minified(&String::from_utf8(own)?);
        files.insert(format!("pkg/{sheet}.css"), own.into_bytes());
    }
    let scalar = workspace.tools().join("node_modules").join(REFERENCE);
    files.insert("pkg/scalar.js".to_owned(), read_file(&scalar)?);

    let public = workspace.root.join("app/public");
    for path in files_below(&public)? {
        files.insert(name_below(&public, &path)?, read_file(&path)?);
    }
    let fonts = workspace.tools().join("node_modules/@fontsource-variable");
    for font in FONTS {
        let name = format!("{font}-latin-wght-normal.woff2");
        let bytes = read_file(&fonts.join(font).join("files").join(&name))?;
        files.insert(format!("fonts/{name}"), bytes);
        let licence = read_file(&fonts.join(font).join("LICENSE"))?;
        files.insert(format!("fonts/{font}-LICENSE.txt"), licence);
    }
    Ok(files)
}

/// Lists the files below a folder; none if it is not there.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        if !next.is_dir() {
            continue;
        }
        for entry in
            std::fs::read_dir(&next).with_context(|| format!("listing {}", next.display()))?
        {
            let path = entry
                .with_context(|| format!("listing {}", next.display()))?
                .path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Names a file by its path below a folder, with `/` between the parts.
pub fn name_below(folder: &Path, path: &Path) -> Result<String> {
    let parts: Option<Vec<&str>> = path
        .strip_prefix(folder)
        .with_context(|| format!("{} is outside {}", path.display(), folder.display()))?
        .iter()
        .map(|part| part.to_str())
        .collect();
    Ok(parts
        .with_context(|| format!("{} is not UTF-8", path.display()))?
        .join("/"))
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    write_file(path, bytes)
}

fn remove_strays(site: &Path, expected: &BTreeSet<PathBuf>) -> Result<()> {
    for path in files_below(site)? {
        if !expected.contains(&path) {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_go_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("pkg/lotzero.css");
        let stray = folder.path().join("art/old.svg");
        write_file(&kept, b"a").unwrap();
        write_file(&stray, b"b").unwrap();
        remove_strays(folder.path(), &BTreeSet::from([kept.clone()])).unwrap();
        assert!(kept.is_file() && !stray.exists());
    }

    #[test]
    fn files_are_named_below_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        write_file(&folder.path().join("art/a.svg"), b"a").unwrap();
        write_file(&folder.path().join("favicon.svg"), b"b").unwrap();
        let names: Vec<String> = files_below(folder.path())
            .unwrap()
            .iter()
            .map(|path| name_below(folder.path(), path).unwrap())
            .collect();
        assert_eq!(names, ["art/a.svg", "favicon.svg"]);
        assert!(
            files_below(&folder.path().join("missing"))
                .unwrap()
                .is_empty()
        );
    }
}
