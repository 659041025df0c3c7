//! Whose address it is.

use axum::extract::{ConnectInfo, Request};
use http::HeaderName;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The bits of an IPv6 address that name a network: a household or a machine has all of the rest to
/// itself, so that to count single addresses would be to count nothing.
const NETWORK: u128 = !(u64::MAX as u128);

/// An IPv4 address, or the /64 network of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub u128);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u128::from(address.to_ipv6_mapped())),
            IpAddr::V6(address) => Self(u128::from(address) & NETWORK),
        }
    }
}

/// Who sent a request that came through so many proxies of our own.
pub fn of(request: &Request, proxies: u8) -> Peer {
    let connected = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let connected = connected.map_or(Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip());
    forwarded(request, proxies).unwrap_or(connected).into()
}

/// What the first of our proxies saw: it and each one after it wrote one address at the end. What
/// stands before these was written by whoever sent the request.
fn forwarded(request: &Request, proxies: u8) -> Option<IpAddr> {
    let before = usize::from(proxies.checked_sub(1)?);
    let values = request.headers().get_all(FORWARDED_FOR).into_iter();
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let mut addresses = texts.iter().rev().flat_map(|text| text.rsplit(','));
    addresses.nth(before)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn request(forwarded: &[&str]) -> Request {
        let mut request = Request::new(Body::empty());
        let address: SocketAddr = "192.0.2.1:5000".parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(address));
        for value in forwarded {
            let value = value.parse().expect("a value");
            request.headers_mut().append(FORWARDED_FOR, value);
        }
        request
    }

    fn peer(text: &str) -> Peer {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn an_ipv6_address_counts_by_its_network() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:0:0:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    }

    #[test]
    fn only_what_our_own_proxies_wrote_is_believed() {
        let lists: [&[&str]; 2] = [
            &["203.0.113.9, 198.51.100.7"],
            &["203.0.113.9", "198.51.100.7"],
        ];
        for list in lists {
            assert_eq!(of(&request(list), 0), peer("192.0.2.1"));
            assert_eq!(of(&request(list), 1), peer("198.51.100.7"));
            assert_eq!(of(&request(list), 2), peer("203.0.113.9"));
            assert_eq!(
                of(&request(list), 3),
                peer("192.0.2.1"),
                "there are too few"
            );
        }
        assert_eq!(of(&request(&["nobody"]), 1), peer("192.0.2.1"));
        assert_eq!(of(&request(&[]), 1), peer("192.0.2.1"));
    }
}
