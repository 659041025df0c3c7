//! Sessions that end while their sockets are open: by stepping out on one of two nodes, and by
//! running out. Their sockets close on both (S2 of the security plan).
#![cfg(feature = "local")]

mod common;

use common::web::{Answer, Browser, Served, Socket, folder, request};
use server::local::attach_running;
use shared::live::{Channel, ClientFrame, ServerMessage, close_code};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

/// What only somebody's own wallet shows.
const WALLET: &str = "data-testid=\"topup-form\"";

/// How long a socket may outlive its session.
const OUTLIVES: Duration = Duration::from_secs(5);

/// Waits for the close of every socket; answers how long the last one took.
async fn all_close(since: Instant, sockets: Vec<&mut Socket>) -> Duration {
    for socket in sockets {
        let close = tokio::time::timeout(OUTLIVES * 4, socket.closes());
        assert_eq!(close.await.expect("closes"), close_code::POLICY);
    }
    since.elapsed()
}

async fn is_open(socket: &mut Socket) -> bool {
    socket.send(&ClientFrame::Ping { id: 7 }).await;
    loop {
        match socket.next_or_end().await {
            Some(ServerMessage::Pong { id: 7 }) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

/// The same browser as another node sees it.
fn beside(browser: &Browser, node: &Served) -> Browser {
    Browser {
        address: node.address.clone(),
        origin: format!("http://{}", node.address),
        cookie: browser.cookie.clone(),
    }
}

async fn add(browser: &Browser, handle: &str) -> Answer {
    let form = format!("handle={handle}&region=eu-west-1&next=%2F");
    browser.post("/api/step-in", &form).await
}

async fn step_out(browser: &Browser, handle: &str) -> Answer {
    let form = format!("handle={handle}&acting_as=lena&acting_in=eu-west-1");
    browser.post("/api/step-out", &form).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stepping_out_closes_the_sockets_of_every_node() {
    let folder = folder();
    let (here, there) = (
        Served::start(folder.path(), &[]),
        Served::start(folder.path(), &[]),
    );
    let browser = Browser::step_in(&here.address, "lena").await;
    assert_eq!(add(&browser, "kenji").await.status, 303);
    let far = beside(&browser, &there);
    let stranger = Browser::step_in(&there.address, "lena").await;
    let mut own = browser.socket("lena").await;
    let mut remote = far.socket("lena").await;
    let mut kenji = far.socket("kenji").await;
    let mut guest = far.socket("nobody").await;
    let mut elsewhere = stranger.socket("lena").await;
    for socket in [&mut own, &mut remote] {
        socket.join(Channel::Me).await;
    }

    let page = browser.get("/sessions?as=lena").await;
    assert_eq!(page.status, 200);
    for handle in ["lena", "kenji", "all"] {
        assert!(
            page.body.contains(&format!("step-out-{handle}")),
            "{handle}"
        );
    }
    assert!(far.get("/wallet?as=lena").await.body.contains(WALLET));
    let since = Instant::now();
    let out = step_out(&browser, "lena").await;
    assert_eq!(out.status, 303, "{out:?}");
    assert_eq!(out.headers["location"], "/sessions?in=eu-west-1");
    // Late enough for the other node to have read the session just before.
    let mut late = far.socket("lena").await;
    let own_took = all_close(since, vec![&mut own]).await;
    let took = all_close(since, vec![&mut remote]).await;
    eprintln!("stepped out: own node {own_took:?}, other node {took:?}");
    assert!(own_took < Duration::from_secs(1), "{own_took:?}");
    assert!(took < OUTLIVES, "{took:?}");
    // It is a guest's, or closes like the others.
    if late.next().await != (ServerMessage::Hello { acting: None }) {
        let took = all_close(since, vec![&mut late]).await;
        assert!(took < OUTLIVES, "{took:?}");
    }
    tokio::time::sleep(OUTLIVES.saturating_sub(since.elapsed())).await;
    assert!(!far.get("/wallet?as=lena").await.body.contains(WALLET));
    for socket in [&mut kenji, &mut guest, &mut elsewhere] {
        assert!(is_open(socket).await, "only that session ended");
    }

    // Stepping in again is a session of its own.
    assert_eq!(add(&browser, "lena").await.status, 303);
    let mut again = browser.socket("lena").await;
    again.join(Channel::Me).await;
    let since = Instant::now();
    assert_eq!(step_out(&far, "").await.status, 303);
    let took = all_close(since, vec![&mut again, &mut kenji]).await;
    assert!(took < OUTLIVES, "{took:?}");
    while !browser.get("/sessions").await.body.contains("no-sessions") {
        assert!(since.elapsed() < OUTLIVES, "the other node knows it too");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Nothing is left to end, which is fine.
    assert_eq!(step_out(&browser, "lena").await.status, 303);
    let forged = request(&here.address, "POST", "/api/step-out", &[], "").await;
    assert_eq!(forged.status, 403, "no page of ours sent it: {forged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_runs_out_closes_its_sockets() {
    let folder = folder();
    let node = Served::start(folder.path(), &[]);
    let lena = Browser::step_in(&node.address, "lena").await;
    let kenji = Browser::step_in(&node.address, "kenji").await;
    let mut gone = lena.socket("lena").await;
    let mut stays = kenji.socket("kenji").await;
    let stores = attach_running(folder.path()).await.expect("runs");
    let mut raw = PgConnection::connect(&stores.database_url)
        .await
        .expect("connects");
    let since = Instant::now();
    let run_out = sqlx::query(
        "UPDATE browser_sessions s SET expires_at_ms = (extract(epoch FROM now()) * 1000)::bigint
         FROM principals p WHERE p.principal_id = s.principal_id AND p.handle = 'lena'",
    );
    let run_out = run_out.execute(&mut raw).await.expect("writes");
    assert_eq!(run_out.rows_affected(), 1);
    let took = all_close(since, vec![&mut gone]).await;
    assert!(took < OUTLIVES, "{took:?}");
    assert!(is_open(&mut stays).await);
}
