//! The gate: a proxy in front of a PostgreSQL that understands its protocol and breaks things on
//! demand, most of all around COMMIT. For tests, proofs and Mission Control's Regions on one
//! machine; a build without the feature `local` has none.
//!
//! `wire` cuts bytes into messages, `session` knows what they mean, `fault` names what can go wrong,
//! `faults` holds what is set and armed, `counters` what came of it, `relay` moves the bytes.

mod counters;
mod fault;
mod faults;
mod relay;
mod session;
mod wire;

pub use counters::Counters;
pub use fault::{Conflict, Fault, FaultError, LoginRefusal, MAX_AGE_MS, MAX_LOGINS, MAX_SLOW_MS};

use faults::Switchboard;
use relay::Shared;
use session::{CommitFault, Failure};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A running gate and the handle to its faults; closes with everything in it when dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
    closed: CancellationToken,
}

impl Gate {
    /// Opens a gate on a free port of the loopback in front of `host:port`.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub async fn start(upstream: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(upstream.to_owned(), Switchboard::new(0)));
        let closed = CancellationToken::new();
        tokio::spawn(relay::accept(listener, Arc::clone(&shared), closed.clone()));
        Ok(Self {
            address,
            shared,
            closed,
        })
    }

    /// Opens a gate in front of the server that a database URL names.
    ///
    /// # Errors
    /// When the URL names none, or there is no port to be had.
    pub async fn before(database_url: &str) -> io::Result<Self> {
        let upstream = server_of(database_url).ok_or(io::ErrorKind::InvalidInput)?;
        Self::start(upstream).await
    }

    /// Where the gate listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database URL with this gate's host and port, and no other way past the gate; as it was
    /// if it has none.
    #[must_use]
    pub fn url(&self, database_url: &str) -> String {
        let Some(range) = host_and_port(database_url) else {
            return database_url.to_owned();
        };
        let mut url = database_url.to_owned();
        url.replace_range(range, &self.address.to_string());
        by_address(&url)
    }

    /// Puts these faults in the place of everything that is set or armed; none restores the gate.
    /// The generators of percentages and delays start anew, so that the same faults on the same
    /// traffic repeat. With [`Fault::Closed`], connections that are open are reset.
    ///
    /// # Errors
    /// When a measure is out of its bounds, a fault is there twice, or the percentages of COMMITs
    /// come to more than 100; then nothing has changed.
    pub fn set(&self, faults: &[Fault]) -> Result<(), FaultError> {
        self.shared.board.set(faults)?;
        if faults.contains(&Fault::Closed) {
            self.cut_connections();
        }
        Ok(())
    }

    /// Adds a fault to what is set, in the place of one like it.
    ///
    /// # Errors
    /// As [`Gate::set`].
    pub fn add(&self, fault: Fault) -> Result<(), FaultError> {
        self.shared.board.add(fault)?;
        if fault == Fault::Closed {
            self.cut_connections();
        }
        Ok(())
    }

    /// The faults that are set, each once; COMMITs that are armed one by one are not among them.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.board.faults()
    }

    /// When faults were last set or taken back, or else when the gate was opened.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.shared.board.since()
    }

    /// Starts the generators of percentages and delays from this seed, now and with every
    /// [`Gate::set`]; without it, from 0.
    pub fn seed(&self, seed: u64) {
        self.shared.board.seed(seed);
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.shared.board.open()
    }

    /// The next `times` COMMITs: the connection is reset and the server never hears of them.
    pub fn cut_before_commit(&self, times: usize) {
        self.shared
            .board
            .arm_commits(times, &CommitFault::CutBefore);
    }

    /// The next `times` COMMITs: the server answers, and the connection is reset in the answer's
    /// place.
    pub fn cut_after_commit(&self, times: usize) {
        self.shared.board.arm_commits(times, &CommitFault::CutAfter);
    }

    /// The next `times` COMMITs: rolled back, and answered with that SQLSTATE.
    pub fn fail_commit_with(&self, times: usize, sqlstate: &str) {
        let fault = CommitFault::Fail(Failure::of(sqlstate));
        self.shared.board.arm_commits(times, &fault);
    }

    /// The nth statement from now, 1 being the next (BEGIN is one, COMMIT and ROLLBACK are none): the
    /// connection is reset before the server hears of it.
    pub fn cut_statement(&self, nth: u64) {
        self.shared.board.arm_cut(nth.max(1));
    }

    /// [`Fault::NthStatementConflict`]: the nth statement from now, 1 being the next.
    pub fn fail_statement(&self, nth: u64) {
        self.switch(
            Fault::NthStatementConflict {
                nth: nth.max(1),
                conflict: Conflict::Rows,
            },
            true,
        );
    }

    /// [`Fault::Refusing`], or its end: new connections are turned away.
    pub fn refuse_connections(&self, refuse: bool) {
        self.switch(Fault::Refusing, refuse);
    }

    /// Resets every connection that is open now.
    pub fn cut_connections(&self) {
        self.shared.cut();
    }

    /// [`Fault::Slow`] without jitter, in whole milliseconds, at most [`MAX_SLOW_MS`]; zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.switch(faults::always_slow(delay), !delay.is_zero());
    }

    /// [`Fault::Hung`], or its end.
    pub fn hang(&self, hang: bool) {
        self.switch(Fault::Hung, hang);
    }

    fn switch(&self, fault: Fault, on: bool) {
        self.shared.board.switch(fault, on);
    }

    /// Takes back everything that is set or armed.
    pub fn disarm(&self) {
        self.shared.board.disarm();
    }

    /// What took effect so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.board.counters()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.closed.cancel();
        self.cut_connections();
    }
}

