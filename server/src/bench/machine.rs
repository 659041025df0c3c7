//! What a figure was measured on. A figure without it says nothing.

use super::database::Database;
use serde::Serialize;
use sqlx::Row;
use std::fs;
use std::path::Path;

/// Said where the operating system does not tell.
const UNKNOWN: &str = "unknown";

const KIB_PER_GIB: f64 = 1_048_576.0;

/// The machine, the build and the database.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Processors that this program may use.
    pub cores: usize,
    /// Of memory, rounded to a tenth.
    pub memory_gib: f64,
    /// The processor's model.
    pub cpu: String,
    /// Name and version of the operating system.
    pub os: String,
    /// The kernel of the operating system.
    pub os_kernel: String,
    /// Processors that were wanted in the minute before, by whatever else ran.
    pub busy_before: f64,
    /// Whether this program was built for speed; else its figures are not to be compared.
    pub release_build: bool,
    /// The database as it says of itself.
    pub postgres: PostgresSettings,
}

/// What decides how fast a commit can be.
#[derive(Clone, Debug, Serialize)]
pub struct PostgresSettings {
    /// Such as 16.14.
    pub version: String,
    /// Whether a commit waits for the disk.
    pub fsync: String,
    /// Whether a client waits for its commit.
    pub synchronous_commit: String,
    /// The level of transactions that name none.
    pub default_transaction_isolation: String,
    /// How much each commit writes to the log.
    pub wal_level: String,
    /// Pages kept in memory.
    pub shared_buffers: String,
    /// The kind of file system its data is on. One in memory makes `fsync` mean nothing.
    pub file_system: String,
}

impl Machine {
    /// Asks the operating system and the database.
    ///
    /// # Errors
    /// When the database does not tell.
    pub async fn describe(database: &Database) -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let or_unknown = |told: Option<String>| told.unwrap_or_else(|| UNKNOWN.into());
        let os_kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib(&read("/proc/meminfo")).unwrap_or_default(),
            cpu: or_unknown(cpu_model(&read("/proc/cpuinfo"))),
            os: or_unknown(os_name(&read("/etc/os-release"))),
            busy_before: busy(&read("/proc/loadavg")).unwrap_or_default(),
            os_kernel: or_unknown(Some(os_kernel).filter(|told| !told.is_empty())),
            release_build: !cfg!(debug_assertions),
            postgres: PostgresSettings::ask(database).await?,
        })
    }
}

impl PostgresSettings {
    async fn ask(database: &Database) -> anyhow::Result<Self> {
        let mut connection = database.connect().await?;
        let mut settings = Vec::new();
        for show in [
            "SHOW server_version",
            "SHOW fsync",
            "SHOW synchronous_commit",
            "SHOW default_transaction_isolation",
            "SHOW wal_level",
            "SHOW shared_buffers",
            "SHOW data_directory",
        ] {
            let row = sqlx::query(show).fetch_one(&mut connection).await?;
            settings.push(row.try_get::<String, _>(0)?);
        }
        let [
            version,
            fsync,
            synchronous_commit,
            default_transaction_isolation,
            wal_level,
            shared_buffers,
            data,
        ] = <[String; 7]>::try_from(settings)
            .map_err(|told| anyhow::anyhow!("PostgreSQL told {} settings", told.len()))?;
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let file_system = file_system(&mounts, Path::new(&data));
        Ok(Self {
            // Debian adds its package's version.
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            fsync,
            synchronous_commit,
            default_transaction_isolation,
            wal_level,
            shared_buffers,
            file_system: file_system.unwrap_or_else(|| UNKNOWN.into()),
        })
    }
}

/// Reads the name and version of `/etc/os-release`.
fn os_name(release: &str) -> Option<String> {
    let value = |key: &str| {
        let mut lines = release.lines();
        let line = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    value("PRETTY_NAME").or_else(|| Some(format!("{} {}", value("NAME")?, value("VERSION_ID")?)))
}

fn cpu_model(cpus: &str) -> Option<String> {
    let line = cpus.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib(memory: &str) -> Option<f64> {
    let line = memory.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u32 = line.split_whitespace().next()?.parse().ok()?;
    Some((f64::from(kib) / KIB_PER_GIB * 10.0).round() / 10.0)
}

fn busy(load: &str) -> Option<f64> {
    load.split(' ').next()?.parse().ok()
}

/// Finds the mount that a path lies in: the longest that it begins with, the last of equals.
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (place, kind) = (fields.next()?, fields.next()?);
            path.starts_with(place).then_some((place.len(), kind))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_systems_files_are_read() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n";
        assert_eq!(
            os_name(debian).as_deref(),
            Some("Debian GNU/Linux 12 (bookworm)")
        );
        let plain = os_name("NAME=Void\nVERSION_ID=1\n");
        assert_eq!(plain.as_deref(), Some("Void 1"));
        let cpus = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nmodel name\t: B\n";
        assert_eq!(cpu_model(cpus).as_deref(), Some("A CPU @ 2 GHz"));
        let memory = "MemTotal:       24689724 kB\nMemFree: 1 kB\n";
        assert_eq!(memory_gib(memory), Some(23.5));
        assert_eq!(busy("2.78 1.55 1.03 3/262 6809\n"), Some(2.78));
        assert_eq!(
            (os_name(""), cpu_model(""), memory_gib("")),
            Default::default()
        );
    }

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/disk xfs rw 0 0\n";
        let on = |path: &str| file_system(mounts, Path::new(path));
        assert_eq!(on("/var/lib").as_deref(), Some("ext4"));
        assert_eq!(on("/tmp/x").as_deref(), Some("tmpfs"));
        assert_eq!(on("/tmp/disk/x").as_deref(), Some("xfs"));
        assert_eq!(on("/tmpfile").as_deref(), Some("ext4"));
    }
}
