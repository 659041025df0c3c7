//! What became of the requests of a race.

use super::Answered;
use crate::proof::history::Reply;
use std::collections::BTreeMap;
use std::time::Duration;

/// The answers of a race, in no order.
#[derive(Debug, Default)]
pub struct Tally {
    /// One for each request.
    pub all: Vec<Answered>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Tally {
    /// Takes in the answers of a race that came after this one.
    pub fn add(&mut self, next: Self) {
        self.all.extend(next.all);
        self.elapsed += next.elapsed;
    }

    /// What each key heard, and how often. A request whose answer was lost is sent again and then
    /// hears a replay of its own, so who heard what first is not asked.
    fn by_key(&self) -> BTreeMap<&str, Vec<Result<&Reply, &'static str>>> {
        let mut by_key: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for one in &self.all {
            if let Ok(heard) = &one.heard {
                by_key
                    .entry(one.key.as_str())
                    .or_default()
                    .push(heard.decision());
            }
        }
        by_key
    }

    /// Keys whose request was done.
    pub fn committed(&self) -> u64 {
        let by_key = self.by_key();
        let done = by_key
            .values()
            .filter(|heard| heard.iter().any(Result::is_ok));
        u64::try_from(done.count()).unwrap_or(u64::MAX)
    }

    /// Answers beyond the first of each key.
    pub fn replayed(&self) -> u64 {
        let by_key = self.by_key();
        let more = by_key.values().map(|heard| heard.len().saturating_sub(1));
        u64::try_from(more.sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// Keys that heard different answers.
    pub fn contradicted(&self) -> u64 {
        let by_key = self.by_key();
        let differ = by_key.values().filter(|heard| {
            let mut pairs = heard.iter().zip(heard.iter().skip(1));
            pairs.any(|(one, next)| one != next)
        });
        u64::try_from(differ.count()).unwrap_or(u64::MAX)
    }

    /// Requests that were never decided.
    pub fn undecided(&self) -> u64 {
        let count = self.all.iter().filter(|one| one.heard.is_err()).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Sends beyond the first of each request.
    pub fn resent(&self) -> u64 {
        self.all
            .iter()
            .map(|one| u64::from(one.sends.saturating_sub(1)))
            .sum()
    }

    /// Keys whose request was refused, by code.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        let mut refusals = BTreeMap::new();
        for heard in self.by_key().values() {
            if let Some(Err(code)) = heard.first() {
                *refusals.entry((*code).to_owned()).or_default() += 1;
            }
        }
        refusals
    }

    /// Decided requests by the tries that it took.
    pub fn depths(&self) -> BTreeMap<u32, u64> {
        let mut depths = BTreeMap::new();
        for heard in self.all.iter().filter_map(|one| one.heard.as_ref().ok()) {
            *depths.entry(heard.attempts).or_default() += 1;
        }
        depths
    }
}
