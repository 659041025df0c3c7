//! The lease on the stream: which node reads it, and how far reading has come.
//!
//! One item of the table. Each renewal raises its counter and writes the checkpoint, in one write,
//! under the condition that the term is still the writer's: so a checkpoint is never written by a
//! node that has lost the lease, and renewing costs nothing besides. A term is a random name that
//! is used once, so it also fences: a write of an earlier term finds another name.
//!
//! Nobody compares clocks. A node takes the lease when it has seen the same counter for the whole
//! time of a lease by its own monotonic clock. The leader measures from before it sent its last
//! successful renewal, and stops reading a fifth earlier.

use super::places::Places;
use crate::firehose::keys::{self, Item};
use crate::firehose::{Firehose, FirehoseError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;
use rand::Rng;
use std::time::Duration;
use tokio::time::Instant;

const PARTITION: &str = "STREAM";
const SORT_KEY: &str = "lease";
const TERM: &str = "term";
const COUNTER: &str = "counter";
const ADDRESS: &str = "address";
const TOKEN: &str = "token";

/// One node's time as the stream's leader.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// Its name.
    pub name: String,
    /// What a follower shows.
    pub token: String,
}

impl Term {
    fn new() -> Self {
        let random = || format!("{:032x}", rand::rng().random::<u128>());
        Self {
            name: random(),
            token: format!("{}{}", random(), random()),
        }
    }
}

/// Who has the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub term: String,
    /// `None` if others cannot reach it.
    pub address: Option<String>,
    pub token: String,
}

/// The lease as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lease {
    /// `None` before the first renewal of all.
    counter: Option<i64>,
    /// `None` if it was given back.
    pub holder: Option<Holder>,
}

/// What a candidate has seen of the lease so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<(Lease, Instant)>,
}

impl Watch {
    /// Takes in a look at the lease; answers whether its holder has not renewed it for `time`.
    pub fn is_over(&mut self, lease: &Lease, time: Duration, now: Instant) -> bool {
        match &self.seen {
            Some((seen, since)) if seen == lease => now.duration_since(*since) >= time,
            Some(_) | None => {
                self.seen = Some((lease.clone(), now));
                false
            }
        }
    }
}

impl Firehose {
    /// Reads the lease.
    pub(super) async fn read_lease(&self) -> Result<Lease, FirehoseError> {
        Ok(lease_of(&self.lease_item().await?))
    }

    async fn lease_item(&self) -> Result<Item, FirehoseError> {
        let read = self
            .dynamo
            .get_item()
            .table_name(self.table())
            .key(keys::PK, keys::text(PARTITION))
            .key(keys::SK, keys::text(SORT_KEY))
            .consistent_read(true)
            .send()
            .await
            .map_err(FirehoseError::store("read the stream's lease"))?;
        Ok(read.item.unwrap_or_default())
    }

    /// Takes the lease, if it is still as it was seen. Answers the term and the checkpoint.
    pub(super) async fn take_lease(
        &self,
        seen: &Lease,
        address: Option<&str>,
    ) -> Result<Option<(Term, Option<Places>)>, FirehoseError> {
        let term = Term::new();
        let set = "#term = :term, #token = :token";
        let update = match address {
            Some(address) => self
                .lease_update(&format!("SET {set}, #address = :address ADD #counter :one"))
                .expression_attribute_values(":address", keys::text(address)),
            None => self.lease_update(&format!("SET {set} REMOVE #address ADD #counter :one")),
        };
        let update = match seen.counter {
            Some(counter) => update
                .condition_expression("#counter = :seen")
                .expression_attribute_values(":seen", keys::number(counter)),
            None => update.condition_expression("attribute_not_exists(#counter)"),
        };
        let update = update
            .expression_attribute_names("#term", TERM)
            .expression_attribute_names("#token", TOKEN)
            .expression_attribute_names("#address", ADDRESS)
            .expression_attribute_values(":term", keys::text(term.name.clone()))
            .expression_attribute_values(":token", keys::text(term.token.clone()))
            .return_values(ReturnValue::AllNew);
        match update.send().await {
            Ok(taken) => {
                let item = taken.attributes.unwrap_or_default();
                Ok(Some((term, checkpoint_of(&item))))
            }
            // The SDK repeats a write whose answer was lost; the repeat then finds its own term.
            Err(error) if error.as_service_error().is_some_and(is_refused) => {
                let item = self.lease_item().await?;
                let ours = keys::text_of(&item, TERM) == Some(term.name.as_str());
                Ok(ours.then(|| (term, checkpoint_of(&item))))
            }
            Err(error) => Err(FirehoseError::store("take the stream's lease")(error)),
        }
    }

