//! Which calls fail, and how.

use super::{answer, lock};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::sync::Mutex;
use std::time::Duration;

/// How long a call that hangs has no answer: no client waits as long.
const HANG: Duration = Duration::from_secs(60);

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with 500, `InternalServerError`. The store hears nothing of it.
    Broken,
    /// It is answered with 400, `ProvisionedThroughputExceededException`. The store hears nothing
    /// of it.
    Throttled,
    /// It has no answer for 60 seconds, and then that of [`Fault::Broken`].
    Hangs,
    /// The store does what it asks for, and the answer is that of [`Fault::Broken`].
    AnswerLost,
    /// It waits so long before anything else happens to it.
    Delayed(Duration),
}

/// Which calls meet a fault: all of them, unless it is narrowed down.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    fault: Fault,
    /// The part of the calls that is hit, from 0 to 1.
    share: f64,
    /// Only those through this door.
    door: Option<String>,
    /// Only those of these operations; of all if none is named.
    operations: Vec<String>,
}

impl Rule {
    /// Every call meets this fault.
    #[must_use]
    pub const fn all(fault: Fault) -> Self {
        Self {
            fault,
            share: 1.0,
            door: None,
            operations: Vec::new(),
        }
    }

    /// Only this part of them, by chance: 0 for none, 1 for all.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// Only those through one door.
    #[must_use]
    pub fn through(self, door: &str) -> Self {
        let door = Some(door.to_owned());
        Self { door, ..self }
    }

    /// Only those of an operation, such as `GetRecords`; said twice, those of either.
    #[must_use]
    pub fn on(mut self, operation: &str) -> Self {
        self.operations.push(operation.to_owned());
        self
    }

    fn meets(&self, door: &str, operation: &str) -> bool {
        let named = || self.operations.iter().any(|name| name == operation);
        self.door.as_ref().is_none_or(|name| name == door)
            && (self.operations.is_empty() || named())
    }
}

/// What became of a call at the gate.
#[derive(Debug)]
pub(super) enum Struck {
    /// It goes on.
    Spared,
    /// It goes no further: this is its answer.
    Answered(Response),
    /// It goes on, and in place of its answer comes this one.
    AnswerLost(Response),
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

    /// Lets a call meet the rules in the order in which they were added, up to the first that
    /// answers it.
    pub async fn strike(&self, door: &str, operation: &str) -> Struck {
        let rules = lock(&self.rules).clone();
        for rule in rules {
            if !rule.meets(door, operation) || !self.hits(rule.share) {
                continue;
            }
            match rule.fault {
                Fault::Broken => return Struck::Answered(broken()),
                Fault::Throttled => {
                    let name = "ProvisionedThroughputExceededException";
                    return Struck::Answered(error(StatusCode::BAD_REQUEST, name));
                }
                Fault::Hangs => {
                    tokio::time::sleep(HANG).await;
                    return Struck::Answered(broken());
                }
                Fault::AnswerLost => return Struck::AnswerLost(broken()),
                Fault::Delayed(time) => tokio::time::sleep(time).await,
            }
        }
        Struck::Spared
    }

    fn hits(&self, share: f64) -> bool {
        lock(&self.random).random::<f64>() < share
    }
}

fn broken() -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
}

/// An error as `DynamoDB` writes it.
pub(super) fn error(status: StatusCode, name: &str) -> Response {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
    let body = json!({ "__type": kind, "message": "by order of the gate" });
    (status, answer(&body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::time::Instant;

    fn board<const N: usize>(rules: [Rule; N]) -> Switchboard {
        let board = Switchboard::new(7);
        rules.into_iter().for_each(|rule| board.add(rule));
        board
    }

    async fn is_spared(board: &Switchboard, door: &str, operation: &str) -> bool {
        matches!(board.strike(door, operation).await, Struck::Spared)
    }

    /// The status of an answer, and the error that it names.
    async fn read(response: Response) -> (u16, String) {
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1_024).await;
        let body: Value = serde_json::from_slice(&body.expect("a body")).expect("JSON");
        let kind = body["__type"].as_str().expect("a kind").to_owned();
        (status, kind)
    }

    /// How a call fails that goes no further.
    async fn failure(fault: Fault) -> (u16, String) {
        let board = board([Rule::all(fault)]);
        match board.strike("a", "PutItem").await {
            Struck::Answered(response) => read(response).await,
            other @ (Struck::Spared | Struck::AnswerLost(_)) => panic!("not answered: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_broken_store_has_an_error_of_its_own() {
        let kind = "com.amazonaws.dynamodb.v20120810#InternalServerError".to_owned();
        assert_eq!(failure(Fault::Broken).await, (500, kind));
    }

    #[tokio::test]
    async fn a_throttled_call_is_told_so() {
        let kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
        assert_eq!(failure(Fault::Throttled).await, (400, kind.to_owned()));
    }

    #[tokio::test]
    async fn a_call_that_hangs_has_no_answer() {
        let board = board([Rule::all(Fault::Hangs)]);
        let struck = board.strike("a", "PutItem");
        let waited = tokio::time::timeout(Duration::from_millis(100), struck).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    #[tokio::test]
    async fn a_call_whose_answer_is_lost_goes_on() {
        let board = board([Rule::all(Fault::AnswerLost)]);
        let Struck::AnswerLost(response) = board.strike("a", "PutItem").await else {
            panic!("it does not go on");
        };
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn a_delayed_call_waits_and_goes_on_to_the_next_rule() {
        let delay = Duration::from_millis(20);
        let board = board([
            Rule::all(Fault::Delayed(delay)),
            Rule::all(Fault::Broken).on("GetItem"),
        ]);
        let begun = Instant::now();
        assert!(is_spared(&board, "a", "PutItem").await);
        assert!(begun.elapsed() >= delay);
        assert!(!is_spared(&board, "a", "GetItem").await);
        assert!(begun.elapsed() >= delay * 2);
    }

    #[tokio::test]
    async fn a_rule_meets_its_door_and_its_operations() {
        let reads = Rule::all(Fault::Broken).on("GetItem").on("Query");
        let board = board([reads, Rule::all(Fault::Broken).through("b")]);
        for (door, operation, spared) in [
            ("a", "GetItem", false),
            ("a", "Query", false),
            ("a", "PutItem", true),
            ("b", "PutItem", false),
        ] {
            let is = is_spared(&board, door, operation).await;
            assert_eq!(is, spared, "{operation} through {door}");
        }
        board.clear();
        assert!(is_spared(&board, "b", "GetItem").await);
    }

    #[tokio::test]
    async fn a_share_of_the_calls_is_hit() {
        for (share, expected) in [(0.0, 0..=0), (0.5, 430..=570), (1.0, 1_000..=1_000)] {
            let board = board([Rule::all(Fault::Broken).share(share)]);
            let mut hit = 0;
            for _call in 0..1_000 {
                hit += i32::from(!is_spared(&board, "a", "PutItem").await);
            }
            assert!(expected.contains(&hit), "{hit} of a share of {share}");
        }
    }
}
