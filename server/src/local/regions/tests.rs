use super::*;
use Region::{Frankfurt, Seoul, Tokyo};

/// Nobody listens there: nothing here goes as far as the server.
const URL: &str = "postgres://u:secret@127.0.0.1:1/postgres?sslmode=disable";

const LOST: Fault = Fault::LostCommit { percent: 50 };

async fn gates(regions: &[Region]) -> RegionalGates {
    RegionalGates::start(URL, regions).await.expect("gates")
}

async fn tokyo_and_seoul() -> RegionalGates {
    gates(&DEFAULT_REGIONS).await
}

fn take_away(gates: &RegionalGates, region: Region, fault: Fault) -> Result<(), RegionsError> {
    let token = gates.arm(region, fault)?;
    gates.confirm(token).map(|_| ())
}

fn faults(gates: &RegionalGates, region: Region) -> Vec<Fault> {
    gates.gate(region).expect("a gate").faults()
}

#[tokio::test]
async fn each_region_has_an_endpoint_of_its_own() {
    let gates = gates(&[Seoul, Frankfurt, Tokyo]).await;
    let regions: Vec<Region> = gates.regions().collect();
    assert_eq!(regions, [Seoul, Frankfurt, Tokyo], "as they were named");
    let urls = gates.urls();
    assert_eq!(urls.len(), 3);
    for (region, url) in regions.into_iter().zip(&urls) {
        let gate = gates.gate(region).expect("a gate");
        assert_eq!(*url, gate.url(URL));
        assert_eq!(urls.iter().filter(|other| *other == url).count(), 1);
    }
    let none = gates.gate(Region::Oregon).expect_err("no gate");
    assert!(matches!(none, RegionsError::UnknownRegion(Region::Oregon)));
}

#[tokio::test]
async fn regions_that_cannot_be_are_refused() {
    let start = |url: &'static str, regions: &'static [Region]| async move {
        let gates = RegionalGates::start(url, regions).await;
        gates.expect_err("refused").to_string()
    };
    assert_eq!(start(URL, &[]).await, "at least two Regions are needed");
    assert_eq!(
        start(URL, &[Tokyo]).await,
        "at least two Regions are needed"
    );
    let twice = start(URL, &[Tokyo, Seoul, Tokyo]).await;
    assert_eq!(twice, "ap-northeast-1 is named twice");
    let elsewhere = start("postgres://u@db.example:5432/x", &DEFAULT_REGIONS).await;
    assert_eq!(elsewhere, RegionsError::NotLocal.to_string());
}

#[test]
fn only_the_loopback_is_local() {
    for url in [
        URL,
        "postgres://u@localhost/x",
        "postgres://u@localhost:5/x",
        "postgres://u@[::1]:5/x",
        "postgres://[::1]",
        "postgres://u@127.0.0.1:5/x?host=/run/postgresql&sslmode=disable",
    ] {
        assert!(is_local(url), "{url}");
    }
    for url in [
        "postgres://u@10.0.0.1:5/x",
        "postgres://localhost@db:5/x",
        "postgres://u@localhost.example/x",
        "postgres://u@0.0.0.0:5/x",
        "postgres:///x?host=127.0.0.1",
        "postgres://u@127.0.0.1:5/x?host=db.example",
        "postgres://u@127.0.0.1:5/x?sslmode=disable&hostaddr=10.0.0.1",
        "postgres://u@127.0.0.1:5/x?port=6",
        "postgres://u@127.0.0.1:5/x?%68ost=db.example",
        "nonsense",
    ] {
        assert!(!is_local(url), "{url}");
    }
}

#[tokio::test]
async fn what_takes_a_region_away_is_armed_and_confirmed() {
    let gates = tokyo_and_seoul().await;
    for fault in [Fault::Closed, Fault::Refusing, Fault::Hung, Fault::Mute] {
        let no = gates.set(Tokyo, &[LOST, fault]).expect_err("one step only");
        assert!(matches!(no, RegionsError::NotArmed(Tokyo)), "{no:?}");
        let token = gates.arm(Tokyo, fault).expect("arms");
        assert_eq!(faults(&gates, Tokyo), [], "not yet");
        assert_eq!(gates.confirm(token).expect("in time"), (Tokyo, fault));
        assert_eq!(faults(&gates, Tokyo), [fault]);
        assert_eq!(faults(&gates, Seoul), []);
        let again = gates.confirm(token).expect_err("once");
        assert!(matches!(again, RegionsError::Arm(ArmError::Unknown)));
        gates.restore(Tokyo).expect("a gate");
        assert_eq!(faults(&gates, Tokyo), []);
    }
}

#[tokio::test]
async fn a_confirmation_after_ten_seconds_comes_too_late() {
    let gates = tokyo_and_seoul().await;
    let now = Instant::now();
    let token = gates
        .arm_at(now, Tokyo, Fault::Closed, false)
        .expect("arms");
    let late = gates.confirm_at(now + ARM_VALID, token);
    let late = late.expect_err("too late");
    assert!(matches!(late, RegionsError::Arm(ArmError::Expired)));
    assert_eq!(faults(&gates, Tokyo), []);
}