    /// Renews the lease and writes the checkpoint; answers whether the term still has it.
    pub(super) async fn renew_lease(
        &self,
        term: &Term,
        places: Option<&Places>,
    ) -> Result<bool, FirehoseError> {
        let update = match places {
            Some(places) => self
                .lease_update("SET #body = :body ADD #counter :one")
                .expression_attribute_names("#body", keys::BODY)
                .expression_attribute_values(":body", checkpoint(places)?),
            None => self.lease_update("ADD #counter :one"),
        };
        send_as(term, update, "renew the stream's lease").await
    }

    /// Writes the checkpoint and gives the lease back, so that the next node need not wait.
    pub(super) async fn give_lease_back(
        &self,
        term: &Term,
        places: Option<&Places>,
    ) -> Result<bool, FirehoseError> {
        let update = match places {
            Some(places) => self
                .lease_update("SET #body = :body REMOVE #term, #token, #address ADD #counter :one")
                .expression_attribute_names("#body", keys::BODY)
                .expression_attribute_values(":body", checkpoint(places)?),
            None => self.lease_update("REMOVE #term, #token, #address ADD #counter :one"),
        };
        let update = update
            .expression_attribute_names("#token", TOKEN)
            .expression_attribute_names("#address", ADDRESS);
        send_as(term, update, "give the stream's lease back").await
    }

    fn lease_update(&self, expression: &str) -> UpdateItemFluentBuilder {
        self.dynamo
            .update_item()
            .table_name(self.table())
            .key(keys::PK, keys::text(PARTITION))
            .key(keys::SK, keys::text(SORT_KEY))
            .update_expression(expression)
            .expression_attribute_names("#counter", COUNTER)
            .expression_attribute_values(":one", keys::number(1))
    }
}

/// Sends a write that only the holder of a term may do.
async fn send_as(
    term: &Term,
    update: UpdateItemFluentBuilder,
    doing: &'static str,
) -> Result<bool, FirehoseError> {
    let sent = update
        .condition_expression("#term = :mine")
        .expression_attribute_names("#term", TERM)
        .expression_attribute_values(":mine", keys::text(term.name.clone()))
        .send()
        .await;
    match sent {
        Ok(_written) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(is_refused) => Ok(false),
        Err(error) => Err(FirehoseError::store(doing)(error)),
    }
}

fn lease_of(item: &Item) -> Lease {
    let text = |name| keys::text_of(item, name).map(str::to_owned);
    let holder = text(TERM).zip(text(TOKEN)).map(|(term, token)| Holder {
        term,
        address: text(ADDRESS),
        token,
    });
    Lease {
        counter: keys::number_of(item, COUNTER),
        holder,
    }
}

fn is_refused(error: &UpdateItemError) -> bool {
    error.is_conditional_check_failed_exception()
}

fn checkpoint(places: &Places) -> Result<aws_sdk_dynamodb::types::AttributeValue, FirehoseError> {
    let text = serde_json::to_string(places).map_err(FirehoseError::Encode)?;
    Ok(keys::text(text))
}

/// A checkpoint that this version cannot read is none.
fn checkpoint_of(item: &Item) -> Option<Places> {
    serde_json::from_str(keys::text_of(item, keys::BODY)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_over_when_it_was_seen_unchanged_for_its_whole_time() {
        let (mut watch, time) = (Watch::default(), Duration::from_secs(5));
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let lease = |counter| Lease {
            counter: Some(counter),
            holder: None,
        };
        assert!(
            !watch.is_over(&lease(1), time, at(0)),
            "seen for the first time"
        );
        assert!(!watch.is_over(&lease(1), time, at(4_999)));
        assert!(!watch.is_over(&lease(2), time, at(5_000)), "it was renewed");
        assert!(!watch.is_over(&lease(2), time, at(9_999)));
        assert!(watch.is_over(&lease(2), time, at(10_000)));
    }
}
