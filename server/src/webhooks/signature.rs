//! Signatures of Standard Webhooks 1.0.0, symmetric form (`v1`): HMAC-SHA256 over
//! `id.timestamp.body`, so that neither the body nor its age can be changed on the way.
//! [`verify`] is what a receiver does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use std::str::FromStr;
use subtle::{Choice, ConstantTimeEq as _};

/// What a secret's text begins with.
const SECRET_PREFIX: &str = "whsec_";

/// What a symmetric signature begins with.
const VERSION: &str = "v1,";

/// Bytes of a secret that the house makes.
const SECRET_BYTES: usize = 32;

/// Seconds by which a message's time may differ from the receiver's clock: older messages may be
/// repeats by somebody who listened.
pub const TOLERANCE_SECONDS: u64 = 5 * 60;

/// A shared secret. Its `Debug` form shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// The text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")]
pub struct SecretError;

impl Secret {
    /// A fresh secret.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random::<[u8; SECRET_BYTES]>().to_vec())
    }

    /// The secret as its owner keeps it.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(&self.0))
    }

    fn signature(&self, id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .unwrap_or_else(|_never| unreachable!("HMAC takes keys of any length"));
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_…")
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SecretError)?;
        let bytes = STANDARD.decode(encoded).map_err(|_malformed| SecretError)?;
        if (24..=64).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(SecretError)
        }
    }
}

/// The value of `webhook-signature`: one signature for each secret, so that a receiver may know
/// either of two while they rotate.
#[must_use]
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a Secret>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let timestamp = timestamp.to_string();
    let one = |secret: &Secret| {
        let signature = secret.signature(id, &timestamp, body);
        format!("{VERSION}{}", STANDARD.encode(signature))
    };
    let all: Vec<String> = secrets.into_iter().map(one).collect();
    all.join(" ")
}

/// The three headers of a message.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`, in seconds since 1970.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
}

/// Why a message must not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is no number of seconds.
    #[error("webhook-timestamp is no number of seconds")]
    Malformed,
    /// The message is from another time.
    #[error("webhook-timestamp is more than five minutes away")]
    OtherTime,
    /// No signature was made with a known secret over this message.
    #[error("no signature of webhook-signature matches")]
    NoMatch,
}

/// Tests a message as a receiver does, `now` in seconds since 1970.
///
/// # Errors
/// [`VerifyError`] when the message must not be believed.
pub fn verify(
    secrets: &[Secret],
    headers: Signed<'_>,
    body: &[u8],
    now: i64,
) -> Result<(), VerifyError> {
    let sent: i64 = headers
        .timestamp
        .parse()
        .map_err(|_malformed| VerifyError::Malformed)?;
    if now.abs_diff(sent) > TOLERANCE_SECONDS {
        return Err(VerifyError::OtherTime);
    }
    let given: Vec<Vec<u8>> = headers
        .signature
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok())
        .collect();
    let mut matches = Choice::from(0);
    for secret in secrets {
        let expected = secret.signature(headers.id, headers.timestamp, body);
        for signature in &given {
            matches |= expected.ct_eq(signature);
        }
    }
    if bool::from(matches) {
        Ok(())
    } else {
        Err(VerifyError::NoMatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret(text: &str) -> Secret {
        text.parse().expect("a secret")
    }

    fn check(signature: &str, body: &[u8], now: i64) -> Result<(), VerifyError> {
        let headers = Signed {
            id: ID,
            timestamp: "1614265330",
            signature,
        };
        verify(&[secret(SECRET)], headers, body, now)
    }

    #[test]
    fn the_published_example_is_signed_as_published() {
        assert_eq!(sign([&secret(SECRET)], ID, AT, BODY), SIGNATURE);
        assert_eq!(check(SIGNATURE, BODY, AT), Ok(()));
    }

    /// Made with Python's hmac module.
    #[test]
    fn two_secrets_give_two_signatures() {
        let old = secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let new = secret("whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
        let id = "dlv_00000000000000000000000000000abc";
        let body = br#"{"type":"purchase.committed"}"#;
        let signature = sign([&new, &old], id, 1_700_000_000, body);
        assert_eq!(
            signature,
            "v1,rYau2S73DNGyZ3rH7+X9i/xTmFggw/01GY581GLukuM= \
             v1,VXl5kuEWDzD6nFq2XJ2rXb3dFcLL51qFf6b2guhCBnA="
        );
        for known in [old, new] {
            let headers = Signed {
                id,
                timestamp: "1700000000",
                signature: &signature,
            };
            assert_eq!(verify(&[known], headers, body, 1_700_000_100), Ok(()));
        }
    }

    #[test]
    fn what_was_changed_is_not_believed() {
        let no_match = Err(VerifyError::NoMatch);
        assert_eq!(check(SIGNATURE, br#"{"test": 2432232315}"#, AT), no_match);
        for signature in [
            "",
            "v1,",
            "v1,g0hM9SsE",
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
        ] {
            assert_eq!(check(signature, BODY, AT), no_match, "{signature:?}");
        }
        let other = [Secret::generate()];
        let headers = Signed {
            id: ID,
            timestamp: "1614265330",
            signature: SIGNATURE,
        };
        assert_eq!(verify(&other, headers, BODY, AT), no_match);
        let headers = Signed {
            timestamp: "1614265331",
            ..headers
        };
        assert_eq!(verify(&[secret(SECRET)], headers, BODY, AT), no_match);
        let among_others = format!("v1,AAAA v2,x {SIGNATURE}");
        assert_eq!(check(&among_others, BODY, AT), Ok(()));
    }

    #[test]
    fn old_and_future_messages_are_not_believed() {
        assert_eq!(check(SIGNATURE, BODY, AT + 300), Ok(()));
        assert_eq!(check(SIGNATURE, BODY, AT - 300), Ok(()));
        let other_time = Err(VerifyError::OtherTime);
        assert_eq!(check(SIGNATURE, BODY, AT + 301), other_time);
        assert_eq!(check(SIGNATURE, BODY, AT - 301), other_time);
        let headers = Signed {
            id: ID,
            timestamp: "soon",
            signature: SIGNATURE,
        };
        let malformed = Err(VerifyError::Malformed);
        assert_eq!(verify(&[secret(SECRET)], headers, BODY, AT), malformed);
    }

    #[test]
    fn a_secret_reads_back_and_is_not_shown_by_accident() {
        let fresh = Secret::generate();
        assert_eq!(fresh.reveal().parse(), Ok(fresh.clone()));
        assert_ne!(Secret::generate(), fresh);
        assert_eq!(format!("{fresh:?}"), "whsec_…");
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (text, is_one) in [
            (of(24), true),
            (of(64), true),
            (of(23), false),
            (of(65), false),
            (of(32).replace("whsec_", ""), false),
            ("whsec_?".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(text.parse::<Secret>().is_ok(), is_one, "{text}");
        }
    }
}
