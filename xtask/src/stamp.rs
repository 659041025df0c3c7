//! Stamps: a file that remembers which inputs a finished step was made from.

use anyhow::{Context, Result};
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

/// The file that remembers, and what it should say now.
#[derive(Debug)]
pub struct Stamp {
    file: PathBuf,
    wanted: String,
}

impl Stamp {
    /// Makes the stamp of a step from everything its result depends on.
    pub fn new<'a>(file: PathBuf, inputs: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            file,
            wanted: digest(inputs),
        }
    }

    /// Tells whether the step was finished with these very inputs.
    pub fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|found| found.trim() == self.wanted)
    }

    /// Forgets the last result; called before the step starts, so that a cut-off step runs again.
    pub fn clear(&self) -> Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }

    /// Remembers that the step is finished.
    pub fn write(&self) -> Result<()> {
        write_file(&self.file, self.wanted.as_bytes())
    }
}

/// Mixes inputs into a short text; changed inputs change it. Not for secrets.
pub fn digest<'a>(inputs: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    for input in inputs {
        hasher.write_usize(input.len());
        hasher.write(input);
    }
    format!("{:016x}", hasher.finish())
}

/// Writes a file and the folders above it.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// Reads a file, naming it when that fails.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(folder: &Path, lock: &str) -> Stamp {
        Stamp::new(folder.join("state/tools"), [lock.as_bytes()])
    }

    #[test]
    fn a_stamp_holds_until_its_input_changes() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            !stamp(folder.path(), "one").is_current(),
            "nothing was done yet"
        );
        stamp(folder.path(), "one").write().unwrap();
        assert!(stamp(folder.path(), "one").is_current());
        assert!(
            !stamp(folder.path(), "two").is_current(),
            "the lock changed"
        );
    }

    #[test]
    fn a_cleared_stamp_is_not_current_and_clearing_twice_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = stamp(folder.path(), "one");
        stamp.write().unwrap();
        stamp.clear().unwrap();
        stamp.clear().unwrap();
        assert!(!stamp.is_current());
    }

    #[test]
    fn inputs_do_not_run_into_each_other() {
        assert_ne!(
            digest([b"ab".as_slice(), b"c"]),
            digest([b"a".as_slice(), b"bc"])
        );
    }
}