#[tokio::test]
async fn the_last_open_region_stays_unless_that_is_forced() {
    let gates = tokyo_and_seoul().await;
    // Both are armed while both are open; the second confirmation comes too late.
    let tokyo = gates.arm(Tokyo, Fault::Closed).expect("arms");
    let seoul = gates.arm(Seoul, Fault::Hung).expect("arms");
    gates.confirm(tokyo).expect("Seoul is open");
    let last = gates.confirm(seoul).expect_err("the last");
    assert!(matches!(last, RegionsError::LastRegion(Seoul)), "{last:?}");
    let last = gates.arm(Seoul, Fault::Mute).expect_err("the last");
    assert!(matches!(last, RegionsError::LastRegion(Seoul)), "{last:?}");
    assert_eq!(faults(&gates, Seoul), []);
    // What leaves it open is welcome, and so is more for the one that is away.
    take_away(&gates, Seoul, LOST).expect("open all the same");
    take_away(&gates, Tokyo, Fault::Hung).expect("it is away already");

    let forced = gates.arm_forced(Seoul, Fault::Closed).expect("arms");
    gates.confirm(forced).expect("forced");
    let status = gates.status();
    assert!(status.regions.iter().all(|region| !region.open));
    gates.restore_all();
    let status = gates.status();
    assert!(status.regions.iter().all(|region| region.open));
    assert!(status.regions.iter().all(|region| region.faults.is_empty()));
}

#[tokio::test]
async fn a_restored_region_is_not_taken_away_by_what_was_armed_before() {
    let gates = tokyo_and_seoul().await;
    let restores: [fn(&RegionalGates); 2] = [
        |gates| gates.restore(Tokyo).expect("a gate"),
        RegionalGates::restore_all,
    ];
    for restore in restores {
        let token = gates.arm(Tokyo, Fault::Closed).expect("arms");
        restore(&gates);
        let gone = gates.confirm(token).expect_err("not armed");
        assert!(matches!(gone, RegionsError::Arm(ArmError::Unknown)));
    }
}

#[tokio::test]
async fn faults_and_regions_that_cannot_be_are_refused_when_arming() {
    let gates = tokyo_and_seoul().await;
    let never = Fault::LostCommit { percent: 0 };
    let no = gates.arm(Tokyo, never).expect_err("no measure");
    assert!(matches!(no, RegionsError::Fault(FaultError::Percent)));
    let no = gates.arm(Frankfurt, Fault::Closed).expect_err("no gate");
    assert!(matches!(no, RegionsError::UnknownRegion(Frankfurt)));
    assert!(gates.set(Frankfurt, &[]).is_err());
    assert!(gates.restore(Frankfurt).is_err());
}

#[tokio::test]
async fn the_status_is_data() {
    let gates = tokyo_and_seoul().await;
    gates.set(Tokyo, &[LOST]).expect("leaves it open");
    std::thread::sleep(Duration::from_millis(3));
    gates.arm(Seoul, Fault::Hung).expect("arms");
    take_away(&gates, Tokyo, Fault::Hung).expect("Seoul is open");
    let status = gates.status();
    let [tokyo, seoul] = &*status.regions else {
        panic!("two Regions: {status:?}");
    };
    assert_eq!((tokyo.open, seoul.open), (false, true));
    assert_eq!(tokyo.faults, [Fault::Hung, LOST]);
    assert!(tokyo.since_ms >= 3 && tokyo.since_ms <= status.at_ms);
    assert!(seoul.since_ms < tokyo.since_ms);
    assert_eq!(tokyo.armed, None);
    let armed = seoul.armed.expect("armed");
    assert_eq!(armed.fault, Fault::Hung);
    assert!((1..=10_000).contains(&armed.valid_ms));

    let data = serde_json::to_value(&status).expect("serialises");
    let tokyo = &data["regions"][0];
    assert_eq!(tokyo["region"], "ap-northeast-1");
    assert_eq!(tokyo["faults"][1]["fault"], "lost_commit");
    assert_eq!(tokyo["counters"]["connections"], 0);
    assert!(!data.to_string().contains("secret"), "no URL in it");
}

#[test]
fn a_seed_repeats_and_each_region_draws_for_itself() {
    let three = |seed| seeds_of(seed).take(3).collect::<Vec<_>>();
    let [tokyo, seoul, frankfurt] = *three(5) else {
        panic!("three Regions");
    };
    assert!(tokyo != seoul && seoul != frankfurt && tokyo != frankfurt);
    assert_eq!(three(5), [tokyo, seoul, frankfurt]);
    assert_ne!(three(6), [tokyo, seoul, frankfurt]);
}
