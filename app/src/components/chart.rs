//! The price's history as a small chart, drawn as steps: prices do not glide.

use crate::erase::{Erase, drawn, kept};
use crate::live::Live;
use leptos::prelude::*;
use shared::view::{MAX_LADDER_LINES, RoomView, Terms};
use shared::{Money, Timestamp};
use std::fmt::Write as _;
use std::sync::Arc;

const WIDTH: i64 = 640;
const HEIGHT: i64 = 160;
/// Room above and below the line, so that its stroke is not cut.
const MARGIN: i64 = 8;
/// Steps of a Dutch schedule that are drawn one by one; a longer one is drawn in larger steps.
const MAX_STEPS: i64 = 120;

/// Values over time: each holds from its moment until the next one's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Steps {
    /// Moments and values, oldest first.
    points: Vec<(i64, i64)>,
    /// Where the drawing ends.
    until: i64,
    /// Values between which the drawing reaches at least.
    span: Option<(i64, i64)>,
}

/// A chart's line and where it stands now, in the drawing's own units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Drawing {
    line: String,
    area: String,
    now: (i64, i64),
}

impl Steps {
    fn draw(&self, now: i64) -> Drawing {
        let Some((first, value)) = self.points.first().copied() else {
            return Drawing::default();
        };
        let span = self.span.unwrap_or((value, value));
        let values = self.points.iter().map(|p| p.1);
        let (low, high) = values.fold(span, |(low, high), v| (low.min(v), high.max(v)));
        let scale = |value: i64, from: i64, to: i64, size: i64| {
            let part = i128::from(value.clamp(from, to.max(from)) - from) * i128::from(size);
            i64::try_from(part / i128::from((to - from).max(1))).unwrap_or(size)
        };
        let x = |at: i64| scale(at, first, self.until, WIDTH);
        let y = |value: i64| HEIGHT - MARGIN - scale(value, low, high, HEIGHT - 2 * MARGIN);
        let mut line = String::new();
        for (place, (at, value)) in self.points.iter().enumerate() {
            let (x, y) = (x(*at), y(*value));
            // Writing to a string cannot fail.
            let _written = if place == 0 {
                write!(line, "M{x} {y}")
            } else {
                write!(line, "H{x}V{y}")
            };
        }
        let last = x(self.until);
        let _written = write!(line, "H{last}");
        let area = format!("{line}V{HEIGHT}H{}Z", x(first));
        let current = self.points.iter().rev().find(|p| p.0 <= now);
        let current = current.or(self.points.first()).map_or(low, |p| p.1);
        Drawing {
            line,
            area,
            now: (x(now), y(current)),
        }
    }
}

fn steps(room: &RoomView, now: Timestamp) -> Steps {
    let lot = &room.lot;
    let begin = lot.opens_at.0;
    let end = lot.closes_at.0.max(begin + 1);
    let oldest_first = || room.ladder.iter().rev();
    match &lot.terms {
        Terms::English { opening, .. } => {
            let mut points = vec![(begin, opening.minor())];
            points.extend(oldest_first().map(|line| (line.at.0, line.amount.minor())));
            let until = now.0.clamp(begin + 1, end);
            Steps {
                points,
                until,
                span: None,
            }
        }
        Terms::Dutch { schedule } => {
            let tick = schedule.tick_ms.max(1);
            let ticks = (end - begin) / tick;
            let stride = tick * (ticks / MAX_STEPS + 1);
            let count = (end - begin) / stride;
            let points = (0..=count)
                .map(|n| begin + n * stride)
                .map(|at| (at, schedule.price_at(lot.opens_at, Timestamp(at)).minor()))
                .collect();
            Steps {
                points,
                until: end,
                span: None,
            }
        }
        Terms::Drop {
            units_left, units, ..
        } => {
            // Backwards from what is left now: each claim took its units.
            let mut left = i64::from(*units_left);
            let mut points = Vec::new();
            for line in &room.ladder {
                points.push((line.at.0, left));
                left = (left + i64::from(line.units)).min(i64::from(*units));
            }
            points.push((begin, left));
            points.reverse();
            Steps {
                points,
                until: now.0.clamp(begin + 1, end),
                // One unit of fifty sold is not a fall to nothing.
                span: Some((0, i64::from(*units))),
            }
        }
    }
}

