//! Compressed copies beside the files, so that the server never compresses them itself.

use crate::stamp::{digest, read_file, write_file};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Kinds of files that shrink; pictures and fonts are compressed already.
const SHRINKING: [&str; 9] = [
    "css",
    "html",
    "js",
    "json",
    "svg",
    "txt",
    "wasm",
    "webmanifest",
    "xml",
];

/// Brotli's window, as a power of two: its largest without the large-window format.
const BROTLI_WINDOW: u32 = 22;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// A fraction of a second, for development.
    Quick,
    /// As small as it gets, for release.
    Smallest,
}

impl Effort {
    fn brotli_quality(self) -> u32 {
        match self {
            Self::Quick => 5,
            Self::Smallest => 11,
        }
    }

    fn gzip_level(self) -> flate2::Compression {
        match self {
            Self::Quick => flate2::Compression::fast(),
            Self::Smallest => flate2::Compression::best(),
        }
    }
}

/// Remembers which content was compressed how hard, so that it is done once.
#[derive(Debug)]
pub struct Compressor {
    memory: PathBuf,
    known: BTreeMap<String, String>,
    effort: Effort,
}

impl Compressor {
    /// Reads what earlier runs remembered.
    pub fn open(memory: PathBuf, effort: Effort) -> Self {
        let known = std::fs::read_to_string(&memory)
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
            .and_then(|value| value.as_object().cloned())
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
            .collect();
        Self {
            memory,
            known,
            effort,
        }
    }

    /// Tells whether a file gets compressed copies.
    pub fn wants(path: &Path) -> bool {
        path.extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| SHRINKING.contains(&extension))
    }

    /// Writes `.br` and `.gz` beside a file unless those of the same content are there.
    pub fn compress(&mut self, path: &Path, name: &str) -> Result<()> {
        let bytes = read_file(path)?;
        let content = digest([bytes.as_slice()]);
        let copies = [beside(path, "br"), beside(path, "gz")];
        let acceptable = [Effort::Quick, Effort::Smallest]
            .into_iter()
            .filter(|done| done.brotli_quality() >= self.effort.brotli_quality())
            .map(|done| remembered(&content, done));
        let current = self
            .known
            .get(name)
            .is_some_and(|k| acceptable.into_iter().any(|a| &a == k));
        if current && copies.iter().all(|copy| copy.is_file()) {
            return Ok(());
        }
        let [brotli_copy, gzip_copy] = copies;
        write_file(&brotli_copy, &brotli(&bytes, self.effort)?)?;
        write_file(&gzip_copy, &gzip(&bytes, self.effort)?)?;
        self.known
            .insert(name.to_owned(), remembered(&content, self.effort));
        Ok(())
    }

    /// Keeps what was done for the next run.
    pub fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.known).context("listing compressed files")?;
        write_file(&self.memory, text.as_bytes())
    }
}

/// Compresses with brotli.
pub fn brotli(bytes: &[u8], effort: Effort) -> Result<Vec<u8>> {
    let mut small = Vec::new();
    let mut writer = brotli::CompressorWriter::new(
        &mut small,
        64 * 1024,
        effort.brotli_quality(),
        BROTLI_WINDOW,
    );
    writer.write_all(bytes).context("compressing with brotli")?;
    writer.flush().context("compressing with brotli")?;
    drop(writer);
    Ok(small)
}

fn gzip(bytes: &[u8], effort: Effort) -> Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), effort.gzip_level());
    writer.write_all(bytes).context("compressing with gzip")?;
    writer.finish().context("compressing with gzip")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn remembered(content: &str, effort: Effort) -> String {
    format!("{content} {}", effort.brotli_quality())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn compress(folder: &Path, effort: Effort) {
        let mut compressor = Compressor::open(folder.join("memory.json"), effort);
        compressor.compress(&folder.join("a.css"), "a.css").unwrap();
        compressor.save().unwrap();
    }

    #[test]
    fn both_copies_unpack_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let text = "a { color: red }\n".repeat(100);
        std::fs::write(folder.path().join("a.css"), &text).unwrap();
        compress(folder.path(), Effort::Smallest);

        let mut unpacked = String::new();
        let packed = std::fs::read(folder.path().join("a.css.br")).unwrap();
        brotli::Decompressor::new(packed.as_slice(), 4096)
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
        unpacked.clear();
        let packed = std::fs::read(folder.path().join("a.css.gz")).unwrap();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
    }

    #[test]
    fn the_same_content_is_compressed_once_and_a_better_copy_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("a.css.br");
        let mark = |text: &str| std::fs::write(&copy, text).unwrap();
        let kept = || std::fs::read(&copy).unwrap() == b"mark";
        std::fs::write(folder.path().join("a.css"), "a { color: red }").unwrap();

        compress(folder.path(), Effort::Quick);
        mark("mark");
        compress(folder.path(), Effort::Quick);
        assert!(kept(), "nothing changed");
        compress(folder.path(), Effort::Smallest);
        assert!(!kept(), "a smaller copy is wanted");
        mark("mark");
        compress(folder.path(), Effort::Quick);
        assert!(kept(), "the smaller copy serves development too");
        std::fs::write(folder.path().join("a.css"), "b { color: red }").unwrap();
        compress(folder.path(), Effort::Quick);
        assert!(!kept(), "the content changed");
    }

    #[test]
    fn fonts_and_pictures_are_left_alone() {
        assert!(Compressor::wants(Path::new("pkg/lotzero.wasm")));
        assert!(!Compressor::wants(Path::new("fonts/inter.woff2")));
        assert!(!Compressor::wants(Path::new("noending")));
    }
}
