//! A part of a list.

use uuid::Uuid;

/// The most resources of one page.
pub const MAX_PAGE: u32 = 100;

/// Where a page begins: after this resource. Lists run from the newest to the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last resource's time.
    pub at_ms: i64,
    /// Its id.
    pub id: Uuid,
    /// For entries, its number within the transfer.
    pub leg: i16,
}

impl Cursor {
    /// Before everything.
    pub const NEWEST: Self = Self {
        at_ms: i64::MAX,
        id: Uuid::max(),
        leg: i16::MAX,
    };
}

/// A part of a list, from a cursor on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it begins.
    pub after: Cursor,
    /// How many, from 1 to [`MAX_PAGE`].
    pub limit: u32,
}
