//! The private PostgreSQL's files: where they can be, made once, and nobody left living in them.

use super::binaries::{self, Binaries, BinariesError};
use super::folder::{Folder, write_private};
use super::os::{self, Signal};
use super::user::{self, RunAs};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// PostgreSQL's user; the database is `postgres`, the only one that DSQL has.
pub const USER: &str = "lotzero";

/// The longest name of a socket: macOS takes 103 bytes, Linux 107.
const MAX_SOCKET_NAME: usize = 103;

/// How its sockets are named: this and the port; the socket's pid file adds `.lock`.
pub const SOCKET: &str = ".s.PGSQL.";

/// The password's file in the cluster's folder, so that both are there or neither is.
const PASSWORD_FILE: &str = "lotzero.password";

/// Where root keeps a cluster whose data folder its user cannot reach.
const ELSEWHERE: &str = "/var/lib/lotzero/data";

/// How long a server left behind may take for each way of stopping.
const LEFT_BEHIND_STOPS_WITHIN: Duration = Duration::from_secs(2);

/// A cluster on disk that nobody runs.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub path: PathBuf,
    pub binaries: Binaries,
    pub run_as: Option<RunAs>,
    pub password: String,
    /// Where its Unix sockets are, if it can have any.
    pub socket_folder: Option<String>,
    /// What the person at the terminal should know.
    pub notes: Vec<String>,
}

/// Why there is no cluster to run.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No programs.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// Somebody else's files.
    #[error("{0} belongs to another user: choose another data folder with --data-dir")]
    Foreign(PathBuf),
    /// Files that are no cluster of ours.
    #[error("{0} is in the way: it is no PostgreSQL cluster made by this program")]
    InTheWay(PathBuf),
    /// The file system refused.
    #[error("preparing PostgreSQL's folder {0}")]
    Files(PathBuf, #[source] io::Error),
    /// `initdb` failed.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// A server of an earlier run would not end.
    #[error("a PostgreSQL left behind in {0} does not stop")]
    LeftBehind(PathBuf),
}

impl Cluster {
    /// Finds or makes the data folder's cluster, and ends what an earlier run left behind in it.
    /// Blocks: about a second when the cluster is new.
    pub fn prepare(folder: &Folder) -> Result<Self, ClusterError> {
        let mut notes = Vec::new();
        let inside = folder.path.join("postgres");
        let run_as = RunAs::choose(&inside);
        let found = binaries::find(&inside)?;
        let found = binaries::reachable(found, run_as.as_ref(), &mut notes)?;
        let home = home(folder, &found, run_as.as_ref(), &mut notes)?;
        let path = home.join("postgres");
        // Elsewhere another cluster may lie, of another version or owner.
        let (found, run_as) = if path == inside {
            (found, run_as)
        } else {
            let run_as = RunAs::choose(&path);
            let found = binaries::find(&path)?;
            let found = binaries::reachable(found, run_as.as_ref(), &mut Vec::new())?;
            (found, run_as)
        };
        let password = match existing(&path)? {
            Some(password) => password,
            None => make(&home, &path, &found, run_as.as_ref())?,
        };
        let socket_folder = socket_folder(&path);
        let cluster = Self {
            path,
            binaries: found,
            run_as,
            password,
            socket_folder,
            notes,
        };
        cluster.clear()?;
        Ok(cluster)
    }

    /// Ends every server process that lives in the cluster and removes its pid file. The caller
    /// holds the data folder's lock, so none of them can be in use.
    pub fn clear(&self) -> Result<(), ClusterError> {
        let steps = [Signal::Interrupt, Signal::Quit, Signal::Kill];
        for signal in steps {
            let left = inhabitants(&self.path);
            if left.is_empty() {
                break;
            }
            tracing::warn!(?left, ?signal, "stopping a PostgreSQL left behind");
            for pid in left {
                // It may have ended by itself in between.
                let _ = os::send(pid, signal);
            }
            let deadline = Instant::now() + LEFT_BEHIND_STOPS_WITHIN;
            while !inhabitants(&self.path).is_empty() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
        }
        if !inhabitants(&self.path).is_empty() {
            return Err(ClusterError::LeftBehind(self.path.clone()));
        }
        self.remove_traces()
            .map_err(|error| ClusterError::Files(self.path.clone(), error))
    }

