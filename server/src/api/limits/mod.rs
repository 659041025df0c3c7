//! How often callers may call. Whoever has a key is counted by key, wherever the calls come from;
//! whoever has none, by address. A call is counted before its body is read, so one that is refused
//! uses up nothing, its Idempotency-Key neither; repeats count like first calls.
//!
//! | file | what it holds |
//! |---|---|
//! | `quota` | so many in so many seconds, as it is written |
//! | `limiter` | who may call now, and what replies say about it |
//! | `peer` | whose address it is |
//! | `admit` | what every call goes through |

pub mod admit;
mod limiter;
mod peer;
mod quota;

pub use peer::Peer;
pub use quota::{Quota, QuotaError};

use limiter::Limiter;

/// For a key: 1,000 requests/s, 2,000 at once. A node of 2 cores does 15,000 purchases/s over HTTP,
/// so no key can take more than a small part of one, and a fleet of agents that starts together is
/// still served.
pub const KEY: &str = "2000/2";

/// For an address at the sandbox: 20 requests/s, 60 at once. That is more than a person or a script
/// that tries it needs, and a thousandth of what the stand's item can sell.
pub const SANDBOX: &str = "60/3";

/// For an address that shows no valid key: 2 requests/s, 40 at once. A key has 160 random bits, so
/// nobody guesses one; this saves the ledger from being asked about each guess.
pub const STRANGER: &str = "40/20";

/// What callers may do.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Of a key.
    pub key: Quota,
    /// Of an address at the sandbox.
    pub sandbox: Quota,
    /// Of an address that shows no valid key.
    pub stranger: Quota,
    /// Proxies of our own before the node, each of which adds to X-Forwarded-For. With none the
    /// header is ignored, since anybody can write it.
    pub proxies: u8,
}

impl Quotas {
    /// No limits: for measuring.
    pub const OFF: Self = Self {
        key: Quota::OFF,
        sandbox: Quota::OFF,
        stranger: Quota::OFF,
        proxies: 0,
    };
}

/// The limits of a node.
pub struct Limits {
    key: Option<Limiter>,
    sandbox: Option<Limiter>,
    stranger: Option<Limiter>,
    proxies: u8,
}

impl Limits {
    /// Limits by what callers may do.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self {
            key: Limiter::new("key", quotas.key),
            sandbox: Limiter::new("sandbox", quotas.sandbox),
            stranger: Limiter::new("stranger", quotas.stranger),
            proxies: quotas.proxies,
        }
    }
}
