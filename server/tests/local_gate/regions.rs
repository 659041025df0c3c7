//! Two gates before one PostgreSQL: Regions that hang, go away and come back.

use super::{Bench, LONG, mark, run};
use server::local::gate::Fault;
use server::local::regions::{DEFAULT_REGIONS, RegionalGates, RegionsError};
use shared::Region::{Seoul, Tokyo};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_commit_inside_a_region_that_hangs_is_done_without_its_client() {
    let mut bench = Bench::open().await;
    // Mute: it is done at once. Hung: it is done when the Region comes back.
    for (name, fault) in [("mute", Fault::Mute), ("hung", Fault::Hung)] {
        let mut connection = bench.connect().await;
        run(&mut connection, "BEGIN").await.expect("begin");
        let insert = sqlx::query("INSERT INTO marks VALUES ($1)").bind(name);
        insert.execute(&mut connection).await.expect("insert");
        bench.set(&[fault]);
        // One message: a prepared statement would wait for the answer to its preparation first.
        let commit = sqlx::raw_sql("COMMIT").execute(&mut connection);
        let heard = tokio::time::timeout(Duration::from_millis(300), commit).await;
        assert!(heard.is_err(), "no answer: {name}");
        assert_eq!(bench.gate.counters().effects_of(&fault), 1, "{name}");
        assert_eq!(bench.is_marked(name).await, fault == Fault::Mute);
        drop(connection);
        bench.set(&[]);
        let since = Instant::now();
        while !bench.is_marked(name).await {
            assert!(since.elapsed() < LONG, "{name}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn regions_are_one_database_until_one_is_taken_away_and_restored() {
    let mut bench = Bench::open().await;
    let url = &bench.stores.database_url;
    let gates = RegionalGates::start(url, &DEFAULT_REGIONS).await;
    let gates = gates.expect("two gates");
    let urls: Vec<String> = gates.urls().into_iter().map(str::to_owned).collect();
    let [tokyo, seoul] = &*urls else {
        panic!("two Regions: {urls:?}");
    };
    mark(tokyo, "tokyo").await.expect("open");
    mark(seoul, "seoul").await.expect("open");
    assert!(bench.is_marked("tokyo").await && bench.is_marked("seoul").await);

    let mut open = PgConnection::connect(tokyo).await.expect("open");
    let mut inside = open.begin().await.expect("begin");
    sqlx::query("INSERT INTO marks VALUES ('inside')")
        .execute(&mut *inside)
        .await
        .expect("insert");
    let token = gates.arm(Tokyo, Fault::Closed).expect("arms");
    mark(tokyo, "armed").await.expect("armed only");
    assert_eq!(
        gates.confirm(token).expect("in time"),
        (Tokyo, Fault::Closed)
    );
    let gone = inside.commit().await.expect_err("its Region is gone");
    assert!(matches!(gone, sqlx::Error::Io(_)), "{gone:?}");
    let refused = mark(tokyo, "refused").await.expect_err("gone");
    assert!(matches!(refused, sqlx::Error::Io(_)), "{refused:?}");
    mark(seoul, "peer").await.expect("the peer is open");
    assert!(!bench.is_marked("inside").await && !bench.is_marked("refused").await);
    let last = gates.arm(Seoul, Fault::Hung).expect_err("the last");
    assert!(matches!(last, RegionsError::LastRegion(Seoul)), "{last:?}");

    let status = gates.status();
    let [tokyo_now, peer] = &*status.regions else {
        panic!("two Regions: {status:?}");
    };
    assert!(!tokyo_now.open && peer.open, "{status:?}");
    assert!(tokyo_now.counters.cut >= 1, "{status:?}");
    assert_eq!(tokyo_now.counters.refused, 1, "{status:?}");
    assert_eq!(tokyo_now.open_connections, 0, "{status:?}");
    gates.restore(Tokyo).expect("a gate");
    mark(tokyo, "restored").await.expect("open again");
    assert!(gates.status().regions.iter().all(|region| region.open));
}
