//! Lists: newest first, a limit, and an opaque cursor to the next page.

use super::fields::an_id;
use super::problem::Problem;
use super::schemas::scalars;
use crate::ledger::page::{Cursor, MAX_PAGE, Page};
use serde::Serialize;
use std::collections::BTreeMap;
use std::str::FromStr;
use utoipa::ToSchema;
use uuid::Uuid;

/// Resources of a page if nobody says how many.
pub const DEFAULT_PAGE: u32 = 20;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The resources, newest first.
    pub data: Vec<T>,
    /// Where the next page begins; none on the last one.
    #[schema(value_type = Option<scalars::Cursor>, required)]
    pub next_cursor: Option<String>,
}

/// A page with one more resource, by which it is known whether more follow.
#[must_use]
pub const fn one_more(page: Page) -> Page {
    Page {
        limit: page.limit + 1,
        ..page
    }
}

/// The parameters of a query, each once, none unknown.
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads a query; `known` are the names that it may have.
    ///
    /// # Errors
    /// `invalid` for a parameter that is unknown or occurs twice.
    pub fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let refused = || Problem::invalid_query();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default())
            .map_err(|_unreadable| refused())?;
        let mut read = BTreeMap::new();
        for (name, value) in pairs {
            let Some(known) = known.iter().find(|known| **known == name) else {
                return Err(refused().field("", "a parameter is unknown: leave it out"));
            };
            if read.insert(name, value).is_some() {
                return Err(refused().field(known, "once"));
            }
        }
        Ok(Self(read))
    }

    /// A parameter, read as a `T`.
    ///
    /// # Errors
    /// `invalid` if it is there and no `T`.
    pub fn get<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        let refused = || Problem::invalid_query().field(name, wanted);
        read(text).map(Some).ok_or_else(refused)
    }

    /// A parameter that is an id.
    ///
    /// # Errors
    /// `malformed` if it is there and not written as ids are.
    pub fn id<T: FromStr>(&self, name: &str, prefix: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        let refused = |_no_id| Problem::malformed_ids().field(name, an_id(prefix));
        text.parse().map(Some).map_err(refused)
    }

    /// The part of a list that is asked for.
    ///
    /// # Errors
    /// `invalid` for a cursor that is none of ours or a limit out of range.
    pub fn page(&self) -> Result<Page, Problem> {
        let limit = self.get("limit", "an integer from 1 to 100", |text| {
            let limit = text.parse().ok();
            limit.filter(|limit| (1..=MAX_PAGE).contains(limit))
        })?;
        let after = self.get("cursor", "the next_cursor of a page before", read_cursor)?;
        Ok(Page {
            after: after.unwrap_or(Cursor::NEWEST),
            limit: limit.unwrap_or(DEFAULT_PAGE),
        })
    }
}

fn write_cursor(cursor: Cursor) -> String {
    format!("{:x}-{}-{:x}", cursor.at_ms, cursor.id.simple(), cursor.leg)
}

fn read_cursor(text: &str) -> Option<Cursor> {
    let mut parts = text.split('-');
    let (at_ms, id, leg) = (parts.next()?, parts.next()?, parts.next()?);
    let cursor = Cursor {
        at_ms: i64::from_str_radix(at_ms, 16).ok()?,
        id: Uuid::try_parse(id).ok()?,
        leg: i16::from_str_radix(leg, 16).ok()?,
    };
    // Only what we wrote: no other text for the same place.
    (write_cursor(cursor) == text).then_some(cursor)
}

impl<T> List<T> {
    /// A page of what was read with one more than the limit, to know whether more follows.
    #[must_use]
    pub fn of(mut data: Vec<T>, limit: u32, place: impl Fn(&T) -> Cursor) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = data.len() > limit;
        data.truncate(limit);
        let last = data.last().filter(|_| more);
        Self {
            next_cursor: last.map(|last| write_cursor(place(last))),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let cursor = Cursor {
            at_ms: 1_764_000_000_000,
            id: Uuid::from_u128(7),
            leg: 1,
        };
        let text = write_cursor(cursor);
        assert_eq!(read_cursor(&text), Some(cursor));
        for bad in [
            "",
            "1",
            "x-y-z",
            &text.to_uppercase(),
            &format!("{text}-1"),
            "-1-0-0",
        ] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_page_says_whether_more_follows() {
        let place = |n: &u128| Cursor {
            at_ms: 1,
            id: Uuid::from_u128(*n),
            leg: 0,
        };
        let full = List::of(vec![3, 2, 1], 2, place);
        assert_eq!(
            (full.data.len(), full.next_cursor),
            (2, Some(write_cursor(place(&2))))
        );
        assert_eq!(List::of(vec![3, 2], 2, place).next_cursor, None);
    }

    #[test]
    fn parameters_are_known_and_occur_once() {
        let code = |query: &str| {
            let read = Query::read(Some(query), &["limit", "cursor"]).and_then(|q| q.page());
            read.map_or_else(|problem| problem.code(), |_page| "ok")
        };
        assert_eq!(code("limit=100"), "ok");
        for bad in [
            "limit=0",
            "limit=101",
            "limit=x",
            "limit=1&limit=2",
            "other=1",
            "cursor=1",
        ] {
            assert_eq!(code(bad), "invalid", "{bad}");
        }
    }
}
