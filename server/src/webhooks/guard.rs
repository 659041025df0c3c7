//! Where webhooks may go. A URL comes from a stranger and the request from inside the house's
//! network, so only public addresses are reached, over TLS.
//!
//! Two tests stand behind each other. [`WebhookUrl`] looks at the text. [`Resolver`] looks at the
//! addresses that a name has *at the moment of the connection*, and the client connects to what
//! it answers and to nothing else, so a name that changes its mind in between gains nothing.

use super::address::is_public;
use async_trait::async_trait;
use http::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// The longest URL: what common servers still read.
pub const MAX_URL_BYTES: usize = 2_048;

/// Ports of TLS; others belong to services that are no webhook receivers.
const PORTS: [u16; 2] = [443, 8443];

/// What is allowed beyond the public internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether `http://127.0.0.1` and `http://[::1]` are, on any port: on a machine of one's own,
    /// where the house runs on local stores.
    pub allow_loopback: bool,
}

/// Why webhooks cannot go to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Too long.
    #[error("the URL is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// Not an absolute URL with a host, in ASCII.
    #[error("this is no absolute URL such as https://shop.example/webhooks")]
    Malformed,
    /// Not https.
    #[error("the URL must begin with https://")]
    Scheme,
    /// Has a name or a password.
    #[error("the URL must not contain a name or a password")]
    UserInfo,
    /// Has a fragment.
    #[error("the URL must not contain a fragment")]
    Fragment,
    /// Has a port of something else.
    #[error("the URL's port must be 443 or 8443")]
    Port,
    /// Names an address that is not public.
    #[error("the URL's address is not a public one")]
    Address,
}

/// A URL that webhooks may go to, as far as its text shows.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl WebhookUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`] naming the first rule that it breaks.
    pub fn parse(text: &str, policy: Policy) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(UrlError::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_malformed| UrlError::Malformed)?;
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = (authority.host(), authority.port_u16());
        // What is left beside host and port is a port that is none.
        let written = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let literal = literal(host);
        if authority.as_str() != written || !(literal.is_some() || is_name(host)) {
            return Err(UrlError::Malformed);
        }
        let at_home = policy.allow_loopback && literal.is_some_and(|ip| ip.is_loopback());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if at_home => {}
            Some(_) => return Err(UrlError::Scheme),
            None => return Err(UrlError::Malformed),
        }
        let any_port = policy.allow_loopback;
        if !any_port && port.is_some_and(|port| !PORTS.contains(&port)) {
            return Err(UrlError::Port);
        }
        if literal.is_some_and(|ip| !is_public(ip)) && !at_home {
            return Err(UrlError::Address);
        }
        Ok(Self(uri))
    }

    /// The URL for a client.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address that a host is, read as the client reads it.
fn literal(host: &str) -> Option<IpAddr> {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inside) => inside.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// Whether a host is a name, whose last label begins with a letter: `127.1` and `0x7f000001` are other ways
/// to write an address, and no two programs agree on them.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inside)
    };
    let top = host.rsplit('.').next().unwrap_or_default();
    let ends_as_name = top.starts_with(|c: char| c.is_ascii_alphabetic());
    host.len() <= 253 && host.split('.').all(label) && ends_as_name
}

