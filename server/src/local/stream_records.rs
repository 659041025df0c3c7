//! What the embedded DynamoDB's stream lacks: an index, and an end.
//!
//! dynoxide 3.2 looks through every record of the stream at each write, for the next sequence number,
//! and at each read of the stream, and it keeps all of them for ever. Its file is SQLite's, so an
//! index over its own expressions makes both as fast after a week as in the first minute, and what
//! is older than AWS keeps a stream goes away.

use rusqlite::{Connection, Result};
use std::path::Path;
use std::time::Duration;

/// How long a record stays (DynamoDB Streams: 24 hours).
const KEPT: Duration = Duration::from_hours(24);

/// Records that are deleted at once: others wait for it to write.
const MAX_DELETED: usize = 2_000;

/// How long the file's lock is waited for; dynoxide waits five seconds itself.
const BUSY: Duration = Duration::from_secs(2);

/// One for a write's next number, one for a shard's records in order. SQLite takes an index on an
/// expression for a query that says exactly the same.
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS lotzero_stream_last
        ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS lotzero_stream_place
        ON _stream_records (table_name, shard_id, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS lotzero_stream_age
        ON _stream_records (created_at);";

fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Makes the indexes in a file that dynoxide has opened before.
pub fn index(path: &Path) -> Result<()> {
    open(path)?.execute_batch(INDEXES)
}

/// Deletes records that are too old, some at most; answers how many. The newest stays whatever its
/// age, since the next one is numbered after it. The time is the one that dynoxide writes into
/// them, the machine's, unless another is given.
pub fn trim(path: &Path, now_s: Option<i64>) -> Result<usize> {
    let kept_s = i64::try_from(KEPT.as_secs()).unwrap_or(i64::MAX);
    open(path)?.execute(
        "DELETE FROM _stream_records WHERE id IN (
            SELECT id FROM _stream_records
            WHERE created_at < coalesce(?1, unixepoch()) - ?2 AND id < (SELECT MAX(id) FROM _stream_records)
            ORDER BY created_at LIMIT ?3)",
        rusqlite::params![now_s, kept_s, MAX_DELETED],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynoxide::Database;

    /// A file with records of some ages, in seconds.
    fn file(folder: &Path, ages: &[i64], now_s: i64) -> std::path::PathBuf {
        let path = folder.join("dynamodb");
        let name = path.to_string_lossy().into_owned();
        drop(Database::new(&name).expect("opens"));
        index(&path).expect("indexes");
        index(&path).expect("does no harm again");
        let connection = open(&path).expect("opens");
        for (number, age) in ages.iter().enumerate() {
            let insert = "INSERT INTO _stream_records
                (table_name, event_name, keys_json, sequence_number, shard_id, created_at)
                VALUES ('t', 'INSERT', '{}', ?1, 's', ?2)";
            let number = i64::try_from(number).expect("few");
            connection
                .execute(insert, rusqlite::params![number.to_string(), now_s - age])
                .expect("inserts");
        }
        path
    }

    fn records(path: &Path) -> i64 {
        let count = "SELECT count(*) FROM _stream_records";
        let connection = open(path).expect("opens");
        connection
            .query_row(count, [], |row| row.get(0))
            .expect("counts")
    }

    #[test]
    fn records_older_than_a_day_go_and_the_newest_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (now_s, day) = (2_000_000_000, 86_400);
        let path = file(folder.path(), &[3 * day, 2 * day, day + 1, day, 5], now_s);
        assert_eq!(trim(&path, Some(now_s)).expect("trims"), 3);
        assert_eq!(records(&path), 2);
        assert_eq!(trim(&path, Some(now_s + 9 * day)).expect("trims"), 1);
        assert_eq!(trim(&path, Some(now_s + 9 * day)).expect("trims"), 0);
        assert_eq!(
            trim(&path, None).expect("trims"),
            0,
            "it is not that late yet"
        );
        assert_eq!(records(&path), 1);
    }

    /// The statements are dynoxide's, word for word: another release may say something else.
    #[test]
    fn what_the_store_asks_of_its_stream_needs_no_look_at_every_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(folder.path(), &[1], 2_000_000_000);
        let connection = open(&path).expect("opens");
        for statement in [
            "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 FROM _stream_records WHERE table_name = ?1",
            "SELECT event_name FROM _stream_records
             WHERE table_name = ?1 AND shard_id = 's' AND CAST(sequence_number AS INTEGER) > 3
             ORDER BY CAST(sequence_number AS INTEGER) ASC
             LIMIT 10",
            "SELECT MIN(CAST(sequence_number AS INTEGER)), MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = ?1 AND shard_id = 's'",
        ] {
            let explain = format!("EXPLAIN QUERY PLAN {statement}");
            let mut plan = connection.prepare(&explain).expect("plans");
            let lines = plan
                .query_map(["t"], |row| row.get::<_, String>(3))
                .expect("plans");
            let lines: Vec<String> = lines.map(|line| line.expect("reads")).collect();
            let plan = lines.join("; ");
            assert!(
                plan.contains("USING") && plan.contains("lotzero_stream"),
                "{plan}"
            );
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
