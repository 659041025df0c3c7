//! Transactions of one node that stop at a chosen place until they are let go, so that a test
//! decides who is first. Triggers in the test's own database do it: they poll for an advisory lock
//! that the test holds, and so wait for no lock themselves.

use super::{Database, Node, eventually};
use sqlx::PgConnection;

/// The place: `COMMIT` of a purchase, or the first write to a table.
pub const COMMIT: &str = "commit";
pub const PURCHASES: &str = "purchases";
pub const BUDGETS: &str = "mandate_buckets";
pub const STOCK: &str = "stock_buckets";
pub const WALLETS: &str = "wallets";
pub const LOTS: &str = "lots";
pub const UNITS: &str = "inventory_buckets";
/// The same place for a second node that stops: see [`Halts::second_node`].
pub const LOTS_TOO: &str = "lots_too";

const TABLES: [&str; 6] = [PURCHASES, BUDGETS, STOCK, WALLETS, LOTS, UNITS];

const FUNCTION: &str = "
    CREATE SEQUENCE halts;
    CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        place integer := hashtext(TG_ARGV[0]
            || CASE current_setting('application_name') WHEN 'halted_too' THEN '_too' ELSE '' END);
    BEGIN
        IF current_setting('application_name') LIKE 'halted%'
           AND NOT pg_try_advisory_xact_lock_shared(place) THEN
            PERFORM nextval('halts');
            LOOP
                PERFORM pg_sleep(0.002);
                EXIT WHEN pg_try_advisory_xact_lock_shared(place);
            END LOOP;
        END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER halt_commit AFTER INSERT ON purchases DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION halt('commit');";

/// The places of a database, all open at first.
pub struct Halts {
    keeper: PgConnection,
}

impl Halts {
    /// Sets the places up, and opens a node whose transactions stop at those that are closed.
    pub async fn with_node(database: &Database) -> (Self, Node) {
        let url = format!("{}&application_name=halted", database.url);
        let node = Node::at(&url, 8).await;
        let mut keeper = database.connect().await;
        let mut sql = FUNCTION.to_owned();
        for table in TABLES {
            sql.push_str(&format!(
                "CREATE TRIGGER halt BEFORE INSERT OR UPDATE ON {table}
                 FOR EACH STATEMENT EXECUTE FUNCTION halt('{table}');"
            ));
        }
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut keeper)
            .await
            .expect("sets up");
        (Self { keeper }, node)
    }

    /// Another node that stops, at places of its own.
    pub async fn second_node(&self, database: &Database) -> Node {
        let url = format!("{}&application_name=halted_too", database.url);
        Node::at(&url, 8).await
    }

    /// From now on transactions of the node stop there.
    pub async fn close(&mut self, place: &str) {
        sqlx::query("SELECT pg_advisory_lock(hashtext($1)), setval('halts', 1, false)")
            .bind(place)
            .execute(&mut self.keeper)
            .await
            .expect("locks");
    }

    /// Waits until one has stopped.
    pub async fn stopped(&mut self) {
        eventually("a transaction stops", async || {
            sqlx::query_scalar("SELECT is_called FROM halts")
                .fetch_one(&mut self.keeper)
                .await
                .expect("reads")
        })
        .await;
    }

    /// Lets them go.
    pub async fn open(&mut self, place: &str) {
        let open: bool = sqlx::query_scalar("SELECT pg_advisory_unlock(hashtext($1))")
            .bind(place)
            .fetch_one(&mut self.keeper)
            .await
            .expect("unlocks");
        assert!(open, "{place} was not closed");
    }

    /// Has `stopped` stop at a place, with its snapshot taken, while `first` runs to its end; then
    /// it goes on.
    pub async fn interleave<A, B>(
        &mut self,
        place: &str,
        stopped: impl Future<Output = A>,
        first: impl Future<Output = B>,
    ) -> (A, B) {
        self.close(place).await;
        let other = async {
            self.stopped().await;
            let answer = first.await;
            self.open(place).await;
            answer
        };
        tokio::join!(stopped, other)
    }
}
