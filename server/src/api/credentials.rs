//! API keys: `lz_test_` or `lz_live_`, 160 random bits, and a checksum, so that a mistyped key is
//! known without asking the ledger and a leaked one can be found by a scanner.

use super::problem::Problem;
use crate::hexadecimal::hexadecimal;
use crate::ledger::Ledger;
use crate::ledger::checkout::api_keys;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use shared::PrincipalId;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Digits of a key's random part: five bits each.
const SECRET_DIGITS: usize = 32;

/// Digits of a key's checksum.
const CHECK_DIGITS: usize = 6;

/// Crockford's base 32, in small letters: no letter looks like another or like a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const LIVE: &str = "lz_live_";
const TEST: &str = "lz_test_";

/// How long a key is remembered: a revoked one works for so long at most.
const CACHE_LIFE: Duration = Duration::from_secs(3);

/// Keys remembered at most.
const MAX_CACHED: usize = 10_000;

/// Whom a request acts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant.
    pub id: PrincipalId,
    /// Whether it moves real money.
    pub live: bool,
}

/// A key in the clear. It is shown once.
pub struct Secret(String);

impl Secret {
    /// A fresh key.
    #[must_use]
    pub fn fresh(live: bool) -> Self {
        let random: [u8; SECRET_DIGITS] = rand::random();
        let digit = |byte: u8| char::from(DIGITS[usize::from(byte % 32)]);
        let prefix = if live { LIVE } else { TEST };
        let mut text = prefix.to_owned();
        text.extend(random.map(digit));
        let check = checksum(&text);
        text.push_str(&check);
        Self(text)
    }

    /// The key as text, for its owner's eyes.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the ledger keeps.
    #[must_use]
    pub fn hash(&self) -> String {
        hexadecimal(&digest(&self.0))
    }

    /// Its last characters.
    #[must_use]
    pub fn hint(&self) -> String {
        let mut last: Vec<char> = self.0.chars().rev().take(4).collect();
        last.reverse();
        last.into_iter().collect()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn checksum(text: &str) -> String {
    let hash = digest(text);
    let digits = hash.iter().take(CHECK_DIGITS);
    digits
        .map(|byte| char::from(DIGITS[usize::from(byte % 32)]))
        .collect()
}

/// Whether it is one of [`DIGITS`].
const fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z') && !matches!(byte, b'i' | b'l' | b'o' | b'u')
}

/// Whether a text has the form of a key, with its checksum.
fn is_well_formed(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(TEST).or_else(|| text.strip_prefix(LIVE)) else {
        return false;
    };
    if rest.len() != SECRET_DIGITS + CHECK_DIGITS || !rest.bytes().all(is_digit) {
        return false;
    }
    let (key, check) = text.split_at(text.len() - CHECK_DIGITS);
    checksum(key) == check
}

/// What is known of a key that somebody shows.
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// A number for the key: half of its hash, which no two keys share.
    #[must_use]
    pub fn number(&self) -> u128 {
        let half = self.0.first_chunk();
        u128::from_be_bytes(half.copied().unwrap_or_default())
    }
}

/// Finds out whom keys act for, and remembers it for a moment.
pub struct Credentials {
    ledger: Arc<Ledger>,
    cache: RwLock<HashMap<[u8; 32], (Instant, Tenant)>>,
}

impl Credentials {
    /// Credentials kept by a ledger.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            cache: RwLock::default(),
        }
    }

    /// The key that a request shows, which is one by its form.
    ///
    /// # Errors
    /// `unauthorized` without one.
    pub fn shown(headers: &HeaderMap) -> Result<KeyHash, Problem> {
        let mut values = headers.get_all(AUTHORIZATION).into_iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(unauthorized());
        };
        let value = value.to_str().unwrap_or_default();
        let Some((scheme, key)) = value.split_once(' ') else {
            return Err(unauthorized());
        };
        let key = key.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || !is_well_formed(key) {
            return Err(unauthorized());
        }
        // Only hashes are compared, so how long it takes says nothing about any key.
        Ok(KeyHash(digest(key)))
    }

    /// Whom a key acts for, if that was found a moment ago.
    #[must_use]
    pub fn remembered(&self, KeyHash(hash): &KeyHash) -> Option<Tenant> {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let (read, tenant) = cache.get(hash)?;
        (read.elapsed() < CACHE_LIFE).then_some(*tenant)
    }

    /// Asks the ledger whom a key acts for.
    ///
    /// # Errors
    /// `unauthorized` if it is unknown or ended, `unavailable` if that cannot be told.
    pub async fn find(&self, KeyHash(hash): &KeyHash) -> Result<Tenant, Problem> {
        let text = hexadecimal(hash);
        let runner = self.ledger.runner();
        let found = runner.read_once(move |tx| Box::pin(api_keys::tenant_of(tx, text.clone())));
        let found = found.await.map_err(super::undecided::failed)?;
        let (id, live) = found.ok_or_else(unauthorized)?;
        let tenant = Tenant { id, live };
        self.remember(*hash, tenant);
        Ok(tenant)
    }

    fn remember(&self, hash: [u8; 32], tenant: Tenant) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_CACHED {
            cache.clear();
        }
        cache.insert(hash, (Instant::now(), tenant));
    }
}

/// No valid key.
#[must_use]
pub fn unauthorized() -> Problem {
    Problem::new("unauthorized", "Send a valid API key as a bearer token.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_table() {
        for byte in u8::MIN..=u8::MAX {
            assert_eq!(is_digit(byte), DIGITS.contains(&byte), "{byte}");
        }
    }

    #[test]
    fn a_key_is_known_by_its_form() {
        for live in [true, false] {
            let key = Secret::fresh(live);
            assert!(is_well_formed(key.reveal()));
            assert_eq!(
                key.reveal().len(),
                TEST.len() + SECRET_DIGITS + CHECK_DIGITS
            );
            assert!(key.reveal().ends_with(&key.hint()));
            assert_eq!(key.hash().len(), 64);
            assert_ne!(key.reveal(), Secret::fresh(live).reveal());
            // One digit changed is noticed.
            let (start, rest) = key.reveal().split_at(20);
            let other = if rest.starts_with('0') { '1' } else { '0' };
            let tail: String = rest.chars().skip(1).collect();
            assert!(!is_well_formed(&format!("{start}{other}{tail}")));
        }
        for bad in ["", "lz_test_", "lz_test_abc", &"x".repeat(46)] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
