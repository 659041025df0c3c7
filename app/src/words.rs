//! Small sentences and formats that several components share. The same on server and client.

use shared::auction::Mechanism;
use shared::view::{Activity, ActivityKind, LadderLine, LotView, Outcome, Person};
use shared::{Money, PrincipalId, Timestamp};

/// A span of time in words: `30 seconds`, `2 minutes`, `1 minute 30 seconds`.
#[must_use]
pub fn span(ms: i64) -> String {
    let seconds = (ms.max(0) + 500) / 1_000;
    let unit = |n: i64, word: &str| {
        let plural = if n == 1 { "" } else { "s" };
        format!("{n} {word}{plural}")
    };
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let parts: Vec<String> = [(hours, "hour"), (minutes, "minute"), (rest, "second")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| unit(n, word))
        .collect();
    if parts.is_empty() {
        unit(0, "second")
    } else {
        parts.join(" ")
    }
}

/// How a lot is sold, in two words.
#[must_use]
pub const fn mechanism(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::English => "Rising bids",
        Mechanism::Dutch => "Falling price",
        Mechanism::Drop => "Fixed price",
    }
}

/// Names the picture of a lot for those who do not see it.
#[must_use]
pub fn picture(lot: &LotView) -> String {
    format!("Illustration of {}", lot.title)
}

/// `you` or the person's name.
#[must_use]
pub fn name_for(person: &Person, viewer: Option<PrincipalId>) -> String {
    if viewer == Some(person.id) {
        "you".to_owned()
    } else {
        person.name.clone()
    }
}

/// A price times units, or the price itself where the product is out of range.
#[must_use]
pub fn times(price: Money, units: u32) -> Money {
    price.checked_mul(units).unwrap_or(price)
}

/// How a lot ended, as everybody may know it.
#[must_use]
pub fn outcome(outcome: &Outcome, viewer: Option<PrincipalId>) -> String {
    match outcome {
        Outcome::Sold { line } => {
            let who = name_for(&line.who, viewer);
            format!("Sold to {who}, {}, {}.", line.region.city(), line.amount)
        }
        Outcome::DropEnded { units_sold, total } => {
            let units = if *units_sold == 1 { "unit" } else { "units" };
            format!("{units_sold} {units} sold for {total}.")
        }
        Outcome::Passed {
            reserve_not_met: true,
        } => "Not sold: the reserve was not met.".to_owned(),
        Outcome::Passed {
            reserve_not_met: false,
        } => "Not sold: nobody bid.".to_owned(),
        Outcome::Cancelled => "Withdrawn by the seller.".to_owned(),
    }
}

/// What became of the viewer's money on a lot that is over.
#[must_use]
pub fn own_end(
    outcome: &Outcome,
    ladder: &[LadderLine],
    viewer: Option<PrincipalId>,
) -> Option<String> {
    let viewer = viewer?;
    let mine = || ladder.iter().filter(|line| line.who.id == viewer);
    match outcome {
        Outcome::Sold { line } if line.who.id == viewer => Some(format!(
            "{} was paid from your wallet. It is yours.",
            line.amount
        )),
        Outcome::DropEnded { .. } => {
            let units: u32 = mine().map(|line| line.units).sum();
            let price = mine().next()?.amount;
            let word = if units == 1 { "unit" } else { "units" };
            Some(format!(
                "You have {units} {word}; {} was paid from your wallet.",
                times(price, units)
            ))
        }
        Outcome::Sold { .. } | Outcome::Passed { .. } | Outcome::Cancelled => {
            mine().next()?;
            Some("Nothing was taken from your wallet. What was held is yours again.".to_owned())
        }
    }
}

/// One line of the activity: what happened, without the lot's name.
#[must_use]
pub fn activity(line: &Activity) -> String {
    let who = line.who.as_ref().map_or("Somebody", |p| p.name.as_str());
    let amount = line.amount.map(|a| format!(" {a}")).unwrap_or_default();
    match line.what {
        ActivityKind::Opened => "Put up".to_owned(),
        ActivityKind::Bid => format!("{who} bid{amount}"),
        ActivityKind::Claimed => format!("{who} claimed{}", at(line.amount)),
        ActivityKind::Sold => match &line.who {
            Some(who) => format!("Sold to {}{}", who.name, at(line.amount)),
            None => format!("Sold{}", at(line.amount)),
        },
        ActivityKind::Passed => "Not sold".to_owned(),
    }
}