    /// Removes its pid file and those of its sockets: their pid may by now be another program's, which
    /// would keep PostgreSQL from starting. It takes the place of a socket left behind by itself.
    fn remove_traces(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_trace = name == "postmaster.pid" || name.starts_with(SOCKET);
            if is_trace && !is_socket(&entry) {
                match fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

fn is_socket(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_socket())
}

/// Where PostgreSQL puts its Unix sockets: in its own folder, into which nobody else may look. `None`
/// if a socket's name would be longer than systems take, if the folder's name would have to be quoted
/// in a setting or a URL, or if there can be no sockets, as on the shares of some virtual machines.
fn socket_folder(cluster: &Path) -> Option<String> {
    let folder = cluster.to_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let name = format!("{folder}/{SOCKET}65535");
    let fits = name.len() <= MAX_SOCKET_NAME && folder.starts_with('/');
    if !fits || !folder.chars().all(plain) {
        return None;
    }
    let trial = cluster.join(".s.lotzero");
    let bound = UnixListener::bind(&trial);
    // There is none to remove if it could not be bound.
    let _ = fs::remove_file(&trial);
    bound.is_ok().then(|| folder.to_owned())
}

/// The folder that the cluster lies in: the data folder, or for root a place of its own when the
/// user PostgreSQL runs as cannot get there.
fn home(
    folder: &Folder,
    found: &Binaries,
    run_as: Option<&RunAs>,
    notes: &mut Vec<String>,
) -> Result<PathBuf, ClusterError> {
    let enters = |home: &Path| {
        user::command(found.bin.join("postgres"), run_as, home)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if run_as.is_none() || enters(&folder.path) {
        return Ok(folder.path.clone());
    }
    let home = elsewhere(&folder.path);
    fs::create_dir_all(&home).map_err(|error| ClusterError::Files(home.clone(), error))?;
    notes.push(format!(
        "PostgreSQL's data is in {}: its user cannot reach {}",
        home.display(),
        folder.path.display()
    ));
    Ok(home)
}

/// A place named after the data folder's path.
pub fn elsewhere(data: &Path) -> PathBuf {
    let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
    let mut name = String::new();
    for byte in digest.iter().take(8) {
        let _ = write!(name, "{byte:02x}");
    }
    Path::new(ELSEWHERE).join(name)
}

/// The password of a cluster that is there; none when there is no cluster yet.
fn existing(path: &Path) -> Result<Option<String>, ClusterError> {
    let files = |error| ClusterError::Files(path.to_path_buf(), error);
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(files(error)),
    };
    let me = os::effective_user();
    if me != 0 && found.uid() != me {
        return Err(ClusterError::Foreign(path.to_path_buf()));
    }
    match fs::read_to_string(path.join(PASSWORD_FILE)) {
        Ok(password) if path.join("PG_VERSION").is_file() => Ok(Some(password.trim().to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files(error)),
        Ok(_) | Err(_) => Err(ClusterError::InTheWay(path.to_path_buf())),
    }
}

/// Makes a cluster beside its place and moves it there when it is whole: a start that was cut
/// short leaves nothing that looks like a cluster.
fn make(
    home: &Path,
    path: &Path,
    found: &Binaries,
    run_as: Option<&RunAs>,
) -> Result<String, ClusterError> {
    let files = |error| ClusterError::Files(home.to_path_buf(), error);
    let partial = home.join("postgres.partial");
    let password_file = home.join("postgres.password");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(files)?;
    }
    let password = format!("{:032x}", rand::random::<u128>());
    fs::create_dir(&partial).map_err(files)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o700)).map_err(files)?;
    write_private(&password_file, password.as_bytes()).map_err(files)?;
    if let Some(user) = run_as {
        for owned in [&partial, &password_file] {
            chown(owned, Some(user.uid), Some(user.gid)).map_err(files)?;
        }
    }
    initdb(found, run_as, home, &partial, &password_file)?;
    fs::rename(&password_file, partial.join(PASSWORD_FILE)).map_err(files)?;
    fs::rename(&partial, path).map_err(files)?;
    Ok(password)
}

fn initdb(
    found: &Binaries,
    run_as: Option<&RunAs>,
    home: &Path,
    into: &Path,
    password_file: &Path,
) -> Result<(), ClusterError> {
    let mut command = user::command(found.bin.join("initdb"), run_as, home);
    command
        .arg("--pgdata")
        .arg(into)
        .arg(format!("--username={USER}"))
        .arg("--pwfile")
        .arg(password_file)
        .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
    os::stop_with_parent(&mut command);
    let output = command
        .output()
        .map_err(|error| ClusterError::Files(home.to_path_buf(), error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let mut lines = said.lines().filter(|line| !line.is_empty());
    let reason = lines.find(|line| line.contains("error") || line.contains("FATAL"));
    let reason = reason
        .or_else(|| said.lines().last())
        .unwrap_or("no reason given");
    Err(ClusterError::Initdb(reason.to_owned()))
}

/// Every PostgreSQL process that lives in the folder: the postmaster and what it started.
#[cfg(target_os = "linux")]
fn inhabitants(cluster: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lives_here = |pid: &u32| {
        let process = Path::new("/proc").join(pid.to_string());
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == cluster)
            // A person may stand in that folder too.
            && fs::read_to_string(process.join("comm")).is_ok_and(|name| name.starts_with("postgres"))
    };
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(lives_here)
        .collect()
}

/// The postmaster that the folder's pid file names, if it still is one.
#[cfg(not(target_os = "linux"))]
fn inhabitants(cluster: &Path) -> Vec<u32> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
    let Some(pid) = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse::<u32>().ok())
    else {
        return Vec::new();
    };
    let output = std::process::Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let is_ours = said.is_ok_and(|said| said.contains(&*cluster.to_string_lossy()));
    Vec::from_iter(is_ours.then_some(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_where_its_name_fits_and_needs_no_quotes() {
        let home = tempfile::tempdir_in("/tmp").expect("a folder");
        let found = |name: &str| {
            let folder = home.path().join(name);
            fs::create_dir_all(&folder).expect("creates");
            socket_folder(&folder).is_some()
        };
        assert!(found("lot-zero_1.0/postgres"));
        for odd in ["a b", "a,b", "a'b", "a&b", "a%20b", "é"] {
            assert!(!found(odd), "{odd}");
        }
        // `/.s.PGSQL.65535` are 15 bytes of the 103, and one parts the folder from its home.
        let left = 103 - 15 - 1 - home.path().as_os_str().len();
        assert!(found(&"x".repeat(left)));
        assert!(!found(&"x".repeat(left + 1)));
        assert_eq!(socket_folder(Path::new("relative")), None);
        assert_eq!(socket_folder(&home.path().join("not-there")), None);
    }
}
