//! The data folder: its files, who may read them, and the lock that says who runs the stores.

use super::os;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Present in a folder that goes away with its stores.
const TEMPORARY: &str = "temporary";

/// Names of the files in a data folder.
#[derive(Clone, Debug)]
pub struct Folder {
    pub path: PathBuf,
}

impl Folder {
    /// Opens or makes a data folder. Root's can be passed through, so that the user PostgreSQL
    /// runs as reaches its part; every file of value in it is closed to others.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mode = if os::effective_user() == 0 {
            0o711
        } else {
            0o700
        };
        DirBuilder::new().recursive(true).mode(mode).create(path)?;
        Ok(Self {
            path: path.canonicalize()?,
        })
    }

    /// Makes a fresh folder for stores that nobody keeps.
    pub fn temporary() -> io::Result<Self> {
        Self::temporary_in(&std::env::temp_dir())
    }

    /// [`Folder::temporary`] in a folder of the caller's choice: the usual place may be in memory.
    pub fn temporary_in(parent: &Path) -> io::Result<Self> {
        let name = format!("lotzero-{:016x}", rand::random::<u64>());
        let folder = Self::open(&parent.join(name))?;
        write_private(&folder.path.join(TEMPORARY), b"")?;
        Ok(folder)
    }

    /// Whether the folder goes away with its stores.
    pub fn is_temporary(&self) -> bool {
        self.path.join(TEMPORARY).exists()
    }

    /// How to reach the running stores.
    pub fn record(&self) -> PathBuf {
        self.path.join("stores.json")
    }

    /// What the stores say.
    pub fn log(&self) -> PathBuf {
        self.path.join("stores.log")
    }

    /// The embedded DynamoDB's file.
    pub fn dynamodb(&self) -> PathBuf {
        self.path.join("dynamodb.sqlite")
    }

    fn lock(&self) -> PathBuf {
        self.path.join("stores.lock")
    }

    /// Whether stores run here, or are on their way in or out.
    pub fn is_held(&self) -> bool {
        let lock = File::open(self.lock()).map(|file| file.try_lock_shared());
        matches!(lock, Ok(Err(TryLockError::WouldBlock)))
    }

    /// Takes the folder's lock unless somebody has it; it ends with the file, at the latest with
    /// the process.
    pub fn try_lock(&self) -> io::Result<Option<File>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.lock())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Writes a file that only its owner may read, in one step: it is there whole or not at all.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{:08x}", rand::random::<u32>()));
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&partial, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&partial);
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_holder_at_a_time() {
        let folder = Folder::temporary().expect("a temporary folder");
        let held = folder.try_lock().expect("lock");
        assert!(held.is_some() && folder.is_held());
        assert!(folder.try_lock().expect("lock").is_none());
        drop(held);
        assert!(!folder.is_held());
        assert!(folder.try_lock().expect("lock").is_some());
        fs::remove_dir_all(&folder.path).expect("remove");
    }

    #[test]
    fn private_files_are_private_and_leave_nothing_beside_them() {
        let folder = Folder::temporary().expect("a temporary folder");
        write_private(&folder.record(), b"one").expect("write");
        write_private(&folder.record(), b"two").expect("write again");
        let mode = fs::metadata(folder.record()).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert_eq!(fs::read(folder.record()).expect("read"), b"two");
        assert_eq!(fs::read_dir(&folder.path).expect("list").count(), 2);
        assert!(folder.is_temporary());
        fs::remove_dir_all(&folder.path).expect("remove");
    }
}
