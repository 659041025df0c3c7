//! Which calls fail, and how.

use super::{answer, lock};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::sync::Mutex;
use std::time::Duration;

/// How calls fail.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// The part that is answered with 500.
    pub fail: f64,
    /// The part that is answered with `ProvisionedThroughputExceededException`.
    pub throttle: f64,
    /// How long every call waits before anything else happens to it.
    pub delay: Duration,
}

/// Which calls fail how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Only those through this door.
    pub door: Option<String>,
    /// Only those of this operation, such as `GetRecords`.
    pub operation: Option<String>,
    /// What happens to them.
    pub faults: Faults,
}

impl Rule {
    /// Every call fails.
    #[must_use]
    pub fn down() -> Self {
        let faults = Faults {
            fail: 1.0,
            ..Faults::default()
        };
        Self {
            faults,
            ..Self::default()
        }
    }

    /// The same only through one door.
    #[must_use]
    pub fn through(self, door: &str) -> Self {
        let door = Some(door.to_owned());
        Self { door, ..self }
    }
}

#[derive(Debug)]
pub(super) struct Switchboard {
    rules: Mutex<Vec<Rule>>,
    random: Mutex<StdRng>,
}

impl Switchboard {
    pub fn new(seed: u64) -> Self {
        Self {
            rules: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    pub fn add(&self, rule: Rule) {
        lock(&self.rules).push(rule);
    }

    pub fn clear(&self) {
        lock(&self.rules).clear();
    }

    /// What a call is answered with, if it does not go through.
    pub async fn strike(&self, door: &str, operation: &str) -> Option<Response> {
        let rules = lock(&self.rules).clone();
        let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|w| w == is);
        for rule in rules {
            if !fits(&rule.door, door) || !fits(&rule.operation, operation) {
                continue;
            }
            let Faults {
                fail,
                throttle,
                delay,
            } = rule.faults;
            tokio::time::sleep(delay).await;
            let chance: f64 = lock(&self.random).random();
            if chance < fail {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Some(error(status, "InternalServerError"));
            }
            if chance < fail + throttle {
                let name = "ProvisionedThroughputExceededException";
                return Some(error(StatusCode::BAD_REQUEST, name));
            }
        }
        None
    }
}

/// An error as `DynamoDB` writes it.
pub(super) fn error(status: StatusCode, name: &str) -> Response {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
    let body = json!({ "__type": kind, "message": "by order of the gate" });
    (status, answer(&body)).into_response()
}
