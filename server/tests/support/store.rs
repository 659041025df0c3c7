//! An embedded DynamoDB on a free loopback port, which can go away and come back.

use dynoxide::Database;
use server::clock::Clock;
use server::firehose::{Firehose, FirehoseConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

pub struct Store {
    database: Database,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Store {
    pub async fn start() -> Self {
        let database = Database::memory().expect("a database in memory");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = serve(listener, &database);
        Self {
            database,
            address,
            server,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A firehose over a table of this store.
    pub async fn other_table(&self, table: &str, clock: Arc<Clock>) -> Firehose {
        let config = FirehoseConfig {
            table: table.to_owned(),
            endpoint: Some(self.endpoint()),
        };
        Firehose::connect(config, clock).await
    }

    /// Refuses connections from now on; what is stored stays.
    pub async fn stop_listening(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Listens again, at the same address.
    pub async fn listen_again(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("reuse");
        socket.bind(self.address).expect("the same port");
        let listener = socket.listen(64).expect("listens");
        self.server = serve(listener, &self.database);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn serve(listener: TcpListener, database: &Database) -> JoinHandle<()> {
    let database = database.clone();
    tokio::spawn(async move {
        dynoxide::server::serve_on(listener, database).await;
    })
}
