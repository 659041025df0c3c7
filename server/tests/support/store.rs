//! An embedded `DynamoDB` on a free loopback port, which can go away and come back.
#![allow(dead_code, reason = "each test file uses what it needs")]

use dynoxide::Database;
use serde_json::Value;
use server::clock::Clock;
use server::firehose::{Firehose, FirehoseConfig};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;

pub struct Store {
    database: Database,
    address: SocketAddr,
    /// A runtime of its own: when it ends, so do all connections.
    runtime: Option<Runtime>,
}

impl Store {
    pub fn start() -> Self {
        let mut store = Self {
            database: Database::memory().expect("a database in memory"),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            runtime: None,
        };
        store.listen();
        store
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A firehose over a table of this store.
    pub async fn firehose(&self, table: &str, clock: &Arc<Clock>) -> Firehose {
        let config = FirehoseConfig {
            table: table.to_owned(),
            endpoint: Some(self.endpoint()),
        };
        Firehose::connect(config, Arc::clone(clock)).await
    }

    /// Whether any item has this text in a value.
    pub fn holds(&self, text: &str) -> bool {
        let names = self.database.list_tables(Default::default());
        let names = names.expect("tables").table_names;
        names.into_iter().any(|table| {
            let request = serde_json::from_value(serde_json::json!({ "TableName": table }));
            let items = self.database.scan(request.expect("a request"));
            format!("{:?}", items.expect("scans").items).contains(text)
        })
    }

    /// The keys of a table's partitions.
    pub fn partitions(&self, table: &str) -> BTreeSet<String> {
        let request = serde_json::from_value(serde_json::json!({ "TableName": table }));
        let scanned = self.database.scan(request.expect("a request"));
        let items = serde_json::to_value(scanned.expect("scans").items).expect("JSON");
        let items = items.as_array().expect("items");
        let key = |item: &Value| item["pk"]["S"].as_str().expect("a key").to_owned();
        items.iter().map(key).collect()
    }

    /// Breaks every connection and refuses new ones; what is stored stays.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Listens, after the first time at the same address.
    pub fn listen(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = runtime.enter();
        let listener = listener(self.address);
        self.address = listener.local_addr().expect("an address");
        let database = self.database.clone();
        tokio::spawn(dynoxide::server::serve_on(listener, database));
        drop(entered);
        self.runtime = Some(runtime);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listener(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("reuse");
    socket.bind(address).expect("a free port");
    socket.listen(64).expect("listens")
}
