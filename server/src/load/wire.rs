//! HTTP/1.1 as the load generator speaks it: a request in one write, and an answer that says how
//! long it is. A full client costs half as much again, and that would be taken from the server that
//! is measured.

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{Request, StatusCode};
use hyper::body::Bytes;
use std::io::Write as _;

/// Headers of an answer at most.
const MAX_HEADERS: usize = 32;

/// Why an answer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It is no HTTP/1.1.
    #[error("the answer is no HTTP")]
    Malformed(#[from] httparse::Error),
    /// It does not say how long it is.
    #[error("the answer has no length")]
    NoLength,
    /// There is more than was asked for.
    #[error("the server says more than it was asked")]
    Unasked,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: StatusCode,
    /// Bytes of the head.
    pub length: usize,
    /// Bytes of the body.
    pub body: usize,
    /// Whether the server ends the connection after it.
    pub is_last: bool,
}

/// Writes a request as it is sent.
pub fn encode(request: &Request<Bytes>, host: &str, into: &mut Vec<u8>) {
    let target = request.uri().path_and_query();
    into.extend_from_slice(request.method().as_str().as_bytes());
    into.push(b' ');
    into.extend_from_slice(target.map_or("/", |target| target.as_str()).as_bytes());
    into.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    into.extend_from_slice(host.as_bytes());
    for (name, value) in request.headers() {
        into.extend_from_slice(b"\r\n");
        into.extend_from_slice(name.as_str().as_bytes());
        into.extend_from_slice(b": ");
        into.extend_from_slice(value.as_bytes());
    }
    // Writing to memory does not fail.
    let _written = write!(into, "\r\ncontent-length: {}\r\n\r\n", request.body().len());
    into.extend_from_slice(request.body());
}

/// Reads the head of an answer; `None` while there is more of it to come.
///
/// # Errors
/// When it is none, or has no length.
pub fn head(received: &[u8]) -> Result<Option<Head>, WireError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = answer.parse(received)? else {
        return Ok(None);
    };
    let status = answer.code.map(StatusCode::from_u16);
    let Some(Ok(status)) = status else {
        return Err(httparse::Error::Status.into());
    };
    let (mut body, mut is_last) = (None, false);
    for header in answer.headers.iter() {
        if header.name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()) {
            body = std::str::from_utf8(header.value).ok();
        } else if header.name.eq_ignore_ascii_case(CONNECTION.as_str()) {
            is_last = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let body = body.and_then(|text| text.parse().ok());
    Ok(Some(Head {
        status,
        length,
        body: body.ok_or(WireError::NoLength)?,
        is_last,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_as_it_was_made() {
        let request = Request::post("/v1/x?y=1").header("idempotency-key", "k-1");
        let request = request.body(Bytes::from_static(b"{}")).expect("a request");
        let mut sent = Vec::new();
        encode(&request, "127.0.0.1:80", &mut sent);
        assert_eq!(
            String::from_utf8_lossy(&sent),
            "POST /v1/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:80\r\nidempotency-key: k-1\r\n\
             content-length: 2\r\n\r\n{}"
        );
    }

    #[test]
    fn an_answer_is_read_once_its_head_is_there() {
        let text = b"HTTP/1.1 409 Conflict\r\nContent-Length: 12\r\nconnection: Close\r\n\r\n{";
        for cut in 0..text.len() - 1 {
            assert_eq!(head(&text[..cut]), Ok(None), "{cut}");
        }
        let expected = Head {
            status: StatusCode::CONFLICT,
            length: text.len() - 1,
            body: 12,
            is_last: true,
        };
        assert_eq!(head(text), Ok(Some(expected)));
    }

    #[test]
    fn an_answer_that_cannot_be_told_apart_from_the_next_is_none() {
        let no_length = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(head(no_length), Err(WireError::NoLength));
        let no_http = head(b"SSH-2.0\r\n");
        assert!(
            matches!(no_http, Err(WireError::Malformed(_))),
            "{no_http:?}"
        );
    }
}