fn at(amount: Option<Money>) -> String {
    amount.map(|a| format!(" at {a}")).unwrap_or_default()
}

/// The time of day in UTC.
#[must_use]
pub fn clock(at: Timestamp) -> String {
    shared::time::clock_utc(at)
}

/// A moment for the `datetime` attribute: `2026-11-22T14:03:09Z`.
#[must_use]
pub fn iso(at: Timestamp) -> String {
    let (year, month, day) = date(at);
    format!("{year:04}-{month:02}-{day:02}T{}Z", clock(at))
}

/// A moment with its day in UTC: `22 Nov 14:03:09`.
#[must_use]
pub fn day_and_clock(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, month, day) = date(at);
    let month = usize::try_from(month - 1).ok();
    let name = month.and_then(|m| MONTHS.get(m)).copied();
    format!("{day} {} {}", name.unwrap_or_default(), clock(at))
}

/// Year, month and day in UTC. Counts in eras of 400 years that begin on 1 March, so that the
/// leap day is the last of its year.
const fn date(at: Timestamp) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    /// From 1 March of year 0 to 1 January 1970.
    const TO_1970: i64 = 719_468;
    let days = at.0.div_euclid(86_400_000) + TO_1970;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (ERA_DAYS - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let next = if month <= 2 { 1 } else { 0 };
    (year + era * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{Currency, Region};

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::Usd).expect("in range")
    }

    fn person(number: u32, name: &str) -> Person {
        Person {
            id: format!("usr_{number:032x}").parse().expect("an id"),
            handle: name.to_lowercase(),
            name: name.into(),
            simulated: false,
        }
    }

    fn line(who: &Person, minor: i64, units: u32) -> LadderLine {
        LadderLine {
            id: "bid_1".into(),
            who: who.clone(),
            region: Region::Tokyo,
            amount: usd(minor),
            units,
            at: Timestamp(0),
        }
    }

    #[test]
    fn spans_read_like_speech() {
        assert_eq!(span(30_000), "30 seconds");
        assert_eq!(span(61_000), "1 minute 1 second");
        assert_eq!(span(3_600_000), "1 hour");
        assert_eq!(span(0), "0 seconds");
        assert_eq!(span(-5), "0 seconds");
    }

    #[test]
    fn dates_hold_over_leap_days_and_before_1970() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_356_189_000, "2026-11-22T14:03:09Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (-1_000, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(iso(Timestamp(ms)), text);
        }
        let at = Timestamp(1_795_356_189_000);
        assert_eq!(day_and_clock(at), "22 Nov 14:03:09");
    }

    #[test]
    fn an_end_tells_each_side_about_their_money() {
        let (lena, ravi) = (person(1, "Lena"), person(2, "Ravi"));
        let sold = Outcome::Sold {
            line: line(&lena, 125_000, 1),
        };
        let ladder = [line(&lena, 125_000, 1), line(&ravi, 120_000, 1)];
        assert_eq!(outcome(&sold, None), "Sold to Lena, Tokyo, $1,250.");
        assert_eq!(outcome(&sold, Some(lena.id)), "Sold to you, Tokyo, $1,250.");
        let own = |who: &Person| own_end(&sold, &ladder, Some(who.id)).expect("took part");
        assert!(own(&lena).starts_with("$1,250 was paid"));
        assert!(own(&ravi).starts_with("Nothing was taken"));
        assert_eq!(own_end(&sold, &ladder, None), None);
        assert_eq!(own_end(&sold, &ladder, Some(person(3, "Mia").id)), None);
        let ended = Outcome::DropEnded {
            units_sold: 3,
            total: usd(3_000),
        };
        let claims = [line(&ravi, 1_000, 2), line(&lena, 1_000, 1)];
        assert_eq!(
            own_end(&ended, &claims, Some(ravi.id)).expect("bought"),
            "You have 2 units; $20 was paid from your wallet."
        );
    }
}
