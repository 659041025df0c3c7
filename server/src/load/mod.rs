//! A load generator for this machine: HTTP/1.1 over connections that stay open.
//!
//! It shares the cores with the server that it measures, so it is kept light: one thread, a task a
//! connection, and nothing done a request that is not needed. It refuses every address but the
//! loopback's, since it could do harm elsewhere.
//!
//! A closed loop sends the next request when the last is answered, and measures what the server can
//! do. An open loop sends each request at its time, and counts its latency from that time even when
//! no connection was free for it: so a server that stalls is not spared by a generator that waits.

mod connection;
mod measured;
mod run;
mod wire;

pub use connection::Broken;
pub use measured::Measured;
pub use run::Then;

use http::{Request, StatusCode};
use hyper::body::Bytes;
use measured::Tally;
use run::{Run, Turn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections at most. Both ends of each are open files when the server is in this process, and
/// 1,024 of those are usually allowed; the rest is for the database and the files.
pub const MAX_CONNECTIONS: u16 = 480;

/// A server that answers nothing for so long has stalled, and the run is ended.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// How long answers that are on their way when a run is stopped are waited for.
const AFTER_STOP: Duration = Duration::from_secs(2);

/// Why no load was made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address is another machine's.
    #[error("{0} is not on the loopback, and load is made for this machine only")]
    NotLoopback(SocketAddr),
    /// Too many or none.
    #[error("{0} connections asked for, 1 to {MAX_CONNECTIONS} are possible")]
    Connections(u16),
    /// The rate is zero.
    #[error("a rate of zero was asked for")]
    NoRate,
    /// The server is not there.
    #[error("opening the connections")]
    Connect(#[source] Broken),
    /// No thread, runtime or memory to be had.
    #[error("preparing to make load")]
    Prepare(#[source] io::Error),
}

/// Whom a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server's address, on the loopback.
    pub address: SocketAddr,
    /// Connections, each with one request at a time.
    pub connections: u16,
}

/// A run whose requests carry keys, so that one without an answer is sent again until it has one.
#[derive(Clone, Debug)]
pub struct Insistent {
    /// The servers, on the loopback. Connections begin at them in turn, and one that breaks goes on
    /// at the next.
    pub addresses: Vec<SocketAddr>,
    /// Connections in all, each with one request at a time.
    pub connections: u16,
    /// Requests.
    pub requests: u64,
    /// Requests a second, each at its time; as fast as they are answered if not said.
    pub per_second: Option<u32>,
    /// Ends the run; what is on its way is answered or not.
    pub stop: CancellationToken,
}

/// When a closed loop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many requests.
    Requests(u64),
    /// After so long; what was sent by then is still waited for.
    Elapsed(Duration),
}

/// How fast an open loop sends, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Requests a second, evenly.
    pub per_second: u32,
    /// How long. Requests that are late are sent all the same.
    pub duration: Duration,
}

/// Sends the next request whenever a connection is free. Each connection has one on its way.
///
/// `make_request` is given the request's number, from zero, and names the path only; `sink` is
/// given the number again with the answer.
///
/// # Errors
/// When the address is another machine's or nobody listens there.
pub async fn closed_loop(
    target: Target,
    until: Until,
    make_request: impl Fn(u64) -> Request<Bytes> + Send + Sync + 'static,
    sink: impl Fn(u64, StatusCode, &[u8]) + Send + Sync + 'static,
) -> Result<Measured, LoadError> {
    let turn = match until {
        Until::Requests(requests) => Turn::Requests(requests),
        Until::Elapsed(longest) => Turn::Elapsed(longest),
    };
    start(target, turn, (Box::new(make_request), always_next(sink))).await
}

/// Sends every request until there is an answer that decides it: whatever breaks, and whatever
/// `judge` wants to hear again. A latency counts from the first time a request was sent, or was due.
///
/// `make_request` is that of [`closed_loop`]; `judge` is given what its `sink` is given.
///
/// # Errors
/// When an address is another machine's or nobody listens there, or the rate is zero.
pub async fn insist(
    plan: Insistent,
    make_request: impl Fn(u64) -> Request<Bytes> + Send + Sync + 'static,
    judge: impl Fn(u64, StatusCode, &[u8]) -> Then + Send + Sync + 'static,
) -> Result<Measured, LoadError> {
    let requests = plan.requests;
    let turn = match plan.per_second {
        Some(0) => return Err(LoadError::NoRate),
        Some(per_second) => Turn::Paced {
            per_second,
            requests,
        },
        None => Turn::Requests(requests),
    };
    let ends: Ends = (Box::new(make_request), Box::new(judge));
    let to = (plan.addresses, plan.connections);
    begin(to, true, turn, ends, plan.stop).await
}