/// The server that a URL names, such as `127.0.0.1:5432`.
#[must_use]
pub fn server_of(url: &str) -> Option<&str> {
    host_and_port(url).and_then(|range| url.get(range))
}

/// Settings of a URL that win over the server which it names in front.
pub(super) const ELSEWHERE: [&str; 3] = ["host", "hostaddr", "port"];

/// A URL that leads to the server which it names in front, and nowhere else: without the settings that
/// would win over that, such as the folder of a Unix socket.
#[must_use]
pub fn by_address(database_url: &str) -> String {
    let Some((server, settings)) = database_url.split_once('?') else {
        return database_url.to_owned();
    };
    let leads_elsewhere = |setting: &str| {
        let name = setting.split('=').next().unwrap_or_default();
        ELSEWHERE.contains(&name)
    };
    let kept: Vec<&str> = settings
        .split('&')
        .filter(|setting| !leads_elsewhere(setting))
        .collect();
    if kept.is_empty() {
        server.to_owned()
    } else {
        format!("{server}?{}", kept.join("&"))
    }
}

/// Where a URL names its server: between the password and the path.
fn host_and_port(url: &str) -> Option<Range<usize>> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let user = authority.rfind('@').map_or(0, |at| at + 1);
    let start = scheme.len() + "://".len();
    (authority.len() > user).then(|| start + user..start + authority.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_everything_but_host_and_port() {
        let found = server_of;
        let plain = "postgres://u:p@127.0.0.1:5432/postgres?sslmode=disable";
        assert_eq!(found(plain), Some("127.0.0.1:5432"));
        assert_eq!(found("postgres://db:1/x"), Some("db:1"));
        assert_eq!(found("postgres://u:a@b@db:1"), Some("db:1"));
        assert_eq!(found("postgres://u@db?x=/@"), Some("db"));
        assert_eq!(found("postgres:///x"), None);
        assert_eq!(found("nonsense"), None);
    }

    #[tokio::test]
    async fn a_gate_rewrites_urls_to_itself() {
        let gate = Gate::before("postgres://u:p@127.0.0.1:1/postgres")
            .await
            .expect("open");
        let address = gate.address();
        for (settings, kept) in [
            ("?a=b", "?a=b"),
            ("?a=b&host=/run/x&c=d", "?a=b&c=d"),
            ("?host=/run/x", ""),
            ("?hostaddr=10.0.0.1&port=2&hosts=x", "?hosts=x"),
            ("", ""),
        ] {
            let url = gate.url(&format!("postgres://u:p@127.0.0.1:1/postgres{settings}"));
            assert_eq!(url, format!("postgres://u:p@{address}/postgres{kept}"));
        }
    }
}
