//! `DynamoDB`'s own clock, from the `Date` of its answers. How old a record is can only be told by
//! the clock that dated it: neither the database's nor this machine's need agree with it.

use aws_sdk_dynamodbstreams::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodbstreams::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodbstreams::error::BoxError;
use aws_sdk_dynamodbstreams::primitives::{DateTime, DateTimeFormat};
use shared::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// The header that dates an answer, to the second.
const DATE: &str = "date";

/// The last date that was seen, and when.
#[derive(Clone, Debug, Default)]
pub(in crate::firehose) struct StoreClock(Arc<Mutex<Option<(Timestamp, Instant)>>>);

impl StoreClock {
    /// What time it is there, a second more or less; `None` before the first answer.
    pub fn now(&self) -> Option<Timestamp> {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (date, at) = seen?;
        let since = i64::try_from(at.elapsed().as_millis()).ok()?;
        Some(date.plus_ms(since))
    }

    fn set(&self, date: &str) {
        let read = DateTime::from_str(date, DateTimeFormat::HttpDate);
        let millis = read.ok().and_then(|date| date.to_millis().ok());
        if let Some(millis) = millis {
            let seen = Some((Timestamp(millis), Instant::now()));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        }
    }
}

impl Intercept for StoreClock {
    fn name(&self) -> &'static str {
        "StoreClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get(DATE) {
            self.set(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_from_the_last_date() {
        let clock = StoreClock::default();
        assert_eq!(clock.now(), None);
        clock.set("Thu, 26 Nov 2026 21:09:24 GMT");
        clock.set("yesterday");
        let now = clock.now().expect("set");
        assert!(
            (0..10_000).contains(&now.since_ms(Timestamp(1_795_727_364_000))),
            "{now:?}"
        );
    }
}