type Ends = (run::Make, run::Judge);

fn always_next(sink: impl Fn(u64, StatusCode, &[u8]) + Send + Sync + 'static) -> run::Judge {
    Box::new(move |sequence, status, body| {
        sink(sequence, status, body);
        Then::Next
    })
}

/// Sends each request at its time. Its latency counts from then.
///
/// `make_request` and `sink` are those of [`closed_loop`].
///
/// # Errors
/// When the address is another machine's or nobody listens there.
pub async fn open_loop(
    target: Target,
    pace: Pace,
    make_request: impl Fn(u64) -> Request<Bytes> + Send + Sync + 'static,
    sink: impl Fn(u64, StatusCode, &[u8]) + Send + Sync + 'static,
) -> Result<Measured, LoadError> {
    if pace.per_second == 0 {
        return Err(LoadError::NoRate);
    }
    let requests = u128::from(pace.per_second) * pace.duration.as_millis() / 1_000;
    let turn = Turn::Paced {
        per_second: pace.per_second,
        requests: u64::try_from(requests).unwrap_or(u64::MAX),
    };
    start(target, turn, (Box::new(make_request), always_next(sink))).await
}

/// Runs in a thread of its own, so that it takes nothing from the runtime that serves.
async fn start(target: Target, turn: Turn, ends: Ends) -> Result<Measured, LoadError> {
    let to = (vec![target.address], target.connections);
    begin(to, false, turn, ends, CancellationToken::new()).await
}

async fn begin(
    (addresses, connections): (Vec<SocketAddr>, u16),
    insists: bool,
    turn: Turn,
    ends: Ends,
    stop: CancellationToken,
) -> Result<Measured, LoadError> {
    if let Some(far) = addresses.iter().find(|address| !address.ip().is_loopback()) {
        return Err(LoadError::NotLoopback(*far));
    }
    if addresses.is_empty() || connections == 0 || connections > MAX_CONNECTIONS {
        return Err(LoadError::Connections(connections));
    }
    let tally = Tally::new().map_err(|error| LoadError::Prepare(io::Error::other(error)))?;
    let run = Run::new(addresses, insists, turn, tally, ends);
    tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LoadError::Prepare)?
            .block_on(drive(run, turn, usize::from(connections), stop))
    })
    .await
    .map_err(|error| LoadError::Prepare(io::Error::other(error)))?
}

async fn drive(
    mut run: Run,
    turn: Turn,
    connections: usize,
    stop: CancellationToken,
) -> Result<Measured, LoadError> {
    let mut streams = Vec::with_capacity(connections);
    for place in 0..connections {
        let stream = connection::connect(&run, place).await;
        streams.push(stream.map_err(LoadError::Connect)?);
    }
    run.start_clock();
    let run = Arc::new(run);
    let mut tasks = JoinSet::new();
    for (place, stream) in streams.into_iter().enumerate() {
        tasks.spawn(connection::serve(Arc::clone(&run), place, stream));
    }
    if let Turn::Paced {
        per_second,
        requests,
    } = turn
    {
        let paced = Arc::clone(&run);
        thread::Builder::new()
            .name("pace".to_owned())
            .spawn(move || paced.keep_pace(per_second, requests, connections))
            .map_err(LoadError::Prepare)?;
    }
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => {}
        () = stalled(&run) => {}
        () = stop.cancelled() => {
            run.end();
            let rest = async { while tasks.join_next().await.is_some() {} };
            let _ended = tokio::time::timeout(AFTER_STOP, rest).await;
        }
    }
    run.end();
    let elapsed = run.elapsed();
    Ok(run.with_tally(|tally| Measured::new(tally, run.requests(), elapsed)))
}

