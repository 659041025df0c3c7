//! What the server draws alone: pages and parts that stand still. The browser puts their HTML in as
//! it is. Everything that people wrote is escaped where the views are drawn.

mod about;
mod activity;
mod leaders;
mod lot;
mod moderation;
mod sessions;
mod wallet;

pub use leaders::leaders;
pub use lot::{about_lot, head};
pub use wallet::{holds, statement};

use crate::acting::Acting;
use crate::actions::desk::Desk;
use crate::actions::read::server::unavailable;
use crate::actions::{PageForm, ReadError, StillPage};
use crate::ports::{Panel, Viewer, is_panel};
use shared::LotId;

/// The page at a path.
pub async fn page(desk: &Desk, form: &PageForm) -> Result<StillPage, ReadError> {
    let viewer = desk.viewer(&form.acting_as, &form.acting_in).await;
    let viewer = viewer.map_err(unavailable)?;
    let acting = acting_of(&viewer, form);
    let (title, html) = match form.path.as_str() {
        "/about" => ("How it works".to_owned(), about::about(&acting)),
        "/sessions" => ("Sessions".to_owned(), sessions::sessions(&viewer, &acting)),
        "/activity" => (
            "Activity".to_owned(),
            activity::activity(desk.ports(), form, &acting).await,
        ),
        path if is_panel(path) => {
            let panel = desk.ports().panels.panel(path).await;
            let Panel { title, html } = panel.ok_or(ReadError::NotFound)?;
            (title, html)
        }
        path => {
            let lot = moderated(path).ok_or(ReadError::NotFound)?;
            moderation::moderation(desk, form, (lot, &viewer, &acting)).await?
        }
    };
    let title = format!("{title} · LotZero");
    Ok(StillPage { title, html })
}

/// The lot whose moderation a path names.
fn moderated(path: &str) -> Option<LotId> {
    let lot = path.strip_prefix("/lots/")?.strip_suffix("/moderation")?;
    lot.parse().ok()
}

/// Who and where, as the links of the page carry it: see [`crate::house::House::viewer`].
pub fn acting_of(viewer: &Viewer, form: &PageForm) -> Acting {
    let known = viewer.person.as_ref().map(|person| person.handle.clone());
    let wished = Some(form.acting_as.clone()).filter(|handle| !handle.is_empty());
    Acting {
        handle: known.or(wished),
        region: Some(viewer.region),
    }
}
