//! Which pages may open a socket: browsers send cookies with any page's handshake, so the page's
//! origin is checked before anything else.

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use std::collections::BTreeSet;

/// The origins that may open a socket: this server's own, by its `Host`, over plain HTTP, and
/// those listed. Behind a proxy that ends TLS, the public origin has to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    listed: BTreeSet<String>,
}

impl Origins {
    /// The server's own origin and these, each as `scheme://host` or `scheme://host:port`.
    pub fn new(listed: impl IntoIterator<Item = String>) -> Self {
        let tidy = |origin: String| origin.trim().trim_end_matches('/').to_ascii_lowercase();
        Self {
            listed: listed.into_iter().map(tidy).collect(),
        }
    }

    /// Whether a handshake with these headers comes from an allowed page. Without exactly one
    /// `Origin` it does not.
    #[must_use]
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return false;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let origin = origin.to_ascii_lowercase();
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let own = host.filter(|host| !host.is_empty());
        let own = own.map(|host| format!("http://{}", host.to_ascii_lowercase()));
        own.as_deref().map(without_default_port) == Some(&origin) || self.listed.contains(&origin)
    }
}

/// Browsers leave out the port that a scheme implies; some clients write it into `Host`.
fn without_default_port(origin: &str) -> &str {
    origin.strip_suffix(":80").unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn allowed(origin: Option<&'static str>, host: &'static str) -> bool {
        let origins = Origins::new(["https://lotzero.example/".to_owned()]);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        origins.allow(&headers)
    }

    #[test]
    fn only_this_house_and_the_list_may_connect() {
        let local = "localhost:3000";
        for (origin, host) in [
            ("http://localhost:3000", local),
            ("HTTP://LOCALHOST:3000", local),
            ("http://[::1]:3000", "[::1]:3000"),
            ("http://example.org", "example.org:80"),
            ("https://lotzero.example", "10.0.0.7:3000"),
        ] {
            assert!(allowed(Some(origin), host), "{origin} at {host}");
        }
        for origin in [
            "null",
            "",
            "http://localhost:3001",
            "http://localhost",
            "https://localhost:3000",
            "http://127.0.0.1:3000",
            "http://localhost:3000.evil.example",
            "http://evil.example/?localhost:3000",
            "http://lotzero.example",
        ] {
            assert!(!allowed(Some(origin), local), "{origin:?}");
        }
        assert!(!allowed(None, local));
        assert!(!allowed(Some("http://"), ""));
    }

    #[test]
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        let own = HeaderValue::from_static("http://localhost:3000");
        headers.insert(HOST, HeaderValue::from_static("localhost:3000"));
        headers.append(ORIGIN, own.clone());
        assert!(Origins::default().allow(&headers));
        headers.append(ORIGIN, own);
        assert!(!Origins::default().allow(&headers));
    }
}
