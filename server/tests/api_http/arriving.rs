//! How requests arrive: in pieces, without end, as no text at all.

use crate::caller::{Site, assert_none, wrong};
use crate::common::web::exchange;
use std::time::{Duration, Instant};

const BODY: &str =
    "{\"agent_id\":\"me\",\"quantity\":1,\"max_price_minor\":100,\"currency\":\"USD\"}";

#[tokio::test]
async fn a_body_may_come_in_any_way_but_not_without_end() {
    let site = Site::start();
    let address = site.node.address.as_str();
    let head = format!(
        "POST /v1/sandbox/commit HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Idempotency-Key: k\r\n"
    );
    let mut mistakes = Vec::new();
    // In pieces, without a length.
    let pieces = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let small = format!("{head}Transfer-Encoding: chunked\r\n\r\n{pieces}");
    let first = exchange(address, small.as_bytes()).await;
    assert_eq!(first.status, 201, "{first:?}");
    // Exactly 64 KiB is not too much.
    let padded = format!("{BODY}{}", " ".repeat(64 * 1_024 - BODY.len()));
    let exact = format!("{head}Content-Length: {}\r\n\r\n{padded}", padded.len());
    let again = exchange(address, exact.as_bytes()).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    let piece = format!("400\r\n{}\r\n", " ".repeat(1_024));
    let large = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{}",
        piece.repeat(65)
    );
    let answer = exchange(address, large.as_bytes()).await;
    mistakes.extend(wrong(&answer, 413, "too_large", "in pieces"));
    let mut bytes = format!("{head}Content-Length: 16\r\n\r\n").into_bytes();
    bytes.extend(b"{\"agent_id\":\"\xff\"}");
    let answer = exchange(address, &bytes).await;
    mistakes.extend(wrong(&answer, 400, "malformed", "no UTF-8"));
    // A compressed body is bytes like any other: nothing is unpacked.
    let packed = format!("{head}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
    let answer = exchange(address, packed.as_bytes()).await;
    mistakes.extend(wrong(&answer, 400, "malformed", "packed"));
    let began = Instant::now();
    let slow = format!("{head}Content-Length: 100\r\n\r\n{{");
    let answer = exchange(address, slow.as_bytes()).await;
    mistakes.extend(wrong(&answer, 408, "too_slow", "half a body"));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert_none(&mistakes);
}

/// What the HTTP library refuses by itself, before any route.
#[tokio::test]
async fn what_is_no_request_is_refused() {
    let site = Site::start();
    let address = site.node.address.as_str();
    let host = "Host: a\r\nConnection: close\r\n";
    let headers: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    let path = "a".repeat(66_000);
    for (request, status) in [
        (
            format!("GET /v1/wallet HTTP/1.1\r\n{host}{headers}\r\n"),
            431,
        ),
        (format!("GET /v1/{path} HTTP/1.1\r\n{host}\r\n"), 414),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (
            format!("POST /v1/items HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n"),
            400,
        ),
    ] {
        let answer = exchange(address, request.as_bytes()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}
