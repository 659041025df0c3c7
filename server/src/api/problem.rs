//! Errors as RFC 9457 problems: a stable type that is a page of ours, a title, a status, a detail,
//! a code, and where it happened.

use super::catalogue::{self, Entry};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Room for the body of a problem, so that it is not moved while it is written.
const USUAL_BYTES: usize = 512;

/// One field that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field, as a JSON pointer.
    pub pointer: String,
    /// What it must be.
    pub detail: String,
}

/// An error as its caller reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    entry: &'static Entry,
    detail: Cow<'static, str>,
    instance: Option<String>,
    is_kept: bool,
    retry_after_s: Option<u32>,
    errors: Vec<FieldError>,
    more: Map<String, Value>,
}

/// The body. Its fields stand in this order, for ever: a reply that is repeated is the same bytes.
#[derive(Serialize)]
struct Body<'p> {
    r#type: String,
    title: &'p str,
    status: u16,
    detail: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'p str>,
    code: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'p [FieldError],
    #[serde(flatten)]
    more: &'p Map<String, Value>,
}

impl Problem {
    /// A problem by its code.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            entry: catalogue::entry(code),
            detail: detail.into(),
            instance: None,
            is_kept: false,
            retry_after_s: None,
            errors: Vec::new(),
            more: Map::new(),
        }
    }

    /// Some fields of the body are not as they must be; [`Problem::field`] names them.
    #[must_use]
    pub fn invalid_fields() -> Self {
        Self::new("invalid", "Some fields are not as they must be.")
    }

    /// Some ids are not written as ids are; [`Problem::field`] names them.
    #[must_use]
    pub fn malformed_ids() -> Self {
        Self::new("malformed", "Some ids are not written as ids are.")
    }

    /// Some parameters of the query are not as they must be; [`Problem::field`] names them.
    #[must_use]
    pub fn invalid_query() -> Self {
        Self::new("invalid", "Some parameters are not as they must be.")
    }

    /// Where it happened: a resource, or the request.
    #[must_use]
    pub fn at(mut self, instance: String) -> Self {
        self.instance.get_or_insert(instance);
        self
    }

    /// Marks what is said again to whoever repeats the request. It stays without the request's id:
    /// the repeat is another request, and its reply must be the same bytes.
    #[must_use]
    pub const fn kept(mut self) -> Self {
        self.is_kept = true;
        self
    }

    /// When to try again, in seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// A field that is not as it must be.
    #[must_use]
    pub fn field(mut self, name: &str, detail: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            pointer: format!("/{name}"),
            detail: detail.into(),
        });
        self
    }

    /// One more member of the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.entry.code
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.entry.status
    }

    /// The body as text.
    #[must_use]
    pub fn body(&self) -> String {
        let body = Body {
            r#type: format!("/docs/errors/{}", self.entry.code),
            title: self.entry.title,
            status: self.entry.status.as_u16(),
            detail: &self.detail,
            instance: self.instance.as_deref(),
            code: self.entry.code,
            retry_after: self.retry_after_s,
            errors: &self.errors,
            more: &self.more,
        };
        let mut text = Vec::with_capacity(USUAL_BYTES);
        // Strings and numbers can always be written, and what is written is text.
        let written = serde_json::to_writer(&mut text, &body);
        let text = written.map(|()| String::from_utf8(text).unwrap_or_default());
        text.unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.body()).into_response();
        if self.instance.is_none() && !self.is_kept {
            response.extensions_mut().insert(Unplaced(self.clone()));
        }
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// A problem in a reply that does not say where it happened.
#[derive(Clone)]
struct Unplaced(Problem);

/// A reply whose problem, if it has one, says which request it was.
pub fn placed(mut response: Response, request_id: &str) -> Response {
    let Some(Unplaced(problem)) = response.extensions_mut().remove() else {
        return response;
    };
    let problem = problem.at(format!("urn:request:{request_id}"));
    // The length was that of the body before.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = axum::body::Body::from(problem.body());
    response
}
