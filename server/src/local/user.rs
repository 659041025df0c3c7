//! Whom PostgreSQL runs as: it refuses root, so root lends it an ordinary user.

use super::os;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The conventional ids of `nobody` where no user file names it.
const NOBODY: u32 = 65_534;

/// A user to run as instead of root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    pub uid: u32,
    pub gid: u32,
}

impl RunAs {
    /// Nobody special when this process is an ordinary user; for root the owner of the cluster
    /// that is already there, else `postgres`, else `nobody`.
    pub fn choose(cluster: &Path) -> Option<Self> {
        if os::effective_user() != 0 {
            return None;
        }
        let owner = fs::metadata(cluster).ok().map(|found| Self {
            uid: found.uid(),
            gid: found.gid(),
        });
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let chosen = owner
            .filter(|owner| owner.uid != 0)
            .or_else(|| named(&users, "postgres"))
            .or_else(|| named(&users, "nobody"));
        Some(chosen.unwrap_or(Self {
            uid: NOBODY,
            gid: NOBODY,
        }))
    }
}

/// Finds a user in the text of a user file; never root under another name.
fn named(users: &str, name: &str) -> Option<RunAs> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(RunAs { uid, gid })
    })
}

/// A command that runs as that user in that folder, without settings of other PostgreSQL servers.
pub fn command(program: impl AsRef<OsStr>, run_as: Option<&RunAs>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(user) = run_as {
        command.gid(user.gid).uid(user.uid);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\
        toor:x:0:0::/root:/bin/sh\n\
        broken\n\
        postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn users_are_found_by_whole_name_and_root_never() {
        let postgres = RunAs { uid: 101, gid: 104 };
        assert_eq!(named(USERS, "postgres"), Some(postgres));
        assert_eq!(named(USERS, "post"), None);
        assert_eq!(named(USERS, "broken"), None);
        assert_eq!(named(USERS, "toor"), None);
    }
}