/// Resolves when nothing was answered for long.
async fn stalled(run: &Run) {
    let mut before = None;
    loop {
        let answered = run.with_tally(|tally| tally.answered);
        if before == Some(answered) {
            return;
        }
        before = Some(answered);
        tokio::time::sleep(STALLED_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::post;
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;
    use tokio::net::TcpListener;

    fn echo(sequence: u64) -> Request<Bytes> {
        Request::post("/echo")
            .body(Bytes::from(sequence.to_string()))
            .expect("a request")
    }

    /// Answers the request's body; every third is refused, in a long body.
    async fn answer(body: String) -> (StatusCode, String) {
        let sequence: u64 = body.parse().expect("a number");
        if sequence.is_multiple_of(3) {
            (StatusCode::CONFLICT, body + &" ".repeat(100_000))
        } else {
            (StatusCode::CREATED, body)
        }
    }

    async fn serve(router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn to(address: SocketAddr, connections: u16) -> Target {
        Target {
            address,
            connections,
        }
    }

    #[tokio::test]
    async fn a_closed_loop_hands_over_every_answer_once_with_its_number() {
        let address = serve(Router::new().route("/echo", post(answer))).await;
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let sink = {
            let seen = Arc::clone(&seen);
            move |sequence: u64, status: StatusCode, body: &[u8]| {
                let text = String::from_utf8_lossy(body);
                assert_eq!(text.trim_end(), sequence.to_string());
                let long = sequence.is_multiple_of(3);
                assert_eq!(status == StatusCode::CONFLICT, long);
                assert_eq!(body.len() > 100_000, long);
                assert!(seen.lock().expect("held").insert(sequence), "{sequence}");
            }
        };
        let measured = closed_loop(to(address, 5), Until::Requests(301), echo, sink).await;
        let measured = measured.expect("runs");
        assert_eq!(*seen.lock().expect("held"), (0..301).collect());
        assert_eq!((measured.requests, measured.answered()), (301, 301));
        assert_eq!(measured.with_status(StatusCode::CONFLICT), 101);
        assert_eq!(measured.with_status(StatusCode::CREATED), 200);
        assert_eq!((measured.unanswered, measured.connection_errors), (0, 0));
        assert_eq!(measured.latencies().len(), 301);
        assert!(measured.p50_ms() > 0.0 && measured.p50_ms() <= measured.p999_ms());
    }

    #[tokio::test]
    async fn a_closed_loop_ends_after_its_time() {
        let address = serve(Router::new().route("/echo", post(answer))).await;
        let until = Until::Elapsed(Duration::from_millis(200));
        let measured = closed_loop(to(address, 2), until, echo, |_, _, _| {}).await;
        let measured = measured.expect("runs");
        assert!(measured.elapsed >= Duration::from_millis(200));
        assert!(measured.answered() > 0);
        assert_eq!(measured.answered(), measured.requests);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_open_loop_keeps_its_rate() {
        let address = serve(Router::new().route("/echo", post(answer))).await;
        let pace = Pace {
            per_second: 400,
            duration: Duration::from_millis(500),
        };
        let begun = Instant::now();
        let times = Arc::new(Mutex::new(Vec::new()));
        let make_request = {
            let times = Arc::clone(&times);
            move |sequence| {
                let at = begun.elapsed();
                times.lock().expect("held").push((sequence, at));
                echo(sequence)
            }
        };
        let measured = open_loop(to(address, 8), pace, make_request, |_, _, _| {}).await;
        let measured = measured.expect("runs");
        assert_eq!((measured.requests, measured.answered()), (200, 200));
        let times = times.lock().expect("held");
        for (sequence, at) in times.iter() {
            // Never early, by a clock that began before the loop; a busy machine may be late.
            let due = Duration::from_micros(2_500 * sequence);
            assert!(*at >= due, "{sequence} at {at:?}");
        }
    }

    /// Two connections, and every answer takes 50 ms: of 100 requests within a fifth of a second
    /// the last is answered after 2.5 s, and its latency says so.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn latency_counts_from_the_time_a_request_was_due() {
        let slow = async || {
            tokio::time::sleep(Duration::from_millis(50)).await;
            "late"
        };
        let address = serve(Router::new().route("/echo", post(slow))).await;
        let pace = Pace {
            per_second: 500,
            duration: Duration::from_millis(200),
        };
        let measured = open_loop(to(address, 2), pace, echo, |_, _, _| {}).await;
        let measured = measured.expect("runs");
        assert_eq!(measured.answered(), 100);
        assert!(measured.elapsed >= Duration::from_millis(2_500));
        assert!(measured.p999_ms() > 2_200.0, "{}", measured.p999_ms());
        assert!(measured.p50_ms() > 1_000.0, "{}", measured.p50_ms());
    }

    #[tokio::test]
    async fn a_connection_that_breaks_costs_its_request_and_is_made_again() {
        let router = Router::new().route(
            "/echo",
            post(async |body: String| {
                assert!(!body.ends_with('7'), "breaks the connection");
                body
            }),
        );
        let address = serve(router).await;
        let answers = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&answers);
        let count = move |_: u64, _: StatusCode, _: &[u8]| {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let measured = closed_loop(to(address, 3), Until::Requests(50), echo, count).await;
        let measured = measured.expect("runs");
        assert_eq!((measured.requests, measured.answered()), (50, 45));
        assert_eq!((measured.unanswered, measured.connection_errors), (5, 5));
        assert_eq!(answers.load(Ordering::Relaxed), 45);
    }

    /// Of two servers one hangs up on every second request and wants others again; the run goes on
    /// until each has the answer that counts, once.
    #[tokio::test]
    async fn a_run_that_insists_has_every_answer() {
        let asked = Arc::new(AtomicU64::new(0));
        let moody = {
            let asked = Arc::clone(&asked);
            async move |body: String| {
                let turn = asked.fetch_add(1, Ordering::Relaxed);
                assert!(!turn.is_multiple_of(2), "breaks the connection");
                if turn.is_multiple_of(3) {
                    (StatusCode::SERVICE_UNAVAILABLE, body)
                } else {
                    (StatusCode::CREATED, body)
                }
            }
        };
        let moody = serve(Router::new().route("/echo", post(moody))).await;
        let calm = async |body: String| (StatusCode::CREATED, body);
        let calm = serve(Router::new().route("/echo", post(calm))).await;
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let judge = {
            let seen = Arc::clone(&seen);
            move |sequence: u64, status: StatusCode, body: &[u8]| {
                assert_eq!(String::from_utf8_lossy(body), sequence.to_string());
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    return Then::Again;
                }
                assert!(seen.lock().expect("held").insert(sequence), "{sequence}");
                Then::Next
            }
        };
        let plan = Insistent {
            addresses: vec![moody, calm],
            connections: 4,
            requests: 60,
            per_second: None,
            stop: CancellationToken::new(),
        };
        let measured = insist(plan, echo, judge).await.expect("runs");
        assert_eq!(*seen.lock().expect("held"), (0..60).collect());
        assert_eq!((measured.answered(), measured.unanswered), (60, 0));
        assert_eq!(measured.with_status(StatusCode::CREATED), 60);
        assert!(measured.resent > 0 && measured.connection_errors > 0);
    }

    #[tokio::test]
    async fn a_run_that_is_stopped_ends() {
        let address = serve(Router::new().route("/echo", post(answer))).await;
        let stop = CancellationToken::new();
        let plan = Insistent {
            addresses: vec![address],
            connections: 2,
            requests: u64::MAX,
            per_second: None,
            stop: stop.clone(),
        };
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.cancel();
        };
        let run = insist(plan, echo, |_, _, _| Then::Next);
        let (measured, ()) = tokio::join!(run, stopping);
        let measured = measured.expect("runs");
        assert!(
            measured.answered() > 0 && measured.unanswered <= 2,
            "{measured:?}"
        );
    }

    #[tokio::test]
    async fn load_is_made_for_this_machine_only() {
        for address in ["192.0.2.1:80", "0.0.0.0:80", "[2001:db8::1]:80"] {
            let address: SocketAddr = address.parse().expect("an address");
            let refused = closed_loop(to(address, 1), Until::Requests(1), echo, |_, _, _| {}).await;
            assert!(
                matches!(refused, Err(LoadError::NotLoopback(_))),
                "{refused:?}"
            );
            let pace = Pace {
                per_second: 1,
                duration: Duration::from_secs(1),
            };
            let refused = open_loop(to(address, 1), pace, echo, |_, _, _| {}).await;
            assert!(
                matches!(refused, Err(LoadError::NotLoopback(_))),
                "{refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_is_said() {
        let nobody: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let until = Until::Requests(1);
        let none = closed_loop(to(nobody, 0), until, echo, |_, _, _| {}).await;
        assert!(matches!(none, Err(LoadError::Connections(0))), "{none:?}");
        let refused = closed_loop(to(nobody, 1), until, echo, |_, _, _| {}).await;
        assert!(matches!(refused, Err(LoadError::Connect(_))), "{refused:?}");
        let pace = Pace {
            per_second: 0,
            duration: Duration::from_secs(1),
        };
        let refused = open_loop(to(nobody, 1), pace, echo, |_, _, _| {}).await;
        assert!(matches!(refused, Err(LoadError::NoRate)), "{refused:?}");
    }
}
