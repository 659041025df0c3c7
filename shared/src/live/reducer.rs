//! Events → view: the same code keeps a room right in the browser and fills it in tests.

use super::{LotEvent, Position};
use crate::auction::Mechanism;
use crate::view::{LadderLine, MAX_LADDER_LINES, Outcome, RoomView, Terms};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The view changed.
    Changed,
    /// The view has it already.
    Repeat,
    /// An event before it is missing, or the history is another one: subscribe again.
    Gap,
}

/// Applies one event of a lot's channel. Nothing is skipped: an event that does not follow
/// directly on the view's offset changes nothing and answers [`Applied::Gap`].
pub fn apply(room: &mut RoomView, position: Position, event: &LotEvent) -> Applied {
    if position.epoch != room.lot.epoch {
        return Applied::Gap;
    }
    if position.offset <= room.lot.offset {
        return Applied::Repeat;
    }
    if position.offset != room.lot.offset + 1 {
        return Applied::Gap;
    }
    room.lot.offset = position.offset;
    match event {
        LotEvent::Bid {
            line,
            closes_at,
            reserve,
            next_minimum,
            ..
        } => {
            room.lot.closes_at = room.lot.closes_at.max(*closes_at);
            if let Terms::English {
                leader,
                next_minimum: next,
                reserve: met,
                ..
            } = &mut room.lot.terms
            {
                *leader = Some(line.clone());
                *next = Some(*next_minimum);
                *met = *reserve;
            }
            push_line(&mut room.ladder, line);
        }
        LotEvent::Closed {
            status,
            outcome,
            closes_at,
        } => {
            room.lot.status = *status;
            room.lot.closes_at = *closes_at;
            match outcome {
                // A Dutch sale is its only claim; an English winner is in the ladder already.
                Outcome::Sold { line } if room.lot.mechanism() == Mechanism::Dutch => {
                    push_line(&mut room.ladder, line);
                }
                // The end is in order, stock is not: what it says holds if a push was lost.
                Outcome::DropEnded { units_sold, .. } => settle_units(room, *units_sold),
                Outcome::Sold { .. } | Outcome::Passed { .. } | Outcome::Cancelled => {}
            }
            room.lot.outcome = Some(outcome.clone());
        }
    }
    Applied::Changed
}

/// Takes in the units left of a drop, and the claim that took some. Stock only falls within a
/// lot's life, so the fewest is the newest.
pub fn apply_units_left(room: &mut RoomView, units_left: u32, line: Option<&LadderLine>) {
    if let Terms::Drop {
        units_left: left, ..
    } = &mut room.lot.terms
    {
        *left = units_left.min(*left);
    }
    if let Some(line) = line {
        insert_line(&mut room.ladder, line);
    }
}

fn settle_units(room: &mut RoomView, units_sold: u32) {
    if let Terms::Drop {
        units, units_left, ..
    } = &mut room.lot.terms
    {
        *units_left = units.saturating_sub(units_sold).min(*units_left);
    }
}

/// Puts a line that came in order on top.
fn push_line(ladder: &mut Vec<LadderLine>, line: &LadderLine) {
    if ladder.iter().any(|known| known.id == line.id) {
        return;
    }
    ladder.insert(0, line.clone());
    ladder.truncate(MAX_LADDER_LINES);
}

/// Puts a line that came in no order where its time belongs, newest first and by id among equals:
/// so a late one does not pass for news, and one that has left the ladder does not come back.
fn insert_line(ladder: &mut Vec<LadderLine>, line: &LadderLine) {
    if ladder.iter().any(|known| known.id == line.id) {
        return;
    }
    let older = |known: &LadderLine| (known.at, &known.id) < (line.at, &line.id);
    let place = ladder.iter().position(older).unwrap_or(ladder.len());
    ladder.insert(place, line.clone());
    ladder.truncate(MAX_LADDER_LINES);
}

#[cfg(test)]
mod tests;
