//! Finds `pgbench`, or gets it without installing a database server that would then run.

use crate::{step, tools, workspace::Workspace};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names another one.
const VARIABLE: &str = "LOTZERO_PGBENCH";

/// Debian keeps a folder for each version here. What stands on `PATH` is a script that asks which.
const DEBIAN: &str = "usr/lib/postgresql";

/// The oldest that retries conflicts.
const OLDEST_MAJOR: u32 = 15;

/// What to do where nothing can be downloaded.
const ADVICE: &str = "pgbench 15 or newer is missing: install the package that has it \
    (postgresql-15 on Debian 12, postgresql-contrib or postgresql elsewhere), \
    or set LOTZERO_PGBENCH to its path";

/// Returns the path of a pgbench that starts: the one named, an installed one, or one unpacked
/// from Debian's package.
pub fn find(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        if starts(&path) {
            return Ok(path);
        }
        bail!(
            "{VARIABLE} names {}, which is no pgbench {OLDEST_MAJOR} or newer",
            path.display()
        );
    }
    let unpacked = workspace.tools().join("pgbench");
    if let Some(found) = candidates(&unpacked).into_iter().find(|path| starts(path)) {
        return Ok(found);
    }
    unpack(workspace, &unpacked).context(ADVICE)?;
    let pgbench = newest_below(&unpacked).context("the package has no pgbench")?;
    if !starts(&pgbench) {
        // A library of clients, which runs nothing.
        tools::install_on_debian(&["libpq5"]).context("pgbench needs the package libpq5")?;
    }
    if starts(&pgbench) {
        return Ok(pgbench);
    }
    bail!(
        "the unpacked {} does not start. {ADVICE}",
        pgbench.display()
    )
}

/// Every place to look, best first.
fn candidates(unpacked: &Path) -> Vec<PathBuf> {
    let on_path = std::env::var_os("PATH");
    let on_path = on_path.iter().flat_map(std::env::split_paths);
    newest_below(Path::new("/"))
        .into_iter()
        .chain(on_path.map(|folder| folder.join("pgbench")))
        .chain(newest_below(unpacked))
        .filter(|path| path.is_file())
        .collect()
}

/// Finds the pgbench of the newest version in a tree laid out as Debian's.
fn newest_below(root: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(root.join(DEBIAN)).ok()?;
    entries
        .flatten()
        .filter_map(|entry| {
            let major: u32 = entry.file_name().to_str()?.parse().ok()?;
            let pgbench = entry.path().join("bin/pgbench");
            pgbench.is_file().then_some((major, pgbench))
        })
        .max_by_key(|(major, _)| *major)
        .map(|(_, pgbench)| pgbench)
}

fn starts(pgbench: &Path) -> bool {
    let version = step::capture(Command::new(pgbench).arg("--version"));
    version.is_ok_and(|text| major(&text).is_some_and(|major| major >= OLDEST_MAJOR))
}

/// Reads `pgbench (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(version: &str) -> Option<u32> {
    let (_, after) = version.split_once("pgbench (PostgreSQL) ")?;
    after
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// Downloads Debian's server package and takes it apart: installed, it would start a server.
fn unpack(workspace: &Workspace, into: &Path) -> Result<()> {
    if !Path::new("/etc/debian_version").is_file() {
        bail!("this is not Debian, so it is left to you");
    }
    let package = match package() {
        Ok(package) => package,
        Err(_unknown) => {
            tools::update_debian_lists()?;
            package()?
        }
    };
    std::fs::create_dir_all(into).with_context(|| format!("making {}", into.display()))?;
    let mut download = workspace.command("apt-get", into);
    download.args(["download", &package]);
    step::run_quietly(
        &format!("downloading {package} for its pgbench"),
        &mut download,
    )?;
    let archive = archive_in(into, &package)?;
    let mut dpkg = workspace.command("dpkg", into);
    dpkg.arg("--extract").arg(&archive).arg(into);
    step::run_quietly(&format!("unpacking {package}"), &mut dpkg)?;
    std::fs::remove_file(&archive).with_context(|| format!("removing {}", archive.display()))
}

/// The package of the release's own version, on which the package `postgresql` depends.
fn package() -> Result<String> {
    let mut apt = Command::new("apt-cache");
    let text = step::capture(apt.args(["depends", "postgresql"]))?;
    dependency(&text).context("the package postgresql depends on no version of it")
}

fn dependency(text: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| {
            let version = name.strip_prefix("postgresql-");
            version.is_some_and(|version| version.parse::<u32>().is_ok())
        })
        .map(str::to_owned)
}

fn archive_in(folder: &Path, package: &str) -> Result<PathBuf> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| {
                name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
            })
        })
        .with_context(|| format!("apt-get downloaded no archive of {package}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_taken() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(newest_below(root.path()), None);
        for version in ["9", "15", "17", "common"] {
            let bin = root.path().join(DEBIAN).join(version).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            // A client's package brings the folder, but not pgbench.
            if version != "17" {
                std::fs::write(bin.join("pgbench"), b"").unwrap();
            }
        }
        let found = newest_below(root.path()).unwrap();
        assert!(found.ends_with("15/bin/pgbench"), "{}", found.display());
    }

    #[test]
    fn versions_and_packages_are_read() {
        assert_eq!(major("pgbench (PostgreSQL) 15.18 (Debian 1)\n"), Some(15));
        assert_eq!(major("Error: No existing cluster"), None);
        let depends = "postgresql\n  Depends: postgresql-common\n  Depends: postgresql-15\n  \
            Suggests: postgresql-doc\n";
        assert_eq!(dependency(depends).as_deref(), Some("postgresql-15"));
        assert_eq!(dependency("postgresql\n"), None);
    }

    #[test]
    fn an_archive_is_known_by_its_package() {
        let folder = tempfile::tempdir().unwrap();
        assert!(archive_in(folder.path(), "postgresql-15").is_err());
        for name in ["postgresql-15-doc_1.deb", "postgresql-15_15.18_amd64.deb"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let found = archive_in(folder.path(), "postgresql-15").unwrap();
        assert!(found.ends_with("postgresql-15_15.18_amd64.deb"));
    }
}
