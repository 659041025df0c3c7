//! Which pages may open a socket: browsers send cookies with any page's handshake, so the page's
//! origin is checked before anything else.

use crate::config::PublicUrl;
use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// The pages that may open a socket or send a form: those of the address that people use, if it is
/// known, else those that this server serves over plain HTTP, by its `Host`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    public: Option<String>,
}

impl Origins {
    /// The pages of this address, or this server's own.
    #[must_use]
    pub fn new(public: Option<&PublicUrl>) -> Self {
        Self {
            public: public.map(ToString::to_string),
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
        if let Some(public) = &self.public {
            return origin == *public;
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let own = host.filter(|host| !host.is_empty());
        let own = own.map(|host| format!("http://{}", host.to_ascii_lowercase()));
        own.as_deref().map(without_default_port) == Some(&origin)
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

    fn allowed(public: Option<&str>, origin: Option<&'static str>, host: &'static str) -> bool {
        let public = public.map(|url| url.parse::<PublicUrl>().expect("an address"));
        let origins = Origins::new(public.as_ref());
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        origins.allow(&headers)
    }

    #[test]
    fn without_a_public_address_only_this_server_may_connect() {
        let local = "localhost:3000";
        for (origin, host) in [
            ("http://localhost:3000", local),
            ("HTTP://LOCALHOST:3000", local),
            ("http://[::1]:3000", "[::1]:3000"),
            ("http://example.org", "example.org:80"),
        ] {
            assert!(allowed(None, Some(origin), host), "{origin} at {host}");
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
            assert!(!allowed(None, Some(origin), local), "{origin:?}");
        }
        assert!(!allowed(None, None, local));
        assert!(!allowed(None, Some("http://"), ""));
    }

    #[test]
    fn with_a_public_address_only_it_may_connect() {
        let public = Some("https://LotZero.example:443/");
        for host in ["10.0.0.7:3000", "lotzero.example", ""] {
            assert!(allowed(public, Some("https://lotzero.example"), host));
            for origin in [
                "http://10.0.0.7:3000",
                "http://lotzero.example",
                "https://lotzero.example:8443",
                "https://lotzero.example.evil.example",
                "null",
            ] {
                assert!(!allowed(public, Some(origin), host), "{origin} at {host}");
            }
            assert!(!allowed(public, None, host));
        }
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
