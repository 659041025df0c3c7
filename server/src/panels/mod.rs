//! The instrument panels: `/proof`, its runs, `/mission-control`, `/playground`. The server draws
//! them; the scripts in `app/public/panel` keep them up to date, and without those they are as of when
//! they were loaded.
//!
//! They are drawn here and not in `app`, since only the server knows audits, runs and gates, and
//! since the bundle of whoever bids must not grow by them.

#[cfg(feature = "local")]
mod map;
#[cfg(feature = "local")]
mod mission;
mod playground;
mod proof;
#[cfg(feature = "local")]
mod run;
mod tiles;

use crate::audits::Auditor;
#[cfg(feature = "local")]
use crate::operations::Operations;
use app::ports::{Panel, Panels};
use async_trait::async_trait;
use leptos::prelude::*;
use std::sync::Arc;

/// What the panels show.
pub struct HousePanels {
    /// The audits.
    pub auditor: Arc<Auditor>,
    /// What operators may do; none on stores that are not local.
    #[cfg(feature = "local")]
    pub operations: Option<Operations>,
}

#[async_trait]
impl Panels for HousePanels {
    async fn panel(&self, path: &str) -> Option<Panel> {
        let report = self.auditor.report();
        if path == "/proof" {
            return Some(Panel {
                title: "Proof".to_owned(),
                #[cfg(feature = "local")]
                html: proof::page(&report, self.runs()),
                #[cfg(not(feature = "local"))]
                html: proof::page(&report),
            });
        }
        if path == "/playground" {
            return Some(Panel {
                title: "Playground".to_owned(),
                html: playground::page(self.runs_races()),
            });
        }
        #[cfg(feature = "local")]
        if let ("/mission-control", Some(operations)) = (path, &self.operations) {
            return Some(Panel {
                title: "Mission Control".to_owned(),
                html: mission::page(&report, operations),
            });
        }
        #[cfg(feature = "local")]
        if let (Some(id), Some(operations)) = (path.strip_prefix("/proof/runs/"), &self.operations)
        {
            let run = operations.runs.find(id)?;
            return Some(Panel {
                title: format!("Run {id}"),
                html: run::page(&run),
            });
        }
        None
    }

    fn runs_races(&self) -> bool {
        #[cfg(feature = "local")]
        return self.operations.is_some();
        #[cfg(not(feature = "local"))]
        false
    }
}

#[cfg(feature = "local")]
impl HousePanels {
    fn runs(&self) -> Option<proof::Known> {
        let runs = &self.operations.as_ref()?.runs;
        Some(proof::Known {
            listed: runs.list(),
            versus: runs.versus(),
        })
    }
}

/// A field of a form for a number: the least, the most, and what is there at first.
fn number(
    name: &'static str,
    label: &'static str,
    (least, most, value): (u32, u32, u32),
) -> AnyView {
    view! {
        <label class="field">
            <span>{label}</span>
            <input type="number" name=name min=least max=most value=value required/>
        </label>
    }
    .into_any()
}

/// A number as people read it: 1,000,000.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_000_000, "1,000,000"),
        ];
        for (number, text) in table {
            assert_eq!(grouped(number), text);
        }
    }
}