/// Looks names up.
#[async_trait]
pub trait Names: Send + Sync {
    /// The addresses of a name.
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// A name has no public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name has no public address")]
pub struct NotPublic;

/// The resolver of the HTTP client: it answers public addresses only, whatever the policy.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Names>);

impl Resolver {
    /// A resolver that asks `names`.
    #[must_use]
    pub fn new(names: Arc<dyn Names>) -> Self {
        Self(names)
    }
}

type Resolved = Result<std::vec::IntoIter<SocketAddr>, io::Error>;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Resolved> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            let found = names.look_up(name.as_str()).await?;
            let public: Vec<SocketAddr> = found
                .into_iter()
                .filter(|&address| is_public(address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if public.is_empty() {
                return Err(io::Error::other(NotPublic));
            }
            Ok(public.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Policy = Policy {
        allow_loopback: false,
    };
    const AT_HOME: Policy = Policy {
        allow_loopback: true,
    };

    #[test]
    fn public_https_urls_are_accepted() {
        for text in [
            "https://shop.example/webhooks",
            "https://shop.example",
            "https://shop.example:443/a?b=c",
            "https://shop.example:8443/",
            "https://SHOP.example/%23",
            "https://8.8.8.8/hook",
            "https://[2606:4700::1111]/hook",
        ] {
            assert!(WebhookUrl::parse(text, STRICT).is_ok(), "{text}");
            assert!(WebhookUrl::parse(text, AT_HOME).is_ok(), "{text}");
        }
    }

    #[test]
    fn each_rule_refuses_by_name() {
        let long = format!("https://shop.example/{}", "a".repeat(MAX_URL_BYTES));
        for (text, error) in [
            (long.as_str(), UrlError::TooLong),
            ("", UrlError::Malformed),
            ("shop.example", UrlError::Malformed),
            ("/hook", UrlError::Malformed),
            ("https://", UrlError::Malformed),
            ("https://shop.example:", UrlError::Malformed),
            ("https://shop.example:99999", UrlError::Malformed),
            ("https://shop..example", UrlError::Malformed),
            ("https://shop.example\\@evil.example", UrlError::Malformed),
            ("https://shop.example/a b", UrlError::Malformed),
            ("https://shop.example/a\r\nx: y", UrlError::Malformed),
            ("https://shöp.example/", UrlError::Malformed),
            ("https://127.1/", UrlError::Malformed),
            ("https://2130706433/", UrlError::Malformed),
            ("https://0x7f000001/", UrlError::Malformed),
            ("https://0177.0.0.1/", UrlError::Malformed),
            ("https://shop.example./", UrlError::Malformed),
            ("https://[::1", UrlError::Malformed),
            ("https://[fe80::1%25eth0]/", UrlError::Malformed),
            ("http://shop.example/", UrlError::Scheme),
            ("ftp://shop.example/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Malformed),
            ("https://me@shop.example/", UrlError::UserInfo),
            ("https://me:secret@shop.example/", UrlError::UserInfo),
            ("https://shop.example/#x", UrlError::Fragment),
            ("https://shop.example:22/", UrlError::Port),
            ("https://shop.example:80/", UrlError::Port),
            ("https://10.0.0.1/", UrlError::Address),
            ("https://127.0.0.1/", UrlError::Address),
            ("https://169.254.169.254/latest", UrlError::Address),
            ("https://[::1]/", UrlError::Address),
            ("https://[::ffff:127.0.0.1]/", UrlError::Address),
            ("https://[::ffff:8.8.8.8]/", UrlError::Address),
            ("https://[fd00:ec2::254]/", UrlError::Address),
            ("http://127.0.0.1:4000/", UrlError::Scheme),
        ] {
            assert_eq!(WebhookUrl::parse(text, STRICT), Err(error), "{text:?}");
        }
    }

    #[test]
    fn at_home_loopback_is_let_through_and_nothing_else() {
        for text in [
            "http://127.0.0.1:4000/hook",
            "http://[::1]:4000/hook",
            "https://127.0.0.1:4000/hook",
            "https://shop.example:4000/hook",
        ] {
            assert!(WebhookUrl::parse(text, AT_HOME).is_ok(), "{text}");
        }
        for (text, error) in [
            ("http://localhost:4000/", UrlError::Scheme),
            ("http://shop.example/", UrlError::Scheme),
            ("http://127.1:4000/", UrlError::Malformed),
            ("http://10.0.0.1/", UrlError::Scheme),
            ("https://10.0.0.1/", UrlError::Address),
            ("https://169.254.169.254/", UrlError::Address),
            ("https://[::ffff:127.0.0.1]/", UrlError::Address),
            ("http://[::ffff:127.0.0.1]/", UrlError::Scheme),
        ] {
            assert_eq!(WebhookUrl::parse(text, AT_HOME), Err(error), "{text}");
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    struct Fixed(Vec<IpAddr>);

    #[async_trait]
    impl Names for Fixed {
        async fn look_up(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    async fn resolve(addresses: &[&str]) -> Resolved {
        let fixed = Fixed(addresses.iter().map(|text| address(text)).collect());
        let name: Name = "shop.example".parse().expect("a name");
        Resolver::new(Arc::new(fixed)).call(name).await
    }

    #[tokio::test]
    async fn a_resolver_answers_public_addresses_only() {
        let mixed = resolve(&["10.0.0.1", "8.8.8.8", "::1"]).await;
        let addresses: Vec<_> = mixed.expect("one is public").collect();
        assert_eq!(addresses, [SocketAddr::new(address("8.8.8.8"), 0)]);
        for private in [&["127.0.0.1"][..], &["::ffff:8.8.8.8", "fe80::1"], &[]] {
            let error = resolve(private).await.expect_err("none is public");
            let inner = error.into_inner().expect("a reason");
            assert!(inner.is::<NotPublic>(), "{private:?}");
        }
    }
}