/// The chart's name and what it says, for those who do not see it.
fn description(room: &RoomView, price: Money) -> (&'static str, String) {
    match &room.lot.terms {
        Terms::English { opening, .. } => (
            "Price so far",
            format!(
                "Opened at {opening}, {} {price} after {}.",
                if room.lot.outcome.is_some() {
                    "ended at"
                } else {
                    "stands at"
                },
                bids(room.ladder.len())
            ),
        ),
        Terms::Dutch { schedule } => (
            "The price's way down",
            format!(
                "From {} to {}; it stands at {price}.",
                schedule.start, schedule.floor
            ),
        ),
        Terms::Drop {
            units, units_left, ..
        } => ("Units left", format!("{units_left} of {units} are left.")),
    }
}

fn bids(shown: usize) -> String {
    match shown {
        0 => "no bids".to_owned(),
        1 => "one bid".to_owned(),
        MAX_LADDER_LINES.. => format!("{MAX_LADDER_LINES} bids or more"),
        n => format!("{n} bids"),
    }
}

/// The chart of a room.
#[component]
pub fn PriceChart(
    /// The room.
    room: RwSignal<RoomView>,
    /// The price now.
    price: Memo<Money>,
) -> impl IntoView {
    let live = Live::expect();
    let snapshot = room.with_untracked(|room| room.server_time);
    let drawing = kept(move || {
        let now = live.now(snapshot);
        room.with(|room| {
            let end = if room.lot.outcome.is_some() {
                room.ladder.first().map_or(room.lot.closes_at, |l| l.at)
            } else {
                now
            };
            steps(room, end).draw(end.0)
        })
    });
    let now = drawn(move || drawing.read().now.0.to_string());
    let name = room.with_untracked(|room| description(room, price.get_untracked()).0);
    let said = drawn(move || description(&room.read(), price.get()).1);
    view! {
        <section class="panel chart-panel" aria-labelledby="chart-name">
            <h2 id="chart-name">{name}</h2>
            <svg
                class="chart"
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                preserveAspectRatio="none"
                role="img"
                aria-labelledby="chart-title chart-desc"
            >
                <title id="chart-title">{name}</title>
                <desc id="chart-desc">{Arc::clone(&said)}</desc>
                <path class="chart-area" d=drawn(move || drawing.with(|d| d.area.clone()))/>
                <path class="chart-line" d=drawn(move || drawing.with(|d| d.line.clone()))/>
                <line
                    class="chart-now"
                    x1=Arc::clone(&now)
                    x2=now
                    y1="0"
                    y2=HEIGHT.to_string()
                />
            </svg>
            <p class="fine">{said}</p>
        </section>
    }
    .erase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_hold_until_the_next_and_fill_the_drawing() {
        let steps = Steps {
            points: vec![(0, 100), (50, 200)],
            until: 100,
            span: None,
        };
        let drawing = steps.draw(75);
        assert_eq!(drawing.line, "M0 152H320V8H640");
        assert_eq!(drawing.area, "M0 152H320V8H640V160H0Z");
        assert_eq!(drawing.now, (480, 8));
        assert_eq!(steps.draw(-5).now, (0, 152));
        let among_more = Steps {
            span: Some((0, 200)),
            ..steps
        };
        assert_eq!(among_more.draw(75).line, "M0 80H320V8H640");
    }

    #[test]
    fn one_value_or_the_largest_money_still_draws() {
        let flat = Steps {
            points: vec![(7, 5)],
            until: 7,
            span: None,
        };
        assert_eq!(flat.draw(7).line, "M0 152H0");
        let huge = Steps {
            points: vec![(0, 0), (1, shared::money::MAX_MINOR)],
            until: i64::from(u32::MAX),
            span: None,
        };
        assert!(huge.draw(1).line.ends_with("V8H640"));
        let none = Steps {
            points: Vec::new(),
            until: 0,
            span: Some((0, 50)),
        };
        assert_eq!(none.draw(0), Drawing::default());
    }
}
