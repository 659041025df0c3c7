//! A ledger on a real PostgreSQL for each test: the stores are shared by all tests of the machine,
//! the database is the test's own and is dropped with it.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod auction;
pub mod checkout;
pub mod halt;
pub mod web;

use app::ports::Actor;
use server::clock::Clock;
use server::events::HouseEvent;
use server::ids;
use server::ledger::Ledger;
use server::ledger::audit::{self, Finding};
use server::ledger::endpoint::Endpoints;
use server::ledger::lots::{NewLot, NewTerms};
use server::ledger::schema;
use server::local::{Attached, attach_with};
use shared::auction::{Dutch, Increments};
use shared::view::{LotView, Person, WalletView};
use shared::{Currency, LotId, Money, PrincipalId, Region};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).expect("in range")
}

/// The stores that every test of this checkout shares.
pub async fn stores() -> Attached {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stores");
    let program = Path::new(env!("CARGO_BIN_EXE_lotzero"));
    attach_with(program, &folder)
        .await
        .expect("the stores start")
}

/// How long something that happens by itself may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until the answer is yes; says what it waited for if it never is.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A database of the test's own.
pub struct Database {
    pub url: String,
    pub stores: Attached,
    name: String,
}

impl Database {
    pub async fn create() -> Self {
        let stores = stores().await;
        let name = format!("test_{}", ids::event().uuid().simple());
        let mut admin = PgConnection::connect(&stores.database_url)
            .await
            .expect("connects");
        let create = format!("CREATE DATABASE {name}");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut admin)
            .await
            .expect("creates");
        let url = stores.database_url.as_str();
        let (server, settings) = url.split_once("/postgres?").expect("a URL");
        Self {
            url: format!("{server}/{name}?{settings}"),
            stores,
            name,
        }
    }

    /// Drops the database; a test that fails leaves it for a look.
    pub async fn drop(self) {
        let mut admin = PgConnection::connect(&self.stores.database_url)
            .await
            .expect("connects");
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut admin)
            .await
            .expect("drops");
    }

    /// Has a lot's time end now, so that a test need not race against it.
    pub async fn end_lot(&self, lot: LotId) {
        let mut raw = self.connect().await;
        let end = "UPDATE lots
                   SET closes_at_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 1
                   WHERE lot_id = $1";
        let ended = sqlx::query(end).bind(lot.uuid()).execute(&mut raw).await;
        assert_eq!(ended.expect("ends").rows_affected(), 1);
        raw.close().await.expect("closes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("connects")
    }

    pub async fn node(&self) -> Node {
        Node::at(&self.url, 16).await
    }
}

/// One node's ledger, with what it told after each commit.
pub struct Node {
    pub ledger: Arc<Ledger>,
    pub heard: Arc<Mutex<Vec<HouseEvent>>>,
}

impl Node {
    pub async fn at(url: &str, pool: u32) -> Self {
        let endpoints = Endpoints::postgres(url, pool).await.expect("connects");
        schema::apply(&endpoints).await.expect("the schema applies");
        Self::over(endpoints)
    }

    pub fn over(endpoints: Endpoints) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let ledger = Ledger::new(endpoints, Arc::new(Clock::new()), move |events| {
            ear.lock().expect("not poisoned").extend_from_slice(events);
        });
        Self { ledger, heard }
    }

    /// A person with `dollars` in their wallet.
    pub async fn person(&self, handle: &str, dollars: i64) -> Actor {
        let person = Person {
            id: PrincipalId::from_uuid(ids::event().uuid()),
            handle: handle.to_owned(),
            name: handle.to_owned(),
            simulated: false,
        };
        let stored = self
            .ledger
            .register(vec![person], true)
            .await
            .expect("registers");
        let person = stored.into_iter().next().expect("registered");
        let actor = Actor {
            person,
            region: Region::Tokyo,
        };
        if dollars > 0 {
            let amount = usd(dollars * 100);
            let port: &dyn app::ports::Ledger = self.ledger.as_ref();
            let done = port
                .top_up(&actor, ids::key(), amount)
                .await
                .expect("answers");
            done.outcome.expect("tops up");
        }
        actor
    }

    pub async fn wallet(&self, actor: &Actor) -> WalletView {
        let port: &dyn app::ports::Ledger = self.ledger.as_ref();
        let wallet = port
            .wallet(actor.person.id, Currency::Usd)
            .await
            .expect("answers");
        wallet.expect("has a wallet")
    }

    pub async fn put_up(&self, seller: &Actor, terms: NewTerms) -> LotView {
        self.put_up_for(seller, terms, 600_000).await
    }

    pub async fn put_up_for(&self, seller: &Actor, terms: NewTerms, duration_ms: i64) -> LotView {
        let lot = NewLot {
            id: ids::lot(),
            seller: seller.person.id,
            title: "A clock".into(),
            description: "It ticks.".into(),
            art: "clock".into(),
            currency: Currency::Usd,
            opens_in_ms: 0,
            duration_ms,
            listed: true,
            terms,
        };
        self.ledger.put_up(lot).await.expect("puts up")
    }

    pub async fn audit(&self) -> Vec<Finding> {
        self.ledger.audit().await.expect("audits")
    }

    /// Fails with the evidence unless every audit is clean.
    pub async fn assert_clean(&self) {
        let findings = self.audit().await;
        let broken: Vec<_> = findings
            .iter()
            .filter(|finding| finding.violations > 0)
            .collect();
        assert!(broken.is_empty(), "{broken:#?}");
        assert_eq!(findings.len(), audit::AUDITS.len());
    }
}

/// English: $10 opening, $1 increments, no reserve, 10 s soft close up to a minute.
pub fn english() -> NewTerms {
    NewTerms::English {
        opening: usd(1_000),
        increments: Increments::flat(100),
        reserve: None,
        extension_window_ms: 10_000,
        max_extension_ms: 60_000,
    }
}

/// Dutch: from $100 to $20 by $1 a second.
pub fn dutch() -> NewTerms {
    NewTerms::Dutch(Dutch {
        start: usd(10_000),
        floor: usd(2_000),
        step_minor: 100,
        tick_ms: 1_000,
    })
}

/// Drop: units at $5.
pub fn drop_of(units: u32, limit: Option<u32>) -> NewTerms {
    NewTerms::Drop {
        price: usd(500),
        units,
        limit,
    }
}

/// A lot that does not exist.
pub fn no_lot() -> LotId {
    ids::lot()
}
